//! What Extism's plugins cost, measured as Watchfire's are. Its one argument is the guest's file; it prints a line for each
//! function and number of series: both, then the best and the median nanoseconds, per series if there are any.

#[path = "../../../engine/host/examples/bench_plugins/measure.rs"]
mod measure;

use std::error::Error;

use extism::{Manifest, Plugin, Wasm};
use measure::{Cost, SIZES, measure, measure_each, values};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let guest = std::env::args().nth(1).ok_or("give the guest's file")?;
    let manifest = Manifest::new([Wasm::data(std::fs::read(guest)?)]);
    let open = || Plugin::new(&manifest, [], true);

    let mut plugin = open()?;
    line("nothing", 0, measure(|| plugin.call::<_, ()>("nothing", ()).expect("it does nothing")));
    for size in SIZES {
        let packed: Vec<Vec<u8>> =
            values(size).iter().map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        for function in ["evaluate", "evaluate_and_keep"] {
            let mut plugin = open()?;
            let cost = measure_each(&packed, size, |values| {
                plugin.call::<_, &[u8]>(function, values.as_slice()).expect("it answers");
            });
            line(function, size, cost);
        }
    }
    Ok(())
}

fn line(function: &str, series: usize, Cost { best, median }: Cost) {
    println!("{function} {series} {best} {median}");
}
