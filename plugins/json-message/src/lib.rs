//! `json-message`: JSON of any shape, for whatever takes webhooks.
//!
//! The configuration holds the JSON as it is to be sent. A text in braces is replaced: `{title}` or `{labels.service}`
//! anywhere in a text, alone also by what is no text (`{count}` becomes a number). `{alerts}` becomes a list with one
//! `alert` each.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use watchfire_sdk::words::{span, time};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is sent.
    pub body: Value,
    /// What `{alerts}` has for each alert.
    #[serde(default)]
    pub alert: Value,
}

/// The formatter, opened for one channel.
#[derive(Debug)]
pub struct JsonMessage(Config);

impl Formatter for JsonMessage {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Writes JSON of any shape for whatever takes webhooks.");

    fn open(config: Config) -> Result<JsonMessage, Error> {
        let nothing = Group::default();
        for (path, value, alert) in [("/body", &config.body, None), ("/alert", &config.alert, Some(&Alert::default()))]
        {
            // What cannot be filled is told when the configuration is read.
            let filled = Filling { group: &nothing, alert, each: &config.alert }.fill(value);
            filled.map_err(|(place, message)| Error::config(format!("{path}{place}"), message))?;
        }
        Ok(JsonMessage(config))
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let filling = Filling { group, alert: None, each: &self.0.alert };
        let body = filling.fill(&self.0.body).map_err(|(_, message)| Error::Internal(message))?;
        Ok(Message {
            title: group.headline(),
            content_type: "application/json".into(),
            body: body.to_string(),
            ..Message::default()
        })
    }
}

/// What braces are filled with.
#[derive(Clone, Copy)]
struct Filling<'a> {
    group: &'a Group,
    /// Within `{alerts}`.
    alert: Option<&'a Alert>,
    each: &'a Value,
}

/// Where in the configuration something is wrong, and what.
type Wrong = (String, String);

impl Filling<'_> {
    fn fill(self, value: &Value) -> Result<Value, Wrong> {
        let below = |key: &str, (place, message): Wrong| (format!("/{key}{place}"), message);
        Ok(match value {
            Value::String(text) => self.text(text).map_err(|message| (String::new(), message))?,
            Value::Array(items) => {
                let filled = items.iter().enumerate();
                let filled = filled.map(|(at, item)| self.fill(item).map_err(|wrong| below(&at.to_string(), wrong)));
                Value::Array(filled.collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let filled = members.iter().map(|(name, member)| {
                    let member = self.fill(member).map_err(|wrong| below(name, wrong))?;
                    Ok((name.clone(), member))
                });
                Value::Object(filled.collect::<Result<Map<_, _>, Wrong>>()?)
            }
            other => other.clone(),
        })
    }

    fn text(self, text: &str) -> Result<Value, String> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
            && !name.contains('{')
        {
            return self.value(name);
        }
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else {
                return Err(format!("{text:?} has a brace that is not closed"));
            };
            out.push_str(before);
            match self.value(name)? {
                Value::String(text) => out.push_str(&text),
                other => out.push_str(&other.to_string()),
            }
            rest = behind;
        }
        out.push_str(rest);
        Ok(Value::String(out))
    }

    fn value(self, name: &str) -> Result<Value, String> {
        let group = self.group;
        let pair = |pairs: &[(String, String)], name: &str| {
            json!(pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value))
        };
        if let Some((kind, part)) = name.split_once('.') {
            return match (kind, self.alert) {
                ("labels", Some(alert)) => Ok(json!(alert.label(part).unwrap_or_default())),
                ("labels", None) => Ok(json!(group.values(part))),
                ("annotations", Some(alert)) => Ok(json!(alert.annotation(part).unwrap_or_default())),
                ("annotations", None) => Ok(json!(group.annotation(part).unwrap_or_default())),
                ("group", _) => Ok(pair(&group.group_labels, part)),
                _ => Err(format!("{{{name}}} is not known; before the dot use labels, annotations or group")),
            };
        }
        let of_group = match name {
            "title" => json!(group.headline()),
            "status" if self.alert.is_none() => json!(if group.firing() > 0 { "firing" } else { "resolved" }),
            "severity" if self.alert.is_none() => json!(group.worst().as_str()),
            "summary" if self.alert.is_none() => json!(group.alerts.first().map_or("", |alert| &alert.summary)),
            "count" => json!(group.alerts.len()),
            "firing" if self.alert.is_none() => json!(group.firing()),
            "receiver" => json!(group.receiver),
            "key" => json!(group.key),
            "url" => json!(group.external_url),
            "time" => json!(time(group.at_ms)),
            "time_ms" => json!(group.at_ms),
            "alerts" if self.alert.is_none() => {
                let each =
                    |alert| Filling { alert: Some(alert), ..self }.fill(self.each).map_err(|(_, message)| message);
                Value::Array(group.alerts.iter().map(each).collect::<Result<_, _>>()?)
            }
            _ => Value::Null,
        };
        let Some(alert) = self.alert.filter(|_| of_group.is_null()) else {
            return if of_group.is_null() { Err(unknown(name)) } else { Ok(of_group) };
        };
        Ok(match name {
            "name" => json!(alert.name),
            "status" => json!(if alert.firing { "firing" } else { "resolved" }),
            "firing" => json!(alert.firing),
            "severity" => json!(alert.severity.as_str()),
            "summary" => json!(alert.summary),
            "value" => json!(alert.value),
            "fingerprint" => json!(alert.fingerprint),
            "since" => json!(time(alert.starts_ms)),
            "since_ms" => json!(alert.starts_ms),
            "lasted" => json!(span(alert.lasted_ms(group.at_ms))),
            "source" => json!(alert.generator_url),
            _ => return Err(unknown(name)),
        })
    }
}

