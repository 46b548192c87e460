//! `/api/v1/rules` and `/api/v1/alerts`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use watchfire::Loaded;
use watchfire_alerting::{Instance, InstanceState, RuleGroupView, RuleHealth, RuleKind, RuleView};
use watchfire_model::{Matcher, RuleGroupId, RuleId, Timestamp, format_e};
use watchfire_rules::Rule;

use super::parameters::Parameters;
use super::{Failed, invalid, labels_json, success, unavailable};
use crate::App;

fn instance_json(instance: &Instance) -> Value {
    let mut alert = json!({
        "labels": labels_json(&instance.labels),
        "annotations": instance.annotations.iter().collect::<BTreeMap<_, _>>(),
        "state": instance.state.as_str(),
        "activeAt": instance.active_at.to_rfc3339(),
        "value": format_e(instance.value),
    });
    if let Some(since) = instance.keep_firing_since {
        alert["keepFiringSince"] = json!(since.to_rfc3339());
    }
    alert
}

/// Instances that a client may see: resolved ones are kept for a while and are no longer alerts.
fn visible(rule: &RuleView) -> impl Iterator<Item = &Instance> {
    rule.instances.iter().filter(|instance| instance.state != InstanceState::Resolved)
}

fn rule_json(view: &RuleView, definitions: &BTreeMap<RuleId, &Rule>, with_alerts: bool) -> Value {
    let definition = definitions.get(&view.id);
    let last_error = view.complaint();
    let health = match (&view.health, &last_error) {
        (RuleHealth::Unknown, _) => "unknown",
        (RuleHealth::Ok, None) => "ok",
        // Prometheus counts a limit that is exceeded among the errors.
        (RuleHealth::Ok, Some(_)) | (RuleHealth::Error(_), _) => "err",
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
    if let Some(error) = last_error {
        rule["lastError"] = json!(error);
    }
    match &view.kind {
        RuleKind::Recording => rule["type"] = json!("recording"),
        RuleKind::Alerting(life) => {
            rule["type"] = json!("alerting");
            rule["state"] = json!(view.state.map_or("inactive", InstanceState::as_str));
            rule["duration"] = json!(life.for_.as_secs_f64());
            rule["keepFiringFor"] = json!(life.keep_firing_for.as_secs_f64());
            rule["alerts"] = if with_alerts { visible(view).map(instance_json).collect() } else { Value::Null };
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

/// Which rules are wanted.
struct Filter {
    kind: Option<RuleType>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    selectors: Vec<Vec<Matcher>>,
    with_alerts: bool,
    /// So many groups.
    page: Option<usize>,
    /// The first group of the page.
    from: Option<RuleGroupId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RuleType {
    Alerting,
    Recording,
}

impl Filter {
    async fn read(app: &App, parameters: &Parameters) -> Result<Filter, Failed> {
        let list = |name: &str| parameters.all(name).map(str::to_owned).collect();
        let kind = match parameters.text("type").to_lowercase().as_str() {
            "" => None,
            "alert" => Some(RuleType::Alerting),
            "record" => Some(RuleType::Recording),
            other => return Err(invalid("type", format!("not supported value {other:?}"))),
        };
        let with_alerts = match parameters.text("exclude_alerts").to_lowercase().as_str() {
            "" | "0" | "f" | "false" => true,
            "1" | "t" | "true" => false,
            other => {
                let why =
                    format!("error converting exclude_alerts: strconv.ParseBool: parsing {other:?}: invalid syntax");
                return Err(invalid("exclude_alerts", why));
            }
        };
        let (page, from) = page(parameters)?;
        Ok(Filter {
            kind,
            names: list("rule_name[]"),
            groups: list("rule_group[]"),
            files: list("file[]"),
            selectors: parameters.selectors(app).await?,
            with_alerts,
            page,
            from,
        })
    }

    fn keeps_group(&self, group: &RuleGroupView) -> bool {
        keeps(&self.groups, &group.name) && keeps(&self.files, &group.file)
    }

    fn keeps_rule(&self, rule: &RuleView, definition: Option<&Rule>) -> bool {
        let kind = match rule.kind {
            RuleKind::Alerting { .. } => RuleType::Alerting,
            RuleKind::Recording => RuleType::Recording,
        };
        // A rule's labels are matched as they are written.
        let label = |name: &str| definition.and_then(|rule| rule.label(name)).map_or("", |label| label.text());
        let matches = |matchers: &Vec<Matcher>| matchers.iter().all(|matcher| matcher.matches(label(matcher.name())));
        self.kind.is_none_or(|wanted| wanted == kind)
            && keeps(&self.names, &rule.name)
            && (self.selectors.is_empty() || self.selectors.iter().any(matches))
    }
}

fn keeps(wanted: &[String], value: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == value)
}

/// `group_limit` and `group_next_token`.
fn page(parameters: &Parameters) -> Result<(Option<usize>, Option<RuleGroupId>), Failed> {
    let token = parameters.get("group_next_token");
    let Some(limit) = parameters.get("group_limit") else {
        return match token {
            None => Ok((None, None)),
            Some(_) => {
                let why = "group_limit needs to be present in order to paginate over the groups";
                Err(invalid("group_next_token", why))
            }
        };
    };
    let limit: i32 = limit.parse().map_err(|_| {
        let why = format!("strconv.ParseInt: parsing {limit:?}: invalid syntax");
        invalid("group_limit", format!("group_limit needs to be a valid number: {why}"))
    })?;
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| invalid("group_limit", "group_limit needs to be greater than 0"))?;
    let from =
        token.map(|token| u64::from_str_radix(token, 16).map(RuleGroupId).map_err(|_| stale(token))).transpose()?;
    Ok((Some(limit), from))
}

fn stale(token: &str) -> Failed {
    invalid("group_next_token", format!("invalid group_next_token '{token}'. were rule groups changed?"))
}

/// `/api/v1/rules`
pub(super) async fn rules(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let filter = Filter::read(&app, &parameters).await?;
    let views = app.engine.view(|engine| engine.rule_groups()).await.ok_or_else(unavailable)?;
    let loaded = app.engine.definitions();
    app.aside(move || page_of_rules(views, &loaded, &filter, &parameters)).await.ok_or_else(unavailable)?
}

fn page_of_rules(
    mut views: Vec<RuleGroupView>,
    loaded: &Loaded,
    filter: &Filter,
    parameters: &Parameters,
) -> Result<Response, Failed> {
    views.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    let definitions: BTreeMap<RuleId, &Rule> = loaded.rules().map(|rule| (rule.id, rule)).collect();
    let first = match filter.from {
        None => 0,
        Some(from) => {
            views.iter().position(|group| group.id == from).ok_or_else(|| stale(parameters.text("group_next_token")))?
        }
    };
    let (mut groups, mut next) = (Vec::new(), None);
    for group in views[first..].iter().filter(|group| filter.keeps_group(group)) {
        let wanted = group.rules.iter().filter(|rule| filter.keeps_rule(rule, definitions.get(&rule.id).copied()));
        let rules: Vec<Value> = wanted.map(|rule| rule_json(rule, &definitions, filter.with_alerts)).collect();
        if rules.is_empty() {
            continue;
        }
        if filter.page.is_some_and(|page| groups.len() == page) {
            next = Some(group.id);
            break;
        }
        groups.push(group_json(group, rules));
    }
    let mut data = json!({ "groups": groups });
    if let Some(next) = next {
        data["groupNextToken"] = json!(format!("{:016x}", next.0));
    }
    Ok(success(data))
}

/// `/api/v1/alerts`
pub(super) async fn alerts(State(app): State<App>) -> Result<Response, Failed> {
    let views = app.engine.view(|engine| engine.rule_states()).await.ok_or_else(unavailable)?;
    let alerts = move || views.iter().flat_map(visible).map(instance_json).collect::<Vec<Value>>();
    app.aside(move || success(json!({ "alerts": alerts() }))).await.ok_or_else(unavailable)
}
