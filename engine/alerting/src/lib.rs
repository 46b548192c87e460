//! The alerting state machine: from the answer of an evaluation to a notification that must reach somebody.
//!
//! [`Engine`] holds the life of every alert, routing, grouping, inhibition, silences, mute intervals, the notification
//! log, the outbox and all timers. It is a value: [`Engine::handle`] takes the time and one [`Input`],
//! [`Engine::poll_output`] gives what is to be done, [`Engine::next_deadline`] says when to come back. It reads no
//! clock, does no I/O, is not async, knows no wire format and no query language, and the same inputs give the same
//! outputs. Who runs it executes the outputs in order and commits every [`Output::Persist`] of a drain before the first
//! [`Output::Deliver`] of it.

mod acknowledgement;
mod alert_store;
mod change;
mod counters;
mod definitions;
mod engine;
mod escalation;
mod fingerprints;
mod firing_names;
mod flapping;
mod flush;
mod forward;
mod gone;
mod group;
mod groups;
mod history;
mod id;
mod inhibition;
mod input;
mod intake;
mod integration;
mod interval;
mod match_index;
mod membership;
mod notification_log;
mod outbox;
mod output;
mod policy;
mod rate_limit;
mod reading;
mod reason;
mod reason_parts;
mod record;
mod recurrence;
mod reload;
mod route;
mod route_table;
mod rule;
mod rule_schedule;
mod schedule;
mod settings;
mod silence;
mod silencing;
mod tenure;
mod timers;
mod turns;
mod unsaved;
mod view;

pub use acknowledgement::{AcknowledgeCommand, AcknowledgeError, AcknowledgeWhat, Acknowledgement};
pub use change::{Change, HistoryEntry, Subject};
pub use counters::Counters;
pub use definitions::{Definitions, Dispatch, IntegrationSpec, Life, ReceiverSpec, RuleGroupSpec, RuleKind, RuleSpec};
pub use engine::{CLOCK_JITTER, Engine};
pub use fingerprints::FingerprintSet;
pub use group::OWN_GROUP_LABELS;
pub use id::{
    EvaluationId, GroupKey, IntegrationKey, NotificationId, RouteId, RouteRequestId, SettingsDigest, SilenceId,
    TargetKey,
};
pub use inhibition::{InhibitRule, InhibitSource};
pub use input::{ActiveInstance, DeliveryOutcome, Evaluation, EvaluationResult, Input, SilenceCommand};
pub use integration::{GoneIntegration, Integration};
pub use interval::{DayRange, IntervalError, MinuteRange, MonthRange, TimeInterval, TimeSpec, WeekdayRange, YearRange};
pub use output::{Cause, Delivery, EvaluateRequest, Output, RouteRequest};
pub use policy::{EscalationStep, FlapDamping, Notify, Policy, RateLimits, Repeat, SimilarKey};
pub use reason::{DeliveryReason, LimitReason, NotifyReason, Reason, RuleReason, StateReason, SuppressReason};
pub use record::{
    AlertRecord, GroupRecord, HistoryRecord, InstanceRecord, IntegrationsRecord, LogEntry, Membership, OutboxEntry,
    PluginStateRecord, RateLimitRecord, Record, RecordKey, Refusal, RouteIdentity, RoutesRecord, ScheduleRecord,
    TargetRecord,
};
pub use recurrence::{Recurrence, RecurrenceError};
pub use route::{GroupBy, Route};
pub use rule_schedule::{CronError, CronTimes, RuleSchedule};
pub use settings::{Backoff, Settings};
pub use silence::{Silence, SilenceDraft, SilenceError, SilenceState};
pub use tenure::{Claim, Leave, Tenure, Term, Turn, Wish};
pub use unsaved::Unsaved;
pub use view::{
    AlertGroupView, AlertView, AlertViewState, GroupedAlert, Instance, InstanceState, LogView, OutboxView,
    RuleGroupView, RuleHealth, RuleView, StandingView, TargetView,
};
pub use watchfire_plugin::PluginUse;
