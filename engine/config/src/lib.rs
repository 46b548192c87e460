//! YAML text in, validated values out: `watchfire.yml` (a superset of `alertmanager.yml`) and rule files.
//!
//! Every fault of a file is told at once, with file, line, column and what to do about it. The crate does no I/O: the
//! caller reads files and lends it an [`Environment`] for variables and secrets. It does not look at what several files
//! mean together, such as whether a plugin exists that a rule names; whoever holds them all does.

mod alerting;
mod auth;
mod channel;
mod config;
mod decode;
mod diagnostic;
mod environment;
mod global;
mod http;
mod interval;
pub mod lint;
mod matcher;
mod plugins;
mod policy;
mod prometheus;
mod receiver;
mod route;
mod rules;
mod scalar;
mod schema;
mod secret;
mod sections;
mod shown;
mod template;
mod tracing;
mod tree;
mod url;
mod yaml;

/// YAML files of other kinds, such as test files, read as configurations and rules are and with diagnostics like theirs.
pub mod document {
    pub use crate::decode::{Decoder, Fields};
    pub use crate::yaml::{Entry, Kind, Node, Style};
}

pub use alerting::{AlertingConfig, AlertmanagerConfig};
pub use auth::{AuthConfig, Login, Role};
pub use channel::{
    AnswerDefinition, BodyDefinition, ChannelDefinition, LengthUnit, RequestDefinition, SettingDefinition, SettingKind,
};
pub use config::{Config, Source, config_schema, load_config, load_http_config};
pub use diagnostic::{Diagnostic, Level};
pub use environment::{Environment, FixedEnvironment};
pub use global::{GlobalConfig, SlackDefaults, SmtpDefaults};
pub use http::{Authorization, BasicAuth, HeaderValues, HttpConfig, OAuth2, ProxyConfig, TlsConfig, TlsVersion};
pub use matcher::{MatcherSyntaxError, parse_matcher, parse_matcher_within, parse_matchers, parse_matchers_within};
pub use plugins::{GRANTS, PluginConfig, PluginsConfig};
pub use prometheus::PrometheusConfig;
pub use receiver::{
    Channel, EmailConfig, Grant, Integration, PagerDutyConfig, PagerDutyImage, PagerDutyIncident, PagerDutyLink,
    Receiver, Setting, SlackAction, SlackConfig, SlackConfirmation, SlackField, TemplatedConfig, Threading,
    WebhookConfig,
};
pub use route::Route;
pub use rules::{Allowed, LoadedRules, Quarantined, RuleReader, load_rules, load_rules_with, rules_schema};
pub use secret::{Credential, Secret};
pub use sections::{
    EvaluationConfig, FillConfig, IngestConfig, Limits, RulesConfig, ServerConfig, ServerLimits, StorageConfig,
};
pub use shown::{shown, shown_to_alertmanagers_clients};
pub use tracing::TracingConfig;
pub use tree::Tree;
pub use watchfire_plugin::PluginUse;
pub use watchfire_rules::Position;
