//! What an evaluation gives.

use watchfire_alerting::{ActiveInstance, EvaluationResult};
use watchfire_model::{Annotations, Labels};
use watchfire_tsdb::SampleValue;

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The instances of an alerting rule.
    Instances {
        /// Those whose condition holds, label sets being unique.
        active: Vec<Instance>,
        /// Those about which the plugin can say nothing; they stay as they are. Where the plugin also sets the
        /// severity, a series is here once with each severity, because any of them may exist.
        unknown: Vec<Labels>,
        /// Of the instances that were asked about and are not among `active`, those whose data are missing.
        missing: Vec<Labels>,
        /// Of the instances that were asked about and are not among `active`, those that have recovered.
        recovered: Vec<Labels>,
    },
    /// The condition of an alerting rule failed, and what it said last is to go on counting.
    LastAnswer,
    /// The samples of a recording rule with their final labels, label sets being unique.
    Samples(Vec<(Labels, SampleValue)>),
}

impl Outcome {
    /// Whether nothing holds and nothing is in doubt.
    pub fn is_nothing(&self) -> bool {
        match self {
            Outcome::Instances { active, unknown, .. } => active.is_empty() && unknown.is_empty(),
            Outcome::LastAnswer => false,
            Outcome::Samples(samples) => samples.is_empty(),
        }
    }
}

/// An instance of an alert whose condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The final labels: those of the result without `__name__`, those of the rule over them, `alertname` over all.
    pub labels: Labels,
    /// The expanded annotations.
    pub annotations: Annotations,
    /// The value of the result, or what the plugin shows as the value.
    pub value: f64,
}

impl From<Outcome> for EvaluationResult {
    fn from(outcome: Outcome) -> EvaluationResult {
        match outcome {
            Outcome::Samples(samples) => EvaluationResult::Samples(samples),
            Outcome::LastAnswer => EvaluationResult::LastAnswer,
            Outcome::Instances { active, unknown, missing, recovered } => {
                let active = active.into_iter().map(|instance| ActiveInstance {
                    labels: instance.labels,
                    annotations: instance.annotations,
                    value: instance.value,
                });
                EvaluationResult::Instances { active: active.collect(), unknown, missing, recovered }
            }
        }
    }
}
