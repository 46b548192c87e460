//! What receivers know, and what follows from it: the deduplication of notifications.

use std::sync::Arc;

use watchfire_model::{Duration, Timestamp};

use crate::{FingerprintSet, LogEntry, NotifyReason, Refusal, Repeat};

/// For no longer than this a refusal keeps the same content from being sent again: a service that has been deployed
/// badly says 400 to everything, and is mended where nobody here sees it.
const REFUSAL_HOLDS_MAX: Duration = Duration::from_hours(1);

/// What could be told to one target now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Firing alerts that may be told.
    pub(crate) firing: FingerprintSet,
    /// Ended alerts that may be told, none to who wants no ends; those that were promised are among them whatever is muted.
    pub(crate) resolved: FingerprintSet,
}

/// What is to be done about a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Tell it.
    Notify(NotifyReason),
    /// Nothing to tell.
    Nothing,
    /// The receiver refused exactly this, and it is too early to ask it again.
    Refused,
}

/// How a target is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) now: Timestamp,
    pub(crate) repeat_interval: Duration,
    pub(crate) repeat: Repeat,
    /// Whether something is told that nobody looks after; else nothing is repeated.
    pub(crate) open: bool,
    /// Whether the route still sends alerts here; if not, only promised ends are told.
    pub(crate) current: bool,
}

/// Alertmanager's decision table (`notify/dedup_stage.go`, `needsUpdate`) with two additions: an end that was promised
/// is always told (contract C1), and what was refused is sent again unchanged at ever fewer flushes, not at each one.
///
/// `attached` are the firing alerts of `content` that the route still sends here; the others cannot cause anything new.
pub(crate) fn decide(entry: &LogEntry, content: &Content, attached: &FingerprintSet, terms: Terms) -> Verdict {
    let verdict = decide_unrefused(entry, content, attached, terms);
    if let (Verdict::Notify(_), Some(refused)) = (verdict, &entry.refused) {
        let same = refused.firing == content.firing && refused.resolved == content.resolved;
        if same && terms.now < refused.until() {
            return Verdict::Refused;
        }
    }
    verdict
}

fn decide_unrefused(entry: &LogEntry, content: &Content, attached: &FingerprintSet, terms: Terms) -> Verdict {
    let promised = content.resolved.iter().any(|f| entry.owed.contains(f));
    let promise = if promised { Verdict::Notify(NotifyReason::PromisedResolve) } else { Verdict::Nothing };
    if !terms.current {
        return promise;
    }
    if !attached.is_subset(&entry.firing) {
        let first = entry.notified_at.is_none() || entry.firing.is_empty() && entry.resolved.is_empty();
        return Verdict::Notify(if first { NotifyReason::FirstNotification } else { NotifyReason::NewAlertsInGroup });
    }
    let ended = content.resolved.iter().any(|f| entry.firing.contains(f));
    if content.firing.is_empty() {
        // What fired for the receiver and is neither told nor told to have ended is muted; that changes nothing.
        return if ended { Verdict::Notify(NotifyReason::AllAlertsResolved) } else { promise };
    }
    if promised || entry.notified_at.is_some() && !content.resolved.is_subset(&entry.resolved) {
        return Verdict::Notify(NotifyReason::NewResolvedAlerts);
    }
    let due = entry.notified_at.is_some_and(|at| match terms.repeat {
        Repeat::Compatible => at < terms.now - terms.repeat_interval,
        Repeat::Exact => at <= terms.now - terms.repeat_interval,
    });
    if due && terms.open && !attached.is_empty() {
        return Verdict::Notify(NotifyReason::RepeatIntervalElapsed);
    }
    Verdict::Nothing
}

impl Refusal {
    /// Until when the same content is not sent again: for as long as it has been refused, so not at all after the first
    /// time, and for an hour at most.
    fn until(&self) -> Timestamp {
        self.at + self.at.since(self.since).min(REFUSAL_HOLDS_MAX)
    }
}

impl LogEntry {
    /// What was said later than this was said then.
    pub(crate) fn at_latest(mut self, latest: Timestamp) -> LogEntry {
        self.notified_at = self.notified_at.map(|at| at.min(latest));
        if let Some(refused) = &mut self.refused {
            (refused.since, refused.at) = (refused.since.min(latest), refused.at.min(latest));
        }
        self
    }

    /// An attempt with this content begins. From now on the receiver may know, so ends must follow what fires, and what
    /// ended counts as unknown to it should it fire again.
    pub(crate) fn attempted(&mut self, firing: &FingerprintSet, resolved: &FingerprintSet, send_resolved: bool) {
        self.firing.remove_all(resolved);
        if send_resolved {
            self.owed.insert_all(firing);
        }
    }

    /// The receiver refuses this content.
    pub(crate) fn refused(
        &mut self,
        firing: FingerprintSet,
        resolved: FingerprintSet,
        at: Timestamp,
        reason: Arc<str>,
    ) {
        let again = self.refused.as_ref().filter(|before| before.firing == firing && before.resolved == resolved);
        let since = again.map_or(at, |before| before.since.min(at));
        self.refused = Some(Box::new(Refusal { firing, resolved, since, at, reason }));
    }

