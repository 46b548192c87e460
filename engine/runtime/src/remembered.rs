//! What rules remember, when rules come, go and become others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use watchfire_alerting::PluginStateRecord;
use watchfire_model::{Duration, RuleId, Timestamp};
use watchfire_plugin::{State, StateWrite};
use watchfire_rules::RuleFile;

use crate::compile::States;
use crate::data::lock;

/// How long what a rule remembered is kept when the rule is gone: it comes back when a deployment that went wrong is
/// mended. Rules whose labels change with each release would fill the database without an end.
const UNUSED_KEPT: Duration = Duration::from_hours(14 * 24);

/// Gives what a rule remembered to the rule that it has become, and forgets what no rule has needed for long. `before` are
/// the rules that were in force, `files` those that will be. Answers what is to be made durable.
pub(crate) fn follow(
    states: &mut States,
    before: &[RuleFile],
    files: &[RuleFile],
    now: Timestamp,
) -> Vec<PluginStateRecord> {
    let used: BTreeSet<RuleId> = rules(files).map(|(id, _)| id).collect();
    let mut records = Vec::new();
    let mut add = |rule: RuleId, writes: Vec<StateWrite>| {
        records.extend(writes.into_iter().map(|write| PluginStateRecord { rule, write }));
    };
    for (old, new) in successors(states, before, files) {
        let Some(former) = states.remove(&old) else { continue };
        // An evaluation of the old rule that is under way keeps its own.
        let mut former = lock(&former).clone();
        let fresh = || Arc::new(Mutex::new(State::new(former.limits(), BTreeMap::new())));
        let writes = lock(states.entry(new).or_insert_with(fresh)).inherit(&former);
        add(new, writes);
        add(old, former.clear());
    }
    states.retain(|rule, state| {
        let mut state = lock(state);
        if used.contains(rule) {
            add(*rule, state.set_unused_since(None));
            return true;
        }
        let since = state.unused_since().map(Timestamp::from_millis);
        let is_over = state.is_empty() || since.is_some_and(|since| now.since(since) > UNUSED_KEPT);
        if is_over {
            add(*rule, state.clear());
        } else if since.is_none() {
            add(*rule, state.set_unused_since(Some(now.as_millis())));
        }
        !is_over
    });
    records
}

/// Rules with the names of their groups and their own.
fn rules(files: &[RuleFile]) -> impl Iterator<Item = (RuleId, (&str, &str))> {
    let groups = files.iter().flat_map(|file| &file.groups);
    groups.flat_map(|group| group.rules.iter().map(|rule| (rule.id, (group.name.as_str(), rule.name.as_str()))))
}

/// Rules that are gone, each with the one that takes its place, as the state machine pairs them for their alerts: of the
/// same name in a group of the same name, in order, if as many come as go. Who remembers something has no need of it.
fn successors(states: &States, before: &[RuleFile], files: &[RuleFile]) -> Vec<(RuleId, RuleId)> {
    let remembers = |id: &RuleId| states.get(id).is_some_and(|state| !lock(state).is_empty());
    let ids = |files| rules(files).map(|(id, _)| id).collect::<BTreeSet<RuleId>>();
    let (old_ids, new_ids) = (ids(before), ids(files));
    let mut gone: BTreeMap<_, Vec<RuleId>> = BTreeMap::new();
    for (id, names) in rules(before).filter(|(id, _)| !new_ids.contains(id)) {
        gone.entry(names).or_default().push(id);
    }
    let mut come: BTreeMap<_, Vec<RuleId>> = BTreeMap::new();
    for (id, names) in rules(files).filter(|(id, _)| !old_ids.contains(id)) {
        come.entry(names).or_default().push(id);
    }
    let pairs = come.into_iter().filter_map(|(names, new)| {
        let old = gone.remove(&names).filter(|old| old.len() == new.len())?;
        Some(old.into_iter().zip(new))
    });
    pairs.flatten().filter(|(old, new)| remembers(old) && !remembers(new)).collect()
}

