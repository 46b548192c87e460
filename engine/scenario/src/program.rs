//! The rules in force, with everything that an evaluation of each is lent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_alerting::{EvaluateRequest, Evaluation, PluginStateRecord, Record, RuleGroupSpec, RuleSpec};
use watchfire_events::{EventIndex, EventWindows};
use watchfire_model::{Duration, Event, Labels, Matcher, RuleGroupId, RuleId, Timestamp};
use watchfire_plugin::{Condition, Failing, PluginError, Provider, State, StateLimits, StateWrite};
use watchfire_rules::dataflow::{Reader, Written, circular};
use watchfire_rules::{Evaluator, OpenCondition, Prepared, Rule, RuleFile, RuleGroup, Source, evaluate};
use watchfire_tsdb::Tsdb;

use crate::WorldSettings;

/// The rules in force.
#[derive(Default)]
pub(crate) struct Program {
    rules: BTreeMap<RuleId, Loaded>,
    groups: Vec<RuleGroupSpec>,
    /// The place of each group in the definitions.
    order: BTreeMap<RuleGroupId, usize>,
    index: EventIndex,
    /// What the rules read.
    readers: Vec<Arc<Reader>>,
    /// What leads back to itself and therefore touches nobody.
    circular: BTreeSet<Written>,
    /// Rules with windows, by what may change their answer.
    event_rules: BTreeSet<RuleId>,
    /// What rules remember that are not there any more.
    former: BTreeMap<RuleId, State>,
}

struct Loaded {
    rule: Arc<Rule>,
    prepared: Prepared,
    windows: Option<EventWindows>,
    condition: Option<Box<dyn Condition>>,
    state: State,
}

impl Program {
    /// Other rules come into force. A rule that is still there keeps its windows, unless it asks another question of
    /// them, and what its plugin remembers.
    pub(crate) fn replace(
        &mut self,
        files: &[RuleFile],
        settings: &WorldSettings,
        provider: Option<&dyn Provider>,
        now: Timestamp,
    ) {
        let mut old = std::mem::take(&mut self.rules);
        self.groups.clear();
        self.order.clear();
        self.readers.clear();
        self.event_rules.clear();
        for group in files.iter().flat_map(|file| &file.groups) {
            let spec = group_spec(group, settings);
            self.order.insert(spec.id, self.groups.len());
            self.groups.push(spec);
            for rule in &group.rules {
                let kept = old.remove(&rule.id);
                self.rules.insert(rule.id, Loaded::new(rule, kept, settings, provider, now));
                self.readers.extend(Reader::of(rule).map(Arc::new));
                if matches!(rule.source, Source::Events(_)) {
                    self.event_rules.insert(rule.id);
                }
            }
        }
        self.former.extend(old.into_iter().map(|(id, loaded)| (id, loaded.state)));
        let queries = self.rules.values().filter_map(|loaded| match &loaded.rule.source {
            Source::Events(source) => Some((loaded.rule.id, &*source.query)),
            Source::Expr(_) => None,
        });
        self.index = EventIndex::new(queries);
        self.circular = circular(&self.readers);
    }

    /// Everything that only lives in memory is made anew: windows from the log of events, plugins' memory from records.
    pub(crate) fn restart(
        &mut self,
        log: &VecDeque<(Timestamp, Event)>,
        records: &[Record],
        provider: Option<&dyn Provider>,
        start: Timestamp,
        now: Timestamp,
    ) {
        let mut remembered: BTreeMap<RuleId, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for record in records {
            if let Record::PluginState(record) = record
                && let Some(value) = &record.write.value
            {
                remembered.entry(record.rule).or_default().insert(record.write.key.clone(), value.to_vec());
            }
        }
        for loaded in self.rules.values_mut() {
            loaded.state = State::new(StateLimits::STANDARD, remembered.remove(&loaded.rule.id).unwrap_or_default());
            loaded.open(provider);
            if let Some(windows) = &loaded.windows {
                let query = Arc::clone(windows.query());
                let since = start.max(now - query.reach());
                let mut fresh = EventWindows::new(query, since);
                for (arrival, event) in log.iter().filter(|(arrival, _)| *arrival >= since) {
                    let _ = fresh.push(event, *arrival);
                }
                loaded.windows = Some(fresh);
            }
        }
    }

