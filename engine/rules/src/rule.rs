//! Rule files, groups and rules as values.

use std::sync::Arc;

use watchfire_events::CompiledQuery;
use watchfire_model::{Duration, RuleGroupId, RuleId};
use watchfire_plugin::PluginUse;
use watchfire_promql::{Expr, Selector};
use watchfire_template::prometheus::RuleTemplate;

/// A place in a file, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
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
    /// How often it is evaluated; the engine's interval if it does not say.
    pub interval: Option<Duration>,
    /// How far in the past its queries look; the engine's offset if it does not say.
    pub query_offset: Option<Duration>,
    /// How many instances a rule may have; 0 for no limit.
    pub limit: usize,
    /// Labels of the group as they were written; already part of its rules' labels.
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
    pub source: Source,
    /// The plugin that decides over what is looked at.
    pub condition: Option<PluginUse>,
    /// Labels to set, those of the group included, in the order of their names. A recording rule's are
    /// [`RuleTemplate::verbatim`].
    pub labels: Vec<(String, RuleTemplate)>,
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
        /// What is told, in the order of the names.
        annotations: Vec<(String, RuleTemplate)>,
    },
    /// Each element is a sample of a new series.
    Recording,
}

/// What a rule looks at.
#[derive(Clone, Debug)]
pub enum Source {
    /// Series.
    Expr(ExprSource),
    /// Events.
    Events(EventSource),
}

/// An expression with its text.
#[derive(Clone, Debug)]
pub struct ExprSource {
    /// The expression.
    pub expr: Arc<Expr>,
    /// As it was written.
    pub text: String,
    /// Where it begins in the file.
    pub position: Position,
}

/// An event query with its text.
#[derive(Clone, Debug)]
pub struct EventSource {
    /// The query.
    pub query: Arc<CompiledQuery>,
    /// As it was written, for people.
    pub text: String,
}

impl Source {
    /// The expression or event query as it was written.
    pub fn text(&self) -> &str {
        match self {
            Source::Expr(source) => &source.text,
            Source::Events(source) => &source.text,
        }
    }
}

impl ExprSource {
    /// What the expression reads, with the default lookback.
    pub fn selectors(&self) -> Vec<Selector> {
        self.expr.selectors()
    }
}

impl EventSource {
    /// How far back the events reach that the query needs.
    pub fn reach(&self) -> Duration {
        self.query.reach()
    }
}

impl Rule {
    /// Whether it gives alerts.
    pub fn is_alerting(&self) -> bool {
        matches!(self.kind, RuleKind::Alerting { .. })
    }

    /// Its annotations; a recording rule has none.
    pub fn annotations(&self) -> &[(String, RuleTemplate)] {
        match &self.kind {
            RuleKind::Alerting { annotations, .. } => annotations,
            RuleKind::Recording => &[],
        }
    }

    /// The template of a label.
    pub fn label(&self, name: &str) -> Option<&RuleTemplate> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, template)| template)
    }
}
