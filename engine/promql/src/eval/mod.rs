//! The evaluator: a plan, a store and an instant give a value.
//!
//! One step after the other: at each, every node gives one vector or scalar. What does not change between steps is kept
//! for the length of the query, and so are the points of subqueries that neighbouring windows share.

mod aggregate;
mod binary;
mod dense;
mod element;
mod functions;
mod layout;
mod output;
mod parts;
mod read;
mod subquery;
mod windows;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use watchfire_model::{Duration, Timestamp};
use watchfire_tsdb::{Assembled, SeriesId, SeriesView, Tsdb};

use crate::annotations::Annotations;
use crate::plan::{Kind, Node, Plan};
use crate::syntax::{At, DurationExpr, DurationKind, DurationOp, DurationValue, FunctionName, ValueType};
use crate::{Answer, Options, QueryError, Stop, Value};

pub(crate) use binary::scalar_operation;
pub(crate) use element::Projection;
use element::{Element, NameState};
pub(crate) use functions::info_matchers;
pub(crate) use layout::Layouts;
pub(crate) use parts::Parts;
use subquery::KeptPoints;
pub(crate) use subquery::POINTS_MAX as SUBQUERY_POINTS_MAX;
pub use windows::Windows;

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    start: i64,
    end: i64,
    /// Zero for an instant query.
    step: i64,
}

impl Query {
    pub(crate) fn instant(at: Timestamp) -> Query {
        Query { start: at.as_millis(), end: at.as_millis(), step: 0 }
    }

    pub(crate) fn range(start: Timestamp, end: Timestamp, step: Duration) -> Query {
        Query { start: start.as_millis(), end: end.as_millis(), step: step.as_millis() }
    }

    fn is_range(&self) -> bool {
        self.step > 0
    }
}

/// Where the series are that a plan selects.
#[derive(Clone, Copy)]
pub(crate) enum Selected<'s, 'a> {
    /// In the store, under these ids for each selection; with what is known about their rows where they are tracked.
    Stored { db: &'a Tsdb, ids: &'s [Vec<SeriesId>], layouts: Option<&'s Layouts> },
    /// In copies.
    Copied(&'a Copies),
}

/// What a dense evaluation needs: tracked series in a store.
#[derive(Clone, Copy)]
pub(crate) struct Dense<'s, 'a> {
    db: &'a Tsdb,
    ids: &'s [Vec<SeriesId>],
    layouts: &'s Layouts,
}

/// Series that were copied out of a store.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// For each selection of a plan its series.
    pub(crate) series: Vec<Vec<Assembled>>,
    /// Whether labels exist that belong to the metric's name beside the name itself.
    pub(crate) has_metadata_labels: bool,
}

/// What is read.
struct Source<'s, 'a> {
    selected: Selected<'s, 'a>,
    /// Looked up when they are read first: a dense evaluation reads none.
    views: Vec<OnceCell<Vec<SeriesView<'a>>>>,
    /// Whether labels exist that belong to the metric's name beside the name itself.
    has_metadata_labels: OnceCell<bool>,
}

impl<'s, 'a> Source<'s, 'a> {
    /// The series with what is known about their rows, where they are tracked.
    fn dense(&self) -> Option<Dense<'s, 'a>> {
        match self.selected {
            Selected::Stored { db, ids, layouts } => layouts.map(|layouts| Dense { db, ids, layouts }),
            Selected::Copied(_) => None,
        }
    }

    fn views(&self, selection: usize) -> &[SeriesView<'a>] {
        let look_up = || match self.selected {
            Selected::Stored { db, ids, .. } => ids[selection].iter().filter_map(|id| db.series(*id)).collect(),
            Selected::Copied(copies) => copies.series[selection].iter().map(Assembled::view).collect(),
        };
        self.views[selection].get_or_init(look_up)
    }

