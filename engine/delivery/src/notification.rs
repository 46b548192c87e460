//! What is to be told about an alert group: the input of every request builder.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use watchfire_alerting::{Delivery, NotifyReason, OWN_GROUP_LABELS};
use watchfire_model::{
    Alert, AlertStatus, Anchoring, Annotations, Fingerprint, Labels, MatchOp, Matcher, Severity, Timestamp,
};
use watchfire_plugin::{AlertView, MessageGroup};

use crate::Trend;

/// One notification, whatever the channel. Complete: a builder needs nothing else that changes from call to call.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Identifies the notification; equal for every attempt, so that a receiver can recognise a repetition.
    pub id: String,
    /// Which attempt this is, the first being 1.
    pub attempt: u32,
    /// The time of this attempt.
    pub at: Timestamp,
    /// The receiver's name.
    pub receiver: String,
    /// The alert group's stable key.
    pub group_key: String,
    /// The labels by which the alerts are grouped.
    pub group_labels: Labels,
    /// The labels that all alerts share.
    pub common_labels: Labels,
    /// The annotations that all alerts share.
    pub common_annotations: Annotations,
    /// The alerts, in the order in which they are to be told.
    pub alerts: Vec<AlertView>,
    /// Where a reader reaches this engine, without a slash at the end.
    pub external_url: String,
    /// How many of the alerts a rate limit had held back.
    pub folded: usize,
    /// How many alerts of the group fire that the receiver knows and that are not among `alerts`.
    pub unsaid_firing: usize,
    /// Why this is told now, as a short stable word such as `first_notification`.
    pub reason: String,
    /// The labels of its route, as their templates gave them.
    pub route_labels: BTreeMap<String, String>,
    /// How the numbers behind its alerts came to be what they are, where that is known and wanted.
    pub trends: BTreeMap<Fingerprint, Trend>,
    /// What is to be told.
    pub topic: Topic,
    /// Whether somebody looks after all that fires.
    pub looked_after: bool,
    /// What the receiver answered about the group last, such as which message it became; empty if it knows nothing.
    pub receipt: String,
    /// What earlier attempts have done of it, as the channel said in [`DeliveryOutcome::Partly`]; empty if nothing.
    ///
    /// [`DeliveryOutcome::Partly`]: watchfire_alerting::DeliveryOutcome::Partly
    pub done: String,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topic {
    /// The state of the group's alerts.
    #[default]
    Alerts,
    /// Somebody took the group on: channels that know acknowledgement pass it on.
    Acknowledged,
}

impl Notification {
    /// For these alerts; what they have in common is worked out here.
    pub fn new(receiver: &str, group_key: &str, group_labels: Labels, alerts: Vec<AlertView>) -> Notification {
        let (common_labels, common_annotations) = common(&alerts);
        Notification {
            id: String::new(),
            attempt: 1,
            at: Timestamp::EPOCH,
            receiver: receiver.to_owned(),
            group_key: group_key.to_owned(),
            group_labels,
            common_labels,
            common_annotations,
            alerts,
            external_url: String::new(),
            folded: 0,
            unsaid_firing: 0,
            reason: String::new(),
            route_labels: BTreeMap::new(),
            trends: BTreeMap::new(),
            topic: Topic::Alerts,
            looked_after: false,
            receipt: String::new(),
            done: String::new(),
        }
    }

    /// The same about each alert alone, for channels that tell of alerts one by one.
    pub fn one_by_one(&self) -> Vec<Notification> {
        let one = |view: &AlertView| {
            let views = vec![view.clone()];
            let alone = Notification::new(&self.receiver, &self.group_key, self.group_labels.clone(), views);
            Notification {
                common_labels: alone.common_labels,
                common_annotations: alone.common_annotations,
                alerts: alone.alerts,
                // Whether this one fires is not decided by its siblings.
                unsaid_firing: 0,
                ..self.clone()
            }
        };
        self.alerts.iter().map(one).collect()
    }

    /// What a delivery asks for. Its firing alerts have no end.
    pub fn of_delivery(delivery: &Delivery, external_url: &str) -> Notification {
        let view = |alert: &Alert| {
            let status = if alert.ends_at.is_some() { AlertStatus::Resolved } else { AlertStatus::Firing };
            AlertView { status, ..AlertView::new(alert.clone(), delivery.at) }
        };
        let views = delivery.alerts.iter().map(view).collect();
        let group_labels = delivery.group_labels.filter(|name| !OWN_GROUP_LABELS.contains(&name));
        Notification {
            id: delivery.id.to_string(),
            attempt: delivery.attempt,
            at: delivery.at,
            external_url: external_url.trim_end_matches('/').to_owned(),
            folded: delivery.folded,
            unsaid_firing: delivery.unsaid_firing,
            reason: delivery.reason.as_str().to_owned(),
            topic: match delivery.reason {
                NotifyReason::Acknowledgement => Topic::Acknowledged,
                _ => Topic::Alerts,
            },
            looked_after: delivery.looked_after || delivery.reason == NotifyReason::Acknowledgement,
            receipt: delivery.receipt.to_string(),
            done: delivery.done.to_string(),
            ..Notification::new(&delivery.receiver, delivery.group_key.as_str(), group_labels, views)
        }
    }

