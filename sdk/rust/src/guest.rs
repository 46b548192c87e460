//! The contract's bindings and what stands between them and the traits. For [`export!`](crate::export!) only.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::new_without_default,
    reason = "generated bindings call into the host by raw pointers"
)]

use std::cell::RefCell;

use crate::{
    Condition, Decision, Descriptor, Error, Formatter, Input, Message, Method, Outcome, Router, Severity, State, Target,
};
use crate::{Level, config};

/// One world per kind and one for what all have in common, so that a component exports what it offers and nothing more.
pub mod base {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package watchfire:sdk-base; world base { import watchfire:plugin/log@0.2.0; export watchfire:plugin/plugin@0.2.0; }",
        world: "watchfire:sdk-base/base",
        pub_export_macro: true,
        export_macro_name: "export_base",
        default_bindings_module: "watchfire_sdk::guest::base",
        generate_all,
    });
}
pub mod conditions {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package watchfire:sdk-conditions; world conditions { import watchfire:plugin/input@0.2.0; import watchfire:plugin/state@0.2.0; export watchfire:plugin/condition@0.2.0; }",
        world: "watchfire:sdk-conditions/conditions",
        pub_export_macro: true,
        export_macro_name: "export_conditions",
        default_bindings_module: "watchfire_sdk::guest::conditions",
        with: { "watchfire:plugin/types@0.2.0": crate::guest::base::watchfire::plugin::types },
        generate_all,
    });
}
pub mod routers {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package watchfire:sdk-routers; world routers { export watchfire:plugin/router@0.2.0; }",
        world: "watchfire:sdk-routers/routers",
        pub_export_macro: true,
        export_macro_name: "export_routers",
        default_bindings_module: "watchfire_sdk::guest::routers",
        with: { "watchfire:plugin/types@0.2.0": crate::guest::base::watchfire::plugin::types },
        generate_all,
    });
}
pub mod formatters {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package watchfire:sdk-formatters; world formatters { export watchfire:plugin/formatter@0.2.0; }",
        world: "watchfire:sdk-formatters/formatters",
        pub_export_macro: true,
        export_macro_name: "export_formatters",
        default_bindings_module: "watchfire_sdk::guest::formatters",
        with: {
            "watchfire:plugin/types@0.2.0": crate::guest::base::watchfire::plugin::types,
            "watchfire:plugin/alerts@0.2.0": crate::guest::routers::watchfire::plugin::alerts,
        },
        generate_all,
    });
}

pub use base::exports::watchfire::plugin::plugin::Guest as DescribeGuest;
pub use base::watchfire::plugin::types::{Descriptor as WitDescriptor, Kind, PluginError};
pub use conditions::exports::watchfire::plugin::condition;
pub use conditions::watchfire::plugin::{input, state};
pub use formatters::exports::watchfire::plugin::formatter;
pub use routers::exports::watchfire::plugin::router;

use base::watchfire::plugin::{log as host_log, types};
use routers::watchfire::plugin::alerts;

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => host_log::Level::Debug,
        Level::Info => host_log::Level::Info,
        Level::Warn => host_log::Level::Warn,
        Level::Error => host_log::Level::Error,
    };
    host_log::log(level, message);
}

pub(crate) fn event(event: input::Event) -> crate::Event {
    let input::Event { id, time_ms, kind, body, fields } = event;
    crate::Event { id, time_ms, kind, body, fields }
}

/// A plugin of a kind under a name, with the function that opens it.
pub struct Offer<T: ?Sized> {
    pub name: &'static str,
    pub descriptor: Descriptor,
    pub open: fn(&str) -> Result<Box<T>, Error>,
}

pub fn describe<T: ?Sized>(kind: Kind, offers: &[Offer<T>], described: &mut Vec<WitDescriptor>) {
    described.extend(offers.iter().map(|offer| WitDescriptor {
        kind,
        name: offer.name.to_owned(),
        summary: offer.descriptor.summary.to_owned(),
        config_schema: offer.descriptor.config_schema.to_owned(),
        state_version: offer.descriptor.state_version,
    }));
}

/// What is open, by handle.
pub struct Opened<T: ?Sized>(RefCell<Vec<Option<Box<T>>>>);

impl<T: ?Sized> Opened<T> {
    pub const fn new() -> Opened<T> {
        Opened(RefCell::new(Vec::new()))
    }

    pub fn open(&self, offers: &[Offer<T>], name: &str, config: &str) -> Result<u32, PluginError> {
        let Some(offer) = offers.iter().find(|offer| offer.name == name) else {
            let names: Vec<_> = offers.iter().map(|offer| offer.name).collect();
            return Err(PluginError::Unsupported(format!("there is no {name:?}, but {}", names.join(", "))));
        };
        let opened = (offer.open)(config).map_err(error)?;
        let mut slots = self.0.borrow_mut();
        let free = slots.iter().position(Option::is_none).unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[free] = Some(opened);
        Ok(free as u32)
    }

