//! A world around the engine on virtual time: what rules find, what receivers answer, what is durable.
//!
//! It does what a shell has to do, in the order in which it has to: all records of a drain are committed before the
//! first delivery of it is carried out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use watchfire_alerting::{
    ActiveInstance, Change, Definitions, Delivery, DeliveryOutcome, Dispatch, Engine, EvaluateRequest, Evaluation,
    EvaluationResult, GroupBy, Input, IntegrationSpec, Life, Output, ReceiverSpec, Record, RecordKey, Route,
    RouteRequest, RuleGroupSpec, RuleKind, RuleSpec, Settings, SettingsDigest, SilenceDraft, SilenceId,
};
use watchfire_model::{Alert, Annotations, Duration, Labels, Matcher, RuleGroupId, RuleId, Sample, Timestamp};
use watchfire_plugin::{Decision, PluginError};
use watchfire_tsdb::Point;

/// The beginning of all scenarios: Monday, 2026-01-05T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_767_571_200);

/// What a rule finds whenever it is evaluated.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    Active(Vec<ActiveInstance>),
    Unknown(Vec<Labels>),
    Samples(Vec<(Labels, f64)>),
    Error(String),
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) settings: Settings,
    pub(crate) now: Timestamp,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) committed: BTreeMap<RecordKey, Record>,
    pub(crate) finds: BTreeMap<RuleId, Finding>,
    /// By receiver; `Delivered` where nothing is said. `None` is a receiver that never answers.
    pub(crate) answers: BTreeMap<String, Option<DeliveryOutcome>>,
    /// What routers answer; while there is nothing here they do not.
    pub(crate) router: Option<fn(&Alert) -> Result<Decision, PluginError>>,
    /// What stood in for a condition in evaluations, and for a receiver's own words in deliveries.
    pub(crate) stand_in: Option<String>,
    /// Whether evaluations are answered.
    pub(crate) evaluates: bool,
    /// Whether it is confirmed what is durable.
    pub(crate) confirms: bool,
    pub(crate) log: Vec<String>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) requests: Vec<EvaluateRequest>,
    pub(crate) routes_asked: Vec<RouteRequest>,
    pub(crate) samples: Vec<(Labels, Sample)>,
    /// What Alertmanagers were told, and when.
    pub(crate) forwarded: Vec<(Timestamp, Alert)>,
    pub(crate) changes: Vec<Arc<Change>>,
    /// Rules whose places others took, with these.
    pub(crate) took_over: Vec<(u64, u64)>,
    pub(crate) persisted: usize,
}

impl World {
    pub(crate) fn new(dispatch: Dispatch) -> World {
        World::with(Settings::default(), vec![], dispatch)
    }

    pub(crate) fn with(settings: Settings, groups: Vec<RuleGroupSpec>, dispatch: Dispatch) -> World {
        let definitions = Arc::new(Definitions { groups, dispatch, resend_delay: Some(Duration::from_mins(1)) });
        let mut world = World {
            engine: Engine::new(settings.clone()),
            settings,
            now: START,
            definitions: definitions.clone(),
            committed: BTreeMap::new(),
            finds: BTreeMap::new(),
            answers: BTreeMap::new(),
            router: None,
            stand_in: None,
            evaluates: true,
            confirms: true,
            log: Vec::new(),
            deliveries: Vec::new(),
            requests: Vec::new(),
            routes_asked: Vec::new(),
            samples: Vec::new(),
            forwarded: Vec::new(),
            changes: Vec::new(),
            took_over: Vec::new(),
            persisted: 0,
        };
        world.input(Input::Restore(vec![]));
        world.input(Input::Reload(definitions));
        world
    }

