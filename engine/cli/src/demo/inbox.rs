//! What was delivered, kept and shown as its receivers would see it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailparse::MailHeaderMap;
use serde_json::Value;
use tokio::sync::broadcast;
use watchfire::model::Timestamp;

/// Messages kept per channel; older ones make room.
const KEPT_MAX: usize = 30;

/// One PagerDuty incident, as its events have made it.
#[derive(Clone, Debug)]
pub(crate) struct Incident {
    pub(crate) dedup_key: String,
    pub(crate) status: &'static str,
    pub(crate) severity: String,
    pub(crate) summary: String,
    pub(crate) source: String,
    pub(crate) details: Vec<(String, String)>,
    pub(crate) at: Timestamp,
}

/// One Slack message.
#[derive(Clone, Debug)]
pub(crate) struct SlackMessage {
    /// No other message has it, so that the page knows a message wherever it stands.
    pub(crate) number: u64,
    pub(crate) channel: String,
    pub(crate) username: String,
    pub(crate) color: String,
    /// Safe HTML.
    pub(crate) html: String,
    pub(crate) at: Timestamp,
}

/// One mail.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// As a Slack message's.
    pub(crate) number: u64,
    pub(crate) subject: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) html: String,
    pub(crate) at: Timestamp,
}

/// Everything that was delivered.
pub(crate) struct Inbox {
    clock: fn() -> Timestamp,
    kept: Mutex<Kept>,
    changes: broadcast::Sender<()>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) incidents: VecDeque<Incident>,
    pub(crate) slack: VecDeque<SlackMessage>,
    pub(crate) mails: VecDeque<Mail>,
    /// Messages and mails that have come so far.
    received: u64,
}

impl Kept {
    fn next_number(&mut self) -> u64 {
        self.received += 1;
        self.received
    }
}

impl Inbox {
    pub(crate) fn new(clock: fn() -> Timestamp) -> Inbox {
        Inbox { clock, kept: Mutex::default(), changes: broadcast::channel(16).0 }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        // Nobody may be looking.
        drop(self.changes.send(()));
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<()> {
        self.changes.subscribe()
    }

    /// A copy of everything, the newest first.
    pub(crate) fn kept(&self) -> Kept {
        self.lock().clone()
    }

    /// Takes an event of PagerDuty's Events API v2 and answers its deduplication key.
    pub(crate) fn add_event(&self, event: &Value) -> Option<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let action = event["event_action"].as_str()?;
        let key = text(&event["dedup_key"]);
        let mut kept = self.lock();
        let known = kept.incidents.iter().position(|incident| incident.dedup_key == key);
        let mut incident = match known.and_then(|position| kept.incidents.remove(position)) {
            Some(known) => known,
            None => Incident {
                dedup_key: key.clone(),
                status: "triggered",
                severity: String::new(),
                summary: String::new(),
                source: String::new(),
                details: Vec::new(),
                at: (self.clock)(),
            },
        };
        let payload = &event["payload"];
        if payload.is_object() {
            incident.summary = text(&payload["summary"]);
            incident.severity = text(&payload["severity"]);
            incident.source = text(&payload["source"]);
            incident.details = payload["custom_details"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
                .collect();
        }
        incident.status = match action {
            "resolve" => "resolved",
            "acknowledge" => "acknowledged",
            _ => "triggered",
        };
        incident.at = (self.clock)();
        push(&mut kept.incidents, incident);
        drop(kept);
        self.changed();
        Some(key)
    }

    /// Takes a message as Slack's incoming webhooks get it.
    pub(crate) fn add_slack(&self, message: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let attachments = message["attachments"].as_array().cloned().unwrap_or_default();
        let mut html = super::slack::blocks(&message["blocks"]);
        if html.is_empty() {
            html = super::slack::mrkdwn(message["text"].as_str().unwrap_or_default());
        }
        for attachment in &attachments {
            html.push_str(&super::slack::attachment(attachment));
        }
        let mut kept = self.lock();
        let message = SlackMessage {
            number: kept.next_number(),
            channel: text(&message["channel"]),
            username: text(&message["username"]),
            color: attachments.first().map(|attachment| text(&attachment["color"])).unwrap_or_default(),
            html,
            at: (self.clock)(),
        };
        push(&mut kept.slack, message);
        drop(kept);
        self.changed();
    }

    /// Takes a mail as it came over the wire.
    pub(crate) fn add_mail(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        match read_mail(bytes, kept.next_number(), (self.clock)()) {
            Ok(mail) => push(&mut kept.mails, mail),
            Err(error) => tracing::warn!(%error, "a mail could not be read"),
        }
        drop(kept);
        self.changed();
    }
}

fn read_mail(bytes: &[u8], number: u64, at: Timestamp) -> Result<Mail, mailparse::MailParseError> {
    let parsed = mailparse::parse_mail(bytes)?;
    let header = |name: &str| parsed.headers.get_first_value(name).unwrap_or_default();
    // The richest form comes last among alternatives.
    let html = parsed.parts().filter(|part| part.ctype.mimetype == "text/html").last();
    let html = html.map(mailparse::ParsedMail::get_body).transpose()?.unwrap_or_default();
    // Links open beside the page, since nothing else may be shown in the place of a mail.
    let html = html.replacen("<head>", "<head><base target=\"_blank\">", 1);
    Ok(Mail { number, subject: header("Subject"), from: header("From"), to: header("To"), html, at })
}

fn push<T>(kept: &mut VecDeque<T>, item: T) {
    kept.push_front(item);
    kept.truncate(KEPT_MAX);
}
