//! What is kept between evaluations changes no answer: whatever happens to the store, and in whatever order of times a
//! plan is evaluated, the answer is that of an evaluation that knows nothing, bit for bit.

use std::sync::Arc;

use proptest::prelude::*;
use watchfire_model::{Duration, Labels, STALE_NAN, Timestamp};
use watchfire_promql::{Options, Plan, Tracked, Windows, parse};
use watchfire_tsdb::{Histogram, Point, SampleValue, Settings, Tsdb};

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A sample of one of the series, so many milliseconds before or after now.
    Append {
        series: usize,
        offset: i64,
        value: SampleValue,
    },
    /// A sample of all series that have the same name as this one.
    Scrape {
        series: usize,
        seed: u32,
    },
    Pass {
        millis: i64,
    },
    Truncate,
    /// Some plans are evaluated, so many milliseconds after now.
    Evaluate {
        offset: i64,
    },
}

const NAMES: [&str; 4] = ["c_total", "odd", "g", "h_bucket"];
const SERIES: usize = 48;

fn labels(series: usize) -> Labels {
    let name = NAMES[series % 4];
    let number = series / 4;
    let mut pairs = vec![
        ("__name__", name.to_owned()),
        ("job", ["a", "b"][number % 2].to_owned()),
        ("i", (number / 2 % 3).to_string()),
    ];
    match name {
        "h_bucket" => pairs.push(("le", ["1", "2", "2.0", "+Inf"][number % 4].to_owned())),
        "g" if number == 11 => pairs.push(("le", "odd".to_owned())),
        _ => pairs.push(("code", ["200", "500", "503", ""][number / 6 % 4].to_owned())),
    }
    Labels::from_pairs(pairs)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0i32..200).prop_map(f64::from),
        3 => (-1000i32..1000).prop_map(|n| f64::from(n) / 7.0),
        1 => Just(STALE_NAN),
        1 => prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(0.0), Just(1e300),
            Just(f64::from_bits(0x7ff0_0000_0000_0001)),
        ],
    ]
}

fn value() -> impl Strategy<Value = SampleValue> {
    prop_oneof![
        60 => number().prop_map(SampleValue::Float),
        1 => (1u32..50).prop_map(|n| {
            let count = f64::from(n);
            SampleValue::Histogram(Arc::new(Histogram { count, sum: count, ..Histogram::default() }))
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![6 => Just(0i64), 2 => 0i64..2_000, 1 => -90_000i64..0];
    prop_oneof![
        10 => (0..SERIES, offset, value()).prop_map(|(series, offset, value)| Step::Append { series, offset, value }),
        10 => (0..SERIES, any::<u32>()).prop_map(|(series, seed)| Step::Scrape { series, seed }),
        12 => prop_oneof![Just(15_000i64), 1i64..20_000, Just(100_000)].prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Truncate),
        10 => prop_oneof![6 => Just(0i64), 2 => 0i64..3_000, 2 => -60_000i64..0].prop_map(|offset| Step::Evaluate { offset }),
    ]
}

fn selector() -> impl Strategy<Value = String> {
    let matchers = prop_oneof![
        4 => Just(""), 2 => Just("{job=\"a\"}"), 1 => Just("{code=~\"5..\"}"), 1 => Just("{i!=\"0\"}"),
        1 => Just("{job=\"none\"}"),
    ];
    prop_oneof![
        8 => (0usize..4, matchers).prop_map(|(name, matchers)| format!("{}{matchers}", NAMES[name])),
        1 => Just("{job=\"a\", i=\"1\"}".to_owned()),
    ]
}

fn over_range() -> impl Strategy<Value = String> {
    let function = prop::sample::select(vec![
        "rate",
        "rate",
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "resets",
        "changes",
        "deriv",
        "avg_over_time",
        "sum_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "first_over_time",
        "stddev_over_time",
        "present_over_time",
        "absent_over_time",
        "mad_over_time",
        "ts_of_max_over_time",
    ]);
    let modifier = prop_oneof![8 => Just(""), 1 => Just(" offset 30s"), 1 => Just(" @ 60"), 1 => Just(" offset -20s")];
    let range = prop_oneof![Just("1m"), Just("2m"), Just("17s")];
    (function, selector(), range, modifier).prop_map(|(f, s, r, m)| format!("{f}({s}[{r}]{m})"))
}

fn expr() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![4 => selector(), 5 => over_range(), 1 => Just("vector(1)".to_owned())];
    leaf.prop_recursive(3, 10, 2, |inner| {
        let aggregation = prop::sample::select(vec![
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "group",
            "stddev",
            "stdvar",
            "topk 1,",
            "quantile 0.3,",
            "quantile 2,",
            "count_values \"v\",",
        ]);
        let grouping = prop::sample::select(vec!["", "by (job)", "by (le, job)", "without (i)", "by (i, code)"]);
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "> bool", "== bool",
        ]);
        let matching = prop::sample::select(vec![
            "",
            "on (job)",
            "ignoring (i)",
            "on (job, i)",
            "on (job) group_left",
            "on (i) group_right",
            "on (job) group_left (code)",
            "ignoring (code) group_left",
        ]);
        let scalar = prop::sample::select(vec!["2", "-0.5", "0", "NaN", "time()", "scalar(g{i=\"0\",job=\"a\"})"]);
        let set = prop::sample::select(vec!["and", "or", "unless", "and on (job)", "unless on (i)", "or on (job)"]);
        let function = prop::sample::select(vec!["abs", "absent", "ceil", "-", "sgn", "sort", "timestamp"]);
        prop_oneof![
            4 => (aggregation, grouping, inner.clone()).prop_map(|(a, g, e)| {
                let (op, param) = a.split_once(' ').unwrap_or((a, ""));
                format!("{op} {g} ({param} {e})")
            }),
            3 => (inner.clone(), operator.clone(), scalar.clone()).prop_map(|(e, o, s)| format!("({e}) {o} {s}")),
            1 => (inner.clone(), operator.clone(), scalar).prop_map(|(e, o, s)| format!("{s} {o} ({e})")),
            2 => (inner.clone(), operator, matching, inner.clone())
                .prop_map(|(a, o, m, b)| format!("({a}) {o} {m} ({b})")),
            2 => (inner.clone(), set, inner.clone()).prop_map(|(a, o, b)| format!("({a}) {o} ({b})")),
            2 => (function, inner.clone()).prop_map(|(f, e)| format!("{f}({e})")),
            1 => inner.clone().prop_map(|e| format!("clamp({e}, 1, 50)")),
            1 => inner.clone().prop_map(|e| format!("round({e}, 5)")),
            1 => inner.clone().prop_map(|e| format!("label_replace({e}, \"job\", \"x\", \"i\", \"1\")")),
            2 => inner.prop_map(|e| format!("histogram_quantile(0.9, {e})")),
        ]
    })
}

