//! Every number that bounds or paces the engine.

use watchfire_model::Duration;

/// The engine's bounds and paces (contract C7). The unit is in the name or in the type.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Alerts in dispatch, ended ones included until they are forgotten. A new alert beyond it is refused and counted.
    pub alerts_max: usize,
    /// Bytes of the labels, annotations and links of all these alerts. A new alert that would pass it is refused and
    /// counted; one that is known comes in, even if it has grown.
    pub alerts_bytes_max: usize,
    /// Alerts of one name (`alertname`) that fire. A new alert beyond it is refused and counted; `None` for no such bound.
    pub alerts_per_name_max: Option<usize>,
    /// Bytes of the annotations of one alert of a rule. Of what is longer the texts are cut, and it is counted.
    pub annotations_bytes_max: usize,
    /// Alert groups. Beyond it the alerts of a route that would need a new group share one, and it is counted.
    pub groups_max: usize,
    /// Silences, expired ones included. A new one beyond it is refused.
    pub silences_max: usize,
    /// Label sets (receiver, name, severity) of which it is remembered when they were last told, for rate limits. Beyond it
    /// further ones have no limit.
    pub rate_limits_max: usize,
    /// Bytes of who and why of an acknowledgement.
    pub acknowledgement_bytes_max: usize,
    /// Bytes of one silence: its matchers, who and why, and annotations.
    pub silence_bytes_max: usize,
    /// Matchers of one silence.
    pub silence_matchers_max: usize,
    /// How long one occurrence of a recurring silence may last.
    pub silence_occurrence_max: Duration,
    /// Instances (or recorded series) of one rule, if its group has no lower `limit`. The first ones are kept.
    pub rule_instances_max: usize,
    /// Lines of history per alert; the oldest go first.
    pub history_per_alert_max: usize,
    /// Alerts of which a history is kept, forgotten alerts included; the oldest history of a forgotten alert goes first.
    pub history_alerts_max: usize,
    /// How long the history of an alert is kept after its last line.
    pub history_retention: Duration,

    /// How far apart the evaluations of a group are at least that arrivals cause: the first one is looked at at once, and
    /// what follows it closely together.
    pub arrival_coalesce: Duration,
    /// After what time an evaluation that was not answered counts as failed.
    pub evaluation_deadline: Duration,
    /// Whether `ALERTS` and `ALERTS_FOR_STATE` are written.
    pub alerts_series: bool,
    /// How long an ended instance of a rule is kept after the slot of its end.
    pub resolved_retention: Duration,
    /// How late a time of a rule's cron schedule is still made up for.
    pub schedule_catch_up: Duration,
    /// How many intervals a rule that is no longer defined may stay away before its alerts end.
    pub removed_rule_intervals: u32,

    /// How long after the start a new group is told about at the earliest, so that those who send alerts have said by then
    /// what else fires.
    pub start_delay: Duration,
    /// How long an alert that ended is kept in dispatch if nothing waits for it.
    pub alert_retention: Duration,
    /// How long an expired silence is kept.
    pub silence_retention: Duration,
    /// How long a refused end is kept.
    pub log_retention: Duration,
    /// How long what an integration knows is kept after it went from the configuration: if it comes back within that time,
    /// it is told the ends that it is owed, and not again what it has taken. Ended alerts wait for it meanwhile.
    pub gone_integration_retention: Duration,
    /// How many such integrations are kept; those that went first are forgotten.
    pub gone_integrations_max: usize,
    /// After what time a router plugin that did not answer is passed over.
    pub router_deadline: Duration,
    /// How long an alert from outside may still be sent again after a restart before it ends, or as long as its sender gave
    /// it where that is less; and how long the data of a rule's alert that was read back may be missing.
    pub restart_grace: Duration,

    /// Attempts to deliver at one time. An integration may have as many of them under way as places are free beside it,
    /// and one in any case; what is beyond that waits for its turn.
    pub attempts_max: usize,
    /// After what time an attempt that was not answered counts as failed; longer than those who send let one take, so that
    /// none is tried again that is still under way.
    pub attempt_deadline: Duration,
    /// When to try again after a failure.
    pub retry: Backoff,
    /// When to try again after a receiver named a time (such as `Retry-After`), if the backoff would be sooner than that.
    pub retry_after_max: Duration,
    /// How long a target that fails is tried before a notification of firing alerts is given up; the next flush that
    /// finds something to tell tries again.
    pub firing_give_up: Duration,
    /// How long a target that fails is tried before a notification of ended alerts alone is given up.
    pub resolved_give_up: Duration,
}

/// Exponential backoff with jitter from a hash, so that it is the same in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait; it doubles with every further failure.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// By how many percent of the wait it may be shortened or lengthened.
    pub jitter_percent: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            alerts_max: 200_000,
            alerts_bytes_max: 512 << 20,
            alerts_per_name_max: None,
            annotations_bytes_max: 64 << 10,
            groups_max: 50_000,
            silences_max: 10_000,
            rate_limits_max: 100_000,
            acknowledgement_bytes_max: 4_096,
            silence_bytes_max: 64 << 10,
            silence_matchers_max: 1_000,
            silence_occurrence_max: Duration::from_hours(31 * 24),
            rule_instances_max: 10_000,
            history_per_alert_max: 32,
            history_alerts_max: 200_000,
            history_retention: Duration::from_hours(30 * 24),
            arrival_coalesce: Duration::from_millis(5),
            evaluation_deadline: Duration::from_mins(5),
            alerts_series: true,
            resolved_retention: Duration::from_mins(15),
            schedule_catch_up: Duration::from_hours(24),
            removed_rule_intervals: 2,
            start_delay: Duration::ZERO,
            alert_retention: Duration::from_mins(15),
            silence_retention: Duration::from_hours(120),
            log_retention: Duration::from_hours(120),
            gone_integration_retention: Duration::from_hours(1),
            gone_integrations_max: 1_000,
            router_deadline: Duration::from_secs(2),
            restart_grace: Duration::from_mins(5),
            attempts_max: 256,
            attempt_deadline: Duration::from_mins(5),
            retry: Backoff { first: Duration::from_secs(1), max: Duration::from_mins(5), jitter_percent: 20 },
            retry_after_max: Duration::from_hours(1),
            firing_give_up: Duration::from_hours(24),
            resolved_give_up: Duration::from_hours(120),
        }
    }
}

impl Backoff {
    /// The wait before the attempt that follows the `failures`-th failure in a row; `seed` spreads it.
    pub fn wait(&self, failures: u32, seed: u128) -> Duration {
        let doubled = self.first.as_millis().saturating_mul(1 << failures.saturating_sub(1).min(30));
        let wait = doubled.min(self.max.as_millis()).max(0);
        let span = wait.saturating_mul(i64::from(self.jitter_percent)) / 100;
        if span == 0 {
            return Duration::from_millis(wait);
        }
        let width = u128::from(span.unsigned_abs()) * 2 + 1;
        let offset = i64::try_from(seed % width).unwrap_or(0) - span;
        Duration::from_millis(wait + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_stay_within_the_jitter() {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(10), jitter_percent: 20 };
        for (failures, plain) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000), (5, 10_000), (200, 10_000)] {
            for seed in [0, 1, 7, u128::MAX] {
                let wait = backoff.wait(failures, seed).as_millis();
                assert!((plain * 8 / 10..=plain * 12 / 10).contains(&wait), "{failures} {seed}: {wait}");
            }
        }
        assert_eq!(Backoff { jitter_percent: 0, ..backoff }.wait(2, 99), Duration::from_secs(2));
    }
}
