//! From what a rule says to what is asked of each event.

use std::collections::BTreeMap;

use watchfire_model::{Duration, Event, Labels, LabelsBuilder};

use crate::condition::{Condition, ConditionError};
use crate::field::lookup;
use crate::matcher::CompiledMatcher;
use crate::{Aggregation, EventQuery, EventQueryError, FieldMatcher, Step, Threshold, Window};

/// Steps of a sequence; an event's steps are bits of a number.
const STEPS_MAX: usize = 32;

/// How many windows long a group without events stays known by default.
const FORGET_AFTER_WINDOWS: i64 = 7;

/// A query that is ready to be asked.
#[derive(Debug)]
pub struct CompiledQuery {
    query: EventQuery,
    filter: Filter,
    steps: Vec<Filter>,
    /// Field and label for each of `by`.
    labels: Vec<(String, String)>,
}

/// Matchers and an expression; all must hold.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) matchers: Vec<CompiledMatcher>,
    condition: Option<Condition>,
}

impl Filter {
    fn compile(
        matchers: &[FieldMatcher],
        condition: Option<&str>,
        path: &str,
        errors: &mut Vec<EventQueryError>,
    ) -> Filter {
        let mut filter = Filter { matchers: Vec::new(), condition: None };
        for matcher in matchers {
            match CompiledMatcher::compile(matcher, &format!("{path}match")) {
                Ok(compiled) => filter.matchers.push(compiled),
                Err(error) => errors.push(error),
            }
        }
        match condition.map(Condition::compile) {
            Some(Ok(condition)) => filter.condition = Some(condition),
            Some(Err(message)) => errors.push(EventQueryError { what: format!("{path}where"), message }),
            None => {}
        }
        filter
    }

    fn matches(&self, event: &Event) -> Result<bool, ConditionError> {
        if !self.matchers.iter().all(|matcher| matcher.matches(event)) {
            return Ok(false);
        }
        self.condition.as_ref().map_or(Ok(true), |condition| condition.holds(event))
    }
}

impl EventQuery {
    /// Everything that is wrong with the query; empty if it compiles.
    pub fn validate(&self) -> Vec<EventQueryError> {
        self.build().err().unwrap_or_default()
    }

    /// Prepares the query.
    ///
    /// # Errors
    /// The first thing that is wrong; [`EventQuery::validate`] has the others.
    pub fn compile(&self) -> Result<CompiledQuery, EventQueryError> {
        self.build().map_err(|mut errors| errors.swap_remove(0))
    }

    fn build(&self) -> Result<CompiledQuery, Vec<EventQueryError>> {
        let mut errors = Vec::new();
        let filter = Filter::compile(&self.matchers, self.condition.as_deref(), "", &mut errors);
        let steps = match &self.window {
            Window::Sequence { steps, .. } => {
                let compile = |(i, step): (usize, &Step)| {
                    let path = format!("sequence.steps[{i}].");
                    Filter::compile(&step.matchers, step.condition.as_deref(), &path, &mut errors)
                };
                steps.iter().enumerate().map(compile).collect()
            }
            _ => Vec::new(),
        };
        let labels: Vec<_> = self.by.iter().map(|field| (field.clone(), label_name(field))).collect();
        let mut by_label: BTreeMap<&str, &str> = BTreeMap::new();
        for (field, label) in &labels {
            if field.is_empty() {
                errors.push(wrong("by", "a field needs a name"));
            } else if let Some(other) = by_label.insert(label, field) {
                errors.push(wrong("by", format!("{other} and {field} would both become the label {label}")));
            }
        }
        if let Window::Absent { expected, .. } = &self.window {
            let names: Vec<_> = labels.iter().map(|(_, label)| label.as_str()).collect();
            if expected.iter().any(|group| group.iter().any(|label| !names.contains(&label.name))) {
                errors.push(wrong("absent.expected", "has a label that is not in by"));
            }
        }
        self.check_window(&mut errors);
        self.check_limits(&mut errors);
        if errors.is_empty() { Ok(CompiledQuery { query: self.clone(), filter, steps, labels }) } else { Err(errors) }
    }