fn unknown(name: &str) -> String {
    format!("{{{name}}} is not known here; the README of this plugin lists what is")
}

watchfire_sdk::export! { formatter: "json-message" => JsonMessage }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_formatter};

    #[test]
    fn braces_are_filled_and_types_are_kept() {
        let config = json!({
            "body": {"text": "{title} for {receiver}", "n": "{count}", "fires": "{firing}", "zone": "{labels.zone}",
                     "fixed": [1, null, "plain"], "items": "{alerts}"},
            "alert": {"what": "{name} in {labels.zone}", "value": "{value}", "on": "{firing}", "for": "{lasted}"},
        });
        let mut message: JsonMessage = open_formatter(&config.to_string()).unwrap();
        let one = |zone: &str, value| Alert { value, ..alert(&[("alertname", "A"), ("zone", zone)], 0) };
        let alerts = vec![one("eu", Some(1.5)), one("us", None)];
        let group = Group { at_ms: 60_000, receiver: "hook".into(), alerts, ..Group::default() };
        let body: Value = serde_json::from_str(&message.format(&group).unwrap().body).unwrap();
        assert_eq!(
            body,
            json!({
                "text": "🟡 A (2 firing) for hook", "n": 2, "fires": 2, "zone": "eu, us", "fixed": [1, null, "plain"],
                "items": [{"what": "A in eu", "value": 1.5, "on": true, "for": "1m 0s"},
                          {"what": "A in us", "value": null, "on": true, "for": "1m 0s"}],
            })
        );
    }

    #[test]
    fn what_cannot_be_filled_is_told_with_its_place() {
        for (config, expected) in [
            (json!({"body": {"a": ["{titel}"]}}), "\"/body/a/0\": {titel} is not known here"),
            (json!({"body": "{title"}), "\"/body\": \"{title\" has a brace"),
            (json!({"body": "{alerts}", "alert": {"x": "{alerts}"}}), "\"/alert/x\": {alerts} is not known here"),
            (json!({"body": "{label.zone}"}), "\"/body\": {label.zone} is not known; before the dot"),
        ] {
            let error = open_formatter::<JsonMessage>(&config.to_string()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
