//! `/api/v1/query` and `query_range`, and what else is done with an expression.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use watchfire::promql::{self, Answer};
use watchfire::{Answered, QuerySettings};
use watchfire_model::Timestamp;
use watchfire_tsdb::SampleValue;

use super::number::{float, seconds};
use super::parameters::Parameters;
use super::{Failed, bad_data, first, invalid, labels_json, success, success_with, unavailable};
use crate::App;

/// Points of a range query; more would not fit on a screen and cost a lot.
const POINTS_MAX: i64 = 11_000;

fn settings(parameters: &Parameters) -> Result<QuerySettings, Failed> {
    let lookback = parameters.duration("lookback_delta").map_err(|failed| {
        bad_data(format!(
            "error parsing lookback delta duration: {}",
            failed.message.split_once(": ").map_or("", |e| e.1)
        ))
    })?;
    // Prometheus takes none for its default, too.
    let lookback = lookback.filter(|lookback| lookback.as_millis() > 0);
    Ok(QuerySettings { timeout: parameters.duration("timeout")?, lookback })
}

/// `/api/v1/query`
pub(super) async fn instant(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let limit = parameters.limit()?;
    let at = parameters.time("time", app.engine.now())?;
    let settings = settings(&parameters)?;
    let answered = app.engine.query(parameters.text("query"), at, &settings).await?;
    app.aside(move || answer(answered, at, limit, &parameters)).await.ok_or_else(unavailable)
}

/// `/api/v1/query_range`
pub(super) async fn range(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let limit = parameters.limit()?;
    let start = parameters.needed_time("start")?;
    let end = parameters.needed_time("end")?;
    if end < start {
        return Err(invalid("end", "end timestamp must not be before start time"));
    }
    let step = parameters.needed_duration("step")?;
    if step.as_millis() <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(invalid("step", why));
    }
    if end.since(start).as_millis() / step.as_millis() > POINTS_MAX {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(bad_data(why));
    }
    let settings = settings(&parameters)?;
    let answered = app.engine.query_range(parameters.text("query"), start, end, step, &settings).await?;
    app.aside(move || answer(answered, end, limit, &parameters)).await.ok_or_else(unavailable)
}

/// `/api/v1/query_exemplars`: exemplars are not kept, so that there are none of any series.
pub(super) async fn exemplars(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let start = parameters.time("start", Timestamp::MIN)?;
    let end = parameters.time("end", Timestamp::MAX)?;
    if end < start {
        return Err(bad_data("end timestamp must not be before start timestamp"));
    }
    parameters.expression(&app).await?.map_err(bad_data)?;
    Ok(success(json!([])))
}

/// `/api/v1/format_query`
pub(super) async fn format(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let expr = parameters.expression(&app).await?.map_err(|error| invalid("query", error))?;
    Ok(success(json!(expr.to_string())))
}

fn answer(answered: Answered, at: Timestamp, limit: usize, parameters: &Parameters) -> Response {
    let Answer { value, mut warnings, infos } = answered.answer;
    let (kind, result) = match value {
        promql::Value::Scalar(value) => ("scalar", json!([seconds(at), float(value)])),
        promql::Value::String(text) => ("string", json!([seconds(at), text])),
        promql::Value::Vector(samples) => {
            let (samples, truncated) = first(samples, limit);
            warnings.extend(truncated);
            ("vector", samples.iter().map(sample_json).collect())
        }
        promql::Value::Matrix(series) => {
            let (series, truncated) = first(series, limit);
            warnings.extend(truncated);
            ("matrix", series.iter().map(series_json).collect())
        }
    };
    let mut data = json!({ "resultType": kind, "result": result });
    match parameters.text("stats") {
        "" => {}
        wanted => {
            let (waited, took) = (answered.waited.as_secs_f64(), answered.took.as_secs_f64());
            data["stats"] = json!({ "timings": {
                "execQueueTime": waited, "evalTotalTime": took, "execTotalTime": waited + took,
            }});
            if !["true", "all"].contains(&wanted) {
                warnings.push(format!(
                    "value {wanted:?} for parameter \"stats\" is deprecated and will be rejected in the next major \
                     release, use \"true\" or \"all\""
                ));
            }
        }
    }
    success_with(data, &warnings, &infos)
}

fn sample_json(sample: &promql::VectorSample) -> Value {
    let mut object = json!({ "metric": labels_json(&sample.labels) });
    match &sample.value {
        SampleValue::Float(value) => object["value"] = json!([seconds(sample.timestamp), float(*value)]),
        SampleValue::Histogram(_) => object["histogram"] = histogram_json(sample.timestamp, &sample.value),
    }
    object
}

fn series_json(series: &promql::MatrixSeries) -> Value {
    let (mut values, mut histograms) = (Vec::new(), Vec::new());
    for (at, value) in &series.samples {
        match value {
            SampleValue::Float(value) => values.push(json!([seconds(*at), float(*value)])),
            SampleValue::Histogram(_) => histograms.push(histogram_json(*at, value)),
        }
    }
    let mut object = json!({ "metric": labels_json(&series.labels) });
    if !values.is_empty() {
        object["values"] = Value::Array(values);
    }
    if !histograms.is_empty() {
        object["histograms"] = Value::Array(histograms);
    }
    object
}

/// A native histogram with its non-empty buckets: boundary rule, lower bound, upper bound, count. The rule is 0 for
/// open on the left, 1 for open on the right, 2 for open on both sides, 3 for closed on both.
fn histogram_json(at: Timestamp, value: &SampleValue) -> Value {
    let Some(histogram) = value.histogram() else { return Value::Null };
    let buckets: Vec<Value> = histogram
        .buckets()
        .filter(|bucket| bucket.count != 0.0)
        .map(|bucket| {
            let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            json!([rule, float(bucket.lower), float(bucket.upper), float(bucket.count)])
        })
        .collect();
    let mut object = json!({ "count": float(histogram.count), "sum": float(histogram.sum) });
    if !buckets.is_empty() {
        object["buckets"] = Value::Array(buckets);
    }
    json!([seconds(at), object])
}