    pub fn with<R>(&self, handle: u32, use_it: impl FnOnce(&mut T) -> Result<R, Error>) -> Result<R, PluginError> {
        match self.0.borrow_mut().get_mut(handle as usize) {
            Some(Some(opened)) => use_it(opened).map_err(error),
            _ => Err(PluginError::Internal(format!("handle {handle} is not open"))),
        }
    }

    pub fn close(&self, handle: u32) {
        if let Some(slot) = self.0.borrow_mut().get_mut(handle as usize) {
            *slot = None;
        }
    }
}

/// The traits without their associated types, so that several plugins fit in one table.
pub trait AnyCondition {
    fn evaluate(&mut self) -> Result<Outcome, Error>;
}

impl<C: Condition> AnyCondition for C {
    fn evaluate(&mut self) -> Result<Outcome, Error> {
        Condition::evaluate(self, &Input::from_host(), &mut State::in_memory())
    }
}

pub trait AnyRouter {
    fn route(&mut self, at_ms: i64, alerts: &[crate::Alert]) -> Result<Vec<Decision>, Error>;
}

impl<R: Router> AnyRouter for R {
    fn route(&mut self, at_ms: i64, alerts: &[crate::Alert]) -> Result<Vec<Decision>, Error> {
        Router::route(self, at_ms, alerts)
    }
}

pub trait AnyFormatter {
    fn format(&mut self, group: &crate::Group) -> Result<Message, Error>;
}

impl<F: Formatter> AnyFormatter for F {
    fn format(&mut self, group: &crate::Group) -> Result<Message, Error> {
        Formatter::format(self, group)
    }
}

pub fn offer_condition<C: Condition + 'static>(name: &'static str) -> Offer<dyn AnyCondition> {
    Offer { name, descriptor: C::DESCRIPTOR, open: |config| Ok(Box::new(C::open(config::parse(config)?)?)) }
}

pub fn offer_router<R: Router + 'static>(name: &'static str) -> Offer<dyn AnyRouter> {
    Offer { name, descriptor: R::DESCRIPTOR, open: |config| Ok(Box::new(R::open(config::parse(config)?)?)) }
}

pub fn offer_formatter<F: Formatter + 'static>(name: &'static str) -> Offer<dyn AnyFormatter> {
    Offer { name, descriptor: F::DESCRIPTOR, open: |config| Ok(Box::new(F::open(config::parse(config)?)?)) }
}

pub fn outcome(outcome: Outcome) -> condition::Outcome {
    let findings = outcome.findings.into_iter().map(|finding| condition::Finding {
        series: finding.series,
        severity: match finding.severity {
            Severity::Info => types::Severity::Info,
            Severity::Warning => types::Severity::Warning,
            Severity::Error => types::Severity::Error,
            Severity::Critical => types::Severity::Critical,
        },
        value: finding.value,
        summary: finding.summary,
    });
    condition::Outcome { findings: findings.collect(), unknown: outcome.unknown }
}

pub fn alerts(alerts: Vec<alerts::Alert>) -> Vec<crate::Alert> {
    alerts.into_iter().map(alert).collect()
}

fn alert(alert: alerts::Alert) -> crate::Alert {
    crate::Alert {
        fingerprint: alert.fingerprint,
        name: alert.name,
        severity: match alert.severity {
            types::Severity::Info => Severity::Info,
            types::Severity::Warning => Severity::Warning,
            types::Severity::Error => Severity::Error,
            types::Severity::Critical => Severity::Critical,
        },
        firing: alert.firing,
        starts_ms: alert.starts_ms,
        ends_ms: alert.ends_ms,
        value: alert.value,
        summary: alert.summary,
        generator_url: alert.generator_url,
        labels: alert.labels,
        annotations: alert.annotations,
    }
}

pub fn decisions(decisions: Vec<Decision>) -> Vec<router::Decision> {
    let lower = |Decision { receivers, suppress, group_key }| router::Decision { receivers, suppress, group_key };
    decisions.into_iter().map(lower).collect()
}

pub fn group(group: formatter::Group) -> crate::Group {
    crate::Group {
        at_ms: group.at_ms,
        key: group.key,
        receiver: group.receiver,
        group_labels: group.group_labels,
        external_url: group.external_url,
        alerts: alerts(group.alerts),
        id: group.id,
        channel: group.channel,
        secrets: group.secrets,
    }
}

pub fn message(message: Message) -> formatter::Message {
    let Message { title, content_type, body, headers, dedup_key, target } = message;
    let target = target.map(|Target { method, url }| {
        let method = match method {
            Method::Get => formatter::Method::Get,
            Method::Post => formatter::Method::Post,
            Method::Put => formatter::Method::Put,
            Method::Patch => formatter::Method::Patch,
            Method::Delete => formatter::Method::Delete,
        };
        formatter::Target { method, url }
    });
    formatter::Message { title, content_type, body, headers, dedup_key, target }
}

fn error(error: Error) -> PluginError {
    match error {
        Error::InvalidConfig { path, message } => PluginError::InvalidConfig(types::ConfigError { path, message }),
        Error::BadInput(text) => PluginError::BadInput(text),
        Error::Unsupported(text) => PluginError::Unsupported(text),
        Error::Internal(text) => PluginError::Internal(text),
    }
}
