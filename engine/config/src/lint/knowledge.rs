//! What is known beside the file that is looked at: other rules, and the series that there really are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use watchfire_model::{Duration, JOB_LABEL, Labels, METRIC_NAME_LABEL, MatchOp};
use watchfire_promql::syntax::{AggregateOp, BinaryOp, Expr, FunctionName, VectorSelector};
use watchfire_rules::{ExprSource, Position, Rule, RuleFile, RuleGroup, RuleKind, Source as RuleSource};

use super::labels::{LabelSet, Recorded, labels_of};

/// What is known beside the file that is looked at. Nothing is said about what is not known.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// Metrics that are gauges.
    pub gauges: BTreeSet<String>,
    /// How often series get a sample; without it nothing is said about ranges.
    pub(super) scrape_interval: Option<Duration>,
    recorded: Recorded,
    series: BTreeMap<Question, bool>,
    first: BTreeMap<Deed, (String, Position)>,
}

/// What a rule does. Two rules of one deed are one too many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deed {
    name: String,
    labels: Vec<(String, String)>,
    /// The expression, with `for` for an alert. The same name recorded by different expressions is common: each gives a
    /// part of the series.
    expr: String,
    for_: Option<Duration>,
    /// The server that is asked.
    server: Option<String>,
}

impl Deed {
    /// `None` for rules over events.
    fn of(group: &RuleGroup, rule: &Rule) -> Option<Deed> {
        let RuleSource::Expr(ExprSource { expr, .. }) = &rule.source else { return None };
        Some(Deed {
            name: rule.name.clone(),
            labels: rule.labels.iter().map(|(name, label)| (name.clone(), label.text().to_owned())).collect(),
            expr: expr.to_string(),
            for_: rule.alerting().map(|alerting| alerting.for_),
            server: group.source.as_ref().map(|source| source.prometheus.clone()),
        })
    }
}

/// Is there a series of this metric, and has one of them this label, and with this value?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The metric.
    pub metric: String,
    /// The label's name, and its value if that is asked for.
    pub label: Option<(String, Option<String>)>,
}

impl Question {
    /// Whether a series shows that the answer is yes.
    pub fn is_met_by(&self, series: &Labels) -> bool {
        let label = self.label.as_ref().is_none_or(|(name, value)| match value {
            Some(value) => series.value_or_empty(name) == value,
            None => series.get(name).is_some(),
        });
        series.value_or_empty(METRIC_NAME_LABEL) == self.metric && label
    }
}

impl fmt::Display for Question {
    /// As a selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{METRIC_NAME_LABEL}={:?}", self.metric)?;
        if let Some((name, value)) = &self.label {
            // Servers before Prometheus 3 know no names in quotes.
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let name = if plain { name.clone() } else { format!("{name:?}") };
            match value {
                Some(value) => write!(f, ", {name}={value:?}")?,
                None => write!(f, ", {name}!=\"\"")?,
            }
        }
        f.write_str("}")
    }
}

impl Knowledge {
    /// Nothing but how often series get a sample.
    pub fn new(scrape_interval: Option<Duration>) -> Knowledge {
        Knowledge { scrape_interval, ..Knowledge::default() }
    }

    /// Learns what the rules of a file do.
    pub fn add_rules(&mut self, file: &RuleFile) {
        for group in &file.groups {
            for rule in &group.rules {
                if let Some(deed) = Deed::of(group, rule) {
                    self.first.entry(deed).or_insert_with(|| (file.path.clone(), rule.position));
                }
            }
        }
        for rule in file.groups.iter().flat_map(|group| &group.rules) {
            let (RuleKind::Recording, RuleSource::Expr(ExprSource { expr, .. })) = (&rule.kind, &rule.source) else {
                continue;
            };
            // A name without a colon may as well be that of a series that is scraped, with labels of its own.
            if !rule.name.contains(':') {
                continue;
            }
            let labels = labels_of(expr, &self.recorded).with(rule.labels.iter().map(|(name, _)| name.as_str()));
            let labels = match self.recorded.remove(&rule.name) {
                Some(other) => labels.union(other),
                None => labels,
            };
            self.recorded.insert(rule.name.clone(), labels);
        }
    }

