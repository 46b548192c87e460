//! The store against a naive model: a map from labels to an ordered map of samples.

use std::collections::BTreeMap;

use proptest::prelude::*;
use watchfire_model::{Anchoring, Duration, Labels, MatchOp, Matcher, STALE_NAN, Sample, Timestamp};
use watchfire_tsdb::{AppendError, Cursor, SampleValue, Settings, Tenants, Tsdb};

#[derive(Clone, Debug)]
enum Step {
    Append { series: usize, time: i64, value: f64 },
    Truncate { now: i64 },
}

fn series(number: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("m{}", number % 3)),
        ("a", format!("{}", number % 2)),
        ("b", if number.is_multiple_of(5) { String::new() } else { format!("{number}") }),
    ])
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (0i32..200).prop_map(f64::from),
        2 => (0i32..2_000_000).prop_map(|n| f64::from(n) * 1000.0),
        2 => (-100i32..100).prop_map(|n| f64::from(n) / 8.0),
        2 => (-100i32..100).prop_map(|n| f64::from(n) / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(STALE_NAN),
        1 => Just(-0.0),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0usize..12, 0i64..40, prop_oneof![4 => Just(15_000i64), 1 => 0i64..100_000, 1 => Just(-20_000i64)], value())
            .prop_map(|(series, slot, jitter, value)| Step::Append { series, time: slot * 15_000 + jitter % 15_001, value }),
        1 => (0i64..1_000_000).prop_map(|now| Step::Truncate { now }),
    ]
}

/// Steps whose times mostly ascend, as they do in life.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..250).prop_map(|mut steps| {
        for (i, step) in steps.iter_mut().enumerate() {
            match step {
                Step::Append { time, .. } => *time += i as i64 * 2_000,
                Step::Truncate { now } => *now = i as i64 * 2_000,
            }
        }
        steps
    })
}

type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn stored(db: &Tsdb) -> Model {
    db.all_series()
        .map(|view| {
            let samples = view.samples().iter().map(|p| match p.value {
                SampleValue::Float(value) => (p.timestamp.as_millis(), value.to_bits()),
                SampleValue::Histogram(_) => (p.timestamp.as_millis(), 0),
            });
            (view.labels().clone(), samples.collect())
        })
        .collect()
}

fn append(model: &mut Model, labels: &Labels, time: i64, value: f64, window: i64) -> Result<(), &'static str> {
    let samples = model.entry(labels.clone()).or_default();
    let newest = samples.keys().next_back().copied();
    match (samples.get(&time), newest) {
        (Some(bits), _)
            if *bits == value.to_bits() && (Some(time) == newest || newest.is_some_and(|n| n - time <= window)) =>
        {
            return Ok(());
        }
        (Some(_), Some(newest)) if time == newest || newest - time <= window => return Err("duplicate"),
        (_, Some(newest)) if time < newest && newest - time > window => return Err("out of order"),
        _ => {}
    }
    samples.insert(time, value.to_bits());
    Ok(())
}

