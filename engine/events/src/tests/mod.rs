//! Tests of the windows and the index, as tables and against a model that knows no better than to look at everything.

mod index;
mod model;
mod windows;

use std::collections::BTreeMap;

use watchfire_model::{Duration, Event, FieldValue, Timestamp};

use crate::{CompareOp, Threshold};

fn secs(n: i64) -> Duration {
    Duration::from_secs(n)
}

fn threshold(op: &str, value: f64) -> Threshold {
    Threshold { op: CompareOp::parse(op).unwrap(), value }
}

fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.to_owned())
}

/// An event from words like `type=login user=anna n=3 t=4s id=x`, which happens at `now` unless `t` says otherwise.
fn event(words: &str, now: Timestamp) -> Event {
    let mut event =
        Event { id: String::new(), time: now, kind: String::new(), fields: BTreeMap::new(), body: String::new() };
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        match name {
            "t" => event.time = Timestamp::EPOCH + value.parse::<Duration>().unwrap(),
            "id" => event.id = value.to_owned(),
            "type" => event.kind = value.to_owned(),
            _ => {
                let value = value.parse::<i64>().map_or_else(|_| text(value), FieldValue::Int);
                event.fields.insert(name.to_owned(), value);
            }
        }
    }
    event
}
