//! What each plugin has done so far, for metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use watchfire_plugin::PluginError;

/// The words of [`PluginError::kind`] in the order in which failures are counted.
const FAILURE_KINDS: [&str; 8] =
    ["invalid_config", "bad_input", "unsupported", "internal", "trap", "timeout", "limit", "invalid_output"];

/// Up to how many nanoseconds a call falls into a bucket; what takes longer falls into none of them.
const BUCKETS_NS: [u64; 12] = [
    1_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
];

/// Counted while plugins run; shared by everything opened from one plugin, across its reloads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    nanoseconds: AtomicU64,
    buckets: [AtomicU64; BUCKETS_NS.len()],
    instructions: AtomicU64,
    failures: [AtomicU64; FAILURE_KINDS.len()],
    /// By resource.
    limits: Mutex<BTreeMap<&'static str, u64>>,
    suspended: AtomicU64,
    instantiations: AtomicU64,
    instances: AtomicU64,
    log_lines: AtomicU64,
    log_lines_dropped: AtomicU64,
    memory_bytes: AtomicU64,
    memory_bytes_peak: AtomicU64,
}

/// The counters of one plugin at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginCounters {
    /// Calls of `evaluate`, `route` and `format` that reached the plugin.
    pub calls: u64,
    /// Time spent in these calls.
    pub nanoseconds: u64,
    /// How many of these calls took at most so many nanoseconds, from the shortest time to the longest, each with those
    /// before it.
    pub buckets: Vec<(u64, u64)>,
    /// Instructions that these calls took; counted by a metered host only.
    pub instructions: u64,
    /// Calls, opens included, that failed, by [`PluginError::kind`]; kinds that never came up are left out.
    pub failures: Vec<(&'static str, u64)>,
    /// How often a limit was passed, by what is limited.
    pub limits: Vec<(&'static str, u64)>,
    /// Calls that were refused because the plugin is suspended.
    pub suspended: u64,
    /// Instances made.
    pub instantiations: u64,
    /// Instances that live now, of old versions too.
    pub instances: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Lines not logged because a call wrote too many.
    pub log_lines_dropped: u64,
    /// Linear memory of all instances that live now.
    pub memory_bytes: u64,
    /// The most linear memory that an instance had.
    pub memory_bytes_peak: u64,
    /// Recorded calls that are kept.
    pub recorded_calls: u64,
    /// About how many bytes these take.
    pub recorded_bytes: u64,
    /// Recorded calls that made room for newer ones.
    pub recorded_calls_forgotten: u64,
}

impl Counters {
    pub(crate) fn called(&self, nanoseconds: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        if let Some(bucket) = BUCKETS_NS.iter().position(|bound| nanoseconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn spent(&self, instructions: u64) {
        if instructions > 0 {
            self.instructions.fetch_add(instructions, Ordering::Relaxed);
        }
    }

    pub(crate) fn failed(&self, error: &PluginError) {
        if let Some(index) = FAILURE_KINDS.iter().position(|kind| *kind == error.kind()) {
            self.failures[index].fetch_add(1, Ordering::Relaxed);
        }
        let resource = match error {
            PluginError::Timeout { .. } => "time",
            PluginError::LimitExceeded { resource, .. } => resource,
            _ => return,
        };
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner).entry(resource).or_default() += 1;
    }

    pub(crate) fn refused(&self) {
        self.suspended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn instantiated(&self) {
        self.instantiations.fetch_add(1, Ordering::Relaxed);
        self.instances.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance is gone that had so much memory.
    pub(crate) fn dropped(&self, memory_bytes: usize) {
        self.instances.fetch_sub(1, Ordering::Relaxed);
        self.memory_bytes.fetch_sub(memory_bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn logged(&self, written: u64, dropped: u64) {
        self.log_lines.fetch_add(written, Ordering::Relaxed);
        self.log_lines_dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// The memory of an instance has grown.
    pub(crate) fn memory(&self, before: usize, now: usize) {
        self.memory_bytes.fetch_add(now.saturating_sub(before) as u64, Ordering::Relaxed);
        self.memory_bytes_peak.fetch_max(now as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> PluginCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let failures = FAILURE_KINDS.iter().zip(&self.failures).map(|(kind, count)| (*kind, get(count)));
        let mut calls = 0;
        let buckets = BUCKETS_NS.iter().zip(&self.buckets).map(|(bound, count)| {
            calls += get(count);
            (*bound, calls)
        });
        PluginCounters {
            calls: get(&self.calls),
            nanoseconds: get(&self.nanoseconds),
            buckets: buckets.collect(),
            instructions: get(&self.instructions),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            limits: self
                .limits
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .map(|(resource, count)| (*resource, *count))
                .collect(),
            suspended: get(&self.suspended),
            instantiations: get(&self.instantiations),
            instances: get(&self.instances),
            log_lines: get(&self.log_lines),
            log_lines_dropped: get(&self.log_lines_dropped),
            memory_bytes: get(&self.memory_bytes),
            memory_bytes_peak: get(&self.memory_bytes_peak),
            ..PluginCounters::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_counter() {
        let counters = Counters::default();
        let errors = [
            PluginError::InvalidConfig { path: String::new(), message: String::new() },
            PluginError::BadInput(String::new()),
            PluginError::Unsupported(String::new()),
            PluginError::Internal(String::new()),
            PluginError::Trap(String::new()),
            PluginError::Timeout { limit_ms: 1 },
            PluginError::LimitExceeded { resource: "memory", limit: 1, unit: "bytes" },
            PluginError::InvalidOutput(String::new()),
        ];
        for error in &errors {
            counters.failed(error);
        }
        let counted: Vec<_> = errors.iter().map(|error| (error.kind(), 1)).collect();
        assert_eq!(counters.snapshot().failures, counted);
        assert_eq!(counters.snapshot().limits, [("memory", 1), ("time", 1)]);
    }

    #[test]
    fn a_bucket_counts_the_shorter_calls_too() {
        let counters = Counters::default();
        for nanoseconds in [1_000, 1_001, 10_000_000_000] {
            counters.called(nanoseconds);
        }
        let counted = counters.snapshot();
        assert_eq!(counted.buckets[..3], [(1_000, 1), (10_000, 2), (50_000, 2)]);
        assert_eq!((counted.buckets.last().copied(), counted.calls), (Some((1_000_000_000, 2)), 3));
    }
}
