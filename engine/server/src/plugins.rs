//! The plugins: `GET /api/watchfire/v1/plugins` and the page.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use watchfire::{PluginInfo, PluginReport, Suspended};
use watchfire_model::Timestamp;

use crate::App;
use crate::ui::{Navigation, ago, counted, page as render};

/// What is known about every plugin, with what it has done since the start.
pub(crate) async fn plugins(State(app): State<App>) -> Response {
    let plugins: Vec<Value> = app.engine.plugins().iter().map(plugin_json).collect();
    Json(json!({ "plugins": plugins })).into_response()
}

fn plugin_json(plugin: &PluginReport) -> Value {
    let counters = &plugin.counters;
    let by_word = |counts: &[(&'static str, u64)]| -> Value {
        counts.iter().map(|(word, count)| ((*word).to_owned(), json!(count))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "name": plugin.status.name,
        "error": plugin.status.error,
        "compiling": plugin.status.compiling,
        "inForce": plugin.info.as_ref().map(info_json),
        "calls": counters.calls,
        "seconds": counters.nanoseconds as f64 / 1e9,
        "failures": by_word(&counters.failures),
        "limitHits": by_word(&counters.limits),
        "suspendedCalls": counters.suspended,
        "instances": counters.instances,
        "memoryBytes": counters.memory_bytes,
        "suspensions": plugin.suspensions.iter().map(suspension_json).collect::<Vec<_>>(),
    })
}

fn info_json(info: &PluginInfo) -> Value {
    let limits = &info.limits;
    json!({
        "digest": format!("sha256:{}", info.digest),
        "version": info.manifest.as_ref().map(|manifest| &manifest.version),
        "offers": info.descriptors.iter().map(|offer| json!({
            "kind": offer.kind.as_str(), "name": offer.name, "summary": offer.summary,
        })).collect::<Vec<_>>(),
        "grants": info.grants,
        "limits": {
            "callTimeout": limits.call_time.to_string(),
            "memoryBytes": limits.memory_bytes,
            "tableElements": limits.table_elements,
            "outputBytes": limits.output_bytes,
            "logBytes": limits.log_bytes,
            "stateBytes": limits.state_bytes,
            "calls": limits.calls,
        },
        "bytes": info.wasm_bytes,
        "codeBytes": info.code_bytes,
    })
}

fn suspension_json(Suspended { suspension, used_by }: &Suspended) -> Value {
    json!({
        "kind": suspension.kind.as_str(),
        "name": suspension.name,
        "usedBy": used_by,
        "until": suspension.until.to_rfc3339(),
        "failures": suspension.failures,
        "last": suspension.last,
    })
}

#[derive(Template)]
#[template(path = "plugins.html")]
struct PluginsPage {
    nav: Navigation,
    /// How many there are.
    lead: String,
    plugins: Vec<PluginRow>,
}

struct PluginRow {
    name: String,
    version: String,
    state: &'static str,
    tone: &'static str,
    offers: Vec<String>,
    facts: Vec<String>,
    mistakes: Vec<String>,
    timing: String,
}

pub(crate) async fn page(State(app): State<App>) -> Response {
    let now = app.engine.now();
    let plugins: Vec<PluginRow> = app.engine.plugins().iter().map(|plugin| row(plugin, now)).collect();
    let lead = format!("{} in the folder.", counted(plugins.len(), "plugin"));
    render(&PluginsPage { nav: Navigation::new(&app, "/plugins"), lead, plugins })
}

fn row(plugin: &PluginReport, now: Timestamp) -> PluginRow {
    let counters = &plugin.counters;
    let (state, tone) = match (&plugin.info, &plugin.status.error) {
        (None, None) => ("compiling", "pending"),
        (None, Some(_)) => ("refused", "firing"),
        _ if !plugin.suspensions.is_empty() => ("suspended", "firing"),
        (Some(_), Some(_)) => ("last good", "pending"),
        (Some(_), None) => ("live", "inactive"),
    };
    let mut facts = Vec::new();
    let mut offers = Vec::new();
    let mut version = String::new();
    if let Some(info) = &plugin.info {
        version = info.manifest.as_ref().map_or_else(String::new, |manifest| manifest.version.clone());
        offers = info.descriptors.iter().map(|offer| format!("{} {}", offer.kind.as_str(), offer.name)).collect();
        facts.push(format!("sha256:{}", &info.digest[..12]));
        facts.push(format!("may use {} and {}", info.limits.call_time, mebibytes(info.limits.memory_bytes as u64)));
        if !info.grants.is_empty() {
            facts.push(format!("granted {}", info.grants.join(", ")));
        }
    }
    if plugin.status.compiling {
        facts.push("the newest version is being compiled".to_owned());
    }
    match counters.instances {
        0 => {}
        1 => facts.push(format!("1 instance with {}", mebibytes(counters.memory_bytes))),
        count => facts.push(format!("{count} instances with {}", mebibytes(counters.memory_bytes))),
    }
    let failures: u64 = counters.failures.iter().map(|(_, count)| count).sum();
    if failures > 0 {
        let kinds: Vec<String> = counters.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        facts.push(format!("failed: {}", kinds.join(", ")));
    }
    let mut mistakes: Vec<String> = plugin.status.error.iter().cloned().collect();
    mistakes.extend(plugin.suspensions.iter().map(|Suspended { suspension, used_by }| {
        let when = if suspension.until > now {
            format!("until {}", suspension.until.to_rfc3339())
        } else {
            format!("until its next call, {} after the pause", ago(now, suspension.until))
        };
        format!(
            "The {} {} of {} is left alone {when}: {} failures in a row, the last was: {}",
            suspension.kind.as_str(),
            suspension.name,
            used_by.join(", "),
            suspension.failures,
            suspension.last
        )
    }));
    let timing = match counters.calls {
        0 => "not called yet".to_owned(),
        calls => format!("{calls} calls, {:.1} µs each", counters.nanoseconds as f64 / calls as f64 / 1e3),
    };
    PluginRow { name: plugin.status.name.clone(), version, state, tone, offers, facts, mistakes, timing }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
