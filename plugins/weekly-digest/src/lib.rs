//! `weekly-digest`: a mail that says what fired how often, for how long, and whose it is.
//!
//! For a receiver whose route has a `repeat_interval` of a week and groups by nothing: one table, the longest first.

use std::collections::BTreeMap;

use serde::Deserialize;
use watchfire_sdk::words::{cut, is_link, span, time};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message, Severity};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The label that names whose an alert is.
    pub owner: String,
    /// Rows of the table; the rest is counted.
    pub rows: usize,
    /// The headline.
    pub title: String,
}

impl Default for Config {
    fn default() -> Config {
        Config { owner: "team".into(), rows: 50, title: "Alerts of the week".into() }
    }
}

/// The formatter, opened for one channel.
#[derive(Debug)]
pub struct WeeklyDigest(Config);

/// All alerts of one name and owner.
#[derive(Default)]
struct Row<'a> {
    worst: Severity,
    firing: usize,
    count: usize,
    lasted_ms: i64,
    /// The one that has lasted longest.
    example: Option<&'a Alert>,
}

impl Formatter for WeeklyDigest {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Writes a digest mail: what fired how often, for how long, whose it is.");

    fn open(config: Config) -> Result<WeeklyDigest, Error> {
        if config.rows == 0 {
            return Err(Error::config("/rows", "must be 1 or more"));
        }
        Ok(WeeklyDigest(config))
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let Config { owner, rows, title } = &self.0;
        let mut table: BTreeMap<(&str, &str), Row<'_>> = BTreeMap::new();
        for alert in &group.alerts {
            let row = table.entry((alert.label(owner).unwrap_or("nobody"), alert.name.as_str())).or_default();
            let lasted = alert.lasted_ms(group.at_ms);
            row.worst = row.worst.max(alert.severity);
            row.firing += usize::from(alert.firing);
            row.count += 1;
            row.lasted_ms += lasted;
            if row.example.is_none_or(|known| known.lasted_ms(group.at_ms) < lasted) {
                row.example = Some(alert);
            }
        }
        let mut sorted: Vec<_> = table.into_iter().collect();
        sorted.sort_by(|a, b| b.1.lasted_ms.cmp(&a.1.lasted_ms).then(a.0.cmp(&b.0)));
        let firing = group.firing();
        let mut html = format!(
            "<h2>{}</h2>\n<p>{} alerts until {}, {firing} still fire.</p>\n<table cellpadding=\"6\" style=\"border-collapse:\
             collapse;font-family:sans-serif;font-size:14px\">\n<tr style=\"text-align:left;border-bottom:1px solid #999\">\
             <th></th><th>Alert</th><th>{}</th><th>Times</th><th>Fired for</th><th>For example</th></tr>\n",
            escape(title),
            group.alerts.len(),
            time(group.at_ms),
            escape(owner),
        );
        for ((owner, name), row) in sorted.iter().take(*rows) {
            html.push_str(&row.html(owner, name));
        }
        html.push_str("</table>\n");
        if sorted.len() > *rows {
            html.push_str(&format!("<p>and {} more</p>\n", sorted.len() - rows));
        }
        if is_link(&group.external_url) {
            html.push_str(&format!("<p><a href=\"{}\">Open in Watchfire</a></p>\n", escape(&group.external_url)));
        }
        Ok(Message {
            title: format!("{title}: {} alerts, {firing} still fire", group.alerts.len()),
            content_type: "text/html".into(),
            body: html,
            ..Message::default()
        })
    }
}

impl Row<'_> {
    fn html(&self, owner: &str, name: &str) -> String {
        let sign = if self.firing > 0 { self.worst.sign() } else { "✅" };
        let example = self.example.map_or(String::new(), |alert| escape(&cut(&alert.summary, 200)));
        let times =
            if self.firing > 0 { format!("{} ({} fire)", self.count, self.firing) } else { self.count.to_string() };
        format!(
            "<tr style=\"border-bottom:1px solid #ddd\"><td>{sign}</td><td><b>{}</b></td><td>{}</td><td>{times}</td><td>{}\
             </td><td>{example}</td></tr>\n",
            escape(name),
            escape(owner),
            span(self.lasted_ms),
        )
    }
}

/// Text as it must stand in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

watchfire_sdk::export! { formatter: "weekly-digest" => WeeklyDigest }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_formatter};

    const HOUR: i64 = 3_600_000;

    #[test]
    fn alerts_are_summed_by_name_and_owner_the_longest_first() {
        let ended = |name: &str, team: &str, from: i64, to: i64| Alert {
            firing: false,
            ends_ms: Some(to * HOUR),
            ..alert(&[("alertname", name), ("team", team)], from * HOUR)
        };
        let fires = Alert {
            summary: "5 < 6 & rising".into(),
            ..alert(&[("alertname", "Slow"), ("severity", "critical")], 98 * HOUR)
        };
        let alerts = vec![fires, ended("Down", "ops", 1, 2), ended("Down", "ops", 10, 13), ended("Down", "dev", 1, 2)];
        let mut digest: WeeklyDigest = open_formatter(r#"{"rows": 2}"#).unwrap();
        let group = Group { at_ms: 100 * HOUR, alerts, external_url: "https://watchfire".into(), ..Group::default() };
        let message = digest.format(&group).unwrap();
        assert_eq!(message.title, "Alerts of the week: 4 alerts, 1 still fire");
        let rows: Vec<&str> = message.body.lines().filter(|line| line.contains("<b>")).collect();
        assert!(rows[0].contains("<b>Down</b></td><td>ops</td><td>2</td><td>4h 0m"), "{}", rows[0]);
        assert!(
            rows[1].contains("🔴</td><td><b>Slow</b></td><td>nobody</td><td>1 (1 fire)</td><td>2h 0m"),
            "{}",
            rows[1]
        );
        assert!(rows[1].contains("5 &lt; 6 &amp; rising") && rows.len() == 2, "{}", rows[1]);
        assert!(message.body.contains("and 1 more") && message.body.contains("href=\"https://watchfire\""));
    }
}
