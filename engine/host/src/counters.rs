//! What each plugin has done so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use watchfire_plugin::PluginError;

/// The words of [`PluginError::kind`] in the order in which failures are counted.
const FAILURE_KINDS: [&str; 8] =
    ["invalid_config", "bad_input", "unsupported", "internal", "trap", "timeout", "limit", "invalid_output"];

/// Counted while plugins run; shared by everything opened from one plugin, across its reloads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    nanoseconds: AtomicU64,
    instructions: AtomicU64,
    failures: [AtomicU64; FAILURE_KINDS.len()],
    suspended: AtomicU64,
    instantiations: AtomicU64,
    log_lines: AtomicU64,
    log_lines_dropped: AtomicU64,
    memory_bytes_peak: AtomicU64,
}

/// The counters of one plugin at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginCounters {
    /// Calls of `evaluate`, `route` and `format` that reached the plugin.
    pub calls: u64,
    /// Time spent in these calls.
    pub nanoseconds: u64,
    /// Instructions that these calls took; counted by a metered host only.
    pub instructions: u64,
    /// Calls, opens included, that failed, by [`PluginError::kind`]; kinds that never came up are left out.
    pub failures: Vec<(&'static str, u64)>,
    /// Calls that were refused because the plugin is suspended.
    pub suspended: u64,
    /// Instances made.
    pub instantiations: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Lines not logged because a call wrote too many.
    pub log_lines_dropped: u64,
    /// The most linear memory that an instance had.
    pub memory_bytes_peak: u64,
}

impl Counters {
    pub(crate) fn called(&self, nanoseconds: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
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
    }

    pub(crate) fn refused(&self) {
        self.suspended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn instantiated(&self) {
        self.instantiations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn logged(&self, written: u64, dropped: u64) {
        self.log_lines.fetch_add(written, Ordering::Relaxed);
        self.log_lines_dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    pub(crate) fn memory(&self, bytes: usize) {
        self.memory_bytes_peak.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> PluginCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let failures = FAILURE_KINDS.iter().zip(&self.failures).map(|(kind, count)| (*kind, get(count)));
        PluginCounters {
            calls: get(&self.calls),
            nanoseconds: get(&self.nanoseconds),
            instructions: get(&self.instructions),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            suspended: get(&self.suspended),
            instantiations: get(&self.instantiations),
            log_lines: get(&self.log_lines),
            log_lines_dropped: get(&self.log_lines_dropped),
            memory_bytes_peak: get(&self.memory_bytes_peak),
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
    }
}