    /// A rule takes the place of one that is not there any more, with what that one remembers. Answers what is to be kept.
    pub(crate) fn hand_over(&mut self, old: RuleId, new: RuleId) -> Vec<Record> {
        let (Some(state), Some(loaded)) = (self.former.remove(&old), self.rules.get_mut(&new)) else {
            return Vec::new();
        };
        let forgotten = state.writes().into_iter().map(|write| (old, StateWrite { value: None, ..write }));
        let kept = state.writes().into_iter().map(|write| (new, write));
        let records = forgotten.chain(kept).map(|(rule, write)| Record::PluginState(PluginStateRecord { rule, write }));
        let records = records.collect();
        loaded.state = state;
        records
    }

    pub(crate) fn groups(&self) -> Vec<RuleGroupSpec> {
        self.groups.clone()
    }

    pub(crate) fn group_order(&self, group: RuleGroupId) -> usize {
        self.order.get(&group).copied().unwrap_or(usize::MAX)
    }

    pub(crate) fn name(&self, rule: RuleId) -> Arc<str> {
        self.rules.get(&rule).map_or_else(|| Arc::from(""), |loaded| Arc::from(loaded.rule.name.as_str()))
    }

    /// The rules whose expressions select a series with these labels.
    pub(crate) fn readers_of(&self, labels: &Labels) -> Vec<RuleId> {
        let selects = |matchers: &Arc<[Matcher]>| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let readers = self.readers.iter().filter(|reader| reader.selectors.iter().any(selects));
        readers.map(|reader| reader.rule).collect()
    }

    /// Whether a series that a rule wrote touches the rules that read it.
    pub(crate) fn may_propagate(&self, labels: &Labels) -> bool {
        !self.circular.contains(&Written::of(labels))
    }

    /// Gives an event to the rules that it may concern; answers those that should be evaluated.
    pub(crate) fn push_event(&mut self, event: &Event, now: Timestamp) -> Vec<RuleId> {
        let mut touched = Vec::new();
        for rule in self.index.candidates(event) {
            let windows = self.rules.get_mut(&rule).and_then(|loaded| loaded.windows.as_mut());
            if windows.is_some_and(|windows| windows.push(event, now).changed()) {
                touched.push(rule);
            }
        }
        touched
    }

    /// How far back events matter to any rule.
    pub(crate) fn reach(&self) -> Duration {
        self.windows().map(|(_, windows)| windows.query().reach()).max().unwrap_or(Duration::ZERO)
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.windows().filter_map(|(_, windows)| windows.next_deadline()).min()
    }

