//! Queries over copies, while the store goes on between two looks.

use watchfire_model::{Duration, Labels, Sample, Timestamp};
use watchfire_promql::{Extract, Options, Plan, QueryError, Value, parse};
use watchfire_tsdb::Tsdb;

fn append(db: &mut Tsdb, names: &[&str], second: i64, value: f64) {
    for name in names {
        let labels = Labels::from_pairs([("__name__", "a"), ("i", *name)]);
        db.append(&labels, Sample { timestamp: Timestamp::from_secs(second), value }).unwrap();
    }
}

fn plan(text: &str, samples_max: u64) -> Plan {
    Plan::new(&parse(text).unwrap(), &Options { samples_max, ..Options::default() })
}

/// Values by the label `i`.
fn values(extract: &Extract) -> Vec<(String, f64)> {
    let Value::Vector(samples) = extract.evaluate(&|| None).unwrap().value else { panic!("no vector") };
    samples.iter().map(|s| (s.labels.get("i").unwrap_or_default().to_owned(), s.float().unwrap())).collect()
}

#[test]
fn between_two_looks_series_come_and_go_and_grow() {
    let mut db = Tsdb::default();
    append(&mut db, &["0", "1", "2"], 10, 1.0);
    let mut extract = Extract::instant(plan("a", 0), Timestamp::from_secs(400));
    // The first one is copied before, the others after what happens now.
    assert_eq!(extract.copy_from(&db, 1, &|| None), Ok(true));
    db.set_retention(Duration::from_secs(200));
    append(&mut db, &["0", "2", "new"], 300, 2.0);
    db.truncate(Timestamp::from_secs(300));
    assert_eq!(extract.copy_from(&db, 1, &|| None), Ok(true));
    assert_eq!(extract.copy_from(&db, 1, &|| None), Ok(false));
    // What was copied of the first one is too old at the time of the query.
    assert_eq!(values(&extract), [("2".to_owned(), 2.0)]);
    let mut whole = Extract::instant(plan("a", 0), Timestamp::from_secs(400));
    assert_eq!(whole.copy_from(&db, 100, &|| None), Ok(false));
    assert_eq!(values(&whole), [("0".to_owned(), 2.0), ("2".to_owned(), 2.0), ("new".to_owned(), 2.0)]);
}

#[test]
fn copies_take_as_much_memory_as_samples_may() {
    let mut db = Tsdb::default();
    let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // With all their digits samples take eight bytes each.
    (0..8_000).for_each(|second| append(&mut db, &names, second, (second as f64).sin()));
    let copied = |text: &str, samples_max: u64, at: i64| {
        let mut extract = Extract::instant(plan(text, samples_max), Timestamp::from_secs(at));
        while extract.copy_from(&db, 100, &|| None)? {}
        Ok(())
    };
    let all = "max_over_time(a[3h])";
    assert_eq!(copied(all, 50_000_000, 8_000), Ok(()));
    assert_eq!(copied(all, 1_000, 8_000), Err(QueryError::TooManySamples));
    // Neither what is older than the query looks nor series that ended long ago is copied.
    assert_eq!(copied("a", 1_000, 8_000), Ok(()));
    assert_eq!(copied(all, 1_000, 1_000_000), Ok(()));
}
