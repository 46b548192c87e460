//! `watchfire alertmanager`: the engine under Alertmanager's command line, to take its place in a unit file or an image.
//!
//! What a flag says stands over the configuration, at the start and at each reload.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use watchfire::config::{Config, ServerConfig};
use watchfire_model::Duration;

use crate::args::{Log, LogFormat, Traces};
use crate::serve::Launch;

pub(crate) const HELP: &str = "\
The flags are Alertmanager's, and so is the default address, :9093. A copy of this binary, or a link to it, that is
called `alertmanager` takes these flags without the word before them:
  ln -s watchfire alertmanager && ./alertmanager --config.file=alertmanager.yml

Flags about gossip and the upkeep of files, and --web.systemd-socket, have no effect here; they are accepted and named in
the log.
Several engines make one by sharing a PostgreSQL database: storage.url in the configuration.";

#[derive(Debug, Args)]
pub(crate) struct Alertmanager {
    /// The configuration
    #[arg(long = "config.file", value_name = "FILE", default_value = "alertmanager.yml")]
    config_file: PathBuf,

    /// Where state is kept
    #[arg(long = "storage.path", value_name = "DIR", default_value = "data")]
    storage_path: PathBuf,

    /// How long history is kept
    #[arg(long = "data.retention", value_name = "DURATION")]
    retention: Option<Duration>,

    /// The most silences, expired ones included; 0 leaves it to the configuration
    #[arg(long = "silences.max-silences", value_name = "COUNT")]
    silences_max: Option<i64>,

    /// The most bytes of one silence; 0 leaves it to the configuration
    #[arg(long = "silences.max-silence-size-bytes", value_name = "BYTES")]
    silence_bytes_max: Option<i64>,

    /// The most alerts of one name that fire; 0 leaves it to the configuration
    #[arg(long = "alerts.per-alertname-limit", value_name = "COUNT")]
    alerts_per_name_max: Option<i64>,

    /// How long after the start receivers are told of a new alert group at the earliest
    #[arg(long = "dispatch.start-delay", value_name = "DURATION")]
    start_delay: Option<Duration>,

    /// The address to listen on; several by saying it again
    #[arg(long = "web.listen-address", value_name = "ADDR", default_value = ":9093")]
    listen: Vec<String>,

    /// Where readers of messages reach this engine
    #[arg(long = "web.external-url", value_name = "URL")]
    external_url: Option<String>,

    /// What stands before every path [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    route_prefix: Option<String>,

    /// The origin whose pages may read; several, or a pattern, stand in `server.cors_origins` of the configuration
    #[arg(long = "web.cors.origin", value_name = "ORIGIN")]
    cors_origin: Option<String>,

    /// How long a request may take; 0 leaves it to the configuration
    #[arg(long = "web.timeout", value_name = "DURATION")]
    timeout: Option<Duration>,

    /// Requests at one time; 0 leaves it to the configuration
    #[arg(long = "web.get-concurrency", value_name = "COUNT")]
    requests_max: Option<i64>,

    /// Not supported: what it says about users stands in `server.auth` of the configuration, TLS is for a proxy
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config: Option<PathBuf>,

    /// `classic-mode` allows letters, digits and _ alone in label names; the others have no effect
    #[arg(long = "enable-feature", value_name = "NAME,...", value_delimiter = ',')]
    features: Vec<String>,

    /// How much is logged
    #[arg(long = "log.level", value_enum, default_value_t = Level::Info)]
    level: Level,

    /// Form of the log on standard error
    #[arg(long = "log.format", value_enum, default_value_t = Format::Logfmt)]
    format: Format,

    #[command(flatten)]
    pub(crate) traces: Traces,

    #[command(flatten)]
    without_effect: WithoutEffect,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Logfmt,
    Json,
}

/// Flags that are taken so that a command line need not be changed.
#[derive(Debug)]
struct WithoutEffect {
    /// Those that were given.
    given: Vec<&'static str>,
}

impl WithoutEffect {
    /// Each with a value.
    const VALUES: [&str; 22] = [
        "alerts.gc-interval",
        "auto-gomemlimit.ratio",
        "cluster.advertise-address",
        "cluster.gossip-interval",
        "cluster.label",
        "cluster.listen-address",
        "cluster.peer",
        "cluster.peer-name",
        "cluster.peer-timeout",
        "cluster.peers-resolve-timeout",
        "cluster.probe-interval",
        "cluster.probe-timeout",
        "cluster.pushpull-interval",
        "cluster.reconnect-interval",
        "cluster.reconnect-timeout",
        "cluster.settle-timeout",
        "cluster.tcp-timeout",
        "cluster.tls-config",
        "data.maintenance-interval",
        "dispatch.maintenance-interval",
        "web.systemd-socket-name",
        "web.telemetry-path",
    ];
    /// Each without a value.
    const SWITCHES: [&str; 6] = [
        "cluster.allow-insecure-public-advertise-address-discovery",
        "log.silences",
        "no-cluster.allow-insecure-public-advertise-address-discovery",
        "no-log.silences",
        "no-web.systemd-socket",
        "web.systemd-socket",
    ];
}

