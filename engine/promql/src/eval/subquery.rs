//! Subqueries: an expression at several instants becomes a range vector.

use std::collections::VecDeque;
use std::sync::Arc;

use watchfire_tsdb::{CounterResetHint, SampleValue};

use super::Evaluator;
use super::element::{Element, Interner};
use super::read::RangeSamples;
use crate::QueryError;
use crate::plan::{Node, SubqueryPlan};

/// The most points that one evaluation of a subquery has. A year at a resolution of half a minute has about half of it.
pub(crate) const POINTS_MAX: u64 = 2_000_000;

/// Results of a subquery's expression at consecutive points of its grid.
#[derive(Debug, Default)]
pub(super) struct KeptPoints<'a>(VecDeque<(i64, Vec<Element<'a>>)>);

impl<'s, 'a> Evaluator<'s, 'a> {
    /// The series with their samples, and the edges of the range.
    pub(super) fn subquery(
        &mut self,
        node: &'s Node,
        subquery: &'s SubqueryPlan,
        at: i64,
    ) -> Result<(Vec<(Element<'a>, RangeSamples)>, i64, i64), QueryError> {
        let length = self.duration(&subquery.range, false)?;
        let step = match &subquery.step {
            Some(step) => self.duration(step, false)?,
            None => self.options.subquery_step.as_millis(),
        }
        .max(1);
        let end = self.reference(at, subquery.at, subquery.offset.as_ref())?;
        let start = end.saturating_sub(length);
        // The grid's points are multiples of the step, the left edge does not belong to the range.
        let first = start.div_euclid(step).saturating_add(1).saturating_mul(step);

        let points = end.saturating_sub(first).div_euclid(step).saturating_add(1).max(0).unsigned_abs();
        if points > POINTS_MAX {
            return Err(QueryError::SubqueryTooLong { points });
        }

        let mut kept = self.kept.remove(&node.id).unwrap_or_default().0;
        while kept.front().is_some_and(|(time, _)| *time < first) {
            kept.pop_front();
        }
        if kept.front().is_some_and(|(time, _)| *time != first) {
            kept.clear();
        }
        self.samples += kept.iter().map(|(_, vector)| weight(vector)).sum::<u64>();
        let mut time = kept.back().map_or(first, |(time, _)| time + step);
        self.depth += 1;
        while time <= end {
            // Not every way to a vector asks whether to go on: what is the same at every point is only copied.
            self.check(0)?;
            let vector = self.vector(&subquery.inner, time)?;
            self.samples += weight(&vector) - vector.len() as u64;
            kept.push_back((time, vector));
            let Some(next) = time.checked_add(step) else { break };
            time = next;
        }
        self.depth -= 1;

        let points = kept.iter().take_while(|(time, _)| *time <= end);
        let series = assemble(points);
        if self.query.is_range() || self.depth > 0 {
            self.kept.insert(node.id, KeptPoints(kept));
        }
        Ok((series, start, end))
    }
}

/// How many samples a kept point counts for: one without series takes memory too.
fn weight(vector: &[Element<'_>]) -> u64 {
    vector.len().max(1) as u64
}

/// Puts the samples of equal series together.
fn assemble<'k, 'a: 'k>(points: impl Iterator<Item = &'k (i64, Vec<Element<'a>>)>) -> Vec<(Element<'a>, RangeSamples)> {
    let mut series: Vec<(Element<'a>, RangeSamples)> = Vec::new();
    let mut numbers = Interner::default();
    for (time, vector) in points {
        for element in vector {
            let next = series.len();
            let number = numbers.intern(element.hash(), next, |known| series[known].0.same_labels(element));
            if number == next {
                series.push((element.clone(), RangeSamples::default()));
            }
            series[number].1.push(*time, without_hint(&element.value));
        }
    }
    series
}

/// What is known about a counter reset between two stored samples says nothing about two points of a subquery.
fn without_hint(value: &SampleValue) -> SampleValue {
    match value {
        SampleValue::Histogram(histogram)
            if matches!(histogram.counter_reset_hint, CounterResetHint::Reset | CounterResetHint::NotReset) =>
        {
            let mut copy = Arc::clone(histogram);
            Arc::make_mut(&mut copy).counter_reset_hint = CounterResetHint::Unknown;
            SampleValue::Histogram(copy)
        }
        other => other.clone(),
    }
}
