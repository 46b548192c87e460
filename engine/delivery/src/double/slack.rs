//! Slack: the documented limits of messages, Block Kit and attachments, and the words of both ways in.

use serde_json::{Map, Value, json};

/// The one message that there is.
const MESSAGE: &str = "1795209600.000100";

/// Slack's own word for a message that it does not take.
type Refusal = &'static str;

pub(super) fn answer(path: &str, authorization: &str, body: &[u8], channels: &[String]) -> (u16, String) {
    let update = path == "/api/chat.update";
    let web_api = update || path == "/api/chat.postMessage";
    if !web_api && !path.starts_with("/services/") {
        return (404, "no_service".to_owned());
    }
    let refuse = |status: u16, error: &str| match web_api {
        true => (200, json!({"ok": false, "error": error}).to_string()),
        false => (status, error.to_owned()),
    };
    if web_api && authorization.is_empty() {
        return refuse(200, "not_authed");
    }
    if web_api && !authorization.starts_with("Bearer xoxb-") {
        return refuse(200, "invalid_auth");
    }
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return refuse(400, if web_api { "invalid_json" } else { "invalid_payload" });
    };
    if let Err(error) = check(&message) {
        return refuse(400, error);
    }
    let channel = message["channel"].as_str().unwrap_or("");
    if web_api && channel.is_empty() || !channels.is_empty() && !channels.iter().any(|known| known == channel) {
        return refuse(404, "channel_not_found");
    }
    let ts = |name: &str| message[name].as_str().unwrap_or("");
    if update && (channel != "C00000001" || ts("ts") != MESSAGE) {
        return refuse(200, "message_not_found");
    }
    if update && message.get("username").is_some() {
        return refuse(200, "invalid_arguments");
    }
    if web_api && !matches!(ts("thread_ts"), "" | MESSAGE) {
        return refuse(200, "thread_not_found");
    }
    match web_api {
        true => (200, json!({"ok": true, "channel": "C00000001", "ts": MESSAGE}).to_string()),
        false => (200, "ok".to_owned()),
    }
}

/// What is wrong with a message, in Slack's word.
///
/// # Errors
/// If anything is.
pub fn check(message: &Value) -> Result<(), Refusal> {
    let message = message.as_object().ok_or("invalid_payload")?;
    for name in ["channel", "text", "username", "icon_emoji", "icon_url"] {
        if message.get(name).is_some_and(|value| !value.is_string()) {
            return Err("invalid_payload");
        }
    }
    if length(message.get("text")) > 40_000 {
        return Err("msg_too_long");
    }
    let attachments = array(message, "attachments", "invalid_attachments")?;
    if attachments.len() > 100 {
        return Err("too_many_attachments");
    }
    let mut written = blocks(message)?;
    for attachment in attachments {
        let attachment = attachment.as_object().ok_or("invalid_attachments")?;
        check_attachment(attachment)?;
        written += blocks(attachment)?;
    }
    // Not documented; seen to be refused a little above this.
    if written > 12_000 {
        return Err("msg_blocks_too_long");
    }
    let says_something = length(message.get("text")) > 0 || message.contains_key("blocks") || !attachments.is_empty();
    if says_something { Ok(()) } else { Err("no_text") }
}

/// Slack counts characters; which, it does not say, so the stricter way is taken.
fn length(value: Option<&Value>) -> usize {
    value.and_then(Value::as_str).map_or(0, |text| text.encode_utf16().count())
}

fn array<'a>(object: &'a Map<String, Value>, name: &str, refusal: Refusal) -> Result<&'a [Value], Refusal> {
    match object.get(name) {
        None => Ok(&[]),
        Some(value) => value.as_array().map(Vec::as_slice).ok_or(refusal),
    }
}

fn check_attachment(attachment: &Map<String, Value>) -> Result<(), Refusal> {
    const TEXTS: [&str; 14] = [
        "color",
        "fallback",
        "pretext",
        "title",
        "title_link",
        "text",
        "footer",
        "footer_icon",
        "image_url",
        "thumb_url",
        "callback_id",
        "author_name",
        "author_link",
        "author_icon",
    ];
    const OTHERS: [&str; 5] = ["fields", "actions", "blocks", "ts", "mrkdwn_in"];
    let bad = "invalid_attachments";
    for (name, value) in attachment {
        let text = TEXTS.contains(&name.as_str());
        if text && !value.is_string() || !text && !OTHERS.contains(&name.as_str()) {
            return Err(bad);
        }
    }
    if length(attachment.get("footer")) > 300 {
        return Err(bad);
    }
    for field in array(attachment, "fields", bad)? {
        if !field["title"].is_string() || !field["value"].is_string() {
            return Err(bad);
        }
    }
    let actions = array(attachment, "actions", bad)?;
    if actions.len() > 5 || actions.iter().any(|action| !action["type"].is_string() || !action["text"].is_string()) {
        return Err(bad);
    }
    Ok(())
}

