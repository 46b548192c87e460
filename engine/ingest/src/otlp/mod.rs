//! OpenTelemetry's protocol (OTLP over HTTP, protobuf): metrics, with Prometheus' names for what comes, and traces as the
//! engine writes them of its own work.
//!
//! Cumulative sums and histograms are taken as they are, exponential histograms become native ones, and what describes a
//! resource becomes `job`, `instance` and the series `target_info`, all as in Prometheus' own receiver with its default
//! settings (prometheus `storage/remote/otlptranslator`). Deltas, which Prometheus refuses with these settings, come apart:
//! [`Deltas`] adds them up from request to request.

mod attributes;
mod deltas;
mod names;
mod points;
mod spans;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use watchfire_model::{Labels, METRIC_NAME_LABEL, Timestamp, format_f};
use watchfire_tsdb::{Point, SampleValue};

use attributes::Attributes;
pub use deltas::Deltas;
use names::Suffix;
use points::{Common, Parts};
pub use spans::{Attribute, Span, write_spans};

use crate::labels::{LabelBudget, check_series};
use crate::wire::{Reader, WireError};
use crate::{DecodeError, Item, Limits, Metadata, MetricKind, Rejections, UnsortedLabels};

/// The temporality of values that count from one export to the next.
const DELTA: u64 = 1;
/// That of values that count from a start that stays.
const CUMULATIVE: u64 = 2;
/// Attributes that become `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// What a request holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Samples as they are stored.
    pub series: Vec<(Labels, Vec<Point>)>,
    /// What came since the last time, for [`Deltas::add`].
    pub deltas: Vec<(Labels, Vec<Point>)>,
    /// What is said about metric families.
    pub metadata: Vec<Metadata>,
    /// What was left out.
    pub rejections: Rejections,
}

/// A metric before its data points are read.
#[derive(Default)]
struct Metric<'a> {
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    data: Option<(Data, &'a [u8])>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

/// Refuses a body that is no protobuf, and undoes its compression within the limits.
///
/// # Errors
/// If it is of another type, compressed in a way that is not known here, or too large.
pub fn plain<'a>(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &'a [u8],
    limits: &Limits,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let media = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/x-protobuf") {
        let message = format!("the content type {media:?} is not known; send application/x-protobuf");
        return Err(DecodeError::unsupported(message));
    }
    let max = limits.body_bytes_max;
    let too_large = || DecodeError::too_large(format!("the body has more than {max} bytes decompressed"));
    match content_encoding.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") if body.len() > max => Err(too_large()),
        None | Some("" | "identity") => Ok(Cow::Borrowed(body)),
        Some("gzip") => {
            let mut plain = Vec::new();
            // One byte more than allowed tells that there is more.
            let mut reader = MultiGzDecoder::new(body).take(max as u64 + 1);
            let read = reader.read_to_end(&mut plain);
            read.map_err(|error| DecodeError::malformed(format!("not a valid gzip body: {error}")))?;
            if plain.len() > max { Err(too_large()) } else { Ok(Cow::Owned(plain)) }
        }
        Some(other) => Err(DecodeError::unsupported(format!("the encoding {other:?} is not known; send gzip or none"))),
    }
}

/// Reads an `ExportMetricsServiceRequest`. Data points that cannot be taken are counted among the rejections.
///
/// # Errors
/// If the bytes are something else, or pass a limit: nothing may be kept then.
pub fn decode(body: &[u8], limits: &Limits) -> Result<Metrics, DecodeError> {
    let mut decoding = Decoding {
        limits: Limits { unsorted_labels: UnsortedLabels::Sort, ..limits.clone() },
        metadata: Vec::new(),
        rejections: Rejections::default(),
        totals: SeriesList::default(),
        deltas: SeriesList::default(),
        samples: 0,
        label_budget: LabelBudget::new(limits),
        metrics: 0,
    };
    let mut reader = Reader::new(body);
    while let Some((number, field)) = reader.field()? {
        if number == 1 {
            decoding.resource_metrics(field.bytes()?)?;
        }
    }
    let Decoding { metadata, rejections, totals, deltas, .. } = decoding;
    Ok(Metrics { series: totals.series, deltas: deltas.series, metadata, rejections })
}

