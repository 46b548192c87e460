//! The engine's binary as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{OpenApi, eventually, faketime, variable};

/// Where the engine describes its own API.
pub(crate) const OWN_DOCUMENT: &str = "/api/watchfire/v1/openapi.json";

/// A folder with a configuration, and the engine that runs on it; ends with the value.
pub(crate) struct Engine {
    folder: TempDir,
    process: Option<Child>,
    /// By how much its clock is ahead, as libfaketime reads it.
    ahead: Option<String>,
    address: Option<SocketAddr>,
    client: Client,
}

impl Engine {
    /// A folder with these files (`watchfire.yml` among them) and nothing running yet.
    pub(crate) fn prepare(files: &[(&str, &str)]) -> Result<Engine> {
        let engine = Engine { folder: TempDir::new()?, process: None, ahead: None, address: None, client: client()? };
        for (name, text) in files {
            engine.write(name, text)?;
        }
        Ok(engine)
    }

    /// The same, started and ready.
    pub(crate) async fn start(files: &[(&str, &str)]) -> Result<Engine> {
        let mut engine = Engine::prepare(files)?;
        engine.run(&[]).await?;
        Ok(engine)
    }

    /// From the next start on its clock is ahead by this much, such as `+5h`.
    pub(crate) fn set_clock_ahead(&mut self, by: &str) {
        self.ahead = Some(by.to_owned());
    }

    /// Starts the process and waits until it is ready. A second start uses the same address and data.
    pub(crate) async fn run(&mut self, options: &[&str]) -> Result<()> {
        self.run_below("", options).await
    }

    /// The same, and waits until its plugins are compiled, for which the engine itself never waits.
    pub(crate) async fn run_with_plugins(&mut self, options: &[&str]) -> Result<()> {
        self.run(options).await?;
        eventually("the plugins are compiled", async || {
            let answer = self.get("/api/watchfire/v1/plugins").await?;
            let plugins = answer["plugins"].as_array().context("plugins")?;
            Ok(plugins.iter().all(|plugin| plugin["compiling"] == false).then_some(()))
        })
        .await
    }

    /// The same where `server.route_prefix` is not empty.
    pub(crate) async fn run_below(&mut self, prefix: &str, options: &[&str]) -> Result<()> {
        let config = if options.contains(&"--config") { &[][..] } else { &["--config", "watchfire.yml"] };
        let serve = [&["serve", "--data", "data"][..], config, options].concat();
        self.start_process("--listen", prefix, &serve).await
    }

    /// Starts it under Alertmanager's command line.
    pub(crate) async fn run_as_alertmanager(&mut self, options: &[&str]) -> Result<()> {
        let serve = [&["alertmanager", "--config.file=watchfire.yml"][..], options].concat();
        self.start_process("--web.listen-address", "", &serve).await
    }

