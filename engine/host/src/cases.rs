//! A plugin's own tests: what goes in and what must come out.
//!
//! A file names one condition, router or formatter with a configuration. Its cases run one after the other; those of a
//! condition share its state, so that what is remembered can be tested. Authors write them as YAML; a build puts them
//! into the plugin as JSON, so that a version which fails them here never takes over.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use watchfire_model::{Alert, Duration, Event, FieldValue, Labels, Severity, Timestamp};
use watchfire_plugin::{AlertView, Batch, Decision, Kind, Message, MessageGroup, Outcome};

use crate::LoadError;
use crate::manifest::sections;
use crate::recording::{Answer, Failure, Input, Trace, apply};

/// When the first case happens: any time will do, but always the same.
const START_MS: i64 = 1_700_000_000_000;
/// The time between two cases that say nothing of their time.
const STEP: Duration = Duration::from_mins(1);

/// What came of one case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Each line says what was expected and what came; none where it passed.
    pub failures: Vec<String>,
    /// What the call took, and what it logged.
    pub trace: Trace,
}

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    condition: Option<String>,
    router: Option<String>,
    formatter: Option<String>,
    #[serde(default)]
    config: serde_json::Value,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    config: Option<serde_json::Value>,
    /// Milliseconds since 1970.
    at: Option<i64>,
    #[serde(default, deserialize_with = "said")]
    series: Option<Vec<SeriesCase>>,
    #[serde(default, deserialize_with = "said")]
    alerts: Option<Vec<AlertCase>>,
    /// For a formatter: by what the alerts are grouped.
    #[serde(default, deserialize_with = "said")]
    group_labels: Option<BTreeMap<String, String>>,
    /// For a formatter: the kind of channel, a webhook unless it says otherwise.
    channel: Option<String>,
    /// For a formatter: the secrets that are granted, and what stands in for each.
    #[serde(default, deserialize_with = "said")]
    secrets: Option<BTreeMap<String, String>>,
    findings: Option<Vec<FindingCase>>,
    /// Where findings are expected and nothing is said about these: none.
    unknown: Option<Vec<BTreeMap<String, String>>>,
    decisions: Option<Vec<DecisionCase>>,
    message: Option<MessageCase>,
    /// What the error's text must contain.
    error: Option<String>,
}

/// What is there, be it empty: what is for another kind is a mistake even then.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesCase {
    labels: BTreeMap<String, String>,
    value: Option<Number>,
    /// Older to newer, one a minute, the newest at the time of the case.
    #[serde(default)]
    values: Vec<Number>,
    /// In the place of values, for a condition over events: likewise.
    #[serde(default)]
    events: Vec<EventCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventCase {
    #[serde(default)]
    id: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    body: String,
    /// Flattened: `user.name`.
    #[serde(default)]
    fields: BTreeMap<String, FieldCase>,
    /// The number in the field that the rule names; 1 where it names none.
    value: Option<Number>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "write a text, a number, true or false")]
