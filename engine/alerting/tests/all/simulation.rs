//! A seeded simulation: alerts, rules, silences, reloads, kills, failing receivers and a moving clock, at random.
//!
//! Checked at every step: two engines with the same inputs give the same outputs; nothing that is silenced is told to
//! fire; a notification's id stands for one content; a group has one deduplication key; nobody is paged twice without news. Checked whenever things have
//! settled: whatever fires is known to its receivers, and whatever ended is known to have ended (C1, C2, C5, C6).
//!
//! Routes repeat to the millisecond or tell changes only, limit rates, escalate and damp; alerts are acknowledged and
//! snoozed; silences come again.
//!
//! `WATCHFIRE_SIM_SEED` repeats a run, `WATCHFIRE_SIM_STEPS` makes it longer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_alerting::{
    AcknowledgeCommand, AcknowledgeWhat, ActiveInstance, AlertRecord, AlertView, Definitions, Delivery,
    DeliveryOutcome, Engine, EvaluateRequest, Evaluation, EvaluationResult, Input, NotificationId, NotifyReason,
    Output, Reason, Record, RecordKey, Recurrence, RouteRequest, Settings, SilenceDraft, SilenceState, StateReason,
    Subject, Unsaved,
};
use watchfire_model::{Alert, AlertStatus, Annotations, Duration, Fingerprint, Labels, Matcher, RuleId, Timestamp};
use watchfire_plugin::{Decision, PluginError};

use crate::chance::Chance;
use crate::world::{START, external, instances};

mod definitions;

use definitions::{NO_ENDS, VARIANTS, alert_labels, dispatch, groups};

const RULES: u64 = 6;

/// Who has ended for so long has been looked at by all groups.
const LONG: Duration = Duration::from_mins(30);

/// What a receiver does with what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Works,
    Slow,
    TakesAndFails,
    Fails,
    TakesAndIsSilent,
    IsSilent,
    Refuses,
    RefusesSome,
}

/// The last notification to a target.
struct LastTold {
    id: NotificationId,
    firing: BTreeSet<Fingerprint>,
    ended: BTreeSet<Fingerprint>,
    /// When its delivery was known to the engine, by the clock and counted in deliveries.
    known: Option<(Timestamp, u64)>,
}

struct Simulation {
    chance: Chance,
    now: Timestamp,
    engine: Engine,
    /// Gets the same inputs and must give the same outputs.
    twin: Engine,
    settings: Settings,
    committed: BTreeMap<RecordKey, Record>,
    definitions: Arc<Definitions>,
    /// Those that the engine has taken up: what was due before it was asked to is done by the ones before.
    in_force: Arc<Definitions>,
    /// What each rule finds.
    finds: BTreeMap<RuleId, BTreeSet<u64>>,
    evaluation_fails: bool,
    router_fails: bool,
    modes: BTreeMap<String, Mode>,
    /// Alerts from outside that fire until they are ended.
    outside: BTreeSet<u64>,
    held: VecDeque<Input>,
    /// What receivers were told last: whether an alert fires, by receiver, deduplication key and alert.
    told: BTreeMap<(String, String, Fingerprint), bool>,
    contents: BTreeMap<NotificationId, Vec<(Fingerprint, bool)>>,
    /// The deduplication key by route, receiver and group labels; the route by the receiver that only it has.
    keys: BTreeMap<(String, String, String), String>,
    routes: BTreeMap<String, String>,
    /// What each target was told last, to find pages that tell nothing new.
    last: BTreeMap<(String, String), LastTold>,
    /// When each target was known to have been told that an alert ended, counted in deliveries.
    ends_known: BTreeMap<((String, String), Fingerprint), u64>,
    /// Since when an alert has ended that fired.
    ended_at: BTreeMap<Fingerprint, Timestamp>,
    /// When an alert's state changed last, counted in deliveries.
    changed: BTreeMap<Fingerprint, u64>,
    deliveries: u64,
    /// How often notifications were made, by reason.
    reasons: BTreeMap<&'static str, u64>,
    crashes: u64,
    checks: u64,
}

