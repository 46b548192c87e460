//! Who has which mail already, while others of its addressees are tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use lettre::Address;

/// Addressees that are remembered; beyond it those of the oldest mails are forgotten, who then get them twice.
const ADDRESSEES_MAX: usize = 100_000;

/// By a mail's id, the addressees that have it, so that another attempt for the others is none for them. It belongs to no
/// configuration: a mail that is on its way when a new one comes into force goes on under it.
#[derive(Debug, Default)]
pub(crate) struct PartlyDelivered(Mutex<Mails>);

#[derive(Debug, Default)]
struct Mails {
    /// Each with its number, which counts mails.
    by_id: BTreeMap<String, (u64, BTreeSet<Address>)>,
    in_order: BTreeMap<u64, String>,
    last: u64,
    addressees: usize,
}

impl PartlyDelivered {
    /// The addressees that have a mail.
    pub(crate) fn who_has(&self, message_id: &str) -> BTreeSet<Address> {
        let mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mails.by_id.get(message_id).map(|(_, addressees)| addressees.clone()).unwrap_or_default()
    }

    /// These have a mail now.
    pub(crate) fn remember(&self, message_id: &str, addressees: Vec<Address>) {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = mails.forget(message_id);
        known.extend(addressees);
        mails.addressees += known.len();
        mails.last += 1;
        let number = mails.last;
        mails.in_order.insert(number, message_id.to_owned());
        mails.by_id.insert(message_id.to_owned(), (number, known));
        while mails.addressees > ADDRESSEES_MAX
            && let Some((_, oldest)) = mails.in_order.pop_first()
        {
            mails.forget(&oldest);
        }
    }

    /// Nobody is tried again.
    pub(crate) fn forget(&self, message_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).forget(message_id);
    }
}

impl Mails {
    fn forget(&mut self, message_id: &str) -> BTreeSet<Address> {
        let Some((number, addressees)) = self.by_id.remove(message_id) else { return BTreeSet::new() };
        self.in_order.remove(&number);
        self.addressees -= addressees.len();
        addressees
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str) -> Address {
        format!("{name}@example.org").parse().unwrap()
    }

    #[test]
    fn what_is_done_is_forgotten_and_takes_no_place() {
        let memory = PartlyDelivered::default();
        memory.remember("first", vec![address("a")]);
        memory.remember("first", vec![address("b")]);
        for number in 0..2 * ADDRESSEES_MAX {
            memory.remember(&number.to_string(), vec![address("a")]);
            memory.forget(&number.to_string());
        }
        assert_eq!(memory.who_has("first"), [address("a"), address("b")].into());
        memory.forget("first");
        assert_eq!(memory.who_has("first"), BTreeSet::new());
    }

    #[test]
    fn beyond_the_bound_the_oldest_are_forgotten() {
        let memory = PartlyDelivered::default();
        for number in 0..=ADDRESSEES_MAX {
            memory.remember(&number.to_string(), vec![address("a")]);
        }
        assert_eq!(memory.who_has("0"), BTreeSet::new());
        assert_eq!(memory.who_has("1"), [address("a")].into());
    }
}