/// Checks the blocks of a message or an attachment; how much text is in them.
fn blocks(holder: &Map<String, Value>) -> Result<usize, Refusal> {
    let blocks = array(holder, "blocks", "invalid_blocks")?;
    if holder.contains_key("blocks") && blocks.is_empty() || blocks.len() > 50 {
        return Err("invalid_blocks");
    }
    let mut written = 0;
    for block in blocks {
        written += block.as_object().and_then(check_block).ok_or("invalid_blocks")?;
    }
    Ok(written)
}

/// The length of a block's texts; nothing if it is not valid.
fn check_block(block: &Map<String, Value>) -> Option<usize> {
    let only = |fields: &[&str]| {
        block.keys().all(|name| name == "type" || name == "block_id" || fields.contains(&name.as_str()))
    };
    if length(block.get("block_id")) > 255 {
        return None;
    }
    let kind = block.get("type")?.as_str()?;
    match kind {
        "header" => only(&["text"]).then(|| text(block.get("text")?, &["plain_text"], 150))?,
        "section" => {
            let mut written = 0;
            if !only(&["text", "fields", "accessory", "expand"])
                || !block.contains_key("text") && !block.contains_key("fields")
            {
                return None;
            }
            if let Some(inner) = block.get("text") {
                written += text(inner, &["plain_text", "mrkdwn"], 3_000)?;
            }
            if block.contains_key("fields") {
                written += all(block.get("fields")?, 10, |field| text(field, &["plain_text", "mrkdwn"], 2_000))?;
            }
            if let Some(accessory) = block.get("accessory") {
                written += element(accessory)?;
            }
            Some(written)
        }
        "context" if only(&["elements"]) => all(block.get("elements")?, 10, |inner| match inner["type"].as_str() {
            Some("image") => element(inner),
            _ => text(inner, &["plain_text", "mrkdwn"], 3_000),
        }),
        "actions" if only(&["elements"]) => all(block.get("elements")?, 25, element),
        "divider" if only(&[]) => Some(0),
        "markdown" if only(&["text"]) => {
            let length = length(block.get("text"));
            (1..=12_000).contains(&length).then_some(length)
        }
        "image" => element(&Value::Object(block.clone())),
        "rich_text" => block.get("elements")?.as_array().map(|_| 0),
        _ => None,
    }
}

fn all(list: &Value, max: usize, check: impl Fn(&Value) -> Option<usize>) -> Option<usize> {
    let items = list.as_array()?;
    if items.is_empty() || items.len() > max {
        return None;
    }
    items.iter().map(check).sum()
}

fn text(object: &Value, kinds: &[&str], max: usize) -> Option<usize> {
    let object = object.as_object()?;
    let kind = object.get("type")?.as_str()?;
    let own = if kind == "mrkdwn" { "verbatim" } else { "emoji" };
    let known = object.keys().all(|name| ["type", "text", own].contains(&name.as_str()));
    object.get("text")?.as_str()?;
    let length = length(object.get("text"));
    (known && kinds.contains(&kind) && (1..=max).contains(&length)).then_some(length)
}

fn element(element: &Value) -> Option<usize> {
    let short = |name: &str, max: usize| length(element.get(name)) <= max;
    let link = |name: &str| {
        element.get(name).is_none_or(|url| {
            url.as_str().is_some_and(|url| {
                (url.starts_with("http://") || url.starts_with("https://")) && !url.contains(char::is_whitespace)
            }) && short(name, 3_000)
        })
    };
    match element.get("type")?.as_str()? {
        "button" => {
            let fits =
                short("action_id", 255) && short("value", 2_000) && short("accessibility_label", 75) && link("url");
            let style = element.get("style").is_none_or(|style| style == "primary" || style == "danger");
            if fits && style { text(element.get("text")?, &["plain_text"], 75) } else { None }
        }
        "image" => {
            let fits = element.get("alt_text")?.is_string() && short("alt_text", 2_000) && link("image_url");
            let shown = element.get("image_url").is_some() || element.get("slack_file").is_some();
            (fits && shown).then_some(0)
        }
        _ => Some(0),
    }
}
