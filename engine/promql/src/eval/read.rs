//! Reading the store: instant vectors, and the windows of range vectors.

use std::sync::Arc;

use watchfire_model::{Duration, Timestamp, is_stale};
use watchfire_tsdb::{CounterResetHint, Histogram, SampleValue, Window};

use super::element::{Element, Metric, NameState};
use super::{Evaluator, fault};
use crate::QueryError;
use crate::annotations::Annotations;
use crate::plan::{Kind, Node, Reading};
use crate::syntax::RangeExtension;

/// How many series are read between two looks at the clock and the limit.
const SERIES_BETWEEN_CHECKS: usize = 64;

/// The samples of one series in a window, oldest first, without staleness markers.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeSamples {
    pub(crate) floats: Vec<(i64, f64)>,
    pub(crate) histograms: Vec<(i64, Arc<Histogram>)>,
    /// When counting began, 0 where that is unknown; as long as `floats`, or empty.
    pub(crate) float_starts: Vec<i64>,
    /// The same for `histograms`.
    pub(crate) histogram_starts: Vec<i64>,
}

/// One series of a range vector.
pub(crate) struct Range<'r, 'a> {
    /// Whose samples they are; its value means nothing.
    pub(crate) owner: Element<'a>,
    pub(crate) samples: &'r RangeSamples,
    /// The left edge, which does not belong to the range.
    pub(crate) start: i64,
    /// The right edge, which does.
    pub(crate) end: i64,
    pub(crate) extension: Option<RangeExtension>,
}

impl RangeSamples {
    pub(crate) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
        self.float_starts.clear();
        self.histogram_starts.clear();
    }

    pub(crate) fn push(&mut self, time: i64, value: SampleValue) {
        match value {
            SampleValue::Float(value) => self.floats.push((time, value)),
            SampleValue::Histogram(histogram) => self.histograms.push((time, histogram)),
        }
    }

    fn detect_resets(&mut self) {
        for i in 1..self.histograms.len() {
            let (before, after) = self.histograms.split_at_mut(i);
            if let (Some((_, previous)), Some((_, histogram))) = (before.last(), after.first_mut()) {
                detect_reset(histogram, previous);
            }
        }
        for (_, histogram) in &mut self.histograms {
            keep_statistics(histogram);
        }
    }

    pub(super) fn load(&mut self, window: Window<'_>, with_starts: bool) {
        if window.is_plain() {
            window.floats_into(&mut self.floats);
            if self.floats.iter().any(|(_, value)| is_stale(*value)) {
                self.floats.retain(|(_, value)| !is_stale(*value));
            }
            return;
        }
        for point in window.iter().filter(|point| !point.value.is_stale()) {
            if with_starts {
                let start = point.start.map_or(0, Timestamp::as_millis);
                match point.value {
                    SampleValue::Float(_) => self.float_starts.push(start),
                    SampleValue::Histogram(_) => self.histogram_starts.push(start),
                }
            }
            self.push(point.timestamp.as_millis(), point.value);
        }
    }
}

/// Says for a histogram of which that is not known whether it goes on from the one before it.
fn detect_reset(histogram: &mut Arc<Histogram>, previous: &Histogram) {
    if histogram.counter_reset_hint == CounterResetHint::Unknown {
        let reset = histogram.is_reset_of(previous);
        Arc::make_mut(histogram).counter_reset_hint =
            if reset { CounterResetHint::Reset } else { CounterResetHint::NotReset };
    }
}

/// Leaves the buckets away, as Prometheus does where nobody looks at them: whether a gauge fell is then told by its count
/// alone.
fn keep_statistics(histogram: &mut Arc<Histogram>) {
    let kept = Histogram { zero_count: 0.0, positive: Vec::new(), negative: Vec::new(), ..Histogram::clone(histogram) };
    *histogram = Arc::new(kept);
}

impl Range<'_, '_> {
    pub(crate) fn metric_name(&self) -> &str {
        self.owner.metric_name()
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }

    /// The samples as they stand in a result.
    pub(super) fn output(&self) -> Vec<(Timestamp, SampleValue)> {
        let floats = self.samples.floats.iter().map(|(t, v)| (Timestamp::from_millis(*t), SampleValue::Float(*v)));
        let histograms = self.samples.histograms.iter();
        let histograms = histograms.map(|(t, h)| (Timestamp::from_millis(*t), SampleValue::Histogram(Arc::clone(h))));
        floats.chain(histograms).collect()
    }
}

