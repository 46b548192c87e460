//! Slack: incoming webhook or bot token, Block Kit or classic attachments.

mod blocks;
mod classic;
pub mod interactive;
mod limits;
pub mod posted;
mod run;

use serde_json::{Map, Value};
use watchfire_model::{AlertStatus, Severity};
use watchfire_plugin::Message;

pub use classic::{Action, Classic, Confirm, Field};
pub(crate) use run::Telling;

pub use limits::{BLOCKS_MAX, HEADER_CHARS_MAX, SECTION_CHARS_MAX, TEXT_CHARS_MAX};

use crate::text::{Unit, cut};
use crate::{BuildError, Notification, Request};

/// Where messages go that are sent with a bot's token.
pub const POST_MESSAGE_URL: &str = "https://slack.com/api/chat.postMessage";

/// Slack counts characters; whether an emoji is one or two is not documented, so the larger number is used.
const UNIT: Unit = Unit::Utf16;

/// The settings of the receiver with their templates expanded; an empty text means that it is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The incoming webhook, or the address of the Web API's method; empty means [`POST_MESSAGE_URL`].
    pub url: String,
    /// A bot's token; empty for an incoming webhook.
    pub token: String,
    /// The channel or user.
    pub channel: String,
    /// Replaces the sender's name.
    pub username: String,
    /// Replaces the sender's picture by an emoji such as `:fire:`.
    pub icon_emoji: String,
    /// Replaces the sender's picture by an image.
    pub icon_url: String,
    /// Whether `@name` and `#channel` become links.
    pub link_names: bool,
    /// The text above the attachment.
    pub text: String,
    /// The colour, where the receiver sets one: `good`, `warning`, `danger` or `#rrggbb`.
    pub color: String,
    /// Whether there are buttons that act: clicks on them come back signed.
    pub interactive: bool,
    /// The attachment as Alertmanager writes it, where the receiver sets any part of it; else the built-in blocks.
    pub classic: Option<Classic>,
}

/// The colour of a notification's bar: by the worst severity while it fires and nobody looks after it, green when it is
/// over.
pub fn color(notification: &Notification) -> &'static str {
    match (notification.status(), notification.looked_after, notification.severity()) {
        (AlertStatus::Resolved, _, _) => "#2eb67d",
        (_, true, _) => "#7c5cff",
        (_, _, Severity::Critical) => "#e01e5a",
        (_, _, Severity::Error) => "#e8590c",
        (_, _, Severity::Warning) => "#ecb22e",
        (_, _, Severity::Info) => "#36a2eb",
    }
}

/// Builds the request.
///
/// A `message` replaces the built-in one: a JSON object is the payload, to which only the addressing of the receiver is
/// added, anything else is text in Slack's markup. Whatever it is, it is cut to Slack's limits.
///
/// # Errors
/// If there is neither a webhook nor a token, or a token and no channel.
pub fn build(fields: &Fields, notification: &Notification, message: Option<&Message>) -> Result<Request, BuildError> {
    let url = match (fields.url.is_empty(), fields.token.is_empty()) {
        (false, _) => fields.url.as_str(),
        (true, false) => POST_MESSAGE_URL,
        (true, true) => return Err(BuildError::setting("api_url", "neither a webhook's address nor a token is set")),
    };
    if !fields.token.is_empty() && fields.channel.is_empty() {
        return Err(BuildError::setting("channel", "is needed with a token: Slack does not know where to post"));
    }
    let mut notes = Vec::new();
    let mut payload = Map::new();
    for (name, value) in [
        ("channel", &fields.channel),
        ("username", &fields.username),
        ("icon_emoji", &fields.icon_emoji),
        ("icon_url", &fields.icon_url),
    ] {
        if !value.is_empty() {
            payload.insert(name.to_owned(), value.as_str().into());
        }
    }
    if fields.link_names {
        payload.insert("link_names".to_owned(), true.into());
    }
    if !fields.text.is_empty() {
        payload.insert("text".to_owned(), fields.text.as_str().into());
    }
    let color = if fields.color.is_empty() { color(notification) } else { &fields.color };
    match (message, &fields.classic) {
        (Some(message), _) => merge_message(&mut payload, fields, message, notification, color),
        (None, Some(classic)) => {
            // Alertmanager's layout comes in Alertmanager's colours.
            let color = match (fields.color.as_str(), notification.status()) {
                ("", AlertStatus::Firing) => "danger",
                ("", AlertStatus::Resolved) => "good",
                (own, _) => own,
            };
            let mut attachment = classic.attachment();
            attachment.entry("color").or_insert_with(|| color.into());
            let acting = fields.interactive.then(|| blocks::acting(notification, color)).flatten();
            let attachments: Vec<Value> = std::iter::once(Value::Object(attachment)).chain(acting).collect();
            payload.insert("attachments".to_owned(), attachments.into());
        }
        (None, None) => {
            let attachment = blocks::attachment(notification, color, fields.interactive, &mut notes);
            payload.insert("attachments".to_owned(), vec![attachment].into());
        }
    }
    limits::apply(&mut payload, &notification.subject(), &mut notes);
    let mut request = Request::post_json(url, &Value::Object(payload));
    if !fields.token.is_empty() {
        request.set_header("Authorization", format!("Bearer {}", fields.token));
        request.set_header("Content-Type", "application/json; charset=utf-8");
    }
    request.notes = notes;
    Ok(request)
}

/// Puts a template's or a formatter's words into the payload.
fn merge_message(
    payload: &mut Map<String, Value>,
    fields: &Fields,
    message: &Message,
    notification: &Notification,
    color: &str,
) {
    match serde_json::from_str::<Value>(&message.body) {
        Ok(Value::Object(object)) => {
            for (name, value) in object {
                // The receiver's own address wins: a formatter says what is told, not where.
                if name != "channel" || !payload.contains_key("channel") {
                    payload.insert(name, value);
                }
            }
        }
        Ok(Value::Array(list)) => drop(payload.insert("blocks".to_owned(), list.into())),
        _ => {
            let attachment = blocks::from_text(message, notification, color, fields.interactive);
            payload.insert("attachments".to_owned(), vec![attachment].into());
        }
    }
}

/// Escapes the three characters that Slack's markup is made of.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// At most `max` of Slack's characters of text in Slack's markup, cut with a count of what is missing and never inside
/// an escaped character, a link or a code block.
pub fn shorten_markup(text: &str, max: usize) -> String {
    if UNIT.length(text) <= max {
        return text.to_owned();
    }
    let note = |left: usize| format!("… ({left} more characters)");
    // The fence that closes a code block is part of what must fit.
    let reserve = UNIT.length(&note(text.chars().count())) + "\n```".len();
    let Some(room) = max.checked_sub(reserve) else {
        return text[..cut(text, max, UNIT)].to_owned();
    };
    let mut kept = &text[..cut(text, room, UNIT)];
    // An entity is at most five characters long; an ampersand further back is closed or is none.
    if let Some(at) = kept.rfind('&')
        && kept.len() - at < 6
        && !kept[at..].contains(';')
    {
        kept = &kept[..at];
    }
    if let Some(at) = kept.rfind('<')
        && !kept[at..].contains('>')
        && text[at..].contains('>')
        && at > kept.len() / 2
    {
        kept = &kept[..at];
    }
    let fence = if kept.matches("```").count() % 2 == 1 { "\n```" } else { "" };
    let left = text.chars().count() - kept.chars().count();
    format!("{kept}{fence}{}", note(left))
}