/// The answer to a request of which some data points were refused: an `ExportMetricsServiceResponse`. Without any it is
/// empty.
pub fn response(rejected: usize, message: &str) -> Vec<u8> {
    if rejected == 0 {
        return Vec::new();
    }
    let mut partial = Vec::new();
    crate::wire::write_number(&mut partial, 1, rejected as u64);
    crate::wire::write_bytes(&mut partial, 2, message.as_bytes());
    let mut out = Vec::new();
    crate::wire::write_bytes(&mut out, 1, &partial);
    out
}

struct Decoding {
    limits: Limits,
    metadata: Vec<Metadata>,
    rejections: Rejections,
    totals: SeriesList,
    deltas: SeriesList,
    samples: usize,
    label_budget: LabelBudget,
    /// How many metrics were read, to name the one at fault.
    metrics: usize,
}

/// Series in the order of the body; points of one series may stand apart there.
#[derive(Default)]
struct SeriesList {
    series: Vec<(Labels, Vec<Point>)>,
    /// Where each label set stands.
    known: HashMap<Labels, usize>,
}

impl SeriesList {
    fn add(&mut self, labels: Labels, point: Point) {
        let at = *self.known.entry(labels).or_insert_with_key(|labels| {
            self.series.push((labels.clone(), Vec::new()));
            self.series.len() - 1
        });
        self.series[at].1.push(point);
    }
}

/// A metric's family while its data points are read.
struct Family {
    name: String,
    data: Data,
    is_delta: bool,
}

/// What the data points of one resource share.
#[derive(Default)]
struct Resource {
    /// `job` and `instance`.
    identity: Attributes,
    /// The first and the last time of its data points.
    times: Option<(Timestamp, Timestamp)>,
}

