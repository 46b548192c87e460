//! A clock inside the component, for languages whose runtime asks for the time where a component may not call out.

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{EntityType, ImportSection};
use wasmparser::{Import, Parser, Payload};

/// What a module imports that tells by itself when a call begins, and of what time.
pub(crate) const MODULE: &str = "watchfire";

/// What answers these imports.
pub(crate) const ADAPTER: &str = include_str!("clock.wat");

/// What goes to that instead of WASI's adapter.
const MOVED: [&str; 3] = ["clock_time_get", "poll_oneoff", "sched_yield"];

/// Where these are imported from by the toolchain.
const WASI: &str = "wasi_snapshot_preview1";

/// The same module with its clock inside the component, if it says when calls begin; the module itself if not.
pub(crate) fn moved_inside(module: Vec<u8>) -> Result<Vec<u8>, reencode::Error> {
    if !tells_the_time(&module)? {
        return Ok(module);
    }
    let mut moved = wasm_encoder::Module::new();
    Move.parse_core_module(&mut moved, Parser::new(0), &module)?;
    Ok(moved.finish())
}

fn tells_the_time(module: &[u8]) -> wasmparser::Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                if import?.module == MODULE {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

struct Move;

impl Reencode for Move {
    type Error = std::convert::Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        for import in section.into_imports() {
            let Import { module, name, ty } = import?;
            let module = if module == WASI && MOVED.contains(&name) { MODULE } else { module };
            let ty: EntityType = self.entity_type(ty)?;
            imports.import(module, name, ty);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use watchfire_host::{Host, HostSettings, Source};
    use watchfire_model::Timestamp;
    use watchfire_plugin::{Batch, Provider, State, StateLimits, ask};

    use crate::component;

    /// As Go does, this asks for the time while the host writes its arguments. It finds the first series with the time in
    /// nanoseconds, after it has slept for as long as the eight bytes at 2072 say.
    const PLUGIN: &str = r#"(module
      (import "watchfire" "begin-call" (func $begin (param i64)))
      (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (import "watchfire:plugin/input@0.2.0" "eval-time-ms" (func $at (result i64)))
      (memory (export "memory") 1)
      (data (i32.const 16) "\20\00\00\00\01\00\00\00")
      (data (i32.const 32) "\00\00\00\00\80\00\00\00\05\00\00\00\80\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00")
      (data (i32.const 128) "clock")
      (data (i32.const 516) "\00\04\00\00\01\00\00\00")
      (data (i32.const 2072) "\07")
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 3000)))
        (i32.const 4096))
      (func (export "watchfire:plugin/plugin@0.2.0#describe") (result i32) (i32.const 16))
      (func (export "watchfire:plugin/condition@0.2.0#open") (param i32 i32 i32 i32) (result i32) (i32.const 256))
      (func (export "watchfire:plugin/condition@0.2.0#evaluate") (param i32) (result i32)
        (call $begin (call $at))
        (drop (call $poll (i32.const 2048) (i32.const 2112) (i32.const 1) (i32.const 2200)))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 3000)))
        (f64.store (i32.const 1032) (f64.convert_i64_u (i64.load (i32.const 3000))))
        (i32.const 512))
      (func (export "watchfire:plugin/condition@0.2.0#close") (param i32)))"#;

    #[test]
    fn the_clock_is_read_where_a_component_may_not_call_out_and_sleep_moves_it() {
        let wasm = component::wrap(wat::parse_str(PLUGIN).unwrap(), Some("condition-plugin")).unwrap();
        let host = Host::new(HostSettings { instances_max: 4, ..HostSettings::default() }).unwrap();
        host.load("clock", Source::Bytes(&wasm)).unwrap();
        let mut condition = host.open_condition("clock", "{}").unwrap();
        let mut state = State::new(StateLimits::STANDARD, BTreeMap::new());
        for (milliseconds, nanoseconds) in [(1_000, 1_000_000_007.0), (2_000, 2_000_000_007.0), (0, 1_000_007.0)] {
            let at = Timestamp::from_millis(milliseconds);
            let batch = Batch::new(at, [(watchfire_model::Labels::default(), [(at, 1.0)])]);
            let outcome = ask(condition.as_mut(), &batch, &mut state).unwrap();
            assert_eq!(outcome.findings[0].value.to_bits(), f64::to_bits(nanoseconds), "at {milliseconds} ms");
        }
    }
}
