//! What formatters say alike: headlines, signs, lengths of time, texts cut to what a service takes.

use crate::{Alert, Group, Severity};

impl Severity {
    /// All of them, from the least to the worst.
    pub const ALL: [Severity; 4] = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

    /// A coloured dot.
    pub const fn sign(self) -> &'static str {
        match self {
            Severity::Info => "🔵",
            Severity::Warning => "🟡",
            Severity::Error => "🟠",
            Severity::Critical => "🔴",
        }
    }

    /// Red, green and blue as one number, `0xrrggbb`.
    pub const fn colour(self) -> u32 {
        match self {
            Severity::Info => 0x36_a2_eb,
            Severity::Warning => 0xec_b2_2e,
            Severity::Error => 0xf2_71_1c,
            Severity::Critical => 0xe0_1e_5a,
        }
    }
}

/// The colour of what is over, as [`Severity::colour`].
pub const RESOLVED_COLOUR: u32 = 0x2e_b6_7d;

impl Alert {
    /// [`Severity::sign`] while it fires, a tick when it is resolved.
    pub fn sign(&self) -> &'static str {
        if self.firing { self.severity.sign() } else { "✅" }
    }

    /// How long it has fired at a time, or fired until its end, in milliseconds.
    pub fn lasted_ms(&self, at_ms: i64) -> i64 {
        (self.ends_ms.filter(|_| !self.firing).unwrap_or(at_ms) - self.starts_ms).max(0)
    }
}

impl Group {
    /// How many of the alerts fire.
    pub fn firing(&self) -> usize {
        self.alerts.iter().filter(|alert| alert.firing).count()
    }

    /// The worst severity of those that fire; if none does, of all.
    pub fn worst(&self) -> Severity {
        let none = self.firing() == 0;
        self.alerts.iter().filter(|alert| none || alert.firing).map(|alert| alert.severity).max().unwrap_or_default()
    }

    /// The colour for the whole.
    pub fn colour(&self) -> u32 {
        if self.firing() == 0 { RESOLVED_COLOUR } else { self.worst().colour() }
    }

    /// What it is about: `🔴 HighErrorRate (2 firing)`, or `✅ Resolved: HighErrorRate`.
    pub fn headline(&self) -> String {
        let grouped = self.group_labels.iter().find(|(name, _)| name == "alertname").map(|(_, value)| value.clone());
        let name = grouped.unwrap_or_else(|| self.values("alertname"));
        let name = if name.is_empty() { "Alerts" } else { &name };
        match self.firing() {
            0 => format!("✅ Resolved: {name}"),
            1 => format!("{} {name}", self.worst().sign()),
            many => format!("{} {name} ({many} firing)", self.worst().sign()),
        }
    }

    /// The distinct values of a label over all alerts, sorted and joined.
    pub fn values(&self, label: &str) -> String {
        let mut distinct: Vec<&str> = self.alerts.iter().filter_map(|alert| alert.label(label)).collect();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.join(", ")
    }

    /// The first annotation of this name that an alert has.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.alerts.iter().find_map(|alert| alert.annotation(name))
    }
}

/// A length of time as its two largest units: `3h 5m`.
pub fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A time in milliseconds since 1970 as `2026-11-20 12:09 UTC`.
pub fn time(ms: i64) -> String {
    let minutes = ms.div_euclid(60_000);
    let (year, month, day) = crate::calendar::date(minutes.div_euclid(1_440));
    let minute = minutes.rem_euclid(1_440);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

/// A text in at most so many characters; a cut shows as an ellipsis.
pub fn cut(text: &str, characters: usize) -> String {
    if text.len() <= characters || text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(characters.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Whether an address is one of the web, so that it may become a link.
pub fn is_link(address: &str) -> bool {
    let web = address.starts_with("https://") || address.starts_with("http://");
    web && !address.contains(|c: char| c.is_whitespace() || "<>|\"".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_times_and_cuts() {
        for (ms, expected) in
            [(-5, "0s"), (59_999, "59s"), (125_000, "2m 5s"), (3_660_000, "1h 1m"), (90_000_000, "1d 1h")]
        {
            assert_eq!(span(ms), expected);
        }
        assert_eq!(time(1_795_132_800_000 + 729 * 60_000), "2026-11-20 12:09 UTC");
        assert_eq!((cut("äöü", 3), cut("äöüß", 3)), ("äöü".to_owned(), "äö…".to_owned()));
        assert!(is_link("https://example.org/a?b=c") && !is_link("javascript:alert(1)") && !is_link("http://a|b"));
    }

    #[test]
    fn a_headline_counts_what_fires() {
        let alert =
            |firing| Alert { firing, severity: Severity::Error, ..crate::testing::alert(&[("alertname", "A")], 0) };
        for (alerts, expected) in [
            (vec![], "✅ Resolved: Alerts"),
            (vec![alert(false)], "✅ Resolved: A"),
            (vec![alert(true), alert(false)], "🟠 A"),
            (vec![alert(true), alert(true)], "🟠 A (2 firing)"),
        ] {
            assert_eq!(Group { alerts, ..Group::default() }.headline(), expected);
        }
    }
}
