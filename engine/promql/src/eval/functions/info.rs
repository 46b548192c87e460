//! `info`: labels of info metrics for the series of the same instance and job.

use std::collections::{BTreeMap, BTreeSet};

use watchfire_model::{Anchoring, METRIC_NAME_LABEL, MatchOp, Matcher};
use watchfire_tsdb::SampleValue;

use super::super::element::{Element, Metric, NameState, refuse_equal};
use super::super::{Evaluator, fault};
use crate::QueryError;
use crate::plan::{Kind, Node, SubqueryPlan};
use crate::syntax::{At, DurationValue, FunctionName, ValueType};

/// What makes two series belong to the same thing.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Which series `info` reads, given the matchers of its second argument.
pub(crate) fn info_matchers(given: &[Matcher]) -> Vec<Matcher> {
    let (names, mut matchers): (Vec<_>, Vec<_>) = given.iter().cloned().partition(|m| m.name() == METRIC_NAME_LABEL);
    matchers.extend(name_matchers(&names));
    matchers
}

/// Without a positive matcher on the name, all info metrics are meant; without any, `target_info`.
fn name_matchers(names: &[Matcher]) -> Vec<Matcher> {
    if names.is_empty() {
        return vec![Matcher::equal(METRIC_NAME_LABEL, "target_info")];
    }
    let positive = names.iter().any(|m| matches!(m.op(), MatchOp::Equal | MatchOp::Regex));
    let mut all = names.to_vec();
    if !positive && let Ok(suffix) = Matcher::new(METRIC_NAME_LABEL, MatchOp::Regex, ".+_info", Anchoring::Prometheus) {
        all.push(suffix);
    }
    all
}

/// When a selector reads: its `@`, and the offsets that count.
#[derive(Debug, Default)]
struct Readings<'s> {
    all: Vec<(Option<At>, Vec<&'s DurationValue>)>,
    /// Whether some vector is made without a selector, so that only the time of evaluation is known of it.
    unread: bool,
}

impl<'s> Readings<'s> {
    /// Collects those below a node, `around` being the subqueries around it. Answers whether there are any.
    fn collect(&mut self, node: &'s Node, around: &mut Vec<&'s SubqueryPlan>) -> bool {
        if !matches!(node.value_type, ValueType::Vector | ValueType::Matrix) {
            return false;
        }
        let found = match &node.kind {
            Kind::Instant(reading) | Kind::Range(reading, _) => {
                let (mut at, mut offsets) = (reading.at, Vec::from_iter(&reading.offset));
                // The offsets of subqueries add up until an `@` says when.
                for subquery in around.iter().rev() {
                    if at.is_some() {
                        break;
                    }
                    offsets.extend(&subquery.offset);
                    at = subquery.at;
                }
                self.all.push((at, offsets));
                return true;
            }
            Kind::Subquery(subquery) => {
                around.push(subquery);
                let found = self.collect(&subquery.inner, around);
                around.pop();
                found
            }
            Kind::Call(FunctionName::Info, args) => args.first().is_some_and(|arg| self.collect(arg, around)),
            Kind::Call(_, args) => {
                let mut found = false;
                for arg in args {
                    found |= self.collect(arg, around);
                }
                found
            }
            Kind::Aggregate(aggregate) => self.collect(&aggregate.inner, around),
            Kind::Binary(binary) => {
                let left = self.collect(&binary.left, around);
                self.collect(&binary.right, around) || left
            }
            Kind::Negate(inner) => self.collect(inner, around),
            Kind::Number(_) | Kind::String(_) => false,
        };
        self.unread |= !found;
        found
    }
}

/// Which identifying labels a series has, and with which values the series that are to be enriched have them.
#[derive(Debug, Default)]
struct Asked<'e>(BTreeMap<[bool; 2], [BTreeSet<&'e str>; 2]>);

impl<'e> Asked<'e> {
    fn of(elements: impl Iterator<Item = &'e Element<'e>>) -> Asked<'e> {
        let mut asked = Asked::default();
        for element in elements {
            let values = IDENTIFYING.map(|label| element.get(label));
            let present = values.map(|value| !value.is_empty());
            if present != [false, false] {
                let known = asked.0.entry(present).or_default();
                for (known, value) in known.iter_mut().zip(values) {
                    known.insert(value);
                }
            }
        }
        asked
    }

    fn includes(&self, identity: &[String; 2]) -> bool {
        let present = [0, 1].map(|label| !identity[label].is_empty());
        let known = self.0.get(&present);
        known.is_some_and(|known| known.iter().zip(identity).all(|(known, value)| known.contains(value.as_str())))
    }
}

