//! Delivering: notification in, outcome and history out.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use thiserror::Error;
use watchfire_alerting::{Delivery, DeliveryOutcome, IntegrationKey, SettingsDigest};
use watchfire_config::{PluginUse, Receiver};
use watchfire_model::{Fingerprint, Timestamp};
use watchfire_plugin::{Message, Provider};

use crate::http::{self, Pools};
use crate::integration::{Integration, Made, Target};
use crate::mailed::Mailed;
use crate::outcome::{Answer, Dialect, bounded, is_no_entry};
use crate::templated::Run;
use crate::text::{Unit, shorten};
use crate::words::{self, Library, NotificationTemplates};
use crate::{BuildError, Channel, Method, Notification, Redactor, Request, Trends, email};

/// How much of a body is kept for the history.
const HISTORY_BYTES_MAX: usize = 16 << 10;

/// How long an attempt may take altogether; longer where a receiver's timeout for each of its requests is longer, but never
/// so long that the state machine takes it for lost and tries again.
const ATTEMPT_MAX: Duration = Duration::from_mins(2);
const ATTEMPT_LONGEST: Duration = Duration::from_secs(290);

/// Alerts of a notification whose trend is shown; mail readers cut long mails off.
const TRENDS_MAX: usize = 5;

/// What all integrations share.
#[derive(Clone, Default)]
pub struct Settings {
    /// Where readers reach this engine.
    pub external_url: String,
    /// How long an attempt may take where the receiver does not say; nothing means 10 s for HTTP and 30 s for SMTP.
    pub timeout: Option<Duration>,
    /// Channels of the embedding program by receiver. Each comes behind the integrations that the configuration gives a
    /// receiver of that name, or is its only one. Its position among them takes the place of settings.
    pub channels: BTreeMap<String, Vec<Arc<dyn Channel>>>,
    /// Who knows the numbers behind alerts; without one, mails show none.
    pub trends: Option<Arc<dyn Trends>>,
}

/// Delivers to all receivers of a configuration. A new configuration is a new deliverer.
pub struct Deliverer {
    settings: Settings,
    library: Arc<Library>,
    provider: Arc<dyn Provider>,
    receivers: Receivers,
    /// Those of the configuration before.
    former: Receivers,
    problems: Vec<Problem>,
}

/// Integrations by receiver, kind and settings.
type Receivers = BTreeMap<String, BTreeMap<(Arc<str>, SettingsDigest), Arc<Integration>>>;

/// Something in a configuration that cannot be used, or not as it is meant. Everything else works.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct Problem {
    /// Which receiver and integration.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// Why nothing can be sent, and so nothing can be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PreviewError {
    /// The receiver has no such integration.
    #[error("receiver {receiver:?} has no integration {integration}")]
    Unknown {
        /// The receiver.
        receiver: String,
        /// The integration.
        integration: IntegrationKey,
    },
    /// The request cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// One attempt: how it ended, and what went over the wire without secrets and cut to a bounded size.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// How it ended.
    pub outcome: DeliveryOutcome,
    /// The channel, such as `slack`.
    pub kind: Arc<str>,
    /// What was sent and what was answered, in order.
    pub exchanges: Vec<Exchange>,
    /// What failed or was left out on the way without stopping it, one sentence each.
    pub notes: Vec<String>,
    /// The one of the notes that says why the built-in message went in place of the receiver's own words, if it did.
    pub stand_in: Option<String>,
}

/// An attempt as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryRecord {
    /// Its number: it grows with each attempt, over restarts too.
    pub number: u64,
    /// When it ended.
    pub at: Timestamp,
    /// What was delivered.
    pub delivery: Delivery,
    /// Of how many alerts it told: more than the delivery has where they were too many to be kept over a restart.
    pub alerts: usize,
    /// What happened.
    pub attempt: Attempt,
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// What was sent.
    pub request: Request,
    /// What was answered, if anything was.
    pub answer: Option<Answer>,
}

