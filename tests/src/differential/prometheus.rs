//! A Prometheus server as a process, filled by remote-write and asked over its API.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;

use super::remote_write;
use super::series::Data;
use crate::support::client;

/// A server with its data; ends with the value.
pub(crate) struct Prometheus {
    process: Child,
    pub(crate) client: Client,
    url: String,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a server with these feature flags.
    pub(crate) fn start(features: &str) -> Result<Prometheus> {
        Prometheus::start_with(features, &[])
    }

    /// The same with further flags.
    pub(crate) fn start_with(features: &str, flags: &[&str]) -> Result<Prometheus> {
        let folder = TempDir::new()?;
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "storage: {tsdb: {out_of_order_time_window: 1d}}\n")?;
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver"])
            .arg(format!("--enable-feature={features}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start prometheus")?;
        let mut said = BufReader::new(process.stderr.take().context("it has no output")?);
        let (mut line, mut all, mut address) = (String::new(), String::new(), None);
        let mut ready = false;
        while !ready || address.is_none() {
            line.clear();
            ensure!(said.read_line(&mut line)? > 0, "prometheus ended at once:\n{all}");
            all.push_str(&line);
            ready |= line.contains("Server is ready to receive web requests");
            if line.contains("Listening on") {
                let rest = line.split("address=").nth(1).unwrap_or_default();
                address = rest.split_whitespace().next().map(str::to_owned);
            }
        }
        // It ends with the server.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let address = address.context("prometheus does not say where it listens")?;
        Ok(Prometheus { process, client: client()?, url: format!("http://{address}"), _folder: folder })
    }

    /// Writes all samples, in order of time.
    pub(crate) async fn fill(&self, data: &Data) -> Result<()> {
        for slice in data.slices() {
            let headers = [
                ("content-type", "application/x-protobuf"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "0.1.0"),
            ];
            let answer = self.post("/api/v1/write", &headers, remote_write::request(data, slice)).await?;
            let (status, text) = (answer.status(), answer.text().await?);
            ensure!(status.is_success(), "prometheus refuses samples: {status}: {text}");
        }
        Ok(())
    }

    /// POST of a body.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Response> {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Ok(request.send().await?)
    }

    /// GET of a path that has no parameters.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let text = self.client.get(format!("{}{path}", self.url)).send().await?.text().await?;
        serde_json::from_str(&text).with_context(|| format!("{path} is no JSON: {text}"))
    }

    /// Asks the API; errors in Prometheus' shape are answers too.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let answer = self.client.post(format!("{}{path}", self.url)).form(parameters).send().await?;
        let text = answer.text().await?;
        serde_json::from_str(&text).with_context(|| format!("{path} is no JSON: {text}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The test is over either way; a process that is gone already is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
