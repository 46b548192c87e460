//! What a delivery waits for.

use std::collections::BTreeSet;

use crate::{Delivery, Record};

/// The targets about which something was decided that is not durable yet. A delivery waits for what was decided about its
/// own target and for nothing else: a notification whose turn comes is durable since it was decided, and need not wait
/// for the outcomes that gave it its turn.
#[derive(Debug, Default)]
pub struct Unsaved {
    /// Their hashes; two with one hash wait for each other, which does no harm.
    targets: BTreeSet<u64>,
}

impl Unsaved {
    /// A record was decided.
    pub fn add(&mut self, record: &Record) {
        if let Record::Target(record) = record {
            self.targets.insert(record.target.hash());
        }
    }

    /// Whether a delivery, decided together with the records before or after them, has to wait.
    pub fn holds_up(&self, delivery: &Delivery) -> bool {
        !self.targets.is_empty() && self.targets.contains(&delivery.target_hash())
    }

    /// All that was decided is durable.
    pub fn clear(&mut self) {
        self.targets.clear();
    }
}
