//! `team-router`: sends each alert to the team that its label names, by the hour on that team's clock.
//!
//! See `README.md` for the configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use watchfire_sdk::calendar::{Calendar, OfficeHours};
use watchfire_sdk::{Alert, Decision, Descriptor, Error, Router, Severity};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The label that names the team.
    #[serde(default = "team_label")]
    pub label: String,
    /// The teams by the label's value.
    pub teams: BTreeMap<String, TeamConfig>,
    /// The receiver of alerts without a known team; without it the route's own receiver is told.
    pub default: Option<String>,
}

/// One team.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamConfig {
    /// Office hours as `HH:MM-HH:MM`; the end is not part of them, and they may pass midnight.
    pub hours: String,
    /// Days on which the hours begin, `mon` to `sun`; every day if there are none.
    #[serde(default)]
    pub days: Vec<String>,
    /// Minutes that the team's clock is ahead of UTC.
    #[serde(default)]
    pub zone_offset_minutes: i32,
    /// Days without office hours: `2026-12-31`, or `12-25` for every year.
    #[serde(default)]
    pub holidays: Vec<String>,
    /// The receiver in office hours.
    pub in_hours: String,
    /// The receiver at all other times.
    pub off_hours: String,
    /// The receiver of critical alerts at any hour; without it they go where the others go.
    pub critical: Option<String>,
}

fn team_label() -> String {
    "team".to_owned()
}

/// The router, opened for one route.
#[derive(Debug)]
pub struct TeamRouter {
    label: String,
    teams: BTreeMap<String, Team>,
    default: Decision,
}

#[derive(Debug)]
struct Team {
    hours: Calendar,
    in_hours: String,
    off_hours: String,
    critical: Option<String>,
}

impl Router for TeamRouter {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Sends each alert to its team's receiver for office hours or for the rest of the day.")
            .with_schema(include_str!("../config.schema.json"));

    fn open(config: Config) -> Result<TeamRouter, Error> {
        let mut teams = BTreeMap::new();
        for (name, team) in config.teams {
            let path = |field: &str| format!("/teams/{}/{field}", name.replace('~', "~0").replace('/', "~1"));
            let receivers = [("in_hours", Some(&team.in_hours)), ("off_hours", Some(&team.off_hours))];
            for (field, receiver) in receivers.into_iter().chain([("critical", team.critical.as_ref())]) {
                if receiver.is_some_and(String::is_empty) {
                    return Err(Error::config(path(field), "the name of a receiver is missing"));
                }
            }
            let TeamConfig { hours, days, zone_offset_minutes, holidays, in_hours, off_hours, critical } = team;
            let office = OfficeHours { hours, days, zone_offset_minutes, holidays };
            let hours = office.calendar(path("").trim_end_matches('/'))?;
            teams.insert(name, Team { hours, in_hours, off_hours, critical });
        }
        let default = config.default.map(Decision::to).unwrap_or_default();
        Ok(TeamRouter { label: config.label, teams, default })
    }

    fn decide(&mut self, at_ms: i64, alert: &Alert) -> Result<Decision, Error> {
        let Some(team) = alert.label(&self.label).and_then(|name| self.teams.get(name)) else {
            return Ok(self.default.clone());
        };
        let receiver = match &team.critical {
            Some(critical) if alert.severity == Severity::Critical => critical,
            _ if team.hours.is_open(at_ms) => &team.in_hours,
            _ => &team.off_hours,
        };
        Ok(Decision::to(receiver))
    }
}

