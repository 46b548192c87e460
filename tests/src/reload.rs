//! Contracts C2 and C3: a reload loses nothing, and one bad part never stops the rest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, Received, Sink, Tool, block_on, eventually};

pub(crate) const CASES: &[Case] = &[
    Case { name: "reload::a_saved_rule_is_live", needs: &[Tool::Binary], run: saved_rule },
    Case { name: "reload::c2_under_load_no_page_is_missed_or_doubled", needs: &[Tool::Binary], run: under_load },
    Case { name: "reload::c2_pending_alerts_keep_their_age", needs: &[Tool::Binary], run: keeps_for },
    Case { name: "reload::c3_a_broken_file_keeps_its_last_good_version", needs: &[Tool::Binary], run: broken_file },
    Case {
        name: "reload::c3_a_folder_that_cannot_be_listed_keeps_its_rules",
        needs: &[Tool::Binary],
        run: hidden_folder,
    },
    Case { name: "reload::a_folder_that_is_replaced_is_followed", needs: &[Tool::Binary], run: replaced_folder },
    Case { name: "reload::c3_a_broken_configuration_changes_nothing", needs: &[Tool::Binary], run: broken_config },
    Case { name: "reload::c2_integrations_keep_what_they_know", needs: &[Tool::Binary], run: integrations },
    Case { name: "reload::paths_are_relative_to_the_configuration", needs: &[Tool::Binary], run: relative },
    Case { name: "reload::signals_reload_and_drain", needs: &[Tool::Binary], run: signals },
];

fn config(sink: &Sink, group_wait: &str) -> String {
    format!(
        "rules: {{paths: [rules/*.yml]}}\nevaluation: {{interval: 1s}}\n\
         route: {{receiver: all, group_by: [alertname, n], group_wait: {group_wait}, group_interval: 1s, repeat_interval: 4h}}\n\
         receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
        sink.url("/webhook")
    )
}

fn rule(name: &str, expr: &str, more: &str) -> String {
    format!("groups: [{{name: {name}, rules: [{{alert: {name}, expr: '{expr}'{more}}}]}}]\n")
}

async fn rule_names(engine: &Engine) -> Result<Vec<String>> {
    let rules = engine.get("/api/v1/rules").await?;
    let groups = rules["data"]["groups"].as_array().context("no groups")?;
    let names = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
    Ok(names.filter_map(|rule| rule["name"].as_str().map(str::to_owned)).collect())
}

/// The file is edited while the engine is down and while it runs: one that is gone or new changes nothing for the others.
fn integrations() -> Result<()> {
    block_on(async {
        let sink = Sink::answering(|request, _| {
            let status = if request.path == "/down" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            (status, "told".to_owned())
        })
        .await?;
        let config = |paths: &[&str]| {
            let webhooks: Vec<String> = paths.iter().map(|path| format!("{{url: '{}'}}", sink.url(path))).collect();
            format!(
                "route: {{receiver: all, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
                 receivers: [{{name: all, webhook_configs: [{}]}}]\n",
                webhooks.join(", ")
            )
        };
        let post = async |engine: &Engine, name: &str, ended: bool| {
            let ends = if ended { "2020-01-01T00:00:00Z" } else { "2099-01-01T00:00:00Z" };
            let start = "2019-01-01T00:00:00Z";
            let alerts = json!([{"labels": {"alertname": name}, "startsAt": start, "endsAt": ends}]).to_string();
            engine.post_ok("/api/v2/alerts", "application/json", alerts).await
        };
        let told = |received: &[Received], path: &str, name: &str, status: &str| {
            let is = |one: &&Received| {
                one.path == path && one.json["commonLabels"]["alertname"] == name && one.json["status"] == status
            };
            received.iter().filter(is).count()
        };
        let mut engine = Engine::start(&[("watchfire.yml", &config(&["/down", "/stays"]))]).await?;
        post(&engine, "First", false).await?;
        sink.until("one is told, the other does not take it", |received| {
            told(received, "/down", "First", "firing") > 0 && told(received, "/stays", "First", "firing") == 1
        })
        .await?;
        // Not killed, since it may not know by now that the one was told.
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "it did not end well:\n{}", engine.log()?);
        engine.write("watchfire.yml", &config(&["/stays"]))?;
        engine.run(&[]).await?;
        engine.write("watchfire.yml", &config(&["/new", "/stays"]))?;
        engine.post_ok("/-/reload", "text/plain", "").await?;
        post(&engine, "Second", false).await?;
        sink.until("both are told", |received| {
            ["/new", "/stays"].iter().all(|path| told(received, path, "Second", "firing") == 1)
        })
        .await?;
        post(&engine, "First", true).await?;
        let all = sink.until("the end is told", |received| told(received, "/stays", "First", "resolved") == 1).await?;
        ensure!(told(&all, "/stays", "First", "firing") == 1, "it was not told what another did not take: {all:#?}");
        let tested =
            engine.post("/api/watchfire/v1/receivers/test", &[], json!({"receiver": "all"}).to_string()).await?;
        let tested: Value = tested.json().await?;
        let outcomes: Vec<_> =
            tested["deliveries"].as_array().into_iter().flatten().map(|one| &one["outcome"]).collect();
        ensure!(outcomes == ["delivered", "delivered"], "{tested}");
        Ok(())
    })
}

