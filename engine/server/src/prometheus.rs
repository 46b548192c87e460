//! Prometheus' HTTP API: queries, series, labels, rules, alerts; the shapes that its clients and Grafana expect.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use watchfire::QueryFailure;
use watchfire_alerting::{Instance, InstanceState, RuleGroupView, RuleHealth, RuleKind, RuleView};
use watchfire_model::{Duration, Labels, Matcher, RuleId, Timestamp};
use watchfire_promql::{self as promql, Answer};
use watchfire_rules::Rule;

use crate::alertmanager::pairs;
use crate::{App, body};

/// Points of a range query; more would not fit on a screen and cost a lot.
const POINTS_MAX: i64 = 11_000;

/// An error in Prometheus' shape.
pub(crate) struct Failed {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let body = json!({ "status": "error", "errorType": self.kind, "error": self.message });
        (self.status, Json(body)).into_response()
    }
}

fn bad_data(message: impl ToString) -> Failed {
    Failed { status: StatusCode::BAD_REQUEST, kind: "bad_data", message: message.to_string() }
}

fn unavailable() -> Failed {
    let message = "the engine is stopping".to_owned();
    Failed { status: StatusCode::SERVICE_UNAVAILABLE, kind: "unavailable", message }
}

fn query_failed(failure: QueryFailure) -> Failed {
    let message = failure.to_string();
    match failure {
        QueryFailure::Parse(_) => bad_data(message),
        QueryFailure::Execution(_) => Failed { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "execution", message },
        QueryFailure::Closed => unavailable(),
    }
}

fn success(data: Value) -> Response {
    Json(json!({ "status": "success", "data": data })).into_response()
}

/// Parameters of the query string and of a form in the body, in that order.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    async fn read(query: Option<String>, headers: &HeaderMap, body: Body, app: &App) -> Result<Parameters, Response> {
        let mut all = pairs(query.as_deref().unwrap_or_default());
        let bytes = body::read(headers, body, app.limits.body_bytes).await.map_err(IntoResponse::into_response)?;
        all.extend(form_urlencoded::parse(&bytes).into_owned());
        Ok(Parameters(all))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, Failed> {
        self.get(name).ok_or_else(|| bad_data(format!("invalid parameter {name:?}: it is missing")))
    }

    fn time(&self, name: &str, default: Timestamp) -> Result<Timestamp, Failed> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(default) };
        parse_time(text)
            .ok_or_else(|| bad_data(format!("invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp")))
    }
}

/// Seconds since the epoch with a fraction, or RFC 3339.
fn parse_time(text: &str) -> Option<Timestamp> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds.abs() < 9e15 => Some(Timestamp::from_secs_f64(seconds)),
        Ok(_) => None,
        Err(_) => Timestamp::parse_rfc3339(text).ok(),
    }
}

/// Seconds with a fraction, or a duration like `5m`.
fn parse_duration(text: &str) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds.abs() < 9e15 => {
            Some(Duration::from_millis((seconds * 1000.0).round() as i64))
        }
        Ok(_) => None,
        Err(_) => text.parse().ok(),
    }
}

fn labels_json(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|l| (l.name.to_owned(), Value::String(l.value.to_owned()))).collect())
}

fn seconds(time: Timestamp) -> Value {
    json!(time.as_secs_f64())
}

/// A float as Prometheus writes it into JSON: a string, shortest form that reads back the same.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        let magnitude = value.abs();
        if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            let text = format!("{value:e}");
            // Go writes at least two digits of exponent and always its sign.
            match text.split_once('e') {
                Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
                    Some(digits) => format!("{mantissa}e-{digits:0>2}"),
                    None => format!("{mantissa}e+{exponent:0>2}"),
                },
                None => text,
            }
        } else {
            format!("{value}")
        }
    }
}

