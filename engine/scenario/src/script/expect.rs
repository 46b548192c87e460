//! What is expected at one time, and how it compares with what is there.

use std::rc::Rc;

use watchfire_alerting::{AlertView, AlertViewState, DeliveryOutcome, InstanceState};
use watchfire_config::document::{Decoder, Entry, Fields, Kind, Node};
use watchfire_model::{AlertStatus, Duration, Labels, Timestamp};
use watchfire_promql::Value;

use super::pattern::{Candidate, Pattern, compare};
use crate::World;
use crate::diff::{Item, Line, Mark, difference, named, opposed};
use crate::document::{CODE, float, labels, texts};
use crate::report::Mismatch;
use crate::series::{parse_series, show_value};
use crate::world::{Attempt, Reply};

/// What is expected; what is not mentioned may be anything.
#[derive(Default)]
pub(crate) struct Expect {
    pub(crate) line: usize,
    states: Vec<(State, usize, Vec<Pattern>)>,
    /// The notifications since they were last asked for.
    notifications: Option<Vec<Told>>,
    groups: Option<(usize, Vec<Group>)>,
    queries: Vec<(usize, String, Vec<Item>)>,
    failing: Option<(usize, Vec<String>)>,
}

/// A set of alerts that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Firing,
    Resolved,
    Silenced,
    Inhibited,
    Muted,
}

/// An expected attempt to deliver.
struct Told {
    line: usize,
    at: Option<Duration>,
    receiver: Option<String>,
    integration: Option<String>,
    reason: Option<String>,
    group: Option<Labels>,
    attempt: Option<f64>,
    /// How many alerts a rate limit had held back.
    folded: Option<f64>,
    outcome: Option<String>,
    firing: Option<Vec<Pattern>>,
    resolved: Option<Vec<Pattern>>,
    alerts: Option<Vec<Pattern>>,
    messages: Vec<String>,
}

/// An expected alert group.
struct Group {
    receiver: Option<String>,
    labels: Option<Labels>,
    alerts: Option<Vec<Pattern>>,
}

const STATES: [(&str, State); 6] = [
    ("pending", State::Pending),
    ("firing", State::Firing),
    ("resolved", State::Resolved),
    ("silenced", State::Silenced),
    ("inhibited", State::Inhibited),
    ("muted", State::Muted),
];

pub(crate) fn read_expect(fields: &mut Fields<'_, '_>) -> Expect {
    let mut expect = Expect { line: fields.position().line, ..Expect::default() };
    for (key, state) in STATES {
        if let Some(patterns) = read_patterns(fields, key) {
            expect.states.push((state, line_of(fields, key), patterns));
        }
    }
    if fields.node("notifications").is_some() {
        expect.notifications = Some(
            fields.list("notifications", |decoder, node| decoder.mapping(node, "an expected notification", read_told)),
        );
    }
    match fields.boolean("none") {
        None => {}
        Some(true) if expect.notifications.is_none() => expect.notifications = Some(Vec::new()),
        Some(_) => fields
            .error("none", CODE, "`none: true` says that nobody was told")
            .help("leave it out, or leave out `notifications`"),
    }
    if fields.has("groups") {
        let groups = fields.list("groups", |decoder, node| decoder.mapping(node, "an expected group", read_group));
        expect.groups = Some((line_of(fields, "groups"), groups));
    }
    let queries = fields.read("query", |decoder, node| {
        let read = |decoder: &mut Decoder<'_>, entry: &Entry| {
            Some((decoder.position(entry.key_start).line, read_vector(decoder, &entry.value)))
        };
        Some(decoder.entries(node, "query", read))
    });
    expect.queries = queries.unwrap_or_default().into_iter().map(|(text, (line, items))| (line, text, items)).collect();
    if fields.has("failing_rules") {
        let rules = texts(fields, "failing_rules");
        expect.failing = Some((line_of(fields, "failing_rules"), rules));
    }
    expect
}

/// The line in which the value of a key begins.
fn line_of(fields: &mut Fields<'_, '_>, key: &str) -> usize {
    let at = fields.at(key);
    fields.decoder().position(at).line
}

/// One pattern or a list of them; nothing if the key is not there.
fn read_patterns(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Vec<Pattern>> {
    let is_there = fields.has(key);
    let read = |decoder: &mut Decoder<'_>, node: &Rc<Node>| match &node.kind {
        Kind::Sequence(_) => Some(decoder.list(node, key, Pattern::read)),
        _ => Pattern::read(decoder, node).map(|pattern| vec![pattern]),
    };
    let patterns = fields.read(key, read).unwrap_or_default();
    is_there.then_some(patterns)
}

