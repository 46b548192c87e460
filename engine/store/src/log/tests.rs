use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;
use watchfire_model::{Event, FieldValue, STALE_NAN, Sample};
use watchfire_tsdb::{BucketCount, CounterResetHint, Histogram, SampleValue};

use super::*;

fn settings(dir: &TempDir) -> LogSettings {
    LogSettings { sync: SyncPolicy::Never, ..LogSettings::new(dir.path().join("log")) }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn samples(name: &str, values: &[(i64, f64)]) -> (Labels, Vec<Point>) {
    let labels = Labels::from_pairs([("__name__", name), ("job", "test")]);
    (labels, values.iter().map(|(millis, value)| Sample { timestamp: at(*millis), value: *value }.into()).collect())
}

fn histogram(millis: i64) -> Point {
    let bucket = |(index, count)| BucketCount { index, count };
    let histogram = Histogram {
        counter_reset_hint: CounterResetHint::NotReset,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 1.0,
        count: 17.5,
        sum: -2.25,
        positive: [(-4, 3.0), (0, 1e300), (i32::MAX, 0.5)].map(bucket).to_vec(),
        negative: [(i32::MIN, 1.0)].map(bucket).to_vec(),
        custom_bounds: vec![],
    };
    Point { timestamp: at(millis), start: Some(at(millis - 7)), value: SampleValue::Histogram(Arc::new(histogram)) }
}

fn event(id: &str) -> Event {
    let fields = [
        ("user.name", FieldValue::Text("eve".into())),
        ("list", FieldValue::List(vec![FieldValue::Null, FieldValue::List(vec![FieldValue::Bool(true)])])),
        ("int", FieldValue::Int(i64::MIN)),
        ("float", FieldValue::Float(-0.0)),
        ("no", FieldValue::Bool(false)),
    ];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Event { id: id.to_owned(), time: at(-5), kind: "login".to_owned(), fields, body: "a\nline".to_owned() }
}

/// One of each, with series that are new and series that are not.
fn entries() -> Vec<(Timestamp, Entry)> {
    vec![
        (
            at(10),
            Entry::Samples(vec![
                samples("up", &[(1, 1.0), (2, f64::MAX)]),
                samples("down", &[(1, -3.0)]),
                (samples("wide", &[]).0, vec![histogram(5)]),
            ]),
        ),
        (at(20), Entry::Events(vec![event("1"), event("")])),
        (
            at(30),
            Entry::Samples(vec![samples("up", &[(3, 0.5)]), samples("new", &[(i64::MIN, -0.0), (i64::MAX, 1e300)])]),
        ),
        (at(50), Entry::Samples(vec![])),
        (at(60), Entry::Samples(vec![samples("new", &[(7, 7.0)])])),
    ]
}

fn replayed(log: &Log, from: ReplayFrom) -> (Vec<(Timestamp, Entry)>, Replay) {
    let mut replay = log.replay(from);
    let mut found = Vec::new();
    while let Some(entry) = replay.next().unwrap() {
        found.push((entry.at(), entry.to_entry()));
    }
    (found, replay)
}

fn written(dir: &TempDir) -> Vec<Position> {
    let (mut log, _) = Log::open(settings(dir)).unwrap();
    entries().iter().map(|(at, entry)| log.append(*at, entry).unwrap()).collect()
}

fn only_segment(dir: &TempDir) -> PathBuf {
    let mut files = list_segments(&settings(dir).dir).unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0).1
}

#[test]
fn what_was_appended_is_replayed_after_reopening() {
    let dir = TempDir::new().unwrap();
    let positions = written(&dir);
    assert!(positions.is_sorted());
    let (mut log, opened) = Log::open(settings(&dir)).unwrap();
    assert_eq!((opened.segments, opened.cut_bytes, opened.put_aside.len()), (1, 0, 0));
    assert_eq!(replayed(&log, ReplayFrom::Start).0, entries());
    assert_eq!(replayed(&log, ReplayFrom::Time(at(30))).0, entries()[2..]);
    for (count, position) in positions.iter().enumerate() {
        let (found, replay) = replayed(&log, ReplayFrom::Position(*position));
        assert_eq!(found, entries()[count + 1..], "the dictionary before the position is known");
        assert_eq!(replay.damage_count(), 0);
    }
    // The next run defines its series anew.
    log.append(at(70), &entries()[0].1).unwrap();
    assert_eq!(replayed(&log, ReplayFrom::Start).0.len(), entries().len() + 1);
    assert_eq!(replayed(&log, ReplayFrom::Time(at(61))).0, [(at(70), entries().remove(0).1)]);
}

