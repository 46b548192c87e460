//! The evaluator alone, without a server: what one rule costs per series that it reads, knowing nothing and knowing what
//! earlier evaluations have found.

use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::{Context, Result};
use watchfire_model::{Labels, Sample, Timestamp};
use watchfire_promql::{Options, Plan, Tracked, Windows, parse};
use watchfire_tsdb::{SeriesId, Tsdb};

use crate::mix::{self, KINDS, Series};

const SERIES: usize = 100_000;
const RULES: usize = 1_000;
/// Samples come every 15 seconds, spread over them.
const GAP: i64 = 15_000;

/// A store that is fed as time passes.
struct Fed {
    series: Vec<Series>,
    ids: Vec<SeriesId>,
    db: Tsdb,
    /// Samples before this have come.
    now: i64,
}

impl Fed {
    /// Six minutes of samples.
    fn new() -> Result<Fed> {
        let series = mix::series(SERIES);
        let mut db = Tsdb::default();
        db.set_retention(watchfire_model::Duration::from_mins(6));
        let mut ids = Vec::with_capacity(series.len());
        for one in &series {
            let labels: Labels = one.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            ids.push(db.append(&labels, Sample { timestamp: Timestamp::from_millis(0), value: one.value(0) })?);
        }
        let mut fed = Fed { series, ids, db, now: 1 };
        fed.pass(360_000)?;
        Ok(fed)
    }

    fn pass(&mut self, until: i64) -> Result<()> {
        let count = self.series.len() as i64;
        for (i, (series, id)) in self.series.iter().zip(&self.ids).enumerate() {
            // Neighbours arrive together, as those of one instance do.
            let phase = i as i64 / 100 * 100 * GAP / count;
            let mut time = (self.now - phase).div_euclid(GAP) * GAP + phase;
            while time < until {
                if time >= self.now {
                    let sample = Sample { timestamp: Timestamp::from_millis(time), value: series.value(time) };
                    self.db.append_to(*id, sample)?;
                }
                time += GAP;
            }
        }
        self.now = until;
        Ok(())
    }
}

pub(crate) fn run() -> Result<()> {
    println!(
        "\nEvaluator alone: {RULES} rules over {SERIES} series with samples every 15 s (ns of CPU per series and rule)"
    );
    print!("{:<34}", "");
    KINDS.iter().for_each(|(kind, _)| print!("{kind:>12}"));
    println!("{:>12}", "mix");
    let mut fed = Fed::new()?;
    measure("knowing nothing", &mut fed, 15_000, 1..=2, false)?;
    measure("the first time", &mut fed, 15_000, 0..=0, true)?;
    measure("every 15 s", &mut fed, 15_000, 1..=8, true)?;
    measure("every 1 s", &mut fed, 1_000, 1..=30, true)?;
    Ok(())
}

/// Nanoseconds that this thread has spent on a core, whatever else the machine does (`sched_schedstats` of Linux).
fn thread_nanos() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().context("no figure")?.parse()?)
}

/// Evaluates all rules in rounds, so many milliseconds apart, and measures the rounds of these numbers.
fn measure(name: &str, fed: &mut Fed, step: i64, measured: RangeInclusive<usize>, tracking: bool) -> Result<()> {
    let windows = Arc::new(Windows::default());
    let mut rules = Vec::with_capacity(RULES);
    for rule in mix::rules(RULES, SERIES) {
        let plan = Plan::new(&parse(&rule.expr)?, &Options::default());
        rules.push((rule, plan, Tracked::sharing(&windows)));
    }
    // One kind after the other, so that each is on the clock for long.
    rules.sort_by_key(|(rule, _, _)| rule.kind);
    let mut spent = [0.0; KINDS.len()];
    let mut reads = [0; KINDS.len()];
    for round in 0..=*measured.end() {
        fed.pass(fed.now + step)?;
        let at = Timestamp::from_millis(fed.now);
        for of_kind in rules.chunk_by_mut(|a, b| a.0.kind == b.0.kind) {
            let kind = of_kind[0].0.kind;
            let begin = thread_nanos()?;
            for (_, plan, tracked) in &mut *of_kind {
                let answer = if tracking {
                    plan.instant_tracked(&fed.db, tracked, at, &|| None)
                } else {
                    plan.instant(&fed.db, at, &|| None)
                };
                std::hint::black_box(answer?);
            }
            if measured.contains(&round) {
                spent[kind] += thread_nanos()? - begin;
                reads[kind] += of_kind.iter().map(|(rule, _, _)| rule.reads).sum::<usize>();
            }
        }
    }
    print!("{name:<34}");
    spent.iter().zip(reads).for_each(|(spent, reads)| print!("{:>12.1}", spent / reads.max(1) as f64));
    println!("{:>12.1}", spent.iter().sum::<f64>() / reads.iter().sum::<usize>() as f64);
    Ok(())
}