    fn has_metadata_labels(&self) -> bool {
        *self.has_metadata_labels.get_or_init(|| match self.selected {
            Selected::Stored { db, .. } => has_metadata_labels(db),
            Selected::Copied(copies) => copies.has_metadata_labels,
        })
    }
}

/// Whether labels exist that belong to the metric's name beside the name itself.
pub(crate) fn has_metadata_labels(db: &Tsdb) -> bool {
    ["__type__", "__unit__"].iter().any(|label| db.label_values(label).next().is_some())
}

/// The state of one query.
pub(crate) struct Evaluator<'s, 'a> {
    plan: &'s Plan,
    source: &'s Source<'s, 'a>,
    options: &'s Options,
    query: Query,
    stop: &'s dyn Fn() -> Option<Stop>,
    notes: Annotations,
    /// Samples in memory.
    samples: u64,
    /// The most there have been since this was reset.
    peak: Cell<u64>,
    /// Results of nodes that are the same at every step.
    invariants: HashMap<usize, Vec<Element<'a>>>,
    /// Points of subqueries that later windows need too.
    kept: HashMap<usize, KeptPoints<'a>>,
    /// How many subqueries the evaluation is inside of.
    depth: usize,
    scratch: Vec<read::RangeSamples>,
    /// Whether groups have appeared in another order than that of their layout since this was reset.
    disordered: bool,
}

/// Evaluates a plan.
pub(crate) fn run(
    plan: &Plan,
    selected: Selected<'_, '_>,
    query: Query,
    stop: &dyn Fn() -> Option<Stop>,
) -> Result<Answer, QueryError> {
    let views = vec![OnceCell::new(); plan.selections.len()];
    let source = Source { selected, views, has_metadata_labels: OnceCell::new() };
    let mut evaluator = Evaluator {
        plan,
        source: &source,
        options: &plan.options,
        query,
        stop,
        notes: Annotations::default(),
        samples: 0,
        peak: Cell::new(0),
        invariants: HashMap::with_capacity(if query.is_range() { plan.nodes } else { 0 }),
        kept: HashMap::new(),
        depth: 0,
        scratch: Vec::new(),
        disordered: false,
    };
    let value = if query.is_range() { evaluator.matrix()? } else { evaluator.value()? };
    let (warnings, infos) = evaluator.notes.finish();
    Ok(Answer { value, warnings, infos })
}

impl<'s, 'a> Evaluator<'s, 'a> {
    fn value(&mut self) -> Result<Value, QueryError> {
        let plan = self.plan;
        let at = self.query.start;
        match plan.root.value_type {
            ValueType::String => match &plan.root.kind {
                Kind::String(text) => Ok(Value::String(text.clone())),
                _ => Err(fault("the plan has a text where no text can be")),
            },
            ValueType::Scalar => self.scalar(&plan.root, at).map(Value::Scalar),
            ValueType::Vector => {
                let vector = self.vector(&plan.root, at)?;
                self.instant_output(vector, at)
            }
            ValueType::Matrix => self.raw_output(at),
        }
    }

    /// Refuses to go on if the caller does not want it or too much is in memory.
    fn check(&self, more: usize) -> Result<(), QueryError> {
        QueryError::if_stopped(self.stop)?;
        let limit = self.options.samples_max;
        let samples = self.samples + more as u64;
        self.peak.set(self.peak.get().max(samples));
        if limit > 0 && samples > limit { Err(QueryError::TooManySamples) } else { Ok(()) }
    }

    /// How a name is dropped: at once, or at the end.
    fn dropped(&self) -> NameState {
        if self.options.delayed_name_removal { NameState::DropAtEnd } else { NameState::Hidden }
    }

    fn scalar(&mut self, node: &'s Node, at: i64) -> Result<f64, QueryError> {
        match &node.kind {
            Kind::Number(value) => Ok(*value),
            Kind::Negate(inner) => self.scalar(inner, at).map(|v| -v),
            Kind::Binary(binary) => {
                let left = self.scalar(&binary.left, at)?;
                let right = self.scalar(&binary.right, at)?;
                Ok(scalar_operation(binary.op, left, right))
            }
            Kind::Call(function, args) => match function {
                FunctionName::Time => Ok(at as f64 / 1000.0),
                FunctionName::Pi => Ok(std::f64::consts::PI),
                FunctionName::Start => Ok(self.query.start as f64 / 1000.0),
                FunctionName::End => Ok(self.query.end as f64 / 1000.0),
                // A query of one step has none, whatever it was asked with.
                FunctionName::Step if self.query.start == self.query.end => Ok(0.0),
                FunctionName::Step => Ok(self.query.step as f64 / 1000.0),
                FunctionName::Range => Ok((self.query.end - self.query.start) as f64 / 1000.0),
                FunctionName::MaxOf => {
                    let (a, b) = (self.scalar(&args[0], at)?, self.scalar(&args[1], at)?);
                    Ok(functions::go_max(a, b))
                }
                FunctionName::MinOf => {
                    let (a, b) = (self.scalar(&args[0], at)?, self.scalar(&args[1], at)?);
                    Ok(functions::go_min(a, b))
                }
                FunctionName::Scalar => {
                    let vector = self.vector(&args[0], at)?;
                    let mut floats = vector.iter().filter_map(|e| e.value.float());
                    match (floats.next(), floats.next()) {
                        (Some(only), None) => Ok(only),
                        _ => Ok(f64::NAN),
                    }
                }
                _ => Err(fault("the plan has a vector where a number belongs")),
            },
            _ => Err(fault("the plan has a vector where a number belongs")),
        }
    }