fn saved_rule() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let files = [("watchfire.yml", config(&sink, "0s")), ("rules/a.yml", rule("First", "a > 1", ""))];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let engine = Engine::start(&files).await?;
        engine.write("rules/b.yml", &rule("Second", "b > 1", ""))?;
        let there = async || Ok((rule_names(&engine).await? == ["First", "Second"]).then_some(()));
        eventually("the saved rule is there", there).await?;
        // What no rule reads is not kept, so that the sample comes after the rule.
        engine.push("b 5\n").await?;
        sink.until("the rule that was just saved pages", |received| {
            received.iter().any(|one| one.json["commonLabels"]["alertname"] == "Second")
        })
        .await?;
        std::fs::remove_file(engine.folder().join("rules/b.yml"))?;
        eventually("the removed rule is gone", async || Ok((rule_names(&engine).await? == ["First"]).then_some(())))
            .await
    })
}

/// An engine with the rule `First` in a folder of rules.
async fn with_one_rule(sink: &Sink) -> Result<Engine> {
    let (config, rules) = (config(sink, "0s"), rule("First", "a > 1", ""));
    Engine::start(&[("watchfire.yml", config.as_str()), ("rules/a.yml", rules.as_str())]).await
}

fn hidden_folder() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let engine = with_one_rule(&sink).await?;
        let (folder, aside) = (engine.folder().join("rules"), engine.folder().join("aside"));
        // A link that leads back to itself is there and cannot be listed, whoever asks.
        std::fs::rename(&folder, &aside)?;
        std::os::unix::fs::symlink("rules", &folder)?;
        eventually("the folder is complained of", async || {
            let page = engine.text("/rules").await?;
            Ok(page.contains("cannot be listed").then_some(()))
        })
        .await?;
        ensure!(rule_names(&engine).await? == ["First"], "{:?}", rule_names(&engine).await?);
        std::fs::remove_file(&folder)?;
        std::fs::rename(&aside, &folder)?;
        engine.write("rules/b.yml", &rule("Second", "b > 1", ""))?;
        let there = async || Ok((rule_names(&engine).await? == ["First", "Second"]).then_some(()));
        eventually("the folder is read again", there).await
    })
}

fn replaced_folder() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let engine = with_one_rule(&sink).await?;
        engine.write("new/a.yml", &rule("Another", "a > 1", ""))?;
        std::fs::rename(engine.folder().join("rules"), engine.folder().join("old"))?;
        std::fs::rename(engine.folder().join("new"), engine.folder().join("rules"))?;
        let names = async |wanted: &[&str]| Ok((rule_names(&engine).await? == wanted).then_some(()));
        eventually("the new folder is read", async || names(&["Another"]).await).await?;
        engine.write("rules/b.yml", &rule("Second", "b > 1", ""))?;
        eventually("and followed", async || names(&["Another", "Second"]).await).await
    })
}

fn under_load() -> Result<()> {
    block_on(async {
        const ALERTS: usize = 40;
        let sink = Sink::start().await?;
        let files = [("watchfire.yml", config(&sink, "0s")), ("rules/a.yml", rule("Busy", "load > 1", ""))];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let engine = Engine::start(&files).await?;
        for n in 0..ALERTS {
            engine.push(&format!("load{{n=\"{n}\"}} 5\n")).await?;
            // An unrelated rule, an edited route timing and a forced reload, in turn, all while alerts come in.
            match n % 3 {
                0 => engine.write("rules/b.yml", &rule("Other", &format!("other > {n}"), ""))?,
                1 => engine.write("watchfire.yml", &(config(&sink, "0s") + &format!("# edited {n}\n")))?,
                _ => drop(engine.post_ok("/-/reload", "text/plain", "").await?),
            }
        }
        let pages = |received: &[Received]| -> Vec<String> {
            let alerts = received.iter().flat_map(|one| one.json["alerts"].as_array().into_iter().flatten());
            alerts.filter_map(|alert| alert["labels"]["n"].as_str().map(str::to_owned)).collect()
        };
        sink.until("every alert pages", |received| {
            let pages = pages(received);
            (0..ALERTS).all(|n| pages.contains(&n.to_string()))
        })
        .await?;
        // Whatever a reload might double would come with the next flush of the groups, one second later.
        for _ in 0..3 {
            engine.post_ok("/-/reload", "text/plain", "").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut pages = pages(&sink.received());
        pages.sort();
        let count = pages.len();
        pages.dedup();
        ensure!(count == ALERTS && pages.len() == ALERTS, "{count} pages for {ALERTS} alerts");
        Ok(())
    })
}

fn keeps_for() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let slow = "groups: [{name: g, rules: [{alert: Slow, expr: latency > 1, for: 1h}]}]\n";
        let files = [("watchfire.yml", config(&sink, "0s")), ("rules/a.yml", slow.to_owned())];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let engine = Engine::start(&files).await?;
        engine.push("latency 5\n").await?;
        let active_at = |alerts: Value| alerts["data"]["alerts"][0]["activeAt"].as_str().map(str::to_owned);
        let before = eventually("it is pending", async || Ok(active_at(engine.get("/api/v1/alerts").await?))).await?;
        let more = format!("{slow}- {{name: h, rules: [{{alert: Other, expr: vector(1) > 2}}]}}\n");
        let more = more.replace(
            "groups: [{name: g, rules: [{alert: Slow, expr: latency > 1, for: 1h}]}]\n",
            "groups:\n- {name: g, rules: [{alert: Slow, expr: latency > 1, for: 1h}]}\n",
        );
        engine.write("rules/a.yml", &more)?;
        eventually("the new rule is there", async || {
            Ok(rule_names(&engine).await?.contains(&"Other".to_owned()).then_some(()))
        })
        .await?;
        let after = active_at(engine.get("/api/v1/alerts").await?);
        ensure!(after.as_deref() == Some(&before), "it was active since {before}, after the reload {after:?}");
        Ok(())
    })
}

