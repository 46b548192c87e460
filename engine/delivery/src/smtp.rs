//! The sender of mail: one session per attempt, so that each addressee's answer is seen.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, Identity, TlsParameters, TlsVersion};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail as MailCommand, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{EmailConfig, TlsVersion as ConfiguredVersion};

use crate::email::Mail;
use crate::http::{Pools, Tokens, chain, current};
use crate::mailed::Mailed;
use crate::notification::hex;
use crate::outcome::bounded;

/// The port on which encryption comes before the first word.
const SMTPS_PORT: u16 = 465;

/// How a mail server is reached: settings without the password, which may change while the program runs.
pub(crate) struct Smtp {
    config: EmailConfig,
    timeout: Duration,
    tokens: Option<Tokens>,
}

/// Why a mail did not go out, and whether it may later.
struct Failure {
    permanent: bool,
    said: String,
}

impl From<lettre::transport::smtp::Error> for Failure {
    /// A 5xx is the server's last word; everything else, and everything on the way, can be different later. A server that
    /// offers no encryption or no known way to log in may be a stranger in between: not the last word.
    fn from(error: lettre::transport::smtp::Error) -> Failure {
        let said = match error.status() {
            Some(_) => format!("SMTP {}", chain(&error)),
            None => format!("SMTP: {}", chain(&error)),
        };
        Failure { permanent: error.is_permanent(), said: bounded(&said) }
    }
}

impl Failure {
    fn passing(said: impl Into<String>) -> Failure {
        Failure { permanent: false, said: said.into() }
    }

    fn outcome(self) -> DeliveryOutcome {
        match self.permanent {
            true => DeliveryOutcome::Rejected { reason: self.said },
            false => DeliveryOutcome::Retry { after: None, reason: self.said },
        }
    }
}

impl Smtp {
    /// Checks the settings; the connection is made with each mail.
    ///
    /// # Errors
    /// If the settings ask for something that cannot be done.
    pub(crate) fn new(config: EmailConfig, pools: &Pools, timeout: Duration) -> Result<Smtp, String> {
        let tokens = config.oauth2.as_ref().map(|oauth2| {
            let client = pools.token_client(&oauth2.tls, &oauth2.proxy)?;
            Ok::<_, String>(Tokens::new((**oauth2).clone(), client))
        });
        let smtp = Smtp { config, timeout, tokens: tokens.transpose()? };
        smtp.tls_parameters()?;
        Ok(smtp)
    }

