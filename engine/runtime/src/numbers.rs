//! The numbers behind alerts, for the messages that show them: what a rule measures, over the last half hour.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use arc_swap::ArcSwap;
use watchfire_config::ServerLimits;
use watchfire_delivery::{Trend, Trends};
use watchfire_model::{Alert, RuleId, Timestamp};
use watchfire_promql::{Answer, Extract, Options, Plan, Stop, Value};
use watchfire_rules::Measure;

use crate::bounds::{Bound, Bounds};
use crate::clock::Stopwatch;
use crate::data::Data;
use crate::evaluate::{Ready, RuleSet};

/// How long the numbers of one message may be looked for: a page does not wait for its picture.
const TIME_MAX: StdDuration = StdDuration::from_secs(1);
/// Samples that are looked at for one rule.
const SAMPLES_MAX: u64 = 1_000_000;

/// What the numbers are known from.
#[derive(Clone)]
pub(crate) struct Numbers {
    rules: Arc<ArcSwap<RuleSet>>,
    data: Arc<Data>,
    bounds: Arc<Bounds>,
    /// Queries at one time.
    queries_max: usize,
}

impl Numbers {
    pub(crate) fn new(rules: Arc<ArcSwap<RuleSet>>, data: Arc<Data>, bounds: Arc<Bounds>) -> Numbers {
        Numbers { rules, data, bounds, queries_max: 0 }
    }

    /// The same within these limits.
    pub(crate) fn within(&self, limits: &ServerLimits) -> Numbers {
        Numbers { queries_max: Bound::Queries.max(limits), ..self.clone() }
    }

    fn range(&self, ready: &Ready, measure: &Measure<'_>, until: Timestamp, watch: &Stopwatch) -> Option<Answer> {
        let options = Options { samples_max: SAMPLES_MAX, ..self.rules.load().options };
        let plan = Plan::new(&measure.expr, &options);
        let end = until - ready.query_offset;
        let stop = || (watch.elapsed() > TIME_MAX).then_some(Stop::TimedOut);
        let extract = Extract::range(plan, end - Trend::SPAN, end, Trend::STEP);
        extract
            .and_then(|extract| self.data.answer(extract, &stop))
            .inspect_err(|error| {
                self.data.metrics.trends_missing.inc();
                tracing::debug!(rule = ready.rule.name, %error, "a message goes without a trend");
            })
            .ok()
    }
}

impl Trends for Numbers {
    /// Looks at the series once for each rule, if a query has a place now. What takes too long is left out.
    fn trends(&self, alerts: &[&Alert], until: Timestamp) -> Vec<Option<Trend>> {
        let Some(_place) = self.bounds.try_take(Bound::Queries, self.queries_max) else {
            self.data.metrics.trends_missing.inc_by(alerts.len() as u64);
            return vec![None; alerts.len()];
        };
        let rules = self.rules.load();
        let watch = Stopwatch::start();
        let mut answers: HashMap<RuleId, Option<Answer>> = HashMap::new();
        let mut trend = |alert: &Alert| {
            // What a server elsewhere answers is not here to be looked at.
            let of = |ready: &&Arc<Ready>| ready.spec.generator_url == alert.generator_url && ready.server.is_none();
            let ready = rules.rules.values().find(of)?;
            let measure = ready.rule.measure(&alert.labels)?;
            let looked = || self.range(ready, &measure, until, &watch);
            let answer = answers.entry(ready.rule.id).or_insert_with(looked).as_ref()?;
            let Value::Matrix(series) = &answer.value else { return None };
            let mut behind = series.iter().filter(|series| ready.rule.gives(&alert.labels, &series.labels));
            let (found, None) = (behind.next()?, behind.next()) else { return None };
            let first = until - ready.query_offset - Trend::SPAN;
            let mut values = vec![None; usize::try_from(Trend::COLUMNS).unwrap_or_default()];
            for (at, value) in &found.samples {
                let column = at.since(first).as_millis() / Trend::STEP.as_millis();
                let column = usize::try_from(column).ok().and_then(|column| values.get_mut(column));
                column.into_iter().for_each(|column| *column = value.float());
            }
            Some(Trend { until, values, threshold: measure.threshold })
        };
        alerts.iter().map(|alert| trend(alert)).collect()
    }
}