fn read_told(fields: &mut Fields<'_, '_>) -> Told {
    Told {
        line: fields.position().line,
        at: fields.duration("at"),
        receiver: fields.text("receiver"),
        integration: fields.text("integration"),
        reason: fields.text("reason"),
        outcome: fields.text("outcome"),
        group: read_labels(fields, "group"),
        attempt: fields.number("attempt"),
        folded: fields.number("folded"),
        firing: read_patterns(fields, "firing"),
        resolved: read_patterns(fields, "resolved"),
        alerts: read_patterns(fields, "alerts"),
        messages: texts(fields, "message"),
    }
}

fn read_group(fields: &mut Fields<'_, '_>) -> Group {
    Group {
        receiver: fields.text("receiver"),
        labels: read_labels(fields, "labels"),
        alerts: read_patterns(fields, "alerts"),
    }
}

fn read_labels(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Labels> {
    let is_there = fields.node(key).is_some();
    is_there.then(|| labels(fields, key))
}

/// `3`, or a mapping of series to values; nothing for an empty answer.
fn read_vector(decoder: &mut Decoder<'_>, node: &Rc<Node>) -> Vec<Item> {
    match &node.kind {
        Kind::Mapping(_) => {
            let read = |decoder: &mut Decoder<'_>, entry: &Entry| match parse_series(&entry.key) {
                Ok(labels) => float(decoder, &entry.value, "a value").map(|value| valued(labels, value.to_string())),
                Err(message) => {
                    decoder.error(entry.key_start, CODE, message);
                    None
                }
            };
            decoder.entries(node, "query", read).into_iter().map(|(_, item)| item).collect()
        }
        _ if node.is_empty() => Vec::new(),
        _ => {
            let value = float(decoder, node, "a value");
            value.map(|value| valued(Labels::empty(), value.to_string())).into_iter().collect()
        }
    }
}

fn valued(labels: Labels, value: String) -> Item {
    Item { labels, details: [("value".to_owned(), value)].into() }
}

/// What the comparison needs beside the world.
pub(crate) struct Seen<'a> {
    /// When the scenario began.
    pub(crate) start: Timestamp,
    /// Attempts that nobody has asked for yet; taken by an expectation about notifications.
    pub(crate) attempts: &'a mut Vec<Attempt>,
    /// What an attempt would say, if messages can be rendered.
    pub(crate) render: &'a dyn Fn(&Attempt) -> Result<String, String>,
}

impl Expect {
    /// How many things are looked at.
    pub(crate) fn checks(&self) -> usize {
        let single = usize::from(self.notifications.is_some()) + usize::from(self.groups.is_some());
        self.states.len() + self.queries.len() + single + usize::from(self.failing.is_some())
    }

    /// Each thing that is not as expected.
    pub(crate) fn check(&self, world: &World, seen: Seen<'_>) -> Vec<Mismatch> {
        let mut wrong = Vec::new();
        let mut note = |line: usize, title: &str, comparison: Vec<Line>| {
            if !comparison.is_empty() {
                wrong.push(Mismatch { line, title: title.to_owned(), comparison });
            }
        };
        for (state, line, patterns) in &self.states {
            note(*line, state.name(), compare(patterns, &candidates(world, *state)));
        }
        if let Some((line, groups)) = &self.groups {
            note(*line, "groups", compare_groups(groups, world));
        }
        for (line, text, expected) in &self.queries {
            note(*line, text, compare_query(world, text, expected));
        }
        if let Some((line, rules)) = &self.failing {
            let states = world.engine().rule_states();
            let failing = states.iter().filter(|rule| matches!(rule.health, watchfire_alerting::RuleHealth::Error(_)));
            let mut failing: Vec<&str> = failing.map(|rule| &*rule.name).collect();
            let mut expected: Vec<&str> = rules.iter().map(String::as_str).collect();
            failing.sort_unstable();
            expected.sort_unstable();
            if failing != expected {
                note(*line, "failing_rules", opposed(format!("{expected:?}"), format!("{failing:?}")).into());
            }
        }
        if let Some(told) = &self.notifications {
            let attempts = std::mem::take(seen.attempts);
            wrong.extend(compare_attempts(told, &attempts, self.line, &seen));
        }
        wrong
    }
}

impl State {
    fn name(self) -> &'static str {
        STATES.iter().find(|(_, state)| *state == self).map_or("", |(name, _)| name)
    }
}

