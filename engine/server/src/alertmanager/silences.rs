//! The silences of Alertmanager's API v2.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchfire_alerting::{Recurrence, Silence, SilenceDraft, SilenceError, SilenceId, SilenceState};
use watchfire_ingest::{LabelNames, parse_time};
use watchfire_model::{Anchoring, MatchOp, Matcher, MatcherBudget, Timestamp, is_legacy_label_name};

use super::filter::Filter;
use super::{Invalid, Refused, bad_request, gone, json_alone};
use crate::App;
use crate::body;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableSilence {
    id: Option<String>,
    matchers: Option<Vec<PostableMatcher>>,
    /// An addition: several sets, any of which suffices.
    #[serde(default)]
    matcher_sets: Vec<Vec<PostableMatcher>>,
    /// An addition: when it holds between start and end.
    recurrence: Option<PostableRecurrence>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableMatcher {
    name: Option<String>,
    value: Option<String>,
    is_regex: Option<bool>,
    is_equal: Option<bool>,
}

impl PostableMatcher {
    /// The whole matcher; `place` is where it stands in the body.
    fn complete(self, place: impl Fn() -> String) -> Result<SentMatcher, Invalid> {
        Ok(SentMatcher {
            is_regex: required(self.is_regex, || format!("{}.isRegex", place()))?,
            name: required(self.name, || format!("{}.name", place()))?,
            value: required(self.value, || format!("{}.value", place()))?,
            is_equal: self.is_equal.unwrap_or(true),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentMatcher {
    name: String,
    value: String,
    is_regex: bool,
    is_equal: bool,
}

impl SentMatcher {
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

    fn write(matcher: &Matcher) -> SentMatcher {
        SentMatcher {
            name: matcher.name().to_owned(),
            value: matcher.value().to_owned(),
            is_regex: matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
            is_equal: matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex),
        }
    }
}

fn silence_json(silence: &Silence, now: Timestamp) -> Value {
    let set = |matchers: &Vec<Matcher>| matchers.iter().map(SentMatcher::write).collect::<Vec<_>>();
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
    all.retain(|silence| filter.keeps_silence(silence, now));
    all.sort_by(|a, b| {
        let key = |silence: &Silence| {
            let state = silence.state(now);
            let time = match state {
                SilenceState::Active => silence.ends_at.as_millis(),
                SilenceState::Pending => silence.starts_at.as_millis(),
                SilenceState::Expired => -silence.ends_at.as_millis(),
            };
            let rank = match state {
                SilenceState::Active => 0,
                SilenceState::Pending => 1,
                SilenceState::Expired => 2,
            };
            (rank, time)
        };
        key(a).cmp(&key(b))
    });
    Ok(Json(all.iter().map(|silence| silence_json(silence, now)).collect::<Vec<_>>()).into_response())
}

/// The number for a wrong type.
const WRONG_TYPE: u16 = 601;
/// The number for something that has to be there.
const REQUIRED: u16 = 602;
/// The number for a list that is too short.
const TOO_FEW: u16 = 612;

/// Why a posted silence is none: the framework refuses its shape, or Alertmanager what it says.
enum NoSilence {
    Invalid(Invalid),
    Refused(Refused),
}

impl From<Invalid> for NoSilence {
    fn from(invalid: Invalid) -> NoSilence {
        NoSilence::Invalid(invalid)
    }
}

impl From<Refused> for NoSilence {
    fn from(refused: Refused) -> NoSilence {
        NoSilence::Refused(refused)
    }
}

impl IntoResponse for NoSilence {
    fn into_response(self) -> Response {
        match self {
            NoSilence::Invalid(invalid) => invalid.into_response(),
            NoSilence::Refused(refused) => refused.into_response(),
        }
    }
}

fn required<T>(value: Option<T>, name: impl FnOnce() -> String) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid { code: REQUIRED, message: format!("{} in body is required", name()) })
}

fn silence_id(text: &str) -> Result<SilenceId, Invalid> {
    let wrong = || format!("silenceID in path must be of type uuid: {text:?}");
    if is_uuid(text) { Ok(SilenceId(text.into())) } else { Err(Invalid { code: WRONG_TYPE, message: wrong() }) }
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
    json_alone(&headers, &bytes).map_err(IntoResponse::into_response)?;
    let names = app.ingest_limits().label_names;
    let read = move |budget: &mut MatcherBudget| read_silence(&bytes, names, budget);
    let read = app.read_matchers(MatcherBudget::of_silence(), read).await;
    let read = read.unwrap_or_else(|| Err(gone().into()));
    let (mut draft, knows_sets) = read.map_err(IntoResponse::into_response)?;
    if let (Some(id), false) = (draft.id.clone(), knows_sets) {
        let old = app.engine.view(move |engine| engine.silence(&id).cloned()).await;
        keep_further_sets(&mut draft, old.flatten());
    }
    let outcome = app.engine.set_silence(draft).await.map_err(crate::push_refused)?;
    match outcome {
        Ok(id) => Ok(Json(json!({ "silenceID": id.as_str() })).into_response()),
        Err(error) => Err(silence_refused(&error).into_response()),
    }
}

/// Who knows one set of a silence sends it back when it changes something else; the others stay.
fn keep_further_sets(draft: &mut SilenceDraft, old: Option<Silence>) {
    let Some(old) = old.filter(|old| old.matcher_sets.len() > 1) else { return };
    let mut first = draft.matcher_sets.first().cloned().unwrap_or_default();
    first.sort();
    first.dedup();
    if old.matcher_sets.first() == Some(&first) {
        draft.matcher_sets = old.matcher_sets;
    }
}

/// The silence that a body asks for, and whether its sender knows that there may be several sets.
fn read_silence(
    bytes: &[u8],
    names: LabelNames,
    budget: &mut MatcherBudget,
) -> Result<(SilenceDraft, bool), NoSilence> {
    let posted = complete(bytes)?;
    let invalid = |what: String| bad_request(format!("invalid silence: {what}"));
    let mut matcher_sets: Vec<Vec<Matcher>> = Vec::with_capacity(posted.sets.len());
    for (set_index, set) in posted.sets.iter().enumerate() {
        let read = set.iter().enumerate().map(|(index, sent)| {
            let place = |reason| invalid(format!("invalid label matcher {index} in set {set_index}: {reason}"));
            sent.read(names, budget).map_err(place)
        });
        let mut set = read.collect::<Result<Vec<_>, _>>()?;
        set.sort();
        // Who reads a silence and writes it back sends its first set twice: as the one set, and among all.
        if !matcher_sets.contains(&set) {
            matcher_sets.push(set);
        }
    }
    let recurrence = posted.recurrence.map(|posted| {
        let lasts = posted.lasts.parse().map_err(|error| invalid(format!("lasts: {error}")))?;
        Recurrence::parse(&posted.cron, &posted.location, lasts).map_err(|error| invalid(error.to_string()))
    });
    let draft = SilenceDraft {
        id: posted.id,
        matcher_sets,
        starts_at: posted.starts_at,
        ends_at: posted.ends_at,
        recurrence: recurrence.transpose()?,
        created_by: posted.created_by,
        comment: posted.comment,
        annotations: posted.annotations,
    };
    Ok((draft, posted.knows_sets))
}

/// A posted silence of which everything is there that has to be.
struct Complete {
    id: Option<SilenceId>,
    sets: Vec<Vec<SentMatcher>>,
    knows_sets: bool,
    recurrence: Option<PostableRecurrence>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
    annotations: BTreeMap<String, String>,
}

/// Reads a body as the framework of Alertmanager's server does, which looks at what is required in the order of the names.
fn complete(bytes: &[u8]) -> Result<Complete, Invalid> {
    if bytes.trim_ascii().is_empty() {
        return required(None, || "silence".to_owned());
    }
    let unparsable = |why: &dyn Display| Invalid {
        code: 400,
        message: format!("parsing silence body from \"\" failed, because {why}"),
    };
    let posted: PostableSilence = serde_json::from_slice(bytes).map_err(|error| unparsable(&error))?;
    let name = |name: &'static str| move || name.to_owned();
    let comment = required(posted.comment, name("comment"))?;
    let created_by = required(posted.created_by, name("createdBy"))?;
    let ends_at = required(posted.ends_at, name("endsAt"))?;
    let knows_sets = !posted.matcher_sets.is_empty();
    let mut sets = posted.matcher_sets;
    match posted.matchers {
        Some(matchers) if !matchers.is_empty() => sets.insert(0, matchers),
        Some(_) | None if knows_sets => {}
        Some(_) => sets.push(Vec::new()),
        None => return required(None, name("matchers")),
    }
    let mut whole = Vec::with_capacity(sets.len());
    for set in sets {
        if set.is_empty() {
            return Err(Invalid { code: TOO_FEW, message: "matchers in body should have at least 1 items".to_owned() });
        }
        let matchers = set.into_iter().enumerate();
        let read = matchers.map(|(index, matcher)| matcher.complete(|| format!("matchers.{index}")));
        whole.push(read.collect::<Result<Vec<_>, _>>()?);
    }
    let starts_at = required(posted.starts_at, name("startsAt"))?;
    // An empty text is a time for Alertmanager: a silence that began with it begins now.
    let time = |text: &str| match text {
        "" => Ok(Timestamp::EPOCH),
        text => parse_time(text).ok_or_else(|| unparsable(&format!("{text:?} is no time; write 2026-11-20T03:04:05Z"))),
    };
    Ok(Complete {
        id: posted.id.filter(|id| !id.is_empty()).map(|id| SilenceId(id.into())),
        sets: whole,
        knows_sets,
        recurrence: posted.recurrence,
        starts_at: time(&starts_at)?,
        ends_at: time(&ends_at)?,
        created_by,
        comment,
        annotations: posted.annotations.unwrap_or_default(),
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
        _ => StatusCode::BAD_REQUEST,
    };
    Refused(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_has_to_be_there_is_asked_for_in_alertmanagers_words() {
        let whole =
            r#""comment": "c", "createdBy": "a", "startsAt": "2026-01-05T09:00:00Z", "endsAt": "2026-01-05T10:00:00Z""#;
        let with = |rest: &str| format!("{{{whole}, {rest}}}");
        let matcher = r#"{"name": "a", "value": "b", "isRegex": false}"#;
        let table = [
            (String::new(), 602, "silence in body is required"),
            ("{}".to_owned(), 602, "comment in body is required"),
            (r#"{"comment": "c"}"#.to_owned(), 602, "createdBy in body is required"),
            (with(r#""matchers": null"#), 602, "matchers in body is required"),
            (with(r#""matchers": []"#), 612, "matchers in body should have at least 1 items"),
            (with(r#""matchers": [{"name": "a", "value": "b"}]"#), 602, "matchers.0.isRegex in body is required"),
            (
                with(&format!(r#""matchers": [{matcher}, {{"isRegex": true}}]"#)),
                602,
                "matchers.1.name in body is required",
            ),
        ];
        for (body, code, message) in table {
            let Err(invalid) = complete(body.as_bytes()) else { panic!("{body} is taken") };
            assert_eq!((invalid.code, invalid.message.as_str()), (code, message), "{body}");
        }
        for body in [with(&format!(r#""matchers": [{matcher}]"#)), with(&format!(r#""matcherSets": [[{matcher}]]"#))] {
            assert!(complete(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn a_silence_of_several_sets_stays_one_when_it_is_written_back() {
        let matcher = |name: &str| format!(r#"{{"name": "{name}", "value": "b", "isRegex": false}}"#);
        let read = |sets: &str| {
            let body = format!(
                r#"{{"id": "1", "comment": "c", "createdBy": "a", "startsAt": "2026-01-05T09:00:00Z",
                    "endsAt": "2026-01-05T10:00:00Z", "matchers": [{}], {sets}}}"#,
                matcher("x")
            );
            match read_silence(body.as_bytes(), LabelNames::Utf8, &mut MatcherBudget::of_silence()) {
                Ok(read) => read,
                Err(_) => panic!("{body} is refused"),
            }
        };
        let (all, knows) = read(&format!(r#""matcherSets": [[{}], [{}]]"#, matcher("x"), matcher("y")));
        assert_eq!((all.matcher_sets.len(), knows), (2, true));
        let (mut one, knows) = read(r#""annotations": {}"#);
        assert_eq!((one.matcher_sets.len(), knows), (1, false));
        let old = |sets: &[Vec<Matcher>]| Silence {
            id: SilenceId("1".into()),
            matcher_sets: sets.to_vec(),
            starts_at: all.starts_at,
            ends_at: all.ends_at,
            recurrence: None,
            updated_at: all.starts_at,
            created_by: String::new(),
            comment: String::new(),
            annotations: BTreeMap::new(),
        };
        keep_further_sets(&mut one, Some(old(&all.matcher_sets)));
        assert_eq!(one.matcher_sets, all.matcher_sets);
        // Another first set is another silence.
        let (mut other, _) = read(r#""annotations": {}"#);
        keep_further_sets(&mut other, Some(old(&[all.matcher_sets[1].clone(), all.matcher_sets[0].clone()])));
        assert_eq!(other.matcher_sets.len(), 1);
    }

    #[test]
    fn a_matcher_keeps_its_four_forms() {
        for (is_regex, is_equal) in [(false, true), (false, false), (true, true), (true, false)] {
            let sent = SentMatcher { name: "a".into(), value: "b.*".into(), is_regex, is_equal };
            let Ok(matcher) = sent.read(LabelNames::Utf8, &mut MatcherBudget::of_silence()) else {
                panic!("a valid matcher is refused")
            };
            let written = SentMatcher::write(&matcher);
            assert_eq!((written.is_regex, written.is_equal), (is_regex, is_equal));
        }
    }
}
