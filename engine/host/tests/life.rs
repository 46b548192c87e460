//! The life of a plugin: loading, replacing, caching, suspending, and how it is addressed.

mod support;

use std::fs;
use std::path::Path;

use expect_test::expect;
use support::fixture::{Fixture, GOOD};
use support::{batch, group, load, settings, state};
use watchfire_host::{BreakerSettings, Cases, Host, HostSettings, Manifest, PluginPolicy, Policy, Source};
use watchfire_model::{Duration, Timestamp};
use watchfire_plugin::{Condition, Kind, Limits, MessageGroup, Provider, ask};

/// A plugin whose condition answers with an error of this text; four letters.
fn saying(text: &'static str) -> Vec<u8> {
    let data = format!(
        r#"(data (i32.const 512) "\01\00\00\00\03\00\00\00\00\06\00\00\04\00\00\00") (data (i32.const 1536) "{text}")"#
    );
    Fixture { data: data.leak(), ..GOOD }.build()
}

fn says(condition: &mut Box<dyn Condition>) -> String {
    condition.evaluate(&batch(0, &[1.0]), &mut state()).unwrap_err().to_string()
}

#[test]
fn what_is_opened_keeps_its_version_while_a_new_one_takes_over() {
    let host = Host::new(settings()).unwrap();
    assert_eq!(host.generation("evil"), None);
    let first = load(&host, "evil", &saying("one.")).unwrap();
    let mut old = host.open_condition("evil", "{}").unwrap();
    let second = load(&host, "evil", &saying("two.")).unwrap();
    assert!(second.generation > first.generation && second.digest != first.digest);
    assert_eq!(host.generation("evil"), Some(second.generation));
    let mut new = host.open_condition("evil", "{}").unwrap();
    assert_eq!((says(&mut old), says(&mut new)), ("the plugin failed: one.".into(), "the plugin failed: two.".into()));
    // A version that cannot be loaded changes nothing.
    load(&host, "evil", b"\0asm").unwrap_err();
    assert_eq!(host.generation("evil"), Some(second.generation));
    assert!(host.unload("evil"));
    assert!(!host.unload("evil"));
    assert_eq!(says(&mut new), "the plugin failed: two.");
    let error = host.open_condition("evil", "{}").err().unwrap();
    expect![[r#"there is no plugin "evil"; none is loaded"#]].assert_eq(&error.to_string());
}

#[test]
fn a_candidate_can_be_tried_before_it_takes_over() {
    let host = Host::new(settings()).unwrap();
    load(&host, "evil", &saying("one.")).unwrap();
    let candidate = host.prepare("evil", Source::Bytes(&saying("two.")), PluginPolicy::default()).unwrap();
    candidate.opens_as_before(&host, Kind::Condition, "evil", "{}").unwrap();
    assert_eq!(says(&mut host.open_condition("evil", "{}").unwrap()), "the plugin failed: one.");
    let info = host.install(candidate);
    assert_eq!(host.info("evil"), Some(info));
    assert_eq!(says(&mut host.open_condition("evil", "{}").unwrap()), "the plugin failed: two.");
}

/// A plugin that carries cases.
fn carrying(wasm: Vec<u8>, cases: &str) -> Vec<u8> {
    with_section(wasm, Cases::SECTION, cases)
}

/// A plugin that says what it is called.
fn called(name: Option<&str>, wasm: Vec<u8>) -> Vec<u8> {
    let Some(name) = name else { return wasm };
    let manifest = format!(r#"{{"name": "{name}", "version": "1.0.0", "contract": "0.2.0", "language": "wat"}}"#);
    with_section(wasm, Manifest::SECTION, &manifest)
}

fn with_section(mut wasm: Vec<u8>, name: &str, content: &str) -> Vec<u8> {
    let size = 1 + name.len() + content.len();
    // A custom section: its number, its size as LEB128 in as many bytes as any size takes, its name, its content.
    wasm.push(0);
    wasm.extend((0..5).map(|i| ((size >> (7 * i)) & 0x7f) as u8 | if i < 4 { 0x80 } else { 0 }));
    wasm.push(name.len() as u8);
    wasm.extend_from_slice(name.as_bytes());
    wasm.extend_from_slice(content.as_bytes());
    wasm
}

#[test]
fn a_version_that_fails_the_tests_that_it_carries_never_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(settings()).unwrap();
    let told = |wasm: &[u8]| -> Option<String> {
        fs::write(directory.path().join("evil.wasm"), wasm).unwrap();
        let changes = host.load_dir(directory.path(), &Policy::default(), &|_, _| Ok(())).unwrap();
        changes.into_iter().find_map(|(_, result)| result.err()).map(|error| error.to_string())
    };
    let finds_nothing = r#"{"condition": "good", "cases": [
        {"name": "all is well", "series": [{"labels": {"host": "a"}, "value": 1}], "findings": []}]}"#;
    let fails = r#"{"condition": "good", "cases": [{"name": "it fails", "error": "one."}]}"#;
    assert_eq!(told(&carrying(GOOD.build(), finds_nothing)), None);
    let good = host.info("evil").unwrap();
    assert_eq!(good.cases, 1);
    let spinning = Fixture { evaluate: "(loop $forever br $forever) unreachable", ..GOOD }.build();
    let many = format!(r#"{{"condition": "good", "cases": [{}]}}"#, vec![r#"{"name": "n"}"#; 65].join(","));
    let large = format!(r#"{{"condition": "good", "cases": [{{"name": "{}"}}]}}"#, "n".repeat(4 << 20));
    let events = vec!["{}"; 50_000].join(",");
    let small = format!(
        r#"{{"condition": "good", "cases": [{{"name": "\",[{{\\", "series": [{{"labels": {{}}, "events": [{events}]}}]}}]}}"#
    );
    let unknown = r#"{"condition": "good", "cases": [{"name": "b", "series": [{"labels": {}}], "unknown": [{}]}]}"#;
    let remembering = Fixture {
        imports: r#"(import "watchfire:plugin/state@0.2.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#,
        evaluate: "(call $set (i32.const 128) (i32.const 4) (i32.const 128) (i32.const 4) (i32.const 2048))
            (if (i32.load8_u (i32.const 2048)) (then (unreachable))) (i32.const 512)",
        ..GOOD
    };
    for (what, wasm, expected) in [
        ("an error", carrying(saying("one."), finds_nothing), "\"all is well\": failed: the plugin failed: one."),
        ("no error", carrying(GOOD.build(), fails), "expected the error \"one.\", got an answer"),
        ("an endless loop", carrying(spinning, finds_nothing), "was stopped after 80 ms"),
        ("no JSON", carrying(GOOD.build(), "cases"), "the tests that it carries are not valid: expected value"),
        ("about nothing", carrying(GOOD.build(), r#"{"cases": []}"#), "name one of `condition`"),
        ("too many", carrying(GOOD.build(), &many), "there are 65, the limit is 64"),
        ("too large", carrying(GOOD.build(), &large), "bytes, the limit is 4194304"),
        ("too many small things", carrying(GOOD.build(), &small), "they hold 100010 values, the limit is 100000"),
        ("unknown series alone", carrying(GOOD.build(), unknown), r#"expected as unknown ["{}"], got []"#),
        ("more state than is allowed", carrying(remembering.build(), finds_nothing), "the plugin trapped"),
    ] {
        let call_time = Duration::from_millis(20);
        let policy_limits = Limits { call_time, state_bytes: 7, ..Limits::STANDARD };
        let policy = Policy {
            plugins: [("evil".to_owned(), PluginPolicy { limits: policy_limits, ..PluginPolicy::default() })].into(),
            ..Policy::default()
        };
        fs::write(directory.path().join("evil.wasm"), wasm).unwrap();
        let mut changes = host.load_dir(directory.path(), &policy, &|_, _| Ok(())).unwrap();
        let error = changes.remove(0).1.unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert_eq!(host.info("evil").as_ref(), Some(&good), "{what}");
    }
    // A condition over events gets them as rows: this one wants a second one whose body begins with an x.
    let reading = Fixture {
        imports: r#"(import "watchfire:plugin/input@0.2.0" "event-at" (func $event (param i32 i32)))"#,
        evaluate: "(call $event (i32.const 1) (i32.const 2048))
            (if (i32.ne (i32.load8_u (i32.load (i32.const 2080))) (i32.const 120)) (then (unreachable)))
            (i32.const 512)",
        ..GOOD
    };
    let events = r#"{"condition": "good", "cases": [{"name": "e", "series": [
        {"labels": {}, "events": [{"kind": "login"}, {"body": "xyz", "fields": {"n": 1, "user.name": "ann"}, "value": 2}]}]}]}"#;
    assert_eq!(told(&carrying(reading.build(), events)), None);
    // Times beyond all others are no reason to stop.
    let at = r#"{"condition": "good", "cases": [{"name": "t", "at": -9223372036854775808, "series": [
        {"labels": {}, "values": [1, 2]}]}]}"#;
    assert_eq!(told(&carrying(GOOD.build(), at)), None);
    // Without a time of its own a case is a minute after the one before, whatever that one's is.
    let early = Fixture {
        imports: r#"(import "watchfire:plugin/input@0.2.0" "eval-time-ms" (func $at (result i64)))"#,
        evaluate: "(if (i64.gt_s (call $at) (i64.const 160000)) (then (unreachable))) (i32.const 512)",
        ..GOOD
    };
    let times = r#"{"condition": "good", "cases": [{"name": "a", "at": 100000, "findings": []}, {"name": "b", "findings": []}]}"#;
    assert_eq!(told(&carrying(early.build(), times)), None);
    // What a test provokes is no failure of the plugin's work.
    assert_eq!(told(&carrying(saying("one."), fails)), None);
    assert!(host.counters().iter().all(|(_, counters)| counters.calls == 0 && counters.failures.is_empty()));
    assert_eq!(host.recordings("evil").unwrap(), []);
}

