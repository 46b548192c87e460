//! One group's events in its window, and what they say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_model::{Duration, Event, Labels, Timestamp};

use crate::{Aggregation, CompareOp, CompiledQuery, Direction, Threshold, Window};

/// The part of an event that its window needs.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) time: Timestamp,
    pub(crate) datum: Datum,
}

#[derive(Clone, Debug)]
pub(crate) enum Datum {
    /// It happened.
    None,
    /// The number of the window's field.
    Number(f64),
    /// The text of the window's field.
    Text(Arc<str>),
    /// The steps of a sequence that it may be, as bits.
    Steps(u32),
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) labels: Labels,
    /// Ordered by time, and by arrival where times are equal.
    pub(crate) entries: VecDeque<Entry>,
    /// The newest whole events, ordered likewise.
    pub(crate) sample: VecDeque<(Timestamp, Event)>,
    /// When the first event came, or when the group became known.
    first: Timestamp,
    /// The latest event, or when the group became known.
    pub(crate) last: Timestamp,
    /// Known from the start and for ever.
    pub(crate) permanent: bool,
    /// For changes: the value just before the window.
    before: Option<(Timestamp, Arc<str>)>,
    /// For new values: when each was last seen, and the same in order of time.
    seen: BTreeMap<Arc<str>, Timestamp>,
    seen_order: BTreeSet<(Timestamp, Arc<str>)>,
    /// What the group said when it was last judged.
    pub(crate) verdict: Verdict,
    /// When the group will be forgotten, as it is entered in the table of expiries.
    pub(crate) expires_at: Option<Timestamp>,
}

/// What a group says at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// The value, if the group is a hit.
    pub(crate) value: Option<f64>,
    /// When time alone may turn the verdict.
    pub(crate) changes_at: Option<Timestamp>,
}

impl Group {
    pub(crate) fn new(labels: Labels, since: Timestamp, permanent: bool) -> Group {
        Group {
            labels,
            entries: VecDeque::new(),
            sample: VecDeque::new(),
            first: since,
            last: since,
            permanent,
            before: None,
            seen: BTreeMap::new(),
            seen_order: BTreeSet::new(),
            verdict: Verdict::default(),
            expires_at: None,
        }
    }

    /// Takes an event's entry. Answers how many entries it added and how many had to go for it.
    pub(crate) fn insert(&mut self, entry: Entry, query: &CompiledQuery, entries_max: usize) -> (usize, usize) {
        self.last = self.last.max(entry.time);
        if !self.permanent {
            self.first = self.first.min(entry.time);
        }
        let window = &query.query().window;
        match (window, &entry.datum) {
            (Window::Absent { .. }, _) => return (0, 0),
            (Window::NewValue { memory, learn, .. }, Datum::Text(text)) => {
                let is_new = self.remember(text, entry.time, *memory, query.query().lateness, entries_max);
                if !is_new || entry.time < self.first + *learn {
                    return (0, 0);
                }
            }
            _ => {}
        }
        let position = self.entries.partition_point(|other| other.time <= entry.time);
        self.entries.insert(position, entry);
        let mut shed = 0;
        while self.entries.len() > entries_max {
            self.pop_front();
            shed += 1;
        }
        (1, shed)
    }

    /// What lies ahead of a clock that was set back happened now, as far as that clock knows.
    pub(crate) fn clock_set_back(&mut self, now: Timestamp) {
        for entry in self.entries.iter_mut().rev().take_while(|entry| entry.time > now) {
            entry.time = now;
        }
        for (time, _) in self.sample.iter_mut().rev().take_while(|(time, _)| *time > now) {
            *time = now;
        }
        self.first = self.first.min(now);
        self.last = self.last.min(now);
        if let Some((before, _)) = &mut self.before {
            *before = (*before).min(now);
        }
        self.seen.values_mut().for_each(|seen| *seen = (*seen).min(now));
        self.seen_order = self.seen.iter().map(|(text, seen)| (*seen, Arc::clone(text))).collect();
    }

