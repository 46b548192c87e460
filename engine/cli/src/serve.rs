//! `watchfire serve`: the engine, its socket, its signals.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use watchfire::{StartError, Watchfire};
use watchfire_server::Settings;

use crate::args::Serve;

/// How long connections may take to finish after a SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(options: Serve) -> Result<ExitCode> {
    let mut builder = Watchfire::builder().config_file(&options.config);
    if let Some(data) = &options.data {
        builder = builder.data_dir(data);
    }
    let engine = match builder.start().await {
        Ok(engine) => engine,
        Err(StartError::Config { diagnostics, text }) => {
            for diagnostic in diagnostics.iter().filter(|diagnostic| diagnostic.is_error()) {
                eprintln!("{}\n", diagnostic.render(&text));
            }
            bail!("{} is not valid; `watchfire check {0}` shows everything", options.config.display());
        }
        Err(error) => return Err(error.into()),
    };
    let loaded = engine.definitions();
    let server = &loaded.config.server;
    let listen: SocketAddr = match options.listen {
        Some(listen) => listen,
        None => resolve(&server.listen).await?,
    };
    let credentials_required = !listen.ip().is_loopback() && !options.insecure;
    if credentials_required && server.auth.is_open() {
        bail!(
            "refusing to listen on {listen}: whoever reaches it could silence alerts.\n\
             Configure `server.auth` in {}, listen on 127.0.0.1, or say --insecure",
            options.config.display()
        );
    }
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let settings = Settings { credentials_required, ..Settings::default() };
    let router = watchfire_server::router(engine.clone(), settings);
    let address = listener.local_addr()?;
    tracing::info!(%address, "Listening on");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut draining = stopped.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        // A sender that is gone ends the server as well.
        drop(draining.wait_for(|stop| *stop).await);
    });
    let serving = tokio::spawn(async move { serving.await });
    wait_for_signals(&engine, &options.config).await?;
    tracing::info!("stopping: no more input, finishing what is under way");
    let _ended = stop.send(true);
    match tokio::time::timeout(DRAIN, serving).await {
        Ok(joined) => joined??,
        Err(_) => tracing::warn!("some connections were still open"),
    }
    engine.shutdown().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn resolve(listen: &str) -> Result<SocketAddr> {
    let listen = if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
    let mut addresses =
        tokio::net::lookup_host(&listen).await.with_context(|| format!("server.listen: {listen:?} is no address"))?;
    addresses.next().with_context(|| format!("server.listen: {listen:?} has no address"))
}

/// Reloads on SIGHUP; returns on SIGTERM or SIGINT.
async fn wait_for_signals(engine: &Watchfire, config: &Path) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = hangup.recv() => match engine.reload().await {
                Ok(report) => tracing::info!(%report, "reloaded after SIGHUP"),
                Err(error) => tracing::error!(config = %config.display(), %error, "not reloaded"),
            },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}
