//! One integration of a receiver: its settings become the fields of a builder, notification by notification.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use watchfire_config::{
    Channel as Configured, Credential, EmailConfig, HttpConfig, Integration as Settings, PagerDutyConfig,
    PagerDutyIncident, PluginUse, SlackConfig, Threading, WebhookConfig,
};
use watchfire_model::Fingerprint;
use watchfire_plugin::Message;

use crate::grant::Grant;
use crate::http::{Connection, Pools, current};
use crate::outcome::Dialect;
use crate::smtp::Smtp;
use crate::templated::{Kept, Prepared, Templated};
use crate::words::{Library, Renderer, TemplateFile, TemplateFiles};
use crate::{BuildError, Notification, Redactor, Request, email, pagerduty, slack, webhook};

/// How long an attempt over HTTP may take unless the configuration says otherwise.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an attempt over SMTP may take: servers that check for spam take their time.
const SMTP_TIMEOUT: Duration = Duration::from_secs(30);

/// One integration, ready to send.
pub(crate) struct Integration {
    pub(crate) kind: Arc<str>,
    pub(crate) target: Target,
    pub(crate) template: Option<Arc<TemplateFile>>,
    pub(crate) formatter: Option<PluginUse>,
    /// How long an attempt may take.
    pub(crate) timeout: Duration,
    /// The redactor that was needed last, and the secrets that it is for.
    redactor: Mutex<(Vec<String>, Arc<Redactor>)>,
}

/// Where it sends to.
pub(crate) enum Target {
    PagerDuty(Box<PagerDutyConfig>, Connection),
    Slack(Box<SlackConfig>, Connection),
    /// With what its formatter may address itself, if it may.
    Webhook(Box<WebhookConfig>, Connection, Option<Box<Grant>>),
    Templated(Box<Templated>, Connection, Kept),
    Email(Box<EmailConfig>, Box<Smtp>),
    Custom(Arc<dyn crate::Channel>),
    /// Cannot be used, and why.
    Broken(String),
}

/// What an integration made of a notification.
pub(crate) enum Made {
    /// A request; nothing if there is nothing to be sent.
    Http(Option<Request>, Dialect),
    /// Requests, one after the other, each of which tells of one alert.
    EachAlert(Vec<(Fingerprint, Request)>, Dialect),
    Slack(Box<slack::Telling>, Vec<String>),
    Templated(Box<Prepared>, Vec<String>),
    /// Mails, one after the other.
    Mails(Vec<email::Mail>, Vec<String>),
}

impl Integration {
    /// Prepares an integration. What cannot be used is kept with its reason, so that the rest works on; the reason and
    /// everything that works only in part is added to `problems`.
    pub(crate) fn new(
        settings: &Settings,
        pools: &Pools,
        files: &TemplateFiles,
        limit: Option<Duration>,
        problems: &mut Vec<String>,
    ) -> Integration {
        let target = match target(settings, pools, limit) {
            Ok(target) => target,
            Err(reason) => {
                problems.push(reason.clone());
                Target::Broken(reason)
            }
        };
        Integration {
            kind: settings.channel.kind().into(),
            timeout: timeout(settings, limit),
            target,
            // Who read the files has told what is wrong with one; without it the built-in message is sent.
            template: settings.template.as_ref().and_then(|path| files.get(path)),
            formatter: settings.formatter.clone(),
            redactor: Mutex::default(),
        }
    }

    /// A channel of the embedding program.
    pub(crate) fn custom(channel: Arc<dyn crate::Channel>, limit: Option<Duration>) -> Integration {
        Integration {
            kind: "custom".into(),
            target: Target::Custom(channel),
            template: None,
            formatter: None,
            timeout: limit.unwrap_or(SMTP_TIMEOUT),
            redactor: Mutex::default(),
        }
    }