impl Attempt {
    /// One that came to nothing, and is to be made again.
    pub fn failed(delivery: &Delivery, reason: String) -> Attempt {
        Attempt::new(delivery.integration.kind.clone(), DeliveryOutcome::Retry { after: None, reason })
    }

    /// One that sent nothing so far.
    fn new(kind: Arc<str>, outcome: DeliveryOutcome) -> Attempt {
        Attempt { outcome, kind, exchanges: Vec::new(), notes: Vec::new(), stand_in: None }
    }
}

impl Deliverer {
    /// Prepares all integrations.
    ///
    /// What cannot be used is listed in [`problems`](Deliverer::problems) and does not stop the rest.
    pub fn new(
        settings: Settings,
        receivers: &[Receiver],
        templates: impl Into<NotificationTemplates>,
        provider: Arc<dyn Provider>,
    ) -> Deliverer {
        let NotificationTemplates { go, handlebars } = templates.into();
        http::install_crypto();
        let mut problems = Vec::new();
        let pools = Pools::default();
        let mut prepared: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for receiver in receivers {
            let integrations = prepared.entry(receiver.name.clone()).or_default();
            for integration in &receiver.integrations {
                let place = format!("{}/{}[{}]", receiver.name, integration.channel.kind(), integration.ordinal);
                let mut found = Vec::new();
                let ready = Integration::new(integration, &pools, &handlebars, settings.timeout, &mut found);
                integrations.insert((ready.kind.clone(), integration.settings), Arc::new(ready));
                problems.extend(found.into_iter().map(|message| Problem { place: place.clone(), message }));
            }
        }
        for (receiver, channels) in &settings.channels {
            let custom = channels.iter().enumerate().map(|(position, channel)| {
                let ready = Integration::custom(channel.clone(), settings.timeout);
                ((ready.kind.clone(), SettingsDigest(position as u128)), Arc::new(ready))
            });
            prepared.entry(receiver.clone()).or_default().extend(custom);
        }
        let former = BTreeMap::new();
        Deliverer { settings, library: Arc::new(Library::new(go)), provider, receivers: prepared, former, problems }
    }

    /// Takes the place of another deliverer: what was decided for an integration as it was before goes to it as it was
    /// before.
    pub fn continuing(self, before: &Deliverer) -> Deliverer {
        Deliverer { former: before.receivers.clone(), ..self }
    }

    /// What of the configuration cannot be used, or not as it is meant.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Tries once.
    pub async fn deliver(&self, delivery: &Delivery) -> DeliveryOutcome {
        self.attempt(delivery).await.outcome
    }

