//! Receivers: named targets of routes, each with any number of integrations.

mod email;
mod others;
mod pagerduty;
mod slack;
mod webhook;

use std::collections::BTreeMap;
use std::rc::Rc;

use watchfire_plugin::PluginUse;
use watchfire_rules::Position;

pub use email::{EmailConfig, Threading};
pub use pagerduty::{PagerDutyConfig, PagerDutyImage, PagerDutyLink};
pub use slack::{SlackAction, SlackConfig, SlackConfirmation, SlackField};
pub use webhook::WebhookConfig;

use crate::decode::{Decoder, Fields};
use crate::global::GlobalConfig;
use crate::route::plugin_use;
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
    /// Known and checked, but nothing is delivered to it by this version.
    Unsupported {
        /// Its kind, such as `opsgenie`.
        kind: &'static str,
    },
}

impl Channel {
    /// The name of the kind, such as `slack`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Channel::PagerDuty(_) => "pagerduty",
            Channel::Slack(_) => "slack",
            Channel::Email(_) => "email",
            Channel::Webhook(_) => "webhook",
            Channel::Unsupported { kind } => kind,
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
pub(crate) fn receiver(fields: &mut Fields<'_, '_>, global: &GlobalConfig) -> Receiver {
    let start = fields.start();
    let position = fields.decoder().position(start);
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
            let integration = integration(decoder, node, kind, ordinal, global);
            ordinal += 1;
            integration
        }));
    }
    Receiver { position, name, labels, integrations }
}

fn integration(
    decoder: &mut Decoder<'_>,
    node: &Rc<Node>,
    kind: &Kind,
    ordinal: u32,
    global: &GlobalConfig,
) -> Option<Integration> {
    decoder.mapping(node, kind.what, |f| {
        let start = f.start();
        let position = f.decoder().position(start);
        let send_resolved = f.boolean("send_resolved").unwrap_or(kind.send_resolved);
        let template = f.path("template");
        let formatter = plugin_use(f, "formatter");
        if template.is_some() && formatter.is_some() {
            f.error("formatter", "conflict", format!("{} has both `template` and `formatter`", kind.what))
                .help("keep one: both make the message");
        }
        let channel = (kind.read)(f, global);
        if let Channel::Unsupported { kind } = &channel {
            let message = format!("{kind} is accepted, but not yet delivered by this version");
            f.decoder()
                .warning(start, "not-delivered", message)
                .help("until then, send to it through a webhook_config, or keep Alertmanager for this receiver");
        }
        Integration { position, ordinal, send_resolved, channel, template, formatter }
    })
}
