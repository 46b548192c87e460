//! `prometheus.WriteRequest`.

use super::samples::Samples;
use super::{Budget, Message, Report};
use crate::labels::check_series;
use crate::wire::{Reader, WireError};
use crate::{DecodeError, Item, KeySeed, Limits, MetadataRef, MetricKind, SeriesRef, Sink};

const REQUEST_TIMESERIES: u32 = 1;
const REQUEST_METADATA: u32 = 3;
const SERIES_LABELS: u32 = 1;
const SERIES_SAMPLES: u32 = 2;
const SERIES_EXEMPLARS: u32 = 3;
const SERIES_HISTOGRAMS: u32 = 4;

/// Buffers that live through one request.
struct Scratch<'a> {
    samples: Samples,
    labels: Vec<(&'a str, &'a str)>,
    /// The label fields of one series, when other fields stand between them.
    gathered: Vec<u8>,
}

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    seed: &KeySeed,
    sink: &mut impl Sink,
) -> Result<Report, DecodeError> {
    let mut scratch = Scratch { samples: Samples::new(Message::V1), labels: Vec::new(), gathered: Vec::new() };
    let mut report = Report::default();
    let mut budget = Budget::new(limits);
    let mut reader = Reader::new(bytes);
    let mut index = 0;
    while let Some((number, field)) = reader.field()? {
        match number {
            REQUEST_TIMESERIES => {
                let item = Item::Series(index);
                let message = field.bytes()?;
                decode_series(message, item, limits, seed, &mut scratch, &mut budget, &mut report, sink)?;
                index += 1;
            }
            REQUEST_METADATA => {
                let item = Item::Metadata(report.metadata);
                if report.metadata >= limits.metadata_max {
                    let max = limits.metadata_max;
                    let message = format!("the request has more than {max} metadata entries");
                    return Err(DecodeError::too_large(message).at(item));
                }
                decode_metadata(field.bytes()?, sink).map_err(|e| DecodeError::from(e).at(item))?;
                report.metadata += 1;
            }
            _ => {}
        }
    }
    Ok(report)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one loop, split from it for reading")]
fn decode_series<'a>(
    message: &'a [u8],
    item: Item,
    limits: &Limits,
    seed: &KeySeed,
    scratch: &mut Scratch<'a>,
    budget: &mut Budget,
    report: &mut Report,
    sink: &mut impl Sink,
) -> Result<(), DecodeError> {
    let malformed = |error: WireError| DecodeError::from(error).at(item);
    scratch.samples.clear();
    // The label fields as one range of the message, as long as nothing else stands between them.
    let (mut labels_start, mut labels_end, mut contiguous) = (0, 0, true);
    let mut reader = Reader::new(message);
    loop {
        let field_start = message.len() - reader.left();
        let Some((number, field)) = reader.field().map_err(malformed)? else { break };
        match number {
            SERIES_LABELS => {
                field.bytes().map_err(malformed)?;
                if labels_end == 0 {
                    labels_start = field_start;
                } else {
                    contiguous &= labels_end == field_start;
                }
                labels_end = message.len() - reader.left();
            }
            SERIES_SAMPLES => {
                budget.spend(item)?;
                scratch.samples.sample(field.bytes().map_err(malformed)?).map_err(malformed)?;
            }
            SERIES_EXEMPLARS => {
                field.bytes().map_err(malformed)?;
                report.exemplars += 1;
            }
            SERIES_HISTOGRAMS => {
                budget.spend(item)?;
                scratch.samples.histogram(field.bytes().map_err(malformed)?, limits).map_err(malformed)?;
            }
            _ => {}
        }
    }
    let Scratch { samples, labels, gathered } = scratch;
    let Some(values) = samples.finish(item, limits, report) else { return Ok(()) };
    let key = if contiguous {
        seed.hash(&message[labels_start..labels_end])
    } else {
        gather_labels(message, gathered).map_err(malformed)?;
        seed.hash(gathered)
    };
    if sink.known(key, values) {
        samples.taken(report);
        return Ok(());
    }
    let checked = match read_labels(message, labels, limits).map_err(malformed)? {
        Ok(()) => check_series(labels, limits),
        Err(reason) => Err(reason),
    };
    match checked {
        Ok(()) => {
            sink.series(SeriesRef { key, labels, samples: values });
            samples.taken(report);
        }
        Err(reason) => samples.left_out(item, limits, report, reason),
    }
    Ok(())
}

/// Copies the label fields together, so that the key does not depend on what stands between them.
fn gather_labels(message: &[u8], gathered: &mut Vec<u8>) -> Result<(), WireError> {
    gathered.clear();
    let mut reader = Reader::new(message);
    loop {
        let start = message.len() - reader.left();
        let Some((number, _)) = reader.field()? else { return Ok(()) };
        if number == SERIES_LABELS {
            gathered.extend_from_slice(&message[start..message.len() - reader.left()]);
        }
    }
}

/// Reads the labels of a series: the outer error is a broken message, the inner one the reason for a rejection.
fn read_labels<'a>(
    message: &'a [u8],
    labels: &mut Vec<(&'a str, &'a str)>,
    limits: &Limits,
) -> Result<Result<(), String>, WireError> {
    labels.clear();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.field()? {
        if number != SERIES_LABELS {
            continue;
        }
        if labels.len() > limits.labels_max {
            // One more than allowed is enough for check_series to refuse it.
            return Ok(Ok(()));
        }
        let mut label = Reader::new(field.bytes()?);
        let (mut name, mut value) = (&b""[..], &b""[..]);
        while let Some((number, field)) = label.field()? {
            match number {
                1 => name = field.bytes()?,
                2 => value = field.bytes()?,
                _ => {}
            }
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return Ok(Err(format!("the name of label {} is not valid UTF-8", labels.len())));
        };
        let Ok(value) = std::str::from_utf8(value) else {
            return Ok(Err(format!("the value of label {:?} is not valid UTF-8", crate::labels::shorten(name))));
        };
        labels.push((name, value));
    }
    Ok(Ok(()))
}

fn decode_metadata(message: &[u8], sink: &mut impl Sink) -> Result<(), WireError> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| WireError("a text is not valid UTF-8"));
    let mut metadata = MetadataRef { family: "", kind: MetricKind::Unknown, help: "", unit: "" };
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => metadata.kind = MetricKind::from_number(field.varint()?),
            2 => metadata.family = text(field.bytes()?)?,
            4 => metadata.help = text(field.bytes()?)?,
            5 => metadata.unit = text(field.bytes()?)?,
            _ => {}
        }
    }
    sink.metadata(metadata);
    Ok(())
}
