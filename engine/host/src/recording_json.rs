//! Recorded calls as JSON: what an engine hands out, and what an author's tools read.
//!
//! Numbers keep every bit; those that JSON lacks are the texts `NaN`, `Infinity` and `-Infinity`. Values in the state
//! are base64. Members may be added; what is unknown is not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watchfire_model::{Alert, AlertStatus, Duration, Event, FieldValue, Labels, Severity, Timestamp};
use watchfire_plugin::{
    AlertView, Batch, Decision, Finding, Limits, Message, MessageGroup, Method, Outcome, StateWrite, Target,
};

use crate::RecordingError;
use crate::recording::{Answer, Failure, Input, LogLine, Recording, Trace};

impl Recording {
    /// The recording as one JSON object.
    pub fn to_json(&self) -> String {
        // Maps with texts as keys, numbers, texts and lists always have a spelling in JSON.
        serde_json::to_string(&RecordingFile::from(self)).unwrap_or_default()
    }

    /// The answer alone, the same text for the same answer: whatever is no number is the same.
    pub fn answer_json(&self) -> String {
        serde_json::to_string(&AnswerFile::from(&self.answer)).unwrap_or_default()
    }

    /// Reads what [`Recording::to_json`] wrote.
    ///
    /// # Errors
    /// If it is no JSON or no recorded call.
    pub fn from_json(json: &str) -> Result<Recording, RecordingError> {
        serde_json::from_str::<RecordingFile>(json).map_err(RecordingError::Json)?.recording()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordingFile {
    plugin: String,
    number: u64,
    digest: String,
    part: String,
    config: String,
    limits: LimitsFile,
    input: InputFile,
    answer: AnswerFile,
    log: Vec<(String, String)>,
    memory_bytes: u64,
    nanoseconds: u64,
    instructions: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsFile {
    call_ms: i64,
    open_ms: i64,
    memory_bytes: usize,
    table_elements: usize,
    output_bytes: usize,
    body_bytes: usize,
    text_bytes: usize,
    log_bytes: usize,
    log_lines: usize,
    state_bytes: usize,
    calls: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum InputFile {
    Condition {
        at: i64,
        series: Vec<SeriesFile>,
        events: Vec<EventFile>,
        state: BTreeMap<String, Bytes>,
    },
    Router {
        at: i64,
        alerts: Vec<AlertFile>,
    },
    #[serde(rename_all = "camelCase")]
    Formatter {
        at: i64,
        key: String,
        receiver: String,
        group_labels: BTreeMap<String, String>,
        external_url: String,
        alerts: Vec<AlertFile>,
        #[serde(default)]
        id: String,
        #[serde(default)]
        channel: String,
        /// Words in the place of the stand-ins that the plugin got, made of the secrets' names alone.
        #[serde(default)]
        secrets: BTreeMap<String, String>,
    },
}

#[derive(Serialize, Deserialize)]
struct SeriesFile {
    labels: BTreeMap<String, String>,
    times: Vec<i64>,
    values: Vec<Number>,
}

#[derive(Serialize, Deserialize)]
struct EventFile {
    id: String,
    time: i64,
    kind: String,
    body: String,
    fields: BTreeMap<String, FieldFile>,
}

/// Told apart by name, since a text may look like a number.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FieldFile {
    Null,
    Bool(bool),
    Int(i64),
    Float(Number),
    Text(String),
    List(Vec<FieldFile>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertFile {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: i64,
    ends_at: Option<i64>,
    updated_at: i64,
    timeout: bool,
    generator_url: String,
    value: Option<Number>,
    firing: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum AnswerFile {
    Condition { findings: Vec<FindingFile>, unknown: Vec<u32>, state: Vec<(String, Option<Bytes>)> },
    Router(Vec<DecisionFile>),
    Formatter(MessageFile),
    Failure { kind: String, message: String },
}

#[derive(Serialize, Deserialize)]
struct FindingFile {
    series: u32,
    severity: String,
    value: Number,
    summary: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DecisionFile {
    receivers: Vec<String>,
    suppress: Option<String>,
    group_key: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageFile {
    title: String,
    content_type: String,
    body: String,
    headers: Vec<(String, String)>,
    dedup_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<TargetFile>,
}

#[derive(Serialize, Deserialize)]
struct TargetFile {
    method: String,
    url: String,
}

/// A number that may be none.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Number(f64),
            Text(String),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Number(value) => Ok(Number(value)),
            Spelling::Text(text) => text.parse().map(Number).map_err(serde::de::Error::custom),
        }
    }
}

/// Bytes as base64.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Bytes).map_err(serde::de::Error::custom)
    }
}

impl From<&Recording> for RecordingFile {
    fn from(recording: &Recording) -> RecordingFile {
        let Recording { plugin, number, digest, part, config, limits, input, answer, trace } = recording;
        RecordingFile {
            plugin: plugin.clone(),
            number: *number,
            digest: digest.clone(),
            part: part.clone(),
            config: config.clone(),
            limits: LimitsFile::from(limits),
            input: InputFile::from(input),
            answer: AnswerFile::from(answer),
            log: trace.log.iter().map(|line| (line.level.to_string(), line.message.clone())).collect(),
            memory_bytes: trace.memory_bytes,
            nanoseconds: trace.nanoseconds,
            instructions: trace.instructions,
        }
    }
}

impl RecordingFile {
    fn recording(self) -> Result<Recording, RecordingError> {
        let log = self.log.into_iter().map(|(level, message)| {
            let level =
                level.parse().map_err(|_| RecordingError::Content(format!("{level:?} is no level of a log")))?;
            Ok(LogLine { level, message })
        });
        Ok(Recording {
            plugin: self.plugin,
            number: self.number,
            digest: self.digest,
            part: self.part,
            config: self.config,
            limits: self.limits.limits(),
            input: self.input.input()?,
            answer: self.answer.answer()?,
            trace: Trace {
                log: log.collect::<Result<_, RecordingError>>()?,
                memory_bytes: self.memory_bytes,
                nanoseconds: self.nanoseconds,
                instructions: self.instructions,
            },
        })
    }
}

impl From<&Limits> for LimitsFile {
    fn from(limits: &Limits) -> LimitsFile {
        LimitsFile {
            call_ms: limits.call_time.as_millis(),
            open_ms: limits.open_time.as_millis(),
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            output_bytes: limits.output_bytes,
            body_bytes: limits.body_bytes,
            text_bytes: limits.text_bytes,
            log_bytes: limits.log_bytes,
            log_lines: limits.log_lines,
            state_bytes: limits.state_bytes,
            calls: limits.calls,
        }
    }
}

impl LimitsFile {
    fn limits(self) -> Limits {
        Limits {
            call_time: Duration::from_millis(self.call_ms),
            open_time: Duration::from_millis(self.open_ms),
            memory_bytes: self.memory_bytes,
            table_elements: self.table_elements,
            output_bytes: self.output_bytes,
            body_bytes: self.body_bytes,
            text_bytes: self.text_bytes,
            log_bytes: self.log_bytes,
            log_lines: self.log_lines,
            state_bytes: self.state_bytes,
            calls: self.calls,
        }
    }
}

impl From<&Input> for InputFile {
    fn from(input: &Input) -> InputFile {
        let alerts = |views: &[AlertView]| views.iter().map(AlertFile::from).collect();
        match input {
            Input::Condition(batch, state) => InputFile::Condition {
                at: batch.at.as_millis(),
                series: (0..batch.series.len()).map(|index| SeriesFile::of(batch, index)).collect(),
                events: batch.events.iter().map(EventFile::from).collect(),
                state: state.iter().map(|(key, value)| (key.clone(), Bytes(value.clone()))).collect(),
            },
            Input::Router(at, views) => InputFile::Router { at: at.as_millis(), alerts: alerts(views) },
            Input::Formatter(group) => InputFile::Formatter {
                at: group.at.as_millis(),
                key: group.key.clone(),
                receiver: group.receiver.clone(),
                group_labels: group.group_labels.clone(),
                external_url: group.external_url.clone(),
                alerts: alerts(&group.alerts),
                id: group.id.clone(),
                channel: group.channel.clone(),
                secrets: group.secrets.clone(),
            },
        }
    }
}

impl InputFile {
    fn input(self) -> Result<Input, RecordingError> {
        let views = |at: Timestamp, alerts: Vec<AlertFile>| -> Vec<AlertView> {
            alerts.into_iter().map(|alert| alert.view(at)).collect()
        };
        Ok(match self {
            InputFile::Condition { at, series, events, state } => {
                if series.iter().any(|series| series.times.len() != series.values.len()) {
                    return Err(RecordingError::Content("a series has more times than values, or less".to_owned()));
                }
                let series = series.into_iter().map(|SeriesFile { labels, times, values }| {
                    let times = times.into_iter().map(Timestamp::from_millis);
                    (Labels::from_pairs(labels), times.zip(values.into_iter().map(|value| value.0)))
                });
                let mut batch = Batch::new(Timestamp::from_millis(at), series);
                batch.events = events.into_iter().map(EventFile::event).collect();
                Input::Condition(batch, state.into_iter().map(|(key, value)| (key, value.0)).collect())
            }
            InputFile::Router { at, alerts } => {
                let at = Timestamp::from_millis(at);
                Input::Router(at, views(at, alerts))
            }
            InputFile::Formatter { at, key, receiver, group_labels, external_url, alerts, id, channel, secrets } => {
                let at = Timestamp::from_millis(at);
                Input::Formatter(MessageGroup {
                    at,
                    key,
                    receiver,
                    group_labels,
                    external_url,
                    alerts: views(at, alerts),
                    id,
                    channel,
                    secrets,
                })
            }
        })
    }
}

impl SeriesFile {
    fn of(batch: &Batch, index: usize) -> SeriesFile {
        let rows = batch.rows(index);
        SeriesFile {
            labels: pairs(&batch.series[index]),
            times: batch.timestamps[rows.clone()].to_vec(),
            values: batch.values[rows].iter().copied().map(Number).collect(),
        }
    }
}

fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|label| (label.name.to_owned(), label.value.to_owned())).collect()
}

impl From<&Event> for EventFile {
    fn from(event: &Event) -> EventFile {
        EventFile {
            id: event.id.clone(),
            time: event.time.as_millis(),
            kind: event.kind.clone(),
            body: event.body.clone(),
            fields: event.fields.iter().map(|(name, value)| (name.clone(), FieldFile::from(value))).collect(),
        }
    }
}

impl EventFile {
    fn event(self) -> Event {
        Event {
            id: self.id,
            time: Timestamp::from_millis(self.time),
            kind: self.kind,
            body: self.body,
            fields: self.fields.into_iter().map(|(name, value)| (name, value.value())).collect(),
        }
    }
}

impl From<&FieldValue> for FieldFile {
    fn from(value: &FieldValue) -> FieldFile {
        match value {
            FieldValue::Null => FieldFile::Null,
            FieldValue::Bool(value) => FieldFile::Bool(*value),
            FieldValue::Int(value) => FieldFile::Int(*value),
            FieldValue::Float(value) => FieldFile::Float(Number(*value)),
            FieldValue::Text(value) => FieldFile::Text(value.clone()),
            FieldValue::List(values) => FieldFile::List(values.iter().map(FieldFile::from).collect()),
        }
    }
}

impl FieldFile {
    fn value(self) -> FieldValue {
        match self {
            FieldFile::Null => FieldValue::Null,
            FieldFile::Bool(value) => FieldValue::Bool(value),
            FieldFile::Int(value) => FieldValue::Int(value),
            FieldFile::Float(value) => FieldValue::Float(value.0),
            FieldFile::Text(value) => FieldValue::Text(value),
            FieldFile::List(values) => FieldValue::List(values.into_iter().map(FieldFile::value).collect()),
        }
    }
}

impl From<&AlertView> for AlertFile {
    fn from(view: &AlertView) -> AlertFile {
        let alert = &view.alert;
        AlertFile {
            labels: pairs(&alert.labels),
            annotations: alert.annotations.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
            starts_at: alert.starts_at.as_millis(),
            ends_at: alert.ends_at.map(Timestamp::as_millis),
            updated_at: alert.updated_at.as_millis(),
            timeout: alert.timeout,
            generator_url: alert.generator_url.to_string(),
            value: alert.value.map(Number),
            firing: view.status == AlertStatus::Firing,
        }
    }
}

impl AlertFile {
    /// Whether it fires was decided when it was to be told and not when the plugin was called.
    fn view(self, at: Timestamp) -> AlertView {
        let status = if self.firing { AlertStatus::Firing } else { AlertStatus::Resolved };
        let alert = Alert {
            labels: Labels::from_pairs(self.labels),
            annotations: self.annotations.into_iter().collect(),
            starts_at: Timestamp::from_millis(self.starts_at),
            ends_at: self.ends_at.map(Timestamp::from_millis),
            updated_at: Timestamp::from_millis(self.updated_at),
            timeout: self.timeout,
            generator_url: self.generator_url.into(),
            value: self.value.map(|value| value.0),
        };
        AlertView { status, ..AlertView::new(alert, at) }
    }
}

impl From<&Result<Answer, Failure>> for AnswerFile {
    fn from(answer: &Result<Answer, Failure>) -> AnswerFile {
        match answer {
            Ok(Answer::Condition(outcome, writes)) => AnswerFile::Condition {
                findings: outcome.findings.iter().map(FindingFile::from).collect(),
                unknown: outcome.unknown.clone(),
                state: writes
                    .iter()
                    .map(|write| (write.key.clone(), write.value.as_deref().cloned().map(Bytes)))
                    .collect(),
            },
            Ok(Answer::Router(decisions)) => AnswerFile::Router(decisions.iter().map(DecisionFile::from).collect()),
            Ok(Answer::Formatter(message)) => AnswerFile::Formatter(MessageFile::from(message)),
            Err(Failure { kind, message }) => AnswerFile::Failure { kind: kind.clone(), message: message.clone() },
        }
    }
}

impl AnswerFile {
    fn answer(self) -> Result<Result<Answer, Failure>, RecordingError> {
        Ok(match self {
            AnswerFile::Condition { findings, unknown, state } => {
                let findings = findings.into_iter().map(FindingFile::finding).collect::<Result<_, _>>()?;
                let writes = state
                    .into_iter()
                    .map(|(key, value)| StateWrite { key, value: value.map(|value| Arc::new(value.0)) });
                Ok(Answer::Condition(Outcome { findings, unknown }, writes.collect()))
            }
            AnswerFile::Router(decisions) => {
                Ok(Answer::Router(decisions.into_iter().map(DecisionFile::decision).collect()))
            }
            AnswerFile::Formatter(message) => Ok(Answer::Formatter(message.message()?)),
            AnswerFile::Failure { kind, message } => Err(Failure { kind, message }),
        })
    }
}

impl From<&Finding> for FindingFile {
    fn from(finding: &Finding) -> FindingFile {
        FindingFile {
            series: finding.series,
            severity: finding.severity.to_string(),
            value: Number(finding.value),
            summary: finding.summary.clone(),
        }
    }
}

impl FindingFile {
    fn finding(self) -> Result<Finding, RecordingError> {
        let severity: Severity = self.severity.parse().map_err(|error| RecordingError::Content(format!("{error}")))?;
        Ok(Finding { series: self.series, severity, value: self.value.0, summary: self.summary })
    }
}

impl From<&Decision> for DecisionFile {
    fn from(decision: &Decision) -> DecisionFile {
        let Decision { receivers, suppress, group_key } = decision.clone();
        DecisionFile { receivers, suppress, group_key }
    }
}

impl DecisionFile {
    fn decision(self) -> Decision {
        Decision { receivers: self.receivers, suppress: self.suppress, group_key: self.group_key }
    }
}

impl From<&Message> for MessageFile {
    fn from(message: &Message) -> MessageFile {
        let Message { title, content_type, body, headers, dedup_key, target } = message.clone();
        let target = target.map(|target| TargetFile { method: target.method.as_str().to_owned(), url: target.url });
        MessageFile { title, content_type, body, headers, dedup_key, target }
    }
}

impl MessageFile {
    fn message(self) -> Result<Message, RecordingError> {
        let MessageFile { title, content_type, body, headers, dedup_key, target } = self;
        let target = target.map(|TargetFile { method, url }| {
            let known = Method::from_name(&method);
            known
                .map(|method| Target { method, url })
                .ok_or_else(|| RecordingError::Content(format!("{method:?} is no method of HTTP")))
        });
        Ok(Message { title, content_type, body, headers, dedup_key, target: target.transpose()? })
    }
}
