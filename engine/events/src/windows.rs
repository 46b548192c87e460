//! The state of one event rule.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use watchfire_model::{Event, Labels, Timestamp};

use crate::field::lookup;
use crate::group::{Datum, Entry, Group, event_bytes};
use crate::{CompiledQuery, Window};

/// Whole events that a window without a threshold keeps of each group: they are its rows.
const ALL_EVENTS_MAX: usize = 1_000;

/// The windows of one rule, group by group.
///
/// Push events as they arrive and ask for the answer whenever [`Touched::changed`] said so, a deadline has come, or
/// the rule's interval is over. The cost of an answer follows the groups that are hits or whose time has come, and not
/// all groups.
#[derive(Debug)]
pub struct EventWindows {
    query: Arc<CompiledQuery>,
    /// Since when events have been seen.
    since: Timestamp,
    /// The latest time that was passed in since the clock was set back last.
    now: Timestamp,
    groups: BTreeMap<u64, Group>,
    next_group: u64,
    /// Looked up, never iterated.
    by_labels: HashMap<Labels, u64>,
    /// The groups that are hits, in the order in which they are reported.
    hits: BTreeMap<Labels, u64>,
    changes: BTreeSet<(Timestamp, u64)>,
    expiries: BTreeSet<(Timestamp, u64)>,
    events: usize,
    sample_bytes: usize,
    /// Looked up, never iterated.
    ids: HashMap<String, Timestamp>,
    id_expiries: BTreeSet<(Timestamp, String)>,
    counters: EventCounters,
    last_error: Option<String>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Touched {
    /// It is not one that the rule looks at.
    Unmatched,
    /// It came too late.
    Late,
    /// Its id was seen before.
    Duplicate,
    /// It has no value in the field that the window needs.
    WithoutValue,
    /// A limit was reached.
    Shed,
    /// It is in the window, and the answer is what it was.
    Stored,
    /// It is in the window, and the answer may be another.
    Changed,
}

impl Touched {
    /// Whether the rule should be evaluated again.
    pub const fn changed(self) -> bool {
        matches!(self, Touched::Changed)
    }
}

/// One group for which the rule holds.
#[derive(Clone, Debug, PartialEq)]
pub struct EventHit {
    /// The group: the fields of `by` with their values.
    pub labels: Labels,
    /// The window's value: the count, the rate, the seconds of silence, the seconds from the first to the last step,
    /// how many times the usual number, ...
    pub value: f64,
    /// The newest events of the window, oldest first.
    pub events: Vec<Event>,
}

/// How many events met which end, since the windows were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounters {
    /// Matched, whatever became of them then.
    pub matched: u64,
    /// Came later than the rule allows.
    pub late: u64,
    /// Had a time in the future and were placed at the time of their arrival.
    pub ahead: u64,
    /// Had an id that was seen before.
    pub duplicates: u64,
    /// Had no value in the field that the window needs.
    pub without_value: u64,
    /// Were dropped, or made others drop, because a limit of events was reached.
    pub shed: u64,
    /// Belonged to a group that was one too many.
    pub groups_refused: u64,
    /// Were not kept whole because a limit of bytes was reached; they count all the same.
    pub samples_shed: u64,
    /// Ids that were forgotten early because there were too many.
    pub ids_forgotten: u64,
    /// Made the expression fail.
    pub condition_failures: u64,
}

impl EventWindows {
    /// Empty, seeing events from `since` on: the start of the engine or, where older events are pushed again after a
    /// restart, the time of the oldest of them.
    pub fn new(query: Arc<CompiledQuery>, since: Timestamp) -> EventWindows {
        let mut windows = EventWindows {
            query,
            since,
            now: since,
            groups: BTreeMap::new(),
            next_group: 0,
            by_labels: HashMap::new(),
            hits: BTreeMap::new(),
            changes: BTreeSet::new(),
            expiries: BTreeSet::new(),
            events: 0,
            sample_bytes: 0,
            ids: HashMap::new(),
            id_expiries: BTreeSet::new(),
            counters: EventCounters::default(),
            last_error: None,
        };
        let query = windows.query.query();
        let mut known = match &query.window {
            Window::Absent { expected, .. } => expected.clone(),
            _ => Vec::new(),
        };
        // Without `by` there is one group, and its silence counts from the start.
        if query.by.is_empty() && query.window.speaks_of_silence() {
            known = vec![Labels::empty()];
        }
        for labels in known {
            if !windows.by_labels.contains_key(&labels) {
                let key = windows.add_group(Group::new(labels, since, true));
                windows.judge(key);
            }
        }
        windows
    }

    /// The query that the windows answer.
    pub fn query(&self) -> &Arc<CompiledQuery> {
        &self.query
    }