#[test]
fn staleness_markers_keep_every_bit() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    log.append(at(0), &Entry::Samples(vec![samples("up", &[(1, STALE_NAN), (2, f64::NAN)])])).unwrap();
    let mut replay = log.replay(ReplayFrom::Start);
    let Some(Replayed::Samples { samples, .. }) = replay.next().unwrap() else { panic!("no samples") };
    assert!(samples[0].1.value.is_stale() && !samples[1].1.value.is_stale());
}

#[test]
fn histograms_and_start_times_come_back_in_the_order_in_which_they_came() {
    let custom = Histogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: -53,
        custom_bounds: vec![0.1, f64::MAX],
        sum: STALE_NAN,
        ..Histogram::default()
    };
    let custom = Point { timestamp: at(-3), start: None, value: SampleValue::Histogram(Arc::new(custom)) };
    let with_start = Point { timestamp: at(4), start: Some(at(i64::MAX)), value: SampleValue::Float(2.0) };
    let (labels, plain) = samples("mixed", &[(1, 1.0), (9, (1_u64 << 48) as f64), (10, -((1_u64 << 48) as f64))]);
    let points: Vec<Point> = [vec![histogram(0), with_start, custom], plain, vec![histogram(20)]].concat();
    let hints = |points: &[Point]| -> Vec<_> {
        points.iter().map(|point| point.value.histogram().map(|histogram| histogram.counter_reset_hint)).collect()
    };
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    log.stage(at(0), &Entry::Samples(vec![(labels.clone(), points.clone())])).unwrap();
    let numbered = points.iter().map(|point| (SeriesNumber { slot: 0, life: 1 }, point.clone()));
    log.stage_samples(at(0), numbered, |_| labels.clone()).unwrap();
    log.commit().unwrap();
    let (found, _) = replayed(&log, ReplayFrom::Start);
    let expected = (at(0), Entry::Samples(vec![(labels, points.clone())]));
    assert_eq!(found, [expected.clone(), expected]);
    let Entry::Samples(read) = &found[0].1 else { panic!("no samples") };
    assert_eq!(hints(&read[0].1), hints(&points), "hints are not part of a histogram's equality");
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_rest_is_whole() {
    let whole = TempDir::new().unwrap();
    let positions = written(&whole);
    let bytes = fs::read(only_segment(&whole)).unwrap();
    for length in 0..=bytes.len() {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(settings(&dir).dir).unwrap();
        fs::write(segment_path(&settings(&dir).dir, 1), &bytes[..length]).unwrap();
        let (mut log, opened) = Log::open(settings(&dir)).unwrap();
        let kept = positions.iter().filter(|position| position.offset <= length as u64).count();
        let (found, replay) = replayed(&log, ReplayFrom::Start);
        assert_eq!(found, entries()[..kept], "{length} bytes");
        assert_eq!(replay.damage_count(), 0, "{length} bytes");
        let good = if kept == 0 { FILE_HEADER_BYTES } else { positions[kept - 1].offset };
        let expected = if (length as u64) < FILE_HEADER_BYTES { length as u64 } else { length as u64 - good };
        assert_eq!(opened.cut_bytes, expected, "{length} bytes");
        // And it goes on from there.
        log.append(at(99), &entries()[0].1).unwrap();
        drop(log);
        let (log, opened) = Log::open(settings(&dir)).unwrap();
        assert_eq!(opened.cut_bytes, 0);
        assert_eq!(replayed(&log, ReplayFrom::Start).0.len(), kept + 1);
    }
}

