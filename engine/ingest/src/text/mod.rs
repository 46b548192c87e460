//! The text exposition format 0.0.4 and the OpenMetrics text format, pushed instead of scraped.
//!
//! A bad line costs that line only. Timestamps are optional; a line without one has the time at which it was received.

mod line;

use std::borrow::Cow;

use watchfire_model::{METRIC_NAME_LABEL, Sample, Timestamp};

use watchfire_tsdb::SamplesRef;

use crate::labels::check_series;
use crate::{
    DecodeError, Decoded, Item, KeySeed, Limits, MetadataRef, MetricKind, Rejections, SeriesRef, Sink, UnsortedLabels,
};
use line::{Comment, SampleLine};

/// Which of the two text formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4: timestamps in milliseconds.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0: timestamps in seconds, exemplars, `# EOF` at the end.
    OpenMetrics,
}

impl Format {
    /// By the media type; everything that is not OpenMetrics is the plain format, whatever the client calls it.
    pub fn from_content_type(content_type: Option<&str>) -> Format {
        let media = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }
}

/// What a text held, and what was left out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples that were taken.
    pub samples: usize,
    /// Exemplars, which are accepted and dropped.
    pub exemplars: usize,
    /// Metric families that something was said about.
    pub metadata: usize,
    /// Lines that were left out.
    pub rejections: Rejections,
}

/// Decodes one body into `sink`, one series per line.
///
/// # Errors
/// If the body as a whole is not valid or passes a limit; `sink` must forget what it took.
pub fn decode(
    format: Format,
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
    seed: &KeySeed,
    sink: &mut impl Sink,
) -> Result<Report, DecodeError> {
    if body.len() > limits.body_bytes_max {
        let (length, max) = (body.len(), limits.body_bytes_max);
        return Err(DecodeError::too_large(format!("the body has {length} bytes, the limit is {max}")));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let line = 1 + body[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        DecodeError::malformed("not valid UTF-8").at(Item::Line(line))
    })?;
    // The text formats know no order of labels.
    let limits = &Limits { unsorted_labels: UnsortedLabels::Sort, ..limits.clone() };
    let mut report = Report::default();
    let mut family = Family::default();
    let mut ended = false;
    for (index, line) in text.lines().enumerate() {
        let item = Item::Line(index + 1);
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() {
            continue;
        }
        if ended {
            report.rejections.add(limits.rejections_max, item, || "it comes after # EOF".to_owned());
            break;
        }
        let result = if line.starts_with('#') {
            line::comment(line).map(|comment| match comment {
                Comment::Eof if format == Format::OpenMetrics => ended = true,
                Comment::Eof | Comment::Other => {}
                said => family.hear(said, &mut report.metadata, sink),
            })
        } else {
            if report.samples >= limits.samples_max {
                let message = format!("the body has more than {} samples", limits.samples_max);
                return Err(DecodeError::too_large(message).at(item));
            }
            line::sample(line, format).and_then(|line| take(line, received_at, limits, seed, &mut report, sink))
        };
        if let Err(reason) = result {
            report.rejections.add(limits.rejections_max, item, || reason);
        }
        if report.metadata > limits.metadata_max {
            let message = format!("the body has more than {} metadata entries", limits.metadata_max);
            return Err(DecodeError::too_large(message).at(item));
        }
    }
    family.tell(&mut report.metadata, sink);
    if format == Format::OpenMetrics && !ended {
        return Err(DecodeError::malformed("the text does not end with # EOF; it may have been cut off"));
    }
    Ok(report)
}

/// Decodes one body into values of their own.
///
/// # Errors
/// As [`decode`].
pub fn decode_series(
    format: Format,
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    let mut decoded = Decoded::default();
    let report = decode(format, body, received_at, limits, &KeySeed::new(0), &mut decoded)?;
    decoded.rejections = report.rejections;
    Ok(decoded)
}

fn take(
    line: SampleLine<'_>,
    received_at: Timestamp,
    limits: &Limits,
    seed: &KeySeed,
    report: &mut Report,
    sink: &mut impl Sink,
) -> Result<(), String> {
    let samples = [Sample { timestamp: line.timestamp.unwrap_or(received_at), value: line.value }];
    let samples = SamplesRef::Plain(&samples);
    let mut key = seed.chain(seed.chain_start(), seed.hash(line.name.as_bytes()));
    for part in line.labels.iter().flat_map(|(name, value)| [name, value]) {
        key = seed.chain(key, seed.hash(part.as_bytes()));
    }
    if !sink.known(key, samples) {
        let mut labels: Vec<(&str, &str)> = Vec::with_capacity(line.labels.len() + 1);
        labels.push((METRIC_NAME_LABEL, &line.name));
        labels.extend(line.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
        check_series(&mut labels, limits)?;
        sink.series(SeriesRef { key, labels: &labels, samples });
    }
    report.samples += 1;
    report.exemplars += usize::from(line.exemplar);
    Ok(())
}

/// The metric family that the last comments were about.
#[derive(Default)]
struct Family<'a> {
    name: Cow<'a, str>,
    kind: MetricKind,
    help: Cow<'a, str>,
    unit: &'a str,
}

impl<'a> Family<'a> {
    fn hear(&mut self, said: Comment<'a>, told: &mut usize, sink: &mut impl Sink) {
        let (Comment::Help(name, _) | Comment::Type(name, _) | Comment::Unit(name, _)) = &said else { return };
        if *name != self.name {
            self.tell(told, sink);
            *self = Family { name: name.clone(), ..Family::default() };
        }
        match said {
            Comment::Help(_, help) => self.help = help,
            Comment::Type(_, kind) => self.kind = kind,
            Comment::Unit(_, unit) => self.unit = unit,
            Comment::Eof | Comment::Other => {}
        }
    }

    fn tell(&mut self, told: &mut usize, sink: &mut impl Sink) {
        if !self.name.is_empty() {
            *told += 1;
            sink.metadata(MetadataRef { family: &self.name, kind: self.kind, help: &self.help, unit: self.unit });
        }
    }
}

#[cfg(test)]
mod tests;
