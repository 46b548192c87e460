//! A real mail server, aiosmtpd, that keeps mails as files.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Runs until the value ends.
pub(crate) struct Mailbox {
    folder: TempDir,
    address: SocketAddr,
    process: Child,
}

impl Mailbox {
    pub(crate) fn start() -> Result<Mailbox> {
        let folder = TempDir::new()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("/usr/bin/python3")
            .args(["-m", "aiosmtpd", "-n", "-l", &address.to_string(), "-c", "aiosmtpd.handlers.Mailbox"])
            .arg(folder.path().join("mails"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start aiosmtpd")?;
        let mut mailbox = Mailbox { folder, address, process };
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return Ok(mailbox);
            }
            ensure!(mailbox.process.try_wait()?.is_none(), "aiosmtpd ended at once");
            mailbox.wait_a_moment();
        }
        anyhow::bail!("aiosmtpd does not listen on {address}")
    }

    #[expect(clippy::disallowed_methods, reason = "another process is starting and cannot call back")]
    fn wait_a_moment(&self) {
        std::thread::sleep(Duration::from_millis(20));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that has arrived, as it came over the wire.
    pub(crate) fn mails(&self) -> Result<Vec<String>> {
        let folder = self.folder.path().join("mails/new");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut mails = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            mails.push(String::from_utf8_lossy(&std::fs::read(entry?.path())?).into_owned());
        }
        Ok(mails)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
