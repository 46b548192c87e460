//! Receivers: named targets of routes, each with any number of integrations.

mod email;
mod grant;
mod others;
mod pagerduty;
mod slack;
mod templated;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use watchfire_alerting::SettingsDigest;
use watchfire_plugin::PluginUse;
use watchfire_rules::Position;

pub use email::{EmailConfig, Threading};
pub use grant::Grant;
pub use pagerduty::{PagerDutyConfig, PagerDutyImage, PagerDutyIncident, PagerDutyLink};
pub use slack::{SlackAction, SlackConfig, SlackConfirmation, SlackField};
pub(crate) use templated::global_settings;
pub use templated::{Setting, TemplatedConfig};
pub use webhook::WebhookConfig;

use crate::channel::ChannelDefinition;
use crate::decode::{Decoder, Fields};
use crate::global::GlobalConfig;
use crate::plugins::plugin_use;
use crate::yaml::Node;

/// A named target of routes.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// Where it stands.
    pub position: Position,
    /// Its name.
    pub name: String,
    /// Labels to find it by.
    pub labels: BTreeMap<String, String>,
    /// Its integrations, by kind in Alertmanager's order and within a kind in the file's.
    pub integrations: Vec<Integration>,
}

/// One channel of a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Integration {
    /// Where it stands.
    pub position: Position,
    /// Its position among the receiver's integrations of the same kind.
    pub ordinal: u32,
    /// What is written for it, by which it is found again in an edited file: no two of one kind and receiver have the same.
    pub settings: SettingsDigest,
    /// Whether it is told about alerts that ended.
    pub send_resolved: bool,
    /// Where the notification goes.
    pub channel: Channel,
    /// A Handlebars file that makes the message.
    pub template: Option<String>,
    /// A plugin that makes the message.
    pub formatter: Option<PluginUse>,
}

/// Where a notification goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Channel {
    /// PagerDuty's Events API v2.
    PagerDuty(Box<PagerDutyConfig>),
    /// Slack, by incoming webhook or bot token.
    Slack(Box<SlackConfig>),
    /// Mail.
    Email(Box<EmailConfig>),
    /// A request with Alertmanager's JSON, or with a payload of its own.
    Webhook(Box<WebhookConfig>),
    /// A channel that is data.
    Templated(Box<TemplatedConfig>),
}

impl Channel {
    /// Whether it shows that somebody looks after what fires: an incident that is acknowledged, a message that is updated.
    pub fn takes_acknowledgements(&self) -> bool {
        match self {
            Channel::PagerDuty(config) => !config.change,
            Channel::Slack(config) => config.app_token.is_some() && config.update_message,
            Channel::Email(_) | Channel::Webhook(_) | Channel::Templated(_) => false,
        }
    }

    /// The name of the kind, such as `slack`.
    pub fn kind(&self) -> &str {
        match self {
            Channel::PagerDuty(_) => "pagerduty",
            Channel::Slack(_) => "slack",
            Channel::Email(_) => "email",
            Channel::Webhook(_) => "webhook",
            Channel::Templated(config) => &config.definition.name,
        }
    }
}

/// How the integrations of one kind are read.
struct Kind {
    key: &'static str,
    what: &'static str,
    send_resolved: bool,
    read: fn(&mut Fields<'_, '_>, &GlobalConfig) -> Channel,
}

