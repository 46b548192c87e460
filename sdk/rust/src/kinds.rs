//! The three kinds of plugin and what they get and give.

use serde::de::DeserializeOwned;

use crate::{Error, Input, State};

/// What is told about a plugin before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// One sentence.
    pub summary: &'static str,
    /// JSON Schema of the configuration as JSON text; may be empty.
    pub config_schema: &'static str,
    /// Raise it when the layout of the values in [`State`] changes.
    pub state_version: u32,
}

impl Descriptor {
    /// With a sentence, no schema and the first version of the state.
    pub const fn new(summary: &'static str) -> Descriptor {
        Descriptor { summary, config_schema: "", state_version: 1 }
    }

    /// With a JSON Schema, for example `include_str!("config.schema.json")`.
    pub const fn with_schema(self, config_schema: &'static str) -> Descriptor {
        Descriptor { config_schema, ..self }
    }

    /// With another version of the state.
    pub const fn with_state_version(self, state_version: u32) -> Descriptor {
        Descriptor { state_version, ..self }
    }
}

/// Decides which series are in trouble.
pub trait Condition: Sized {
    /// The user's configuration. `#[serde(deny_unknown_fields)]` turns typing errors into messages.
    type Config: DeserializeOwned;
    /// What is told about it.
    const DESCRIPTOR: Descriptor;

    /// Prepares for one rule. Check here what can be checked, so that a mistake is known when the file is saved.
    ///
    /// # Errors
    /// [`Error::config`] where the configuration makes no sense.
    fn open(config: Self::Config) -> Result<Self, Error>;

    /// Looks at a batch and names the series whose alert is active.
    ///
    /// # Errors
    /// An error costs this evaluation: alerts stay as they are, and writes to the state do not count.
    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error>;
}

/// Decides who is told.
pub trait Router: Sized {
    /// The user's configuration.
    type Config: DeserializeOwned;
    /// What is told about it.
    const DESCRIPTOR: Descriptor;

    /// Prepares for one route.
    ///
    /// # Errors
    /// [`Error::config`] where the configuration makes no sense.
    fn open(config: Self::Config) -> Result<Self, Error>;

    /// Decides for one alert at a time in milliseconds since 1970.
    ///
    /// # Errors
    /// On an error the route's own receiver is told.
    fn decide(&mut self, at_ms: i64, alert: &Alert) -> Result<Decision, Error>;

    /// Decides for all alerts at once, in order; for routers that look at more than one.
    ///
    /// # Errors
    /// As for [`Router::decide`].
    fn route(&mut self, at_ms: i64, alerts: &[Alert]) -> Result<Vec<Decision>, Error> {
        alerts.iter().map(|alert| self.decide(at_ms, alert)).collect()
    }
}

/// Writes the message for an alert group.
pub trait Formatter: Sized {
    /// The user's configuration.
    type Config: DeserializeOwned;
    /// What is told about it.
    const DESCRIPTOR: Descriptor;

    /// Prepares for one channel of a receiver.
    ///
    /// # Errors
    /// [`Error::config`] where the configuration makes no sense.
    fn open(config: Self::Config) -> Result<Self, Error>;

    /// Writes the message.
    ///
    /// # Errors
    /// On an error the channel's built-in message is sent.
    fn format(&mut self, group: &Group) -> Result<Message, Error>;
}

/// How bad it is, from the least to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Will become a problem.
    #[default]
    Warning,
    /// Is a problem.
    Error,
    /// Wakes somebody.
    Critical,
}

impl Severity {
    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

/// What a condition found. A series in neither list is fine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The series that are in trouble, each at most once.
    pub findings: Vec<Finding>,
    /// Series about which nothing can be said now; their alerts stay as they are.
    pub unknown: Vec<u32>,
}

/// One series in trouble.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its index.
    pub series: u32,
    /// How bad it is.
    pub severity: Severity,
    /// The number to show, such as a score.
    pub value: f64,
    /// One sentence for whoever reads the alert.
    pub summary: String,
}

/// An alert as routers and formatters get it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alert {
    /// The stable id of the label set.
    pub fingerprint: String,
    /// The label `alertname`.
    pub name: String,
    /// The label `severity` as a level.
    pub severity: Severity,
    /// Whether it fires; else it is resolved.
    pub firing: bool,
    /// When it began to fire, in milliseconds since 1970.
    pub starts_ms: i64,
    /// When it ended; `None` while it fires.
    pub ends_ms: Option<i64>,
    /// The rule's value at the last evaluation, where there is one.
    pub value: Option<f64>,
    /// The annotation that sums it up; may be empty.
    pub summary: String,
    /// Where it comes from, as a link; may be empty.
    pub generator_url: String,
    /// All labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// All annotations, sorted by name.
    pub annotations: Vec<(String, String)>,
}

impl Alert {
    /// The value of a label, if it is there.
    pub fn label(&self, name: &str) -> Option<&str> {
        find(&self.labels, name)
    }

    /// The text of an annotation, if it is there.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        find(&self.annotations, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// Where one alert goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Names of receivers; empty means the route's own receiver.
    pub receivers: Vec<String>,
    /// Why nobody is to be told; `None` to tell them.
    pub suppress: Option<String>,
    /// Replaces the group labels of the route: alerts with the same key are told together.
    pub group_key: Option<String>,
}

impl Decision {
    /// To one receiver.
    pub fn to(receiver: impl Into<String>) -> Decision {
        Decision { receivers: vec![receiver.into()], ..Decision::default() }
    }
}

/// What a message is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The time of the call in milliseconds since 1970.
    pub at_ms: i64,
    /// The group's stable key.
    pub key: String,
    /// The receiver's name.
    pub receiver: String,
    /// The labels by which the alerts are grouped, sorted by name.
    pub group_labels: Vec<(String, String)>,
    /// Where a reader reaches Watchfire, for links.
    pub external_url: String,
    /// The alerts, firing ones first.
    pub alerts: Vec<Alert>,
    /// The id of this notification: the same at every attempt to deliver it.
    pub id: String,
    /// The kind of the receiver's channel, such as `slack`.
    pub channel: String,
    /// The secrets that the receiver grants, by name: a stand-in for each, see [`Group::secret`].
    pub secrets: Vec<(String, String)>,
}

impl Group {
    /// The stand-in for a secret that the receiver grants. Where it stands in the address, a header or the body of a
    /// request of the plugin's own, the host puts the secret.
    ///
    /// # Errors
    /// If the receiver grants no secret of that name.
    pub fn secret(&self, name: &str) -> Result<&str, Error> {
        find(&self.secrets, name).ok_or_else(|| {
            Error::BadInput(format!("the receiver's grant has no secret `{name}`; add it under `secrets`"))
        })
    }
}

/// A message. The host signs and sends it, and addresses it unless the plugin does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// A subject or headline, where the channel has one.
    pub title: String,
    /// The media type of the body.
    pub content_type: String,
    /// The body.
    pub body: String,
    /// Headers to add. Those that frame the request are refused, and those that carry credentials too unless there is a
    /// target.
    pub headers: Vec<(String, String)>,
    /// Replaces the deduplication key, where the channel has one.
    pub dedup_key: Option<String>,
    /// Where it goes, if not through the receiver's own channel: a request of the plugin's own.
    pub target: Option<Target>,
}

/// Where a request of the plugin's own goes. The host sends it if the receiver grants the host, and tries again what may
/// pass, under the same `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: String,
}

impl Target {
    /// A `POST`.
    pub fn post(url: impl Into<String>) -> Target {
        Target { method: Method::Post, url: url.into() }
    }
}

/// The method of an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}
