//! Deliverers configured as users configure them, sending to strict doubles.

use std::sync::Arc;

use watchfire_alerting::{
    Delivery, DeliveryOutcome, GroupKey, IntegrationKey, NotificationId, NotifyReason, RouteId, SettingsDigest,
};
use watchfire_config::{FixedEnvironment, Source, load_config};
use watchfire_delivery::{Deliverer, NotificationTemplates, Settings};
use watchfire_model::Alert;
use watchfire_plugin::{
    Condition, Descriptor, Formatter, Message, MessageGroup, Method, PluginError, Provider, Router, Target,
};
use watchfire_template::alertmanager::Templates;

use super::samples::{NOW, pair};

/// Formatters that do well and badly.
struct Formatters;

struct Fixed(Result<Message, PluginError>);

impl Formatter for Fixed {
    fn format(&mut self, group: &MessageGroup) -> Result<Message, PluginError> {
        assert!(!group.alerts.is_empty());
        self.0.clone()
    }
}

/// Writes to a room of Matrix, at the address that is its configuration.
struct Matrix(String);

impl Formatter for Matrix {
    fn format(&mut self, group: &MessageGroup) -> Result<Message, PluginError> {
        let token = group.secrets.get("token").ok_or_else(|| PluginError::BadInput("no token".to_owned()))?;
        assert!(!token.contains("matrix"), "the plugin sees a secret");
        let url = format!("{}/_matrix/client/v3/rooms/!ops:example/send/m.room.message/{}", self.0, group.id);
        Ok(Message {
            content_type: "application/json".to_owned(),
            body: r#"{"msgtype": "m.text", "body": "three down"}"#.to_owned(),
            headers: vec![("Authorization".to_owned(), format!("Bearer {token}"))],
            target: Some(Target { method: Method::Put, url }),
            ..Message::default()
        })
    }
}

/// Copies the first alert's summary into a request to the address that is its configuration, and tells its stand-in to
/// whoever listens: with a point in it where the service does, as it is where a reader of the history does.
struct Telltale(String);

impl Formatter for Telltale {
    fn format(&mut self, group: &MessageGroup) -> Result<Message, PluginError> {
        let (token, summary) = (&group.secrets["token"], group.alerts[0].summary());
        let message = |headers: Vec<(String, String)>, host: &str| Message {
            title: summary.to_owned(),
            content_type: format!("text/plain; for={token}"),
            body: format!("{summary}\n{}.{}", &token[..20], &token[20..]),
            headers,
            dedup_key: None,
            target: Some(Target { method: Method::Post, url: format!("{host}/own") }),
        };
        let authorization = || vec![("Authorization".to_owned(), format!("Bearer {token}"))];
        match summary {
            "fails" => Err(PluginError::Internal(format!("no room for {token}"))),
            "names a header" => Ok(message(vec![(token.clone(), "1".to_owned())], &self.0)),
            "goes elsewhere" => Ok(message(authorization(), &format!("http://{token}.example"))),
            "has no target" => Ok(Message { target: None, ..message(Vec::new(), &self.0) }),
            _ => Ok(message(authorization(), &self.0)),
        }
    }
}

struct Panics;

impl Formatter for Panics {
    fn format(&mut self, _: &MessageGroup) -> Result<Message, PluginError> {
        std::panic::resume_unwind(Box::new("a formatter of the embedding program"))
    }
}

impl Provider for Formatters {
    fn descriptors(&self) -> Vec<Descriptor> {
        Vec::new()
    }

    fn open_condition(&self, name: &str, _: &str) -> Result<Box<dyn Condition>, PluginError> {
        Err(PluginError::Unsupported(format!("there is no condition {name}")))
    }

    fn open_router(&self, name: &str, _: &str) -> Result<Box<dyn Router>, PluginError> {
        Err(PluginError::Unsupported(format!("there is no router {name}")))
    }