fn answer_json(answer: &Answer, at: Timestamp) -> Response {
    let (kind, result) = match &answer.value {
        promql::Value::Scalar(value) => ("scalar", json!([seconds(at), float(*value)])),
        promql::Value::String(text) => ("string", json!([seconds(at), text])),
        promql::Value::Vector(samples) => {
            let samples: Vec<Value> = samples.iter().map(promql_json::sample).collect();
            ("vector", Value::Array(samples))
        }
        promql::Value::Matrix(series) => {
            let series: Vec<Value> = series.iter().map(promql_json::series).collect();
            ("matrix", Value::Array(series))
        }
    };
    let mut body = json!({ "status": "success", "data": { "resultType": kind, "result": result } });
    for (name, texts) in [("warnings", &answer.warnings), ("infos", &answer.infos)] {
        if !texts.is_empty() {
            body[name] = json!(texts);
        }
    }
    Json(body).into_response()
}

/// Samples and series as JSON.
mod promql_json {
    use super::{Value, float, json, labels_json, promql, seconds};
    use watchfire_tsdb::SampleValue;

    pub(super) fn sample(sample: &promql::VectorSample) -> Value {
        let mut object = json!({ "metric": labels_json(&sample.labels) });
        match &sample.value {
            SampleValue::Float(value) => object["value"] = json!([seconds(sample.timestamp), float(*value)]),
            SampleValue::Histogram(_) => object["histogram"] = histogram(sample.timestamp, &sample.value),
        }
        object
    }