/// A receiver, and the integration if that is one that wants no ends.
fn who(delivery: &Delivery) -> String {
    match &*delivery.integration.kind {
        NO_ENDS => format!("{} {NO_ENDS}", delivery.receiver),
        _ => delivery.receiver.to_string(),
    }
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        // So few attempts at one time that turns are waited for.
        let settings = Settings {
            history_retention: Duration::from_hours(100),
            attempts_max: 3,
            // As long may an attempt wait after a start with a clock that was set back, since a receiver may have asked for
            // it: longer than any backoff, and no longer than it takes to settle.
            retry_after_max: Duration::from_mins(7),
            // A receiver that goes comes back when things settle, however long that takes.
            gone_integration_retention: Duration::from_hours(1_000),
            ..Settings::default()
        };
        let definitions = Arc::new(Definitions { groups: groups(0), dispatch: dispatch(0), resend_delay: None });
        let mut simulation = Simulation {
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now: START,
            engine: Engine::new(settings.clone()),
            twin: Engine::new(settings.clone()),
            settings,
            committed: BTreeMap::new(),
            definitions: definitions.clone(),
            in_force: definitions.clone(),
            finds: BTreeMap::new(),
            evaluation_fails: false,
            router_fails: false,
            modes: BTreeMap::new(),
            outside: BTreeSet::new(),
            held: VecDeque::new(),
            told: BTreeMap::new(),
            contents: BTreeMap::new(),
            keys: BTreeMap::new(),
            routes: BTreeMap::new(),
            last: BTreeMap::new(),
            ends_known: BTreeMap::new(),
            ended_at: BTreeMap::new(),
            changed: BTreeMap::new(),
            deliveries: 0,
            reasons: BTreeMap::new(),
            crashes: 0,
            checks: 0,
        };
        simulation.input(Input::Restore(vec![]));
        simulation.input(Input::Reload(definitions));
        simulation
    }

    fn outputs(&mut self) -> Vec<Output> {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.engine.poll_output()).collect();
        let same: Vec<Output> = std::iter::from_fn(|| self.twin.poll_output()).collect();
        assert_eq!(format!("{outputs:?}"), format!("{same:?}"), "the same inputs gave different outputs");
        assert_eq!(self.engine.next_deadline(), self.twin.next_deadline());
        outputs
    }

    fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            if let Input::Delivered { id, outcome: DeliveryOutcome::Delivered { .. }, .. } = &input {
                // An answer that comes after the notification was taken back, because it is silenced say, is not waited for.
                let waits = self.engine.outbox().iter().any(|notification| notification.id == *id);
                let known = waits.then_some((self.now, self.deliveries));
                for (target, last) in self.last.iter_mut().filter(|(_, last)| last.id == *id) {
                    last.known = known;
                    let ended = last.ended.iter().filter(|_| waits);
                    self.ends_known.extend(ended.map(|alert| ((target.clone(), *alert), self.deliveries)));
                }
            }
            self.engine.handle(self.now, input.clone());
            self.twin.handle(self.now, input);
            let outputs = self.outputs();
            self.commit(&outputs);
            self.execute(outputs, &mut inputs);
        }
        let under_way = self.engine.outbox().iter().filter(|notification| notification.in_flight).count();
        assert_eq!(self.used("attempts"), under_way, "turns are taken by attempts under way");
        let deadline = self.engine.next_deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "something that is due is not done");
    }

    fn used(&self, bound: &str) -> usize {
        self.engine.usage().into_iter().find(|(name, ..)| *name == bound).map_or(usize::MAX, |(_, used, _)| used)
    }

    /// The bytes of all alerts are those of what is held.
    fn check_bytes(&self) {
        let bytes = self.engine.alerts(self.now).into_iter().map(|view| view.alert.text_bytes());
        assert_eq!(self.used("alerts_bytes"), bytes.sum(), "bytes are counted of what is held");
    }

    fn commit(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Persist(record) => match &**record {
                    Record::Deleted(key) => drop(self.committed.remove(key)),
                    Record::Alert(alert) => {
                        self.ends_or_begins(alert);
                        self.committed.insert(record.key(), (**record).clone());
                    }
                    record => drop(self.committed.insert(record.key(), record.clone())),
                },
                Output::Changed(change) => {
                    // A snooze that ended is told again, which is what it is for.
                    let news = match &change.reason {
                        Reason::State(state) => *state != StateReason::Restored,
                        Reason::AcknowledgementEnded { .. } => true,
                        _ => false,
                    };
                    if let (Subject::Alert { fingerprint, .. }, true) = (&change.subject, news) {
                        self.changed.insert(*fingerprint, self.deliveries);
                    }
                }
                _ => {}
            }
        }
    }

    /// Who wants no ends must hear of an alert again that ended for long and fires again.
    fn ends_or_begins(&mut self, record: &AlertRecord) {
        let alert = record.alert.fingerprint();
        if record.resolved {
            self.ended_at.entry(alert).or_insert(self.now);
        } else if self.ended_at.remove(&alert).is_some_and(|at| self.now.since(at) > LONG) {
            let without = self.told.iter_mut().filter(|((to, _, told), _)| to.ends_with(NO_ENDS) && *told == alert);
            without.for_each(|(_, fires)| *fires = false);
        }
    }

    fn execute(&mut self, outputs: Vec<Output>, inputs: &mut VecDeque<Input>) {
        for output in outputs {
            match output {
                Output::Changed(change) if change.reason == Reason::Reloaded => {
                    self.in_force = self.definitions.clone();
                }
                Output::Persist(_)
                | Output::Append(_)
                | Output::Forward(_)
                | Output::TookOver { .. }
                | Output::Changed(_) => {}
                Output::Confirm if self.chance.one_in(4) => self.held.push_back(Input::Confirmed),
                Output::Confirm => inputs.push_back(Input::Confirmed),
                Output::Evaluate(request) => {
                    let answer = Input::Evaluated(self.evaluate(request));
                    if self.chance.one_in(10) { self.held.push_back(answer) } else { inputs.push_back(answer) }
                }
                Output::Route(request) => {
                    let answer = self.route(&request);
                    match self.chance.below(8) {
                        0 => self.held.push_back(answer),
                        1 if self.router_fails => {}
                        _ => inputs.push_back(answer),
                    }
                }
                Output::Deliver(delivery) => {
                    self.check_delivery(&delivery);
                    self.check_news(&delivery);
                    self.deliver(&delivery, inputs);
                }
            }
        }
    }

    fn evaluate(&mut self, request: EvaluateRequest) -> Evaluation {
        let found = self.finds.get(&request.rule).cloned().unwrap_or_default();
        let labels = |number: &u64| alert_labels(*number, &format!("rule{}", request.rule.0));
        let instance =
            |number: &u64| ActiveInstance { labels: labels(number), annotations: Annotations::default(), value: 1.0 };
        let result = match self.chance.below(12) {
            0 if self.evaluation_fails => Err("too many samples".to_owned()),
            1 if self.evaluation_fails => Ok(EvaluationResult::Instances {
                active: vec![],
                unknown: (0..20).map(|number| labels(&number)).collect(),
                missing: vec![],
                recovered: vec![],
            }),
            _ => Ok(instances(found.iter().map(instance).collect())),
        };
        Evaluation {
            id: request.id,
            rule: request.rule,
            at: request.at,
            took: Duration::from_millis(3),
            result,
            stand_in: None,
            state_writes: vec![],
        }
    }

    fn route(&mut self, request: &RouteRequest) -> Input {
        let decide = |alert: &Alert| {
            let number: u64 = alert.labels.value_or_empty("number").parse().unwrap();
            let receivers = match number % 3 {
                0 => vec!["day".to_owned()],
                1 => vec!["day".to_owned(), "night".to_owned()],
                _ => vec![],
            };
            Decision { receivers, suppress: None, group_key: number.is_multiple_of(2).then(|| "even".to_owned()) }
        };
        let failed = self.router_fails && self.chance.one_in(2);
        let result = match failed {
            true => Err(PluginError::Trap("unreachable".to_owned())),
            false => Ok(request.alerts.iter().map(decide).collect()),
        };
        Input::Routed { id: request.id, result }
    }

    fn deliver(&mut self, delivery: &Delivery, inputs: &mut VecDeque<Input>) {
        self.deliveries += 1;
        *self.reasons.entry(delivery.reason.as_str()).or_default() += 1;
        let mode = self.modes.get(&*delivery.receiver).copied().unwrap_or(Mode::Works);
        let mut refused: BTreeSet<Fingerprint> = BTreeSet::new();
        if mode == Mode::RefusesSome {
            let all = delivery.alerts.iter().map(Alert::fingerprint);
            refused = all.filter(|_| self.chance.one_in(2)).collect();
        }
        if !matches!(mode, Mode::Fails | Mode::IsSilent | Mode::Refuses) {
            for alert in delivery.alerts.iter().filter(|alert| !refused.contains(&alert.fingerprint())) {
                let key = (who(delivery), delivery.group_key.to_string(), alert.fingerprint());
                self.told.insert(key, alert.ends_at.is_none());
            }
        }
        let reason = || "as the simulation wants".to_owned();
        let outcome = match mode {
            Mode::RefusesSome if refused.len() == delivery.alerts.len() => {
                DeliveryOutcome::Rejected { reason: reason() }
            }
            Mode::RefusesSome if !refused.is_empty() => DeliveryOutcome::RejectedInPart {
                alerts: refused.into_iter().collect(),
                receipt: String::new(),
                reason: reason(),
            },
            Mode::Works | Mode::Slow | Mode::RefusesSome => DeliveryOutcome::Delivered { receipt: String::new() },
            Mode::TakesAndFails | Mode::Fails => {
                let after = self.chance.one_in(4).then(|| Duration::from_secs(7));
                DeliveryOutcome::Retry { after, reason: reason() }
            }
            Mode::Refuses => DeliveryOutcome::Rejected { reason: reason() },
            Mode::TakesAndIsSilent | Mode::IsSilent => return,
        };
        let answer = Input::Delivered { id: delivery.id, attempt: delivery.attempt, outcome, stand_in: None };
        if mode == Mode::Slow { self.held.push_back(answer) } else { inputs.push_back(answer) }
    }

    fn check_delivery(&mut self, delivery: &Delivery) {
        for alert in delivery.alerts.iter().filter(|alert| alert.ends_at.is_none()) {
            for silence in self.engine.silences() {
                let matches = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(&alert.labels));
                // The engine does not follow a clock that goes back by less than a second, and what is due goes before
                // the input that comes with it.
                let second = Duration::from_secs(1);
                let times = [self.now - second, self.now, self.now + second];
                let steadily = times.iter().all(|at| silence.state(*at) == SilenceState::Active);
                let silenced = steadily && silence.updated_at < self.now && silence.matcher_sets.iter().any(matches);
                assert!(!silenced, "told to fire while it is silenced: {delivery:?}");
            }
            let view = self.engine.alert(self.now, alert.fingerprint());
            // What was due before the snooze came in is told before it.
            let acknowledgement = view.and_then(|view| view.acknowledgement);
            let snoozed = acknowledgement.is_some_and(|said| said.snooze && said.at < self.now);
            assert!(!snoozed, "told to fire while it is snoozed: {delivery:?}");
        }
        if delivery.reason == NotifyReason::FirstNotification && (delivery.at, delivery.attempt) == (self.now, 1) {
            let leads_here = |alert: &Alert| {
                let routes = self.in_force.dispatch.route(&alert.labels);
                routes.into_iter().any(|route| match route.router {
                    None => route.receiver == delivery.receiver,
                    Some(_) => ["ops", "day", "night"].contains(&&*delivery.receiver),
                })
            };
            assert!(delivery.alerts.iter().any(leads_here), "no route leads there: {delivery:?}");
        }
        let content: Vec<_> = delivery.alerts.iter().map(|a| (a.fingerprint(), a.ends_at.is_none())).collect();
        let known = self.contents.entry(delivery.id).or_insert_with(|| content.clone());
        assert_eq!(*known, content, "one id, two contents");
        let (route, receiver) = (delivery.route_id.to_string(), delivery.receiver.to_string());
        let key = delivery.group_key.to_string();
        // Where a router chooses, it chooses who is told about which group.
        let of_router = if key.starts_with(&format!("{route}/")) { "router" } else { "" };
        let group = (format!("{route}{of_router}"), receiver.clone(), delivery.group_labels.to_string());
        assert_eq!(*self.keys.entry(group).or_insert_with(|| key.clone()), key, "a second key for a group");
        if ["a", "b"].contains(&receiver.as_str()) {
            assert_eq!(
                *self.routes.entry(receiver).or_insert_with(|| route.clone()),
                route,
                "a route lost its identity"
            );
        }
    }

    /// A page that tells nothing that its receiver does not know comes no sooner than `repeat_interval`.
    fn check_news(&mut self, delivery: &Delivery) {
        if delivery.reason == NotifyReason::Acknowledgement {
            // That somebody looks after it is news, and no page.
            return;
        }
        let target = (who(delivery), delivery.group_key.to_string());
        let (ended, firing): (Vec<&Alert>, Vec<&Alert>) = delivery.alerts.iter().partition(|a| a.ends_at.is_some());
        // An end that is still to come, by a clock that was set back, may come a second time.
        let to_come = |alert: &&Alert| alert.ends_at.is_some_and(|at| at > self.now);
        let may_be_again: BTreeSet<Fingerprint> =
            ended.iter().copied().filter(to_come).map(Alert::fingerprint).collect();
        let all = |alerts: Vec<&Alert>| alerts.into_iter().map(Alert::fingerprint).collect::<BTreeSet<Fingerprint>>();
        let (firing, ended) = (all(firing), all(ended));
        if let Some(last) = self.last.get(&target).filter(|last| last.id != delivery.id)
            && let Some((known, deliveries)) = last.known
        {
            let unchanged = |f: &Fingerprint| {
                last.firing.contains(f) && self.changed.get(f).is_none_or(|changed| *changed < deliveries)
            };
            let known_to_end = |f: &Fingerprint| {
                let known = self.ends_known.get(&(target.clone(), *f));
                !may_be_again.contains(f)
                    && known.is_some_and(|known| self.changed.get(f).is_none_or(|changed| changed < known))
            };
            let news = !ended.iter().all(known_to_end) || !firing.iter().all(unchanged);
            let soon = self.now.since(known) < Duration::from_hours(4);
            assert!(news || !soon, "told again without news, first at {known}: {delivery:?}");
        }
        if self.last.get(&target).is_none_or(|last| last.id != delivery.id) {
            self.last.insert(target, LastTold { id: delivery.id, firing, ended, known: None });
        }
    }

    /// Lets time pass, stopping at every deadline.
    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = deadline;
            self.input(Input::Tick);
        }
        self.now = until;
    }

    fn answer_held(&mut self) {
        while let Some(input) = self.held.pop_front() {
            self.input(input);
        }
    }

    fn reload(&mut self, variant: u64) {
        self.definitions =
            Arc::new(Definitions { groups: groups(variant), dispatch: dispatch(variant), resend_delay: None });
        self.input(Input::Reload(self.definitions.clone()));
    }

    /// The process dies and starts again. What it had asked for is never answered.
    fn crash(&mut self) {
        self.crashes += 1;
        let records: Vec<Record> = self.committed.values().cloned().collect();
        self.held.clear();
        self.engine = Engine::new(self.settings.clone());
        self.twin = Engine::new(self.settings.clone());
        let down = Duration::from_millis(i64::try_from(self.chance.below(60_000)).unwrap());
        // The clock may have been set meanwhile.
        if self.chance.one_in(5) {
            self.set_back(down.times(10))
        } else {
            self.now += down
        }
        self.input(Input::Restore(records));
        self.input(Input::Reload(self.definitions.clone()));
    }

    /// The process dies in the middle of an input: before anything of it is committed, when only deliveries can be under
    /// way that wait for nothing of it, or after, but before it is done.
    fn crash_during(&mut self, input: Input) -> bool {
        self.engine.handle(self.now, input.clone());
        self.twin.handle(self.now, input);
        let mut outputs = self.outputs();
        let committed = self.chance.one_in(2);
        if committed {
            self.commit(&outputs);
        } else {
            let mut unsaved = Unsaved::default();
            for output in &outputs {
                if let Output::Persist(record) = output {
                    unsaved.add(record);
                }
            }
            outputs.retain(|output| matches!(output, Output::Deliver(delivery) if !unsaved.holds_up(delivery)));
        }
        if self.chance.one_in(2) {
            self.execute(outputs, &mut VecDeque::new());
        }
        self.crash();
        committed
    }

    fn set_back(&mut self, by: Duration) {
        self.now = self.now - by;
        // Waits go on for as long as they would have, so nothing is known since a time to come.
        for last in self.last.values_mut() {
            last.known = last.known.map(|(at, deliveries)| (at.min(self.now), deliveries));
        }
    }

    fn outside(&mut self, number: u64, ends: bool) -> Input {
        let end = if ends { self.now } else { self.now + Duration::from_hours(10_000) };
        let start = if ends { Timestamp::MIN } else { self.now };
        let alert = Alert { labels: alert_labels(number, "outside"), ..external("", start, Some(end)) };
        Input::Alerts(vec![alert])
    }

    fn step(&mut self) {
        let number = self.chance.below(30);
        match self.chance.below(100) {
            0..=29 => {
                let scale = [10, 2_000, 20_000, 200_000][self.chance.below(4) as usize];
                let span = self.chance.below(scale);
                self.pass(Duration::from_millis(i64::try_from(span).unwrap()));
            }
            30..=41 => {
                let input = self.outside(number, false);
                self.outside.insert(number);
                self.input(input);
            }
            // One without an end, which nobody sends again.
            42..=44 => {
                let alert = Alert { labels: alert_labels(number, "lost"), ..external("", self.now, None) };
                self.input(Input::Alerts(vec![alert]));
            }
            45..=54 => {
                let input = self.outside(number, true);
                self.outside.remove(&number);
                self.input(input);
            }
            55..=64 => {
                let found = self.finds.entry(RuleId(number % RULES)).or_default();
                if !found.remove(&number) {
                    found.insert(number);
                }
            }
            65..=68 => {
                let (name, value) = match self.chance.below(3) {
                    0 => ("number", number.to_string()),
                    1 => ("alertname", format!("N{}", number % 7)),
                    _ => ("team", "a".to_owned()),
                };
                let starts = Duration::from_secs(i64::try_from(self.chance.below(120)).unwrap());
                let lasts = Duration::from_secs(1 + i64::try_from(self.chance.below(1_800)).unwrap());
                let draft = SilenceDraft {
                    annotations: BTreeMap::new(),
                    id: None,
                    matcher_sets: vec![vec![Matcher::equal(name, value)]],
                    starts_at: self.now + starts,
                    ends_at: self.now + starts + lasts,
                    recurrence: self
                        .chance
                        .one_in(3)
                        .then(|| Recurrence::parse("*/7 * * * *", "Europe/Berlin", Duration::from_mins(2)).unwrap()),
                    created_by: "simulation".to_owned(),
                    comment: String::new(),
                };
                self.input(Input::Silence(watchfire_alerting::SilenceCommand::Set(draft)));
            }
            69..=71 => self.expire_a_silence(),
            72..=77 => {
                let variant = self.chance.below(VARIANTS);
                self.reload(variant);
            }
            78 => self.crash(),
            79 => {
                let input = self.outside(number, false);
                if self.crash_during(input) {
                    self.outside.insert(number);
                }
            }
            80 => {
                self.now = self.now.max(self.engine.next_deadline().unwrap_or(self.now));
                self.crash_during(Input::Tick);
            }
            81..=85 => {
                let receiver = ["ops", "a", "b", "day", "night", "lead"][self.chance.below(6) as usize];
                let mode = match self.chance.below(12) {
                    0 => Mode::Slow,
                    1 => Mode::TakesAndFails,
                    2 => Mode::Fails,
                    3 => Mode::TakesAndIsSilent,
                    4 => Mode::IsSilent,
                    5 => Mode::Refuses,
                    6 => Mode::RefusesSome,
                    _ => Mode::Works,
                };
                self.modes.insert(receiver.to_owned(), mode);
            }
            86..=91 => self.answer_held(),
            92 => self.now += Duration::from_secs(i64::try_from(self.chance.below(7_200)).unwrap()),
            93 => {
                let by = Duration::from_secs(i64::try_from(self.chance.below(600)).unwrap());
                self.set_back(by);
                self.input(Input::Tick);
            }
            94..=95 => self.input(Input::Touched(vec![RuleId(number % RULES), RuleId(number % 2)])),
            96 => {
                self.evaluation_fails = self.chance.one_in(2);
                self.router_fails = self.chance.one_in(2);
            }
            _ => {
                let input = self.acknowledge(number);
                self.input(input);
            }
        }
    }

    /// Somebody looks after an alert, or wants it quiet, or no longer; what does not fire is refused.
    fn acknowledge(&mut self, number: u64) -> Input {
        let source = if self.chance.one_in(2) { "outside".to_owned() } else { format!("rule{}", number % RULES) };
        let what = AcknowledgeWhat::Alert(alert_labels(number, &source).fingerprint());
        let lasts = Duration::from_secs(1 + i64::try_from(self.chance.below(1_800)).unwrap());
        let (snooze, ends) = (self.chance.one_in(2), self.chance.one_in(2));
        Input::Acknowledge(match self.chance.one_in(3) {
            true => AcknowledgeCommand::Withdraw { what },
            false => AcknowledgeCommand::Set {
                what,
                by: "simulation".to_owned(),
                comment: String::new(),
                until: (snooze || ends).then(|| self.now + lasts),
                snooze,
            },
        })
    }

    fn withdraw_acknowledgements(&mut self) {
        for view in self.engine.alerts(self.now).into_iter().filter(|view| view.acknowledgement.is_some()) {
            let what = AcknowledgeWhat::Alert(view.fingerprint);
            self.input(Input::Acknowledge(AcknowledgeCommand::Withdraw { what }));
        }
    }

    fn expire_a_silence(&mut self) {
        let active = |silence: &&watchfire_alerting::Silence| silence.state(self.now) != SilenceState::Expired;
        let id = self.engine.silences().into_iter().find(active).map(|silence| silence.id.clone());
        if let Some(id) = id {
            self.input(Input::Silence(watchfire_alerting::SilenceCommand::Expire(id)));
        }
    }

    /// Nothing disturbs any more; after a while all receivers know what is true.
    fn settle(&mut self) {
        self.checks += 1;
        // Every other time the receivers mend after the last reload, so that what they refused has to be sent again by itself.
        let mend_unseen = self.checks.is_multiple_of(2);
        if mend_unseen {
            self.reload(0);
            self.pass(Duration::from_mins(4));
        }
        self.modes.clear();
        self.evaluation_fails = false;
        self.router_fails = false;
        self.answer_held();
        while self.engine.silences().iter().any(|silence| silence.state(self.now) != SilenceState::Expired) {
            self.expire_a_silence();
        }
        self.withdraw_acknowledgements();
        if !mend_unseen {
            self.reload(0);
        }
        self.await_timeouts();
        for _ in 0..if mend_unseen { 18 } else { 8 } {
            self.pass(Duration::from_mins(4));
            self.answer_held();
        }
        self.check_settled();
    }

    /// Nobody sends these again; they end the later the further the clock was set back since they came.
    fn await_timeouts(&mut self) {
        let since = self.now;
        let is_lost =
            |view: &AlertView| view.status == AlertStatus::Firing && view.alert.labels.get("source") == Some("lost");
        while self.engine.alerts(self.now).iter().any(is_lost) {
            assert!(self.now.since(since) < Duration::from_hours(24), "an alert that nobody sends again goes on");
            self.pass(Duration::from_mins(4));
        }
    }

    fn check_settled(&self) {
        let alerts = self.engine.alerts(self.now);
        let firing: BTreeMap<Fingerprint, &Labels> = alerts
            .iter()
            .filter(|view| view.status == AlertStatus::Firing)
            .map(|view| (view.fingerprint, &view.alert.labels))
            .collect();
        for number in &self.outside {
            let labels = alert_labels(*number, "outside");
            assert!(firing.contains_key(&labels.fingerprint()), "an accepted alert was lost: {labels}");
        }
        for (rule, found) in &self.finds {
            for number in found {
                let labels = alert_labels(*number, &format!("rule{}", rule.0));
                assert!(firing.contains_key(&labels.fingerprint()), "a rule's alert was lost: {labels}");
            }
        }
        for (fingerprint, labels) in &firing {
            let inhibited = labels.get("severity") == Some("warning")
                && firing
                    .values()
                    .any(|other| other.get("severity") == Some("critical") && other.get("team") == labels.get("team"));
            if inhibited {
                continue;
            }
            for route in self.definitions.dispatch.route(labels) {
                let knows = |receiver: &str| {
                    self.told.iter().any(|((to, _, alert), fires)| *fires && to == receiver && alert == fingerprint)
                };
                let somebody = match route.router {
                    None if &*route.receiver == "a" => knows("a") && knows(&format!("a {NO_ENDS}")),
                    None => knows(&route.receiver),
                    Some(_) => ["ops", "day", "night"].into_iter().any(knows),
                };
                assert!(somebody, "{} does not know that {labels} fires", route.receiver);
            }
        }
        for ((receiver, key, fingerprint), fires) in &self.told {
            let known = firing.contains_key(fingerprint) || receiver.ends_with(NO_ENDS);
            assert!(!fires || known, "{receiver} was never told that {fingerprint} of {key} ended");
        }
        assert!(self.engine.outbox().is_empty(), "{:?}", self.engine.outbox());
    }

    /// Everything ends, and nothing is left.
    fn end(&mut self) {
        for number in std::mem::take(&mut self.outside) {
            let input = self.outside(number, true);
            self.input(input);
        }
        self.finds.clear();
        self.settle();
        assert!(self.told.iter().all(|((to, ..), fires)| !fires || to.ends_with(NO_ENDS)));
        self.pass(Duration::from_hours(1));
        // Silences and what was refused are kept for days, in which rules need not be evaluated.
        self.definitions = Arc::new(Definitions { groups: vec![], dispatch: dispatch(0), resend_delay: None });
        self.input(Input::Reload(self.definitions.clone()));
        self.pass(Duration::from_hours(130));
        assert!(self.engine.alerts(self.now).is_empty(), "{:?}", self.engine.alerts(self.now));
        assert!(self.engine.alert_groups(self.now).is_empty());
        let left: Vec<String> = self.committed.keys().map(ToString::to_string).collect();
        assert_eq!(left, ["integrations ", "routes "]);
    }
}

