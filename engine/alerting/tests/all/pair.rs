//! Two engines on one store, at random: requests to either, crashes, stops, partitions, slow receivers, a store that is
//! away. Whoever is accepted is told, under one idempotency key however often, and nobody who lost the lease tells or
//! writes anything while the store can be asked.
//!
//! `WATCHFIRE_SIM_SEED` repeats a run, `WATCHFIRE_SIM_STEPS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchfire_alerting::{
    Claim, Definitions, Delivery, DeliveryOutcome, Dispatch, Engine, GroupBy, Input, Leave, NotificationId, Output,
    Record, RecordKey, Settings, SilenceCommand, SilenceDraft, SilenceId, Tenure, Term, Turn, Unsaved, Wish,
};
use watchfire_model::{Alert, Duration, Labels, Matcher, Timestamp};

use crate::chance::Chance;
use crate::simulation::setting;
use crate::world::{START, external, receiver};

const SPAN: Duration = Duration::from_secs(10);

/// What PostgreSQL is to the engines: records, requests and one lease, each call one transaction.
#[derive(Default)]
struct Store {
    records: BTreeMap<RecordKey, Record>,
    requests: BTreeMap<u64, Input>,
    last_request: u64,
    holder: usize,
    term: u64,
    until: Option<Timestamp>,
    changes: u64,
}

impl Store {
    fn claim(&mut self, engine: usize, wish: Wish, now: Timestamp) -> Claim {
        let free = self.until.is_none_or(|until| until < now);
        let own = self.holder == engine;
        let term = match wish {
            Wish::Start if free || own => self.term + 1,
            Wish::Take if free => self.term + 1,
            Wish::Keep(term) if own && term.0 == self.term => self.term,
            _ => return Claim::Taken { changes: self.changes },
        };
        (self.holder, self.term, self.until) = (engine, term, Some(now + SPAN));
        Claim::Held(Term(term))
    }

    /// Whether the term was in force.
    fn commit(&mut self, term: Term, records: Vec<Record>, done: &[u64]) -> bool {
        if term.0 != self.term {
            return false;
        }
        self.changes += 1;
        for record in records {
            match record {
                Record::Deleted(key) => drop(self.records.remove(&key)),
                record => drop(self.records.insert(record.key(), record)),
            }
        }
        self.requests.retain(|number, _| !done.contains(number));
        true
    }
}

/// A delivery on its way: released, and carried out when chance wants.
struct Released {
    term: Term,
    delivery: Delivery,
}

/// One process.
struct Node {
    engine: Engine,
    tenure: Tenure,
    /// Decided and not committed: while the store cannot be reached, or the process is stopped.
    pending: Vec<Record>,
    /// It wants to know when that is committed.
    confirm: bool,
    done: Vec<u64>,
    handed: BTreeSet<u64>,
    released: Vec<Released>,
    /// Until then it does nothing, and sees nothing.
    stopped_until: Timestamp,
    /// Until then it does not reach the store.
    cut_until: Timestamp,
}

struct Simulation {
    chance: Chance,
    now: Timestamp,
    store: Store,
    nodes: Vec<Node>,
    definitions: Arc<Definitions>,
    /// Alerts that were accepted, by number.
    accepted: BTreeSet<u64>,
    silenced: BTreeMap<u64, SilenceId>,
    /// The notifications that told that an alert fires.
    told: BTreeMap<String, BTreeSet<NotificationId>>,
    /// Alerts that may be told twice: an engine told of them while the store was out of its reach.
    unsure: BTreeSet<String>,
    takeovers: u64,
    wakes: u64,
}

fn definitions() -> Arc<Definitions> {
    let mut dispatch = Dispatch::to(receiver("ops"));
    dispatch.route.group_by = GroupBy::All;
    dispatch.route.group_wait = Duration::from_secs(2);
    dispatch.route.group_interval = Duration::from_mins(1);
    dispatch.route.repeat_interval = Duration::from_hours(10_000);
    Arc::new(Definitions { groups: vec![], dispatch, resend_delay: None })
}

fn alert(number: u64) -> Alert {
    let labels = Labels::from_pairs([("alertname", "A".to_owned()), ("number", number.to_string())]);
    Alert { labels, ..external("A", Timestamp::MIN, Some(START + Duration::from_hours(100_000))) }
}

impl Simulation {
    fn start(&mut self, index: usize) {
        let mut tenure = Tenure::sharing(SPAN);
        let claim = self.store.claim(index, Wish::Start, self.now);
        let turn = tenure.answered(self.now, claim);
        let settings = Settings::default();
        let node = Node {
            engine: Engine::watching(settings),
            tenure,
            pending: Vec::new(),
            confirm: false,
            done: Vec::new(),
            handed: BTreeSet::new(),
            released: Vec::new(),
            stopped_until: Timestamp::MIN,
            cut_until: Timestamp::MIN,
        };
        match self.nodes.get_mut(index) {
            Some(old) => *old = node,
            None => self.nodes.push(node),
        }
        self.turn(index, turn.unwrap_or(Turn::Refresh));
    }

