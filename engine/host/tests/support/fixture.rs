//! Plugins made from WebAssembly text, for what no toolchain would produce.

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../../sdk/wit/watchfire.wit");

/// A condition, router or formatter `evil` with replaceable parts. Without replacements it is a good plugin that finds nothing.
///
/// Memory: 16 the list of descriptors, 32 the descriptor, 128 texts, 256 the answer of `open`, 512 the answer of
/// `evaluate`, 1024 the finding, 4096 the heap. What is zero means `ok`, an empty list or the handle 0.
#[derive(Clone, Copy)]
pub struct Fixture {
    /// `condition`, `router` or `formatter`.
    pub kind: &'static str,
    pub imports: &'static str,
    pub memory: &'static str,
    pub data: &'static str,
    pub describe: &'static str,
    pub open: &'static str,
    pub evaluate: &'static str,
    pub realloc: &'static str,
    pub extra: &'static str,
    /// Milliseconds that a call and an opening may take: long where something else ends them, so that a slow machine
    /// changes nothing.
    pub call_ms: i64,
    pub open_ms: i64,
    pub contract: fn(&str) -> String,
}

pub const GOOD: Fixture = Fixture {
    kind: "condition",
    imports: "",
    memory: "(memory (export \"memory\") 1)",
    data: "",
    describe: "(i32.const 16)",
    open: "(i32.const 256)",
    evaluate: "(i32.const 512)",
    realloc: "(local $at i32)
        (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
        (global.set $heap (i32.add (local.get $at) (local.get 3)))
        (local.get $at)",
    extra: "",
    call_ms: 20_000,
    open_ms: 20_000,
    contract: |contract| contract.to_owned(),
};

/// A list of findings at 1024 with one element; `series`, `severity` and the summary follow in the data of a case.
pub const ONE_FINDING: &str = r#"(data (i32.const 516) "\00\04\00\00\01\00\00\00")"#;

impl Fixture {
    pub fn text(&self) -> String {
        let (number, call, parameters) = match self.kind {
            "router" => ("01", "route", "i32 i64 i32 i32"),
            "formatter" => ("02", "format", "i32"),
            _ => ("00", "evaluate", "i32"),
        };
        let Fixture { kind, imports, memory, data, describe, open, evaluate, realloc, extra, .. } = self;
        format!(
            r#"(module
                {imports}
                {memory}
                (global $heap (mut i32) (i32.const 4096))
                (data (i32.const 16) "\20\00\00\00\01\00\00\00")
                (data (i32.const 32) "\{number}\00\00\00\80\00\00\00\04\00\00\00\84\00\00\00\04\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00")
                (data (i32.const 128) "evilgood")
                {data}
                (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                (func $describe (export "watchfire:plugin/plugin@0.2.0#describe") (result i32) {describe})
                (func $open (export "watchfire:plugin/{kind}@0.2.0#open") (param i32 i32 i32 i32) (result i32) {open})
                (func $evaluate (export "watchfire:plugin/{kind}@0.2.0#{call}") (param {parameters}) (result i32) {evaluate})
                (func $close (export "watchfire:plugin/{kind}@0.2.0#close") (param i32))
                {extra})"#
        )
    }

    /// The component, made as every toolchain makes it: the contract is embedded, then the module is wrapped.
    pub fn build(&self) -> Vec<u8> {
        let contract = (self.contract)(CONTRACT);
        let version = contract.split("package watchfire:plugin@").nth(1).and_then(|rest| rest.split(';').next());
        let named = format!("@{}#", version.expect("the contract has a version"));
        let mut module = wat::parse_str(self.text().replace("@0.2.0#", &named)).expect("the text is WebAssembly");
        let mut resolve = Resolve::default();
        let package = resolve.push_str("watchfire.wit", &contract).expect("the contract can be read");
        let world =
            resolve.select_world(&[package], Some(&format!("{}-plugin", self.kind))).expect("the world is there");
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it embeds");
        ComponentEncoder::default()
            .validate(false)
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .expect("it wraps")
    }
}
