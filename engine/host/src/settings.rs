//! What the host may spend on plugins, each limit with its unit.

use std::path::PathBuf;

use watchfire_model::Duration;

/// How a [`Host`](crate::Host) is set up.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Where compiled code is kept between starts; `None` compiles anew each time. The directory is created with mode
    /// 0700 and must belong to this user alone, because what lies in it is run as machine code.
    pub cache_dir: Option<PathBuf>,
    /// The most bytes of compiled code to keep in `cache_dir`; the oldest goes first.
    pub cache_bytes_max: u64,
    /// The largest `.wasm` file in bytes. Compiling takes seconds per ten megabytes.
    pub file_bytes_max: u64,
    /// What each plugin may use unless [`Host::load_limited`](crate::Host::load_limited) says less.
    pub limits: Limits,
    /// How many opened conditions, routers and formatters may live at once.
    pub instances_max: u32,
    /// How often running plugins are checked against their deadline; a call may overrun its limit by this much.
    pub tick: Duration,
    /// When a plugin that keeps failing is suspended, and for how long.
    pub breaker: BreakerSettings,
    /// Counts instructions and makes every NaN the same one: for authors and for replay, since it costs half the speed.
    pub metered: bool,
}

impl Default for HostSettings {
    fn default() -> HostSettings {
        HostSettings {
            cache_dir: None,
            cache_bytes_max: 1 << 30,
            file_bytes_max: 64 << 20,
            limits: Limits::STANDARD,
            instances_max: 2_048,
            tick: Duration::from_millis(5),
            breaker: BreakerSettings::STANDARD,
            metered: false,
        }
    }
}

/// What one call, or one instance, of a plugin may use.
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
}

impl Limits {
    /// What serves plugins in any language.
    pub const STANDARD: Limits = Limits {
        call_time: Duration::from_millis(100),
        open_time: Duration::from_millis(1_000),
        memory_bytes: 64 << 20,
        table_elements: 20_000,
        output_bytes: 8 << 20,
        body_bytes: 1 << 20,
        text_bytes: 4 << 10,
        log_bytes: 16 << 10,
        log_lines: 100,
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
        }
    }
}

/// When a plugin that keeps failing is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row after which it is suspended.
    pub failures_max: u32,
    /// The first suspension; each that follows without a success between takes twice as long.
    pub pause: Duration,
    /// The longest suspension.
    pub pause_max: Duration,
}

impl BreakerSettings {
    /// Five failures, thirty seconds, ten minutes.
    pub const STANDARD: BreakerSettings =
        BreakerSettings { failures_max: 5, pause: Duration::from_secs(30), pause_max: Duration::from_mins(10) };
}
