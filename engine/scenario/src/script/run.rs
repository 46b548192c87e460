//! Plays a script.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use watchfire_alerting::{
    AcknowledgeCommand, AcknowledgeWhat, Delivery, DeliveryOutcome, IntegrationSpec, ReceiverSpec, SettingsDigest,
    SilenceDraft, SilenceId,
};
use watchfire_model::{Duration, Labels, Timestamp};
use watchfire_tsdb::Point;

use super::expect::{Seen, show};
use super::{Action, Definitions, Plan, Script, SilenceStep, Step};
use crate::report::{Case, Mismatch};
use crate::world::{Attempt, Receivers, Reply, Stuck};
use crate::{Tools, World, WorldSettings};

/// The receiver of a scenario that has no configuration.
pub(crate) fn default_receiver() -> ReceiverSpec {
    let webhook = IntegrationSpec {
        kind: "webhook".into(),
        send_resolved: true,
        takes_acknowledgements: false,
        settings: SettingsDigest::default(),
    };
    ReceiverSpec { name: "default".into(), integrations: vec![webhook] }
}

/// Receivers that answer as the script says; by name, and under the empty name all others.
#[derive(Clone, Default)]
struct Played(Arc<Mutex<BTreeMap<String, Plan>>>);

impl Played {
    fn plan(&self, receiver: Option<&str>, plan: Plan) {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.insert(receiver.unwrap_or("").to_owned(), plan);
    }
}

impl Receivers for Played {
    fn deliver(&mut self, delivery: &Delivery) -> Reply {
        let ok = DeliveryOutcome::Delivered { receipt: "ok".to_owned() };
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if plans.contains_key(&*delivery.receiver) { &*delivery.receiver } else { "" };
        let Some(plan) = plans.get_mut(name) else { return Reply::Now(ok) };
        match &mut plan.times {
            Some(0) => return Reply::Now(ok),
            Some(times) => *times -= 1,
            None => {}
        }
        match plan.outcome.clone() {
            None => Reply::Never,
            Some(outcome) if plan.after.is_zero() => Reply::Now(outcome),
            Some(outcome) => Reply::After(plan.after, outcome),
        }
    }
}

struct Player<'a> {
    script: &'a Script,
    tools: &'a Tools<'a>,
    world: World,
    receivers: Played,
    definitions: Definitions,
    /// Values of the input series that are still to come.
    samples: BTreeMap<Timestamp, Vec<(Labels, Point)>>,
    silences: BTreeMap<String, SilenceId>,
    attempts: Vec<Attempt>,
    case: Case,
}

impl Script {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn run(&self, tools: &Tools<'_>) -> Case {
        let mut settings = WorldSettings { start: self.start, ..WorldSettings::new() };
        // On virtual time nothing else arrives within the few milliseconds for which arrivals are collected.
        settings.engine.arrival_coalesce = Duration::ZERO;
        settings.on_ingest = true;
        if let Some(config) = &self.definitions.config {
            settings.follow(config);
        }
        settings.on_ingest = self.on_ingest.unwrap_or(settings.on_ingest);
        let mut player = Player {
            script: self,
            tools,
            world: World::new(settings, tools.provider.clone()),
            receivers: Played::default(),
            definitions: self.definitions.clone(),
            samples: BTreeMap::new(),
            silences: BTreeMap::new(),
            attempts: Vec::new(),
            case: Case { name: self.name.clone(), line: self.line, ..Case::default() },
        };
        player.world.set_receivers(Box::new(player.receivers.clone()));
        player.fill_samples();
        player.reload();
        for step in &self.steps {
            if let Err(stuck) = player.step(step) {
                player.fail(step.line, stuck.to_string());
                break;
            }
        }
        player.finish()
    }
}