#[test]
fn a_flipped_bit_costs_one_entry_and_what_depended_on_it() {
    let whole = TempDir::new().unwrap();
    let positions = written(&whole);
    let bytes = fs::read(only_segment(&whole)).unwrap();
    for byte in FILE_HEADER_BYTES as usize..bytes.len() {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(settings(&dir).dir).unwrap();
        let mut damaged = bytes.clone();
        damaged[byte] ^= 1 << (byte % 8);
        fs::write(segment_path(&settings(&dir).dir, 1), &damaged).unwrap();
        let (log, opened) = Log::open(settings(&dir)).unwrap();
        let hit = positions.iter().filter(|position| position.offset <= byte as u64).count();
        let (found, replay) = replayed(&log, ReplayFrom::Start);
        let times: Vec<_> = found.iter().map(|(at, _)| *at).collect();
        let mut expected: Vec<_> = entries().iter().map(|(at, _)| *at).collect();
        expected.remove(hit);
        assert_eq!(times, expected, "byte {byte}");
        // The last entry cannot be told from a torn tail; any other is damage.
        let last = hit + 1 == positions.len();
        assert_eq!((opened.cut_bytes > 0, replay.damage_count()), (last, u64::from(!last)), "byte {byte}");
        // The first frame also brings texts that the third needs for its series.
        let orphans = [4, 0, 1, 0, 0][hit];
        assert_eq!(replay.orphans(), orphans, "byte {byte}");
    }
}

#[test]
fn a_frame_inside_a_text_is_no_frame() {
    let dir = TempDir::new().unwrap();
    written(&dir);
    let bytes = fs::read(only_segment(&dir)).unwrap();
    let smuggled: String = bytes[FILE_HEADER_BYTES as usize..].iter().map(|byte| char::from(byte & 0x7f)).collect();
    let target = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&target)).unwrap();
    log.append(at(1), &Entry::Events(vec![Event { body: smuggled, ..event("1") }])).unwrap();
    drop(log);
    // The real bytes of a frame, in the middle of a frame whose own header is broken.
    let path = only_segment(&target);
    let mut damaged = fs::read(&path).unwrap();
    let middle = damaged.len() / 2;
    damaged[FILE_HEADER_BYTES as usize] ^= 1;
    damaged.splice(middle..middle, bytes[FILE_HEADER_BYTES as usize..].iter().copied());
    fs::write(&path, damaged).unwrap();
    let (log, opened) = Log::open(settings(&target)).unwrap();
    assert_eq!(replayed(&log, ReplayFrom::Start).0, []);
    assert!(opened.cut_bytes > 0);
}

#[test]
fn only_one_process_has_it() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(settings(&dir)).unwrap();
    let error = Log::open(settings(&dir)).unwrap_err();
    assert!(matches!(error, LogError::Locked { .. }), "{error}");
    drop(log);
    Log::open(settings(&dir)).unwrap();
}

#[test]
fn what_is_closed_belongs_to_somebody_else_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    written(&dir);
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    let before = replayed(&log, ReplayFrom::Start).0;
    log.close(at(20)).unwrap();
    let (next, _) = Log::open(settings(&dir)).unwrap();
    let (time, entry) = entries().remove(0);
    let late = log.append(time, &entry);
    assert!(matches!(late, Err(LogError::Closed)), "{late:?}");
    assert!(matches!(log.drop_before(Timestamp::MAX), Err(LogError::Closed)));
    assert!(matches!(log.begin_snapshot(time), Err(LogError::Closed)));
    assert_eq!(replayed(&next, ReplayFrom::Start).0, before);
}

#[test]
fn other_files_are_put_aside_and_newer_ones_stop_it() {
    let dir = TempDir::new().unwrap();
    written(&dir);
    let log_dir = settings(&dir).dir;
    fs::write(segment_path(&log_dir, 3), b"something else entirely").unwrap();
    fs::write(log_dir.join("notes.txt"), b"hands off").unwrap();
    let (log, opened) = Log::open(settings(&dir)).unwrap();
    assert_eq!(opened.put_aside, [log_dir.join("00000000000000000003.wlog.bad")]);
    assert_eq!(replayed(&log, ReplayFrom::Start).0, entries());
    drop(log);
    let mut header = segment::file_header(FileKind::SEGMENT, 9);
    header[6] = 2;
    fs::write(segment_path(&log_dir, 9), header).unwrap();
    let error = Log::open(settings(&dir)).unwrap_err();
    assert!(error.to_string().ends_with("written by a newer version of Watchfire (log format 2); start that version"));
}

