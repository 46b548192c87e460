//! Channels that are data: their settings are read as their definition says.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use watchfire_model::Duration;

use crate::channel::{self, ChannelDefinition, SettingDefinition, SettingKind};
use crate::decode::{Decoder, Fields};
use crate::global::GlobalConfig;
use crate::http::{HttpConfig, http_config};
use crate::schema::Shape;
use crate::secret::{Credential, Secret};
use crate::template::Weight;
use crate::tree::Tree;
use crate::yaml::Node;

/// A receiver of a channel that is data.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplatedConfig {
    /// What the channel is.
    pub definition: Arc<ChannelDefinition>,
    /// How requests are made.
    pub http: HttpConfig,
    /// What is set here, in `global` or by default.
    pub settings: BTreeMap<String, Setting>,
    /// How long a request may take.
    pub timeout: Option<Duration>,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A value of any shape; its texts may be templates.
    Value(Tree),
    /// A text from the configuration or from a file.
    Credential(Credential),
}

impl Setting {
    /// The text, if it is one that stands in the configuration.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Setting::Value(Tree::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Reads the settings of a shipped channel.
pub(super) fn read(
    f: &mut Fields<'_, '_>,
    definition: &'static ChannelDefinition,
    global: &GlobalConfig,
) -> TemplatedConfig {
    let http = http_config(f).unwrap_or_else(|| global.http.clone());
    let mut settings = BTreeMap::new();
    for setting in &definition.settings {
        let own = own(f, setting);
        let value = own.or_else(|| global.channels.get(&setting.global).cloned());
        let file_is_there = !setting.file_key.is_empty() && !f.lacks(&setting.file_key);
        if setting.required && value.is_none() && f.lacks(&setting.name) && !file_is_there {
            f.missing(&setting.name).help(remedy(setting));
        }
        if let Some(value) = value.or_else(|| default(setting)) {
            settings.insert(setting.name.clone(), value);
        }
    }
    // Only some channels of Alertmanager have it, so that elsewhere it stays the unknown key that it is there.
    let timeout = if definition.name == "incidentio" { f.go_duration("timeout") } else { None };
    TemplatedConfig { definition: Arc::new(definition.clone()), http, settings, timeout }
}

fn default(setting: &SettingDefinition) -> Option<Setting> {
    setting.default.clone().map(|tree| Setting::Value(seconds(setting.kind, tree)))
}

/// A duration of a definition in the seconds that requests see.
fn seconds(kind: SettingKind, tree: Tree) -> Tree {
    match (&tree, kind) {
        (Tree::Text(text), SettingKind::Duration) => {
            text.parse::<Duration>().map_or(tree.clone(), |duration| Tree::Int(duration.as_millis() / 1000))
        }
        _ => tree,
    }
}

fn remedy(setting: &SettingDefinition) -> String {
    let name = &setting.name;
    match (setting.file_key.as_str(), setting.global.as_str()) {
        ("", "") => format!("give `{name}`"),
        (_, "") => format!("give `{name}`, or `{name}_file`"),
        (_, global) => format!("give `{name}` here, or {global} in global"),
    }
}

/// What the mapping itself says.
fn own(f: &mut Fields<'_, '_>, setting: &'static SettingDefinition) -> Option<Setting> {
    let key = setting.name.as_str();
    let text = |text: String| Setting::Value(Tree::Text(text));
    let value = match setting.kind {
        SettingKind::SecretUrl => f.secret_url(key, &setting.file_key).map(Setting::Credential),
        _ if !setting.file_key.is_empty() => f.credential(key, &setting.file_key).map(Setting::Credential),
        SettingKind::Url => f.url(key).map(text),
        // An empty text is a choice: the default is not sent then.
        SettingKind::Text | SettingKind::List | SettingKind::Secret if setting.required => f.filled(key).map(text),
        SettingKind::Text | SettingKind::List | SettingKind::Secret => f.text(key).map(text),
        SettingKind::Boolean => f.boolean(key).map(|truth| Setting::Value(Tree::Bool(truth))),
        SettingKind::Integer => f.integer(key).map(|number| Setting::Value(Tree::Int(number))),
        // No service asks for more than fits.
        SettingKind::Count => f.count(key).map(|number| Setting::Value(Tree::Int(number.cast_signed()))),
        SettingKind::Duration => {
            f.go_duration(key).map(|duration| Setting::Value(Tree::Int(duration.as_millis() / 1000)))
        }
        // Its shape is the channel's, whose own checks look at the templates in it.
        SettingKind::Tree => return f.tree(key).map(Setting::Value),
    };
    check(f, setting, key, &setting.file_key, value)
}

/// What hangs on the template of a setting.
fn weight(setting: &SettingDefinition) -> Weight {
    let hidden = matches!(setting.kind, SettingKind::Secret | SettingKind::SecretUrl);
    if setting.required || hidden { Weight::Needed } else { Weight::Text }
}

/// The value with its template looked at.
fn check(
    f: &mut Fields<'_, '_>,
    setting: &SettingDefinition,
    key: &str,
    file_key: &str,
    value: Option<Setting>,
) -> Option<Setting> {
    match &value {
        Some(Setting::Credential(credential)) => f.check_credential(key, file_key, credential, weight(setting)),
        Some(Setting::Value(Tree::Text(text))) => f.check_template(key, text, weight(setting)),
        _ => {}
    }
    value
}

/// What `global` holds for the channels that are data.
pub(crate) fn global_settings(f: &mut Fields<'_, '_>) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    let all = channel::all_shipped().iter().flat_map(|definition| &definition.settings);
    for setting in all.filter(|setting| !setting.global.is_empty()) {
        let (key, file) = (setting.global.as_str(), setting.global_file.as_str());
        let value = match setting.kind {
            SettingKind::SecretUrl => f.secret_url(key, file).map(Setting::Credential),
            SettingKind::Secret => f.credential(key, file).map(Setting::Credential),
            SettingKind::Url => f.url(key).map(|text| Setting::Value(Tree::Text(text))),
            _ => f.filled(key).map(|text| Setting::Value(Tree::Text(text))),
        };
        let value = check(f, setting, key, file, value);
        settings.extend(value.map(|value| (setting.global.clone(), value)));
    }
    settings
}