fn broken_file() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let files = [
            ("watchfire.yml", config(&sink, "0s")),
            ("rules/a.yml", rule("First", "a > 1", "")),
            ("rules/b.yml", rule("Second", "b > 1", "")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let engine = Engine::start(&files).await?;
        engine.write("rules/a.yml", "groups: [{name: First, rules: [{alert: First, expr: 'a >'}]}]\n")?;
        engine.write("rules/c.yml", "groups: [\n")?;
        engine.write("rules/d.yml", &rule("Fourth", "d > 1", ""))?;
        eventually("the good new file is live", async || {
            Ok(rule_names(&engine).await?.contains(&"Fourth".to_owned()).then_some(()))
        })
        .await?;
        let mut names = rule_names(&engine).await?;
        names.sort();
        ensure!(names == ["First", "Fourth", "Second"], "{names:?}");
        engine.push("a 5\n").await?;
        sink.until("the last good version still pages", |received| {
            received.iter().any(|one| one.json["commonLabels"]["alertname"] == "First")
        })
        .await?;
        sink.until("the engine says itself that a file is broken", |received| {
            received.iter().any(|one| one.json["alerts"].to_string().contains("rules/c.yml"))
        })
        .await?;
        let page = engine.text("/rules").await?;
        ensure!(page.contains("a.yml:1:") && page.contains("c.yml"), "the page does not say where: {page}");
        ensure!(engine.text("/metrics").await?.contains("watchfire_config_last_reload_successful 0"), "metric");
        Ok(())
    })
}

fn broken_config() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let files = [("watchfire.yml", config(&sink, "0s")), ("rules/a.yml", rule("First", "a > 1", ""))];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let engine = Engine::start(&files).await?;
        engine.write("watchfire.yml", "route: {reciever: all}\n")?;
        let answer = engine.post("/-/reload", &[], "").await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 500 && text.contains("watchfire.yml:1:9"), "{status}: {text}");
        ensure!(text.contains("receiver"), "the remedy names the nearest key: {text}");
        engine.push("a 5\n").await?;
        sink.until("the engine goes on as before", |received| !received.is_empty()).await?;
        Ok(())
    })
}

fn relative() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let files = [("conf/watchfire.yml", config(&sink, "0s")), ("conf/rules/a.yml", rule("First", "a > 1", ""))];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let mut engine = Engine::prepare(&files)?;
        engine.run(&["--config", "conf/watchfire.yml"]).await?;
        ensure!(rule_names(&engine).await? == ["First"], "rules beside the configuration are found");
        engine.write("conf/rules/b.yml", &rule("Second", "b > 1", ""))?;
        eventually("and followed", async || Ok((rule_names(&engine).await?.len() == 2).then_some(()))).await?;
        let binary = crate::support::variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?;
        let check = std::process::Command::new(binary)
            .args(["check", "conf/watchfire.yml"])
            .current_dir(engine.folder())
            .output()?;
        let told = String::from_utf8_lossy(&check.stdout).into_owned();
        ensure!(told.contains("3 files checked"), "the rules are checked with the configuration: {told}");
        Ok(())
    })
}

fn signals() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let files = [("watchfire.yml", config(&sink, "1s")), ("rules/a.yml", rule("First", "a > 1", ""))];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let mut engine = Engine::start(&files).await?;
        engine.signal("HUP")?;
        eventually("the reload is logged", async || Ok(engine.log()?.contains("reloaded").then_some(()))).await?;
        // Terminated inside group_wait: the page must come after the next start, without the sample being sent again.
        engine.push("a 5\n").await?;
        eventually("it fires", async || {
            let alerts = engine.get("/api/v2/alerts").await?;
            Ok(alerts.as_array().is_some_and(|alerts| !alerts.is_empty()).then_some(()))
        })
        .await?;
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "it did not end well:\n{}", engine.log()?);
        engine.run(&[]).await?;
        sink.until("the page comes after the restart", |received| !received.is_empty()).await?;
        Ok(())
    })
}