impl Player<'_> {
    fn fail(&mut self, line: usize, message: String) {
        self.case.failures.push(Mismatch::new(line, message));
    }

    fn fill_samples(&mut self) {
        for (labels, values) in &self.script.series {
            for (step, value) in (0i64..).zip(values) {
                let Some(value) = value else { continue };
                let timestamp = self.script.start + self.script.interval.times(step);
                let point = Point { timestamp, start: None, value: value.clone() };
                self.samples.entry(timestamp).or_default().push((labels.clone(), point));
            }
        }
    }

    fn reload(&mut self) {
        let files = self.definitions.rules.clone().unwrap_or_default();
        let dispatch = self.definitions.dispatch();
        self.world.reload(&files, dispatch);
    }

    /// Everything up to just before a time, with the input series' samples each at its own time.
    fn go_to(&mut self, line: usize, target: Timestamp) -> Result<(), Stuck> {
        while let Some((time, points)) = self.samples.pop_first() {
            if time > target {
                self.samples.insert(time, points);
                break;
            }
            self.world.advance_before(time)?;
            self.push(line, points);
        }
        self.world.advance_before(target)
    }

    fn push(&mut self, line: usize, points: Vec<(Labels, Point)>) {
        for (position, error) in self.world.push_points(points) {
            self.fail(line, format!("sample {}: {error}", position + 1));
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Stuck> {
        let target = self.script.start + step.at;
        self.go_to(step.line, target)?;
        for action in &step.actions {
            self.act(step.line, action);
        }
        // A restart may have taken longer than until the step's time.
        let target = target.max(self.world.now());
        self.world.advance_to(target)?;
        self.attempts.extend(self.world.take_attempts());
        self.world.take_changes();
        self.world.take_failures();
        let Some(expect) = &step.expect else { return Ok(()) };
        self.case.checks += expect.checks();
        let (tools, config) = (self.tools, &self.definitions.config);
        let render = |attempt: &Attempt| match (tools.renderer, config) {
            (Some(renderer), Some(config)) => renderer.render(config, &attempt.delivery),
            (None, _) => Err("messages cannot be rendered here".to_owned()),
            (_, None) => Err("the scenario has no configuration, so there is no message".to_owned()),
        };
        let seen = Seen { start: self.script.start, attempts: &mut self.attempts, render: &render };
        for mut mismatch in expect.check(&self.world, seen) {
            mismatch.title = format!("at {}: {}", step.at, mismatch.title);
            self.case.failures.push(mismatch);
        }
        Ok(())
    }

    fn act(&mut self, line: usize, action: &Action) {
        let now = self.world.now();
        match action {
            Action::Samples(samples) => {
                let point = |value: &_| Point { timestamp: now, start: None, value: Clone::clone(value) };
                let points = samples.iter().map(|(labels, value)| (labels.clone(), point(value))).collect();
                self.push(line, points);
            }
            Action::Events(events) => {
                let events = events.iter().map(|(age, event)| {
                    let mut event = event.clone();
                    event.time = now - *age;
                    event
                });
                self.world.push_events(events.collect());
            }
            Action::Alerts(alerts) => {
                let alerts = alerts.iter().map(|sent| {
                    let mut alert = sent.alert.clone();
                    alert.starts_at = sent.starts.map_or(Timestamp::MIN, |starts| now + starts);
                    alert.ends_at = sent.ends.map(|ends| now + ends);
                    alert
                });
                self.world.push_alerts(alerts.collect());
            }
            Action::Silence(silence) => {
                let SilenceStep { name, matchers, starts, lasts, recurrence, comment } = &**silence;
                let draft = SilenceDraft {
                    annotations: BTreeMap::new(),
                    id: self.silences.get(name).cloned(),
                    matcher_sets: matchers.clone(),
                    starts_at: now + *starts,
                    ends_at: now + *starts + *lasts,
                    recurrence: recurrence.clone(),
                    created_by: "scenario".to_owned(),
                    comment: comment.clone(),
                };
                match self.world.set_silence(draft) {
                    Ok(id) => drop(self.silences.insert(name.clone(), id)),
                    Err(error) => self.fail(line, format!("the silence was refused: {error}")),
                }
            }
            Action::Unsilence(name) => match self.silences.get(name).cloned() {
                None => self.fail(line, format!("there is no silence {name:?}")),
                Some(id) => {
                    if let Err(error) = self.world.expire_silence(&id) {
                        self.fail(line, format!("the silence could not be ended: {error}"));
                    }
                }
            },
            Action::Acknowledge { labels, by, lasts, snooze } => {
                let what = AcknowledgeWhat::Alert(labels.fingerprint());
                let until = lasts.map(|lasts| now + lasts);
                let (by, comment, snooze) = (by.clone(), String::new(), *snooze);
                self.acknowledge(line, AcknowledgeCommand::Set { what, by, comment, until, snooze });
            }
            Action::Unacknowledge(labels) => {
                let what = AcknowledgeWhat::Alert(labels.fingerprint());
                self.acknowledge(line, AcknowledgeCommand::Withdraw { what });
            }
            Action::Reload(newer) => {
                self.definitions = self.definitions.merged(newer);
                self.reload();
            }
            Action::Deliver { receiver, plan } => self.receivers.plan(receiver.as_deref(), plan.clone()),
            Action::Restart(down) => {
                self.attempts.extend(self.world.take_attempts());
                self.world.restart(*down);
            }
        }
    }

    fn acknowledge(&mut self, line: usize, command: AcknowledgeCommand) {
        if let Err(error) = self.world.acknowledge(command) {
            self.fail(line, format!("the acknowledgement was refused: {error}"));
        }
    }

    /// Nobody may have been told anything that no step expected.
    fn finish(mut self) -> Case {
        let line = self.script.steps.last().map_or(self.script.line, |step| step.line);
        let start = self.script.start;
        for attempt in std::mem::take(&mut self.attempts) {
            self.fail(line, format!("a notification that no step expects: {}", show(&attempt, start)));
        }
        self.case
    }
}
