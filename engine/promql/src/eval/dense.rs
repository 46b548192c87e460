//! Evaluation over rows: one number per row of a node's layout, and labels for what comes out at the end.
//!
//! It answers where there is nothing to remark: numbers alone, no warning, no error, groups in the order of their
//! layout. Everything else is left to the general evaluator, which then says it in its words; so the two can differ in
//! nothing but cost. Formulas are shared.

use watchfire_tsdb::SampleValue;

use super::aggregate::State;
use super::binary::{compare, scalar_operation};
use super::element::Element;
use super::functions::histogram::{ClassicBucket, classic_quantile};
use super::functions::note_possible_gauge;
use super::layout::{ABSENT, Layout, Meetings, is_present};
use super::windows::{KnownRows, SharedRows, StoreState};
use super::{Dense, Evaluator};
use crate::QueryError;
use crate::annotations::Monotonicity;
use crate::plan::{AggregatePlan, BinaryPlan, Kind, Node, Reading};
use crate::syntax::{AggregateOp, BinaryOp, Cardinality, FunctionName, ValueType};

/// The values of a node's rows; `None` leaves the node to the general evaluator.
type Rows = Result<Option<Vec<f64>>, QueryError>;

/// Takes the rows out, or leaves the node to the general evaluator too.
macro_rules! rows {
    ($rows:expr) => {
        match $rows? {
            Some(rows) => rows,
            None => return Ok(None),
        }
    };
}

/// Whether a sample of this value may stand in a row. A signalling NaN may be [`ABSENT`] in disguise, or may mean that
/// there is no number; what is computed is never one.
#[inline]
pub(super) fn is_plain(value: f64) -> bool {
    const QUIET: u64 = 1 << 51;
    !value.is_nan() || value.to_bits() & QUIET != 0 || !is_present(value)
}

