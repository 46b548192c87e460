//! How long data is kept: as long as some rule can reach back to it.

use watchfire_model::Duration;
use watchfire_rules::{RuleFile, Source};

/// Samples are kept this much longer than any rule reaches, for evaluations that run late.
const SLACK: Duration = Duration::from_mins(5);

/// With no rule at all, this much is kept so that queries have something to show.
const LEAST: Duration = Duration::from_mins(30);

/// The longest reach of all rules, with slack.
pub(crate) fn of(files: &[RuleFile], lookback: Duration, query_offset: Duration) -> Duration {
    let mut longest = LEAST;
    for group in files.iter().flat_map(|file| &file.groups) {
        let offset = group.query_offset.unwrap_or(query_offset);
        for rule in &group.rules {
            let series = rule.selectors().iter().map(|selector| selector.reach + lookback).max();
            let events = match &rule.source {
                Source::Expr(_) => None,
                Source::Events(source) => Some(source.reach()),
            };
            let reach = series.max(events).unwrap_or(Duration::ZERO).max(rule.template_queries().reach);
            longest = longest.max(reach + offset + SLACK);
        }
    }
    longest
}
