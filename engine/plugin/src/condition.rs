//! Conditions: which of these series are in trouble?

use std::collections::BTreeSet;

use watchfire_model::Severity;

use crate::{Batch, Limits, Owner, PluginError, State};

/// A condition opened for one rule with that rule's configuration.
pub trait Condition: Send {
    /// Looks at a batch and names the series whose alert is active.
    ///
    /// The answer must be a function of the batch, the configuration and the state alone (contract C6). Writes to
    /// `state` are staged; the caller commits them only if this returns `Ok`. Who has a rule's state goes through [`ask`],
    /// so that nobody finds what another one remembered.
    ///
    /// # Errors
    /// A failure costs this evaluation only: the caller keeps every alert of the rule as it is.
    fn evaluate(&mut self, batch: &Batch, state: &mut State) -> Result<Outcome, PluginError>;

    /// Whose what it remembers is.
    fn owner(&self) -> Owner;

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

    fn owner(&self) -> Owner {
        Owner::new(None, "failing", 0)
    }
}

/// Asks a condition with the state of a rule, which is handed over where it is another one's, and holds it to its
/// contract: every index exists and is named once.
///
/// # Errors
/// As for [`Condition::evaluate`]; what was staged is forgotten then.
pub fn ask(condition: &mut dyn Condition, batch: &Batch, state: &mut State) -> Result<Outcome, PluginError> {
    state.lend(&condition.owner(), |state| {
        let outcome = condition.evaluate(batch, state)?;
        let count = batch.series.len();
        let mut seen = BTreeSet::new();
        for index in outcome.findings.iter().map(|finding| finding.series).chain(outcome.unknown.iter().copied()) {
            if index as usize >= count {
                return Err(PluginError::InvalidOutput(format!("it names series {index}, the batch has {count}")));
            }
            if !seen.insert(index) {
                return Err(PluginError::InvalidOutput(format!("it names series {index} twice")));
            }
        }
        Ok(outcome)
    })
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
