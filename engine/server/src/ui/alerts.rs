//! The page of alerts: what fires, what is about to, what is held back and why.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use watchfire_alerting::{
    Acknowledgement, AlertView, AlertViewState, Engine, HistoryEntry, Instance, InstanceState, RuleView, Silence,
};
use watchfire_config::parse_matchers_within;
use watchfire_model::{AlertStatus, Annotations, Labels, Matcher, MatcherBudget, Timestamp};

use super::{Navigation, ago, minute, page, shown, stopping};
use crate::App;
use crate::alertmanager::pairs;
use crate::explain::{muted, to};

/// Alerts on the page: more than anybody reads in a storm, and few enough for a phone. A filter finds the others.
const ALERTS_SHOWN: usize = 300;

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    nav: Navigation,
    firing: usize,
    pending: usize,
    suppressed: usize,
    /// Why what was wanted could not be done; empty if all is well.
    error: String,
    /// What somebody looks for.
    filter: String,
    /// The receiver that somebody looks for; empty for all.
    receiver: String,
    /// Both as a form sends them on, so that somebody who acts on an alert comes back to the same ones.
    query: String,
    alerts: Vec<AlertRow>,
    /// Alerts that found no room on the page.
    more: usize,
}

struct AlertRow {
    key: String,
    state: &'static str,
    tone: &'static str,
    name: String,
    /// What the annotations say.
    texts: Vec<String>,
    labels: Vec<(String, String)>,
    /// Where to read on: name and address.
    links: Vec<(String, String)>,
    held_back: String,
    /// Whether somebody may act on it: it fires.
    fires: bool,
    /// Who looks after it, if somebody does.
    acknowledged: String,
    history: Vec<String>,
    since: String,
    receivers: String,
    silence_query: String,
}

/// What somebody looks for.
#[derive(Default)]
struct Wanted {
    /// As it was typed.
    filter: String,
    matchers: Vec<Matcher>,
    receiver: String,
}

impl Wanted {
    /// `filter`, which may stand several times, and `receiver`; or what is wrong with the filter beside everything else.
    fn read(query: &str, budget: &mut MatcherBudget) -> (Wanted, String) {
        let mut wanted = Wanted::default();
        let mut filters = Vec::new();
        for (name, value) in pairs(query) {
            match name.as_str() {
                "filter" if !value.trim().is_empty() => filters.push(value),
                "receiver" => wanted.receiver = value,
                _ => {}
            }
        }
        let mut error = String::new();
        for filter in &filters {
            match parse_matchers_within(filter, budget) {
                Ok(matchers) => wanted.matchers.extend(matchers),
                Err(wrong) => error = format!("The filter {filter} cannot be read: {wrong}"),
            }
        }
        wanted.filter = filters.join(", ");
        (wanted, error)
    }

    /// As it stands in an address.
    fn query(&self) -> String {
        let said = [("filter", &self.filter), ("receiver", &self.receiver)];
        let said = said.into_iter().filter(|(_, value)| !value.is_empty());
        form_urlencoded::Serializer::new(String::new()).extend_pairs(said).finish()
    }

    fn keeps(&self, labels: &Labels, receivers: &[impl AsRef<str>]) -> bool {
        let receiver = self.receiver.is_empty() || receivers.iter().any(|one| one.as_ref() == self.receiver);
        receiver && self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }
}

/// One alert, in dispatch or not yet.
enum Found {
    Alert(AlertView),
    Pending(Instance),
}

impl Found {
    /// The most urgent first.
    fn rank(&self) -> u8 {
        match self {
            Found::Alert(AlertView { status: AlertStatus::Resolved, .. }) => 3,
            Found::Alert(AlertView { state: AlertViewState::Suppressed, .. }) => 2,
            Found::Pending(_) => 1,
            Found::Alert(_) => 0,
        }
    }

    fn place(&self) -> (u8, &str, &Labels) {
        let labels = match self {
            Found::Alert(view) => &view.alert.labels,
            Found::Pending(instance) => &instance.labels,
        };
        (self.rank(), labels.value_or_empty("alertname"), labels)
    }
}

/// `GET /`
pub(crate) async fn alerts(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    alerts_page(&app, query, String::new()).await
}

