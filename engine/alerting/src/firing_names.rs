//! How many alerts of each name fire.

use std::collections::BTreeMap;

use watchfire_model::Labels;

/// The alerts that fire, counted by `alertname`; those without one count together.
#[derive(Debug, Default)]
pub(crate) struct FiringNames {
    counts: BTreeMap<Box<str>, usize>,
}

impl FiringNames {
    /// How many fire with the name of these labels.
    pub(crate) fn count(&self, labels: &Labels) -> usize {
        self.counts.get(name(labels)).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, labels: &Labels) {
        match self.counts.get_mut(name(labels)) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(name(labels).into(), 1)),
        }
    }

    pub(crate) fn remove(&mut self, labels: &Labels) {
        let Some(count) = self.counts.get_mut(name(labels)) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(name(labels));
        }
    }
}

fn name(labels: &Labels) -> &str {
    labels.get("alertname").unwrap_or_default()
}