/// In the order in which Alertmanager builds them, which numbers them.
const KINDS: [Kind; 18] = [
    Kind { key: "webhook_configs", what: "a webhook config", send_resolved: true, read: webhook::read },
    Kind { key: "email_configs", what: "an email config", send_resolved: false, read: email::read },
    Kind { key: "pagerduty_configs", what: "a PagerDuty config", send_resolved: true, read: pagerduty::read },
    Kind { key: "opsgenie_configs", what: "an Opsgenie config", send_resolved: true, read: others::opsgenie },
    Kind { key: "wechat_configs", what: "a WeChat config", send_resolved: false, read: others::wechat },
    Kind { key: "slack_configs", what: "a Slack config", send_resolved: false, read: slack::read },
    Kind { key: "victorops_configs", what: "a VictorOps config", send_resolved: true, read: others::victorops },
    Kind { key: "pushover_configs", what: "a Pushover config", send_resolved: true, read: others::pushover },
    Kind { key: "sns_configs", what: "an SNS config", send_resolved: true, read: others::sns },
    Kind { key: "telegram_configs", what: "a Telegram config", send_resolved: true, read: others::telegram },
    Kind { key: "discord_configs", what: "a Discord config", send_resolved: true, read: others::discord },
    Kind { key: "webex_configs", what: "a Webex config", send_resolved: true, read: others::webex },
    Kind { key: "msteams_configs", what: "a Microsoft Teams config", send_resolved: true, read: others::msteams },
    Kind {
        key: "msteamsv2_configs",
        what: "a Microsoft Teams v2 config",
        send_resolved: true,
        read: others::msteamsv2,
    },
    Kind { key: "jira_configs", what: "a Jira config", send_resolved: true, read: others::jira },
    Kind { key: "incidentio_configs", what: "an incident.io config", send_resolved: true, read: others::incidentio },
    Kind { key: "rocketchat_configs", what: "a Rocket.Chat config", send_resolved: false, read: others::rocketchat },
    Kind { key: "mattermost_configs", what: "a Mattermost config", send_resolved: true, read: others::mattermost },
];

/// One entry of `receivers`.
pub(crate) fn receiver(
    fields: &mut Fields<'_, '_>,
    global: &GlobalConfig,
    channels: &[Arc<ChannelDefinition>],
) -> Receiver {
    let position = fields.position();
    let name = fields.required("name", "give the receiver the name by which routes refer to it").unwrap_or_default();
    let mut labels = fields.text_map("labels");
    if labels.get("name").is_some_and(|label| *label != name) {
        fields
            .error("labels", "conflict", "the receiver's label `name` differs from its name")
            .help("remove the label; it is always the receiver's name");
    }
    labels.insert("name".to_owned(), name.clone());
    let mut integrations = Vec::new();
    for kind in &KINDS {
        let mut ordinal = 0;
        integrations.extend(fields.list(kind.key, |decoder, node| {
            let read = |f: &mut Fields<'_, '_>| (kind.read)(f, global);
            let integration = integration(decoder, node, kind.what, ordinal, Some(kind.send_resolved), read);
            ordinal += 1;
            integration
        }));
    }
    let mut ordinals: BTreeMap<String, u32> = BTreeMap::new();
    integrations.extend(fields.list("channel_configs", |decoder, node| {
        let read = |f: &mut Fields<'_, '_>| Channel::Templated(Box::new(templated::own_channel(f, channels, global)));
        let mut integration = integration(decoder, node, "a channel config", 0, None, read)?;
        let next = ordinals.entry(integration.channel.kind().to_owned()).or_default();
        integration.ordinal = *next;
        *next += 1;
        Some(integration)
    }));
    // Those that are written alike are told apart by their order.
    let mut taken = BTreeSet::new();
    for integration in &mut integrations {
        while !taken.insert((integration.channel.kind().to_owned(), integration.settings)) {
            integration.settings.0 = integration.settings.0.wrapping_add(1);
        }
    }
    Receiver { position, name, labels, integrations }
}

fn integration<'s>(
    decoder: &mut Decoder<'s>,
    node: &Rc<Node>,
    what: &'static str,
    ordinal: u32,
    send_resolved: Option<bool>,
    read: impl FnOnce(&mut Fields<'_, 's>) -> Channel,
) -> Option<Integration> {
    decoder.mapping(node, what, |f| {
        let position = f.position();
        let own = f.boolean("send_resolved");
        let template = f.path("template");
        let formatter = plugin_use(f, "formatter");
        if template.is_some() && formatter.is_some() {
            f.error("formatter", "conflict", format!("{what} has both `template` and `formatter`"))
                .help("keep one: both make the message");
        }
        let channel = read(f);
        let usual = || match &channel {
            Channel::Templated(config) => config.definition.send_resolved,
            _ => true,
        };
        let send_resolved = own.or(send_resolved).unwrap_or_else(usual);
        let settings = SettingsDigest(node.digest());
        Integration { position, ordinal, settings, send_resolved, channel, template, formatter }
    })
}
