//! From YAML to a script.

use std::collections::BTreeMap;
use std::rc::Rc;

use watchfire_alerting::{DeliveryOutcome, Recurrence};
use watchfire_config::document::{Decoder, Entry, Fields, Kind, Node, Style};
use watchfire_config::parse_matchers;
use watchfire_model::{Alert, Annotations, Duration, Event, FieldValue, Labels, Timestamp};
use watchfire_tsdb::SampleValue;

use super::expect::read_expect;
use super::pattern::read_alert;
use super::{Action, Definitions, Plan, Script, SentAlert, SilenceStep, Step};
use crate::document::{CODE, good, labels, signed_duration, texts, timestamp};
use crate::series::{parse_series, parse_values};
use crate::unit_test::read_series;
use crate::{Tools, load};

/// Reads a scenario from the file `file`; what is wrong with it is among the decoder's diagnostics.
pub(crate) fn read(decoder: &mut Decoder<'_>, root: &Rc<Node>, file: &str, tools: &Tools<'_>) -> Option<Script> {
    decoder.mapping(root, "a scenario", |fields| {
        let name = fields.text("scenario").unwrap_or_default();
        // Prose for the reader of the file.
        fields.text("description");
        let start = timestamp(fields, "start").unwrap_or(Timestamp::EPOCH);
        let definitions = read_definitions(fields, file, tools);
        let on_ingest = fields.boolean("on_ingest");
        let interval = fields.duration("interval").unwrap_or(Duration::from_mins(1));
        let series =
            fields.list("series", |decoder, node| decoder.mapping(node, "an input series", read_series).flatten());
        let mut last = Duration::ZERO;
        let steps = fields.list("steps", |decoder, node| {
            let step = decoder.mapping(node, "a step", |fields| read_step(fields, file, tools)).flatten()?;
            if step.at < last {
                decoder
                    .error(node.start, CODE, format!("this step is at {}, after one at {last}", step.at))
                    .help("write the steps in the order of time");
            }
            last = step.at;
            Some(step)
        });
        Script { name, line: fields.position().line, start, definitions, on_ingest, interval, series, steps }
    })
}

fn read_definitions(fields: &mut Fields<'_, '_>, file: &str, tools: &Tools<'_>) -> Definitions {
    let mut definitions = Definitions::default();
    if let Some(node) = fields.node("rules") {
        let loaded = if matches!(node.kind, Kind::Mapping(_)) {
            let text = fields.decoder().cut_out(&node);
            vec![load::rule_text(file, &text, tools)]
        } else {
            let mut loaded = Vec::new();
            for pattern in texts(fields, "rules") {
                let paths = load::glob(file, &pattern, tools);
                if paths.is_empty() {
                    fields
                        .error("rules", "no-such-file", format!("no file matches {pattern:?}"))
                        .help("rule files are looked for relative to the scenario");
                }
                loaded.extend(paths.iter().map(|path| load::rule_file(path, tools)));
            }
            loaded
        };
        let mut files = Vec::new();
        for loaded in loaded {
            match loaded {
                Ok(file) => files.push(file),
                Err(errors) => fields.decoder().diagnostics.extend(errors),
            }
        }
        definitions.rules = Some(files);
    }
    if let Some(node) = fields.node("config") {
        let loaded = if matches!(node.kind, Kind::Mapping(_)) {
            load::config_text(file, &fields.decoder().cut_out(&node), tools)
        } else {
            let path = fields.text("config").unwrap_or_default();
            load::config_file(&load::relative(file, &path), tools)
        };
        match loaded {
            Ok(config) => definitions.config = Some(config),
            Err(errors) => fields.decoder().diagnostics.extend(errors),
        }
    }
    definitions
}

