//! `io.prometheus.write.v2.Request`: texts stand once, in a table, and labels refer to them.

use watchfire_model::METRIC_NAME_LABEL;

use super::samples::Samples;
use super::{Budget, Message, Report};
use crate::labels::{check_series, shorten};
use crate::wire::{Reader, Value, WireError};
use crate::{DecodeError, Item, KeySeed, Limits, MetadataRef, MetricKind, SeriesKey, SeriesRef, Sink};

const REQUEST_SYMBOLS: u32 = 4;
const REQUEST_TIMESERIES: u32 = 5;
const SERIES_LABELS_REFS: u32 = 1;
const SERIES_SAMPLES: u32 = 2;
const SERIES_HISTOGRAMS: u32 = 3;
const SERIES_EXEMPLARS: u32 = 4;
const SERIES_METADATA: u32 = 5;

/// One entry of the table with the hash of its bytes, which is computed once and not once per label.
struct Symbol<'a> {
    bytes: &'a [u8],
    key: SeriesKey,
}

/// Buffers that live through one request.
struct Scratch<'a> {
    refs: Vec<u32>,
    samples: Samples,
    labels: Vec<(&'a str, &'a str)>,
}

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    seed: &KeySeed,
    sink: &mut impl Sink,
) -> Result<Report, DecodeError> {
    let symbols = read_symbols(bytes, limits, seed)?;
    let mut scratch = Scratch { refs: Vec::new(), samples: Samples::new(Message::V2), labels: Vec::new() };
    let mut report = Report::default();
    let mut budget = Budget::new(limits);
    let mut reader = Reader::new(bytes);
    let mut index = 0;
    while let Some((number, field)) = reader.field()? {
        if number == REQUEST_TIMESERIES {
            let item = Item::Series(index);
            let message = field.bytes()?;
            decode_series(message, item, &symbols, limits, seed, &mut scratch, &mut budget, &mut report, sink)?;
            index += 1;
        }
    }
    Ok(report)
}

/// A pass of its own: protobuf allows the table to come after the series that refer to it.
fn read_symbols<'a>(bytes: &'a [u8], limits: &Limits, seed: &KeySeed) -> Result<Vec<Symbol<'a>>, DecodeError> {
    let mut symbols = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        if number == REQUEST_SYMBOLS {
            if symbols.len() >= limits.symbols_max {
                let message = format!("the symbols table has more than {} entries", limits.symbols_max);
                return Err(DecodeError::too_large(message).at(Item::Symbol(symbols.len())));
            }
            let bytes = field.bytes()?;
            symbols.push(Symbol { bytes, key: seed.hash(bytes) });
        }
    }
    Ok(symbols)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one loop, split from it for reading")]
fn decode_series<'a>(
    message: &'a [u8],
    item: Item,
    symbols: &[Symbol<'a>],
    limits: &Limits,
    seed: &KeySeed,
    scratch: &mut Scratch<'a>,
    budget: &mut Budget,
    report: &mut Report,
    sink: &mut impl Sink,
) -> Result<(), DecodeError> {
    let malformed = |error: WireError| DecodeError::from(error).at(item);
    scratch.refs.clear();
    scratch.samples.clear();
    let mut metadata = None;
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.field().map_err(malformed)? {
        match number {
            SERIES_LABELS_REFS => read_refs(field, &mut scratch.refs).map_err(malformed)?,
            SERIES_SAMPLES => {
                budget.spend(item)?;
                scratch.samples.sample(field.bytes().map_err(malformed)?).map_err(malformed)?;
            }
            SERIES_HISTOGRAMS => {
                budget.spend(item)?;
                scratch.samples.histogram(field.bytes().map_err(malformed)?, limits).map_err(malformed)?;
            }
            SERIES_EXEMPLARS => {
                field.bytes().map_err(malformed)?;
                report.exemplars += 1;
            }
            SERIES_METADATA => metadata = Some(field.bytes().map_err(malformed)?),
            _ => {}
        }
    }
    let Scratch { refs, samples, labels } = scratch;
    if samples.is_empty() {
        report.rejections.add(limits.rejections_max, item, || "it has neither samples nor histograms".to_owned());
    }
    let Some(values) = samples.finish(item, limits, report) else { return Ok(()) };
    let key = match key_of(refs, symbols, seed) {
        Ok(key) => key,
        Err(reason) => {
            samples.left_out(item, limits, report, reason);
            return Ok(());
        }
    };
    if sink.known(key, values) {
        samples.taken(report);
        return Ok(());
    }
    let checked = read_labels(refs, symbols, labels, limits).and_then(|()| check_series(labels, limits));
    if let Err(reason) = checked {
        samples.left_out(item, limits, report, reason);
        return Ok(());
    }
    budget.labels.spend(labels.iter().map(|(name, value)| name.len() + value.len()).sum(), item)?;
    sink.series(SeriesRef { key, labels, samples: values });
    samples.taken(report);
    if let Some(message) = metadata {
        let family = labels.iter().find(|(name, _)| *name == METRIC_NAME_LABEL).map_or("", |label| label.1);
        if let Some(metadata) = read_metadata(message, family, symbols).map_err(malformed)? {
            budget.labels.spend(metadata.family.len() + metadata.help.len() + metadata.unit.len(), item)?;
            report.metadata += 1;
            sink.metadata(metadata);
        }
    }
    Ok(())
}

