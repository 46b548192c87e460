//! `events`: rules over a stream of events.

use std::collections::BTreeMap;
use std::rc::Rc;

use watchfire_events::{
    Aggregation, CompareOp, CompiledQuery, Direction, EventQuery, FieldMatcher, FieldOp, Step, Threshold, Window,
};
use watchfire_model::{Duration, FieldValue, Labels};

use crate::decode::{Decoder, Fields};
use crate::diagnostic::nearest;
use crate::tree::Tree;
use crate::yaml::{Entry, Kind, Node};

/// All windows, by their keys.
const WINDOWS: [&str; 14] = [
    "count",
    "rate",
    "sum",
    "avg",
    "min",
    "max",
    "quantile",
    "distinct",
    "absent",
    "sequence",
    "change",
    "new_value",
    "spike",
    "all",
];

/// The value of `events`.
pub(super) fn events(f: &mut Fields<'_, '_>) -> Option<CompiledQuery> {
    let matchers = matchers(f);
    let condition = f.filled("where");
    let by = f.texts("by").unwrap_or_default();
    let lateness = f.duration("lateness").unwrap_or(EventQuery::LATENESS);
    let forget_after = f.duration("forget_after");
    let mut windows: Vec<(&'static str, Window)> = Vec::new();
    for key in WINDOWS {
        if let Some(window) = window(f, key) {
            windows.push((key, window));
        }
    }
    let given: Vec<&str> = WINDOWS.into_iter().filter(|key| f.has(key)).collect();
    if let [_, second, ..] = given[..] {
        f.key_error(second, "conflict", format!("more than one window: {}", given.join(", ")))
            .help("keep one; make a rule of its own for each");
        return None;
    }
    if given.is_empty() {
        let start = f.start();
        f.decoder()
            .error(start, "missing-key", "events does not say what to look for")
            .help(format!("add one of: {}", WINDOWS.join(", ")));
        return None;
    }
    let (_, window) = windows.pop()?;
    let query = EventQuery { matchers, condition, by, lateness, forget_after, ..EventQuery::new(window) };
    let errors = query.validate();
    for error in &errors {
        let at = f.place(&error.what);
        f.decoder().error(at, "bad-event-query", format!("events.{} {}", error.what, error.message.replace('\n', " ")));
    }
    query.compile().ok()
}

impl Fields<'_, '_> {
    /// Where the part stands that a path such as `sequence.steps[1].match.user` names, as far as it exists.
    fn place(&self, path: &str) -> usize {
        let mut at = self.start();
        let mut node: Option<Rc<Node>> = None;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            let next = match (&node, part.strip_suffix(']')) {
                (Some(list), Some(index)) => match (&list.kind, index.parse::<usize>()) {
                    (Kind::Sequence(items), Ok(index)) => items.get(index).cloned(),
                    _ => None,
                },
                (Some(mapping), None) => mapping.get(part).cloned(),
                (None, _) => self.peek(part).cloned(),
            };
            let Some(next) = next else { break };
            at = next.start;
            node = Some(next);
        }
        at
    }
}

fn matchers(f: &mut Fields<'_, '_>) -> Vec<FieldMatcher> {
    let matchers = f.read("match", |decoder, node| Some(decoder.entries(node, "match", matcher)));
    matchers.unwrap_or_default().into_iter().flat_map(|(_, matchers)| matchers).collect()
}

/// `field: value`, `field: [one, of, these]` or `field: {operator: operand, ...}`.
fn matcher(decoder: &mut Decoder<'_>, entry: &Entry) -> Option<Vec<FieldMatcher>> {
    let field = entry.key.as_str();
    let Kind::Mapping(operators) = &entry.value.kind else {
        let operand = value(decoder.tree(&entry.value));
        let op = if matches!(operand, FieldValue::List(_)) { FieldOp::In } else { FieldOp::Eq };
        return Some(vec![FieldMatcher::new(field, op, operand)]);
    };
    let mut matchers = Vec::new();
    let mut ignore_case = false;
    for operator in operators {
        if operator.key == "ignore_case" {
            ignore_case = decoder.boolean(&operator.value, "ignore_case").unwrap_or(false);
            continue;
        }
        match FieldOp::parse(&operator.key) {
            Some(op) => matchers.push(FieldMatcher::new(field, op, value(decoder.tree(&operator.value)))),
            None => {
                let known: Vec<&str> = FieldOp::ALL.iter().map(|op| op.as_str()).collect();
                let help = match nearest(&operator.key, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("operators: {}; a nested field is written with a dot", known.join(", ")),
                };
                decoder
                    .error(operator.key_start, "unknown-key", format!("unknown operator {:?}", operator.key))
                    .help(help);
            }
        }
    }
    for matcher in &mut matchers {
        matcher.ignore_case = ignore_case;
    }
    Some(matchers)
}

fn value(tree: Tree) -> FieldValue {
    match tree {
        Tree::Null => FieldValue::Null,
        Tree::Bool(value) => FieldValue::Bool(value),
        Tree::Int(value) => FieldValue::Int(value),
        Tree::Float(value) => FieldValue::Float(value),
        Tree::Text(value) => FieldValue::Text(value),
        Tree::List(items) => FieldValue::List(items.into_iter().map(value).collect()),
        // A mapping has no meaning as an operand; the query's own check refuses its text.
        Tree::Map(_) => FieldValue::Text(tree.to_json()),
    }
}

