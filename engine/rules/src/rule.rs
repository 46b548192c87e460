//! Rule files, groups and rules as values.

use std::collections::BTreeSet;
use std::sync::Arc;

use watchfire_alerting::{Life, RuleSchedule};
use watchfire_events::{CompiledQuery, Threshold};
use watchfire_model::{Duration, RuleGroupId, RuleId};
use watchfire_plugin::{Limits, PluginError, PluginUse};
use watchfire_promql::{Expr, Selector};
use watchfire_template::prometheus::RuleTemplate;

use crate::Absence;

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
    /// Where its queries are answered if not by the engine's own series.
    pub source: Option<GroupSource>,
    /// How many instances a rule may have; 0 for no limit.
    pub limit: usize,
    /// Labels of the group as they were written; already part of its rules' labels.
    pub labels: Vec<(String, String)>,
    /// The rules in order; a rule that a reload found unchanged is the same.
    pub rules: Vec<Arc<Rule>>,
}

/// The server that answers a group's queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSource {
    /// The address of a Prometheus-compatible server, or the name that the configuration gives one.
    pub prometheus: String,
    /// Where it stands in the file.
    pub position: Position,
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
    pub condition: Option<ConditionUse>,
    /// Labels to set, those of the group included, in the order of their names. A recording rule's are
    /// [`RuleTemplate::verbatim`].
    pub labels: Vec<(String, RuleTemplate)>,
}

/// The plugin that decides for a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUse {
    /// The plugin and its configuration.
    pub usage: PluginUse,
    /// What an evaluation comes to that the plugin gives no answer to.
    pub on_error: OnError,
    /// What the rule allows the plugin; [`Limits::UNLIMITED`] where it does not say.
    pub limits: Limits,
}

impl ConditionUse {
    /// What decided in an evaluation to which the plugin gave no answer, and why; nothing where the evaluation failed.
    pub fn stand_in(&self, error: &PluginError) -> Option<String> {
        let plugin = &self.usage.plugin;
        match (error, self.on_error) {
            (_, OnError::Unknown) => None,
            // A plugin that is only being compiled has not failed, and nobody is to be woken by that.
            (PluginError::Compiling(_), _) => {
                Some(format!("the condition {plugin} cannot answer yet, what it found last counts: {error}"))
            }
            (_, OnError::Keep) => {
                Some(format!("the condition {plugin} failed, what it found last counts (`on_error: keep`): {error}"))
            }
            (_, OnError::Fire) => {
                Some(format!("the condition {plugin} failed, so every series fires (`on_error: fire`): {error}"))
            }
        }
    }
}

/// What an evaluation comes to when the condition fails: it traps, takes too long, is suspended or cannot be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The evaluation has failed: every alert stays as it is, none becomes firing, and the rule shows the error.
    #[default]
    Unknown,
    /// The last answer goes on counting: what was in trouble still is, so that a pending alert becomes firing in time.
    Keep,
    /// Every element is in trouble, critically, with the error as the finding: for what must not go unwatched. While the
    /// plugin is compiled for the first time nothing has failed, and the last answer goes on counting.
    Fire,
}

/// What becomes of a rule's result.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// Each element is an instance of an alert.
    Alerting(Alerting),
    /// Each element is a sample of a new series.
    Recording,
}

/// What makes an alert of an element. The default says nothing beyond that.
#[derive(Clone, Debug, Default)]
pub struct Alerting {
    /// How long it must be there before the alert fires.
    pub for_: Duration,
    /// How long the alert keeps firing after it is gone.
    pub keep_firing_for: Duration,
    /// How long an instance stays as it is while the data are missing that the expression decides over.
    pub ignore_missing: Duration,
    /// What must hold before an alert that fires ends.
    pub resolve_when: Option<ExprSource>,
    /// How bad an element is by its value, from the mildest to the worst, each implying those before it; an element that
    /// is not even the mildest is none. Without severities every element is one.
    pub severities: Vec<SeverityThreshold>,
    /// If set, the elements are those that were there and are not any more.
    pub absent: Option<Absence>,
    /// When the rule looks at all; always if it does not say.
    pub schedule: Option<RuleSchedule>,
    /// What is told, in the order of the names.
    pub annotations: Vec<(String, RuleTemplate)>,
}

/// From which value on a severity holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SeverityThreshold {
    /// The value of the label `severity`.
    pub severity: String,
    /// What the element's value is compared with.
    pub threshold: Threshold,
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

/// What the templates of a rule may read beside its expression.
///
/// A template puts its queries together while it runs, so that they cannot be known before. What can be known is too
/// much and never too little: the words of its text among which the metrics' names are, and all durations in it after
/// one another. Only a name that the template computes is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateQueries {
    /// Every word that could be the name of a metric.
    pub names: BTreeSet<String>,
    /// How far back the queries reach at most, without the lookback.
    pub reach: Duration,
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

