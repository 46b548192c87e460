//! What a rule is, and one evaluation of it.
//!
//! A [`Rule`] is a value: the configuration reads it, everybody else looks at it. [`evaluate`] answers one question:
//! which instances (or samples) does this rule give at this time over these data? It runs the query, asks the plugin if
//! the rule has one, expands the templates and puts the labels together, as Prometheus does it.
//!
//! What this crate is not: it keeps no state between evaluations beside what it is lent (`for` is the alerting crate's
//! business), it reads no YAML, and it has no clock. [`builtin`] holds the conditions that need no plugin file.

mod absence;
pub mod builtin;
mod condition;
pub mod dataflow;
mod evaluate;
mod instances;
mod labels;
mod measure;
mod outcome;
mod presence;
mod remote;
mod rule;
mod series;

pub use absence::Absence;
pub use condition::batch_of_samples;
pub use evaluate::{EvaluateError, Evaluator, OpenCondition, Prepared, evaluate};
pub use measure::Measure;
pub use outcome::{Instance, Outcome};
pub use remote::{Remote, RemoteQuery};
pub use rule::{
    Alerting, ConditionUse, EventSource, ExprSource, GroupSource, OnError, Position, Rule, RuleFile, RuleGroup,
    RuleKind, SeverityThreshold, Source, TemplateQueries,
};
pub use series::Series;
