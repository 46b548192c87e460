//! Alerts about the engine itself: what is broken or quarantined pages like everything else (contract C3).

use std::collections::BTreeMap;

use watchfire_config::Diagnostic;
use watchfire_model::{Alert, Duration, Labels, Timestamp};

use crate::load::PluginStatus;
use crate::plugins::Suspended;

/// How long such an alert lives without being raised again; it is raised again several times within that time.
pub(crate) const LIVES: Duration = Duration::from_mins(5);

/// How often the alerts are raised again.
pub(crate) const REPEAT: std::time::Duration = std::time::Duration::from_secs(60);

/// The alerts that fire now: one per broken file, one per broken plugin, one per suspended plugin, one if what arrives
/// cannot be logged, and one if the database takes nothing.
pub(crate) fn firing(
    diagnostics: &[Diagnostic],
    plugins: &[PluginStatus],
    suspended: &[(String, Suspended)],
    log_failure: Option<String>,
    store_failure: Option<String>,
    now: Timestamp,
) -> Vec<Alert> {
    let mut by_file: BTreeMap<&str, Vec<&Diagnostic>> = BTreeMap::new();
    for diagnostic in diagnostics.iter().filter(|diagnostic| diagnostic.is_error()) {
        by_file.entry(&diagnostic.file).or_default().push(diagnostic);
    }
    let files = by_file.into_iter().map(|(file, errors)| {
        let first = errors[0];
        let summary = match errors.len() {
            1 => format!("{file} has an error; what it concerns is left out or runs in its last good version"),
            count => {
                format!("{file} has {count} errors; what they concern is left out or runs in its last good version")
            }
        };
        alert("WatchfireFileBroken", "file", file, summary, first.to_string(), now)
    });
    let plugins = plugins.iter().filter_map(|plugin| {
        let error = plugin.error.as_ref()?;
        let summary = if plugin.digest.is_empty() {
            format!("plugin {} cannot be used", plugin.name)
        } else {
            format!("the new version of plugin {} cannot be used; the last good one goes on", plugin.name)
        };
        Some(alert("WatchfirePluginBroken", "plugin", &plugin.name, summary, error.clone(), now))
    });
    let log = log_failure.map(|error| {
        let summary = "samples and events are refused because the input log cannot be written".to_owned();
        let description =
            format!("{error}. Rules go on being evaluated on what there is; senders are told to try again.");
        alert("WatchfireLogFailing", "log", "input", summary, description, now)
    });
    let mut parts: BTreeMap<&str, Vec<&Suspended>> = BTreeMap::new();
    for (plugin, part) in suspended {
        parts.entry(plugin).or_default().push(part);
    }
    let suspended = parts.into_iter().map(|(plugin, parts)| {
        let summary = format!("plugin {plugin} keeps failing and is left alone for a while");
        let mut description = left_alone(plugin, parts[0], now);
        if parts.len() > 1 {
            description +=
                &format!(" So it is with {} more of its uses, which the page /plugins shows.", parts.len() - 1);
        }
        alert("WatchfirePluginSuspended", "plugin", plugin, summary, description, now)
    });
    let store = store_failure.map(|error| {
        let summary = "the database cannot be written; notifications go on from memory".to_owned();
        let description = format!(
            "{error}. What is decided is kept in memory and written when the database is back; if the engine ends before \
             that, it may tell again what it has told since. Silences and alerts from outside are refused meanwhile."
        );
        alert("WatchfireStoreFailing", "store", "state", summary, description, now)
    });
    files.chain(plugins).chain(suspended).chain(log).chain(store).collect()
}

/// Those of `before` that no longer fire, ended now.
pub(crate) fn ended(before: &[Alert], firing: &[Alert], now: Timestamp) -> Vec<Alert> {
    let fires = |alert: &Alert| firing.iter().any(|other| other.labels == alert.labels);
    let gone = before.iter().filter(|alert| !fires(alert));
    gone.map(|alert| Alert { ends_at: Some(now), updated_at: now, ..alert.clone() }).collect()
}

/// Whose failures these are, when it is tried again, and how it failed last.
fn left_alone(plugin: &str, suspended: &Suspended, now: Timestamp) -> String {
    let Suspended { suspension, used_by } = suspended;
    let users = match used_by.as_slice() {
        [] => String::new(),
        [one] => format!(" of {one}"),
        [first, others @ ..] => format!(" of {first} and {} more", others.len()),
    };
    let again = if suspension.until > now {
        format!("is tried again at {}", suspension.until.to_rfc3339())
    } else {
        "is tried again with its next call".to_owned()
    };
    format!(
        "The {} {plugin}/{}{users} failed {} times in a row and {again}. The last failure: {}",
        suspension.kind.as_str(),
        suspension.name,
        suspension.failures,
        suspension.last
    )
}

fn alert(name: &str, label: &str, value: &str, summary: String, description: String, now: Timestamp) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", name), (label, value), ("severity", "warning")]),
        annotations: [("summary", summary), ("description", description)].into(),
        starts_at: now,
        ends_at: Some(now + LIVES),
        updated_at: now,
        timeout: true,
        generator_url: "".into(),
        value: None,
    }
}

#[cfg(test)]
mod tests {
    use watchfire_host::Suspension;
    use watchfire_plugin::Kind;

    use super::*;

    #[test]
    fn one_alert_per_broken_file_which_ends_when_it_is_mended() {
        let now = Timestamp::from_secs(100);
        let diagnostic = |file: &str, line: usize| Diagnostic { line, ..crate::load::whole_file(file, "is wrong") };
        let diagnostics = [diagnostic("a.yml", 3), diagnostic("a.yml", 5), diagnostic("b.yml", 1)];
        let broken = PluginStatus {
            name: "p".into(),
            digest: String::new(),
            error: Some("no component".into()),
            compiling: false,
        };
        let before = firing(&diagnostics, &[broken], &[], None, None, now);
        let names: Vec<_> = before.iter().map(|alert| alert.labels.to_string()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        let description = before[0].annotations.get("description").unwrap();
        assert!(description.starts_with("a.yml:3:1: error: is wrong"));
        let after = firing(&diagnostics[2..], &[], &[], None, None, now);
        let ended: Vec<_> = ended(&before, &after, now).iter().map(|alert| alert.labels.to_string()).collect();
        assert_eq!(ended.len(), 2, "{ended:?}");
    }

    #[test]
    fn a_suspension_says_whose_it_is_and_when_it_is_tried_again() {
        let suspension = Suspension {
            kind: Kind::Condition,
            name: "above".to_owned(),
            config: "{}".to_owned(),
            until: Timestamp::from_secs(100),
            failures: 5,
            last: "the plugin trapped: unreachable".to_owned(),
        };
        let told = |users: &[&str], now: i64| {
            let used_by = users.iter().map(|user| (*user).to_owned()).collect();
            let suspended = [("js".to_owned(), Suspended { suspension: suspension.clone(), used_by })];
            let alerts = firing(&[], &[], &suspended, None, None, Timestamp::from_secs(now));
            alerts[0].annotations.get("description").unwrap().to_owned()
        };
        assert_eq!(
            told(&[r#"the rule "A""#], 99),
            "The condition js/above of the rule \"A\" failed 5 times in a row and is tried again at \
             1970-01-01T00:01:40.000Z. The last failure: the plugin trapped: unreachable"
        );
        assert_eq!(
            told(&[r#"the rule "A""#, r#"the rule "B""#, r#"the rule "C""#], 100),
            "The condition js/above of the rule \"A\" and 2 more failed 5 times in a row and is tried again with its \
             next call. The last failure: the plugin trapped: unreachable"
        );
    }
}
