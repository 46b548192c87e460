//! A real mail server, Debian's `python3-aiosmtpd`, with encryption and login.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// The server's program; it speaks JSON on its standard output.
const PROGRAM: &str = include_str!("mail.py");
/// Debian's Python knows Debian's packages; another one first in the path may not.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];
/// How long a mail may take to come. Only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailSettings {
    /// Whether encryption comes before the first word; else it is offered by STARTTLS.
    pub implicit_tls: bool,
    /// Whether nothing is encrypted.
    pub plain: bool,
    /// Whether a login is needed, as `user` with the password `password`.
    pub login: bool,
    /// Whether `LOGIN` is the only way to log in.
    pub login_only: bool,
}

/// A mail server that listens on this machine. Mail for `reject@` gets a 550, for `later@` a 451.
pub struct MailServer {
    child: Child,
    lines: Receiver<String>,
    port: u16,
    certificate: String,
}

/// A mail as it came.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// The name with which the sender greeted.
    pub hello: String,
    /// The sender's address.
    pub from: String,
    /// The addressees.
    pub to: Vec<String>,
    /// Whether the connection was encrypted.
    pub encrypted: bool,
    /// Who logged in, and how; empty if nobody did.
    pub login: String,
    /// The subject, decoded.
    pub subject: String,
    /// Headers, decoded.
    pub headers: Vec<(String, String)>,
    /// Media type and decoded text of each part.
    pub parts: Vec<(String, String)>,
}

impl MailServer {
    /// Starts it.
    ///
    /// # Errors
    /// What is missing, in the form of "X is not installed", so that a test can say why it is skipped.
    pub fn start(settings: MailSettings) -> Result<MailServer, String> {
        let mut missing = "python3 is not installed".to_owned();
        for python in PYTHONS {
            match MailServer::start_with(python, settings) {
                Ok(server) => return Ok(server),
                Err(reason) => missing = reason,
            }
        }
        Err(missing)
    }

    fn start_with(python: &str, settings: MailSettings) -> Result<MailServer, String> {
        let mut command = Command::new(python);
        command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        for (flag, set) in [
            ("--implicit-tls", settings.implicit_tls),
            ("--plain", settings.plain),
            ("--login", settings.login),
            ("--login-only", settings.login_only),
        ] {
            if set {
                command.arg(flag);
            }
        }
        let mut child = command.spawn().map_err(|_| "python3 is not installed".to_owned())?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let mut server = MailServer { child, lines, port: 0, certificate: String::new() };
        let ready = server.line()?;
        if let Some(missing) = ready["missing"].as_str() {
            return Err(format!("{missing} is not installed"));
        }
        server.port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        server.certificate = ready["certificate"].as_str().unwrap_or("").to_owned();
        Ok(server)
    }

    fn line(&self) -> Result<Value, String> {
        let line = self.lines.recv_timeout(PATIENCE).map_err(|error| format!("the mail server is silent: {error}"))?;
        serde_json::from_str(&line).map_err(|error| format!("the mail server said {line:?}: {error}"))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its certificate for `localhost` and `127.0.0.1`, PEM; it signs itself.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The next mail.
    ///
    /// # Errors
    /// If none comes.
    pub fn next_mail(&self) -> Result<ReceivedMail, String> {
        let mail = self.line()?;
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let pairs = |value: &Value| -> Vec<(String, String)> {
            value.as_array().into_iter().flatten().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
        };
        Ok(ReceivedMail {
            hello: text(&mail["hello"]),
            from: text(&mail["from"]),
            to: mail["to"].as_array().into_iter().flatten().map(text).collect(),
            encrypted: mail["encrypted"].as_bool().unwrap_or(false),
            login: text(&mail["login"]),
            subject: text(&mail["subject"]),
            headers: pairs(&mail["headers"]),
            parts: pairs(&mail["parts"]),
        })
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}
