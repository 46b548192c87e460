//! The button: makes something really break on this machine for a short while, then mends it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long each fault lasts.
pub(crate) const FAULT_LASTS: Duration = Duration::from_secs(15);

/// How much the filled file takes.
const FILE_BYTES: usize = 256 << 20;

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Keep every core busy.
    BurnCpu,
    /// Write a large file into the demo's folder.
    FillFile,
}

/// Breaks things, each at most once at a time.
pub(crate) struct Breaker {
    folder: PathBuf,
    burning: Arc<AtomicBool>,
    filling: Arc<AtomicBool>,
}

impl Breaker {
    pub(crate) fn new(folder: &Path) -> Breaker {
        Breaker { folder: folder.to_owned(), burning: Arc::default(), filling: Arc::default() }
    }

    /// Starts a fault; false if it is under way already.
    pub(crate) fn start(&self, fault: Fault) -> bool {
        let running = match fault {
            Fault::BurnCpu => &self.burning,
            Fault::FillFile => &self.filling,
        };
        if running.swap(true, Ordering::AcqRel) {
            return false;
        }
        let running = Arc::clone(running);
        let file = self.folder.join("filled-by-the-demo");
        tokio::spawn(async move {
            match fault {
                Fault::BurnCpu => burn().await,
                Fault::FillFile => fill(file).await,
            }
            running.store(false, Ordering::Release);
        });
        true
    }
}

async fn burn() {
    let go_on = Arc::new(AtomicBool::new(true));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores {
        let go_on = Arc::clone(&go_on);
        std::thread::spawn(move || {
            let mut number = 1u64;
            while go_on.load(Ordering::Relaxed) {
                for _ in 0..10_000 {
                    number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                }
            }
        });
    }
    tokio::time::sleep(FAULT_LASTS).await;
    go_on.store(false, Ordering::Relaxed);
}

async fn fill(path: PathBuf) {
    let target = path.clone();
    let written = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&target)?;
        let block = vec![b'x'; 1 << 20];
        for _ in 0..FILE_BYTES / block.len() {
            file.write_all(&block)?;
        }
        Ok(())
    });
    match written.await {
        Ok(Ok(())) => tokio::time::sleep(FAULT_LASTS).await,
        Ok(Err(error)) => tracing::warn!(%error, "the file could not be filled"),
        Err(error) => tracing::warn!(%error, "the file could not be filled"),
    }
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::warn!(%error, path = %path.display(), "the filled file could not be removed");
    }
}