    /// The secrets, for the redactor.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let own = self.config.auth_password.iter().chain(&self.config.auth_secret).map(current);
        own.chain(self.tokens.iter().flat_map(Tokens::secrets)).collect()
    }

    /// Hands a mail over once, to those of its addressees that do not have it yet, and notes who has it now. An addressee
    /// whom the server refuses for good is named in `notes`, and costs the others nothing.
    pub(crate) async fn send(&self, mail: &Mail, mailed: &Mailed, notes: &mut Vec<String>) -> DeliveryOutcome {
        match tokio::time::timeout(self.timeout, self.session(mail, mailed, notes)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(failure)) => failure.outcome(),
            Err(_) => DeliveryOutcome::Retry {
                after: None,
                reason: format!("no answer within {} ms", self.timeout.as_millis()),
            },
        }
    }

    async fn session(&self, mail: &Mail, mailed: &Mailed, notes: &mut Vec<String>) -> Result<DeliveryOutcome, Failure> {
        let mut connection = self.connect().await?;
        let outcome = self.transaction(&mut connection, mail, mailed, notes).await;
        // Polite, but no longer of interest.
        drop(connection.quit().await);
        outcome
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let config = &self.config;
        let (host, port) = &config.smarthost;
        let implicit = config.force_implicit_tls.unwrap_or(*port == SMTPS_PORT);
        let hello = ClientId::Domain(if config.hello.is_empty() { "localhost" } else { &config.hello }.to_owned());
        let tls = || self.tls_parameters().map_err(Failure::passing);
        let wrapped = if implicit { Some(tls()?) } else { None };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1((host.as_str(), *port), Some(self.timeout), &hello, wrapped, None)
                .await?;
        if !implicit && config.require_tls {
            if !connection.can_starttls() {
                return Err(Failure::passing("SMTP: the server does not offer STARTTLS, which is required"));
            }
            connection.starttls(tls()?, &hello).await?;
        }
        // Somebody can mend a login that is refused, and the mail waits for it.
        let login = self.login(&mut connection, &hello, implicit || config.require_tls).await;
        login.map_err(|failure| Failure { permanent: false, ..failure })?;
        Ok(connection)
    }

    /// Logs in by a token, by CRAM-MD5 where there is a secret for it, else by PLAIN or LOGIN. A server that knows no login
    /// at all, such as a relay within the own network, gets none, as from Alertmanager.
    async fn login(
        &self,
        connection: &mut AsyncSmtpConnection,
        hello: &ClientId,
        encrypted: bool,
    ) -> Result<(), Failure> {
        let config = &self.config;
        if config.auth_username.is_empty() || !offers_login(connection, hello).await? {
            return Ok(());
        }
        let credentials = |secret: String| Credentials::new(config.auth_username.clone(), secret);
        if let Some(tokens) = &self.tokens {
            let token = tokens.token().await.map_err(Failure::passing)?;
            let answer = connection.auth(&[Mechanism::Xoauth2], &credentials(token.clone())).await;
            if let Err(error) = answer {
                tokens.forget(&token).await;
                return Err(error.into());
            }
            return Ok(());
        }
        let secret = config.auth_secret.as_ref().map(current).filter(|secret| !secret.is_empty());
        if let Some(secret) = secret {
            match self.cram_md5(connection, &secret).await {
                Ok(()) => return Ok(()),
                // A server that does not know it may know another way.
                Err(_) if config.auth_password.is_some() => {}
                Err(failure) => return Err(failure),
            }
        }
        // Go's mail client, whose habits Alertmanager's users rely on, says PLAIN in the open only to this machine.
        let local = matches!(config.smarthost.0.as_str(), "localhost" | "127.0.0.1" | "::1");
        let both = [Mechanism::Plain, Mechanism::Login];
        let mechanisms = if encrypted || local { &both[..] } else { &both[1..] };
        let password = config.auth_password.as_ref().map(current).unwrap_or_default();
        let plain = mechanisms.contains(&Mechanism::Plain)
            && connection.server_info().supports_auth_mechanism(Mechanism::Plain);
        if plain && !config.auth_identity.is_empty() {
            return self.plain_for_another(connection, &password).await;
        }
        connection.auth(mechanisms, &credentials(password)).await?;
        Ok(())
    }

    /// RFC 4616: PLAIN by one user who acts as another.
    async fn plain_for_another(&self, connection: &mut AsyncSmtpConnection, password: &str) -> Result<(), Failure> {
        let said = format!("{}\0{}\0{password}", self.config.auth_identity, self.config.auth_username);
        connection.command(format!("AUTH PLAIN {}\r\n", STANDARD.encode(said))).await?;
        Ok(())
    }

    /// RFC 2195: the server's challenge, signed.
    async fn cram_md5(&self, connection: &mut AsyncSmtpConnection, secret: &str) -> Result<(), Failure> {
        let answer = connection.command("AUTH CRAM-MD5\r\n").await?;
        let challenge = answer.first_word().and_then(|word| STANDARD.decode(word).ok());
        let challenge = challenge.ok_or_else(|| Failure::passing("SMTP: the server's CRAM-MD5 challenge is none"))?;
        let mut mac = Hmac::<md5::Md5>::new_from_slice(secret.as_bytes())
            .map_err(|_| Failure::passing("SMTP: auth_secret cannot sign"))?;
        mac.update(&challenge);
        let said = format!("{} {}", self.config.auth_username, hex(&mac.finalize().into_bytes()));
        connection.command(format!("{}\r\n", STANDARD.encode(said))).await?;
        Ok(())
    }

    async fn transaction(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: &Mail,
        mailed: &Mailed,
        notes: &mut Vec<String>,
    ) -> Result<DeliveryOutcome, Failure> {
        // A server that does not know the sender says nothing about the mail, and somebody can make it known.
        let sender = connection.command(MailCommand::new(mail.envelope.from().cloned(), Vec::new())).await;
        sender.map_err(|error| Failure { permanent: false, ..Failure::from(error) })?;
        let (mut taken, mut passing, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for address in mail.envelope.to().iter().filter(|address| !mailed.has(address)) {
            // To ask again costs the sender its name with the server.
            if let Some(said) = mailed.refused(address) {
                refused.push((address.clone(), said));
                continue;
            }
            match connection.command(Rcpt::new(address.clone(), Vec::new())).await {
                Ok(_) => taken.push(address.clone()),
                Err(error) if error.status().is_none() => return Err(error.into()),
                Err(error) => {
                    let failure = Failure::from(error);
                    if failure.permanent {
                        mailed.refuse(address.clone(), &failure.said);
                        refused.push((address.clone(), failure.said));
                    } else {
                        passing.push((address.clone(), failure.said));
                    }
                }
            }
        }
        let named = |list: &[(Address, String)]| {
            let parts: Vec<String> = list.iter().map(|(address, said)| format!("{address}: {said}")).collect();
            bounded(&parts.join("; "))
        };
        let told = |list: &[(Address, String)]| -> Vec<String> {
            list.iter().map(|(address, said)| format!("{address} was refused: {said}")).collect()
        };
        if taken.is_empty() {
            return Ok(match (passing.is_empty(), mail.envelope.to().iter().any(|address| mailed.has(address))) {
                (false, _) => {
                    notes.extend(told(&refused));
                    DeliveryOutcome::Retry { after: None, reason: named(&passing) }
                }
                (true, false) => DeliveryOutcome::Rejected { reason: named(&refused) },
                (true, true) => {
                    notes.extend(told(&refused));
                    DeliveryOutcome::Delivered { receipt: "the other addressees have it already".to_owned() }
                }
            });
        }
        connection.command(Data).await?;
        let response = connection.message(&mail.bytes).await?;
        let said = response.message().collect::<Vec<_>>().join(" ");
        notes.extend(told(&refused));
        mailed.extend(taken);
        if !passing.is_empty() {
            return Ok(DeliveryOutcome::Retry { after: None, reason: named(&passing) });
        }
        let mut receipt = format!("SMTP {}: {said}", response.code());
        if !refused.is_empty() {
            receipt.push_str(&format!("; refused: {}", named(&refused)));
        }
        Ok(DeliveryOutcome::Delivered { receipt: bounded(&receipt) })
    }

    fn tls_parameters(&self) -> Result<TlsParameters, String> {
        let config = &self.config;
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
}

/// Whether a server knows any way to log in.
async fn offers_login(connection: &mut AsyncSmtpConnection, hello: &ClientId) -> Result<bool, Failure> {
    let known = [Mechanism::Plain, Mechanism::Login, Mechanism::Xoauth2];
    if known.into_iter().any(|mechanism| connection.server_info().supports_auth_mechanism(mechanism)) {
        return Ok(true);
    }
    // What is kept of the greeting's answer has only these.
    let answer = connection.command(Ehlo::new(hello.clone())).await?;
    let is_auth = |line: &str| line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("AUTH"));
    Ok(answer.message().any(is_auth))
}

/// The certificates of a bundle, one text each.
fn certificates(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    bundle.split_inclusive(END).filter(|part| part.contains(END)).map(str::to_owned).collect()
}
