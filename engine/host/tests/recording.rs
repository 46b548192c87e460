//! Recorded calls: which are kept, what they hold, and that they can be read and made again.

mod support;

use support::fixture::{Fixture, GOOD, ONE_FINDING};
use support::{batch, load, settings, state};
use watchfire_host::{Answer, Host, HostSettings, Input, Recording};
use watchfire_model::{Event, FieldValue, Labels, Timestamp};
use watchfire_plugin::{Batch, Provider};

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
