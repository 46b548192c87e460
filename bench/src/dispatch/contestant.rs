//! The engine or Alertmanager, under the same configuration.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::process::{Server, Service, free_address};

/// Alerts per request, as many as Prometheus sends at most is 64 and a busy sender gathers.
const PER_REQUEST: usize = 100;

/// Requests at a time.
const SENDERS: usize = 4;

/// What can be started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    program: String,
    /// The options for configuration, data and address.
    options: fn(&str, &str, SocketAddr) -> Vec<String>,
}

/// One that runs.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) service: Service,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Program {
    pub(crate) fn watchfire(binary: &str) -> Program {
        let options = |config: &str, data: &str, address| {
            let options = [format!("--config={config}"), format!("--data={data}"), format!("--listen={address}")];
            std::iter::once("serve".to_owned()).chain(options).collect()
        };
        Program { name: "watchfire", program: binary.to_owned(), options }
    }

    pub(crate) fn alertmanager() -> Program {
        let options = |config: &str, data: &str, address| {
            vec![
                format!("--config.file={config}"),
                format!("--storage.path={data}"),
                format!("--web.listen-address={address}"),
                "--cluster.listen-address=".to_owned(),
            ]
        };
        Program { name: "alertmanager", program: "prometheus-alertmanager".to_owned(), options }
    }

    /// Starts it with a configuration that both understand.
    pub(crate) async fn start(&self, config: &str) -> Result<Contestant> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("alertmanager.yml"), config)?;
        let address = free_address()?;
        let arguments = (self.options)(&path("alertmanager.yml"), &path("data"), address);
        let mut service = Service::new(&self.program, &arguments, path("log").into(), address);
        service.start().await?;
        Ok(Contestant { name: self.name, service, client: reqwest::Client::new(), _folder: folder })
    }
}

impl Contestant {
    pub(crate) fn server(&self) -> Result<&Server> {
        self.service.server()
    }

    /// Sends alerts in requests of a hundred and waits until all are accepted.
    pub(crate) async fn post(&self, alerts: Vec<Value>) -> Result<()> {
        let mut bodies = Vec::new();
        for part in alerts.chunks(PER_REQUEST) {
            bodies.push(serde_json::to_vec(part)?);
        }
        let bodies = std::sync::Arc::new(bodies);
        let mut senders = JoinSet::new();
        for first in 0..SENDERS {
            let (client, url) = (self.client.clone(), format!("{}/api/v2/alerts", self.service.url));
            let bodies = std::sync::Arc::clone(&bodies);
            senders.spawn(async move {
                for body in bodies.iter().skip(first).step_by(SENDERS) {
                    let request = client.post(&url).header("content-type", "application/json").body(body.clone());
                    let answer = request.send().await?;
                    let status = answer.status();
                    ensure!(status.is_success(), "{url}: {status}: {}", answer.text().await?);
                }
                Ok(())
            });
        }
        while let Some(done) = senders.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Makes a silence for the alerts with a label and gives its id.
    pub(crate) async fn silence(&self, name: &str, value: &str) -> Result<String> {
        let body = json!({
            "matchers": [{"name": name, "value": value, "isRegex": false, "isEqual": true}],
            "startsAt": time(Duration::ZERO)?, "endsAt": time(Duration::from_hours(10))?,
            "createdBy": "bench", "comment": "bench",
        });
        let request = self.client.post(format!("{}/api/v2/silences", self.service.url));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer: Value = serde_json::from_str(&request.send().await?.error_for_status()?.text().await?)?;
        Ok(answer["silenceID"].as_str().unwrap_or_default().to_owned())
    }

    /// GETs a path and gives the status and how many bytes came.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, usize)> {
        let answer = self.client.get(format!("{}{path}", self.service.url)).send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.len()))
    }
}

/// Waits until none has anything to do any more: less than a hundredth of a core over two seconds, after the five seconds
/// that histories wait to be written.
pub(crate) async fn settled(contestants: &[Contestant]) -> Result<()> {
    let used = || contestants.iter().map(|one| one.server()?.cpu_seconds()).collect::<Result<Vec<f64>>>();
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..60 {
        let before = used()?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        if used()?.iter().zip(before).all(|(now, before)| now - before <= 0.02) {
            break;
        }
    }
    Ok(())
}

/// An alert that fires for the next hours: the labels that production alerts have, and some of its own.
pub(crate) fn alert(own: &[(&str, String)]) -> Result<Value> {
    let mut labels = json!({
        "alertname": "HighErrorRate", "cluster": "eu-west-1-production", "namespace": "payments", "severity": "warning",
    });
    for (name, value) in own {
        labels[*name] = json!(value);
    }
    Ok(json!({
        "labels": labels,
        "annotations": {
            "summary": format!("The checkout at {} fails for 12.5% of its users", labels["instance"]),
            "runbook_url": "https://runbooks.example.com/payments/high-error-rate",
        },
        "generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
        "startsAt": time(Duration::ZERO)?,
        "endsAt": time(Duration::from_hours(10))?,
    }))
}

/// The time so far ahead, in RFC 3339.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn time(ahead: Duration) -> Result<String> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + ahead;
    let millis = i64::try_from(since_epoch.as_millis())?;
    Ok(watchfire_model::Timestamp::from_millis(millis).to_string())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
