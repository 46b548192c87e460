//! Generated series: counters with resets, gaps, ends, histograms of both kinds, odd numbers and odd names.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use watchfire_model::{Labels, STALE_NAN, Timestamp};
use watchfire_promql::parse_values;
use watchfire_tsdb::{Histogram, Point, SampleValue};

use crate::support::Random;

/// Series with their samples, by labels.
pub(crate) struct Data {
    /// Each in order of time.
    pub(crate) series: Vec<(Labels, Vec<Point>)>,
    /// When the first sample can be.
    pub(crate) start: i64,
    /// When the last sample can be.
    pub(crate) end: i64,
}

/// Samples of this much time go into one request, so that none is too old for the ones before it.
const SLICE: i64 = 10 * 60_000;

/// An hour and a half.
pub(crate) const LENGTH: i64 = 90 * 60_000;

/// Bounds of the classic histograms.
const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];

/// Series of every shape, from `start` in milliseconds on.
pub(crate) fn generate(random: &mut Random, start: i64) -> Result<Data> {
    let mut data = Data { series: Vec::new(), start, end: start + LENGTH };
    for job in ["api", "db", "web"] {
        for instance in ["a:80", "b:80"] {
            for code in ["200", "404", "500"] {
                let labels = [("__name__", "requests_total"), ("job", job), ("instance", instance), ("code", code)];
                data.add(random, &labels, |random| counter(random));
            }
            let on = [("job", job), ("instance", instance)];
            data.add(random, &named("queue_length", &on), |random| gauge(random));
            data.add(random, &named("limit", &on[..1]), |random| constant(random));
            data.add(random, &named("odd", &on), |random| odd(random));
            data.add(random, &named("up", &on), |random| flag(random));
            data.classic(random, &on);
        }
        data.add(random, &named("target_info", &[("job", job), ("instance", "a:80"), ("version", "1.2")]), |_| one());
        data.add(random, &named("build_info", &[("job", job), ("version", job)]), |_| one());
        data.add(random, &named("näh.e", &[("job", job), ("a.b", "ü\n\"")]), |random| gauge(random));
        data.add(random, &named("sparse_total", &[("job", job)]), |random| counter(random));
        for (name, kind) in [("native", 0), ("native_gauge", 1), ("custom", 2), ("mixed", 3)] {
            for instance in ["a:80", "b:80"] {
                data.native(random, &named(name, &[("job", job), ("instance", instance)]), kind)?;
            }
        }
    }
    data.series.sort_by(|a, b| a.0.cmp(&b.0));
    data.series.dedup_by(|a, b| a.0 == b.0);
    Ok(data)
}

fn named<'a>(name: &'a str, labels: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("__name__", name)];
    all.extend_from_slice(labels);
    all
}

/// What a series answers next.
type Next = Box<dyn FnMut(&mut Random) -> f64>;

/// Whole numbers, quarters or tenths: with the first two, sums have one value in any order.
fn unit(random: &mut Random) -> f64 {
    [1.0, 1.0, 0.25, 0.1][random.below(4) as usize]
}

fn counter(random: &mut Random) -> Next {
    let (unit, pace) = (unit(random), random.below(20) + 1);
    let mut value = random.below(100) as f64;
    Box::new(move |random| {
        value = match random.below(40) {
            0 => random.below(5) as f64 * unit,
            1..4 => value,
            _ => value + random.below(pace) as f64 * unit,
        };
        value
    })
}

fn gauge(random: &mut Random) -> Next {
    let unit = unit(random);
    Box::new(move |random| (random.below(41) as f64 - 20.0) * unit)
}

fn constant(random: &mut Random) -> Next {
    let value = random.below(12) as f64;
    Box::new(move |_| value)
}

fn flag(_: &mut Random) -> Next {
    Box::new(|random| f64::from(u8::from(random.below(5) > 0)))
}

fn one() -> Next {
    Box::new(|_| 1.0)
}

fn odd(_: &mut Random) -> Next {
    const VALUES: [f64; 12] =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e308, -1e308, 5e-324, 1e17, -1e-9, 3.5, -2.5];
    Box::new(|random| VALUES[random.below(12) as usize])
}

impl Data {
    /// The spans of time in which samples are sent.
    pub(crate) fn slices(&self) -> impl Iterator<Item = Range<i64>> + use<> {
        let end = self.end;
        std::iter::successors(Some(self.start), |from| Some(from + SLICE))
            .take_while(move |from| *from <= end)
            .map(|from| from..from + SLICE)
    }

    /// When a series has samples: its interval, whether it begins late, ends early, has gaps or comes unevenly.
    fn times(&self, random: &mut Random, sparse: bool) -> Vec<(i64, bool)> {
        let interval = if sparse { 420_000 } else { [15_000, 30_000, 60_000][random.below(3) as usize] };
        let jitter = random.below(3) == 0;
        let begin = self.start + if random.below(4) == 0 { random.below(40) as i64 * 60_000 } else { 0 };
        let end = self.end - if random.below(4) == 0 { random.below(50) as i64 * 60_000 } else { 0 };
        let mut times = Vec::new();
        let mut time = begin;
        while time <= end {
            let at = time + if jitter { random.below(2_000) as i64 } else { 0 };
            match random.below(60) {
                // A gap, announced by a marker or not.
                0 => {
                    times.push((at, true));
                    time += interval * (1 + random.below(30) as i64);
                }
                1 => time += interval * (1 + random.below(30) as i64),
                _ => times.push((at, false)),
            }
            time += interval;
        }
        if random.below(2) == 0 {
            times.push((time + 2_000, true));
        }
        times.retain(|(at, _)| *at <= self.end);
        times
    }

