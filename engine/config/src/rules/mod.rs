//! Rule files: Prometheus' format, and what Watchfire adds to it.

mod alerting;
mod events;
mod file;
mod reader;
mod template;

use watchfire_model::RuleId;
use watchfire_promql::Features;
use watchfire_rules::{Position, RuleFile};

pub use file::{load_rules, load_rules_with, rules_schema};
pub use reader::RuleReader;

use crate::diagnostic::Diagnostic;

/// What is allowed in a rule file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Experimental parts of PromQL (`evaluation.experimental`).
    pub features: Features,
    /// Keys that nobody knows, which say something to other programs.
    pub unknown_keys: bool,
}

impl From<Features> for Allowed {
    fn from(features: Features) -> Allowed {
        Allowed { features, ..Allowed::default() }
    }
}

/// What a rule file gave.
#[derive(Clone, Debug)]
pub struct LoadedRules {
    /// The rules that are good.
    pub file: RuleFile,
    /// The rules and groups that are not, and are left out.
    pub quarantined: Vec<Quarantined>,
    /// Everything that is to be told, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// A rule or a group that is left out because something is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it stands.
    pub position: Position,
    /// The group's name; empty if it has none, or if the whole file cannot be read.
    pub group: String,
    /// The rule's name; nothing if it is the whole group or file.
    pub rule: Option<String>,
    /// The identity that the rule would have, so that what is known of it can be kept; nothing for a group.
    pub id: Option<RuleId>,
    /// What is wrong first.
    pub reason: Diagnostic,
}