fn error_name(result: Result<(), AppendError>) -> Result<(), &'static str> {
    result.map_err(|error| match error {
        AppendError::OutOfOrder { .. } => "out of order",
        AppendError::DuplicateTimestamp { .. } => "duplicate",
        AppendError::Limit { .. } => "limit",
        AppendError::UnknownSeries => "unknown",
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn appending_refuses_and_keeps_what_the_model_does(steps in steps(), window in prop_oneof![Just(0i64), Just(60_000)]) {
        let settings = Settings { out_of_order_window: Duration::from_millis(window), ..Settings::default() };
        let mut db = Tsdb::new(settings);
        let mut model = Model::new();
        for step in steps {
            let Step::Append { series: number, time, value } = step else { continue };
            let labels = series(number);
            let sample = Sample { timestamp: Timestamp::from_millis(time), value };
            let found = error_name(db.append(&labels, sample).map(|_| ()));
            prop_assert_eq!(found, append(&mut model, &labels, time, value, window));
        }
        prop_assert_eq!(stored(&db), model.clone());
        let samples: usize = model.values().map(BTreeMap::len).sum();
        prop_assert_eq!(db.stats().samples, samples);
        prop_assert_eq!(db.stats().series, model.len());
    }

    #[test]
    fn windows_and_instants_are_those_of_the_model(steps in steps(), after in 0i64..900_000, length in 0i64..400_000) {
        let mut db = Tsdb::default();
        let mut model = Model::new();
        for step in steps {
            let Step::Append { series: number, time, value } = step else { continue };
            let sample = Sample { timestamp: Timestamp::from_millis(time), value };
            let _ = db.append(&series(number), sample);
            let _ = append(&mut model, &series(number), time, value, 0);
        }
        let (from, to) = (Timestamp::from_millis(after), Timestamp::from_millis(after + length));
        for (labels, samples) in &model {
            let view = db.resolve(labels).and_then(|id| db.series(id)).unwrap();
            let expected: Vec<(i64, u64)> = samples.range(after + 1..=after + length).map(|(t, v)| (*t, *v)).collect();
            let window = view.window(from, to);
            let mut floats = Vec::new();
            window.floats_into(&mut floats);
            let found: Vec<(i64, u64)> = floats.iter().map(|(t, v)| (*t, v.to_bits())).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(window.len(), expected.len());
            prop_assert_eq!(window.iter().count(), expected.len());
            let at = view.at(to).map(|p| (p.timestamp.as_millis(), p.value.float().unwrap_or(0.0).to_bits()));
            prop_assert_eq!(at, samples.range(..=after + length).next_back().map(|(t, v)| (*t, *v)));
        }
    }

    #[test]
    fn retention_never_takes_what_it_covers_and_forgets_dead_series(steps in steps(), retention in 1_000i64..300_000) {
        let mut db = Tsdb::default();
        db.set_retention(Duration::from_millis(retention));
        let mut model = Model::new();
        let mut cursor = Cursor::default();
        let mut known = Vec::new();
        for step in &steps {
            match step {
                Step::Append { series: number, time, value } => {
                    let labels = series(*number);
                    let sample = Sample { timestamp: Timestamp::from_millis(*time), value: *value };
                    if db.append(&labels, sample).is_ok() {
                        model.entry(labels).or_default().insert(*time, value.to_bits());
                    }
                }
                Step::Truncate { now } => {
                    // Series by series, as a large store is swept.
                    let at = Timestamp::from_millis(*now);
                    let old: Vec<_> = (0..db.slots()).flat_map(|slot| db.drop_old(at, slot..slot + 1).1).collect();
                    let truncated = db.remove_old(at, &old);
                    known.retain(|id| !truncated.series.contains(id));
                    model.retain(|_, samples| samples.keys().next_back().is_some_and(|t| *t >= now - retention));
                }
            }
            let created = db.new_series_since(cursor);
            for label in created.series.iter().filter_map(|id| db.series(*id)).flat_map(|one| one.labels().iter()) {
                prop_assert!(db.may_have_new(cursor, label.name, label.value), "{}={:?}", label.name, label.value);
                prop_assert!(!db.may_have_new(created.cursor, label.name, label.value));
            }
            cursor = created.cursor;
            known.extend_from_slice(created.series);
        }
        let found = stored(&db);
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), model.keys().collect::<Vec<_>>());
        for (labels, samples) in &model {
            let newest = samples.keys().next_back().copied().unwrap_or(0);
            for (time, bits) in samples.range(newest - retention..) {
                prop_assert_eq!(found[labels].get(time), Some(bits), "{} at {}", labels, time);
            }
            for (time, bits) in &found[labels] {
                prop_assert_eq!(samples.get(time), Some(bits), "{} at {}", labels, time);
            }
        }
        let mut all = db.select(&[]);
        all.sort_unstable();
        known.sort_unstable();
        prop_assert_eq!(known, all);
    }

    #[test]
    fn a_series_of_the_same_revision_and_newest_time_is_the_same(
        steps in steps(),
        window in prop_oneof![Just(0i64), Just(60_000)],
        samples_per_series_max in prop_oneof![Just(4usize), Just(1000)],
    ) {
        let out_of_order_window = Duration::from_millis(window);
        let mut db = Tsdb::new(Settings { out_of_order_window, samples_per_series_max, ..Settings::default() });
        db.set_retention(Duration::from_millis(120_000));
        let mut seen: BTreeMap<(usize, u64, i64), BTreeMap<i64, u64>> = BTreeMap::new();
        for step in &steps {
            match step {
                Step::Append { series: number, time, value } => {
                    let _ = db.append(&series(*number), Sample { timestamp: Timestamp::from_millis(*time), value: *value });
                }
                Step::Truncate { now } => drop(db.truncate(Timestamp::from_millis(*now))),
            }
            let all = stored(&db);
            for view in db.all_series() {
                let (slot, samples) = (view.id().slot(), &all[view.labels()]);
                let newest = db.newest_by_slot()[slot];
                let last = samples.last_key_value().map(|(time, bits)| (*time, *bits));
                prop_assert_eq!(last, Some((newest.time, newest.value.to_bits())));
                let known = seen.entry((slot, db.revisions()[slot], newest.time)).or_insert_with(|| samples.clone());
                prop_assert_eq!(&*known, samples);
            }
        }
    }

    #[test]
    fn selection_is_what_testing_every_series_gives(
        numbers in proptest::collection::btree_set(0usize..40, 0..30),
        matchers in proptest::collection::vec(
            (prop_oneof![Just("__name__"), Just("a"), Just("b"), Just("c")],
             prop_oneof![Just(MatchOp::Equal), Just(MatchOp::NotEqual), Just(MatchOp::Regex), Just(MatchOp::NotRegex)],
             prop_oneof![Just(""), Just("m1"), Just("m.*"), Just("1"), Just("1.*|.*7"), Just(".+"), Just(".*")]),
            0..4),
    ) {
        let mut db = Tsdb::default();
        for number in &numbers {
            db.append(&series(*number), Sample { timestamp: Timestamp::EPOCH, value: 1.0 }).unwrap();
        }
        let matchers: Vec<Matcher> =
            matchers.into_iter().map(|(n, op, v)| Matcher::new(n, op, v, Anchoring::Prometheus).unwrap()).collect();
        let mut found: Vec<Labels> =
            db.select(&matchers).into_iter().map(|id| db.series(id).unwrap().labels().clone()).collect();
        found.sort();
        let mut expected: Vec<Labels> =
            db.all_series().map(|s| s.labels().clone()).filter(|l| matchers.iter().all(|m| m.matches_labels(l))).collect();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn limits_refuse_by_name_and_are_counted() {
    let mut db = Tsdb::new(Settings { series_max: 2, samples_per_series_max: 20, ..Settings::default() });
    let sample = |time| Sample { timestamp: Timestamp::from_secs(time), value: time as f64 };
    for number in 0..2 {
        db.append(&series(number), sample(0)).unwrap();
    }
    let refused = db.append(&series(2), sample(0)).unwrap_err();
    assert_eq!(refused.to_string(), "the store is full (series_max = 2); raise the limit or send fewer series");
    assert_eq!(db.stats().samples_over_limit, 1);

    // Whose series they are, `a` says, which half of them has as 0 and half as 1.
    let tenants = Some(Tenants { label: "a".to_owned(), series_max: 2 });
    let mut shared = Tsdb::new(Settings { tenants, ..Settings::default() });
    let taken: Vec<usize> = (0..6).filter(|number| shared.append(&series(*number), sample(0)).is_ok()).collect();
    assert_eq!(taken, [0, 1, 2, 3]);
    let refused = shared.append(&series(4), sample(0)).unwrap_err().to_string();
    assert!(refused.contains("tenant.series_max = 2"), "{refused}");
    shared.append(&Labels::from_pairs([("__name__", "of_nobody")]), sample(0)).unwrap();
    shared.append(&series(0), sample(1)).unwrap();

    let id = db.resolve(&series(0)).unwrap();
    for time in 1..200 {
        db.append_to(id, sample(time)).unwrap();
    }
    let held = db.series(id).unwrap().samples().len();
    assert!((20..=40).contains(&held), "{held}");
    assert_eq!(db.stats().samples_shed as usize, 200 - held);
    assert_eq!(db.series(id).unwrap().newest().value, SampleValue::Float(199.0));

    // Room for series is made for many at a time, so that what is taken goes in steps.
    let mut small = Tsdb::new(Settings { bytes_max: 1_000_000, ..Settings::default() });
    let refused = (0..10_000).find_map(|n| small.append(&series(n), sample(0)).err()).unwrap();
    assert!(refused.to_string().contains("bytes_max = 1000000"), "{refused}");
    assert!(small.stats().series > 1_000, "{:?}", small.stats());
    assert!(small.stats().bytes < 1_300_000, "{:?}", small.stats());
}

#[test]
fn a_series_that_gets_a_sample_while_a_store_is_swept_stays() {
    let mut db = Tsdb::new(Settings::default());
    db.set_retention(Duration::from_secs(10));
    let sample = |seconds| Sample { timestamp: Timestamp::from_secs(seconds), value: 1.0 };
    let ids = [1, 2].map(|number| db.append(&series(number), sample(0)).unwrap());
    let now = Timestamp::from_secs(100);
    let (_, old) = db.drop_old(now, 0..db.slots());
    assert_eq!(old, ids);
    db.append(&series(1), sample(100)).unwrap();
    assert_eq!(db.remove_old(now, &old).series, [ids[1]]);
    assert_eq!(db.remove_old(now, &old).series, []);
    assert_eq!(db.select(&[]), [ids[0]]);
}

#[test]
fn an_id_is_never_used_again() {
    let mut db = Tsdb::default();
    db.set_retention(Duration::from_secs(10));
    let sample = |time| Sample { timestamp: Timestamp::from_secs(time), value: 1.0 };
    let first = db.append(&series(1), sample(0)).unwrap();
    assert_eq!(db.truncate(Timestamp::from_secs(100)).series, [first]);
    // Slots are kept for series of the same metric.
    let second = db.append(&series(4), sample(100)).unwrap();
    assert_eq!(first.slot(), second.slot());
    assert!(db.series(first).is_none());
    assert_eq!(db.append_to(first, sample(101)), Err(AppendError::UnknownSeries));
    assert_eq!(db.label_values("b").collect::<Vec<_>>(), ["4"]);
    assert!(db.resolve(&series(1)).is_none());
}

#[test]
fn series_of_one_metric_lie_side_by_side_and_free_slots_are_used_again() {
    let mut db = Tsdb::default();
    let metric = |metric: usize, number: usize| {
        Labels::from_pairs([("__name__", format!("m{metric}")), ("n", number.to_string())])
    };
    let sample = |time| Sample { timestamp: Timestamp::from_secs(time), value: 1.0 };
    // As targets send them: one series of each metric after the other.
    let mut slots = vec![Vec::new(); 20];
    for number in 0..1_000 {
        for (of_metric, slots) in slots.iter_mut().enumerate() {
            slots.push(db.append(&metric(of_metric, number), sample(0)).unwrap().slot());
        }
    }
    for slots in &slots {
        let neighbours = slots.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(neighbours > 900, "{neighbours}");
    }
    let used = 1 + slots.iter().flatten().max().unwrap();
    assert!(used < 22_000, "{used}");
    // All series end and others take their places, of metrics that nobody has heard of before.
    db.set_retention(Duration::from_secs(10));
    for round in 1..20_i64 {
        let time = round * 100;
        for number in 0..20_000 {
            let slot =
                db.append(&metric(1_000 + number / 500 + 40 * round as usize, number), sample(time)).unwrap().slot();
            assert!(slot < 60_000, "{slot}");
        }
        db.truncate(Timestamp::from_secs(time));
        assert_eq!(db.stats().series, 20_000);
    }
}

#[test]
fn samples_that_come_late_or_twice_are_taken_or_refused_as_by_prometheus() {
    const LATE: Option<&str> = Some("out of order");
    const TWICE: Option<&str> = Some("duplicate");
    // Seconds and value of samples in the order of arrival, and what becomes of each: without and with a window of 60 s
    // for samples that are out of order.
    let table: [(i64, f64, Option<&str>, Option<&str>); 11] = [
        (100, 1.0, None, None),
        (100, 1.0, None, None),
        (100, 2.0, TWICE, TWICE),
        (100, f64::NAN, TWICE, TWICE),
        (90, 5.0, LATE, None),
        (90, 5.0, LATE, None),
        (90, 6.0, LATE, TWICE),
        (40, 7.0, LATE, None),
        (39, 7.0, LATE, LATE),
        (110, STALE_NAN, None, None),
        (110, STALE_NAN, None, None),
    ];
    for (window, expected) in [(0, [100, 110].as_slice()), (60, &[40, 90, 100, 110])] {
        let mut db = Tsdb::new(Settings { out_of_order_window: Duration::from_secs(window), ..Settings::default() });
        for (seconds, value, strict, lenient) in table {
            let sample = Sample { timestamp: Timestamp::from_secs(seconds), value };
            let refused = error_name(db.append(&series(1), sample).map(drop)).err();
            assert_eq!(refused, if window == 0 { strict } else { lenient }, "{value} at {seconds}, window {window}");
        }
        let kept: Vec<i64> = stored(&db)[&series(1)].keys().map(|millis| millis / 1_000).collect();
        assert_eq!(kept, expected);
    }
}

#[test]
fn a_store_that_was_full_has_room_again_when_its_series_are_gone() {
    let labels = series(0);
    let filled = |bytes_max| {
        let mut db = Tsdb::new(Settings { bytes_max, ..Settings::default() });
        db.set_retention(Duration::from_secs(600));
        for second in 0..600 {
            let sample = Sample { timestamp: Timestamp::from_secs(second), value: second as f64 * 1.7 };
            db.append(&labels, sample).unwrap();
        }
        db
    };
    let bytes = filled(usize::MAX).stats().bytes;
    // One has refused what came while it was full, and gave up what had expired for it; the other one was asked nothing.
    let (mut refusing, mut asked_nothing) = (filled(bytes), filled(bytes));
    let late =
        (600..1_500).map(|second| Sample { timestamp: Timestamp::from_secs(second), value: second as f64 * 0.3 });
    let refused = late.filter(|sample| refusing.append(&labels, *sample).is_err()).count();
    assert!(refused > 0, "it was never full");
    for db in [&mut refusing, &mut asked_nothing] {
        db.truncate(Timestamp::from_secs(100_000));
        assert_eq!(db.stats().series, 0);
    }
    assert_eq!(refusing.stats().bytes, asked_nothing.stats().bytes);
}
