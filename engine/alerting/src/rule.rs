//! The life of the instances of one rule: pending, firing, resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchfire_model::{
    Alert, Duration, Fingerprint, Labels, METRIC_NAME_LABEL, RuleGroupId, RuleId, STALE_NAN, Timestamp,
};
use watchfire_tsdb::{Point, SampleValue};

use crate::forward::Forwarding;
use crate::{
    ActiveInstance, EvaluationResult, FingerprintSet, Instance, InstanceState, Life, RuleHealth, RuleKind,
    RuleSchedule, RuleSpec, RuleView, ScheduleRecord, StateReason,
};

/// The label that is no part of an instance's identity where the rule has several severities.
const SEVERITY_LABEL: &str = "severity";

/// A rule and its instances.
#[derive(Debug)]
pub(crate) struct RuleState {
    pub(crate) spec: RuleSpec,
    pub(crate) group: RuleGroupId,
    /// The group's name, by which a rule in a renamed file is found again.
    pub(crate) group_name: Arc<str>,
    /// Its place among all rules, for the same purpose.
    pub(crate) position: usize,
    pub(crate) instances: BTreeMap<Fingerprint, LiveInstance>,
    /// The series that the last evaluation wrote, so that the next one can end those that it does not write.
    emitted: BTreeMap<Fingerprint, Labels>,
    pub(crate) health: RuleHealth,
    /// What decided in the last evaluation where the condition gave no answer.
    pub(crate) stand_in: Option<Arc<str>>,
    pub(crate) last_evaluation: Option<Timestamp>,
    pub(crate) evaluation_time: Duration,
    pub(crate) dropped: usize,
    /// Until then the data of instances that were read back may not have come back.
    grace_until: Option<Timestamp>,
    /// Up to when the times of its cron schedule are done with.
    scheduled_until: Option<Timestamp>,
    /// What of this is kept over a restart.
    kept_until: Option<Timestamp>,
    /// The time of its cron schedule in place of which it was evaluated last, if that was later than usual.
    made_up_for: Option<Timestamp>,
}

/// An instance with the label sets of the series that tell about it, built once.
#[derive(Debug)]
pub(crate) struct LiveInstance {
    pub(crate) instance: Instance,
    /// When Alertmanagers were told of it last. Not kept over a restart: they are told again then.
    pub(crate) sent_at: Option<Timestamp>,
    alerts_pending: Option<Labels>,
    alerts_firing: Option<Labels>,
    for_state: Option<Labels>,
    /// Whether it was told that only `resolve_when` keeps it firing.
    awaits_recovery: bool,
    /// Whether it was read back at a start and was not found since.
    awaits_data: bool,
}

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is to be kept as it is now.
    Changed,
    /// It is gone.
    Gone,
}

/// A change of an instance's state.
#[derive(Debug)]
pub(crate) struct Transition {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) labels: Labels,
    pub(crate) step: Step,
    /// Whether its alert ends with it.
    pub(crate) ends: bool,
    pub(crate) reason: StateReason,
}

impl Transition {
    fn new(labels: &Labels, step: Step, reason: StateReason) -> Transition {
        Transition { fingerprint: labels.fingerprint(), labels: labels.clone(), step, ends: false, reason }
    }

    fn end(labels: &Labels, step: Step, reason: StateReason) -> Transition {
        Transition { ends: true, ..Transition::new(labels, step, reason) }
    }
}

/// What a rule does about a time, according to its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is evaluated, for a time of its cron schedule if it has one.
    Evaluate(Option<Timestamp>),
    /// It is evaluated for what it has found before; nothing new begins.
    Follow,
    /// It is not evaluated.
    Skip,
    /// It is not evaluated, and what it has found ends.
    Close,
}

/// What an evaluation says about the instances of an alerting rule.
#[derive(Debug, Default)]
struct Findings {
    active: Vec<ActiveInstance>,
    unknown: FingerprintSet,
    missing: FingerprintSet,
    recovered: FingerprintSet,
}

fn fingerprints(labels: &[Labels]) -> FingerprintSet {
    labels.iter().map(Labels::fingerprint).collect()
}

/// What an instance is recognised by from one evaluation to the next.
fn identity(labels: &Labels, life: &Life) -> Fingerprint {
    if life.severities.is_empty() { labels.fingerprint() } else { labels.without(SEVERITY_LABEL).fingerprint() }
}

