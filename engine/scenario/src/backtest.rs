//! What recorded samples and events would have caused under other rules.
//!
//! It drives a [`World`] with a clock that follows the recording: each arrival comes at its time, and in between
//! everything happens that is due. Nothing is delivered; every receiver is taken to answer at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use watchfire_alerting::{Dispatch, GroupBy, NotifyReason, Reason, StateReason, Subject};
use watchfire_config::Config;
use watchfire_model::{ALERT_NAME_LABEL, AlertStatus, Duration, Event, Fingerprint, Labels, Timestamp};
use watchfire_plugin::Provider;
use watchfire_rules::RuleFile;
use watchfire_tsdb::Point;

use crate::script::default_receiver;
use crate::world::{Stuck, World, WorldSettings};

/// An alert that fires again so soon after its end flaps.
const FLAP: Duration = Duration::from_mins(10);

/// How often old samples are let go of.
const TRUNCATE_EVERY: Duration = Duration::from_mins(10);

/// A run of recorded input through rules.
pub struct Backtest {
    world: World,
    retention: Duration,
    truncated_at: Timestamp,
    /// The episode of each alert that fires.
    open: HashMap<Fingerprint, usize>,
    findings: Findings,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Samples that were stored.
    pub samples: u64,
    /// Samples that the store refused, such as those that came too late.
    pub refused: u64,
    /// Events.
    pub events: u64,
    /// Each time that an alert fired, in the order of its beginning.
    pub episodes: Vec<Episode>,
    /// How often an alert waited for its `for` and did not fire, by its name.
    pub waited: BTreeMap<String, u64>,
    /// What receivers would have been sent, in order.
    pub messages: Vec<Message>,
    /// Evaluations that failed: how many, and the first error, by rule.
    pub failures: BTreeMap<String, (u64, String)>,
}

/// An alert, from the moment that it fired to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// The alert's labels.
    pub labels: Labels,
    /// When it fired.
    pub from: Timestamp,
    /// When it ended; absent if it fired to the last.
    pub to: Option<Timestamp>,
}

/// Something that a receiver would have been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When.
    pub at: Timestamp,
    /// The receiver.
    pub receiver: String,
    /// The kind of integration.
    pub integration: String,
    /// Why then.
    pub reason: NotifyReason,
    /// The labels of the alert group.
    pub group: Labels,
    /// The alerts in it with their state.
    pub alerts: Vec<(Labels, AlertStatus)>,
}

/// All episodes of alerts of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How often it fired.
    pub fired: u64,
    /// By how many label sets.
    pub instances: u64,
    /// How often it only waited.
    pub waited: u64,
    /// How long it fired, all episodes added up.
    pub firing: Duration,
    /// When it fired first and last.
    pub first_and_last: Option<(Timestamp, Timestamp)>,
    /// How often it fired again within ten minutes of its end.
    pub flaps: u64,
    /// Messages in which it was told, by receiver.
    pub messages: BTreeMap<String, u64>,
}

impl Backtest {
    /// Rules that run from `start` on and read samples of the last `retention`. Without a configuration there is one receiver that is told everything.
    pub fn new(
        files: &[RuleFile],
        config: Option<&Config>,
        provider: Option<Arc<dyn Provider>>,
        start: Timestamp,
        retention: Duration,
    ) -> Backtest {
        let mut settings = WorldSettings { start, align: false, on_ingest: true, ..WorldSettings::new() };
        if let Some(config) = config {
            settings.follow(config);
        }
        let dispatch = config.map_or_else(all_to_one, |config| config.dispatch.clone());
        let mut world = World::new(settings, provider);
        world.reload(files, dispatch);
        let findings = Findings { start, end: start, ..Findings::default() };
        Backtest { world, retention, truncated_at: start, open: HashMap::new(), findings }
    }

    /// Samples that arrive at a time, which is never before that of an earlier call. What arrived before the start only
    /// fills the windows.
    ///
    /// # Errors
    /// If the engine asks to be woken again and again at one instant.
    pub fn samples(&mut self, at: Timestamp, samples: &[(Labels, Point)]) -> Result<(), Stuck> {
        let refused = if at < self.findings.start {
            self.world.fill(samples)
        } else {
            self.go_to(at)?;
            self.world.push_points(samples.to_vec())
        };
        self.findings.refused += refused.len() as u64;
        self.findings.samples += (samples.len() - refused.len()) as u64;
        self.look();
        Ok(())
    }

