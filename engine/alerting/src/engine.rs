//! The engine: one input at a time, outputs in order, one deadline.

use std::collections::VecDeque;

use watchfire_model::{Fingerprint, RuleId, Timestamp};

use crate::{
    AlertGroupView, AlertView, Counters, HistoryEntry, Input, LogView, OutboxView, Output, RuleGroupView, RuleView,
    Settings, Silence, SilenceDraft, SilenceError, SilenceId,
};

/// The state machine. It has one owner and no locks.
pub struct Engine {
    settings: Settings,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(settings: Settings) -> Engine {
        Engine { settings, counters: Counters::default(), outputs: VecDeque::new() }
    }

    /// Takes one input at a time that does not come before that of earlier calls, then lets everything happen that is
    /// due. Afterwards all outputs are to be drained with [`Engine::poll_output`].
    pub fn handle(&mut self, _now: Timestamp, _input: Input) {
        self.counters.inputs += 1;
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Engine::handle`] with [`Input::Tick`] if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    /// Makes or changes a silence, as [`Input::Silence`] does, and says how it went.
    ///
    /// # Errors
    /// If the silence is refused; nothing is changed then.
    pub fn set_silence(&mut self, _now: Timestamp, draft: SilenceDraft) -> Result<SilenceId, SilenceError> {
        Err(draft.id.map_or(SilenceError::EndsInThePast, SilenceError::NotFound))
    }

    /// Ends a silence, as [`Input::Silence`] does, and says how it went.
    ///
    /// # Errors
    /// If there is none of this id or it is over already.
    pub fn expire_silence(&mut self, _now: Timestamp, id: &SilenceId) -> Result<(), SilenceError> {
        Err(SilenceError::NotFound(id.clone()))
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The rule groups with their rules, in the order of the definitions.
    pub fn rule_groups(&self) -> Vec<RuleGroupView> {
        Vec::new()
    }

    /// All rules, in the order of the definitions.
    pub fn rule_states(&self) -> Vec<RuleView> {
        Vec::new()
    }

    /// One rule.
    pub fn rule_state(&self, _id: RuleId) -> Option<RuleView> {
        None
    }

    /// All alerts in dispatch, by fingerprint, with their standing at `now`.
    pub fn alerts(&self, _now: Timestamp) -> Vec<AlertView> {
        Vec::new()
    }

    /// One alert.
    pub fn alert(&self, _now: Timestamp, _fingerprint: Fingerprint) -> Option<AlertView> {
        None
    }

    /// All alert groups, by receiver and labels.
    pub fn alert_groups(&self, _now: Timestamp) -> Vec<AlertGroupView> {
        Vec::new()
    }

    /// All silences, expired ones included, by id.
    pub fn silences(&self) -> Vec<&Silence> {
        Vec::new()
    }

    /// One silence.
    pub fn silence(&self, _id: &SilenceId) -> Option<&Silence> {
        None
    }

    /// What every receiver knows.
    pub fn notification_log(&self) -> Vec<LogView> {
        Vec::new()
    }

    /// The notifications that are not delivered yet.
    pub fn outbox(&self) -> Vec<OutboxView> {
        Vec::new()
    }

    /// What happened to an alert, oldest first; also for a while after it was forgotten.
    pub fn history(&self, _fingerprint: Fingerprint) -> Vec<HistoryEntry> {
        Vec::new()
    }
}
