//! Answers: what they mean, and what later requests need of them.

use serde_json::{Map, Value};
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::RequestDefinition;
use watchfire_model::Duration;

use super::{Prepared, Templated};
use crate::outcome::{Answer, Dialect, RETRY_AFTER_MAX, bounded, of_answer};

impl Templated {
    /// What an answer means, by its status and then by what the definition reads in it.
    pub(super) fn judge(
        &self,
        definition: &RequestDefinition,
        prepared: &Prepared,
        kept: &Map<String, Value>,
        answer: &Answer,
    ) -> DeliveryOutcome {
        let rules = &definition.answer;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let outcome = match of_answer(Dialect::Plain, answer, prepared.at) {
            DeliveryOutcome::Rejected { reason } | DeliveryOutcome::Retry { reason, .. }
                if rules.delivered.contains(&answer.status) =>
            {
                DeliveryOutcome::Delivered { receipt: reason }
            }
            DeliveryOutcome::Rejected { reason } if rules.retried.contains(&answer.status) => {
                DeliveryOutcome::Retry { after: None, reason }
            }
            outcome => outcome,
        };
        let asked = rules.retry_after.as_deref().and_then(|pointer| body.pointer(pointer)).and_then(Value::as_f64);
        let asked = asked.filter(|seconds| seconds.is_finite()).map(|seconds| {
            Duration::from_millis((seconds * 1000.0).ceil() as i64).clamp(Duration::ZERO, RETRY_AFTER_MAX)
        });
        match outcome {
            DeliveryOutcome::Retry { after, reason } => DeliveryOutcome::Retry { after: asked.or(after), reason },
            DeliveryOutcome::Delivered { receipt } => self
                .refused(definition, prepared, kept, answer, &body, asked)
                .unwrap_or_else(|| self.delivered(definition, answer, &body, receipt)),
            outcome => outcome,
        }
    }

    fn delivered(
        &self,
        definition: &RequestDefinition,
        answer: &Answer,
        body: &Value,
        receipt: String,
    ) -> DeliveryOutcome {
        let named = definition.answer.receipt.as_deref().and_then(|place| find(place, body, &answer.body));
        let named = named.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        DeliveryOutcome::Delivered { receipt: bounded(&named.unwrap_or(receipt)) }
    }

    /// An answer with a good status that says that something is wrong.
    fn refused(
        &self,
        definition: &RequestDefinition,
        prepared: &Prepared,
        kept: &Map<String, Value>,
        answer: &Answer,
        body: &Value,
        asked: Option<Duration>,
    ) -> Option<DeliveryOutcome> {
        let rules = &definition.answer;
        let template = rules.error.as_deref()?;
        let mut all = prepared.facts.clone();
        all.extend(prepared.settings.clone());
        all.insert("kept".to_owned(), kept.clone().into());
        all.insert("answer".to_owned(), if body.is_null() { Map::new().into() } else { body.clone() });
        all.insert("text".to_owned(), answer.body.clone().into());
        let mut scope = self.scope_of(all, prepared);
        let said = match scope.text("answer.error", template) {
            Ok(said) => said,
            // What cannot be read is no success; whether it is a failure nobody knows.
            Err(error) => return Some(DeliveryOutcome::Retry { after: asked, reason: bounded(&error.to_string()) }),
        };
        if said.trim().is_empty() {
            return None;
        }
        let reason = bounded(&said);
        let retry = rules
            .retry
            .as_deref()
            .is_some_and(|template| scope.text("answer.retry", template).is_ok_and(|text| text.trim() == "true"));
        Some(match retry || asked.is_some() {
            true => DeliveryOutcome::Retry { after: asked, reason },
            false => DeliveryOutcome::Rejected { reason },
        })
    }
}

/// What later requests need of an answer.
pub(super) fn keep(definition: &RequestDefinition, answer: &Answer) -> Map<String, Value> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let found =
        definition.keep.iter().filter_map(|(name, place)| Some((name.clone(), find(place, &body, &answer.body)?)));
    found.collect()
}

/// A value by its JSON pointer, or the text of the first element with a tag.
fn find(place: &str, body: &Value, text: &str) -> Option<Value> {
    let Some(tag) = place.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return body.pointer(place).filter(|value| !value.is_null()).cloned();
    };
    let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
    let end = start + text[start..].find(&format!("</{tag}>"))?;
    Some(text[start..end].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_json_and_in_xml() {
        let json = serde_json::json!({"issues": [{"key": "OPS-1"}], "none": null});
        let xml = "<R><MessageId>m-1</MessageId></R>";
        for (place, expected) in [
            ("/issues/0/key", Some("OPS-1")),
            ("/issues/1/key", None),
            ("/none", None),
            ("<MessageId>", Some("m-1")),
            ("<Other>", None),
        ] {
            assert_eq!(find(place, &json, xml).as_ref().and_then(Value::as_str), expected, "{place}");
        }
    }
}