/// Six calls that are meant to fail, and one that is not: none decides about the next.
#[test]
fn failures_that_tests_expect_suspend_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let picky = Fixture {
        imports: r#"(import "watchfire:plugin/input@0.2.0" "series-count" (func $count (result i32)))"#,
        data: r#"(data (i32.const 3072) "\01\00\00\00\03\00\00\00\80\00\00\00\04\00\00\00")"#,
        evaluate: "(if (i32.eqz (call $count)) (then (return (i32.const 3072)))) (i32.const 512)",
        ..GOOD
    };
    let failing = [r#"{"name": "nothing to look at", "error": "evil"}"#; 6].join(",");
    let cases = format!(
        r#"{{"condition": "evil", "cases": [{failing}, {{"name": "one", "series": [{{"labels": {{}}, "value": 1}}], "findings": []}}]}}"#
    );
    fs::write(directory.path().join("evil.wasm"), carrying(picky.build(), &cases)).unwrap();
    let host = Host::new(settings()).unwrap();
    let changes = host.load_dir(directory.path(), &Policy::default(), &|_, _| Ok(())).unwrap();
    assert!(changes[0].1.is_ok(), "{:?}", changes[0].1);
}

/// Nobody waits for the end of what has none.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/zero", directory.path().join("evil.wasm")).unwrap();
    let host = Host::new(settings()).unwrap();
    let changes = host.load_dir(directory.path(), &Policy::default(), &|_, _| Ok(())).unwrap();
    let error = changes[0].1.as_ref().unwrap_err().to_string();
    assert!(error.ends_with("evil.wasm: it is no file"), "{error}");
}