#[expect(clippy::disallowed_methods, reason = "a run can be repeated and made longer from outside")]
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn run(seed: u64, steps: u64) {
    println!("WATCHFIRE_SIM_SEED={seed} WATCHFIRE_SIM_STEPS={steps}");
    let mut simulation = Simulation::new(seed);
    for step in 0..steps {
        simulation.step();
        if step % 50 == 49 {
            simulation.check_bytes();
        }
        if step % 400 == 399 {
            simulation.settle();
        }
    }
    simulation.end();
    let counters = simulation.engine.counters();
    println!(
        "{} deliveries {:?}, {} crashes, {} settled checks, {counters:?}",
        simulation.deliveries, simulation.reasons, simulation.crashes, simulation.checks
    );
    // A run that never got anywhere would prove nothing.
    let reasons = NotifyReason::ALL.iter().all(|reason| simulation.reasons.contains_key(reason.as_str()));
    assert!(steps < 5_000 || reasons, "not every reason to notify came up: {:?}", simulation.reasons);
    assert!(steps < 1_000 || (simulation.deliveries > steps / 20 && simulation.crashes > steps / 100));
}

#[test]
fn whatever_happens_receivers_learn_what_is_true() {
    let steps = setting("WATCHFIRE_SIM_STEPS").unwrap_or(100_000);
    match setting("WATCHFIRE_SIM_SEED") {
        Some(seed) => run(seed, steps),
        None => std::thread::scope(|scope| {
            for seed in 1..=4 {
                scope.spawn(move || run(seed, steps / 4));
            }
        }),
    }
}