/// What one evaluation comes to.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) samples: Vec<(Labels, Point)>,
    /// What Alertmanagers are to be told.
    pub(crate) alerts: Vec<Alert>,
    /// How many instances or series were left out.
    pub(crate) dropped: usize,
    /// How many instances had their annotations cut.
    pub(crate) cut: u64,
}

/// The circumstances of an evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) at: Timestamp,
    pub(crate) query_offset: Duration,
    pub(crate) instances_max: usize,
    pub(crate) annotations_bytes_max: usize,
    /// What ended then or before is forgotten.
    pub(crate) forgets_until: Timestamp,
    pub(crate) alerts_series: bool,
    /// How Alertmanagers are told; absent if there are none.
    pub(crate) forwarding: Option<Forwarding>,
    /// Whether new instances may begin.
    pub(crate) opens: bool,
}

/// What is known about an instance that is not found.
#[derive(Clone, Copy, Debug)]
struct Lapse {
    /// Whether its data are missing.
    is_missing: bool,
    /// Whether it is not long ago that instances were read back.
    in_grace: bool,
    /// Whether its rule's condition for that says that it has recovered.
    has_recovered: bool,
}

impl LiveInstance {
    fn new(instance: Instance) -> LiveInstance {
        LiveInstance {
            instance,
            sent_at: None,
            alerts_pending: None,
            alerts_firing: None,
            for_state: None,
            awaits_recovery: false,
            awaits_data: false,
        }
    }

    fn pending(active: ActiveInstance, at: Timestamp) -> LiveInstance {
        LiveInstance::new(Instance {
            labels: active.labels,
            annotations: active.annotations,
            value: active.value,
            state: InstanceState::Pending,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            missing_since: None,
        })
    }

    fn is_alive(&self) -> bool {
        self.instance.state != InstanceState::Resolved
    }

    /// It is not found any more. Answers whether it is to be removed.
    fn lapse(&mut self, lapse: Lapse, life: &Life, c: Circumstances, transitions: &mut Vec<Transition>) -> bool {
        let Lapse { is_missing, in_grace, has_recovered } = lapse;
        let at = c.at;
        let instance = &mut self.instance;
        let mut tell = |instance: &Instance, step, reason| {
            transitions.push(Transition::new(&instance.labels, step, reason));
        };
        let mut overdue = false;
        if is_missing && instance.state != InstanceState::Resolved {
            // A clock that went back must not stretch the time.
            let since = instance.missing_since.unwrap_or(at).min(at);
            overdue = !(in_grace && self.awaits_data) && at.since(since) >= life.ignore_missing;
            if !overdue {
                if instance.missing_since.replace(since).is_none() {
                    tell(instance, Step::Changed, StateReason::Missing);
                }
                return false;
            }
        }
        instance.missing_since = None;
        match instance.state {
            InstanceState::Pending => {
                tell(instance, Step::Gone, StateReason::PendingEnded);
                true
            }
            // Data that are gone for good will never say that it has recovered.
            InstanceState::Firing if life.resolve_when && !has_recovered && !overdue => {
                let was_kept = instance.keep_firing_since.take().is_some();
                if !std::mem::replace(&mut self.awaits_recovery, true) || was_kept {
                    tell(instance, Step::Changed, StateReason::AwaitsRecovery);
                }
                false
            }
            InstanceState::Firing => {
                let kept_before = instance.keep_firing_since;
                let since = kept_before.unwrap_or(at).min(at);
                if at.since(since) < life.keep_firing_for {
                    instance.keep_firing_since = Some(since);
                    if kept_before.is_none() {
                        tell(instance, Step::Changed, StateReason::KeptFiring);
                    }
                } else {
                    instance.state = InstanceState::Resolved;
                    instance.resolved_at = Some(at);
                    transitions.push(Transition::end(&instance.labels, Step::Changed, StateReason::Resolved));
                }
                false
            }
            InstanceState::Resolved => {
                let forgotten = instance.resolved_at.is_none_or(|end| end <= c.forgets_until);
                if forgotten {
                    tell(instance, Step::Gone, StateReason::Forgotten);
                }
                forgotten
            }
        }
    }

