//! Values that say how much came since the last time: added up here, because a series holds totals.

use std::collections::HashMap;
use std::sync::Arc;

use watchfire_model::{Duration, Labels, Timestamp, is_stale};
use watchfire_tsdb::{Point, SampleValue};

use crate::{Item, Limits, Rejections};

/// Totals that were not added to for so long make room for others.
const IDLE: Duration = Duration::from_hours(1);

/// What every series of deltas has come to. After a restart it begins at nothing, which looks like a counter's reset.
#[derive(Debug)]
pub struct Deltas {
    totals: HashMap<Labels, Total>,
    /// What the request under way has come to, until it is kept.
    staged: HashMap<Labels, Total>,
    series_max: usize,
}

#[derive(Clone, Debug)]
struct Total {
    value: SampleValue,
    at: Timestamp,
}

impl Deltas {
    /// For at most so many series.
    pub fn new(series_max: usize) -> Deltas {
        Deltas { totals: HashMap::new(), staged: HashMap::new(), series_max }
    }

    /// How many series have a total, and how many may have one.
    pub fn usage(&self) -> (usize, usize) {
        (self.totals.len(), self.series_max)
    }

    /// Makes totals of deltas. They count when [`Deltas::keep`] is called; what an earlier request left unkept is
    /// forgotten. A delta that is not newer than the one before it is refused, since it may have been counted.
    pub fn add(
        &mut self,
        deltas: Vec<(Labels, Vec<Point>)>,
        limits: &Limits,
        rejections: &mut Rejections,
    ) -> Vec<(Labels, Vec<Point>)> {
        self.staged.clear();
        let mut fresh = 0;
        let mut series = Vec::with_capacity(deltas.len());
        for (number, (labels, points)) in deltas.into_iter().enumerate() {
            let mut refuse = |reason: &str| {
                rejections.add(limits.rejections_max, Item::Series(number), || format!("{labels}: {reason}"));
            };
            let mut total = self.totals.get(&labels).cloned();
            if total.is_none() && !self.has_room(fresh, points.iter().map(|point| point.timestamp).max()) {
                points.iter().for_each(|_| refuse("there is no room for the total of another series of deltas"));
                continue;
            }
            fresh += usize::from(total.is_none());
            let mut added = Vec::with_capacity(points.len());
            for point in points {
                if total.as_ref().is_some_and(|total| point.timestamp <= total.at) {
                    refuse("the delta is not newer than the one before it");
                    continue;
                }
                let value = match (&total, &point.value) {
                    (_, SampleValue::Float(value)) if is_stale(*value) => {
                        added.push(point);
                        continue;
                    }
                    (Some(Total { value: SampleValue::Float(total), .. }), SampleValue::Float(value)) => {
                        SampleValue::Float(total + value)
                    }
                    (Some(Total { value: SampleValue::Histogram(total), .. }), SampleValue::Histogram(value)) => {
                        let mut sum = (**total).clone();
                        match sum.add(value) {
                            Ok(_) => SampleValue::Histogram(Arc::new(sum)),
                            Err(_) => point.value.clone(),
                        }
                    }
                    _ => point.value.clone(),
                };
                total = Some(Total { value: value.clone(), at: point.timestamp });
                // Since when the delta counts says nothing about the total.
                added.push(Point { timestamp: point.timestamp, start: None, value });
            }
            if let Some(total) = total {
                self.staged.insert(labels.clone(), total);
            }
            if !added.is_empty() {
                series.push((labels, added));
            }
        }
        series
    }

    /// Keeps what the last call of [`Deltas::add`] came to: it is stored.
    pub fn keep(&mut self) {
        self.totals.extend(self.staged.drain());
    }

    /// Whether there is room for one series more than the `fresh` ones of the request.
    fn has_room(&mut self, fresh: usize, now: Option<Timestamp>) -> bool {
        if self.totals.len() + fresh >= self.series_max
            && let Some(now) = now
        {
            self.totals.retain(|_, total| now.since(total.at) < IDLE);
        }
        self.totals.len() + fresh < self.series_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(name: &str, seconds: i64, value: f64) -> (Labels, Vec<Point>) {
        let timestamp = Timestamp::from_secs(seconds);
        let point = Point { timestamp, start: None, value: SampleValue::Float(value) };
        (Labels::from_pairs([("__name__", name)]), vec![point])
    }

    /// The totals after a request, and how many deltas were refused.
    fn add(deltas: &mut Deltas, request: Vec<(Labels, Vec<Point>)>) -> (Vec<f64>, usize) {
        let mut rejections = Rejections::default();
        let series = deltas.add(request, &Limits::STANDARD, &mut rejections);
        let value = |point: &Point| match &point.value {
            SampleValue::Float(value) => *value,
            SampleValue::Histogram(histogram) => histogram.count,
        };
        (series.iter().flat_map(|(_, points)| points.iter().map(value)).collect(), rejections.count)
    }

    #[test]
    fn deltas_add_up_once_they_are_kept() {
        let mut deltas = Deltas::new(2);
        assert_eq!(add(&mut deltas, vec![delta("a", 1, 2.0), delta("b", 1, 5.0)]), (vec![2.0, 5.0], 0));
        deltas.keep();
        assert_eq!(add(&mut deltas, vec![delta("a", 2, 3.0)]), (vec![5.0], 0));
        // That could not be stored, and comes again.
        assert_eq!(add(&mut deltas, vec![delta("a", 2, 3.0)]), (vec![5.0], 0));
        deltas.keep();
        assert_eq!(add(&mut deltas, vec![delta("a", 2, 3.0)]), (vec![], 1), "it was counted");
        deltas.keep();
        assert_eq!(add(&mut deltas, vec![delta("c", 3, 1.0)]), (vec![], 1), "there is no room");
        deltas.keep();
        assert_eq!(add(&mut deltas, vec![delta("a", 3_000, 1.0)]), (vec![6.0], 0));
        deltas.keep();
        assert_eq!(add(&mut deltas, vec![delta("c", 4_000, 1.0)]), (vec![1.0], 0), "b has made room");
    }
}
