//! The contract's imports: what a plugin can ask the host for during a call.
//!
//! By hand, because generated functions take and give values of their own: a copy each of the largest values that cross
//! here. What an interface offers is the same in every version of the contract so far, so that each is written once.

mod columns;
mod input;

use std::sync::Arc;

use wasmtime::component::{ComponentType, HasSelf, Lift, Linker, WasmList};
use wasmtime::{Engine, Result, StoreContextMut};
use watchfire_plugin::State;

use crate::bindings::v0_2::watchfire::plugin::{alerts, types};
use crate::context::Context;

type Store<'a> = StoreContextMut<'a, Context>;

/// The versions of the contract that are offered.
const VERSIONS: [&str; 2] = ["0.2.0", "0.1.0"];

/// The imports of every version of the contract; WASI is added per component.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Context>> {
    let mut linker = Linker::new(engine);
    types::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    alerts::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    for version in VERSIONS {
        input::add(&mut linker, &format!("watchfire:plugin/input@{version}"))?;
        log(&mut linker, &format!("watchfire:plugin/log@{version}"))?;
        state(&mut linker, &format!("watchfire:plugin/state@{version}"))?;
    }
    Ok(linker)
}

impl types::Host for Context {}

impl alerts::Host for Context {}

/// How loud a line of the log is.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "a plugin makes them")]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// The interface `log`.
fn log(linker: &mut Linker<Context>, interface: &str) -> Result<()> {
    linker.instance(interface)?.func_wrap("log", |mut store: Store<'_>, (level, message): (Level, String)| {
        let level = match level {
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        store.data_mut().log(level, &message);
        Ok(())
    })
}

const NO_STATE: &str = "state is there during condition.evaluate only";

/// The interface `state`.
fn state(linker: &mut Linker<Context>, interface: &str) -> Result<()> {
    type Answer = std::result::Result<(), String>;

    let mut state = linker.instance(interface)?;
    state.func_wrap("get", |store: Store<'_>, (key,): (String,)| {
        let value = store.data().state.as_ref().and_then(|state| state.shared(&key));
        Ok((value.map(Arc::clone),))
    })?;
    state.func_wrap("set", |mut store: Store<'_>, (key, value): (String, WasmList<u8>)| {
        store.data_mut().count_state_write()?;
        let value = value.as_le_slice(&store).to_vec();
        let answer: Answer = match &mut store.data_mut().state {
            Some(state) => state.set(&key, value).map_err(|error| error.to_string()),
            None => Err(NO_STATE.to_owned()),
        };
        Ok((answer,))
    })?;
    state.func_wrap("delete", |mut store: Store<'_>, (key,): (String,)| {
        store.data_mut().count_state_write()?;
        if let Some(state) = &mut store.data_mut().state {
            state.delete(&key);
        }
        Ok(())
    })?;
    state.func_wrap("version", |store: Store<'_>, (): ()| {
        let context = store.data();
        Ok((context.state.as_ref().and_then(State::version).unwrap_or(context.state_version),))
    })
}
