//! The samples of the series that is being decoded.

use watchfire_model::{Sample, Timestamp};
use watchfire_tsdb::{Point, SampleValue, SamplesRef};

use super::histogram::read_histogram;
use super::{Message, Report};
use crate::wire::{Reader, WireError};
use crate::{Item, Limits};

/// Buffers that live through one request.
pub(super) struct Samples {
    /// Only 2.0 says since when a sample counts; in 1.0 the field would be somebody's extension.
    starts: bool,
    plain: Vec<Sample>,
    rich: Vec<Point>,
    histograms: usize,
    /// Native histograms that are not valid, and what is wrong with the first one.
    refused: usize,
    reason: Option<String>,
}

impl Samples {
    pub(super) fn new(message: Message) -> Samples {
        let starts = message == Message::V2;
        Samples { starts, plain: Vec::new(), rich: Vec::new(), histograms: 0, refused: 0, reason: None }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.rich.clear();
        (self.histograms, self.refused, self.reason) = (0, 0, None);
    }

    /// Takes a `Sample` message.
    #[inline]
    pub(super) fn sample(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(bytes);
        let (mut value, mut millis, mut start) = (0.0, 0, 0);
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => value = field.double()?,
                2 => millis = field.varint()?.cast_signed(),
                3 if self.starts => start = field.varint()?.cast_signed(),
                _ => {}
            }
        }
        let timestamp = Timestamp::from_millis(millis);
        // Zero is how the wire says nothing.
        if start == 0 {
            self.plain.push(Sample { timestamp, value });
        } else {
            let start = Some(Timestamp::from_millis(start));
            self.rich.push(Point { timestamp, start, value: SampleValue::Float(value) });
        }
        Ok(())
    }

    /// Takes a `Histogram` message, or notes why not.
    pub(super) fn histogram(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), WireError> {
        match read_histogram(bytes, self.starts, limits)? {
            Ok(point) => {
                self.rich.push(point);
                self.histograms += 1;
            }
            Err(reason) => {
                self.refused += 1;
                self.reason.get_or_insert(reason);
            }
        }
        Ok(())
    }

    /// Ends the series: reports the histograms that are not valid, and brings what stands in two lists into one order.
    /// `None` if there is nothing to take.
    #[inline]
    pub(super) fn finish(&mut self, item: Item, limits: &Limits, report: &mut Report) -> Option<SamplesRef<'_>> {
        if let Some(reason) = self.reason.take() {
            report.histograms_rejected += self.refused;
            report.rejections.add(limits.rejections_max, item, || reason);
        }
        if self.rich.is_empty() {
            return (!self.plain.is_empty()).then_some(SamplesRef::Plain(&self.plain));
        }
        if !self.plain.is_empty() || self.histograms < self.rich.len() {
            self.rich.extend(self.plain.iter().map(|sample| Point::from(*sample)));
            self.rich.sort_by_key(|point| point.timestamp);
        }
        Some(SamplesRef::Rich(&self.rich))
    }

    /// Whether the message had no samples at all, good or bad.
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.rich.is_empty() && self.refused == 0
    }

    fn numbers(&self) -> usize {
        // After `finish`, `rich` holds everything if it holds anything.
        if self.rich.is_empty() { self.plain.len() } else { self.rich.len() - self.histograms }
    }

    /// Counts the series as taken.
    #[inline]
    pub(super) fn taken(&self, report: &mut Report) {
        report.series += 1;
        report.samples += self.numbers();
        report.histograms += self.histograms;
    }

    /// Counts the series as left out, for a reason of its own.
    pub(super) fn left_out(&self, item: Item, limits: &Limits, report: &mut Report, reason: String) {
        report.samples_rejected += self.numbers();
        report.histograms_rejected += self.histograms;
        report.rejections.add(limits.rejections_max, item, || reason);
    }
}
