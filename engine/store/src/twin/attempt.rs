//! The attempts to deliver that people look at after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchfire_alerting::{Delivery, DeliveryOutcome, NotificationId, NotifyReason, RouteId, SettingsDigest, TargetKey};
use watchfire_delivery::outcome::Answer;
use watchfire_delivery::{Attempt, DeliveryRecord, Exchange, Method, Request};
use watchfire_model::{self as model, Duration};

use super::target::Target;
use super::v1::Alert;
use super::values::{LabelSet, Millis};

/// A body that would be larger is kept without its alerts: it is shown, and cannot be sent again.
const BODY_BYTES_MAX: usize = 256 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Row<'a> {
    at: Millis,
    id: String,
    attempt: u32,
    target: Target,
    group_labels: LabelSet,
    route: Arc<str>,
    route_labels: Arc<BTreeMap<String, String>>,
    reason: String,
    folded: usize,
    unsaid_firing: usize,
    // Versions before did not keep it.
    #[serde(default)]
    looked_after: bool,
    decided_at: Millis,
    continues: Arc<str>,
    told: usize,
    alerts: Vec<Alert<'a>>,
    outcome: Outcome,
    channel: Arc<str>,
    notes: Vec<String>,
    // Versions before did not keep it.
    #[serde(default)]
    stand_in: Option<String>,
    exchanges: Vec<ExchangeTwin>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Delivered { receipt: String },
    Retry { after: Option<i64>, reason: String },
    Rejected { reason: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct ExchangeTwin {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    notes: Vec<String>,
    answer: Option<AnswerTwin>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AnswerTwin {
    status: u16,
    retry_after: Option<String>,
    date: Option<String>,
    body: String,
}

impl From<&DeliveryOutcome> for Outcome {
    fn from(outcome: &DeliveryOutcome) -> Outcome {
        match outcome.clone() {
            DeliveryOutcome::Delivered { receipt } => Outcome::Delivered { receipt },
            // To people it is an attempt to be made again.
            DeliveryOutcome::Partly { reason, .. } => Outcome::Retry { after: None, reason },
            DeliveryOutcome::Retry { after, reason } => {
                Outcome::Retry { after: after.map(Duration::as_millis), reason }
            }
            // And this one that was refused.
            DeliveryOutcome::Rejected { reason } | DeliveryOutcome::RejectedInPart { reason, .. } => {
                Outcome::Rejected { reason }
            }
        }
    }
}

impl From<Outcome> for DeliveryOutcome {
    fn from(twin: Outcome) -> DeliveryOutcome {
        match twin {
            Outcome::Delivered { receipt } => DeliveryOutcome::Delivered { receipt },
            Outcome::Retry { after, reason } => {
                DeliveryOutcome::Retry { after: after.map(Duration::from_millis), reason }
            }
            Outcome::Rejected { reason } => DeliveryOutcome::Rejected { reason },
        }
    }
}

impl From<&Exchange> for ExchangeTwin {
    fn from(exchange: &Exchange) -> ExchangeTwin {
        let Request { method, url, headers, body, notes } = exchange.request.clone();
        let answer = exchange.answer.clone();
        ExchangeTwin {
            method: method.as_str().to_owned(),
            url,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            notes,
            answer: answer.map(|Answer { status, retry_after, date, body }| AnswerTwin {
                status,
                retry_after,
                date,
                body,
            }),
        }
    }
}

impl TryFrom<ExchangeTwin> for Exchange {
    type Error = String;

    fn try_from(twin: ExchangeTwin) -> Result<Exchange, String> {
        let ExchangeTwin { method, url, headers, body, notes, answer } = twin;
        let known = Method::ALL.into_iter().find(|known| known.as_str() == method);
        let method = known.ok_or_else(|| format!("{method:?} is no method"))?;
        let answer =
            answer.map(|AnswerTwin { status, retry_after, date, body }| Answer { status, retry_after, date, body });
        Ok(Exchange { request: Request { method, url, headers, body: body.into_bytes(), notes }, answer })
    }
}

/// The body under the number of an attempt.
pub(crate) fn encode_attempt(record: &DeliveryRecord) -> Result<Vec<u8>, serde_json::Error> {
    let (delivery, attempt) = (&record.delivery, &record.attempt);
    let target = TargetKey {
        group: delivery.group_key.clone(),
        receiver: delivery.receiver.clone(),
        integration: delivery.integration.clone(),
    };
    let mut row = Row {
        at: record.at.into(),
        id: delivery.id.to_string(),
        attempt: delivery.attempt,
        target: (&target).into(),
        group_labels: LabelSet(delivery.group_labels.clone()),
        route: delivery.route_id.0.clone(),
        route_labels: Arc::clone(&delivery.route_labels),
        reason: delivery.reason.as_str().to_owned(),
        folded: delivery.folded,
        unsaid_firing: delivery.unsaid_firing,
        looked_after: delivery.looked_after,
        decided_at: delivery.at.into(),
        continues: delivery.receipt.clone(),
        told: record.alerts,
        alerts: delivery.alerts.iter().map(Alert::from).collect(),
        outcome: (&attempt.outcome).into(),
        channel: attempt.kind.clone(),
        notes: attempt.notes.clone(),
        stand_in: attempt.stand_in.clone(),
        exchanges: attempt.exchanges.iter().map(ExchangeTwin::from).collect(),
    };
    let body = serde_json::to_vec(&row)?;
    if body.len() <= BODY_BYTES_MAX {
        return Ok(body);
    }
    row.alerts.clear();
    serde_json::to_vec(&row)
}

/// Reads it back.
pub(crate) fn decode_attempt(number: u64, body: &[u8]) -> Result<DeliveryRecord, String> {
    let row: Row<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let target = TargetKey::from(row.target);
    let delivery = Delivery {
        id: NotificationId::parse(&row.id).ok_or_else(|| format!("{:?} is no notification id", row.id))?,
        attempt: row.attempt,
        receiver: target.receiver,
        integration: target.integration,
        // Whoever sends it again looks up what they are by then.
        settings: SettingsDigest::default(),
        done: "".into(),
        group_key: target.group,
        group_labels: row.group_labels.0,
        route_labels: row.route_labels,
        route_id: RouteId(row.route),
        reason: NotifyReason::parse(&row.reason).ok_or_else(|| format!("{:?} is no reason", row.reason))?,
        folded: row.folded,
        unsaid_firing: row.unsaid_firing,
        looked_after: row.looked_after,
        alerts: row.alerts.into_iter().map(model::Alert::from).collect(),
        at: row.decided_at.into(),
        receipt: row.continues,
    };
    let attempt = Attempt {
        outcome: row.outcome.into(),
        kind: row.channel,
        exchanges: row.exchanges.into_iter().map(Exchange::try_from).collect::<Result<_, _>>()?,
        notes: row.notes,
        stand_in: row.stand_in,
    };
    Ok(DeliveryRecord { number, at: row.at.into(), delivery, alerts: row.told, attempt })
}
