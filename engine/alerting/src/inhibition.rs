//! Inhibition: an alert is not told because another one fires.

use watchfire_model::Matcher;

/// A rule that keeps alerts quiet while others fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InhibitRule {
    /// A name for people; usually none.
    pub name: Option<String>,
    /// For each of these an alert must fire. Usually one.
    pub sources: Vec<InhibitSource>,
    /// The alerts that are kept quiet match all of these.
    pub target_matchers: Vec<Matcher>,
}

/// One of the alerts that must fire for an inhibition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InhibitSource {
    /// The alert matches all of these.
    pub matchers: Vec<Matcher>,
    /// It has the same values as the target for these labels; absent is equal to absent.
    pub equal: Vec<String>,
}
