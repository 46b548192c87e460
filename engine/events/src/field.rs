//! Looking fields up in an event.

use std::borrow::Cow;

use watchfire_model::{Event, FieldValue};

/// The value that a name has in an event, without a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'e> {
    Text(&'e str),
    Millis(i64),
    Value(&'e FieldValue),
}

/// `None` where the event has no such field; null counts as absent everywhere.
pub(crate) fn lookup<'e>(event: &'e Event, name: &str) -> Option<View<'e>> {
    let own = match name {
        "type" => &event.kind,
        "body" => &event.body,
        "id" => &event.id,
        "time" => return Some(View::Millis(event.time.as_millis())),
        _ => "",
    };
    if !own.is_empty() {
        return Some(View::Text(own));
    }
    match event.fields.get(name) {
        None | Some(FieldValue::Null) => None,
        Some(value) => Some(View::Value(value)),
    }
}

impl<'e> View<'e> {
    pub(crate) fn text(self) -> Cow<'e, str> {
        match self {
            View::Text(text) => Cow::Borrowed(text),
            View::Millis(millis) => Cow::Owned(millis.to_string()),
            View::Value(FieldValue::Text(text)) => Cow::Borrowed(text),
            View::Value(value) => Cow::Owned(value.to_text()),
        }
    }

    pub(crate) fn number(self) -> Option<f64> {
        match self {
            View::Text(text) => text.parse().ok(),
            View::Millis(millis) => Some(millis as f64),
            View::Value(value) => value.as_f64(),
        }
    }

    /// Whether the view itself or, where it is a list, one of its elements passes.
    pub(crate) fn any(self, test: &mut dyn FnMut(View<'e>) -> bool) -> bool {
        match self {
            View::Value(FieldValue::List(items)) => items.iter().any(|item| View::Value(item).any(test)),
            view => test(view),
        }
    }
}