fn read_step(fields: &mut Fields<'_, '_>, file: &str, tools: &Tools<'_>) -> Option<Step> {
    let at = fields.duration("at");
    if !fields.has("at") {
        let start = fields.start();
        fields.decoder().error(start, CODE, "a step needs a time").help("write when it happens: `at: 30s`");
    }
    // Each with its place, because things happen in the order in which they are written.
    let mut actions: Vec<(usize, Action)> = Vec::new();
    if fields.node("samples").is_some() {
        actions.push((fields.at("samples"), Action::Samples(read_samples(fields))));
    }
    if fields.node("events").is_some() {
        let events = fields.list("events", read_event);
        actions.push((fields.at("events"), Action::Events(events)));
    }
    if fields.node("alerts").is_some() {
        let alerts = fields.list("alerts", read_sent_alert);
        actions.push((fields.at("alerts"), Action::Alerts(alerts)));
    }
    if let Some(silence) = fields.object("silence", "a silence", read_silence).flatten() {
        actions.push((fields.at("silence"), silence));
    }
    if let Some(name) = fields.text("unsilence") {
        actions.push((fields.at("unsilence"), Action::Unsilence(name)));
    }
    for (key, snooze) in [("acknowledge", false), ("snooze", true)] {
        let action = fields.object(key, key, |fields| read_acknowledge(fields, snooze)).flatten();
        actions.extend(action.map(|action| (fields.at(key), action)));
    }
    if let Some(labels) = alert(fields, "unacknowledge") {
        actions.push((fields.at("unacknowledge"), Action::Unacknowledge(labels)));
    }
    if let Some(newer) = fields.object("reload", "a reload", |fields| read_definitions(fields, file, tools)) {
        actions.push((fields.at("reload"), Action::Reload(newer)));
    }
    if let Some(plan) = fields.object("deliver", "deliver", read_plan).flatten() {
        actions.push((fields.at("deliver"), plan));
    }
    if let Some(node) = fields.node("restart") {
        let down = match node.text() {
            Some("true") => Some(Duration::ZERO),
            _ => fields.object("restart", "a restart", |fields| fields.duration("down")).flatten(),
        };
        actions.push((fields.at("restart"), Action::Restart(down.unwrap_or(Duration::ZERO))));
    }
    let expect = fields.object("expect", "expect", read_expect);
    actions.sort_by_key(|(place, _)| *place);
    let actions = actions.into_iter().map(|(_, action)| action).collect();
    Some(Step { line: fields.position().line, at: at?, actions, expect })
}

/// A mapping of series to values.
fn read_samples(fields: &mut Fields<'_, '_>) -> Vec<(Labels, SampleValue)> {
    let samples = fields.read("samples", |decoder, node| {
        let read = |decoder: &mut Decoder<'_>, entry: &Entry| {
            let text = decoder.text(&entry.value, &entry.key)?;
            let labels = parse_series(&entry.key).map_err(|message| (entry.key_start, message));
            let value = match parse_values(&text).as_deref() {
                Ok([Some(value)]) => Ok(value.clone()),
                Ok(_) => Err("a step has one value of each series; for more there is `series`".to_owned()),
                Err(message) => Err(message.clone()),
            };
            match labels.and_then(|labels| Ok((labels, value.map_err(|message| (entry.value.start, message))?))) {
                Ok(sample) => Some(sample),
                Err((at, message)) => {
                    decoder.error(at, CODE, message);
                    None
                }
            }
        };
        Some(decoder.entries(node, "samples", read))
    });
    samples.unwrap_or_default().into_iter().map(|(_, sample)| sample).collect()
}

/// `{type, body, id, age, count, ...fields}`: how long ago it happened, and how many of it.
fn read_event(decoder: &mut Decoder<'_>, node: &Rc<Node>) -> Option<(Duration, Event)> {
    let mut age = Duration::ZERO;
    let mut event = Event {
        id: String::new(),
        time: Timestamp::EPOCH,
        kind: String::new(),
        fields: BTreeMap::new(),
        body: String::new(),
    };
    decoder.entries(node, "an event", |decoder, Entry { key, value, .. }| {
        match key.as_str() {
            "type" => event.kind = decoder.text(value, "type")?,
            "body" => event.body = decoder.text(value, "body")?,
            "id" => event.id = decoder.text(value, "id")?,
            "age" => age = decoder.duration(value, "age")?,
            _ => flatten(key, value, &mut event.fields),
        }
        Some(())
    });
    Some((age, event))
}

fn flatten(path: &str, node: &Node, fields: &mut BTreeMap<String, FieldValue>) {
    match &node.kind {
        Kind::Mapping(entries) => {
            for Entry { key, value, .. } in entries {
                flatten(&format!("{path}.{key}"), value, fields);
            }
        }
        _ => drop(fields.insert(path.to_owned(), field_value(node))),
    }
}

fn field_value(node: &Node) -> FieldValue {
    match &node.kind {
        Kind::Sequence(items) => FieldValue::List(items.iter().map(|item| field_value(item)).collect()),
        Kind::Scalar { .. } if node.is_null() => FieldValue::Null,
        Kind::Scalar { text, style: Style::Plain } => match text.as_str() {
            "true" => FieldValue::Bool(true),
            "false" => FieldValue::Bool(false),
            _ => text
                .parse()
                .map(FieldValue::Int)
                .or_else(|_| text.parse().map(FieldValue::Float))
                .unwrap_or_else(|_: std::num::ParseFloatError| FieldValue::Text(text.clone())),
        },
        Kind::Scalar { text, .. } => FieldValue::Text(text.clone()),
        Kind::Mapping(_) => FieldValue::Null,
    }
}

