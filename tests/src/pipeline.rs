//! The whole path with programs that nobody here wrote: a real Prometheus in, three channels out.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Case;
use crate::support::{Engine, Mailbox, Prometheus, Sink, Tool, block_on, eventually, install_plugins};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "pipeline::a_real_prometheus_in_three_channels_out",
        needs: &[Tool::Binary, Tool::Prometheus, Tool::Aiosmtpd],
        run: three_channels,
    },
    Case {
        name: "pipeline::remote_write_2_from_a_real_prometheus",
        needs: &[Tool::Binary, Tool::Prometheus3],
        run: version_2,
    },
    Case { name: "pipeline::amtool_reads_and_silences", needs: &[Tool::Binary, Tool::Amtool], run: amtool },
    Case { name: "pipeline::a_plugin_decides_routes_and_formats", needs: &[Tool::Binary, Tool::Plugins], run: plugins },
];

/// A real Prometheus that scrapes itself and writes to the engine.
fn prometheus(folder: &Path, write_url: &str, message: Option<&str>) -> Result<(Prometheus, SocketAddr)> {
    let message = message.map(|message| format!("  protobuf_message: {message}\n")).unwrap_or_default();
    let prometheus = Prometheus::start(folder, |address| {
        format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs:\n\
             - job_name: prometheus\n  static_configs: [{{targets: ['{address}']}}]\n\
             - job_name: gone\n  static_configs: [{{targets: ['127.0.0.1:1']}}]\n\
             remote_write:\n\
             - url: {write_url}\n  queue_config: {{batch_send_deadline: 200ms, min_backoff: 50ms}}\n{message}"
        )
    })?;
    let address = prometheus.address();
    Ok((prometheus, address))
}

const RULES: &str = "\
groups:
- name: targets
  interval: 1s
  rules:
  - alert: TargetDown
    expr: up == 0
    labels: {severity: critical}
    annotations: {summary: '{{ $labels.job }} at {{ $labels.instance }} is down'}
  - record: job:up:sum
    expr: sum by (job) (up)
";

fn three_channels() -> Result<()> {
    block_on(async {
        let sink = Sink::answering(|received, _| {
            let status = if received.path.starts_with("/v2") { 202 } else { 200 };
            let body = if status == 202 {
                r#"{"status":"success","message":"Event processed","dedup_key":"k"}"#
            } else {
                "ok"
            };
            (axum::http::StatusCode::from_u16(status).unwrap_or_default(), body.to_owned())
        })
        .await?;
        let mailbox = Mailbox::start()?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\n\
             global: {{smtp_smarthost: '{}', smtp_from: watchfire@example.org, smtp_require_tls: false}}\n\
             route: {{receiver: all, group_by: [alertname, job], group_wait: 0s, group_interval: 1s}}\n\
             receivers:\n\
             - name: all\n\
             \x20 pagerduty_configs: [{{routing_key: 0123456789abcdef0123456789abcdef, url: '{}'}}]\n\
             \x20 slack_configs: [{{api_url: '{}', channel: '#ops', send_resolved: true}}]\n\
             \x20 email_configs: [{{to: oncall@example.org, send_resolved: true}}]\n",
            mailbox.address(),
            sink.url("/v2/enqueue"),
            sink.url("/slack"),
        );
        let engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", RULES)]).await?;
        let (prometheus, address) =
            prometheus(&engine.folder().join("prometheus"), &engine.url("/api/v1/write"), None)?;
        let received = sink
            .until("PagerDuty and Slack are told", |received| {
                ["/v2/enqueue", "/slack"].iter().all(|path| received.iter().any(|one| one.path == *path))
            })
            .await?;
        let event = received.iter().find(|one| one.path == "/v2/enqueue").context("no event")?;
        ensure!(event.json["event_action"] == "trigger", "{}", event.json);
        ensure!(event.json["payload"]["severity"] == "critical", "{}", event.json);
        let slack = received.iter().find(|one| one.path == "/slack").context("no Slack message")?;
        ensure!(slack.json.to_string().contains("gone at 127.0.0.1:1 is down"), "{}", slack.json);
        let mail = eventually("a mail arrives", async || Ok(mailbox.mails()?.into_iter().next())).await?;
        ensure!(mail.contains("TargetDown"), "{mail}");
        // What Prometheus has, the engine has: the same series, the same number.
        let recorded = eventually("the recording rule has a result", async || {
            let answer = engine.get("/api/v1/query?query=job%3Aup%3Asum").await?;
            let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
            Ok((result.len() == 2).then_some(result))
        })
        .await?;
        ensure!(
            recorded.iter().any(|series| series["metric"]["job"] == "gone" && series["value"][1] == "0"),
            "{recorded:?}"
        );
        // A target that leaves a job ends with a staleness marker, which resolves its alert. (Prometheus writes none for
        // a job that leaves as a whole.)
        let text = std::fs::read_to_string(engine.folder().join("prometheus/prometheus.yml"))?;
        let without = text.replace("targets: ['127.0.0.1:1']", "targets: []");
        ensure!(text != without, "the target is still there");
        std::fs::write(engine.folder().join("prometheus/prometheus.yml"), without)?;
        let pid = prometheus.id().to_string();
        ensure!(Command::new("kill").args(["-HUP", &pid]).status()?.success(), "cannot signal Prometheus at {address}");
        sink.until("the resolve follows the staleness marker", |received| {
            received.iter().any(|one| one.json["event_action"] == "resolve")
        })
        .await?;
        eventually("a second mail tells of it", async || Ok((mailbox.mails()?.len() >= 2).then_some(()))).await
    })
}