    /// Tries once and tells what went over the wire. A panic of a channel is an attempt that failed: without an outcome
    /// the group would wait for this attempt for ever, and nothing more of it would be told.
    ///
    /// Between a decision and its attempt a reload may take the integration away. Nobody was told then, and it is for the
    /// state machine, which hears of the reload too, to say what becomes of the notification.
    pub async fn attempt(&self, delivery: &Delivery) -> Attempt {
        let Some(integration) = self.integration(delivery) else {
            return Attempt::failed(delivery, unknown(delivery).to_string());
        };
        let mailed = Arc::new(Mailed::read(&delivery.done));
        let before = mailed.written();
        // What an attempt keeps while it waits for an answer is several KiB, and of a storm's attempts few wait at once:
        // most wait for their turn, when this is not made yet.
        let attempt = Box::pin(self.attempt_through(&integration, delivery, &mailed));
        let attempt = AssertUnwindSafe(attempt).catch_unwind();
        let limit = ATTEMPT_MAX.max(integration.timeout.saturating_add(Duration::from_secs(5))).min(ATTEMPT_LONGEST);
        let mut attempt = match tokio::time::timeout(limit, attempt).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(panic)) => {
                let said = integration.redactor().text(panic_text(&*panic));
                Attempt::failed(delivery, bounded(&format!("sending panicked, which is a bug: {said}")))
            }
            Err(_) => Attempt::failed(delivery, format!("not done within {} s", limit.as_secs())),
        };
        let done = mailed.written();
        if let DeliveryOutcome::Retry { after: None, reason } = &attempt.outcome
            && done != before
        {
            attempt.outcome = DeliveryOutcome::Partly { done, reason: reason.clone() };
        }
        let (receiver, kind) = (&*delivery.receiver, &*attempt.kind);
        for note in &attempt.notes {
            tracing::warn!(receiver, kind, id = %delivery.id, "{note}");
        }
        match &attempt.outcome {
            DeliveryOutcome::Delivered { receipt } => {
                tracing::debug!(receiver, kind, id = %delivery.id, attempt = delivery.attempt, "delivered: {receipt}");
            }
            DeliveryOutcome::Retry { reason, .. } | DeliveryOutcome::Partly { reason, .. } => {
                tracing::warn!(receiver, kind, id = %delivery.id, attempt = delivery.attempt, "to be retried: {reason}");
            }
            DeliveryOutcome::Rejected { reason } => {
                tracing::error!(receiver, kind, id = %delivery.id, attempt = delivery.attempt, "rejected: {reason}");
            }
            DeliveryOutcome::RejectedInPart { reason, .. } => {
                tracing::error!(receiver, kind, id = %delivery.id, attempt = delivery.attempt, "rejected in part: {reason}");
            }
        }
        attempt
    }

    async fn attempt_through(
        &self,
        integration: &Arc<Integration>,
        delivery: &Delivery,
        mailed: &Arc<Mailed>,
    ) -> Attempt {
        let (mut notification, mut notes) = self.notification(delivery);
        if let Some(trends) = self.trends_for(integration) {
            let asked = tokio::task::spawn_blocking(move || with_trends(notification, &*trends));
            notification = match asked.await {
                Ok(notification) => notification,
                Err(_) => {
                    notes.push("the trends of the alerts could not be worked out".to_owned());
                    self.notification(delivery).0
                }
            };
        }
        let redactor = integration.redactor();
        let mut attempt = self.send(integration, Arc::new(notification), mailed, &redactor).await;
        attempt.notes.append(&mut notes);
        attempt
    }

    async fn send(
        &self,
        integration: &Arc<Integration>,
        notification: Arc<Notification>,
        mailed: &Arc<Mailed>,
        redactor: &Arc<Redactor>,
    ) -> Attempt {
        let rejected = DeliveryOutcome::Rejected { reason: String::new() };
        let mut attempt = Attempt::new(integration.kind.clone(), rejected);
        if let Target::Custom(channel) = &integration.target {
            let answer = tokio::time::timeout(integration.timeout, channel.send(&notification)).await;
            attempt.outcome = answer.unwrap_or_else(|_| DeliveryOutcome::Retry {
                after: None,
                reason: format!("no answer within {} ms", integration.timeout.as_millis()),
            });
            return attempt;
        }
        let mut run = Run { mailed: Arc::clone(mailed), ..Run::default() };
        let (mut message, mut outcome) = (None, None);
        match (self.told_in_background(integration, &notification).await, integration.grant()) {
            (Ok(Some(Told::Own(mut request))), Some(grant)) => {
                let sent = grant.connection.send(&mut request, Dialect::Plain, notification.at).await;
                let no_entry = sent.answer.as_ref().is_some_and(|answer| is_no_entry(answer.status));
                let refused = no_entry || matches!(sent.outcome, DeliveryOutcome::Rejected { .. });
                run.exchanges.push(Exchange { request, answer: sent.answer });
                match sent.outcome {
                    // A way that is not open is no reason to wait where there is another one.
                    DeliveryOutcome::Retry { reason, .. } | DeliveryOutcome::Rejected { reason } if refused => {
                        let note =
                            format!("the formatter's request is refused, the built-in message is sent: {reason}");
                        attempt.stand_in = Some(bounded(&redactor.text(note)));
                    }
                    sent => outcome = Some(sent),
                }
            }
            (Ok(Some(Told::Message(made))), _) => message = Some(made),
            (Ok(_), _) => {}
            (Err(why), _) => attempt.stand_in = Some(redactor.text(why)),
        }
        attempt.notes.extend(attempt.stand_in.clone());
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => {
                let notes = &mut attempt.notes;
                self.send_message(integration, &notification, message.as_ref(), redactor, notes, &mut run).await
            }
        };
        // A token that came meanwhile is a secret too, and so is one that was in use and is forgotten by now.
        let now = integration.redactor();
        let redactor = &match Arc::ptr_eq(&now, redactor) && run.secrets.is_empty() {
            true => now,
            false => Arc::new(now.and(redactor.secrets()).and(run.secrets.iter().map(String::as_str))),
        };
        attempt.outcome = redacted(outcome, redactor);
        for exchange in run.exchanges {
            let mut request = redactor.request(exchange.request);
            attempt.notes.append(&mut request.notes);
            if request.body.len() > HISTORY_BYTES_MAX {
                let body = String::from_utf8_lossy(&request.body);
                request.body = shorten(&body, HISTORY_BYTES_MAX, Unit::Bytes).into_owned().into_bytes();
            }
            let shown = |answer: Answer| Answer { body: redactor.text(answer.body), ..answer };
            let answer = exchange.answer.map(shown);
            attempt.exchanges.push(Exchange { request, answer });
        }
        attempt
    }

    /// Through the receiver's own channel, with the words of a message or the built-in ones.
    async fn send_message(
        &self,
        integration: &Integration,
        notification: &Notification,
        message: Option<&Message>,
        redactor: &Redactor,
        notes: &mut Vec<String>,
        run: &mut Run,
    ) -> DeliveryOutcome {
        let made = match integration.make(&self.library, notification, message, &mut run.secrets) {
            Ok(made) => made,
            Err(error) => {
                return DeliveryOutcome::Rejected { reason: bounded(&redactor.text(error.to_string())) };
            }
        };
        match (made, &integration.target) {
            (Made::Http(None, _), _) => DeliveryOutcome::Delivered { receipt: "there was nothing to send".to_owned() },
            (
                Made::Http(Some(mut request), dialect),
                Target::PagerDuty(_, connection) | Target::Webhook(_, connection, _),
            ) => {
                let sent = connection.send(&mut request, dialect, notification.at).await;
                run.exchanges.push(Exchange { request, answer: sent.answer });
                sent.outcome
            }
            (Made::EachAlert(requests, dialect), Target::PagerDuty(_, connection)) => {
                let mut answers = Vec::new();
                for (alert, mut request) in requests {
                    let sent = connection.send(&mut request, dialect, notification.at).await;
                    run.exchanges.push(Exchange { request, answer: sent.answer });
                    match sent.outcome {
                        DeliveryOutcome::Delivered { receipt } => answers.push((alert, Ok(receipt))),
                        // One that is refused says nothing about those that follow.
                        DeliveryOutcome::Rejected { reason } | DeliveryOutcome::RejectedInPart { reason, .. } => {
                            answers.push((alert, Err(reason)));
                        }
                        // All are made again.
                        again @ (DeliveryOutcome::Retry { .. } | DeliveryOutcome::Partly { .. }) => return again,
                    }
                }
                each_alert(answers)
            }
            (Made::Slack(telling, mut more), Target::Slack(_, connection)) => {
                let outcome = telling.run(notification, connection, &mut run.exchanges, &mut more).await;
                notes.extend(more.iter().map(|note| redactor.text(note)));
                outcome
            }
            (Made::Templated(prepared, more), Target::Templated(templated, connection, kept)) => {
                notes.extend(more.iter().map(|note| redactor.text(note)));
                templated.run(&prepared, notification, connection, kept, run).await
            }
            (Made::Mails(mails, mut more), Target::Email(_, smtp)) => {
                let mut outcomes = Vec::new();
                for mail in &mails {
                    let outcome = smtp.send(mail, &run.mailed, &mut more).await;
                    let request = mail_request(mail, std::mem::take(&mut more), &integration.target);
                    run.exchanges.push(Exchange { request, answer: None });
                    outcomes.push(outcome);
                }
                let (outcome, refused) = together(outcomes);
                notes.extend(
                    refused.iter().map(|reason| bounded(&redactor.text(format!("a mail was refused: {reason}")))),
                );
                outcome
            }
            // `make` answers with what its target sends.
            _ => DeliveryOutcome::Rejected { reason: "the integration cannot send".to_owned() },
        }
    }

    /// What would be sent, without secrets.
    ///
    /// # Errors
    /// If nothing could be sent.
    pub fn preview(&self, delivery: &Delivery) -> Result<Vec<Request>, PreviewError> {
        let integration = self.integration(delivery).ok_or_else(|| unknown(delivery))?;
        let (mut notification, mut notes) = self.notification(delivery);
        if let Some(trends) = self.trends_for(&integration) {
            notification = with_trends(notification, &*trends);
        }
        let message = match (told(&integration, &*self.provider, &notification), integration.grant()) {
            (Ok(Some(Told::Own(mut request))), Some(grant)) => {
                request.notes.append(&mut notes);
                grant.connection.complete(&mut request);
                return Ok(vec![integration.redactor().request(request)]);
            }
            (Ok(Some(Told::Message(message))), _) => Some(message),
            (Ok(_), _) => None,
            (Err(why), _) => {
                notes.push(why);
                None
            }
        };
        let mut secrets = Vec::new();
        let made = integration.make(&self.library, &notification, message.as_ref(), &mut secrets)?;
        let requests = match (made, &integration.target) {
            (Made::Http(request, _), _) => request.into_iter().collect(),
            (Made::EachAlert(requests, _), _) => requests.into_iter().map(|(_, request)| request).collect(),
            (Made::Slack(telling, more), _) => {
                notes.extend(more);
                telling.requests(&notification)
            }
            (Made::Templated(prepared, more), Target::Templated(templated, ..)) => {
                notes.extend(more);
                templated.preview(&prepared, &notification)?
            }
            (Made::Mails(mails, more), target) => {
                notes.extend(more);
                mails.iter().map(|mail| mail_request(mail, Vec::new(), target)).collect()
            }
            (Made::Templated(..), _) => Vec::new(),
        };
        let redactor = integration.redactor().and(secrets.iter().map(String::as_str));
        let shown = requests.into_iter().map(|mut request| {
            request.notes.append(&mut notes);
            if let Some(connection) = integration.connection() {
                connection.complete(&mut request);
            }
            redactor.request(request)
        });
        Ok(shown.collect())
    }

    /// What is to be told, with the labels of its route, and what failed on the way.
    fn notification(&self, delivery: &Delivery) -> (Notification, Vec<String>) {
        let mut notification = Notification::of_delivery(delivery, &self.settings.external_url);
        let (labels, failed) = self.route_labels(&delivery.route_labels, &notification);
        notification.route_labels = labels;
        let notes =
            failed.into_iter().map(|(name, error)| bounded(&format!("the route label {name} is left out: {error}")));
        (notification, notes.collect())
    }

    /// Who is to be asked for the trends of the alerts, if the channel shows them.
    fn trends_for(&self, integration: &Integration) -> Option<Arc<dyn Trends>> {
        self.settings.trends.clone().filter(|_| matches!(integration.target, Target::Email(..)))
    }

    /// The labels of a route for a notification: their values are templates. What fails is in the second part.
    pub fn route_labels(
        &self,
        texts: &BTreeMap<String, String>,
        notification: &Notification,
    ) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        if texts.is_empty() {
            return (BTreeMap::new(), BTreeMap::new());
        }
        self.library.templates().route_labels(texts, &crate::view::data(notification), notification.at)
    }

    fn integration(&self, delivery: &Delivery) -> Option<Arc<Integration>> {
        let key = (Arc::clone(&delivery.integration.kind), delivery.settings);
        let known = [&self.receivers, &self.former].into_iter().filter_map(|known| known.get(&*delivery.receiver));
        known.filter_map(|integrations| integrations.get(&key)).next().cloned()
    }

    /// The words of the receiver's template file or formatter, or why the built-in ones are sent in their place. A plugin
    /// computes, so it does so where it holds up nobody.
    async fn told_in_background(
        &self,
        integration: &Arc<Integration>,
        notification: &Arc<Notification>,
    ) -> Result<Option<Told>, String> {
        if integration.formatter.is_none() {
            return told(integration, &*self.provider, notification);
        }
        let (integration, provider, notification) = (integration.clone(), self.provider.clone(), notification.clone());
        let asked = tokio::task::spawn_blocking(move || told(&integration, &*provider, &notification));
        asked.await.unwrap_or_else(|_| Err("the formatter panicked, the built-in message is sent".to_owned()))
    }
}