    async fn start_process(&mut self, listen_flag: &str, prefix: &str, arguments: &[&str]) -> Result<()> {
        ensure!(self.process.is_none(), "the engine runs already");
        let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY is not set")?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let logged_before = std::fs::read_to_string(self.log_path())?.len();
        let listen = self.address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let mut command = Command::new(binary);
        if let Some(ahead) = &self.ahead {
            // Neither timers nor the times of files are to be faked.
            let library = faketime().context("libfaketime is not installed")?;
            command.env("LD_PRELOAD", library).env("FAKETIME", ahead);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        }
        let child = command
            .args(arguments)
            .args([listen_flag, &listen])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start the engine")?;
        self.process = Some(child);
        let address = eventually("the engine says where it listens", async || {
            if let Some(status) = self.process.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("the engine ended at once ({status}):\n{}", self.log()?);
            }
            let log = self.log()?;
            let fresh = log.get(logged_before..).unwrap_or_default();
            let line = fresh.lines().find(|line| line.contains("Listening on"));
            let address =
                line.and_then(|line| line.split("address=").nth(1)).and_then(|rest| rest.split_whitespace().next());
            Ok(address.and_then(|address| address.parse::<SocketAddr>().ok()))
        })
        .await?;
        self.address = Some(address);
        eventually("the engine is ready", async || {
            let answer = self.client.get(self.url(&format!("{prefix}/-/ready"))).send().await;
            Ok(answer.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(()))
        })
        .await
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.process.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// A signal by its name, as `kill -NAME` sends it.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let child = self.process.as_ref().context("the engine does not run")?;
        let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status()?;
        ensure!(status.success(), "kill failed");
        Ok(())
    }

    /// The memory of the process in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let child = self.process.as_ref().context("the engine does not run")?;
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", child.id()))?;
        let pages: u64 = statm.split_whitespace().nth(1).context("statm has more fields")?.parse()?;
        Ok(pages * 4_096)
    }

    /// Waits for the process to end by itself; true if it ended well.
    pub(crate) async fn ended(&mut self) -> Result<bool> {
        let mut child = self.process.take().context("the engine does not run")?;
        let status = eventually("the engine ends", async || Ok(child.try_wait()?)).await?;
        Ok(status.success())
    }

    /// Where it is reached.
    pub(crate) fn url(&self, path: &str) -> String {
        let address = self.address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        format!("http://{address}{path}")
    }

    /// The folder with configuration, rules and data.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the folder the way an editor does: beside, then moved over.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        let beside = path.with_extension("new");
        std::fs::write(&beside, text)?;
        std::fs::rename(beside, path)?;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("engine.log")
    }

    /// Everything that it has logged so far.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.log_path())?)
    }

    /// GET, with JSON as the answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.client.get(self.url(path)).send().await?;
        let answer = self.judged("GET", path, answer).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "GET {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("GET {path} is no JSON: {text}"))
    }

    /// GET, with text as the answer.
    pub(crate) async fn text(&self, path: &str) -> Result<String> {
        let answer = self.client.get(self.url(path)).send().await?;
        Ok(self.judged("GET", path, answer).await?.error_for_status()?.text().await?)
    }

    /// POST of any body with any headers.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<Response> {
        let mut request = self.client.post(self.url(path)).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.judged("POST", path, request.send().await?).await
    }

    /// The status of the answer to bytes that are sent as they are, which need not be a whole request.
    pub(crate) async fn status_of(&self, bytes: &str) -> Result<u16> {
        let mut stream = TcpStream::connect(self.address.context("the engine does not run")?).await?;
        stream.write_all(bytes.as_bytes()).await?;
        let mut answer = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.strip_prefix("HTTP/1.1 ").and_then(|status| status.parse().ok()).context(answer)
    }

    /// The answer, if it fits the engine's own OpenAPI document or is none of its own API.
    async fn judged(&self, method: &str, path: &str, answer: Response) -> Result<Response> {
        static DOCUMENT: OnceLock<OpenApi> = OnceLock::new();
        let own = path.starts_with("/api/watchfire/v1/") || path.starts_with("/v1/alerting/");
        // A method that the document does not know is refused.
        if !own || path == OWN_DOCUMENT || answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(answer);
        }
        if DOCUMENT.get().is_none() {
            let document = self.client.get(self.url(OWN_DOCUMENT)).send().await?;
            if document.status() == StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
            // Another test may have been sooner; it has the same.
            drop(DOCUMENT.set(OpenApi(document.error_for_status()?.json().await?)));
        }
        let document = DOCUMENT.get().context("it was just fetched")?;
        let (status, headers, body) = (answer.status(), answer.headers().clone(), answer.bytes().await?);
        document.check(method, path, status.as_u16(), &String::from_utf8_lossy(&body))?;
        let mut again = axum::http::Response::new(body);
        (*again.status_mut(), *again.headers_mut()) = (status, headers);
        Ok(again.into())
    }

    /// POST that must be answered 2xx.
    pub(crate) async fn post_ok(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<String> {
        let answer = self.post(path, &[("content-type", content_type)], body).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "POST {path}: {status}: {text}");
        Ok(text)
    }

    /// The value of one of the engine's own metrics, by its name with labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let metrics = self.text("/metrics").await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.with_context(|| format!("there is no metric {name}:\n{metrics}"))?.parse().context("a number")
    }

    /// How often a plugin was called so far, by the engine's own metrics.
    pub(crate) async fn plugin_calls(&self, plugin: &str) -> Result<u64> {
        let metrics = self.text("/metrics").await?;
        let name = format!("watchfire_plugin_call_duration_seconds_count{{plugin=\"{plugin}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(count.map(str::parse::<f64>).transpose()?.unwrap_or(0.0) as u64)
    }

    /// Pushes samples in the text format and waits until a plugin was called again, so that it sees each of them however
    /// slow the machine is.
    pub(crate) async fn push_seen_by(&self, plugin: &str, exposition: &str) -> Result<()> {
        let before = self.plugin_calls(plugin).await?;
        self.push(exposition).await?;
        eventually("the plugin is called", async || Ok((self.plugin_calls(plugin).await? > before).then_some(()))).await
    }

    /// Pushes samples in the text format.
    pub(crate) async fn push(&self, exposition: &str) -> Result<()> {
        self.post_ok("/api/v1/import/prometheus", "text/plain; version=0.0.4", exposition).await.map(drop)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // The test is over either way; a process that is gone already is as good.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A client that gives up after a while.
pub(crate) fn client() -> Result<Client> {
    // Installing it twice is no error worth telling.
    drop(rustls::crypto::ring::default_provider().install_default());
    Ok(Client::builder().timeout(Duration::from_secs(30)).build()?)
}