fn version_2() -> Result<()> {
    block_on(async {
        let config = "rules: {paths: [rules.yml]}\nroute: {receiver: none}\nreceivers: [{name: none}]\n";
        let engine = Engine::start(&[("watchfire.yml", config), ("rules.yml", RULES)]).await?;
        let (_prometheus, _) = prometheus(
            &engine.folder().join("prometheus"),
            &engine.url("/api/v1/write"),
            Some("io.prometheus.write.v2.Request"),
        )?;
        eventually("samples arrive", async || {
            let answer = engine.get("/api/v1/query?query=up").await?;
            Ok((answer["data"]["result"].as_array().map_or(0, Vec::len) == 2).then_some(()))
        })
        .await?;
        // A sender that misses the response headers of 2.0 falls back or logs; it must do neither.
        let log = std::fs::read_to_string(engine.folder().join("prometheus/prometheus.log"))?;
        ensure!(!log.contains("level=ERROR") && !log.contains("non-recoverable"), "{log}");
        Ok(())
    })
}

fn amtool() -> Result<()> {
    block_on(async {
        // With secrets on one line with other things, and with what Alertmanager does not know.
        let config = "server: {limits: {queries_max: 4}}\n\
                      route: {receiver: team, repeat: exact, routes: [{matchers: [team=db], receiver: db, rate_limit: true}]}\n\
                      receivers: [{name: team, webhook_configs: [{url: 'http://u:sesame@h/', send_resolved: false}]}, \
                      {name: db, pagerduty_configs: [{routing_key: sesame, dedup_key: alert}]}]\n";
        let engine = Engine::start(&[("watchfire.yml", config)]).await?;
        let url = engine.url("");
        let run = |arguments: &[&str]| -> Result<String> {
            let output = Command::new("amtool").arg(format!("--alertmanager.url={url}")).args(arguments).output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(output.status.success(), "amtool {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
            Ok(text)
        };
        run(&["alert", "add", "Disk", "instance=a", "severity=critical"])?;
        run(&["alert", "add", "Disk", "instance=b", "severity=critical"])?;
        let listed = run(&["alert", "query", "-o", "json"])?;
        let listed: Value = serde_json::from_str(&listed)?;
        ensure!(listed.as_array().is_some_and(|alerts| alerts.len() == 2), "{listed}");
        let id = run(&["silence", "add", "instance=a", "--comment=c", "--author=me", "--duration=1h"])?;
        let active: Value = serde_json::from_str(&run(&["alert", "query", "-o", "json"])?)?;
        ensure!(active.as_array().is_some_and(|alerts| alerts.len() == 1), "a silenced alert is hidden: {active}");
        let silences: Value = serde_json::from_str(&run(&["silence", "query", "-o", "json"])?)?;
        ensure!(silences[0]["id"] == id.trim(), "{silences}");
        run(&["silence", "expire", id.trim()])?;
        let active: Value = serde_json::from_str(&run(&["alert", "query", "-o", "json"])?)?;
        ensure!(active.as_array().is_some_and(|alerts| alerts.len() == 2), "{active}");
        let shown = run(&["config", "show"])?;
        ensure!(shown.contains("receiver: team") && !shown.contains("sesame"), "the configuration: {shown}");
        ensure!(run(&["config", "routes", "test", "team=db"])?.trim() == "db", "amtool routes as the engine does");
        ensure!(run(&["config", "routes", "show"])?.contains("{team=\"db\"}"), "amtool draws the tree");
        Ok(())
    })
}

fn plugins() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\nplugins: {{dir: plugins}}\n\
             route:\n\
             \x20 receiver: fallback\n  group_by: ['...']\n  group_wait: 0s\n  group_interval: 1s\n\
             \x20 router: {{plugin: team-router, config: {{teams: {{search: {{hours: '00:00-24:00', in_hours: search, off_hours: search}}}}, default: fallback}}}}\n\
             receivers:\n\
             - name: fallback\n  webhook_configs: [{{url: '{}'}}]\n\
             - name: search\n  slack_configs: [{{api_url: '{}', channel: '#search', formatter: {{plugin: slack-card, config: {{}}}}}}]\n",
            sink.url("/fallback"),
            sink.url("/search"),
        );
        let rules = "groups: [{name: g, rules: [{alert: Odd, expr: latency, \
                     condition: {plugin: ewma-anomaly, config: {sigma: 4, alpha: 0.1, warmup: 5}}, labels: {team: search}}]}]";
        let mut engine = Engine::prepare(&[("watchfire.yml", &config), ("rules.yml", rules)])?;
        install_plugins(&engine.folder().join("plugins"), &["ewma-anomaly", "team-router", "slack-card"])?;
        engine.run_with_plugins(&[]).await?;
        for round in 0..20 {
            let value = 10.0 + f64::from(round % 3) * 0.1;
            engine.push_seen_by("ewma-anomaly", &format!("latency{{service=\"a\"}} {value}\n")).await?;
        }
        ensure!(sink.received().is_empty(), "nothing odd has happened yet: {:?}", sink.received());
        engine.push("latency{service=\"a\"} 500\n").await?;
        let received = sink.until("the anomaly is told", |received| !received.is_empty()).await?;
        ensure!(received[0].path == "/search", "the router chose {}", received[0].path);
        ensure!(
            received[0].json["blocks"].is_array() || received[0].json["attachments"].is_array(),
            "{}",
            received[0].json
        );
        Ok(())
    })
}
