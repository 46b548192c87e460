//! Slack's limits, applied to any payload whoever wrote it: what is too long is shortened with a count, what is empty
//! where text is needed is left out. Slack would refuse the whole message with `invalid_blocks` for each of these.

use serde_json::{Map, Value, json};

use super::{UNIT, shorten_markup};
use crate::text::{ellipsis, shorten};

/// The most blocks in a message or attachment.
pub const BLOCKS_MAX: usize = 50;
/// The longest header in characters.
pub const HEADER_CHARS_MAX: usize = 150;
/// The longest section text in characters.
pub const SECTION_CHARS_MAX: usize = 3_000;
/// The longest text of a message in characters.
pub const TEXT_CHARS_MAX: usize = 40_000;
const ATTACHMENTS_MAX: usize = 100;
const SECTION_FIELDS_MAX: usize = 10;
const SECTION_FIELD_CHARS_MAX: usize = 2_000;
const CONTEXT_ELEMENTS_MAX: usize = 10;
const ACTIONS_MAX: usize = 25;
const BUTTON_TEXT_CHARS_MAX: usize = 75;
const URL_CHARS_MAX: usize = 3_000;
const VALUE_CHARS_MAX: usize = 2_000;
const ID_CHARS_MAX: usize = 255;
const MARKDOWN_CHARS_MAX: usize = 12_000;
/// Not documented: messages with more text than this in all blocks together were refused with `msg_blocks_too_long`.
const ALL_BLOCKS_CHARS_MAX: usize = 10_000;
const FOOTER_CHARS_MAX: usize = 300;

/// Makes `payload` one that Slack takes.
pub(super) fn apply(payload: &mut Map<String, Value>, subject: &str, notes: &mut Vec<String>) {
    let mut budget = ALL_BLOCKS_CHARS_MAX;
    if let Some(Value::String(text)) = payload.get_mut("text") {
        *text = shorten_markup(text, TEXT_CHARS_MAX);
    }
    limit_blocks(payload, &mut budget, notes);
    if let Some(Value::Array(attachments)) = payload.get_mut("attachments") {
        if attachments.len() > ATTACHMENTS_MAX {
            notes.push(format!("{} attachments are left out", attachments.len() - ATTACHMENTS_MAX));
            attachments.truncate(ATTACHMENTS_MAX);
        }
        for attachment in attachments.iter_mut().filter_map(Value::as_object_mut) {
            limit_blocks(attachment, &mut budget, notes);
            if let Some(Value::String(footer)) = attachment.get_mut("footer") {
                *footer = ellipsis(footer, FOOTER_CHARS_MAX, UNIT).into_owned();
            }
        }
    }
    let nothing = |name: &str| match payload.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    if ["text", "blocks", "attachments"].iter().all(|name| nothing(name)) {
        payload.insert("text".to_owned(), super::escape(subject).into());
    }
}

/// Limits `blocks` of a message or an attachment; without any usable block the key goes.
fn limit_blocks(holder: &mut Map<String, Value>, budget: &mut usize, notes: &mut Vec<String>) {
    let Some(Value::Array(blocks)) = holder.get_mut("blocks") else {
        return;
    };
    let before = blocks.len();
    blocks.retain_mut(|block| block.as_object_mut().is_some_and(|block| limit_block(block, budget)));
    if blocks.len() > BLOCKS_MAX {
        blocks.truncate(BLOCKS_MAX - 1);
        let left = before - blocks.len();
        blocks.push(
            json!({"type": "context", "elements": [{"type": "mrkdwn", "text": format!("… and {left} more blocks")}]}),
        );
    }
    if blocks.len() < before {
        notes.push(format!("{} blocks are left out or empty", before - blocks.len()));
    }
    if blocks.is_empty() {
        holder.remove("blocks");
    }
}

