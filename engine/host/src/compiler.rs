//! The thread that compiles aside, while everybody else goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use crate::compilations::{Compilations, Progress, Turn};
use crate::host::{Candidate, WeakHost};
use crate::{LoadError, PluginPolicy};

/// What is compiled: the bytes of a digest, for what they may do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Version {
    pub(crate) path: PathBuf,
    pub(crate) digest: String,
    pub(crate) policy: PluginPolicy,
}

type Finished = Result<Candidate, LoadError>;

/// The versions that are compiled, and the bell for the thread that does it.
pub(crate) struct Compiler {
    line: Mutex<Compilations<Version, Finished>>,
    bell: SyncSender<()>,
}

impl Compiler {
    /// Nothing is compiled before [`start`] has the receiver.
    pub(crate) fn new() -> (Compiler, Receiver<()>) {
        // One ring says as much as a thousand.
        let (bell, rings) = sync_channel(1);
        (Compiler { line: Mutex::default(), bell }, rings)
    }

    pub(crate) fn line(&self) -> MutexGuard<'_, Compilations<Version, Finished>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, name: &str, version: &Version) -> Progress<Finished> {
        self.line().take(name, version)
    }

    pub(crate) fn want(&self, name: &str, version: Version, turn: Turn) {
        self.line().want(name, version, turn);
        // A bell that rings already is heard as well.
        let _rings = self.bell.try_send(());
    }
}

/// Starts the thread. It ends with the host. `finished` is called after each version that can take over, or cannot.
pub(crate) fn start(host: WeakHost, rings: Receiver<()>, finished: impl Fn() + Send + 'static) -> io::Result<()> {
    let run = move || {
        while rings.recv().is_ok() {
            while let Some(host) = host.upgrade() {
                let Some((name, version)) = host.compiler().and_then(|compiler| compiler.line().begin()) else { break };
                tracing::info!(plugin = name, digest = version.digest, "compiling a plugin");
                // What has no mistake does not panic; what has one costs this plugin and not those that wait.
                let done = catch_unwind(AssertUnwindSafe(|| host.compile(&name, &version))).unwrap_or_else(|_| {
                    Err(LoadError::Malformed("the host panicked; this is a defect, please report it".to_owned()))
                });
                let is_wanted = host.compiler().is_some_and(|compiler| compiler.line().finish(&name, &version, done));
                if is_wanted {
                    finished();
                }
            }
        }
    };
    thread::Builder::new().name("plugin-compiler".to_owned()).spawn(run).map(drop)
}
