//! What rules remember, when rules come, go and become others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use watchfire_alerting::PluginStateRecord;
use watchfire_model::{Duration, RuleId, Timestamp};
use watchfire_plugin::{State, StateLimits, StateWrite};

use crate::data::lock;

/// How long what a rule remembered is kept when the rule is gone: it comes back when a deployment that went wrong is
/// mended. Rules whose labels change with each release would fill the database without an end.
const UNUSED_KEPT: Duration = Duration::from_hours(14 * 24);

/// What each rule remembers, as it was kept.
pub(crate) type States = HashMap<RuleId, State>;

/// Where a rule finds what it remembers. One that takes the place of another shares it with that one, of which an
/// evaluation may still be under way.
pub(crate) type Place = ArcSwap<Mutex<State>>;

/// What each rule remembers; kept across reloads.
///
/// Places are never locked while the table is: an evaluation locks its own for as long as it takes.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    places: HashMap<RuleId, Arc<Place>>,
    /// What is not durable yet.
    handed_over: Vec<HandedOver>,
}

/// A rule took the place of another one.
#[derive(Debug)]
struct HandedOver {
    old: RuleId,
    new: RuleId,
    /// What the new one remembered itself, such as from the last time that it was defined.
    replaced: Arc<Mutex<State>>,
}

fn place(state: State) -> Arc<Place> {
    Arc::new(ArcSwap::from_pointee(Mutex::new(state)))
}

impl Remembered {
    pub(crate) fn new(states: States) -> Remembered {
        let places = states.into_iter().map(|(rule, state)| (rule, place(state))).collect();
        Remembered(Mutex::new(Table { places, handed_over: Vec::new() }))
    }

    /// That of a rule; an empty one if it remembers nothing yet.
    pub(crate) fn place(&self, rule: RuleId, limits: StateLimits) -> Arc<Place> {
        let mut table = lock(&self.0);
        let fresh = || place(State::new(limits, BTreeMap::new()));
        Arc::clone(table.places.entry(rule).or_insert_with(fresh))
    }

    /// A rule takes the place of another one, as the state machine says. It waits for nobody; what this makes of what is
    /// durable [`follow`](Remembered::follow) tells.
    pub(crate) fn hand_over(&self, old: RuleId, new: RuleId) {
        let mut table = lock(&self.0);
        let Some(heir) = table.places.get(&new).cloned() else { return };
        let Some(former) = table.places.remove(&old) else { return };
        let replaced = heir.swap(former.load_full());
        table.handed_over.push(HandedOver { old, new, replaced });
    }

