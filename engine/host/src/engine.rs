//! The wasmtime engine and the thread that makes deadlines pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};
use watchfire_model::Duration;

use crate::{HostError, HostSettings};

/// Deep enough for interpreters, small enough for every thread that may call a plugin.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// The engine with its ticker. Everything opened shares one, and it lives as long as any of them.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) metered: bool,
    tick: Duration,
    guests: Arc<Guests>,
    ticker: Thread,
}

/// What the ticker goes by: while no guest runs no deadline need pass, and it sleeps.
#[derive(Default)]
struct Guests {
    running: AtomicUsize,
    /// Whether the ticker must be woken. Calls follow one another faster than threads wake each other, so that one that
    /// finds it awake leaves it alone.
    asleep: AtomicBool,
    ended: AtomicBool,
}

/// A guest runs as long as this lives, and its deadline comes closer.
pub(crate) struct Running<'s>(&'s Guests);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.guests.ended.store(true, Ordering::SeqCst);
        self.ticker.unpark();
    }
}

impl Sandbox {
    pub(crate) fn new(settings: &HostSettings) -> Result<Sandbox, HostError> {
        // The pool reserves terabytes of addresses, which a limit on the process may forbid.
        let engine = Engine::new(&pooling(settings)).or_else(|error| {
            tracing::warn!(%error, "no pool for plugin instances; they are allocated one by one and run slower");
            Engine::new(&on_demand(settings)).map_err(|error| HostError::Engine(format!("{error:#}")))
        })?;
        let tick = settings.tick.max(Duration::from_millis(1));
        let guests = Arc::new(Guests::default());
        let weak = engine.weak();
        let known = Arc::clone(&guests);
        #[expect(clippy::disallowed_methods, reason = "deadlines pass with the time, and nothing else tells it")]
        let run = move || {
            while !known.ended.load(Ordering::SeqCst) {
                if known.running.load(Ordering::SeqCst) == 0 {
                    known.asleep.store(true, Ordering::SeqCst);
                    // A guest that began meanwhile may have found it awake.
                    if known.running.load(Ordering::SeqCst) == 0 && !known.ended.load(Ordering::SeqCst) {
                        thread::park();
                    }
                    known.asleep.store(false, Ordering::SeqCst);
                    continue;
                }
                thread::sleep(tick.to_std());
                let Some(engine) = weak.upgrade() else { return };
                engine.increment_epoch();
            }
        };
        let ticker = thread::Builder::new().name("plugin-ticker".to_owned()).spawn(run).map_err(HostError::Thread)?;
        let ticker = ticker.thread().clone();
        Ok(Sandbox { engine, metered: settings.metered, tick, guests, ticker })
    }

    /// To be held while a guest runs.
    pub(crate) fn run(&self) -> Running<'_> {
        self.guests.running.fetch_add(1, Ordering::SeqCst);
        if self.guests.asleep.load(Ordering::SeqCst) {
            self.ticker.unpark();
        }
        Running(&self.guests)
    }

    /// The ticks after which a call that may take `limit` has taken too long. The tick under way is not a whole one.
    pub(crate) fn ticks(&self, limit: Duration) -> u64 {
        let (limit, tick) = (limit.as_millis().max(1), self.tick.as_millis());
        u64::try_from((limit + tick - 1) / tick).unwrap_or(1) + 1
    }
}

fn common(settings: &HostSettings) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Costs 300 ns per call, and no import of a plugin waits for anything.
        .concurrency_support(false)
        // Results that differ between machines contradict contract C6.
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .consume_fuel(settings.metered)
        .cranelift_nan_canonicalization(settings.metered)
        .max_wasm_stack(STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        .memory_init_cow(true);
    config
}

fn pooling(settings: &HostSettings) -> Config {
    let instances = settings.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // A guest in Python consists of about 40 core modules, one in Rust of 3.
        .total_core_instances(instances.saturating_mul(40))
        .max_core_instances_per_component(200)
        .total_memories(instances.saturating_mul(2))
        .max_memories_per_component(8)
        .total_tables(instances.saturating_mul(4))
        .max_tables_per_component(16)
        .table_elements(settings.limits.table_elements)
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(settings.limits.memory_bytes)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = common(settings);
    config.memory_reservation(4 << 30).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// For where addresses are scarce: bounds are checked by code instead of by guard pages.
fn on_demand(settings: &HostSettings) -> Config {
    let mut config = common(settings);
    config
        .memory_reservation(1 << 20)
        .memory_guard_size(64 << 10)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}