/// Scrapes bring most series of a name, counters mostly rising.
fn scraped(series: usize, seed: u32, now: i64) -> Option<f64> {
    let noise = (seed as usize).wrapping_mul(2_654_435_761).wrapping_add(series * 40_503) % 97;
    match noise {
        0 => None,
        1 => Some(STALE_NAN),
        2 => Some(0.0),
        _ => Some((now / 1000) as f64 * (1 + series % 5) as f64 + noise as f64 / 8.0),
    }
}

fn check(steps: &[Step], texts: &[String], settings: Settings, samples_max: u64) -> Result<(), TestCaseError> {
    let options = Options { samples_max, lookback: Duration::from_secs(100), ..Options::default() };
    let windows = Arc::new(Windows::default());
    // Each of them twice, and within another one: what is computed for one serves the others.
    let within = texts.iter().map(|text| format!("({text}) + on () group_left () count(g)"));
    let texts: Vec<String> = texts.iter().cloned().chain(within).chain(texts.iter().cloned()).collect();
    let mut plans: Vec<(Plan, Tracked)> = texts
        .iter()
        .filter_map(|text| parse(text).ok())
        .map(|expr| (Plan::new(&expr, &options), Tracked::sharing(&windows)))
        .collect();
    let mut db = Tsdb::new(settings);
    db.set_retention(Duration::from_secs(240));
    let mut now = 120_000;
    for step in steps {
        match step {
            Step::Append { series, offset, value } => {
                let timestamp = Timestamp::from_millis(now + offset);
                // Refusals are part of what happens.
                let _ = db.append_point(&labels(*series), Point { timestamp, start: None, value: value.clone() });
            }
            Step::Scrape { series, seed } => {
                for series in (series % 4..SERIES).step_by(4) {
                    if let Some(value) = scraped(series, *seed, now) {
                        let timestamp = Timestamp::from_millis(now);
                        let value = SampleValue::Float(value);
                        let _ = db.append_point(&labels(series), Point { timestamp, start: None, value });
                    }
                }
            }
            Step::Pass { millis } => now += millis,
            Step::Truncate => drop(db.truncate(Timestamp::from_millis(now))),
            Step::Evaluate { offset } => {
                let at = Timestamp::from_millis(now + offset);
                for (plan, tracked) in &mut plans {
                    let expected = plan.instant(&db, at, &|| None);
                    let found = plan.instant_tracked(&db, tracked, at, &|| None);
                    prop_assert_eq!(
                        format!("{:?}", found),
                        format!("{:?}", expected),
                        "{} at {}",
                        plan.expr(),
                        at.as_millis()
                    );
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_evaluation_that_knows_answers_as_one_that_does_not(
        steps in proptest::collection::vec(step(), 1..80),
        texts in proptest::collection::vec(expr(), 1..6),
        window in prop_oneof![Just(0i64), Just(90_000)],
        samples_per_series_max in prop_oneof![4 => Just(1000usize), 1 => Just(6)],
        samples_max in prop_oneof![8 => Just(50_000_000u64), 1 => Just(30)],
    ) {
        let out_of_order_window = Duration::from_millis(window);
        let settings = Settings { out_of_order_window, samples_per_series_max, ..Settings::default() };
        check(&steps, &texts, settings, samples_max)?;
    }
}