#[test]
fn a_directory_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    let host = Host::new(settings()).unwrap();
    let changes = |host: &Host| -> Vec<String> {
        let changes = host.load_dir(directory.path(), &Policy::default(), &|_, _| Ok(())).unwrap();
        changes.into_iter().map(|(name, result)| format!("{name} {}", result.is_ok())).collect()
    };
    write("a.wasm", &saying("one."));
    write("b.wasm", b"nonsense");
    write("notes.txt", b"nonsense");
    assert_eq!(changes(&host), ["a true", "b false"]);
    assert_eq!(changes(&host), ["b false"]);
    write("a.wasm", &saying("two."));
    write("b.wasm", &GOOD.build());
    assert_eq!(changes(&host), ["a true", "b true"]);
    let generation = host.generation("b");
    // The last good version stays.
    write("b.wasm", b"nonsense");
    assert_eq!(changes(&host), ["b false"]);
    assert_eq!(host.generation("b"), generation);
    fs::remove_file(directory.path().join("a.wasm")).unwrap();
    write("b.wasm", &GOOD.build());
    assert_eq!(changes(&host), Vec::<String>::new());
    assert_eq!(host.plugins().into_iter().map(|info| info.name).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_file_is_reloaded_only_if_it_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("evil.wasm");
    let host = Host::new(settings()).unwrap();
    fs::write(&path, saying("one.")).unwrap();
    let first = host.load("evil", Source::File(&path)).unwrap();
    assert_eq!(host.reload("evil").unwrap(), first);
    fs::write(&path, saying("two.")).unwrap();
    assert!(host.reload("evil").unwrap().generation > first.generation);
    load(&host, "bytes", &GOOD.build()).unwrap();
    expect![[r#"no plugin "bytes" was loaded from a file"#]].assert_eq(&host.reload("bytes").unwrap_err().to_string());
    fs::remove_file(&path).unwrap();
    assert!(host.reload("evil").is_err());
    assert_eq!(says(&mut host.open_condition("evil", "{}").unwrap()), "the plugin failed: two.");
}

#[test]
fn compiled_code_is_kept_in_a_private_directory() {
    let directory = tempfile::tempdir().unwrap();
    let cache_dir = directory.path().join("deep/cache");
    let settings = HostSettings { cache_dir: Some(cache_dir.clone()), ..settings() };
    let files = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|e| e == "cwasm")).collect::<Vec<_>>()
    };
    let wasm = saying("one.");
    let first = load(&Host::new(settings.clone()).unwrap(), "evil", &wasm).unwrap();
    assert!(!first.from_cache);
    assert_eq!(files(&cache_dir).len(), 1);
    let host = Host::new(settings.clone()).unwrap();
    assert!(load(&host, "evil", &wasm).unwrap().from_cache);
    assert_eq!(says(&mut host.open_condition("evil", "{}").unwrap()), "the plugin failed: one.");
    // A file that is not what was written is compiled anew. It is replaced and not overwritten, since `host` runs it.
    let file = files(&cache_dir).remove(0);
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"torn").unwrap();
    assert!(!load(&Host::new(settings.clone()).unwrap(), "evil", &wasm).unwrap().from_cache);
    assert!(load(&Host::new(settings.clone()).unwrap(), "evil", &wasm).unwrap().from_cache);
    // The oldest goes when there is no room.
    let small = HostSettings { cache_bytes_max: 1, ..settings.clone() };
    load(&Host::new(small).unwrap(), "evil", &saying("two.")).unwrap();
    assert_eq!(files(&cache_dir).len(), 1);
    assert!(!load(&Host::new(settings).unwrap(), "evil", &wasm).unwrap().from_cache);
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_can_write_is_no_cache() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let cache_dir = directory.path().join("cache");
    fs::create_dir(&cache_dir).unwrap();
    fs::set_permissions(&cache_dir, fs::Permissions::from_mode(0o770)).unwrap();
    let error = Host::new(HostSettings { cache_dir: Some(cache_dir.clone()), ..settings() }).unwrap_err().to_string();
    let error = error.replace(&cache_dir.display().to_string(), "DIR");
    expect!["cannot use DIR for compiled plugins: others have access to it (mode 770); run `chmod 700` on it"]
        .assert_eq(&error);
}

