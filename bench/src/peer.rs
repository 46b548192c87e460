//! How each engine is started for a measurement, in its best configuration for it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::mix;
use crate::process::{Server, free_address, ready};

/// A running engine and the processes that make it up.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) write_url: String,
    /// The process that takes samples and evaluates.
    pub(crate) server: Server,
    /// Whatever else must run.
    _others: Vec<Server>,
}

impl Peer {
    /// The sum of a counter over all its labels.
    pub(crate) async fn counter(&self, name: &str) -> Result<f64> {
        let text = reqwest::get(format!("{}/metrics", self.url)).await?.text().await?;
        let prefix = format!("{}_{name}", self.name);
        let values = text.lines().filter(|line| line.starts_with(&prefix)).filter_map(|line| line.rsplit_once(' '));
        Ok(values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum())
    }
}

/// How many evaluations of rules have been done and missed so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluated {
    pub(crate) done: f64,
    missed: f64,
}

impl Evaluated {
    /// Which share of what was due since then has been done.
    pub(crate) fn share_since(&self, before: &Evaluated) -> f64 {
        let (done, missed) = (self.done - before.done, self.missed - before.missed);
        done / (done + missed)
    }
}

impl Peer {
    /// Evaluations that were due at an interval. A missed one is that of a group, of which all have as many rules.
    pub(crate) async fn evaluated(&self) -> Result<Evaluated> {
        let (done, missed) = match self.name {
            "watchfire" => ("rule_evaluations_total{cause=\"interval\"", "engine_slots_missed_total"),
            _ => ("rule_evaluations_total", "rule_group_iterations_missed_total"),
        };
        let missed = self.counter(missed).await? * mix::RULES_PER_GROUP as f64;
        Ok(Evaluated { done: self.counter(done).await?, missed })
    }
}

const RULE: &str = "groups: [{name: probe, interval: 1s, rules: [{alert: Probe, expr: probe_value > 5}]}]\n";

/// What Prometheus needs to alert.
pub(crate) const PROGRAMS: [&str; 2] = ["prometheus", "prometheus-alertmanager"];

/// The engine itself, evaluating on arrival unless `settings` say otherwise: lines of its configuration.
pub(crate) async fn watchfire(
    binary: &str,
    folder: &Path,
    rules: &str,
    sink: SocketAddr,
    settings: &str,
) -> Result<Peer> {
    let address = free_address()?;
    std::fs::write(folder.join("rules.yml"), rules)?;
    let config = format!(
        "rules: {{paths: [rules.yml]}}\nroute: {{receiver: hook, group_by: [alertname, trial], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{sink}/'}}]}}]\n{settings}"
    );
    std::fs::write(folder.join("watchfire.yml"), config)?;
    let arguments = [
        "serve".to_owned(),
        format!("--config={}", folder.join("watchfire.yml").display()),
        format!("--data={}", folder.join("data").display()),
        format!("--listen={address}"),
    ];
    let server = Server::start(binary, &arguments, &folder.join("watchfire.log"))?;
    ready(&reqwest::Client::new(), &format!("http://{address}/-/ready")).await?;
    let url = format!("http://{address}");
    Ok(Peer { name: "watchfire", write_url: format!("{url}/api/v1/write"), url, server, _others: Vec::new() })
}

/// Prometheus with an evaluation interval of one second and Alertmanager without a group wait.
pub(crate) async fn prometheus(folder: &Path, rules: &str, sink: SocketAddr) -> Result<Peer> {
    let (address, alertmanager) = (free_address()?, free_address()?);
    std::fs::write(folder.join("rules.yml"), rules)?;
    let config = format!(
        "route: {{receiver: hook, group_by: [alertname, trial], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{sink}/'}}]}}]\n"
    );
    std::fs::write(folder.join("alertmanager.yml"), config)?;
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n"
    );
    std::fs::write(folder.join("prometheus.yml"), config)?;
    let arguments = [
        format!("--config.file={}", folder.join("alertmanager.yml").display()),
        format!("--storage.path={}", folder.join("am").display()),
        format!("--web.listen-address={alertmanager}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let other = Server::start("prometheus-alertmanager", &arguments, &folder.join("alertmanager.log"))?;
    let arguments = [
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("tsdb").display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
        "--web.enable-lifecycle".to_owned(),
    ];
    let server = Server::start("prometheus", &arguments, &folder.join("prometheus.log"))?;
    let client = reqwest::Client::new();
    ready(&client, &format!("http://{alertmanager}/-/ready")).await?;
    ready(&client, &format!("http://{address}/-/ready")).await?;
    let url = format!("http://{address}");
    let write_url = format!("{url}/api/v1/write");
    Ok(Peer { name: "prometheus", url, write_url, server, _others: vec![other] })
}

/// The rule of the detection measurement.
pub(crate) const fn probe_rule() -> &'static str {
    RULE
}
