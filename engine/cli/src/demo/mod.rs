//! `watchfire demo`: an engine on this machine's own metrics, and an inbox that shows what it delivers.

mod breaker;
mod inbox;
mod pages;
mod sensors;
mod slack;
mod smtp;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Extension;
use tokio::net::TcpListener;
use tokio::sync::watch;
use watchfire::model::Timestamp;
use watchfire::{Clock, SystemClock, Watchfire};
use watchfire_server::Stopping;

use crate::args;
use crate::output::say;
use breaker::Breaker;
use inbox::Inbox;
use sensors::Sensors;

/// How often the machine is read.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Runs until it is interrupted.
pub(crate) async fn run(options: args::Demo) -> Result<()> {
    let data = match &options.data {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("watchfire-demo-{}", std::process::id())),
    };
    // Of its own, so that the sensors see what the button writes and nothing else.
    let watched = data.join("watched");
    std::fs::create_dir_all(&watched).with_context(|| format!("cannot create {}", watched.display()))?;

    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --listen 127.0.0.1:0", options.listen)
    })?;
    let address = listener.local_addr()?;
    step("inbox for mail");
    let inbox = Arc::new(Inbox::new(now));
    let mail = smtp::start(Arc::clone(&inbox)).await.context("cannot open the inbox for mail")?;
    step("engine");
    let config = write_files(&data, address, mail, options.plugins.as_deref())?;
    let engine = Watchfire::builder().config_file(config).data_dir(data.join("state")).start().await?;
    step("plugins");
    engine.plugins_compiled().await;

    step("sensors");
    let sensors = Sensors::new(&watched).context("this machine cannot be read")?;
    tokio::spawn(feed(engine.clone(), sensors));
    let settings = watchfire_server::Settings {
        more_pages: vec![("/demo".to_owned(), "Demo".to_owned())],
        ..watchfire_server::Settings::default()
    };
    let demo = pages::Demo {
        engine: engine.clone(),
        inbox,
        breaker: Arc::new(Breaker::new(&watched)),
        address,
        attempts: Arc::default(),
    };
    let (stop, stopped) = watch::channel(false);
    let router = watchfire_server::router(engine.clone(), settings).merge(pages::router(demo));
    let router = router.layer(Extension(Stopping::new(stopped)));
    say!("\n  Watchfire is watching this machine. Open\n\n      \x1b[1mhttp://{address}/demo\x1b[0m\n");
    say!("  and press a button to break something. Ctrl-C ends it.\n");
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let end = async move {
        interrupted().await;
        stop.send_replace(true);
    };
    axum::serve(listener, service).with_graceful_shutdown(end).await?;
    engine.shutdown().await;
    if options.data.is_none() {
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    Ok(())
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn step(what: &str) {
    say!("  starting the {what}");
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "cannot wait for Ctrl-C; end the demo with kill");
        std::future::pending::<()>().await;
    }
}

/// Reads the machine every second and pushes what it finds.
async fn feed(engine: Watchfire, mut sensors: Sensors) {
    let mut ticks = tokio::time::interval(READ_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now = engine.now();
        let read = tokio::task::spawn_blocking(move || {
            let reading = sensors.read(now);
            (sensors, reading)
        });
        let Ok((returned, reading)) = read.await else {
            tracing::error!("the sensors failed; no more samples come");
            return;
        };
        sensors = returned;
        if let Err(error) = engine.push_samples(reading.series).await {
            tracing::warn!(%error, "samples were not taken");
        }
        if !reading.events.is_empty()
            && let Err(error) = engine.push_events(reading.events).await
        {
            tracing::warn!(%error, "events were not taken");
        }
    }
}

/// Writes the demo's configuration and rules, as a user would, and answers the path of the configuration.
fn write_files(data: &Path, address: SocketAddr, mail: SocketAddr, plugins: Option<&Path>) -> Result<PathBuf> {
    let rules = data.join("rules");
    std::fs::create_dir_all(&rules)?;
    std::fs::write(rules.join("machine.yml"), include_str!("rules.yml"))?;
    let mut config = include_str!("watchfire.yml").replace("ADDRESS", &address.to_string());
    config = config.replace("MAIL_HOST", &mail.ip().to_string()).replace("MAIL_PORT", &mail.port().to_string());
    match plugins {
        Some(plugins) => {
            std::fs::write(rules.join("anomalies.yml"), include_str!("plugin-rules.yml"))?;
            let plugins = std::path::absolute(plugins)?;
            config = config.replace("# PLUGINS", &format!("plugins: {{dir: {:?}}}", plugins.display().to_string()));
            config = config.replace("# FORMATTER", "formatter: {plugin: slack-card, config: {}}");
        }
        None => say!("  without plugins: the rules, routes and messages that need them are left out"),
    }
    let path = data.join("watchfire.yml");
    std::fs::write(&path, config)?;
    Ok(path)
}
