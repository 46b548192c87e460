//! `matrix-message`: writes to a room of a Matrix homeserver, a service that the engine itself has no channel for.
//!
//! The request is the plugin's own: the engine sends it to the homeserver that the receiver grants and puts the access
//! token in the place of its stand-in. The id of the notification is the transaction's, so that the homeserver knows
//! another attempt for what it is (Matrix Client-Server API v1.16, "Sending events to a room").

use serde::Deserialize;
use serde_json::json;
use watchfire_sdk::words::{cut, is_link, span};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message, Method, Target};

/// Of the 65,536 bytes of an event, for the alerts: the homeserver adds some hundred around the content.
const BUDGET: usize = 60_000;

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The homeserver, such as `https://matrix.example`.
    pub homeserver: String,
    /// The room's id, such as `!abc:example`.
    pub room: String,
    /// Alerts to show one by one; the others are counted.
    #[serde(default = "ten")]
    pub max_alerts: usize,
}

const fn ten() -> usize {
    10
}

/// The formatter, opened for one room.
#[derive(Debug)]
pub struct MatrixMessage(Config);

impl Formatter for MatrixMessage {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Writes to a Matrix room, with a request of its own.");

    fn open(mut config: Config) -> Result<MatrixMessage, Error> {
        if !is_link(&config.homeserver) {
            return Err(Error::config("/homeserver", "must be an address such as https://matrix.example"));
        }
        if !config.room.starts_with('!') {
            return Err(Error::config("/room", "must be a room's id, which begins with `!`; an alias is none"));
        }
        if !(1..=50).contains(&config.max_alerts) {
            return Err(Error::config("/max_alerts", format!("must be 1 to 50, is {}", config.max_alerts)));
        }
        config.homeserver.truncate(config.homeserver.trim_end_matches('/').len());
        Ok(MatrixMessage(config))
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let Config { homeserver, room, max_alerts } = &self.0;
        let headline = cut(&group.headline(), 300);
        let (mut plain, mut html) = (headline.clone(), format!("<strong>{}</strong><ul>", escape(&headline)));
        let (mut shown, mut left) = (0, BUDGET);
        for alert in group.alerts.iter().take(*max_alerts) {
            let line = describe(alert, group.at_ms);
            let item = format!("<li>{}</li>", escape(&line));
            let Some(rest) = left.checked_sub(json!([line, item]).to_string().len()) else { break };
            (shown, left) = (shown + 1, rest);
            plain.push_str(&format!("\n- {line}"));
            html.push_str(&item);
        }
        html.push_str("</ul>");
        let more = group.alerts.len() - shown;
        if more > 0 {
            plain.push_str(&format!("\nand {more} more"));
            html.push_str(&format!("and {more} more"));
        }
        let body = json!({
            "msgtype": "m.text",
            "body": plain,
            "format": "org.matrix.custom.html",
            "formatted_body": html,
            // Nobody is mentioned, whatever labels say.
            "m.mentions": {},
        });
        let (room, id) = (encode(room), encode(&group.id));
        let url = format!("{homeserver}/_matrix/client/v3/rooms/{room}/send/m.room.message/{id}");
        Ok(Message {
            title: headline,
            content_type: "application/json".into(),
            body: body.to_string(),
            headers: vec![("Authorization".into(), format!("Bearer {}", group.secret("access-token")?))],
            target: Some(Target { method: Method::Put, url }),
            ..Message::default()
        })
    }
}

fn describe(alert: &Alert, at_ms: i64) -> String {
    let hidden = ["alertname", "severity"];
    let labels = alert.labels.iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    let what = if alert.summary.is_empty() { &alert.name } else { &alert.summary };
    format!(
        "{} {} ({}) for {}",
        alert.sign(),
        cut(what, 300),
        cut(&labels.join(", "), 200),
        span(alert.lasted_ms(at_ms))
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// As a part of a path.
fn encode(text: &str) -> String {
    let each = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

watchfire_sdk::export! { formatter: "matrix-message" => MatrixMessage }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_formatter};

    const CONFIG: &str = r#"{"homeserver": "https://matrix.example/", "room": "!a/b:example"}"#;

    #[test]
    fn the_largest_message_fits_an_event() {
        let mut plugin: MatrixMessage = open_formatter(&CONFIG.replace("}", r#", "max_alerts": 50}"#)).unwrap();
        let huge = Alert { summary: "<".repeat(5_000), ..alert(&[("pod", &"&".repeat(900))], 0) };
        let secrets = vec![("access-token".to_owned(), "STAND-IN".to_owned())];
        let group = Group { alerts: vec![huge; 80], id: "n 1".into(), secrets, ..Group::default() };
        let message = plugin.format(&group).unwrap();
        assert!(message.body.len() < 63_000, "{}", message.body.len());
        assert!(message.body.contains(" more\""));
        let url = "https://matrix.example/_matrix/client/v3/rooms/%21a%2Fb%3Aexample/send/m.room.message/n%201";
        assert_eq!(message.target, Some(Target { method: Method::Put, url: url.to_owned() }));
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_place() {
        for (config, place) in [
            (CONFIG.replace("https://", ""), "/homeserver"),
            (CONFIG.replace('!', "#"), "/room"),
            (CONFIG.replace('}', r#", "max_alerts": 0}"#), "/max_alerts"),
        ] {
            let error = open_formatter::<MatrixMessage>(&config).unwrap_err();
            assert!(matches!(&error, Error::InvalidConfig { path, .. } if path == place), "{error:?}");
        }
        let mut plugin: MatrixMessage = open_formatter(CONFIG).unwrap();
        let error = plugin.format(&Group::default()).unwrap_err();
        assert!(matches!(&error, Error::BadInput(text) if text.contains("`access-token`")), "{error:?}");
    }
}
