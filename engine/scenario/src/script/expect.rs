//! What is expected at one time, and how it compares with what is there.

use std::rc::Rc;

use watchfire_alerting::{AlertView, AlertViewState, DeliveryOutcome, InstanceState};
use watchfire_model::{ALERT_NAME_LABEL, AlertStatus, Duration, Labels, Timestamp};
use watchfire_promql::Value;

use super::pattern::{Candidate, Pattern, compare};
use crate::document::{Fields, Kind, Node, Reader};
use crate::series::{parse_series, show_value};
use crate::world::{Attempt, Reply};
use crate::{World, diff};

/// What is expected; what is not mentioned may be anything.
#[derive(Default)]
pub(crate) struct Expect {
    pub(crate) line: usize,
    states: Vec<(State, usize, Vec<Pattern>)>,
    /// The notifications since they were last asked for.
    notifications: Option<Vec<Told>>,
    groups: Option<(usize, Vec<Group>)>,
    queries: Vec<(usize, String, Vec<diff::Item>)>,
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

pub(crate) fn read_expect(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Expect {
    let mut expect = Expect { line: fields.node.place.line, ..Expect::default() };
    for (key, state) in STATES {
        if fields.has(key) {
            let patterns = fields.get(key).map(|node| read_patterns(reader, node, key)).unwrap_or_default();
            let line = fields.get(key).map_or(expect.line, |node| node.place.line);
            expect.states.push((state, line, patterns));
        }
    }
    if let Some(node) = fields.get("notifications") {
        let told = reader
            .list(Some(node), "notifications", |reader, node| reader.map(node, "an expected notification", read_told));
        expect.notifications = Some(told);
    }
    if let Some(node) = fields.get("none") {
        match reader.boolean(node, "none") {
            Some(true) if expect.notifications.is_none() => expect.notifications = Some(Vec::new()),
            _ => reader.error(node, "`none: true` says that nobody was told; leave it out beside notifications"),
        }
    }
    if fields.has("groups") {
        let node = fields.get("groups");
        let groups = reader.list(node, "groups", |reader, node| reader.map(node, "an expected group", read_group));
        expect.groups = Some((node.map_or(expect.line, |node| node.place.line), groups));
    }
    if let Some(node) = fields.get("query") {
        for (text, place, value) in node.entries() {
            let items = read_vector(reader, value);
            expect.queries.push((place.line, text.clone(), items));
        }
    }
    if fields.has("failing_rules") {
        let node = fields.get("failing_rules");
        let rules = reader.texts(node, "failing_rules");
        expect.failing = Some((node.map_or(expect.line, |node| node.place.line), rules));
    }
    expect
}

fn read_patterns(reader: &mut Reader<'_>, node: &Rc<Node>, what: &str) -> Vec<Pattern> {
    match &node.kind {
        Kind::List(_) => reader.list(Some(node), what, |reader, node| Pattern::read(reader, node)),
        _ => Pattern::read(reader, node).into_iter().collect(),
    }
}

fn read_told(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Told {
    let mut text = |key| fields.get(key).and_then(|node| reader.text(node, key));
    let (receiver, integration, reason, outcome) =
        (text("receiver"), text("integration"), text("reason"), text("outcome"));
    let mut patterns = |key| {
        let node = fields.get(key);
        let empty = fields.has(key).then(Vec::new);
        node.map(|node| read_patterns(reader, node, key)).or(empty)
    };
    let (firing, resolved, alerts) = (patterns("firing"), patterns("resolved"), patterns("alerts"));
    Told {
        line: fields.node.place.line,
        at: fields.get("at").and_then(|node| reader.duration(node, "at")),
        receiver,
        integration,
        reason,
        outcome,
        group: fields.get("group").map(|node| reader.labels(node, "group")),
        attempt: fields.get("attempt").and_then(|node| reader.number(node, "attempt")),
        folded: fields.get("folded").and_then(|node| reader.number(node, "folded")),
        firing,
        resolved,
        alerts,
        messages: reader.texts(fields.get("message"), "message"),
    }
}

fn read_group(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Group {
    Group {
        receiver: fields.get("receiver").and_then(|node| reader.text(node, "receiver")),
        labels: fields.get("labels").map(|node| reader.labels(node, "labels")),
        alerts: fields.get("alerts").map(|node| read_patterns(reader, node, "alerts")),
    }
}

/// `3`, or a mapping of series to values; nothing for an empty answer.
fn read_vector(reader: &mut Reader<'_>, node: &Node) -> Vec<diff::Item> {
    let item = |labels: Labels, value: String| diff::Item { labels, details: [("value".to_owned(), value)].into() };
    match &node.kind {
        Kind::Map(entries) => {
            let mut items = Vec::new();
            for (series, _, value) in entries {
                match parse_series(series) {
                    Ok(labels) => {
                        items.extend(reader.number(value, "a value").map(|value| item(labels, value.to_string())));
                    }
                    Err(message) => reader.error(value, message),
                }
            }
            items
        }
        _ if node.is_null() => Vec::new(),
        Kind::List(items) if items.is_empty() => Vec::new(),
        _ => reader.number(node, "a value").map(|value| item(Labels::empty(), value.to_string())).into_iter().collect(),
    }
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

    /// Each thing that is not as expected, with its line.
    pub(crate) fn check(&self, world: &World, seen: Seen<'_>) -> Vec<(usize, String)> {
        let mut wrong = Vec::new();
        for (state, line, patterns) in &self.states {
            let lines = compare(patterns, &candidates(world, *state));
            if !lines.is_empty() {
                wrong.push((*line, format!("{}\n{}", state.name(), lines.join("\n"))));
            }
        }
        if let Some((line, groups)) = &self.groups {
            let lines = compare_groups(groups, world);
            if !lines.is_empty() {
                wrong.push((*line, format!("groups\n{}", lines.join("\n"))));
            }
        }
        for (line, text, expected) in &self.queries {
            if let Some(message) = compare_query(world, text, expected) {
                wrong.push((*line, format!("{text}\n{message}")));
            }
        }
        if let Some((line, rules)) = &self.failing {
            let states = world.engine().rule_states();
            let failing = states.iter().filter(|rule| matches!(rule.health, watchfire_alerting::RuleHealth::Error(_)));
            let mut failing: Vec<&str> = failing.map(|rule| &*rule.name).collect();
            let mut expected: Vec<&str> = rules.iter().map(String::as_str).collect();
            failing.sort_unstable();
            expected.sort_unstable();
            if failing != expected {
                wrong.push((*line, format!("failing_rules\nexpected {expected:?}\ngot      {failing:?}")));
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

fn compare_query(world: &World, text: &str, expected: &[diff::Item]) -> Option<String> {
    let value = match world.query(text, world.now()) {
        Ok(answer) => answer.value,
        Err(error) => return Some(format!("failed: {error}")),
    };
    let item = |labels: Labels, value: String| diff::Item { labels, details: [("value".to_owned(), value)].into() };
    let got = match value {
        Value::Scalar(value) => vec![item(Labels::empty(), value.to_string())],
        Value::Vector(samples) => samples.into_iter().map(|s| item(s.labels, show_value(&s.value))).collect(),
        Value::String(_) | Value::Matrix(_) => return Some("is neither a vector nor a scalar".to_owned()),
    };
    diff::difference(expected, &got)
}

fn compare_groups(expected: &[Group], world: &World) -> Vec<String> {
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
                lines.push(format!("missing     {receiver} {labels}"));
            }
        }
    }
    for group in left {
        let names: Vec<_> = alerts(&group).iter().map(|alert| alert.labels.to_string()).collect();
        lines.push(format!("unexpected  {} {} with {}", group.receiver, group.labels, names.join(", ")));
    }
    lines
}

fn compare_attempts(expected: &[Told], attempts: &[Attempt], line: usize, seen: &Seen<'_>) -> Vec<(usize, String)> {
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
            Some((position, differences)) => {
                let attempt = left.remove(position);
                let message =
                    format!("notification differs: {}\n{}", show(attempt, seen.start), differences.join("\n"));
                wrong.push((told.line, message));
            }
            None => wrong.push((told.line, format!("nobody was told: {}", told.show()))),
        }
    }
    wrong.extend(
        left.into_iter().map(|attempt| (line, format!("unexpected notification: {}", show(attempt, seen.start)))),
    );
    wrong
}

impl Told {
    fn differences(&self, attempt: &Attempt, seen: &Seen<'_>) -> Vec<String> {
        let delivery = &attempt.delivery;
        let mut lines = Vec::new();
        let mut same = |what: &str, wanted: Option<String>, got: String| {
            if let Some(wanted) = wanted
                && wanted != got
            {
                lines.push(format!("{what}: expected {wanted}, got {got}"));
            }
        };
        same("receiver", self.receiver.clone(), delivery.receiver.to_string());
        same("at", self.at.map(|at| at.to_string()), attempt.at.since(seen.start).to_string());
        same("reason", self.reason.clone(), delivery.reason.as_str().to_owned());
        same("integration", self.integration.clone(), delivery.integration_key.to_string());
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
                lines.extend(compare(patterns, &candidates).iter().map(|line| format!("{what}: {line}")));
            }
        }
        if !self.messages.is_empty() {
            match (seen.render)(attempt) {
                Ok(message) => {
                    let missing = self.messages.iter().filter(|part| !message.contains(part.as_str()));
                    lines.extend(missing.map(|part| format!("message: {part:?} is not in {message:?}")));
                }
                Err(error) => lines.push(format!("message: {error}")),
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
            DeliveryOutcome::Retry { .. } => "retry",
            DeliveryOutcome::Rejected { .. } => "reject",
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
            format!("{state} {}{}", alert.name(), alert.labels.without(ALERT_NAME_LABEL))
        })
        .collect();
    let tries = if delivery.attempt > 1 { format!(", attempt {}", delivery.attempt) } else { String::new() };
    let (at, reason) = (attempt.at.since(start), delivery.reason.as_str());
    format!("at {at} {} ({reason}{tries}): {}", delivery.receiver, alerts.join(", "))
}