/// The alerts that a query asks for, and why something else that somebody wanted could not be done.
pub(super) async fn alerts_page(app: &App, query: Option<String>, error: String) -> Response {
    let read = move |budget: &mut MatcherBudget| Wanted::read(query.as_deref().unwrap_or_default(), budget);
    let Some((wanted, unreadable)) = app.read_matchers(MatcherBudget::of_request(), read).await else {
        return stopping();
    };
    let error = if error.is_empty() { unreadable } else { error };
    let now = app.engine.now();
    let Some((views, rules)) = app.engine.view(move |engine| (engine.alerts(now), engine.rule_states())).await else {
        return stopping();
    };
    let views = views.into_iter().filter(|view| wanted.keeps(&view.alert.labels, &view.receivers)).map(Found::Alert);
    let is_pending = |instance: &Instance| {
        instance.state == InstanceState::Pending && wanted.keeps(&instance.labels, &[] as &[&str])
    };
    let pending = rules.into_iter().flat_map(|RuleView { instances, .. }| instances).filter(is_pending);
    let mut found: Vec<Found> = views.chain(pending.map(Found::Pending)).collect();
    let count = |rank: u8| found.iter().filter(|one| one.rank() == rank).count();
    let (firing, pending, suppressed) = (count(0), count(1), count(2));
    let more = found.len().saturating_sub(ALERTS_SHOWN);
    if more > 0 {
        // A storm is not sorted to show the head of it.
        found.select_nth_unstable_by(ALERTS_SHOWN, |a, b| a.place().cmp(&b.place()));
        found.truncate(ALERTS_SHOWN);
    }
    found.sort_by(|a, b| a.place().cmp(&b.place()));
    let Some(alerts) = rows(app, found, now).await else { return stopping() };
    page(&AlertsPage {
        nav: Navigation::new(app, "/"),
        firing,
        pending,
        suppressed,
        error,
        query: wanted.query(),
        filter: wanted.filter,
        receiver: wanted.receiver,
        alerts,
        more,
    })
}

/// What is shown of each, with the reasons behind it; `None` if the engine is stopping.
async fn rows(app: &App, found: Vec<Found>, now: Timestamp) -> Option<Vec<AlertRow>> {
    let look = move |engine: &Engine| {
        let with_reasons = found.into_iter().map(|one| match one {
            Found::Alert(view) => {
                let held_back = held_back(engine, &view, now);
                let history =
                    engine.history(view.fingerprint).iter().map(|entry| history_line(engine, entry)).collect();
                alert_row(&view, history, held_back, now)
            }
            Found::Pending(instance) => pending_row(&instance, now),
        });
        with_reasons.collect::<Vec<AlertRow>>()
    };
    app.engine.view(look).await
}

/// Who looks after an alert, since when and why.
fn acknowledged(acknowledgement: &Acknowledgement) -> String {
    let what = if acknowledgement.snooze { "snoozed" } else { "acknowledged" };
    let mut text = format!("{what} by {}", acknowledgement.by);
    if let Some(until) = acknowledgement.until {
        text.push_str(&format!(" until {}", minute(until)));
    }
    if !acknowledgement.comment.is_empty() {
        text.push_str(&format!(": {}", shown(&acknowledgement.comment)));
    }
    text
}

fn silence_query(labels: &Labels) -> String {
    let matchers: Vec<String> = labels.iter().map(|l| Matcher::equal(l.name, l.value).to_string()).collect();
    form_urlencoded::Serializer::new(String::new()).append_pair("matchers", &matchers.join(", ")).finish()
}

fn labels_but_name(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().filter(|l| l.name != "alertname").map(|l| (l.name.into(), l.value.into())).collect()
}

/// What somebody is to read first.
fn texts(annotations: &Annotations) -> Vec<String> {
    ["summary", "description"].iter().filter_map(|name| annotations.get(name)).map(shown).collect()
}

/// Whether an address is one that a browser may be sent to: what senders say must not become a script.
fn is_link(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://")) && !text.contains(char::is_whitespace)
}

/// Where to read on: the annotations that are addresses, such as a runbook's, and what raised the alert.
fn links(annotations: &Annotations, generator_url: &str) -> Vec<(String, String)> {
    let named = annotations.iter().map(|(name, value)| (name.trim_end_matches("_url").replace('_', " "), value));
    let all = named.chain([("source".to_owned(), generator_url)]);
    all.filter(|(_, url)| is_link(url)).map(|(name, url)| (name, url.to_owned())).collect()
}

/// What a silence says to those who find an alert quiet.
fn silenced(silence: &Silence) -> String {
    format!("silenced until {}: {} ({})", minute(silence.ends_at), shown(&silence.comment), shown(&silence.created_by))
}

/// Why nobody is told about an alert, or not everybody.
fn held_back(engine: &Engine, view: &AlertView, now: Timestamp) -> String {
    let sources = view.inhibited_by.iter().filter_map(|source| engine.alert(now, *source));
    let sources: BTreeSet<String> = sources.map(|source| source.alert.name().to_owned()).collect();
    let mut reasons: Vec<String> = view.silenced_by.iter().filter_map(|id| engine.silence(id)).map(silenced).collect();
    reasons.extend(sources.iter().map(|name| format!("inhibited by {name}")));
    if !view.muted_by.is_empty() {
        reasons.extend(muted(&engine.standings(now, view.fingerprint)));
    }
    // Where it has groups other routes tell it.
    let routes = if view.receivers.is_empty() { "" } else { "through one route " };
    reasons.extend(view.router_suppressed.iter().map(|why| format!("{routes}held back by a router plugin: {why}")));
    reasons.join("; ")
}

