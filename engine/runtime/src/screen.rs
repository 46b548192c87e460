//! Arrivals that change nothing: most samples leave a rule as quiet as it was, and then the state machine need not hear
//! of them.
//!
//! A rule is quiet if it has neither alerts nor series of its own and found nothing when it was evaluated last. When its
//! data change, its query alone is evaluated, as far as the changed series have a say in it. Only if that finds something
//! the rule counts as touched; then it is evaluated as always. One thread at a time screens, so that the others are free
//! for evaluations that are due.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use watchfire_model::RuleId;
use watchfire_tsdb::SeriesId;

use crate::data::lock;

/// Series that are remembered as changed; a rule that was looked at longer ago is evaluated as a whole.
const CHANGED_MAX: usize = 1 << 16;

/// How many arrivals there have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrivals(pub(crate) u64);

/// The rules that wait to be looked at, and what has changed.
#[derive(Debug, Default)]
pub(crate) struct Screen(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they were touched.
    rules: VecDeque<RuleId>,
    known: HashSet<RuleId>,
    /// Whether a thread is at it, or was asked to be.
    busy: bool,
    arrivals: u64,
    /// The series of the last arrivals, the newest at the end.
    changed: VecDeque<Arc<[SeriesId]>>,
    changed_series: usize,
}

impl Screen {
    /// Takes note of series that have changed, before the rules that read them are looked at.
    pub(crate) fn changed(&self, series: &[SeriesId]) {
        let mut waiting = lock(&self.0);
        waiting.arrivals += 1;
        waiting.changed_series += series.len();
        waiting.changed.push_back(series.into());
        while waiting.changed_series > CHANGED_MAX {
            let Some(oldest) = waiting.changed.pop_front() else { break };
            waiting.changed_series -= oldest.len();
        }
    }

    /// How many arrivals there have been; an evaluation from now on sees all of them.
    pub(crate) fn arrivals(&self) -> Arrivals {
        Arrivals(lock(&self.0).arrivals)
    }

    /// The series that have changed since there were so many arrivals, unless that is too long ago.
    pub(crate) fn changed_since(&self, seen: Arrivals) -> Option<Vec<SeriesId>> {
        let waiting = lock(&self.0);
        let missed = usize::try_from(waiting.arrivals.saturating_sub(seen.0)).ok()?;
        let first = waiting.changed.len().checked_sub(missed)?;
        Some(waiting.changed.range(first..).flat_map(|series| series.iter().copied()).collect())
    }

    /// Lets rules wait. True if a thread has to be asked to look at them.
    pub(crate) fn add(&self, rules: impl IntoIterator<Item = RuleId>) -> bool {
        let mut waiting = lock(&self.0);
        for rule in rules {
            if waiting.known.insert(rule) {
                waiting.rules.push_back(rule);
            }
        }
        !waiting.rules.is_empty() && !std::mem::replace(&mut waiting.busy, true)
    }

    /// The rules that have waited longest; none ends the work of the thread that was asked.
    pub(crate) fn take(&self, most: usize) -> Vec<RuleId> {
        let mut waiting = lock(&self.0);
        let count = waiting.rules.len().min(most);
        let taken: Vec<RuleId> = waiting.rules.drain(..count).collect();
        for rule in &taken {
            waiting.known.remove(rule);
        }
        waiting.busy = !taken.is_empty();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_waits_once_and_one_thread_is_asked() {
        let screen = Screen::default();
        let rules = |numbers: &[u64]| numbers.iter().map(|number| RuleId(*number)).collect::<Vec<_>>();
        assert!(screen.add(rules(&[3, 1])));
        assert!(!screen.add(rules(&[1, 2])));
        assert_eq!(screen.take(2), rules(&[3, 1]));
        // Touched again while it is looked at.
        assert!(!screen.add(rules(&[1])));
        assert_eq!(screen.take(5), rules(&[2, 1]));
        assert_eq!(screen.take(5), []);
        assert!(!screen.add(rules(&[])));
        assert!(screen.add(rules(&[1])));
    }

    #[test]
    fn changes_are_known_as_far_back_as_there_is_room() {
        let screen = Screen::default();
        let series = |number| SeriesId::from_number(number);
        let before = screen.arrivals();
        screen.changed(&[series(1), series(2)]);
        let between = screen.arrivals();
        screen.changed(&[series(2)]);
        assert_eq!(screen.changed_since(before), Some(vec![series(1), series(2), series(2)]));
        assert_eq!(screen.changed_since(between), Some(vec![series(2)]));
        assert_eq!(screen.changed_since(screen.arrivals()), Some(vec![]));
        screen.changed(&vec![series(3); CHANGED_MAX]);
        assert_eq!(screen.changed_since(between), None);
        assert_eq!(screen.changed_since(screen.arrivals()), Some(vec![]));
    }
}
