//! A server under measurement: its process, its CPU, its memory.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// What is measured.
pub(crate) struct Subject {
    /// The engine's program.
    pub(crate) binary: String,
    /// Without its peers.
    pub(crate) alone: bool,
}

impl Subject {
    /// Whether these programs take part; says so if one is missing.
    pub(crate) fn meets(&self, peers: &[&str]) -> bool {
        let missing: Vec<&str> = peers.iter().copied().filter(|peer| !installed(peer)).collect();
        if !self.alone && !missing.is_empty() {
            println!("{}: not installed, no ratio", missing.join(", "));
        }
        !self.alone && missing.is_empty()
    }
}

/// How long a server has to end by itself.
const ENDING_MAX: Duration = Duration::from_secs(20);

/// Ends with the value.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    pub(crate) fn start(program: &str, arguments: &[String], log: &Path) -> Result<Server> {
        let log = std::fs::File::create(log)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Server { child })
    }

    /// Seconds of CPU so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold spaces; everything after it does not.
        let rest = stat.rsplit_once(')').context("no name in stat")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        // Fields 14 and 15 of proc(5), in ticks of a hundredth of a second on Linux.
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end; answers whether it came in time. If not, it is killed.
    fn terminate(&mut self) -> Result<bool> {
        let id = self.child.id().to_string();
        let send = |signal: &str| Command::new("kill").args(["-s", signal, &id]).status();
        send("TERM")?;
        let child = &mut self.child;
        std::thread::scope(|scope| {
            let (ended, end) = mpsc::channel();
            scope.spawn(move || ended.send(child.wait()));
            if let Ok(status) = end.recv_timeout(ENDING_MAX) {
                status?;
                return Ok(true);
            }
            send("KILL")?;
            Ok(false)
        })
    }

    /// Bytes in memory now.
    pub(crate) fn memory_bytes(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib * 1024.0)
    }
}

/// A program that is started again and again on the data that it left behind.
pub(crate) struct Service {
    program: String,
    arguments: Vec<String>,
    log: PathBuf,
    pub(crate) url: String,
    server: Option<Server>,
}

impl Service {
    /// Nothing runs yet.
    pub(crate) fn new(program: &str, arguments: &[String], log: PathBuf, address: SocketAddr) -> Service {
        let url = format!("http://{address}");
        Service { program: program.to_owned(), arguments: arguments.to_vec(), log, url, server: None }
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&mut self) -> Result<()> {
        self.server = Some(Server::start(&self.program, &self.arguments, &self.log)?);
        ready(&reqwest::Client::new(), &format!("{}/-/ready", self.url)).await
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), Server::kill)
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        let ended = self.server.take().map_or(Ok(true), |mut server| server.terminate())?;
        ensure!(ended, "{} does not end", self.program);
        Ok(())
    }

    /// The process that runs.
    pub(crate) fn server(&self) -> Result<&Server> {
        self.server.as_ref().with_context(|| format!("{} does not run", self.program))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is asked first, because one that is built to write how it ran does so at its end. It may have ended before.
        if matches!(self.child.try_wait(), Ok(None)) && !matches!(self.terminate(), Ok(true)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Whether a program can be found as the shell would.
fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until a URL answers 200.
pub(crate) async fn ready(client: &reqwest::Client, url: &str) -> Result<()> {
    for _ in 0..3_000 {
        if client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("{url} does not become ready")
}