    pub(super) fn series(series: &promql::MatrixSeries) -> Value {
        let (mut values, mut histograms) = (Vec::new(), Vec::new());
        for (at, value) in &series.samples {
            match value {
                SampleValue::Float(value) => values.push(json!([seconds(*at), float(*value)])),
                SampleValue::Histogram(_) => histograms.push(histogram(*at, value)),
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
    fn histogram(at: watchfire_model::Timestamp, value: &SampleValue) -> Value {
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
}

/// `/api/v1/query`
pub(crate) async fn query(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let parameters = Parameters::read(query, &headers, body, &app).await?;
    let run = async {
        let at = parameters.time("time", app.engine.now())?;
        let answer = app.engine.query(parameters.required("query")?, at).await.map_err(query_failed)?;
        Ok(answer_json(&answer, at))
    };
    run.await.map_err(|failed: Failed| failed.into_response())
}

/// `/api/v1/query_range`
pub(crate) async fn query_range(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let parameters = Parameters::read(query, &headers, body, &app).await?;
    let run = async {
        parameters.required("start")?;
        parameters.required("end")?;
        let start = parameters.time("start", Timestamp::EPOCH)?;
        let end = parameters.time("end", Timestamp::EPOCH)?;
        if end < start {
            return Err(bad_data("invalid parameter \"end\": end timestamp must not be before start time"));
        }
        let text = parameters.required("step")?;
        let step = parse_duration(text).ok_or_else(|| {
            bad_data(format!("invalid parameter \"step\": cannot parse {text:?} to a valid duration"))
        })?;
        if step.as_millis() <= 0 {
            let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(bad_data(format!("invalid parameter \"step\": {why}")));
        }
        if end.since(start).as_millis() / step.as_millis() > POINTS_MAX {
            let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
            return Err(bad_data(why));
        }
        let expr = parameters.required("query")?;
        let answer = app.engine.query_range(expr, start, end, step).await.map_err(query_failed)?;
        Ok(answer_json(&answer, end))
    };
    run.await.map_err(|failed: Failed| failed.into_response())
}

/// Reads the `match[]` parameters.
fn selectors(parameters: &Parameters) -> Result<Vec<Vec<Matcher>>, Failed> {
    let parse = |text: &str| {
        promql::parse_selector(text).map_err(|error| bad_data(format!("invalid parameter \"match[]\": {error}")))
    };
    parameters.all("match[]").map(parse).collect()
}

/// `/api/v1/series`
pub(crate) async fn series(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let parameters = Parameters::read(query, &headers, body, &app).await?;
    let run = || {
        let selectors = selectors(&parameters)?;
        if selectors.is_empty() {
            return Err(bad_data("no match[] parameter provided"));
        }
        let start = parameters.time("start", Timestamp::MIN)?;
        let end = parameters.time("end", Timestamp::MAX)?;
        let found = app.engine.series(&selectors, start, end);
        Ok(success(found.iter().map(labels_json).collect()))
    };
    run().map_err(IntoResponse::into_response)
}

/// `/api/v1/labels`
pub(crate) async fn labels(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let parameters = Parameters::read(query, &headers, body, &app).await?;
    let selectors = selectors(&parameters).map_err(IntoResponse::into_response)?;
    if selectors.is_empty() {
        return Ok(success(json!(app.engine.label_names())));
    }
    let found = app.engine.series(&selectors, Timestamp::MIN, Timestamp::MAX);
    let names: std::collections::BTreeSet<&str> =
        found.iter().flat_map(|labels| labels.iter().map(|label| label.name)).collect();
    Ok(success(json!(names)))
}

/// `/api/v1/label/<name>/values`
pub(crate) async fn label_values(
    State(app): State<App>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failed> {
    let parameters = Parameters(pairs(query.as_deref().unwrap_or_default()));
    let selectors = selectors(&parameters)?;
    if selectors.is_empty() {
        return Ok(success(json!(app.engine.label_values(&name))));
    }
    let found = app.engine.series(&selectors, Timestamp::MIN, Timestamp::MAX);
    let values: std::collections::BTreeSet<&str> = found.iter().filter_map(|labels| labels.get(&name)).collect();
    Ok(success(json!(values)))
}

fn instance_json(instance: &Instance) -> Value {
    let mut alert = json!({
        "labels": labels_json(&instance.labels),
        "annotations": instance.annotations,
        "state": instance.state.as_str(),
        "activeAt": instance.active_at.to_rfc3339(),
        "value": exponent(instance.value),
    });
    if let Some(since) = instance.keep_firing_since {
        alert["keepFiringSince"] = json!(since.to_rfc3339());
    }
    alert
}

/// Alert values are written with an exponent, as Go's `strconv.FormatFloat(v, 'e', -1, 64)` does.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return float(value);
    }
    match format!("{value:e}").split_once('e') {
        Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
            Some(digits) => format!("{mantissa}e-{digits:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        },
        None => float(value),
    }
}

/// Instances that a client may see: resolved ones are kept for a while and are no longer alerts.
fn visible(rule: &RuleView) -> impl Iterator<Item = &Instance> {
    rule.instances.iter().filter(|instance| instance.state != InstanceState::Resolved)
}

fn rule_json(view: &RuleView, definitions: &BTreeMap<RuleId, &Rule>) -> Value {
    let definition = definitions.get(&view.id);
    let (health, last_error) = match &view.health {
        RuleHealth::Unknown => ("unknown", String::new()),
        RuleHealth::Ok => ("ok", String::new()),
        RuleHealth::Error(error) => ("err", error.to_string()),
    };
    let labels: serde_json::Map<String, Value> = definition
        .into_iter()
        .flat_map(|rule| &rule.labels)
        .map(|(name, template)| (name.clone(), Value::String(template.text().to_owned())))
        .collect();
    let mut rule = json!({
        "name": view.name.as_ref(),
        "query": definition.map(|rule| rule.source.text()).unwrap_or_default(),
        "labels": labels,
        "health": health,
        "evaluationTime": view.evaluation_time.as_secs_f64(),
        "lastEvaluation": view.last_evaluation.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), Timestamp::to_rfc3339),
    });
    if !last_error.is_empty() {
        rule["lastError"] = json!(last_error);
    }
    match view.kind {
        RuleKind::Recording => rule["type"] = json!("recording"),
        RuleKind::Alerting { for_, keep_firing_for } => {
            rule["type"] = json!("alerting");
            rule["state"] = json!(view.state.map_or("inactive", InstanceState::as_str));
            rule["duration"] = json!(for_.as_secs_f64());
            rule["keepFiringFor"] = json!(keep_firing_for.as_secs_f64());
            rule["alerts"] = visible(view).map(instance_json).collect();
            let annotations: serde_json::Map<String, Value> = definition
                .into_iter()
                .flat_map(|rule| rule.annotations())
                .map(|(name, template)| (name.clone(), Value::String(template.text().to_owned())))
                .collect();
            rule["annotations"] = Value::Object(annotations);
        }
    }
    rule
}

fn group_json(group: &RuleGroupView, rules: Vec<Value>) -> Value {
    json!({
        "name": group.name.as_ref(),
        "file": group.file.as_ref(),
        "interval": group.interval.as_secs_f64(),
        "limit": group.limit,
        "rules": rules,
        "evaluationTime": group.evaluation_time.as_secs_f64(),
        "lastEvaluation": group.last_evaluation.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), Timestamp::to_rfc3339),
    })
}

