//! A database of its own on the PostgreSQL server that the tests may use.

use std::process::Command;

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