/// Limits one block; false if nothing of it is left.
fn limit_block(block: &mut Map<String, Value>, budget: &mut usize) -> bool {
    limit_string(block, "block_id", ID_CHARS_MAX);
    match block.get("type").and_then(Value::as_str) {
        Some("header") => limit_text(block, "text", HEADER_CHARS_MAX, budget),
        Some("section") => {
            let text = limit_text(block, "text", SECTION_CHARS_MAX, budget);
            if !text {
                block.remove("text");
            }
            let fields = limit_list(block, "fields", SECTION_FIELDS_MAX, |field| {
                limit_text_object(field, SECTION_FIELD_CHARS_MAX, budget)
            });
            if let Some(Value::Object(accessory)) = block.get_mut("accessory")
                && !limit_element(accessory, budget)
            {
                block.remove("accessory");
            }
            text || fields
        }
        Some("context") => limit_list(block, "elements", CONTEXT_ELEMENTS_MAX, |element| {
            if element.get("type").and_then(Value::as_str) == Some("image") {
                return limit_element(element, budget);
            }
            limit_text_object(element, SECTION_CHARS_MAX, budget)
        }),
        Some("actions") => limit_list(block, "elements", ACTIONS_MAX, |element| limit_element(element, budget)),
        Some("image") => {
            if !limit_text(block, "title", VALUE_CHARS_MAX, budget) {
                block.remove("title");
            }
            limit_element(block, budget)
        }
        Some("markdown") => {
            let Some(Value::String(text)) = block.get_mut("text") else { return false };
            let max = MARKDOWN_CHARS_MAX.min(*budget);
            *text = shorten(text, max, UNIT).into_owned();
            *budget -= UNIT.length(text);
            !text.is_empty()
        }
        Some(_) => true,
        None => false,
    }
}

/// Limits a button or an image; false if Slack would not take it.
fn limit_element(element: &mut Map<String, Value>, budget: &mut usize) -> bool {
    let usable_url = |element: &Map<String, Value>, name: &str| {
        element.get(name).is_none_or(|url| url.as_str().is_some_and(|url| UNIT.length(url) <= URL_CHARS_MAX))
    };
    match element.get("type").and_then(Value::as_str) {
        Some("button") => {
            limit_string(element, "action_id", ID_CHARS_MAX);
            limit_string(element, "value", VALUE_CHARS_MAX);
            limit_string(element, "accessibility_label", BUTTON_TEXT_CHARS_MAX);
            usable_url(element, "url") && limit_text(element, "text", BUTTON_TEXT_CHARS_MAX, budget)
        }
        Some("image") => {
            element.entry("alt_text").or_insert_with(|| "".into());
            limit_string(element, "alt_text", VALUE_CHARS_MAX);
            usable_url(element, "image_url")
        }
        Some(_) => true,
        None => false,
    }
}

fn limit_string(object: &mut Map<String, Value>, name: &str, max: usize) {
    if let Some(Value::String(text)) = object.get_mut(name) {
        *text = ellipsis(text, max, UNIT).into_owned();
    }
}

fn limit_text(block: &mut Map<String, Value>, name: &str, max: usize, budget: &mut usize) -> bool {
    match block.get_mut(name) {
        Some(Value::Object(text)) => limit_text_object(text, max, budget),
        _ => false,
    }
}

/// Limits a text object; false if it is empty, which Slack refuses.
fn limit_text_object(object: &mut Map<String, Value>, max: usize, budget: &mut usize) -> bool {
    let plain = object.get("type").and_then(Value::as_str) == Some("plain_text");
    // A key that belongs to the other kind of text is refused as well.
    object.remove(if plain { "verbatim" } else { "emoji" });
    let Some(Value::String(text)) = object.get_mut("text") else {
        return false;
    };
    let max = max.min(*budget);
    *text = if plain { ellipsis(text, max, UNIT).into_owned() } else { shorten_markup(text, max) };
    *budget -= UNIT.length(text);
    !text.trim().is_empty()
}

/// Limits each element, drops the unusable and those over `max`; false if none is left, in which case the key goes.
fn limit_list(
    block: &mut Map<String, Value>,
    name: &str,
    max: usize,
    mut limit: impl FnMut(&mut Map<String, Value>) -> bool,
) -> bool {
    let Some(Value::Array(items)) = block.get_mut(name) else {
        return false;
    };
    items.truncate(max);
    items.retain_mut(|item| item.as_object_mut().is_some_and(&mut limit));
    if items.is_empty() {
        block.remove(name);
        return false;
    }
    true
}