/// `/api/v1/rules`
pub(crate) async fn rules(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Failed> {
    let parameters = Parameters(pairs(query.as_deref().unwrap_or_default()));
    let wanted_kind = match parameters.get("type").unwrap_or("") {
        "" => None,
        "alert" => Some(true),
        "record" => Some(false),
        other => return Err(bad_data(format!("not supported value {other:?}"))),
    };
    let named = |parameter: &str| parameters.all(parameter).map(str::to_owned).collect::<Vec<_>>();
    let (names, groups, files) = (named("rule_name[]"), named("rule_group[]"), named("file[]"));
    let views = app.engine.view(|engine| engine.rule_groups()).await.ok_or_else(unavailable)?;
    let loaded = app.engine.definitions();
    let definitions: BTreeMap<RuleId, &Rule> = loaded.rules().map(|rule| (rule.id, rule)).collect();
    let keeps = |list: &[String], value: &str| list.is_empty() || list.iter().any(|wanted| wanted == value);
    let mut answer = Vec::new();
    for group in views.iter().filter(|group| keeps(&groups, &group.name) && keeps(&files, &group.file)) {
        let rules: Vec<Value> = group
            .rules
            .iter()
            .filter(|rule| {
                wanted_kind.is_none_or(|alerting| alerting == matches!(rule.kind, RuleKind::Alerting { .. }))
            })
            .filter(|rule| keeps(&names, &rule.name))
            .map(|rule| rule_json(rule, &definitions))
            .collect();
        let filtered = wanted_kind.is_some() || !names.is_empty();
        if !(rules.is_empty() && filtered) {
            answer.push(group_json(group, rules));
        }
    }
    Ok(success(json!({ "groups": answer })))
}

/// `/api/v1/alerts`
pub(crate) async fn alerts(State(app): State<App>) -> Result<Response, Failed> {
    let views = app.engine.view(|engine| engine.rule_states()).await.ok_or_else(unavailable)?;
    let alerts: Vec<Value> = views.iter().flat_map(visible).map(instance_json).collect();
    Ok(success(json!({ "alerts": alerts })))
}

/// `/api/v1/metadata`: kinds and help texts are not kept, which the API allows.
pub(crate) async fn metadata() -> Response {
    success(json!({}))
}

/// `/api/v1/status/buildinfo`
pub(crate) async fn build_info() -> Response {
    success(crate::alertmanager::version_info())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_prometheus_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (123_456_789.0, "123456789"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), text);
        }
        assert_eq!(exponent(0.5), "5e-01");
        assert_eq!(exponent(12_000.0), "1.2e+04");
    }

    #[test]
    fn times_are_seconds_or_rfc3339() {
        assert_eq!(parse_time("1.5"), Some(Timestamp::from_millis(1_500)));
        assert_eq!(parse_time("1970-01-01T00:00:02Z"), Some(Timestamp::from_secs(2)));
        assert_eq!(parse_time("NaN"), None);
        assert_eq!(parse_duration("15"), Some(Duration::from_secs(15)));
        assert_eq!(parse_duration("1m"), Some(Duration::from_mins(1)));
    }
}
