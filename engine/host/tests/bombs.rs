//! What is made to cost much before it runs, and what routers and formatters may try.

mod support;

use std::fmt::Write;

use expect_test::expect;
use support::fixture::{Fixture, GOOD};
use support::{count, group, settings, tight};
use watchfire_host::{Host, Source};
use watchfire_model::Timestamp;
use watchfire_plugin::{AlertView, Limits, PluginError, Provider};

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A section of a component: its number, the length of what follows, and that.
fn section(number: u8, body: &[u8]) -> Vec<u8> {
    let mut section = vec![number];
    let mut length = body.len();
    while length >= 0x80 {
        section.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    section.push(u8::try_from(length).unwrap());
    section.extend_from_slice(body);
    section
}

/// The good plugin with a custom section more.
fn with_section(name: &str, data: &[u8]) -> Vec<u8> {
    let body = [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), data].concat();
    [GOOD.build(), section(0, &body)].concat()
}

/// A component in a component in a component.
fn nested_components(depth: usize) -> Vec<u8> {
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
    (0..depth).fold(EMPTY.to_vec(), |inner, _| [EMPTY, &section(4, &inner)].concat())
}

#[test]
fn a_file_that_costs_much_is_bounded_or_refused() {
    let nested = |depth: usize| format!("{}{}", "(block ".repeat(depth), ")".repeat(depth));
    let functions = |count: usize| "(func)".repeat(count);
    let extra = |text: String| Fixture { extra: leak(text), ..GOOD }.build();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("gzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]),
        ("zip", b"PK\x03\x04\x14\0\0\0".to_vec()),
        ("zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 4, 0]),
        ("machine code of this machine", b"\x7fELF\x02\x01\x01".to_vec()),
        ("one long function", extra(format!("(func {})", "nop ".repeat(1_100_000)))),
        ("many functions", extra(functions(3_000))),
        ("deeply nested blocks", extra(format!("(func {})", nested(2_000)))),
        ("many locals", extra(format!("(func (local {}))", "i64 ".repeat(60_000)))),
        ("many jumps", extra(format!("(func (param i32) (block (br_table {} (local.get 0))))", "0 ".repeat(20_000)))),
        ("deeply nested components", nested_components(150)),
        ("a manifest of brackets", with_section("watchfire:manifest", "[".repeat(100_000).as_bytes())),
        ("a manifest that is no text", with_section("watchfire:manifest", &[0xff; 64])),
        (
            "a manifest that asks for less than nothing",
            with_section(
                "watchfire:manifest",
                br#"{"name":"a","version":"1","contract":"0.2.0","language":"c","limits":{"calls":-1}}"#,
            ),
        ),
        ("a large section that nobody reads", with_section("junk", &vec![7; 1 << 20])),
    ];
    let host = Host::new(settings()).unwrap();
    let mut table = String::new();
    count(cases.len());
    for (name, bytes) in cases {
        let told = match host.load_limited("evil", Source::Bytes(&bytes), tight(&GOOD)) {
            Ok(_) => "loaded".to_owned(),
            Err(error) => error.to_string(),
        };
        writeln!(table, "{name}: {told}").unwrap();
    }
    expect![[r#"
        gzip: this is compressed, which is never unpacked here; unpack it first
        zip: this is compressed, which is never unpacked here; unpack it first
        zstd: this is compressed, which is never unpacked here; unpack it first
        machine code of this machine: this is not WebAssembly; a plugin is a component, a file that begins with the bytes 00 61 73 6d 0d 00 01 00
        one long function: the plugin begins with 1100002 bytes of one function, the limit is 1048576
        many functions: loaded
        deeply nested blocks: loaded
        many locals: the component is broken: failed to compile: wasm[0]::function[5]: WebAssembly translation error: Invalid input WebAssembly code at offset 623: too many locals: locals exceed maximum
        many jumps: loaded
        deeply nested components: the component does not export `watchfire:plugin/plugin@0.2.0`, so it is no Watchfire plugin; build it against the world condition-plugin, router-plugin or formatter-plugin of sdk/wit
        a manifest of brackets: the component is broken: its manifest is not valid: invalid type: sequence, expected a string at line 1 column 1; build it again with `watchfire plugin build`
        a manifest that is no text: the component is broken: its manifest is not valid: expected value at line 1 column 1; build it again with `watchfire plugin build`
        a manifest that asks for less than nothing: the component is broken: its manifest is not valid: invalid value: integer `-1`, expected usize at line 1 column 80; build it again with `watchfire plugin build`
        a large section that nobody reads: loaded
    "#]].assert_eq(&table);
}

#[test]
fn a_router_or_formatter_that_attacks_costs_the_call() {
    let router = |data, evaluate| Fixture { kind: "router", data, evaluate, ..GOOD };
    let formatter = |data, evaluate| Fixture { kind: "formatter", data, evaluate, ..GOOD };
    const ANSWER: &str = "(i32.const 512)";
    // A message: title, content type, body, headers, no deduplication key.
    const JSON: &str =
        r#"(data (i32.const 524) "\00\06\00\00\10\00\00\00") (data (i32.const 1536) "application/json")"#;
    // The same with a request of its own.
    let own = |method: &str, url: &str| {
        let data = format!(
            r#"{JSON}(data (i32.const 560) "\01\00\00\00\0{method}\00\00\00\00\08\00\00\16\00\00\00") (data (i32.const 2048) "{url}")"#
        );
        formatter(leak(data), ANSWER)
    };
    let cases = [
        ("router: trap", router("", "unreachable")),
        ("router: loop", Fixture { call_ms: 20, ..router("", "(loop (br 0)) unreachable") }),
        ("router: no decision", router("", ANSWER)),
        ("router: too many decisions", router(r#"(data (i32.const 516) "\00\04\00\00\03\00\00\00")"#, ANSWER)),
        (
            "router: endless receivers",
            router(
                r#"(data (i32.const 516) "\00\04\00\00\01\00\00\00") (data (i32.const 1024) "\00\08\00\00\ff\ff\00\00")"#,
                ANSWER,
            ),
        ),
        (
            "router: many receivers",
            router(
                r#"(data (i32.const 516) "\00\04\00\00\01\00\00\00") (data (i32.const 1024) "\00\08\00\00\21\00\00\00")"#,
                ANSWER,
            ),
        ),
        (
            "router: receiver without a name",
            router(
                r#"(data (i32.const 516) "\00\04\00\00\01\00\00\00") (data (i32.const 1024) "\00\08\00\00\01\00\00\00")"#,
                ANSWER,
            ),
        ),
        (
            "router: receivers that overlap the answer",
            router(r#"(data (i32.const 516) "\00\02\00\00\01\00\00\00")"#, ANSWER),
        ),
        ("formatter: trap", formatter("", "unreachable")),
        ("formatter: loop", Fixture { call_ms: 20, ..formatter("", "(loop (br 0)) unreachable") }),
        ("formatter: no content type", formatter("", ANSWER)),
        ("formatter: an empty message", formatter(JSON, ANSWER)),
        (
            "formatter: a body out of memory",
            formatter(leak(format!("{JSON}{}", r#"(data (i32.const 532) "\00\00\00\7f\10\00\00\00")"#)), ANSWER),
        ),
        (
            "formatter: a body that is no text",
            formatter(
                leak(format!(
                    "{JSON}{}",
                    r#"(data (i32.const 532) "\00\08\00\00\01\00\00\00") (data (i32.const 2048) "\ff")"#
                )),
                ANSWER,
            ),
        ),
        (
            "formatter: endless headers",
            formatter(leak(format!("{JSON}{}", r#"(data (i32.const 540) "\00\08\00\00\ff\ff\ff\00")"#)), ANSWER),
        ),
        (
            "formatter: a header of another host",
            formatter(
                leak(format!(
                    "{JSON}{}",
                    r#"(data (i32.const 540) "\00\08\00\00\01\00\00\00") (data (i32.const 2048) "\00\09\00\00\0d\00\00\00\00\09\00\00\01\00\00\00") (data (i32.const 2304) "authorization")"#
                )),
                ANSWER,
            ),
        ),
        (
            "formatter: a header with a line break",
            formatter(
                leak(format!(
                    "{JSON}{}",
                    r#"(data (i32.const 540) "\00\08\00\00\01\00\00\00") (data (i32.const 2048) "\00\09\00\00\01\00\00\00\00\09\00\00\03\00\00\00") (data (i32.const 2304) "x\0d\0a")"#
                )),
                ANSWER,
            ),
        ),
        ("formatter: a request by a method that there is not", own("7", "https://desk.example")),
        ("formatter: a request to two lines", own("1", "https://desk.example/\\0a\\0dx")),
        (
            "formatter: an endless address",
            formatter(
                leak(format!(
                    "{JSON}{}",
                    r#"(data (i32.const 560) "\01\00\00\00\01\00\00\00\00\08\00\00\ff\ff\ff\00")"#
                )),
                ANSWER,
            ),
        ),
        (
            "formatter: realloc that loops",
            Fixture { call_ms: 20, realloc: "(loop (br 0)) unreachable", ..formatter(JSON, ANSWER) },
        ),
    ];
    let host = Host::new(settings()).unwrap();
    let mut table = String::new();
    count(cases.len());
    for (name, fixture) in cases {
        let mut limits = tight(&fixture);
        if fixture.call_ms < 1_000 {
            // The text of the configuration reaches the guest through the same function.
            limits = Limits { open_time: limits.call_time, ..limits };
        }
        let told = match host.load_limited("evil", Source::Bytes(&fixture.build()), limits) {
            Ok(_) if fixture.kind == "router" => told(host.open_router("evil", "{}").and_then(|mut router| {
                let group = group();
                let views: Vec<AlertView> = group.alerts;
                router.route(Timestamp::EPOCH, &views)
            })),
            Ok(_) => told(host.open_formatter("evil", "{}").and_then(|mut formatter| formatter.format(&group()))),
            Err(error) => format!("load: {error}"),
        };
        writeln!(table, "{name}: {told}").unwrap();
    }
    expect![[r#"
        router: trap: trap: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        router: loop: timeout: the plugin was stopped after 20 ms
        router: no decision: invalid_output: the plugin broke the contract: it decided 0 times about 1 alerts
        router: too many decisions: invalid_output: the plugin broke the contract: it decided 3 times about 1 alerts
        router: endless receivers: invalid_output: the plugin broke the contract: list pointer/length out of bounds of memory
        router: many receivers: invalid_output: the plugin broke the contract: it named 33 receivers for one alert, the limit is 32
        router: receiver without a name: invalid_output: the plugin broke the contract: it gave a receiver of 0 bytes, there may be 1 to 1024
        router: receivers that overlap the answer: invalid_output: the plugin broke the contract: invalid utf-8 sequence of 1 bytes from index 35
        formatter: trap: trap: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        formatter: loop: timeout: the plugin was stopped after 20 ms
        formatter: no content type: invalid_output: the plugin broke the contract: it gave "" as content type, such as application/json is one
        formatter: an empty message: Message { title: "", content_type: "application/json", body: "", headers: [], dedup_key: None, target: None }
        formatter: a body out of memory: invalid_output: the plugin broke the contract: string pointer/length out of bounds of memory
        formatter: a body that is no text: invalid_output: the plugin broke the contract: invalid utf-8 sequence of 1 bytes from index 0
        formatter: endless headers: invalid_output: the plugin broke the contract: list pointer/length out of bounds of memory
        formatter: a header of another host: invalid_output: the plugin broke the contract: it may not set the header "authorization"; the host addresses and signs the request
        formatter: a header with a line break: invalid_output: the plugin broke the contract: the header "x" is malformed or longer than 4096 bytes
        formatter: a request by a method that there is not: invalid_output: the plugin broke the contract: unexpected discriminant: 7
        formatter: a request to two lines: invalid_output: the plugin broke the contract: the address of its request is longer than 8192 bytes or has characters that must be percent-encoded
        formatter: an endless address: invalid_output: the plugin broke the contract: string pointer/length out of bounds of memory
        formatter: realloc that loops: timeout: the plugin was stopped after 20 ms
    "#]].assert_eq(&table);
}

fn told<T: std::fmt::Debug>(result: Result<T, PluginError>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}
