//! What notification templates see.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{ALERT_NAME_LABEL, Alert, AlertStatus, Annotations, Labels, Timestamp};

use crate::functions::Param;
use crate::time::GoTime;
use crate::value::{Map, Method, Type, Value};

/// What templates see as the reason where none is known, as in the labels of a route.
pub(super) const UNKNOWN_REASON: &str = "unknown";

/// One notification's data.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// The receiver's name.
    pub receiver: String,
    /// Firing if any alert fires.
    pub status: AlertStatus,
    /// The alerts.
    pub alerts: Vec<AlertData>,
    /// Why this is told now, in Alertmanager's words such as `first notification`.
    pub notification_reason: String,
    /// The labels by which they are grouped.
    pub group_labels: Labels,
    /// The labels that all of them have with the same value.
    pub common_labels: Labels,
    /// The annotations that all of them have with the same text.
    pub common_annotations: Annotations,
    /// The labels of the route, as its templates gave them.
    pub route_labels: BTreeMap<String, String>,
    /// Where readers reach the engine.
    pub external_url: String,
}

/// One alert of a notification.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertData {
    /// Firing or resolved.
    pub status: AlertStatus,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Annotations,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it ended; `None` while it fires, which templates see as the zero time.
    pub ends_at: Option<Timestamp>,
    /// Where it comes from.
    pub generator_url: Arc<str>,
    /// The stable id of its labels.
    pub fingerprint: String,
}

impl Data {
    /// The data for alerts as they are at `now`; status and common parts follow from them.
    pub fn new(receiver: &str, group_labels: Labels, external_url: &str, alerts: &[Alert], now: Timestamp) -> Data {
        let alerts: Vec<AlertData> = alerts.iter().map(|alert| AlertData::new(alert, now)).collect();
        let any_fires = alerts.iter().any(|alert| alert.status == AlertStatus::Firing);
        let status = if any_fires { AlertStatus::Firing } else { AlertStatus::Resolved };
        let (mut common_labels, mut common_annotations) = (Labels::empty(), Annotations::default());
        if let Some((first, others)) = alerts.split_first() {
            common_labels = first.labels.filter(|name| {
                let value = first.labels.value_or_empty(name);
                others.iter().all(|other| other.labels.value_or_empty(name) == value)
            });
            common_annotations = first
                .annotations
                .filter(|name, text| others.iter().all(|other| other.annotations.get(name).unwrap_or("") == text));
        }
        Data {
            receiver: receiver.to_owned(),
            status,
            alerts,
            notification_reason: UNKNOWN_REASON.to_owned(),
            group_labels,
            common_labels,
            common_annotations,
            route_labels: BTreeMap::new(),
            external_url: external_url.to_owned(),
        }
    }

    /// The value that templates work on.
    pub fn to_value(&self) -> Value {
        let alerts = self.alerts.iter().map(AlertData::to_value).collect();
        Value::structure(
            &DATA,
            vec![
                // Quoted for a regular expression, as Alertmanager does: its own links filter by one.
                ("Receiver", quote_meta(&self.receiver).into()),
                ("Status", self.status.as_str().into()),
                ("Alerts", Value::list(&ALERTS, alerts)),
                ("NotificationReason", self.notification_reason.as_str().into()),
                ("GroupLabels", labels(&self.group_labels)),
                ("CommonLabels", labels(&self.common_labels)),
                ("CommonAnnotations", texts(self.common_annotations.iter())),
                ("RouteLabels", texts(self.route_labels.iter().map(|(name, text)| (&**name, &**text)))),
                ("ExternalURL", self.external_url.as_str().into()),
            ],
        )
    }
}

impl AlertData {
    /// An alert as it is at `now`.
    pub fn new(alert: &Alert, now: Timestamp) -> AlertData {
        let status = alert.status(now);
        AlertData {
            status,
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: alert.starts_at,
            ends_at: if status == AlertStatus::Resolved { alert.ends_at } else { None },
            generator_url: Arc::clone(&alert.generator_url),
            fingerprint: alert.fingerprint().to_string(),
        }
    }

    fn to_value(&self) -> Value {
        Value::structure(
            &ALERT,
            vec![
                ("Status", self.status.as_str().into()),
                ("Labels", labels(&self.labels)),
                ("Annotations", texts(self.annotations.iter())),
                ("StartsAt", Value::time(self.starts_at)),
                ("EndsAt", Value::Time(self.ends_at.map_or_else(GoTime::zero, GoTime::from_timestamp))),
                ("GeneratorURL", Value::Text(Arc::clone(&self.generator_url))),
                ("Fingerprint", self.fingerprint.as_str().into()),
            ],
        )
    }
}

fn labels(labels: &Labels) -> Value {
    Value::Map(Map::from_labels(&KV, labels.clone()))
}

fn texts<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let entries = texts.map(|(name, text)| (name.to_owned(), text.into())).collect();
    Value::Map(Map::new(&KV, entries))
}

/// `regexp.QuoteMeta`
fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

static DATA: Type = Type::plain("*template.Data");
static ALERT: Type = Type::plain("template.Alert");
static PAIR: Type = Type::plain("template.Pair");
static ALERT_LIST: Type = Type::plain("[]template.Alert");

static ALERTS: Type = Type {
    name: "template.Alerts",
    methods: &[
        method("Firing", |alerts, _| Ok(with_status(alerts, AlertStatus::Firing))),
        method("Resolved", |alerts, _| Ok(with_status(alerts, AlertStatus::Resolved))),
    ],
    text_elements: false,
    to_text: None,
};

