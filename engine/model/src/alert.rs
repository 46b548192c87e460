//! Alerts as dispatch sees them.

use std::sync::Arc;

use crate::{ALERT_NAME_LABEL, Annotations, Fingerprint, Labels, SharedNames, Timestamp};

/// One instance of a rule's condition, told apart from others by its labels alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The identity.
    pub labels: Labels,
    /// What is to be told; may change while the alert lives.
    pub annotations: Annotations,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it ended or, while it fires, when it ends unless it is sent again.
    pub ends_at: Option<Timestamp>,
    /// When it was last sent.
    pub updated_at: Timestamp,
    /// Whether `ends_at` was made up from `resolve_timeout` because the sender gave none.
    pub timeout: bool,
    /// Where the alert comes from, as a link; empty if unknown.
    pub generator_url: Arc<str>,
    /// The rule's value at the last evaluation, where there is one.
    pub value: Option<f64>,
}

/// A longer link is hardly that of several alerts, and would be held for a while after its alert is forgotten.
const LINK_BYTES_SHARED: usize = 256;

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertStatus {
    /// Its condition holds.
    Firing,
    /// Its condition no longer holds.
    Resolved,
}

impl AlertStatus {
    /// `firing` or `resolved`.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertStatus::Firing => "firing",
            AlertStatus::Resolved => "resolved",
        }
    }
}

impl Alert {
    /// The stable id of the label set.
    pub fn fingerprint(&self) -> Fingerprint {
        self.labels.fingerprint()
    }

    /// The value of `alertname`, or the empty text.
    pub fn name(&self) -> &str {
        self.labels.value_or_empty(ALERT_NAME_LABEL)
    }

    /// The same with what it has in common with others, its names and its link, held once for all that went through
    /// `shared`.
    pub fn share(self, shared: &mut SharedNames) -> Alert {
        Alert {
            labels: shared.share(self.labels),
            annotations: self.annotations.share(shared),
            generator_url: if self.generator_url.len() > LINK_BYTES_SHARED {
                self.generator_url
            } else {
                shared.text(self.generator_url)
            },
            ..self
        }
    }

    /// Bytes of its labels, annotations and link, as if it had none of their names in common with others.
    pub fn text_bytes(&self) -> usize {
        self.labels.packed_bytes() + self.annotations.packed_bytes() + self.generator_url.len()
    }

    /// Resolved if its end has come at `now`.
    pub fn status(&self, now: Timestamp) -> AlertStatus {
        match self.ends_at {
            Some(end) if end <= now => AlertStatus::Resolved,
            _ => AlertStatus::Firing,
        }
    }
}