#[test]
fn segments_are_dropped_by_age_size_and_position() {
    let dir = TempDir::new().unwrap();
    let small = LogSettings { segment_bytes: 200, ..settings(&dir) };
    let (mut log, _) = Log::open(small.clone()).unwrap();
    let mut positions = Vec::new();
    for i in 0..40 {
        positions.push(log.append(at(i), &Entry::Events(vec![event(&i.to_string())])).unwrap());
    }
    let segments = log.stats().segments;
    assert!(segments > 10, "{segments}");
    assert!(log.drop_before(at(20)).unwrap() > 0);
    let (found, _) = replayed(&log, ReplayFrom::Start);
    assert!(found[0].0 <= at(20) && found[0].0 > at(15), "whole segments only");
    assert!(log.drop_until(positions[29]).unwrap() > 0);
    let (found, _) = replayed(&log, ReplayFrom::Start);
    assert!(found[0].0 <= at(30) && found[0].0 > at(25));
    assert_eq!(found.last().unwrap().0, at(39));
    drop(log);
    // The times of segments are known again after reopening.
    let (mut log, _) = Log::open(small).unwrap();
    log.drop_before(at(1000)).unwrap();
    assert_eq!(replayed(&log, ReplayFrom::Start).0, []);

    let bounded = TempDir::new().unwrap();
    let (mut log, _) = Log::open(LogSettings { bytes_max: 2_000, ..settings(&bounded) }).unwrap();
    for i in 0..100 {
        log.append(at(i), &Entry::Events(vec![event(&i.to_string())])).unwrap();
        assert!(log.stats().bytes <= 2_000, "{:?}", log.stats());
    }
    assert!(log.stats().dropped_for_size > 0);
    assert_eq!(replayed(&log, ReplayFrom::Start).0.last().unwrap().0, at(99));
}

#[test]
fn numbered_series_and_label_sets_mix() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    let names = ["zero", "one", "two"].map(|name| samples(name, &[]).0);
    let sample = |millis| Sample { timestamp: at(millis), value: 1.5 };
    let mut asked = Vec::new();
    for round in 0..2 {
        let number = |slot| SeriesNumber { slot, life: slot };
        log.stage_samples(at(round), [(number(2), sample(round)), (number(0), sample(round))], |number| {
            asked.push(number.slot);
            names[number.slot as usize].clone()
        })
        .unwrap();
        log.stage(at(round), &Entry::Samples(vec![(names[2].clone(), vec![sample(9).into()])])).unwrap();
    }
    assert_eq!(replayed(&log, ReplayFrom::Start).0, [], "staged is not written");
    log.commit().unwrap();
    assert_eq!(asked, [2, 0], "a series is asked for once per segment");
    let (found, _) = replayed(&log, ReplayFrom::Start);
    let (two, zero) = (names[2].clone(), names[0].clone());
    let expected = |round| {
        [
            (
                at(round),
                Entry::Samples(vec![
                    (two.clone(), vec![sample(round).into()]),
                    (zero.clone(), vec![sample(round).into()]),
                ]),
            ),
            (at(round), Entry::Samples(vec![(two.clone(), vec![sample(9).into()])])),
        ]
    };
    assert_eq!(found, [expected(0), expected(1)].concat());
}

#[test]
fn a_reused_slot_is_another_series() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    let names = ["zero", "one", "two"].map(|name| samples(name, &[]).0);
    let sample = Sample { timestamp: at(1), value: 1.5 };
    // The last slot is far beyond what a dense array should have.
    let order = [(5, 0), (5, 1), (5, 1), (u32::MAX, 2), (u32::MAX, 2)];
    for (slot, life) in order {
        log.stage_samples(at(0), [(SeriesNumber { slot, life }, sample)], |number| names[number.life as usize].clone())
            .unwrap();
    }
    log.commit().unwrap();
    let expected =
        order.map(|(_, life)| (at(0), Entry::Samples(vec![(names[life as usize].clone(), vec![sample.into()])])));
    assert_eq!(replayed(&log, ReplayFrom::Start).0, expected);
}

