//! Clients: one pool of connections per way to connect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use watchfire_config::{HttpConfig, ProxyConfig, TlsConfig, TlsVersion};

use super::{chain, current, header};

/// How long a connection may take to come up, within the time of the whole attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// What decides whether two integrations can share connections.
#[derive(Clone, Debug, PartialEq)]
struct Transport {
    tls: TlsConfig,
    proxy: ProxyConfig,
    enable_http2: bool,
}

/// Connection pools, one per way to connect.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    clients: Mutex<Vec<Arc<Client>>>,
}

/// A pool of connections. Where certificates are in files, it is made anew when they have changed: they run out, and whoever
/// replaces them does not reload the configuration.
#[derive(Debug)]
pub(crate) struct Client {
    transport: Transport,
    /// What the files held when it was made; nothing if that could not be read.
    made: Mutex<(Option<Vec<String>>, reqwest::Client)>,
}

impl Client {
    fn new(transport: Transport) -> Result<Client, String> {
        let made = Mutex::new((transport.files(), build_client(&transport)?));
        Ok(Client { transport, made })
    }

    /// The pool as the files are now; as they were before if they cannot be read or used, as while they are being replaced.
    pub(crate) fn get(&self) -> reqwest::Client {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let files = self.transport.files();
        if files.is_some() && files != made.0 {
            match build_client(&self.transport) {
                // They are read once more to make it. What has changed in between is looked at by the next request.
                Ok(client) if self.transport.files() == files => *made = (files, client),
                Ok(_) => {}
                Err(reason) => tracing::warn!("certificates that changed are not used: {reason}"),
            }
        }
        made.1.clone()
    }
}

impl Transport {
    /// What the files of certificates and keys hold now; nothing if one of them cannot be read.
    fn files(&self) -> Option<Vec<String>> {
        let tls = &self.tls;
        let paths = [&tls.ca, &tls.cert, &tls.key].into_iter().flatten().filter_map(|credential| credential.path());
        paths.map(|path| std::fs::read_to_string(path).ok()).collect()
    }
}

impl Pools {
    /// The client for a configuration, made once and shared from then on.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub(crate) fn client(&self, config: &HttpConfig) -> Result<Arc<Client>, String> {
        self.shared(Transport {
            tls: config.tls.clone(),
            proxy: config.proxy.clone(),
            enable_http2: config.enable_http2,
        })
    }

    /// The client for the server that makes a receiver's tokens.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub(crate) fn token_client(&self, tls: &TlsConfig, proxy: &ProxyConfig) -> Result<Arc<Client>, String> {
        let transport = Transport { tls: tls.clone(), proxy: proxy.clone(), enable_http2: true };
        self.shared(transport).map_err(|reason| format!("oauth2.{reason}"))
    }

    fn shared(&self, wanted: Transport) -> Result<Arc<Client>, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.iter().find(|client| client.transport == wanted) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::new(wanted)?);
        clients.push(Arc::clone(&client));
        Ok(client)
    }
}

fn build_client(transport: &Transport) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Watchfire/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        // They are followed by `redirect`, which knows what may go where.
        .redirect(reqwest::redirect::Policy::none());
    if !transport.enable_http2 {
        builder = builder.http1_only();
    }
    builder = proxy(builder, &transport.proxy)?;
    builder = tls(builder, &transport.tls)?;
    builder.build().map_err(|error| chain(&error))
}

fn proxy(builder: reqwest::ClientBuilder, config: &ProxyConfig) -> Result<reqwest::ClientBuilder, String> {
    if config.from_environment {
        return Ok(builder);
    }
    let Some(url) = &config.url else {
        return Ok(builder.no_proxy());
    };
    let wrong = || "proxy_url is not the address of a proxy".to_owned();
    // One that is not known is not asked, so that all would go past it.
    let is_known = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    let address = reqwest::Url::parse(url.expose()).ok().filter(is_known).ok_or_else(wrong)?;
    let mut proxy = reqwest::Proxy::all(address).map_err(|_| wrong())?;
    proxy = proxy.no_proxy(reqwest::NoProxy::from_string(&config.no_proxy));
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, values) in &config.connect_headers {
        for value in values {
            let (name, value) = header(name, value.expose())?;
            headers.append(name, value);
        }
    }
    Ok(builder.proxy(if headers.is_empty() { proxy } else { proxy.headers(headers) }))
}

fn tls(mut builder: reqwest::ClientBuilder, config: &TlsConfig) -> Result<reqwest::ClientBuilder, String> {
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls10 => reqwest::tls::Version::TLS_1_0,
        TlsVersion::Tls11 => reqwest::tls::Version::TLS_1_1,
        TlsVersion::Tls12 => reqwest::tls::Version::TLS_1_2,
        TlsVersion::Tls13 => reqwest::tls::Version::TLS_1_3,
    };
    if !config.server_name.is_empty() && !config.insecure_skip_verify {
        return named(config).map(|config| builder.tls_backend_preconfigured(config));
    }
    if let Some(ca) = &config.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(current(ca).as_bytes());
        let certificates = certificates.map_err(|error| format!("tls_config.ca: {}", chain(&error)))?;
        if certificates.is_empty() {
            return Err("tls_config.ca: there is no PEM certificate in it".to_owned());
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(certificate), Some(key)) = (&config.cert, &config.key) {
        let pem = format!("{}\n{}\n", current(certificate), current(key));
        let identity = reqwest::Identity::from_pem(pem.as_bytes());
        builder = builder.identity(identity.map_err(|error| format!("tls_config.cert: {}", chain(&error)))?);
    }
    if config.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    // Only 1.2 and 1.3 are spoken, so an older minimum asks for nothing.
    if let Some(min) = config.min_version.filter(|version| *version >= TlsVersion::Tls12) {
        builder = builder.tls_version_min(version(min));
    }
    if let Some(max) = config.max_version {
        builder = builder.tls_version_max(version(max));
    }
    Ok(builder)
}

