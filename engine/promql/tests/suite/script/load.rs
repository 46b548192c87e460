//! Puts series into a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{BUCKET_LABEL, Labels, METRIC_NAME_LABEL, Timestamp};
use watchfire_tsdb::{CUSTOM_BUCKETS_SCHEMA, Histogram, Point, SampleValue, Tsdb};

use super::{Load, LoadedSeries};

pub(crate) fn load(db: &mut Tsdb, load: &Load) -> Result<(), String> {
    for series in &load.series {
        for (i, noted) in series.values.iter().enumerate() {
            let Some(value) = &noted.value else { continue };
            let timestamp = Timestamp::EPOCH + load.gap.times(i as i64);
            let offset = series.starts.as_ref().and_then(|starts| starts.get(i).copied().flatten());
            let start = offset.map(|millis| Timestamp::from_millis(timestamp.as_millis() + millis));
            let point = Point { timestamp, start, value: value.clone() };
            db.append_point(&series.labels, point).map_err(|error| format!("{}: {error}", series.labels))?;
        }
    }
    if load.with_custom_histograms {
        load_custom_histograms(db, load)?;
    }
    Ok(())
}

/// What the series of a classic histogram say at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Converts the classic histograms of a load to native ones with the same bounds.
fn load_custom_histograms(db: &mut Tsdb, load: &Load) -> Result<(), String> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for LoadedSeries { labels, values, .. } in &load.series {
        let name = labels.metric_name().unwrap_or("");
        let suffix = ["_bucket", "_count", "_sum"].into_iter().find(|suffix| name.ends_with(suffix));
        let Some(suffix) = suffix else { continue };
        let bound = match labels.value_or_empty(BUCKET_LABEL).parse::<f64>() {
            Ok(bound) if !bound.is_nan() => bound,
            _ if suffix == "_bucket" => continue,
            _ => 0.0,
        };
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME_LABEL, &name[..name.len() - suffix.len()]).remove(BUCKET_LABEL);
        let times = found.entry(builder.build()).or_default();
        for (i, noted) in values.iter().enumerate() {
            let Some(value) = noted.value.as_ref().and_then(SampleValue::float) else { continue };
            let classic = times.entry(load.gap.times(i as i64).as_millis()).or_default();
            match suffix {
                "_bucket" => classic.buckets.push((bound, value)),
                "_count" => classic.count = Some(value),
                _ => classic.sum = value,
            }
        }
    }
    for (labels, times) in found {
        for (time, classic) in times {
            let histogram = convert(classic)?;
            let value = SampleValue::Histogram(Arc::new(histogram));
            let point = Point { timestamp: Timestamp::from_millis(time), start: None, value };
            db.append_point(&labels, point).map_err(|error| format!("{labels}: {error}"))?;
        }
    }
    Ok(())
}

fn convert(mut classic: Classic) -> Result<Histogram, String> {
    classic.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    classic.buckets.dedup_by_key(|b| b.0);
    let highest = classic.buckets.last().map_or(0.0, |b| b.1);
    let count = classic.count.unwrap_or(highest);
    if classic.buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        classic.buckets.push((f64::INFINITY, count));
    }
    let mut previous = 0.0;
    let counts: Vec<f64> = classic
        .buckets
        .iter()
        .map(|(_, cumulative)| cumulative - std::mem::replace(&mut previous, *cumulative))
        .collect();
    let length = u32::try_from(counts.len()).unwrap_or(u32::MAX);
    let mut histogram = Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum: classic.sum,
        positive: Histogram::buckets_from_spans([(0, length)], &counts).map_err(|error| error.to_string())?,
        custom_bounds: classic.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect(),
        ..Histogram::default()
    };
    histogram.compact();
    Ok(histogram)
}