static PAIRS: Type = Type {
    name: "template.Pairs",
    methods: &[
        method("Names", |pairs, _| Ok(column(pairs, "Name"))),
        method("Values", |pairs, _| Ok(column(pairs, "Value"))),
        method("String", |pairs, _| Ok(pairs_text(pairs).into())),
    ],
    text_elements: false,
    to_text: Some(pairs_text),
};

static STRINGS: Type = Type {
    name: "template.Strings",
    methods: &[Method { name: "Join", params: &[Param::Text], variadic: false, call: join }],
    text_elements: true,
    to_text: None,
};

static KV: Type = Type {
    name: "template.KV",
    methods: &[
        method("SortedPairs", |kv, _| Ok(sorted_pairs(kv))),
        method("Names", |kv, _| Ok(column(&sorted_pairs(kv), "Name"))),
        method("Values", |kv, _| Ok(column(&sorted_pairs(kv), "Value"))),
        method("String", |kv, _| Ok(pairs_text(&sorted_pairs(kv)).into())),
        Method { name: "Remove", params: &[Param::TextList], variadic: false, call: remove },
    ],
    text_elements: true,
    to_text: Some(|kv| pairs_text(&sorted_pairs(kv))),
};

const fn method(name: &'static str, call: fn(&Value, &[Value]) -> Result<Value, String>) -> Method {
    Method { name, params: &[], variadic: false, call }
}

fn with_status(alerts: &Value, status: AlertStatus) -> Value {
    let Value::List(list) = alerts else {
        return Value::Nil;
    };
    let has_status = |alert: &&Value| match alert {
        Value::Struct(alert) => alert.field("Status").and_then(Value::as_text) == Some(status.as_str()),
        _ => false,
    };
    let items = list.items.iter().filter(has_status).cloned().collect();
    Value::list(&ALERT_LIST, items)
}

/// Names and values, sorted by name but with `alertname` first.
fn sorted_pairs(kv: &Value) -> Value {
    let Value::Map(map) = kv else {
        return Value::Nil;
    };
    let (mut first, others): (Vec<_>, Vec<_>) =
        map.entries().into_iter().partition(|(name, _)| name == ALERT_NAME_LABEL);
    first.extend(others);
    let pairs =
        first.into_iter().map(|(name, value)| Value::structure(&PAIR, vec![("Name", name.into()), ("Value", value)]));
    Value::list(&PAIRS, pairs.collect())
}

fn column(pairs: &Value, field: &str) -> Value {
    let Value::List(list) = pairs else {
        return Value::Nil;
    };
    let texts = list.items.iter().filter_map(|pair| match pair {
        Value::Struct(pair) => pair.field(field).cloned(),
        _ => None,
    });
    Value::list(&STRINGS, texts.collect())
}

fn join(texts: &Value, arguments: &[Value]) -> Result<Value, String> {
    let (Value::List(list), Some(separator)) = (texts, arguments.first().and_then(Value::as_text)) else {
        return Ok("".into());
    };
    let texts: Vec<&str> = list.items.iter().filter_map(Value::as_text).collect();
    Ok(texts.join(separator).into())
}

/// `a=1, b=2`
fn pairs_text(pairs: &Value) -> String {
    let Value::List(list) = pairs else {
        return String::new();
    };
    let text = |pair: &Value| match pair {
        Value::Struct(pair) => {
            let part = |name| pair.field(name).and_then(Value::as_text).unwrap_or("");
            format!("{}={}", part("Name"), part("Value"))
        }
        _ => String::new(),
    };
    list.items.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn remove(kv: &Value, arguments: &[Value]) -> Result<Value, String> {
    let Value::Map(map) = kv else {
        return Ok(Value::Nil);
    };
    let mut entries: BTreeMap<String, Value> = map.entries().into_iter().collect();
    if let Some(Value::List(names)) = arguments.first() {
        for name in names.items.iter().filter_map(Value::as_text) {
            entries.remove(name);
        }
    }
    Ok(Value::Map(Map::new(&KV, entries)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(labels: &[(&str, &str)], annotations: &[(&str, &str)], ends_at: Option<i64>) -> Alert {
        Alert {
            labels: Labels::from_pairs(labels.iter().copied()),
            annotations: annotations.iter().copied().collect(),
            starts_at: Timestamp::from_secs(1),
            ends_at: ends_at.map(Timestamp::from_secs),
            updated_at: Timestamp::from_secs(1),
            timeout: false,
            generator_url: "".into(),
            value: None,
        }
    }

    #[test]
    fn common_parts_are_what_all_alerts_share() {
        let alerts = [
            alert(&[("alertname", "A"), ("i", "1")], &[("s", "x"), ("t", "y")], Some(100)),
            alert(&[("alertname", "A"), ("i", "2")], &[("s", "x")], Some(5)),
        ];
        let data =
            Data::new("r.x", Labels::from_pairs([("alertname", "A")]), "http://w", &alerts, Timestamp::from_secs(10));
        assert_eq!(data.status, AlertStatus::Firing);
        assert_eq!(data.common_labels.to_string(), r#"{alertname="A"}"#);
        assert_eq!(data.common_annotations, [("s", "x")].into());
        // The end of a firing alert is not known and not shown.
        assert_eq!((data.alerts[0].ends_at, data.alerts[1].ends_at), (None, Some(Timestamp::from_secs(5))));
        let Value::Struct(value) = data.to_value() else { panic!("data is a struct") };
        assert_eq!(value.field("Receiver").and_then(Value::as_text), Some(r"r\.x"));
    }
}
