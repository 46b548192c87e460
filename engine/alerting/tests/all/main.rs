//! The state machine's tests: one per numbered semantic, one file per contract, and a seeded simulation.

mod c1_resolved_follows_firing;
mod c2_reload_loses_nothing;
mod c4_every_decision_is_explained;
mod c5_accepted_means_durable;
mod c7_everything_is_bounded;
mod chance;
mod delivering;
mod forwarding;
mod pair;
mod semantics_dispatch;
mod semantics_rules;
mod simulation;
mod world;
