//! `email_configs`.

use std::collections::BTreeMap;

use super::Channel;
use crate::decode::Fields;
use crate::global::{GlobalConfig, host_port};
use crate::http::{OAuth2, TlsConfig, oauth2, tls_config};
use crate::secret::Credential;
use crate::template::Weight;

/// Mail. Texts may be templates; `None` means the channel's default.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailConfig {
    /// The addresses, separated by commas.
    pub to: String,
    /// The sender.
    pub from: String,
    /// The name to greet the server with.
    pub hello: String,
    /// The server as host and port.
    pub smarthost: (String, u16),
    /// The user; empty for none.
    pub auth_username: String,
    /// The password.
    pub auth_password: Option<Credential>,
    /// The secret for CRAM-MD5.
    pub auth_secret: Option<Credential>,
    /// The identity for PLAIN.
    pub auth_identity: String,
    /// Headers by their names in canonical case, `Subject` among them.
    pub headers: BTreeMap<String, String>,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
    /// Whether the connection must be encrypted.
    pub require_tls: bool,
    /// Certificates.
    pub tls: TlsConfig,
    /// Whether encryption comes before the first word; decided by the port if absent (465 does).
    pub force_implicit_tls: Option<bool>,
    /// How mails of an alert group become one thread.
    pub threading: Threading,
    /// How to get a token to log in with (XOAUTH2).
    pub oauth2: Option<Box<OAuth2>>,
    /// Whether each addressee gets a mail of their own.
    pub per_recipient: bool,
}

/// How mails become threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threading {
    /// Not at all.
    #[default]
    Off,
    /// One thread per alert group.
    Group,
    /// One thread per alert group and day.
    Daily,
}

pub(super) fn read(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    let smtp = &global.smtp;
    let to = f.required_template("to", "give the address, or several separated by commas", Weight::Needed);
    let from = f.filled("from").unwrap_or_else(|| smtp.from.clone());
    f.check_template("from", &from, Weight::Needed);
    if from.is_empty() && f.lacks("from") {
        f.missing("from").help("give `from` here, or smtp_from in global");
    }
    let smarthost = host_port(f, "smarthost").or_else(|| smtp.smarthost.clone());
    if smarthost.is_none() && f.lacks("smarthost") {
        f.missing("smarthost").help("give `smarthost: host:port` here, or smtp_smarthost in global");
    }
    let own_password = f.credential("auth_password", "auth_password_file");
    let own_secret = f.credential("auth_secret", "auth_secret_file");
    let mut headers = BTreeMap::new();
    for (name, value) in f.template_map("headers") {
        let canonical = canonical_header(&name);
        if headers.insert(canonical.clone(), value).is_some() {
            f.error("headers", "duplicate-header", format!("the header {canonical} is set twice"))
                .help("letter case makes no difference in header names; remove one");
        }
    }
    let threading = f.object("threading", "threading", |f| {
        let enabled = f.boolean("enabled").unwrap_or(false);
        let by_date = f.text_or("thread_by_date", "");
        match (enabled, by_date.as_str()) {
            (false, _) => Threading::Off,
            (true, "none") => Threading::Group,
            (true, "daily") => Threading::Daily,
            (true, _) => {
                f.error("thread_by_date", "bad-value", "threading needs thread_by_date: none or daily")
                    .help("`daily` begins a new thread each day, `none` does not");
                Threading::Group
            }
        }
    });
    let threading = threading.unwrap_or_default();
    for header in ["References", "In-Reply-To"] {
        if threading != Threading::Off && headers.contains_key(header) {
            f.error("headers", "conflict", format!("threading sets the header {header} itself"))
                .help("remove the header, or threading");
        }
    }
    let config = EmailConfig {
        to,
        from,
        hello: f.filled("hello").unwrap_or_else(|| smtp.hello.clone()),
        smarthost: smarthost.unwrap_or_default(),
        auth_username: f.filled("auth_username").unwrap_or_else(|| smtp.auth_username.clone()),
        auth_password: own_password.or_else(|| smtp.auth_password.clone()),
        auth_secret: own_secret.or_else(|| smtp.auth_secret.clone()),
        auth_identity: f.filled("auth_identity").unwrap_or_else(|| smtp.auth_identity.clone()),
        headers,
        html: f.template("html"),
        text: f.template("text"),
        require_tls: f.boolean("require_tls").unwrap_or(smtp.require_tls),
        tls: tls_config(f, "tls_config").unwrap_or_else(|| smtp.tls.clone()),
        force_implicit_tls: f.boolean("force_implicit_tls").or(smtp.force_implicit_tls),
        threading,
        oauth2: f.object("oauth2", "oauth2", oauth2).map(Box::new),
        per_recipient: f.boolean("per_recipient").unwrap_or(false),
    };
    Channel::Email(Box::new(config))
}

/// `message-id` as `Message-Id`, which is how Go compares header names.
fn canonical_header(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let canonical = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            upper = c == '-';
            canonical
        })
        .collect()
}
