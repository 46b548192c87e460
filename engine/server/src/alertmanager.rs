//! Alertmanager's API v2: the same paths, shapes and filters, so that its clients keep working.
//!
//! Shapes follow `api/v2/openapi.yaml` of Alertmanager; errors are JSON strings, as its generated server sends them.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchfire::config::shown_to_alertmanagers_clients;
use watchfire::{PushedAlerts, Watchfire};
use watchfire_alerting::{
    AlertGroupView, AlertView, AlertViewState, Recurrence, Silence, SilenceDraft, SilenceError, SilenceId,
};
use watchfire_ingest::LabelNames;
use watchfire_model::{
    AlertStatus, Anchoring, Labels, MatchOp, Matcher, MatcherBudget, Timestamp, is_legacy_label_name,
};

use crate::App;
use crate::body;

/// The release of Alertmanager whose API this is.
const ALERTMANAGER_VERSION: &str = "0.34.2";

/// When a sender should try again whose new alerts found no room.
pub(crate) const ALERTS_FULL_RETRY: [(HeaderName, &str); 1] = [(RETRY_AFTER, "30")];

/// An answer other than success, as Alertmanager words it: a status and a JSON string.
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Value::String(self.1))).into_response()
    }
}

pub(crate) fn bad_request(message: impl ToString) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message.to_string())
}

fn gone() -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping".to_owned())
}

/// The query parameters that list endpoints share, read by hand because `filter` may stand several times.
struct Filter {
    active: bool,
    silenced: bool,
    inhibited: bool,
    unprocessed: bool,
    muted: bool,
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
}

impl Filter {
    async fn read(app: &App, query: Option<String>) -> Result<Filter, Refused> {
        let read = move |budget: &mut MatcherBudget| Filter::parse(query.as_deref().unwrap_or_default(), budget);
        app.read_matchers(MatcherBudget::of_request(), read).await.ok_or_else(gone)?
    }

    fn parse(query: &str, budget: &mut MatcherBudget) -> Result<Filter, Refused> {
        let mut filter = Filter {
            active: true,
            silenced: true,
            inhibited: true,
            unprocessed: true,
            muted: true,
            matchers: Vec::new(),
            receiver: None,
        };
        for (name, value) in pairs(query) {
            let flag = || match value.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(bad_request(format!("parameter {name:?} must be true or false, got {value:?}"))),
            };
            match name.as_str() {
                "active" => filter.active = flag()?,
                "silenced" => filter.silenced = flag()?,
                "inhibited" => filter.inhibited = flag()?,
                "unprocessed" => filter.unprocessed = flag()?,
                "muted" => filter.muted = flag()?,
                "filter" => {
                    let parsed = watchfire_config::parse_matchers_within(&value, budget)
                        .map_err(|error| bad_request(format!("bad matcher format: {error}")))?;
                    filter.matchers.extend(parsed);
                }
                "receiver" => {
                    let (op, anchoring) = (MatchOp::Regex, Anchoring::Alertmanager);
                    let receiver = Matcher::new_within("receiver", op, value, anchoring, budget)
                        .map_err(|error| bad_request(format!("failed to parse receiver param: {error}")))?;
                    filter.receiver = Some(receiver);
                }
                _ => {}
            }
        }
        Ok(filter)
    }

    fn keeps_labels(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    fn keeps_receiver(&self, receiver: &str) -> bool {
        self.receiver.as_ref().is_none_or(|wanted| wanted.matches(receiver))
    }

    fn keeps(&self, alert: &AlertView) -> bool {
        let state = match alert.state {
            AlertViewState::Active => self.active,
            AlertViewState::Unprocessed => self.unprocessed,
            AlertViewState::Suppressed => true,
        };
        state
            && (self.silenced || alert.silenced_by.is_empty())
            && (self.inhibited || alert.inhibited_by.is_empty())
            && (self.muted || alert.muted_by.is_empty())
            && alert.status == AlertStatus::Firing
            && self.keeps_labels(&alert.alert.labels)
            && alert.receivers.iter().any(|receiver| self.keeps_receiver(receiver))
    }
}

/// The decoded pairs of a query string, in order.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableAlert {
    annotations: Value,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Value>,
    starts_at: String,
    status: Value,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
    labels: Value,
}

fn labels_json(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|l| (l.name.to_owned(), Value::String(l.value.to_owned()))).collect())
}

