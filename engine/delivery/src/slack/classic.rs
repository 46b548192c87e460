//! The attachment as Alertmanager's `slack_configs` describes it.

use serde_json::{Map, Value, json};

use super::{UNIT, shorten_markup};
use crate::text::ellipsis;

/// Alertmanager cuts titles here.
const TITLE_CHARS_MAX: usize = 1024;
/// Room for the text; Slack folds it long before.
const TEXT_CHARS_MAX: usize = 12_000;
/// Room for a field's or the fallback's text.
const SHORT_CHARS_MAX: usize = 2_000;
/// Slack's documented limit for the footer.
const FOOTER_CHARS_MAX: usize = 300;
/// The most fields in an attachment. Not documented; more than anybody reads.
const FIELDS_MAX: usize = 50;
/// Slack's documented limit for buttons in an attachment.
const ACTIONS_MAX: usize = 5;

/// One attachment, its templates expanded; an empty text means that it is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classic {
    /// The headline.
    pub title: String,
    /// Where the headline leads.
    pub title_link: String,
    /// The text above the attachment.
    pub pretext: String,
    /// The text.
    pub text: String,
    /// What clients show that know no attachments.
    pub fallback: String,
    /// Comes back with a click on a button.
    pub callback_id: String,
    /// Titles and values in columns.
    pub fields: Vec<Field>,
    /// Buttons.
    pub actions: Vec<Action>,
    /// An image below the text.
    pub image_url: String,
    /// An image beside the text.
    pub thumb_url: String,
    /// The last line.
    pub footer: String,
    /// In which parts markup is read.
    pub mrkdwn_in: Vec<String>,
}

/// A title and a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// The title.
    pub title: String,
    /// The value.
    pub value: String,
    /// Whether another fits beside it.
    pub short: bool,
}

/// A button.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// `button`.
    pub kind: String,
    /// What it says.
    pub text: String,
    /// Where it leads.
    pub url: String,
    /// `default`, `primary` or `danger`.
    pub style: String,
    /// Comes back with a click.
    pub name: String,
    /// Comes back with a click.
    pub value: String,
    /// Asks before it acts.
    pub confirm: Option<Confirm>,
}

/// A question before a button acts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirm {
    /// The question.
    pub text: String,
    /// Its headline.
    pub title: String,
    /// The word for yes.
    pub ok_text: String,
    /// The word for no.
    pub dismiss_text: String,
}

impl Classic {
    /// The attachment without its colour.
    pub(super) fn attachment(&self) -> Map<String, Value> {
        let mut out = Map::new();
        let mut put = |name: &str, value: String, even_if_empty: bool| {
            if even_if_empty || !value.is_empty() {
                out.insert(name.to_owned(), value.into());
            }
        };
        put("title", ellipsis(&self.title, TITLE_CHARS_MAX, UNIT).into_owned(), false);
        put("title_link", self.title_link.clone(), false);
        put("pretext", shorten_markup(&self.pretext, SHORT_CHARS_MAX), false);
        put("text", shorten_markup(&self.text, TEXT_CHARS_MAX), true);
        put("fallback", ellipsis(&self.fallback, SHORT_CHARS_MAX, UNIT).into_owned(), true);
        put("callback_id", self.callback_id.clone(), true);
        put("image_url", self.image_url.clone(), false);
        put("thumb_url", self.thumb_url.clone(), false);
        put("footer", ellipsis(&self.footer, FOOTER_CHARS_MAX, UNIT).into_owned(), true);
        let fields: Vec<Value> = self.fields.iter().take(FIELDS_MAX).map(field).collect();
        if !fields.is_empty() {
            out.insert("fields".to_owned(), fields.into());
        }
        let actions: Vec<Value> = self.actions.iter().take(ACTIONS_MAX).map(action).collect();
        if !actions.is_empty() {
            out.insert("actions".to_owned(), actions.into());
        }
        if !self.mrkdwn_in.is_empty() {
            out.insert("mrkdwn_in".to_owned(), self.mrkdwn_in.clone().into());
        }
        out
    }
}

fn field(field: &Field) -> Value {
    json!({
        "title": ellipsis(&field.title, SHORT_CHARS_MAX, UNIT),
        "value": shorten_markup(&field.value, SHORT_CHARS_MAX),
        "short": field.short,
    })
}

fn action(action: &Action) -> Value {
    let mut out = Map::new();
    for (name, value) in [
        ("type", &action.kind),
        ("text", &action.text),
        ("url", &action.url),
        ("style", &action.style),
        ("name", &action.name),
        ("value", &action.value),
    ] {
        if !value.is_empty() {
            out.insert(name.to_owned(), value.as_str().into());
        }
    }
    if let Some(confirm) = &action.confirm {
        let mut inner = Map::new();
        for (name, value) in [
            ("text", &confirm.text),
            ("title", &confirm.title),
            ("ok_text", &confirm.ok_text),
            ("dismiss_text", &confirm.dismiss_text),
        ] {
            if !value.is_empty() {
                inner.insert(name.to_owned(), value.as_str().into());
            }
        }
        out.insert("confirm".to_owned(), inner.into());
    }
    out.into()
}
