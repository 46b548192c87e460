//! Formatters: what is to be said?

use std::collections::BTreeMap;

use watchfire_model::Timestamp;

use crate::{AlertView, PluginError};

/// A formatter opened for one integration of a receiver with its configuration.
pub trait Formatter: Send {
    /// Writes the message for an alert group.
    ///
    /// # Errors
    /// On a failure the caller uses the channel's built-in message, so that a broken formatter never costs a page.
    fn format(&mut self, group: &MessageGroup) -> Result<Message, PluginError>;
}

/// The alert group that a message is about.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageGroup {
    /// The time of the call.
    pub at: Timestamp,
    /// The group's stable key.
    pub key: String,
    /// The receiver's name.
    pub receiver: String,
    /// The labels by which the alerts are grouped.
    pub group_labels: BTreeMap<String, String>,
    /// Where this engine can be reached by a reader.
    pub external_url: String,
    /// The alerts, firing ones first.
    pub alerts: Vec<AlertView>,
}

/// A message as the plugin wants it. The host addresses, authenticates and sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// A subject or headline, where the channel has one.
    pub title: String,
    /// The body's media type: `application/json` for a channel's own payload, `text/plain`, `text/html`, ...
    pub content_type: String,
    /// The body.
    pub body: String,
    /// Headers to add; the host refuses those that carry credentials or addressing.
    pub headers: Vec<(String, String)>,
    /// Replaces the deduplication key, where the channel has one.
    pub dedup_key: Option<String>,
}
