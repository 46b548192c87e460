//! `watchfire notify`: what a receiver would get, without an engine that runs and without telling anybody.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::configuration::configuration;
use crate::output::say;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use watchfire::alerting::Integration;
use watchfire::delivery::{Deliverer, Request, Settings};
use watchfire::{Clock, SystemClock, deliveries_of, load_templates, open_plugins, read};
use watchfire_ingest::Limits;

#[derive(Debug, Args)]
pub(crate) struct Notify {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    /// Print the requests that a receiver would be sent, without secrets; nothing is sent
    Preview(Preview),
}

#[derive(Debug, Args)]
struct Preview {
    /// The receiver
    #[arg(value_name = "RECEIVER")]
    receiver: String,

    /// Alerts as JSON, in the form of Alertmanager's `POST /api/v2/alerts` [default: a test alert]
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,

    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "watchfire.yml", env = "WATCHFIRE_CONFIG")]
    config: PathBuf,

    /// Where the plugins are that make messages
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

pub(crate) fn run(options: &Notify) -> Result<ExitCode> {
    match &options.command {
        NotifyCommand::Preview(options) => preview(options),
    }
}

fn preview(options: &Preview) -> Result<ExitCode> {
    let config = configuration(&options.config)?;
    let now = SystemClock.now();
    let alerts = match &options.alerts {
        None => Vec::new(),
        Some(path) => {
            let text = read(path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
            let decoded = watchfire_ingest::alerts::decode(
                text.as_bytes(),
                now,
                config.dispatch.resolve_timeout,
                &Limits::STANDARD,
            );
            let decoded = decoded.map_err(|error| anyhow!("{}: {}", path.display(), error.message))?;
            if let Some(error) = decoded.error_answer() {
                bail!("{}: {}", path.display(), error.message);
            }
            decoded.alerts
        }
    };
    let receiver = config.dispatch.receivers.iter().find(|receiver| *receiver.name == *options.receiver);
    let receiver = receiver.with_context(|| {
        let names: Vec<&str> = config.dispatch.receivers.iter().map(|receiver| &*receiver.name).collect();
        format!("there is no receiver {:?}; there are: {}", options.receiver, names.join(", "))
    })?;
    let loaded = load_templates(&config, Path::new(""));
    for diagnostic in &loaded.diagnostics {
        eprintln!("{diagnostic}");
    }
    let provider = open_plugins(options.plugins.as_deref()).map_err(|error| anyhow!(error))?;
    let settings =
        Settings { external_url: config.server.external_url.clone().unwrap_or_default(), ..Settings::default() };
    let deliverer = Deliverer::new(settings, &config.receivers, loaded.templates, provider);
    let integrations = Integration::identify(&[], &[], &receiver.integrations);
    let mut failed = false;
    for delivery in deliveries_of(&options.receiver, integrations, &alerts, now) {
        say!("# {} {}", options.receiver, delivery.integration);
        match deliverer.preview(&delivery) {
            Ok(requests) => requests.iter().for_each(show),
            Err(error) => {
                say!("error: {error}\n");
                failed = true;
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(request: &Request) {
    say!("{} {}", request.method.as_str(), request.url);
    for (name, value) in &request.headers {
        say!("{name}: {value}");
    }
    let body = String::from_utf8_lossy(&request.body);
    let indented = serde_json::from_str::<serde_json::Value>(&body).map(|json| format!("{json:#}"));
    say!("\n{}", indented.unwrap_or_else(|_| body.into_owned()));
    for note in &request.notes {
        say!("note: {note}");
    }
    say!();
}