/// Packed as every encoder writes it, or one by one as protobuf also allows.
fn read_refs(field: Value<'_>, refs: &mut Vec<u32>) -> Result<(), WireError> {
    // A number that fits into no table stands for every one that does not, so that the series and not the body fails.
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    match field {
        Value::Varint(value) => refs.push(narrow(value)),
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while reader.left() > 0 {
                refs.push(narrow(reader.varint()?));
            }
        }
        Value::Fixed32 | Value::Fixed64(_) => return Err(WireError("a field has the wrong wire type")),
    }
    Ok(())
}

fn key_of(refs: &[u32], symbols: &[Symbol<'_>], seed: &KeySeed) -> Result<SeriesKey, String> {
    if !refs.len().is_multiple_of(2) {
        return Err(format!("it has {} label references, an odd number", refs.len()));
    }
    let mut key = seed.chain_start();
    for reference in refs {
        match symbols.get(*reference as usize) {
            Some(symbol) => key = seed.chain(key, symbol.key),
            None => {
                let count = symbols.len();
                return Err(format!("label reference {reference} is outside of the symbols table of {count}"));
            }
        }
    }
    Ok(key)
}

fn read_labels<'a>(
    refs: &[u32],
    symbols: &[Symbol<'a>],
    labels: &mut Vec<(&'a str, &'a str)>,
    limits: &Limits,
) -> Result<(), String> {
    labels.clear();
    let symbol = |reference: u32| symbols.get(reference as usize).map_or(&b""[..], |symbol| symbol.bytes);
    // One more than allowed is enough for check_series to refuse it.
    for pair in refs.chunks_exact(2).take(limits.labels_max.saturating_add(1)) {
        let name = std::str::from_utf8(symbol(pair[0]))
            .map_err(|_| format!("the name of label {} is not valid UTF-8", labels.len()))?;
        let value = std::str::from_utf8(symbol(pair[1]))
            .map_err(|_| format!("the value of label {:?} is not valid UTF-8", shorten(name)))?;
        labels.push((name, value));
    }
    Ok(())
}

/// The metadata of a series, if it says anything. A reference out of range or no UTF-8 is an absent text: metadata never
/// costs a sample.
fn read_metadata<'a>(
    message: &[u8],
    family: &'a str,
    symbols: &[Symbol<'a>],
) -> Result<Option<MetadataRef<'a>>, WireError> {
    let text = |reference: u64| {
        let symbol = usize::try_from(reference).ok().and_then(|reference| symbols.get(reference));
        symbol.and_then(|symbol| std::str::from_utf8(symbol.bytes).ok()).unwrap_or("")
    };
    let mut metadata = MetadataRef { family, kind: MetricKind::Unknown, help: "", unit: "" };
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => metadata.kind = MetricKind::from_number(field.varint()?),
            3 => metadata.help = text(field.varint()?),
            4 => metadata.unit = text(field.varint()?),
            _ => {}
        }
    }
    let silent = metadata.kind == MetricKind::Unknown && metadata.help.is_empty() && metadata.unit.is_empty();
    Ok((!silent).then_some(metadata))
}