fn gettable(view: &AlertView, resolve_at: Timestamp) -> GettableAlert {
    let alert = &view.alert;
    GettableAlert {
        annotations: json!(alert.annotations.iter().collect::<BTreeMap<_, _>>()),
        ends_at: alert.ends_at.unwrap_or(resolve_at).to_rfc3339(),
        fingerprint: view.fingerprint.to_string(),
        receivers: view.receivers.iter().map(|name| json!({ "name": name.as_ref() })).collect(),
        starts_at: alert.starts_at.to_rfc3339(),
        status: json!({
            "inhibitedBy": view.inhibited_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "mutedBy": view.muted_by.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            "silencedBy": view.silenced_by.iter().map(SilenceId::as_str).collect::<Vec<_>>(),
            "state": view.state.as_str(),
        }),
        updated_at: alert.updated_at.to_rfc3339(),
        generator_url: alert.generator_url.to_string(),
        labels: labels_json(&alert.labels),
    }
}

/// `GET /api/v2/status`. There is no gossip, so that an engine is a cluster of itself, as an Alertmanager without peers.
pub(crate) async fn status(State(app): State<App>) -> Response {
    let loaded = app.engine.definitions();
    let url = watchfire::external_url(&loaded.config);
    let own = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).split('/').next().unwrap_or_default();
    Json(json!({
        "cluster": { "name": own, "peers": [{ "name": own, "address": own }], "status": "ready" },
        "config": { "original": shown_to_alertmanagers_clients(&loaded.config_text) },
        "uptime": app.started_at.to_rfc3339(),
        // Clients compare this with their own version and warn: it is that of the API. Who answers stands beside it.
        "versionInfo": {
            "branch": "watchfire",
            "revision": env!("CARGO_PKG_VERSION"),
            "version": ALERTMANAGER_VERSION,
            "buildDate": "",
            "buildUser": "",
            "goVersion": "",
        },
    }))
    .into_response()
}