    /// Notes that a value was seen; answers whether it was not known.
    fn remember(
        &mut self,
        text: &Arc<str>,
        time: Timestamp,
        memory: Duration,
        lateness: Duration,
        values_max: usize,
    ) -> bool {
        while let Some((seen, _)) = self.seen_order.first() {
            let forgotten = *seen + memory + lateness <= self.last;
            if !forgotten && self.seen.len() < values_max {
                break;
            }
            if let Some((_, text)) = self.seen_order.pop_first() {
                self.seen.remove(&text);
            }
        }
        let known = self.seen.get(text).copied();
        let newest = known.map_or(time, |seen| seen.max(time));
        if known != Some(newest) {
            if let Some(seen) = known {
                self.seen_order.remove(&(seen, Arc::clone(text)));
            }
            self.seen_order.insert((newest, Arc::clone(text)));
            self.seen.insert(Arc::clone(text), newest);
        }
        known.is_none_or(|seen| seen + memory <= time)
    }

    fn pop_front(&mut self) {
        let Some(Entry { time, datum: Datum::Text(text) }) = self.entries.pop_front() else { return };
        // An event that came late may be older than the one that is remembered.
        if self.before.as_ref().is_none_or(|(before, _)| *before <= time) {
            self.before = Some((time, text));
        }
    }

    /// Drops what has left the window; answers how many entries and how many bytes of whole events went.
    pub(crate) fn trim(&mut self, at: Timestamp, window: &Window) -> (usize, usize) {
        let edge = at - window.span();
        let before = self.entries.len();
        while self.entries.front().is_some_and(|entry| entry.time <= edge) {
            self.pop_front();
        }
        let mut bytes = 0;
        // The last event before a silence stays, because it is what a reader wants to see.
        while !matches!(window, Window::Absent { .. }) && self.sample.front().is_some_and(|(time, _)| *time <= edge) {
            bytes += self.sample.pop_front().map_or(0, |(_, event)| event_bytes(&event));
        }
        (before - self.entries.len(), bytes)
    }

    /// What the group says at a time; its window must have been trimmed to it.
    pub(crate) fn judge(&self, query: &CompiledQuery, at: Timestamp, since: Timestamp) -> Verdict {
        let window = &query.query().window;
        let front = self.entries.front().map(|entry| entry.time + window.span());
        match window {
            Window::All { .. } => Verdict {
                value: (!self.entries.is_empty()).then_some(self.entries.len() as f64),
                // The rows are part of the answer, so each one that leaves changes it.
                changes_at: front,
            },
            Window::Count { over, threshold } => self.judge_count(*over, *threshold, 1.0),
            Window::Rate { over, threshold } => self.judge_count(*over, *threshold, over.as_secs_f64()),
            Window::Aggregate { aggregation, threshold, .. } => {
                let value = aggregation.of(self.entries.iter().filter_map(|entry| match entry.datum {
                    Datum::Number(number) => Some(number),
                    _ => None,
                }));
                Verdict { value: value.filter(|value| threshold.holds(*value)), changes_at: front }
            }
            Window::Distinct { threshold, .. } => {
                let values: BTreeSet<_> = self.texts().collect();
                judge_falling(values.len() as f64, *threshold, front)
            }
            Window::Change { threshold, .. } => {
                let mut changes = 0;
                let mut previous = self.before.as_ref().map(|(_, text)| text);
                for text in self.texts() {
                    changes += usize::from(previous.is_some_and(|previous| previous != text));
                    previous = Some(text);
                }
                judge_falling(changes as f64, *threshold, front)
            }
            Window::NewValue { .. } => Verdict {
                value: (!self.entries.is_empty()).then_some(self.entries.len() as f64),
                changes_at: self.entries.back().map(|entry| entry.time + window.span()),
            },
            Window::Absent { duration, .. } => {
                let silent_at = self.last + *duration;
                if at < silent_at {
                    Verdict { value: None, changes_at: Some(silent_at) }
                } else {
                    Verdict { value: Some(at.since(self.last).as_secs_f64()), changes_at: None }
                }
            }
            Window::Sequence { steps, within, hold } => match self.latest_sequence(steps.len(), *within) {
                Some((start, end)) if end + *hold > at => {
                    Verdict { value: Some(end.since(start).as_secs_f64()), changes_at: Some(end + *hold) }
                }
                _ => Verdict::default(),
            },
            Window::Spike { over, baseline, factor, minimum, direction } => {
                let ready_at = since + *over + *baseline;
                if at < ready_at {
                    return Verdict { value: None, changes_at: Some(ready_at) };
                }
                let split = self.entries.partition_point(|entry| entry.time <= at - *over);
                let now = (self.entries.len() - split) as f64;
                let usual = split as f64 * over.as_secs_f64() / baseline.as_secs_f64();
                let holds = match direction {
                    Direction::Up => now > 0.0 && now >= *minimum && now >= factor * usual,
                    Direction::Down => usual > 0.0 && usual >= *minimum && now * factor <= usual,
                };
                let moves = self.entries.get(split).map(|entry| entry.time + *over);
                let changes_at = [front, moves].into_iter().flatten().min();
                Verdict { value: holds.then_some(now / usual), changes_at }
            }
        }
    }

    fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries.iter().filter_map(|entry| match &entry.datum {
            Datum::Text(text) => Some(text),
            _ => None,
        })
    }

    /// The number of events, perhaps per second.
    fn judge_count(&self, over: Duration, threshold: Threshold, unit: f64) -> Verdict {
        let count = self.entries.len();
        let value = count as f64 / unit;
        let holds = threshold.holds(value);
        // Time alone only takes events away, so a count that is too small to pass stays so.
        let can_turn = holds || !threshold.is_lower_bound();
        let turns = |gone: &usize| threshold.holds((count - gone) as f64 / unit) != holds;
        let gone = if can_turn { (1..=count).find(turns) } else { None };
        let changes_at = gone.map(|gone| self.entries[gone - 1].time + over);
        Verdict { value: holds.then_some(value), changes_at }
    }

    /// Start and end of the sequence that was completed last and, among those, began last.
    ///
    /// Of all ways to have done the first `k` steps the one that began last leaves most time for the rest.
    fn latest_sequence(&self, steps: usize, within: Duration) -> Option<(Timestamp, Timestamp)> {
        let mut latest_start: Vec<Option<Timestamp>> = vec![None; steps];
        let mut complete = None;
        for entry in &self.entries {
            let Datum::Steps(bits) = entry.datum else { continue };
            // From the last step to the first, so that one event is at most one step of a sequence.
            for step in (0..steps).rev().filter(|step| bits & (1 << step) != 0) {
                let start = if step == 0 { Some(entry.time) } else { latest_start[step - 1] };
                let Some(start) = start.filter(|start| entry.time.since(*start) <= within) else { continue };
                latest_start[step] = latest_start[step].max(Some(start));
                if step + 1 == steps {
                    complete = Some((start, entry.time));
                }
            }
        }
        complete
    }
}

/// A number that time alone can only make smaller.
fn judge_falling(value: f64, threshold: Threshold, front: Option<Timestamp>) -> Verdict {
    let holds = threshold.holds(value);
    let can_turn = holds || !threshold.is_lower_bound();
    Verdict { value: holds.then_some(value), changes_at: front.filter(|_| can_turn) }
}

impl Threshold {
    /// Whether a greater value always passes where a smaller one does.
    fn is_lower_bound(self) -> bool {
        matches!(self.op, CompareOp::Greater | CompareOp::GreaterOrEqual)
    }
}

impl Aggregation {
    /// `None` where there is no number.
    pub(crate) fn of(self, numbers: impl Iterator<Item = f64>) -> Option<f64> {
        let mut numbers: Vec<f64> = numbers.collect();
        if numbers.is_empty() {
            return None;
        }
        let count = numbers.len() as f64;
        Some(match self {
            Aggregation::Sum => numbers.iter().sum(),
            Aggregation::Avg => numbers.iter().sum::<f64>() / count,
            Aggregation::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
            Aggregation::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Aggregation::Quantile(q) => {
                numbers.sort_by(f64::total_cmp);
                let rank = q * (count - 1.0);
                let (below, above) = (numbers[rank.floor() as usize], numbers[rank.ceil() as usize]);
                below + (above - below) * rank.fract()
            }
        })
    }
}

/// About how much memory a whole event takes.
pub(crate) fn event_bytes(event: &Event) -> usize {
    let fields: usize = event.fields.iter().map(|(name, value)| 48 + name.len() + value_bytes(value)).sum();
    size_of::<Event>() + event.id.len() + event.kind.len() + event.body.len() + fields
}

fn value_bytes(value: &watchfire_model::FieldValue) -> usize {
    use watchfire_model::FieldValue;
    match value {
        FieldValue::Text(text) => 32 + text.len(),
        FieldValue::List(items) => 32 + items.iter().map(value_bytes).sum::<usize>(),
        _ => 32,
    }
}
