//! A plugin that is compiled and has said what it offers.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};
use watchfire_model::Timestamp;
use watchfire_plugin::{Descriptor, Kind, Limits, PluginError, StandIns};

use crate::bindings::v0_2::watchfire::plugin::types;
use crate::breaker::Breakers;
use crate::cache::{Cache, sha256};
use crate::cases::Cases;
use crate::context::Context;
use crate::contract::Exports;
use crate::counters::Counters;
use crate::engine::Sandbox;
use crate::failure::{classify_start, cut};
use crate::gate::Gate;
use crate::inspect::{self, Outline};
use crate::manifest::Manifest;
use crate::recording::Recorder;
use crate::{BreakerSettings, LoadError, wasi};

/// Things that one component may offer.
const DESCRIPTORS_MAX: usize = 64;
/// Bytes of a JSON Schema.
const SCHEMA_BYTES_MAX: usize = 256 << 10;

/// What is known about a loaded plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    /// The name under which it is loaded, mostly the file's without `.wasm`.
    pub name: String,
    /// SHA-256 of the `.wasm` file as hexadecimal digits.
    pub digest: String,
    /// Grows with every load of any plugin: whoever opened something under a smaller number can open it again.
    pub generation: u64,
    /// The version of the contract that it was built for.
    pub contract: String,
    /// The kinds for which it has an export.
    pub kinds: Vec<Kind>,
    /// What it offers, under the names by which it is addressed, sorted by kind and name.
    pub descriptors: Vec<Descriptor>,
    /// The same under the names that the plugin has for them.
    pub parts: Vec<(Kind, String)>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// Bytes of the `.wasm` file.
    pub wasm_bytes: u64,
    /// Bytes of machine code.
    pub code_bytes: u64,
    /// Whether the machine code came from the cache.
    pub from_cache: bool,
    /// What it may use: the least of what the server, the operator and the plugin itself say.
    pub limits: Limits,
    /// What its imports need to be granted, sorted.
    pub grants: Vec<&'static str>,
    /// What it says of itself, where its author let it.
    pub manifest: Option<Manifest>,
    /// How many tests of its own it carries, which it passes before it takes over.
    pub cases: usize,
}

/// Shared by everything that is opened from one version of a plugin.
pub(crate) struct Loaded {
    pub(crate) name: Arc<str>,
    pub(crate) info: PluginInfo,
    /// The descriptors as the plugin names them.
    offered: Vec<Descriptor>,
    pub(crate) pre: InstancePre<Context>,
    pub(crate) exports: Exports,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) limits: Limits,
    /// The tests that it carries.
    pub(crate) cases: Arc<[Cases]>,
    pub(crate) breakers: Breakers,
    pub(crate) gate: Gate,
    pub(crate) instances_max: u32,
    pub(crate) counters: Arc<Counters>,
    pub(crate) recorder: Arc<Recorder>,
}

/// What a plugin is loaded with.
pub(crate) struct Surroundings<'a> {
    pub(crate) sandbox: &'a Arc<Sandbox>,
    pub(crate) linker: &'a Linker<Context>,
    pub(crate) cache: Option<&'a Cache>,
    /// Held while a plugin is compiled: one at a time, since compiling takes all cores and much memory.
    pub(crate) compiling: &'a Mutex<()>,
    pub(crate) limits: Limits,
    pub(crate) grant: Option<BTreeSet<String>>,
    pub(crate) breaker: BreakerSettings,
    pub(crate) instances_max: u32,
    pub(crate) counters: Arc<Counters>,
    pub(crate) recorder: Arc<Recorder>,
}

/// A plugin of which everything is known that can be known without compiling it.
struct Checked {
    outline: Outline,
    digest: String,
    manifest: Option<Manifest>,
    cases: Vec<Cases>,
    limits: Limits,
    wasm_bytes: u64,
}

impl Checked {
    fn new(name: &str, wasm: &[u8], with: &Surroundings<'_>) -> Result<Checked, LoadError> {
        let outline = inspect::outline(wasm, &with.limits)?;
        if let Some(grant) = &with.grant {
            inspect::check_grant(name, &outline.imports, grant)?;
        }
        let manifest = Manifest::read(wasm)?;
        let cases = Cases::embedded(wasm)?;
        let limits = manifest.as_ref().map_or(with.limits, |manifest| with.limits.least(manifest.limits.limits()));
        Ok(Checked { outline, digest: sha256(wasm), manifest, cases, limits, wasm_bytes: wasm.len() as u64 })
    }
}

impl Loaded {
    /// Checks, compiles and asks the plugin what it offers. The generation is given when it is installed.
    pub(crate) fn new(name: &str, wasm: &[u8], with: Surroundings<'_>) -> Result<Loaded, LoadError> {
        let checked = Checked::new(name, wasm, &with)?;
        match cached(&checked.digest, &with) {
            Some(component) => Loaded::of(name, checked, component, true, with),
            None => {
                let component = compile(wasm, &checked.digest, &with)?;
                Loaded::of(name, checked, component, false, with)
            }
        }
    }