impl Args for WithoutEffect {
    fn augment_args(command: Command) -> Command {
        let values = Self::VALUES.map(|name| Arg::new(name).long(name).hide(true).action(ArgAction::Append));
        let switches = Self::SWITCHES.map(|name| Arg::new(name).long(name).hide(true).action(ArgAction::SetTrue));
        command.args(values).args(switches)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for WithoutEffect {
    fn from_arg_matches(matches: &ArgMatches) -> Result<WithoutEffect, clap::Error> {
        let values = Self::VALUES.into_iter().filter(|name| matches.contains_id(name));
        let switches = Self::SWITCHES.into_iter().filter(|name| matches.get_flag(name));
        Ok(WithoutEffect { given: values.chain(switches).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Alertmanager {
    /// What is logged, and in which form.
    pub(crate) fn log(&self) -> Log {
        let level = match self.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let format = match self.format {
            Format::Logfmt => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        // Where it listens is said whatever the level is: scripts wait for it.
        Log { filter: format!("{level},{}=info", crate::serve::LISTENING), format }
    }

    /// The same in this engine's own terms.
    ///
    /// # Errors
    /// If a value cannot be used.
    pub(crate) fn launch(self) -> anyhow::Result<Launch> {
        // To listen without the TLS and the passwords that somebody asked for would be worse than not to start.
        if let Some(file) = self.web_config {
            bail!(
                "--web.config.file={} is not supported: name users and tokens in `server.auth` of the configuration,\n\
                 and put a proxy in front for TLS",
                file.display()
            );
        }
        let cors_origin = self.cors_origin.as_deref().and_then(origin);
        if let (Some(pattern), None) = (&self.cors_origin, &cors_origin) {
            tracing::warn!("--web.cors.origin={pattern} has no effect here: list the origins in `server.cors_origins`");
        }
        for flag in &self.without_effect.given {
            tracing::warn!("--{flag} has no effect here");
        }
        let of_url = || {
            let url = self.external_url.as_deref()?;
            let (_, rest) = url.split_once("://")?;
            Some(rest.split_once('/').map_or("", |(_, path)| path).to_owned())
        };
        let prefix = self.route_prefix.clone().or_else(of_url).unwrap_or_default();
        let prefix = ServerConfig::clean_route_prefix(&prefix)
            .map_err(|reason| anyhow!("--web.route-prefix {prefix:?} {reason}"))?;
        let external_url = self.external_url.map(|url| url.trim_end_matches('/').to_owned());
        let classic = self.features.iter().any(|feature| feature == "classic-mode");
        let positive =
            |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0);
        let (silences_max, requests_max) = (positive(self.silences_max), positive(self.requests_max));
        let (silence_bytes_max, alerts_per_name_max) =
            (positive(self.silence_bytes_max), positive(self.alerts_per_name_max));
        let timeout = self.timeout.filter(|timeout| *timeout > Duration::ZERO);
        let (listen, retention, start_delay) = (self.listen, self.retention, self.start_delay);
        let amend = move |config: &mut Config| {
            let server = &mut config.server;
            server.listen.clone_from(&listen);
            server.route_prefix.clone_from(&prefix);
            server.external_url = external_url.clone().or_else(|| server.external_url.take());
            server.cors_origins.extend(cors_origin.clone());
            server.limits.request_timeout = timeout.unwrap_or(server.limits.request_timeout);
            server.limits.requests_max = requests_max.unwrap_or(server.limits.requests_max);
            config.limits.silences_max = silences_max.unwrap_or(config.limits.silences_max);
            config.limits.silence_bytes_max = silence_bytes_max.unwrap_or(config.limits.silence_bytes_max);
            config.limits.alerts_per_name_max = alerts_per_name_max.or(config.limits.alerts_per_name_max);
            config.storage.history = retention.unwrap_or(config.storage.history);
            config.alerting.start_delay = start_delay.unwrap_or(config.alerting.start_delay);
            config.ingest.legacy_names |= classic;
        };
        // Alertmanager listens on all addresses and asks nobody who they are; who replaces it must not be locked out.
        Ok(Launch { config: self.config_file, data: Some(self.storage_path), insecure: true, amend: Box::new(amend) })
    }
}

/// The one origin that a pattern of `--web.cors.origin` means, if it is one.
fn origin(pattern: &str) -> Option<String> {
    let text = pattern.trim_start_matches('^').trim_end_matches('$').replace(r"\.", ".");
    (!text.contains(['*', '+', '?', '(', '[', '{', '|', '\\', '^', '$'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_choices_is_an_origin() {
        for (pattern, expected) in [
            (r"https://grafana\.example\.org:3000", Some("https://grafana.example.org:3000")),
            ("^https://grafana.example.org$", Some("https://grafana.example.org")),
            (r"https://.*\.example\.org", None),
            ("https://(a|b).example", None),
        ] {
            assert_eq!(origin(pattern).as_deref(), expected, "{pattern}");
        }
    }
}
