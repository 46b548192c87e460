//! Contract C3 for plugins: a folder of hostile ones beside rules that must go on.

use anyhow::{Context, Result, ensure};
use watchfire::Watchfire;
use watchfire_model::{Labels, Sample};

use crate::Case;
use crate::support::{Engine, Sink, Tool, block_on, eventually, variable};

use crate::fixture::{Fixture, GOOD};

pub(crate) const CASES: &[Case] = &[
    Case { name: "hostile::a_failing_plugin_never_costs_a_page", needs: &[Tool::Binary], run: failing },
    Case { name: "hostile::c2_a_version_that_does_not_open_never_takes_over", needs: &[Tool::Binary], run: unfit },
    Case { name: "hostile::c3_a_folder_of_hostile_plugins_stops_nothing", needs: &[Tool::Binary], run: folder },
    Case { name: "hostile::c3_neither_start_nor_reload_waits_for_the_compiler", needs: &[], run: compiled_aside },
    Case {
        name: "hostile::c2_c3_a_plugin_is_swapped_while_it_runs_and_a_broken_one_never_takes_over",
        needs: &[Tool::Binary, Tool::Plugins],
        run: swapped,
    },
];

/// Plugins that load and then misbehave when they are asked.
fn misbehaving() -> Vec<(&'static str, Fixture, &'static str)> {
    let of = |evaluate| Fixture { evaluate, ..GOOD };
    vec![
        ("loops", of("(loop $again (br $again)) (i32.const 512)"), "stopped after"),
        ("traps", of("unreachable"), "trapped"),
        ("recurses", of("(call $evaluate (i32.const 0))"), "plugin"),
        ("lies", of("(i32.const -1)"), ""),
    ]
}

fn folder() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\n\
             plugins: {{dir: plugins, limits: {{call_timeout: 100ms}}}}\n\
             route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/")
        );
        let mut rules = String::from("groups:\n- {name: good, rules: [{alert: Good, expr: value > 1}]}\n");
        for (name, _, _) in misbehaving() {
            rules += &format!(
                "- {{name: {name}, rules: [{{alert: Evil-{name}, expr: value, condition: {{plugin: {name}/evil}}}}]}}\n"
            );
        }
        let mut engine = Engine::prepare(&[("watchfire.yml", &config), ("rules.yml", &rules)])?;
        let plugins = engine.folder().join("plugins");
        std::fs::create_dir_all(&plugins)?;
        for (name, fixture, _) in misbehaving() {
            std::fs::write(plugins.join(name).with_extension("wasm"), fixture.build())?;
        }
        let good = GOOD.build();
        for (name, bytes) in [
            ("empty", Vec::new()),
            ("text", b"this is no plugin".to_vec()),
            ("machine-code", b"\x7fELF\x02\x01\x01".to_vec()),
            ("core-module", b"\0asm\x01\0\0\0".to_vec()),
            ("cut", good[..good.len() / 2].to_vec()),
        ] {
            std::fs::write(plugins.join(name).with_extension("wasm"), bytes)?;
        }
        engine.run_with_plugins(&[]).await?;
        for round in 0..5 {
            engine.push(&format!("value{{round=\"{round}\"}} 5\n")).await?;
        }
        sink.until("the good rule pages for every series", |received| {
            (0..5).all(|round| {
                received.iter().any(|one| {
                    one.json["commonLabels"]["alertname"] == "Good"
                        && one.json["commonLabels"]["round"] == round.to_string().as_str()
                })
            })
        })
        .await?;
        for name in ["empty", "text", "machine-code", "core-module", "cut"] {
            sink.until(&format!("the engine says that {name} is refused"), |received| {
                received.iter().any(|one| {
                    one.json["commonLabels"]["alertname"] == "WatchfirePluginBroken"
                        && one.json["commonLabels"]["plugin"] == name
                })
            })
            .await?;
        }
        for (name, _, message) in misbehaving() {
            eventually(&format!("the rule of {name} shows its failure"), async || {
                let rules = engine.get("/api/v1/rules?type=alert").await?;
                let groups = rules["data"]["groups"].as_array().cloned().unwrap_or_default();
                let rule = groups.iter().find(|group| group["name"] == name).map(|group| group["rules"][0].clone());
                let error = rule.and_then(|rule| rule["lastError"].as_str().map(str::to_owned));
                Ok(error.filter(|error| error.contains(message)))
            })
            .await?;
        }
        let metrics = engine.text("/metrics").await?;
        ensure!(metrics.contains("watchfire_plugin_failures_total{"), "{metrics}");
        // Still alive, and still quick for everybody else.
        engine.push("value{round=\"last\"} 5\n").await?;
        sink.until("the good rule pages once more", |received| {
            received.iter().any(|one| one.json["commonLabels"]["round"] == "last")
        })
        .await?;
        Ok(())
    })
}