    fn check_window(&self, errors: &mut Vec<EventQueryError>) {
        let kind = self.window.kind();
        let mut check = |part: &str, ok: bool, message: &str| {
            if !ok {
                errors.push(wrong(format!("{kind}.{part}"), message));
            }
        };
        let positive = |span: Duration| span > Duration::ZERO;
        const SPAN: &str = "must be longer than 0s, such as 5m";
        match &self.window {
            Window::All { over, .. } => check("over", positive(*over), SPAN),
            Window::Count { over, threshold } => {
                check("over", positive(*over), SPAN);
                check("value", !threshold.value.is_nan(), "must be a number");
                let reachable = self.can_count(threshold.value);
                check("value", reachable, "is more than the events that are kept of a group (group_events_max)");
            }
            Window::Rate { over, threshold } => {
                check("over", positive(*over), SPAN);
                check("value", !threshold.value.is_nan(), "must be a number");
                let reachable = self.can_count(threshold.value * over.as_secs_f64());
                check("value", reachable, "is more than the events that are kept of a group (group_events_max)");
            }
            Window::Aggregate { aggregation, field, over, threshold } => {
                check("over", positive(*over), SPAN);
                check("field", !field.is_empty(), "must name the field whose numbers are taken");
                check("value", !threshold.value.is_nan(), "must be a number");
                if let Aggregation::Quantile(q) = aggregation {
                    check("q", (0.0..=1.0).contains(q), "must lie between 0 and 1, such as 0.95");
                }
            }
            Window::Distinct { field, over, threshold } | Window::Change { field, over, threshold } => {
                check("over", positive(*over), SPAN);
                check("field", !field.is_empty(), "must name a field");
                check("value", !threshold.value.is_nan(), "must be a number");
            }
            Window::Absent { duration, .. } => {
                check("for", positive(*duration), "must be longer than 0s, such as 26h");
                let longer = self.forget_after.is_none_or(|forget| forget > *duration);
                check("forget_after", longer, "must be longer than the absence itself");
            }
            Window::Sequence { steps, within, hold } => {
                check("within", positive(*within), "must be longer than 0s, such as 10m");
                check("hold", positive(*hold), SPAN);
                check("steps", (2..=STEPS_MAX).contains(&steps.len()), "must be between 2 and 32 steps");
            }
            Window::NewValue { field, over, memory, learn } => {
                check("over", positive(*over), SPAN);
                check("memory", *memory >= *over, "must be at least as long as over");
                check("learn", *learn >= Duration::ZERO, "cannot be negative");
                check("field", !field.is_empty(), "must name a field");
            }
            Window::Spike { over, baseline, factor, minimum, .. } => {
                check("over", positive(*over), SPAN);
                check("baseline", baseline >= over, "must be at least as long as over");
                check("factor", *factor > 1.0 && factor.is_finite(), "must be greater than 1, such as 3");
                check("minimum", *minimum >= 0.0 && minimum.is_finite(), "must be 0 or more");
            }
        }
    }

    /// Whether so many events of a group can be told from more; a NaN has its own message.
    fn can_count(&self, events: f64) -> bool {
        !events.is_finite() || events < self.limits.group_events_max as f64
    }

    fn check_limits(&self, errors: &mut Vec<EventQueryError>) {
        if self.lateness < Duration::ZERO {
            errors.push(wrong("lateness", "cannot be negative"));
        }
        if self.forget_after.is_some_and(|forget| forget <= Duration::ZERO) {
            errors.push(wrong("forget_after", "must be longer than 0s"));
        }
        let limits = self.limits;
        if limits.groups_max == 0 || limits.group_events_max == 0 || limits.events_max == 0 {
            errors.push(wrong("limits", "must be at least 1"));
        }
    }
}

impl CompiledQuery {
    /// What was compiled.
    pub fn query(&self) -> &EventQuery {
        &self.query
    }

    /// Whether another one asks the same, however much may be kept for either.
    pub fn asks_the_same(&self, other: &CompiledQuery) -> bool {
        EventQuery { limits: other.query.limits, ..self.query.clone() } == other.query
    }

    /// Whether the event is one that the rule looks at; for a sequence, whether it is one of its steps.
    ///
    /// # Errors
    /// Where the expression has no answer for this event, which then counts as no match.
    pub fn matches(&self, event: &Event) -> Result<bool, ConditionError> {
        Ok(self.matching_steps(event)? != 0)
    }

    /// The bits of the steps that the event may be; 1 for a window that is no sequence, 0 for no match.
    pub(crate) fn matching_steps(&self, event: &Event) -> Result<u32, ConditionError> {
        if !self.filter.matches(event)? {
            return Ok(0);
        }
        if self.steps.is_empty() {
            return Ok(1);
        }
        let mut steps = 0;
        for (i, step) in self.steps.iter().enumerate() {
            if step.matches(event)? {
                steps |= 1 << i;
            }
        }
        Ok(steps)
    }

