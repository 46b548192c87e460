//! What the parser accepts at its limits can be evaluated, and queries stop when they are told to.

use std::cell::Cell;

use watchfire_model::{Duration, Labels, Sample, Timestamp};
use watchfire_promql::{Options, Plan, QueryError, Stop, Tracked, Value, instant, parse, range};
use watchfire_tsdb::Tsdb;

fn db(series: usize) -> Tsdb {
    let mut db = Tsdb::default();
    for i in 0..series {
        let labels = Labels::from_pairs([("__name__", "a".to_owned()), ("i", i.to_string())]);
        for step in 0..20 {
            let sample = Sample { timestamp: Timestamp::from_secs(step * 15), value: (i as i64 * step) as f64 };
            db.append(&labels, sample).unwrap();
        }
    }
    db
}

/// The longest text of a family that the parser accepts.
fn longest(make: impl Fn(usize) -> String) -> String {
    let (mut accepted, mut refused) = (1, 100_000);
    while refused - accepted > 1 {
        let middle = (accepted + refused) / 2;
        if parse(&make(middle)).is_ok() {
            accepted = middle;
        } else {
            refused = middle;
        }
    }
    make(accepted)
}

#[test]
fn the_deepest_and_longest_accepted_queries_are_evaluated() {
    let db = db(2);
    let families: [&dyn Fn(usize) -> String; 4] = [
        &|n| vec!["a"; n].join(" or "),
        &|n| "a + ".repeat(n) + "1",
        &|n| "abs(".repeat(n) + "a" + &")".repeat(n),
        &|n| "-(".repeat(n) + "a" + &")".repeat(n),
    ];
    for make in families {
        let text = longest(make);
        let work = || {
            let expr = parse(&text).unwrap();
            assert_eq!(parse(&expr.to_string()).map(|e| e.to_string()), Ok(expr.to_string()));
            let answer = instant(&db, &expr, Timestamp::from_secs(285), &Options::default()).unwrap();
            assert!(matches!(answer.value, Value::Vector(samples) if samples.len() == 2), "{}", &text[..20]);
        };
        // The stack that threads have by default, without optimisation.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, work).unwrap();
            thread.join().unwrap();
        });
    }
}

#[test]
fn a_query_that_reads_too_much_is_refused() {
    let db = db(100);
    let options = Options { samples_max: 150, ..Options::default() };
    let at = Timestamp::from_secs(285);
    let run = |text: &str| instant(&db, &parse(text).unwrap(), at, &options).map(|_| ());
    assert_eq!(run("sum(a)"), Ok(()));
    assert_eq!(run("a + a"), Err(QueryError::TooManySamples));
    assert_eq!(run("max_over_time(a[5m:15s])"), Err(QueryError::TooManySamples));
    let expr = parse("a").unwrap();
    let answer = range(&db, &expr, Timestamp::EPOCH, at, Duration::from_secs(15), &options);
    assert_eq!(answer.map(|_| ()), Err(QueryError::TooManySamples));
}

#[test]
fn a_query_stops_when_it_is_told_to() {
    let db = db(1_000);
    let plan = Plan::new(&parse("sum(rate(a[5m]))").unwrap(), &Options::default());
    for (stop, error) in [(Stop::Canceled, QueryError::Canceled), (Stop::TimedOut, QueryError::TimedOut)] {
        let asked = Cell::new(0);
        let answer = plan.instant(&db, Timestamp::from_secs(285), &|| {
            asked.set(asked.get() + 1);
            (asked.get() > 3).then_some(stop)
        });
        assert_eq!(answer.map(|_| ()), Err(error));
        assert_eq!(asked.get(), 4);
    }
}

#[test]
fn a_subquery_over_what_never_changes_is_bounded_and_stops() {
    let db = db(1);
    let at = Timestamp::from_secs(1_700_000_000);
    let constant = ["vector(1)", "(a @ 0)", "(absent(a @ 0))"];
    let run = |text: &str, options: &Options, stop: &dyn Fn() -> Option<Stop>| {
        Plan::new(&parse(text).unwrap(), options).instant(&db, at, stop).map(|_| ())
    };
    for inner in constant {
        let long = run(&format!("last_over_time({inner}[10y:1ms])"), &Options::default(), &|| None);
        assert_eq!(long, Err(QueryError::SubqueryTooLong { points: 315_360_000_000 }));
        let text = format!("last_over_time({inner}[1h:1s])");
        let few = Options { samples_max: 1_000, ..Options::default() };
        assert_eq!(run(&text, &few, &|| None), Err(QueryError::TooManySamples), "{inner}");
        assert_eq!(run(&text, &Options::default(), &|| None), Ok(()), "{inner}");
        let asked = Cell::new(0);
        let soon = || {
            asked.set(asked.get() + 1);
            (asked.get() > 100).then_some(Stop::TimedOut)
        };
        assert_eq!(run(&text, &Options::default(), &soon), Err(QueryError::TimedOut), "{inner}");
    }
}

#[test]
fn kept_series_follow_those_that_come_and_go() {
    let mut db = db(3);
    db.set_retention(Duration::from_mins(5));
    let plan = Plan::new(&parse("count(a) or vector(0)").unwrap(), &Options::default());
    let mut tracked = Tracked::default();
    let mut count = |db: &Tsdb, seconds: i64| match plan
        .instant_tracked(db, &mut tracked, Timestamp::from_secs(seconds), &|| None)
        .map(|answer| answer.value)
    {
        Ok(Value::Vector(samples)) => samples[0].float().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(count(&db, 285), 3.0);
    let labels = Labels::from_pairs([("__name__", "a"), ("new", "1")]);
    db.append(&labels, Sample { timestamp: Timestamp::from_secs(300), value: 1.0 }).unwrap();
    db.append(&Labels::from_pairs([("__name__", "b")]), Sample { timestamp: Timestamp::from_secs(300), value: 1.0 })
        .unwrap();
    assert_eq!(count(&db, 300), 4.0);
    assert_eq!(db.truncate(Timestamp::from_secs(590)).series.len(), 3);
    assert_eq!(count(&db, 590), 1.0);
}