    /// As [`Loaded::new`], but nothing where the cache does not hold the machine code.
    pub(crate) fn from_cache(name: &str, wasm: &[u8], with: Surroundings<'_>) -> Result<Option<Loaded>, LoadError> {
        let checked = Checked::new(name, wasm, &with)?;
        let component = cached(&checked.digest, &with);
        component.map(|component| Loaded::of(name, checked, component, true, with)).transpose()
    }

    fn of(
        name: &str,
        checked: Checked,
        component: Component,
        from_cache: bool,
        with: Surroundings<'_>,
    ) -> Result<Loaded, LoadError> {
        let Checked { outline, digest, manifest, cases, limits, wasm_bytes } = checked;
        let pre = link(with.linker, &component, &outline.contract)?;
        let Outline { imports, kinds, contract, minor } = outline;
        let exports = Exports::find(minor, &pre, &kinds).map_err(|error| {
            LoadError::Contract(format!("the plugin does not fit the contract {contract}: {error:#}"))
        })?;
        let grants = imports.iter().filter_map(|import| inspect::grant_for(import)).collect::<BTreeSet<_>>();
        let grants = grants.into_iter().collect();
        let info = PluginInfo {
            name: name.to_owned(),
            digest,
            generation: 0,
            contract,
            kinds: kinds.iter().copied().collect(),
            descriptors: Vec::new(),
            parts: Vec::new(),
            imports,
            wasm_bytes,
            code_bytes: component.image_range().end as u64 - component.image_range().start as u64,
            from_cache,
            limits,
            grants,
            manifest,
            cases: cases.iter().map(Cases::len).sum(),
        };
        let mut loaded = Loaded {
            name: name.into(),
            info,
            offered: Vec::new(),
            pre,
            exports,
            sandbox: with.sandbox.clone(),
            limits,
            cases: cases.into(),
            breakers: Breakers::new(with.breaker),
            gate: Gate::new(limits.calls),
            instances_max: with.instances_max,
            counters: with.counters,
            recorder: with.recorder,
        };
        loaded.offered = loaded.describe(&kinds)?;
        // An SDK may export every kind; what counts is what the plugin names.
        loaded.info.kinds.retain(|kind| loaded.offered.iter().any(|offered| offered.kind == *kind));
        loaded.info.descriptors = loaded.addressed();
        loaded.info.parts = loaded.offered.iter().map(|offered| (offered.kind, offered.name.clone())).collect();
        Ok(loaded)
    }

    /// The same, with counters and recordings that nobody sees, with other limits and never suspended: for calls that are
    /// no work.
    pub(crate) fn apart(&self, limits: Limits) -> Loaded {
        Loaded {
            name: self.name.clone(),
            info: self.info.clone(),
            offered: self.offered.clone(),
            pre: self.pre.clone(),
            exports: self.exports.clone(),
            sandbox: self.sandbox.clone(),
            limits,
            cases: self.cases.clone(),
            breakers: Breakers::new(BreakerSettings::NEVER),
            gate: Gate::new(limits.calls),
            instances_max: self.instances_max,
            counters: Arc::default(),
            recorder: Arc::default(),
        }
    }

    /// The version of the layout in which a part writes its state.
    pub(crate) fn state_version(&self, kind: Kind, name: &str) -> u32 {
        let offered = self.offered.iter().find(|offered| offered.kind == kind && offered.name == name);
        offered.map_or(0, |offered| offered.state_version)
    }

    /// A store with everything that bounds what happens in it, the time to open included.
    pub(crate) fn store(&self, seed: &str, limits: &Limits) -> Store<Context> {
        let seed = seed
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let context = Context::new(self.name.clone(), limits, seed, self.counters.clone());
        let mut store = Store::new(&self.sandbox.engine, context);
        store.limiter(|context| &mut context.limiter);
        store.set_hostcall_fuel(limits.output_bytes);
        store.data_mut().begin(Timestamp::EPOCH, StandIns::default());
        // Start functions run during instantiation and are guests as well.
        store.set_epoch_deadline(self.sandbox.ticks(limits.open_time));
        self.refuel(&mut store);
        store
    }

    /// Gives a metered store all the fuel there is: time bounds a call, fuel only counts its instructions.
    pub(crate) fn refuel(&self, store: &mut Store<Context>) {
        if self.sandbox.metered {
            // The store was made by the same engine, so that it counts as well.
            drop(store.set_fuel(u64::MAX));
        }
    }

    /// The instructions since the fuel was given; 0 where none are counted.
    pub(crate) fn instructions(&self, store: &Store<Context>) -> u64 {
        if self.sandbox.metered { store.get_fuel().map_or(0, |left| u64::MAX - left) } else { 0 }
    }

    fn describe(&self, kinds: &BTreeSet<Kind>) -> Result<Vec<Descriptor>, LoadError> {
        let _running = self.sandbox.run();
        let mut store = self.store("", &self.limits);
        let described =
            self.pre.instantiate(&mut store).and_then(|instance| self.exports.describe(&mut store, &instance));
        store.data_mut().end();
        let described = described.map_err(|error| {
            LoadError::Describe(classify_start(&error, store.data(), &self.limits, self.instances_max))
        })?;
        check_descriptors(described, kinds)
    }

