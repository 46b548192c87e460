//! What services send back: PagerDuty's webhooks and clicks on Slack's buttons. Both are signed, so that they need none
//! of the credentials that other callers show; without a secret in the configuration nothing is taken.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use watchfire::alerting::{AcknowledgeCommand, AcknowledgeWhat, Silence, SilenceDraft, SilenceState};
use watchfire::config::Channel;
use watchfire::delivery::pagerduty::{self, InboundEvent};
use watchfire::delivery::slack::interactive::{self, ClickAction, SILENCE_FOR};
use watchfire_model::{Duration, Matcher, Timestamp};

use crate::body::BodyError;
use crate::named::{Named, NamedAlert, behind, end, firing};
use crate::receivers::refused;
use crate::{App, body, push_refused};

/// The largest body in bytes. Anybody can send one, and those that services send are some kilobytes.
const WEBHOOK_BYTES_MAX: usize = 256 << 10;

/// Times of PagerDuty's events may lack the part of the second.
const A_SECOND: Duration = Duration::from_secs(1);

/// Why a click silences.
const SILENCED: &str = "silenced in Slack";

/// The paths that signatures protect.
pub(crate) const SIGNED: [&str; 2] = ["/api/watchfire/v1/pagerduty/webhook", "/api/watchfire/v1/slack/interactive"];