    fn add(&mut self, random: &mut Random, labels: &[(&str, &str)], make: impl FnOnce(&mut Random) -> Next) {
        let times = self.times(random, labels[0].1 == "sparse_total");
        let mut next = make(random);
        let points = times
            .into_iter()
            .map(|(at, ends)| point(at, SampleValue::Float(if ends { STALE_NAN } else { next(random) })))
            .collect();
        self.series.push((Labels::from_pairs(labels.iter().copied()), points));
    }

    /// A classic histogram: buckets, sum and count, whose buckets are sometimes not cumulative.
    fn classic(&mut self, random: &mut Random, labels: &[(&str, &str)]) {
        let times = self.times(random, false);
        let broken = random.below(5) == 0;
        let mut counts = [0.0; BOUNDS.len()];
        let mut columns: Vec<Vec<Point>> = vec![Vec::new(); BOUNDS.len() + 2];
        let mut sum = 0.0;
        for (at, ends) in times {
            if random.below(80) == 0 {
                counts = [0.0; BOUNDS.len()];
                sum = 0.0;
            }
            let observed = random.below(BOUNDS.len() as u64) as usize;
            let more = random.below(6) as f64;
            for count in counts.iter_mut().skip(observed) {
                *count += more;
            }
            sum += more * observed as f64;
            if broken && random.below(4) == 0 {
                counts[random.below(BOUNDS.len() as u64) as usize] += 1.0;
            }
            let values = counts.iter().copied().chain([sum, counts[BOUNDS.len() - 1]]);
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(point(at, SampleValue::Float(if ends { STALE_NAN } else { value })));
            }
        }
        let mut columns = columns.into_iter();
        for (bound, column) in BOUNDS.iter().zip(columns.by_ref()) {
            let mut all = named("latency_bucket", labels);
            all.push(("le", bound));
            self.series.push((Labels::from_pairs(all), column));
        }
        for (name, column) in ["latency_sum", "latency_count"].into_iter().zip(columns) {
            self.series.push((Labels::from_pairs(named(name, labels)), column));
        }
    }

    /// A native histogram: counter, gauge, with custom buckets, or with numbers in between.
    fn native(&mut self, random: &mut Random, labels: &[(&str, &str)], kind: u32) -> Result<()> {
        let times = self.times(random, false);
        let schema = [0, 1, 2, -1][random.below(4) as usize];
        // No bucket is ever empty: whether Prometheus has an empty one depends on what its chunk holds beside the sample.
        let mut buckets = [1u64; 5];
        let mut points = Vec::new();
        for (at, ends) in times {
            if random.below(50) == 0 {
                buckets = [1; 5];
            }
            for bucket in &mut buckets {
                *bucket = if kind == 1 { 1 + random.below(6) } else { *bucket + random.below(4) };
            }
            if ends || (kind == 3 && random.below(3) == 0) {
                let value = if ends { STALE_NAN } else { buckets[0] as f64 };
                points.push(point(at, SampleValue::Float(value)));
                continue;
            }
            let [zero, a, b, c, d] = buckets;
            let sum = b as f64 + 2.0 * c as f64 - d as f64 * 0.5;
            let text = match kind {
                2 => format!(
                    "{{{{schema:-53 custom_values:[1 2.5 5] buckets:[{a} {b} {c} {d}] count:{} sum:{sum}}}}}",
                    a + b + c + d
                ),
                _ => format!(
                    "{{{{schema:{schema} z_bucket:{zero} z_bucket_w:0.001 buckets:[{a} {b} 0 {c}] offset:-1 \
                     n_buckets:[{d}] count:{} sum:{sum}{}}}}}",
                    zero + a + b + c + d,
                    if kind == 1 { " counter_reset_hint:gauge" } else { "" }
                ),
            };
            let noted = parse_values(&text).map_err(|error| anyhow!("{text}: {error:?}"))?;
            let value = noted.into_iter().find_map(|noted| noted.value);
            points.push(point(at, value.ok_or_else(|| anyhow!("{text} is nothing"))?));
        }
        self.series.push((Labels::from_pairs(labels.iter().copied()), points));
        Ok(())
    }
}

fn point(at: i64, value: SampleValue) -> Point {
    let value = match value {
        SampleValue::Histogram(histogram) => {
            // The wire has no empty buckets worth sending.
            let mut compact = Histogram::clone(&histogram);
            compact.compact();
            SampleValue::Histogram(Arc::new(compact))
        }
        float @ SampleValue::Float(_) => float,
    };
    Point { timestamp: Timestamp::from_millis(at), start: None, value }
}
