//! When windows of events say something else without another event.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use watchfire_alerting::Input;
use watchfire_model::{RuleId, Timestamp};

use crate::clock::Clock;
use crate::data::Data;
use crate::owner::Request;

/// The clock may be set while we sleep, so that no sleep is longer.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// The next deadline of each event rule that has one.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Timestamp, RuleId)>,
    by_rule: HashMap<RuleId, Timestamp>,
}

impl Deadlines {
    /// Sets a rule's deadline, replacing an earlier setting.
    pub(crate) fn set(&mut self, rule: RuleId, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.by_rule.insert(rule, at),
            None => self.by_rule.remove(&rule),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, rule));
        }
        self.by_time.extend(at.map(|at| (at, rule)));
    }

    /// The first of all.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the rules that are due, in the order of their deadlines.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<RuleId> {
        let mut due = Vec::new();
        while let Some((at, rule)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, rule));
            self.by_rule.remove(&rule);
            due.push(rule);
        }
        due
    }
}

/// Has event rules evaluated as soon as time alone changes their answer, until the owner is gone.
pub(crate) async fn follow(data: Arc<Data>, clock: Arc<dyn Clock>, owner: UnboundedSender<Request>) {
    loop {
        let (passing, its_clock) = (Arc::clone(&data), Arc::clone(&clock));
        // An evaluation may hold windows for as long as its plugin runs.
        let passed = tokio::task::spawn_blocking(move || {
            let now = its_clock.now();
            (now, passing.pass_time(now))
        });
        let Ok((now, (touched, next))) = passed.await else { return };
        if !touched.is_empty() && owner.send(Request::Inputs(vec![Input::Touched(touched)])).is_err() {
            return;
        }
        // Without a deadline there is nothing to wake up for.
        let due = async {
            match next {
                Some(next) => tokio::time::sleep(next.since(now).to_std().min(SLEEP_MAX)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = data.deadline_moved.notified() => {}
            () = owner.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_due_once_at_its_last_setting() {
        let at = |seconds| Some(Timestamp::from_secs(seconds));
        let mut deadlines = Deadlines::default();
        for (rule, seconds) in [(1, at(30)), (2, at(10)), (3, at(20)), (1, at(5)), (3, None), (2, at(10))] {
            deadlines.set(RuleId(rule), seconds);
        }
        assert_eq!(deadlines.next(), at(5));
        assert_eq!(deadlines.take_due(Timestamp::from_secs(10)), [RuleId(1), RuleId(2)]);
        assert_eq!((deadlines.next(), deadlines.take_due(Timestamp::from_secs(60))), (None, vec![]));
    }
}
