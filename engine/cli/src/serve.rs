//! `watchfire serve`: the engine, its socket, its signals.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use watchfire::config::Config;
use watchfire::{StartError, Watchfire};
use watchfire_server::Settings;

use crate::args::Serve;
use crate::traces::Exporter;

/// How long connections may take to finish after a SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

/// The target of the line that says where the engine listens.
pub(crate) const LISTENING: &str = "watchfire::listening";

/// What a command line says about an engine that is to run.
pub(crate) struct Launch {
    /// The configuration.
    pub(crate) config: PathBuf,
    /// Where state is kept, if not where the configuration says.
    pub(crate) data: Option<PathBuf>,
    /// Whether it may listen beyond this machine although everybody may come in.
    pub(crate) insecure: bool,
    /// What is said over the configuration.
    pub(crate) amend: Box<dyn Fn(&mut Config) + Send + Sync>,
}

impl From<Serve> for Launch {
    fn from(options: Serve) -> Launch {
        // Where traces go was taken before, with the log.
        let Serve { config, listen, data, insecure, traces: _ } = options;
        let amend = move |config: &mut Config| {
            if let Some(listen) = listen {
                config.server.listen = listen.to_string();
            }
        };
        Launch { config, data, insecure, amend: Box::new(amend) }
    }
}

pub(crate) async fn run(launch: Launch, traces: Option<Exporter>) -> Result<ExitCode> {
    let mut builder = Watchfire::builder().config_file(&launch.config).amend(launch.amend);
    if let Some(data) = &launch.data {
        builder = builder.data_dir(data);
    }
    let prepared = builder.prepare().map_err(|error| refused(error, &launch.config))?;
    // The address is taken before anything is touched: two engines on one data folder would be worse than one error.
    let server = &prepared.config().server;
    let listen = resolve(&server.listen).await?;
    let beyond = !listen.ip().is_loopback();
    let credentials_required = beyond && !launch.insecure;
    if credentials_required && server.auth.is_open() {
        bail!(
            "refusing to listen on {listen}: whoever reaches it could silence alerts.\n\
             Configure `server.auth` in {}, listen on 127.0.0.1, or say --insecure",
            launch.config.display()
        );
    }
    if beyond && server.auth.is_open() {
        tracing::warn!(%listen, "whoever reaches this address may silence alerts: no server.auth is configured");
    }
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}; name another address in `server.listen` or on the command line")
    })?;
    let prefix = server.route_prefix.clone();
    let (started, starting) = oneshot::channel::<()>();
    let answering = tokio::spawn(async move {
        watchfire_server::answer_while_starting(listener, &prefix, async { drop(starting.await) }).await
    });
    let engine = prepared.start().await.map_err(|error| refused(error, &launch.config))?;
    let (end_of_traces, ended) = oneshot::channel();
    let traces = traces.map(|exporter| tokio::spawn(exporter.run(engine.clone(), ended)));
    drop(started);
    let listener = answering.await?;
    let settings = Settings { credentials_required, ..Settings::default() };
    let router = watchfire_server::router(engine.clone(), settings);
    let address = listener.local_addr()?;
    tracing::info!(target: LISTENING, %address, "Listening on");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut draining = stopped.clone();
    let serving = tokio::spawn({
        let engine = engine.clone();
        // A sender that is gone ends the server as well.
        let stop = async move { drop(draining.wait_for(|stop| *stop).await) };
        async move { watchfire_server::serve(listener, &engine, router, stop).await }
    });
    wait_for_signals(&engine, &launch.config).await?;
    tracing::info!("stopping: no more input, finishing what is under way");
    let _ended = stop.send(true);
    match tokio::time::timeout(DRAIN, serving).await {
        Ok(joined) => joined?,
        Err(_) => tracing::warn!("some connections were still open"),
    }
    engine.shutdown().await;
    drop(end_of_traces);
    if let Some(traces) = traces {
        traces.await?;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Why the engine does not start; what is wrong in the configuration is shown with its places.
fn refused(error: StartError, config: &Path) -> anyhow::Error {
    let StartError::Config { diagnostics, text } = error else { return error.into() };
    for diagnostic in diagnostics.iter().filter(|diagnostic| diagnostic.is_error()) {
        eprintln!("{}\n", diagnostic.render(&text));
    }
    anyhow!("{} is not valid; `watchfire check {0}` shows everything", config.display())
}

async fn resolve(listen: &str) -> Result<SocketAddr> {
    let listen = if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
    let mut addresses =
        tokio::net::lookup_host(&listen).await.with_context(|| format!("server.listen: {listen:?} is no address"))?;
    addresses.next().with_context(|| format!("server.listen: {listen:?} has no address"))
}

/// Reloads on SIGHUP; returns on SIGTERM or SIGINT. An engine that stops by itself is an error, so that whoever
/// supervises the process starts it again.
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
            () = engine.stopped() => bail!("the engine has stopped because of a defect, which the log tells; please report it"),
        }
    }
}
