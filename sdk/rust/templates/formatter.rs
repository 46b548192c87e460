//! Writes one line for each alert, for the receiver's channel or, with `url`, for a service of its own.

use serde::Deserialize;
use watchfire_sdk::{Descriptor, Error, Formatter, Group, Message, Target};

/// The configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    prefix: String,
    url: Option<String>,
}

/// The formatter, opened for one channel.
pub struct Lines(Config);

impl Formatter for Lines {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Writes one line for each alert.")
        .with_schema(r#"{"type":"object","properties":{"prefix":{"type":"string"},"url":{"type":"string"}}}"#);

    fn open(config: Config) -> Result<Lines, Error> {
        Ok(Lines(config))
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let firing = group.alerts.iter().filter(|alert| alert.firing).count();
        let lines = group.alerts.iter().map(|alert| {
            let status = if alert.firing { "FIRING" } else { "RESOLVED" };
            format!("{status} {}: {}\n", alert.name, alert.summary)
        });
        let mut message = Message {
            title: format!("{}{firing} firing, {} resolved", self.0.prefix, group.alerts.len() - firing),
            content_type: "text/plain".to_owned(),
            body: lines.collect(),
            ..Message::default()
        };
        if let Some(url) = &self.0.url {
            message.headers.push(("Authorization".to_owned(), format!("Bearer {}", group.secret("token")?)));
            message.target = Some(Target::post(url));
        }
        Ok(message)
    }
}

watchfire_sdk::export! { formatter: "lines" => Lines }