    /// Firing as long as one alert fires.
    pub fn status(&self) -> AlertStatus {
        let fires = self.unsaid_firing > 0 || self.firing().next().is_some();
        if fires { AlertStatus::Firing } else { AlertStatus::Resolved }
    }

    /// The alerts that fire.
    pub fn firing(&self) -> impl Iterator<Item = &AlertView> {
        self.alerts.iter().filter(|view| view.status == AlertStatus::Firing)
    }

    /// The alerts that are over.
    pub fn resolved(&self) -> impl Iterator<Item = &AlertView> {
        self.alerts.iter().filter(|view| view.status == AlertStatus::Resolved)
    }

    /// The worst severity among the firing alerts, or among all if none fires.
    pub fn severity(&self) -> Severity {
        let worst = |views: &mut dyn Iterator<Item = &AlertView>| views.map(|view| view.severity).max();
        worst(&mut self.firing()).or_else(|| worst(&mut self.alerts.iter())).unwrap_or_default()
    }

    /// What it is about in a few words: the common alert name, else the group's label values, else the receiver.
    ///
    /// A digest says how many alerts a rate limit had held back.
    pub fn subject(&self) -> String {
        match self.folded {
            0 => self.about(),
            folded => format!("{} (digest of {folded} held back)", self.about()),
        }
    }

    fn about(&self) -> String {
        let name = self.group_labels.get("alertname").or_else(|| self.common_labels.get("alertname"));
        if let Some(name) = name {
            return name.to_owned();
        }
        let values: Vec<&str> = self.group_labels.iter().map(|label| label.value).collect();
        if !values.is_empty() {
            return values.join(" ");
        }
        let names = self.alerts.iter().map(|view| view.alert.name()).filter(|name| !name.is_empty());
        let names: std::collections::BTreeSet<&str> = names.collect();
        match names.len() {
            1..=3 => names.into_iter().collect::<Vec<_>>().join(", "),
            _ => format!("Alerts for {}", self.receiver),
        }
    }

    /// Where the group came from, beside its subject: the group's label values without the alert name.
    pub fn place(&self) -> String {
        let values = self.group_labels.iter().filter(|label| label.name != "alertname").map(|label| label.value);
        values.collect::<Vec<_>>().join(" · ")
    }

    /// When the group's trouble began: the earliest start among the firing alerts, else among all.
    pub fn since(&self) -> Timestamp {
        let earliest = |views: &mut dyn Iterator<Item = &AlertView>| views.map(|view| view.alert.starts_at).min();
        earliest(&mut self.firing()).or_else(|| earliest(&mut self.alerts.iter())).unwrap_or(self.at)
    }

    /// Lower-case hexadecimal SHA-256 of the group key: 64 characters that stay the same for the group's whole life.
    /// Alertmanager uses the same function, so that an incident opened by it is resolved by its successor.
    pub fn group_hash(&self) -> String {
        group_hash(&self.group_key)
    }

    /// The page that shows this group's alerts.
    pub fn alerts_url(&self) -> String {
        format!("{}/#/alerts?receiver={}", self.external_url.trim_end_matches('/'), encode(&self.receiver))
    }

    /// The page that silences this group, with its labels filled in.
    pub fn silence_url(&self) -> String {
        let labels = if self.group_labels.is_empty() { &self.common_labels } else { &self.group_labels };
        let matcher = |name: &str, value: &str| Matcher::new(name, MatchOp::Equal, value, Anchoring::Alertmanager).ok();
        let filter = labels.iter().filter_map(|label| Some(matcher(label.name, label.value)?.to_string()));
        let filter = filter.collect::<Vec<_>>();
        let filter = format!("{{{}}}", filter.join(", "));
        format!("{}/#/silences/new?filter={}", self.external_url.trim_end_matches('/'), encode(&filter))
    }

    /// The same as formatter plugins see it, firing alerts first: for a kind of channel, with stand-ins for the secrets
    /// that they are granted.
    pub fn message_group(&self, channel: &str, secrets: BTreeMap<String, String>) -> MessageGroup {
        MessageGroup {
            at: self.at,
            key: self.group_key.clone(),
            receiver: self.receiver.clone(),
            group_labels: self.group_labels.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect(),
            external_url: self.external_url.clone(),
            alerts: self.firing().chain(self.resolved()).cloned().collect(),
            id: self.id.clone(),
            channel: channel.to_owned(),
            secrets,
        }
    }
}

/// See [`Notification::group_hash`].
pub fn group_hash(group_key: &str) -> String {
    hex(&Sha256::digest(group_key.as_bytes()))
}

/// The labels and annotations that all of `alerts` share.
fn common(alerts: &[AlertView]) -> (Labels, Annotations) {
    let Some((first, rest)) = alerts.split_first() else {
        return (Labels::empty(), Annotations::default());
    };
    let first = &first.alert;
    let shared = |name: &str| {
        let value = first.labels.get(name);
        rest.iter().all(|view| view.alert.labels.get(name) == value)
    };
    let labels = first.labels.filter(shared);
    let annotations =
        first.annotations.filter(|name, text| rest.iter().all(|view| view.alert.annotations.get(name) == Some(text)));
    (labels, annotations)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Percent-encodes everything that is not unreserved in a URL; a space becomes `%20`.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
