//! Aggregations over groups of series.

use std::cmp::Ordering;
use std::sync::Arc;

use watchfire_model::{METRIC_NAME_LABEL, format_f, format_g};
use watchfire_tsdb::{CounterResetHint, Histogram, HistogramError, HistogramSum, SampleValue};

use super::element::{Element, Interner, Metric, NameState, mix};
use super::{Evaluator, fault};
use crate::QueryError;
use crate::annotations::Combination;
use crate::numeric::{KahanSum, Mean, nan_first, quantile};
use crate::plan::{AggregatePlan, Kind, Node};
use crate::syntax::{AggregateOp, is_label_name, quote};

/// Which group each element belongs to, and one element of each group.
pub(super) struct Groups {
    /// For each element the number of its group.
    pub(super) of: Vec<usize>,
    /// For each group the first of its elements.
    pub(super) first: Vec<usize>,
}

fn in_group(plan: &AggregatePlan, grouping: &[String], name: &str) -> bool {
    let named = grouping.iter().any(|l| l == name);
    if plan.without { !named && name != METRIC_NAME_LABEL } else { named }
}

pub(super) fn groups(plan: &AggregatePlan, grouping: &[String], vector: &[Element<'_>]) -> Groups {
    if !plan.without && grouping.is_empty() {
        return Groups { of: vec![0; vector.len()], first: if vector.is_empty() { Vec::new() } else { vec![0] } };
    }
    let mut interner = Interner::with_capacity(16);
    let mut first: Vec<usize> = Vec::new();
    let mut of = Vec::with_capacity(vector.len());
    for (i, element) in vector.iter().enumerate() {
        let hash = if plan.without {
            let labels = element.labels().filter(|l| in_group(plan, grouping, l.name));
            labels.fold(0, |hash, label| mix(mix(hash, label.name), label.value))
        } else {
            grouping.iter().fold(0, |hash, name| mix(hash, element.get(name)))
        };
        let next = first.len();
        let number = interner.intern(hash, next, |group| {
            let other = &vector[first[group]];
            if plan.without {
                let of = |e| Element::labels(e).filter(|l| in_group(plan, grouping, l.name));
                of(other).eq(of(element))
            } else {
                grouping.iter().all(|name| other.get(name) == element.get(name))
            }
        });
        if number == next {
            first.push(i);
        }
        of.push(number);
    }
    Groups { of, first }
}

/// What one group has seen so far.
pub(super) enum State {
    Empty,
    Float(f64),
    Count(f64),
    Sum(KahanSum),
    Mean(Mean),
    /// Number of values, their mean, and the sum of squared distances from it.
    Variance(f64, f64, f64),
    Values(Vec<f64>),
    Histograms(Box<HistogramState>),
    /// Samples that cannot be aggregated together.
    Mixed,
    Incompatible,
}

pub(super) struct HistogramState {
    sum: HistogramSum,
    count: f64,
    /// The mean is computed step by step, because the sum would overflow.
    stepwise: bool,
    reset_seen: bool,
    no_reset_seen: bool,
}

impl State {
    /// Takes in a number.
    #[inline]
    pub(super) fn add(&mut self, op: AggregateOp, value: f64) {
        match (op, &mut *self) {
            (AggregateOp::Group, _) => *self = State::Float(1.0),
            (AggregateOp::Count, State::Count(count)) => *count += 1.0,
            (AggregateOp::Count, _) => *self = State::Count(1.0),
            (AggregateOp::Sum, State::Sum(sum)) => sum.add(value),
            (AggregateOp::Sum, State::Empty) => *self = State::Sum(KahanSum::new(value)),
            (AggregateOp::Avg, State::Mean(mean)) => mean.add(value),
            (AggregateOp::Avg, State::Empty) => *self = State::Mean(Mean::new(value)),
            (AggregateOp::Sum | AggregateOp::Avg, State::Incompatible) => {}
            (AggregateOp::Sum | AggregateOp::Avg, _) => *self = State::Mixed,
            (AggregateOp::Min, State::Float(least)) if *least > value || least.is_nan() => *least = value,
            (AggregateOp::Max, State::Float(most)) if *most < value || most.is_nan() => *most = value,
            (AggregateOp::Min | AggregateOp::Max, State::Float(_)) => {}
            (AggregateOp::Min | AggregateOp::Max, _) => *self = State::Float(value),
            (AggregateOp::Stddev | AggregateOp::Stdvar, State::Variance(count, mean, squares)) => {
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }
            (AggregateOp::Stddev | AggregateOp::Stdvar, _) => {
                *self = State::Variance(1.0, value, if value.is_finite() { 0.0 } else { f64::NAN });
            }
            (AggregateOp::Quantile, State::Values(values)) => values.push(value),
            (AggregateOp::Quantile, _) => *self = State::Values(vec![value]),
            _ => {}
        }
    }

    /// The result of a group of numbers.
    pub(super) fn number(self, op: AggregateOp, parameter: f64) -> Option<f64> {
        Some(match self {
            State::Float(value) | State::Count(value) => value,
            State::Sum(sum) => sum.value(),
            State::Mean(mean) => mean.value(),
            State::Variance(count, _, squares) if op == AggregateOp::Stdvar => squares / count,
            State::Variance(count, _, squares) => (squares / count).sqrt(),
            State::Values(mut values) => quantile(parameter, &mut values),
            State::Empty | State::Histograms(_) | State::Mixed | State::Incompatible => return None,
        })
    }
}

impl HistogramState {
    fn new(first: &Histogram) -> HistogramState {
        let mut state = HistogramState {
            sum: HistogramSum::new(first.clone()),
            count: 1.0,
            stepwise: false,
            reset_seen: false,
            no_reset_seen: false,
        };
        state.see_hint(first);
        state
    }

    fn see_hint(&mut self, histogram: &Histogram) {
        self.reset_seen |= histogram.counter_reset_hint == CounterResetHint::Reset;
        self.no_reset_seen |= histogram.counter_reset_hint == CounterResetHint::NotReset;
    }

    /// Adds one more; says whether bounds had to be reconciled.
    fn add(&mut self, histogram: &Histogram, mean: bool) -> Result<bool, HistogramError> {
        self.see_hint(histogram);
        self.count += 1.0;
        if !mean {
            return self.sum.add(histogram).map(|notes| notes.bounds_reconciled);
        }
        let mut reconciled = false;
        if !self.stepwise {
            let mut next = self.sum.clone();
            reconciled = next.add(histogram)?.bounds_reconciled;
            if !next.has_overflow() {
                self.sum = next;
                return Ok(reconciled);
            }
            self.stepwise = true;
            self.sum.scale(1.0 / (self.count - 1.0));
        }
        self.sum.scale((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.divide(self.count);
        reconciled |= self.sum.add(&part)?.bounds_reconciled;
        Ok(reconciled)
    }

    fn finish(self, mean: bool) -> Histogram {
        let divide = mean && !self.stepwise;
        let mut histogram = self.sum.finish();
        if divide {
            histogram.divide(self.count);
        }
        histogram.compact();
        histogram
    }
}

impl<'s, 'a> Evaluator<'s, 'a> {
    pub(super) fn aggregate(
        &mut self,
        node: &'s Node,
        plan: &'s AggregatePlan,
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        match plan.op {
            AggregateOp::CountValues => return self.count_values(plan, at),
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                return self.select_some(node, plan, at);
            }
            _ => {}
        }
        let parameter = match &plan.param {
            Some(param) => self.scalar(param, at)?,
            None => 0.0,
        };
        let vector = self.vector(&plan.inner, at)?;
        if plan.op == AggregateOp::Quantile
            && let Some(param) = &plan.param
            && !(0.0..=1.0).contains(&parameter)
        {
            self.notes.invalid_quantile_in_aggregation(parameter, param.span);
        }
        let groups = groups(plan, &plan.grouping, &vector);
        let mut states: Vec<State> = groups.first.iter().map(|_| State::Empty).collect();
        let mut names = vec![NameState::Kept; groups.first.len()];
        for (element, group) in vector.iter().zip(&groups.of) {
            self.accumulate(plan, &mut states[*group], element);
            if element.name == NameState::DropAtEnd {
                names[*group] = NameState::DropAtEnd;
            }
        }
        let mut out = Vec::with_capacity(states.len());
        for ((state, first), name) in states.into_iter().zip(&groups.first).zip(names) {
            if let Some(value) = self.finish_group(plan, state, parameter) {
                let first = &vector[*first];
                // A name that is not there any more must not come back through the part that is shown.
                let name = if first.name == NameState::Hidden { NameState::Hidden } else { name };
                out.push(Element { metric: first.part(&plan.labels), value, name });
            }
        }
        Ok(out)
    }

    fn accumulate(&mut self, plan: &AggregatePlan, state: &mut State, element: &Element<'_>) {
        let span = plan.inner.span;
        let mean = plan.op == AggregateOp::Avg;
        match (plan.op, &element.value) {
            (op, SampleValue::Float(value)) => state.add(op, *value),
            // These count elements of either kind.
            (op @ (AggregateOp::Group | AggregateOp::Count), SampleValue::Histogram(_)) => state.add(op, 0.0),
            (AggregateOp::Sum | AggregateOp::Avg, SampleValue::Histogram(histogram)) => match state {
                State::Empty => *state = State::Histograms(Box::new(HistogramState::new(histogram))),
                State::Histograms(sum) => match sum.add(histogram, mean) {
                    Ok(reconciled) => {
                        if reconciled {
                            self.notes.bounds_reconciled(Combination::Aggregation, span);
                        }
                    }
                    Err(_) => {
                        self.notes.mixed_exponential_custom(element.metric_name(), span);
                        *state = State::Incompatible;
                    }
                },
                State::Incompatible => {}
                _ => *state = State::Mixed,
            },
            (op, SampleValue::Histogram(_)) => self.notes.histogram_ignored_in_aggregation(op.name(), span),
        }
    }

    fn finish_group(&mut self, plan: &AggregatePlan, state: State, parameter: f64) -> Option<SampleValue> {
        let span = plan.inner.span;
        match state {
            State::Mixed => {
                self.notes.mixed_floats_histograms_in_aggregation(span);
                None
            }
            State::Histograms(sum) => {
                if sum.reset_seen && sum.no_reset_seen {
                    self.notes.reset_collision(Combination::Aggregation, span);
                }
                Some(SampleValue::Histogram(Arc::new(sum.finish(plan.op == AggregateOp::Avg))))
            }
            numbers => numbers.number(plan.op, parameter).map(SampleValue::Float),
        }
    }

    fn count_values(&mut self, plan: &'s AggregatePlan, at: i64) -> Result<Vec<Element<'a>>, QueryError> {
        let label = match plan.param.as_ref().map(|p| &p.kind) {
            Some(Kind::String(label)) => label,
            _ => return Err(fault("count_values needs a label")),
        };
        if !is_label_name(label) {
            return Err(QueryError::Execution(format!("invalid label name {}", quote(label))));
        }
        let mut grouping = plan.grouping.clone();
        if !plan.without {
            grouping.push(label.clone());
            grouping.sort_unstable();
            grouping.dedup();
        }
        let labelled: Vec<Element<'a>> = self
            .vector(&plan.inner, at)?
            .into_iter()
            .map(|element| {
                let text = match &element.value {
                    SampleValue::Float(value) => format_f(*value),
                    SampleValue::Histogram(histogram) => histogram.to_string(),
                };
                let mut builder = element.visible_labels().to_builder();
                builder.set(label.clone(), text);
                Element { metric: Metric::Made(builder.build()), ..element }
            })
            .collect();
        let groups = groups(plan, &grouping, &labelled);
        let mut counts = vec![0.0; groups.first.len()];
        groups.of.iter().for_each(|group| counts[*group] += 1.0);
        let counted = groups.first.iter().zip(counts);
        Ok(counted
            .map(|(first, count)| {
                let labels = labelled[*first].kept_labels(|name| in_group(plan, &grouping, name));
                Element::new(Metric::Made(labels), count, NameState::Kept)
            })
            .collect())
    }

    /// The aggregations that let some series through as they are.
    fn select_some(
        &mut self,
        node: &'s Node,
        plan: &'s AggregatePlan,
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let param = plan.param.as_ref().ok_or_else(|| fault("the aggregation needs a parameter"))?;
        let parameter = self.scalar(param, at)?;
        let vector = self.vector(&plan.inner, at)?;
        if plan.op == AggregateOp::LimitRatio {
            return self.limit_ratio(param, parameter, plan, vector);
        }
        if parameter < 1.0 {
            return Ok(Vec::new());
        }
        if parameter.is_nan() {
            return Err(QueryError::Execution("Parameter value is NaN".to_owned()));
        }
        if parameter >= i64::MAX as f64 {
            let shown = format_g(parameter);
            return Err(QueryError::Execution(format!("Scalar value {shown} overflows int64")));
        }
        let keep = (parameter as usize).min(vector.len());
        let groups = groups(plan, &plan.grouping, &vector);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups.first.len()];
        for (i, group) in groups.of.iter().enumerate() {
            let is_histogram = matches!(vector[i].value, SampleValue::Histogram(_));
            if is_histogram && plan.op != AggregateOp::Limitk {
                self.notes.histogram_ignored_in_aggregation(plan.op.name(), node.span);
            } else {
                members[*group].push(i);
            }
        }
        let value = |i: usize| vector[i].value.float().unwrap_or(f64::NAN);
        let mut picked = Vec::new();
        for group in &members {
            match plan.op {
                AggregateOp::Topk => picked.extend(extremes(group, keep, true, value)),
                AggregateOp::Bottomk => picked.extend(extremes(group, keep, false, value)),
                _ => picked.extend(group.iter().take(keep).copied()),
            }
        }
        Ok(pick(vector, &picked))
    }

    fn limit_ratio(
        &mut self,
        param: &'s Node,
        ratio: f64,
        plan: &'s AggregatePlan,
        vector: Vec<Element<'a>>,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        if ratio == 0.0 {
            return Ok(Vec::new());
        }
        if ratio.is_nan() {
            return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
        }
        let capped = ratio.clamp(-1.0, 1.0);
        if capped != ratio {
            self.notes.invalid_ratio(ratio, capped, param.span);
        }
        let groups = groups(plan, &plan.grouping, &vector);
        let mut picked: Vec<usize> = (0..vector.len())
            .filter(|i| {
                // The same series is always on the same side of the limit.
                let position = sampling_position(&vector[*i]);
                if capped >= 0.0 { position < capped } else { position >= 1.0 + capped }
            })
            .collect();
        picked.sort_by_key(|i| groups.of[*i]);
        Ok(pick(vector, &picked))
    }
}

/// The `keep` members with the highest or lowest values, the best first. Which of several equal ones stay follows from
/// the steps of a binary heap with the worst on top, as in Prometheus (Go's `container/heap`).
fn extremes(members: &[usize], keep: usize, highest: bool, value: impl Fn(usize) -> f64) -> Vec<usize> {
    let better = |a: f64, b: f64| if highest { a > b } else { a < b };
    let worse = |a: usize, b: usize| value(a).is_nan() || better(value(b), value(a));
    let mut heap: Vec<usize> = Vec::with_capacity(keep.min(members.len()));
    for &member in members {
        if heap.len() < keep {
            heap.push(member);
            let mut at = heap.len() - 1;
            while at > 0 && worse(heap[at], heap[(at - 1) / 2]) {
                heap.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
        } else if better(value(member), value(heap[0])) || (value(heap[0]).is_nan() && !value(member).is_nan()) {
            heap[0] = member;
            let mut at = 0;
            while 2 * at + 1 < heap.len() {
                let (left, right) = (2 * at + 1, 2 * at + 2);
                let child = if right < heap.len() && worse(heap[right], heap[left]) { right } else { left };
                if !worse(heap[child], heap[at]) {
                    break;
                }
                heap.swap(at, child);
                at = child;
            }
        }
    }
    heap.sort_by(|a, b| nan_last(value(*a), value(*b), highest));
    heap
}

/// Ascending or descending, NaN at the end either way.
pub(super) fn nan_last(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => nan_first(b, a),
        (false, false) => nan_first(a, b),
        (a, b) => a.cmp(&b),
    }
}

/// A number between 0 and 1 that belongs to the series.
fn sampling_position(element: &Element<'_>) -> f64 {
    let mut hash = element.hash();
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash as f64 / u64::MAX as f64
}

fn pick<'a>(vector: Vec<Element<'a>>, picked: &[usize]) -> Vec<Element<'a>> {
    let mut slots: Vec<Option<Element<'a>>> = vector.into_iter().map(Some).collect();
    picked.iter().filter_map(|i| slots[*i].take()).collect()
}