    fn turn(&mut self, index: usize, turn: Turn) {
        let records: Vec<Record> = self.store.records.values().cloned().collect();
        let node = &mut self.nodes[index];
        let decides = matches!(turn, Turn::TakeOver(_));
        self.takeovers += u64::from(decides);
        let settings = Settings::default();
        node.engine = if decides { Engine::new(settings) } else { Engine::watching(settings) };
        node.pending.clear();
        node.done.clear();
        node.handed.clear();
        node.engine.handle(self.now, Input::Restore(records));
        node.engine.handle(self.now, Input::Reload(self.definitions.clone()));
        self.drain(index);
    }

    fn reaches(&self, index: usize) -> bool {
        self.nodes[index].cut_until <= self.now
    }

    fn runs(&self, index: usize) -> bool {
        self.nodes[index].stopped_until <= self.now
    }

    /// Commits what was decided; whether it was, or the store cannot be reached.
    fn drain(&mut self, index: usize) -> bool {
        let reaches = self.reaches(index);
        let node = &mut self.nodes[index];
        let outputs: Vec<Output> = std::iter::from_fn(|| node.engine.poll_output()).collect();
        let Some(term) = node.tenure.term() else { return true };
        let mut deliveries = Vec::new();
        for output in outputs {
            match output {
                Output::Persist(record) => node.pending.push(*record),
                Output::Confirm => node.confirm = true,
                Output::Deliver(delivery) => deliveries.push(Released { term, delivery: *delivery }),
                _ => {}
            }
        }
        let mut unsaved = Unsaved::default();
        node.pending.iter().for_each(|record| unsaved.add(record));
        let (deliveries, free): (Vec<Released>, Vec<Released>) =
            deliveries.into_iter().partition(|released| unsaved.holds_up(&released.delivery));
        node.released.extend(free);
        if reaches {
            if !self.store.commit(term, std::mem::take(&mut node.pending), &std::mem::take(&mut node.done)) {
                // It finds out from the lease; what it decided is nobody's.
                return false;
            }
        } else if !deliveries.is_empty() {
            let told = deliveries.iter().flat_map(|released| released.delivery.alerts.iter());
            self.unsure.extend(told.map(|alert| alert.labels.to_string()));
        }
        node.released.extend(deliveries);
        if reaches && std::mem::take(&mut node.confirm) {
            node.engine.handle(self.now, Input::Confirmed);
            self.drain(index);
        }
        reaches
    }

    /// Asks for the lease, follows the answer, takes requests.
    fn ask(&mut self, index: usize) {
        if !self.reaches(index) {
            return self.nodes[index].tenure.unanswered();
        }
        let wish = self.nodes[index].tenure.wish();
        let claim = self.store.claim(index, wish, self.now);
        if let Some(turn) = self.nodes[index].tenure.answered(self.now, claim) {
            self.turn(index, turn);
        }
        if self.nodes[index].tenure.term().is_none() {
            return;
        }
        for (number, input) in self.store.requests.clone() {
            if self.nodes[index].handed.insert(number) {
                self.nodes[index].done.push(number);
                self.nodes[index].engine.handle(self.now, input);
            }
        }
        self.drain(index);
    }

    /// Somebody asks an engine for something and believes it only if it is durable.
    fn request(&mut self, index: usize, input: Input) -> bool {
        if self.nodes[index].tenure.term().is_some() {
            self.nodes[index].engine.handle(self.now, input);
            return self.drain(index);
        }
        if self.reaches(index) {
            self.store.last_request += 1;
            self.store.requests.insert(self.store.last_request, input);
        }
        self.reaches(index)
    }

    fn silence(&mut self, index: usize, number: u64) {
        let draft = SilenceDraft {
            annotations: BTreeMap::new(),
            id: None,
            matcher_sets: vec![vec![Matcher::equal("number", number.to_string())]],
            starts_at: self.now,
            ends_at: self.now + Duration::from_hours(100_000),
            recurrence: None,
            created_by: "test".to_owned(),
            comment: String::new(),
        };
        let Ok(id) = self.nodes[index].engine.set_silence(self.now, draft) else { return };
        let made = self.nodes[index].engine.silence(&id).cloned();
        let durable = if self.nodes[index].tenure.term().is_some() {
            self.drain(index)
        } else {
            self.drain(index);
            self.request(index, Input::Silence(SilenceCommand::Adopt(made.into_iter().collect())))
        };
        if durable {
            self.silenced.insert(number, id);
        }
    }