    /// The receiver has this content.
    pub(crate) fn delivered(&mut self, firing: FingerprintSet, resolved: FingerprintSet, at: Timestamp) {
        self.owed.remove_all(&resolved);
        self.firing = firing;
        self.resolved = resolved;
        self.notified_at = Some(at);
        self.refused = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::Fingerprint;

    fn set(letters: &str) -> FingerprintSet {
        letters.bytes().map(|b| Fingerprint(u64::from(b))).collect()
    }

    #[test]
    fn semantics_25_the_decision_table() {
        use NotifyReason::*;
        let repeat_interval = Duration::from_secs(100);
        let notify = Verdict::Notify;
        // Entry: firing, resolved, owed, age in seconds. Now: firing, resolved.
        let table = [
            (("", "", "", None), ("a", ""), notify(FirstNotification)),
            (("", "", "", None), ("", "a"), Verdict::Nothing),
            (("a", "", "a", Some(1)), ("a", ""), Verdict::Nothing),
            (("a", "", "a", Some(1)), ("ab", ""), notify(NewAlertsInGroup)),
            (("ab", "", "ab", Some(1)), ("a", ""), Verdict::Nothing),
            (("a", "", "a", Some(1)), ("", "a"), notify(AllAlertsResolved)),
            (("ab", "", "ab", Some(1)), ("a", "b"), notify(NewResolvedAlerts)),
            (("a", "b", "a", Some(1)), ("a", "b"), Verdict::Nothing),
            (("a", "b", "ab", Some(1)), ("a", "b"), notify(NewResolvedAlerts)),
            (("", "a", "", Some(1)), ("", "a"), Verdict::Nothing),
            (("", "a", "", Some(1)), ("a", ""), notify(NewAlertsInGroup)),
            (("a", "", "a", Some(100)), ("a", ""), Verdict::Nothing),
            (("a", "", "a", Some(101)), ("a", ""), notify(RepeatIntervalElapsed)),
            // Everything that fires is muted: nothing was said to have ended, so nothing is told or forgotten.
            (("a", "", "a", Some(101)), ("", ""), Verdict::Nothing),
            (("", "", "a", None), ("", "a"), notify(PromisedResolve)),
        ];
        for ((firing, resolved, owed, age), (now_firing, now_resolved), expected) in table {
            let now = Timestamp::from_secs(10_000);
            let entry = LogEntry {
                firing: set(firing),
                resolved: set(resolved),
                owed: set(owed),
                notified_at: age.map(|age| now - Duration::from_secs(age)),
                ..LogEntry::default()
            };
            let content = Content { firing: set(now_firing), resolved: set(now_resolved) };
            let repeat = Repeat::Compatible;
            let terms = Terms { now, repeat_interval, repeat, open: true, current: true };
            let verdict = decide(&entry, &content, &content.firing, terms);
            assert_eq!(verdict, expected, "{entry:?} {content:?}");
        }
    }

    #[test]
    fn a_repeat_is_due_strictly_later_or_to_the_millisecond_and_only_while_nobody_looks_after_it() {
        let now = Timestamp::from_secs(10_000);
        let repeat_interval = Duration::from_secs(100);
        let (again, nothing) = (Verdict::Notify(NotifyReason::RepeatIntervalElapsed), Verdict::Nothing);
        let table = [
            (Repeat::Compatible, 100_000, true, nothing),
            (Repeat::Compatible, 100_001, true, again),
            (Repeat::Exact, 99_999, true, nothing),
            (Repeat::Exact, 100_000, true, again),
            (Repeat::Exact, 200_000, false, nothing),
        ];
        for (repeat, age, open, expected) in table {
            let notified_at = Some(now - Duration::from_millis(age));
            let entry = LogEntry { firing: set("a"), owed: set("a"), notified_at, ..LogEntry::default() };
            let content = Content { firing: set("a"), resolved: set("") };
            let terms = Terms { now, repeat_interval, repeat, open, current: true };
            assert_eq!(decide(&entry, &content, &content.firing, terms), expected, "{repeat:?} {age} {open}");
        }
    }

    #[test]
    fn what_was_refused_waits_for_as_long_as_it_has_been_refused_and_for_an_hour_at_most() {
        let at = |minutes| Timestamp::from_secs(1_000) + Duration::from_mins(minutes);
        let (again, refused) = (Verdict::Notify(NotifyReason::FirstNotification), Verdict::Refused);
        // Refused since when and when last, what is to be told now, and the verdict; times in minutes.
        let table = [
            (0, 0, 0, "a", again),
            (0, 5, 9, "a", refused),
            (0, 5, 9, "ab", again),
            (0, 5, 10, "a", again),
            (0, 300, 359, "a", refused),
            (0, 300, 360, "a", again),
        ];
        for (since, last, now, firing, expected) in table {
            let mut entry = LogEntry::default();
            for time in [since, last] {
                entry.refused(set("a"), set(""), at(time), "no".into());
            }
            let (repeat_interval, repeat) = (Duration::from_hours(4), Repeat::Compatible);
            let terms = Terms { now: at(now), repeat_interval, repeat, open: true, current: true };
            let content = Content { firing: set(firing), resolved: set("") };
            assert_eq!(decide(&entry, &content, &content.firing, terms), expected, "{since} {last} {now} {firing}");
        }
    }
}
