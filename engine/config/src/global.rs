//! `global`: what receivers use unless they say otherwise.

use std::collections::BTreeMap;

use watchfire_model::Duration;

use crate::decode::Fields;
use crate::http::{HttpConfig, TlsConfig, http_config, tls_config};
use crate::receiver::{Setting, global_settings};
use crate::secret::Credential;
use crate::template::Weight;
use crate::url;

/// The defaults of all receivers.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalConfig {
    /// After what time an alert from outside that came without an end is resolved.
    pub resolve_timeout: Duration,
    /// How requests are made.
    pub http: HttpConfig,
    /// Mail.
    pub smtp: SmtpDefaults,
    /// Slack.
    pub slack: SlackDefaults,
    /// PagerDuty's address.
    pub pagerduty_url: String,
    /// What the channels have that are data, by the keys in `global`.
    pub channels: BTreeMap<String, Setting>,
}

/// What mail has in `global`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SmtpDefaults {
    /// The sender.
    pub from: String,
    /// The name to greet the server with.
    pub hello: String,
    /// The server as host and port.
    pub smarthost: Option<(String, u16)>,
    /// The user.
    pub auth_username: String,
    /// The password.
    pub auth_password: Option<Credential>,
    /// The secret for CRAM-MD5.
    pub auth_secret: Option<Credential>,
    /// The identity for PLAIN.
    pub auth_identity: String,
    /// Whether the connection must be encrypted.
    pub require_tls: bool,
    /// Certificates.
    pub tls: TlsConfig,
    /// Whether encryption comes before the first word; decided by the port if absent.
    pub force_implicit_tls: Option<bool>,
}

/// What Slack has in `global`.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackDefaults {
    /// The incoming webhook.
    pub api_url: Option<Credential>,
    /// The bot's token.
    pub app_token: Option<Credential>,
    /// Where the bot posts.
    pub app_url: String,
}

impl Default for GlobalConfig {
    fn default() -> GlobalConfig {
        GlobalConfig {
            resolve_timeout: Duration::from_mins(5),
            http: HttpConfig::default(),
            smtp: SmtpDefaults { hello: "localhost".to_owned(), require_tls: true, ..SmtpDefaults::default() },
            slack: SlackDefaults { api_url: None, app_token: None, app_url: SLACK_APP_URL.to_owned() },
            pagerduty_url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
            channels: BTreeMap::new(),
        }
    }
}

/// Where a Slack bot posts.
pub(crate) const SLACK_APP_URL: &str = "https://slack.com/api/chat.postMessage";

/// The value of `global`.
pub(crate) fn global(fields: &mut Fields<'_, '_>) -> GlobalConfig {
    let defaults = GlobalConfig::default();
    let global = GlobalConfig {
        resolve_timeout: fields.duration("resolve_timeout").unwrap_or(defaults.resolve_timeout),
        http: http_config(fields).unwrap_or_default(),
        smtp: SmtpDefaults {
            from: fields.text_or("smtp_from", ""),
            hello: fields.text_or("smtp_hello", "localhost"),
            smarthost: host_port(fields, "smtp_smarthost"),
            auth_username: fields.text_or("smtp_auth_username", ""),
            auth_password: fields.credential("smtp_auth_password", "smtp_auth_password_file"),
            auth_secret: fields.credential("smtp_auth_secret", "smtp_auth_secret_file"),
            auth_identity: fields.text_or("smtp_auth_identity", ""),
            require_tls: fields.boolean("smtp_require_tls").unwrap_or(true),
            tls: tls_config(fields, "smtp_tls_config").unwrap_or_default(),
            force_implicit_tls: fields.boolean("smtp_force_implicit_tls"),
        },
        slack: SlackDefaults {
            api_url: fields.secret_url("slack_api_url", "slack_api_url_file"),
            app_token: fields.credential("slack_app_token", "slack_app_token_file"),
            app_url: fields.url("slack_app_url").unwrap_or(defaults.slack.app_url),
        },
        pagerduty_url: fields.url("pagerduty_url").unwrap_or(defaults.pagerduty_url),
        channels: global_settings(fields),
    };
    fields.check_template("smtp_from", &global.smtp.from, Weight::Needed);
    let slack = &global.slack;
    // Alertmanager lets the two stand side by side where both mean the same address, a habit from before it had tokens.
    let same = slack.api_url.as_ref().is_some_and(|url| url.expose() == slack.app_url);
    if slack.app_token.is_some() && slack.api_url.is_some() && !same {
        fields
            .error("slack_app_token", "conflict", "global has both a Slack webhook (slack_api_url) and a Slack token")
            .help("keep one; receivers can have their own");
    }
    global
}

/// `host:port`, with brackets around an IPv6 address; nothing if it is absent, empty or wrong.
pub(crate) fn host_port(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<(String, u16)> {
    let text = fields.filled(key)?;
    match split_host_port(&text) {
        Ok(pair) => Some(pair),
        Err(reason) => {
            fields
                .error(key, "bad-address", format!("{key} is not host:port: {reason}"))
                .help("write it like mail.example.com:587");
            None
        }
    }
}

/// Splits `host:port`.
pub(crate) fn split_host_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or("the ] is missing")?,
        None if host.contains(':') => return Err("an IPv6 address needs brackets".to_owned()),
        None => host,
    };
    if port.is_empty() {
        return Err("the port is empty".to_owned());
    }
    let port = url::port(port).ok_or_else(|| format!("{port:?} is not a port"))?;
    Ok((host.to_owned(), port))
}