impl<'s, 'a> Evaluator<'s, 'a> {
    /// The vector of a node that has a layout, or `None` if the general evaluator has to give it.
    pub(super) fn dense_vector(&mut self, node: &'s Node, at: i64) -> Result<Option<Vec<Element<'a>>>, QueryError> {
        let Some(dense) = self.source.dense() else { return Ok(None) };
        if matches!(dense.layouts.of(node), Layout::General) {
            return Ok(None);
        }
        let notes = self.notes.clone();
        // This may be the argument of `scalar` within an evaluation over rows.
        let outer = std::mem::replace(&mut self.disordered, false);
        let samples = self.samples;
        let found = match self.rows(dense, node, at) {
            // More has been counted here than the general evaluator would count: it decides.
            Err(QueryError::TooManySamples) => None,
            other => other?,
        };
        self.samples = samples;
        let disordered = std::mem::replace(&mut self.disordered, outer);
        // At the end the result is sorted; in between its order may matter.
        let Some(values) = found.filter(|_| !disordered || node.id == self.plan.root.id) else {
            self.notes = notes;
            return Ok(None);
        };
        let present = values.iter().enumerate().filter(|(_, value)| is_present(**value));
        let elements = present.map(|(row, value)| {
            let element = dense.layouts.element(dense.db, dense.ids, node, row)?;
            Some(Element { value: SampleValue::Float(*value), ..element })
        });
        Ok(elements.collect())
    }

    fn rows(&mut self, dense: Dense<'s, 'a>, node: &'s Node, at: i64) -> Rows {
        let values = match (&node.kind, dense.layouts.of(node)) {
            (Kind::Instant(reading), Layout::Instant) => rows!(self.instant_rows(dense, reading, at)),
            (Kind::Call(function, args), layout) => rows!(self.call_rows(dense, *function, args, layout, at)),
            (Kind::Aggregate(plan), Layout::Groups { of, first, shared }) => {
                rows!(self.shared_rows(dense, plan, of, first.len(), shared.as_deref(), at))
            }
            (Kind::Negate(operand), Layout::Operand) => {
                let mut values = rows!(self.rows(dense, operand, at));
                values.iter_mut().filter(|value| is_present(**value)).for_each(|value| *value = -*value);
                values
            }
            (Kind::Binary(plan), Layout::Operand) => rows!(self.scalar_rows(dense, plan, at)),
            (Kind::Binary(plan), Layout::Join(meetings)) => match plan.op {
                BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => rows!(self.set_rows(dense, plan, meetings, at)),
                _ => rows!(self.join_rows(dense, plan, meetings, at)),
            },
            _ => return Ok(None),
        };
        self.samples += values.len() as u64;
        self.check(0)?;
        Ok(Some(values))
    }

    /// The newest sample of each series of a selection, one after the other; `None` where something else than a number
    /// has to be looked at.
    fn instants(
        &self,
        dense: Dense<'s, 'a>,
        reading: &'s Reading,
        at: i64,
    ) -> Result<impl Iterator<Item = Option<f64>> + use<'s, 'a>, QueryError> {
        let reference = self.reference(at, reading.at, reading.offset.as_ref())?;
        let oldest = reference.saturating_sub(self.options.lookback.as_millis());
        let db = dense.db;
        let newest = db.newest_by_slot();
        Ok(dense.ids[reading.selection].iter().map(move |id| {
            let mut sample = newest[id.slot()];
            if sample.time > reference {
                let Some(point) = db.series(*id)?.at(watchfire_model::Timestamp::from_millis(reference)) else {
                    return Some(ABSENT);
                };
                sample.time = point.timestamp.as_millis();
                sample.value = point.value.float().unwrap_or(watchfire_tsdb::Newest::NO_NUMBER);
            }
            let value = if sample.time > oldest { sample.value } else { ABSENT };
            is_plain(value).then_some(value)
        }))
    }

    fn instant_rows(&mut self, dense: Dense<'s, 'a>, reading: &'s Reading, at: i64) -> Rows {
        let mut values = Vec::with_capacity(dense.ids[reading.selection].len());
        for value in self.instants(dense, reading, at)? {
            let Some(value) = value else { return Ok(None) };
            values.push(value);
        }
        Ok(Some(values))
    }

    fn call_rows(
        &mut self,
        dense: Dense<'s, 'a>,
        function: FunctionName,
        args: &'s [Node],
        layout: &'s Layout,
        at: i64,
    ) -> Rows {
        match (function, layout) {
            (_, Layout::Windows { table, odd_names }) => {
                let Kind::Range(reading, _) = &args[0].kind else { return Ok(None) };
                let end = self.reference(at, reading.at, reading.offset.as_ref())?;
                let ids = &dense.ids[reading.selection];
                let Some((values, largest)) = table.values(dense.db, ids, end, function) else { return Ok(None) };
                self.check(values.len() + largest)?;
                if function == FunctionName::AbsentOverTime {
                    let absent = !values.iter().any(|value| is_present(*value));
                    return Ok(Some(vec![if absent { 1.0 } else { ABSENT }]));
                }
                if *odd_names {
                    let mut last_name = String::new();
                    for row in values.iter().enumerate().filter(|(_, value)| is_present(**value)).map(|(row, _)| row) {
                        let Some(owner) = self.owner(dense, reading, row) else { return Ok(None) };
                        note_possible_gauge(&mut self.notes, &owner, false, args[0].span, &mut last_name);
                    }
                }
                Ok(Some(values))
            }
            (FunctionName::Absent, _) => {
                let absent = match (&args[0].kind, dense.layouts.of(&args[0])) {
                    (Kind::Instant(reading), Layout::Instant) => {
                        // The first one that is there decides.
                        let mut found = self.instants(dense, reading, at)?;
                        match found.find(|value| value.is_none_or(is_present)) {
                            Some(None) => return Ok(None),
                            found => found.is_none(),
                        }
                    }
                    _ => !rows!(self.rows(dense, &args[0], at)).into_iter().any(is_present),
                };
                Ok(Some(vec![if absent { 1.0 } else { ABSENT }]))
            }
            (FunctionName::Vector, _) => {
                let value = self.scalar(&args[0], at)?;
                Ok((is_plain(value) && is_present(value)).then(|| vec![value]))
            }
            (FunctionName::HistogramQuantile, Layout::Histograms { buckets, ends }) => {
                let q = self.scalar(&args[0], at)?;
                if !(0.0..=1.0).contains(&q) {
                    return Ok(None);
                }
                let counts = rows!(self.rows(dense, &args[1], at));
                self.disordered |= is_disordered(buckets, ends, &counts);
                Ok(Some(self.quantile_rows(q, buckets, ends, &counts, &args[1], at)))
            }
            (_, Layout::Operand) => {
                let mapping = self.mapping(function, args, at)?;
                let mut values = rows!(self.rows(dense, &args[0], at));
                for value in values.iter_mut().filter(|value| is_present(**value)) {
                    *value = mapping.apply(*value).unwrap_or(ABSENT);
                }
                Ok(Some(values))
            }
            _ => Ok(None),
        }
    }

    /// The series of a row of a selection.
    fn owner(&self, dense: Dense<'s, 'a>, reading: &'s Reading, row: usize) -> Option<Element<'a>> {
        let series = dense.db.series(*dense.ids[reading.selection].get(row)?)?;
        Some(Element::new(super::element::Metric::Stored(series.labels()), 0.0, super::element::NameState::Kept))
    }

    fn quantile_rows(
        &mut self,
        q: f64,
        buckets: &[(f64, u32)],
        ends: &[u32],
        counts: &[f64],
        arg: &Node,
        at: i64,
    ) -> Vec<f64> {
        let mut classic: Vec<ClassicBucket> = Vec::new();
        let mut start = 0;
        let mut values = Vec::with_capacity(ends.len());
        for end in ends {
            let end = *end as usize;
            classic.clear();
            classic.extend(
                buckets[start..end]
                    .iter()
                    .map(|(upper, row)| ClassicBucket { upper: *upper, count: counts[*row as usize] })
                    .filter(|bucket| is_present(bucket.count)),
            );
            start = end;
            if classic.is_empty() {
                values.push(ABSENT);
                continue;
            }
            let (value, forced) = classic_quantile(q, &classic);
            if let Some(forced) = forced {
                self.notes.forced_monotonicity("", Monotonicity { first: at, last: at, ..forced }, arg.span);
            }
            values.push(value);
        }
        values
    }

    /// The rows of an aggregation, unless another plan has just computed them.
    fn shared_rows(
        &mut self,
        dense: Dense<'s, 'a>,
        plan: &'s AggregatePlan,
        of: &[u32],
        count: usize,
        shared: Option<&SharedRows>,
        at: i64,
    ) -> Rows {
        // At other times and within subqueries nobody else asks for the same.
        let Some(shared) = shared.filter(|_| self.depth == 0 && !self.query.is_range()) else {
            return self.group_rows(dense, plan, of, count, at);
        };
        let state = StoreState { changes: dense.db.changes(), at };
        if let Some(known) = shared.get(state) {
            self.check(usize::try_from(known.peak).unwrap_or(usize::MAX))?;
            self.samples += known.samples;
            return Ok(Some(known.rows));
        }
        let before = self.samples;
        let outer = self.peak.replace(before);
        let rows = self.group_rows(dense, plan, of, count, at);
        let peak = self.peak.replace(outer.max(self.peak.get()));
        if let Ok(Some(rows)) = &rows
            && self.notes.is_empty()
            && !self.disordered
        {
            let (samples, peak) = (self.samples - before, peak - before);
            shared.set(state, KnownRows { rows: rows.clone(), samples, peak });
        }
        rows
    }

    fn group_rows(&mut self, dense: Dense<'s, 'a>, plan: &'s AggregatePlan, of: &[u32], count: usize, at: i64) -> Rows {
        let parameter = match &plan.param {
            Some(param) => self.scalar(param, at)?,
            None => 0.0,
        };
        if plan.op == AggregateOp::Quantile && !(0.0..=1.0).contains(&parameter) {
            return Ok(None);
        }
        let disordered = std::mem::replace(&mut self.disordered, false);
        let values = rows!(self.rows(dense, &plan.inner, at));
        // Sums and extremes may depend on the order of what they are made of, in their last bits.
        if self.disordered && !matches!(plan.op, AggregateOp::Count | AggregateOp::Group) {
            return Ok(None);
        }
        self.disordered = disordered;
        let mut states: Vec<State> = (0..count).map(|_| State::Empty).collect();
        let mut appeared = 0;
        for (value, group) in values.iter().zip(of) {
            if !is_present(*value) {
                continue;
            }
            let state = &mut states[*group as usize];
            if matches!(state, State::Empty) {
                self.disordered |= *group < appeared;
                appeared = *group;
            }
            state.add(plan.op, *value);
        }
        Ok(Some(states.into_iter().map(|state| state.number(plan.op, parameter).unwrap_or(ABSENT)).collect()))
    }

    /// An operation between a vector and a number.
    fn scalar_rows(&mut self, dense: Dense<'s, 'a>, plan: &'s BinaryPlan, at: i64) -> Rows {
        let vector_is_left = plan.left.value_type == ValueType::Vector;
        let (vector, scalar) = if vector_is_left { (&plan.left, &plan.right) } else { (&plan.right, &plan.left) };
        let number = self.scalar(scalar, at)?;
        let mut values = rows!(self.rows(dense, vector, at));
        for value in values.iter_mut().filter(|value| is_present(**value)) {
            let (a, b) = if vector_is_left { (*value, number) } else { (number, *value) };
            *value = if plan.op.is_comparison() {
                compared(plan, compare(plan.op, a, b), *value)
            } else {
                scalar_operation(plan.op, a, b)
            };
        }
        Ok(Some(values))
    }

    /// An operation between two vectors.
    fn join_rows(&mut self, dense: Dense<'s, 'a>, plan: &'s BinaryPlan, meetings: &Meetings, at: i64) -> Rows {
        let Some(matching) = &plan.matching else { return Ok(None) };
        let left = rows!(self.rows(dense, &plan.left, at));
        let right = rows!(self.rows(dense, &plan.right, at));
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let (mut many, of_many, one, of_one) = if swapped {
            (right, &meetings.right, left, &meetings.left)
        } else {
            (left, &meetings.left, right, &meetings.right)
        };
        let mut partners = vec![ABSENT; meetings.count];
        for (value, number) in one.iter().zip(of_one).filter(|(value, _)| is_present(**value)) {
            if is_present(std::mem::replace(&mut partners[*number as usize], *value)) {
                return Ok(None);
            }
        }
        let mut met = vec![false; if one_to_one { meetings.count } else { 0 }];
        for (value, number) in many.iter_mut().zip(of_many) {
            let partner = partners[*number as usize];
            if !is_present(*value) || !is_present(partner) {
                *value = ABSENT;
                continue;
            }
            if one_to_one && std::mem::replace(&mut met[*number as usize], true) {
                return Ok(None);
            }
            let (a, b) = if swapped { (partner, *value) } else { (*value, partner) };
            *value = if plan.op.is_comparison() {
                compared(plan, compare(plan.op, a, b), a)
            } else {
                scalar_operation(plan.op, a, b)
            };
        }
        Ok(Some(many))
    }

    fn set_rows(&mut self, dense: Dense<'s, 'a>, plan: &'s BinaryPlan, meetings: &Meetings, at: i64) -> Rows {
        let mut left = rows!(self.rows(dense, &plan.left, at));
        let mut right = rows!(self.rows(dense, &plan.right, at));
        let (other, of_other) =
            if plan.op == BinaryOp::Or { (&left, &meetings.left) } else { (&right, &meetings.right) };
        let mut there = vec![false; meetings.count];
        for (value, number) in other.iter().zip(of_other) {
            there[*number as usize] |= is_present(*value);
        }
        let keep = |values: &mut [f64], of: &[u32], when: bool| {
            for (value, number) in values.iter_mut().zip(of) {
                if there[*number as usize] != when {
                    *value = ABSENT;
                }
            }
        };
        match plan.op {
            BinaryOp::And => keep(&mut left, &meetings.left, true),
            BinaryOp::Unless => keep(&mut left, &meetings.left, false),
            _ => {
                keep(&mut right, &meetings.right, false);
                left.append(&mut right);
            }
        }
        Ok(Some(left))
    }
}

/// What a comparison gives for the value that it keeps.
#[inline]
fn compared(plan: &BinaryPlan, passes: bool, kept: f64) -> f64 {
    if plan.return_bool {
        f64::from(u8::from(passes))
    } else if passes {
        kept
    } else {
        ABSENT
    }
}

/// Whether histograms appear in another order than that of their layout: each does with its first bucket.
fn is_disordered(buckets: &[(f64, u32)], ends: &[u32], counts: &[f64]) -> bool {
    let mut start = 0;
    let mut last = None;
    for end in ends {
        let of_one = &buckets[start..*end as usize];
        start = *end as usize;
        let first = of_one.iter().map(|(_, row)| *row).filter(|row| is_present(counts[*row as usize])).min();
        if first.is_some() && first < last {
            return true;
        }
        last = first.or(last);
    }
    false
}