/// An entry of `channel_configs`: a channel of the configuration's own.
pub(super) fn own_channel(
    f: &mut Fields<'_, '_>,
    channels: &[Arc<ChannelDefinition>],
    global: &GlobalConfig,
) -> TemplatedConfig {
    let name = f.required("channel", "name one of `channels`").unwrap_or_default();
    let known = channels.iter().find(|definition| definition.name == name);
    if known.is_none() && !name.is_empty() {
        let names: Vec<&str> = channels.iter().map(|definition| definition.name.as_str()).collect();
        f.error("channel", "unknown-channel", format!("there is no channel {name:?}")).help(if names.is_empty() {
            "define it under `channels`".to_owned()
        } else {
            format!("known: {}", names.join(", "))
        });
    }
    let http = http_config(f).unwrap_or_else(|| global.http.clone());
    let timeout = f.go_duration("timeout");
    f.shape("settings", Shape::Map(Box::new(Shape::Any)));
    let node = f.node("settings");
    let mut settings = BTreeMap::new();
    if let Some(definition) = known {
        let at = f.at("settings");
        if let Some(node) = &node {
            let given = f.decoder().entries(node, "settings", |decoder, entry| {
                named(decoder, definition, &entry.key, entry.key_start, &entry.value)
            });
            settings.extend(given.into_iter().map(|(_, pair)| pair));
        }
        for setting in &definition.settings {
            if setting.required && !settings.contains_key(&setting.name) {
                let message = format!("the channel {name} needs the setting `{}`", setting.name);
                f.decoder().error(at, "missing-key", message).help(remedy(setting));
            }
            if let Some(value) = default(setting) {
                settings.entry(setting.name.clone()).or_insert(value);
            }
        }
    }
    let definition =
        known.cloned().unwrap_or_else(|| Arc::new(ChannelDefinition { name, ..ChannelDefinition::empty() }));
    TemplatedConfig { definition, http, settings, timeout }
}

/// One entry of `settings`, under the name of the setting that it gives.
fn named(
    decoder: &mut Decoder<'_>,
    definition: &ChannelDefinition,
    key: &str,
    key_at: usize,
    node: &Rc<Node>,
) -> Option<(String, Setting)> {
    let found = definition.settings.iter().find(|setting| setting.name == key || setting.file_key == key);
    let Some(setting) = found else {
        let known: Vec<&str> = definition.settings.iter().map(|setting| setting.name.as_str()).collect();
        let message = format!("the channel {} has no setting {key:?}", definition.name);
        decoder.error(key_at, "unknown-key", message).help(format!("known: {}", known.join(", ")));
        return None;
    };
    if setting.file_key == key {
        let path = decoder.text(node, "the path")?;
        let path = decoder.resolve_path(&path);
        let content = decoder.read_secret_file(node.start, &path).map(Secret::new);
        decoder.check_file(node, &path, content.as_ref());
        return Some((setting.name.clone(), Setting::Credential(Credential::File { path, content })));
    }
    // Whatever is set below `channel_configs` may be a secret.
    decoder.check_templates(node, key, setting.json, weight(setting), true);
    let value = if matches!(setting.kind, SettingKind::Secret | SettingKind::SecretUrl) {
        Setting::Credential(Credential::Inline(Secret::new(decoder.text(node, key)?)))
    } else {
        Setting::Value(seconds(setting.kind, decoder.tree(node)))
    };
    Some((setting.name.clone(), value))
}
