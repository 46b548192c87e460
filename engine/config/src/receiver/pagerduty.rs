//! `pagerduty_configs`.

use watchfire_model::Duration;

use super::Channel;
use crate::decode::Fields;
use crate::global::GlobalConfig;
use crate::http::{HttpConfig, http_config};
use crate::secret::Credential;
use crate::template::Weight;
use crate::tree::Tree;

/// PagerDuty's Events API. Texts may be templates; `None` means the channel's default.
#[derive(Clone, Debug, PartialEq)]
pub struct PagerDutyConfig {
    /// How requests are made.
    pub http: HttpConfig,
    /// The key of an Events API v2 integration.
    pub routing_key: Option<Credential>,
    /// The key of an Events API v1 integration.
    pub service_key: Option<Credential>,
    /// Where events go.
    pub url: String,
    /// Who sends it.
    pub client: Option<String>,
    /// A link to who sends it.
    pub client_url: Option<String>,
    /// The summary.
    pub description: Option<String>,
    /// Custom details, beside the default ones.
    pub details: Vec<(String, Tree)>,
    /// Images.
    pub images: Vec<PagerDutyImage>,
    /// Links.
    pub links: Vec<PagerDutyLink>,
    /// What is affected; the client by default.
    pub source: Option<String>,
    /// `critical`, `error`, `warning` or `info`.
    pub severity: Option<String>,
    /// The class of the event.
    pub class: Option<String>,
    /// The part that is affected.
    pub component: Option<String>,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// How long a request may take.
    pub timeout: Option<Duration>,
    /// What an incident is about.
    pub incident: PagerDutyIncident,
    /// Whether changes are told instead of alerts.
    pub change: bool,
    /// What PagerDuty's webhooks to this engine are signed with.
    pub webhook_secret: Option<Credential>,
}

/// What an incident is about: which alerts share a deduplication key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PagerDutyIncident {
    /// All alerts of a group.
    #[default]
    Group,
    /// One alert.
    Alert,
    /// All whose template makes the same key.
    Template(String),
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PagerDutyImage {
    /// The image.
    pub src: String,
    /// What it shows.
    pub alt: String,
    /// Where a click leads.
    pub href: String,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PagerDutyLink {
    /// Where to.
    pub href: String,
    /// What it says.
    pub text: String,
}

pub(super) fn read(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    let config = PagerDutyConfig {
        http: http_config(f).unwrap_or_else(|| global.http.clone()),
        routing_key: f.template_credential("routing_key", "routing_key_file"),
        service_key: f.template_credential("service_key", "service_key_file"),
        url: f.url("url").unwrap_or_else(|| global.pagerduty_url.clone()),
        client: f.template("client"),
        client_url: f.template("client_url"),
        description: f.template("description"),
        details: f
            .read("details", |decoder, node| {
                Some(decoder.entries(node, "details", |decoder, entry| {
                    decoder.check_templates(&entry.value, &entry.key, true, Weight::Text, false);
                    Some(decoder.tree(&entry.value))
                }))
            })
            .unwrap_or_default(),
        images: f.list("images", |decoder, node| {
            decoder.mapping(node, "an image", |f| PagerDutyImage {
                src: f.template("src").unwrap_or_default(),
                alt: f.template("alt").unwrap_or_default(),
                href: f.template("href").unwrap_or_default(),
            })
        }),
        links: f.list("links", |decoder, node| {
            decoder.mapping(node, "a link", |f| PagerDutyLink {
                href: f.template("href").unwrap_or_default(),
                text: f.template("text").unwrap_or_default(),
            })
        }),
        source: f.template("source"),
        severity: f.template("severity"),
        class: f.template("class"),
        component: f.template("component"),
        group: f.template("group"),
        timeout: f.go_duration("timeout"),
        incident: match f.template("dedup_key").unwrap_or_default().as_str() {
            "" | "group" => PagerDutyIncident::Group,
            "alert" => PagerDutyIncident::Alert,
            template => PagerDutyIncident::Template(template.to_owned()),
        },
        change: f.word("event", &["alert", "change"]) == Some("change"),
        webhook_secret: f.credential("webhook_secret", "webhook_secret_file"),
    };
    let absent = ["routing_key", "routing_key_file", "service_key", "service_key_file"].iter().all(|key| f.lacks(key));
    if absent {
        f.missing("routing_key")
            .help("give `routing_key` or `routing_key_file`: the key of an Events API v2 integration");
    }
    Channel::PagerDuty(Box::new(config))
}