fn read_sent_alert(decoder: &mut Decoder<'_>, node: &Rc<Node>) -> Option<SentAlert> {
    let sent = |labels, annotations, starts, ends| SentAlert {
        alert: Alert {
            labels,
            annotations,
            starts_at: Timestamp::MIN,
            ends_at: None,
            updated_at: Timestamp::MIN,
            timeout: false,
            generator_url: "".into(),
            value: None,
        },
        starts,
        ends,
    };
    if let Some(text) = node.text() {
        return match read_alert(text) {
            Ok(labels) => Some(sent(labels, Annotations::default(), None, None)),
            Err(message) => {
                decoder.error(node.start, CODE, message);
                None
            }
        };
    }
    decoder.mapping(node, "an alert", |fields| {
        let by_name = alert(fields, "alert");
        let labels = by_name.unwrap_or_else(|| labels(fields, "labels"));
        let annotations = fields.text_map("annotations").into_iter().collect();
        let (starts, ends) = (signed_duration(fields, "starts"), signed_duration(fields, "ends"));
        sent(labels, annotations, starts, ends)
    })
}

/// An alert in short: `Down{job="a"}`.
fn alert(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Labels> {
    let text = fields.text(key)?;
    good(fields, key, read_alert(&text))
}

fn read_acknowledge(fields: &mut Fields<'_, '_>, snooze: bool) -> Option<Action> {
    let by = fields.text("by").unwrap_or_default();
    let lasts = fields.duration("for");
    let labels = alert(fields, "alert");
    if !fields.has("alert") {
        let (start, what) = (fields.start(), fields.what());
        fields.decoder().error(start, CODE, format!("{what} names no alert")).help("write `alert: 'NAME{LABELS}'`");
    }
    Some(Action::Acknowledge { labels: labels?, by, lasts, snooze })
}

fn read_silence(fields: &mut Fields<'_, '_>) -> Option<Action> {
    let name = fields.text("name").unwrap_or_default();
    let mut matchers = Vec::new();
    for text in texts(fields, "matchers") {
        match parse_matchers(&text) {
            Ok(more) => matchers.extend(more),
            Err(error) => drop(fields.error("matchers", CODE, format!("{text:?}: {error}"))),
        }
    }
    let starts = signed_duration(fields, "starts").unwrap_or(Duration::ZERO);
    let lasts = fields.duration("for").unwrap_or(Duration::from_hours(1));
    let comment = fields.text("comment").unwrap_or_default();
    // `cron` with `each`: within `for`, it holds from every time of the schedule for so long.
    let cron = fields.text("cron");
    let location = fields.text("location").unwrap_or_default();
    let each = fields.duration("each").unwrap_or(Duration::from_hours(1));
    let recurrence = match cron.map(|cron| Recurrence::parse(&cron, &location, each)) {
        Some(Err(error)) => {
            fields.error("cron", CODE, error.to_string());
            return None;
        }
        recurrence => recurrence.and_then(Result::ok),
    };
    Some(Action::Silence(Box::new(SilenceStep { name, matchers: vec![matchers], starts, lasts, recurrence, comment })))
}

fn read_plan(fields: &mut Fields<'_, '_>) -> Option<Action> {
    let receiver = fields.text("receiver");
    let outcome = fields.text("outcome").unwrap_or_default();
    let retry_after = fields.duration("retry_after");
    let after = fields.duration("after").unwrap_or(Duration::ZERO);
    let times = fields.count("times").map(|times| u32::try_from(times).unwrap_or(u32::MAX));
    let reason = "the scenario says so".to_owned();
    let outcome = match outcome.as_str() {
        "ok" => Some(DeliveryOutcome::Delivered { receipt: "ok".to_owned() }),
        "retry" => Some(DeliveryOutcome::Retry { after: retry_after, reason }),
        "reject" => Some(DeliveryOutcome::Rejected { reason }),
        "nothing" => None,
        _ => {
            fields
                .error("outcome", CODE, format!("an attempt cannot end with {outcome:?}"))
                .help("possible: ok, retry, reject, nothing");
            return None;
        }
    };
    Some(Action::Deliver { receiver, plan: Plan { outcome, after, times } })
}
