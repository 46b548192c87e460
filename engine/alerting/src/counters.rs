//! What the engine counts, for metrics. All of them only grow while the process lives.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// What was counted since the engine was made.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl Counters {
            /// Each counter with its name and what it counts.
            pub fn list(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Inputs handled.
    inputs,
    /// Evaluations asked for at an interval.
    evaluations_interval,
    /// Evaluations asked for on arrival.
    evaluations_arrival,
    /// Evaluations that failed.
    evaluation_failures,
    /// Evaluations that gave no answer in time.
    evaluations_lost,
    /// Slots of rule groups that passed without an evaluation.
    slots_missed,
    /// Arrivals that were folded into an evaluation already due.
    touches_coalesced,
    /// Instances left out because a rule had too many.
    instances_dropped,
    /// Times that annotations of a rule's alert were cut because they were too long.
    annotations_cut,
    /// Alerts received from outside.
    alerts_received,
    /// Alerts from outside that end before they start or have no labels.
    alerts_invalid,
    /// Alerts refused because there were too many.
    alerts_refused,
    /// Alerts refused because the texts of those that are held took too many bytes.
    alerts_refused_for_bytes,
    /// Alerts refused because too many of their name fired.
    alerts_refused_for_name,
    /// Alerts from outside ignored because a rule of this engine has the same alert firing.
    alerts_owned_by_rule,
    /// Alerts put into a shared group because there were too many groups.
    groups_overflowed,
    /// Notifications made.
    notifications,
    /// Notifications replaced by newer content before they were delivered.
    notifications_superseded,
    /// Attempts started.
    attempts,
    /// Attempts that delivered.
    deliveries,
    /// Attempts that failed and are tried again.
    retries,
    /// Notifications refused by their receiver.
    rejections,
    /// Notifications given up after too long a time.
    given_up,
    /// Attempts that gave no answer in time.
    attempts_lost,
    /// Answers about attempts, evaluations or routes that nobody waits for any more.
    stale_answers,
    /// Resolved notifications that were sent only because they had been promised.
    promised_resolves,
    /// Alerts whose promised end cannot be told because the receiver is gone.
    resolves_lost_to_removed_receivers,
    /// Flushes of alert groups.
    flushes,
    /// Questions to router plugins.
    router_requests,
    /// Router plugins that failed or did not answer in time.
    router_failures,
    /// Alerts that a rate limit held back.
    alerts_held_back,
    /// Notifications that told what a rate limit had held back.
    digests,
    /// Alerts that were told without a rate limit because there were too many kinds to remember.
    rate_limits_overflowed,
    /// Alerts acknowledged or snoozed.
    acknowledgements,
    /// Acknowledgements refused because who and why were too long.
    acknowledgements_refused,
    /// Times that others were told because nobody had acknowledged.
    escalations,
    /// Times that an alert began to flap.
    alerts_flapping,
    /// Silences refused.
    silences_refused,
    /// Times that the clock went back.
    clock_steps_back,
    /// Definitions put into force.
    reloads,
}
