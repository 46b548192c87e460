//! What the host may spend on plugins, each limit with its unit.

use std::path::PathBuf;

use watchfire_model::Duration;
use watchfire_plugin::Limits;

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

    /// Never suspends: for tests, whose failures are meant and of which none may decide about the next.
    pub const NEVER: BreakerSettings = BreakerSettings { failures_max: u32::MAX, ..BreakerSettings::STANDARD };
}
