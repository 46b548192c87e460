//! How calls are measured, and what they are measured with. `bench/extism` measures the peer by this file too.

use std::time::Instant;

/// Series in a batch.
pub(crate) const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];

const ROUNDS: usize = 61;
const ROUND_NANOSECONDS: u128 = 3_000_000;
/// Evaluations before the same values come again.
const EVALUATIONS: usize = 16;

/// Nanoseconds: the best round, which is what the code costs, and the median, whose distance is the noise of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) best: f64,
    pub(crate) median: f64,
}

/// What one run costs.
pub(crate) fn measure(mut run: impl FnMut()) -> Cost {
    let began = Instant::now();
    let mut warm = 0_u32;
    while warm < 20 || began.elapsed().as_nanos() < ROUND_NANOSECONDS {
        run();
        warm += 1;
    }
    let each = began.elapsed().as_nanos() / u128::from(warm);
    let runs = (ROUND_NANOSECONDS / each.max(1)).clamp(1, 100_000);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..runs {
                run();
            }
            began.elapsed().as_nanos() as f64 / runs as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    Cost { best: rounds[0], median: rounds[ROUNDS / 2] }
}

/// The same for what is called with one input after the other, by series.
pub(crate) fn measure_each<I>(inputs: &[I], series: usize, mut run: impl FnMut(&I)) -> Cost {
    let mut inputs = inputs.iter().cycle();
    let Cost { best, median } = measure(|| inputs.next().into_iter().for_each(&mut run));
    Cost { best: best / series as f64, median: median / series as f64 }
}

/// The values of one series after the other in each of several evaluations: they wander and never jump.
pub(crate) fn values(series: usize) -> Vec<Vec<f64>> {
    let mut seed = 1_u64;
    let mut noise = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as f64 / (1_u64 << 31) as f64
    };
    (0..EVALUATIONS).map(|_| (0..series).map(|_| 100.0 + 5.0 * noise()).collect()).collect()
}
