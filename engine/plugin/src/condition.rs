//! Conditions: which of these series are in trouble?

use watchfire_model::Severity;

use crate::{Batch, Limits, PluginError, State};

/// A condition opened for one rule with that rule's configuration.
pub trait Condition: Send {
    /// Looks at a batch and names the series whose alert is active.
    ///
    /// The answer must be a function of the batch, the configuration and the state alone (contract C6). Writes to
    /// `state` are staged; the caller commits them only if this returns `Ok`.
    ///
    /// # Errors
    /// A failure costs this evaluation only: the caller keeps every alert of the rule as it is.
    fn evaluate(&mut self, batch: &Batch, state: &mut State) -> Result<Outcome, PluginError>;

    /// Lets the rule allow less than everybody else does. What runs natively is part of the program and is trusted with
    /// what it uses, so that it need not listen.
    fn limit(&mut self, _limits: Limits) {}
}

/// A condition that could not be opened: each evaluation fails with the reason.
#[derive(Clone, Debug)]
pub struct Failing(pub PluginError);

impl Condition for Failing {
    fn evaluate(&mut self, _: &Batch, _: &mut State) -> Result<Outcome, PluginError> {
        Err(self.0.clone())
    }
}

/// What a condition found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The series that are in trouble, each at most once.
    pub findings: Vec<Finding>,
    /// Indices of series about which nothing can be said; their alerts stay as they are.
    pub unknown: Vec<u32>,
}

/// One series in trouble.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Index into the batch's series.
    pub series: u32,
    /// How bad it is.
    pub severity: Severity,
    /// The value to show, such as a score.
    pub value: f64,
    /// One sentence for the reader; becomes the annotation `finding`.
    pub summary: String,
}
