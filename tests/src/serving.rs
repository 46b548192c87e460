//! The socket and what is told over it before, while and after an engine runs; and the pages.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::json;

use crate::Case;
use crate::support::{Engine, Tool, block_on, client, eventually, variable};

pub(crate) const CASES: &[Case] = &[
    Case { name: "serving::a_taken_port_is_told_before_anything_is_touched", needs: &[Tool::Binary], run: taken },
    Case { name: "serving::an_engine_answers_at_each_of_its_addresses", needs: &[Tool::Binary], run: addresses },
    Case { name: "serving::an_engine_that_starts_says_that_it_lives", needs: &[Tool::Binary], run: starting },
    Case { name: "serving::a_stop_waits_for_no_page_that_is_left_open", needs: &[Tool::Binary], run: stop },
    Case { name: "serving::pages_act_for_their_own_site", needs: &[Tool::Binary], run: origins },
    Case { name: "serving::a_storm_has_room_on_a_page", needs: &[Tool::Binary], run: storm },
];

const NOBODY: &str = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n";

/// A process that ends with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serve(folder: &Path, address: SocketAddr) -> Result<Command> {
    let mut command = Command::new(variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY is not set")?);
    command.args(["serve", "--config", "watchfire.yml", "--data", "data", "--listen", &address.to_string()]);
    command.current_dir(folder).stdin(Stdio::null());
    Ok(command)
}

fn taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("watchfire.yml"), NOBODY)?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    let output = serve(folder.path(), other.local_addr()?)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("cannot listen on 127.0.0.1:"), "{said}");
    ensure!(!folder.path().join("data").exists(), "something was touched: {said}");
    Ok(())
}

fn addresses() -> Result<()> {
    block_on(async {
        let mut engine = Engine::prepare(&[("watchfire.yml", NOBODY)])?;
        engine.run_as_alertmanager(&["--web.listen-address=127.0.0.1:0", "--web.listen-address=:0"]).await?;
        let log = engine.log()?;
        let told = log.lines().filter(|line| line.contains("Listening on"));
        let ports: Vec<&str> = told.filter_map(|line| line.rsplit_once(':')).map(|(_, port)| port.trim()).collect();
        ensure!(ports.len() == 3, "two of its own and the one of every test: {log}");
        for port in ports {
            let answer = client()?.get(format!("http://127.0.0.1:{port}/-/ready")).send().await?;
            ensure!(answer.status() == StatusCode::OK, "{port}: {}", answer.status());
        }
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "it ends well");
        Ok(())
    })
}

/// The start waits for a server that holds series and does not answer.
fn starting() -> Result<()> {
    block_on(async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let folder = tempfile::tempdir()?;
        let config = format!(
            "{NOBODY}server: {{route_prefix: /fire}}\nrules: {{paths: [rules.yml]}}\nsources: {{past: {{url: 'http://{}'}}}}\n\
             storage: {{fill: {{from: past, timeout: 10m}}}}\n",
            silent.local_addr()?
        );
        let rules = "groups: [{name: g, rules: [{alert: A, expr: 'avg_over_time(x[5m]) > 1'}]}]\n";
        std::fs::write(folder.path().join("watchfire.yml"), config)?;
        std::fs::write(folder.path().join("rules.yml"), rules)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let _process = Process(serve(folder.path(), address)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let (asked, _) = silent.accept().await?;
        let ask = async |path: &str| -> Result<(u16, String)> {
            let answer = client()?.get(format!("http://{address}{path}")).send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        };
        ensure!(ask("/fire/-/healthy").await? == (200, "Watchfire is healthy.\n".to_owned()), "not healthy");
        for path in ["/fire/-/ready", "/fire/", "/fire/api/v1/query?query=1", "/"] {
            let (status, text) = ask(path).await?;
            ensure!(status == 503 && text.contains("is starting"), "{path}: {status}: {text}");
        }
        // Without an answer it starts with what it has.
        drop((asked, silent));
        eventually("it is ready", async || Ok((ask("/fire/-/ready").await?.0 == 200).then_some(()))).await
    })
}

