//! What Extism's plugins cost, measured as Watchfire's are. Its one argument is the guest's file.

#[path = "../../../engine/host/examples/bench_plugins/measure.rs"]
mod measure;

use std::error::Error;

use extism::{Manifest, Plugin, Wasm};
use measure::{SIZES, cell, measure, measure_each, show, values};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let guest = std::env::args().nth(1).ok_or("give the guest's file")?;
    let manifest = Manifest::new([Wasm::data(std::fs::read(guest)?)]);
    let open = || Plugin::new(&manifest, [], true);

    println!("\nExtism 1.30, nanoseconds (best / median)");
    let mut plugin = open()?;
    show("empty call", measure(|| plugin.call::<_, ()>("nothing", ()).expect("it does nothing")));

    println!("\nthe same condition under Extism 1.30, nanoseconds per series (best / median)");
    println!("  {:>8} {:>24} {:>24}", "series", "remembered by itself", "kept by the host");
    for size in SIZES {
        let packed: Vec<Vec<u8>> =
            values(size).iter().map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        let run = |function| -> Result<String, Box<dyn Error>> {
            let mut plugin = open()?;
            let timed = measure_each(&packed, size, |values| {
                plugin.call::<_, &[u8]>(function, values.as_slice()).expect("it answers");
            });
            Ok(cell(Some(timed)))
        };
        println!("  {size:>8} {:>24} {:>24}", run("evaluate")?, run("evaluate_and_keep")?);
    }
    Ok(())
}
