//! Who need not be asked again about a notification: who has it already, and who was refused for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lettre::Address;

/// The addressees of one notification who are done with. It outlives an attempt that is cut off.
#[derive(Debug, Default)]
pub(crate) struct Mailed(Mutex<Done>);

#[derive(Debug, Default)]
struct Done {
    mailed: BTreeSet<Address>,
    /// With what the server said.
    refused: BTreeMap<Address, String>,
}

/// What the line of a refused addressee begins with; no address does.
const REFUSED: &str = "refused ";

impl Mailed {
    /// From what [`Mailed::written`] gave after an earlier attempt.
    pub(crate) fn read(done: &str) -> Mailed {
        let mut read = Done::default();
        for line in done.lines() {
            match line.strip_prefix(REFUSED) {
                Some(rest) => {
                    // A quoted address may have what ends one; what follows then is none.
                    let ends = rest.match_indices(": ");
                    let read_to = |at: usize| Some((rest[..at].parse::<Address>().ok()?, rest[at + 2..].to_owned()));
                    read.refused.extend(ends.filter_map(|(at, _)| read_to(at)).next());
                }
                None => read.mailed.extend(line.parse::<Address>()),
            }
        }
        Mailed(Mutex::new(read))
    }

    /// One to a line; empty if nobody is done with.
    pub(crate) fn written(&self) -> String {
        let done = self.done();
        let mailed = done.mailed.iter().map(ToString::to_string);
        let refused = done.refused.iter().map(|(address, said)| format!("{REFUSED}{address}: {said}"));
        mailed.chain(refused).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn has(&self, addressee: &Address) -> bool {
        self.done().mailed.contains(addressee)
    }

    /// What was said when this one was refused for good, if it was.
    pub(crate) fn refused(&self, addressee: &Address) -> Option<String> {
        self.done().refused.get(addressee).cloned()
    }

    /// These have it now.
    pub(crate) fn extend(&self, addressees: Vec<Address>) {
        self.done().mailed.extend(addressees);
    }

    /// This one is not to be asked again.
    pub(crate) fn refuse(&self, addressee: Address, said: &str) {
        self.done().refused.insert(addressee, said.replace(['\r', '\n'], " "));
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let bounced: Vec<Address> =
            ["\"d: e\"@example.org", "refused@example.org"].map(|text| text.parse().unwrap()).into();
        for address in &bounced {
            mailed.refuse(address.clone(), "550: no\r\nsuch user");
        }
        let again = Mailed::read(&mailed.written());
        assert!(odd.iter().all(|address| again.has(address)), "{again:?}");
        assert!(!again.has(&"c@example.org".parse().unwrap()));
        for address in &bounced {
            assert_eq!(again.refused(address).as_deref(), Some("550: no  such user"), "{again:?}");
            assert!(!again.has(address), "{again:?}");
        }
        assert_eq!(again.refused(&odd[0]), None);
    }
}