impl<'s, 'a> Evaluator<'s, 'a> {
    /// The newest sample of each series that is not older than the lookback.
    pub(super) fn instant(
        &mut self,
        node: &'s Node,
        reading: &'s Reading,
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let reference = self.reference(at, reading.at, reading.offset.as_ref())?;
        let source = self.source;
        let views = source.views(reading.selection);
        let mut vector = Vec::with_capacity(views.len());
        if reading.extension == Some(RangeExtension::Smoothed) {
            return self.smoothed_instant(node, views, reference);
        }
        let oldest = reference.saturating_sub(self.options.lookback.as_millis());
        let time = Timestamp::from_millis(reference);
        for (i, view) in views.iter().enumerate() {
            if i % SERIES_BETWEEN_CHECKS == 0 {
                self.check(vector.len())?;
            }
            if let Some(mut point) = view.at(time)
                && point.timestamp.as_millis() > oldest
                && !point.value.is_stale()
            {
                if let (true, SampleValue::Histogram(histogram)) = (reading.statistics, &mut point.value) {
                    let before = view.at(point.timestamp - Duration::from_millis(1));
                    let before = before.filter(|p| p.timestamp.as_millis() > oldest);
                    if let Some(previous) = before.as_ref().and_then(|p| p.value.histogram()) {
                        detect_reset(histogram, previous);
                    }
                }
                vector.push(Element::new(Metric::Stored(view.labels()), point.value, NameState::Kept));
            }
        }
        Ok(vector)
    }

    /// The same with the samples' own times, and when they began to count, for functions that ask for these.
    pub(super) fn instant_times(
        &mut self,
        reading: &'s Reading,
        at: i64,
    ) -> Result<Vec<(Element<'a>, i64, i64)>, QueryError> {
        let reference = self.reference(at, reading.at, reading.offset.as_ref())?;
        let oldest = reference.saturating_sub(self.options.lookback.as_millis());
        let source = self.source;
        let mut found = Vec::new();
        for view in source.views(reading.selection) {
            if let Some(point) = view.at(Timestamp::from_millis(reference))
                && point.timestamp.as_millis() > oldest
                && !point.value.is_stale()
            {
                let start = point.start.map_or(0, Timestamp::as_millis);
                let element = Element::new(Metric::Stored(view.labels()), point.value, NameState::Kept);
                found.push((element, point.timestamp.as_millis(), start));
            }
        }
        self.check(found.len())?;
        Ok(found)
    }

    /// Calls `visit` for every series of a range vector that has a sample in its window.
    pub(super) fn each_range(
        &mut self,
        node: &'s Node,
        at: i64,
        visit: &mut dyn FnMut(&mut Annotations, &Range<'_, 'a>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        match &node.kind {
            Kind::Range(reading, length) => {
                let length = self.duration(length, false)?;
                let end = self.reference(at, reading.at, reading.offset.as_ref())?;
                let start = end.saturating_sub(length);
                let lookback = self.options.lookback.as_millis();
                let extension = reading.extension;
                let after = if extension.is_some() { start.saturating_sub(lookback) } else { start };
                let through = if extension == Some(RangeExtension::Smoothed) { end + lookback } else { end };
                let source = self.source;
                let with_starts = self.options.start_timestamps;
                let (after, through) = (Timestamp::from_millis(after), Timestamp::from_millis(through));
                let mut samples = self.scratch.pop().unwrap_or_default();
                for (i, view) in source.views(reading.selection).iter().enumerate() {
                    samples.clear();
                    samples.load(view.window(after, through), with_starts);
                    if reading.statistics && samples.histograms.len() > 1 {
                        samples.detect_resets();
                    }
                    if i % SERIES_BETWEEN_CHECKS == 0 || samples.len() > SERIES_BETWEEN_CHECKS {
                        self.check(samples.len())?;
                    }
                    if samples.is_empty() {
                        continue;
                    }
                    let owner = Element::new(Metric::Stored(view.labels()), 0.0, NameState::Kept);
                    let range = Range { owner, samples: &samples, start, end, extension };
                    visit(&mut self.notes, &range)?;
                }
                self.scratch.push(samples);
                Ok(())
            }
            Kind::Subquery(subquery) => {
                let (series, start, end) = self.subquery(node, subquery, at)?;
                for (owner, samples) in &series {
                    let range = Range { owner: owner.clone(), samples, start, end, extension: None };
                    visit(&mut self.notes, &range)?;
                }
                Ok(())
            }
            _ => Err(fault("the plan has something else where a range vector belongs")),
        }
    }
}
