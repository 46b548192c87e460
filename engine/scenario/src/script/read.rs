//! From YAML to a script.

use std::collections::BTreeMap;
use std::rc::Rc;

use watchfire_alerting::{DeliveryOutcome, Recurrence};
use watchfire_config::parse_matchers;
use watchfire_model::{Alert, Duration, Event, FieldValue, Labels, Timestamp};
use watchfire_tsdb::SampleValue;

use super::expect::read_expect;
use super::pattern::read_alert;
use super::{Action, Definitions, Plan, Script, SentAlert, SilenceStep, Step};
use crate::document::{Fields, Kind, Node, Reader};
use crate::series::{parse_series, parse_values};
use crate::{Tools, load};

/// Reads a scenario; what is wrong with it is among the reader's diagnostics.
pub(crate) fn read(file: &str, reader: &mut Reader<'_>, root: &Node, tools: &Tools<'_>) -> Option<Script> {
    reader.map(root, "a scenario", |reader, fields| {
        let name = fields.get("scenario").and_then(|node| reader.text(node, "scenario")).unwrap_or_default();
        // Prose for the reader of the file.
        fields.get("description");
        let start = fields.get("start").and_then(|node| reader.timestamp(node, "start"));
        let definitions = read_definitions(file, reader, fields, tools);
        let on_ingest = fields.get("on_ingest").and_then(|node| reader.boolean(node, "on_ingest"));
        let interval = fields.get("interval").and_then(|node| reader.duration(node, "interval"));
        let series = reader.list(fields.get("series"), "series", |reader, node| {
            reader.map(node, "an input series", read_series).flatten()
        });
        let mut steps = reader.list(fields.get("steps"), "steps", |reader, node| {
            reader.map(node, "a step", |reader, fields| read_step(file, reader, fields, tools)).flatten()
        });
        if !steps.is_sorted_by_key(|step| step.at) {
            reader.error(root, "the steps must be in the order of time");
            steps.clear();
        }
        Script {
            name,
            line: root.place.line,
            start: start.unwrap_or(Timestamp::EPOCH),
            definitions,
            on_ingest,
            interval: interval.unwrap_or(Duration::from_mins(1)),
            series,
            steps,
        }
    })
}

fn read_definitions(file: &str, reader: &mut Reader<'_>, fields: &Fields<'_>, tools: &Tools<'_>) -> Definitions {
    let mut definitions = Definitions::default();
    if let Some(node) = fields.get("rules") {
        let mut files = Vec::new();
        let mut keep = |loaded, reader: &mut Reader<'_>| match loaded {
            Ok(file) => files.push(file),
            Err(errors) => reader.diagnostics.extend(errors),
        };
        if let Kind::Map(_) = node.kind {
            let text = reader.cut_out(node);
            keep(load::rule_text(file, &text), reader);
        } else {
            for pattern in reader.texts(Some(node), "rules") {
                for path in load::glob(file, &pattern, tools) {
                    keep(load::rule_file(&path, tools), reader);
                }
            }
        }
        definitions.rules = Some(files);
    }
    if let Some(node) = fields.get("config") {
        let loaded = match &node.kind {
            Kind::Map(_) => load::config_text(file, &reader.cut_out(node), tools),
            _ => {
                let path = reader.text(node, "config").unwrap_or_default();
                load::config_file(&load::relative(file, &path), tools)
            }
        };
        match loaded {
            Ok(config) => definitions.config = Some(config),
            Err(errors) => reader.diagnostics.extend(errors),
        }
    }
    definitions
}