/// TLS that expects another name in the server's certificate than that of the host in the address.
///
/// The name that is asked for in the handshake stays the host's: where a receiver is reached by a number or through a
/// tunnel, which is what the setting is for, there is none or it does not matter.
fn named(config: &TlsConfig) -> Result<ClientConfig, String> {
    let name = ServerName::try_from(config.server_name.clone())
        .map_err(|_| "tls_config.server_name is not a name".to_owned())?;
    let mut roots = RootCertStore::empty();
    match &config.ca {
        Some(ca) => {
            for certificate in pem("ca", &current(ca))? {
                roots.add(certificate).map_err(|error| format!("tls_config.ca: {error}"))?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let inner = WebPkiServerVerifier::builder(Arc::new(roots)).build();
    let inner = inner.map_err(|error| format!("tls_config.ca: {error}"))?;
    let only_newest = config.min_version == Some(TlsVersion::Tls13);
    let versions: &[_] = if only_newest { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
    let builder = ClientConfig::builder_with_protocol_versions(versions)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Named { name, inner }));
    let (Some(certificate), Some(key)) = (&config.cert, &config.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_slice(current(key).as_bytes());
    let key = key.map_err(|error| format!("tls_config.key: {error}"))?;
    let certificates = pem("cert", &current(certificate))?;
    builder.with_client_auth_cert(certificates, key).map_err(|error| format!("tls_config.cert: {error}"))
}

fn pem(field: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|error| format!("tls_config.{field}: {error}"))?;
    match found.is_empty() {
        true => Err(format!("tls_config.{field}: there is no PEM certificate in it")),
        false => Ok(found),
    }
}

/// Verifies a certificate as usual, but against a name of the configuration's.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use watchfire_config::Credential;

    use super::*;

    const OLD: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcDCCARWgAwIBAgIUOgly8l/XPk4DWDug3H/WIFiguOowCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAgFw0yNjExMjIwMDU3MjZaGA8yMTI2MTAyOTAwNTcyNlow
DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN/Ov02YB69G
QeJqE4nGZs3nsG9zPTXpsS1Q+kSvLAf8YzYFi9icYwLgW/RhT4+JTEIzZd6N4XYd
LoWq9ujzTwqjUzBRMB0GA1UdDgQWBBSub3j2DGaZf8jlkL1YjsMGD7R7TDAfBgNV
HSMEGDAWgBSub3j2DGaZf8jlkL1YjsMGD7R7TDAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0kAMEYCIQD+/t4WZH784nP4/nb8l5DyKFo68NxgOyqxK9QPg8aP
4gIhAJVzkV4x9skfBQobUZkbR3IAZiQEYnszwjOS7zOB50S8
-----END CERTIFICATE-----
";
    const NEW: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcDCCARWgAwIBAgIUAcME3APIarwfrDuyuNJAduSsEmwwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYjAgFw0yNjExMjIwMDU3MjZaGA8yMTI2MTAyOTAwNTcyNlow
DDEKMAgGA1UEAwwBYjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEQ3rRIVfnFs
O0B3Bc1g+H5CyVVm74G7LGtoWu3IzSeRW6yWpXB1Hz7IIOEGhCEWKrWOfP5JuxSZ
fS1KHgjNq3GjUzBRMB0GA1UdDgQWBBQKpkX23652KwalMSBneTZ3DyPXGDAfBgNV
HSMEGDAWgBQKpkX23652KwalMSBneTZ3DyPXGDAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0kAMEYCIQCqnvs0vQahkR2g38Xox/pqnjQ3BpOjgIbdlsGe27tU
GgIhAKSTejsIhtZv4gnz8SZSKs07KzZMMx8ntg9/H6z/fuAl
-----END CERTIFICATE-----
";

    #[test]
    fn certificates_that_are_replaced_are_used_as_soon_as_they_can_be() {
        crate::http::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, OLD).unwrap();
        let at_load = watchfire_config::Secret::new(OLD.to_owned());
        let ca = Credential::File { path: file.display().to_string(), content: Some(at_load) };
        let tls = TlsConfig { ca: Some(ca), ..TlsConfig::default() };
        let client = Pools::default().client(&HttpConfig { tls, ..HttpConfig::default() }).unwrap();
        let gone = None;
        for (written, used) in [
            (Some(OLD), OLD),
            (Some("-----BEGIN CERT"), OLD),
            (Some(NEW), NEW),
            (Some(""), NEW),
            (gone, NEW),
            (Some(NEW), NEW),
        ] {
            match written {
                Some(written) => std::fs::write(&file, written).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            client.get();
            assert_eq!(client.made.lock().unwrap().0, Some(vec![used.to_owned()]), "{written:?}");
        }
    }
}
