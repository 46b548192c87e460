//! What the tests of the host share.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses a part of it")]

pub mod fixture;

use std::collections::BTreeMap;
use std::path::PathBuf;

use watchfire_host::{Host, HostSettings, LoadError, PluginInfo, Source};
use watchfire_model::{Alert, Annotations, Duration, Labels, Timestamp};
use watchfire_plugin::{AlertView, Batch, Limits, MessageGroup, State, StateLimits};

/// A host that is small enough for many of them to live at once, and more patient than the slowest machine is slow:
/// whatever a test wants to see stopped by time gets a limit of its own.
pub fn settings() -> HostSettings {
    HostSettings { limits: patient(), instances_max: 16, tick: Duration::from_millis(1), ..HostSettings::default() }
}

pub fn host() -> Host {
    Host::new(settings()).expect("the engine starts")
}

pub fn load(host: &Host, name: &str, wasm: &[u8]) -> Result<PluginInfo, LoadError> {
    host.load(name, Source::Bytes(wasm))
}

/// Limits under which an attack ends soon.
pub fn tight(fixture: &fixture::Fixture) -> Limits {
    Limits {
        call_time: Duration::from_millis(fixture.call_ms),
        open_time: Duration::from_millis(fixture.open_ms),
        memory_bytes: 4 << 20,
        output_bytes: 1 << 20,
        ..Limits::STANDARD
    }
}

fn patient() -> Limits {
    let time = Duration::from_secs(60);
    Limits { call_time: time, open_time: time, ..Limits::STANDARD }
}

pub fn state() -> State {
    State::new(StateLimits::STANDARD, BTreeMap::new())
}

/// One row per series, with the label `host` from `a`.
pub fn batch(at_ms: i64, values: &[f64]) -> Batch {
    let at = Timestamp::from_millis(at_ms);
    let labels = |number| Labels::from_pairs([("host", format!("h{number}")), ("job", "api".to_owned())]);
    Batch::new(at, values.iter().enumerate().map(|(number, value)| (labels(number), [(at, *value)])))
}

/// Says how many cases of the hostile corpus a test tries.
pub fn count(cases: usize) {
    println!("hostile corpus: {cases} cases");
}

/// The folder of built plugins, or a line that says that the test is skipped.
#[expect(clippy::disallowed_methods, reason = "tests find the built plugins through the environment")]
pub fn built(test: &str, plugin: &str) -> Option<PathBuf> {
    match std::env::var_os("WATCHFIRE_PLUGINS") {
        Some(folder) => Some(PathBuf::from(folder).join(plugin).with_extension("wasm")),
        None => {
            println!("SKIPPED {test}: WATCHFIRE_PLUGINS is not set");
            None
        }
    }
}

/// A group of one alert that fires.
pub fn group() -> MessageGroup {
    let alert = Alert {
        labels: Labels::from_pairs([("alertname", "A")]),
        annotations: Annotations::default(),
        starts_at: Timestamp::EPOCH,
        ends_at: None,
        updated_at: Timestamp::EPOCH,
        timeout: false,
        generator_url: "".into(),
        value: None,
    };
    MessageGroup {
        at: Timestamp::EPOCH,
        key: "group".to_owned(),
        receiver: "all".to_owned(),
        group_labels: BTreeMap::new(),
        external_url: String::new(),
        id: "notification".to_owned(),
        channel: "webhook".to_owned(),
        secrets: BTreeMap::new(),
        alerts: vec![AlertView::new(alert, Timestamp::EPOCH)],
    }
}