fn read_series(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<(Labels, Vec<Option<SampleValue>>)> {
    let series = fields.get("series").and_then(|node| reader.text(node, "series")).unwrap_or_default();
    let values = fields.get("values").and_then(|node| reader.text(node, "values")).unwrap_or_default();
    let parsed = parse_series(&series).and_then(|labels| Ok((labels, parse_values(&values)?)));
    parsed.map_err(|message| reader.error(fields.node, message)).ok()
}

fn read_step(file: &str, reader: &mut Reader<'_>, fields: &Fields<'_>, tools: &Tools<'_>) -> Option<Step> {
    let at = match fields.get("at") {
        Some(node) => reader.duration(node, "at")?,
        None => {
            reader.error(fields.node, "a step needs a time: `at: 30s`");
            return None;
        }
    };
    // Each with its place, because things happen in the order in which they are written.
    let mut actions: Vec<(usize, Action)> = Vec::new();
    if let Some(node) = fields.get("samples") {
        actions.push((node.place.start, Action::Samples(read_samples(reader, node))));
    }
    if let Some(node) = fields.get("events") {
        let events = reader.list(Some(node), "events", read_event);
        actions.push((node.place.start, Action::Events(events)));
    }
    if let Some(node) = fields.get("alerts") {
        let alerts = reader.list(Some(node), "alerts", |reader, node| read_sent_alert(reader, node));
        actions.push((node.place.start, Action::Alerts(alerts)));
    }
    if let Some(node) = fields.get("silence") {
        let silence = reader.map(node, "a silence", read_silence);
        actions.extend(silence.flatten().map(|silence| (node.place.start, silence)));
    }
    if let Some(node) = fields.get("unsilence") {
        let name = reader.text(node, "unsilence").unwrap_or_default();
        actions.push((node.place.start, Action::Unsilence(name)));
    }
    for (key, snooze) in [("acknowledge", false), ("snooze", true)] {
        if let Some(node) = fields.get(key) {
            let action = reader.map(node, key, |reader, fields| read_acknowledge(reader, fields, snooze)).flatten();
            actions.extend(action.map(|action| (node.place.start, action)));
        }
    }
    if let Some(node) = fields.get("unacknowledge") {
        let text = reader.text(node, "unacknowledge").unwrap_or_default();
        match read_alert(&text) {
            Ok(labels) => actions.push((node.place.start, Action::Unacknowledge(labels))),
            Err(message) => reader.error(node, message),
        }
    }
    if let Some(node) = fields.get("reload") {
        let definitions = reader.map(node, "a reload", |reader, fields| read_definitions(file, reader, fields, tools));
        actions.push((node.place.start, Action::Reload(definitions.unwrap_or_default())));
    }
    if let Some(node) = fields.get("deliver") {
        let plan = reader.map(node, "deliver", read_plan).flatten();
        actions.extend(plan.map(|plan| (node.place.start, plan)));
    }
    if let Some(node) = fields.get("restart") {
        let down = match &node.kind {
            Kind::Scalar { text, .. } if text == "true" => Duration::ZERO,
            _ => reader
                .map(node, "a restart", |reader, fields| {
                    fields.get("down").and_then(|node| reader.duration(node, "down"))
                })
                .flatten()
                .unwrap_or(Duration::ZERO),
        };
        actions.push((node.place.start, Action::Restart(down)));
    }
    let expect = fields.get("expect").and_then(|node| reader.map(node, "expect", read_expect));
    actions.sort_by_key(|(place, _)| *place);
    let actions = actions.into_iter().map(|(_, action)| action).collect();
    Some(Step { line: fields.node.place.line, at, actions, expect })
}

/// A mapping of series to values.
fn read_samples(reader: &mut Reader<'_>, node: &Node) -> Vec<(Labels, SampleValue)> {
    let mut samples = Vec::new();
    for (series, text) in reader.text_map(node, "samples") {
        let parsed = parse_series(&series).and_then(|labels| match parse_values(&text)?.as_slice() {
            [Some(value)] => Ok((labels, value.clone())),
            _ => Err(format!("{series} needs one value at a time, not {text:?}; for more there is `series`")),
        });
        match parsed {
            Ok(sample) => samples.push(sample),
            Err(message) => reader.error(node, message),
        }
    }
    samples
}

/// `{type, body, id, age, count, ...fields}`: how long ago it happened, and how many of it.
fn read_event(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<(Duration, Event)> {
    let Kind::Map(entries) = &node.kind else {
        reader.error(node, "an event must be a mapping");
        return None;
    };
    let mut age = Duration::ZERO;
    let mut event = Event {
        id: String::new(),
        time: Timestamp::EPOCH,
        kind: String::new(),
        fields: BTreeMap::new(),
        body: String::new(),
    };
    for (key, _, value) in entries {
        match key.as_str() {
            "type" => event.kind = reader.text(value, "type")?,
            "body" => event.body = reader.text(value, "body")?,
            "id" => event.id = reader.text(value, "id")?,
            "age" => age = reader.duration(value, "age")?,
            _ => flatten(key, value, &mut event.fields),
        }
    }
    Some((age, event))
}

fn flatten(path: &str, node: &Node, fields: &mut BTreeMap<String, FieldValue>) {
    match &node.kind {
        Kind::Map(entries) => {
            for (key, _, value) in entries {
                flatten(&format!("{path}.{key}"), value, fields);
            }
        }
        _ => drop(fields.insert(path.to_owned(), field_value(node))),
    }
}

fn field_value(node: &Node) -> FieldValue {
    match &node.kind {
        Kind::List(items) => FieldValue::List(items.iter().map(|item| field_value(item)).collect()),
        Kind::Scalar { .. } if node.is_null() => FieldValue::Null,
        Kind::Scalar { text, plain: true } => match text.as_str() {
            "true" => FieldValue::Bool(true),
            "false" => FieldValue::Bool(false),
            _ => text
                .parse()
                .map(FieldValue::Int)
                .or_else(|_| text.parse().map(FieldValue::Float))
                .unwrap_or_else(|_: std::num::ParseFloatError| FieldValue::Text(text.clone())),
        },
        Kind::Scalar { text, .. } => FieldValue::Text(text.clone()),
        Kind::Map(_) => FieldValue::Null,
    }
}

fn read_sent_alert(reader: &mut Reader<'_>, node: &Node) -> Option<SentAlert> {
    let alert = |labels, annotations| Alert {
        labels,
        annotations,
        starts_at: Timestamp::MIN,
        ends_at: None,
        updated_at: Timestamp::MIN,
        timeout: false,
        generator_url: String::new(),
        value: None,
    };
    if let Kind::Scalar { text, .. } = &node.kind {
        return match read_alert(text) {
            Ok(labels) => Some(SentAlert { alert: alert(labels, BTreeMap::new()), starts: None, ends: None }),
            Err(message) => {
                reader.error(node, message);
                None
            }
        };
    }
    reader.map(node, "an alert", |reader, fields| {
        let labels = match fields.get("alert") {
            Some(node) => {
                let text = reader.text(node, "alert").unwrap_or_default();
                read_alert(&text).unwrap_or_else(|message| {
                    reader.error(node, message);
                    Labels::empty()
                })
            }
            None => fields.get("labels").map(|node| reader.labels(node, "labels")).unwrap_or_default(),
        };
        let annotations = fields.get("annotations").map(|node| reader.text_map(node, "annotations"));
        let starts = fields.get("starts").and_then(|node| reader.duration(node, "starts"));
        let ends = fields.get("ends").and_then(|node| reader.duration(node, "ends"));
        SentAlert { alert: alert(labels, annotations.unwrap_or_default()), starts, ends }
    })
}

fn read_acknowledge(reader: &mut Reader<'_>, fields: &Fields<'_>, snooze: bool) -> Option<Action> {
    let text = fields.get("alert").and_then(|node| reader.text(node, "alert")).unwrap_or_default();
    let by = fields.get("by").and_then(|node| reader.text(node, "by"));
    let lasts = fields.get("for").and_then(|node| reader.duration(node, "for"));
    match read_alert(&text) {
        Ok(labels) => Some(Action::Acknowledge { labels, by: by.unwrap_or_default(), lasts, snooze }),
        Err(message) => {
            reader.error(fields.node, message);
            None
        }
    }
}

fn read_silence(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Action> {
    let name = fields.get("name").and_then(|node| reader.text(node, "name")).unwrap_or_default();
    let mut matchers = Vec::new();
    for text in reader.texts(fields.get("matchers"), "matchers") {
        match parse_matchers(&text) {
            Ok(more) => matchers.extend(more),
            Err(error) => reader.error(fields.node, format!("{text:?}: {error}")),
        }
    }
    let starts = fields.get("starts").and_then(|node| reader.duration(node, "starts"));
    let lasts = fields.get("for").and_then(|node| reader.duration(node, "for"));
    let comment = fields.get("comment").and_then(|node| reader.text(node, "comment"));
    let lasts = lasts.unwrap_or(Duration::from_hours(1));
    // `cron` with `each`: within `for`, it holds from every time of the schedule for so long.
    let cron = fields.get("cron").and_then(|node| reader.text(node, "cron"));
    let location = fields.get("location").and_then(|node| reader.text(node, "location")).unwrap_or_default();
    let each = fields.get("each").and_then(|node| reader.duration(node, "each")).unwrap_or(Duration::from_hours(1));
    let recurrence = match cron.map(|cron| Recurrence::parse(&cron, &location, each)) {
        Some(Err(error)) => {
            reader.error(fields.node, error.to_string());
            return None;
        }
        recurrence => recurrence.and_then(Result::ok),
    };
    Some(Action::Silence(Box::new(SilenceStep {
        name,
        matchers: vec![matchers],
        starts: starts.unwrap_or(Duration::ZERO),
        lasts,
        recurrence,
        comment: comment.unwrap_or_default(),
    })))
}

fn read_plan(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Action> {
    let receiver = fields.get("receiver").and_then(|node| reader.text(node, "receiver"));
    let outcome = fields.get("outcome").and_then(|node| reader.text(node, "outcome")).unwrap_or_default();
    let retry_after = fields.get("retry_after").and_then(|node| reader.duration(node, "retry_after"));
    let after = fields.get("after").and_then(|node| reader.duration(node, "after")).unwrap_or(Duration::ZERO);
    let times = fields.get("times").and_then(|node| reader.number(node, "times"));
    let reason = "the scenario says so".to_owned();
    let outcome = match outcome.as_str() {
        "ok" => Some(DeliveryOutcome::Delivered { receipt: "ok".to_owned() }),
        "retry" => Some(DeliveryOutcome::Retry { after: retry_after, reason }),
        "reject" => Some(DeliveryOutcome::Rejected { reason }),
        "nothing" => None,
        _ => {
            reader.error(fields.node, "outcome must be ok, retry, reject or nothing");
            return None;
        }
    };
    Some(Action::Deliver { receiver, plan: Plan { outcome, after, times: times.map(|n| n as u32) } })
}
