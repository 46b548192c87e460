//! The words of the field as types: time, labels, matchers, samples, events, alerts.
//!
//! This crate is what every other crate agrees on. It is not a place for behaviour that only one of them needs, and
//! it has no clock, no I/O, no async and no serde in its public types: formats live where they are read or written.

mod alert;
mod annotations;
mod budget;
mod event;
mod id;
mod labels;
mod matcher;
mod number;
mod packed;
mod re2;
mod sample;
mod severity;
mod time;

pub use alert::{Alert, AlertStatus};
pub use annotations::Annotations;
pub use budget::{MatcherBudget, MatcherBudgetError};
pub use event::{Event, FieldValue};
pub use id::{RuleGroupId, RuleId};
pub use labels::{
    ALERT_NAME_LABEL, BUCKET_LABEL, Fingerprint, INSTANCE_LABEL, JOB_LABEL, Label, Labels, LabelsBuilder, LabelsIter,
    METRIC_NAME_LABEL, SharedNames, heap_block, is_legacy_label_name,
};
pub use matcher::{Anchoring, MatchOp, Matcher, MatcherError, is_reserved_in_matchers};
pub use number::{format_e, format_f, format_g, format_json};
pub use re2::{RegexError, compile_regex};
pub use sample::{STALE_NAN, Sample, is_stale};
pub use severity::{ParseSeverityError, Severity};
pub use time::{Duration, ParseDurationError, ParseTimestampError, Timestamp};
