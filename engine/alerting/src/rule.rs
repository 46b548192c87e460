//! The life of the instances of one rule: pending, firing, resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{
    Alert, Duration, Fingerprint, Labels, METRIC_NAME_LABEL, RuleGroupId, RuleId, STALE_NAN, Sample, Timestamp,
};

use crate::forward::Forwarding;
use crate::{
    ActiveInstance, EvaluationResult, FingerprintSet, Instance, InstanceState, RuleHealth, RuleKind, RuleSpec,
    RuleView, StateReason,
};

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
    pub(crate) last_evaluation: Option<Timestamp>,
    pub(crate) evaluation_time: Duration,
    pub(crate) dropped: usize,
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
    pub(crate) reason: StateReason,
}

/// What one evaluation comes to.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) samples: Vec<(Labels, Sample)>,
    /// What Alertmanagers are to be told.
    pub(crate) alerts: Vec<Alert>,
    /// How many instances or series were left out.
    pub(crate) dropped: usize,
}

/// The circumstances of an evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) at: Timestamp,
    pub(crate) query_offset: Duration,
    pub(crate) instances_max: usize,
    pub(crate) resolved_retention: Duration,
    pub(crate) alerts_series: bool,
    /// How Alertmanagers are told; absent if there are none.
    pub(crate) forwarding: Option<Forwarding>,
}

