//! Recorded calls: which are kept, what they hold, and that they can be read and made again.

mod support;

use support::fixture::{Fixture, GOOD, ONE_FINDING};
use support::{batch, group, load, settings, state};
use watchfire_host::{Answer, Host, HostSettings, Input, Recording};
use watchfire_model::{Event, FieldValue, Labels, Timestamp};
use watchfire_plugin::{Batch, Limits, Provider, StandIns, stand_in};

/// Answers with one finding about series 0: value 0, no summary.
fn finds() -> Vec<u8> {
    Fixture { data: ONE_FINDING, ..GOOD }.build()
}

fn traps() -> Vec<u8> {
    Fixture { evaluate: "unreachable", ..GOOD }.build()
}

#[test]
fn failed_calls_are_kept_and_others_on_demand() {
    let host = Host::new(settings()).unwrap();
    assert!(host.recordings("evil").is_none() && !host.record("evil", 1));
    load(&host, "evil", &finds()).unwrap();
    let mut condition = host.open_condition("evil", "{}").unwrap();
    let mut remembered = state();
    remembered.set("seen", vec![7]).unwrap();
    remembered.commit();
    condition.evaluate(&batch(0, &[1.0]), &mut remembered).unwrap();
    assert_eq!(host.recordings("evil").unwrap(), []);
    assert!(host.record("evil", 1));
    for time in [1, 2] {
        condition.evaluate(&batch(time, &[f64::NAN]), &mut remembered).unwrap();
    }
    let [asked] = &host.recordings("evil").unwrap()[..] else { panic!("one was asked for") };
    assert_eq!((asked.number, asked.input.at(), &*asked.part), (1, Timestamp::from_millis(1), "evil"));
    let Input::Condition(_, before) = &asked.input else { panic!("{asked:?}") };
    assert_eq!(before.get("seen"), Some(&vec![7]));
    let Ok(Answer::Condition(outcome, writes)) = &asked.answer else { panic!("{asked:?}") };
    assert_eq!((outcome.findings.len(), writes.len()), (1, 0));

    // The next version traps, under the same name and with the same numbers.
    load(&host, "evil", &traps()).unwrap();
    let mut condition = host.open_condition("evil", "{}").unwrap();
    for time in 0..20 {
        // The breaker refuses most of these; a call that was not made is not recorded.
        condition.evaluate(&batch(time, &[1.0]), &mut state()).unwrap_err();
    }
    let kept = host.recordings("evil").unwrap();
    assert_eq!(kept.iter().map(|call| call.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(kept[5].answer.as_ref().is_err_and(|failure| failure.kind == "trap"), "{:?}", kept[5]);
    host.record("evil", 8);
    load(&host, "evil", &finds()).unwrap();
    let mut condition = host.open_condition("evil", "{}").unwrap();
    for time in 0..20 {
        condition.evaluate(&batch(time, &[1.0]), &mut state()).unwrap();
    }
    let kept = host.recordings("evil").unwrap();
    assert_eq!(kept.iter().map(|call| call.number).collect::<Vec<_>>(), [7, 8, 9, 10, 11, 12, 13, 14]);
    let (_, counted) = &host.counters()[0];
    assert_eq!((counted.recorded_calls, counted.recorded_calls_forgotten), (8, 6));
    assert!((1..10_000).contains(&counted.recorded_bytes), "{}", counted.recorded_bytes);
}

#[test]
fn a_recording_survives_json_and_gives_the_same_answer_in_a_metered_engine() {
    let host = Host::new(settings()).unwrap();
    load(&host, "evil", &finds()).unwrap();
    host.record("evil", 1);
    let at = Timestamp::from_millis(1_000);
    let values: [&[f64]; 5] = [&[f64::NAN], &[0.1 + 0.2], &[f64::NEG_INFINITY], &[-0.0], &[]];
    let series = (0..).zip(values).map(|(number, values)| {
        (Labels::from_pairs([("host", format!("h{number}"))]), values.iter().map(move |value| (at, *value)))
    });
    let mut series = Batch::new(at, series);
    let fields = [("n", FieldValue::Int(1)), ("f", FieldValue::Float(1.0)), ("t", FieldValue::Text("1".into()))];
    series.events.push(Event {
        id: "e".into(),
        time: Timestamp::from_millis(5),
        kind: "login".into(),
        fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
        body: "\u{1f525}\"".into(),
    });
    host.open_condition("evil", r#"{"a": 1}"#).unwrap().evaluate(&series, &mut state()).unwrap();
    let recorded = host.recordings("evil").unwrap().remove(0);
    let read = Recording::from_json(&recorded.to_json()).unwrap();
    assert_eq!(read.to_json(), recorded.to_json());
    assert_eq!((&read.config, &read.digest, read.limits), (&recorded.config, &recorded.digest, recorded.limits));
    let Input::Condition(batch, _) = &read.input else { panic!("{read:?}") };
    assert_eq!((&batch.series, &batch.offsets, &batch.events), (&series.series, &series.offsets, &series.events));
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&batch.values[1..]), bits(&series.values[1..]));

    let metered = Host::new(HostSettings { metered: true, ..settings() }).unwrap();
    load(&metered, "again", &finds()).unwrap();
    metered.record("again", 1);
    metered.open_condition("again", &read.config).unwrap().evaluate(batch, &mut state()).unwrap();
    let again = metered.recordings("again").unwrap().remove(0);
    assert_eq!(again.answer_json(), recorded.answer_json());
    assert!(again.trace.instructions > 0 && recorded.trace.instructions == 0);
    for nonsense in ["", "{}", r#"{"plugin": 1}"#] {
        Recording::from_json(nonsense).unwrap_err();
    }
}

#[test]
fn what_was_answered_counts_too() {
    let host = Host::new(settings()).unwrap();
    // A summary of 4,096 bytes.
    let data =
        r#"(data (i32.const 516) "\00\04\00\00\01\00\00\00") (data (i32.const 1040) "\00\20\00\00\00\10\00\00")"#;
    load(&host, "evil", &Fixture { data, ..GOOD }.build()).unwrap();
    host.record("evil", 1);
    host.open_condition("evil", "{}").unwrap().evaluate(&batch(0, &[1.0]), &mut state()).unwrap();
    let (_, counted) = &host.counters()[0];
    assert!(counted.recorded_calls == 1 && counted.recorded_bytes > 4_096, "{}", counted.recorded_bytes);
}

/// A formatter gets a stand-in for a secret, which is worth the secret while the call lasts: what is kept of the call and
/// told of it has another word, with which the call is made again to the same answer.
#[test]
fn what_stands_for_a_secret_is_not_recorded() {
    const LOG: &str = r#"(import "watchfire:plugin/log@0.2.0" "log" (func $log (param i32 i32 i32)))"#;
    // The word of the first secret, as the group has it in memory, and into what it is written.
    const WORD: &str = "(local $word i32) (local $bytes i32)
        (local.set $word (i32.load offset=8 (i32.load offset=56 (local.get 0))))
        (local.set $bytes (i32.load offset=12 (i32.load offset=56 (local.get 0))))";
    let stores = |at: u32| {
        format!("(i32.store (i32.const {at}) (local.get $word)) (i32.store (i32.const {}) (local.get $bytes))", at + 4)
    };
    let message = r#"(data (i32.const 528) "\0a\00\00\00") (data (i32.const 524) "\00\05\00\00") (data (i32.const 1280) "text/plain")"#;
    let bad_input = r#"(data (i32.const 512) "\01\00\00\00\01\00\00\00")"#;
    let log = |level: u32| format!("(call $log (i32.const {level}) (local.get $word) (local.get $bytes))");
    let answers: &str = format!("{WORD} {} {} {} (i32.const 512)", log(1), stores(516), stores(532)).leak();
    let fails: &str = format!("{WORD} {} (i32.const 512)", stores(520)).leak();
    let garbage: &str = format!("{WORD} {} (i32.const 512)", stores(524)).leak();
    let traps: &str = format!("{WORD} {} unreachable", log(3)).leak();
    let live = stand_in([7; 16]);
    let mut given = group();
    given.secrets = [("token".to_owned(), live.clone())].into();
    let hidden = StandIns::of(&given.secrets).text(&live).into_owned();
    let mut told = String::new();
    for (data, format, text_bytes) in [
        (message, answers, 1_024),
        (message, answers, 24),
        (bad_input, fails, 1_024),
        (bad_input, fails, 24),
        ("", garbage, 1_024),
        ("", traps, 1_024),
    ] {
        let limits = Limits { text_bytes, ..settings().limits };
        let host = Host::new(HostSettings { limits, ..settings() }).unwrap();
        load(&host, "evil", &Fixture { kind: "formatter", imports: LOG, data, evaluate: format, ..GOOD }.build())
            .unwrap();
        host.record("evil", 2);
        let answer = host.open_formatter("evil", "{}").unwrap().format(&given);
        let said = answer.as_ref().map_or_else(ToString::to_string, |message| message.title.clone());
        // Whoever sends the message needs the stand-in itself.
        assert_eq!(said.contains(&live[..12]), answer.is_ok(), "{said}");
        assert!(answer.is_err() || answer.is_ok_and(|message| message.body == live));
        let recorded = host.recordings("evil").unwrap().remove(0);
        let json = recorded.to_json();
        assert!(!json.contains(&live[..12]) && json.contains(&hidden), "{json}");
        let Input::Formatter(again) = &recorded.input else { panic!("{json}") };
        drop(host.open_formatter("evil", "{}").unwrap().format(again));
        let repeated = host.recordings("evil").unwrap().remove(1);
        assert_eq!((repeated.answer_json(), &repeated.trace.log), (recorded.answer_json(), &recorded.trace.log));
        let log: Vec<_> = recorded.trace.log.iter().map(|line| &*line.message).collect();
        told.push_str(&format!("{} {log:?}\n", recorded.answer_json()));
    }
    expect_test::expect![[r#"
        {"formatter":{"title":"secret-of-token-00000000000000000000000","contentType":"text/plain","body":"secret-of-token-00000000000000000000000","headers":[],"dedupKey":null}} ["secret-of-token-00000000000000000000000"]
        {"formatter":{"title":"secret-of-token-00000…","contentType":"text/plain","body":"secret-of-token-00000000000000000000000","headers":[],"dedupKey":null}} ["secret-of-token-00000000000000000000000"]
        {"failure":{"kind":"bad_input","message":"cannot handle this input: secret-of-token-00000000000000000000000"}} []
        {"failure":{"kind":"bad_input","message":"cannot handle this input: secret-of-token-00000…"}} []
        {"failure":{"kind":"invalid_output","message":"the plugin broke the contract: it gave \"secret-of-token-00000000000000000000000\" as content type, such as application/json is one"}} []
        {"failure":{"kind":"trap","message":"the plugin trapped: wasm `unreachable` instruction executed: secret-of-token-00000000000000000000000 (in evaluate)"}} ["secret-of-token-00000000000000000000000"]
    "#]].assert_eq(&told);
}
