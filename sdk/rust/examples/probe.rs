//! What a plugin sees of the outside: nothing, and always the same. Offers all three kinds; the host's tests run it.
//!
//! `cargo build --release --target wasm32-wasip2 --example probe`

#![expect(clippy::disallowed_methods, reason = "it tries what is not allowed")]

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use watchfire_sdk::{
    Alert, Condition, Decision, Descriptor, Error, Finding, Formatter, Group, Input, Message, Outcome, Router,
    Severity, State,
};

/// What to try.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    attempt: String,
}

/// Tries something in each call and tells how it went.
pub struct Probe {
    attempt: String,
}

impl Probe {
    fn attempt(&self, input: usize) -> Result<String, Error> {
        Ok(match self.attempt.as_str() {
            "panic" => [1, 2, 3][input + 3].to_string(),
            "error" => return Err(Error::BadInput("not today".to_owned())),
            "clock" => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| Error::Internal(e.to_string()))?;
                format!("{since:?} {:?}", Instant::now().elapsed())
            }
            "sleep" => {
                // Without end, were there a clock to wait for.
                std::thread::sleep(Duration::from_secs(3_600));
                "slept".to_owned()
            }
            "random" => {
                let map: HashMap<u8, ()> = (0..8).map(|key| (key, ())).collect();
                format!("{:?}", map.keys().collect::<Vec<_>>())
            }
            "print" => {
                println!("to standard output");
                eprintln!("to standard error");
                watchfire_sdk::log(watchfire_sdk::Level::Info, "to the log");
                "printed".to_owned()
            }
            "environment" => format!("{} variables, {} arguments", std::env::vars().count(), std::env::args().count()),
            "file" => format!("{:?}", std::fs::read("/etc/hostname").map_err(|error| error.kind())),
            "network" => format!("{:?}", std::net::TcpStream::connect("127.0.0.1:80").map_err(|error| error.kind())),
            "input" => format!("{:?}", std::io::stdin().read_line(&mut String::new()).map_err(|error| error.kind())),
            "thread" => format!("{:?}", std::thread::Builder::new().spawn(|| ()).map_err(|error| error.kind()).err()),
            "exit" => std::process::exit(3),
            other => return Err(Error::Unsupported(format!("there is no attempt {other:?}"))),
        })
    }
}

const DESCRIPTOR: Descriptor = Descriptor::new("Tries what a plugin must not be able to do.");

impl Condition for Probe {
    type Config = Config;
    const DESCRIPTOR: Descriptor = DESCRIPTOR;

    fn open(config: Config) -> Result<Probe, Error> {
        Ok(Probe { attempt: config.attempt })
    }

    fn evaluate(&mut self, input: &Input, _state: &mut State) -> Result<Outcome, Error> {
        let summary = self.attempt(input.series_count() as usize)?;
        let finding = Finding { series: 0, severity: Severity::Info, value: 0.0, summary };
        Ok(Outcome { findings: vec![finding], unknown: Vec::new() })
    }
}

impl Router for Probe {
    type Config = Config;
    const DESCRIPTOR: Descriptor = DESCRIPTOR;

    fn open(config: Config) -> Result<Probe, Error> {
        Ok(Probe { attempt: config.attempt })
    }

    fn decide(&mut self, _at_ms: i64, alert: &Alert) -> Result<Decision, Error> {
        Ok(Decision::to(format!("{} {}", alert.name, self.attempt(1)?)))
    }
}

impl Formatter for Probe {
    type Config = Config;
    const DESCRIPTOR: Descriptor = DESCRIPTOR;

    fn open(config: Config) -> Result<Probe, Error> {
        Ok(Probe { attempt: config.attempt })
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let body = format!("{} {}", group.receiver, self.attempt(1)?);
        Ok(Message { content_type: "text/plain".to_owned(), body, ..Message::default() })
    }
}

watchfire_sdk::export! {
    condition: "probe" => Probe,
    router: "probe" => Probe,
    formatter: "probe" => Probe,
}

// Examples are programs on other targets; there it does nothing.
#[cfg(not(target_family = "wasm"))]
#[expect(dead_code, reason = "cdylib examples have no entry point")]
fn main() {}
