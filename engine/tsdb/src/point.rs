//! A stored sample with everything that can be known about it.

use std::sync::Arc;

use watchfire_model::{Sample, Timestamp, is_stale};

use crate::Histogram;

/// What a sample says: a number, or a whole native histogram.
#[derive(Clone, Debug)]
pub enum SampleValue {
    /// A number; the staleness marker is one too.
    Float(f64),
    /// A native histogram, shared because it is large and never changes once stored.
    Histogram(Arc<Histogram>),
}

/// A sample as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub timestamp: Timestamp,
    /// Since when a cumulative value has been counting, where the sender said so.
    pub start: Option<Timestamp>,
    /// What.
    pub value: SampleValue,
}

/// Consecutive samples of one series, borrowed; numbers alone take less room.
#[derive(Clone, Copy, Debug)]
pub enum SamplesRef<'a> {
    /// Numbers alone, as nearly all series have them.
    Plain(&'a [Sample]),
    /// Some are native histograms or say since when they count.
    Rich(&'a [Point]),
}

impl SamplesRef<'_> {
    /// The samples as values of their own.
    pub fn to_points(&self) -> Vec<Point> {
        match self {
            SamplesRef::Plain(samples) => samples.iter().map(|sample| Point::from(*sample)).collect(),
            SamplesRef::Rich(points) => points.to_vec(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            SamplesRef::Plain(samples) => samples.len(),
            SamplesRef::Rich(points) => points.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time of the last one.
    pub fn last_time(&self) -> Option<Timestamp> {
        match self {
            SamplesRef::Plain(samples) => samples.last().map(|sample| sample.timestamp),
            SamplesRef::Rich(points) => points.last().map(|point| point.timestamp),
        }
    }
}

impl SampleValue {
    /// The number, if it is one.
    pub fn float(&self) -> Option<f64> {
        match self {
            SampleValue::Float(value) => Some(*value),
            SampleValue::Histogram(_) => None,
        }
    }

    /// The histogram, if it is one.
    pub fn histogram(&self) -> Option<&Arc<Histogram>> {
        match self {
            SampleValue::Float(_) => None,
            SampleValue::Histogram(histogram) => Some(histogram),
        }
    }

    /// Whether this is the end of the series.
    pub fn is_stale(&self) -> bool {
        match self {
            SampleValue::Float(value) => is_stale(*value),
            SampleValue::Histogram(histogram) => is_stale(histogram.sum),
        }
    }
}

impl PartialEq for SampleValue {
    /// Bit equality of numbers, so that NaN equals NaN and the staleness marker differs from it.
    fn eq(&self, other: &SampleValue) -> bool {
        match (self, other) {
            (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
            (SampleValue::Histogram(a), SampleValue::Histogram(b)) => a.same_bits(b),
            _ => false,
        }
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> SampleValue {
        SampleValue::Float(value)
    }
}

impl From<Sample> for Point {
    fn from(sample: Sample) -> Point {
        Point { timestamp: sample.timestamp, start: None, value: SampleValue::Float(sample.value) }
    }
}