    /// Carries out a delivery that was released, if it may be.
    fn send(&mut self, index: usize) {
        let released = &self.nodes[index].released;
        if released.is_empty() {
            return;
        }
        let position = self.chance.below(released.len() as u64) as usize;
        let node = &mut self.nodes[index];
        match node.tenure.leave(node.released[position].term, self.now) {
            Leave::Unsure => return,
            Leave::Refused => return drop(node.released.swap_remove(position)),
            Leave::Granted => {}
        }
        let Released { delivery, .. } = node.released.swap_remove(position);
        for alert in delivery.alerts.iter() {
            self.told.entry(alert.labels.to_string()).or_default().insert(delivery.id);
        }
        let outcome = match self.chance.below(4) {
            0 => DeliveryOutcome::Retry { after: None, reason: "busy".to_owned() },
            _ => DeliveryOutcome::Delivered { receipt: String::new() },
        };
        let input = Input::Delivered { id: delivery.id, attempt: delivery.attempt, outcome, stand_in: None };
        self.nodes[index].engine.handle(self.now, input);
        self.drain(index);
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(i64::try_from(self.chance.below(800)).unwrap_or(0));
        let index = self.chance.below(2) as usize;
        if !self.runs(index) {
            return;
        }
        if self.nodes[index].stopped_until > START {
            self.wakes += 1;
            self.nodes[index].stopped_until = Timestamp::MIN;
        }
        let span = |chance: &mut Chance| Duration::from_secs(i64::try_from(chance.below(40)).unwrap_or(0));
        match self.chance.below(300) {
            0 => self.start(index),
            1 => self.nodes[index].stopped_until = self.now + span(&mut self.chance),
            2 => self.nodes[index].cut_until = self.now + span(&mut self.chance),
            3..20 => {
                let number = self.chance.below(1 << 40);
                if self.request(index, Input::Alerts(vec![alert(number)])) {
                    self.accepted.insert(number);
                }
            }
            20..25 => {
                let number = self.chance.below(1 << 40);
                self.silence(index, number);
            }
            25..100 => self.ask(index),
            100..200 => self.send(index),
            _ => {
                if self.nodes[index].engine.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.nodes[index].engine.handle(self.now, Input::Tick);
                    self.drain(index);
                }
            }
        }
    }

    /// Nothing happens any more but that engines run, until everything is told.
    fn settle(&mut self) {
        for node in &mut self.nodes {
            (node.stopped_until, node.cut_until) = (Timestamp::MIN, Timestamp::MIN);
        }
        for second in 0..300 {
            if second == 60 {
                // By now the silences are everywhere.
                for number in self.silenced.keys().copied().collect::<Vec<_>>() {
                    let index = self.chance.below(2) as usize;
                    self.request(index, Input::Alerts(vec![alert(number)]));
                }
            }
            self.now += Duration::from_secs(1);
            for index in 0..self.nodes.len() {
                self.ask(index);
                self.nodes[index].engine.handle(self.now, Input::Tick);
                self.drain(index);
                for _ in 0..self.nodes[index].released.len() {
                    self.send(index);
                }
            }
        }
    }

    fn check(&self, seed: u64) {
        let deciding = self.nodes.iter().filter(|node| node.tenure.term().is_some()).count();
        assert_eq!(deciding, 1, "seed {seed}: {deciding} engines decide");
        assert!(self.store.requests.is_empty(), "seed {seed}: requests are left");
        for number in &self.accepted {
            let labels = alert(*number).labels.to_string();
            let ids = self.told.get(&labels).map_or(0, BTreeSet::len);
            assert!(ids > 0, "seed {seed}: {labels} was accepted and never told");
            assert!(ids == 1 || self.unsure.contains(&labels), "seed {seed}: {labels} was told under {ids} keys");
        }
        for (number, id) in &self.silenced {
            for node in &self.nodes {
                assert!(node.engine.silence(id).is_some(), "seed {seed}: a silence is lost");
            }
            let labels = alert(*number).labels.to_string();
            assert!(!self.told.contains_key(&labels), "seed {seed}: {labels} is silenced and was told");
        }
    }
}

#[test]
fn each_page_comes_under_one_key_whatever_happens_to_two_engines() {
    let first = setting("WATCHFIRE_SIM_SEED").unwrap_or(1);
    let steps = setting("WATCHFIRE_SIM_STEPS").unwrap_or(20_000);
    let (mut takeovers, mut wakes, mut told) = (0, 0, 0);
    for seed in first..first + 5 {
        let mut simulation = Simulation {
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now: START,
            store: Store::default(),
            nodes: Vec::new(),
            definitions: definitions(),
            accepted: BTreeSet::new(),
            silenced: BTreeMap::new(),
            told: BTreeMap::new(),
            unsure: BTreeSet::new(),
            takeovers: 0,
            wakes: 0,
        };
        simulation.start(0);
        simulation.start(1);
        for _ in 0..steps / 5 {
            simulation.step();
        }
        simulation.settle();
        simulation.check(seed);
        takeovers += simulation.takeovers;
        wakes += simulation.wakes;
        told += simulation.told.len();
    }
    println!("WATCHFIRE_SIM_SEED={first}: {takeovers} takeovers, {wakes} wakes, {told} alerts told");
    assert!(takeovers > 20 && wakes > 5 && told > 200, "{takeovers} takeovers, {wakes} wakes, {told} alerts told");
}
