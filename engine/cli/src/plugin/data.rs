//! What a plugin under development is tried on: what a running engine knows, or what was recorded.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use watchfire::promql::{Expr, Options, parse};
use watchfire::{Clock, SystemClock};
use watchfire_host::Input;
use watchfire_model::{Alert, Duration, Labels, Timestamp};
use watchfire_plugin::{AlertView, Batch, Kind, MessageGroup};
use watchfire_rules::batch_of_samples;
use watchfire_tsdb::Tsdb;

use crate::client::Client;
use crate::recording::{Arrival, Recording};

/// How far back an expression can look in recorded data.
const KEPT: Duration = Duration::from_hours(25);
/// How often older samples are let go of.
const TRUNCATE_EVERY: Duration = Duration::from_mins(10);

/// A running engine.
pub(super) struct Live {
    pub(super) client: Client,
    /// What a condition looks at.
    pub(super) expr: Option<String>,
}

impl Live {
    /// What a plugin of this kind would see now.
    pub(super) async fn input(&self, kind: Kind, state: &BTreeMap<String, Vec<u8>>) -> Result<Input> {
        let now = SystemClock.now();
        Ok(match kind {
            Kind::Condition => {
                let expr = self.expr.as_deref().context("say with --expr what the condition looks at")?;
                let time = now.as_secs_f64().to_string();
                let answer = self.client.form("api/v1/query", &[("query", expr), ("time", &time)]).await?;
                Input::Condition(batch(now, &answer["data"])?, state.clone())
            }
            Kind::Router => Input::Router(now, self.alerts(now).await?),
            Kind::Formatter => Input::Formatter(MessageGroup {
                at: now,
                key: "dev".to_owned(),
                receiver: "dev".to_owned(),
                group_labels: BTreeMap::new(),
                external_url: "http://127.0.0.1:9494".to_owned(),
                id: "notification".to_owned(),
                channel: "webhook".to_owned(),
                secrets: BTreeMap::new(),
                alerts: self.alerts(now).await?,
            }),
        })
    }

    async fn alerts(&self, now: Timestamp) -> Result<Vec<AlertView>> {
        let answer = self.client.get("api/v2/alerts", &[]).await?;
        let alerts = answer.as_array().context("the server does not list alerts")?;
        let views = alerts.iter().map(|alert| {
            let time = |member: &str| alert[member].as_str().and_then(|text| Timestamp::parse_rfc3339(text).ok());
            let starts_at = time("startsAt").unwrap_or(now);
            let alert = Alert {
                labels: Labels::from_pairs(texts(&alert["labels"])),
                annotations: texts(&alert["annotations"]).into_iter().collect(),
                starts_at,
                ends_at: time("endsAt"),
                updated_at: time("updatedAt").unwrap_or(starts_at),
                timeout: false,
                generator_url: alert["generatorURL"].as_str().unwrap_or_default().into(),
                value: None,
            };
            AlertView::new(alert, now)
        });
        Ok(views.collect())
    }
}

/// The result of a query over HTTP as a condition sees it.
fn batch(now: Timestamp, data: &Value) -> Result<Batch> {
    if data["resultType"] != "vector" {
        bail!("the expression gives a {} and no instant vector", data["resultType"].as_str().unwrap_or("result"));
    }
    let mut rows = Vec::new();
    for series in data["result"].as_array().into_iter().flatten() {
        // Native histograms have no number.
        let Some(value) = series["value"][1].as_str() else { continue };
        let value: f64 = value.parse().with_context(|| format!("{value:?} is no number"))?;
        rows.push((Labels::from_pairs(texts(&series["metric"])), [(now, value)]));
    }
    Ok(Batch::new(now, rows))
}

fn texts(object: &Value) -> Vec<(String, String)> {
    let members = object.as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// Evaluates an expression over recorded samples, again and again, and hands each result to `take`.
pub(super) fn play(folder: &Path, expr: &str, every: u32, take: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
    let expr: Expr = parse(expr).map_err(|error| anyhow!("--expr: {error}"))?;
    let recording = Recording::open(folder)?;
    recording.complaints.iter().for_each(|complaint| eprintln!("warning: {complaint}"));
    let every = Duration::from_secs(every.into());
    let mut db = Tsdb::default();
    db.set_retention(KEPT);
    let (mut due, mut truncated) = (None, None);
    recording.play(&mut |at, arrival, _| {
        let Arrival::Samples(samples) = arrival else { return Ok(()) };
        let mut next = *due.get_or_insert(at + every);
        while next < at {
            take(evaluate(&db, &expr, next)?)?;
            next += every;
        }
        due = Some(next);
        for (labels, point) in samples {
            // What the store refuses, such as samples out of order, an engine would have refused as well.
            let _refused = db.append_point(labels, point.clone());
        }
        if truncated.is_none_or(|truncated| truncated + TRUNCATE_EVERY < at) {
            db.truncate(at);
            truncated = Some(at);
        }
        Ok(())
    })?;
    due.map_or(Ok(()), |due| take(evaluate(&db, &expr, due)?))
}

fn evaluate(db: &Tsdb, expr: &Expr, at: Timestamp) -> Result<Batch> {
    let answer = watchfire::promql::instant(db, expr, at, &Options::default()).map_err(|error| anyhow!("{error}"))?;
    match answer.value {
        watchfire::promql::Value::Vector(samples) => Ok(batch_of_samples(at, &samples)),
        watchfire::promql::Value::Scalar(_) => bail!("the expression gives a scalar and no instant vector"),
        watchfire::promql::Value::String(_) => bail!("the expression gives a string and no instant vector"),
        watchfire::promql::Value::Matrix(_) => bail!("the expression gives a range vector and no instant vector"),
    }
}
