//! The pages. They are rendered here, with what the engine says between two inputs; a short script fetches the marked
//! part of a page again when something has changed.

mod acting;
mod receivers;
mod rules;

pub(crate) use acting::{act, redeliver};
pub(crate) use receivers::{preview, receivers, test};
pub(crate) use rules::rules;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::{Form, Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use watchfire::delivery::text::{Unit, shorten};
use watchfire_alerting::{
    Acknowledgement, AlertView, AlertViewState, InstanceState, LogView, OutboxView, Silence, SilenceDraft, SilenceId,
    SilenceState,
};
use watchfire_config::parse_matchers_within;
use watchfire_model::{AlertStatus, Annotations, Duration, Fingerprint, MatcherBudget, Timestamp};

use crate::App;
use crate::alertmanager::pairs;
use receivers::AttemptRow;

/// Characters of a text on a page that somebody wrote; the API has all of it.
const TEXT_CHARS_MAX: usize = 500;
/// Attempts on the page of notifications.
const ATTEMPTS_SHOWN: usize = 50;

/// The style sheet of every page, the demo's too.
pub const STYLE: &str = include_str!("../assets/watchfire.css");
/// The script of every page.
pub const SCRIPT: &str = include_str!("../assets/watchfire.js");

/// The pages in the bar at the top: path and title.
pub const PAGES: [(&str, &str); 6] = [
    ("/", "Alerts"),
    ("/rules", "Rules"),
    ("/silences", "Silences"),
    ("/receivers", "Receivers"),
    ("/notifications", "Notifications"),
    ("/plugins", "Plugins"),
];

/// The bar at the top.
pub(crate) struct Navigation {
    /// What stands before every path.
    pub(crate) base: String,
    pub(crate) pages: Vec<(String, String)>,
    pub(crate) here: &'static str,
}

impl Navigation {
    pub(crate) fn new(app: &App, here: &'static str) -> Navigation {
        let own = PAGES.map(|(path, title)| (path.to_owned(), title.to_owned()));
        let pages = own.into_iter().chain(app.settings.more_pages.iter().cloned()).collect();
        Navigation { base: app.prefix.to_string(), pages, here }
    }
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    nav: Navigation,
    firing: usize,
    pending: usize,
    suppressed: usize,
    /// Why what was wanted could not be done; empty if all is well.
    error: String,
    alerts: Vec<AlertRow>,
}

struct AlertRow {
    key: String,
    state: &'static str,
    tone: &'static str,
    name: String,
    summary: String,
    labels: Vec<(String, String)>,
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

#[derive(Template)]
#[template(path = "silences.html")]
struct SilencesPage {
    nav: Navigation,
    matchers: String,
    error: String,
    silences: Vec<SilenceRow>,
}

struct SilenceRow {
    id: String,
    state: &'static str,
    tone: &'static str,
    matchers: Vec<String>,
    comment: String,
    created_by: String,
    times: String,
    can_end: bool,
}

#[derive(Template)]
#[template(path = "notifications.html")]
struct NotificationsPage {
    nav: Navigation,
    error: String,
    attempts: Vec<AttemptRow>,
    waiting: Vec<WaitingRow>,
    told: Vec<ToldRow>,
}

struct WaitingRow {
    receiver: String,
    integration: String,
    reason: String,
    attempt: u32,
    error: String,
}

struct ToldRow {
    receiver: String,
    integration: String,
    group: String,
    firing: usize,
    resolved: usize,
    last: String,
    receipt: String,
}

pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "this page cannot be shown; the log says why\n").into_response()
        }
    }
}

fn stopping() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping\n").into_response()
}