#[cfg(test)]
mod tests {
    use watchfire_config::{Source, load_rules};
    use watchfire_plugin::StateLimits;

    use super::*;

    fn file(rules: &str) -> Vec<RuleFile> {
        vec![load_rules(Source { name: "r.yml", text: &format!("groups: [{{name: g, rules: [{rules}]}}]") }).file]
    }

    fn ids(files: &[RuleFile]) -> Vec<RuleId> {
        rules(files).map(|(id, _)| id).collect()
    }

    /// The states of all rules, as they are compiled; what is remembered is in the records.
    fn states(files: &[RuleFile], records: &[PluginStateRecord]) -> States {
        let mut remembered: BTreeMap<RuleId, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for PluginStateRecord { rule, write } in records {
            let of_rule = remembered.entry(*rule).or_default();
            match &write.value {
                Some(value) => drop(of_rule.insert(write.key.clone(), value.to_vec())),
                None => drop(of_rule.remove(&write.key)),
            }
        }
        for id in ids(files) {
            remembered.entry(id).or_default();
        }
        let state = |values| Arc::new(Mutex::new(State::new(StateLimits::STANDARD, values)));
        remembered.into_iter().map(|(id, values)| (id, state(values))).collect()
    }

    fn wrote(rule: RuleId, value: u8) -> PluginStateRecord {
        PluginStateRecord { rule, write: StateWrite { key: "mean".to_owned(), value: Some(Arc::new(vec![value])) } }
    }

    fn mean(states: &States, id: RuleId) -> Option<u8> {
        states.get(&id).and_then(|state| Some(lock(state).get("mean")?[0]))
    }

    #[test]
    fn an_edited_rule_goes_on_with_what_it_remembered() {
        let first = |release: &str| format!("{{alert: A, expr: up, labels: {{release: '{release}'}}}}");
        let (before, after) = (file(&first("1")), file(&first("2")));
        let (old, new) = (ids(&before)[0], ids(&after)[0]);
        assert_ne!(old, new);
        let mut records = vec![wrote(old, 7)];
        let mut live = states(&after, &records);
        records.extend(follow(&mut live, &before, &after, Timestamp::EPOCH));
        // What is durable says the same as what is in force.
        for states in [live, states(&after, &records)] {
            assert_eq!((mean(&states, new), mean(&states, old)), (Some(7), None));
        }
        // Which of two became which of three nobody knows.
        let two = file(&format!("{}, {}", first("1"), first("2")));
        let three = file(&["3", "4", "5"].map(first).join(", "));
        let mut live = states(&three, &[wrote(ids(&two)[0], 7)]);
        follow(&mut live, &two, &three, Timestamp::EPOCH);
        assert_eq!((mean(&live, ids(&three)[0]), mean(&live, ids(&two)[0])), (None, Some(7)));
    }

    #[test]
    fn what_no_rule_has_needed_for_two_weeks_is_forgotten() {
        let (there, gone) = (file("{alert: A, expr: up}"), file(""));
        let rule = ids(&there)[0];
        let day = |days: i64| Timestamp::EPOCH + Duration::from_hours(24 * days);
        let mut records = vec![wrote(rule, 7)];
        // As after a start each time: what is durable is all there is.
        for (days, files, kept) in [(0, &gone, true), (13, &gone, true), (13, &there, true), (20, &gone, true)] {
            let fresh = follow(&mut states(files, &records), &[], files, day(days));
            records.extend(fresh);
            assert_eq!(mean(&states(files, &records), rule).is_some(), kept, "{days}");
        }
        let mut live = states(&gone, &records);
        assert_eq!(follow(&mut live, &gone, &gone, day(34)), []);
        records.extend(follow(&mut live, &gone, &gone, day(35)));
        assert!(live.is_empty());
        assert!(states(&gone, &records).values().all(|state| lock(state).is_empty()));
    }
}
