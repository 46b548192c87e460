//! The demo and the pages in a real browser, driven through the W3C WebDriver protocol.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, Tool, block_on, client, eventually, install_plugins, root, variable};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "browser::the_demo_ends_with_three_messages_on_the_page",
        needs: &[Tool::Binary, Tool::Plugins, Tool::Chromium],
        run: demo,
    },
    Case {
        name: "browser::a_page_that_changes_leaves_what_somebody_does",
        needs: &[Tool::Binary, Tool::Chromium],
        run: typing,
    },
];

/// A browser window without a screen; ends with the value.
struct Browser {
    driver: Child,
    client: Client,
    session: String,
}

impl Browser {
    async fn start() -> Result<Browser> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver")?;
        let client = client()?;
        let base = format!("http://127.0.0.1:{port}");
        let mut browser = Browser { driver, client, session: String::new() };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1500,1000",
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": arguments, "binary": chromium()? },
        } } });
        let session = eventually("the browser starts", async || {
            let answer = browser.client.post(format!("{base}/session")).json(&capabilities).send().await;
            let Ok(answer) = answer else { return Ok(None) };
            let answer: Value = answer.json().await?;
            let id = answer["value"]["sessionId"].as_str().map(str::to_owned);
            ensure!(id.is_some() || answer["value"]["error"].is_null(), "{answer}");
            Ok(id)
        })
        .await?;
        browser.session = format!("{base}/session/{session}");
        Ok(browser)
    }

    async fn command(&self, path: &str, body: Value) -> Result<Value> {
        let answer = self.client.post(format!("{}{path}", self.session)).json(&body).send().await?;
        let answer: Value = answer.json().await?;
        ensure!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]);
        Ok(answer["value"].clone())
    }

    async fn open(&self, url: &str) -> Result<()> {
        self.command("/url", json!({ "url": url })).await.map(drop)
    }

    async fn script(&self, script: &str) -> Result<Value> {
        self.command("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Clicks as a person would: at the place of the element, not through a script.
    async fn click(&self, selector: &str) -> Result<()> {
        let element = self.command("/element", json!({ "using": "css selector", "value": selector })).await?;
        let id = element.as_object().and_then(|object| object.values().next()).and_then(Value::as_str);
        let id = id.with_context(|| format!("{selector} is not on the page"))?;
        self.command(&format!("/element/{id}/click"), json!({})).await.map(drop)
    }

    /// A picture of the page, kept where `WATCHFIRE_SCREENSHOTS` says, if it says.
    async fn picture(&self, name: &str) -> Result<()> {
        let Some(folder) = variable("WATCHFIRE_SCREENSHOTS") else { return Ok(()) };
        let answer: Value = self.client.get(format!("{}/screenshot", self.session)).send().await?.json().await?;
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            answer["value"].as_str().unwrap_or_default(),
        )?;
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), bytes)?;
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver leads a process group of its own, to which its browser belongs.
        drop(Command::new("kill").args(["-TERM", "--"]).arg(format!("-{}", self.driver.id())).status());
        drop(self.driver.wait());
    }
}

fn chromium() -> Result<String> {
    let path = variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|path| path.is_file());
    Ok(found.context("chromium is not installed")?.display().to_string())
}

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Somebody types why, with a hand on the button, while alerts come and go.
fn typing() -> Result<()> {
    block_on(async {
        let config = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n";
        let engine = Engine::start(&[("watchfire.yml", config)]).await?;
        let send = async |name: &str| {
            let alert =
                json!([{"labels": {"alertname": name, "note": "</pre><script>document.title = 'taken'</script>"}}]);
            engine.post_ok("/api/v2/alerts", "application/json", alert.to_string()).await
        };
        send("Middle").await?;
        let browser = Browser::start().await?;
        browser.open(&engine.url("/")).await?;
        let begin = "const act = document.querySelector('details.act'); act.open = true;
            act.querySelector('[name=comment]').value = 'looking';
            act.querySelector('[value=acknowledge]').focus(); return act.id";
        browser.script(begin).await?;
        for (name, count) in [("Above", 2), ("Zenith", 3)] {
            send(name).await?;
            eventually("the page shows it", async || {
                let shown = browser.script("return document.querySelectorAll('article').length").await?;
                Ok((shown == count).then_some(()))
            })
            .await?;
        }
        let end = "const act = document.activeElement.closest('details'); return [
            document.activeElement.value, act?.open, act?.querySelector('[name=comment]').value,
            act?.closest('article').querySelector('.title').textContent, document.title]";
        let left = browser.script(end).await?;
        let expected = json!(["acknowledge", true, "looking", "Middle", "3 firing · Watchfire"]);
        ensure!(left == expected, "{left}");
        browser.picture("page-typing").await?;
        // A wish that cannot be fulfilled is told, and the page goes on.
        browser
            .script(
                "const act = document.querySelector('details.act'); act.open = true;
            act.querySelector('[name=by]').value = 'Ada'; act.querySelector('[name=duration]').value = 'soon';
            act.querySelector('[value=snooze]').click()",
            )
            .await?;
        eventually("the mistake is told", async || {
            let told = browser.script("return document.querySelector('.mistake')?.innerText ?? ''").await?;
            Ok(told.as_str().is_some_and(|told| told.contains("soon")).then_some(()))
        })
        .await?;
        send("Last").await?;
        eventually("the page goes on", async || {
            let shown = browser.script("return document.querySelectorAll('article').length").await?;
            Ok((shown == 4).then_some(()))
        })
        .await
    })
}