    /// What must not be seen. It changes when a file with a secret does, or when a token comes.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        let credential = |credential: &Option<Credential>| credential.as_ref().map(current).unwrap_or_default();
        let mut secrets = match &self.target {
            Target::PagerDuty(config, _) => vec![
                credential(&config.routing_key),
                credential(&config.service_key),
                credential(&config.webhook_secret),
            ],
            Target::Slack(config, _) => {
                vec![credential(&config.api_url), credential(&config.app_token), credential(&config.signing_secret)]
            }
            Target::Webhook(config, _, grant) => {
                let granted = grant.iter().flat_map(|grant| grant.secrets());
                std::iter::once(credential(&config.url)).chain(granted).collect()
            }
            Target::Templated(templated, _, kept) => templated.secrets().into_iter().chain(kept.secrets()).collect(),
            Target::Email(_, smtp) => smtp.secrets(),
            Target::Custom(_) | Target::Broken(_) => Vec::new(),
        };
        secrets.extend(self.connection().map(Connection::secrets).unwrap_or_default());
        let mut last = self.redactor.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != secrets {
            let redactor = Arc::new(Redactor::new(secrets.iter().map(String::as_str)));
            *last = (secrets, redactor);
        }
        Arc::clone(&last.1)
    }

    /// How it reaches its service, if that is by HTTP.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.target {
            Target::PagerDuty(_, connection)
            | Target::Slack(_, connection)
            | Target::Webhook(_, connection, _)
            | Target::Templated(_, connection, _) => Some(connection),
            Target::Email(..) | Target::Custom(_) | Target::Broken(_) => None,
        }
    }

    /// What its formatter may address itself, if it may.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        match &self.target {
            Target::Webhook(_, _, grant) => grant.as_deref(),
            _ => None,
        }
    }

    /// What is to be sent. What templates make of secrets is added to `secrets`.
    ///
    /// # Errors
    /// If nothing can be.
    pub(crate) fn make(
        &self,
        library: &Library,
        notification: &Notification,
        message: Option<&Message>,
        secrets: &mut Vec<String>,
    ) -> Result<Made, BuildError> {
        let mut renderer = Renderer::new(library, notification);
        let made = self.made(library, notification, message, &mut renderer);
        secrets.append(&mut renderer.secrets);
        made
    }

    fn made(
        &self,
        library: &Library,
        notification: &Notification,
        message: Option<&Message>,
        renderer: &mut Renderer<'_>,
    ) -> Result<Made, BuildError> {
        let notes = |renderer: &mut Renderer<'_>| std::mem::take(&mut renderer.notes);
        let (mut request, dialect) = match &self.target {
            Target::PagerDuty(config, _) if config.incident == PagerDutyIncident::Alert && !config.change => {
                let events = pagerduty_events(config, library, notification, message, renderer)?;
                return Ok(Made::EachAlert(events, Dialect::PagerDuty));
            }
            Target::PagerDuty(config, _) => {
                (pagerduty_event(config, notification, message, renderer)?, Dialect::PagerDuty)
            }
            Target::Slack(config, _) => {
                let fields = slack_fields(config, renderer)?;
                let post = slack::build(&fields, notification, message)?;
                let telling = slack::Telling { post, fields, update: config.update_message };
                return Ok(Made::Slack(Box::new(telling), notes(renderer)));
            }
            Target::Webhook(config, ..) => {
                let fields = webhook_fields(config, renderer)?;
                (Some(webhook::build(&fields, notification, message)?), Dialect::Plain)
            }
            Target::Templated(templated, ..) => {
                let prepared = templated.prepare(notification, message, renderer)?;
                return Ok(Made::Templated(Box::new(prepared), notes(renderer)));
            }
            Target::Email(config, _) => {
                let fields = email_fields(config, renderer)?;
                let mails = match config.per_recipient {
                    true => email::build_each(&fields, notification, message)?,
                    false => vec![email::build(&fields, notification, message)?],
                };
                return Ok(Made::Mails(mails, notes(renderer)));
            }
            Target::Custom(_) => return Err(BuildError::setting("receiver", "is a channel of the embedding program")),
            Target::Broken(reason) => return Err(BuildError::setting("receiver", reason.clone())),
        };
        if let Some(request) = &mut request {
            request.notes.append(&mut renderer.notes);
        }
        Ok(Made::Http(request, dialect))
    }
}