    /// Goes on under a query that asks the same within other bounds; lower ones hold for what comes. Answers whether it
    /// does ask the same; else nothing is changed.
    pub fn go_on_under(&mut self, query: &Arc<CompiledQuery>) -> bool {
        let same = self.query.asks_the_same(query);
        if same {
            self.query = Arc::clone(query);
        }
        same
    }

    /// Takes an event that arrived at `now`.
    pub fn push(&mut self, event: &Event, now: Timestamp) -> Touched {
        self.advance(now);
        let now = self.now;
        let query = Arc::clone(&self.query);
        let steps = match query.matching_steps(event) {
            Ok(0) => return Touched::Unmatched,
            Ok(steps) => steps,
            Err(error) => {
                self.counters.condition_failures += 1;
                self.last_error = Some(error.to_string());
                return Touched::Unmatched;
            }
        };
        self.counters.matched += 1;
        let (lateness, window) = (query.query().lateness, &query.query().window);
        let time = event.time.min(now);
        if event.time < now - lateness || time <= now - query.memory() {
            self.counters.late += 1;
            return Touched::Late;
        }
        if event.time > now {
            self.counters.ahead += 1;
        }
        let datum = match (window.number_field(), window.text_field()) {
            (_, Some(field)) => lookup(event, field).map(|view| Datum::Text(Arc::from(&*view.text()))),
            // A row without a number is still a row; a sum without one is not.
            (Some(_), _) if matches!(window, Window::All { .. }) => Some(Datum::None),
            (Some(field), _) => {
                let number = lookup(event, field).and_then(|view| view.number());
                number.filter(|number| number.is_finite()).map(Datum::Number)
            }
            _ if matches!(window, Window::Sequence { .. }) => Some(Datum::Steps(steps)),
            _ => Some(Datum::None),
        };
        let Some(datum) = datum else {
            self.counters.without_value += 1;
            return Touched::WithoutValue;
        };
        if self.is_duplicate(event, time) {
            self.counters.duplicates += 1;
            return Touched::Duplicate;
        }
        let labels = query.group(event);
        let key = match self.by_labels.get(&labels) {
            Some(key) => *key,
            None if self.groups.len() >= query.query().limits.groups_max => {
                self.counters.groups_refused += 1;
                return Touched::Shed;
            }
            None => self.add_group(Group::new(labels, time, false)),
        };
        if self.events >= query.query().limits.events_max {
            self.counters.shed += 1;
            self.judge(key);
            return Touched::Shed;
        }
        let was_hit = self.groups.get(&key).is_some_and(|group| group.verdict.value.is_some());
        self.store(key, Entry { time, datum }, event);
        let is_hit = self.judge(key);
        if was_hit || is_hit { Touched::Changed } else { Touched::Stored }
    }

    /// The groups for which the rule holds at a time, ordered by labels. A time before the latest that was passed in
    /// counts as the latest.
    pub fn evaluate(&mut self, now: Timestamp) -> Vec<EventHit> {
        self.advance(now);
        let hits: Vec<u64> = self.hits.values().copied().collect();
        hits.into_iter()
            .filter_map(|key| {
                self.judge(key);
                let group = self.groups.get(&key)?;
                let events = group.sample.iter().map(|(_, event)| event.clone()).collect();
                Some(EventHit { labels: group.labels.clone(), value: group.verdict.value?, events })
            })
            .collect()
    }

    /// Lets time pass without an event: forgets groups whose time is over and judges those whose verdict may have
    /// turned. Answers whether a deadline has passed, so that the rule should be evaluated again. Afterwards
    /// [`EventWindows::next_deadline`] lies in the future.
    pub fn advance(&mut self, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let due = self.next_deadline().is_some_and(|at| at <= self.now);
        while let Some((_, key)) = self.expiries.first().copied().filter(|(at, _)| *at <= self.now) {
            self.remove_group(key);
        }
        while let Some((_, key)) = self.changes.first().copied().filter(|(at, _)| *at <= self.now) {
            self.judge(key);
        }
        while let Some((at, _)) = self.id_expiries.first() {
            if *at > self.now {
                break;
            }
            self.forget_oldest_id();
        }
        due
    }