/// `POST /api/watchfire/v1/pagerduty/webhook`: an incident was acknowledged or resolved there, and so it is here.
pub(crate) async fn pagerduty(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let signature = header(&headers, "x-pagerduty-signature");
    let secrets = secrets(&app, |channel| match channel {
        Channel::PagerDuty(config) => config.webhook_secret.as_ref(),
        _ => None,
    });
    let unsigned = || refused(StatusCode::UNAUTHORIZED, "the signature is missing or wrong");
    if secrets.is_empty() || signature.is_empty() {
        return Err(unsigned());
    }
    let bytes = read(&headers, body).await?;
    if !secrets.iter().fold(false, |found, secret| found | pagerduty::is_signed(secret, signature, &bytes)) {
        return Err(unsigned());
    }
    let inbound = pagerduty::parse(&bytes).map_err(|error| refused(StatusCode::BAD_REQUEST, &error))?;
    let Some(inbound) = inbound else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let by = if inbound.by.is_empty() { "PagerDuty".to_owned() } else { format!("{} (PagerDuty)", inbound.by) };
    // Nothing may fire under the key: the incident is over, or another program's. That is no failure of who tells of it.
    let mut named = behind(&app, &inbound.dedup_key).await?;
    if let Some(occurred_at) = inbound.occurred_at {
        // What fires again has the key of what ended, and is none of what happened before it began.
        named.retain(|alert| alert.began < occurred_at + A_SECOND);
    }
    match inbound.event {
        InboundEvent::Acknowledged => acknowledge(&app, named.what(new), &by, "acknowledged in PagerDuty").await?,
        InboundEvent::Unacknowledged => withdraw(&app, &named).await?,
        InboundEvent::Resolved => {
            // What a rule says goes on for as long as the rule says so; somebody has looked after it.
            if named.alerts.iter().any(|alert| alert.of_rule) {
                acknowledge(&app, named.what(new), &by, "resolved in PagerDuty").await?;
            }
            end(&app, named.sent()).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/watchfire/v1/slack/interactive`: somebody clicked on a button of a message.
pub(crate) async fn slack(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let (time, signature) = (header(&headers, "x-slack-request-timestamp"), header(&headers, "x-slack-signature"));
    let secrets = secrets(&app, |channel| match channel {
        Channel::Slack(config) => config.signing_secret.as_ref(),
        _ => None,
    });
    let unsigned = || refused(StatusCode::UNAUTHORIZED, "the signature is missing, wrong or too old");
    if secrets.is_empty() || signature.is_empty() {
        return Err(unsigned());
    }
    let bytes = read(&headers, body).await?;
    let now = app.engine.now();
    let signed = |secret: &String| interactive::is_signed(secret, time, signature, &bytes, now);
    if !secrets.iter().fold(false, |found, secret| found | signed(secret)) {
        return Err(unsigned());
    }
    let payload = form_urlencoded::parse(&bytes).find(|(name, _)| name == "payload");
    let payload = payload.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "there is no `payload`"))?.1;
    let click = interactive::parse(&payload).map_err(|error| refused(StatusCode::BAD_REQUEST, &error))?;
    // Links are reported too, and want no more than an answer.
    let Some(click) = click else { return Ok(StatusCode::OK.into_response()) };
    let by = format!("{} (Slack)", click.by);
    let named = firing(&app, &click.group_hash).await?;
    match click.action {
        ClickAction::Acknowledge => acknowledge(&app, named.what(|_| true), &by, "acknowledged in Slack").await?,
        ClickAction::Silence => {
            let Some(group) = named.group.filter(|group| !group.labels.is_empty()) else {
                return Err(refused(StatusCode::UNPROCESSABLE_ENTITY, "a group without labels cannot be silenced"));
            };
            let matchers: Vec<Matcher> =
                group.labels.iter().map(|label| Matcher::equal(label.name, label.value)).collect();
            if clicked_before(&app, &by, &matchers, now).await {
                return Ok(StatusCode::OK.into_response());
            }
            let draft = SilenceDraft {
                annotations: BTreeMap::new(),
                id: None,
                matcher_sets: vec![matchers],
                starts_at: now,
                ends_at: now + SILENCE_FOR,
                created_by: by,
                comment: SILENCED.to_owned(),
                recurrence: None,
            };
            let set = app.engine.set_silence(draft).await.map_err(push_refused)?;
            set.map_err(|error| refused(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()))?;
        }
    }
    Ok(StatusCode::OK.into_response())
}

/// Whether the silence is there already: a second click silences no longer, nor does a click that somebody sends again.
async fn clicked_before(app: &App, by: &str, matchers: &[Matcher], now: Timestamp) -> bool {
    let (by, sets) = (by.to_owned(), vec![matchers.to_vec()]);
    let same = move |silence: &&Silence| {
        let active = silence.state(now) == SilenceState::Active;
        active && silence.created_by == by && silence.comment == SILENCED && silence.matcher_sets == sets
    };
    app.engine.view(move |engine| engine.silences().iter().any(same)).await.unwrap_or(false)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The body of a request that may be signed.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
    body::read(headers, body, WEBHOOK_BYTES_MAX).await.map_err(|error| match error {
        BodyError::TooLarge { limit } => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("no webhook is larger than {limit} bytes\n")).into_response()
        }
        broken @ BodyError::Broken(_) => broken.into_response(),
    })
}

/// The secrets of all receivers that have one, each once.
fn secrets(app: &App, of: impl Fn(&Channel) -> Option<&watchfire::config::Credential>) -> BTreeSet<String> {
    let definitions = app.engine.definitions();
    let channels = definitions.config.receivers.iter().flat_map(|receiver| &receiver.integrations);
    channels.filter_map(|integration| of(&integration.channel)).map(|secret| secret.expose().to_owned()).collect()
}

/// Those that nobody looks after yet: PagerDuty tells also of what it was told by this engine, and has no end for an
/// acknowledgement that has one here.
fn new(alert: &NamedAlert) -> bool {
    !alert.acknowledged
}

async fn acknowledge(app: &App, what: Vec<AcknowledgeWhat>, by: &str, comment: &str) -> Result<(), Response> {
    for what in what {
        let (by, comment) = (by.to_owned(), comment.to_owned());
        carry_out(app, AcknowledgeCommand::Set { what, by, comment, until: None, snooze: false }).await?;
    }
    Ok(())
}

async fn withdraw(app: &App, named: &Named) -> Result<(), Response> {
    for what in named.what(|_| true) {
        carry_out(app, AcknowledgeCommand::Withdraw { what }).await?;
    }
    Ok(())
}

async fn carry_out(app: &App, command: AcknowledgeCommand) -> Result<(), Response> {
    let done = app.engine.acknowledge(command).await.map_err(push_refused)?;
    done.map(drop).map_err(|error| refused(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()))
}
