//! What a plugin costs, beside one that does nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use watchfire_host::{Host, HostSettings, Source, is_plugin_name};
use watchfire_model::{Alert, Duration as Span, Labels, Timestamp};
use watchfire_plugin::{AlertView, Batch, Kind, MessageGroup, PluginError, Provider, State, StateLimits, ask};

use crate::{AuthorError, component, tested_config};

/// A condition that asks for nothing and finds nothing: what a call costs whatever a plugin does.
const EMPTY: &str = r#"(module
  (memory (export "memory") 1)
  (data (i32.const 16) "\20\00\00\00\01\00\00\00")
  (data (i32.const 32) "\00\00\00\00\80\00\00\00\05\00\00\00\80\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00")
  (data (i32.const 128) "empty")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
  (func (export "watchfire:plugin/plugin@0.2.0#describe") (result i32) (i32.const 16))
  (func (export "watchfire:plugin/condition@0.2.0#open") (param i32 i32 i32 i32) (result i32) (i32.const 256))
  (func (export "watchfire:plugin/condition@0.2.0#evaluate") (param i32) (result i32) (i32.const 512))
  (func (export "watchfire:plugin/condition@0.2.0#close") (param i32)))"#;

/// What that one is called.
const NOTHING: &str = "empty";

/// How long each size is measured unless the number of calls is given.
const SPAN: Duration = Duration::from_millis(400);

/// Of so many series the last is far above the others, since that is what rules look at: few of many are in trouble.
const ODD_ONE_IN: usize = 100;

/// One measurement.
#[derive(Clone, Debug)]
pub struct BenchLine {
    /// What was called.
    pub name: String,
    /// Series, or alerts, per call.
    pub items: usize,
    /// Nanoseconds per call.
    pub call_ns: f64,
    /// Series that the last call found in trouble, where it is a condition. Those cost more than the others.
    pub found: Option<usize>,
    /// Nanoseconds per call of a condition that does nothing, in the same run, where it is a condition.
    pub empty_ns: Option<f64>,
}

/// Measures everything that a plugin offers, with this configuration, or with that of the tests that it carries: for a
/// while, or for so many calls of each size. Each call is a second after the one before.
///
/// # Errors
/// If the plugin cannot be loaded or opened, or fails.
pub fn bench(
    plugin: &Path,
    config: Option<&str>,
    sizes: &[usize],
    calls: Option<u32>,
) -> Result<Vec<BenchLine>, AuthorError> {
    let host = Host::new(HostSettings { instances_max: 16, ..HostSettings::default() })?;
    let name =
        plugin.file_stem().and_then(|stem| stem.to_str()).filter(|name| is_plugin_name(name) && *name != NOTHING);
    let info = host.load(name.unwrap_or("plugin"), Source::File(plugin)).map_err(AuthorError::load(plugin))?;
    let empty = wat::parse_str(EMPTY).map_err(|error| AuthorError::Component(error.to_string()))?;
    let empty = component::wrap(empty, Some("condition-plugin"))?;
    host.load(NOTHING, Source::Bytes(&empty)).map_err(AuthorError::load(NOTHING))?;
    let mut lines = Vec::new();
    for offered in &info.descriptors {
        let own = config.map_or_else(|| tested_config(plugin, offered.kind), |config| Ok(config.to_owned()))?;
        for items in sizes {
            let line = measured(&host, (&offered.name, offered.kind), &own, *items, calls);
            lines.push(line.map_err(|error| AuthorError::Plugin { what: offered.name.clone(), error })?);
        }
    }
    Ok(lines)
}

fn measured(
    host: &Host,
    (name, kind): (&str, Kind),
    config: &str,
    items: usize,
    calls: Option<u32>,
) -> Result<BenchLine, PluginError> {
    let (mut found, mut empty_ns) = (None, None);
    let call_ns = match kind {
        Kind::Condition => {
            let mut condition = host.open_condition(name, config)?;
            let mut nothing = host.open_condition(NOTHING, "{}")?;
            let mut batch = batch(items);
            let (mut state, mut none) = (fresh(), fresh());
            let call_ns = measure(calls, |at| {
                batch.at = at;
                found = Some(ask(condition.as_mut(), &batch, &mut state)?.findings.len());
                state.commit();
                Ok(())
            })?;
            empty_ns = Some(measure(calls, |_| ask(nothing.as_mut(), &batch, &mut none).map(drop))?);
            call_ns
        }
        Kind::Router => {
            let mut router = host.open_router(name, config)?;
            let alerts = alerts(items);
            measure(calls, |at| router.route(at, &alerts).map(drop))?
        }
        Kind::Formatter => {
            let mut formatter = host.open_formatter(name, config)?;
            let mut group = MessageGroup {
                at: Timestamp::EPOCH,
                key: "group".to_owned(),
                receiver: "receiver".to_owned(),
                group_labels: BTreeMap::new(),
                external_url: String::new(),
                id: "notification".to_owned(),
                channel: "webhook".to_owned(),
                secrets: BTreeMap::new(),
                alerts: alerts(items),
            };
            measure(calls, |at| {
                group.at = at;
                formatter.format(&group).map(drop)
            })?
        }
    };
    Ok(BenchLine { name: name.to_owned(), items, call_ns, found, empty_ns })
}

fn fresh() -> State {
    State::new(StateLimits::STANDARD, BTreeMap::new())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn measure(calls: Option<u32>, mut call: impl FnMut(Timestamp) -> Result<(), PluginError>) -> Result<f64, PluginError> {
    let mut at = START;
    let mut next = || {
        at += Span::from_secs(1);
        call(at)
    };
    // The first calls fill caches and grow the memory.
    for _ in 0..3 {
        next()?;
    }
    let (start, mut made) = (Instant::now(), 0_u32);
    while calls.map_or_else(|| start.elapsed() < SPAN, |calls| made < calls) {
        next()?;
        made += 1;
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(made.max(1)))
}

/// When the first call is.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Series with six labels and one row.
fn batch(series: usize) -> Batch {
    let value = |number: usize| if number % ODD_ONE_IN == ODD_ONE_IN - 1 { 97.0 } else { (number % 7) as f64 };
    Batch::new(START, (0..series).map(|number| (labels(number), [(START, value(number))])))
}

fn labels(number: usize) -> Labels {
    Labels::from_pairs([
        ("alertname", "HighLatency".to_owned()),
        ("cluster", "eu-1".to_owned()),
        ("host", format!("host-{number}")),
        ("job", "api".to_owned()),
        ("severity", "warning".to_owned()),
        ("team", format!("team-{}", number % 7)),
    ])
}

fn alerts(count: usize) -> Vec<AlertView> {
    let alerts = (0..count).map(|number| {
        let alert = Alert {
            labels: labels(number),
            annotations: [("summary", "the checkout is slow")].into(),
            starts_at: Timestamp::EPOCH,
            ends_at: None,
            updated_at: Timestamp::EPOCH,
            timeout: false,
            generator_url: "".into(),
            value: Some(number as f64),
        };
        AlertView::new(alert, Timestamp::EPOCH)
    });
    alerts.collect()
}
