//! Which rules read which series: what turns an arriving sample into evaluations, and what decides whether a series is
//! stored at all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use watchfire_model::{Labels, METRIC_NAME_LABEL, Matcher, RuleId};
use watchfire_rules::dataflow::{Reader, Written, circular, metric_name};
use watchfire_tsdb::{Cursor, SeriesId, Tsdb};

/// The number of the set of selectors of a series that nobody reads: the empty one.
const UNREAD: u32 = 0;
/// The number of the set of a series that is stored although no expression selects it.
const QUERIED: u32 = 1;

/// A selector and the rules that have it: it is tried once for all of them. One that no rule has any more is in no
/// series' set.
struct Selector {
    matchers: Arc<[Matcher]>,
    rules: Vec<RuleId>,
}

/// What a change of the rules means for what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Series may be read that were not.
    pub(crate) more: bool,
    /// Series may be read no longer.
    pub(crate) less: bool,
}

/// The selectors that match a series, shared by all series that the same ones match. A set is another set and one more
/// selector, so that it is found without being put together.
#[derive(Default)]
struct Sets {
    /// For each set that which it was made from, and what was added.
    made_of: Vec<(u32, u32)>,
    with: HashMap<(u32, u32), u32>,
    /// The rules of each set that some series has, ascending.
    rules: Vec<Option<Arc<[RuleId]>>>,
}

impl Sets {
    fn new() -> Sets {
        let none = Some(Arc::default());
        Sets { made_of: vec![(UNREAD, 0), (UNREAD, 0)], with: HashMap::new(), rules: vec![none.clone(), none] }
    }