/// What a panic said, if it said it in words.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason was given")
}

/// Asks for the trends of the alerts that come first.
fn with_trends(mut notification: Notification, trends: &dyn Trends) -> Notification {
    let first = notification.firing().chain(notification.resolved()).take(TRENDS_MAX);
    let alerts: Vec<_> = first.map(|view| &view.alert).collect();
    let known = trends.trends(&alerts, notification.at).into_iter();
    let known = alerts.iter().zip(known).filter_map(|(alert, trend)| Some((alert.fingerprint(), trend?))).collect();
    notification.trends = known;
    notification
}

/// What a template file or a formatter makes of a notification.
enum Told {
    /// A message for the receiver's own channel.
    Message(Message),
    /// A request of the plugin's own, to a host that is granted; it holds secrets.
    Own(Request),
}

/// Nothing where the receiver has neither a formatter nor a template file. Where one failed, why the built-in message is
/// sent.
fn told(
    integration: &Integration,
    provider: &dyn Provider,
    notification: &Notification,
) -> Result<Option<Told>, String> {
    let made = match (&integration.formatter, &integration.template) {
        (Some(usage), _) => formatted(integration, provider, usage, notification)
            .map_err(|error| format!("the formatter {} failed, the built-in message is sent: {error}", usage.plugin)),
        (None, Some(template)) => template
            .message(notification)
            .map(Told::Message)
            .map_err(|error| format!("the template file failed, the built-in message is sent: {error}")),
        (None, None) => return Ok(None),
    };
    made.map(Some).map_err(|why| bounded(&why))
}

