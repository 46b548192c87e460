//! Rule files: Prometheus' format, and what Watchfire adds to it.

mod events;
mod file;
mod template;

use watchfire_alerting::PluginUse;
use watchfire_events::EventQuery;
use watchfire_model::{Duration, RuleGroupId, RuleId};
use watchfire_promql::Expr;
use watchfire_template::prometheus::RuleTemplate;

pub use file::{load_rules, rules_schema};

use crate::diagnostic::{Diagnostic, Position};

/// What a rule file gave.
#[derive(Clone, Debug)]
pub struct LoadedRules {
    /// The rules that are good.
    pub file: RuleFile,
    /// The rules and groups that are not, and are left out.
    pub quarantined: Vec<Quarantined>,
    /// Everything that is to be told, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// A rule or a group that is left out because something is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it stands.
    pub position: Position,
    /// The group's name; empty if it has none, or if the whole file cannot be read.
    pub group: String,
    /// The rule's name; nothing if it is the whole group or file.
    pub rule: Option<String>,
    /// The identity that the rule would have, so that what is known of it can be kept; nothing for a group.
    pub id: Option<RuleId>,
    /// What is wrong first.
    pub reason: Diagnostic,
}

/// The good rules of a file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The file, as the caller named it.
    pub path: String,
    /// The groups in order.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated together, in order.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// The identity, from file and name.
    pub id: RuleGroupId,
    /// The file.
    pub file: String,
    /// Where it stands.
    pub position: Position,
    /// Its name, unique within the file.
    pub name: String,
    /// How often it is evaluated; the configuration's `evaluation.interval` if it does not say.
    pub interval: Option<Duration>,
    /// How far in the past its queries look; the configuration's `evaluation.query_offset` if it does not say.
    pub query_offset: Option<Duration>,
    /// How many instances a rule may have; 0 for no limit.
    pub limit: usize,
    /// Labels of the group; already part of its rules' labels.
    pub labels: Vec<(String, String)>,
    /// The rules in order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The identity, stable across reloads.
    pub id: RuleId,
    /// Where it stands.
    pub position: Position,
    /// The alert's name or the recorded metric's.
    pub name: String,
    /// What becomes of a result.
    pub kind: RuleKind,
    /// What is looked at.
    pub source: RuleSource,
    /// The plugin that decides over what is looked at.
    pub condition: Option<PluginUse>,
    /// Labels to set as they were written, those of the group included, in the order of their names.
    pub labels: Vec<(String, String)>,
}

/// What becomes of a rule's result.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// Each element is an instance of an alert.
    Alerting {
        /// How long it must be there before the alert fires.
        for_: Duration,
        /// How long the alert keeps firing after it is gone.
        keep_firing_for: Duration,
        /// The labels as templates, in the order of the names. A recording rule's labels are no templates.
        labels: Vec<(String, RuleTemplate)>,
        /// What is told, in the order of the names.
        annotations: Vec<(String, RuleTemplate)>,
    },
    /// Each element is a sample of a new series.
    Recording,
}

/// What a rule looks at.
#[derive(Clone, Debug)]
pub enum RuleSource {
    /// Series.
    Expr {
        /// The expression.
        expr: Box<Expr>,
        /// As it was written.
        text: String,
        /// Where it begins in the file.
        position: Position,
    },
    /// Events.
    Events(Box<EventQuery>),
}
