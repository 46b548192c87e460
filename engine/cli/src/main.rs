//! The binary `watchfire`: the library and its HTTP surface behind a command line.
//!
//! It parses arguments, sets up the log, opens the socket and waits for signals. Whatever it can do, an embedding
//! program can do as well: there is no engine in here.

// `output` writes there without a panic when the reader is gone.
#![warn(clippy::print_stdout)]

mod alertmanager;
mod args;
mod backtest;
mod check;
mod client;
mod configuration;
mod demo;
mod explain;
mod files;
mod junit;
mod matchers;
mod notify;
mod oci;
mod output;
mod plugin;
mod recording;
mod route;
mod schema;
mod serve;
mod silence;
mod table;
mod test;
mod traces;
mod trust;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use args::{Cli, Command, Log, LogFormat, Traces};
use clap::Parser;
use output::Records;
use traces::Exporter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// An engine under load makes and drops small things all the time; with the system's allocator on Linux that takes a
/// fifth to a third of its CPU more.
///
/// It asks for no huge pages: what was given back comes back zeroed two megabytes at a time, which costs more than they
/// save, and a seventh of the memory besides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse_from(arguments());
    let log = match &cli.command {
        Command::Alertmanager(options) => options.log(),
        _ => cli.log,
    };
    let traces = match &cli.command {
        Command::Serve(options) => Some(&options.traces),
        Command::Alertmanager(options) => Some(&options.traces),
        _ => None,
    };
    let traces = match start_log(&log, traces, matches!(cli.command, Command::Plugin(_))) {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    // One TLS implementation for everything; a second installation by an embedding program is no error.
    drop(rustls::crypto::ring::default_provider().install_default());
    let outcome = match cli.command {
        Command::Check(options) => block_on(check::run(options)),
        Command::Test(options) => test::run(&options),
        Command::Backtest(options) => backtest::run(&options),
        Command::Explain(options) => block_on(explain::run(&options)),
        Command::Route(command) => block_on(route::run(command)),
        Command::Silence(command) => block_on(silence::silence(command)),
        Command::Alert(command) => block_on(silence::alert(command)),
        Command::Plugin(options) => plugin::run(&options),
        Command::Notify(options) => notify::run(&options),
        Command::Schema(options) => schema::run(&options),
        Command::Serve(options) => block_on(serve::run(options.into(), traces)),
        Command::Alertmanager(options) => options.launch().and_then(|launch| block_on(serve::run(launch, traces))),
        Command::Demo(options) => block_on(demo::run(options)).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", output::visible_lines(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}

/// The command line. A binary that is called `alertmanager` takes that program's flags at once.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments.first().map(|name| Path::new(name).file_name().unwrap_or_default().to_owned());
    if name.is_some_and(|name| name == "alertmanager") {
        arguments.insert(1, "alertmanager".into());
    }
    arguments
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}

/// Begins to write the log and, where an engine runs, to note spans for whoever is named to take them.
fn start_log(log: &Log, traces: Option<&Traces>, shows_plugins: bool) -> anyhow::Result<Option<Exporter>> {
    let collector = traces.map(Traces::collector).transpose()?;
    let mut filter = EnvFilter::try_new(&log.filter).with_context(|| format!("--log {}", log.filter))?;
    if shows_plugins {
        // What a plugin logs stands beside the call that it belongs to.
        filter = filter.add_directive("watchfire::plugin=off".parse()?);
    }
    let lines = tracing_subscriber::fmt::layer().with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines
            .with_writer(|| Records(std::io::stderr()))
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => lines.with_writer(std::io::stderr).json().flatten_event(true).boxed(),
    };
    let (spans, exporter) = collector.map(traces::export).unzip();
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
    Ok(exporter)
}
