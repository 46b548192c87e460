//! How long data is kept: as long as some rule can reach back to it.

use watchfire_model::Duration;
use watchfire_rules::{RuleFile, Source};

/// Samples are kept this much longer than any rule reaches, for evaluations that run late.
const SLACK: Duration = Duration::from_mins(5);

/// With no rule at all, this much is kept so that queries have something to show.
const LEAST: Duration = Duration::from_mins(30);

/// The longest reach of all rules, with slack.
pub fn of(files: &[RuleFile], lookback: Duration, query_offset: Duration) -> Duration {
    let mut longest = LEAST;
    // What a server elsewhere answers is not read here.
    for group in files.iter().flat_map(|file| &file.groups).filter(|group| group.source.is_none()) {
        let offset = group.query_offset.unwrap_or(query_offset);
        for rule in &group.rules {
            let series = rule.reach_with(lookback).map(|reach| reach + lookback);
            let events = match &rule.source {
                Source::Expr(_) => None,
                Source::Events(source) => Some(source.reach()),
            };
            let templates = Some(rule.template_queries().reach + lookback);
            let reach = series.max(events).max(templates).unwrap_or(Duration::ZERO);
            longest = longest.max(reach + offset + SLACK);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use watchfire_config::{Source as Text, load_rules};

    use super::*;

    #[test]
    fn data_are_kept_as_long_as_the_rule_that_reaches_furthest_back() {
        let minutes = Duration::from_mins;
        let table = [
            ("", 30, 30),
            ("{alert: A, expr: up == 0, for: 3d}", 30, 75),
            ("{alert: A, expr: 'rate(x[1h]) > 0'}", 70, 130),
            ("{alert: A, expr: 'rate(x[1h] offset 1d) > 0'}, {alert: B, expr: up}", 1_510, 1_570),
            ("{alert: A, expr: 'max_over_time(rate(x[10m])[2h:1m] offset 20m) > 0'}", 160, 220),
            ("{alert: A, expr: up, annotations: {a: '{{ query \"x offset 2h\" | len }}'}}", 130, 190),
            ("{alert: A, expr: up, annotations: {a: 'for 2h'}}", 30, 75),
            ("{alert: A, events: {match: {type: t}, count: {over: 40m, op: '>=', value: 1}}}", 50, 110),
        ];
        let local = table.map(|(rules, expected, with_offset)| (rules, "", expected, with_offset));
        // What a server elsewhere answers is not read here.
        let elsewhere = ("{alert: A, expr: 'rate(x[1h]) > 0'}", "source: {prometheus: 'http://p'}, ", 30, 30);
        for (rules, source, expected, with_offset) in local.into_iter().chain([elsewhere]) {
            let text = format!("groups: [{{name: g, {source}rules: [{rules}]}}]");
            let loaded = load_rules(Text { name: "r", text: &text });
            let files = [loaded.file];
            let kept = [0, 60].map(|offset| of(&files, minutes(5), minutes(offset)));
            assert_eq!(kept, [expected, with_offset].map(minutes), "{rules}");
        }
    }
}
