//! The condition of `plugins/ewma-anomaly` as an Extism plugin: packed values in, the indices of what is beyond out. A
//! series is known by its place, where Watchfire's plugin asks for its id.

use std::cell::RefCell;

use extism_pdk::{FnResult, plugin_fn, var};

const ALPHA: f64 = 0.1;
const SIGMA: f64 = 4.0;
/// A billionth less than the square of it: nearer than that needs no root and no division.
const NEAR: f64 = SIGMA * SIGMA * (1.0 - 1e-9);
const WARMUP: u32 = 30;
/// Mean, variance and number of samples of a series.
const STATS_BYTES: usize = 20;

thread_local! {
    static STATE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[plugin_fn]
pub fn nothing(_: ()) -> FnResult<()> {
    Ok(())
}

/// Remembers in its own memory, which ends with the instance.
#[plugin_fn]
pub fn evaluate(values: Vec<u8>) -> FnResult<Vec<u8>> {
    Ok(STATE.with_borrow_mut(|state| score(&values, state)))
}

/// Remembers in a variable of the host, which could keep it, as Watchfire does.
#[plugin_fn]
pub fn evaluate_and_keep(values: Vec<u8>) -> FnResult<Vec<u8>> {
    let mut state = var::get::<Vec<u8>>("ewma")?.unwrap_or_default();
    let found = score(&values, &mut state);
    var::set("ewma", state)?;
    Ok(found)
}

fn score(values: &[u8], state: &mut Vec<u8>) -> Vec<u8> {
    state.resize(values.len() / 8 * STATS_BYTES, 0);
    let mut found = Vec::new();
    for (series, (value, stats)) in (0_u32..).zip(values.chunks_exact(8).zip(state.chunks_exact_mut(STATS_BYTES))) {
        let x = f64::from_le_bytes(packed(value));
        let mut mean = f64::from_le_bytes(packed(&stats[..8]));
        let mut variance = f64::from_le_bytes(packed(&stats[8..16]));
        let samples = u32::from_le_bytes(packed(&stats[16..]));
        let delta = x - mean;
        let is_near = delta * delta + f64::MIN_POSITIVE < NEAR * variance;
        if samples >= WARMUP && !is_near && delta.abs() / variance.sqrt() > SIGMA {
            found.extend_from_slice(&series.to_le_bytes());
        }
        if samples == 0 {
            mean = x;
        } else {
            mean += ALPHA * delta;
            variance = (1.0 - ALPHA) * (variance + ALPHA * delta * delta);
        }
        stats[..8].copy_from_slice(&mean.to_le_bytes());
        stats[8..16].copy_from_slice(&variance.to_le_bytes());
        stats[16..].copy_from_slice(&samples.saturating_add(1).to_le_bytes());
    }
    found
}

fn packed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut packed = [0; N];
    packed.copy_from_slice(bytes);
    packed
}