fn stop() -> Result<()> {
    block_on(async {
        let mut engine = Engine::start(&[("watchfire.yml", NOBODY)]).await?;
        let mut page = client()?.get(engine.url("/api/watchfire/v1/stream")).send().await?.error_for_status()?;
        page.chunk().await?.context("a change")?;
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "the engine did not end well");
        let log = engine.log()?;
        ensure!(log.contains("stopped") && !log.contains("connections were still open"), "{log}");
        Ok(())
    })
}

fn origins() -> Result<()> {
    let config = format!(
        "{NOBODY}server: {{external_url: 'https://alerts.example.org/fire', auth: {{basic: {{ada: secret}}}}}}\n"
    );
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let client = client()?;
        let form = [("matchers", "a=b"), ("duration", "1h"), ("created_by", "Ada"), ("comment", "c")];
        for (origin, host, allowed) in [
            ("https://alerts.example.org", "127.0.0.1:9494", true),
            ("https://alerts.example.org", "alerts.example.org", true),
            ("http://127.0.0.1:9494", "127.0.0.1:9494", true),
            ("http://alerts.example.org", "127.0.0.1:9494", false),
            ("https://alerts.example.org.evil.example", "127.0.0.1:9494", false),
            ("https://evil.example", "alerts.example.org", false),
            ("null", "alerts.example.org", false),
        ] {
            let request = client.post(engine.url("/silences")).basic_auth("ada", Some("secret")).form(&form);
            let answer = request.header("origin", origin).header("host", host).send().await?;
            let refused = answer.status() == StatusCode::FORBIDDEN;
            ensure!(refused != allowed, "{origin} at {host}: {}", answer.status());
        }
        let page = client.get(engine.url("/silences")).basic_auth("ada", Some("secret")).send().await?;
        let policy = page.headers().get("content-security-policy").and_then(|value| value.to_str().ok());
        ensure!(policy.is_some_and(|policy| policy.contains("frame-ancestors 'self'")), "{policy:?}");
        Ok(())
    })
}

/// More alerts than a page shows: the worst are there, the others are counted, and a filter finds them.
fn storm() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", NOBODY)]).await?;
        let runbook = json!({"runbook_url": "https://runbooks.example/disk", "summary": "full"});
        let alert = |number: u32| json!({"labels": {"alertname": "Disk", "host": format!("h{number}"), "mount point": "/"}, "annotations": runbook});
        let alerts: Vec<_> = (0..1_000).map(alert).collect();
        engine.post_ok("/api/v2/alerts", "application/json", json!(alerts).to_string()).await?;
        let all = engine.text("/").await?;
        let shown = |page: &str| page.matches("<article").count();
        ensure!(shown(&all) == 300 && all.contains("700 more alerts") && all.contains("1000 alerts fire"), "{all}");
        let one = engine.text("/?filter=host%3D%22h7%22").await?;
        ensure!(shown(&one) == 1 && one.contains("host=h7<"), "{one}");
        ensure!(one.contains("href=\"https://runbooks.example/disk\""), "{one}");
        // Its link to a silence names it, whatever its labels are called.
        let link = one.split("href=\"").find_map(|rest| rest.split('"').next()?.strip_prefix("/silences?"));
        let form = engine.text(&format!("/silences?{}", link.context("a link to silences")?)).await?;
        ensure!(form.contains("&#34;mount point&#34;=&#34;/&#34;"), "{form}");
        ensure!(shown(&engine.text("/?receiver=none").await?) == 300, "all are for the only receiver");
        let nobody = engine.text("/?receiver=other").await?;
        ensure!(shown(&nobody) == 0 && nobody.contains("No alert passes the filter"), "{nobody}");
        let wrong = engine.text("/?filter=%7B%7B").await?;
        ensure!(wrong.contains("cannot be read"), "{wrong}");
        Ok(())
    })
}