#[test]
fn parts_of_a_plugin_have_addresses() {
    let two = Fixture {
        data: r#"(data (i32.const 20) "\02") (data (i32.const 64) "\00\00\00\00\84\00\00\00\04\00\00\00\84\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\02\00\00\00")"#,
        ..GOOD
    };
    let host = Host::new(settings()).unwrap();
    load(&host, "pair", &two.build()).unwrap();
    load(&host, "evil", &two.build()).unwrap();
    load(&host, "single", &GOOD.build()).unwrap();
    let offered: Vec<_> = host.descriptors().into_iter().map(|d| format!("{} {}", d.kind.as_str(), d.name)).collect();
    expect![[r#"
        [
            "condition evil",
            "condition evil/good",
            "condition pair/evil",
            "condition pair/good",
            "condition single",
        ]
    "#]]
    .assert_debug_eq(&offered);
    for name in ["evil", "evil/good", "evil/evil", "pair/good", "single", "single/evil"] {
        assert!(host.open_condition(name, "{}").is_ok(), "{name}");
    }
    let mut told = String::new();
    for name in ["pair", "pair/bad", "nobody", "../pair"] {
        told += &format!("{name}: {}\n", host.open_condition(name, "{}").err().unwrap());
    }
    told += &format!("router: {}\n", host.open_router("single", "{}").err().unwrap());
    expect![[r#"
        pair: there is no condition "pair"; use pair/evil or pair/good
        pair/bad: there is no condition "pair/bad"; use pair/evil or pair/good
        nobody: there is no plugin "nobody"; loaded are evil, pair, single
        ../pair: there is no plugin ".."; loaded are evil, pair, single
        router: plugin "single" offers no router; it is a condition
    "#]]
    .assert_eq(&told);
    assert_eq!(host.info("single").unwrap().kinds, [Kind::Condition]);
}

#[test]
fn a_plugin_that_keeps_failing_is_suspended_by_the_time_of_the_evaluations() {
    let breaker =
        BreakerSettings { failures_max: 2, pause: Duration::from_secs(30), pause_max: Duration::from_secs(60) };
    let host = Host::new(HostSettings { breaker, ..settings() }).unwrap();
    load(&host, "evil", &Fixture { evaluate: "unreachable", ..GOOD }.build()).unwrap();
    let mut condition = host.open_condition("evil", "{}").unwrap();
    let mut told = String::new();
    for second in [0, 1, 2, 30, 31, 60, 90, 91] {
        let error = condition.evaluate(&batch(second * 1_000, &[1.0]), &mut state()).unwrap_err();
        told += &format!("{second}: {error}\n");
    }
    expect![[r#"
        0: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        1: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        2: suspended until 1970-01-01T00:00:31.000Z after 2 failures in a row; the last was: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        30: suspended until 1970-01-01T00:00:31.000Z after 2 failures in a row; the last was: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        31: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        60: suspended until 1970-01-01T00:01:31.000Z after 3 failures in a row; the last was: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        90: suspended until 1970-01-01T00:01:31.000Z after 3 failures in a row; the last was: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
        91: the plugin trapped: wasm `unreachable` instruction executed (in evaluate)
    "#]].assert_eq(&told);
    let counters = &host.counters()[0].1;
    assert_eq!((counters.calls, counters.suspended), (4, 4));
    assert_eq!(counters.failures, [("trap", 4)]);
    // One to describe, one to open, and a fresh one after each trap but the last.
    assert_eq!(counters.instantiations, 5);
}

/// Who mends a configuration, or takes a rule away, hears no more of what was wrong.
#[test]
fn what_is_not_used_any_more_is_not_suspended() {
    let breaker = BreakerSettings { failures_max: 1, ..BreakerSettings::STANDARD };
    let host = Host::new(HostSettings { breaker, ..settings() }).unwrap();
    load(&host, "evil", &Fixture { evaluate: "unreachable", ..GOOD }.build()).unwrap();
    for config in ["{}", "[]"] {
        let mut condition = host.open_condition("evil", config).unwrap();
        condition.evaluate(&batch(0, &[1.0]), &mut state()).unwrap_err();
    }
    let suspended = || -> Vec<String> { host.suspensions().into_iter().map(|(_, part)| part.config).collect() };
    assert_eq!(suspended(), ["[]", "{}"]);
    host.forget_unused(&[(Kind::Condition, "evil/evil", "[]"), (Kind::Router, "evil", "{}")]);
    assert_eq!(suspended(), ["[]"]);
    host.forget_unused(&[]);
    assert!(suspended().is_empty());
}

/// A formatter is opened for each message: one that fails there is left alone like one that fails when it is asked.
#[test]
fn a_formatter_that_cannot_be_opened_is_suspended() {
    let breaker = BreakerSettings { failures_max: 2, ..BreakerSettings::STANDARD };
    let host = Host::new(HostSettings { breaker, ..settings() }).unwrap();
    let formatter = Fixture { kind: "formatter", ..GOOD };
    load(&host, "evil", &Fixture { open: "unreachable", ..formatter }.build()).unwrap();
    let told = |second: i64| {
        let group = MessageGroup { at: Timestamp::from_secs(second), ..group() };
        let answer = host.open_formatter("evil", "{}").and_then(|mut formatter| formatter.format(&group));
        answer.unwrap_err().to_string()
    };
    let trapped = "the plugin trapped: wasm `unreachable` instruction executed (in open)";
    assert_eq!((told(0).as_str(), told(1).as_str()), (trapped, trapped));
    let suspended = told(2);
    assert!(suspended.contains("suspended until 1970-01-01T00:00:31.000Z after 2 failures"), "{suspended}");
    assert_eq!(told(31), trapped);
    let counters = &host.counters()[0].1;
    // One to describe and one for each time that it was tried.
    assert_eq!((counters.instantiations, counters.suspended), (4, 1));
    // A mistake in its configuration is told each time, at once.
    let refusing = r#"(data (i32.const 256) "\01\00\00\00\00\00\00\00")"#;
    load(&host, "evil", &Fixture { data: refusing, ..formatter }.build()).unwrap();
    for _ in 0..5 {
        assert!(host.open_formatter("evil", "{}").err().unwrap().to_string().starts_with("invalid configuration"));
    }
}

/// A version that cannot be opened does not keep a better one from taking its place, whether it has failed at work before
/// or fails here for a second time.
#[test]
fn a_broken_version_does_not_stand_in_the_way_of_a_mended_one() {
    let refusing = r#"(data (i32.const 256) "\01\00\00\00\00\00\00\00")"#;
    for kind in ["router", "formatter"] {
        let fixture = Fixture { kind, ..GOOD };
        let asked = if kind == "router" { Kind::Router } else { Kind::Formatter };
        for failed_before in [true, false] {
            let host = Host::new(settings()).unwrap();
            load(&host, "evil", &Fixture { open: "unreachable", ..fixture }.build()).unwrap();
            if failed_before {
                assert!(host.open_router("evil", "{}").is_err() && host.open_formatter("evil", "{}").is_err());
            }
            let failures = host.counters()[0].1.failures.clone();
            let wasm = Fixture { data: refusing, ..fixture }.build();
            let mended = host.prepare("evil", Source::Bytes(&wasm), PluginPolicy::default()).unwrap();
            for _receiver in 0..2 {
                assert_eq!(mended.opens_as_before(&host, asked, "evil", "{}"), Ok(()), "{kind} {failed_before}");
            }
            // What is tried here is no work that has failed.
            assert_eq!(host.counters()[0].1.failures, failures);
            // The one that opens keeps its place.
            load(&host, "evil", &fixture.build()).unwrap();
            let error = mended.opens_as_before(&host, asked, "evil", "{}").unwrap_err().to_string();
            assert!(error.starts_with("invalid configuration"), "{error}");
        }
    }
}

/// That others take all instances is no fault of the one that finds none.
#[test]
fn a_formatter_that_finds_no_room_to_be_opened_is_not_suspended() {
    let breaker = BreakerSettings { failures_max: 2, ..BreakerSettings::STANDARD };
    let host = Host::new(HostSettings { breaker, instances_max: 2, ..settings() }).unwrap();
    load(&host, "evil", &Fixture { kind: "formatter", evaluate: "unreachable", ..GOOD }.build()).unwrap();
    load(&host, "good", &GOOD.build()).unwrap();
    let told = || {
        let answer = host.open_formatter("evil", "{}").and_then(|mut formatter| formatter.format(&group()));
        answer.unwrap_err().to_string()
    };
    let trapped = "the plugin trapped: wasm `unreachable` instruction executed (in evaluate)";
    assert_eq!(told(), trapped);
    let others = [(); 2].map(|()| host.open_condition("good", "{}").unwrap());
    for _ in 0..3 {
        assert_eq!(told(), "the plugin passed its limit of 2 instances of instances");
    }
    drop(others);
    assert_eq!((told().as_str(), host.suspensions().len()), (trapped, 1));
}

#[test]
fn names_that_come_and_go_are_not_remembered_for_ever() {
    let host = Host::new(settings()).unwrap();
    load(&host, "stays", &GOOD.build()).unwrap();
    host.record("stays", 1);
    host.open_condition("stays", "{}").unwrap().evaluate(&batch(0, &[]), &mut state()).unwrap();
    for number in 0..3_000 {
        load(&host, &format!("release-{number}"), b"nonsense").unwrap_err();
    }
    let known = host.counters();
    assert!(known.len() <= 1_000, "{}", known.len());
    let stays = known.iter().find(|(name, _)| name == "stays").map(|(_, counted)| counted);
    assert_eq!(stays.map(|counted| (counted.calls, counted.recorded_calls)), Some((1, 1)));
}

#[test]
fn there_are_so_many_instances_and_no_more() {
    let host = Host::new(HostSettings { instances_max: 2, ..settings() }).unwrap();
    load(&host, "evil", &GOOD.build()).unwrap();
    let first = host.open_condition("evil", "{}").unwrap();
    let _second = host.open_condition("evil", "{}").unwrap();
    let error = host.open_condition("evil", "{}").err().unwrap();
    expect!["the plugin passed its limit of 2 instances of instances"].assert_eq(&error.to_string());
    drop(first);
    assert!(host.open_condition("evil", "{}").is_ok());
}

/// The memory of this process in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Two versions by turns, from the cache, while what is open goes on and is opened anew.
#[test]
#[cfg(target_os = "linux")]
fn thousands_of_swaps_leave_nothing_behind() {
    let cache = tempfile::tempdir().unwrap();
    let settings = HostSettings { cache_dir: Some(cache.path().join("compiled")), ..settings() };
    let host = Host::new(settings).unwrap();
    let versions = [saying("one."), saying("two.")];
    let swap = |round: usize| {
        host.load("evil", Source::Bytes(&versions[round % 2])).unwrap();
        let mut condition = host.open_condition("evil", "{}").unwrap();
        assert_eq!(says(&mut condition), format!("the plugin failed: {}", ["one.", "two."][round % 2]));
        condition
    };
    let mut open = swap(0);
    // What is kept for good, such as the pool's memory, is there after some rounds.
    for round in 0..200 {
        open = swap(round);
    }
    let before = resident();
    for round in 0..2_000 {
        open = swap(round);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "2,000 swaps left {} KiB behind", grown >> 10);
    assert_eq!(host.counters()[0].1.instances, 1);
    drop(open);
    let counters = host.counters().remove(0).1;
    assert_eq!((counters.instances, counters.memory_bytes), (0, 0));
}

/// A thousand rules over one plugin: each has an instance, all share the code.
#[test]
fn a_thousand_rules_share_one_copy_of_the_code() {
    let host = Host::new(HostSettings { instances_max: 1_100, ..settings() }).unwrap();
    let info = load(&host, "evil", &saying("one.")).unwrap();
    let mut open: Vec<_> = (0..1_000).map(|_| host.open_condition("evil", "{}").unwrap()).collect();
    assert_eq!(says(&mut open[999]), "the plugin failed: one.");
    let counters = host.counters().remove(0).1;
    assert_eq!(counters.instances, 1_000);
    // One page of linear memory each; the code is counted once, because there is one.
    assert_eq!(counters.memory_bytes, 1_000 * (64 << 10));
    assert_eq!(host.plugins().len(), 1);
    assert!(info.code_bytes > 0);
}

/// What rules allow is less than what the plugin may use, never more.
#[test]
fn a_rule_may_allow_less() {
    let host = Host::new(settings()).unwrap();
    let growing = Fixture {
        evaluate: "(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) (i32.const 512)",
        ..GOOD
    };
    load(&host, "evil", &growing.build()).unwrap();
    let mut told = String::new();
    for limits in [
        Limits::UNLIMITED,
        Limits { memory_bytes: 1 << 20, ..Limits::UNLIMITED },
        Limits { memory_bytes: usize::MAX, call_time: Duration::MAX, ..Limits::UNLIMITED },
    ] {
        let mut condition = host.open_condition("evil", "{}").unwrap();
        condition.limit(limits);
        let outcome = condition.evaluate(&batch(0, &[]), &mut state());
        told += &outcome.map_or_else(|error| format!("{error}\n"), |_| "fine\n".to_owned());
    }
    assert_eq!(told, "fine\nthe plugin passed its limit of 1048576 bytes of memory\nfine\n");
    assert_eq!(host.counters()[0].1.limits, [("memory", 1)]);
}

/// What a new version finds: the old one's state, and in which layout it is.
#[test]
fn a_new_version_gets_the_state_and_its_version() {
    let host = Host::new(settings()).unwrap();
    let imports = r#"(import "watchfire:plugin/state@0.2.0" "set" (func $set (param i32 i32 i32 i32 i32)))
        (import "watchfire:plugin/state@0.2.0" "version" (func $version (result i32)))"#;
    // Writes the version that it finds under the key "evil".
    let noting = |own: &'static str| Fixture {
        imports,
        data: own,
        evaluate: "(i32.store (i32.const 3000) (call $version))
            (call $set (i32.const 128) (i32.const 4) (i32.const 3000) (i32.const 4) (i32.const 2048)) (i32.const 512)",
        ..GOOD
    };
    let mut remembered = state();
    let mut found = Vec::new();
    for (own, failing) in [(1, false), (1, false), (2, true), (2, false), (2, false)] {
        let data = format!(r#"(data (i32.const 60) "\0{own}")"#);
        let fixture = noting(data.leak());
        let fixture = if failing { Fixture { evaluate: "unreachable", ..fixture } } else { fixture };
        load(&host, "evil", &fixture.build()).unwrap();
        let mut condition = host.open_condition("evil", "{}").unwrap();
        let answer = ask(condition.as_mut(), &batch(0, &[]), &mut remembered);
        assert_eq!(answer.is_err(), failing);
        remembered.commit();
        let noted = u32::from_le_bytes(remembered.get("evil").unwrap().try_into().unwrap());
        found.push((noted, remembered.version().unwrap()));
    }
    // A call that fails converts nothing.
    assert_eq!(found, [(1, 1), (1, 1), (1, 1), (1, 2), (2, 2)]);
}

/// A rule that is given another plugin does not give it what the one before remembered.
#[test]
fn another_plugin_does_not_get_the_state() {
    let host = Host::new(settings()).unwrap();
    let evil = Fixture {
        imports: r#"(import "watchfire:plugin/state@0.2.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#,
        evaluate: "(call $set (i32.const 128) (i32.const 4) (i32.const 128) (i32.const 4) (i32.const 2048)) (i32.const 512)",
        ..GOOD
    };
    // It calls itself by the other word.
    let good = Fixture { data: r#"(data (i32.const 36) "\84")"#, ..GOOD };
    let mut remembered = state();
    // The name of the file says nothing. That of the plugin does, since all templates have a part of one name.
    for (step, (file, name, fixture, expected)) in [
        ("a", None, evil, true),
        ("b", None, evil, true),
        ("a", None, good, false),
        ("c", None, evil, true),
        ("c", Some("p"), GOOD, true),
        ("d", Some("p"), GOOD, true),
        ("c", Some("q"), GOOD, false),
        ("c", Some("p"), evil, true),
        ("c", None, GOOD, false),
    ]
    .into_iter()
    .enumerate()
    {
        load(&host, file, &called(name, fixture.build())).unwrap();
        let mut condition = host.open_condition(file, "{}").unwrap();
        ask(condition.as_mut(), &batch(0, &[]), &mut remembered).unwrap();
        remembered.commit();
        assert_eq!(remembered.get("evil").is_some(), expected, "{step}");
    }
}

/// A defect of the host costs the call: what the plugin remembers is not lost with it.
#[test]
fn a_panic_in_the_host_loses_nothing() {
    let host = Host::new(settings()).unwrap();
    let latest = r#"(import "watchfire:plugin/input@0.2.0" "latest" (func $latest (param i32)))"#;
    let asking = Fixture { imports: latest, evaluate: "(call $latest (i32.const 2048)) (i32.const 512)", ..GOOD };
    load(&host, "evil", &asking.build()).unwrap();
    let mut condition = host.open_condition("evil", "{}").unwrap();
    let mut remembered = state();
    remembered.set("kept", vec![1]).unwrap();
    remembered.commit();
    // Nobody makes a batch whose rows are not there, but for this.
    let mut impossible = batch(0, &[1.0]);
    impossible.offsets = vec![0, 9];
    let error = condition.evaluate(&impossible, &mut remembered).unwrap_err().to_string();
    assert_eq!(error, "the plugin trapped: the host panicked; this is a defect, please report it");
    assert_eq!(remembered.get("kept"), Some(&[1][..]));
    condition.evaluate(&batch(0, &[1.0]), &mut remembered).unwrap();
}
