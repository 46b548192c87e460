//! What belongs to one instance on the host's side: limits, log, state, the time of the call.

use std::sync::Arc;

use thiserror::Error;
use wasmtime::ResourceLimiter;
use watchfire_model::Timestamp;
use watchfire_plugin::{Batch, Limits, StandIns, State};

use crate::counters::Counters;
use crate::failure::cut;
use crate::recording::LogLine;
use crate::visible::visible;

scoped_tls::scoped_thread_local! {
    /// The batch of the `evaluate` that runs on this thread. Lent and not stored, because a batch has thousands of
    /// label sets and the store outlives the call.
    pub(crate) static BATCH: Batch
}

/// Writes to the state that one call may stage: each takes memory beside the bytes that its limits count.
const STATE_WRITES_MAX: u32 = 20_000;

/// A host function refuses; the text reaches the user through the trap that it causes.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// The data of a store.
pub(crate) struct Context {
    pub(crate) plugin: Arc<str>,
    pub(crate) limiter: Limiter,
    /// Here during `evaluate` only.
    pub(crate) state: Option<State>,
    /// The version of the layout in which the plugin that runs writes its state.
    pub(crate) state_version: u32,
    state_writes: u32,
    pub(crate) at: Timestamp,
    /// What the next random number is made from; a function of plugin, configuration and time.
    pub(crate) random: u64,
    pub(crate) log: LogBudget,
    /// What of the call nobody but the guest may see.
    stand_ins: StandIns,
    /// The end of what the guest wrote to standard error in this call, where panics and exceptions go.
    pub(crate) stderr: Tail,
    /// What stands on standard output since the last end of a line.
    stdout: Vec<u8>,
    counters: Arc<Counters>,
    /// What was counted of its memory.
    memory_counted: usize,
    seed: u64,
}

impl Context {
    pub(crate) fn new(plugin: Arc<str>, limits: &Limits, seed: u64, counters: Arc<Counters>) -> Context {
        counters.instantiated();
        Context {
            plugin,
            limiter: Limiter::new(limits),
            state: None,
            state_version: 0,
            state_writes: 0,
            at: Timestamp::EPOCH,
            random: seed,
            log: LogBudget::new(limits),
            stand_ins: StandIns::default(),
            stderr: Tail::default(),
            stdout: Vec::new(),
            counters,
            memory_counted: 0,
            seed,
        }
    }

    /// Makes everything ready for a call at a time, with what the guest gets in the place of secrets.
    pub(crate) fn begin(&mut self, at: Timestamp, stand_ins: StandIns) {
        self.at = at;
        self.stand_ins = stand_ins;
        self.state_writes = 0;
        self.random = self.seed ^ at.as_millis().cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.limiter.denied = None;
        self.log.begin();
        self.stderr.clear();
    }

    /// Ends a line that was begun, says what has been dropped, and counts.
    pub(crate) fn end(&mut self) {
        self.end_line();
        if self.log.written + self.log.dropped > 0 {
            self.counters.logged(self.log.written, self.log.dropped);
        }
        if self.log.dropped > 0 {
            tracing::warn!(target: "watchfire::plugin", plugin = &*self.plugin, dropped = self.log.dropped, "the plugin logs too much");
        }
        self.counters.memory(self.memory_counted, self.limiter.memory_bytes);
        self.memory_counted = self.limiter.memory_bytes;
    }

    /// Traps a call that stages more than it may.
    pub(crate) fn count_state_write(&mut self) -> wasmtime::Result<()> {
        self.state_writes += 1;
        if self.state_writes > STATE_WRITES_MAX {
            self.limiter.denied =
                Some(Denied { resource: "state", limit: u64::from(STATE_WRITES_MAX), unit: "writes" });
            return Err(Refused("too many writes to the state".to_owned()).into());
        }
        Ok(())
    }

    /// Writes a line of the plugin into the host's log: one line, whatever the plugin says.
    pub(crate) fn log(&mut self, level: tracing::Level, message: &str) {
        // What was written before stands before, be its line at an end or not.
        self.end_line();
        self.log_line(level, message);
    }

    /// Takes what the guest writes to standard output: a line there is one in the log, wherever its library flushes. Of one
    /// that is too long for the log no more is kept than shows so.
    pub(crate) fn print(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.stdout.len() <= self.log.bytes_max {
                self.stdout.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.stdout);
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            let text = cut(text.trim_end_matches('\r').to_owned(), self.log.bytes_left());
            self.log_line(tracing::Level::INFO, &text);
        }
    }

    fn log_line(&mut self, level: tracing::Level, message: &str) {
        if !self.log.admits(message.len()) {
            return;
        }
        let message = self.stand_ins.text(message);
        self.log.lines.push(LogLine { level, message: message.clone().into_owned() });
        let (plugin, message) = (&*self.plugin, visible(&message));
        match level {
            tracing::Level::ERROR => tracing::error!(target: "watchfire::plugin", plugin, "{message}"),
            tracing::Level::WARN => tracing::warn!(target: "watchfire::plugin", plugin, "{message}"),
            tracing::Level::INFO => tracing::info!(target: "watchfire::plugin", plugin, "{message}"),
            _ => tracing::debug!(target: "watchfire::plugin", plugin, "{message}"),
        }
    }

    /// The next of a sequence of numbers that only looks random (SplitMix64).
    pub(crate) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.counters.dropped(self.memory_counted);
    }
}

/// A limit that was hit while the guest ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) resource: &'static str,
    pub(crate) limit: u64,
    pub(crate) unit: &'static str,
}

