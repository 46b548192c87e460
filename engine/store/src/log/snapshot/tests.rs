use proptest::prelude::*;
use tempfile::TempDir;
use watchfire_model::{Labels, STALE_NAN, Sample};
use watchfire_tsdb::{Assembled, Histogram, Point, SampleValue, Tsdb};

use super::*;

const POSITION: Position = Position { segment: 7, offset: 99 };

fn store(series: &[(Labels, Vec<Point>)]) -> Tsdb {
    let mut tsdb = Tsdb::default();
    for (labels, points) in series {
        for point in points {
            tsdb.append_point(labels, point.clone()).unwrap();
        }
    }
    tsdb
}

fn write(dir: &Path, tsdb: &Tsdb) -> (Snapshot, SnapshotSize) {
    let mut writer = SnapshotWriter::begin(dir, POSITION, Timestamp::EPOCH, false).unwrap();
    for (number, series) in tsdb.all_series().enumerate() {
        writer.add(series);
        if writer.is_full() || number % 3 == 2 {
            writer.write_block().unwrap();
        }
    }
    writer.finish().unwrap()
}

fn read(snapshot: &Snapshot) -> Result<Vec<(Labels, Vec<Point>)>, SnapshotError> {
    let mut found = Vec::new();
    read_snapshot(snapshot, |labels, samples| (labels, samples.to_points()), |series| found.push(series))?;
    Ok(found)
}

fn point(millis: i64, value: f64) -> Point {
    Point::from(Sample { timestamp: Timestamp::from_millis(millis), value })
}

fn named(name: &str, points: Vec<Point>) -> (Labels, Vec<Point>) {
    (Labels::from_pairs([("__name__", name), ("job", "test"), ("empty-ish", name)]), points)
}

fn one_of_each() -> Vec<(Labels, Vec<Point>)> {
    let histogram = Histogram { count: 2.0, sum: 3.5, custom_bounds: vec![1.0], schema: -53, ..Histogram::default() };
    let histogram = SampleValue::Histogram(std::sync::Arc::new(histogram));
    let at = Timestamp::from_millis;
    vec![
        named("regular", (0..300).map(|i| point(i * 15_000, (i * i) as f64)).collect()),
        named("constant", (0..5).map(|i| point(i * i, 0.1)).collect()),
        named("one", vec![point(i64::MIN, -0.0)]),
        named("two", vec![point(i64::MIN, 1.0), point(i64::MAX, STALE_NAN)]),
        named("floats", vec![point(1, f64::NAN), point(3, f64::INFINITY), point(4, 1e300)]),
        named(
            "rich",
            vec![
                Point { timestamp: at(5), start: None, value: histogram.clone() },
                Point { timestamp: at(6), start: Some(at(2)), value: histogram },
                Point { timestamp: at(9), start: Some(at(2)), value: 4.0.into() },
                point(10, 2.0),
            ],
        ),
    ]
}

#[test]
fn what_was_in_the_store_comes_back() {
    let dir = TempDir::new().unwrap();
    let series = one_of_each();
    let (snapshot, size) = write(dir.path(), &store(&series));
    assert_eq!(size, SnapshotSize { series: 6, samples: 300 + 5 + 1 + 2 + 3 + 4 });
    assert_eq!(list_snapshots(dir.path()).unwrap(), std::slice::from_ref(&snapshot));
    assert_eq!(read(&snapshot).unwrap(), series);
    // And a store that is filled from it holds the same.
    let mut restored = Tsdb::default();
    read_snapshot(&snapshot, Assembled::new, |series| series.into_iter().for_each(|series| restored.adopt(series)))
        .unwrap();
    let held: Vec<_> = restored.all_series().map(|s| (s.labels().clone(), s.samples().iter().collect())).collect();
    assert_eq!(held, series);
}

#[test]
fn a_snapshot_cut_at_any_byte_or_with_any_byte_changed_is_none() {
    let dir = TempDir::new().unwrap();
    let (snapshot, _) = write(dir.path(), &store(&one_of_each()));
    let whole = fs::read(&snapshot.path).unwrap();
    for length in 0..whole.len() {
        fs::write(&snapshot.path, &whole[..length]).unwrap();
        assert!(matches!(read(&snapshot), Err(SnapshotError::Damaged { .. })), "{length} bytes");
    }
    for byte in 0..whole.len() {
        let mut changed = whole.clone();
        changed[byte] ^= 1 << (byte % 8);
        fs::write(&snapshot.path, changed).unwrap();
        assert!(read(&snapshot).is_err(), "byte {byte}");
    }
    // Under another name the same bytes are another snapshot, which they do not say they are.
    let other = Snapshot { position: Position { offset: 100, ..POSITION }, ..snapshot.clone() };
    fs::write(&snapshot.path, whole).unwrap();
    assert_eq!(read(&snapshot).unwrap().len(), 6);
    assert!(read(&other).unwrap_err().to_string().ends_with("it begins at another position than its name says"));
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let writer = SnapshotWriter::begin(dir.path(), POSITION, Timestamp::EPOCH, false).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(writer);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // What a process left that was killed meanwhile is no snapshot and goes with the next start.
    fs::write(snapshot_path(dir.path(), POSITION).with_extension("wsnap.part"), b"half").unwrap();
    assert_eq!(list_snapshots(dir.path()).unwrap(), []);
    remove_unfinished(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_series_come_back(
        series in proptest::collection::btree_map(
            "[a-z]{1,3}",
            proptest::collection::btree_map(
                prop_oneof![any::<i64>(), (0_i64..20).prop_map(|i| i * 15_000)],
                prop_oneof![any::<f64>(), (-5_i64..5).prop_map(|i| i as f64), Just(1.0)],
                1..12,
            ),
            0..8,
        ),
    ) {
        let series: Vec<_> = series
            .into_iter()
            .map(|(name, points)| named(&name, points.into_iter().map(|(t, v)| point(t, v)).collect()))
            .collect();
        let dir = TempDir::new().unwrap();
        let (snapshot, _) = write(dir.path(), &store(&series));
        prop_assert_eq!(read(&snapshot).unwrap(), series);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read::Scratch::default().read(&bytes, &|_, _| ());
    }
}
