//! Telling an OpenTelemetry collector of spans, by OTLP over HTTP.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{Secret, TracingConfig};

use crate::http::{self, Connection, Pools};
use crate::{Method, Redactor, Request};

/// How much of an answer is read: it says nothing beside its status.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// A collector, ready to be told.
#[derive(Debug)]
pub struct Collector {
    config: TracingConfig,
    connection: Connection,
}

impl Collector {
    /// Prepares the connection.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub fn new(config: &TracingConfig) -> Result<Collector, String> {
        http::install_crypto();
        let connection = Connection::new(&Pools::default(), &config.http, config.timeout.to_std())?;
        Ok(Collector { config: config.clone(), connection })
    }

    /// Sends an `ExportTraceServiceRequest` in protobuf once, with headers beside those of the configuration.
    ///
    /// # Errors
    /// Why it was not taken, without a secret.
    pub async fn send(&self, spans: Vec<u8>, headers: Vec<(String, Secret)>) -> Result<(), String> {
        let mut request = request(&self.config, spans);
        request.headers.extend(headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())));
        let fetched = self.connection.fetch(&mut request, ANSWER_BYTES_MAX).await;
        let secrets = self.connection.secrets();
        let own = headers.iter().map(|(_, value)| value.expose());
        match fetched {
            Ok(fetched) if matches!(fetched.status, 200..=299) => Ok(()),
            Ok(fetched) => Err(format!("it answered {}", fetched.status)),
            Err(DeliveryOutcome::Delivered { .. }) => Ok(()),
            Err(
                DeliveryOutcome::Retry { reason, .. }
                | DeliveryOutcome::Partly { reason, .. }
                | DeliveryOutcome::Rejected { reason }
                | DeliveryOutcome::RejectedInPart { reason, .. },
            ) => Err(Redactor::new(secrets.iter().map(String::as_str).chain(own)).text(&reason)),
        }
    }
}

fn request(config: &TracingConfig, spans: Vec<u8>) -> Request {
    let mut headers = vec![("Content-Type".to_owned(), "application/x-protobuf".to_owned())];
    let body = match config.gzip.then(|| compressed(&spans)) {
        Some(Ok(compressed)) => {
            headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
            compressed
        }
        _ => spans,
    };
    Request { method: Method::Post, url: config.url.clone(), headers, body, notes: Vec::new() }
}

fn compressed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
