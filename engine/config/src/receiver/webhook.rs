//! `webhook_configs`.

use watchfire_model::Duration;

use super::Channel;
use super::grant::{Grant, grant};
use crate::decode::Fields;
use crate::global::GlobalConfig;
use crate::http::{HttpConfig, http_config};
use crate::secret::{Credential, Secret};
use crate::template::Weight;
use crate::tree::Tree;
use crate::url;

/// A request to any address.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// How requests are made.
    pub http: HttpConfig,
    /// Where to; may be a template.
    pub url: Option<Credential>,
    /// How many alerts a request may hold; 0 for all.
    pub max_alerts: u64,
    /// How long a request may take.
    pub timeout: Option<Duration>,
    /// The body instead of Alertmanager's; texts within may be templates.
    pub payload: Option<Tree>,
    /// What its formatter may address itself.
    pub grant: Option<Box<Grant>>,
}

pub(super) fn read(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    let inline = f.filled("url");
    match inline.as_deref() {
        Some(text) if text.contains("{{") => f.check_template("url", text, Weight::Refused),
        Some(text) if text != "<secret>" => {
            if let Err(reason) = url::check(text) {
                f.error("url", "bad-url", format!("url is not an address: {reason}"))
                    .help("write it like https://example.com/path");
            }
        }
        _ => {}
    }
    let file = f.path("url_file").map(|path| {
        let at = f.at("url_file");
        let content = f.decoder().read_secret_file(at, &path).map(Secret::new);
        Credential::File { path, content }
    });
    if let Some(file) = &file {
        f.check_credential("url", "url_file", file, Weight::Needed);
    }
    f.check_templates("payload", true, Weight::Text);
    match (&inline, &file) {
        (None, None) if f.lacks("url") => f.missing("url").help("give `url`, or `url_file` for a secret one"),
        (Some(_), Some(_)) => f
            .error("url_file", "conflict", "a webhook config has both `url` and `url_file`")
            .help("keep one of the two"),
        _ => {}
    }
    let config = WebhookConfig {
        http: http_config(f).unwrap_or_else(|| global.http.clone()),
        url: inline.map(|text| Credential::Inline(Secret::new(text))).or(file),
        max_alerts: f.count("max_alerts").unwrap_or(0),
        timeout: f.go_duration("timeout"),
        payload: f.tree("payload"),
        grant: grant(f, global),
    };
    Channel::Webhook(Box::new(config))
}