/// What Prometheus' API says about the build.
pub(crate) fn version_info() -> Value {
    json!({
        "branch": "",
        "buildDate": "",
        "buildUser": "",
        "goVersion": "",
        "revision": "",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// `GET /api/v2/receivers`
pub(crate) async fn receivers(State(app): State<App>) -> Response {
    let loaded = app.engine.definitions();
    let names: Vec<Value> = loaded.config.receivers.iter().map(|r| json!({ "name": r.name })).collect();
    Json(names).into_response()
}

/// `GET /api/v2/alerts`
pub(crate) async fn alerts(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let filter = Filter::read(&app, query).await?;
    let now = app.engine.now();
    let resolve_at = now + app.engine.definitions().config.dispatch.resolve_timeout;
    let mut views = app.engine.view(move |engine| engine.alerts(now)).await.ok_or_else(gone)?;
    let answer = move || {
        views.retain(|view| filter.keeps(view));
        views.sort_by_key(|view| view.fingerprint);
        Json(views.iter().map(|view| gettable(view, resolve_at)).collect::<Vec<_>>()).into_response()
    };
    app.aside(answer).await.ok_or_else(gone)
}

/// `GET /api/v2/alerts/groups`
pub(crate) async fn alert_groups(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let filter = Filter::read(&app, query).await?;
    let now = app.engine.now();
    let resolve_at = now + app.engine.definitions().config.dispatch.resolve_timeout;
    let (groups, views) =
        app.engine.view(move |engine| (engine.alert_groups(now), engine.alerts(now))).await.ok_or_else(gone)?;
    let engine = app.engine.clone();
    let answer = move || groups_json(&engine, &groups, views, &filter, resolve_at).into_response();
    app.aside(answer).await.ok_or_else(gone)
}

fn groups_json(
    engine: &Watchfire,
    groups: &[AlertGroupView],
    views: Vec<AlertView>,
    filter: &Filter,
    resolve_at: Timestamp,
) -> Json<Vec<Value>> {
    let views: BTreeMap<_, _> = views.into_iter().map(|view| (view.fingerprint, view)).collect();
    let mut answer = Vec::new();
    for group in groups.iter().filter(|group| filter.keeps_receiver(&group.receiver)) {
        let members = group.alerts.iter().filter(|member| !member.detached);
        let kept = members.filter_map(|member| views.get(&member.fingerprint)).filter(|view| filter.keeps(view));
        let kept: Vec<&AlertView> = kept.collect();
        if !kept.is_empty() {
            let alerts = kept.iter().map(|view| view.alert.clone()).collect();
            answer.push(json!({
                "alerts": kept.iter().map(|view| gettable(view, resolve_at)).collect::<Vec<_>>(),
                "routeLabels": engine.route_labels(group, alerts),
                "labels": labels_json(&group.labels),
                "receiver": { "name": group.receiver.as_ref() },
            }));
        }
    }
    Json(answer)
}

/// `POST /api/v2/alerts`: the valid ones are taken even if others are not.
pub(crate) async fn post_alerts(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let bytes = body::read(&headers, body, app.body_bytes_max()).await.map_err(IntoResponse::into_response)?;
    let now = app.engine.now();
    let resolve_timeout = app.engine.definitions().config.dispatch.resolve_timeout;
    let limits = app.ingest_limits();
    let decode = move |bytes: &[u8]| watchfire_ingest::alerts::decode(bytes, now, resolve_timeout, &limits);
    let decoded = app.read_body(bytes, decode).await.ok_or_else(|| gone().into_response())?;
    let decoded = decoded.map_err(|refused| answer(&refused))?;
    let error = decoded.error_answer();
    if !decoded.alerts.is_empty() {
        let pushed = app.engine.push_alerts(decoded.alerts).await.map_err(crate::push_refused)?;
        if let Some(reason) = alerts_refused(pushed) {
            return Err((ALERTS_FULL_RETRY, Refused(StatusCode::TOO_MANY_REQUESTS, reason)).into_response());
        }
    }
    match error {
        None => Ok(StatusCode::OK.into_response()),
        Some(error) => Err(answer(&error)),
    }
}

/// Why new alerts were refused and how many of them, if any were.
pub(crate) fn alerts_refused(pushed: PushedAlerts) -> Option<String> {
    let of = [(pushed.refused, "limits.alerts_max"), (pushed.refused_for_bytes, "limits.alerts_bytes_max")];
    let refused: Vec<String> = (of.iter().filter(|(count, _)| *count > 0))
        .map(|(count, bound)| format!("{count} because {bound} is reached"))
        .collect();
    let accepted = pushed.accepted;
    (!refused.is_empty())
        .then(|| format!("new alerts were refused, {}; {accepted} alerts were taken", refused.join(" and ")))
}

/// An answer whose body the decoder has worded already.
fn answer(error: &watchfire_ingest::alerts::ErrorAnswer) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(axum::http::header::CONTENT_TYPE, "application/json")], error.body()).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableSilence {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    matchers: Vec<PostableMatcher>,
    /// An addition: several sets, any of which suffices.
    #[serde(default)]
    matcher_sets: Vec<Vec<PostableMatcher>>,
    /// An addition: when it holds between start and end.
    recurrence: Option<PostableRecurrence>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// `{cron: "0 22 * * Mon-Fri", location: "Europe/Berlin", lasts: "8h"}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PostableRecurrence {
    cron: String,
    #[serde(default)]
    location: String,
    lasts: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableMatcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

impl PostableMatcher {
    /// The matcher, or what is wrong with it.
    fn read(&self, names: LabelNames, budget: &mut MatcherBudget) -> Result<Matcher, String> {
        let op = match (self.is_regex, self.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        if self.name.is_empty() || (names == LabelNames::Legacy && !is_legacy_label_name(&self.name)) {
            return Err(format!("invalid label name {:?}", self.name));
        }
        Matcher::new_within(&*self.name, op, &*self.value, Anchoring::Alertmanager, budget)
            .map_err(|error| error.to_string())
    }

    fn write(matcher: &Matcher) -> PostableMatcher {
        PostableMatcher {
            name: matcher.name().to_owned(),
            value: matcher.value().to_owned(),
            is_regex: matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
            is_equal: matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex),
        }
    }
}

fn silence_json(silence: &Silence, now: Timestamp) -> Value {
    let set = |matchers: &Vec<Matcher>| matchers.iter().map(PostableMatcher::write).collect::<Vec<_>>();
    let mut shown = json!({
        "id": silence.id.as_str(),
        "comment": silence.comment,
        "annotations": silence.annotations,
        "createdBy": silence.created_by,
        "startsAt": silence.starts_at.to_rfc3339(),
        "endsAt": silence.ends_at.to_rfc3339(),
        "updatedAt": silence.updated_at.to_rfc3339(),
        "matchers": silence.matcher_sets.first().map(set).unwrap_or_default(),
        "status": { "state": silence.state(now).as_str() },
    });
    // What Alertmanager's clients do not know stands only where it says something.
    if silence.matcher_sets.len() > 1 {
        shown["matcherSets"] = json!(silence.matcher_sets.iter().map(set).collect::<Vec<_>>());
    }
    if let Some(recurrence) = &silence.recurrence {
        shown["recurrence"] = json!({
            "cron": recurrence.cron(),
            "location": recurrence.location(),
            "lasts": recurrence.lasts().to_string(),
        });
    }
    shown
}

/// `GET /api/v2/silences`: active ones first, then pending, then expired; the soonest end first among the active.
pub(crate) async fn silences(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let filter = Filter::read(&app, query).await?;
    let now = app.engine.now();
    let all = app.engine.view(|engine| engine.silences().into_iter().cloned().collect::<Vec<Silence>>()).await;
    let mut all = all.ok_or_else(gone)?;
    all.retain(|silence| {
        filter.matchers.iter().all(|wanted| {
            let same_name = silence.matcher_sets.iter().flatten().filter(|matcher| matcher.name() == wanted.name());
            let mut same_name = same_name.peekable();
            same_name.peek().is_some() && same_name.any(|matcher| wanted.matches(matcher.value()))
        })
    });
    all.sort_by(|a, b| {
        let key = |silence: &Silence| {
            let state = silence.state(now);
            let time = match state {
                watchfire_alerting::SilenceState::Active => silence.ends_at.as_millis(),
                watchfire_alerting::SilenceState::Pending => silence.starts_at.as_millis(),
                watchfire_alerting::SilenceState::Expired => -silence.ends_at.as_millis(),
            };
            let rank = match state {
                watchfire_alerting::SilenceState::Active => 0,
                watchfire_alerting::SilenceState::Pending => 1,
                watchfire_alerting::SilenceState::Expired => 2,
            };
            (rank, time)
        };
        key(a).cmp(&key(b))
    });
    Ok(Json(all.iter().map(|silence| silence_json(silence, now)).collect::<Vec<_>>()).into_response())
}

/// An id in a path that is none. Alertmanager refuses it before it looks for a silence, with the number that its framework
/// has for a wrong type.
struct NoUuid<'a>(&'a str);

impl IntoResponse for NoUuid<'_> {
    fn into_response(self) -> Response {
        let message = format!("silenceID in path must be of type uuid: {:?}", self.0);
        (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"code": 601, "message": message}))).into_response()
    }
}

