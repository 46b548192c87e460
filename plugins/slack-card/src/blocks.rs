//! What a card is made of: the few of Slack's blocks that are used, as they are written.

use std::borrow::Cow;

use serde::Serialize;

/// The whole message. It has no text of its own, which Slack would show above the card.
#[derive(Serialize)]
pub(crate) struct Card<'a> {
    attachments: [Attachment<'a>; 1],
}

#[derive(Serialize)]
struct Attachment<'a> {
    color: String,
    /// What a notification on a phone shows.
    fallback: &'a str,
    blocks: Vec<Block<'a>>,
}

impl<'a> Card<'a> {
    pub(crate) fn new(fallback: &'a str, colour: u32, blocks: Vec<Block<'a>>) -> Card<'a> {
        Card { attachments: [Attachment { color: format!("#{colour:06x}"), fallback, blocks }] }
    }

    pub(crate) fn to_json(&self) -> String {
        // Texts and lists always have a spelling in JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A row of the card.
#[derive(Serialize)]
pub(crate) struct Block<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Elements::is_empty")]
    elements: Elements<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Elements<'a> {
    Texts(Vec<Text<'a>>),
    Buttons(Vec<Button<'a>>),
}

impl Elements<'_> {
    fn is_empty(&self) -> bool {
        matches!(self, Elements::Texts(texts) if texts.is_empty())
    }
}

impl<'a> Block<'a> {
    fn of(kind: &'static str) -> Block<'a> {
        Block { kind, text: None, fields: Vec::new(), elements: Elements::Texts(Vec::new()) }
    }

    pub(crate) fn header(text: &'a str) -> Block<'a> {
        Block { text: Some(Text { emoji: Some(true), ..Text::plain(text) }), ..Block::of("header") }
    }

    pub(crate) fn text(text: String) -> Block<'a> {
        Block { text: Some(Text::mrkdwn(text)), ..Block::of("section") }
    }

    pub(crate) fn fields(fields: Vec<Text<'a>>) -> Block<'a> {
        Block { fields, ..Block::of("section") }
    }

    pub(crate) fn context(text: String) -> Block<'a> {
        Block { elements: Elements::Texts(vec![Text::mrkdwn(text)]), ..Block::of("context") }
    }

    pub(crate) fn actions(buttons: Vec<Button<'a>>) -> Block<'a> {
        Block { elements: Elements::Buttons(buttons), ..Block::of("actions") }
    }
}

/// A text, with Slack's mark-up or without.
#[derive(Serialize)]
pub(crate) struct Text<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<bool>,
}

impl<'a> Text<'a> {
    pub(crate) fn plain(text: impl Into<Cow<'a, str>>) -> Text<'a> {
        Text { kind: "plain_text", text: text.into(), emoji: None }
    }

    pub(crate) fn mrkdwn(text: String) -> Text<'a> {
        Text { kind: "mrkdwn", text: text.into(), emoji: None }
    }
}

/// A link to act on.
#[derive(Serialize)]
pub(crate) struct Button<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    action_id: String,
    text: Text<'a>,
    url: String,
}

impl<'a> Button<'a> {
    pub(crate) fn new(number: usize, text: String, url: String) -> Button<'a> {
        Button { kind: "button", action_id: format!("open-{number}"), text: Text::plain(text), url }
    }
}
