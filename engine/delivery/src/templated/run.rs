//! One request after the other, as the definition says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;
use watchfire_alerting::DeliveryOutcome;

use super::{Templated, answer};
use crate::deliverer::Exchange;
use crate::http::{self, Connection};
use crate::mailed::Mailed;
use crate::outcome::{Dialect, bounded};
use crate::redact::MARK;
use crate::{BuildError, Notification, Request, sigv4};

/// What answers gave that serves later notifications too, such as a token: by request, with its end.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<(usize, Instant, Map<String, Value>)>>);

/// What a run did.
#[derive(Default)]
pub(crate) struct Run {
    /// What was sent and answered, in order. Answers that were read for what they hold of secrets have no body.
    pub(crate) exchanges: Vec<Exchange>,
    /// What must not be seen beside what the configuration says: what answers held, and what templates made of secrets.
    pub(crate) secrets: Vec<String>,
    /// Who has the mails, where mails are sent.
    pub(crate) mailed: Arc<Mailed>,
}

impl Kept {
    fn get(&self, step: usize) -> Option<Map<String, Value>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, until, _)| *until > Instant::now());
        all.iter().find(|(known, ..)| *known == step).map(|(.., kept)| kept.clone())
    }

    fn put(&self, step: usize, lasts: Duration, kept: Map<String, Value>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, ..)| *known != step);
        all.push((step, Instant::now() + lasts, kept));
    }

    /// What must not be seen.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().flat_map(|(.., kept)| texts(kept)).collect()
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The texts among what was kept.
fn texts(kept: &Map<String, Value>) -> impl Iterator<Item = String> {
    kept.values().filter_map(|value| value.as_str().map(str::to_owned))
}

impl Templated {
    /// Makes the requests until one does not succeed or all are made.
    pub(crate) async fn run(
        &self,
        prepared: &super::Prepared,
        notification: &Notification,
        connection: &Connection,
        cache: &Kept,
        run: &mut Run,
    ) -> DeliveryOutcome {
        let mut kept = Map::new();
        let mut outcome = DeliveryOutcome::Delivered { receipt: "there was nothing to send".to_owned() };
        for (step, definition) in self.config.definition.requests.iter().enumerate() {
            if let Some(known) = cache.get(step) {
                kept.extend(known);
                continue;
            }
            let made = self.request(definition, prepared, notification, &kept);
            let mut request = match made {
                Ok(Some(request)) => request,
                Ok(None) => continue,
                Err(error) => return DeliveryOutcome::Rejected { reason: bounded(&error.to_string()) },
            };
            if let Some(service) = &definition.sign
                && let Err(error) = self.sign(&mut request, service, &kept)
            {
                return DeliveryOutcome::Rejected { reason: bounded(&error.to_string()) };
            }
            let mut sent = connection.send(&mut request, Dialect::Plain, notification.at).await;
            outcome = match &sent.answer {
                Some(answer) => self.judge(definition, prepared, &kept, answer),
                None => sent.outcome,
            };
            let new = sent.answer.as_ref().map(|answer| answer::keep(definition, answer)).unwrap_or_default();
            let secret = !definition.keep.is_empty() && !definition.keep_shown;
            if secret {
                run.secrets.extend(texts(&new));
            }
            if let (true, Some(answer), DeliveryOutcome::Delivered { receipt }) =
                (secret, &mut sent.answer, &mut outcome)
            {
                // There may be more in it than what is kept.
                MARK.clone_into(&mut answer.body);
                *receipt = format!("HTTP {}", answer.status);
            }
            run.exchanges.push(Exchange { request, answer: sent.answer });
            if !matches!(outcome, DeliveryOutcome::Delivered { .. }) {
                // Perhaps what was kept is what is wrong.
                cache.clear();
                return outcome;
            }
            if let Some(lasts) = definition.keep_for {
                cache.put(step, lasts.to_std(), new.clone());
            }
            kept.extend(new);
        }
        outcome
    }

    /// The requests that would be made if nothing were known of any answer.
    pub(crate) fn preview(
        &self,
        prepared: &super::Prepared,
        notification: &Notification,
    ) -> Result<Vec<Request>, BuildError> {
        let requests = &self.config.definition.requests;
        let made = requests.iter().map(|definition| self.request(definition, prepared, notification, &Map::new()));
        Ok(made.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn sign(&self, request: &mut Request, service: &str, kept: &Map<String, Value>) -> Result<(), BuildError> {
        let settings = match self.config.settings.get("sigv4") {
            Some(watchfire_config::Setting::Value(tree)) => serde_json::from_str(&tree.to_json()).unwrap_or_default(),
            _ => Value::Null,
        };
        // The keys of an assumed role count for what comes after it was assumed.
        let text = |name: &str| {
            let value = kept.get(name).or_else(|| settings.get(name)).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let keys = sigv4::Keys {
            access_key: text("access_key"),
            secret_key: text("secret_key"),
            session_token: text("session_token"),
            region: text("region"),
        };
        if keys.region.is_empty() {
            return Err(BuildError::setting("sigv4.region", "is needed, here or in AWS_REGION"));
        }
        if keys.access_key.is_empty() || keys.secret_key.is_empty() {
            let message = "no keys: give access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(BuildError::setting("sigv4", message));
        }
        sigv4::sign(request, &keys, service, http::wall_clock());
        Ok(())
    }
}
