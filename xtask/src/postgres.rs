//! A PostgreSQL of its own for the tests, where one is installed.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::step;

/// A server in a folder of its own; ends with the value.
pub(crate) struct Postgres {
    server: Child,
    folder: PathBuf,
    /// Where tests reach it.
    pub(crate) url: String,
}

/// The account of Debian's package. PostgreSQL refuses to run as root.
const ACCOUNT: &str = "postgres";

impl Postgres {
    /// Starts one, or answers `None` where PostgreSQL is not installed.
    pub(crate) fn start() -> Result<Option<Postgres>> {
        let Some(programs) = programs() else { return Ok(None) };
        let folder = std::env::temp_dir().join(format!("watchfire-postgres-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let account = account()?;
        if let Some((user, group)) = account {
            chown(&folder, Some(user), Some(group))?;
        }
        let as_account = |program: &str| {
            let program = programs.join(program);
            let mut command = match account {
                Some(_) => {
                    let mut command = Command::new("runuser");
                    command.args(["-u", ACCOUNT, "--"]).arg(program);
                    command
                }
                None => Command::new(program),
            };
            command.current_dir(&folder);
            command
        };
        let data = folder.join("data");
        let mut init = as_account("initdb");
        init.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "-D"]).arg(&data);
        let made = init.output().context("cannot start initdb")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = as_account("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(folder.join("log"))?);
        let server = server.spawn().context("cannot start postgres")?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let postgres = Postgres { server, folder: folder.clone(), url };
        let mut ready = as_account("pg_isready");
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        for _ in 0..300 {
            if ready.status()?.success() {
                return Ok(Some(postgres));
            }
            wait();
        }
        let log = std::fs::read_to_string(postgres.folder.join("log"))?;
        anyhow::bail!("PostgreSQL does not become ready: {log}")
    }
}

#[expect(clippy::disallowed_methods, reason = "another program is starting and cannot call back")]
fn wait() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // `runuser` passes the signal on to the server, which then ends its own processes.
        drop(Command::new("kill").arg(self.server.id().to_string()).status());
        drop(self.server.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Where the server's programs are: on the path, or where Debian keeps them, the newest version first.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    folders.sort();
    let path = step::variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let has_all = |folder: &Path| ["initdb", "postgres", "pg_isready"].iter().all(|name| folder.join(name).is_file());
    folders.into_iter().rev().chain(on_path).find(|folder| has_all(folder))
}

/// User and group of the account to use if this is root, else nothing.
fn account() -> Result<Option<(u32, u32)>> {
    let id = |option: &str, who: &[&str]| -> Result<u32> {
        let output = Command::new("id").arg(option).args(who).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim().parse().with_context(|| format!("id {option} {who:?} says {text:?}"))
    };
    if id("-u", &[])? != 0 {
        return Ok(None);
    }
    Ok(Some((id("-u", &[ACCOUNT])?, id("-g", &[ACCOUNT])?)))
}