/// `4 s`, `3 min`, `2 h`, `5 d`: how long ago, at a glance.
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since(then).as_millis().max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 rule`, `3 rules`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A time for people.
fn minute(time: Timestamp) -> String {
    time.to_chrono().format("%-d %b %Y, %H:%M UTC").to_string()
}

/// `GET /`
pub(crate) async fn alerts(State(app): State<App>) -> Response {
    alerts_page(&app, String::new()).await
}

async fn alerts_page(app: &App, error: String) -> Response {
    let now = app.engine.now();
    let Some((views, groups, histories, silences)) = app
        .engine
        .view(move |engine| {
            let views = engine.alerts(now);
            let histories: Vec<_> = views.iter().map(|view| engine.history(view.fingerprint)).collect();
            let silences = engine.silences().into_iter().map(|silence| (silence.id.clone(), silenced(silence)));
            (views, engine.rule_groups(), histories, silences.collect::<BTreeMap<_, _>>())
        })
        .await
    else {
        return stopping();
    };
    let names = views.iter().map(|view| (view.fingerprint, view.alert.name().to_owned())).collect();
    let mut rows: Vec<(u8, AlertRow)> = Vec::new();
    let mut counts = (0, 0, 0);
    for (view, history) in views.iter().zip(&histories) {
        let (rank, state, tone) = match (view.status, view.state) {
            (AlertStatus::Resolved, _) => (3, "resolved", "resolved"),
            (AlertStatus::Firing, AlertViewState::Suppressed) => (2, "held back", "suppressed"),
            (AlertStatus::Firing, _) => (0, "firing", "firing"),
        };
        counts.0 += usize::from(rank == 0);
        counts.2 += usize::from(rank == 2);
        let history = history.iter().map(|entry| format!("{}  {}", entry.at.to_rfc3339(), entry.reason)).collect();
        rows.push((rank, alert_row(view, state, tone, history, held_back(view, &silences, &names), now)));
    }
    for instance in groups.iter().flat_map(|group| &group.rules).flat_map(|rule| &rule.instances) {
        if instance.state == InstanceState::Pending {
            counts.1 += 1;
            let labels: Vec<_> = instance
                .labels
                .iter()
                .filter(|l| l.name != "alertname")
                .map(|l| (l.name.into(), l.value.into()))
                .collect();
            rows.push((
                1,
                AlertRow {
                    key: instance.labels.fingerprint().to_string(),
                    state: "pending",
                    tone: "pending",
                    name: instance.labels.value_or_empty("alertname").to_owned(),
                    summary: summary(&instance.annotations),
                    labels,
                    held_back: String::new(),
                    fires: false,
                    acknowledged: String::new(),
                    history: Vec::new(),
                    since: format!("for {}", ago(now, instance.active_at)),
                    receivers: String::new(),
                    silence_query: silence_query(&instance.labels),
                },
            ));
        }
    }
    rows.sort_by(|(a, x), (b, y)| (a, &x.name, &x.labels).cmp(&(b, &y.name, &y.labels)));
    page(&AlertsPage {
        nav: Navigation::new(app, "/"),
        error,
        firing: counts.0,
        pending: counts.1,
        suppressed: counts.2,
        alerts: rows.into_iter().map(|(_, row)| row).collect(),
    })
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

fn silence_query(labels: &watchfire_model::Labels) -> String {
    let matchers: Vec<String> = labels.iter().map(|l| format!("{}={:?}", l.name, l.value)).collect();
    form_urlencoded::Serializer::new(String::new()).append_pair("matchers", &matchers.join(", ")).finish()
}

/// A text as far as a page shows it.
fn shown(text: &str) -> String {
    shorten(text, TEXT_CHARS_MAX, Unit::Chars).into_owned()
}

fn summary(annotations: &Annotations) -> String {
    annotations.get("summary").map(shown).unwrap_or_default()
}

/// What a silence says to those who find an alert quiet.
fn silenced(silence: &Silence) -> String {
    format!("silenced until {}: {} ({})", minute(silence.ends_at), shown(&silence.comment), shown(&silence.created_by))
}

/// Why nobody is told about an alert.
fn held_back(
    view: &AlertView,
    silences: &BTreeMap<SilenceId, String>,
    names: &BTreeMap<Fingerprint, String>,
) -> String {
    let sources: BTreeSet<&str> = view.inhibited_by.iter().filter_map(|it| names.get(it)).map(String::as_str).collect();
    let mut reasons = Vec::new();
    reasons.extend(view.silenced_by.iter().filter_map(|id| silences.get(id)).cloned());
    reasons.extend(sources.into_iter().map(|name| format!("inhibited by {name}")));
    reasons.extend(view.muted_by.iter().map(|interval| format!("muted in {interval}")));
    reasons.extend(view.router_suppressed.iter().map(|why| format!("held back by a router plugin: {why}")));
    reasons.join("; ")
}

fn alert_row(
    view: &AlertView,
    state: &'static str,
    tone: &'static str,
    history: Vec<String>,
    held_back: String,
    now: Timestamp,
) -> AlertRow {
    let alert = &view.alert;
    let since = match view.status {
        AlertStatus::Firing => format!("for {}", ago(now, alert.starts_at)),
        AlertStatus::Resolved => format!("{} ago", ago(now, alert.ends_at.unwrap_or(now))),
    };
    AlertRow {
        key: view.fingerprint.to_string(),
        state,
        tone,
        name: alert.name().to_owned(),
        summary: summary(&alert.annotations),
        labels: alert
            .labels
            .iter()
            .filter(|l| l.name != "alertname")
            .map(|l| (l.name.into(), l.value.into()))
            .collect(),
        held_back,
        fires: view.status == AlertStatus::Firing,
        acknowledged: view.acknowledgement.as_ref().map(acknowledged).unwrap_or_default(),
        history,
        since,
        receivers: view.receivers.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", "),
        silence_query: silence_query(&alert.labels),
    }
}

/// `GET /silences`
pub(crate) async fn silences(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let given = pairs(query.as_deref().unwrap_or_default());
    let matchers = given.into_iter().find(|(name, _)| name == "matchers").map(|(_, value)| value);
    silences_page(&app, matchers.unwrap_or_default(), String::new()).await
}

async fn silences_page(app: &App, matchers: String, error: String) -> Response {
    let now = app.engine.now();
    let all = app.engine.view(|engine| engine.silences().into_iter().cloned().collect::<Vec<Silence>>()).await;
    let Some(mut all) = all else { return stopping() };
    all.sort_by_key(|silence| (silence.state(now) == SilenceState::Expired, silence.ends_at));
    let row = |silence: &Silence| {
        let state = silence.state(now);
        let (tone, times) = match state {
            SilenceState::Active => ("suppressed", format!("until {}", minute(silence.ends_at))),
            SilenceState::Pending => {
                ("pending", format!("from {} until {}", minute(silence.starts_at), minute(silence.ends_at)))
            }
            SilenceState::Expired => ("", format!("ended {} ago", ago(now, silence.ends_at))),
        };
        SilenceRow {
            id: silence.id.to_string(),
            state: state.as_str(),
            tone,
            matchers: silence.matcher_sets.iter().flatten().map(|matcher| shown(&matcher.to_string())).collect(),
            comment: shown(&silence.comment),
            created_by: shown(&silence.created_by),
            times,
            can_end: state != SilenceState::Expired,
        }
    };
    let silences = all.iter().map(row).collect();
    page(&SilencesPage { nav: Navigation::new(app, "/silences"), matchers, error, silences })
}

#[derive(Deserialize)]
pub(crate) struct SilenceForm {
    matchers: String,
    duration: String,
    created_by: String,
    comment: String,
}

/// `POST /silences`
pub(crate) async fn post_silence(State(app): State<App>, Form(form): Form<SilenceForm>) -> Response {
    match set_silence(&app, &form).await {
        Ok(()) => Redirect::to(&format!("{}/silences", app.prefix)).into_response(),
        Err(error) => silences_page(&app, form.matchers, error).await,
    }
}

async fn set_silence(app: &App, form: &SilenceForm) -> Result<(), String> {
    let text = form.matchers.clone();
    let read = move |budget: &mut MatcherBudget| parse_matchers_within(&text, budget);
    let read = app.read_matchers(MatcherBudget::of_silence(), read).await;
    let matchers = read.ok_or("the engine is stopping")?.map_err(|error| error.to_string())?;
    let duration: Duration = form.duration.trim().parse().map_err(|error| format!("{error}"))?;
    let now = app.engine.now();
    let draft = SilenceDraft {
        annotations: BTreeMap::new(),
        id: None,
        matcher_sets: vec![matchers],
        starts_at: now,
        ends_at: now + duration,
        recurrence: None,
        created_by: form.created_by.clone(),
        comment: form.comment.clone(),
    };
    let outcome = app.engine.set_silence(draft).await.map_err(|error| error.to_string())?;
    outcome.map(drop).map_err(|error| error.to_string())
}

/// `POST /silences/{id}/end`
pub(crate) async fn end_silence(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.engine.expire_silence(SilenceId(id.into())).await {
        Ok(Ok(())) => Redirect::to(&format!("{}/silences", app.prefix)).into_response(),
        Ok(Err(error)) => silences_page(&app, String::new(), error.to_string()).await,
        Err(error) => silences_page(&app, String::new(), error.to_string()).await,
    }
}

/// `GET /notifications`
pub(crate) async fn notifications(State(app): State<App>) -> Response {
    notifications_page(&app, String::new()).await
}

async fn notifications_page(app: &App, error: String) -> Response {
    let now = app.engine.now();
    let seen = app.engine.view(|engine| (engine.outbox(), engine.notification_log())).await;
    let Some((outbox, log)) = seen else { return stopping() };
    let waiting = |row: &OutboxView| WaitingRow {
        receiver: row.target.receiver.to_string(),
        integration: row.target.integration.to_string(),
        reason: row.reason.as_str().replace('_', " "),
        attempt: row.attempt,
        error: row.error.to_string(),
    };
    // A group that waits for its first notification has an entry too, and nobody was told of it yet.
    let told = |(at, row): (Timestamp, &LogView)| ToldRow {
        receiver: row.target.receiver.to_string(),
        integration: row.target.integration.to_string(),
        group: row.target.group.to_string(),
        firing: row.entry.firing.len(),
        resolved: row.entry.resolved.len(),
        last: format!("{} ago", ago(now, at)),
        receipt: row.entry.receipt.to_string(),
    };
    let mut notified: Vec<_> = log.iter().filter_map(|row| Some((row.entry.notified_at?, row))).collect();
    notified.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    page(&NotificationsPage {
        nav: Navigation::new(app, "/notifications"),
        error,
        attempts: app.engine.deliveries().iter().take(ATTEMPTS_SHOWN).map(|one| AttemptRow::new(one, now)).collect(),
        waiting: outbox.iter().map(waiting).collect(),
        told: notified.into_iter().map(told).collect(),
    })
}

/// `GET /assets/watchfire.css`
pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// `GET /assets/watchfire.js`
pub(crate) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_counted_in_the_singular() {
        assert_eq!((counted(1, "rule"), counted(0, "rule")), ("1 rule".to_owned(), "0 rules".to_owned()));
    }

    #[test]
    fn times_are_told_at_a_glance() {
        let now = Timestamp::from_secs(1_000_000);
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (200_000, "2 d"), (-5, "0 s")]
        {
            assert_eq!(ago(now, now - Duration::from_secs(seconds)), text);
        }
    }
}
