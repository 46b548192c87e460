//! One evaluation of one rule.

use std::collections::HashSet;
use std::fmt;

use thiserror::Error;
use watchfire_events::EventHit;
use watchfire_model::{Duration, Labels, METRIC_NAME_LABEL, Severity, Timestamp};
use watchfire_plugin::{Batch, Condition, PluginError, State, ask};
use watchfire_promql::{Answer, Expr, Options, Plan, QueryError, Stop, Tracked, Value, VectorSample};
use watchfire_tsdb::SampleValue;

use crate::condition::{batch_of_events, batch_of_samples};
use crate::instances::ElementIndex;
use crate::labels::{Element, Labeler, SEVERITY_LABEL, Surroundings};
use crate::presence::presence;
use crate::{
    Alerting, ConditionUse, Instance, OnError, Outcome, Remote, Rule, RuleKind, Series, SeverityThreshold, Source,
};

/// Why a rule gave no answer. Nothing changes then: an error is never "no result".
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EvaluateError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The server that answers the rule's queries gave no answer.
    #[error("{0}")]
    Remote(String),
    /// The server has to be asked first: [`Remote::take_wanted`] says what.
    #[error("the server has not been asked yet")]
    Unanswered,
    /// The query's result is a text or a range.
    #[error("rule result is not a vector or scalar")]
    NotAVector,
    /// Two results are the same alert.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    DuplicateAlerts,
    /// Two results are the same series.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    DuplicateSeries,
    /// The condition plugin failed.
    #[error("condition {plugin}: {error}")]
    Condition {
        /// The plugin's name.
        plugin: String,
        /// How.
        error: PluginError,
    },
    /// The caller lent less than the rule needs.
    #[error("the rule needs {0}, which is not there")]
    Missing(&'static str),
}

/// What a rule needs to be evaluated again and again; made once when the rule is loaded.
#[derive(Clone, Debug)]
pub struct Prepared {
    plan: Option<Plan>,
    /// Over which elements the data are there, if the rule wants to know.
    presence: Option<Plan>,
    /// Which elements have recovered, if the rule says so.
    recovery: Option<Plan>,
}

impl Prepared {
    /// Plans the rule's query.
    pub fn new(rule: &Rule, options: &Options) -> Prepared {
        let plan = |expr: &Expr| Plan::new(expr, options);
        let expr = match &rule.source {
            Source::Expr(source) => Some(&source.expr),
            Source::Events(_) => None,
        };
        let alerting = rule.alerting();
        let minds_gaps = alerting.is_some_and(|alerting| !alerting.ignore_missing.is_zero());
        let recovery = alerting.and_then(|alerting| alerting.resolve_when.as_ref());
        Prepared {
            plan: expr.map(|expr| plan(expr)),
            presence: expr.filter(|_| minds_gaps).and_then(|expr| presence(expr)).map(|expr| plan(&expr)),
            recovery: recovery.map(|source| plan(&source.expr)),
        }
    }

    /// The plan of the rule's expression.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }
}

/// A condition that was opened for a rule, with what it remembers. The caller commits or rolls back the state.
pub struct OpenCondition<'a> {
    /// The condition.
    pub condition: &'a mut dyn Condition,
    /// Its state.
    pub state: &'a mut State,
}

impl fmt::Debug for OpenCondition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenCondition").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Everything that one evaluation may look at.
pub struct Evaluator<'a> {
    /// The series.
    pub series: Series<'a>,
    /// The rule's plan; without it the expression is planned anew.
    pub prepared: Option<&'a Prepared>,
    /// The series that the plan is known to read; without it they are searched.
    pub tracked: Option<&'a mut Tracked>,
    /// If a server answers the rule's queries: what it has answered.
    pub remote: Option<&'a mut Remote>,
    /// What the windows of an event rule answer at the time of the evaluation: not the windows themselves, so that a
    /// condition that computes holds up no event.
    pub hits: Option<Vec<EventHit>>,
    /// The condition, if the rule has one.
    pub condition: Option<OpenCondition<'a>>,
    /// What a rule without a condition remembers. The caller commits or rolls it back.
    pub memory: Option<&'a mut State>,
    /// The instances about which the outcome must say whether they are missing or have recovered.
    pub instances: &'a [Labels],
    /// How far in the past the rule's query looks.
    pub query_offset: Duration,
    /// What templates see as `$externalLabels`.
    pub external_labels: &'a Labels,
    /// What templates see as `$externalURL`.
    pub external_url: &'a str,
    /// How queries are evaluated.
    pub options: &'a Options,
    /// Whether to stop; asked now and then while a query runs.
    pub stop: &'a dyn Fn() -> Option<Stop>,
    /// What was noticed on the way: annotations of the query, templates that failed. Added to, never cleared.
    pub warnings: Vec<String>,
    /// Why the condition gave no answer, where [`OnError`] made one of it.
    pub failure: Option<PluginError>,
}

