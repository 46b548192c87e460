//! Asking a server that speaks Prometheus' query API.

use thiserror::Error;
use watchfire_config::PrometheusConfig;
use watchfire_model::{Duration, Timestamp};

use crate::outcome::bounded;
use crate::request::form_text;
use crate::server::{Server, ServerError};
use crate::{Method, Request};

/// A server, ready to be asked.
#[derive(Debug)]
pub struct Prometheus {
    config: PrometheusConfig,
    server: Server,
}

/// Why a server gave no answer. No text of it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrometheusError {
    /// It could not be reached, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// It answered with a status that is no answer.
    #[error("HTTP {status}: {said}")]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// Its answer passes `answer_bytes_max`.
    #[error("the answer has more than {bytes_max} bytes (`answer_bytes_max` of the source)")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
}

impl Prometheus {
    /// Prepares the connection.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub fn new(config: &PrometheusConfig) -> Result<Prometheus, String> {
        let server = Server::new(&config.http, config.timeout.to_std())?;
        Ok(Prometheus { config: config.clone(), server })
    }

    /// How it was configured.
    pub fn config(&self) -> &PrometheusConfig {
        &self.config
    }

    /// Asks an instant query and answers the body, which also says so if the query failed.
    ///
    /// # Errors
    /// If there is no answer of the query API.
    pub async fn query(&self, text: &str, at: Timestamp) -> Result<Vec<u8>, PrometheusError> {
        self.fetch(query_request(&self.config, text, at)).await
    }

    /// Sends a remote-read request, compressed as it must be, and answers the body.
    ///
    /// # Errors
    /// If there is no answer; `Refused` from a server that has no remote-read.
    pub async fn read(&self, body: Vec<u8>) -> Result<Vec<u8>, PrometheusError> {
        self.fetch(read_request(&self.config, body)).await
    }

    async fn fetch(&self, request: Request) -> Result<Vec<u8>, PrometheusError> {
        let bytes_max = self.config.answer_bytes_max;
        let said = self.server.ask(request, usize::try_from(bytes_max).unwrap_or(usize::MAX)).await;
        let said = said.map_err(|error| match error {
            ServerError::Unreachable(reason) => PrometheusError::Unreachable(reason),
            ServerError::TooLarge { .. } => PrometheusError::TooLarge { bytes_max },
        })?;
        // These statuses come with a body in the API's form, which says more than the status.
        let is_answer = matches!(said.status, 200..=299) || said.body.starts_with(b"{\"status\":");
        if is_answer {
            return Ok(said.body);
        }
        let text = self.server.redactor().text(bounded(&String::from_utf8_lossy(&said.body)));
        Err(PrometheusError::Refused { status: said.status, said: text })
    }
}

/// An instant query. It is posted, since an expression may be longer than an address can be.
fn query_request(config: &PrometheusConfig, text: &str, at: Timestamp) -> Request {
    let form = [
        ("query", text.to_owned()),
        ("time", seconds(at.since(Timestamp::EPOCH))),
        ("timeout", format!("{}s", seconds(config.timeout))),
    ];
    let own = config.params.iter().map(|(name, value)| (name.as_str(), value.clone()));
    Request::post_form(format!("{}/api/v1/query", config.url), form.into_iter().chain(own))
}

fn read_request(config: &PrometheusConfig, body: Vec<u8>) -> Request {
    let own = form_text(config.params.iter().map(|(name, value)| (name.as_str(), value)));
    let separator = if own.is_empty() { "" } else { "?" };
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Read-Version", "0.1.0"),
    ];
    Request {
        method: Method::Post,
        url: format!("{}/api/v1/read{separator}{own}", config.url),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body,
        notes: Vec::new(),
    }
}

/// Seconds with as many digits as they need, exact to the millisecond.
fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis.rem_euclid(1000) {
        0 => (millis / 1000).to_string(),
        _ => format!("{}{}.{:03}", if millis < 0 { "-" } else { "" }, (millis / 1000).abs(), (millis % 1000).abs()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_query_is_posted_with_the_parameters_of_its_source() {
        let params = BTreeMap::from([("extra_label".to_owned(), "env=a b".to_owned())]);
        let config = PrometheusConfig { params, ..PrometheusConfig::at("http://vm:8428/prometheus/") };
        for (at, time) in [(1_767_571_200_250, "1767571200.250"), (60_000, "60"), (-250, "-0.250")] {
            let request = query_request(&config, "up == 0", Timestamp::from_millis(at));
            assert_eq!(request.url, "http://vm:8428/prometheus/api/v1/query");
            let expected = format!("query=up%20%3D%3D%200&time={time}&timeout=30s&extra_label=env%3Da%20b");
            assert_eq!(String::from_utf8(request.body).unwrap(), expected);
        }
        let read = read_request(&config, vec![1]).url;
        assert_eq!(read, "http://vm:8428/prometheus/api/v1/read?extra_label=env%3Da%20b");
    }
}
