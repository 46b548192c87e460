//! A real Prometheus as a process.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Runs until the value ends.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it in a folder, with a configuration that may name its address and with what lies in `tsdb` there.
    pub(crate) fn start(folder: &Path, config: impl Fn(SocketAddr) -> String) -> Result<Prometheus> {
        Prometheus::start_with(folder, &[], config)
    }

    /// The same with further flags.
    pub(crate) fn start_with(
        folder: &Path,
        flags: &[&str],
        config: impl Fn(SocketAddr) -> String,
    ) -> Result<Prometheus> {
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("prometheus.yml"), config(address))?;
        let log = std::fs::File::create(folder.join("prometheus.log"))?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start prometheus")?;
        Ok(Prometheus { process, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The test is over either way; a process that is gone already is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
