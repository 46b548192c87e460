//! What an event rule says, as plain values.

use std::fmt;

use thiserror::Error;
use watchfire_model::{Duration, FieldValue, Labels};

/// Which events a rule looks at, how it groups them, and what it looks for in each group.
///
/// A field is named by its dotted path (`user.name`). Four names mean the event itself: `type`, `body`, `id` and
/// `time` (milliseconds since the epoch); where the event has no type, body or id, a field of that name is looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct EventQuery {
    /// Conditions on fields; all must hold.
    pub matchers: Vec<FieldMatcher>,
    /// A CEL expression over `event`, the record as a nested map; an event on which it fails does not match.
    pub condition: Option<String>,
    /// Fields whose values become labels; each combination is a group of its own.
    pub by: Vec<String>,
    /// What is looked for in each group.
    pub window: Window,
    /// How long after it happened an event may still arrive. Later ones are counted and dropped.
    pub lateness: Duration,
    /// How long a group without events stays known, for windows that also speak about silence; `None` for the default,
    /// seven times the window.
    pub forget_after: Option<Duration>,
    /// How much may be kept.
    pub limits: EventLimits,
}

/// What is looked for in each group.
///
/// A window at time `t` with `over: d` holds the events of `(t - d, t]`, by the time at which they happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// Every group that has an event in the window; what a condition plugin gets to see.
    All {
        /// The window's length.
        over: Duration,
        /// The field whose number is the row's value; 1 where there is none.
        field: Option<String>,
    },
    /// The number of events.
    Count {
        /// The window's length.
        over: Duration,
        /// What the number must pass.
        threshold: Threshold,
    },
    /// Events per second, averaged over the window.
    Rate {
        /// The window's length.
        over: Duration,
        /// What the rate must pass.
        threshold: Threshold,
    },
    /// A number computed from a field's numbers; events without a number there are left out.
    Aggregate {
        /// How it is computed.
        aggregation: Aggregation,
        /// The field.
        field: String,
        /// The window's length.
        over: Duration,
        /// What it must pass.
        threshold: Threshold,
    },
    /// How many different values a field takes.
    Distinct {
        /// The field.
        field: String,
        /// The window's length.
        over: Duration,
        /// What the number must pass.
        threshold: Threshold,
    },
    /// No event for a time, per group: per group that was seen before or is expected.
    Absent {
        /// How long.
        duration: Duration,
        /// Groups that are known without having been seen.
        expected: Vec<Labels>,
    },
    /// Events that happen in an order, all within a time, in the same group.
    Sequence {
        /// What must happen, in order; other events may lie between.
        steps: Vec<Step>,
        /// The longest time from the first step to the last.
        within: Duration,
        /// How long a completed sequence is reported.
        hold: Duration,
    },
    /// How often a field's value differs from that of the event before.
    Change {
        /// The field.
        field: String,
        /// The window's length.
        over: Duration,
        /// What the number of changes must pass.
        threshold: Threshold,
    },
    /// A value that a field did not take for a time.
    NewValue {
        /// The field.
        field: String,
        /// How long a new value is reported.
        over: Duration,
        /// How long a value stays known after it was last seen.
        memory: Duration,
        /// How long after its first event a group only learns.
        learn: Duration,
    },
    /// Many more (or fewer) events than before.
    Spike {
        /// The length of the window that is compared.
        over: Duration,
        /// The length of the time before it that it is compared with.
        baseline: Duration,
        /// How many times the baseline's number per `over` it must reach (or fall to one part of).
        factor: f64,
        /// Fewer events than this (in the window for a rise, in the baseline per `over` for a fall) say nothing.
        minimum: f64,
        /// Up or down.
        direction: Direction,
    },
}

/// How one number is made of many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregation {
    /// The sum.
    Sum,
    /// The mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The quantile, from 0 to 1, interpolated between the two nearest as PromQL does.
    Quantile(f64),
}

/// Which way a spike goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More than before.
    Up,
    /// Less than before.
    Down,
}

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Conditions on fields; all must hold, beside those of the query.
    pub matchers: Vec<FieldMatcher>,
    /// A CEL expression as in [`EventQuery::condition`].
    pub condition: Option<String>,
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// How it compares.
    pub op: CompareOp,
    /// With what.
    pub value: f64,
}

impl Threshold {
    /// Whether `value` passes.
    pub fn holds(self, value: f64) -> bool {
        self.op.compare(value, self.value)
    }
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl CompareOp {
    /// Every operator, for messages that list them.
    pub const ALL: [CompareOp; 6] = [
        CompareOp::Greater,
        CompareOp::GreaterOrEqual,
        CompareOp::Less,
        CompareOp::LessOrEqual,
        CompareOp::Equal,
        CompareOp::NotEqual,
    ];

    /// The operator as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            CompareOp::Greater => ">",
            CompareOp::GreaterOrEqual => ">=",
            CompareOp::Less => "<",
            CompareOp::LessOrEqual => "<=",
            CompareOp::Equal => "==",
            CompareOp::NotEqual => "!=",
        }
    }

    /// From the way it is written.
    pub fn parse(text: &str) -> Option<CompareOp> {
        CompareOp::ALL.into_iter().find(|op| op.as_str() == text)
    }

    /// Whether `left op right`.
    pub fn compare(self, left: f64, right: f64) -> bool {
        match self {
            CompareOp::Greater => left > right,
            CompareOp::GreaterOrEqual => left >= right,
            CompareOp::Less => left < right,
            CompareOp::LessOrEqual => left <= right,
            CompareOp::Equal => left == right,
            CompareOp::NotEqual => left != right,
        }
    }
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One condition on one field.
///
/// Where the field holds a list, one element that passes is enough. Numbers compare as numbers even where the event
/// spells them as text; everything else compares by its text form ([`FieldValue::to_text`]). A field that is absent
/// or null passes only `ne`, `exists: false` and `eq: null`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldMatcher {
    /// The field's dotted path.
    pub field: String,
    /// How it compares.
    pub op: FieldOp,
    /// With what: a list for `in`, true or false for `exists`, a number for the four orders, a text or a list of which
    /// one must pass for the text operators, a scalar for the rest.
    pub operand: FieldValue,
    /// Whether letter case is ignored.
    pub ignore_case: bool,
}

