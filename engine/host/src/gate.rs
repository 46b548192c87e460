//! How many calls of one plugin may run at once.

use std::sync::{Condvar, Mutex, PoisonError};

use watchfire_model::Duration;

/// Lets so many in; the others wait for a while.
#[derive(Debug)]
pub(crate) struct Gate {
    max: usize,
    inside: Mutex<usize>,
    left: Condvar,
}

/// A place inside, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Pass<'g>(&'g Gate);

impl Gate {
    pub(crate) fn new(max: usize) -> Gate {
        Gate { max: max.max(1), inside: Mutex::new(0), left: Condvar::new() }
    }

    /// A place, if there is one within `patience`.
    pub(crate) fn enter(&self, patience: Duration) -> Option<Pass<'_>> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.left.wait_timeout_while(inside, patience.to_std(), |inside| *inside >= self.max);
        let (mut inside, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *inside >= self.max {
            return None;
        }
        *inside += 1;
        Some(Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
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
