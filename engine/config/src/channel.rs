//! Channels as data: which settings a channel has, and which requests tell it. The shipped ones are files beside this
//! crate; a configuration can define more under `channels`.

use std::rc::Rc;
use std::sync::LazyLock;

use watchfire_model::Duration;

use crate::config::Source;
use crate::decode::{Decoder, Fields};
use crate::template::Weight;
use crate::tree::Tree;
use crate::yaml::Node;

/// A channel as data.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelDefinition {
    /// Its name, such as `discord`.
    pub name: String,
    /// Whether it is told about alerts that ended, unless the receiver says otherwise.
    pub send_resolved: bool,
    /// Its settings, in the order in which they are expanded: a later one may look at an earlier one.
    pub settings: Vec<SettingDefinition>,
    /// The setting that the title of a formatter or template file replaces.
    pub title: Option<String>,
    /// The setting that its body replaces.
    pub body: Option<String>,
    /// The requests, one after the other.
    pub requests: Vec<RequestDefinition>,
}

/// A setting of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingDefinition {
    /// Its key.
    pub name: String,
    /// The key that names a file with its value; empty if there is none.
    pub file_key: String,
    /// What it holds.
    pub kind: SettingKind,
    /// Whether nothing can be sent without it.
    pub required: bool,
    /// What it is unless somebody sets it.
    pub default: Option<Tree>,
    /// The key in `global` that holds it for all receivers; empty if there is none.
    pub global: String,
    /// The same for the file; empty if there is none.
    pub global_file: String,
    /// The longest text; shortened with a count of what is left out.
    pub max: Option<usize>,
    /// In what it counts.
    pub unit: LengthUnit,
    /// A template that says `true` if the text is HTML, whose values are escaped.
    pub html: Option<String>,
    /// Of a tree: the keys in it that hold secrets.
    pub secrets: Vec<String>,
    /// Of a tree: whether keys are templates too, and a text becomes what it spells in YAML.
    pub json: bool,
}

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// A text; may be a template.
    Text,
    /// A text that must not be seen; may be a template.
    Secret,
    /// An address.
    Url,
    /// An address that must not be seen.
    SecretUrl,
    /// Texts separated by commas; may be a template.
    List,
    /// A truth value.
    Boolean,
    /// A whole number.
    Integer,
    /// A whole number from 0.
    Count,
    /// A time; requests see its seconds.
    Duration,
    /// Anything; texts in it may be templates.
    Tree,
}

/// In what a length is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthUnit {
    /// Unicode code points.
    Characters,
    /// UTF-16 code units.
    Utf16,
    /// UTF-8 bytes.
    Bytes,
}

/// A request of a channel. Its texts are templates of Go's language over the expanded settings.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestDefinition {
    /// Says `true` if it is to be made; absent for always.
    pub when: Option<String>,
    /// The HTTP method.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Headers; one whose name ends in `?` is left out if its value is empty.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: BodyDefinition,
    /// Whether a formatter's or template file's JSON replaces what the body has under the same names.
    pub takes_message: bool,
    /// The AWS service for which it is signed.
    pub sign: Option<String>,
    /// The largest body.
    pub bytes_max: Option<usize>,
    /// The settings that are shortened, in this order, until the body fits; `alerts` leaves out alerts.
    pub shorten: Vec<String>,
    /// What later requests need of the answer: names, and JSON pointers or `<tags>`.
    pub keep: Vec<(String, String)>,
    /// How long what was kept serves later notifications, so that the request is not made again.
    pub keep_for: Option<Duration>,
    /// Whether what is kept may be shown. Without this it counts as a secret, since most of it are tokens.
    pub keep_shown: bool,
    /// What the answer means.
    pub answer: AnswerDefinition,
}

/// A body. In a mapping, an entry whose key ends in `?` is left out if it is empty; `{$json: TEMPLATE}` is the JSON that
/// the template makes; `{$merge: [...]}` is one mapping made of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum BodyDefinition {
    /// None.
    #[default]
    Empty,
    /// JSON.
    Json(Tree),
    /// `application/x-www-form-urlencoded`.
    Form(Tree),
    /// Text of this media type.
    Text {
        /// The text.
        text: String,
        /// The media type.
        content_type: String,
    },
}

/// What an answer means beyond its status: 2xx is delivered, 408, 425, 429 and 5xx are tried again, the rest is refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerDefinition {
    /// Further statuses that mean delivered.
    pub delivered: Vec<u16>,
    /// Further statuses after which it is tried again.
    pub retried: Vec<u16>,
    /// Makes the text of an error, or nothing, of an answer that has a good status.
    pub error: Option<String>,
    /// Says `true` if that error passes.
    pub retry: Option<String>,
    /// Where the answer says for how many seconds to wait: a JSON pointer.
    pub retry_after: Option<String>,
    /// Where the answer names the message: a JSON pointer or `<tag>`.
    pub receipt: Option<String>,
}

