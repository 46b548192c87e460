//! Who has a notification already, while others are tried again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use lettre::Address;

/// The addressees who have the mails of one notification. It outlives an attempt that is cut off.
#[derive(Debug, Default)]
pub(crate) struct Mailed(Mutex<BTreeSet<Address>>);

impl Mailed {
    /// From what [`Mailed::written`] gave after an earlier attempt.
    pub(crate) fn read(done: &str) -> Mailed {
        Mailed(Mutex::new(done.lines().filter_map(|line| line.parse().ok()).collect()))
    }

    /// One to a line; empty if nobody has it.
    pub(crate) fn written(&self) -> String {
        let mailed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mailed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn has(&self, addressee: &Address) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(addressee)
    }

    /// These have it now.
    pub(crate) fn extend(&self, addressees: Vec<Address>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(addressees);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mailed = Mailed::default();
        assert_eq!(mailed.written(), "");
        let odd: Vec<Address> = ["a@example.org", "\"b c\"@example.org", "ä@例え.example"]
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        mailed.extend(odd.clone());
        let again = Mailed::read(&mailed.written());
        assert!(odd.iter().all(|address| again.has(address)), "{again:?}");
        assert!(!again.has(&"c@example.org".parse().unwrap()));
    }
}
