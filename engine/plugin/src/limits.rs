//! What a plugin may use.

use watchfire_model::Duration;

use crate::StateLimits;

/// What one call, one instance or one rule of a plugin may use.
///
/// Server, operator, plugin and rule may each say less than the others; [`Limits::least`] is what holds. Who says
/// nothing says [`Limits::UNLIMITED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for `evaluate`, `route` or `format`.
    pub call_time: Duration,
    /// Time for instantiation together with `open` or `describe`; interpreters start slowly.
    pub open_time: Duration,
    /// Linear memory of an instance in bytes.
    pub memory_bytes: usize,
    /// Elements of each table of an instance.
    pub table_elements: usize,
    /// Bytes that one call may hand to the host: its answer, what it writes to its state, what it logs.
    pub output_bytes: usize,
    /// Bytes of a message's body.
    pub body_bytes: usize,
    /// Bytes of a finding's summary, a message's title, a reason; what is longer is cut.
    pub text_bytes: usize,
    /// Bytes that one call may log, standard output and error included.
    pub log_bytes: usize,
    /// Lines that one call may log.
    pub log_lines: usize,
    /// Bytes of keys and values that a condition may remember for one rule.
    pub state_bytes: usize,
    /// Calls of the plugin that may run at once; further ones wait for at most the time of a call.
    pub calls: usize,
}

impl Limits {
    /// What serves plugins in any language.
    pub const STANDARD: Limits = Limits {
        call_time: Duration::from_millis(500),
        open_time: Duration::from_millis(1_000),
        memory_bytes: 64 << 20,
        table_elements: 20_000,
        output_bytes: 8 << 20,
        body_bytes: 1 << 20,
        text_bytes: 4 << 10,
        log_bytes: 16 << 10,
        log_lines: 100,
        state_bytes: StateLimits::STANDARD.total_bytes_max,
        calls: 64,
    };

    /// As much as can be said.
    pub const UNLIMITED: Limits = Limits {
        call_time: Duration::MAX,
        open_time: Duration::MAX,
        memory_bytes: usize::MAX,
        table_elements: usize::MAX,
        output_bytes: usize::MAX,
        body_bytes: usize::MAX,
        text_bytes: usize::MAX,
        log_bytes: usize::MAX,
        log_lines: usize::MAX,
        state_bytes: usize::MAX,
        calls: usize::MAX,
    };

    /// The smaller of the two, limit by limit.
    pub fn least(self, other: Limits) -> Limits {
        Limits {
            call_time: self.call_time.min(other.call_time),
            open_time: self.open_time.min(other.open_time),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            table_elements: self.table_elements.min(other.table_elements),
            output_bytes: self.output_bytes.min(other.output_bytes),
            body_bytes: self.body_bytes.min(other.body_bytes),
            text_bytes: self.text_bytes.min(other.text_bytes),
            log_bytes: self.log_bytes.min(other.log_bytes),
            log_lines: self.log_lines.min(other.log_lines),
            state_bytes: self.state_bytes.min(other.state_bytes),
            calls: self.calls.min(other.calls),
        }
    }

    /// The bounds of what is remembered for one rule.
    pub fn state(&self) -> StateLimits {
        StateLimits { total_bytes_max: self.state_bytes, ..StateLimits::STANDARD }
    }
}
