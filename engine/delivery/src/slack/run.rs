//! Telling Slack: a new message, or the known one updated and its thread continued.

use watchfire_alerting::DeliveryOutcome;
use watchfire_model::AlertStatus;

use super::Fields;
use super::posted::{self, Posted};
use crate::deliverer::Exchange;
use crate::http::Connection;
use crate::outcome::{Dialect, bounded, is_no_entry_at_slack};
use crate::{Notification, Request};

/// What is to be told.
pub(crate) struct Telling {
    /// The message as it is posted anew.
    pub(crate) post: Request,
    /// What it was made of.
    pub(crate) fields: Fields,
    /// Whether a known message is updated.
    pub(crate) update: bool,
}

impl Telling {
    /// The known message, if it is to be updated.
    fn known(&self, notification: &Notification) -> Option<Posted> {
        Posted::parse(&notification.receipt).filter(|posted| self.update && !posted.over)
    }

    /// The requests, as they would be made now.
    pub(crate) fn requests(&self, notification: &Notification) -> Vec<Request> {
        match self.known(notification) {
            Some(posted) => vec![
                posted::update(&self.post, &posted),
                posted::reply(&self.post, &self.fields, notification, &posted),
            ],
            None => vec![self.post.clone()],
        }
    }

    /// Tells. A message that cannot be updated any more, because somebody deleted it or it is too old, is followed by a
    /// new one.
    pub(crate) async fn run(
        self,
        notification: &Notification,
        connection: &Connection,
        exchanges: &mut Vec<Exchange>,
        notes: &mut Vec<String>,
    ) -> DeliveryOutcome {
        if let Some(posted) = self.known(notification) {
            let outcome = send(posted::update(&self.post, &posted), notification, connection, exchanges).await;
            let over = notification.status() == AlertStatus::Resolved;
            match outcome {
                DeliveryOutcome::Delivered { .. } => {
                    let reply = posted::reply(&self.post, &self.fields, notification, &posted);
                    let outcome = send(reply, notification, connection, exchanges).await;
                    let answer = exchanges.last().and_then(|exchange| exchange.answer.as_ref());
                    let no_entry = answer.is_some_and(is_no_entry_at_slack);
                    match outcome {
                        DeliveryOutcome::Delivered { .. } => {}
                        // The message itself says it all. What takes the update and no reply may go on doing so, and the
                        // message would count as not delivered for as long.
                        DeliveryOutcome::Rejected { reason } => notes.push(no_reply(&reason)),
                        DeliveryOutcome::Retry { reason, .. } if no_entry => notes.push(no_reply(&reason)),
                        other => return other,
                    }
                    return DeliveryOutcome::Delivered { receipt: Posted { over, ..posted }.receipt() };
                }
                DeliveryOutcome::Rejected { reason } | DeliveryOutcome::Retry { reason, .. } if is_gone(&reason) => {}
                other => return other,
            }
        }
        let over = notification.status() == AlertStatus::Resolved;
        let outcome = send(self.post, notification, connection, exchanges).await;
        match outcome {
            DeliveryOutcome::Delivered { receipt } => {
                let posted = Posted::parse(&receipt).map(|posted| Posted { over, ..posted }.receipt());
                DeliveryOutcome::Delivered { receipt: posted.unwrap_or(receipt) }
            }
            other => other,
        }
    }
}

async fn send(
    mut request: Request,
    notification: &Notification,
    connection: &Connection,
    exchanges: &mut Vec<Exchange>,
) -> DeliveryOutcome {
    let sent = connection.send(&mut request, Dialect::Slack, notification.at).await;
    exchanges.push(Exchange { request, answer: sent.answer });
    sent.outcome
}

fn no_reply(reason: &str) -> String {
    bounded(&format!("the message is updated, but its thread takes no reply: {reason}"))
}

fn is_gone(reason: &str) -> bool {
    ["message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "channel_not_found"]
        .iter()
        .any(|error| reason == format!("Slack: {error}"))
}