    /// The rules whose windows may say something else by now, without an event; each is told once for a deadline.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<RuleId> {
        let mut due = Vec::new();
        for id in &self.event_rules {
            let windows = self.rules.get_mut(id).and_then(|loaded| loaded.windows.as_mut());
            if windows.is_some_and(|windows| windows.advance(now)) {
                due.push(*id);
            }
        }
        due
    }

    fn windows(&self) -> impl Iterator<Item = (RuleId, &EventWindows)> {
        self.event_rules.iter().filter_map(|id| Some((*id, self.rules.get(id)?.windows.as_ref()?)))
    }

    /// Evaluates one rule over what there is now.
    pub(crate) fn evaluate(&mut self, request: &EvaluateRequest, db: &Tsdb, settings: &WorldSettings) -> Evaluation {
        let mut evaluation = Evaluation {
            id: request.id,
            rule: request.rule,
            at: request.at,
            took: Duration::ZERO,
            result: Err("the rule is not there".to_owned()),
            stand_in: None,
            state_writes: Vec::new(),
        };
        let Some(loaded) = self.rules.get_mut(&request.rule) else { return evaluation };
        let Loaded { rule, prepared, windows, condition, state } = loaded;
        let mut evaluator = Evaluator::new(db, &settings.external_labels, &settings.query);
        match condition {
            None => evaluator.memory = Some(&mut *state),
            Some(condition) => {
                evaluator.condition = Some(OpenCondition { condition: condition.as_mut(), state: &mut *state });
            }
        }
        evaluator.prepared = Some(prepared);
        evaluator.hits = windows.as_mut().map(|windows| windows.evaluate(request.at));
        evaluator.instances = &request.instances;
        evaluator.query_offset = request.query_offset;
        evaluator.external_url = &settings.external_url;
        let outcome = evaluate(rule, request.at, &mut evaluator);
        let failure = evaluator.failure.take();
        evaluation.stand_in = failure.zip(rule.condition.as_ref()).and_then(|(error, used)| used.stand_in(&error));
        evaluation.result = match outcome {
            Ok(outcome) => {
                evaluation.state_writes = state.commit();
                Ok(outcome.into())
            }
            Err(error) => {
                state.rollback();
                Err(error.to_string())
            }
        };
        evaluation
    }
}

impl Loaded {
    fn new(
        rule: &Arc<Rule>,
        kept: Option<Loaded>,
        settings: &WorldSettings,
        provider: Option<&dyn Provider>,
        now: Timestamp,
    ) -> Loaded {
        let (mut windows, state) = match kept {
            Some(kept) => (kept.windows, kept.state),
            None => (None, State::new(StateLimits::STANDARD, BTreeMap::new())),
        };
        windows = match &rule.source {
            Source::Expr(_) => None,
            Source::Events(source) => windows
                .filter(|windows| windows.query().query() == source.query.query())
                .or_else(|| Some(EventWindows::new(Arc::clone(&source.query), now))),
        };
        let prepared = Prepared::new(rule, &settings.query);
        let mut loaded = Loaded { rule: Arc::clone(rule), prepared, windows, condition: None, state };
        loaded.open(provider);
        loaded
    }

    fn open(&mut self, provider: Option<&dyn Provider>) {
        self.condition = self.rule.condition.as_ref().map(|wanted| {
            let usage = &wanted.usage;
            let opened = match provider {
                Some(provider) => provider.open_condition(&usage.plugin, &usage.config_json),
                None => Err(PluginError::Unsupported("there are no plugins here".to_owned())),
            };
            let mut condition = opened.unwrap_or_else(|error| Box::new(Failing(error)));
            condition.limit(wanted.limits);
            condition
        });
    }
}

fn group_spec(group: &RuleGroup, settings: &WorldSettings) -> RuleGroupSpec {
    let interval = group.interval.unwrap_or(settings.interval);
    let rules = group.rules.iter().map(|rule| RuleSpec {
        id: rule.id,
        name: rule.name.as_str().into(),
        kind: rule.life(),
        generator_url: "".into(),
    });
    RuleGroupSpec {
        id: if settings.align { aligned(group.id, interval, settings.start) } else { group.id },
        file: group.file.as_str().into(),
        name: group.name.as_str().into(),
        interval,
        query_offset: group.query_offset.unwrap_or(settings.query_offset),
        limit: group.limit,
        in_order: true,
        rules: rules.collect(),
    }
}

/// The engine spreads groups over their interval by identity, so an identity near the true one is taken whose place is
/// a whole number of intervals after the start.
fn aligned(id: RuleGroupId, interval: Duration, start: Timestamp) -> RuleGroupId {
    let interval = interval.as_millis().max(1);
    let offset = start.as_millis().rem_euclid(interval).unsigned_abs();
    RuleGroupId((id.0 - id.0 % interval.unsigned_abs()).saturating_add(offset))
}