enum FieldCase {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl EventCase {
    fn event(&self, time: Timestamp) -> Event {
        let field = |field: &FieldCase| match field {
            FieldCase::Bool(value) => FieldValue::Bool(*value),
            FieldCase::Int(value) => FieldValue::Int(*value),
            FieldCase::Float(value) => FieldValue::Float(*value),
            FieldCase::Text(text) => FieldValue::Text(text.clone()),
        };
        Event {
            id: self.id.clone(),
            time,
            kind: self.kind.clone(),
            body: self.body.clone(),
            fields: self.fields.iter().map(|(name, value)| (name.clone(), field(value))).collect(),
        }
    }
}

/// YAML's core schema has no word for what is no number, so that it is given as a text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "write a number, NaN, Inf or -Inf")]
enum Number {
    Value(f64),
    Word(Word),
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Word {
    NaN,
    #[serde(alias = "+Inf")]
    Inf,
    #[serde(rename = "-Inf")]
    MinusInf,
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Number::Value(value) => value,
            Number::Word(Word::NaN) => f64::NAN,
            Number::Word(Word::Inf) => f64::INFINITY,
            Number::Word(Word::MinusInf) => f64::NEG_INFINITY,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SeverityWord {
    Info,
    Warning,
    Error,
    Critical,
}

impl SeverityWord {
    fn severity(self) -> Severity {
        match self {
            SeverityWord::Info => Severity::Info,
            SeverityWord::Warning => Severity::Warning,
            SeverityWord::Error => Severity::Error,
            SeverityWord::Critical => Severity::Critical,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FindingCase {
    labels: BTreeMap<String, String>,
    severity: Option<SeverityWord>,
    value: Option<Number>,
    summary: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertCase {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    resolved: bool,
    value: Option<Number>,
    /// For how long it has fired: a minute unless it says more.
    seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct DecisionCase {
    receivers: Vec<String>,
    suppress: Option<String>,
    group_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageCase {
    title: Option<String>,
    content_type: Option<String>,
    body: Option<String>,
    /// What the body must contain, for bodies that are long.
    #[serde(default)]
    body_contains: Vec<String>,
    dedup_key: Option<String>,
    /// The headers that it must have, among others.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Of a request of the plugin's own.
    method: Option<String>,
    url: Option<String>,
}

impl MessageCase {
    /// Whether every message is what it expects.
    fn is_empty(&self) -> bool {
        let MessageCase { title, content_type, body, body_contains, dedup_key, headers, method, url } = self;
        let texts = [title, content_type, body, dedup_key, method, url];
        texts.iter().all(|text| text.is_none()) && body_contains.is_empty() && headers.is_empty()
    }
}

/// Something in a case that nobody would look at, or that nothing is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// The number of the case, from 0.
    pub case: usize,
    /// The key.
    pub key: &'static str,
    /// The number of the item in its list, from 0, and the key in that, where it is about one.
    pub within: Option<(usize, &'static str)>,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

impl Cases {
    /// The name of the sections in which a plugin carries files of cases, each as JSON.
    pub const SECTION: &str = "watchfire:cases";
    /// Cases that a plugin may carry with it; more would make loading slow.
    pub const EMBEDDED_MAX: usize = 64;
    /// Bytes of these files.
    pub const EMBEDDED_BYTES_MAX: usize = 4 << 20;
    /// Values in these files, lists and objects included: an event that takes three bytes there takes hundreds when it is
    /// read.
    pub const EMBEDDED_VALUES_MAX: usize = 100_000;

    /// What a plugin's file carries.
    ///
    /// # Errors
    /// If it is no WebAssembly, or what it carries are no cases, or too many.
    pub(crate) fn embedded(wasm: &[u8]) -> Result<Vec<Cases>, LoadError> {
        let malformed = |error: &dyn std::fmt::Display| {
            LoadError::Malformed(format!(
                "the tests that it carries are not valid: {error}; build it again with `watchfire plugin build`"
            ))
        };
        let sections = sections(wasm, Cases::SECTION)?;
        let (bytes, limit) = (sections.iter().map(|json| json.len()).sum::<usize>(), Cases::EMBEDDED_BYTES_MAX);
        if bytes > limit {
            return Err(malformed(&format!("they take {bytes} bytes, the limit is {limit}")));
        }
        let (values, limit) = (sections.iter().map(|json| values(json)).sum::<usize>(), Cases::EMBEDDED_VALUES_MAX);
        if values > limit {
            return Err(malformed(&format!("they hold {values} values, the limit is {limit}")));
        }
        let files = sections.into_iter().map(|json| {
            let cases: Cases = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
            cases.subject().map_err(|error| malformed(&error))?;
            Ok(cases)
        });
        let files = files.collect::<Result<Vec<_>, LoadError>>()?;
        let count: usize = files.iter().map(Cases::len).sum();
        if count > Cases::EMBEDDED_MAX {
            return Err(malformed(&format!("there are {count}, the limit is {}", Cases::EMBEDDED_MAX)));
        }
        Ok(files)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// What they are about: its kind, and its name within the plugin.
    ///
    /// # Errors
    /// If they name none or several.
    pub fn subject(&self) -> Result<(Kind, &str), &'static str> {
        match (&self.condition, &self.router, &self.formatter) {
            (Some(name), None, None) => Ok((Kind::Condition, name)),
            (None, Some(name), None) => Ok((Kind::Router, name)),
            (None, None, Some(name)) => Ok((Kind::Formatter, name)),
            _ => Err("name one of `condition`, `router` and `formatter` that the cases are for"),
        }
    }

    /// What a case says that is for another kind, or that an error stands against, or that it expects nothing: a test that
    /// cannot fail.
    pub fn misplaced(&self) -> Option<Misplaced> {
        let kind = self.subject().ok()?.0;
        let of_case = |(number, case): (usize, &Case)| {
            let said: [(&'static str, bool, &[Kind]); 9] = [
                ("series", case.series.is_some(), &[Kind::Condition]),
                ("findings", case.findings.is_some(), &[Kind::Condition]),
                ("unknown", case.unknown.is_some(), &[Kind::Condition]),
                ("alerts", case.alerts.is_some(), &[Kind::Router, Kind::Formatter]),
                ("decisions", case.decisions.is_some(), &[Kind::Router]),
                ("group_labels", case.group_labels.is_some(), &[Kind::Formatter]),
                ("channel", case.channel.is_some(), &[Kind::Formatter]),
                ("secrets", case.secrets.is_some(), &[Kind::Formatter]),
                ("message", case.message.is_some(), &[Kind::Formatter]),
            ];
            let help = "remove it, or what it contradicts";
            let misplaced = |key, message: String| Misplaced { case: number, key, within: None, message, help };
            let (values, events) = case.series.iter().flatten().fold((false, false), |(values, events), series| {
                (values || series.value.is_some() || !series.values.is_empty(), events || !series.events.is_empty())
            });
            if values && events {
                return Some(misplaced("series", "a condition looks at values or at events, not at both".to_owned()));
            }
            let both = |series: &SeriesCase| series.value.is_some() && !series.values.is_empty();
            if let Some(item) = case.series.iter().flatten().position(both) {
                let message = "a series has a `value` or `values`, not both".to_owned();
                let help = "remove it; the last of the `values` is the newest";
                return Some(Misplaced { within: Some((item, "value")), help, ..misplaced("series", message) });
            }
            let foreign = said.iter().find(|(_, is_said, kinds)| *is_said && !kinds.contains(&kind));
            if let Some((key, ..)) = foreign {
                return Some(misplaced(*key, format!("a {} has no `{key}`", kind.as_str())));
            }
            let answers = ["findings", "unknown", "decisions", "message"];
            let answer = said.iter().find(|(key, is_said, _)| *is_said && answers.contains(key));
            if let Some((key, ..)) = answer.filter(|_| case.error.is_some()) {
                return Some(misplaced(*key, "where an `error` is expected there is no answer".to_owned()));
            }
            let empty = case.message.as_ref().filter(|message| message.is_empty()).map(|_| "message");
            let key = empty.or_else(|| (answer.is_none() && case.error.is_none()).then_some("name"))?;
            let message = "the case expects nothing, so that it cannot fail".to_owned();
            Some(Misplaced { help: expectations(kind), ..misplaced(key, message) })
        };
        self.cases.iter().enumerate().find_map(of_case)
    }

    /// Runs them, each when it is asked for. `call` makes one call: of what is named, with a configuration, on an input.
    ///
    /// # Errors
    /// As for [`Cases::subject`]; a case that fails is in its report.
    pub fn run(
        &self,
        mut call: impl FnMut(&str, &str, &Input) -> (Result<Answer, Failure>, Trace),
    ) -> Result<impl Iterator<Item = CaseReport>, &'static str> {
        let (kind, name) = self.subject()?;
        let (mut state, mut next) = (BTreeMap::new(), Timestamp::from_millis(START_MS));
        Ok(self.cases.iter().map(move |case| {
            let at = case.at.map_or(next, Timestamp::from_millis);
            next = at + STEP;
            let run = Run { file: self, case, at };
            let input = run.input(kind, &state);
            let (answer, trace) = call(name, &run.config(), &input);
            if let Ok(Answer::Condition(_, writes)) = &answer {
                apply(writes, &mut state);
            }
            CaseReport { name: case.name.clone(), failures: run.judge(&input, answer), trace }
        }))
    }
}

/// What may be expected of a kind.
const fn expectations(kind: Kind) -> &'static str {
    match kind {
        Kind::Condition => "say which `findings` or `unknown` come, `findings: []` for none, or which `error`",
        Kind::Router => "say which `decisions` come, one for each alert, or which `error`",
        Kind::Formatter => {
            "say what of the `message` comes, such as its `title`, `body` or `body_contains`, or which `error`"
        }
    }
}

/// The values in a JSON text, without reading any: each stands after a comma or begins its list or object. Empty ones
/// count as if they held one.
pub fn values(json: &[u8]) -> usize {
    let (mut is_text, mut is_escaped) = (false, false);
    let begins_value = |byte: &&u8| {
        let escaped = std::mem::take(&mut is_escaped);
        match **byte {
            b'"' if !escaped => is_text = !is_text,
            b'\\' if is_text => is_escaped = !escaped,
            b',' | b'[' | b'{' => return !is_text,
            _ => {}
        }
        false
    };
    1 + json.iter().filter(begins_value).count()
}

/// One case to be run.
struct Run<'c> {
    file: &'c Cases,
    case: &'c Case,
    at: Timestamp,
}

impl Run<'_> {
    fn input(&self, kind: Kind, state: &BTreeMap<String, Vec<u8>>) -> Input {
        match kind {
            Kind::Condition => Input::Condition(self.batch(), state.clone()),
            Kind::Router => Input::Router(self.at, self.alerts()),
            Kind::Formatter => Input::Formatter(self.group()),
        }
    }

    /// What is not as expected.
    fn judge(&self, input: &Input, answer: Result<Answer, Failure>) -> Vec<String> {
        match (answer, &self.case.error) {
            (Ok(answer), None) => self.compare(input, answer),
            (Ok(_), Some(expected)) => vec![format!("expected the error {expected:?}, got an answer")],
            (Err(failure), None) => vec![format!("failed: {}", failure.message)],
            (Err(failure), Some(expected)) if failure.message.contains(expected.as_str()) => Vec::new(),
            (Err(failure), Some(expected)) => {
                vec![format!("expected the error {expected:?}, got {:?}", failure.message)]
            }
        }
    }

    fn compare(&self, input: &Input, answer: Answer) -> Vec<String> {
        match (input, answer) {
            (Input::Condition(batch, _), Answer::Condition(outcome, _)) => self.compare_outcome(batch, &outcome),
            (_, Answer::Router(decisions)) => self.compare_decisions(decisions),
            (_, Answer::Formatter(message)) => {
                self.case.message.as_ref().map_or_else(Vec::new, |expected| compare_message(expected, &message))
            }
            // A condition is answered as one.
            (_, Answer::Condition(..)) => Vec::new(),
        }
    }

    /// The configuration as the host hands it to a plugin.
    fn config(&self) -> String {
        match self.case.config.as_ref().unwrap_or(&self.file.config) {
            serde_json::Value::Null => "{}".to_owned(),
            config => config.to_string(),
        }
    }

    fn compare_decisions(&self, decisions: Vec<Decision>) -> Vec<String> {
        let came: Vec<DecisionCase> = decisions.into_iter().map(decision).collect();
        let Some(expected) = &self.case.decisions else { return Vec::new() };
        let pairs = (0..expected.len().max(came.len())).map(|i| (i, expected.get(i), came.get(i)));
        let wrong = pairs.filter(|(_, expected, came)| expected != came);
        let told = |decision: Option<&DecisionCase>| decision.map_or_else(|| "nothing".to_owned(), DecisionCase::text);
        wrong.map(|(i, expected, came)| format!("alert {i}: expected {}, got {}", told(expected), told(came))).collect()
    }

    fn group(&self) -> MessageGroup {
        MessageGroup {
            at: self.at,
            key: "group".to_owned(),
            receiver: "receiver".to_owned(),
            group_labels: self.case.group_labels.clone().unwrap_or_default(),
            external_url: "http://watchfire.example".to_owned(),
            alerts: self.alerts(),
            id: "notification".to_owned(),
            channel: self.case.channel.clone().unwrap_or_else(|| "webhook".to_owned()),
            secrets: self.case.secrets.clone().unwrap_or_default(),
        }
    }

    fn batch(&self) -> Batch {
        let mut events = Vec::new();
        let series = self.case.series.iter().flatten().map(|series| {
            let labels = Labels::from_pairs(series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let of_events = series.events.iter().map(|event| event.value.map_or(1.0, Number::value));
            let values = series.values.iter().chain(&series.value).map(|number| number.value()).chain(of_events);
            let values: Vec<f64> = values.collect();
            let count = i64::try_from(values.len()).unwrap_or(0);
            let times = (0..count).rev().map(|before| self.at - STEP.times(before));
            events.extend(series.events.iter().zip(times.clone()).map(|(event, time)| event.event(time)));
            (labels, times.zip(values))
        });
        let batch = Batch::new(self.at, series);
        Batch { events, ..batch }
    }

    fn alerts(&self) -> Vec<AlertView> {
        let alerts = self.case.alerts.iter().flatten().map(|alert| {
            let starts = self.at - alert.seconds.map_or(STEP, Duration::from_secs);
            let alert = Alert {
                labels: Labels::from_pairs(alert.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
                annotations: alert.annotations.iter().collect(),
                starts_at: starts,
                ends_at: alert.resolved.then_some(self.at),
                updated_at: self.at,
                timeout: false,
                generator_url: "".into(),
                value: alert.value.map(Number::value),
            };
            AlertView::new(alert, self.at)
        });
        alerts.collect()
    }

    fn compare_outcome(&self, batch: &Batch, outcome: &Outcome) -> Vec<String> {
        let mut failures = Vec::new();
        let labels = |index: u32| batch.series[index as usize].to_string();
        let key = |pairs: &BTreeMap<String, String>| {
            Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).to_string()
        };
        if let Some(expected) = &self.case.findings {
            for one in expected {
                let series = key(&one.labels);
                let Some(found) = outcome.findings.iter().find(|finding| labels(finding.series) == series) else {
                    failures.push(format!("{series}: expected a finding, there is none"));
                    continue;
                };
                let mut differs = |what: &str, expected: &dyn std::fmt::Debug, came: &dyn std::fmt::Debug| {
                    failures.push(format!("{series}: expected the {what} {expected:?}, got {came:?}"));
                };
                if let Some(expected) = one.severity
                    && expected.severity() != found.severity
                {
                    differs("severity", &expected.severity().as_str(), &found.severity.as_str());
                }
                if let Some(expected) = one.value.map(Number::value)
                    && expected.to_bits() != found.value.to_bits()
                    && !(expected.is_nan() && found.value.is_nan())
                {
                    differs("value", &expected, &found.value);
                }
                if let Some(expected) = &one.summary
                    && *expected != found.summary
                {
                    differs("summary", expected, &found.summary);
                }
            }
            let known: Vec<String> = expected.iter().map(|one| key(&one.labels)).collect();
            for finding in outcome.findings.iter().filter(|finding| !known.contains(&labels(finding.series))) {
                failures.push(format!("{}: found without being expected: {}", labels(finding.series), finding.summary));
            }
        }
        if self.case.findings.is_some() || self.case.unknown.is_some() {
            let mut unknown: Vec<String> = outcome.unknown.iter().map(|index| labels(*index)).collect();
            let mut expected: Vec<String> = self.case.unknown.iter().flatten().map(key).collect();
            unknown.sort();
            expected.sort();
            if unknown != expected {
                failures.push(format!("expected as unknown {expected:?}, got {unknown:?}"));
            }
        }
        failures
    }
}

impl DecisionCase {
    /// As an author writes it, without what it does not say.
    fn text(&self) -> String {
        let quoted = |key: &str, text: &Option<String>| text.as_ref().map(|text| format!("{key}: {text:?}"));
        let receivers = format!("receivers: [{}]", self.receivers.join(", "));
        let others = [quoted("suppress", &self.suppress), quoted("group_key", &self.group_key)];
        let parts: Vec<String> = std::iter::once(receivers).chain(others.into_iter().flatten()).collect();
        format!("{{{}}}", parts.join(", "))
    }
}

fn decision(decision: Decision) -> DecisionCase {
    let Decision { receivers, suppress, group_key } = decision;
    DecisionCase { receivers, suppress, group_key }
}

fn or_none(text: Option<&String>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"))
}

fn compare_message(expected: &MessageCase, came: &Message) -> Vec<String> {
    let (method, url) = came.target.as_ref().map(|own| (own.method.as_str().to_owned(), own.url.clone())).unzip();
    let texts = [
        ("title", &expected.title, Some(&came.title)),
        ("content_type", &expected.content_type, Some(&came.content_type)),
        ("body", &expected.body, Some(&came.body)),
        ("dedup_key", &expected.dedup_key, came.dedup_key.as_ref()),
        ("method", &expected.method, method.as_ref()),
        ("url", &expected.url, url.as_ref()),
    ];
    let mut failures: Vec<String> = texts
        .into_iter()
        .filter_map(|(what, expected, came)| Some((what, expected.as_ref()?, came)))
        .filter(|(_, expected, came)| Some(*expected) != *came)
        .map(|(what, expected, came)| format!("expected the {what} {expected:?}, got {}", or_none(came)))
        .collect();
    for (name, value) in &expected.headers {
        let sent = came.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        if sent != Some(value) {
            failures.push(format!("expected the header {name} {value:?}, got {}", or_none(sent)));
        }
    }
    for part in expected.body_contains.iter().filter(|part| !came.body.contains(part.as_str())) {
        failures.push(format!("expected {part:?} in the body, which is {:?}", came.body));
    }
    failures
}
