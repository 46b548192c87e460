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
    /// The notification's id, the same at every attempt.
    pub id: String,
    /// The kind of the receiver's channel, such as `slack`.
    pub channel: String,
    /// The secrets that the receiver grants, by name: a stand-in for each, made for this call, which becomes the secret
    /// where it stands in a request of the plugin's own.
    pub secrets: BTreeMap<String, String>,
}

/// A message as the plugin wants it. The host authenticates and sends it, and addresses it unless the plugin does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// A subject or headline, where the channel has one.
    pub title: String,
    /// The body's media type: `application/json` for a channel's own payload, `text/plain`, `text/html`, ...
    pub content_type: String,
    /// The body.
    pub body: String,
    /// Headers to add; the host refuses those that frame the request, and those that carry credentials unless there is a
    /// target.
    pub headers: Vec<(String, String)>,
    /// Replaces the deduplication key, where the channel has one.
    pub dedup_key: Option<String>,
    /// Where it goes, if not through the receiver's own channel.
    pub target: Option<Target>,
}

/// Where a request of the plugin's own goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: String,
}

/// The method of an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    /// The upper-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of an upper-case name.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.as_str() == name)
    }
}
