//! Absence of series that were there: which were seen is remembered in the rule's state.

use std::collections::BTreeMap;

use watchfire_model::{Duration, Labels, Timestamp};
use watchfire_plugin::State;
use watchfire_promql::VectorSample;

use crate::labels::Element;

/// Before the fingerprint in the key of each remembered series.
const PREFIX: &str = "series/";

/// When a series that was there counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// How long it must be gone.
    pub for_: Duration,
    /// After how long it is forgotten, which ends its alert.
    pub forget_after: Duration,
}

/// Since when a series is gone, in milliseconds, and its labels.
type Memory = (Option<i64>, BTreeMap<String, String>);

impl Absence {
    /// Remembers what is there, and answers what is not there any more; the value is for how many seconds it is gone.
    /// Only what appears, disappears and comes back is written. Answers too why not everything could be remembered.
    pub(crate) fn elements(
        self,
        samples: &[VectorSample],
        at: Timestamp,
        state: &mut State,
    ) -> (Vec<Element>, Option<String>) {
        let mut gone: BTreeMap<String, Memory> = BTreeMap::new();
        let mut known: BTreeMap<&str, &[u8]> = state.entries().filter(|(key, _)| key.starts_with(PREFIX)).collect();
        let mut writes: Vec<(String, Vec<u8>)> = Vec::new();
        for sample in samples {
            let key = format!("{PREFIX}{}", sample.labels.fingerprint());
            let fresh = || {
                let labels = sample.labels.iter().map(|label| (label.name.to_owned(), label.value.to_owned()));
                encode(&(None, labels.collect()))
            };
            match known.remove(key.as_str()) {
                // What is there is written as `[null,...`.
                Some(value) if value.starts_with(b"[null") => {}
                _ => writes.push((key, fresh())),
            }
        }
        for (key, value) in known {
            // What cannot be read is of another version; it is written anew when its series is seen.
            if let Ok(memory) = serde_json::from_slice::<Memory>(value) {
                gone.insert(key.to_owned(), memory);
            }
        }
        let mut elements = Vec::new();
        for (key, (since, labels)) in gone {
            let since = match since {
                Some(since) => Timestamp::from_millis(since).min(at),
                None => {
                    writes.push((key.clone(), encode(&(Some(at.as_millis()), labels.clone()))));
                    at
                }
            };
            let age = at.since(since);
            if age >= self.forget_after {
                state.delete(&key);
            } else if age >= self.for_ {
                elements.push(Element { labels: Labels::from_pairs(labels), value: age.as_secs_f64(), finding: None });
            }
        }
        let mut refused = None;
        for (key, value) in writes {
            if let Err(error) = state.set(&key, value) {
                refused =
                    Some(format!("some series are not remembered, and their absence will not be noticed: {error}"));
            }
        }
        (elements, refused)
    }
}

fn encode(memory: &Memory) -> Vec<u8> {
    // Texts and numbers can always be written.
    serde_json::to_vec(memory).unwrap_or_default()
}