fn silence_id(text: &str) -> Result<SilenceId, NoUuid<'_>> {
    if is_uuid(text) { Ok(SilenceId(text.into())) } else { Err(NoUuid(text)) }
}

/// In any of the forms that Alertmanager takes: plain, without hyphens, in braces, as a URN.
fn is_uuid(text: &str) -> bool {
    const URN: &str = "urn:uuid:";
    let plain = match text.len() {
        38 => text.get(1..37),
        45 => text.get(..URN.len()).filter(|urn| urn.eq_ignore_ascii_case(URN)).and_then(|_| text.get(URN.len()..)),
        _ => Some(text),
    };
    let hyphens = match plain.map(str::len) {
        Some(36) => &[8, 13, 18, 23][..],
        Some(32) => &[],
        _ => return false,
    };
    let fits = |(at, byte): (usize, u8)| if hyphens.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    plain.is_some_and(|plain| plain.bytes().enumerate().all(fits))
}

/// `GET /api/v2/silence/{id}`
pub(crate) async fn silence(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Response> {
    let now = app.engine.now();
    let wanted = silence_id(&id).map_err(IntoResponse::into_response)?;
    let found = app.engine.view(move |engine| engine.silence(&wanted).cloned()).await;
    match found.ok_or_else(|| gone().into_response())? {
        Some(silence) => Ok(Json(silence_json(&silence, now)).into_response()),
        None => Err(Refused(StatusCode::NOT_FOUND, format!("silence {id} not found")).into_response()),
    }
}

/// `POST /api/v2/silences`
pub(crate) async fn post_silence(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let bytes = body::read(&headers, body, app.body_bytes_max()).await.map_err(IntoResponse::into_response)?;
    let names = app.ingest_limits().label_names;
    let read = move |budget: &mut MatcherBudget| read_silence(&bytes, names, budget);
    let draft = app.read_matchers(MatcherBudget::of_silence(), read).await.unwrap_or_else(|| Err(gone()));
    let draft = draft.map_err(IntoResponse::into_response)?;
    let outcome = app.engine.set_silence(draft).await.map_err(crate::push_refused)?;
    match outcome {
        Ok(id) => Ok(Json(json!({ "silenceID": id.as_str() })).into_response()),
        Err(error) => Err(silence_refused(&error).into_response()),
    }
}

fn read_silence(bytes: &[u8], names: LabelNames, budget: &mut MatcherBudget) -> Result<SilenceDraft, Refused> {
    let posted: PostableSilence =
        serde_json::from_slice(bytes).map_err(|error| bad_request(format!("parsing the silence failed: {error}")))?;
    let time = |text: &str| Timestamp::parse_rfc3339(text).map_err(bad_request);
    let mut sets = posted.matcher_sets;
    if !posted.matchers.is_empty() || sets.is_empty() {
        sets.insert(0, posted.matchers);
    }
    let invalid = |what: String| bad_request(format!("invalid silence: {what}"));
    let mut matcher_sets = Vec::with_capacity(sets.len());
    for (set_index, set) in sets.iter().enumerate() {
        if set.is_empty() {
            return Err(invalid(format!("matcher set {set_index} is empty")));
        }
        let read = set.iter().enumerate().map(|(index, posted)| {
            let place = |reason| invalid(format!("invalid label matcher {index} in set {set_index}: {reason}"));
            posted.read(names, budget).map_err(place)
        });
        matcher_sets.push(read.collect::<Result<Vec<_>, _>>()?);
    }
    let recurrence = posted.recurrence.map(|posted| {
        let lasts = posted.lasts.parse().map_err(|error| invalid(format!("lasts: {error}")))?;
        Recurrence::parse(&posted.cron, &posted.location, lasts).map_err(|error| invalid(error.to_string()))
    });
    Ok(SilenceDraft {
        id: posted.id.filter(|id| !id.is_empty()).map(|id| SilenceId(id.into())),
        matcher_sets,
        starts_at: time(&posted.starts_at)?,
        ends_at: time(&posted.ends_at)?,
        recurrence: recurrence.transpose()?,
        created_by: posted.created_by,
        comment: posted.comment,
        annotations: posted.annotations,
    })
}

/// `DELETE /api/v2/silence/{id}`
pub(crate) async fn delete_silence(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Response> {
    let id = silence_id(&id).map_err(IntoResponse::into_response)?;
    let outcome = app.engine.expire_silence(id).await.map_err(crate::push_refused)?;
    match outcome {
        Ok(()) => Ok(StatusCode::OK.into_response()),
        Err(error) => Err(silence_refused(&error).into_response()),
    }
}

fn silence_refused(error: &SilenceError) -> Refused {
    let status = match error {
        SilenceError::NotFound(_) => StatusCode::NOT_FOUND,
        SilenceError::AlreadyExpired(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    Refused(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_are_decoded_and_may_repeat_a_name() {
        assert_eq!(
            pairs("filter=a%3D%22b%22&filter=c%2Bd&e+f=%zz&flag"),
            [("filter", "a=\"b\""), ("filter", "c+d"), ("e f", "%zz"), ("flag", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn an_id_of_a_silence_is_a_uuid_in_any_form() {
        let plain = "a0000000-0000-4000-8000-00000000000F";
        let forms = [plain.to_owned(), plain.replace('-', ""), format!("{{{plain}}}"), format!("URN:uuid:{plain}")];
        for form in forms {
            assert!(is_uuid(&form), "{form}");
        }
        let wrong = ["", "x", "a0000000", &plain[1..], &plain.replace('F', "g"), &format!("uuid:urn:{plain}")];
        for text in wrong.into_iter().chain([plain.replace("-0", "0-").as_str(), &"é".repeat(19)]) {
            assert!(!is_uuid(text), "{text}");
        }
    }

    #[test]
    fn a_matcher_keeps_its_four_forms() {
        for (is_regex, is_equal) in [(false, true), (false, false), (true, true), (true, false)] {
            let posted = PostableMatcher { name: "a".into(), value: "b.*".into(), is_regex, is_equal };
            let Ok(matcher) = posted.read(LabelNames::Utf8, &mut MatcherBudget::of_silence()) else {
                panic!("a valid matcher is refused")
            };
            let written = PostableMatcher::write(&matcher);
            assert_eq!((written.is_regex, written.is_equal), (is_regex, is_equal));
        }
    }
}
