//! `sources`: Prometheus-compatible servers that are asked by query.

use std::collections::BTreeMap;

use watchfire_model::Duration;

use crate::decode::Fields;
use crate::http::{self, HttpConfig};
use crate::url;

/// The longest `timeout`: after five minutes the state machine takes an evaluation for lost.
const TIMEOUT_MAX: Duration = Duration::from_mins(4);

/// A server that speaks Prometheus' query API.
#[derive(Clone, Debug, PartialEq)]
pub struct PrometheusConfig {
    /// The address without `/api/v1` and without a slash at the end.
    pub url: String,
    /// How long an evaluation may wait for all its answers.
    pub timeout: Duration,
    /// Parameters that go with each query.
    pub params: BTreeMap<String, String>,
    /// Queries at one time; further ones wait, within their timeout.
    pub queries_max: u64,
    /// The largest answer in bytes.
    pub answer_bytes_max: u64,
    /// How requests are made.
    pub http: HttpConfig,
}

impl PrometheusConfig {
    /// A server of which only the address is known.
    pub fn at(url: &str) -> PrometheusConfig {
        PrometheusConfig {
            url: url.trim_end_matches('/').to_owned(),
            timeout: Duration::from_secs(30),
            params: BTreeMap::new(),
            queries_max: 8,
            answer_bytes_max: 64 << 20,
            http: HttpConfig::default(),
        }
    }
}

/// Why an address cannot be that of a server, with the remedy.
pub(crate) fn wrong_address(text: &str) -> Option<(&'static str, &'static str)> {
    if let Err(reason) = url::check(text) {
        return Some((reason, "write it like https://prometheus.example.org, with the path prefix if there is one"));
    }
    let authority = text.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if authority.contains('@') {
        let help = "give `basic_auth` to an entry of `sources` in watchfire.yml: addresses are shown and logged";
        return Some(("it contains a user or password", help));
    }
    text.contains(['?', '#']).then_some((
        "it contains a query or a fragment",
        "parameters stand in `params` of an entry of `sources` in watchfire.yml",
    ))
}

pub(crate) fn sources(f: &mut Fields<'_, '_>) -> BTreeMap<String, PrometheusConfig> {
    let entries = f.read("sources", |decoder, node| {
        Some(decoder.entries(node, "sources", |decoder, entry| {
            if entry.key.contains("://") {
                decoder
                    .error(entry.key_start, "bad-name", "a source has an address as its name")
                    .help("give it a name; rule groups write `source: {prometheus: NAME}`");
            }
            decoder.mapping(&entry.value, "a source", source)
        }))
    });
    entries.unwrap_or_default().into_iter().collect()
}

fn source(f: &mut Fields<'_, '_>) -> PrometheusConfig {
    let url = f.required("url", "give the address of the server, without /api/v1").unwrap_or_default();
    if let Some((reason, help)) = wrong_address(&url).filter(|_| !url.is_empty()) {
        f.error("url", "bad-url", format!("url is not the address of a server: {reason}")).help(help);
    }
    let defaults = PrometheusConfig::at(&url);
    let timeout = f.positive_duration("timeout").unwrap_or(defaults.timeout);
    if timeout > TIMEOUT_MAX {
        f.error("timeout", "bad-value", format!("timeout is longer than {TIMEOUT_MAX}"))
            .help("an evaluation without an answer counts as lost soon after that");
    }
    PrometheusConfig {
        timeout,
        params: f.text_map("params"),
        queries_max: crate::sections::at_least_one(f, "queries_max", defaults.queries_max),
        answer_bytes_max: f.bytes("answer_bytes_max").unwrap_or(defaults.answer_bytes_max),
        http: http::read(f),
        ..defaults
    }
}