fn target(settings: &Settings, pools: &Pools, limit: Option<Duration>) -> Result<Target, String> {
    let limit = timeout(settings, limit);
    let client = |config: &HttpConfig| Connection::new(pools, config, limit);
    Ok(match &settings.channel {
        Configured::PagerDuty(config) => Target::PagerDuty(config.clone(), client(&config.http)?),
        Configured::Slack(config) => Target::Slack(config.clone(), client(&config.http)?),
        Configured::Webhook(config) => {
            let grant = match &config.grant {
                Some(grant) => Some(Box::new(Grant::new(grant, client(&grant.http)?))),
                None => None,
            };
            Target::Webhook(config.clone(), client(&config.http)?, grant)
        }
        Configured::Email(config) => {
            let smtp = Smtp::new((**config).clone(), pools, limit)?;
            Target::Email(config.clone(), Box::new(smtp))
        }
        Configured::Templated(config) => {
            let connection = client(&config.http)?;
            Target::Templated(Box::new(Templated::new((**config).clone())), connection, Kept::default())
        }
    })
}

fn timeout(settings: &Settings, limit: Option<Duration>) -> Duration {
    let (own, default) = match &settings.channel {
        Configured::PagerDuty(config) => (config.timeout, HTTP_TIMEOUT),
        Configured::Slack(config) => (config.timeout, HTTP_TIMEOUT),
        Configured::Webhook(config) => (config.timeout, HTTP_TIMEOUT),
        Configured::Email(_) => (None, SMTP_TIMEOUT),
        Configured::Templated(config) => (config.timeout, HTTP_TIMEOUT),
    };
    let own = own.filter(|timeout| !timeout.is_zero()).map(|timeout| timeout.to_std());
    own.or(limit).unwrap_or(default)
}

/// The events of a notification, one for each alert.
fn pagerduty_events(
    config: &PagerDutyConfig,
    library: &Library,
    notification: &Notification,
    message: Option<&Message>,
    renderer: &mut Renderer<'_>,
) -> Result<Vec<(Fingerprint, Request)>, BuildError> {
    let mut events = Vec::new();
    for (view, alone) in notification.alerts.iter().zip(notification.one_by_one()) {
        let mut own = Renderer::new(library, &alone);
        let dedup_key = Some(pagerduty::alert_key(&view.alert));
        let fields = pagerduty::Fields { dedup_key, ..pagerduty_fields(config, &mut own)? };
        events.push((view.alert.fingerprint(), pagerduty_request(config, &fields, &alone, message)?));
        renderer.notes.append(&mut own.notes);
        renderer.secrets.append(&mut own.secrets);
    }
    renderer.notes.sort();
    renderer.notes.dedup();
    if let Some((_, first)) = events.first_mut() {
        first.notes.append(&mut renderer.notes);
    }
    Ok(events)
}

/// The event for the group; none for the end of what was a change.
fn pagerduty_event(
    config: &PagerDutyConfig,
    notification: &Notification,
    message: Option<&Message>,
    renderer: &mut Renderer<'_>,
) -> Result<Option<Request>, BuildError> {
    let fields = pagerduty_fields(config, renderer)?;
    if config.change {
        let happened = notification.firing().next().is_some();
        return happened.then(|| pagerduty::build_change(&fields, notification, message)).transpose();
    }
    pagerduty_request(config, &fields, notification, message).map(Some)
}

fn pagerduty_request(
    config: &PagerDutyConfig,
    fields: &pagerduty::Fields,
    notification: &Notification,
    message: Option<&Message>,
) -> Result<Request, BuildError> {
    match &config.service_key {
        Some(_) => pagerduty::build_v1(fields, notification, message),
        None => pagerduty::build(fields, notification, message),
    }
}

