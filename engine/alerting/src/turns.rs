//! Whose turn it is to try: attempts at one time are bounded, and an integration that fails leaves room for the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::{IntegrationKey, TargetKey};

/// An integration of a receiver, for whatever group.
type Way = (Arc<str>, IntegrationKey);

/// Attempts under way, and who waits for a turn.
///
/// Of one integration there may be as many attempts under way as places are free beside it, so that one that does not
/// answer takes half of all places, a second one half of the rest, and so on. One attempt each may always be made,
/// whatever the others take: no number of receivers that do not answer stops one that does.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    under_way: usize,
    lines: BTreeMap<Way, Line>,
    /// The integrations for which somebody waits, those with the fewest attempts under way first.
    waiting: BTreeSet<(usize, Way)>,
}

/// Of one integration.
#[derive(Debug, Default)]
struct Line {
    under_way: usize,
    /// In the order in which they came.
    waiting: VecDeque<Arc<TargetKey>>,
    /// The same, to be found by their hashes.
    members: BTreeSet<(u64, Arc<TargetKey>)>,
}

impl Turns {
    /// How many attempts are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Takes a turn, of `max` in all; or takes a place in the line, if there is none or others wait longer.
    pub(crate) fn take(&mut self, target: &Arc<TargetKey>, max: usize) -> bool {
        let free = max.saturating_sub(self.under_way);
        let taken = self.change(target, |line| {
            let is_next = line.waiting.front().is_none_or(|first| first == target);
            if is_next && line.under_way < free.max(1) {
                line.remove_first(target);
                line.under_way += 1;
                return true;
            }
            if line.members.insert((target.hash(), Arc::clone(target))) {
                line.waiting.push_back(Arc::clone(target));
            }
            false
        });
        self.under_way += usize::from(taken);
        taken
    }

    /// Gives a turn back.
    pub(crate) fn give_back(&mut self, target: &Arc<TargetKey>) {
        self.under_way -= self.change(target, |line| {
            let given = line.under_way.min(1);
            line.under_way -= given;
            given
        });
    }

    /// Who may take a turn now, having waited for it.
    pub(crate) fn next(&self, max: usize) -> Option<Arc<TargetKey>> {
        let (under_way, way) = self.waiting.first()?;
        let free = max.saturating_sub(self.under_way);
        let first = self.lines.get(way)?.waiting.front()?;
        (*under_way < free.max(1)).then(|| Arc::clone(first))
    }

    /// Lets the next one pass who has nothing to try any more.
    pub(crate) fn pass(&mut self, target: &Arc<TargetKey>) {
        self.change(target, |line| line.remove_first(target));
    }

    /// Changes a line and keeps the order of the lines.
    fn change<T>(&mut self, target: &TargetKey, change: impl FnOnce(&mut Line) -> T) -> T {
        let way = (Arc::clone(&target.receiver), target.integration.clone());
        let line = self.lines.entry(way.clone()).or_default();
        let before = line.rank();
        let answer = change(line);
        let after = line.rank();
        if line.under_way == 0 && after.is_none() {
            self.lines.remove(&way);
        }
        if before != after {
            if let Some(before) = before {
                self.waiting.remove(&(before, way.clone()));
            }
            if let Some(after) = after {
                self.waiting.insert((after, way));
            }
        }
        answer
    }
}

impl Line {
    /// Where it stands among the lines in which somebody waits.
    fn rank(&self) -> Option<usize> {
        (!self.waiting.is_empty()).then_some(self.under_way)
    }

    fn remove_first(&mut self, target: &Arc<TargetKey>) {
        if self.waiting.front() == Some(target) {
            self.waiting.pop_front();
            self.members.remove(&(target.hash(), Arc::clone(target)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupKey;

    fn target(receiver: &str, group: usize) -> Arc<TargetKey> {
        let integration = IntegrationKey { kind: "webhook".into(), number: 0 };
        Arc::new(TargetKey {
            group: GroupKey::from_text(format!("{group:04}")),
            receiver: receiver.into(),
            integration,
        })
    }

    /// How many of so many groups get a turn.
    fn taken(turns: &mut Turns, receiver: &str, groups: usize) -> usize {
        (0..groups).filter(|group| turns.take(&target(receiver, *group), 256)).count()
    }

    #[test]
    fn an_integration_takes_half_of_what_is_left_and_each_may_try_once() {
        let mut turns = Turns::default();
        let shares: Vec<usize> = (0..12).map(|i| taken(&mut turns, &format!("dead{i:02}"), 1_000)).collect();
        assert_eq!(shares, [128, 64, 32, 16, 8, 4, 2, 1, 1, 1, 1, 1]);
        assert_eq!(turns.under_way(), shares.iter().sum::<usize>());
        assert_eq!((taken(&mut turns, "works", 10), turns.next(256)), (1, None));
    }

    #[test]
    fn turns_are_taken_in_order_and_those_who_have_nothing_to_try_are_passed() {
        let mut turns = Turns::default();
        assert_eq!(taken(&mut turns, "slow", 200), 128);
        // Who asks again keeps the place.
        assert!(!turns.take(&target("slow", 128), 256));
        turns.give_back(&target("slow", 7));
        assert_eq!(turns.next(256), Some(target("slow", 128)));
        assert!(!turns.take(&target("slow", 500), 256), "others wait longer");
        turns.pass(&target("slow", 128));
        assert_eq!(turns.next(256), Some(target("slow", 129)));
        assert!(turns.take(&target("slow", 129), 256));
        assert_eq!((turns.next(256), turns.under_way()), (None, 128));
        for group in 0..128 {
            turns.give_back(&target("slow", group));
        }
        let mut order = Vec::new();
        while let Some(next) = turns.next(256) {
            assert!(turns.take(&next, 256));
            order.push(next.group.as_str().to_owned());
        }
        assert_eq!((order.len(), order[0].as_str(), order[70].as_str()), (71, "0130", "0500"));
        for _ in 0..71 {
            turns.give_back(&target("slow", 0));
        }
        assert_eq!((turns.under_way(), turns.lines.len()), (0, 0));
    }
}