#[test]
fn a_batch_longer_than_a_frame_goes_on_in_the_next() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    let long = "x".repeat(9 << 20);
    let series: Vec<_> =
        (0..5).map(|i| (Labels::from_pairs([("a", format!("{i}{long}"))]), samples("", &[(i, 0.5)]).1)).collect();
    log.append(at(0), &Entry::Samples(series.clone())).unwrap();
    let mut found = Vec::new();
    let mut replay = log.replay(ReplayFrom::Start);
    let mut frames = 0;
    while let Some(entry) = replay.next().unwrap() {
        let Entry::Samples(part) = entry.to_entry() else { panic!("not samples") };
        found.extend(part);
        frames += 1;
    }
    assert!(found == series && frames == 3, "{frames} frames");
}

#[test]
fn long_entries_are_split_and_come_back_whole() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    let events: Vec<Event> = (0..5).map(|n| Event { body: "x".repeat(5 << 20), ..event(&n.to_string()) }).collect();
    log.append(at(1), &Entry::Events(events.clone())).unwrap();
    // One series whose samples are long.
    let bucket = |index| BucketCount { index, count: f64::from(index) + 0.1 };
    let long = Arc::new(Histogram { positive: (0..10_000).map(bucket).collect(), ..Histogram::default() });
    let point = |millis| Point { timestamp: at(millis), start: None, value: SampleValue::Histogram(Arc::clone(&long)) };
    let series = vec![(Labels::from_pairs([("__name__", "a")]), (0..900).map(point).collect::<Vec<_>>())];
    log.append(at(2), &Entry::Samples(series.clone())).unwrap();
    let (mut found_events, mut found_points, mut frames) = (Vec::new(), Vec::new(), [0, 0]);
    let mut replay = log.replay(ReplayFrom::Start);
    while let Some(entry) = replay.next().unwrap() {
        match entry.to_entry() {
            Entry::Events(part) => {
                found_events.extend(part);
                frames[0] += 1;
            }
            Entry::Samples(part) => {
                found_points.extend(part.into_iter().flat_map(|(_, points)| points));
                frames[1] += 1;
            }
        }
    }
    assert!(found_events == events && found_points == series[0].1);
    assert!(frames[0] == 2 && frames[1] > 1, "{frames:?}");
}

#[test]
fn an_entry_that_is_too_long_is_refused_and_costs_no_other() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    let good = entries().remove(0);
    log.stage(good.0, &good.1).unwrap();
    let huge = Event { body: "x".repeat(segment::PAYLOAD_BYTES_MAX + 1), ..event("1") };
    // Nothing of the entry is there afterwards, neither what would have stood in a frame before it.
    let begun = Event { body: "x".repeat(20 << 20), ..event("0") };
    let error = log.stage(at(1), &Entry::Events(vec![begun, huge])).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { .. }), "{error}");
    for _ in 0..2 {
        log.stage(good.0, &good.1).unwrap();
    }
    log.commit().unwrap();
    assert_eq!(replayed(&log, ReplayFrom::Start).0, [good.clone(), good.clone(), good]);
}

#[test]
fn what_is_discarded_is_not_written_and_what_comes_next_does_not_need_it() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(settings(&dir)).unwrap();
    let mut all = entries().into_iter();
    let (first, discarded, next) = (all.next().unwrap(), all.nth(1).unwrap(), all.next_back().unwrap());
    log.append(first.0, &first.1).unwrap();
    log.stage(discarded.0, &discarded.1).unwrap();
    log.discard();
    // Its series is the one that the discarded entry would have defined.
    log.append(next.0, &next.1).unwrap();
    let (found, replay) = replayed(&log, ReplayFrom::Start);
    assert_eq!((found, replay.damage_count(), replay.orphans()), (vec![first, next], 0, 0));
}