impl Alerting {
    fn life(&self) -> Life {
        Life {
            for_: self.for_,
            keep_firing_for: self.keep_firing_for,
            ignore_missing: self.ignore_missing,
            resolve_when: self.resolve_when.is_some(),
            severities: self.severities.iter().map(|level| level.severity.as_str().into()).collect(),
            schedule: self.schedule.clone(),
        }
    }
}

impl Rule {
    /// What makes alerts of its elements; a recording rule makes none.
    pub fn alerting(&self) -> Option<&Alerting> {
        match &self.kind {
            RuleKind::Alerting(alerting) => Some(alerting),
            RuleKind::Recording => None,
        }
    }

    /// Its annotations; a recording rule has none.
    pub fn annotations(&self) -> &[(String, RuleTemplate)] {
        self.alerting().map_or(&[], |alerting| &alerting.annotations)
    }

    /// The same rule on other lines of its file, given what each of its lines has become.
    pub fn moved(&self, line: impl Fn(usize) -> usize) -> Rule {
        let moved = |position: &mut Position| position.line = line(position.line);
        let mut rule = self.clone();
        moved(&mut rule.position);
        if let Source::Expr(source) = &mut rule.source {
            moved(&mut source.position);
        }
        if let RuleKind::Alerting(Alerting { resolve_when: Some(source), .. }) = &mut rule.kind {
            moved(&mut source.position);
        }
        rule
    }

    /// What it asks the series.
    fn expressions(&self) -> impl Iterator<Item = &ExprSource> {
        let source = match &self.source {
            Source::Expr(source) => Some(source),
            Source::Events(_) => None,
        };
        source.into_iter().chain(self.alerting().and_then(|alerting| alerting.resolve_when.as_ref()))
    }

    /// What its expressions read, with the default lookback.
    pub fn selectors(&self) -> Vec<Selector> {
        self.expressions().flat_map(ExprSource::selectors).collect()
    }

    /// How far back its expressions read at most; absent if they read no series.
    pub fn reach_with(&self, lookback: Duration) -> Option<Duration> {
        self.expressions().filter_map(|source| source.expr.reach_with(lookback)).max()
    }

    /// What becomes of its results, as the state machine wants it.
    pub fn life(&self) -> watchfire_alerting::RuleKind {
        match &self.kind {
            RuleKind::Alerting(alerting) => watchfire_alerting::RuleKind::Alerting(alerting.life()),
            RuleKind::Recording => watchfire_alerting::RuleKind::Recording,
        }
    }

    /// What its templates may query.
    pub fn template_queries(&self) -> TemplateQueries {
        let mut queries = TemplateQueries::default();
        let templates = self.labels.iter().chain(self.annotations()).map(|(_, template)| template);
        for template in templates.filter(|template| !template.is_constant() && template.text().contains("query")) {
            let words = template.text().split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            let mut reach = Duration::ZERO;
            for word in words.filter(|word| !word.is_empty()) {
                if let Ok(duration) = word.parse::<Duration>() {
                    reach = reach + duration;
                } else if !word.starts_with(|c: char| c.is_ascii_digit()) {
                    queries.names.insert(word.to_owned());
                }
            }
            queries.reach = queries.reach.max(reach);
        }
        queries
    }

    /// The template of a label.
    pub fn label(&self, name: &str) -> Option<&RuleTemplate> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, template)| template)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_may_query_what_their_text_names() {
        for (text, names, seconds) in [
            ("no template", &[][..], 0),
            ("{{ $value }} of {{ $labels.job }}", &[], 0),
            ("{{ with query \"a:b\" }}x{{ end }}", &["a:b", "end", "query", "with", "x"], 0),
            (
                "{{ query (printf \"up{job='%s'}[1h30m] offset 5m\" $value) }}",
                &["job", "offset", "printf", "query", "s", "up", "value"],
                5_700,
            ),
        ] {
            let template = RuleTemplate::parse("r", text).unwrap();
            let rule = Rule {
                id: RuleId(1),
                position: Position::default(),
                name: "r".to_owned(),
                kind: RuleKind::Recording,
                source: Source::Expr(ExprSource {
                    expr: Arc::new(watchfire_promql::parse("up").unwrap()),
                    text: "up".to_owned(),
                    position: Position::default(),
                }),
                condition: None,
                labels: vec![("l".to_owned(), template)],
            };
            let found = rule.template_queries();
            assert_eq!(found.names.iter().map(String::as_str).collect::<Vec<_>>(), names, "{text}");
            assert_eq!(found.reach, Duration::from_secs(seconds), "{text}");
        }
    }
}