impl ChannelDefinition {
    /// A channel that sends nothing, in place of one that is not there.
    pub(crate) const fn empty() -> ChannelDefinition {
        ChannelDefinition {
            name: String::new(),
            send_resolved: true,
            settings: Vec::new(),
            title: None,
            body: None,
            requests: Vec::new(),
        }
    }
}

/// The shipped definition of this name.
pub(crate) fn shipped(name: &str) -> &'static ChannelDefinition {
    static MISSING: ChannelDefinition = ChannelDefinition::empty();
    let found = SHIPPED.iter().find(|definition| definition.name == name);
    debug_assert!(found.is_some(), "{name} is shipped");
    found.unwrap_or(&MISSING)
}

/// All shipped definitions.
pub(crate) fn all_shipped() -> &'static [ChannelDefinition] {
    &SHIPPED
}

static SHIPPED: LazyLock<Vec<ChannelDefinition>> = LazyLock::new(|| {
    const FILES: [(&str, &str); 14] = [
        ("channels/opsgenie.yml", include_str!("../channels/opsgenie.yml")),
        ("channels/wechat.yml", include_str!("../channels/wechat.yml")),
        ("channels/victorops.yml", include_str!("../channels/victorops.yml")),
        ("channels/pushover.yml", include_str!("../channels/pushover.yml")),
        ("channels/sns.yml", include_str!("../channels/sns.yml")),
        ("channels/telegram.yml", include_str!("../channels/telegram.yml")),
        ("channels/discord.yml", include_str!("../channels/discord.yml")),
        ("channels/webex.yml", include_str!("../channels/webex.yml")),
        ("channels/msteams.yml", include_str!("../channels/msteams.yml")),
        ("channels/msteamsv2.yml", include_str!("../channels/msteamsv2.yml")),
        ("channels/jira.yml", include_str!("../channels/jira.yml")),
        ("channels/incidentio.yml", include_str!("../channels/incidentio.yml")),
        ("channels/rocketchat.yml", include_str!("../channels/rocketchat.yml")),
        ("channels/mattermost.yml", include_str!("../channels/mattermost.yml")),
    ];
    FILES
        .iter()
        .filter_map(|(name, text)| {
            let mut decoder = Decoder::new(Source { name, text }, None);
            let definition = decoder.parse().and_then(|root| decoder.mapping(&root, "a channel", definition));
            debug_assert!(decoder.diagnostics.is_empty(), "the shipped channels are valid: {:?}", decoder.diagnostics);
            definition
        })
        .collect()
});

/// One entry of `channels`.
pub(crate) fn definition(f: &mut Fields<'_, '_>) -> ChannelDefinition {
    let name = f.required("name", "give the channel the name by which receivers refer to it").unwrap_or_default();
    let settings: Vec<SettingDefinition> = f
        .read("settings", |decoder, node| {
            Some(decoder.entries(node, "settings", |decoder, entry| {
                decoder.mapping(&entry.value, "a setting", |f| setting(f, &entry.key))
            }))
        })
        .unwrap_or_default()
        .into_iter()
        .map(|(_, setting)| setting)
        .collect();
    let (title, body) = f.object("message", "message", |f| (f.filled("title"), f.filled("body"))).unwrap_or_default();
    for setting in title.iter().chain(&body) {
        if !settings.iter().any(|known| known.name == *setting) {
            f.error("message", "unknown-setting", format!("there is no setting {setting:?}"))
                .help("name one of the channel's settings");
        }
    }
    let requests = f.list("requests", |decoder, node| decoder.mapping(node, "a request", request));
    if f.lacks("requests") {
        f.missing("requests").help("list at least one request with its `url`");
    }
    ChannelDefinition {
        name,
        send_resolved: f.boolean("send_resolved").unwrap_or(true),
        settings,
        title,
        body,
        requests,
    }
}