fn formatted(
    integration: &Integration,
    provider: &dyn Provider,
    usage: &PluginUse,
    notification: &Notification,
) -> Result<Told, String> {
    let format = |stand_ins| words::format(provider, usage, notification, &integration.kind, stand_ins);
    let Some(grant) = integration.grant() else {
        let message = format(BTreeMap::new())?;
        return match message.target {
            None => Ok(Told::Message(message)),
            Some(_) => Err("it addresses its request itself, which is for a webhook with a `grant`".to_owned()),
        };
    };
    let call = grant.call()?;
    let made = format(call.stand_ins.clone()).and_then(|message| match &message.target {
        None => call.message(message).map(Told::Message),
        Some(target) => call.request(&message, target, notification).map(Told::Own),
    });
    made.map_err(|why| call.shown(&why))
}

fn unknown(delivery: &Delivery) -> PreviewError {
    PreviewError::Unknown { receiver: delivery.receiver.to_string(), integration: delivery.integration.clone() }
}

fn redacted(outcome: DeliveryOutcome, redactor: &Redactor) -> DeliveryOutcome {
    match outcome {
        DeliveryOutcome::Delivered { receipt } => DeliveryOutcome::Delivered { receipt: redactor.text(receipt) },
        DeliveryOutcome::Retry { after, reason } => DeliveryOutcome::Retry { after, reason: redactor.text(reason) },
        DeliveryOutcome::Partly { done, reason } => DeliveryOutcome::Partly { done, reason: redactor.text(reason) },
        DeliveryOutcome::Rejected { reason } => DeliveryOutcome::Rejected { reason: redactor.text(reason) },
        DeliveryOutcome::RejectedInPart { alerts, receipt, reason } => {
            DeliveryOutcome::RejectedInPart { alerts, receipt: redactor.text(receipt), reason: redactor.text(reason) }
        }
    }
}