impl<'a> Evaluator<'a> {
    /// Over series alone, without offset, condition and external labels.
    pub fn new(series: impl Into<Series<'a>>, external_labels: &'a Labels, options: &'a Options) -> Evaluator<'a> {
        Evaluator {
            series: series.into(),
            prepared: None,
            tracked: None,
            remote: None,
            hits: None,
            condition: None,
            memory: None,
            instances: &[],
            query_offset: Duration::ZERO,
            external_labels,
            external_url: "",
            options,
            stop: &|| None,
            warnings: Vec::new(),
            failure: None,
        }
    }
}

impl fmt::Debug for Evaluator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("query_offset", &self.query_offset).finish_non_exhaustive()
    }
}

/// Evaluates a rule at a time.
///
/// The query runs at `at` less the offset; templates and their queries see `at` itself.
///
/// # Errors
/// As [`EvaluateError`] says; nothing is then known about the rule.
pub fn evaluate(rule: &Rule, at: Timestamp, evaluator: &mut Evaluator<'_>) -> Result<Outcome, EvaluateError> {
    let outcome = match &rule.kind {
        RuleKind::Recording => {
            query(rule, at, evaluator).and_then(|samples| record(rule, &samples).map(Outcome::Samples))
        }
        RuleKind::Alerting(alerting) => alert(rule, alerting, at, evaluator),
    };
    // A template whose query was not answered yet has failed for now only.
    match &evaluator.remote {
        Some(remote) if remote.is_wanting() => Err(EvaluateError::Unanswered),
        _ => outcome,
    }
}

/// The elements of the rule's expression.
fn query(rule: &Rule, at: Timestamp, evaluator: &mut Evaluator<'_>) -> Result<Vec<VectorSample>, EvaluateError> {
    let Source::Expr(source) = &rule.source else {
        return Err(EvaluateError::Missing("an expression"));
    };
    let at = at - evaluator.query_offset;
    let answer = match &mut evaluator.remote {
        Some(remote) => remote.ask(&source.text, at)?,
        None => {
            let fresh;
            let plan = match evaluator.prepared.and_then(Prepared::plan) {
                Some(plan) => plan,
                None => {
                    fresh = Plan::new(&source.expr, evaluator.options);
                    &fresh
                }
            };
            let stop = evaluator.stop;
            let tracked = &mut evaluator.tracked;
            evaluator.series.read(|db| match tracked {
                Some(tracked) => plan.instant_tracked(db, tracked, at, stop),
                None => plan.instant(db, at, stop),
            })?
        }
    };
    elements(answer, at, &mut evaluator.warnings)
}

/// The elements of an answer; what it remarks is a warning.
fn elements(answer: Answer, at: Timestamp, warnings: &mut Vec<String>) -> Result<Vec<VectorSample>, EvaluateError> {
    warnings.extend(answer.warnings);
    vector(answer.value, at).ok_or(EvaluateError::NotAVector)
}

/// The result as a vector; a number is one sample without labels.
fn vector(value: Value, at: Timestamp) -> Option<Vec<VectorSample>> {
    match value {
        Value::Vector(samples) => Some(samples),
        Value::Scalar(number) => {
            Some(vec![VectorSample { labels: Labels::empty(), timestamp: at, value: SampleValue::Float(number) }])
        }
        Value::String(_) | Value::Matrix(_) => None,
    }
}

/// What a template's query answers.
fn template_query(
    series: Series<'_>,
    options: &Options,
    remote: Option<&mut Remote>,
    at: Timestamp,
    text: &str,
) -> Result<Vec<(Labels, f64)>, String> {
    let answer = match remote {
        Some(remote) => remote.ask(text, at).map_err(|error| error.to_string())?,
        None => {
            let expr = watchfire_promql::parse(text).map_err(|error| error.to_string())?;
            let answer = series.read(|db| watchfire_promql::instant(db, &expr, at, options));
            answer.map_err(|error| error.to_string())?
        }
    };
    let samples = vector(answer.value, at).ok_or_else(|| EvaluateError::NotAVector.to_string())?;
    // A native histogram has no number; Prometheus' templates see 0 there.
    Ok(samples.into_iter().map(|sample| (sample.labels.clone(), sample.float().unwrap_or(0.0))).collect())
}