    fn open_formatter(&self, name: &str, config: &str) -> Result<Box<dyn Formatter>, PluginError> {
        let message = |content_type: &str, body: &str| Message {
            title: "Title".to_owned(),
            content_type: content_type.to_owned(),
            body: body.to_owned(),
            headers: vec![("X-Own".to_owned(), "1".to_owned()), ("Authorization".to_owned(), "stolen".to_owned())],
            dedup_key: None,
            target: None,
        };
        let answer = match name {
            "echo" => Ok(message("text/plain", config)),
            "traps" => Err(PluginError::Trap("unreachable".to_owned())),
            "garbage" => Ok(message("application/json", "{not json")),
            "empty" => Ok(Message::default()),
            "panics" => return Ok(Box::new(Panics)),
            "matrix" => {
                let config: serde_json::Value = serde_json::from_str(config).unwrap();
                return Ok(Box::new(Matrix(config["url"].as_str().unwrap().to_owned())));
            }
            "telltale" => {
                let config: serde_json::Value = serde_json::from_str(config).unwrap();
                return Ok(Box::new(Telltale(config["url"].as_str().unwrap().to_owned())));
            }
            _ => return Err(PluginError::Unsupported(format!("there is no formatter {name}"))),
        };
        Ok(Box::new(Fixed(answer)))
    }
}

/// A deliverer for the receiver `r` with these integrations in YAML.
pub(crate) fn deliverer(integrations: &str) -> Deliverer {
    with_templates(integrations, &[])
}

pub(crate) fn with_templates(integrations: &str, templates: &[(String, String)]) -> Deliverer {
    configured("", integrations, templates)
}

/// The same with more of a configuration before the receivers.
pub(crate) fn configured(more: &str, integrations: &str, templates: &[(String, String)]) -> Deliverer {
    let text = format!("{more}route: {{receiver: r}}\nreceivers:\n- name: r\n{integrations}");
    let (config, diagnostics) =
        load_config(Source { name: "watchfire.yml", text: &text }, &FixedEnvironment::default());
    let mut config = config.unwrap_or_else(|| panic!("{diagnostics:?}\n{text}"));
    // So that a test can name an integration by its place.
    for integration in &mut config.receivers[0].integrations {
        integration.settings = SettingsDigest(integration.ordinal.into());
    }
    let settings = Settings { external_url: "https://watchfire.example/".to_owned(), ..Settings::default() };
    let mut files = NotificationTemplates::from(Templates::new());
    for (name, text) in templates {
        files.go.add(name, text).unwrap();
    }
    let paths = config.receivers[0].integrations.iter().filter_map(|integration| integration.template.as_ref());
    for (path, text) in paths.filter_map(|path| Some((path, std::fs::read_to_string(path).ok()?))) {
        // Of what is broken there is nothing, as where the engine reads it for the first time.
        drop(files.handlebars.add(path, &text));
    }
    Deliverer::new(settings, &config.receivers, files, Arc::new(Formatters))
}

/// A notification through an integration, such as `webhook[0]`.
pub(crate) fn delivery(integration: &str) -> Delivery {
    let (kind, number) = integration.trim_end_matches(']').split_once('[').unwrap();
    let number = number.parse().unwrap();
    let notification = pair();
    let alerts: Vec<Alert> = notification.alerts.into_iter().map(|view| view.alert).collect();
    Delivery {
        id: NotificationId(7),
        attempt: 1,
        receiver: "r".into(),
        integration: IntegrationKey { kind: kind.into(), number },
        settings: SettingsDigest(number.into()),
        group_key: GroupKey::from_text("{}:{alertname=\"HighLatency\"}"),
        group_labels: notification.group_labels,
        route_labels: Arc::default(),
        route_id: RouteId("route".into()),
        reason: NotifyReason::FirstNotification,
        folded: 0,
        unsaid_firing: 0,
        looked_after: false,
        alerts: alerts.into(),
        at: NOW,
        receipt: "".into(),
        done: "".into(),
    }
}

pub(crate) fn resolved(mut delivery: Delivery) -> Delivery {
    let over = |alert: &Alert| super::samples::resolved(alert.clone());
    delivery.alerts = delivery.alerts.iter().map(over).collect();
    delivery.id = NotificationId(8);
    delivery
}

/// The outcome in one line.
pub(crate) fn said(outcome: &DeliveryOutcome) -> String {
    match outcome {
        DeliveryOutcome::Delivered { receipt } => format!("delivered: {receipt}"),
        DeliveryOutcome::Retry { after: Some(after), reason } => format!("retry after {after}: {reason}"),
        DeliveryOutcome::Retry { after: None, reason } => format!("retry: {reason}"),
        DeliveryOutcome::Partly { done, reason } => format!("partly, {done} is done: {reason}"),
        DeliveryOutcome::Rejected { reason } => format!("rejected: {reason}"),
        DeliveryOutcome::RejectedInPart { alerts, receipt, reason } => {
            format!("rejected for {alerts:?}: {reason}; the rest is delivered: {receipt}")
        }
    }
}
