//! The pages. They are rendered here, with what the engine says between two inputs; a short script fetches the marked
//! part of a page again when something has changed.

mod acting;
mod alerts;
mod receivers;
mod rules;

pub(crate) use acting::{act, redeliver};
pub(crate) use alerts::alerts;
pub(crate) use receivers::{preview, receivers, test};
pub(crate) use rules::rules;

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Form, Path, RawQuery, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use watchfire::delivery::text::{Unit, shorten};
use watchfire_alerting::{LogView, OutboxView, Recurrence, Silence, SilenceDraft, SilenceId, SilenceState};
use watchfire_config::parse_matchers_within;
use watchfire_model::{Duration, Matcher, MatcherBudget, Timestamp};

use crate::App;
use crate::alertmanager::pairs;
use receivers::AttemptRow;

/// Characters of a text on a page that somebody wrote; the API has all of it.
const TEXT_CHARS_MAX: usize = 500;
/// Attempts on the page of notifications.
const ATTEMPTS_SHOWN: usize = 50;
/// Notifications that wait, and groups that a receiver knows, on the same page.
const NOTIFICATIONS_SHOWN: usize = 200;
/// Silences on their page: those that hold or are to come stand first.
const SILENCES_SHOWN: usize = 300;

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
#[template(path = "silences.html")]
struct SilencesPage {
    nav: Navigation,
    error: String,
    /// What stands in the form.
    form: SilenceForm,
    silences: Vec<SilenceRow>,
    /// Silences that found no room on the page.
    more: usize,
}

struct SilenceRow {
    id: String,
    state: &'static str,
    tone: &'static str,
    /// Any of these sets suffices.
    matcher_sets: Vec<Vec<String>>,
    /// When it holds within its time; empty for always.
    recurrence: String,
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
    /// Notifications that wait and found no room on the page.
    more_waiting: usize,
    told: Vec<ToldRow>,
    /// The same of what receivers know.
    more_told: usize,
}

struct WaitingRow {
    receiver: String,
    integration: String,
    group: String,
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

/// What a page may do in a browser, and who may show it: no script but its own whatever a label says, and no other site's
/// frame, in which a reader would click on buttons unseen.
const PAGE_HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'self'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
];

pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (PAGE_HEADERS, Html(html)).into_response(),
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

/// A text as far as a page shows it.
fn shown(text: &str) -> String {
    shorten(text, TEXT_CHARS_MAX, Unit::Chars).into_owned()
}

/// `GET /silences`
pub(crate) async fn silences(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let given = pairs(query.as_deref().unwrap_or_default());
    let matchers = given.into_iter().find(|(name, _)| name == "matchers").map(|(_, value)| value);
    let form = SilenceForm { matchers: matchers.unwrap_or_default(), ..SilenceForm::default() };
    silences_page(&app, form, String::new()).await
}

async fn silences_page(app: &App, form: SilenceForm, error: String) -> Response {
    let now = app.engine.now();
    let all = app.engine.view(|engine| engine.silences().into_iter().cloned().collect::<Vec<Silence>>()).await;
    let Some(mut all) = all else { return stopping() };
    all.sort_by_key(|silence| (silence.state(now) == SilenceState::Expired, silence.ends_at));
    let matchers = |set: &Vec<Matcher>| set.iter().map(|matcher| shown(&matcher.to_string())).collect();
    let recurring = |recurrence: &Recurrence| {
        let location = if recurrence.location().is_empty() { "UTC" } else { recurrence.location() };
        format!("for {} at each time of {} ({location})", recurrence.lasts(), recurrence.cron())
    };
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
            matcher_sets: silence.matcher_sets.iter().map(matchers).collect(),
            recurrence: silence.recurrence.as_ref().map(recurring).unwrap_or_default(),
            comment: shown(&silence.comment),
            created_by: shown(&silence.created_by),
            times,
            can_end: state != SilenceState::Expired,
        }
    };
    let silences = all.iter().take(SILENCES_SHOWN).map(row).collect();
    let more = all.len().saturating_sub(SILENCES_SHOWN);
    page(&SilencesPage { nav: Navigation::new(app, "/silences"), error, form, silences, more })
}

#[derive(Deserialize)]
pub(crate) struct SilenceForm {
    matchers: String,
    duration: String,
    created_by: String,
    comment: String,
}

impl Default for SilenceForm {
    fn default() -> SilenceForm {
        SilenceForm {
            matchers: String::new(),
            duration: "2h".to_owned(),
            created_by: String::new(),
            comment: String::new(),
        }
    }
}

/// `POST /silences`
pub(crate) async fn post_silence(State(app): State<App>, Form(form): Form<SilenceForm>) -> Response {
    match set_silence(&app, &form).await {
        Ok(()) => Redirect::to(&format!("{}/silences", app.prefix)).into_response(),
        Err(error) => silences_page(&app, form, error).await,
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
        Ok(Err(error)) => silences_page(&app, SilenceForm::default(), error.to_string()).await,
        Err(error) => silences_page(&app, SilenceForm::default(), error.to_string()).await,
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
        group: row.target.group.to_string(),
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
        more_waiting: outbox.len().saturating_sub(NOTIFICATIONS_SHOWN),
        waiting: outbox.iter().take(NOTIFICATIONS_SHOWN).map(waiting).collect(),
        more_told: notified.len().saturating_sub(NOTIFICATIONS_SHOWN),
        told: notified.into_iter().take(NOTIFICATIONS_SHOWN).map(told).collect(),
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
