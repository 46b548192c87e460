//! What receivers know, and what follows from it: the deduplication of notifications.

use watchfire_model::{Duration, Timestamp};

use crate::{FingerprintSet, LogEntry, NotifyReason, Repeat};

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
    /// The receiver refused exactly this.
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
/// is always told (contract C1), and what was refused is not sent again unchanged before `repeat_interval`.
///
/// `attached` are the firing alerts of `content` that the route still sends here; the others cannot cause anything new.
pub(crate) fn decide(entry: &LogEntry, content: &Content, attached: &FingerprintSet, terms: Terms) -> Verdict {
    let verdict = decide_unrefused(entry, content, attached, terms);
    if let (Verdict::Notify(_), Some(refused)) = (verdict, &entry.refused) {
        let same = refused.firing == content.firing && refused.resolved == content.resolved;
        // An end that was refused is not worth repeating; a reload, which may repair the receiver, clears the refusal.
        if same && (content.firing.is_empty() || terms.now.since(refused.at) <= terms.repeat_interval) {
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

impl LogEntry {
    /// What was said later than this was said then.
    pub(crate) fn at_latest(mut self, latest: Timestamp) -> LogEntry {
        self.notified_at = self.notified_at.map(|at| at.min(latest));
        if let Some(refused) = &mut self.refused {
            refused.at = refused.at.min(latest);
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
    fn what_was_refused_is_not_sent_again_unchanged() {
        let now = Timestamp::from_secs(1_000);
        let refused = crate::Refusal { firing: set("a"), resolved: set(""), at: now, reason: "no".into() };
        let entry = LogEntry { refused: Some(Box::new(refused)), ..LogEntry::default() };
        let (repeat_interval, repeat) = (Duration::from_secs(100), Repeat::Compatible);
        let terms = Terms { now, repeat_interval, repeat, open: true, current: true };
        let verdict = |firing: &str, terms| {
            let content = Content { firing: set(firing), resolved: set("") };
            decide(&entry, &content, &content.firing, terms)
        };
        assert_eq!(verdict("a", terms), Verdict::Refused);
        assert_eq!(verdict("ab", terms), Verdict::Notify(NotifyReason::FirstNotification));
        let later = Terms { now: now + Duration::from_secs(101), ..terms };
        assert_eq!(verdict("a", later), Verdict::Notify(NotifyReason::FirstNotification));
    }
}
