//! The versions of the contract side by side: what a component of either exports is turned into the one set of types that
//! the host works with. Nothing beyond this module and `imports` knows that there are two.

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};
use watchfire_plugin::{
    Condition, Decision, Finding, Formatter, Kind, Message, Method, Outcome, PluginError, Router, Target,
};

use crate::bindings::v0_2::watchfire::plugin::{alerts, types};
use crate::context::Context;
use crate::kinds::{LentGroup, severity_from};
use crate::loaded::Loaded;
use crate::opened::Opened;

/// What a guest says, within what wasmtime says.
pub(crate) type Answer<T> = wasmtime::Result<Result<T, types::PluginError>>;

/// The exports of one kind.
pub(crate) trait Guest: Sized + Send {
    const KIND: Kind;

    fn load(exports: &Exports, store: &mut Store<Context>, instance: &Instance) -> Option<wasmtime::Result<Self>>;

    fn open(&self, store: &mut Store<Context>, name: &str, config: &str) -> Answer<u32>;
}

/// The exports of a condition.
pub(crate) trait ConditionGuest: Guest {
    fn evaluate(&self, store: &mut Store<Context>, handle: u32) -> Answer<Outcome>;
}

/// The exports of a router.
pub(crate) trait RouterGuest: Guest {
    fn route(
        &self,
        store: &mut Store<Context>,
        handle: u32,
        at_ms: i64,
        alerts: &[alerts::Alert<'_>],
    ) -> Answer<Vec<Decision>>;
}

/// The exports of a formatter.
pub(crate) trait FormatterGuest: Guest {
    fn format(&self, store: &mut Store<Context>, handle: u32, group: &LentGroup<'_>) -> Answer<Message>;
}

/// Where a component's exports are, found once.
#[derive(Clone)]
pub(crate) enum Exports {
    V0_1(v0_1::Indices),
    V0_2(v0_2::Indices),
}

/// The versions, by the minor number of contract 0. Within one of them functions are only ever added, so that its bindings
/// serve every plugin built for it. What every version ever released must go on doing, `sdk/golden` keeps.
pub(crate) const MINOR_VERSIONS: [u64; 2] = [1, 2];

impl Exports {
    /// Finds what a component of a version exports of these kinds.
    pub(crate) fn find(minor: u64, pre: &InstancePre<Context>, kinds: &BTreeSet<Kind>) -> wasmtime::Result<Exports> {
        match minor {
            1 => v0_1::Indices::find(pre, kinds).map(Exports::V0_1),
            _ => v0_2::Indices::find(pre, kinds).map(Exports::V0_2),
        }
    }

