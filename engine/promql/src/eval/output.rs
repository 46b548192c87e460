//! From vectors to what the caller gets.

use std::collections::BTreeMap;

use watchfire_model::{Labels, Timestamp};
use watchfire_tsdb::SampleValue;

use super::element::{Element, equal_labels};
use super::{Evaluator, fault, functions};
use crate::plan::{Kind, Node};
use crate::syntax::{AggregateOp, FunctionName, ValueType};
use crate::{MatrixSeries, QueryError, Value, VectorSample};

/// Whether the order of the result is part of its meaning.
fn is_ordered(node: &Node) -> bool {
    match &node.kind {
        Kind::Call(function, _) => matches!(
            function,
            FunctionName::Sort | FunctionName::SortDesc | FunctionName::SortByLabel | FunctionName::SortByLabelDesc
        ),
        Kind::Aggregate(aggregate) => matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk),
        _ => false,
    }
}

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn instant_output(&mut self, vector: Vec<Element<'a>>, at: i64) -> Result<Value, QueryError> {
        let timestamp = Timestamp::from_millis(at);
        let mut samples: Vec<VectorSample> = vector
            .into_iter()
            .map(|element| VectorSample { labels: element.final_labels(), timestamp, value: element.value })
            .collect();
        if is_ordered(&self.plan.root) {
            let mut labels: Vec<&Labels> = samples.iter().map(|s| &s.labels).collect();
            labels.sort_unstable();
            refuse_neighbours(&labels)?;
        } else {
            samples.sort_by(|a, b| a.labels.cmp(&b.labels));
            if samples.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
                return Err(equal_labels());
            }
        }
        Ok(Value::Vector(samples))
    }

    /// A range vector or subquery that is the whole query.
    pub(super) fn raw_output(&mut self, at: i64) -> Result<Value, QueryError> {
        let plan = self.plan;
        let mut series = Vec::new();
        self.each_range(&plan.root, at, &mut |_, range| {
            let mut samples: Vec<(Timestamp, SampleValue)> = match range.extension {
                Some(extension) => functions::extended_output(range, extension)?,
                None => range.output(),
            };
            samples.sort_by_key(|(time, _)| *time);
            if !samples.is_empty() {
                series.push(MatrixSeries { labels: range.owner.final_labels(), samples });
            }
            Ok(())
        })?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let mut merged: Vec<MatrixSeries> = Vec::with_capacity(series.len());
        for next in series {
            match merged.last_mut() {
                // Names that are dropped at the end may make two series one, unless they overlap.
                Some(last) if last.labels == next.labels => {
                    last.samples.extend(next.samples);
                    last.samples.sort_by_key(|(time, _)| *time);
                    if last.samples.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                        return Err(equal_labels());
                    }
                }
                _ => merged.push(next),
            }
        }
        Ok(Value::Matrix(merged))
    }

    /// All steps of a range query.
    pub(super) fn matrix(&mut self) -> Result<Value, QueryError> {
        let plan = self.plan;
        let mut series: BTreeMap<Labels, Vec<(Timestamp, SampleValue)>> = BTreeMap::new();
        let mut at = self.query.start;
        let mut collected: u64 = 0;
        while at <= self.query.end {
            self.samples = collected;
            self.check(0)?;
            let timestamp = Timestamp::from_millis(at);
            let vector = match plan.root.value_type {
                ValueType::Scalar => vec![Element::bare(self.scalar(&plan.root, at)?)],
                ValueType::Vector => self.vector(&plan.root, at)?,
                ValueType::String | ValueType::Matrix => {
                    return Err(fault("a range query needs a number or an instant vector"));
                }
            };
            collected += vector.len() as u64;
            for element in vector {
                let samples = series.entry(element.final_labels()).or_default();
                if samples.last().is_some_and(|(time, _)| *time == timestamp) {
                    return Err(equal_labels());
                }
                samples.push((timestamp, element.value));
            }
            let Some(next) = at.checked_add(self.query.step) else { break };
            at = next;
        }
        Ok(Value::Matrix(series.into_iter().map(|(labels, samples)| MatrixSeries { labels, samples }).collect()))
    }
}

fn refuse_neighbours(sorted: &[&Labels]) -> Result<(), QueryError> {
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) { Err(equal_labels()) } else { Ok(()) }
}