fn pagerduty_fields(config: &PagerDutyConfig, r: &mut Renderer<'_>) -> Result<pagerduty::Fields, BuildError> {
    // As in Alertmanager the older kind of key counts where there are both.
    let (key_field, key) = match &config.service_key {
        Some(key) => ("service_key", current(key)),
        None => ("routing_key", config.routing_key.as_ref().map(current).unwrap_or_default()),
    };
    // Those that fail must not take the place of built-in ones of the same name.
    let details = |(name, value): &(String, _)| Some((name.clone(), r.whole(|r| r.structured("details", value))?));
    let details = config.details.iter().filter_map(details).collect();
    let links = config
        .links
        .iter()
        .map(|link| pagerduty::Link { href: r.plain("links", &link.href), text: r.plain("links", &link.text) });
    let links = links.collect();
    let images = config.images.iter().map(|image| pagerduty::Image {
        src: r.plain("images", &image.src),
        href: r.plain("images", &image.href),
        alt: r.plain("images", &image.alt),
    });
    let images = images.collect();
    Ok(pagerduty::Fields {
        url: config.url.clone(),
        routing_key: r.secret(key_field, &key)?,
        description: r.text_or_definition(
            "description",
            config.description.as_deref(),
            "pagerduty.default.description",
        ),
        severity: r.text("severity", config.severity.as_deref()),
        source: r.text("source", config.source.as_deref()),
        component: r.text("component", config.component.as_deref()),
        group: r.text("group", config.group.as_deref()),
        class: r.text("class", config.class.as_deref()),
        client: r.text_or_definition("client", config.client.as_deref(), "pagerduty.default.client"),
        client_url: r.text_or_definition("client_url", config.client_url.as_deref(), "pagerduty.default.clientURL"),
        details,
        links,
        images,
        dedup_key: match &config.incident {
            PagerDutyIncident::Template(template) => r.text("dedup_key", Some(template)),
            PagerDutyIncident::Group | PagerDutyIncident::Alert => None,
        },
    })
}

fn slack_fields(config: &SlackConfig, r: &mut Renderer<'_>) -> Result<slack::Fields, BuildError> {
    let token = config.app_token.as_ref().map(current).unwrap_or_default();
    let url = match token.is_empty() {
        true => config.api_url.as_ref().map(current).unwrap_or_default(),
        false => config.app_url.clone(),
    };
    let mut own = |field: &str, text: &Option<String>, definition: &str| {
        r.text_or_definition(field, text.as_deref(), definition).unwrap_or_default()
    };
    let username = own("username", &config.username, "slack.default.username");
    let icon_emoji = own("icon_emoji", &config.icon_emoji, "slack.default.iconemoji");
    let icon_url = own("icon_url", &config.icon_url, "slack.default.iconurl");
    Ok(slack::Fields {
        url,
        token,
        channel: r.needed("channel", config.channel.as_deref().unwrap_or(""))?,
        username,
        icon_emoji,
        icon_url,
        link_names: config.link_names,
        text: r.text("message_text", config.message_text.as_deref()).unwrap_or_default(),
        color: r.text_or_definition("color", config.color.as_deref(), "slack.default.color").unwrap_or_default(),
        interactive: config.signing_secret.is_some(),
        classic: classic(config, r),
    })
}

