//! The sender of mail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Identity, Tls, TlsParameters, TlsVersion};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{EmailConfig, TlsVersion as ConfiguredVersion};

use crate::email::Mail;
use crate::http::{chain, current};
use crate::outcome::bounded;

/// The port on which encryption comes before the first word.
const SMTPS_PORT: u16 = 465;
/// Connections to one server.
const CONNECTIONS_MAX: u32 = 4;
/// How long an unused connection is kept; servers close them after some minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a mail server is reached: settings without the password, which may change while the program runs.
pub(crate) struct Smtp {
    config: EmailConfig,
    timeout: Duration,
    /// The transport with the password that it was made for.
    open: Mutex<Option<(String, AsyncSmtpTransport<Tokio1Executor>)>>,
}

impl Smtp {
    /// Checks the settings; the connection is made with the first mail.
    ///
    /// # Errors
    /// If the settings ask for something that cannot be done.
    pub(crate) fn new(config: EmailConfig, timeout: Duration) -> Result<Smtp, String> {
        let has_secret = config.auth_secret.as_ref().is_some_and(|secret| !secret.expose().is_empty());
        if has_secret && config.auth_password.is_none() {
            return Err("auth_secret (CRAM-MD5) is not supported by this version; use auth_password".to_owned());
        }
        let smtp = Smtp { config, timeout, open: Mutex::new(None) };
        smtp.connect(&smtp.password())?;
        Ok(smtp)
    }

    fn password(&self) -> String {
        self.config.auth_password.as_ref().map(current).unwrap_or_default()
    }

    /// The secrets, for the redactor.
    pub(crate) fn secrets(&self) -> Vec<String> {
        vec![self.password()]
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let password = self.password();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, transport)) = &*open
            && *known == password
        {
            return Ok(transport.clone());
        }
        let transport = self.connect(&password)?;
        *open = Some((password, transport.clone()));
        Ok(transport)
    }

    fn connect(&self, password: &str) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let config = &self.config;
        let (host, port) = &config.smarthost;
        let implicit = config.force_implicit_tls.unwrap_or(*port == SMTPS_PORT);
        let tls = match (implicit, config.require_tls) {
            (true, _) => Tls::Wrapper(tls_parameters(config)?),
            (false, true) => Tls::Required(tls_parameters(config)?),
            (false, false) => Tls::None,
        };
        let encrypted = implicit || config.require_tls;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str())
            .port(*port)
            .tls(tls)
            .timeout(Some(self.timeout))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX).idle_timeout(IDLE_TIMEOUT));
        if !config.hello.is_empty() {
            builder = builder.hello_name(ClientId::Domain(config.hello.clone()));
        }
        if !config.auth_username.is_empty() {
            builder = builder.credentials(Credentials::new(config.auth_username.clone(), password.to_owned()));
            // Go's mail client, whose habits Alertmanager's users rely on, says PLAIN in the open only to this machine.
            let local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
            let plain = [Mechanism::Plain, Mechanism::Login];
            builder = builder.authentication(if encrypted || local { plain.to_vec() } else { vec![Mechanism::Login] });
        }
        Ok(builder.build())
    }

    /// Hands a mail over once.
    pub(crate) async fn send(&self, mail: &Mail) -> DeliveryOutcome {
        let transport = match self.transport() {
            Ok(transport) => transport,
            Err(reason) => return DeliveryOutcome::Rejected { reason: bounded(&reason) },
        };
        match tokio::time::timeout(self.timeout, transport.send_raw(&mail.envelope, &mail.bytes)).await {
            Ok(Ok(response)) => {
                let said = response.message().collect::<Vec<_>>().join(" ");
                DeliveryOutcome::Delivered { receipt: bounded(&format!("SMTP {}: {said}", response.code())) }
            }
            Ok(Err(error)) => of_error(&error),
            Err(_) => DeliveryOutcome::Retry {
                after: None,
                reason: format!("no answer within {} ms", self.timeout.as_millis()),
            },
        }
    }
}

/// A 5xx is the server's last word; everything else, and everything on the way, can be different later.
fn of_error(error: &lettre::transport::smtp::Error) -> DeliveryOutcome {
    let said = bounded(&match error.status() {
        Some(_) => format!("SMTP {}", chain(error)),
        None => format!("SMTP: {}", chain(error)),
    });
    // A server that offers no encryption or no known way to log in may be a stranger in between: not the last word.
    match error.is_permanent() {
        true => DeliveryOutcome::Rejected { reason: said },
        false => DeliveryOutcome::Retry { after: None, reason: said },
    }
}

fn tls_parameters(config: &EmailConfig) -> Result<TlsParameters, String> {
    let tls = &config.tls;
    let error = |error: lettre::transport::smtp::Error| format!("tls_config: {}", chain(&error));
    let name = if tls.server_name.is_empty() { &config.smarthost.0 } else { &tls.server_name };
    let mut builder = TlsParameters::builder(name.clone()).dangerous_accept_invalid_certs(tls.insecure_skip_verify);
    if let Some(ca) = &tls.ca {
        builder = builder.certificate_store(lettre::transport::smtp::client::CertificateStore::None);
        let bundle = certificates(&current(ca));
        if bundle.is_empty() {
            return Err("tls_config.ca: there is no PEM certificate in it".to_owned());
        }
        for pem in bundle {
            builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(error)?);
        }
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let identity = Identity::from_pem(current(cert).as_bytes(), current(key).as_bytes()).map_err(error)?;
        builder = builder.identify_with(identity);
    }
    if tls.min_version == Some(ConfiguredVersion::Tls13) {
        builder = builder.set_min_tls_version(TlsVersion::Tlsv13);
    }
    builder.build().map_err(error)
}

/// The certificates of a bundle, one text each.
fn certificates(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    bundle.split_inclusive(END).filter(|part| part.contains(END)).map(str::to_owned).collect()
}