    /// The set with one more selector, which comes after all that are in it.
    fn with(&mut self, set: u32, selector: u32) -> u32 {
        *self.with.entry((set, selector)).or_insert_with(|| {
            self.made_of.push((set, selector));
            self.rules.push(None);
            u32::try_from(self.made_of.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Puts the rules of a set together, if that was not done before.
    fn complete(&mut self, set: u32, selectors: &[Selector]) {
        if self.rules[set as usize].is_none() {
            let mut rules = BTreeSet::new();
            let mut left = set;
            while left != UNREAD {
                let (before, selector) = self.made_of[left as usize];
                rules.extend(selectors[selector as usize].rules.iter().copied());
                left = before;
            }
            self.rules[set as usize] = Some(rules.into_iter().collect());
        }
    }

    fn rules(&self, set: u32) -> &[RuleId] {
        self.rules[set as usize].as_deref().unwrap_or_default()
    }
}

/// Kept up to date as series come and go, so that a sample finds its rules by one look-up.
pub(crate) struct TouchIndex {
    selectors: Vec<Selector>,
    /// Selectors that name their metric, by that name, ascending.
    by_name: HashMap<String, Vec<u32>>,
    /// Selectors that do not.
    nameless: Vec<u32>,
    /// Metrics that templates may query.
    queried: BTreeSet<String>,
    /// Whether series count as read that no rule reads.
    keep_unread: bool,
    /// The number of each series' set of selectors, by the series' slot. That a slot belongs to another series now is
    /// seen by [`TouchIndex::follow`], under the same lock as the series that took it.
    by_slot: Vec<u32>,
    sets: Sets,
    cursor: Cursor,
    /// What rules write whose arrival must not start an evaluation, because it would start itself again.
    circular: BTreeSet<Written>,
}

impl Default for TouchIndex {
    fn default() -> TouchIndex {
        TouchIndex::new(&[], false, &Tsdb::default())
    }
}

impl TouchIndex {
    /// The index for these rules over the series that are there.
    pub(crate) fn new(readers: &[Arc<Reader>], keep_unread: bool, tsdb: &Tsdb) -> TouchIndex {
        let mut index = TouchIndex {
            selectors: Vec::new(),
            by_name: HashMap::new(),
            nameless: Vec::new(),
            queried: queried(readers),
            keep_unread,
            by_slot: Vec::new(),
            sets: Sets::new(),
            cursor: Cursor::default(),
            circular: circular(readers),
        };
        for (matchers, rules) in by_matchers(readers) {
            index.add_selector(matchers, rules);
        }
        index.take_in(tsdb);
        index
    }

    /// Puts other rules in the place of those that there are. Only selectors that come or go are looked up, so that it
    /// costs what changes.
    #[expect(clippy::mutable_key_type, reason = "matchers are compared by their texts, which never change")]
    pub(crate) fn set_readers(&mut self, readers: &[Arc<Reader>], keep_unread: bool, tsdb: &Tsdb) -> Reading {
        let mut wanted = by_matchers(readers);
        let numbers: HashMap<&[Matcher], usize> =
            wanted.iter().enumerate().map(|(number, (matchers, _))| (&***matchers, number)).collect();
        let live = self.selectors.iter().filter(|selector| !selector.rules.is_empty());
        let known = live.filter(|selector| numbers.contains_key(&*selector.matchers)).count();
        // What is gone leaves a gap behind, and a new index has none.
        let (gaps, come) = (self.selectors.len() - known, wanted.len() - known);
        let few = 4 * (gaps + come) <= known;
        if !few || keep_unread != self.keep_unread || queried(readers) != self.queried {
            let before = std::mem::replace(self, TouchIndex::new(readers, keep_unread, tsdb));
            return Reading { more: !self.reads_no_more_than(&before), less: true };
        }
        self.circular = circular(readers);
        let mut dropped = Vec::new();
        for (number, selector) in (0..).zip(&mut self.selectors).filter(|(_, selector)| !selector.rules.is_empty()) {
            let found = numbers.get(&*selector.matchers);
            selector.rules = found.map(|found| std::mem::take(&mut wanted[*found].1)).unwrap_or_default();
            if selector.rules.is_empty() {
                dropped.push(number);
            }
        }
        for number in &dropped {
            let named = metric_name(&self.selectors[*number as usize].matchers).and_then(|n| self.by_name.get_mut(n));
            named.unwrap_or(&mut self.nameless).retain(|other| other != number);
        }
        // What nobody has taken is new.
        let come = wanted.into_iter().filter(|(_, rules)| !rules.is_empty());
        let come: Vec<u32> = come.map(|(matchers, rules)| self.add_selector(matchers, rules)).collect();
        self.follow(tsdb);
        for number in dropped.iter().chain(&come) {
            for id in tsdb.select(&Arc::clone(&self.selectors[*number as usize].matchers)) {
                if let Some(series) = tsdb.series(id) {
                    self.by_slot[id.slot()] = self.set_for(series.labels());
                }
            }
        }
        // Selectors may have other rules than before.
        self.sets.rules[QUERIED as usize + 1..].fill(None);
        for set in &self.by_slot {
            self.sets.complete(*set, &self.selectors);
        }
        Reading { more: !come.is_empty(), less: !dropped.is_empty() }
    }

    fn add_selector(&mut self, matchers: &Arc<[Matcher]>, rules: Vec<RuleId>) -> u32 {
        let number = u32::try_from(self.selectors.len()).unwrap_or(u32::MAX);
        match metric_name(matchers) {
            Some(name) => self.by_name.entry(name.to_owned()).or_default().push(number),
            None => self.nameless.push(number),
        }
        self.selectors.push(Selector { matchers: Arc::clone(matchers), rules });
        number
    }

    /// Takes in the series that are there: each selector is looked up once, instead of being tried on each of them.
    fn take_in(&mut self, tsdb: &Tsdb) {
        let created = tsdb.new_series_since(Cursor::default());
        self.cursor = created.cursor;
        let slots = created.series.iter().map(|id| id.slot() + 1).max().unwrap_or(0);
        self.by_slot = vec![UNREAD; slots];
        for (number, selector) in (0..).zip(&self.selectors) {
            // Neighbours mostly have the same set.
            let mut last = None;
            for id in tsdb.select(&selector.matchers) {
                let set = &mut self.by_slot[id.slot()];
                let (_, with) = *match &last {
                    Some(step @ (before, _)) if before == set => step,
                    _ => last.insert((*set, self.sets.with(*set, number))),
                };
                *set = with;
            }
        }
        let kept: Vec<SeriesId> = if self.keep_unread {
            created.series.to_vec()
        } else {
            let of_name = |name: &String| tsdb.select(&[Matcher::equal(METRIC_NAME_LABEL, name)]);
            self.queried.iter().flat_map(of_name).collect()
        };
        for id in kept {
            let set = &mut self.by_slot[id.slot()];
            *set = if *set == UNREAD { QUERIED } else { *set };
        }
        for set in &self.by_slot {
            self.sets.complete(*set, &self.selectors);
        }
    }

    /// Takes in the series that were created since the last time.
    pub(crate) fn follow(&mut self, tsdb: &Tsdb) {
        let created = tsdb.new_series_since(self.cursor);
        for id in created.series {
            let Some(series) = tsdb.series(*id) else { continue };
            let set = self.set_for(series.labels());
            if self.by_slot.len() <= id.slot() {
                self.by_slot.resize(id.slot() + 1, UNREAD);
            }
            self.by_slot[id.slot()] = set;
        }
        self.cursor = created.cursor;
    }

    /// Whether samples of a series with these labels are worth keeping.
    pub(crate) fn is_read(&self, labels: &Labels) -> bool {
        self.keeps(labels) || self.selectors_of(labels).any(|number| self.matches(number, labels))
    }

    /// The same for a stored series, by its slot.
    pub(crate) fn is_slot_read(&self, slot: usize) -> bool {
        self.by_slot.get(slot).is_some_and(|number| *number != UNREAD)
    }

    /// Whether everything that `self` finds to be read was so for `before` too.
    #[expect(clippy::mutable_key_type, reason = "matchers are compared by their texts, which never change")]
    fn reads_no_more_than(&self, before: &TouchIndex) -> bool {
        fn matchers(index: &TouchIndex) -> HashSet<&[Matcher]> {
            let read = index.selectors.iter().filter(|selector| !selector.rules.is_empty());
            read.map(|selector| &*selector.matchers).collect()
        }
        before.keep_unread
            || !self.keep_unread
                && self.queried.is_subset(&before.queried)
                && matchers(self).is_subset(&matchers(before))
    }

    /// The rules that read a series.
    pub(crate) fn touched_by(&self, series: SeriesId) -> &[RuleId] {
        self.by_slot.get(series.slot()).map_or(&[], |set| self.sets.rules(*set))
    }

    /// The rules that read any of these series. Series that the same rules read share one set, so that a batch of them
    /// costs a number each.
    pub(crate) fn touched_by_any(&self, series: &[SeriesId]) -> BTreeSet<RuleId> {
        let mut sets: Vec<u32> = series.iter().filter_map(|series| self.by_slot.get(series.slot()).copied()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets.into_iter().flat_map(|set| self.sets.rules(set)).copied().collect()
    }

    /// Whether a series that a rule wrote may start evaluations.
    pub(crate) fn may_propagate(&self, series: &Labels) -> bool {
        !self.circular.contains(&Written::of(series))
    }

    /// Whether the series is kept whatever expressions select.
    fn keeps(&self, labels: &Labels) -> bool {
        self.keep_unread || labels.metric_name().is_some_and(|name| self.queried.contains(name))
    }

    /// The selectors that may match, ascending.
    fn selectors_of(&self, labels: &Labels) -> impl Iterator<Item = u32> {
        let named = labels.metric_name().and_then(|name| self.by_name.get(name)).map_or(&[][..], Vec::as_slice);
        let (mut named, mut nameless) = (named.iter().copied().peekable(), self.nameless.iter().copied().peekable());
        std::iter::from_fn(move || match (named.peek(), nameless.peek()) {
            (Some(a), Some(b)) if b < a => nameless.next(),
            (None, _) => nameless.next(),
            _ => named.next(),
        })
    }

    fn matches(&self, selector: u32, labels: &Labels) -> bool {
        self.selectors[selector as usize].matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    fn set_for(&mut self, labels: &Labels) -> u32 {
        let matching: Vec<u32> = self.selectors_of(labels).filter(|selector| self.matches(*selector, labels)).collect();
        if matching.is_empty() {
            return if self.keeps(labels) { QUERIED } else { UNREAD };
        }
        let set = matching.into_iter().fold(UNREAD, |set, selector| self.sets.with(set, selector));
        self.sets.complete(set, &self.selectors);
        set
    }
}

/// The metrics that templates may query.
fn queried(readers: &[Arc<Reader>]) -> BTreeSet<String> {
    readers.iter().flat_map(|reader| &reader.queried).cloned().collect()
}

/// The rules of each selector, in the order of their first appearance.
#[expect(clippy::mutable_key_type, reason = "matchers are compared by their texts, which never change")]
fn by_matchers(readers: &[Arc<Reader>]) -> Vec<(&Arc<[Matcher]>, Vec<RuleId>)> {
    let mut numbers: HashMap<&[Matcher], usize> = HashMap::new();
    let mut found: Vec<(&Arc<[Matcher]>, Vec<RuleId>)> = Vec::new();
    for reader in readers {
        for matchers in &reader.selectors {
            let number = *numbers.entry(matchers).or_insert(found.len());
            if number == found.len() {
                found.push((matchers, Vec::new()));
            }
            found[number].1.push(reader.rule);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use watchfire_model::{Anchoring, MatchOp, Sample, Timestamp};
    use watchfire_tsdb::Settings;

    use super::*;

    /// A rule that records a series, or raises the alert `A` and the rule's number.
    fn reader(rule: u64, selectors: &[&[(&str, MatchOp, &str)]], records: Option<&str>) -> Arc<Reader> {
        let matcher = |(name, op, value): &(&str, MatchOp, &str)| {
            Matcher::new(*name, *op, *value, Anchoring::Prometheus).unwrap()
        };
        let selectors = selectors.iter().map(|selector| selector.iter().map(matcher).collect()).collect();
        let writes =
            records.map_or_else(|| Written::Alert(format!("A{rule}")), |name| Written::Series(name.to_owned()));
        Arc::new(Reader::new(RuleId(rule), selectors, BTreeSet::new(), writes))
    }

    #[test]
    fn a_sample_touches_the_rules_whose_selectors_match_its_series() {
        use MatchOp::{Equal, Regex};
        let mut tsdb = Tsdb::new(Settings::default());
        let readers = vec![
            reader(1, &[&[("__name__", Equal, "up")]], None),
            reader(2, &[&[("__name__", Equal, "up"), ("job", Equal, "a")]], None),
            reader(3, &[&[("job", Regex, ".+")]], None),
            reader(4, &[&[("__name__", Equal, "down")]], None),
        ];
        let mut index = TouchIndex::new(&readers, false, &tsdb);
        let mut touched = |labels: &[(&str, &str)]| {
            let labels = Labels::from_pairs(labels.iter().copied());
            let sample = Sample { timestamp: Timestamp::EPOCH, value: 1.0 };
            let id = tsdb.append(&labels, sample).unwrap();
            index.follow(&tsdb);
            index.touched_by(id).iter().map(|rule| rule.0).collect::<Vec<_>>()
        };
        assert_eq!(touched(&[("__name__", "up"), ("job", "a")]), [1, 2, 3]);
        assert_eq!(touched(&[("__name__", "up"), ("job", "b")]), [1, 3]);
        assert_eq!(touched(&[("__name__", "up")]), [1]);
        assert_eq!(touched(&[("__name__", "other")]), [0u64; 0]);
        // An index that is made over these series knows the same.
        let made = TouchIndex::new(&readers, false, &tsdb);
        for series in tsdb.all_series() {
            assert_eq!(made.touched_by(series.id()), index.touched_by(series.id()), "{}", series.labels());
        }
    }

    /// Selectors of which rules have some.
    fn selector(number: u64) -> Vec<(&'static str, MatchOp, &'static str)> {
        use MatchOp::{Equal, NotEqual, Regex};
        let name = ["a", "b", "c", "d"][number as usize % 4];
        let job = ["", "x", "y"][number as usize / 4 % 3];
        match number / 12 {
            0 => vec![("__name__", Equal, name), ("job", Equal, job)],
            1 => vec![("__name__", Equal, name), ("job", NotEqual, job)],
            _ => vec![("__name__", Regex, if name < "c" { "a|b|c" } else { "[^a]" }), ("job", Equal, job)],
        }
    }

    proptest! {
        #[test]
        fn a_changed_index_is_as_good_as_a_new_one(
            steps in prop::collection::vec((0u64..30, prop::collection::vec(0u64..36, 0..3), 0usize..12, any::<bool>()), 1..20),
        ) {
            let mut tsdb = Tsdb::default();
            let mut rules: BTreeMap<u64, Vec<u64>> = (0..30).map(|rule| (rule, vec![rule, rule + 6])).collect();
            let readers = |rules: &BTreeMap<u64, Vec<u64>>| -> Vec<Arc<Reader>> {
                let with = |(rule, numbers): (&u64, &Vec<u64>)| {
                    let selectors: Vec<_> = numbers.iter().map(|number| selector(*number)).collect();
                    let selectors: Vec<_> = selectors.iter().map(Vec::as_slice).collect();
                    reader(*rule, &selectors, None)
                };
                rules.iter().map(with).collect()
            };
            let mut index = TouchIndex::new(&readers(&rules), false, &tsdb);
            for (rule, selectors, series, follows) in steps {
                let labels = Labels::from_pairs([("__name__", ["a", "b", "c", "d"][series % 4]), ("job", ["", "x", "z"][series / 4])]);
                tsdb.append(&labels, Sample { timestamp: Timestamp::EPOCH, value: 1.0 }).unwrap();
                if follows {
                    index.follow(&tsdb);
                }
                rules.insert(rule, selectors);
                let reads = |index: &TouchIndex| -> BTreeSet<Labels> {
                    let all = tsdb.all_series().map(|series| series.labels().clone());
                    all.filter(|labels| index.is_read(labels)).collect()
                };
                let before = reads(&index);
                let reading = index.set_readers(&readers(&rules), false, &tsdb);
                let fresh = TouchIndex::new(&readers(&rules), false, &tsdb);
                let after = reads(&index);
                prop_assert_eq!(&after, &reads(&fresh));
                prop_assert!(reading.more || after.is_subset(&before));
                prop_assert!(reading.less || before.is_subset(&after));
                for id in tsdb.all_series().map(|series| series.id()) {
                    prop_assert_eq!(index.touched_by(id), fresh.touched_by(id));
                    prop_assert_eq!(index.is_slot_read(id.slot()), fresh.is_slot_read(id.slot()));
                }
            }
        }
    }

    #[test]
    fn a_series_is_worth_keeping_if_an_expression_or_a_template_reads_it_or_everything_is_kept() {
        use MatchOp::{Equal, Regex};
        let tsdb = Tsdb::default();
        let named = || reader(1, &[&[("__name__", Equal, "up"), ("job", Regex, "a|b")]], None);
        let queried = BTreeSet::from(["build_info".to_owned()]);
        let templated = Arc::new(Reader::new(RuleId(2), Vec::new(), queried, Written::Alert("A2".to_owned())));
        let narrow = TouchIndex::new(&[named()], false, &tsdb);
        let wide = TouchIndex::new(&[templated, named()], false, &tsdb);
        let all = TouchIndex::new(&[], true, &tsdb);
        for (name, job, expected) in [
            ("up", "a", [true, true, true]),
            ("up", "c", [false, false, true]),
            ("build_info", "c", [false, true, true]),
            ("down", "a", [false, false, true]),
        ] {
            let labels = Labels::from_pairs([("__name__", name), ("job", job)]);
            assert_eq!([&narrow, &wide, &all].map(|index| index.is_read(&labels)), expected, "{labels}");
        }
        let order = [&narrow, &wide, &all];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(a.reads_no_more_than(b), i <= j, "{i} and {j}");
            }
        }
    }

    #[test]
    fn rules_that_a_sample_does_not_touch_cost_it_nothing() {
        let of = |rule: u64, metric: &str| {
            reader(rule, &[&[("__name__", MatchOp::Equal, metric), ("job", MatchOp::Equal, "a")]], None)
        };
        // The selectors that are tried when the series is new, and the rules that are looked at for each sample.
        let looked_at = |others: u64| {
            let mut tsdb = Tsdb::default();
            let mut readers: Vec<_> = (0..others).map(|rule| of(rule, &format!("other_{rule}"))).collect();
            readers.extend([of(others, "up"), of(others + 1, "up")]);
            let mut index = TouchIndex::new(&readers, false, &tsdb);
            let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
            let id = tsdb.append(&labels, Sample { timestamp: Timestamp::EPOCH, value: 1.0 }).unwrap();
            index.follow(&tsdb);
            (index.selectors_of(&labels).count(), index.touched_by_any(&[id; 100]).len())
        };
        assert_eq!([100, 1_000, 10_000].map(looked_at), [(1, 2); 3]);
    }
}