    /// It is found again.
    fn go_on(&mut self, active: ActiveInstance, life: &Life, at: Timestamp, transitions: &mut Vec<Transition>) {
        self.awaits_recovery = false;
        self.awaits_data = false;
        let instance = &mut self.instance;
        instance.value = active.value;
        if instance.annotations != active.annotations {
            instance.annotations = active.annotations;
        }
        instance.active_at = instance.active_at.min(at);
        if let Some(fired_at) = instance.fired_at.filter(|fired_at| at < *fired_at) {
            // A clock that went back must not end what fires: it had lasted long enough when it fired.
            instance.active_at = instance.active_at - fired_at.since(at);
            instance.fired_at = Some(at);
        }
        let was_missing = instance.missing_since.take().is_some();
        let was_kept = instance.keep_firing_since.take().is_some();
        let too_young = at.since(instance.active_at) < life.for_;
        if instance.state == InstanceState::Firing && too_young {
            instance.state = InstanceState::Pending;
            instance.fired_at = None;
            transitions.push(Transition::end(&instance.labels, Step::Changed, StateReason::ForIncreased));
        } else if was_kept || was_missing {
            let reason = match instance.state {
                InstanceState::Pending => StateReason::Pending,
                _ => StateReason::Firing,
            };
            transitions.push(Transition::new(&instance.labels, Step::Changed, reason));
        }
    }

    /// The series `ALERTS{alertstate=...}` and `ALERTS_FOR_STATE` with their values, while it is pending or firing.
    fn series(&mut self) -> Option<[(Labels, SampleValue); 2]> {
        let labels = &self.instance.labels;
        let (cache, state) = match self.instance.state {
            InstanceState::Pending => (&mut self.alerts_pending, "pending"),
            InstanceState::Firing => (&mut self.alerts_firing, "firing"),
            InstanceState::Resolved => return None,
        };
        let alerts = cache.get_or_insert_with(|| {
            labels.to_builder().set(METRIC_NAME_LABEL, "ALERTS").set("alertstate", state).build()
        });
        let for_state = self
            .for_state
            .get_or_insert_with(|| labels.to_builder().set(METRIC_NAME_LABEL, "ALERTS_FOR_STATE").build());
        // Prometheus stores the start in whole seconds.
        let since = self.instance.active_at.as_millis().div_euclid(1000) as f64;
        Some([(alerts.clone(), 1.0.into()), (for_state.clone(), since.into())])
    }
}

impl RuleState {
    pub(crate) fn new(
        spec: RuleSpec,
        group: RuleGroupId,
        group_name: Arc<str>,
        position: usize,
        instances: Vec<Instance>,
    ) -> RuleState {
        let mut instances: BTreeMap<_, _> =
            instances.into_iter().map(|i| (i.labels.fingerprint(), LiveInstance::new(i))).collect();
        // What was written before the restart must be ended if it is not written again.
        let series = instances.values_mut().filter_map(LiveInstance::series).flatten();
        let emitted = series.map(|(labels, _)| (labels.fingerprint(), labels)).collect();
        RuleState {
            spec,
            group,
            group_name,
            position,
            instances,
            emitted,
            health: RuleHealth::Unknown,
            stand_in: None,
            last_evaluation: None,
            evaluation_time: Duration::ZERO,
            dropped: 0,
            grace_until: None,
            scheduled_until: None,
            kept_until: None,
            made_up_for: None,
        }
    }

    pub(crate) fn id(&self) -> RuleId {
        self.spec.id
    }

    /// Whether an evaluation wrote this series last.
    pub(crate) fn emits(&self, series: &Labels) -> bool {
        self.emitted.contains_key(&series.fingerprint())
    }

    pub(crate) fn emitted(&self) -> impl Iterator<Item = &Labels> {
        self.emitted.values()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.instances.is_empty() && self.emitted.is_empty()
    }

    /// Takes the instances and the written series of another rule.
    pub(crate) fn take_over(&mut self, other: RuleState) {
        self.instances = other.instances;
        self.emitted = other.emitted;
        self.grace_until = other.grace_until;
        self.scheduled_until = other.scheduled_until;
    }

    /// Leaves instances that were read back as they are until then while their data are missing: whoever sends them has
    /// to notice first that there is somebody again.
    pub(crate) fn wait_for_data(&mut self, until: Timestamp) {
        self.grace_until = Some(until);
        for live in self.instances.values_mut() {
            // What was gone before, no outage of the engine took away.
            live.awaits_data = live.instance.missing_since.is_none() && live.instance.keep_firing_since.is_none();
        }
    }

    fn is_in_grace(&self, at: Timestamp) -> bool {
        self.grace_until.is_some_and(|until| at < until)
    }

