//! A database of its own on the PostgreSQL server that the tests may use.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::variable;

/// A database that is there until the value ends.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes an empty one.
    pub(crate) fn make(test: &str) -> Result<Database> {
        let server = variable("WATCHFIRE_TEST_POSTGRES").context("WATCHFIRE_TEST_POSTGRES is not set")?;
        let name = format!("watchfire_{test}_{}", std::process::id());
        let database = Database { server, name };
        database.tell_server(&format!("CREATE DATABASE {}", database.name))?;
        Ok(database)
    }

    /// What the server calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How an engine reaches it.
    pub(crate) fn url(&self) -> String {
        let base = self.server.rsplit_once('/').map_or(self.server.as_str(), |(base, _)| base);
        format!("{base}/{}", self.name)
    }

    /// Nobody can reach it until [`Database::back`]: connections end and new ones are refused.
    pub(crate) fn gone(&self) -> Result<()> {
        self.tell_server(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name))?;
        self.end_connections()
    }

    /// It can be reached again.
    pub(crate) fn back(&self) -> Result<()> {
        self.tell_server(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name))
    }

    /// Nobody can read what is kept until the answer is dropped.
    pub(crate) fn lock_records(&self) -> Result<Locked> {
        self.lock("records IN ACCESS EXCLUSIVE MODE")
    }

    /// An engine that does not decide cannot ask for anything until the answer is dropped.
    pub(crate) fn lock_requests(&self) -> Result<Locked> {
        self.lock("requests IN EXCLUSIVE MODE")
    }

    fn lock(&self, what: &str) -> Result<Locked> {
        let mut psql = Command::new("psql");
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url()]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.as_mut().context("it has an input")?;
        stdin.write_all(format!("BEGIN; LOCK TABLE {what};\n\\echo locked\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it has an output")?).read_line(&mut line)?;
        ensure!(line.trim() == "locked", "what is kept could not be locked");
        Ok(Locked(child))
    }

    /// The one value that a query answers.
    pub(crate) fn value(&self, sql: &str) -> Result<String> {
        let told = Command::new("psql").args(["-qtA", "-d", &self.url(), "-c", sql]).output()?;
        ensure!(told.status.success(), "{sql}: {}", String::from_utf8_lossy(&told.stderr));
        Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    }

    fn end_connections(&self) -> Result<()> {
        let name = &self.name;
        self.tell_server(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
    }

    fn tell_server(&self, sql: &str) -> Result<()> {
        let told =
            Command::new("psql").args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &self.server, "-c", sql]).output()?;
        ensure!(told.status.success(), "{sql}: {}", String::from_utf8_lossy(&told.stderr));
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server is made for the tests and ends with them.
        drop(self.tell_server(&format!("DROP DATABASE {} WITH (FORCE)", self.name)));
    }
}

/// A session of its own, which gives up what it has locked when it ends.
pub(crate) struct Locked(Child);

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends by itself; the test fails elsewhere if it does not.
        drop(self.0.wait());
    }
}
