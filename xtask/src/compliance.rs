//! `cargo xtask compliance`: the alert generator compliance suite of the Prometheus project against the binary.
//!
//! The suite is a program of its own that sends samples, asks the API and plays an Alertmanager, all in real time.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::step;

/// The program.
const TESTER: &str = "alert_generator_compliance_tester";
/// The Go module that it is part of.
const MODULE: &str = "github.com/prometheus/compliance/alert_generator";

/// The engine as a process; it ends with the value.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        // The run is over either way; a process that is gone already is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn run(options: &[String]) -> Result<()> {
    let rules = step::root().join("../shared/data/compliance/alert_generator/rules.yaml");
    let rules = step::variable("WATCHFIRE_COMPLIANCE_RULES").map_or(rules, Into::into);
    let tester = tester()?;
    if !rules.is_file() {
        bail!("{} is not there; name the suite's rules.yaml in WATCHFIRE_COMPLIANCE_RULES", rules.display());
    }
    step::announce("Building the engine");
    step::run("building", &mut step::cargo(&["build", "--package", "watchfire-cli"]))?;
    let folder = step::target_dir().join("compliance");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(&rules, folder.join("rules.yaml"))?;
    let (engine_port, tester_port) = (free_port()?, free_port()?);
    // The suite demands that an alert with a `for` below its group's interval waits for the next slot. Who evaluates on
    // arrival is sooner by design, so that this is left away as in Prometheus, unless it is asked for.
    let on_ingest = options.iter().any(|option| option == "--on-arrival");
    std::fs::write(folder.join("watchfire.yml"), engine_config(engine_port, tester_port, on_ingest))?;
    std::fs::write(folder.join("suite.yaml"), suite_config(engine_port, tester_port)?)?;
    let _engine = start(&folder)?;
    step::announce("The suite; it takes about 40 minutes");
    step::run("the suite", Command::new(tester).args(["-config-file", "suite.yaml"]).current_dir(&folder))
}

/// The program of the PATH, or one that is built through Go modules and kept.
fn tester() -> Result<PathBuf> {
    if step::installed(TESTER) {
        return Ok(TESTER.into());
    }
    let folder = step::target_dir().join("tools");
    let built = folder.join(TESTER);
    if !built.is_file() {
        step::announce("Building the suite");
        let package = format!("{MODULE}/cmd/{TESTER}@latest");
        let built = step::run("go install", Command::new("go").args(["install", &package]).env("GOBIN", &folder));
        built.with_context(|| {
            format!(
                "{TESTER} is not on the PATH and cannot be had as the Go module {MODULE}; it can be built in a clone of \
                 https://github.com/prometheus/compliance"
            )
        })?;
    }
    Ok(built)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn engine_config(port: u16, alertmanager: u16, on_ingest: bool) -> String {
    format!(
        "server: {{listen: '127.0.0.1:{port}'}}\nrules: {{paths: [rules.yaml]}}\nevaluation: {{on_ingest: {on_ingest}}}\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n\
         route: {{receiver: none}}\nreceivers: [{{name: none}}]\n"
    )
}

fn suite_config(port: u16, alertmanager: u16) -> Result<String> {
    let mut text = "settings:\n".to_owned();
    writeln!(text, "  remote_write_url: http://127.0.0.1:{port}/api/v1/write")?;
    writeln!(text, "  query_base_url: http://127.0.0.1:{port}")?;
    writeln!(text, "  rules_and_alerts_api_base_url: http://127.0.0.1:{port}")?;
    writeln!(text, "  alert_reception_server_port: {alertmanager}")?;
    Ok(text)
}

/// Starts the engine and waits until it says that it is ready; what it says later goes into `engine.log`.
fn start(folder: &Path) -> Result<Engine> {
    let mut log = std::fs::File::create(folder.join("engine.log"))?;
    let child = Command::new(step::target_dir().join("debug/watchfire"))
        .args(["serve", "--data", "data", "--config", "watchfire.yml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the engine")?;
    let mut engine = Engine(child);
    let mut said = BufReader::new(engine.0.stderr.take().context("the engine has no output")?);
    let mut line = String::new();
    while !line.contains("Listening on") {
        line.clear();
        if said.read_line(&mut line)? == 0 {
            bail!("the engine ended at once; see {}", folder.join("engine.log").display());
        }
        log.write_all(line.as_bytes())?;
    }
    // It ends with the engine; a full disk takes only the log.
    std::thread::spawn(move || std::io::copy(&mut said, &mut log));
    Ok(engine)
}