    /// The labels of the group that the event belongs to.
    pub fn group(&self, event: &Event) -> Labels {
        if self.labels.is_empty() {
            return Labels::empty();
        }
        let mut builder = LabelsBuilder::new();
        for (field, label) in &self.labels {
            if let Some(view) = lookup(event, field) {
                let text = view.text();
                builder.set(label.as_str(), cut(&text, self.query.limits.label_bytes_max));
            }
        }
        builder.build()
    }

    /// The names of the labels that a hit can have, sorted.
    pub fn label_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.labels.iter().map(|(_, label)| label.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The row's value in a [batch](https://docs.rs/watchfire-plugin) for this event: the number of the field that the
    /// window names, else 1.
    pub fn row_value(&self, event: &Event) -> f64 {
        match self.query.window.number_field() {
            Some(field) => lookup(event, field).and_then(|view| view.number()).unwrap_or(f64::NAN),
            None => 1.0,
        }
    }

    /// How far back events still matter: what must be pushed again after a restart, oldest first, to answer as if
    /// nothing had happened.
    pub fn reach(&self) -> Duration {
        self.memory() + self.query.lateness
    }

    /// How long a group stays known after its last event.
    pub(crate) fn memory(&self) -> Duration {
        let window = &self.query.window;
        let forget = self.query.forget_after.unwrap_or(window.span().times(FORGET_AFTER_WINDOWS));
        match window {
            Window::NewValue { memory, .. } => *memory,
            Window::Absent { .. } | Window::Change { .. } => forget.max(window.span()),
            _ if window.speaks_of_silence() => forget.max(window.span()),
            _ => window.span(),
        }
    }

    pub(crate) fn filters(&self) -> (&Filter, &[Filter]) {
        (&self.filter, &self.steps)
    }
}

impl Window {
    /// The word that begins it in a rule file.
    pub const fn kind(&self) -> &'static str {
        match self {
            Window::All { .. } => "all",
            Window::Count { .. } => "count",
            Window::Rate { .. } => "rate",
            Window::Aggregate { aggregation, .. } => match aggregation {
                Aggregation::Sum => "sum",
                Aggregation::Avg => "avg",
                Aggregation::Min => "min",
                Aggregation::Max => "max",
                Aggregation::Quantile(_) => "quantile",
            },
            Window::Distinct { .. } => "distinct",
            Window::Absent { .. } => "absent",
            Window::Sequence { .. } => "sequence",
            Window::Change { .. } => "change",
            Window::NewValue { .. } => "new_value",
            Window::Spike { .. } => "spike",
        }
    }

    /// How long an event stays in the window.
    pub(crate) fn span(&self) -> Duration {
        match self {
            Window::All { over, .. }
            | Window::Count { over, .. }
            | Window::Rate { over, .. }
            | Window::Aggregate { over, .. }
            | Window::Distinct { over, .. }
            | Window::Change { over, .. }
            | Window::NewValue { over, .. } => *over,
            Window::Absent { duration, .. } => *duration,
            Window::Sequence { within, hold, .. } => *within + *hold,
            Window::Spike { over, baseline, .. } => *over + *baseline,
        }
    }

    /// Whether a group without events can be a hit, so that it must be remembered.
    pub(crate) fn speaks_of_silence(&self) -> bool {
        match self {
            Window::Count { threshold, .. } | Window::Rate { threshold, .. } | Window::Distinct { threshold, .. } => {
                threshold.holds(0.0)
            }
            Window::Change { threshold, .. } => threshold.holds(0.0),
            Window::Absent { .. } => true,
            _ => false,
        }
    }

    /// The field whose number is kept with each event.
    pub(crate) fn number_field(&self) -> Option<&str> {
        match self {
            Window::All { field, .. } => field.as_deref(),
            Window::Aggregate { field, .. } => Some(field),
            _ => None,
        }
    }

    /// The field whose text is kept with each event.
    pub(crate) fn text_field(&self) -> Option<&str> {
        match self {
            Window::Distinct { field, .. } | Window::Change { field, .. } | Window::NewValue { field, .. } => {
                Some(field)
            }
            _ => None,
        }
    }

    /// The threshold, where the window has one.
    pub fn threshold(&self) -> Option<Threshold> {
        match self {
            Window::Count { threshold, .. }
            | Window::Rate { threshold, .. }
            | Window::Aggregate { threshold, .. }
            | Window::Distinct { threshold, .. }
            | Window::Change { threshold, .. } => Some(*threshold),
            _ => None,
        }
    }
}

fn wrong(what: impl Into<String>, message: impl Into<String>) -> EventQueryError {
    EventQueryError { what: what.into(), message: message.into() }
}

/// A label's name for a field: what a classic label name cannot have becomes `_`.
fn label_name(field: &str) -> String {
    let mut name: String = field.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// At most so many bytes, cut between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