fn record(rule: &Rule, samples: &[VectorSample]) -> Result<Vec<(Labels, SampleValue)>, EvaluateError> {
    let mut seen = HashSet::with_capacity(samples.len());
    let mut recorded = Vec::with_capacity(samples.len());
    for sample in samples {
        let mut labels = sample.labels.to_builder();
        labels.set(METRIC_NAME_LABEL, rule.name.as_str());
        for (name, template) in &rule.labels {
            labels.set(name.as_str(), template.text());
        }
        let labels = labels.build();
        if !seen.insert(labels.clone()) {
            return Err(EvaluateError::DuplicateSeries);
        }
        recorded.push((labels, sample.value.clone()));
    }
    Ok(recorded)
}

/// What holds, and what is not known, before labels are put together.
#[derive(Default)]
struct Found {
    elements: Vec<Element>,
    unknown: Vec<(Labels, f64)>,
}

fn alert(
    rule: &Rule,
    alerting: &Alerting,
    at: Timestamp,
    evaluator: &mut Evaluator<'_>,
) -> Result<Outcome, EvaluateError> {
    let found = match (&rule.source, &rule.condition) {
        (Source::Expr(_), None) => {
            let samples = query(rule, at, evaluator)?;
            let elements = match alerting.absent {
                None => samples.into_iter().filter_map(|sample| element(sample, &alerting.severities)).collect(),
                Some(absence) => {
                    let memory = evaluator.memory.as_mut().ok_or(EvaluateError::Missing("its memory"))?;
                    let (elements, refused) = absence.elements(&samples, at, memory);
                    evaluator.warnings.extend(refused);
                    elements
                }
            };
            Found { elements, unknown: Vec::new() }
        }
        (Source::Expr(_), Some(usage)) => {
            let samples = query(rule, at, evaluator)?;
            match decide(usage, &batch_of_samples(at, &samples), evaluator)? {
                Some(found) => found,
                None => return Ok(Outcome::LastAnswer),
            }
        }
        (Source::Events(source), usage) => {
            let hits = evaluator.hits.take().ok_or(EvaluateError::Missing("what its event windows answer"))?;
            match usage {
                None => {
                    let element = |hit: EventHit| Element { labels: hit.labels, value: hit.value, finding: None };
                    Found { elements: hits.into_iter().map(element).collect(), unknown: Vec::new() }
                }
                Some(usage) => match decide(usage, &batch_of_events(at, &source.query, hits), evaluator)? {
                    Some(found) => found,
                    None => return Ok(Outcome::LastAnswer),
                },
            }
        }
    };
    let (series, options, remote) = (evaluator.series, evaluator.options, &mut evaluator.remote);
    let mut query = |text: &str| template_query(series, options, remote.as_deref_mut(), at, text);
    let mut labeler = Labeler {
        rule,
        surroundings: Surroundings {
            at,
            external_labels: evaluator.external_labels,
            external_url: evaluator.external_url,
        },
        query: &mut query,
        failures: Vec::new(),
    };
    let mut seen = HashSet::with_capacity(found.elements.len());
    let mut active = Vec::with_capacity(found.elements.len());
    for element in &found.elements {
        let instance = labeler.instance(element);
        let identity = if alerting.severities.is_empty() {
            instance.labels.clone()
        } else {
            instance.labels.without(SEVERITY_LABEL)
        };
        if !seen.insert(identity) {
            return Err(EvaluateError::DuplicateAlerts);
        }
        active.push(instance);
    }
    let mut unknown: Vec<Labels> = Vec::new();
    for (labels, value) in &found.unknown {
        unknown.extend(labeler.possible_labels(labels, *value));
    }
    evaluator.warnings.append(&mut labeler.failures);
    let (missing, recovered) = absentees(rule, alerting, at, &active, evaluator)?;
    Ok(Outcome::Instances { active, unknown, missing, recovered })
}

/// The element of a sample with the worst severity that holds for its value, if the rule has severities.
fn element(sample: VectorSample, severities: &[SeverityThreshold]) -> Option<Element> {
    let value = sample.float().unwrap_or(0.0);
    if severities.is_empty() {
        return Some(Element { labels: sample.labels, value, finding: None });
    }
    let level = severities.iter().rev().find(|level| level.threshold.holds(value))?;
    // Templates see the severity as a label of the element.
    let labels = sample.labels.to_builder().set(SEVERITY_LABEL, level.severity.as_str()).build();
    Some(Element { labels, value, finding: None })
}