fn window(f: &mut Fields<'_, '_>, key: &'static str) -> Option<Window> {
    let window = match key {
        "count" => f.object(key, "count", |f| {
            let (over, threshold) = (over(f), threshold(f));
            Some(Window::Count { over: over?, threshold: threshold? })
        }),
        "rate" => f.object(key, "rate", |f| {
            let (over, threshold) = (over(f), threshold(f));
            Some(Window::Rate { over: over?, threshold: threshold? })
        }),
        "sum" => aggregate(f, key, |_| Some(Aggregation::Sum)),
        "avg" => aggregate(f, key, |_| Some(Aggregation::Avg)),
        "min" => aggregate(f, key, |_| Some(Aggregation::Min)),
        "max" => aggregate(f, key, |_| Some(Aggregation::Max)),
        "quantile" => aggregate(f, key, |f| {
            let q = f.number("q");
            if q.is_none() && !f.has("q") {
                f.missing("q").help("give the quantile, such as 0.95");
            }
            q.map(Aggregation::Quantile)
        }),
        "distinct" => f.object(key, "distinct", |f| {
            let (field, over, threshold) = (field(f), over(f), threshold(f));
            Some(Window::Distinct { field: field?, over: over?, threshold: threshold? })
        }),
        "absent" => f.object(key, "absent", |f| {
            let duration = required_duration(f, "for", "give the time without an event, such as 26h");
            let expected = f.list("expected", |decoder, node| {
                let labels = decoder.entries(node, "expected", |decoder, entry| decoder.text(&entry.value, &entry.key));
                Some(Labels::from_pairs(labels.into_iter().collect::<BTreeMap<_, _>>()))
            });
            Some(Window::Absent { duration: duration?, expected })
        }),
        "sequence" => f.object(key, "sequence", |f| {
            let steps = f.list("steps", |decoder, node| {
                decoder.mapping(node, "a step", |f| Step { matchers: matchers(f), condition: f.filled("where") })
            });
            let within = required_duration(f, "within", "give the longest time from the first step to the last");
            let hold = f.duration("hold");
            let within = within?;
            Some(Window::Sequence { steps, within, hold: hold.unwrap_or(within) })
        }),
        "change" => f.object(key, "change", |f| {
            let (field, over, threshold) = (field(f), over(f), threshold(f));
            Some(Window::Change { field: field?, over: over?, threshold: threshold? })
        }),
        "new_value" => f.object(key, "new_value", |f| {
            let (field, over) = (field(f), over(f));
            let memory = f.duration("memory").unwrap_or(Duration::from_hours(30 * 24));
            let learn = f.duration("learn").unwrap_or(Duration::ZERO);
            Some(Window::NewValue { field: field?, over: over?, memory, learn })
        }),
        "spike" => f.object(key, "spike", |f| {
            let over = over(f);
            let baseline = f.duration("baseline");
            let factor = f.number("factor").unwrap_or(3.0);
            let minimum = f.number("minimum").unwrap_or(10.0);
            let direction = match f.word("direction", &["up", "down"]) {
                Some("down") => Direction::Down,
                _ => Direction::Up,
            };
            let over = over?;
            Some(Window::Spike { over, baseline: baseline.unwrap_or(over.times(12)), factor, minimum, direction })
        }),
        _ => f.object(key, "all", |f| {
            let over = over(f);
            let field = f.filled("field");
            Some(Window::All { over: over?, field })
        }),
    };
    window.flatten()
}

fn aggregate(
    f: &mut Fields<'_, '_>,
    key: &'static str,
    aggregation: impl FnOnce(&mut Fields<'_, '_>) -> Option<Aggregation>,
) -> Option<Option<Window>> {
    f.object(key, key, |f| {
        let aggregation = aggregation(f);
        let (field, over, threshold) = (field(f), over(f), threshold(f));
        Some(Window::Aggregate { aggregation: aggregation?, field: field?, over: over?, threshold: threshold? })
    })
}

fn field(f: &mut Fields<'_, '_>) -> Option<String> {
    f.required("field", "name the field, such as event.duration_ms")
}

fn over(f: &mut Fields<'_, '_>) -> Option<Duration> {
    required_duration(f, "over", "give the window's length, such as 5m")
}

fn required_duration(f: &mut Fields<'_, '_>, key: &'static str, help: &str) -> Option<Duration> {
    let duration = f.duration(key);
    if !f.has(key) {
        f.missing(key).help(help);
    }
    duration
}

/// `op` and `value`; `>=` unless it says otherwise.
fn threshold(f: &mut Fields<'_, '_>) -> Option<Threshold> {
    let op = match f.word("op", &[">=", ">", "<=", "<", "==", "!="]) {
        Some(text) => CompareOp::parse(text),
        None => (!f.has("op")).then_some(CompareOp::GreaterOrEqual),
    };
    let value = f.number("value");
    if !f.has("value") {
        f.missing("value").help("give the number to compare with");
    }
    Some(Threshold { op: op?, value: value? })
}