impl<'s, 'a> Evaluator<'s, 'a> {
    pub(super) fn info(&mut self, args: &'s [Node], at: i64) -> Result<Vec<Element<'a>>, QueryError> {
        let Kind::Instant(reading) = &args[1].kind else { return Err(fault("info needs a selection")) };
        let base = self.vector(&args[0], at)?;
        let names: Vec<Matcher> = reading.matchers.iter().filter(|m| m.name() == METRIC_NAME_LABEL).cloned().collect();
        let wanted: Vec<&Matcher> = reading.matchers.iter().filter(|m| m.name() != METRIC_NAME_LABEL).collect();
        let names = name_matchers(&names);
        // Info metrics themselves are not enriched.
        let is_info = |e: &Element<'_>| names.iter().all(|m| m.matches(e.metric_name()));
        let asked = Asked::of(base.iter().filter(|element| !is_info(element)));
        let infos = self.info_series(&args[0], reading.selection, &asked, at)?;

        let mut out = Vec::with_capacity(base.len());
        for element in base {
            if is_info(&element) {
                out.push(element);
                continue;
            }
            let identity = IDENTIFYING.map(|l| element.get(l).to_owned());
            let mut added: BTreeMap<String, String> = BTreeMap::new();
            let mut found = false;
            for ((_, info_identity), (info, _)) in &infos {
                if *info_identity != identity {
                    continue;
                }
                found = true;
                for label in info.labels().filter(|l| l.name != METRIC_NAME_LABEL) {
                    if !wanted.is_empty() && !wanted.iter().any(|m| m.name() == label.name) {
                        continue;
                    }
                    if added.get(label.name).is_some_and(|value| value != label.value) {
                        return Err(QueryError::Execution(format!("conflicting label: {}", label.name)));
                    }
                    if element.get(label.name).is_empty() {
                        added.insert(label.name.to_owned(), label.value.to_owned());
                    }
                }
            }
            if !found && wanted.iter().any(|m| !m.matches("")) {
                continue;
            }
            if added.is_empty() {
                out.push(element);
                continue;
            }
            let mut builder = element.visible_labels().to_builder();
            for (name, value) in added {
                builder.set(name, value);
            }
            let name = if element.name == NameState::Hidden { NameState::Kept } else { element.name };
            out.push(Element { metric: Metric::Made(builder.build()), name, ..element });
        }
        refuse_equal(&out)?;
        Ok(out)
    }

    /// The newest series of each info metric for each identity, with the time of its sample.
    fn info_series(
        &mut self,
        first: &'s Node,
        selection: usize,
        asked: &Asked<'_>,
        at: i64,
    ) -> Result<BTreeMap<(String, [String; 2]), (Element<'a>, i64)>, QueryError> {
        let reference = self.info_time(first, at)?;
        let oldest = reference.saturating_sub(self.options.lookback.as_millis());
        let source = self.source;
        let mut infos: BTreeMap<(String, [String; 2]), (Element<'a>, i64)> = BTreeMap::new();
        for view in source.views(selection) {
            let Some(point) = view.at(watchfire_model::Timestamp::from_millis(reference)) else { continue };
            let time = point.timestamp.as_millis();
            if time <= oldest || point.value.is_stale() {
                continue;
            }
            let element = Element::new(Metric::Stored(view.labels()), 0.0, NameState::Kept);
            let identity = IDENTIFYING.map(|l| element.get(l).to_owned());
            if !asked.includes(&identity) {
                continue;
            }
            if matches!(point.value, SampleValue::Histogram(_)) {
                let labels = view.labels();
                let message = format!("this should be an info metric, with float samples: {labels}");
                return Err(QueryError::Execution(message));
            }
            let key = (element.metric_name().to_owned(), identity);
            match infos.get(&key) {
                Some((_, known)) if *known > time => {}
                Some((existing, known)) if *known == time => {
                    let (a, b) = (existing.visible_labels(), view.labels());
                    let message =
                        format!("found duplicate series for info metric: existing {a} @ {known}, new {b} @ {time}");
                    return Err(QueryError::Execution(message));
                }
                _ => {
                    infos.insert(key, (element, time));
                }
            }
        }
        Ok(infos)
    }

    /// When info metrics are read: when all selectors of the first argument read, or at the time of evaluation.
    fn info_time(&mut self, first: &'s Node, at: i64) -> Result<i64, QueryError> {
        let mut readings = Readings::default();
        readings.collect(first, &mut Vec::new());
        if readings.unread {
            return Ok(at);
        }
        let mut times = BTreeSet::new();
        for (fixed, offsets) in readings.all {
            let mut time = self.reference(at, fixed, None)?;
            for offset in offsets {
                time = time.saturating_sub(self.duration(offset, true)?);
            }
            times.insert((fixed.is_some(), time));
        }
        match times.first() {
            Some((_, time)) if times.len() == 1 => Ok(*time),
            _ => Ok(at),
        }
    }
}
