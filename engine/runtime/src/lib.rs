//! Watchfire as a library: the same engine that the binary runs, inside another program.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = watchfire::Watchfire::builder().config_file("watchfire.yml").start().await?;
//! let labels = [("__name__", "queue_length"), ("queue", "mail")].into_iter().collect();
//! let sample = watchfire::model::Sample { timestamp: engine.now(), value: 1200.0 };
//! engine.push_samples(vec![(labels, vec![sample])]).await?;
//! engine.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What a program does with it
//!
//! | | |
//! |---|---|
//! | says what is watched | [`Builder::config_file`], which is followed, or [`Builder::config`] with what [`config::load_config`] and [`config::load_rules`] read from texts |
//! | sends what happens | [`Watchfire::push_samples`], [`Watchfire::push_events`], [`Watchfire::push_alerts`]; what is accepted survives `kill -9` |
//! | is told in Rust | [`Builder::channel`]: a [`delivery::Channel`] for a receiver; what it answers decides whether it is tried again |
//! | decides in Rust | [`Builder::provider`]: conditions, routers and formatters under the names by which rules, routes and receivers ask for them |
//! | looks | [`Watchfire::view`] at the state machine, [`Watchfire::query`] at the series, [`Watchfire::subscribe`] to changes |
//! | shows the pages and the APIs | merges `watchfire_server::router` into its own routes |
//! | stops | [`Watchfire::shutdown`], after which a start with the same folder goes on; [`Watchfire::stopped`] tells of an end that nobody asked for |
//!
//! A folder of data belongs to one engine at a time. Panics of channels and looks are those of the program: the attempt
//! counts as failed, the caller of the look panics, and the engine goes on.
//!
//! # What it is and what not
//!
//! This crate owns the loop and all wiring: it reads the clock, keeps the data, runs evaluations on threads, persists
//! decisions and then acts on them, and follows the files. It decides nothing about alerts itself: that is `alerting`.
//! It does not listen on the network: that is `server`.

mod attempts;
mod bounds;
mod builder;
mod check;
mod clock;
mod compile;
mod data;
mod deadlines;
mod deliver;
mod deliveries;
mod evaluate;
mod fill;
mod forward;
mod handle;
mod health;
mod intake;
mod keys;
mod last_good;
mod load;
mod metadata;
mod metrics;
mod numbers;
mod owner;
mod persist;
mod plugins;
mod providers;
mod query;
mod recovery;
mod refill;
mod reload;
mod remembered;
mod remote;
mod retention;
mod screen;
mod self_alerts;
mod templates;
mod tenure;
mod touch;
mod watch;
mod writer;

use std::time::Duration;

use thiserror::Error;

pub use bounds::{Bound, Place};
pub use builder::{Builder, Prepared, StartError, ingest_limits};
pub use check::{CheckedFile, NamedFiles, PluginFolder, Usable, check_file, is_rule_file};
pub use clock::{Clock, SystemClock};
pub use compile::external_url;
pub use deliveries::deliveries_of;
pub use handle::Watchfire;
pub use load::{Loaded, PluginStatus, ProcessEnvironment, matching, read};
pub use metrics::ALERTMANAGER_VERSION;
pub use plugins::{PluginReport, Suspended, plugin_policy};
pub use providers::open_plugins;
pub use query::{Answered, LabelStatistics, QueryFailure, QuerySettings, Storage};
pub use reload::{ReloadError, ReloadReport};
pub use retention::of as retention_of;
pub use templates::{LoadedTemplates, load_templates};
pub use watchfire_delivery::DeliveryRecord;
pub use watchfire_host::{PluginCounters, PluginInfo, Recording, Suspension};

pub use {
    watchfire_alerting as alerting, watchfire_config as config, watchfire_delivery as delivery,
    watchfire_ingest as ingest, watchfire_model as model, watchfire_plugin as plugin, watchfire_promql as promql,
    watchfire_rules as rules,
};

/// What became of something that was pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// How many samples or events were taken; they survive the death of the process.
    pub accepted: usize,
    /// How many were not.
    pub rejected_count: usize,
    /// How many of those were native histograms.
    pub histograms_rejected: usize,
    /// The first of those, each with its reason.
    pub rejected: Vec<Rejection>,
}

/// What became of alerts that were pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushedAlerts {
    /// How many were taken; they survive the death of the process.
    pub accepted: usize,
    /// How many new ones were refused because there are `limits.alerts_max` of them.
    pub refused: usize,
    /// How many new ones were refused because all together take `limits.alerts_bytes_max`.
    pub refused_for_bytes: usize,
    /// How many new ones were refused because `limits.alerts_per_name_max` of their name fire.
    pub refused_for_name: usize,
}

/// Why one item was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The item's index in what was pushed.
    pub item: usize,
    /// Why, in words for its sender.
    pub reason: String,
}

/// Why nothing of what was pushed was taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PushError {
    /// Too much is waiting already.
    #[error("too much is waiting already; try again in {} s", .retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Closed,
    /// It is more than the log takes in one piece.
    #[error("{0}; send less at a time")]
    TooLarge(String),
    /// It could not be made durable, so it was not taken.
    #[error("it could not be made durable: {0}")]
    Storage(String),
}

/// Why a remote-write request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// It cannot be read.
    #[error(transparent)]
    Decode(#[from] watchfire_ingest::DecodeError),
    /// It could be read but not taken.
    #[error(transparent)]
    Push(#[from] PushError),
}