/// Holds memory and tables to their limits and remembers a refusal, so that the trap that follows is told as what it is.
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    /// Of all memories of the instance together.
    pub(crate) memory_bytes: usize,
    pub(crate) denied: Option<Denied>,
}

impl Limiter {
    fn new(limits: &Limits) -> Limiter {
        Limiter {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
            memory_bytes: 0,
            denied: None,
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            self.denied = Some(Denied { resource: "memory", limit: self.memory_bytes_max as u64, unit: "bytes" });
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements_max {
            self.denied = Some(Denied { resource: "tables", limit: self.table_elements_max as u64, unit: "elements" });
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        200
    }

    fn memories(&self) -> usize {
        8
    }

    fn tables(&self) -> usize {
        16
    }
}

/// How much a call may still log.
pub(crate) struct LogBudget {
    bytes_max: usize,
    lines_max: usize,
    bytes: usize,
    written: u64,
    dropped: u64,
    /// What was written in this call.
    pub(crate) lines: Vec<LogLine>,
}

impl LogBudget {
    fn new(limits: &Limits) -> LogBudget {
        LogBudget {
            bytes_max: limits.log_bytes,
            lines_max: limits.log_lines,
            bytes: 0,
            written: 0,
            dropped: 0,
            lines: Vec::new(),
        }
    }

    fn begin(&mut self) {
        (self.bytes, self.written, self.dropped) = (0, 0, 0);
        self.lines.clear();
    }

    /// The line that was written last, if it tells an error.
    pub(crate) fn last_words(&self) -> String {
        let last = self.lines.last().filter(|line| line.level == tracing::Level::ERROR);
        let lines = last.map(|line| line.message.lines().collect::<Vec<_>>().join(" | "));
        lines.unwrap_or_default()
    }

    fn bytes_left(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes)
    }

    fn admits(&mut self, bytes: usize) -> bool {
        if self.written >= self.lines_max as u64 || self.bytes.saturating_add(bytes) > self.bytes_max {
            self.dropped += 1;
            return false;
        }
        self.bytes += bytes;
        self.written += 1;
        true
    }
}

/// The last bytes of a stream.
#[derive(Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    const BYTES: usize = 2_048;

    pub(crate) fn push(&mut self, bytes: impl Iterator<Item = u8>) {
        self.0.extend(bytes);
        if self.0.len() > 2 * Tail::BYTES {
            self.0.drain(..self.0.len() - Tail::BYTES);
        }
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    /// As text on one line, without the advice of Rust's panics that cannot be followed in a plugin.
    pub(crate) fn text(&self) -> String {
        const ADVICE: &str = "note: run with `RUST_BACKTRACE";
        let start = self.0.len().saturating_sub(Tail::BYTES);
        let text = String::from_utf8_lossy(&self.0[start..]);
        text.lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty() && !line.starts_with(ADVICE))
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories_and_a_refusal_is_remembered() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::STANDARD });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!(limiter.denied, None);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert_eq!(limiter.denied, Some(Denied { resource: "memory", limit: 100, unit: "bytes" }));
        assert_eq!(limiter.memory_bytes, 100);
    }

    #[test]
    fn a_tail_keeps_the_end() {
        let mut tail = Tail::default();
        for i in 0..10_000 {
            tail.push(format!("line {i}\n").into_bytes().into_iter());
        }
        assert!(tail.text().ends_with("line 9998 | line 9999"));
        assert!(tail.0.len() <= 2 * Tail::BYTES);
    }

    #[test]
    fn a_line_on_standard_output_is_one_in_the_log() {
        let limits = Limits { log_bytes: 20, log_lines: 3, ..Limits::STANDARD };
        // What is written at once, where nothing stands for a line of the contract's own log, and the lines in the log.
        let cases: [(&[&str], &[&str], u64); 7] = [
            (&["one", " line\n"], &["one line"], 0),
            (&["a\r\n\n  \nb\nc"], &["a", "b", "c"], 0),
            (&["\u{e4}", "\u{f6}"], &["\u{e4}\u{f6}"], 0),
            (&["before", "", "after\n"], &["before", "log", "after"], 0),
            (&["0123456789", "0123456789", "0123456789\nb\n"], &["01234567890123456\u{2026}"], 1),
            (&["0123456789\n", "0123456789012\n"], &["0123456789", "0123456\u{2026}"], 0),
            (&["1\n2\n3\n4\n5"], &["1", "2", "3"], 2),
        ];
        for (writes, expected, dropped) in cases {
            let mut context = Context::new("p".into(), &limits, 0, Arc::default());
            context.begin(Timestamp::EPOCH, StandIns::default());
            for write in writes {
                match *write {
                    "" => context.log(tracing::Level::ERROR, "log"),
                    text => context.print(text.bytes()),
                }
            }
            context.end();
            let lines: Vec<&str> = context.log.lines.iter().map(|line| line.message.as_str()).collect();
            assert_eq!((lines.as_slice(), context.log.dropped), (expected, dropped), "{writes:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_kept_as_far_as_it_can_be_logged() {
        let mut context = Context::new("p".into(), &Limits { log_bytes: 20, ..Limits::STANDARD }, 0, Arc::default());
        context.print(std::iter::repeat_n(b'a', 1 << 20));
        assert_eq!(context.stdout.len(), 21);
    }

    #[test]
    fn a_log_budget_ends_by_bytes_and_by_lines() {
        let mut budget = LogBudget::new(&Limits { log_bytes: 10, log_lines: 3, ..Limits::STANDARD });
        let admitted = [4, 4, 4, 1, 1].map(|bytes| budget.admits(bytes));
        assert_eq!(admitted, [true, true, false, true, false]);
        budget.begin();
        assert!(budget.admits(10));
    }
}