    /// The clock was set back to a time. Events that lie ahead of it count as of now, like one that comes from the future:
    /// else nothing would leave the windows, and what comes would be too late, until the clock has caught up.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.now = now;
        self.since = self.since.min(now);
        let query = self.query.query();
        let keep_max = now + query.lateness + query.lateness.max(query.window.span());
        self.ids.values_mut().for_each(|keep| *keep = (*keep).min(keep_max));
        self.id_expiries = self.ids.iter().map(|(id, keep)| (*keep, id.clone())).collect();
        for key in self.groups.keys().copied().collect::<Vec<_>>() {
            if let Some(group) = self.groups.get_mut(&key) {
                group.clock_set_back(now);
            }
            self.judge(key);
        }
    }

    /// When the answer may change without a further event.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.changes.first().map(|(time, _)| *time)
    }

    /// What became of the events so far.
    pub fn counters(&self) -> EventCounters {
        self.counters
    }

    /// Why the expression failed when it last did.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// How many groups are known.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// How many events lie in the windows.
    pub fn event_count(&self) -> usize {
        self.events
    }

    fn forget_oldest_id(&mut self) {
        if let Some((_, id)) = self.id_expiries.pop_first() {
            self.ids.remove(&id);
        }
    }

    fn is_duplicate(&mut self, event: &Event, time: Timestamp) -> bool {
        if event.id.is_empty() {
            return false;
        }
        if self.ids.contains_key(&event.id) {
            return true;
        }
        let query = self.query.query();
        let (lateness, ids_max) = (query.lateness, query.limits.ids_max);
        // A repetition that is later than this is dropped as late or finds the window past.
        let keep = event.time.min(time + lateness) + lateness.max(query.window.span());
        self.ids.insert(event.id.clone(), keep);
        self.id_expiries.insert((keep, event.id.clone()));
        while self.ids.len() > ids_max {
            self.forget_oldest_id();
            self.counters.ids_forgotten += 1;
        }
        false
    }

    fn add_group(&mut self, group: Group) -> u64 {
        let key = self.next_group;
        self.next_group += 1;
        self.by_labels.insert(group.labels.clone(), key);
        self.groups.insert(key, group);
        key
    }

    fn remove_group(&mut self, key: u64) {
        let Some(group) = self.groups.remove(&key) else { return };
        self.by_labels.remove(&group.labels);
        self.hits.remove(&group.labels);
        self.events -= group.entries.len();
        self.sample_bytes -= group.sample.iter().map(|(_, event)| event_bytes(event)).sum::<usize>();
        for (table, at) in [(&mut self.changes, group.verdict.changes_at), (&mut self.expiries, group.expires_at)] {
            if let Some(at) = at {
                table.remove(&(at, key));
            }
        }
    }

    fn store(&mut self, key: u64, entry: Entry, event: &Event) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        let limits = self.query.query().limits;
        let all = matches!(self.query.query().window, Window::All { .. });
        let entries_max = if all { limits.group_events_max.min(ALL_EVENTS_MAX) } else { limits.group_events_max };
        let sample_max = if all { entries_max } else { limits.sample_max };
        let time = entry.time;
        let (added, shed) = group.insert(entry, &self.query, entries_max);
        self.events = self.events + added - shed;
        self.counters.shed += shed as u64;
        if sample_max == 0 {
            return;
        }
        let bytes = event_bytes(event);
        if self.sample_bytes + bytes > limits.sample_bytes_max {
            self.counters.samples_shed += 1;
            return;
        }
        let position = group.sample.partition_point(|(other, _)| *other <= time);
        group.sample.insert(position, (time, event.clone()));
        self.sample_bytes += bytes;
        while group.sample.len() > sample_max {
            let gone = group.sample.pop_front();
            self.sample_bytes -= gone.map_or(0, |(_, event)| event_bytes(&event));
        }
    }

    /// Brings one group up to date in every table; answers whether it is a hit.
    fn judge(&mut self, key: u64) -> bool {
        let Some(group) = self.groups.get_mut(&key) else { return false };
        let (entries, bytes) = group.trim(self.now, &self.query.query().window);
        self.events -= entries;
        self.sample_bytes -= bytes;
        let old = group.verdict;
        let mut new = group.judge(&self.query, self.now, self.since);
        let expires_at = (!group.permanent).then_some(group.last + self.query.memory());
        if new.value.is_some() {
            // A hit ends at the latest when its group is forgotten.
            new.changes_at = new.changes_at.into_iter().chain(expires_at).min();
        }
        if old.changes_at != new.changes_at {
            if let Some(at) = old.changes_at {
                self.changes.remove(&(at, key));
            }
            if let Some(at) = new.changes_at {
                self.changes.insert((at, key));
            }
        }
        if expires_at != group.expires_at {
            if let Some(at) = group.expires_at {
                self.expiries.remove(&(at, key));
            }
            if let Some(at) = expires_at {
                self.expiries.insert((at, key));
            }
            group.expires_at = expires_at;
        }
        group.verdict = new;
        match (old.value.is_some(), new.value.is_some()) {
            (false, true) => drop(self.hits.insert(group.labels.clone(), key)),
            (true, false) => drop(self.hits.remove(&group.labels)),
            _ => {}
        }
        new.value.is_some()
    }
}
