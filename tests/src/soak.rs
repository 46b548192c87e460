//! A plugin that is replaced again and again under load: no evaluation is missed and nothing is left behind.
//!
//! Bounded by counts; `cargo xtask soak plugins --minutes N` replaces it every second for as long as one likes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Case;
use crate::support::{Engine, Tool, block_on, eventually, variable};

use crate::fixture::GOOD;

pub(crate) const CASES: &[Case] = &[Case {
    name: "soak::a_plugin_replaced_under_load_misses_nothing_and_leaves_nothing",
    needs: &[Tool::Binary],
    run: replaced,
}];

/// Replacements without the environment saying how long.
const REPLACEMENTS: u64 = 12;
/// Replacements after which the memory is looked at for the first time.
const WARM: u64 = 8;
/// Rules that use the plugin.
const RULES: usize = 20;

/// The value of a metric whose line begins with `start`.
fn metric(text: &str, start: &str) -> Result<f64> {
    let line = text.lines().find(|line| line.starts_with(start)).with_context(|| format!("there is no {start}"))?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

#[expect(clippy::disallowed_methods, reason = "how long a soak lasts and how quick replacing is are what it shows")]
fn replaced() -> Result<()> {
    let minutes: Option<u64> = variable("WATCHFIRE_SOAK_MINUTES").map(|text| text.parse()).transpose()?;
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    block_on(async {
        let config = "rules: {paths: [rules.yml]}\nevaluation: {interval: 10s}\n\
                      plugins: {dir: plugins, limits: {call_timeout: 10s, open_timeout: 10s}}\n\
                      route: {receiver: a}\nreceivers: [{name: a}]\n";
        let rules: Vec<String> =
            (0..RULES).map(|n| format!("{{alert: R{n}, expr: value, condition: {{plugin: good}}}}")).collect();
        let rules = format!("groups: [{{name: g, rules: [{}]}}]\n", rules.join(", "));
        let mut engine = Engine::prepare(&[("watchfire.yml", config), ("rules.yml", &rules)])?;
        let folder = engine.folder().join("plugins");
        std::fs::create_dir_all(&folder)?;
        let wasm = GOOD.build();
        let install = |number: u64| -> Result<()> {
            let mut version = wasm.clone();
            version.extend_from_slice(&[0, 9, 0]);
            version.extend_from_slice(&number.to_le_bytes());
            std::fs::write(folder.join("new"), version)?;
            Ok(std::fs::rename(folder.join("new"), folder.join("good.wasm"))?)
        };
        install(0)?;
        engine.run_with_plugins(&[]).await?;
        let digest = async || -> Result<String> {
            let plugins = engine.get("/api/watchfire/v1/plugins").await?;
            let plugin = &plugins["plugins"][0];
            ensure!(plugin["error"].is_null(), "refused: {}", plugin["error"]);
            Ok(plugin["inForce"]["digest"].as_str().unwrap_or_default().to_owned())
        };
        let (mut number, mut before, mut warm) = (0, digest().await?, 0);
        let (mut slowest, mut total) = (Duration::ZERO, Duration::ZERO);
        loop {
            number += 1;
            let began = Instant::now();
            install(number)?;
            engine.push(&format!("value{{series=\"{}\"}} {number}\n", number % 50)).await?;
            before = eventually("the new version is live", async || {
                let now = digest().await?;
                Ok((now != before).then_some(now))
            })
            .await?;
            let took = began.elapsed();
            (slowest, total) = (slowest.max(took), total + took);
            if number == WARM {
                warm = engine.resident()?;
            }
            let enough = match until {
                Some(until) => Instant::now() >= until,
                None => number >= REPLACEMENTS,
            };
            if enough {
                break;
            }
            if until.is_some() {
                tokio::time::sleep(Duration::from_secs(1).saturating_sub(began.elapsed())).await;
            }
        }
        let now = engine.resident()?;
        let text = eventually("old instances are gone", async || {
            let text = engine.text("/metrics").await?;
            let instances = metric(&text, "watchfire_plugin_instances{plugin=\"good\"}")?;
            Ok((instances as usize == RULES).then_some(text))
        })
        .await?;
        let calls = metric(&text, "watchfire_plugin_call_duration_seconds_count{plugin=\"good\"}")?;
        println!(
            "{number} replacements, live after {:.0} ms on average and {:.0} ms at most; {calls} calls; {} KiB after {WARM} \
             replacements, {} KiB at the end",
            total.as_secs_f64() * 1e3 / number as f64,
            slowest.as_secs_f64() * 1e3,
            warm >> 10,
            now >> 10
        );
        for lost in ["evaluation_failures", "evaluations_lost", "slots_missed"] {
            let count = metric(&text, &format!("watchfire_engine_{lost}_total "))?;
            ensure!(count == 0.0, "{lost}: {count}");
        }
        ensure!(calls > 0.0, "the plugin was never called");
        ensure!(now < warm + (64 << 20), "the memory grew from {} to {} KiB", warm >> 10, now >> 10);
        Ok(())
    })
}
