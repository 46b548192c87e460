//! What plugins may try, and what the user is told. Each attack costs the call and nothing else.

mod support;

use std::fmt::Write;

use expect_test::expect;
use support::fixture::{Fixture, GOOD, ONE_FINDING};
use support::{batch, count, load, settings, state, tight};
use watchfire_host::{Host, HostSettings, LoadError, Source};
use watchfire_plugin::{Condition, PluginError, Provider, ask};

/// Loads a fixture with tight limits and opens its condition.
fn open(host: &Host, fixture: Fixture) -> Result<Box<dyn Condition>, String> {
    host.load_limited("evil", Source::Bytes(&fixture.build()), tight(&fixture))
        .map_err(|error| format!("load: {error}"))?;
    host.open_condition("evil", "{}").map_err(|error| format!("open: {error}"))
}

fn told<T: std::fmt::Debug>(result: Result<T, PluginError>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}

#[test]
fn an_attack_costs_the_call_and_is_told() {
    let call = |evaluate| Fixture { evaluate, ..GOOD };
    let answer = |data| Fixture { data, ..GOOD };
    let find = |data: &'static str| Fixture { data, extra: ONE_FINDING, ..GOOD };
    let cases = [
        ("good", GOOD),
        ("trap", call("unreachable")),
        ("division", call("(i32.div_u (i32.const 1) (i32.const 0))")),
        ("out of bounds", call("(i32.load (i32.const -4))")),
        ("loop", Fixture { call_ms: 20, ..call("(loop (br 0)) unreachable") }),
        ("recursion", Fixture { evaluate: "(call $deep (i32.const 0))", extra: "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))", ..GOOD }),
        ("memory bomb", call("(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable")),
        ("patient memory bomb", Fixture { call_ms: 20, ..call("(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable") }),
        ("table bomb", Fixture { evaluate: "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 4096)) (i32.const -1)))) unreachable", extra: "(table $t 1 funcref)", ..GOOD }),
        ("answer out of memory", call("(i32.const 0x7ffffff0)")),
        ("answer misaligned", call("(i32.const 513)")),
        ("unknown case", answer(r#"(data (i32.const 512) "\07")"#)),
        ("endless list", answer(r#"(data (i32.const 516) "\00\04\00\00\ff\ff\ff\0f")"#)),
        ("more unknown than fits", answer(r#"(data (i32.const 524) "\00\00\00\00\00\40\00\00")"#)),
        ("unknown series", answer(r#"(data (i32.const 524) "\00\06\00\00\01\00\00\00") (data (i32.const 1536) "\02\00\00\00")"#)),
        ("series out of range", find(r#"(data (i32.const 1024) "\07\00\00\00")"#)),
        ("series twice", Fixture { data: r#"(data (i32.const 516) "\00\04\00\00\02\00\00\00")"#, ..GOOD }),
        ("unknown severity", find(r#"(data (i32.const 1028) "\09")"#)),
        ("no text", find(r#"(data (i32.const 1040) "\00\06\00\00\02\00\00\00") (data (i32.const 1536) "\c3\28")"#)),
        ("text out of memory", find(r#"(data (i32.const 1040) "\00\00\00\7f\02\00\00\00")"#)),
        ("long text", find(r#"(data (i32.const 1040) "\00\20\00\00\00\20\00\00")"#)),
        ("one text many times", Fixture { data: r#"(data (i32.const 516) "\00\00\01\00\00\04\00\00")"#, memory: "(memory (export \"memory\") 32)", evaluate: "(local $at i32) (local.set $at (i32.const 65536))
            (loop (i32.store offset=16 (local.get $at) (i32.const 131072)) (i32.store offset=20 (local.get $at) (i32.const 1000000))
                (local.set $at (i32.add (local.get $at) (i32.const 24)))
                (br_if 0 (i32.lt_u (local.get $at) (i32.const 90112))))
            (i32.const 512)", ..GOOD }),
        ("error answer", answer(r#"(data (i32.const 512) "\01\00\00\00\03\00\00\00\80\00\00\00\04\00\00\00")"#)),
        ("trap on return", Fixture { extra: "(func (export \"cabi_post_watchfire:plugin/condition@0.2.0#evaluate\") (param i32) unreachable)", ..GOOD }),
    ];
    let host = Host::new(settings()).unwrap();
    let mut table = String::new();
    count(cases.len());
    for (name, fixture) in cases {
        let told = match open(&host, fixture) {
            Ok(mut condition) => {
                let batch = batch(0, &[1.0, 2.0]);
                let first = told(condition.evaluate(&batch, &mut state()));
                // The same again on a fresh instance.
                assert_eq!(told(condition.evaluate(&batch, &mut state())), first, "{name}");
                first
            }
            Err(told) => told,
        };
        let told = if told.len() > 200 { format!("{} ... {} bytes", &told[..100], told.len()) } else { told };
        writeln!(table, "{name}: {told}").unwrap();
    }
    expect![[r#"
        good: Outcome { findings: [], unknown: [] }
        trap: trap: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        division: trap: the plugin trapped: integer divide by zero (in evaluate)
        out of bounds: trap: the plugin trapped: out of bounds memory access (in evaluate)
        loop: timeout: the plugin was stopped after 20 ms
        recursion: limit: the plugin passed its limit of 524288 bytes of stack
        memory bomb: limit: the plugin passed its limit of 4194304 bytes of memory
        patient memory bomb: timeout: the plugin was stopped after 20 ms
        table bomb: limit: the plugin passed its limit of 20000 elements of tables
        answer out of memory: invalid_output: the plugin broke the contract: pointer out of bounds of memory
        answer misaligned: invalid_output: the plugin broke the contract: return pointer not aligned
        unknown case: invalid_output: the plugin broke the contract: invalid expected discriminant
        endless list: invalid_output: the plugin broke the contract: list pointer/length out of bounds of memory
        more unknown than fits: invalid_output: the plugin broke the contract: it answered about series 0 twice
        unknown series: invalid_output: the plugin broke the contract: it answered about series 2, there are 2
        series out of range: invalid_output: the plugin broke the contract: it answered about series 7, there are 2
        series twice: invalid_output: the plugin broke the contract: it answered about series 0 twice
        unknown severity: invalid_output: the plugin broke the contract: unexpected discriminant: 9
        no text: invalid_output: the plugin broke the contract: invalid utf-8 sequence of 1 bytes from index 0
        text out of memory: invalid_output: the plugin broke the contract: string pointer/length out of bounds of memory
        long text: Outcome { findings: [Finding { series: 0, severity: Info, value: 0.0, summary: "\0\0\0\0\0\0\0\0\0\0 ... 8288 bytes
        one text many times: limit: the plugin passed its limit of 1048576 bytes of output
        error answer: internal: the plugin failed: evil
        trap on return: trap: the plugin trapped: wasm `unreachable` instruction executed
    "#]].assert_eq(&table);
}

#[test]
fn an_import_is_no_way_out() {
    const INPUT: &str = r#"(import "watchfire:plugin/input@0.2.0""#;
    const LATEST: &str = r#"(import "watchfire:plugin/input@0.2.0" "latest" (func $latest (param i32)))"#;
    const LOG: &str = r#"(import "watchfire:plugin/log@0.2.0" "log" (func $log (param i32 i32 i32)))"#;
    const SET: &str = r#"(import "watchfire:plugin/state@0.2.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#;
    const KEY: &str = r#"(import "watchfire:plugin/input@0.2.0" "series-key" (func $key (param i32 i32)))"#;
    assert!(LATEST.starts_with(INPUT));
    let cases = [
        (
            "input outside of evaluate",
            Fixture { imports: LATEST, open: "(call $latest (i32.const 2048)) (i32.const 256)", ..GOOD },
        ),
        (
            "series that is not there",
            Fixture { imports: KEY, evaluate: "(call $key (i32.const 9) (i32.const 2048)) (i32.const 512)", ..GOOD },
        ),
        (
            "realloc that loops",
            Fixture {
                call_ms: 20,
                imports: LATEST,
                evaluate: "(call $latest (i32.const 2048)) (i32.const 512)",
                realloc: "(if (i32.eq (local.get 2) (i32.const 8)) (then (loop (br 0)))) (i32.const 4096)",
                ..GOOD
            },
        ),
        (
            "realloc that lies",
            Fixture {
                imports: LATEST,
                evaluate: "(call $latest (i32.const 2048)) (i32.const 512)",
                realloc: "(if (i32.eq (local.get 2) (i32.const 8)) (then (return (i32.const 0x7ffffff0)))) (i32.const 4096)",
                ..GOOD
            },
        ),
        (
            "answer to nowhere",
            Fixture { imports: LATEST, evaluate: "(call $latest (i32.const -8)) (i32.const 512)", ..GOOD },
        ),
        (
            "loop of calls",
            Fixture {
                call_ms: 20,
                imports: LATEST,
                evaluate: "(loop (call $latest (i32.const 2048)) (global.set $heap (i32.const 4096)) (br 0)) unreachable",
                ..GOOD
            },
        ),
        (
            "log flood",
            Fixture {
                imports: LOG,
                evaluate: "(local $i i32) (loop (call $log (i32.const 1) (i32.const 128) (i32.const 4)) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000)))) (i32.const 512)",
                ..GOOD
            },
        ),
        (
            "log without text",
            Fixture {
                imports: LOG,
                evaluate: r#"(call $log (i32.const 1) (i32.const 1536) (i32.const 2)) (i32.const 512)"#,
                data: r#"(data (i32.const 1536) "\c3\28")"#,
                ..GOOD
            },
        ),
        (
            "log of a level that is not there",
            Fixture {
                imports: LOG,
                evaluate: "(call $log (i32.const 77) (i32.const 128) (i32.const 4)) (i32.const 512)",
                ..GOOD
            },
        ),
        (
            "log of why it ends",
            Fixture {
                imports: LOG,
                evaluate: "(call $log (i32.const 3) (i32.const 128) (i32.const 4)) unreachable",
                ..GOOD
            },
        ),
        (
            "log of something else before it ends",
            Fixture {
                imports: LOG,
                evaluate: "(call $log (i32.const 3) (i32.const 128) (i32.const 4)) (call $log (i32.const 1) (i32.const 128) (i32.const 4)) unreachable",
                ..GOOD
            },
        ),
        (
            "state flood",
            Fixture {
                imports: SET,
                evaluate: "(loop (call $set (i32.const 128) (i32.const 4) (i32.const 128) (i32.const 4) (i32.const 2048)) (br 0)) unreachable",
                ..GOOD
            },
        ),
        (
            "state value too large",
            Fixture {
                imports: SET,
                evaluate: "(call $set (i32.const 128) (i32.const 4) (i32.const 0) (i32.const 65536) (i32.const 2048))
            (call $set (i32.const 128) (i32.const 4) (i32.const 0) (i32.const 65535) (i32.const 2048)) (i32.const 512)",
                memory: "(memory (export \"memory\") 2)",
                ..GOOD
            },
        ),
    ];
    let host = Host::new(settings()).unwrap();
    let mut table = String::new();
    count(cases.len());
    for (name, fixture) in cases {
        let told = match open(&host, fixture) {
            Ok(mut condition) => told(condition.evaluate(&batch(0, &[1.0, 2.0]), &mut state())),
            Err(told) => told,
        };
        writeln!(table, "{name}: {told}").unwrap();
    }
    let counters = host.counters().remove(0).1;
    writeln!(table, "log lines {}, dropped {}", counters.log_lines, counters.log_lines_dropped).unwrap();
    expect![[r#"
        input outside of evaluate: open: the plugin trapped: `input` can be read during condition.evaluate only (in open)
        series that is not there: trap: the plugin trapped: `input` was asked for series 9, there are 2 (in evaluate)
        realloc that loops: timeout: the plugin was stopped after 20 ms
        realloc that lies: trap: the plugin trapped: realloc return: beyond end of memory (in evaluate)
        answer to nowhere: trap: the plugin trapped: pointer out of bounds (in evaluate)
        loop of calls: timeout: the plugin was stopped after 20 ms
        log flood: Outcome { findings: [], unknown: [] }
        log without text: trap: the plugin trapped: invalid utf-8 sequence of 1 bytes from index 0 (in evaluate)
        log of a level that is not there: trap: the plugin trapped: unexpected discriminant: 77 (in evaluate)
        log of why it ends: trap: the plugin trapped: wasm `unreachable` instruction executed: evil (in evaluate)
        log of something else before it ends: trap: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        state flood: limit: the plugin passed its limit of 20000 writes of state
        state value too large: Outcome { findings: [], unknown: [] }
        log lines 103, dropped 900
    "#]].assert_eq(&table);
}

#[test]
fn a_trap_in_the_middle_of_writing_leaves_the_state_as_it_was() {
    let write = "(call $set (i32.const 128) (i32.const 4) (i32.const 132) (i32.const 4) (i32.const 2048))";
    let imports = r#"(import "watchfire:plugin/state@0.2.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#;
    let trapping = Fixture {
        imports,
        evaluate: "(call $set (i32.const 128) (i32.const 4) (i32.const 132) (i32.const 4) (i32.const 2048)) unreachable",
        ..GOOD
    };
    let writing = Fixture {
        imports,
        evaluate: "(call $set (i32.const 128) (i32.const 4) (i32.const 132) (i32.const 4) (i32.const 2048)) (i32.const 512)",
        ..GOOD
    };
    assert!(writing.evaluate.starts_with(write));
    let host = Host::new(settings()).unwrap();
    let mut remembered = state();
    remembered.set("kept", vec![1]).unwrap();
    remembered.commit();
    for (fixture, expected) in [(trapping, None), (writing, Some(&b"good"[..])), (trapping, Some(&b"good"[..]))] {
        let mut condition = open(&host, fixture).unwrap();
        drop(ask(&mut *condition, &batch(0, &[1.0]), &mut remembered));
        remembered.commit();
        assert_eq!(remembered.get("evil"), expected);
        assert_eq!(remembered.get("kept"), Some(&[1][..]));
    }
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_what_to_do() {
    let good = GOOD.build();
    let engine = wasmtime::Engine::default();
    let precompiled = engine.precompile_component(&good).unwrap();
    let assemble = |text: &str| wat::parse_str(text).unwrap();
    let fixture = |change: fn(&mut Fixture)| {
        let mut fixture = GOOD;
        change(&mut fixture);
        fixture.build()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("text", b"hello, world".to_vec()),
        ("WebAssembly text", b" (component)".to_vec()),
        ("core module", assemble("(module)")),
        ("unknown version", b"\0asm\x09\0\0\0".to_vec()),
        ("precompiled", precompiled),
        ("empty component", assemble("(component)")),
        ("network", assemble(r#"(component (import "wasi:http/outgoing-handler@0.2.3" (instance)))"#)),
        ("WASI 0.3", assemble(r#"(component (import "wasi:cli/environment@0.3.0" (instance)))"#)),
        ("other component", assemble(r#"(component (import "acme:math/sums@1.0.0" (instance)))"#)),
        ("function import", assemble(r#"(component (import "now" (func (result u64))))"#)),
        ("unknown interface", assemble(r#"(component (import "watchfire:plugin/secrets@0.2.0" (instance)))"#)),
        (
            "unknown function",
            assemble(
                r#"(component
            (import "watchfire:plugin/log@0.2.0" (instance $log (export "shout" (func))))
            (instance $i)
            (export "watchfire:plugin/plugin@0.2.0" (instance $i))
            (export "watchfire:plugin/condition@0.2.0" (instance $i)))"#,
            ),
        ),
        ("other contract", fixture(|fixture| fixture.contract = |text| text.replace("0.2.0", "0.3.0"))),
        (
            "only describe",
            assemble(r#"(component (instance $i) (export "watchfire:plugin/plugin@0.2.0" (instance $i)))"#),
        ),
        (
            "exports without functions",
            assemble(
                r#"(component (instance $i)
            (export "watchfire:plugin/plugin@0.2.0" (instance $i))
            (export "watchfire:plugin/condition@0.2.0" (instance $i)))"#,
            ),
        ),
        ("describes nothing", fixture(|fixture| fixture.data = r#"(data (i32.const 20) "\00")"#)),
        ("describes a bad name", fixture(|fixture| fixture.data = r#"(data (i32.const 128) "../e")"#)),
        ("describes what it has not", fixture(|fixture| fixture.data = r#"(data (i32.const 32) "\01")"#)),
        ("describes endlessly", fixture(|fixture| fixture.data = r#"(data (i32.const 20) "\ff\ff\ff\0f")"#)),
        ("describe traps", fixture(|fixture| fixture.describe = "unreachable")),
        ("describe loops", fixture(|fixture| fixture.describe = "(loop (br 0)) unreachable")),
        ("start function loops", fixture(|fixture| fixture.extra = "(func $s (loop (br 0))) (start $s)")),
        ("start function traps", fixture(|fixture| fixture.extra = "(func $s unreachable) (start $s)")),
        ("large memory", fixture(|fixture| fixture.memory = "(memory (export \"memory\") 100)")),
        ("huge memory", fixture(|fixture| fixture.memory = "(memory (export \"memory\") 65536)")),
        ("huge table", fixture(|fixture| fixture.extra = "(table 1000000 funcref)")),
        ("threads", fixture(|fixture| fixture.extra = "(memory 1 1 shared)")),
        ("code of wrong types", fixture(|fixture| fixture.evaluate = "(i64.const 1)")),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("trailing bytes", [&good[..], b"trailing"].concat()),
    ];
    let host = Host::new(settings()).unwrap();
    let mut table = String::new();
    count(cases.len());
    for (name, bytes) in cases {
        let open_ms = if name.ends_with("loops") { 50 } else { GOOD.open_ms };
        let limits = tight(&Fixture { open_ms, ..GOOD });
        let told = match host.load_limited("evil", Source::Bytes(&bytes), limits) {
            Ok(info) => format!("loaded {:?}", info.kinds),
            Err(error) => error.to_string(),
        };
        writeln!(table, "{name}: {told}").unwrap();
    }
    expect![[r#"
        empty: the file is empty
        text: this is not WebAssembly; a plugin is a component, a file that begins with the bytes 00 61 73 6d 0d 00 01 00
        WebAssembly text: this is WebAssembly text; assemble it first with `wasm-tools parse plugin.wat -o plugin.wasm`
        core module: this is a core WebAssembly module, a plugin is a component; build for the target wasm32-wasip2, or wrap the module with `wasm-tools component new`
        unknown version: this WebAssembly file has an unknown version; a plugin is a component of the WebAssembly component model
        precompiled: this is precompiled machine code, which is never loaded from outside; use the .wasm file it was made from
        empty component: the component does not export `watchfire:plugin/plugin@0.2.0`, so it is no Watchfire plugin; build it against the world condition-plugin, router-plugin or formatter-plugin of sdk/wit
        network: the plugin imports `wasi:http/outgoing-handler@0.2.3`, which is not offered: plugins get no network: decide or format in the plugin and let the host send
        WASI 0.3: the plugin imports `wasi:cli/environment@0.3.0`, which is not offered: of WASI only the 0.2 interfaces cli, clocks, filesystem, io, random and sockets are there, and they grant nothing
        other component: the plugin imports `acme:math/sums@1.0.0`, which is not offered: a plugin may import only watchfire:plugin and WASI 0.2; link other components into it, for example with `wac plug`
        function import: the plugin imports `now`, which is not offered: a plugin may import only watchfire:plugin and WASI 0.2; link other components into it, for example with `wac plug`
        unknown interface: the plugin imports `watchfire:plugin/secrets@0.2.0`, which is not part of the contract 0.2.0; it may need a newer Watchfire
        unknown function: the plugin imports something that contract 0.2.0 does not have, or has with another type: component imports instance `watchfire:plugin/log@0.2.0`, but a matching implementation was not found in the linker: instance export `shout` has the wrong type: function implementation is missing
        other contract: the plugin was built for watchfire:plugin 0.3.0, this Watchfire speaks 0.1 and 0.2; update Watchfire, or rebuild the plugin with the SDK of this version
        only describe: the plugin exports neither `condition` nor `router` nor `formatter`, so there is nothing to use it for
        exports without functions: the plugin does not fit the contract 0.2.0: instance export `watchfire:plugin/plugin@0.2.0` does not have export `describe`
        describes nothing: `describe` names nothing that the plugin offers
        describes a bad name: `describe` names a condition "../e"; use lower-case letters, digits and dashes, at most 64
        describes what it has not: `describe` names the router "evil", but the component does not export `router`
        describes endlessly: `describe` failed: the plugin broke the contract: list pointer/length out of bounds of memory
        describe traps: `describe` failed: the plugin trapped: wasm `unreachable` instruction executed (in describe)
        describe loops: `describe` failed: the plugin was stopped after 50 ms
        start function loops: `describe` failed: the plugin was stopped after 50 ms
        start function traps: `describe` failed: the plugin trapped: wasm `unreachable` instruction executed (in s)
        large memory: the plugin begins with 6553600 bytes of memory, the limit is 4194304
        huge memory: the plugin begins with 4294967296 bytes of memory, the limit is 4194304
        huge table: the plugin begins with 1000000 elements of tables, the limit is 20000
        threads: the component is broken: failed to parse WebAssembly module: threads must be enabled for shared memories (at offset 0x16f)
        code of wrong types: the component is broken: failed to compile: wasm[0]::function[3]::evaluate: WebAssembly translation error: Invalid input WebAssembly code at offset 612: type mismatch: expected i32, found i64
        truncated: the component is broken: unexpected end-of-file (at offset 0x70c); the file ends too early: copy it again, or build it again
        trailing bytes: the component is broken: unexpected end-of-file (at offset 0xe2c); the file ends too early: copy it again, or build it again
    "#]].assert_eq(&table);
}

#[test]
fn a_name_or_a_size_that_cannot_be_is_refused() {
    let host = Host::new(HostSettings { file_bytes_max: 100, ..settings() }).unwrap();
    let mut table = String::new();
    let names = ["", "../evil", "a/b", ".hidden", "ünicode", &"x".repeat(65)];
    count(names.len() + 1);
    for name in names {
        writeln!(table, "{}", load(&host, name, b"").unwrap_err()).unwrap();
    }
    writeln!(table, "{}", load(&host, "large", &[0; 101]).unwrap_err()).unwrap();
    expect![[r#"
        "" is no name for a plugin: use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit
        "../evil" is no name for a plugin: use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit
        "a/b" is no name for a plugin: use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit
        ".hidden" is no name for a plugin: use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit
        "ünicode" is no name for a plugin: use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" is no name for a plugin: use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit
        the plugin has 101 bytes, the limit is 100; strip debug information
    "#]].assert_eq(&table);
}

#[test]
fn no_cut_and_no_flipped_bit_harms_the_host() {
    let good = GOOD.build();
    let host = Host::new(settings()).unwrap();
    count(good.len().div_ceil(97) + good.len().div_ceil(23));
    let mut loaded = 0;
    let mut attempt = |bytes: &[u8]| {
        // A flip may make a loop, which has to end soon.
        let limits = tight(&Fixture { call_ms: 20, open_ms: 50, ..GOOD });
        match host.load_limited("evil", Source::Bytes(bytes), limits) {
            Ok(_) => {
                loaded += 1;
                if let Ok(mut condition) = host.open_condition("evil", "{}") {
                    drop(condition.evaluate(&batch(0, &[1.0]), &mut state()));
                }
            }
            Err(LoadError::NotAComponent(_) | LoadError::Malformed(_) | LoadError::Import(_)) => {}
            Err(LoadError::Contract(_) | LoadError::Describe(_) | LoadError::Limit { .. }) => {}
            Err(error) => panic!("unexpected: {error}"),
        }
    };
    for length in (0..good.len()).step_by(97) {
        attempt(&good[..length]);
    }
    for position in (0..good.len()).step_by(23) {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        attempt(&bytes);
    }
    // Flips in names and texts leave a plugin that works; if none did, nothing past the parser was tried.
    assert!(loaded > 0);
    let mut fine = open(&host, GOOD).unwrap();
    assert_eq!(told(fine.evaluate(&batch(0, &[1.0]), &mut state())), "Outcome { findings: [], unknown: [] }");
}