/// A router and a formatter that trap, and conditions that trap when they are asked or opened where their rules say that
/// this fires: everybody is told all the same, and everything that keeps failing is suspended and seen to be.
fn failing() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\nplugins: {{dir: plugins}}\n\
             route:\n  receiver: all\n  group_by: ['...']\n  group_wait: 0s\n  group_interval: 1s\n  router: {{plugin: traps-router}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}', formatter: {{plugin: traps-formatter}}}}]}}]\n",
            sink.url("/")
        );
        let rules = "groups:\n- name: g\n  rules:\n  - {alert: Good, expr: value > 1}\n\
                     \x20 - {alert: Watched, expr: value, condition: {plugin: traps-condition, on_error: fire}}\n\
                     \x20 - {alert: Unopened, expr: value, condition: {plugin: traps-at-first, on_error: fire}}\n";
        let mut engine = Engine::prepare(&[("watchfire.yml", &config), ("rules.yml", rules)])?;
        let plugins = engine.folder().join("plugins");
        std::fs::create_dir_all(&plugins)?;
        for kind in ["condition", "router", "formatter"] {
            let fixture = Fixture { kind, evaluate: "unreachable", ..GOOD };
            std::fs::write(plugins.join(format!("traps-{kind}.wasm")), fixture.build())?;
        }
        let unopened = Fixture { open: "unreachable", ..GOOD };
        std::fs::write(plugins.join("traps-at-first.wasm"), unopened.build())?;
        engine.run_with_plugins(&[]).await?;
        for round in 0..7 {
            engine.push(&format!("value{{round=\"{round}\"}} 5\n")).await?;
            for alert in ["Good", "Watched", "Unopened"] {
                sink.until(&format!("{alert} pages in its built-in words, round {round}"), |received| {
                    received.iter().any(|one| {
                        one.json["commonLabels"]["alertname"] == alert
                            && one.json["commonLabels"]["round"] == round.to_string().as_str()
                    })
                })
                .await?;
            }
        }
        eventually("all three are suspended and said to be", async || {
            let plugins = engine.get("/api/watchfire/v1/plugins").await?;
            let plugins = plugins["plugins"].as_array().cloned().unwrap_or_default();
            let suspended = |plugin: &serde_json::Value| {
                plugin["suspensions"][0]["last"].as_str().is_some_and(|last| last.contains("trapped"))
            };
            let mut called = plugins.iter().filter(|plugin| plugin["name"] != "traps-at-first");
            Ok((plugins.len() == 4 && called.all(suspended)).then_some(()))
        })
        .await?;
        let metrics = engine.text("/metrics").await?;
        ensure!(metrics.contains("watchfire_plugin_suspended{plugin=\"traps-formatter\"} 1"), "{metrics}");
        // To be left alone is no failure.
        for kind in ["condition", "router", "formatter"] {
            let failures =
                |of: &str| format!("watchfire_plugin_failures_total{{plugin=\"traps-{kind}\",kind=\"{of}\"}}");
            ensure!(engine.metric(&failures("trap")).await? >= 5.0, "every call that failed is counted: {metrics}");
            let others: Vec<&str> =
                metrics.lines().filter(|line| line.starts_with(&failures("").replace("\"}", ""))).collect();
            ensure!(others.len() == 1, "and nothing else is: {others:?}");
        }
        let page = engine.text("/plugins").await?;
        ensure!(page.contains("is left alone until"), "{page}");
        sink.until("the rule's plugin is said to be suspended, and whose it is", |received| {
            received.iter().any(|one| {
                let alert = &one.json["alerts"][0];
                alert["labels"]["plugin"] == "traps-condition"
                    && alert["annotations"]["description"]
                        .as_str()
                        .is_some_and(|text| text.contains("traps-condition/evil of the rule \"Watched\" failed"))
            })
        })
        .await?;
        // What nobody uses any more is left alone for good.
        engine.write("rules.yml", "groups: [{name: g, rules: [{alert: Good, expr: value > 1}]}]\n")?;
        eventually("nothing is said of a rule that is gone", async || {
            Ok((engine.metric("watchfire_plugin_suspended{plugin=\"traps-condition\"}").await? == 0.0).then_some(()))
        })
        .await?;
        sink.until("the alert about it ends", |received| {
            received.iter().any(|one| {
                one.json["status"] == "resolved"
                    && one.json["commonLabels"]["alertname"] == "WatchfirePluginSuspended"
                    && one.json["commonLabels"]["plugin"] == "traps-condition"
            })
        })
        .await?;
        Ok(())
    })
}