/// Alertmanager's attachment, where the receiver or a definition of the user's sets any part of it. Where its
/// text fails the built-in message is sent: Alertmanager's default for the text is empty and would say nothing.
fn classic(config: &SlackConfig, r: &mut Renderer<'_>) -> Option<slack::Classic> {
    const TEXT: &str = "slack.default.text";
    const PARTS: [(&str, &str); 6] = [
        ("title", "slack.default.title"),
        ("title_link", "slack.default.titlelink"),
        ("pretext", "slack.default.pretext"),
        ("fallback", "slack.default.fallback"),
        ("callback_id", "slack.default.callbackid"),
        ("footer", "slack.default.footer"),
    ];
    let settings =
        [&config.title, &config.title_link, &config.pretext, &config.fallback, &config.callback_id, &config.footer];
    let more = config.image_url.is_some()
        || config.thumb_url.is_some()
        || !config.fields.is_empty()
        || !config.actions.is_empty();
    let redefined = PARTS.iter().any(|(_, definition)| r.redefines(definition));
    let has_text = config.text.is_some() || r.redefines(TEXT);
    if !more && !redefined && !has_text && settings.iter().all(|setting| setting.is_none()) {
        return None;
    }
    let text = r.text_or_definition("text", config.text.as_deref(), TEXT);
    if has_text && text.is_none() {
        return None;
    }
    let mut parts = PARTS.iter().zip(settings).map(|((field, definition), setting)| {
        let own = r.text(field, setting.as_deref());
        own.or_else(|| r.defined(field, definition)).unwrap_or_default()
    });
    let mut next = || parts.next().unwrap_or_default();
    let mut classic = slack::Classic {
        title: next(),
        title_link: next(),
        pretext: next(),
        text: text.unwrap_or_default(),
        fallback: next(),
        callback_id: next(),
        footer: next(),
        mrkdwn_in: match config.mrkdwn_in.as_slice() {
            [] => ["fallback", "pretext", "text"].map(str::to_owned).to_vec(),
            own => own.to_vec(),
        },
        ..slack::Classic::default()
    };
    drop(parts);
    classic.image_url = r.text("image_url", config.image_url.as_deref()).unwrap_or_default();
    classic.thumb_url = r.text("thumb_url", config.thumb_url.as_deref()).unwrap_or_default();
    for field in &config.fields {
        classic.fields.push(slack::Field {
            title: r.plain("fields", &field.title),
            value: r.plain("fields", &field.value),
            short: field.short.unwrap_or(config.short_fields),
        });
    }
    for action in &config.actions {
        classic.actions.push(slack::Action {
            kind: r.plain("actions", &action.kind),
            text: r.plain("actions", &action.text),
            url: r.plain("actions", &action.url),
            style: r.plain("actions", &action.style),
            name: r.plain("actions", &action.name),
            value: r.plain("actions", &action.value),
            confirm: action.confirm.as_ref().map(|confirm| slack::Confirm {
                text: r.plain("actions", &confirm.text),
                title: r.plain("actions", &confirm.title),
                ok_text: r.plain("actions", &confirm.ok_text),
                dismiss_text: r.plain("actions", &confirm.dismiss_text),
            }),
        });
    }
    Some(classic)
}

fn webhook_fields(config: &WebhookConfig, r: &mut Renderer<'_>) -> Result<webhook::Fields, BuildError> {
    let url = config.url.as_ref().map(current).unwrap_or_default();
    Ok(webhook::Fields {
        url: r.secret("url", &url)?,
        max_alerts: usize::try_from(config.max_alerts).unwrap_or(usize::MAX),
        payload: config.payload.as_ref().map(|payload| r.payload(payload)),
    })
}

fn email_fields(config: &EmailConfig, r: &mut Renderer<'_>) -> Result<email::Fields, BuildError> {
    let header = |(name, value): (&String, &String)| Some((name.clone(), r.text("headers", Some(value))?));
    let headers = config.headers.iter().filter_map(header).collect();
    let html = match &config.html {
        // An empty text is a choice of Alertmanager's users: no HTML part of their own, which here is the built-in one.
        Some(text) if !text.is_empty() => r.html("html", Some(text)),
        _ if r.redefines("email.default.html") => r.html("html", Some("{{ template \"email.default.html\" . }}")),
        _ => None,
    };
    Ok(email::Fields {
        from: r.needed("from", &config.from)?,
        to: r.needed("to", &config.to)?,
        headers,
        html,
        text: config.text.as_deref().filter(|text| !text.is_empty()).and_then(|text| r.text("text", Some(text))),
        thread: match config.threading {
            Threading::Daily => email::Thread::Daily,
            Threading::Off | Threading::Group => email::Thread::Group,
        },
        domain: String::new(),
    })
}
