//! The condition of `plugins/ewma-anomaly` as an Extism plugin: packed numbers in, the indices of what is beyond out. It
//! keeps its state in its memory and makes nothing durable, which is less than Watchfire's plugin does.

use std::cell::RefCell;

use extism_pdk::{FnResult, plugin_fn};

const ALPHA: f64 = 0.1;
const SIGMA: f64 = 3.0;
const WARMUP: u32 = 30;

#[derive(Clone, Copy, Default)]
struct Stats {
    mean: f64,
    variance: f64,
    samples: u32,
}

thread_local! {
    static STATE: RefCell<Vec<Stats>> = const { RefCell::new(Vec::new()) };
}

#[plugin_fn]
pub fn evaluate(values: Vec<u8>) -> FnResult<Vec<u8>> {
    let found = STATE.with_borrow_mut(|state| {
        let mut found = Vec::new();
        state.resize(values.len() / 8, Stats::default());
        for (series, (bytes, stats)) in (0_u32..).zip(values.chunks_exact(8).zip(state)) {
            let mut packed = [0; 8];
            packed.copy_from_slice(bytes);
            let x = f64::from_le_bytes(packed);
            if stats.samples >= WARMUP && (x - stats.mean).abs() / stats.variance.sqrt() > SIGMA {
                found.extend_from_slice(&series.to_le_bytes());
            }
            if stats.samples == 0 {
                stats.mean = x;
            } else {
                let delta = x - stats.mean;
                stats.mean += ALPHA * delta;
                stats.variance = (1.0 - ALPHA) * (stats.variance + ALPHA * delta * delta);
            }
            stats.samples = stats.samples.saturating_add(1);
        }
        found
    });
    Ok(found)
}