watchfire_sdk::export! { router: "team-router" => TeamRouter }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_router};

    const CONFIG: &str = r#"{
        "teams": {
            "payments": {"hours": "09:00-18:00", "days": ["mon", "tue", "wed", "thu", "fri"], "zone_offset_minutes": 120,
                         "in_hours": "payments-chat", "off_hours": "payments-pager", "critical": "payments-phone"},
            "night": {"hours": "22:00-06:00", "days": ["fri"], "in_hours": "night-chat", "off_hours": "night-pager"}
        },
        "default": "ops"
    }"#;

    /// 2026-11-20, a Friday, 00:00 UTC.
    const FRIDAY: i64 = 1_795_132_800_000;

    fn receiver(hour: i64, minute: i64, labels: &[(&str, &str)]) -> String {
        let mut router: TeamRouter = open_router(CONFIG).unwrap();
        let at = FRIDAY + (hour * 60 + minute) * 60_000;
        router.decide(at, &alert(labels, at)).unwrap().receivers.join(",")
    }

    #[test]
    fn an_alert_goes_where_its_team_is_at_that_hour() {
        let payments = [("team", "payments")];
        let night = [("team", "night")];
        for (hour, minute, labels, expected) in [
            (6, 59, &payments, "payments-pager"),
            (7, 0, &payments, "payments-chat"),
            (15, 59, &payments, "payments-chat"),
            (16, 0, &payments, "payments-pager"),
            // Saturday.
            (24 + 10, 0, &payments, "payments-pager"),
            (21, 59, &night, "night-pager"),
            (22, 0, &night, "night-chat"),
            // The night that began on Friday ends on Saturday; the one before began on Thursday.
            (24 + 5, 59, &night, "night-chat"),
            (24 + 6, 0, &night, "night-pager"),
            (5, 0, &night, "night-pager"),
        ] {
            assert_eq!(receiver(hour, minute, labels), expected, "{hour}:{minute} {labels:?}");
        }
    }

    #[test]
    fn critical_alerts_have_their_own_receiver_where_there_is_one() {
        assert_eq!(receiver(10, 0, &[("team", "payments"), ("severity", "critical")]), "payments-phone");
        assert_eq!(receiver(23, 0, &[("team", "night"), ("severity", "critical")]), "night-chat");
    }

    #[test]
    fn an_unknown_team_goes_to_the_default_or_to_the_route() {
        assert_eq!(receiver(10, 0, &[("team", "nobody")]), "ops");
        assert_eq!(receiver(10, 0, &[]), "ops");
        let mut router: TeamRouter = open_router(r#"{"teams": {}}"#).unwrap();
        assert_eq!(router.decide(0, &alert(&[], 0)).unwrap(), Decision::default());
    }

    #[test]
    fn the_label_can_be_another() {
        let config = CONFIG.replacen('{', r#"{"label": "owner","#, 1);
        let mut router: TeamRouter = open_router(&config).unwrap();
        let decided = router.decide(FRIDAY, &alert(&[("owner", "night")], 0)).unwrap();
        assert_eq!(decided, Decision::to("night-pager"));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let team = |field: &str| {
            format!(r#"{{"teams": {{"a/b": {{"hours": "09:00-18:00", "in_hours": "x", "off_hours": "y", {field}}}}}}}"#)
        };
        for (config, expected) in [
            (
                CONFIG.replace("22:00-06:00", "22-6"),
                r#"invalid configuration at "/teams/night/hours": "22-6" is not of the form "09:00-18:00""#,
            ),
            (
                CONFIG.replace("22:00-06:00", "25:00-26:00"),
                r#"invalid configuration at "/teams/night/hours": "25:00-26:00" is not of the form "09:00-18:00""#,
            ),
            (
                CONFIG.replace("22:00-06:00", "09:00-09:00"),
                r#"invalid configuration at "/teams/night/hours": "09:00-09:00" is no time at all; for the whole day write "00:00-24:00""#,
            ),
            (
                team(r#""days": ["mon", "Tuesday"]"#),
                r#"invalid configuration at "/teams/a~1b/days/1": "Tuesday" is no day; use mon, tue, wed, thu, fri, sat, sun"#,
            ),
            (
                team(r#""zone_offset_minutes": 900"#),
                r#"invalid configuration at "/teams/a~1b/zone_offset_minutes": no zone is 900 minutes from UTC; use -840 to 840"#,
            ),
            (
                team(r#""critical": """#),
                r#"invalid configuration at "/teams/a~1b/critical": the name of a receiver is missing"#,
            ),
            ("{}".to_owned(), r#"invalid configuration at "": missing field `teams`"#),
        ] {
            assert_eq!(open_router::<TeamRouter>(&config).unwrap_err().to_string(), expected);
        }
    }
}