/// A version that refuses the configuration that is live stays outside; the next one that takes it comes in.
fn unfit() -> Result<()> {
    block_on(async {
        let config =
            "rules: {paths: [rules.yml]}\nplugins: {dir: plugins}\nroute: {receiver: a}\nreceivers: [{name: a}]\n";
        let rules = "groups: [{name: g, rules: [{alert: A, expr: value, condition: {plugin: good}}]}]\n";
        let mut engine = Engine::prepare(&[("watchfire.yml", config), ("rules.yml", rules)])?;
        let plugins = engine.folder().join("plugins");
        std::fs::create_dir_all(&plugins)?;
        let install = |fixture: Fixture| -> Result<()> {
            std::fs::write(plugins.join("new"), fixture.build())?;
            Ok(std::fs::rename(plugins.join("new"), plugins.join("good.wasm"))?)
        };
        install(GOOD)?;
        engine.run_with_plugins(&[]).await?;
        let status = async || -> Result<serde_json::Value> {
            Ok(engine.get("/api/watchfire/v1/plugins").await?["plugins"][0].clone())
        };
        let first = status().await?["inForce"]["digest"].clone();
        ensure!(first.is_string(), "the first version is in force");
        let refusing = r#"(data (i32.const 256) "\01\00\00\00\03\00\00\00\80\00\00\00\04\00\00\00")"#;
        install(Fixture { data: refusing, ..GOOD })?;
        let refused = eventually("the new version is refused", async || {
            let plugin = status().await?;
            Ok(plugin["error"].is_string().then_some(plugin))
        })
        .await?;
        let error = refused["error"].as_str().unwrap_or_default();
        ensure!(error.contains("cannot be opened as the rule \"A\" has it configured"), "{error}");
        ensure!(refused["inForce"]["digest"] == first, "the first version goes on: {refused}");
        install(Fixture { data: "(data (i32.const 3000) \"2\")", ..GOOD })?;
        eventually("the next version takes over", async || {
            let plugin = status().await?;
            let took_over = plugin["error"].is_null() && plugin["inForce"]["digest"] != first;
            Ok(took_over.then_some(()))
        })
        .await
    })
}

