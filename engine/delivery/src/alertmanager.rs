//! Telling an Alertmanager beside the engine, as Prometheus' notifier does (`POST /api/v2/alerts`).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::AlertmanagerConfig;
use watchfire_model::{Alert, Labels, Timestamp};

use crate::http::{self, Connection, Pools};
use crate::outcome::Dialect;
use crate::view::texts;
use crate::{Redactor, Request};

/// An Alertmanager, ready to be told.
#[derive(Debug)]
pub struct Alertmanager {
    url: String,
    connection: Connection,
    external_labels: Labels,
}

impl Alertmanager {
    /// Prepares the connection. Alerts get those of `external_labels` that they do not have themselves.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub fn new(config: &AlertmanagerConfig, external_labels: &Labels) -> Result<Alertmanager, String> {
        http::install_crypto();
        Ok(Alertmanager {
            url: config.url.clone(),
            connection: Connection::new(&Pools::default(), &config.http, config.timeout.to_std())?,
            external_labels: external_labels.clone(),
        })
    }

    /// The address that is told.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Tells it once.
    pub async fn send(&self, alerts: &[Alert], now: Timestamp) -> DeliveryOutcome {
        let mut request = request(&self.url, alerts, &self.external_labels);
        let sent = self.connection.send(&mut request, Dialect::Plain, now).await;
        let secrets = self.connection.secrets();
        let redactor = Redactor::new(secrets.iter().map(String::as_str));
        match sent.outcome {
            DeliveryOutcome::Retry { after, reason } => {
                DeliveryOutcome::Retry { after, reason: redactor.text(&reason) }
            }
            DeliveryOutcome::Rejected { reason } => DeliveryOutcome::Rejected { reason: redactor.text(&reason) },
            outcome => outcome,
        }
    }
}

/// The request that tells of `alerts`; each has an end.
pub fn request(url: &str, alerts: &[Alert], external_labels: &Labels) -> Request {
    let alerts = alerts.iter().map(|alert| {
        let mut labels: BTreeMap<&str, &str> = external_labels.iter().map(|label| (label.name, label.value)).collect();
        labels.extend(alert.labels.iter().map(|label| (label.name, label.value)));
        json!({
            "annotations": texts(&alert.annotations),
            "endsAt": alert.ends_at.map(Timestamp::to_rfc3339),
            "startsAt": alert.starts_at.to_rfc3339(),
            "generatorURL": &*alert.generator_url,
            "labels": labels,
        })
    });
    Request::post_json(url, &Value::Array(alerts.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_prometheus_sends() {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "Down"), ("region", "eu")]),
            annotations: [("summary", "a < b")].into(),
            starts_at: Timestamp::from_millis(1_767_571_200_000),
            ends_at: Some(Timestamp::from_millis(1_767_571_440_250)),
            updated_at: Timestamp::from_millis(1_767_571_200_000),
            timeout: false,
            generator_url: "http://wf/rules#1".into(),
            value: Some(1.0),
        };
        let external = Labels::from_pairs([("region", "us"), ("replica", "a")]);
        let request = request("http://am:9093/api/v2/alerts", &[alert], &external);
        assert_eq!(request.header("Content-Type"), Some("application/json"));
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            r#"[{"annotations":{"summary":"a \u003c b"},"endsAt":"2026-01-05T00:04:00.250Z","startsAt":"2026-01-05T00:00:00.000Z","generatorURL":"http://wf/rules#1","labels":{"alertname":"Down","region":"eu","replica":"a"}}]"#
        );
    }
}