    fn vector(&mut self, node: &'s Node, at: i64) -> Result<Vec<Element<'a>>, QueryError> {
        let keep = node.invariant && (self.query.is_range() || self.depth > 0);
        if keep && let Some(known) = self.invariants.get(&node.id) {
            self.samples += known.len() as u64;
            return Ok(known.clone());
        }
        let before = self.samples;
        if let Some(vector) = self.dense_vector(node, at)? {
            self.samples = before + vector.len() as u64;
            return Ok(vector);
        }
        let vector = match &node.kind {
            Kind::Instant(reading) => self.instant(node, reading, at)?,
            Kind::Call(function, args) => self.call(node, *function, args, at)?,
            Kind::Aggregate(aggregate) => self.aggregate(node, aggregate, at)?,
            Kind::Binary(binary) => self.binary(node, binary, at)?,
            Kind::Negate(inner) => {
                let mut vector = self.vector(inner, at)?;
                let state = self.dropped();
                for element in &mut vector {
                    element.drop_name(state);
                    element.negate();
                }
                self.refuse_equal_if_renamed(inner, &vector)?;
                vector
            }
            Kind::Number(_) | Kind::String(_) | Kind::Range(..) | Kind::Subquery(_) => {
                return Err(fault("the plan has something else where a vector belongs"));
            }
        };
        self.samples = before + vector.len() as u64;
        self.check(0)?;
        if keep {
            self.invariants.insert(node.id, vector.clone());
        }
        Ok(vector)
    }

    /// After names were dropped from the result of `inner`: two equal series are an error, unless they cannot be.
    fn refuse_equal_if_renamed(&self, inner: &Node, vector: &[Element<'a>]) -> Result<(), QueryError> {
        let possible = !inner.one_name || self.source.has_metadata_labels();
        if possible && !self.options.delayed_name_removal { element::refuse_equal(vector) } else { Ok(()) }
    }

    /// The time that a selector or subquery refers to: `@` fixes it, `offset` shifts it.
    fn reference(&self, at: i64, fixed: Option<At>, offset: Option<&DurationValue>) -> Result<i64, QueryError> {
        let base = match fixed {
            None => at,
            Some(At::Time(time)) => time.as_millis(),
            Some(At::Start) => self.query.start,
            Some(At::End) => self.query.end,
        };
        let offset = match offset {
            None => 0,
            Some(offset) => self.duration(offset, true)?,
        };
        Ok(base.saturating_sub(offset))
    }

    /// A span of time in milliseconds.
    fn duration(&self, value: &DurationValue, may_be_negative: bool) -> Result<i64, QueryError> {
        let expr = match value {
            DurationValue::Literal(duration) => return Ok(duration.as_millis()),
            DurationValue::Computed(expr) => expr,
        };
        let at = |message: &str| QueryError::Execution(format!("{}:{}: {message}", expr.span.start, expr.span.end));
        let seconds = self.seconds(expr)?;
        if !seconds.is_finite() {
            return Err(at("duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !may_be_negative {
            return Err(at("duration must be greater than 0"));
        }
        if seconds.abs() > 9_223_372_036.854_775 {
            return Err(at("duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match &expr.kind {
            DurationKind::Number { value, .. } => *value,
            DurationKind::Step => self.query.step as f64 / 1000.0,
            DurationKind::Range => (self.query.end - self.query.start) as f64 / 1000.0,
            DurationKind::Negative(operand) => -self.seconds(operand)?,
            DurationKind::Binary(op, left, right) => {
                let (a, b) = (self.seconds(left)?, self.seconds(right)?);
                let by_zero = |what: &str| {
                    QueryError::Execution(format!("{}:{}: {what} by zero", expr.span.start, expr.span.end))
                };
                match op {
                    DurationOp::Add => a + b,
                    DurationOp::Sub => a - b,
                    DurationOp::Mul => a * b,
                    DurationOp::Div if b == 0.0 => return Err(by_zero("division")),
                    DurationOp::Div => a / b,
                    DurationOp::Mod if b == 0.0 => return Err(by_zero("modulo")),
                    DurationOp::Mod => a % b,
                    DurationOp::Pow => a.powf(b),
                    DurationOp::MaxOf => functions::go_max(a, b),
                    DurationOp::MinOf => functions::go_min(a, b),
                }
            }
        })
    }
}

/// What the checks of the parser rule out.
fn fault(message: &str) -> QueryError {
    QueryError::Execution(message.to_owned())
}