    /// The descriptors under the names that rules write: `file` where the plugin offers one of a kind or calls it so,
    /// else `file/name`.
    fn addressed(&self) -> Vec<Descriptor> {
        let mut addressed: Vec<_> = self
            .offered
            .iter()
            .map(|descriptor| {
                let only = self.offered.iter().filter(|other| other.kind == descriptor.kind).count() == 1;
                let name = if only || descriptor.name == *self.name {
                    self.name.to_string()
                } else {
                    format!("{}/{}", self.name, descriptor.name)
                };
                Descriptor { name, ..descriptor.clone() }
            })
            .collect();
        addressed.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        addressed
    }

    /// The plugin's own name for what is addressed as `file` (`part` is `None`) or `file/part`.
    pub(crate) fn resolve(&self, kind: Kind, part: Option<&str>) -> Result<&str, PluginError> {
        let names: Vec<_> = self.offered.iter().filter(|d| d.kind == kind).map(|d| d.name.as_str()).collect();
        let word = kind.as_str();
        let found = match (part, names.as_slice()) {
            (_, []) => {
                let others: Vec<_> = self.info.kinds.iter().map(|kind| kind.as_str()).collect();
                return Err(PluginError::Unsupported(format!(
                    "plugin {:?} offers no {word}; it is a {}",
                    self.name,
                    others.join(" and a ")
                )));
            }
            (Some(part), names) => names.iter().find(|name| **name == part),
            (None, [only]) => Some(only),
            (None, names) => names.iter().find(|name| **name == &*self.name),
        };
        found.copied().ok_or_else(|| {
            let addresses: Vec<_> = names.iter().map(|name| format!("{}/{name}", self.name)).collect();
            let asked = part.map_or_else(|| self.name.to_string(), |part| format!("{}/{part}", self.name));
            PluginError::Unsupported(format!("there is no {word} {asked:?}; use {}", addresses.join(" or ")))
        })
    }
}

fn cached(digest: &str, with: &Surroundings<'_>) -> Option<Component> {
    with.cache.and_then(|cache| cache.load(&with.sandbox.engine, digest))
}

fn compile(wasm: &[u8], digest: &str, with: &Surroundings<'_>) -> Result<Component, LoadError> {
    let _one_at_a_time = with.compiling.lock().unwrap_or_else(PoisonError::into_inner);
    // A mistake in the compiler may cost this plugin, but not the engine that runs all the others.
    let component = catch_unwind(AssertUnwindSafe(|| Component::from_binary(&with.sandbox.engine, wasm)))
        .map_err(|_| LoadError::Malformed("the compiler gave up on it".to_owned()))?
        .map_err(|error| LoadError::Malformed(format!("{error:#}")))?;
    if let Some(cache) = with.cache {
        cache.store(digest, &component);
    }
    Ok(component)
}

fn link(base: &Linker<Context>, component: &Component, contract: &str) -> Result<InstancePre<Context>, LoadError> {
    let mut linker = base.clone();
    wasi::define(&mut linker, component).map_err(|error| LoadError::Import(format!("{error:#}")))?;
    linker.instantiate_pre(component).map_err(|error| {
        LoadError::Import(format!(
            "the plugin imports something that contract {contract} does not have, or has with another type: {error:#}"
        ))
    })
}

fn check_descriptors(described: Vec<types::Descriptor>, kinds: &BTreeSet<Kind>) -> Result<Vec<Descriptor>, LoadError> {
    let refuse = |text: String| Err(LoadError::Contract(text));
    if described.is_empty() {
        return refuse("`describe` names nothing that the plugin offers".to_owned());
    }
    if described.len() > DESCRIPTORS_MAX {
        return refuse(format!("`describe` names {} things, the limit is {DESCRIPTORS_MAX}", described.len()));
    }
    let mut descriptors: Vec<Descriptor> = Vec::with_capacity(described.len());
    for types::Descriptor { kind, name, summary, config_schema, state_version } in described {
        let kind = match kind {
            types::Kind::Condition => Kind::Condition,
            types::Kind::Router => Kind::Router,
            types::Kind::Formatter => Kind::Formatter,
        };
        let word = kind.as_str();
        if !is_part_name(&name) {
            let name = cut(name, 64);
            return refuse(format!(
                "`describe` names a {word} {name:?}; use lower-case letters, digits and dashes, at most 64"
            ));
        }
        if !kinds.contains(&kind) {
            return refuse(format!("`describe` names the {word} {name:?}, but the component does not export `{word}`"));
        }
        if descriptors.iter().any(|other| other.kind == kind && other.name == name) {
            return refuse(format!("`describe` names the {word} {name:?} twice"));
        }
        if config_schema.len() > SCHEMA_BYTES_MAX {
            return refuse(format!("the schema of the {word} {name:?} is larger than {SCHEMA_BYTES_MAX} bytes"));
        }
        descriptors.push(Descriptor { kind, name, summary: cut(summary, 1_024), config_schema, state_version });
    }
    descriptors.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(descriptors)
}

fn is_part_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
}
