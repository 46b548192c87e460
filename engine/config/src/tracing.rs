//! `tracing`: who gets the engine's traces, in the words of Alertmanager and Prometheus.

use watchfire_model::Duration;

use crate::decode::Fields;
use crate::http::{HttpConfig, ProxyConfig, headers, tls_config};

/// Who gets traces, and how many of them. They are sent by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingConfig {
    /// The whole address, with its path.
    pub url: String,
    /// How many of the traces are sent, from above 0 through 1.
    pub sampling_fraction: f64,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// How long the collector may take for a request.
    pub timeout: Duration,
    /// Certificates and headers.
    pub http: HttpConfig,
}

impl TracingConfig {
    /// All traces, to an address.
    pub fn new(url: impl Into<String>) -> TracingConfig {
        TracingConfig {
            url: url.into(),
            sampling_fraction: 1.0,
            gzip: false,
            timeout: Duration::from_secs(5),
            http: HttpConfig {
                // Headers may be credentials, which are for nobody whom the collector names.
                follow_redirects: false,
                proxy: ProxyConfig { from_environment: true, ..ProxyConfig::default() },
                ..HttpConfig::default()
            },
        }
    }
}

/// The value of `tracing`; nothing where it asks for what is not done here, which a warning says.
pub(crate) fn tracing(f: &mut Fields<'_, '_>) -> Option<TracingConfig> {
    let client = f.word("client_type", &["http", "grpc"]);
    let endpoint = f.required("endpoint", "name the collector, such as localhost:4318");
    let fraction = f.number("sampling_fraction").unwrap_or(0.0);
    let scheme = if f.boolean("insecure").unwrap_or(false) { "http" } else { "https" };
    let tls = tls_config(f, "tls_config").unwrap_or_default();
    let headers = headers(f, "headers");
    let gzip = f.word("compression", &["gzip", ""]) == Some("gzip");
    let timeout = f.duration("timeout").filter(|timeout| !timeout.is_zero());
    let endpoint = endpoint?;
    let nothing = "no traces are sent";
    if client != Some("http") {
        // Without the key Alertmanager takes gRPC; a wrong word has been told.
        if client.is_some() || !f.has("client_type") {
            f.warning("client_type", "unsupported", format!("{nothing}: OTLP over gRPC is not spoken here"))
                .help("write `client_type: http` and the port for HTTP, which is mostly 4318");
        }
        return None;
    }
    let is_address =
        endpoint.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !is_address || endpoint.contains(['/', '@', '?', '#', ' ']) {
        f.warning("endpoint", "bad-value", format!("{nothing}: `endpoint` is not a host with a port"))
            .help("write it like `localhost:4318`; `insecure: true` says that it is reached without TLS");
        return None;
    }
    if fraction.is_nan() || fraction <= 0.0 {
        f.warning(
            "sampling_fraction",
            "bad-value",
            format!("{nothing}: `sampling_fraction` is 0, which is the default"),
        )
        .help("write `sampling_fraction: 1` for all of them, or 0.1 for a tenth");
        return None;
    }
    let whole = TracingConfig::new(format!("{scheme}://{endpoint}/v1/traces"));
    Some(TracingConfig {
        sampling_fraction: fraction.min(1.0),
        gzip,
        timeout: timeout.unwrap_or(whole.timeout),
        http: HttpConfig { tls, headers, ..whole.http },
        ..whole
    })
}