#[test]
fn the_disk_is_asked_as_often_as_the_policy_says() {
    let dir = TempDir::new().unwrap();
    let policy = SyncPolicy::Interval(Duration::from_secs(1));
    let (mut log, _) = Log::open(LogSettings { sync: policy, ..settings(&dir) }).unwrap();
    assert!(!log.sync_is_due(at(0)));
    log.append(at(0), &Entry::Events(vec![])).unwrap();
    assert!(log.sync_is_due(at(0)));
    log.sync(at(0)).unwrap();
    assert!(!log.sync_is_due(at(5_000)));
    log.append(at(0), &Entry::Events(vec![])).unwrap();
    assert!(!log.sync_is_due(at(999)));
    assert!(log.sync_is_due(at(1_000)));
    assert!(log.sync_is_due(at(-1)), "a clock set back does not put it off");
    log.sync_elsewhere(at(1_000)).unwrap().sync_data().unwrap();
    assert!(!log.sync_is_due(at(9_000)));
    for sync in [SyncPolicy::Never, SyncPolicy::Always] {
        let dir = TempDir::new().unwrap();
        let (mut log, _) = Log::open(LogSettings { sync, ..settings(&dir) }).unwrap();
        log.append(at(0), &Entry::Events(vec![])).unwrap();
        assert!(!log.sync_is_due(at(9_000)));
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let labels = proptest::collection::btree_map("[a-c]{1,2}", ".{1,3}", 0..3).prop_map(Labels::from_iter);
    let value = prop_oneof![any::<u64>().prop_map(f64::from_bits), (-1000_i64..1000).prop_map(|int| int as f64)];
    let sample = (any::<i64>(), value).prop_map(|(millis, value)| Point::from(Sample { timestamp: at(millis), value }));
    let point = prop_oneof![4 => sample, 1 => any::<i32>().prop_map(|millis| histogram(i64::from(millis)))];
    let series = (labels, proptest::collection::vec(point, 1..4));
    let field = prop_oneof![
        Just(FieldValue::Null),
        any::<bool>().prop_map(FieldValue::Bool),
        any::<i64>().prop_map(FieldValue::Int),
        // Equal values are compared below, which NaN is not.
        any::<i32>().prop_map(|int| FieldValue::Float(f64::from(int) / 3.0)),
        ".{0,4}".prop_map(FieldValue::Text),
    ];
    let event = (".{0,3}", any::<i64>(), proptest::collection::btree_map(".{0,3}", field, 0..4)).prop_map(
        |(text, millis, fields)| Event { id: text.clone(), time: at(millis), kind: text.clone(), fields, body: text },
    );
    prop_oneof![
        // Equal label sets in a row are one after replay, so each comes once.
        proptest::collection::btree_map(series.0.clone(), series.1, 0..5)
            .prop_map(|series| Entry::Samples(series.into_iter().collect())),
        proptest::collection::vec(event, 0..3).prop_map(Entry::Events),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replay_equals_what_was_appended(
        runs in proptest::collection::vec(proptest::collection::vec((any::<i32>(), any_entry()), 0..6), 1..4),
        segment_bytes in 50_u64..2_000,
    ) {
        let dir = TempDir::new().unwrap();
        let mut expected = Vec::new();
        for run in &runs {
            let (mut log, opened) = Log::open(LogSettings { segment_bytes, ..settings(&dir) }).unwrap();
            prop_assert_eq!(opened.cut_bytes, 0);
            for (millis, entry) in run {
                log.stage(at(i64::from(*millis)), entry).unwrap();
                expected.push((at(i64::from(*millis)), entry.clone()));
                if millis % 2 == 0 {
                    log.commit().unwrap();
                }
            }
            log.commit().unwrap();
            let (found, replay) = replayed(&log, ReplayFrom::Start);
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!((replay.damage_count(), replay.orphans()), (0, 0));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut dictionary = entry::ReadDictionary::default();
        let _ = dictionary.read(&bytes);
        let _ = entry::read_events(&bytes);
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(settings(&dir).dir).unwrap();
        let file = [&segment::file_header(FileKind::SEGMENT, 1)[..], &bytes].concat();
        fs::write(segment_path(&settings(&dir).dir, 1), file).unwrap();
        let (log, _) = Log::open(settings(&dir)).unwrap();
        prop_assert_eq!(replayed(&log, ReplayFrom::Start).0.len(), 0);
    }
}
