//! `info`: labels of info metrics for the series of the same instance and job.

use std::collections::BTreeMap;

use watchfire_model::{Anchoring, METRIC_NAME_LABEL, MatchOp, Matcher};
use watchfire_tsdb::SampleValue;

use super::super::element::{Element, Metric, NameState, refuse_equal};
use super::super::{Evaluator, fault};
use crate::QueryError;
use crate::plan::{Kind, Node};
use crate::syntax::{At, DurationValue};

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

/// `@` and the offsets of the first selector in an expression.
fn first_reading(node: &Node) -> Option<(Option<At>, Vec<&DurationValue>)> {
    match &node.kind {
        Kind::Instant(reading) | Kind::Range(reading, _) => Some((reading.at, reading.offset.iter().collect())),
        Kind::Subquery(subquery) => {
            let (at, mut offsets) = first_reading(&subquery.inner)?;
            if at.is_some() {
                return Some((at, offsets));
            }
            offsets.extend(&subquery.offset);
            Some((subquery.at, offsets))
        }
        Kind::Call(_, args) => args.iter().find_map(first_reading),
        Kind::Aggregate(aggregate) => {
            aggregate.param.as_ref().and_then(first_reading).or_else(|| first_reading(&aggregate.inner))
        }
        Kind::Binary(binary) => first_reading(&binary.left).or_else(|| first_reading(&binary.right)),
        Kind::Negate(inner) => first_reading(inner),
        Kind::Number(_) | Kind::String(_) => None,
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
        let identified = base.iter().any(|e| !is_info(e) && IDENTIFYING.iter().any(|l| !e.get(l).is_empty()));
        let infos = if identified {
            self.info_series(&args[0], reading.selection, &base, &is_info, at)?
        } else {
            BTreeMap::new()
        };

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
        base: &[Element<'a>],
        is_info: &dyn Fn(&Element<'_>) -> bool,
        at: i64,
    ) -> Result<BTreeMap<(String, [String; 2]), (Element<'a>, i64)>, QueryError> {
        let (fixed, offsets) = first_reading(first).unwrap_or((None, Vec::new()));
        let mut reference = self.reference(at, fixed, None)?;
        for offset in offsets {
            reference = reference.saturating_sub(self.duration(offset, true)?);
        }
        let oldest = reference.saturating_sub(self.options.lookback.as_millis());
        let source = self.source;
        let known: Vec<Vec<&str>> = IDENTIFYING
            .iter()
            .map(|label| {
                let mut values: Vec<&str> = base.iter().filter(|e| !is_info(e)).map(|e| e.get(label)).collect();
                values.retain(|value| !value.is_empty());
                values.sort_unstable();
                values.dedup();
                values
            })
            .collect();
        let mut infos: BTreeMap<(String, [String; 2]), (Element<'a>, i64)> = BTreeMap::new();
        for view in source.views(selection) {
            let Some(point) = view.at(watchfire_model::Timestamp::from_millis(reference)) else { continue };
            let time = point.timestamp.as_millis();
            if time <= oldest || point.value.is_stale() {
                continue;
            }
            let element = Element::new(Metric::Stored(view.labels()), 0.0, NameState::Kept);
            let identity = IDENTIFYING.map(|l| element.get(l).to_owned());
            let asked = known
                .iter()
                .zip(&identity)
                .all(|(values, value)| values.is_empty() || values.binary_search(&value.as_str()).is_ok());
            if !asked {
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
}
