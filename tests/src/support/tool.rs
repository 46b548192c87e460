//! Programs and files that a test may need.

use std::path::PathBuf;
use std::process::Command;

use super::variable;

/// Something that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// The engine's binary, built by the task that runs the tests.
    Binary,
    /// Public test data.
    Data,
    /// The built plugins.
    Plugins,
    /// A Prometheus server of any version.
    Prometheus,
    /// A Prometheus server from version 3, which speaks remote-write 2.0.
    Prometheus3,
    /// Prometheus' tool for its files.
    Promtool,
    /// A PostgreSQL server, started by the task that runs the tests, and its client.
    Postgres,
    /// Alertmanager's client.
    Amtool,
    /// A browser and its driver.
    Chromium,
    /// A mail server with TLS and authentication.
    Aiosmtpd,
    /// OpenTelemetry's SDK for Python with its exporter.
    OpenTelemetry,
    /// The library that lets a program believe in another time.
    Faketime,
    /// A program of this name, such as a compiler.
    Program(&'static str),
}

impl Tool {
    /// Why it cannot be used here, or `None` if it can.
    pub(crate) fn missing(&self) -> Option<String> {
        match self {
            Tool::Binary => unset("WATCHFIRE_BINARY"),
            Tool::Data => {
                variable("WATCHFIRE_TEST_DATA").is_none().then(|| "WATCHFIRE_TEST_DATA is not set".to_owned())
            }
            Tool::Plugins => unset("WATCHFIRE_PLUGINS"),
            Tool::Prometheus => absent("prometheus"),
            Tool::Prometheus3 => match Command::new("prometheus").arg("--version").output() {
                Err(_) => Some("prometheus is not installed".to_owned()),
                Ok(output) => {
                    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                    let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or("");
                    let old = version.starts_with("2.") || version.starts_with("1.");
                    old.then(|| format!("prometheus is version {version}, remote-write 2.0 needs 3"))
                }
            },
            Tool::Promtool => absent("promtool"),
            Tool::Postgres => unset("WATCHFIRE_TEST_POSTGRES").or_else(|| absent("psql")),
            Tool::Amtool => absent("amtool"),
            Tool::Faketime => faketime().is_none().then(|| "libfaketime is not installed".to_owned()),
            Tool::OpenTelemetry => {
                let modules =
                    "import opentelemetry.sdk.metrics, opentelemetry.exporter.otlp.proto.http.metric_exporter";
                let found = Command::new("python3").args(["-c", modules]).output();
                let there = found.is_ok_and(|output| output.status.success());
                (!there).then(|| "OpenTelemetry's SDK is not installed for python3".to_owned())
            }
            Tool::Program(name) => absent(name),
            Tool::Chromium => absent("chromium").or_else(|| absent("chromedriver")),
            Tool::Aiosmtpd => {
                let found = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).output();
                let there = found.is_ok_and(|output| output.status.success());
                (!there).then(|| "aiosmtpd is not installed for /usr/bin/python3".to_owned())
            }
        }
    }
}

fn unset(name: &str) -> Option<String> {
    variable(name).is_none().then(|| format!("{name} is not set; run `cargo xtask test`"))
}

fn absent(program: &str) -> Option<String> {
    let path = variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    (!found).then(|| format!("{program} is not installed"))
}

/// Where the library lies.
pub(crate) fn faketime() -> Option<PathBuf> {
    let library = |folder: std::fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders.map(library).find(|path| path.is_file())
}
