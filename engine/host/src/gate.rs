//! How many calls of one plugin may run at once.

use std::sync::{Condvar, Mutex, PoisonError};

use watchfire_model::Duration;

/// Lets so many in; the others wait for a while.
#[derive(Debug)]
pub(crate) struct Gate {
    max: usize,
    crowd: Mutex<Crowd>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Crowd {
    inside: usize,
    /// Who is to be woken when one leaves: to wake takes a system call, which costs as much as a small plugin.
    waiting: usize,
}

/// A place inside, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Pass<'g>(&'g Gate);

impl Gate {
    pub(crate) fn new(max: usize) -> Gate {
        Gate { max: max.max(1), crowd: Mutex::default(), left: Condvar::new() }
    }

    /// A place, if there is one within `patience`.
    pub(crate) fn enter(&self, patience: Duration) -> Option<Pass<'_>> {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if crowd.inside >= self.max {
            crowd.waiting += 1;
            let waited = self.left.wait_timeout_while(crowd, patience.to_std(), |crowd| crowd.inside >= self.max);
            (crowd, _) = waited.unwrap_or_else(PoisonError::into_inner);
            crowd.waiting -= 1;
            if crowd.inside >= self.max {
                return None;
            }
        }
        crowd.inside += 1;
        drop(crowd);
        Some(Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut crowd = self.0.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        crowd.inside -= 1;
        if crowd.waiting > 0 {
            self.0.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_inside_and_who_waits_comes_in_when_one_leaves() {
        let gate = Gate::new(2);
        let first = gate.enter(Duration::ZERO).unwrap();
        let _second = gate.enter(Duration::ZERO).unwrap();
        assert!(gate.enter(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(Duration::from_hours(1)).is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
        assert!(gate.enter(Duration::ZERO).is_some());
    }
}