/// What messages of one notification came to of which each tells of one alert: the answer or why it was refused. Who was
/// refused one knows nothing of that alert, whatever became of the others.
fn each_alert(answers: Vec<(Fingerprint, Result<String, String>)>) -> DeliveryOutcome {
    let count = answers.len();
    let (mut alerts, mut reasons, mut receipt) = (Vec::new(), Vec::new(), "there was nothing to send".to_owned());
    for (alert, answer) in answers {
        match answer {
            Ok(last) => receipt = last,
            Err(reason) => {
                alerts.push(alert);
                reasons.push(reason);
            }
        }
    }
    reasons.dedup();
    let reason = reasons.join("; ");
    match alerts.len() {
        0 => DeliveryOutcome::Delivered { receipt },
        refused if refused == count => DeliveryOutcome::Rejected { reason: bounded(&reason) },
        refused => {
            let reason = bounded(&format!("{refused} of {count} alerts are refused: {reason}"));
            DeliveryOutcome::RejectedInPart { alerts, receipt, reason }
        }
    }
}

/// What several mails of one notification came to, each of which tells somebody all of it: to be tried again if one is,
/// else delivered if one was, with the reasons why others were refused in its receipt and beside it.
fn together(mut outcomes: Vec<DeliveryOutcome>) -> (DeliveryOutcome, Vec<String>) {
    let rank = |outcome: &DeliveryOutcome| match outcome {
        DeliveryOutcome::Retry { .. } | DeliveryOutcome::Partly { .. } => 0,
        DeliveryOutcome::Delivered { .. } => 1,
        DeliveryOutcome::Rejected { .. } | DeliveryOutcome::RejectedInPart { .. } => 2,
    };
    outcomes.sort_by_key(rank);
    let mut outcomes = outcomes.into_iter();
    let nobody = || DeliveryOutcome::Rejected { reason: "there is nobody to write to".to_owned() };
    let first = outcomes.next().unwrap_or_else(nobody);
    let refused = outcomes.filter_map(|outcome| match outcome {
        DeliveryOutcome::Rejected { reason } => Some(reason),
        _ => None,
    });
    let refused: Vec<String> = refused.collect();
    let DeliveryOutcome::Delivered { receipt } = first else { return (first, refused) };
    let receipt = match refused.is_empty() {
        true => receipt,
        false => bounded(&format!("{receipt}; refused: {}", refused.join("; "))),
    };
    (DeliveryOutcome::Delivered { receipt }, refused)
}

/// A mail in the shape of a request, for people to look at.
fn mail_request(mail: &email::Mail, notes: Vec<String>, target: &Target) -> Request {
    let url = match target {
        Target::Email(config, _) => format!("smtp://{}:{}", config.smarthost.0, config.smarthost.1),
        _ => String::new(),
    };
    let recipients: Vec<String> = mail.envelope.to().iter().map(ToString::to_string).collect();
    Request {
        method: Method::Post,
        url,
        headers: vec![
            ("From".to_owned(), mail.envelope.from().map(ToString::to_string).unwrap_or_default()),
            ("To".to_owned(), recipients.join(", ")),
            ("Subject".to_owned(), mail.subject.clone()),
        ],
        body: mail.bytes.clone(),
        notes,
    }
}
