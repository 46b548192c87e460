//! What an evaluation says about instances that it does not find: are their data missing, have they recovered?

use std::collections::{BTreeMap, BTreeSet, HashSet};

use watchfire_model::{ALERT_NAME_LABEL, Labels, METRIC_NAME_LABEL};

use crate::labels::SEVERITY_LABEL;
use crate::{Alerting, Rule};

/// Elements of a query, to be found by the labels of instances.
///
/// Labels that the rule itself sets say nothing about which element an instance came from, and are left out.
pub(crate) struct ElementIndex {
    shapes: BTreeMap<BTreeSet<String>, Shape>,
}

/// Elements with the same label names.
#[derive(Default)]
struct Shape {
    elements: Vec<Labels>,
    /// The elements reduced to some of their names, made when they are asked for first.
    reduced: BTreeMap<BTreeSet<String>, HashSet<Labels>>,
}

impl ElementIndex {
    pub(crate) fn new(rule: &Rule, alerting: &Alerting, elements: impl Iterator<Item = Labels>) -> ElementIndex {
        let is_own = |name: &str| {
            name == METRIC_NAME_LABEL
                || name == ALERT_NAME_LABEL
                || rule.label(name).is_some()
                || (name == SEVERITY_LABEL && (rule.condition.is_some() || !alerting.severities.is_empty()))
        };
        let mut shapes: BTreeMap<BTreeSet<String>, Shape> = BTreeMap::new();
        for element in elements {
            let element = element.filter(|name| !is_own(name));
            let names = element.iter().map(|label| label.name.to_owned()).collect();
            shapes.entry(names).or_default().elements.push(element);
        }
        ElementIndex { shapes }
    }

    /// Whether the instance has every label of some element: the element is about it, or about more than it.
    pub(crate) fn covers(&mut self, instance: &Labels) -> bool {
        self.shapes.iter_mut().any(|(names, shape)| {
            names.iter().all(|name| instance.get(name).is_some()) && shape.has(names.clone(), instance)
        })
    }

    /// Whether some element agrees with the instance in the labels that both have.
    pub(crate) fn agrees(&mut self, instance: &Labels) -> bool {
        self.shapes.iter_mut().any(|(names, shape)| {
            let shared = names.iter().filter(|name| instance.get(name).is_some()).cloned().collect();
            shape.has(shared, instance)
        })
    }
}

impl Shape {
    fn has(&mut self, names: BTreeSet<String>, instance: &Labels) -> bool {
        let wanted = instance.filter(|name| names.contains(name));
        let elements = &self.elements;
        let reduce = |names: &BTreeSet<String>| {
            elements.iter().map(|element| element.filter(|name| names.contains(name))).collect()
        };
        let made = match self.reduced.contains_key(&names) {
            true => None,
            false => Some(reduce(&names)),
        };
        let reduced = self.reduced.entry(names).or_insert_with(|| made.unwrap_or_default());
        reduced.contains(&wanted)
    }
}