    /// What should be asked of a server or a store before a file is looked at: does any series match?
    pub fn questions(&self, file: &RuleFile) -> BTreeSet<Question> {
        let rules = file.groups.iter().flat_map(|group| &group.rules);
        let exprs = rules.filter_map(|rule| match &rule.source {
            RuleSource::Expr(source) => Some(&source.expr),
            RuleSource::Events(_) => None,
        });
        let selectors = exprs.flat_map(|expr| needed(expr));
        selectors.filter(|selector| !self.is_recorded(selector)).flat_map(questions_of).collect()
    }

    /// Learns the answer to a question.
    pub fn answer(&mut self, question: Question, exists: bool) {
        self.series.insert(question, exists);
    }

    /// The file and the place of an earlier rule that does the same.
    pub(super) fn earlier(&self, group: &RuleGroup, rule: &Rule) -> Option<&(String, Position)> {
        let first = self.first.get(&Deed::of(group, rule)?)?;
        (first.0 != group.file || first.1 != rule.position).then_some(first)
    }

    pub(super) fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    pub(super) fn is_recorded(&self, selector: &VectorSelector) -> bool {
        super::metric_name(selector).is_some_and(|name| self.recorded.contains_key(name))
    }

    pub(super) fn labels_of(&self, expr: &Expr) -> LabelSet {
        labels_of(expr, &self.recorded)
    }

    /// The first of a selector's questions that was answered with no: the metric is missing, or its label is.
    pub(super) fn missing(&self, selector: &VectorSelector) -> Option<Question> {
        questions_of(selector).into_iter().find(|question| self.series.get(question) == Some(&false))
    }
}

/// The selectors without whose series an expression has no result. An alternative, and whatever is there to notice that
/// series are missing, may well find none.
pub(super) fn needed(expr: &Expr) -> Vec<&VectorSelector> {
    match expr {
        Expr::Vector(selector) => vec![selector],
        Expr::Matrix(matrix) => vec![&matrix.selector],
        Expr::Binary(binary) if binary.op == BinaryOp::Or => Vec::new(),
        Expr::Binary(binary) if binary.op == BinaryOp::Unless => needed(&binary.lhs),
        Expr::Call(call) if matches!(call.function.id, FunctionName::Absent | FunctionName::AbsentOverTime) => {
            Vec::new()
        }
        // The number of what is wrong is often compared with what there is none of.
        Expr::Aggregate(aggregate) if aggregate.op == AggregateOp::CountValues => Vec::new(),
        other => other.children().into_iter().flat_map(needed).collect(),
    }
}

/// From the general to the special: the metric, each label that must be there, and the job. Other values are left
/// alone: a state that was never seen so far is what many alerts wait for.
fn questions_of(selector: &VectorSelector) -> Vec<Question> {
    let Some(name) = super::metric_name(selector).filter(|name| !name.starts_with("ALERTS")) else { return Vec::new() };
    let question = |label| Question { metric: name.to_owned(), label };
    let mut questions = vec![question(None)];
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME_LABEL) {
        let positive = matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex) && !matcher.matches("");
        if !positive {
            continue;
        }
        questions.push(question(Some((matcher.name().to_owned(), None))));
        if matcher.name() == JOB_LABEL && matcher.op() == MatchOp::Equal {
            questions.push(question(Some((JOB_LABEL.to_owned(), Some(matcher.value().to_owned())))));
        }
    }
    questions
}

/// Whether two names differ by a slip of the finger: at most two letters at one place, and no digit, because `rate5m`
/// and `rate1h` are both meant.
pub(super) fn is_slip(name: &str, other: &str) -> bool {
    let (name, other): (Vec<char>, Vec<char>) = (name.chars().collect(), other.chars().collect());
    let same = name.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let rest = name.len().min(other.len()) - same;
    let same_end = name.iter().rev().zip(other.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let (left, right) = (&name[same..name.len() - same_end], &other[same..other.len() - same_end]);
    let letters = |part: &[char]| part.iter().all(|c| c.is_alphabetic() || *c == '_');
    left.len().max(right.len()) <= 2 && letters(left) && letters(right)
}
