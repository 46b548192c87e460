//! Series on their way from a decoder to whoever keeps them.

use watchfire_model::Labels;
use watchfire_tsdb::{Point, SamplesRef};

use crate::{Rejections, SeriesKey};

/// A series of one body, borrowed from it. Its labels passed all checks.
#[derive(Clone, Copy, Debug)]
pub struct SeriesRef<'a> {
    /// Recognises the series next time, see [`Sink::known`].
    pub key: SeriesKey,
    /// Sorted by name, names unique, no empty values, `__name__` among them.
    pub labels: &'a [(&'a str, &'a str)],
    /// Its samples, at least one; in the order of the body, or by time if the body has numbers and histograms of one
    /// series apart.
    pub samples: SamplesRef<'a>,
}

impl SeriesRef<'_> {
    /// The labels as a value of their own.
    pub fn to_labels(&self) -> Labels {
        Labels::from_ordered(self.labels)
    }
}

/// What a metric family is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricKind {
    /// Not said.
    #[default]
    Unknown,
    /// Only ever grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
    /// Buckets that go up and down.
    GaugeHistogram,
    /// Quantiles computed by the client.
    Summary,
    /// Labels are the message.
    Info,
    /// One series per state.
    StateSet,
}

impl MetricKind {
    /// The word that Prometheus' API and the text formats use.
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricKind::Unknown => "unknown",
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            MetricKind::GaugeHistogram => "gaugehistogram",
            MetricKind::Summary => "summary",
            MetricKind::Info => "info",
            MetricKind::StateSet => "stateset",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<MetricKind> {
        Some(match word {
            "unknown" | "untyped" => MetricKind::Unknown,
            "counter" => MetricKind::Counter,
            "gauge" => MetricKind::Gauge,
            "histogram" => MetricKind::Histogram,
            "gaugehistogram" => MetricKind::GaugeHistogram,
            "summary" => MetricKind::Summary,
            "info" => MetricKind::Info,
            "stateset" => MetricKind::StateSet,
            _ => return None,
        })
    }

    /// From the number that both versions of remote-write use; numbers to come are unknown kinds.
    pub(crate) fn from_number(number: u64) -> MetricKind {
        match number {
            1 => MetricKind::Counter,
            2 => MetricKind::Gauge,
            3 => MetricKind::Histogram,
            4 => MetricKind::GaugeHistogram,
            5 => MetricKind::Summary,
            6 => MetricKind::Info,
            7 => MetricKind::StateSet,
            _ => MetricKind::Unknown,
        }
    }
}

/// What a body says about a metric family, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataRef<'a> {
    /// The family's name.
    pub family: &'a str,
    /// What it is.
    pub kind: MetricKind,
    /// What it means; empty if not said.
    pub help: &'a str,
    /// Its unit; empty if not said.
    pub unit: &'a str,
}

/// What a body says about a metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The family's name.
    pub family: String,
    /// What it is.
    pub kind: MetricKind,
    /// What it means; empty if not said.
    pub help: String,
    /// Its unit; empty if not said.
    pub unit: String,
}

/// Takes what a decoder finds, in the order of the body.
///
/// If the decoder returns an error in the end, the body is refused as a whole and the sink must forget what it took.
pub trait Sink {
    /// Takes the samples of a series that was seen under this key before, and answers whether it did.
    ///
    /// This is the fast path: on `true` the labels are not even parsed. A sink may answer `true` only for keys that it
    /// got through [`Sink::series`].
    fn known(&mut self, key: SeriesKey, samples: SamplesRef<'_>) -> bool {
        let _ = (key, samples);
        false
    }

    /// Takes a series that [`Sink::known`] did not.
    fn series(&mut self, series: SeriesRef<'_>);

    /// Takes what is said about a metric family.
    fn metadata(&mut self, metadata: MetadataRef<'_>) {
        let _ = metadata;
    }
}

/// The series of one body as values of their own: convenient, and slower than a [`Sink`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Label sets with their samples, in the order of the body; a label set may come more than once.
    pub series: Vec<(Labels, Vec<Point>)>,
    /// What is said about metric families.
    pub metadata: Vec<Metadata>,
    /// What was left out.
    pub rejections: Rejections,
}

impl Decoded {
    /// The number of samples over all series.
    pub fn samples(&self) -> usize {
        self.series.iter().map(|(_, samples)| samples.len()).sum()
    }
}

impl MetadataRef<'_> {
    /// As a value of its own.
    pub fn to_metadata(&self) -> Metadata {
        Metadata {
            family: self.family.to_owned(),
            kind: self.kind,
            help: self.help.to_owned(),
            unit: self.unit.to_owned(),
        }
    }
}

impl Sink for Decoded {
    fn series(&mut self, series: SeriesRef<'_>) {
        self.series.push((series.to_labels(), series.samples.to_points()));
    }

    fn metadata(&mut self, metadata: MetadataRef<'_>) {
        self.metadata.push(metadata.to_metadata());
    }
}
