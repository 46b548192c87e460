//! What an alerting rule may say about the life of its alerts.

use std::rc::Rc;

use chrono_tz::Tz;
use watchfire_alerting::{CronError, CronTimes, RuleSchedule, TimeSpec};
use watchfire_events::{CompareOp, Threshold};
use watchfire_model::Duration;
use watchfire_promql::Features;
use watchfire_rules::{Absence, Alerting, SeverityThreshold};

use super::file::expression;
use crate::decode::{Decoder, Fields};
use crate::interval::{location, time_spec};
use crate::schema::Shape;
use crate::yaml::{Kind, Node};

/// How long data may be missing where only a recovery condition ends the alert: without data it would never end.
const MISSING_BEFORE_RECOVERY: Duration = Duration::from_hours(1);

/// After how long an absent series is forgotten.
const FORGET_AFTER: Duration = Duration::from_hours(24);

/// The keys that only an alerting rule can have, `annotations` excepted.
pub(super) const KEYS: [&str; 7] =
    ["for", "keep_firing_for", "ignore_missing", "resolve_when", "severities", "absent", "schedule"];

/// Reads everything but the annotations.
pub(super) fn alerting(f: &mut Fields<'_, '_>, features: Features) -> Alerting {
    let for_ = f.duration("for").unwrap_or_default();
    let keep_firing_for = f.duration("keep_firing_for").unwrap_or_default();
    let ignore_missing = f.duration("ignore_missing");
    f.shape("resolve_when", Shape::Text);
    let resolve_when = f.node("resolve_when").and_then(|node| expression(f, "resolve_when", &node, features));
    let severities = severities(f);
    let absent = f.object("absent", "absent", absence).flatten();
    let schedule = schedule(f);
    for (key, other, why) in [
        ("absent", "severities", "an absent series has no value to compare"),
        ("absent", "resolve_when", "the alert of an absent series ends when the series is back or forgotten"),
        ("absent", "ignore_missing", "`absent: {for: ...}` says how long a series may be missing"),
        ("absent", "condition", "a plugin decides over series that are there"),
        ("absent", "events", "a rule over events has `absent` within `events`"),
        ("severities", "condition", "the plugin says how bad a series is"),
        ("severities", "events", "make a rule for each severity of events"),
        ("ignore_missing", "events", "an event that does not come is not missing data"),
    ] {
        if f.has(key) && f.has(other) {
            f.key_error(key, "conflict", format!("a rule has both `{key}` and `{other}`: {why}"))
                .help("keep one of the two");
        }
    }
    let default = if resolve_when.is_some() { MISSING_BEFORE_RECOVERY } else { Duration::ZERO };
    Alerting {
        for_,
        keep_firing_for,
        ignore_missing: ignore_missing.unwrap_or(default),
        resolve_when,
        severities,
        absent,
        schedule,
        annotations: Vec::new(),
    }
}

fn absence(f: &mut Fields<'_, '_>) -> Option<Absence> {
    let for_ = f.duration("for");
    if !f.has("for") {
        f.missing("for").help("give the time after which a series that was there counts as absent, such as 5m");
    }
    let forget_after = f.duration("forget_after");
    let absence = Absence { for_: for_?, forget_after: forget_after.unwrap_or(FORGET_AFTER.max(for_?.times(2))) };
    if absence.forget_after <= absence.for_ {
        f.error("forget_after", "bad-absence", "forget_after must be longer than `for`")
            .help("a series is forgotten, and its alert ends, when it has been gone for this long");
    }
    Some(absence)
}