impl FieldMatcher {
    /// `field: value`, the plain form.
    pub fn equal(field: impl Into<String>, value: FieldValue) -> FieldMatcher {
        FieldMatcher { field: field.into(), op: FieldOp::Eq, operand: value, ignore_case: false }
    }

    /// Any operator, with respect to letter case.
    pub fn new(field: impl Into<String>, op: FieldOp, operand: FieldValue) -> FieldMatcher {
        FieldMatcher { field: field.into(), op, operand, ignore_case: false }
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldOp {
    /// Equals.
    Eq,
    /// Does not equal.
    Ne,
    /// Equals one of a list.
    In,
    /// Is greater than.
    Gt,
    /// Is greater than or equals.
    Gte,
    /// Is less than.
    Lt,
    /// Is less than or equals.
    Lte,
    /// Has the text somewhere.
    Contains,
    /// Begins with the text.
    StartsWith,
    /// Ends with the text.
    EndsWith,
    /// A regular expression matches somewhere in it; anchor it with `^` and `$` to match the whole.
    Regex,
    /// Is there, or is not.
    Exists,
}

impl FieldOp {
    /// Every operator, for messages that list them.
    pub const ALL: [FieldOp; 12] = [
        FieldOp::Eq,
        FieldOp::Ne,
        FieldOp::In,
        FieldOp::Gt,
        FieldOp::Gte,
        FieldOp::Lt,
        FieldOp::Lte,
        FieldOp::Contains,
        FieldOp::StartsWith,
        FieldOp::EndsWith,
        FieldOp::Regex,
        FieldOp::Exists,
    ];

    /// The operator as it is written in a rule file.
    pub const fn as_str(self) -> &'static str {
        match self {
            FieldOp::Eq => "eq",
            FieldOp::Ne => "ne",
            FieldOp::In => "in",
            FieldOp::Gt => "gt",
            FieldOp::Gte => "gte",
            FieldOp::Lt => "lt",
            FieldOp::Lte => "lte",
            FieldOp::Contains => "contains",
            FieldOp::StartsWith => "starts_with",
            FieldOp::EndsWith => "ends_with",
            FieldOp::Regex => "regex",
            FieldOp::Exists => "exists",
        }
    }

    /// From the way it is written in a rule file.
    pub fn parse(text: &str) -> Option<FieldOp> {
        FieldOp::ALL.into_iter().find(|op| op.as_str() == text)
    }
}

impl fmt::Display for FieldOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much the windows of one rule may keep (contract C7). Past a limit events are shed and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Groups at one time.
    pub groups_max: usize,
    /// Events of one group in its window; the oldest go first.
    pub group_events_max: usize,
    /// Events of all groups together.
    pub events_max: usize,
    /// Whole events kept per group, to be shown with a hit; the newest stay. [`Window::All`] keeps up to 1,000.
    pub sample_max: usize,
    /// Bytes of whole events kept by all groups together.
    pub sample_bytes_max: usize,
    /// Event ids remembered to recognise duplicates.
    pub ids_max: usize,
    /// Bytes of a label's value; longer ones are cut.
    pub label_bytes_max: usize,
}

impl EventLimits {
    /// 10,000 groups, 10,000 events per group, 1,000,000 together, 10 whole events per group and 64 MiB of them, 100,000
    /// ids, 1 KiB.
    pub const STANDARD: EventLimits = EventLimits {
        groups_max: 10_000,
        group_events_max: 10_000,
        events_max: 1_000_000,
        sample_max: 10,
        sample_bytes_max: 64 << 20,
        ids_max: 100_000,
        label_bytes_max: 1024,
    };
}

impl EventQuery {
    /// How late an event may be unless the rule says otherwise.
    pub const LATENESS: Duration = Duration::from_mins(5);

    /// All events, in one group, with the standard limits.
    pub fn new(window: Window) -> EventQuery {
        EventQuery {
            matchers: Vec::new(),
            condition: None,
            by: Vec::new(),
            window,
            lateness: EventQuery::LATENESS,
            forget_after: None,
            limits: EventLimits::STANDARD,
        }
    }
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}: {message}")]
pub struct EventQueryError {
    /// The part that is wrong, as a path below `events`: `match.severity`, `where`, `count.over`.
    pub what: String,
    /// What is wrong and what would be right.
    pub message: String,
}