/// On one thread, so that nothing else goes on between what the engine answers and the look at it.
fn compiled_aside() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "rules: {paths: [rules.yml]}\nplugins: {dir: plugins}\nroute: {receiver: a}\nreceivers: [{name: a}]\n";
    let rules = "groups: [{name: g, rules: [{alert: A, expr: value, condition: {plugin: good}}]}]\n";
    let install = |fixture: &Fixture| std::fs::write(folder.path().join("plugins/good.wasm"), fixture.build());
    std::fs::create_dir(folder.path().join("plugins"))?;
    std::fs::write(folder.path().join("watchfire.yml"), config)?;
    std::fs::write(folder.path().join("rules.yml"), rules)?;
    install(&GOOD)?;
    /// Whether the plugin is being compiled, and which version of it is in force.
    fn standing(engine: &Watchfire) -> Result<(bool, Option<String>)> {
        let plugins = engine.plugins();
        let plugin = plugins.first().context("the plugin is known")?;
        ensure!(plugin.status.error.is_none(), "{:?}", plugin.status.error);
        Ok((plugin.status.compiling, plugin.info.as_ref().map(|info| info.digest.clone())))
    }
    let start = || Watchfire::builder().config_file(folder.path().join("watchfire.yml")).start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let engine = start().await?;
        ensure!(standing(&engine)? == (true, None), "{:?}", standing(&engine)?);
        let diagnostics = engine.definitions().diagnostics.clone();
        ensure!(diagnostics.is_empty(), "nothing is wrong: {diagnostics:?}");
        let sample = Sample { timestamp: engine.now(), value: 1.0 };
        let pushed = engine.push_samples(vec![(Labels::from_pairs([("__name__", "value")]), vec![sample])]).await?;
        ensure!(pushed.accepted == 1, "{pushed:?}");
        engine.plugins_compiled().await;
        let (compiling, first) = standing(&engine)?;
        ensure!(!compiling && first.is_some(), "the first version is in force");

        // What was put in force is over with, so that the next reload is the first to see the file.
        engine.reload().await?;
        install(&Fixture { data: "(data (i32.const 3000) \"2\")", ..GOOD })?;
        let report = engine.reload().await?;
        ensure!(report.errors == 0, "{report}");
        ensure!(standing(&engine)? == (true, first.clone()), "the version before it goes on: {:?}", standing(&engine)?);
        engine.plugins_compiled().await;
        let (compiling, second) = standing(&engine)?;
        ensure!(!compiling && second != first, "the new version takes over");
        engine.shutdown().await;

        let engine = start().await?;
        ensure!(
            standing(&engine)? == (false, second),
            "what is in the cache is there at once: {:?}",
            standing(&engine)?
        );
        engine.shutdown().await;
        Ok(())
    })
}

fn swapped() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\nplugins: {{dir: plugins}}\n\
             route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/")
        );
        let rules = "groups: [{name: g, rules: [{alert: Odd, expr: value, \
                     condition: {plugin: ewma-anomaly, config: {sigma: 4, alpha: 0.1, warmup: 5}}}]}]";
        let mut engine = Engine::prepare(&[("watchfire.yml", &config), ("rules.yml", rules)])?;
        let plugins = engine.folder().join("plugins");
        std::fs::create_dir_all(&plugins)?;
        let built = variable("WATCHFIRE_PLUGINS").context("WATCHFIRE_PLUGINS")?;
        let wasm = std::fs::read(std::path::Path::new(&built).join("ewma-anomaly.wasm"))?;
        let install = |bytes: &[u8]| -> Result<()> {
            std::fs::write(plugins.join("new"), bytes)?;
            Ok(std::fs::rename(plugins.join("new"), plugins.join("ewma-anomaly.wasm"))?)
        };
        install(&wasm)?;
        engine.run_with_plugins(&[]).await?;
        // What the plugin has learned lies in its state, which a swap must not lose: half is learned before it, half after.
        for round in 0..24 {
            if round == 12 {
                // The same program with a custom section more is another version by its digest.
                let mut other = wasm.clone();
                other.extend_from_slice(&[0, 5, 4, b'n', b'o', b't', b'e']);
                install(&other)?;
                eventually("the new version is live", async || {
                    Ok((engine.log()?.matches("plugin loaded").count() >= 2).then_some(()))
                })
                .await?;
            }
            if round == 18 {
                install(b"broken")?;
                sink.until("the broken version is told", |received| {
                    received.iter().any(|one| one.json["commonLabels"]["alertname"] == "WatchfirePluginBroken")
                })
                .await?;
            }
            let value = format!("{}", 10.0 + f64::from(round % 3) * 0.1);
            engine.push_seen_by("ewma-anomaly", &format!("value {value}\n")).await?;
        }
        let odd = |received: &[crate::support::Received]| {
            received.iter().any(|one| one.json["commonLabels"]["alertname"] == "Odd")
        };
        ensure!(!odd(&sink.received()), "nothing odd has happened yet");
        engine.push("value 500\n").await?;
        sink.until("the last good version finds the anomaly with what all versions have learned", odd).await?;
        Ok(())
    })
}