/// Which of the instances that were asked about and are not active are missing, and which have recovered.
fn absentees(
    rule: &Rule,
    alerting: &Alerting,
    at: Timestamp,
    active: &[Instance],
    evaluator: &mut Evaluator<'_>,
) -> Result<(Vec<Labels>, Vec<Labels>), EvaluateError> {
    let found: HashSet<&Labels> = active.iter().map(|instance| &instance.labels).collect();
    let left: Vec<&Labels> = evaluator.instances.iter().filter(|labels| !found.contains(labels)).collect();
    if left.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let fresh;
    let prepared = match evaluator.prepared {
        Some(prepared) => prepared,
        None => {
            fresh = Prepared::new(rule, evaluator.options);
            &fresh
        }
    };
    let index = |plan: &Plan, evaluator: &mut Evaluator<'_>| {
        let at = at - evaluator.query_offset;
        let answer = match &mut evaluator.remote {
            Some(remote) => remote.ask(&plan.expr().to_string(), at)?,
            None => evaluator.series.read(|db| plan.instant(db, at, evaluator.stop))?,
        };
        let samples = elements(answer, at, &mut evaluator.warnings)?;
        Ok::<_, EvaluateError>(ElementIndex::new(rule, alerting, samples.into_iter().map(|sample| sample.labels)))
    };
    let pick = |mut holds: Box<dyn FnMut(&Labels) -> bool + '_>| {
        left.iter().copied().filter(|one| holds(one)).cloned().collect()
    };
    // After a restart rules are asked that do not mind gaps otherwise, and have no plan for it.
    let fresh = match (&prepared.presence, &rule.source) {
        (None, Source::Expr(source)) => presence(&source.expr).map(|expr| Plan::new(&expr, evaluator.options)),
        _ => None,
    };
    let missing = match prepared.presence.as_ref().or(fresh.as_ref()) {
        Some(plan) => {
            let mut present = index(plan, evaluator)?;
            pick(Box::new(move |labels| !present.agrees(labels)))
        }
        None => Vec::new(),
    };
    let recovered = match &prepared.recovery {
        Some(plan) => {
            let mut recovered = index(plan, evaluator)?;
            pick(Box::new(move |labels| recovered.covers(labels)))
        }
        None => Vec::new(),
    };
    Ok((missing, recovered))
}

/// Lets the condition decide which series of a batch are in trouble; `None` if it failed and the last answer counts.
fn decide(
    condition: &ConditionUse,
    batch: &Batch,
    evaluator: &mut Evaluator<'_>,
) -> Result<Option<Found>, EvaluateError> {
    let opened = evaluator.condition.as_mut().ok_or(EvaluateError::Missing("its condition"))?;
    let labels = |index: u32| batch.series[index as usize].clone();
    let last = |index: u32| batch.last(index as usize).unwrap_or(f64::NAN);
    let plugin = &condition.usage.plugin;
    let outcome = match (ask(opened.condition, batch, opened.state), condition.on_error) {
        (Ok(outcome), _) => outcome,
        (Err(error), OnError::Unknown) => return Err(EvaluateError::Condition { plugin: plugin.clone(), error }),
        (Err(error), on_error) => {
            // The evaluation goes on, and with it what is committed; what the failed call wrote is forgotten.
            let summary = format!("the condition {plugin} failed: {error}");
            // A plugin that is only being compiled has not failed, and nobody is to be woken by that.
            let is_compiling = matches!(error, PluginError::Compiling(_));
            evaluator.failure = Some(error);
            if on_error == OnError::Keep || is_compiling {
                return Ok(None);
            }
            let finding = |series: u32| Element {
                labels: labels(series),
                value: last(series),
                finding: Some((Severity::Critical, summary.clone())),
            };
            let count = u32::try_from(batch.series.len()).unwrap_or(u32::MAX);
            return Ok(Some(Found { elements: (0..count).map(finding).collect(), unknown: Vec::new() }));
        }
    };
    let elements = outcome.findings.into_iter().map(|finding| Element {
        labels: labels(finding.series),
        value: finding.value,
        finding: Some((finding.severity, finding.summary)),
    });
    let unknown = outcome.unknown.into_iter().map(|index| (labels(index), last(index)));
    Ok(Some(Found { elements: elements.collect(), unknown: unknown.collect() }))
}
