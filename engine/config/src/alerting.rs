//! `alerting`: Alertmanagers beside the engine, as in Prometheus' configuration.

use watchfire_model::Duration;

use crate::decode::{Decoder, Fields};
use crate::http::{self, HttpConfig};
use crate::url;

/// `alerting`: who is told of the alerts of rules beside the receivers, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingConfig {
    /// Everyone who is told.
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// After what time an alert is sent again.
    pub resend_delay: Duration,
    /// How long after a start receivers are told of a new alert group at the earliest.
    pub start_delay: Duration,
}

/// One Alertmanager.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertmanagerConfig {
    /// The address that takes alerts: `scheme://host:port/prefix/api/v2/alerts`.
    pub url: String,
    /// How long a request may take.
    pub timeout: Duration,
    /// How requests are made.
    pub http: HttpConfig,
}

impl Default for AlertingConfig {
    fn default() -> AlertingConfig {
        AlertingConfig { alertmanagers: Vec::new(), resend_delay: Duration::from_mins(1), start_delay: Duration::ZERO }
    }
}

pub(crate) fn alerting(f: &mut Fields<'_, '_>) -> AlertingConfig {
    let defaults = AlertingConfig::default();
    let resend_delay = f.positive_duration("resend_delay").unwrap_or(defaults.resend_delay);
    let start_delay = f.duration("start_delay").unwrap_or(defaults.start_delay);
    let sets = f.list("alertmanagers", |decoder, node| decoder.mapping(node, "Alertmanagers", alertmanagers));
    AlertingConfig { alertmanagers: sets.into_iter().flatten().collect(), resend_delay, start_delay }
}

fn alertmanagers(f: &mut Fields<'_, '_>) -> Vec<AlertmanagerConfig> {
    let scheme = f.word("scheme", &["http", "https"]).unwrap_or("http");
    let prefix = f.text_or("path_prefix", "");
    let prefix = prefix.trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let timeout = f.positive_duration("timeout").unwrap_or(Duration::from_secs(10));
    f.word("api_version", &["v2"]);
    let http = http::read(f);
    let targets = f.list("static_configs", |decoder, node| decoder.mapping(node, "a static_config", targets));
    let url = |target: String| format!("{scheme}://{target}{prefix}/api/v2/alerts");
    targets
        .into_iter()
        .flatten()
        .map(|target| AlertmanagerConfig { url: url(target), timeout, http: http.clone() })
        .collect()
}

fn targets(f: &mut Fields<'_, '_>) -> Vec<String> {
    f.list("targets", |decoder: &mut Decoder<'_>, node| {
        let target = decoder.text(node, "the address of an Alertmanager")?;
        if decoder.is_recording() {
            return None;
        }
        if target.contains('/') || url::check(&format!("http://{target}")).is_err() {
            decoder
                .error(node.start, "bad-address", "this is not the address of an Alertmanager")
                .help("write it as host:port; `scheme` and `path_prefix` have keys of their own");
            return None;
        }
        Some(target)
    })
}
