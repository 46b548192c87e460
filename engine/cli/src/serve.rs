//! `watchfire serve`: the engine, its socket, its signals.

use std::io::ErrorKind::AddrInUse;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, oneshot};
use tokio::task::{JoinHandle, JoinSet};
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
                config.server.listen = vec![listen.to_string()];
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
    let server = &prepared.config().server;
    let listen = resolve(&server.listen).await?;
    let beyond = listen.iter().find(|address| !address.ip().is_loopback());
    let credentials_required = beyond.is_some() && !launch.insecure;
    if let Some(address) = beyond.filter(|_| server.auth.is_open()) {
        if credentials_required {
            bail!(
                "refusing to listen on {address}: whoever reaches it could silence alerts.\n\
                 Configure `server.auth` in {}, listen on 127.0.0.1, or say --insecure",
                launch.config.display()
            );
        }
        tracing::warn!(listen = %address, "whoever reaches this address may silence alerts: no server.auth is configured");
    }
    // The addresses are taken before anything is touched: two engines on one data folder would be worse than one error.
    let listeners = bind(&listen).await?;
    let (started, _) = broadcast::channel::<()>(1);
    let answering = listeners.into_iter().map(|listener| {
        let (prefix, mut starting) = (server.route_prefix.clone(), started.subscribe());
        tokio::spawn(async move {
            watchfire_server::answer_while_starting(listener, &prefix, async { drop(starting.recv().await) }).await
        })
    });
    let answering: Vec<JoinHandle<TcpListener>> = answering.collect();
    let engine = prepared.start().await.map_err(|error| refused(error, &launch.config))?;
    let (end_of_traces, ended) = oneshot::channel();
    let traces = traces.map(|exporter| tokio::spawn(exporter.run(engine.clone(), ended)));
    drop(started);
    let settings = Settings { credentials_required, ..Settings::default() };
    let router = watchfire_server::router(engine.clone(), settings);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut serving = JoinSet::new();
    for listener in answering {
        let listener = listener.await?;
        let address = listener.local_addr()?;
        let (engine, router, mut draining) = (engine.clone(), router.clone(), stopped.clone());
        // A sender that is gone ends the server as well.
        let stop = async move { drop(draining.wait_for(|stop| *stop).await) };
        serving.spawn(async move { watchfire_server::serve(listener, &engine, router, stop).await });
        tracing::info!(target: LISTENING, %address, "Listening on");
    }
    wait_for_signals(&engine, &launch.config).await?;
    tracing::info!("stopping: no more input, finishing what is under way");
    let _ended = stop.send(true);
    let drained = async {
        while let Some(served) = serving.join_next().await {
            served?;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(DRAIN, drained).await {
        Ok(drained) => drained?,
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

async fn resolve(listen: &[String]) -> Result<Vec<SocketAddr>> {
    let mut resolved = Vec::new();
    for listen in listen {
        let listen = if listen.starts_with(':') { format!("[::]{listen}") } else { listen.clone() };
        let mut addresses = tokio::net::lookup_host(&listen)
            .await
            .with_context(|| format!("server.listen: {listen:?} is no address"))?;
        resolved.push(addresses.next().with_context(|| format!("server.listen: {listen:?} has no address"))?);
    }
    Ok(resolved)
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = match TcpListener::bind(address).await {
            // All addresses are those of IPv4 where the machine has no others.
            Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            bound => bound,
        };
        listeners.push(bound.with_context(|| {
            format!("cannot listen on {address}; name another address in `server.listen` or on the command line")
        })?);
    }
    Ok(listeners)
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
