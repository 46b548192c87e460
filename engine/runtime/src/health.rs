//! Whether the input logs and the database can be written, for those who must know: metrics, and alerts of the engine's own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// What is wrong with one of them at the moment.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The same as `failure.is_some()`, for the path that is taken with every request.
    failing: AtomicBool,
    failure: Mutex<Option<String>>,
    /// Woken when it begins and when it ends.
    changed: Notify,
}

impl Health {
    /// A write failed; whether the one before did not.
    pub(crate) fn fail(&self, error: &dyn std::fmt::Display) -> bool {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        let begins = !self.failing.swap(true, Ordering::AcqRel);
        if begins {
            self.changed.notify_one();
        }
        begins
    }

    /// A write succeeded; whether the one before did not.
    pub(crate) fn mend(&self) -> bool {
        if !self.failing.load(Ordering::Acquire) {
            return false;
        }
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.failing.store(false, Ordering::Release);
        self.changed.notify_one();
        true
    }

    /// What is wrong, if something is.
    pub(crate) fn failure(&self) -> Option<String> {
        if !self.failing.load(Ordering::Acquire) {
            return None;
        }
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it begins or ends to fail.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
