//! What a call of an Extism plugin costs, as `engine/host/examples/bench_plugins` measures Watchfire's: best and median of
//! many rounds, in nanoseconds per series. Its one argument is the guest's file.

use std::error::Error;
use std::time::Instant;

use extism::{Manifest, Plugin, Wasm};

const ROUNDS: usize = 61;
const ROUND_NANOSECONDS: u128 = 3_000_000;
const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];

fn main() -> Result<(), Box<dyn Error>> {
    let guest = std::env::args().nth(1).ok_or("give the guest's file")?;
    let manifest = Manifest::new([Wasm::file(guest)]);
    for size in SIZES {
        let mut plugin = Plugin::new(&manifest, [], true)?;
        let batches: Vec<Vec<u8>> = (0..16_u32)
            .map(|round| {
                let values =
                    (0..size).map(|i| 100.0 + 5.0 * f64::from((round * 7_919 + i as u32 * 104_729) % 1_000) / 1_000.0);
                values.flat_map(f64::to_le_bytes).collect()
            })
            .collect();
        let mut round = 0;
        let mut call = || -> Result<(), extism::Error> {
            round += 1;
            plugin.call::<&[u8], &[u8]>("evaluate", &batches[round % batches.len()]).map(drop)
        };
        let began = Instant::now();
        let mut warm = 0_u32;
        while warm < 20 || began.elapsed().as_nanos() < ROUND_NANOSECONDS {
            call()?;
            warm += 1;
        }
        let each = began.elapsed().as_nanos() / u128::from(warm);
        let runs = (ROUND_NANOSECONDS / each.max(1)).clamp(1, 100_000);
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for _ in 0..runs {
                call()?;
            }
            rounds.push(began.elapsed().as_nanos() as f64 / runs as f64 / size as f64);
        }
        rounds.sort_by(f64::total_cmp);
        println!("  {size:>8} {:>19}", format!("{:.1} / {:.1}", rounds[0], rounds[ROUNDS / 2]));
    }
    Ok(())
}
