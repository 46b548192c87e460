//! Which rules may an event concern?

use std::collections::{BTreeMap, BTreeSet, HashMap};

use watchfire_model::{Event, RuleId};

use crate::CompiledQuery;
use crate::compile::Filter;
use crate::field::lookup;
use crate::matcher::IndexKey;

/// Finds the rules that may match an event without asking all of them.
///
/// Each rule is entered under one field that it compares for equality: the one whose values it shares with the fewest
/// other rules. Rules that compare nothing for equality are asked of every event.
#[derive(Debug, Default)]
pub struct EventIndex {
    /// By field, then by value; looked up, never iterated where order could show.
    fields: BTreeMap<String, HashMap<IndexKey, Vec<RuleId>>>,
    always: Vec<RuleId>,
}

/// A field with the values of which a matching event has one.
type Access = Vec<(String, Vec<IndexKey>)>;

impl EventIndex {
    /// Over the given rules.
    pub fn new<'a>(rules: impl IntoIterator<Item = (RuleId, &'a CompiledQuery)>) -> EventIndex {
        let rules: Vec<_> = rules.into_iter().map(|(id, query)| (id, choices(query))).collect();
        let mut sharing: HashMap<(&str, &IndexKey), usize> = HashMap::new();
        for (field, key) in rules
            .iter()
            .flat_map(|(_, choices)| choices)
            .flatten()
            .flat_map(|(f, keys)| keys.iter().map(move |key| (f.as_str(), key)))
        {
            *sharing.entry((field, key)).or_default() += 1;
        }
        let cost = |access: &Access| -> usize {
            access.iter().flat_map(|(f, keys)| keys.iter().map(|key| sharing[&(f.as_str(), key)])).sum()
        };
        let mut index = EventIndex::default();
        for (id, choices) in &rules {
            let Some(access) = choices.iter().min_by_key(|access| cost(access)) else {
                index.always.push(*id);
                continue;
            };
            for (field, keys) in access {
                let values = index.fields.entry(field.clone()).or_default();
                for key in keys {
                    values.entry(key.clone()).or_default().push(*id);
                }
            }
        }
        index
    }

    /// Every rule that matches the event, and perhaps some that do not; each once, in the order of their ids.
    pub fn candidates(&self, event: &Event) -> Vec<RuleId> {
        let mut found: BTreeSet<RuleId> = self.always.iter().copied().collect();
        for (field, values) in &self.fields {
            let Some(view) = lookup(event, field) else { continue };
            view.any(&mut |view| {
                let text = view.text().into_owned();
                let folded = IndexKey::Folded(text.to_lowercase());
                let number = view.number().map(IndexKey::number);
                for key in [Some(IndexKey::Text(text)), Some(folded), number].into_iter().flatten() {
                    found.extend(values.get(&key).into_iter().flatten());
                }
                false
            });
        }
        found.into_iter().collect()
    }

    /// How many rules are asked of every event, because nothing in them can be looked up.
    pub fn unindexed(&self) -> usize {
        self.always.len()
    }
}

/// The ways in which a query can be entered. A sequence without a common condition can be entered under all its
/// steps together, if each has one.
fn choices(query: &CompiledQuery) -> Vec<Access> {
    let (filter, steps) = query.filters();
    let mut choices: Vec<Access> = equalities(filter).map(|access| vec![access]).collect();
    if choices.is_empty() && !steps.is_empty() {
        let each: Option<Access> = steps.iter().map(|step| equalities(step).next()).collect();
        choices.extend(each);
    }
    choices
}

fn equalities(filter: &Filter) -> impl Iterator<Item = (String, Vec<IndexKey>)> {
    filter.matchers.iter().filter_map(|matcher| Some((matcher.field().to_owned(), matcher.index_keys()?)))
}