/// What was decided, when, and about whom.
fn history_line(engine: &Engine, entry: &HistoryEntry) -> String {
    let to = to(engine, entry).map_or_else(String::new, |to| format!("  [{to}]"));
    format!("{}  {}{to}", entry.at.to_rfc3339(), entry.reason)
}

fn pending_row(instance: &Instance, now: Timestamp) -> AlertRow {
    AlertRow {
        key: instance.labels.fingerprint().to_string(),
        state: "pending",
        tone: "pending",
        name: instance.labels.value_or_empty("alertname").to_owned(),
        texts: texts(&instance.annotations),
        labels: labels_but_name(&instance.labels),
        links: links(&instance.annotations, ""),
        held_back: String::new(),
        fires: false,
        acknowledged: String::new(),
        history: Vec::new(),
        since: format!("for {}", ago(now, instance.active_at)),
        receivers: String::new(),
        silence_query: silence_query(&instance.labels),
    }
}

fn alert_row(view: &AlertView, history: Vec<String>, held_back: String, now: Timestamp) -> AlertRow {
    let alert = &view.alert;
    let (state, tone) = match (view.status, view.state) {
        (AlertStatus::Resolved, _) => ("resolved", "resolved"),
        (AlertStatus::Firing, AlertViewState::Suppressed) => ("held back", "suppressed"),
        (AlertStatus::Firing, _) => ("firing", "firing"),
    };
    let since = match view.status {
        AlertStatus::Firing => format!("for {}", ago(now, alert.starts_at)),
        AlertStatus::Resolved => format!("{} ago", ago(now, alert.ends_at.unwrap_or(now))),
    };
    AlertRow {
        key: view.fingerprint.to_string(),
        state,
        tone,
        name: alert.name().to_owned(),
        texts: texts(&alert.annotations),
        labels: labels_but_name(&alert.labels),
        links: links(&alert.annotations, &alert.generator_url),
        held_back,
        fires: view.status == AlertStatus::Firing,
        acknowledged: view.acknowledgement.as_ref().map(acknowledged).unwrap_or_default(),
        history,
        since,
        receivers: view.receivers.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", "),
        silence_query: silence_query(&alert.labels),
    }
}

#[cfg(test)]
mod tests {
    use watchfire_config::parse_matchers;

    use super::*;

    #[test]
    fn a_link_to_a_silence_names_the_alert_and_no_other() {
        let labels =
            Labels::from_pairs([("alertname", "Disk"), ("mount point", "/a b"), ("x", "zero\u{200b}width\n\"")]);
        let query = silence_query(&labels);
        let (_, matchers) = pairs(&query).pop().unwrap();
        let read = parse_matchers(&matchers).unwrap();
        let expected: Vec<Matcher> = labels.iter().map(|label| Matcher::equal(label.name, label.value)).collect();
        assert_eq!(read, expected, "{matchers}");
    }

    #[test]
    fn only_addresses_become_links() {
        let annotations: Annotations = [
            ("runbook_url", "https://runbooks.example/disk"),
            ("dashboard", "javascript:alert(1)"),
            ("summary", "see https://example.org"),
            ("trace", "https://a b"),
        ]
        .into_iter()
        .collect();
        let found = links(&annotations, "http://wf/rules#1");
        let expected = [("runbook", "https://runbooks.example/disk"), ("source", "http://wf/rules#1")];
        assert_eq!(found, expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
    }

    #[test]
    fn what_is_looked_for_may_be_said_in_parts() {
        let read = |query: &str| Wanted::read(query, &mut MatcherBudget::of_request());
        let (wanted, error) = read("filter=team%3Ddb&filter=host%3D~%22a.%2B%22&receiver=ops&x=y");
        assert_eq!((error.as_str(), wanted.filter.as_str()), ("", "team=db, host=~\"a.+\""));
        let labels = |host: &str| Labels::from_pairs([("host", host), ("team", "db")]);
        assert!(wanted.keeps(&labels("ab"), &["dev", "ops"]));
        assert!(!wanted.keeps(&labels("b"), &["ops"]));
        assert!(!wanted.keeps(&labels("ab"), &["dev"]));
        assert_eq!(read(&wanted.query()).0.query(), wanted.query());
        assert!(read("filter=host%3D~(").1.contains("cannot be read"));
    }
}