fn demo() -> Result<()> {
    block_on(async {
        let folder = tempfile::tempdir()?;
        let (output, plugins) = (folder.path().join("demo.out"), folder.path().join("plugins"));
        install_plugins(&plugins, &["ewma-anomaly", "team-router", "slack-card"])?;
        let child = Command::new(variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?)
            .args(["demo", "--listen", "127.0.0.1:0", "--plugins"])
            .arg(&plugins)
            .arg("--data")
            .arg(folder.path().join("data"))
            .current_dir(root())
            .stdout(std::fs::File::create(&output)?)
            .stderr(std::fs::File::create(folder.path().join("demo.err"))?)
            .spawn()?;
        let _demo = Demo(child);
        let url = eventually("the demo prints its URL", async || {
            let text = std::fs::read_to_string(&output)?;
            let url = text.split_whitespace().find_map(|word| word.find("http://").map(|at| word[at..].to_owned()));
            Ok(url.map(|url| url.trim_end_matches("\u{1b}[0m").to_owned()))
        })
        .await?;
        let browser = Browser::start().await?;
        browser.open(&url).await?;
        browser.click("[data-break=logins]").await?;
        browser.click("[data-break=file]").await?;
        let shown = |channel: &str, text: &str| {
            format!(
                "return [...document.querySelectorAll('[data-channel={channel}]')].some(e => (e.innerText + (e.querySelector('iframe')?.srcdoc ?? '')).includes('{text}'))"
            )
        };
        for (channel, text) in [
            ("pagerduty", "failed logins as admin"),
            ("slack", "failed logins as admin"),
            ("mail", "failed logins as admin"),
        ] {
            eventually(&format!("{channel} shows the message"), async || {
                Ok((browser.script(&shown(channel, text)).await? == true).then_some(()))
            })
            .await?;
        }
        browser.picture("demo-firing").await?;
        let mut silences = Vec::new();
        for links in [
            "[...document.querySelectorAll('[data-channel=slack] a.button')]",
            "[...document.querySelectorAll('[data-channel=mail] iframe')]\
             .flatMap(mail => [...new DOMParser().parseFromString(mail.srcdoc, 'text/html').links])",
        ] {
            let script = format!("return {links}.find(link => link.textContent.trim() === 'Silence')?.href");
            let link = browser.script(&script).await?;
            silences.push(link.as_str().with_context(|| format!("no link to a silence among {links}"))?.to_owned());
        }
        eventually("PagerDuty shows the incident resolved", async || {
            let resolved = "return [...document.querySelectorAll('[data-channel=pagerduty]')].some(e => \
                            e.innerText.includes('failed logins') && e.querySelector('.state').innerText === 'resolved')";
            Ok((browser.script(resolved).await? == true).then_some(()))
        })
        .await?;
        browser.picture("demo-resolved").await?;
        // The links of messages, a plugin's and the built-in one, open the silence's form with the group's labels in it.
        for link in &silences {
            browser.open(link).await?;
            eventually(&format!("the form is filled in from {link}"), async || {
                let value =
                    browser.script("return document.querySelector('input[name=matchers]')?.value ?? ''").await?;
                Ok(value.as_str().is_some_and(|value| value.contains("alertname=\"")).then_some(()))
            })
            .await?;
        }
        let base = url.trim_end_matches("/demo");
        // The other pages stand and show what they are for.
        for (path, text) in [
            ("/", "fire"),
            ("/alerts", "fire"),
            ("/rules", "condition: ewma-anomaly"),
            ("/silences", "Silences"),
            ("/notifications", "what each receiver knows"),
        ] {
            browser.open(&format!("{base}{path}")).await?;
            let body = browser.script("return document.body.innerText").await?;
            ensure!(body.as_str().is_some_and(|body| body.contains(text)), "{path} does not show {text:?}: {body}");
            browser.picture(&format!("page-{}", path.trim_start_matches('/'))).await?;
        }
        Ok(())
    })
}
