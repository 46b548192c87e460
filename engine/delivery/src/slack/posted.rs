//! Messages that a bot has posted: they are updated in place, and what changes is told in their thread.

use serde_json::{Map, Value, json};
use watchfire_model::AlertStatus;

use super::{Fields, UNIT, escape};
use crate::text::ellipsis;
use crate::view;
use crate::{Notification, Request, Topic};

/// Room for a line in a thread.
const LINE_CHARS_MAX: usize = 1_000;
/// Alerts that a line in a thread names.
const NAMES_MAX: usize = 5;

/// Where a group's message stands: the receipt of its last delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The channel's id.
    pub channel: String,
    /// The message's time, which identifies it.
    pub ts: String,
    /// Whether it said that all is over. The next message is a new one then.
    pub over: bool,
}

impl Posted {
    /// From the receipt of a delivery; nothing if no message can be found by it.
    pub fn parse(receipt: &str) -> Option<Posted> {
        let (place, over) = match receipt.strip_suffix(", over") {
            Some(place) => (place, true),
            None => (receipt, false),
        };
        let (channel, ts) = place.strip_prefix("channel ")?.split_once(", ts ")?;
        let usable = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
        (usable(channel) && usable(ts)).then(|| Posted { channel: channel.to_owned(), ts: ts.to_owned(), over })
    }

    /// The receipt from which it is read again.
    pub fn receipt(&self) -> String {
        let over = if self.over { ", over" } else { "" };
        format!("channel {}, ts {}{over}", self.channel, self.ts)
    }
}

/// The request that replaces the message by what `post` would post anew.
pub fn update(post: &Request, posted: &Posted) -> Request {
    let mut payload = payload_of(post);
    // The sender is not changed by an update, and Slack refuses what it does not know there.
    for name in ["username", "icon_emoji", "icon_url"] {
        payload.remove(name);
    }
    payload.insert("channel".to_owned(), posted.channel.as_str().into());
    payload.insert("ts".to_owned(), posted.ts.as_str().into());
    with_payload(post, post.url.replace("chat.postMessage", "chat.update"), payload)
}

/// The request that tells in the thread what changed. What calls for somebody is shown in the channel too, because neither
/// a changed message nor a thread that nobody follows makes a sound.
pub fn reply(post: &Request, fields: &Fields, notification: &Notification, posted: &Posted) -> Request {
    let mut payload = payload_of(post);
    payload.retain(|name, _| matches!(name.as_str(), "username" | "icon_emoji" | "icon_url"));
    payload.insert("channel".to_owned(), posted.channel.as_str().into());
    payload.insert("thread_ts".to_owned(), posted.ts.as_str().into());
    payload.insert("text".to_owned(), line(notification).into());
    if calls_for_somebody(notification) {
        payload.insert("reply_broadcast".to_owned(), true.into());
    }
    if fields.link_names {
        payload.insert("link_names".to_owned(), true.into());
    }
    with_payload(post, post.url.clone(), payload)
}

/// Whether it is told that something fires, and not only that less does or that somebody looks after it.
fn calls_for_somebody(notification: &Notification) -> bool {
    let fires = notification.status() == AlertStatus::Firing && notification.topic == Topic::Alerts;
    fires && !matches!(notification.reason.as_str(), "new_resolved_alerts" | "promised_resolve")
}

fn line(notification: &Notification) -> String {
    let named = |views: &mut dyn Iterator<Item = &watchfire_plugin::AlertView>| {
        let names: Vec<String> = views
            .map(|view| {
                let own = view.alert.labels.filter(|name| notification.common_labels.get(name).is_none());
                view::display_name(&view.alert.labels, &own).to_owned()
            })
            .collect();
        let more = names.len().saturating_sub(NAMES_MAX);
        let shown = names.into_iter().take(NAMES_MAX).collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{shown} and {more} more") } else { shown }
    };
    let mut parts = Vec::new();
    if notification.topic == Topic::Acknowledged {
        parts.push(format!("👀 acknowledged: {}", named(&mut notification.firing())));
    } else if notification.status() == AlertStatus::Resolved {
        parts.push(format!("✅ resolved: {}", named(&mut notification.resolved())));
    } else {
        parts.push(format!("🔥 {} firing: {}", notification.firing().count(), named(&mut notification.firing())));
        if notification.resolved().next().is_some() {
            parts.push(format!("✅ resolved: {}", named(&mut notification.resolved())));
        }
    }
    escape(&ellipsis(&parts.join("  ·  "), LINE_CHARS_MAX, UNIT))
}

fn payload_of(request: &Request) -> Map<String, Value> {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

fn with_payload(post: &Request, url: String, payload: Map<String, Value>) -> Request {
    let mut request = Request { url, notes: Vec::new(), ..post.clone() };
    request.body = crate::go_json(&json!(payload));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_again() {
        for over in [false, true] {
            let posted = Posted { channel: "C1".to_owned(), ts: "1795209600.000100".to_owned(), over };
            assert_eq!(Posted::parse(&posted.receipt()), Some(posted));
        }
        for other in ["", "ok", "channel , ts ", "channel C1, ts x\"y", "HTTP 200"] {
            assert_eq!(Posted::parse(other), None, "{other}");
        }
    }
}
