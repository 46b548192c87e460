//! `business-hours`: sends alerts to one receiver in office hours, and to another at night and on holidays.
//!
//! See `README.md` for the configuration; for hours that differ from team to team there is `team-router`.

use serde::Deserialize;
use watchfire_sdk::calendar::{Calendar, OfficeHours};
use watchfire_sdk::{Alert, Decision, Descriptor, Error, Router, Severity};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// When the office is open.
    pub office: OfficeHours,
    /// The receiver in office hours.
    pub open: String,
    /// The receiver at all other times.
    pub closed: String,
    /// The receiver of critical alerts at any hour; without it they go where the others go.
    pub critical: Option<String>,
    /// Alerts that are less than this wait for the office to open: they are held back while it is closed.
    pub hold_below: Option<String>,
}

/// The router, opened for one route.
#[derive(Debug)]
pub struct BusinessHours {
    calendar: Calendar,
    hold_below: Severity,
    config: Config,
}

impl Router for BusinessHours {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Sends alerts to one receiver in office hours, and to another at night and on holidays.");

    fn open(config: Config) -> Result<BusinessHours, Error> {
        let calendar = config.office.calendar("/office")?;
        for (path, receiver) in [("/open", &config.open), ("/closed", &config.closed)] {
            if receiver.is_empty() {
                return Err(Error::config(path, "the name of a receiver is missing"));
            }
        }
        let hold_below = match config.hold_below.as_deref() {
            None => Severity::Info,
            Some(word) => *Severity::ALL.iter().find(|severity| severity.as_str() == word).ok_or_else(|| {
                Error::config("/hold_below", format!("{word:?} is no severity; use info, warning, error or critical"))
            })?,
        };
        Ok(BusinessHours { calendar, hold_below, config })
    }

    fn decide(&mut self, at_ms: i64, alert: &Alert) -> Result<Decision, Error> {
        if let (Severity::Critical, Some(critical)) = (alert.severity, &self.config.critical) {
            return Ok(Decision::to(critical));
        }
        if self.calendar.is_open(at_ms) {
            return Ok(Decision::to(&self.config.open));
        }
        if alert.severity < self.hold_below {
            return Ok(Decision {
                suppress: Some("it waits for the office to open".to_owned()),
                ..Decision::default()
            });
        }
        Ok(Decision::to(&self.config.closed))
    }
}

watchfire_sdk::export! { router: "business-hours" => BusinessHours }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_router};

    const CONFIG: &str = r#"{"open": "chat", "closed": "pager", "critical": "phone", "hold_below": "warning",
        "office": {"hours": "09:00-18:00", "days": ["mon", "tue", "wed", "thu", "fri"], "holidays": ["12-25"]}}"#;

    /// 2026-12-24, a Thursday, 00:00 UTC.
    const THURSDAY: i64 = 1_798_070_400_000;

    fn decide(hour: i64, severity: &str) -> String {
        let mut router: BusinessHours = open_router(CONFIG).unwrap();
        let decision = router.decide(THURSDAY + hour * 3_600_000, &alert(&[("severity", severity)], 0)).unwrap();
        decision.suppress.map_or_else(|| decision.receivers.join(","), |_| "held".to_owned())
    }

    #[test]
    fn the_hour_the_day_and_the_severity_decide() {
        for (hour, severity, expected) in [
            (10, "warning", "chat"),
            (10, "info", "chat"),
            (10, "critical", "phone"),
            (20, "warning", "pager"),
            (20, "info", "held"),
            // Christmas.
            (24 + 10, "warning", "pager"),
            (24 + 10, "critical", "phone"),
        ] {
            assert_eq!(decide(hour, severity), expected, "{hour} {severity}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (config, path) in [
            (CONFIG.replace("\"chat\"", "\"\""), "/open"),
            (CONFIG.replace("12-25", "25.12."), "/office/holidays/0"),
            (CONFIG.replace("\"warning\"", "\"bad\""), "/hold_below"),
        ] {
            let error = open_router::<BusinessHours>(&config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("invalid configuration at {path:?}")), "{error}");
        }
    }
}