fn candidates(world: &World, state: State) -> Vec<Candidate> {
    let now = world.now();
    let of_rules = |wanted: InstanceState| {
        let instances = world.engine().rule_states().into_iter().flat_map(|rule| rule.instances);
        instances.filter(move |instance| instance.state == wanted).map(|instance| Candidate {
            labels: instance.labels,
            annotations: instance.annotations,
            value: Some(instance.value),
        })
    };
    let from_outside = |status: AlertStatus| {
        let alerts = world.engine().alerts(now).into_iter();
        // Those of rules are taken from the rules, which know more of them.
        let known: Vec<_> = of_rules(InstanceState::Firing).chain(of_rules(InstanceState::Resolved)).collect();
        alerts
            .filter(move |view| {
                view.rules.is_empty() && view.status == status && !known.iter().any(|c| c.labels == view.alert.labels)
            })
            .map(of_view)
    };
    let suppressed = |by: fn(&AlertView) -> bool| {
        let alerts = world.engine().alerts(now).into_iter();
        alerts
            .filter(|view| view.state == AlertViewState::Suppressed && view.status == AlertStatus::Firing)
            .filter(by)
            .map(of_view)
    };
    match state {
        State::Pending => of_rules(InstanceState::Pending).collect(),
        State::Firing => of_rules(InstanceState::Firing).chain(from_outside(AlertStatus::Firing)).collect(),
        State::Resolved => of_rules(InstanceState::Resolved).chain(from_outside(AlertStatus::Resolved)).collect(),
        State::Silenced => suppressed(|view| !view.silenced_by.is_empty()).collect(),
        State::Inhibited => suppressed(|view| !view.inhibited_by.is_empty()).collect(),
        State::Muted => suppressed(|view| !view.muted_by.is_empty()).collect(),
    }
}

fn of_view(view: AlertView) -> Candidate {
    Candidate { labels: view.alert.labels, annotations: view.alert.annotations, value: view.alert.value }
}

fn compare_query(world: &World, text: &str, expected: &[Item]) -> Vec<Line> {
    let remark = |text: String| vec![Line::new(Mark::Got, text)];
    let got = match world.query(text, world.now()).map(|answer| answer.value) {
        Err(error) => return remark(format!("error: {error}")),
        Ok(Value::Scalar(value)) => vec![valued(Labels::empty(), value.to_string())],
        Ok(Value::Vector(samples)) => samples.into_iter().map(|s| valued(s.labels, show_value(&s.value))).collect(),
        Ok(Value::String(_) | Value::Matrix(_)) => return remark("neither a vector nor a scalar".to_owned()),
    };
    difference(expected, &got)
}

fn compare_groups(expected: &[Group], world: &World) -> Vec<Line> {
    let now = world.now();
    let mut left = world.engine().alert_groups(now);
    let mut lines = Vec::new();
    let alerts = |group: &watchfire_alerting::AlertGroupView| -> Vec<Candidate> {
        let views = group.alerts.iter().filter_map(|alert| world.engine().alert(now, alert.fingerprint));
        views.map(of_view).collect()
    };
    for wanted in expected {
        let fits = |group: &watchfire_alerting::AlertGroupView| {
            wanted.receiver.as_deref().is_none_or(|receiver| receiver == &*group.receiver)
                && wanted.labels.as_ref().is_none_or(|labels| *labels == group.labels)
                && wanted.alerts.as_ref().is_none_or(|patterns| compare(patterns, &alerts(group)).is_empty())
        };
        match left.iter().position(fits) {
            Some(position) => drop(left.remove(position)),
            None => {
                let receiver = wanted.receiver.as_deref().unwrap_or("any receiver");
                let labels = wanted.labels.as_ref().map_or("any".to_owned(), ToString::to_string);
                lines.push(Line::new(Mark::Expected, format!("{receiver} {labels}")));
            }
        }
    }
    for group in left {
        let names: Vec<_> = alerts(&group).iter().map(|alert| named(&alert.labels)).collect();
        let text = format!("{} {} with {}", group.receiver, group.labels, names.join(", "));
        lines.push(Line::new(Mark::Got, text));
    }
    lines
}

fn compare_attempts(expected: &[Told], attempts: &[Attempt], line: usize, seen: &Seen<'_>) -> Vec<Mismatch> {
    let mut left: Vec<&Attempt> = attempts.iter().collect();
    let mut wrong = Vec::new();
    let mut unmatched = Vec::new();
    for told in expected {
        match left.iter().position(|attempt| told.differences(attempt, seen).is_empty()) {
            Some(position) => drop(left.remove(position)),
            None => unmatched.push(told),
        }
    }
    for told in unmatched {
        // The one that differs least is probably the one that was meant.
        let nearest = left.iter().enumerate().min_by_key(|(_, attempt)| told.differences(attempt, seen).len());
        match nearest.map(|(position, attempt)| (position, told.differences(attempt, seen))) {
            Some((position, comparison)) => {
                let title = format!("another notification: {}", show(left.remove(position), seen.start));
                wrong.push(Mismatch { line: told.line, title, comparison });
            }
            None => wrong.push(Mismatch::new(told.line, format!("nobody was told: {}", told.show()))),
        }
    }
    let unexpected = |attempt| Mismatch::new(line, format!("unexpected notification: {}", show(attempt, seen.start)));
    wrong.extend(left.into_iter().map(unexpected));
    wrong
}