impl Decoding {
    fn resource_metrics(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let (mut attributes, mut scopes) = (Attributes::new(), Vec::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => {
                    let mut resource = Reader::new(field.bytes()?);
                    while let Some((number, field)) = resource.field()? {
                        if number == 1 {
                            attributes::read(field.bytes()?, &mut attributes)?;
                        }
                    }
                }
                2 => scopes.push(field.bytes()?),
                _ => {}
            }
        }
        let mut resource = Resource { identity: identity(&attributes), times: None };
        for scope in scopes {
            let mut reader = Reader::new(scope);
            while let Some((number, field)) = reader.field()? {
                if number == 2 {
                    self.metric(field.bytes()?, &mut resource)?;
                    self.metrics += 1;
                }
            }
        }
        self.target_info(attributes, &resource)
    }

    /// The series that holds what else is known about a resource, from its first data point to its last.
    fn target_info(&mut self, mut attributes: Attributes, resource: &Resource) -> Result<(), DecodeError> {
        attributes.retain(|name, _| !IDENTIFYING.contains(&name.as_str()));
        let Some((first, last)) = resource.times.filter(|_| !attributes.is_empty() && !resource.identity.is_empty())
        else {
            return Ok(());
        };
        let point = |timestamp| Point { timestamp, start: None, value: SampleValue::Float(1.0) };
        for timestamp in if first == last { vec![last] } else { vec![first, last] } {
            let mut labels = attributes::labels(&attributes);
            labels.extend(resource.identity.clone());
            self.add("target_info", false, &labels, None, point(timestamp))?;
        }
        Ok(())
    }

    fn metric(&mut self, bytes: &[u8], resource: &mut Resource) -> Result<(), DecodeError> {
        let item = Item::Metric(self.metrics);
        let metric = read_metric(bytes).map_err(|error| DecodeError::from(error).at(item))?;
        let Some((data, message)) = metric.data else { return Ok(()) };
        let (mut points, mut temporality, mut is_monotonic) = (Vec::new(), CUMULATIVE, false);
        let has_temporality = matches!(data, Data::Sum | Data::Histogram | Data::Exponential);
        if has_temporality {
            temporality = 0;
        }
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => points.push(field.bytes()?),
                2 if has_temporality => temporality = field.varint()?,
                3 if data == Data::Sum => is_monotonic = field.varint()? != 0,
                _ => {}
            }
        }
        let suffix = match data {
            Data::Sum if is_monotonic => Suffix::Total,
            Data::Gauge => Suffix::Gauge,
            _ => Suffix::None,
        };
        let name = names::metric_name(metric.name, metric.unit, suffix);
        let Some(name) = name else {
            self.refuse(points.len(), &format!("nothing is left of the name {:?}", metric.name));
            return Ok(());
        };
        if ![DELTA, CUMULATIVE].contains(&temporality) {
            self.refuse(points.len(), &format!("{}: the temporality is neither cumulative nor delta", metric.name));
            return Ok(());
        }
        if self.metadata.len() >= self.limits.metadata_max {
            return Err(DecodeError::too_large(format!("the body has more than {} metrics", self.limits.metadata_max)));
        }
        self.metadata.push(Metadata {
            family: name.clone(),
            kind: match data {
                Data::Sum if is_monotonic => MetricKind::Counter,
                Data::Gauge | Data::Sum => MetricKind::Gauge,
                Data::Histogram | Data::Exponential => MetricKind::Histogram,
                Data::Summary => MetricKind::Summary,
            },
            help: metric.description.to_owned(),
            unit: names::unit_name(metric.unit),
        });
        let family = Family { name, data, is_delta: temporality == DELTA };
        for point in points {
            self.point(&family, point, resource)?;
        }
        Ok(())
    }

    fn point(&mut self, family: &Family, bytes: &[u8], resource: &mut Resource) -> Result<(), DecodeError> {
        let (name, is_delta) = (family.name.as_str(), family.is_delta);
        let item = Item::Metric(self.metrics);
        let malformed = |error: WireError| DecodeError::from(error).at(item);
        match family.data {
            Data::Gauge | Data::Sum => {
                let (common, point) = points::number(bytes).map_err(malformed)?;
                let labels = self.labels(family, &common, resource)?;
                self.add(name, is_delta, &labels, None, point)
            }
            Data::Exponential => {
                let (common, point) = points::exponential(bytes, &self.limits).map_err(malformed)?;
                let labels = self.labels(family, &common, resource)?;
                match point {
                    Ok(point) => self.add(name, is_delta, &labels, None, point),
                    Err(reason) => {
                        self.refuse(1, &format!("{name}: {reason}"));
                        Ok(())
                    }
                }
            }
            Data::Histogram => {
                let parts = points::histogram(bytes).map_err(malformed)?;
                let Some(labels) = self.totals(family, &parts, resource)? else { return Ok(()) };
                let bucket = format!("{name}_bucket");
                for (bound, below) in &parts.values {
                    let bound = format_f(*bound);
                    self.add(&bucket, is_delta, &labels, Some(("le", &bound)), parts.common.point(*below))?;
                }
                self.add(&bucket, is_delta, &labels, Some(("le", "+Inf")), parts.common.point(parts.count))
            }
            Data::Summary => {
                let parts = points::summary(bytes).map_err(malformed)?;
                let Some(labels) = self.totals(family, &parts, resource)? else { return Ok(()) };
                for (quantile, value) in &parts.values {
                    let quantile = format_f(*quantile);
                    let quantile = Some(("quantile", quantile.as_str()));
                    self.add(name, is_delta, &labels, quantile, parts.common.point(*value))?;
                }
                Ok(())
            }
        }
    }

    /// The labels of a data point, whose time counts from now on.
    fn labels(&mut self, family: &Family, common: &Common, resource: &mut Resource) -> Result<Attributes, DecodeError> {
        let bytes = family.name.len() + attributes::bytes(&common.attributes) + attributes::bytes(&resource.identity);
        self.label_budget.spend(bytes, Item::Metric(self.metrics))?;
        let at = common.timestamp();
        let (first, last) = resource.times.unwrap_or((at, at));
        resource.times = Some((first.min(at), last.max(at)));
        let mut labels = attributes::labels(&common.attributes);
        labels.extend(resource.identity.clone());
        Ok(labels)
    }

    /// Adds `_sum` and `_count`, and answers the labels that all series of the point share; `None` if it has more series
    /// than it may.
    fn totals(
        &mut self,
        family: &Family,
        parts: &Parts,
        resource: &mut Resource,
    ) -> Result<Option<Attributes>, DecodeError> {
        let Family { name, is_delta, .. } = family;
        let most = self.limits.histogram_buckets_max;
        if parts.values.len() > most {
            self.refuse(1, &format!("{name}: a data point has more than {most} buckets or quantiles"));
            return Ok(None);
        }
        let labels = self.labels(family, &parts.common, resource)?;
        if let Some(sum) = parts.sum {
            self.add(&format!("{name}_sum"), *is_delta, &labels, None, parts.common.point(sum))?;
        }
        self.add(&format!("{name}_count"), *is_delta, &labels, None, parts.common.point(parts.count))?;
        Ok(Some(labels))
    }

    fn add(
        &mut self,
        name: &str,
        is_delta: bool,
        labels: &Attributes,
        own: Option<(&str, &str)>,
        point: Point,
    ) -> Result<(), DecodeError> {
        let item = Item::Metric(self.metrics);
        self.samples += 1;
        if self.samples > self.limits.samples_max {
            let message = format!("the body has more than {} samples", self.limits.samples_max);
            return Err(DecodeError::too_large(message).at(item));
        }
        self.label_budget.spend(name.len() + attributes::bytes(labels), item)?;
        // The name and what tells the series of one point apart win over attributes of the same name.
        let own = [Some((METRIC_NAME_LABEL, name)), own].into_iter().flatten();
        let is_own = |name: &str| own.clone().any(|(own, _)| own == name);
        let shared = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut pairs: Vec<(&str, &str)> = shared.filter(|(name, _)| !is_own(name)).chain(own.clone()).collect();
        if let Err(reason) = check_series(&mut pairs, &self.limits) {
            let reason = format!("{name}: {reason}");
            self.refuse(1, &reason);
            return Ok(());
        }
        let labels = Labels::from_pairs(pairs);
        let list = if is_delta { &mut self.deltas } else { &mut self.totals };
        list.add(labels, point);
        Ok(())
    }

    /// Leaves data points out.
    fn refuse(&mut self, count: usize, reason: &str) {
        let item = Item::Metric(self.metrics);
        for _ in 0..count {
            self.rejections.add(self.limits.rejections_max, item, || reason.to_owned());
        }
    }
}

/// `job` and `instance` of a resource.
fn identity(attributes: &Attributes) -> Attributes {
    let of = |name: &str| attributes.get(name).filter(|value| !value.is_empty());
    let job = match (of("service.namespace"), of("service.name")) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (_, name) => name.cloned(),
    };
    let instance = of("service.instance.id").cloned();
    let pairs = [("job", job), ("instance", instance)];
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn read_metric(bytes: &[u8]) -> Result<Metric<'_>, WireError> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| WireError("a text is not UTF-8"));
    let mut metric = Metric::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        let data = match number {
            1 => {
                metric.name = text(field.bytes()?)?;
                continue;
            }
            2 => {
                metric.description = text(field.bytes()?)?;
                continue;
            }
            3 => {
                metric.unit = text(field.bytes()?)?;
                continue;
            }
            5 => Data::Gauge,
            7 => Data::Sum,
            9 => Data::Histogram,
            10 => Data::Exponential,
            11 => Data::Summary,
            _ => continue,
        };
        metric.data = Some((data, field.bytes()?));
    }
    Ok(metric)
}