/// `severities: {warning: '> 0.8', critical: '> 0.95'}`.
fn severities(f: &mut Fields<'_, '_>) -> Vec<SeverityThreshold> {
    let own = f.peek("labels").and_then(|labels| labels.get("severity")).map(|node| node.start);
    let levels = f.read("severities", |decoder, node| {
        let errors = decoder.errors();
        let levels = decoder.entries(node, "severities", |decoder, entry| {
            let text = decoder.text(&entry.value, &entry.key)?;
            let threshold = threshold(&text);
            if threshold.is_none() && !decoder.is_recording() {
                decoder
                    .error(entry.value.start, "bad-severity", format!("{text:?} is not a comparison with a number"))
                    .help("write one of > >= < <= and a number, such as '> 0.95', in quotes");
            }
            Some((entry.value.start, threshold?))
        });
        if levels.is_empty() && !decoder.is_recording() && decoder.errors() == errors {
            decoder
                .error(node.start, "bad-severity", "severities names none")
                .help("write them from the mildest to the worst, such as {warning: '> 0.8', critical: '> 0.95'}");
        }
        for (i, (name, (at, level))) in levels.iter().enumerate().skip(1) {
            let (milder, (_, before)) = &levels[i - 1];
            let rises = |level: &Threshold| matches!(level.op, CompareOp::Greater | CompareOp::GreaterOrEqual);
            let implied = rises(level) == rises(before)
                && if rises(level) { level.value > before.value } else { level.value < before.value };
            if !implied {
                decoder
                    .error(*at, "bad-severity", format!("what is {name:?} is not always {milder:?} too"))
                    .help("write them from the mildest to the worst, all with > or all with <, such as {warning: '> 0.8', critical: '> 0.95'}");
            }
        }
        Some(levels)
    });
    if let Some(at) = own.filter(|_| f.has("severities")) {
        f.decoder()
            .error(at, "conflict", "a rule has both `severities` and a label `severity`")
            .help("remove the label: `severities` sets it");
    }
    let levels = levels.unwrap_or_default().into_iter();
    levels.map(|(severity, (_, threshold))| SeverityThreshold { severity, threshold }).collect()
}

fn threshold(text: &str) -> Option<Threshold> {
    let text = text.trim();
    let (op, number) = text.split_at(text.find(|c: char| !matches!(c, '<' | '>' | '='))?);
    let op = match CompareOp::parse(op)? {
        CompareOp::Equal | CompareOp::NotEqual => return None,
        op => op,
    };
    let value: f64 = number.trim().parse().ok()?;
    value.is_finite().then_some(Threshold { op, value })
}

/// A cron expression, a cron expression with its time zone, a time interval, or a list of these.
fn schedule(f: &mut Fields<'_, '_>) -> Option<RuleSchedule> {
    f.shape("schedule", Shape::Any);
    let node = f.node("schedule")?;
    let decoder = f.decoder();
    match &node.kind {
        Kind::Scalar { .. } => {
            let text = decoder.text(&node, "schedule")?;
            cron(decoder, &node, &text, Tz::UTC)
        }
        Kind::Mapping(entries) if entries.iter().any(|entry| entry.key == "cron") => {
            let read = decoder.mapping(&node, "a cron schedule", |f| {
                let (text, zone) = (f.filled("cron"), location(f).unwrap_or(Tz::UTC));
                let node = f.peek("cron").cloned();
                cron(f.decoder(), node?.as_ref(), &text?, zone)
            });
            read.flatten()
        }
        Kind::Sequence(items) => within(decoder, items),
        Kind::Mapping(_) => within(decoder, std::slice::from_ref(&node)),
    }
}

fn within(decoder: &mut Decoder<'_>, nodes: &[Rc<Node>]) -> Option<RuleSchedule> {
    let specs = nodes.iter().filter_map(|node| {
        let errors = decoder.errors();
        let spec = decoder.mapping(node, "a time interval", time_spec)?;
        let says_nothing = TimeSpec { location: None, ..spec.clone() } == TimeSpec::default();
        if says_nothing && decoder.errors() == errors {
            decoder
                .error(node.start, "bad-schedule", "this schedule does not say when the rule is active")
                .help("give times, weekdays, days_of_month, months or years; or cron, such as '0 7 * * *'");
        }
        Some(spec)
    });
    Some(RuleSchedule::Within(specs.collect()))
}

fn cron(decoder: &mut Decoder<'_>, node: &Node, text: &str, zone: Tz) -> Option<RuleSchedule> {
    match CronTimes::new(text, zone) {
        Ok(times) => Some(RuleSchedule::At(times)),
        Err(error) => {
            let help = match &error {
                CronError::NumberedWeekday(_) => "write names, such as Mon-Fri",
                CronError::Never => "correct the day of month or the month",
                CronError::Fields(_) | CronError::Invalid(_) => {
                    "such as '0 7 * * *' for seven o'clock, or '*/10 9-17 * * Mon-Fri'"
                }
            };
            decoder
                .error(node.start, "bad-schedule", format!("the schedule {text:?} is not valid: {error}"))
                .help(help);
            None
        }
    }
}