impl Told {
    fn differences(&self, attempt: &Attempt, seen: &Seen<'_>) -> Vec<Line> {
        let delivery = &attempt.delivery;
        let mut lines = Vec::new();
        let mut same = |what: &str, wanted: Option<String>, got: String| {
            if let Some(wanted) = wanted
                && wanted != got
            {
                lines.extend(opposed(format!("{what}: {wanted}"), format!("{what}: {got}")));
            }
        };
        same("receiver", self.receiver.clone(), delivery.receiver.to_string());
        same("at", self.at.map(|at| at.to_string()), attempt.at.since(seen.start).to_string());
        same("reason", self.reason.clone(), delivery.reason.as_str().to_owned());
        same("integration", self.integration.clone(), delivery.integration.to_string());
        same("group", self.group.as_ref().map(ToString::to_string), delivery.group_labels.to_string());
        same("attempt", self.attempt.map(|n| n.to_string()), delivery.attempt.to_string());
        same("folded", self.folded.map(|n| n.to_string()), delivery.folded.to_string());
        same("outcome", self.outcome.clone(), outcome(&attempt.reply).to_owned());
        let ended = |ended: Option<bool>| -> Vec<Candidate> {
            let alerts = delivery.alerts.iter().filter(|a| ended.is_none_or(|ended| a.ends_at.is_some() == ended));
            let candidate = |a: &watchfire_model::Alert| Candidate {
                labels: a.labels.clone(),
                annotations: a.annotations.clone(),
                value: a.value,
            };
            alerts.map(candidate).collect()
        };
        for (what, patterns, candidates) in [
            ("firing", &self.firing, ended(Some(false))),
            ("resolved", &self.resolved, ended(Some(true))),
            ("alerts", &self.alerts, ended(None)),
        ] {
            if let Some(patterns) = patterns {
                let differs = compare(patterns, &candidates).into_iter();
                lines.extend(differs.map(|line| Line { text: format!("{what}: {}", line.text), ..line }));
            }
        }
        if !self.messages.is_empty() {
            match (seen.render)(attempt) {
                Ok(message) => {
                    let missing: Vec<_> =
                        self.messages.iter().filter(|part| !message.contains(part.as_str())).collect();
                    lines.extend(
                        missing.iter().map(|part| Line::new(Mark::Expected, format!("message: ...{part:?}..."))),
                    );
                    if !missing.is_empty() {
                        lines.push(Line::new(Mark::Got, format!("message: {message:?}")));
                    }
                }
                Err(error) => lines.push(Line::new(Mark::Got, format!("message: {error}"))),
            }
        }
        lines
    }

    fn show(&self) -> String {
        let receiver = self.receiver.as_deref().unwrap_or("any receiver");
        let reason = self.reason.as_deref().map_or(String::new(), |reason| format!(", {reason}"));
        format!("{receiver}{reason}")
    }
}

fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Reply::Now(outcome) | Reply::After(_, outcome) => match outcome {
            DeliveryOutcome::Delivered { .. } => "ok",
            DeliveryOutcome::Retry { .. } | DeliveryOutcome::Partly { .. } => "retry",
            DeliveryOutcome::Rejected { .. } | DeliveryOutcome::RejectedInPart { .. } => "reject",
        },
        Reply::Never => "nothing",
    }
}

/// One line for an attempt: when, to whom, why and about what.
pub(crate) fn show(attempt: &Attempt, start: Timestamp) -> String {
    let delivery = &attempt.delivery;
    let alerts: Vec<_> = delivery
        .alerts
        .iter()
        .map(|alert| {
            let state = if alert.ends_at.is_some() { "resolved" } else { "firing" };
            format!("{state} {}", named(&alert.labels))
        })
        .collect();
    let tries = if delivery.attempt > 1 { format!(", attempt {}", delivery.attempt) } else { String::new() };
    let (at, reason) = (attempt.at.since(start), delivery.reason.as_str());
    format!("at {at} {} ({reason}{tries}): {}", delivery.receiver, alerts.join(", "))
}