    /// Gives one input and does everything that follows at once.
    pub(crate) fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        let mut inputs = VecDeque::new();
        loop {
            let outputs: Vec<Output> = std::iter::from_fn(|| self.engine.poll_output()).collect();
            for output in &outputs {
                if let Output::Persist(record) = output {
                    self.persisted += 1;
                    match &**record {
                        Record::Deleted(key) => drop(self.committed.remove(key)),
                        record => drop(self.committed.insert(record.key(), record.clone())),
                    }
                }
            }
            for output in outputs {
                match output {
                    Output::Persist(_) => {}
                    Output::Confirm => inputs.extend(self.confirms.then_some(Input::Confirmed)),
                    Output::Append(points) => {
                        let sample = |point: Point| Sample {
                            timestamp: point.timestamp,
                            value: point.value.float().expect("no rule here finds a histogram"),
                        };
                        self.samples.extend(points.into_iter().map(|(labels, point)| (labels, sample(point))));
                    }
                    Output::Changed(change) => self.changes.push(change),
                    Output::TookOver { old, new } => self.took_over.push((old.0, new.0)),
                    Output::Evaluate(request) => {
                        if self.evaluates {
                            inputs.push_back(Input::Evaluated(self.answer(request.clone())));
                        }
                        self.requests.push(request);
                    }
                    Output::Forward(alerts) => self.forwarded.extend(alerts.into_iter().map(|alert| (self.now, alert))),
                    Output::Route(request) => {
                        self.routes_asked.push(request.clone());
                        if let Some(router) = self.router {
                            let result = request.alerts.iter().map(router).collect();
                            inputs.push_back(Input::Routed { id: request.id, result });
                        }
                    }
                    Output::Deliver(delivery) => {
                        self.log.push(self.line(&delivery));
                        let (id, attempt) = (delivery.id, delivery.attempt);
                        let delivered = || Some(DeliveryOutcome::Delivered { receipt: String::new() });
                        let outcome = self.answers.get(&*delivery.receiver).cloned().unwrap_or_else(delivered);
                        self.deliveries.push(*delivery);
                        if let Some(outcome) = outcome {
                            inputs.push_back(Input::Delivered {
                                id,
                                attempt,
                                outcome,
                                stand_in: self.stand_in.clone(),
                            });
                        }
                    }
                }
            }
            let Some(input) = inputs.pop_front() else { break };
            self.engine.handle(self.now, input);
        }
    }

    pub(crate) fn answer(&self, request: EvaluateRequest) -> Evaluation {
        let nothing = || match self.kind_of(request.rule) {
            RuleKind::Recording => EvaluationResult::Samples(vec![]),
            RuleKind::Alerting { .. } => instances(vec![]),
        };
        let result = match self.finds.get(&request.rule) {
            None => Ok(nothing()),
            Some(Finding::Active(active)) => Ok(instances(active.clone())),
            Some(Finding::Unknown(unknown)) => Ok(EvaluationResult::Instances {
                active: vec![],
                unknown: unknown.clone(),
                missing: vec![],
                recovered: vec![],
            }),
            Some(Finding::Samples(samples)) => {
                let samples = samples.iter().map(|(labels, value)| (labels.clone(), (*value).into()));
                Ok(EvaluationResult::Samples(samples.collect()))
            }
            Some(Finding::Error(error)) => Err(error.clone()),
        };
        Evaluation {
            id: request.id,
            rule: request.rule,
            at: request.at,
            took: Duration::from_millis(1),
            result,
            stand_in: self.stand_in.clone(),
            state_writes: vec![],
        }
    }

    fn kind_of(&self, rule: RuleId) -> RuleKind {
        let rules = self.definitions.groups.iter().flat_map(|group| &group.rules);
        rules.into_iter().find(|spec| spec.id == rule).map_or(RuleKind::Recording, |spec| spec.kind.clone())
    }

    /// `30s ops first_notification +A +B -C`: when, to whom, why, what fires and what has ended.
    fn line(&self, delivery: &Delivery) -> String {
        let mut line = format!("{} {}", self.now.since(START), delivery.receiver);
        let mut receivers = self.definitions.dispatch.receivers.iter();
        let receiver = receivers.find(|known| known.name == delivery.receiver).expect("a receiver is defined");
        let addressed = (&delivery.integration.kind, delivery.settings);
        let position = receiver.integrations.iter().position(|own| (&own.kind, own.settings) == addressed);
        if let Some(position) = position.filter(|position| *position > 0) {
            line += &format!("[{position}]");
        }
        if delivery.attempt > 1 {
            line += &format!(" attempt {}", delivery.attempt);
        }
        line += &format!(" {}", delivery.reason.as_str());
        for alert in delivery.alerts.iter() {
            let sign = if alert.ends_at.is_some() { '-' } else { '+' };
            line += &format!(" {sign}{}", alert.name());
        }
        line
    }

    /// Lets time pass until `offset` from the start of the scenario.
    pub(crate) fn advance_to(&mut self, offset: Duration) {
        let until = START + offset;
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.input(Input::Tick);
        }
        self.now = self.now.max(until);
    }

    pub(crate) fn at(&mut self, offset: &str) -> &mut World {
        self.advance_to(offset.parse().expect("an offset"));
        self
    }

    /// What was delivered since the last call.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log), lines);
    }

    /// Sends alerts from outside; they last until they are sent with an end.
    pub(crate) fn fire(&mut self, names: &[&str]) {
        let end = self.now + Duration::from_hours(1_000);
        let alerts = names.iter().map(|name| external(name, self.now, Some(end))).collect();
        self.input(Input::Alerts(alerts));
    }

    pub(crate) fn resolve(&mut self, names: &[&str]) {
        let alerts = names.iter().map(|name| external(name, Timestamp::MIN, Some(self.now))).collect();
        self.input(Input::Alerts(alerts));
    }

    pub(crate) fn silence(&mut self, name: &str, lasts: &str) -> SilenceId {
        let draft = SilenceDraft {
            annotations: BTreeMap::new(),
            id: None,
            matcher_sets: vec![vec![Matcher::equal("alertname", name)]],
            starts_at: self.now,
            ends_at: self.now + lasts.parse().expect("a duration"),
            recurrence: None,
            created_by: "me".to_owned(),
            comment: "busy".to_owned(),
        };
        let id = self.engine.set_silence(self.now, draft).expect("a silence");
        self.drain();
        id
    }

    pub(crate) fn reload(&mut self, groups: Vec<RuleGroupSpec>, dispatch: Dispatch) {
        self.definitions = Arc::new(Definitions { groups, dispatch, resend_delay: Some(Duration::from_mins(1)) });
        self.input(Input::Reload(self.definitions.clone()));
    }

    pub(crate) fn reload_dispatch(&mut self, edit: impl FnOnce(&mut Dispatch)) {
        let mut definitions = (*self.definitions).clone();
        edit(&mut definitions.dispatch);
        self.reload(definitions.groups, definitions.dispatch);
    }

    /// The process is killed; what was committed is all that is left, and it starts again after `down`.
    pub(crate) fn crash(&mut self, down: &str) {
        self.now += down.parse().expect("a duration");
        self.engine = Engine::new(self.settings.clone());
        self.input(Input::Restore(self.committed.values().cloned().collect()));
        self.input(Input::Reload(self.definitions.clone()));
    }

    /// The rule with this number finds instances with these names from now on.
    pub(crate) fn find(&mut self, rule: u64, names: &[&str]) {
        let active = names.iter().map(|name| instance(name, 1.0)).collect();
        self.finds.insert(RuleId(rule), Finding::Active(active));
    }

    /// `name=state` of all instances of a rule.
    pub(crate) fn states(&self, rule: u64) -> String {
        let rule = self.engine.rule_state(RuleId(rule)).expect("a rule");
        let states =
            rule.instances.iter().map(|i| format!("{}={}", i.labels.value_or_empty("alertname"), i.state.as_str()));
        states.collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn labels(name: &str) -> Labels {
    Labels::from_pairs([("alertname", name)])
}

pub(crate) fn instance(name: &str, value: f64) -> ActiveInstance {
    ActiveInstance { labels: labels(name), annotations: Annotations::default(), value }
}

pub(crate) fn external(name: &str, starts_at: Timestamp, ends_at: Option<Timestamp>) -> Alert {
    Alert {
        labels: labels(name),
        annotations: Annotations::default(),
        starts_at,
        ends_at,
        updated_at: Timestamp::MIN,
        timeout: false,
        generator_url: "".into(),
        value: None,
    }
}

/// An integration with the settings of this number.
pub(crate) fn integration(kind: &str, settings: u128) -> IntegrationSpec {
    IntegrationSpec {
        kind: kind.into(),
        send_resolved: true,
        takes_acknowledgements: false,
        settings: SettingsDigest(settings),
    }
}

pub(crate) fn receiver(name: &str) -> ReceiverSpec {
    let webhook = integration("webhook", 0);
    ReceiverSpec { name: name.into(), integrations: vec![webhook] }
}

/// Everything to one receiver in one group: 30 s, 5 min, 4 h.
pub(crate) fn to_ops() -> Dispatch {
    Dispatch::to(receiver("ops"))
}

/// Everything to one receiver, without waits, each name its own group.
pub(crate) fn at_once() -> Dispatch {
    let mut dispatch = to_ops();
    dispatch.route.group_wait = Duration::ZERO;
    dispatch.route.group_by = GroupBy::Labels(["alertname".to_owned()].into());
    dispatch
}

pub(crate) fn route_for(root: &Route, name: &str, receiver: &str) -> Route {
    Route { receiver: receiver.into(), ..root.child(vec![Matcher::equal("alertname", name)]) }
}

/// A group with an interval of a minute whose slots are at whole minutes.
pub(crate) fn rule_group(rules: Vec<RuleSpec>) -> RuleGroupSpec {
    RuleGroupSpec {
        id: RuleGroupId(0),
        file: "rules.yml".into(),
        name: "group".into(),
        interval: Duration::from_mins(1),
        query_offset: Duration::ZERO,
        limit: 0,
        in_order: true,
        rules,
    }
}

/// The result of an evaluation that finds these and says nothing of others.
pub(crate) fn instances(active: Vec<ActiveInstance>) -> EvaluationResult {
    EvaluationResult::Instances { active, unknown: vec![], missing: vec![], recovered: vec![] }
}

pub(crate) fn alerting(id: u64, for_: &str, keep_firing_for: &str) -> RuleSpec {
    let (for_, keep_firing_for) = (for_.parse().expect("a duration"), keep_firing_for.parse().expect("a duration"));
    RuleSpec {
        id: RuleId(id),
        name: format!("rule{id}").into(),
        kind: RuleKind::Alerting(Life { for_, keep_firing_for, ..Life::default() }),
        generator_url: "".into(),
    }
}

pub(crate) fn recording(id: u64) -> RuleSpec {
    RuleSpec { id: RuleId(id), name: format!("record{id}").into(), kind: RuleKind::Recording, generator_url: "".into() }
}