    /// What the component says that it offers.
    pub(crate) fn describe(
        &self,
        store: &mut Store<Context>,
        instance: &Instance,
    ) -> wasmtime::Result<Vec<types::Descriptor>> {
        match self {
            Exports::V0_1(indices) => indices.plugin.load(&mut *store, instance)?.call_describe(store),
            Exports::V0_2(indices) => indices.plugin.load(&mut *store, instance)?.call_describe(store),
        }
    }
}

/// What both versions have in common but for their names.
macro_rules! exports {
    ($version:ident, $variant:ident) => {
        pub(crate) mod $version {
            use super::*;
            use crate::bindings::$version::exports::watchfire::plugin::{condition, formatter, plugin, router};

            #[derive(Clone)]
            pub(crate) struct Indices {
                pub(super) plugin: plugin::GuestIndices,
                condition: Option<condition::GuestIndices>,
                router: Option<router::GuestIndices>,
                formatter: Option<formatter::GuestIndices>,
            }

            impl Indices {
                pub(super) fn find(pre: &InstancePre<Context>, kinds: &BTreeSet<Kind>) -> wasmtime::Result<Indices> {
                    let offers = |kind| kinds.contains(&kind);
                    Ok(Indices {
                        plugin: plugin::GuestIndices::new(pre)?,
                        condition: offers(Kind::Condition).then(|| condition::GuestIndices::new(pre)).transpose()?,
                        router: offers(Kind::Router).then(|| router::GuestIndices::new(pre)).transpose()?,
                        formatter: offers(Kind::Formatter).then(|| formatter::GuestIndices::new(pre)).transpose()?,
                    })
                }
            }

            exports!(guest, $variant, condition, Condition);
            exports!(guest, $variant, router, Router);
            exports!(guest, $variant, formatter, Formatter);

            impl ConditionGuest for condition::Guest {
                fn evaluate(&self, store: &mut Store<Context>, handle: u32) -> Answer<Outcome> {
                    let finding = |condition::Finding { series, severity, value, summary }| Finding {
                        series,
                        severity: severity_from(severity),
                        value,
                        summary,
                    };
                    let outcome = |condition::Outcome { findings, unknown }| Outcome {
                        findings: findings.into_iter().map(finding).collect(),
                        unknown,
                    };
                    Ok(self.call_evaluate(store, handle)?.map(outcome))
                }
            }

            impl RouterGuest for router::Guest {
                fn route(
                    &self,
                    store: &mut Store<Context>,
                    handle: u32,
                    at_ms: i64,
                    alerts: &[alerts::Alert<'_>],
                ) -> Answer<Vec<Decision>> {
                    let decision = |router::Decision { receivers, suppress, group_key }| Decision {
                        receivers,
                        suppress,
                        group_key,
                    };
                    let decided = self.call_route(store, handle, at_ms, alerts)?;
                    Ok(decided.map(|decisions| decisions.into_iter().map(decision).collect()))
                }
            }
        }
    };
    (guest, $variant:ident, $kind:ident, $name:ident) => {
        impl Guest for $kind::Guest {
            const KIND: Kind = Kind::$name;

            fn load(
                exports: &Exports,
                store: &mut Store<Context>,
                instance: &Instance,
            ) -> Option<wasmtime::Result<Self>> {
                let Exports::$variant(indices) = exports else { return None };
                indices.$kind.as_ref().map(|indices| indices.load(store, instance))
            }

            fn open(&self, store: &mut Store<Context>, name: &str, config: &str) -> Answer<u32> {
                self.call_open(store, name, config)
            }
        }
    };
}

exports!(v0_1, V0_1);
exports!(v0_2, V0_2);

mod formatters {
    use super::*;
    use crate::bindings::v0_1::exports::watchfire::plugin::formatter as before;
    use crate::bindings::v0_2::exports::watchfire::plugin::formatter as current;

    /// Without a request of the plugin's own.
    impl FormatterGuest for before::Guest {
        fn format(&self, store: &mut Store<Context>, handle: u32, lent: &LentGroup<'_>) -> Answer<Message> {
            let group = before::Group {
                at_ms: lent.group.at.as_millis(),
                key: &lent.group.key,
                receiver: &lent.group.receiver,
                group_labels: &lent.labels,
                external_url: &lent.group.external_url,
                alerts: &lent.alerts,
            };
            let message = |before::Message { title, content_type, body, headers, dedup_key }| Message {
                title,
                content_type,
                body,
                headers,
                dedup_key,
                target: None,
            };
            Ok(self.call_format(store, handle, group)?.map(message))
        }
    }

    impl FormatterGuest for current::Guest {
        fn format(&self, store: &mut Store<Context>, handle: u32, lent: &LentGroup<'_>) -> Answer<Message> {
            let group = current::Group {
                at_ms: lent.group.at.as_millis(),
                key: &lent.group.key,
                receiver: &lent.group.receiver,
                id: &lent.group.id,
                channel: &lent.group.channel,
                group_labels: &lent.labels,
                external_url: &lent.group.external_url,
                secrets: &lent.secrets,
                alerts: &lent.alerts,
            };
            let method = |method| match method {
                current::Method::Get => Method::Get,
                current::Method::Post => Method::Post,
                current::Method::Put => Method::Put,
                current::Method::Patch => Method::Patch,
                current::Method::Delete => Method::Delete,
            };
            let target = |target: current::Target| Target { method: method(target.method), url: target.url };
            let message = |message: current::Message| {
                let current::Message { title, content_type, body, headers, dedup_key, target: own } = message;
                Message { title, content_type, body, headers, dedup_key, target: own.map(target) }
            };
            Ok(self.call_format(store, handle, group)?.map(message))
        }
    }
}

macro_rules! open {
    ($function:ident, $kind:ident, $trait:ident) => {
        impl Loaded {
            /// Opens what the plugin offers under a name of its own.
            pub(crate) fn $function(
                self: &Arc<Loaded>,
                part: &str,
                config: &str,
            ) -> Result<Box<dyn $trait>, PluginError> {
                use crate::bindings::{v0_1, v0_2};
                type Before = v0_1::exports::watchfire::plugin::$kind::Guest;
                type Current = v0_2::exports::watchfire::plugin::$kind::Guest;
                Ok(match self.exports {
                    Exports::V0_1(_) => Box::new(Opened::<Before>::new(self.clone(), part, config)?),
                    Exports::V0_2(_) => Box::new(Opened::<Current>::new(self.clone(), part, config)?),
                })
            }
        }
    };
}

open!(open_condition, condition, Condition);
open!(open_router, router, Router);
open!(open_formatter, formatter, Formatter);