    /// Events that arrive at a time, as [`Backtest::samples`]. What arrived before the start is left out.
    ///
    /// # Errors
    /// As for samples.
    pub fn events(&mut self, at: Timestamp, events: Vec<Event>) -> Result<(), Stuck> {
        if at >= self.findings.start {
            self.findings.events += events.len() as u64;
            self.go_to(at)?;
            self.world.push_events(events);
            self.look();
        }
        Ok(())
    }

    /// Lets everything happen that is due until `end`, and says what came of it.
    ///
    /// # Errors
    /// As for samples.
    pub fn finish(mut self, end: Timestamp) -> Result<Findings, Stuck> {
        self.world.advance_to(end)?;
        self.look();
        self.findings.end = self.world.now();
        Ok(self.findings)
    }

    fn go_to(&mut self, at: Timestamp) -> Result<(), Stuck> {
        self.world.advance_before(at)?;
        if at.since(self.truncated_at) >= TRUNCATE_EVERY {
            self.truncated_at = at;
            self.world.truncate(self.retention);
        }
        Ok(())
    }

    /// Takes over what has happened since it was looked at last.
    fn look(&mut self) {
        let findings = &mut self.findings;
        for change in self.world.take_changes() {
            let (Subject::Alert { fingerprint, labels, .. }, Reason::State(reason)) = (&change.subject, &change.reason)
            else {
                continue;
            };
            match reason {
                StateReason::Firing => {
                    self.open.insert(*fingerprint, findings.episodes.len());
                    findings.episodes.push(Episode { labels: labels.clone(), from: change.at, to: None });
                }
                StateReason::Resolved => {
                    if let Some(episode) = self.open.remove(fingerprint) {
                        findings.episodes[episode].to = Some(change.at);
                    }
                }
                StateReason::PendingEnded => {
                    let name = labels.value_or_empty(ALERT_NAME_LABEL).to_owned();
                    *findings.waited.entry(name).or_default() += 1;
                }
                _ => {}
            }
        }
        for attempt in self.world.take_attempts() {
            let delivery = attempt.delivery;
            let alerts = delivery.alerts.iter().map(|alert| (alert.labels.clone(), alert.status(attempt.at)));
            findings.messages.push(Message {
                at: attempt.at,
                receiver: delivery.receiver.to_string(),
                integration: delivery.integration.kind.to_string(),
                reason: delivery.reason,
                group: delivery.group_labels.clone(),
                alerts: alerts.collect(),
            });
        }
        for failure in self.world.take_failures() {
            let of_rule = findings.failures.entry(failure.rule.to_string()).or_insert_with(|| (0, failure.error));
            of_rule.0 += 1;
        }
    }
}

impl Findings {
    /// All episodes by the alert's name.
    pub fn summaries(&self) -> BTreeMap<String, Summary> {
        let mut summaries: BTreeMap<String, Summary> = BTreeMap::new();
        let mut ended: HashMap<&Labels, Option<Timestamp>> = HashMap::new();
        for episode in &self.episodes {
            let name = episode.labels.value_or_empty(ALERT_NAME_LABEL);
            let summary = summaries.entry(name.to_owned()).or_default();
            summary.fired += 1;
            summary.firing = summary.firing + episode.to.unwrap_or(self.end).since(episode.from);
            let (first, last) = summary.first_and_last.unwrap_or((episode.from, episode.from));
            summary.first_and_last = Some((first.min(episode.from), last.max(episode.from)));
            match ended.insert(&episode.labels, episode.to) {
                None => summary.instances += 1,
                Some(Some(end)) if episode.from.since(end) <= FLAP => summary.flaps += 1,
                Some(_) => {}
            }
        }
        for (name, waited) in &self.waited {
            summaries.entry(name.clone()).or_default().waited = *waited;
        }
        for message in &self.messages {
            let names: BTreeSet<&str> =
                message.alerts.iter().map(|(labels, _)| labels.value_or_empty(ALERT_NAME_LABEL)).collect();
            for name in names {
                let told = &mut summaries.entry(name.to_owned()).or_default().messages;
                *told.entry(message.receiver.clone()).or_default() += 1;
            }
        }
        summaries
    }
}

/// One receiver that is told everything, an alert at a time.
fn all_to_one() -> Dispatch {
    let mut dispatch = Dispatch::to(default_receiver());
    dispatch.route.group_by = GroupBy::All;
    dispatch
}