impl LiveInstance {
    fn new(instance: Instance) -> LiveInstance {
        LiveInstance { instance, sent_at: None, alerts_pending: None, alerts_firing: None, for_state: None }
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
        })
    }

    /// The series `ALERTS{alertstate=...}` and `ALERTS_FOR_STATE` with their values, while it is pending or firing.
    fn series(&mut self) -> Option<[(Labels, f64); 2]> {
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
        Some([(alerts.clone(), 1.0), (for_state.clone(), since)])
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
            last_evaluation: None,
            evaluation_time: Duration::ZERO,
            dropped: 0,
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
        match (result, self.spec.kind) {
            (EvaluationResult::Samples(samples), RuleKind::Recording) => Ok(self.record(samples, circumstances)),
            (EvaluationResult::Instances { active, unknown }, RuleKind::Alerting { for_, keep_firing_for }) => {
                self.alert(active, &unknown, for_, keep_firing_for, circumstances)
            }
            (EvaluationResult::Samples(_), RuleKind::Alerting { .. }) => Err("an alerting rule gave samples"),
            (EvaluationResult::Instances { .. }, RuleKind::Recording) => Err("a recording rule gave instances"),
        }
    }

    fn record(&mut self, mut samples: Vec<(Labels, f64)>, c: Circumstances) -> Applied {
        let dropped = samples.len().saturating_sub(c.instances_max);
        samples.truncate(c.instances_max);
        self.dropped = dropped;
        Applied { transitions: Vec::new(), samples: self.emit(samples, c), alerts: Vec::new(), dropped }
    }

    /// Stamps the series of this evaluation and ends those of the last one that are not among them.
    fn emit(&mut self, series: Vec<(Labels, f64)>, c: Circumstances) -> Vec<(Labels, Sample)> {
        let timestamp = c.at - c.query_offset;
        let mut before = std::mem::take(&mut self.emitted);
        let mut samples = Vec::with_capacity(series.len());
        for (labels, value) in series {
            before.remove(&labels.fingerprint());
            self.emitted.insert(labels.fingerprint(), labels.clone());
            samples.push((labels, Sample { timestamp, value }));
        }
        samples.extend(before.into_values().map(|labels| (labels, Sample { timestamp, value: STALE_NAN })));
        samples
    }

    fn alert(
        &mut self,
        active: Vec<ActiveInstance>,
        unknown: &[Labels],
        for_: Duration,
        keep_firing_for: Duration,
        c: Circumstances,
    ) -> Result<Applied, &'static str> {
        let at = c.at;
        let mut found: BTreeMap<Fingerprint, usize> = BTreeMap::new();
        for (i, instance) in active.iter().enumerate() {
            if found.insert(instance.labels.fingerprint(), i).is_some() {
                return Err("two results have the same labels");
            }
        }
        let unknown: FingerprintSet = unknown.iter().map(Labels::fingerprint).collect();
        let mut applied = Applied::default();

        // Those that are no longer found.
        let mut gone = Vec::new();
        for (fingerprint, live) in &mut self.instances {
            if found.contains_key(fingerprint) || unknown.contains(*fingerprint) {
                continue;
            }
            let instance = &mut live.instance;
            let transition =
                |step, reason| Transition { fingerprint: *fingerprint, labels: instance.labels.clone(), step, reason };
            match instance.state {
                InstanceState::Pending => {
                    applied.transitions.push(transition(Step::Gone, StateReason::PendingEnded));
                    gone.push(*fingerprint);
                }
                InstanceState::Firing if keep_firing_for > Duration::ZERO => {
                    // A clock that went back must not stretch the time.
                    let kept_before = instance.keep_firing_since;
                    let since = kept_before.unwrap_or(at).min(at);
                    if at.since(since) < keep_firing_for {
                        if kept_before.is_none() {
                            applied.transitions.push(transition(Step::Changed, StateReason::KeptFiring));
                        }
                        instance.keep_firing_since = Some(since);
                    } else {
                        applied.transitions.push(transition(Step::Changed, StateReason::Resolved));
                        instance.state = InstanceState::Resolved;
                        instance.resolved_at = Some(at);
                    }
                }
                InstanceState::Firing => {
                    applied.transitions.push(transition(Step::Changed, StateReason::Resolved));
                    instance.state = InstanceState::Resolved;
                    instance.resolved_at = Some(at);
                }
                InstanceState::Resolved => {
                    if instance.resolved_at.is_none_or(|end| at.since(end) > c.resolved_retention) {
                        applied.transitions.push(transition(Step::Gone, StateReason::Forgotten));
                        gone.push(*fingerprint);
                    }
                }
            }
        }
        for fingerprint in gone {
            self.instances.remove(&fingerprint);
        }

        // Those that are found: what exists goes on, what is new begins as long as there is room.
        let is_alive = |live: &LiveInstance| live.instance.state != InstanceState::Resolved;
        let alive = self.instances.values().filter(|live| is_alive(live)).count();
        let mut room = c.instances_max.saturating_sub(alive);
        for active in active {
            let fingerprint = active.labels.fingerprint();
            match self.instances.get_mut(&fingerprint).filter(|live| is_alive(live)) {
                Some(live) => {
                    let instance = &mut live.instance;
                    instance.value = active.value;
                    if instance.annotations != active.annotations {
                        instance.annotations = active.annotations;
                    }
                    instance.active_at = instance.active_at.min(at);
                    let was_kept = instance.keep_firing_since.take().is_some();
                    let too_young = at.since(instance.active_at) < for_;
                    if instance.state == InstanceState::Firing && too_young {
                        instance.state = InstanceState::Pending;
                        instance.fired_at = None;
                        applied.transitions.push(Transition {
                            fingerprint,
                            labels: instance.labels.clone(),
                            step: Step::Changed,
                            reason: StateReason::ForIncreased,
                        });
                    } else if was_kept {
                        applied.transitions.push(Transition {
                            fingerprint,
                            labels: instance.labels.clone(),
                            step: Step::Changed,
                            reason: StateReason::Firing,
                        });
                    }
                }
                None if room == 0 => applied.dropped += 1,
                None => {
                    room -= 1;
                    let live = LiveInstance::pending(active, at);
                    applied.transitions.push(Transition {
                        fingerprint,
                        labels: live.instance.labels.clone(),
                        step: Step::Changed,
                        reason: StateReason::Pending,
                    });
                    self.instances.insert(fingerprint, live);
                }
            }
        }

        // Those that have been there for long enough; an unknown one keeps waiting until something can be said.
        for (fingerprint, live) in &mut self.instances {
            let instance = &mut live.instance;
            let due = instance.state == InstanceState::Pending
                && found.contains_key(fingerprint)
                && at.since(instance.active_at) >= for_;
            if due {
                instance.state = InstanceState::Firing;
                instance.fired_at = Some(at);
                applied.transitions.push(Transition {
                    fingerprint: *fingerprint,
                    labels: instance.labels.clone(),
                    step: Step::Changed,
                    reason: StateReason::Firing,
                });
            }
        }
        self.dropped = applied.dropped;
        if c.alerts_series {
            let series = self.instances.values_mut().filter_map(LiveInstance::series).flatten().collect();
            applied.samples = self.emit(series, c);
        }
        if let Some(pace) = c.forwarding {
            applied.alerts = self.forward(at, pace);
        }
        Ok(applied)
    }

    pub(crate) fn view(&self) -> RuleView {
        let mut instances: Vec<Instance> = self.instances.values().map(|live| live.instance.clone()).collect();
        instances.sort_by(|a, b| a.labels.cmp(&b.labels));
        let alive = instances.iter().map(|i| i.state).filter(|state| *state != InstanceState::Resolved);
        RuleView {
            id: self.spec.id,
            group: self.group,
            name: self.spec.name.clone(),
            kind: self.spec.kind,
            state: alive.max(),
            health: self.health.clone(),
            last_evaluation: self.last_evaluation,
            evaluation_time: self.evaluation_time,
            dropped: self.dropped,
            instances,
        }
    }
}