    /// Takes up to when the times of its cron schedule were done with before a restart.
    pub(crate) fn restore_schedule(&mut self, until: Timestamp) {
        self.scheduled_until = Some(until);
        self.kept_until = Some(until);
    }

    /// Whether something is kept about its schedule.
    pub(crate) fn keeps_schedule(&self) -> bool {
        self.kept_until.is_some()
    }

    /// What is to be kept about its schedule after an evaluation for one of its times, and where nothing is yet: only
    /// what is known to have been in force can be missed.
    pub(crate) fn keep_schedule(&mut self, due: Option<Timestamp>) -> Option<ScheduleRecord> {
        let until = self.scheduled_until.filter(|_| due.is_some() || self.kept_until.is_none())?;
        self.kept_until = Some(until);
        Some(ScheduleRecord { rule: self.spec.id, until })
    }

    /// The evaluation for a time of its schedule came to nothing: the next one stands in for it.
    pub(crate) fn put_off(&mut self, due: Timestamp) {
        self.scheduled_until = Some(due - Duration::from_millis(1));
    }

    /// Applies the result of an evaluation.
    ///
    /// # Errors
    /// If the result does not fit the rule; nothing is changed then.
    pub(crate) fn apply(
        &mut self,
        result: EvaluationResult,
        circumstances: Circumstances,
    ) -> Result<Applied, &'static str> {
        match (result, &self.spec.kind) {
            (EvaluationResult::Samples(samples), RuleKind::Recording) => Ok(self.record(samples, circumstances)),
            (EvaluationResult::Instances { active, unknown, missing, recovered }, RuleKind::Alerting(life)) => {
                let findings = Findings {
                    active,
                    unknown: fingerprints(&unknown),
                    missing: fingerprints(&missing),
                    recovered: fingerprints(&recovered),
                };
                let life = life.clone();
                self.alert(findings, &life, circumstances)
            }
            (EvaluationResult::LastAnswer, RuleKind::Alerting(life)) => {
                let life = life.clone();
                self.alert(self.last_findings(), &life, circumstances)
            }
            (EvaluationResult::Samples(_), RuleKind::Alerting(_)) => Err("an alerting rule gave samples"),
            (EvaluationResult::Instances { .. } | EvaluationResult::LastAnswer, RuleKind::Recording) => {
                Err("a recording rule gave instances")
            }
        }
    }

    /// What the last evaluation found and missed, as its instances tell.
    fn last_findings(&self) -> Findings {
        let mut findings = Findings::default();
        for (fingerprint, live) in self.instances.iter().filter(|(_, live)| live.is_alive()) {
            let instance = &live.instance;
            if instance.missing_since.is_some() {
                findings.missing.insert(*fingerprint);
            } else if instance.keep_firing_since.is_none() && !live.awaits_recovery {
                findings.active.push(ActiveInstance {
                    labels: instance.labels.clone(),
                    annotations: instance.annotations.clone(),
                    value: instance.value,
                });
            }
        }
        findings
    }

    /// What the rule does about an evaluation at `at`, `interval` being its group's. Times of a cron schedule are made up
    /// for within `catch_up`.
    pub(crate) fn turn(&mut self, at: Timestamp, interval: Duration, catch_up: Duration) -> Turn {
        let RuleKind::Alerting(Life { schedule: Some(schedule), .. }) = &self.spec.kind else {
            return Turn::Evaluate(None);
        };
        let is_alive = self.instances.values().any(LiveInstance::is_alive);
        match schedule {
            RuleSchedule::Within(specs) if specs.iter().any(|spec| spec.contains(at)) => Turn::Evaluate(None),
            RuleSchedule::Within(_) if !self.instances.is_empty() => Turn::Close,
            RuleSchedule::Within(_) => Turn::Skip,
            RuleSchedule::At(times) => {
                // What was due before the first evaluation is due in it if the one before it would have been too early.
                let since = self.scheduled_until.map_or(at - interval, |until| until.max(at - catch_up)).min(at);
                let due = times.last_between(since, at);
                self.scheduled_until = Some(at);
                if let Some(due) = due {
                    self.made_up_for = Some(due).filter(|due| at.since(*due) > interval);
                }
                match (due, is_alive) {
                    (Some(due), _) => Turn::Evaluate(Some(due)),
                    (None, true) => Turn::Follow,
                    (None, false) => Turn::Skip,
                }
            }
        }
    }

    /// Ends what the rule has found, because its schedule has ended.
    pub(crate) fn close(&mut self, circumstances: Circumstances) -> Applied {
        // Nothing can keep an alert firing about which nobody asks any more.
        let mut applied = self.alert(Findings::default(), &Life::default(), circumstances).unwrap_or_default();
        for transition in &mut applied.transitions {
            if transition.reason == StateReason::Resolved {
                transition.reason = StateReason::ScheduleEnded;
            }
        }
        applied
    }

    /// The instances about which an evaluation has to say more than whether it finds them.
    pub(crate) fn asked_about(&self, at: Timestamp) -> Arc<[Labels]> {
        match &self.spec.kind {
            RuleKind::Alerting(life) if life.asks_about_instances() || self.is_in_grace(at) => {
                let all = life.asks_about_instances();
                let alive = self.instances.values().filter(|live| live.is_alive() && (all || live.awaits_data));
                alive.map(|live| live.instance.labels.clone()).collect()
            }
            _ => Arc::default(),
        }
    }

    fn record(&mut self, mut samples: Vec<(Labels, SampleValue)>, c: Circumstances) -> Applied {
        let dropped = samples.len().saturating_sub(c.instances_max);
        samples.truncate(c.instances_max);
        self.dropped = dropped;
        Applied { transitions: Vec::new(), samples: self.emit(samples, c), alerts: Vec::new(), dropped, cut: 0 }
    }

    /// Stamps the series of this evaluation and ends those of the last one that are not among them.
    fn emit(&mut self, series: Vec<(Labels, SampleValue)>, c: Circumstances) -> Vec<(Labels, Point)> {
        let timestamp = c.at - c.query_offset;
        let point = |value| Point { timestamp, start: None, value };
        let mut before = std::mem::take(&mut self.emitted);
        let mut samples = Vec::with_capacity(series.len());
        for (labels, value) in series {
            before.remove(&labels.fingerprint());
            self.emitted.insert(labels.fingerprint(), labels.clone());
            samples.push((labels, point(value)));
        }
        samples.extend(before.into_values().map(|labels| (labels, point(STALE_NAN.into()))));
        samples
    }

    fn alert(&mut self, findings: Findings, life: &Life, c: Circumstances) -> Result<Applied, &'static str> {
        let Findings { mut active, unknown, missing, recovered } = findings;
        let mut found: BTreeSet<Fingerprint> = BTreeSet::new();
        for instance in &active {
            if !found.insert(identity(&instance.labels, life)) {
                return Err("two results have the same labels");
            }
        }
        let mut applied = Applied::default();
        for instance in &mut active {
            // They are known by their labels, so that it is these texts by which what is known can grow.
            let annotations = &mut instance.annotations;
            if annotations.packed_bytes() > c.annotations_bytes_max {
                *annotations = annotations.shorten(c.annotations_bytes_max / annotations.len().max(1));
                applied.cut += 1;
            }
        }
        // Without severities identities are fingerprints.
        if !life.severities.is_empty() {
            found = active.iter().map(|instance| instance.labels.fingerprint()).collect();
            self.change_severities(&mut active, &mut found, life, c, &mut applied);
        }

        // Those that are no longer found.
        let mut gone = Vec::new();
        let in_grace = self.is_in_grace(c.at);
        for (fingerprint, live) in &mut self.instances {
            if found.contains(fingerprint) || unknown.contains(*fingerprint) {
                continue;
            }
            let lapse = Lapse {
                is_missing: missing.contains(*fingerprint),
                in_grace,
                has_recovered: recovered.contains(*fingerprint),
            };
            if live.lapse(lapse, life, c, &mut applied.transitions) {
                gone.push(*fingerprint);
            }
        }
        for fingerprint in gone {
            self.instances.remove(&fingerprint);
        }

        // Those that are found: what exists goes on, what is new begins as long as there is room.
        let alive = self.instances.values().filter(|live| live.is_alive()).count();
        let mut room = c.instances_max.saturating_sub(alive);
        for active in active {
            let fingerprint = active.labels.fingerprint();
            match self.instances.get_mut(&fingerprint).filter(|live| live.is_alive()) {
                Some(live) => live.go_on(active, life, c.at, &mut applied.transitions),
                None if !c.opens => {}
                None if room == 0 => applied.dropped += 1,
                None => {
                    room -= 1;
                    let live = LiveInstance::pending(active, c.at);
                    let labels = &live.instance.labels;
                    applied.transitions.push(Transition::new(labels, Step::Changed, StateReason::Pending));
                    self.instances.insert(fingerprint, live);
                }
            }
        }

        // Those that have been there for long enough; an unknown one keeps waiting until something can be said.
        for (fingerprint, live) in &mut self.instances {
            let instance = &mut live.instance;
            let due = instance.state == InstanceState::Pending
                && found.contains(fingerprint)
                && c.at.since(instance.active_at) >= life.for_;
            if due {
                instance.state = InstanceState::Firing;
                instance.fired_at = Some(c.at);
                applied.transitions.push(Transition::new(&instance.labels, Step::Changed, StateReason::Firing));
            }
        }
        self.dropped = applied.dropped;
        if c.alerts_series {
            let series = self.instances.values_mut().filter_map(LiveInstance::series).flatten().collect();
            applied.samples = self.emit(series, c);
        }
        if let Some(pace) = c.forwarding {
            applied.alerts = self.forward(c.at, pace);
        }
        Ok(applied)
    }

    /// Lets instances that are found with another severity go on under it: at once where it is worse, and where it is
    /// milder when the worse one has been gone for `keep_firing_for`. What is kept until then is taken out of `active`.
    fn change_severities(
        &mut self,
        active: &mut Vec<ActiveInstance>,
        found: &mut BTreeSet<Fingerprint>,
        life: &Life,
        c: Circumstances,
        applied: &mut Applied,
    ) {
        let alive = self.instances.iter().filter(|(_, live)| live.is_alive());
        let present: BTreeMap<Fingerprint, Fingerprint> =
            alive.map(|(fingerprint, live)| (identity(&live.instance.labels, life), *fingerprint)).collect();
        active.retain(|next| {
            let (target, Some(current)) = (next.labels.fingerprint(), present.get(&identity(&next.labels, life)))
            else {
                return true;
            };
            let Some(live) = self.instances.get_mut(current).filter(|_| target != *current) else { return true };
            let rank = |labels: &Labels| life.rank(labels.value_or_empty(SEVERITY_LABEL));
            let instance = &mut live.instance;
            let is_milder = rank(&next.labels) < rank(&instance.labels);
            if instance.state == InstanceState::Firing && is_milder && life.keep_firing_for > Duration::ZERO {
                let kept_before = instance.keep_firing_since;
                let since = kept_before.unwrap_or(c.at).min(c.at);
                if c.at.since(since) < life.keep_firing_for {
                    if kept_before.is_none() {
                        instance.keep_firing_since = Some(since);
                        let labels = &instance.labels;
                        applied.transitions.push(Transition::new(labels, Step::Changed, StateReason::KeptFiring));
                    }
                    found.remove(&target);
                    found.insert(*current);
                    return false;
                }
            }
            // The problem is the same, so it began when it began.
            let moved = Instance { labels: next.labels.clone(), keep_firing_since: None, ..instance.clone() };
            if instance.state == InstanceState::Firing {
                instance.state = InstanceState::Resolved;
                instance.resolved_at = Some(c.at);
                instance.keep_firing_since = None;
                let labels = &instance.labels;
                applied.transitions.push(Transition::end(labels, Step::Changed, StateReason::SeverityChanged));
            } else {
                let labels = &instance.labels;
                applied.transitions.push(Transition::new(labels, Step::Gone, StateReason::SeverityChanged));
                self.instances.remove(current);
            }
            applied.transitions.push(Transition::new(&moved.labels, Step::Changed, StateReason::SeverityChanged));
            self.instances.insert(target, LiveInstance::new(moved));
            true
        });
    }

    pub(crate) fn view(&self) -> RuleView {
        let mut instances: Vec<Instance> = self.instances.values().map(|live| live.instance.clone()).collect();
        instances.sort_by(|a, b| a.labels.cmp(&b.labels));
        let alive = instances.iter().map(|i| i.state).filter(|state| *state != InstanceState::Resolved);
        RuleView {
            id: self.spec.id,
            group: self.group,
            name: self.spec.name.clone(),
            kind: self.spec.kind.clone(),
            state: alive.max(),
            health: self.health.clone(),
            stand_in: self.stand_in.clone(),
            last_evaluation: self.last_evaluation,
            evaluation_time: self.evaluation_time,
            dropped: self.dropped,
            made_up_for: self.made_up_for,
            instances,
        }
    }
}