fn setting(f: &mut Fields<'_, '_>, name: &str) -> SettingDefinition {
    const KINDS: [(&str, SettingKind); 10] = [
        ("text", SettingKind::Text),
        ("secret", SettingKind::Secret),
        ("url", SettingKind::Url),
        ("secret_url", SettingKind::SecretUrl),
        ("list", SettingKind::List),
        ("boolean", SettingKind::Boolean),
        ("integer", SettingKind::Integer),
        ("count", SettingKind::Count),
        ("duration", SettingKind::Duration),
        ("tree", SettingKind::Tree),
    ];
    let words = &["text", "secret", "url", "secret_url", "list", "boolean", "integer", "count", "duration", "tree"];
    let word = f.word("kind", words).unwrap_or("text");
    let kind = KINDS.iter().find(|(known, _)| *known == word).map_or(SettingKind::Text, |(_, kind)| *kind);
    let hidden = matches!(kind, SettingKind::Secret | SettingKind::SecretUrl);
    let has_file = f.boolean("file").unwrap_or(false) || hidden;
    let global = f.text_or("global", "");
    let unit = match f.word("unit", &["characters", "utf16", "bytes"]) {
        Some("utf16") => LengthUnit::Utf16,
        Some("bytes") => LengthUnit::Bytes,
        _ => LengthUnit::Characters,
    };
    let default = f.tree("default");
    let json = f.boolean("json").unwrap_or(false);
    f.check_templates("default", json, Weight::Refused);
    SettingDefinition {
        name: name.to_owned(),
        file_key: if has_file { format!("{name}_file") } else { String::new() },
        kind,
        required: f.boolean("required").unwrap_or(false),
        default,
        global_file: if hidden && !global.is_empty() { format!("{global}_file") } else { String::new() },
        global,
        max: f.count("max").map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        unit,
        html: template(f, "html"),
        secrets: f.texts("secrets").unwrap_or_default(),
        json,
    }
}

fn request(f: &mut Fields<'_, '_>) -> RequestDefinition {
    let method = f.word("method", &["GET", "POST", "PUT", "PATCH", "DELETE"]).unwrap_or("POST");
    let url = template(f, "url").unwrap_or_default();
    if f.lacks("url") {
        f.missing("url").help("give the address; it may be a template over the settings");
    }
    let json = f.tree("json");
    let form = f.tree("form");
    let text = template(f, "text");
    let content_type = f.text_or("content_type", "text/plain; charset=utf-8");
    if [json.is_some(), form.is_some(), text.is_some()].iter().filter(|there| **there).count() > 1 {
        f.error("text", "conflict", "a request has more than one of `json`, `form` and `text`")
            .help("keep one of them");
    }
    for key in ["json", "form", "headers"] {
        f.check_templates(key, false, Weight::Refused);
    }
    let body = match (json, form, text) {
        (Some(tree), ..) => BodyDefinition::Json(tree),
        (_, Some(tree), _) => BodyDefinition::Form(tree),
        (.., Some(text)) => BodyDefinition::Text { text, content_type },
        (None, None, None) => BodyDefinition::Empty,
    };
    let pairs =
        |f: &mut Fields<'_, '_>, key: &'static str| -> Vec<(String, String)> { f.text_map(key).into_iter().collect() };
    RequestDefinition {
        when: template(f, "when"),
        method,
        url,
        headers: pairs(f, "headers"),
        body,
        takes_message: f.boolean("takes_message").unwrap_or(false),
        sign: f.filled("sign"),
        bytes_max: f.count("bytes_max").map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        shorten: f.texts("shorten").unwrap_or_default(),
        keep: pairs(f, "keep"),
        keep_for: f.duration("keep_for"),
        keep_shown: f.boolean("keep_shown").unwrap_or(false),
        answer: f.object("answer", "answer", answer).unwrap_or_default(),
    }
}

fn answer(f: &mut Fields<'_, '_>) -> AnswerDefinition {
    AnswerDefinition {
        delivered: statuses(f, "delivered"),
        retried: statuses(f, "retried"),
        error: template(f, "error"),
        retry: template(f, "retry"),
        retry_after: f.filled("retry_after"),
        receipt: f.filled("receipt"),
    }
}

fn statuses(f: &mut Fields<'_, '_>, key: &'static str) -> Vec<u16> {
    f.list(key, |decoder, node: &Rc<Node>| {
        let text = decoder.text(node, "a status")?;
        let status = text.parse().ok().filter(|status| (100..600).contains(status));
        if status.is_none() {
            decoder.error(node.start, "bad-value", format!("{text:?} is not an HTTP status")).help("write it like 404");
        }
        status
    })
}

/// A template of the definition itself. Without it there is no request, so that a broken one is an error here.
fn template(f: &mut Fields<'_, '_>, key: &'static str) -> Option<String> {
    f.check_templates(key, false, Weight::Refused);
    f.filled(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_channels_are_those_of_alertmanager() {
        let names: Vec<&str> = all_shipped().iter().map(|definition| definition.name.as_str()).collect();
        assert_eq!(names.len(), 14, "{names:?}");
        assert!(all_shipped().iter().all(|definition| !definition.requests.is_empty()));
    }
}
