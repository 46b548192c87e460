//! Alerts as expectations name them: by some of their labels, and perhaps more.

use std::rc::Rc;

use watchfire_config::document::{Decoder, Kind, Node};
use watchfire_model::{ALERT_NAME_LABEL, Annotations, Labels, METRIC_NAME_LABEL};

use crate::diff::{Line, Mark, named};
use crate::document::{CODE, labels};
use crate::series::parse_series;

/// What an alert must have; what is not mentioned may be anything.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    labels: Labels,
    annotations: Annotations,
    value: Option<f64>,
}

/// An alert or instance to be compared with patterns.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) labels: Labels,
    pub(crate) annotations: Annotations,
    pub(crate) value: Option<f64>,
}

impl Pattern {
    /// `Down{job="a"}`, a mapping of labels, or `{labels: ..., annotations: ..., value: ...}`.
    pub(crate) fn read(decoder: &mut Decoder<'_>, node: &Rc<Node>) -> Option<Pattern> {
        let plain = |labels| Pattern { labels, annotations: Annotations::default(), value: None };
        if let Some(text) = node.text() {
            return match read_alert(text) {
                Ok(labels) => Some(plain(labels)),
                Err(message) => {
                    decoder.error(node.start, CODE, message);
                    None
                }
            };
        }
        if node.get("labels").is_some_and(|labels| matches!(labels.kind, Kind::Mapping(_))) {
            return decoder.mapping(node, "an expected alert", |fields| Pattern {
                labels: labels(fields, "labels"),
                annotations: fields.text_map("annotations").into_iter().collect(),
                value: fields.number("value"),
            });
        }
        let pairs = decoder.entries(node, "an expected alert", |decoder, entry| decoder.text(&entry.value, &entry.key));
        Some(plain(Labels::from_pairs(pairs)))
    }

    fn matches(&self, candidate: &Candidate) -> bool {
        self.labels.iter().all(|label| candidate.labels.get(label.name) == Some(label.value))
            && self.annotations.iter().all(|(name, text)| candidate.annotations.get(name) == Some(text))
            && self.value.is_none_or(|value| candidate.value == Some(value))
    }

    fn show(&self) -> String {
        show(&self.labels, &self.annotations, self.value)
    }
}

impl Candidate {
    fn show(&self) -> String {
        show(&self.labels, &self.annotations, self.value)
    }
}

fn show(labels: &Labels, annotations: &Annotations, value: Option<f64>) -> String {
    let mut text = named(labels);
    for (name, annotation) in annotations.iter() {
        text.push_str(&format!(" {name}={annotation:?}"));
    }
    if let Some(value) = value {
        text.push_str(&format!(" value {value}"));
    }
    text
}

/// `Down{job="a"}`: the name is the alert's.
pub(crate) fn read_alert(text: &str) -> Result<Labels, String> {
    let labels = parse_series(text)?;
    let Some(name) = labels.metric_name() else { return Ok(labels) };
    let mut builder = labels.to_builder();
    builder.set(ALERT_NAME_LABEL, name).remove(METRIC_NAME_LABEL);
    Ok(builder.build())
}

/// Compares a set of patterns with what is there: each pattern must match one and each one must be matched. Answers
/// the difference, one line for each.
pub(crate) fn compare(patterns: &[Pattern], candidates: &[Candidate]) -> Vec<Line> {
    let mut left: Vec<&Candidate> = candidates.iter().collect();
    let mut lines = Vec::new();
    // The one that says most chooses first, so that a general pattern does not take what a special one needs.
    let mut order: Vec<&Pattern> = patterns.iter().collect();
    order.sort_by_key(|p| std::cmp::Reverse(p.labels.len() + p.annotations.len() + usize::from(p.value.is_some())));
    for pattern in order {
        match left.iter().position(|candidate| pattern.matches(candidate)) {
            Some(position) => drop(left.remove(position)),
            None => lines.push(Line::new(Mark::Expected, pattern.show())),
        }
    }
    lines.extend(left.into_iter().map(|candidate| Line::new(Mark::Got, candidate.show())));
    lines
}
