//! The page of rules: what each looks at, on which terms, and how its last evaluation went.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use watchfire::rules::{Alerting, Rule, RuleKind};
use watchfire_alerting::{InstanceState, RuleGroupView, RuleSchedule, RuleView};
use watchfire_config::Level;
use watchfire_model::{Duration, RuleGroupId, RuleId, Timestamp};

use super::{Navigation, ago, counted, page, stopping};
use crate::App;

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    nav: Navigation,
    /// How many there are.
    lead: String,
    problems: Vec<Problem>,
    groups: Vec<GroupRow>,
}

struct Problem {
    mild: bool,
    place: String,
    message: String,
}

struct GroupRow {
    name: String,
    file: String,
    interval: String,
    /// The server that answers its queries; empty if they are answered here.
    asks: String,
    rules: Vec<RuleRow>,
}

struct RuleRow {
    id: String,
    state: &'static str,
    tone: &'static str,
    name: String,
    source: String,
    /// What the rule says beside its expression, in the words of its file.
    terms: Vec<String>,
    error: String,
    timing: String,
}

/// `GET /rules`
pub(crate) async fn rules(State(app): State<App>) -> Response {
    let Some(groups) = app.engine.view(|engine| engine.rule_groups()).await else { return stopping() };
    let loaded = app.engine.definitions();
    let now = app.engine.now();
    let rules: HashMap<RuleId, &Rule> = loaded.rules().map(|rule| (rule.id, rule)).collect();
    let problems = loaded.diagnostics.iter().map(|diagnostic| Problem {
        mild: diagnostic.severity == Level::Warning,
        place: format!("{}:{}:{}", diagnostic.file, diagnostic.line, diagnostic.column),
        message: match &diagnostic.help {
            Some(help) => format!("{} ({help})", diagnostic.message),
            None => diagnostic.message.clone(),
        },
    });
    let asks = |id: RuleGroupId| {
        let group = loaded.files.iter().flat_map(|file| &file.groups).find(|group| group.id == id);
        group.and_then(|group| group.source.as_ref()).map(|source| source.prometheus.clone()).unwrap_or_default()
    };
    page(&RulesPage {
        nav: Navigation::new(&app, "/rules"),
        lead: format!(
            "{} in {}.",
            counted(groups.iter().map(|group| group.rules.len()).sum(), "rule"),
            counted(groups.len(), "group")
        ),
        problems: problems.collect(),
        groups: groups.iter().map(|group| GroupRow { asks: asks(group.id), ..group_row(group, &rules, now) }).collect(),
    })
}

fn group_row(group: &RuleGroupView, rules: &HashMap<RuleId, &Rule>, now: Timestamp) -> GroupRow {
    let rule_row = |rule: &RuleView| {
        let (state, tone) = match rule.state {
            Some(InstanceState::Firing) => ("firing", "firing"),
            Some(InstanceState::Pending) => ("pending", "pending"),
            Some(InstanceState::Resolved) | None => match rule.kind {
                watchfire_alerting::RuleKind::Recording => ("recording", "info"),
                watchfire_alerting::RuleKind::Alerting { .. } => ("inactive", "inactive"),
            },
        };
        let timing = match rule.last_evaluation {
            Some(at) => format!("{} ago, {} ms", ago(now, at), rule.evaluation_time.as_millis()),
            None => "not evaluated here yet".to_owned(),
        };
        let written = rules.get(&rule.id);
        RuleRow {
            id: rule.id.to_string(),
            state,
            tone,
            name: rule.name.to_string(),
            source: written.map(|rule| rule.source.text().to_owned()).unwrap_or_default(),
            terms: written.map(|rule| terms(rule)).unwrap_or_default(),
            error: rule.complaint().unwrap_or_default(),
            timing,
        }
    };
    GroupRow {
        name: group.name.to_string(),
        file: group.file.to_string(),
        interval: group.interval.to_string(),
        asks: String::new(),
        rules: group.rules.iter().map(rule_row).collect(),
    }
}

/// What a rule says beside its expression, in the words of its file.
fn terms(rule: &Rule) -> Vec<String> {
    let mut terms = Vec::new();
    if let RuleKind::Alerting(alerting) = &rule.kind {
        terms.extend(alerting_terms(alerting));
    }
    terms.extend(rule.condition.iter().map(|condition| format!("condition: {}", condition.usage.plugin)));
    terms.extend(rule.labels.iter().map(|(name, value)| format!("{name}: {}", value.text())));
    terms
}

fn alerting_terms(alerting: &Alerting) -> Vec<String> {
    let lasting = [
        ("for", alerting.for_),
        ("keep_firing_for", alerting.keep_firing_for),
        ("ignore_missing", alerting.ignore_missing),
        ("absent: for", alerting.absent.as_ref().map_or(Duration::ZERO, |absent| absent.for_)),
    ];
    let said = lasting.into_iter().filter(|(_, lasts)| *lasts > Duration::ZERO);
    let mut terms: Vec<String> = said.map(|(key, lasts)| format!("{key}: {lasts}")).collect();
    let severities =
        alerting.severities.iter().map(|one| format!("{} {} {}", one.severity, one.threshold.op, one.threshold.value));
    if !alerting.severities.is_empty() {
        terms.push(format!("severities: {}", severities.collect::<Vec<_>>().join(", ")));
    }
    terms.extend(alerting.resolve_when.iter().map(|recovery| format!("resolve_when: {}", recovery.text)));
    terms.extend(alerting.schedule.iter().map(|schedule| match schedule {
        RuleSchedule::At(times) => format!("schedule: {times}"),
        RuleSchedule::Within(_) => "schedule: at certain times of the week or the year".to_owned(),
    }));
    terms
}