    /// Says what is to be made durable after a reload: what has another place now, and what no rule has needed for long,
    /// which is forgotten. `tell` is called while nobody can write there, so that whatever is written later is told later.
    pub(crate) fn follow(&self, defined: &BTreeSet<RuleId>, now: Timestamp, tell: impl Fn(Vec<PluginStateRecord>)) {
        let (handed_over, places) = {
            let mut table = lock(&self.0);
            (std::mem::take(&mut table.handed_over), table.places.clone())
        };
        let records = |rule: RuleId, writes: Vec<StateWrite>| {
            writes.into_iter().map(move |write| PluginStateRecord { rule, write }).collect::<Vec<_>>()
        };
        for HandedOver { old, new, replaced } in handed_over {
            let Some(place) = places.get(&new) else { continue };
            let mut replaced = lock(&replaced);
            let state = place.load_full();
            let mut state = lock(&state);
            state.set_limits(replaced.limits());
            let forgotten = state.writes().into_iter().map(|write| StateWrite { value: None, ..write }).collect();
            let mut changed = records(old, forgotten);
            changed.extend(records(new, replaced.clear()));
            changed.extend(records(new, state.writes()));
            if !changed.is_empty() {
                tell(changed);
            }
        }
        let mut over = Vec::new();
        for (rule, place) in places {
            let state = place.load_full();
            let mut state = lock(&state);
            let since = state.unused_since().map(Timestamp::from_millis);
            let is_used = defined.contains(&rule);
            let is_over = !is_used && (state.is_empty() || since.is_some_and(|since| now.since(since) > UNUSED_KEPT));
            let writes = match (is_used, is_over, since) {
                (true, ..) => state.set_unused_since(None),
                (false, true, _) => state.clear(),
                (false, false, None) => state.set_unused_since(Some(now.as_millis())),
                (false, false, Some(_)) => Vec::new(),
            };
            if is_over {
                over.push(rule);
            }
            if !writes.is_empty() {
                tell(records(rule, writes));
            }
        }
        let mut table = lock(&self.0);
        over.into_iter().for_each(|rule| drop(table.places.remove(&rule)));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const OLD: RuleId = RuleId(1);
    const NEW: RuleId = RuleId(2);

    fn remembered(states: &[(RuleId, &[u8])]) -> Remembered {
        let state = |values: &[u8]| {
            let values = values.iter().map(|value| (format!("k{value}"), vec![*value]));
            State::new(StateLimits::STANDARD, values.collect())
        };
        Remembered::new(states.iter().map(|(rule, values)| (*rule, state(values))).collect())
    }

    /// What a start would find.
    fn durable(records: &[PluginStateRecord]) -> Vec<(RuleId, Vec<u8>)> {
        let mut values: BTreeMap<RuleId, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for PluginStateRecord { rule, write } in records {
            let of_rule = values.entry(*rule).or_default();
            match &write.value {
                Some(value) => drop(of_rule.insert(write.key.clone(), value.to_vec())),
                None => drop(of_rule.remove(&write.key)),
            }
        }
        let values = values.into_iter().map(|(rule, values)| (rule, values.into_values().flatten().collect()));
        values.filter(|(_, values): &(_, Vec<u8>)| !values.is_empty()).collect()
    }

    fn write(place: &Place, value: u8) -> Vec<StateWrite> {
        let state = place.load();
        let mut state = lock(&state);
        state.set(&format!("k{value}"), vec![value]).unwrap();
        state.commit()
    }

    fn follow(remembered: &Remembered, defined: &[RuleId], now: Timestamp) -> Vec<PluginStateRecord> {
        let told = RefCell::new(Vec::new());
        remembered.follow(&defined.iter().copied().collect(), now, |records| told.borrow_mut().extend(records));
        told.into_inner()
    }

    #[test]
    fn what_is_written_while_a_rule_becomes_another_is_the_other_ones() {
        let tell = |rule: RuleId, writes: Vec<StateWrite>| {
            writes.into_iter().map(|write| PluginStateRecord { rule, write }).collect::<Vec<_>>()
        };
        let remembered = remembered(&[]);
        let mut records = tell(OLD, write(&remembered.place(OLD, StateLimits::STANDARD), 1));
        records.extend(tell(NEW, write(&remembered.place(NEW, StateLimits::STANDARD), 9)));
        records.extend(follow(&remembered, &[OLD], Timestamp::EPOCH));
        let before = remembered.place(OLD, StateLimits::STANDARD);
        let limits = StateLimits { total_bytes_max: 100, ..StateLimits::STANDARD };
        let after = remembered.place(NEW, limits);
        lock(&after.load()).set_limits(limits);
        // Evaluations of the rule as it was, which were asked for before the reload.
        records.extend(tell(OLD, write(&before, 2)));
        remembered.hand_over(OLD, NEW);
        let late = write(&before, 3);
        records.extend(follow(&remembered, &[NEW], Timestamp::EPOCH));
        records.extend(tell(NEW, late));
        records.extend(tell(NEW, write(&before, 4)));
        let state = after.load_full();
        let state = lock(&state);
        assert_eq!((state.entries().map(|(_, value)| value[0]).collect(), state.limits()), (vec![1, 2, 3, 4], limits));
        assert_eq!(durable(&records), [(NEW, vec![1, 2, 3, 4])]);
    }

    #[test]
    fn what_no_rule_has_needed_for_two_weeks_is_forgotten() {
        let day = |days: i64| Timestamp::EPOCH + Duration::from_hours(24 * days);
        let remembered = remembered(&[(OLD, &[7])]);
        let is_kept = || lock(&remembered.place(OLD, StateLimits::STANDARD).load()).get("k7").is_some();
        for (days, defined, kept) in [
            (0, &[][..], true),
            (13, &[], true),
            (13, &[OLD], true),
            (20, &[], true),
            (34, &[], true),
            (35, &[], false),
        ] {
            let told = follow(&remembered, defined, day(days));
            assert_eq!(is_kept(), kept, "{days}");
            assert_eq!(told.iter().any(|record| record.write.key == "k7" && record.write.value.is_none()), !kept);
        }
    }
}
