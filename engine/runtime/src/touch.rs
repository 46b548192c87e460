//! Which rules read which series: what turns an arriving sample into evaluations, and what decides whether a series is
//! stored at all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use watchfire_model::{Labels, METRIC_NAME_LABEL, MatchOp, Matcher, RuleId};
use watchfire_tsdb::{Cursor, SeriesId, Tsdb};

/// A rule and what it reads.
pub(crate) struct Reader {
    pub(crate) rule: RuleId,
    /// One list of matchers per selector of its expression; a sample that one of them matches starts an evaluation.
    pub(crate) selectors: Vec<Vec<Matcher>>,
    /// Metrics that its templates may query; their samples are stored and start nothing.
    pub(crate) queried: BTreeSet<String>,
    /// The series that the rule itself writes, if it is a recording rule.
    pub(crate) records: Option<String>,
}

/// The rules that read a series, shared by all series that the same rules read.
type Rules = Arc<[RuleId]>;

/// The number of the set of rules of a series that nobody reads.
const UNREAD: u32 = 0;
/// The number of the set of rules of a series that is stored although no expression selects it.
const QUERIED: u32 = 1;

/// A selector and the rules that have it: it is tried once for all of them.
struct Selector {
    number: usize,
    matchers: Vec<Matcher>,
    rules: Vec<RuleId>,
}

/// Kept up to date as series come and go, so that a sample finds its rules by one look-up.
pub(crate) struct TouchIndex {
    /// Selectors that name their metric, by that name.
    by_name: HashMap<String, Vec<Selector>>,
    /// Selectors that do not.
    nameless: Vec<Selector>,
    /// Metrics that templates may query.
    queried: BTreeSet<String>,
    /// Whether series count as read that no rule reads.
    keep_unread: bool,
    /// The number of each series' set of rules, by the series' slot. That a slot belongs to another series now is seen
    /// by [`TouchIndex::follow`], under the same lock as the series that took it.
    by_slot: Vec<u32>,
    /// The sets of rules; the first two are empty.
    sets: Vec<Rules>,
    numbers: HashMap<Rules, u32>,
    /// The same by the selectors that match a series, so that a set is put together once and not for each series.
    by_selectors: HashMap<Vec<usize>, u32>,
    cursor: Cursor,
    /// Names of recorded series whose arrival must not start an evaluation, because it would start itself again.
    circular: BTreeSet<String>,
}

impl Default for TouchIndex {
    fn default() -> TouchIndex {
        TouchIndex::new(Vec::new(), false, &Tsdb::default())
    }
}

impl TouchIndex {
    /// The index for these rules over the series that are there.
    pub(crate) fn new(readers: Vec<Reader>, keep_unread: bool, tsdb: &Tsdb) -> TouchIndex {
        let mut index = TouchIndex {
            by_name: HashMap::new(),
            nameless: Vec::new(),
            queried: BTreeSet::new(),
            keep_unread,
            by_slot: Vec::new(),
            sets: vec![Rules::default(), Rules::default()],
            numbers: HashMap::new(),
            by_selectors: HashMap::new(),
            cursor: Cursor::default(),
            circular: circular_names(&readers),
        };
        // Where each selector stands in its list, by its text, and how many there are.
        let mut places: HashMap<String, usize> = HashMap::new();
        for reader in readers {
            index.queried.extend(reader.queried);
            for matchers in reader.selectors {
                let selectors = match metric_name(&matchers) {
                    Some(name) => index.by_name.entry(name.to_owned()).or_default(),
                    None => &mut index.nameless,
                };
                let number = places.len();
                let place = *places.entry(format!("{matchers:?}")).or_insert(selectors.len());
                match selectors.get_mut(place) {
                    Some(known) => known.rules.push(reader.rule),
                    None => selectors.push(Selector { number, matchers, rules: vec![reader.rule] }),
                }
            }
        }
        index.follow(tsdb);
        index
    }

    /// Takes in the series that were created since the last time.
    pub(crate) fn follow(&mut self, tsdb: &Tsdb) {
        let created = tsdb.new_series_since(self.cursor);
        for id in created.series {
            let Some(series) = tsdb.series(*id) else { continue };
            let number = self.number_for(series.labels());
            if self.by_slot.len() <= id.slot() {
                self.by_slot.resize(id.slot() + 1, UNREAD);
            }
            self.by_slot[id.slot()] = number;
        }
        self.cursor = created.cursor;
    }

    /// Whether samples of a series with these labels are worth keeping.
    pub(crate) fn is_read(&self, labels: &Labels) -> bool {
        self.keeps(labels) || self.selectors_of(labels).next().is_some()
    }

    /// The same for a stored series, by its slot.
    pub(crate) fn is_slot_read(&self, slot: usize) -> bool {
        self.by_slot.get(slot).is_some_and(|number| *number != UNREAD)
    }

    /// Whether everything that `self` finds to be read was so for `before` too.
    pub(crate) fn reads_no_more_than(&self, before: &TouchIndex) -> bool {
        fn texts(index: &TouchIndex) -> HashSet<String> {
            index
                .by_name
                .values()
                .flatten()
                .chain(&index.nameless)
                .map(|selector| format!("{:?}", selector.matchers))
                .collect()
        }
        before.keep_unread
            || !self.keep_unread && self.queried.is_subset(&before.queried) && texts(self).is_subset(&texts(before))
    }

    /// The rules that read a series.
    pub(crate) fn touched_by(&self, series: SeriesId) -> &[RuleId] {
        self.by_slot.get(series.slot()).map_or(&[], |number| &self.sets[*number as usize])
    }

    /// The rules that read any of these series. Series that the same rules read share one list, so that a batch of
    /// them costs a comparison each.
    pub(crate) fn touched_by_any(&self, series: &[SeriesId]) -> BTreeSet<RuleId> {
        let mut touched = BTreeSet::new();
        let mut last = UNREAD;
        for number in series.iter().filter_map(|series| self.by_slot.get(series.slot())) {
            if last != *number {
                touched.extend(self.sets[*number as usize].iter().copied());
                last = *number;
            }
        }
        touched
    }

    /// Whether a recorded series of this name may start evaluations.
    pub(crate) fn may_propagate(&self, name: &str) -> bool {
        !self.circular.contains(name)
    }

    /// Whether the series is kept whatever expressions select.
    fn keeps(&self, labels: &Labels) -> bool {
        self.keep_unread || labels.metric_name().is_some_and(|name| self.queried.contains(name))
    }

    fn selectors_of(&self, labels: &Labels) -> impl Iterator<Item = &Selector> {
        let named = labels.metric_name().and_then(|name| self.by_name.get(name));
        let selectors = named.into_iter().flatten().chain(&self.nameless);
        selectors.filter(|selector| matches(&selector.matchers, labels))
    }

    fn number_for(&mut self, labels: &Labels) -> u32 {
        let found: Vec<usize> = self.selectors_of(labels).map(|selector| selector.number).collect();
        if found.is_empty() {
            return if self.keeps(labels) { QUERIED } else { UNREAD };
        }
        if let Some(known) = self.by_selectors.get(&found) {
            return *known;
        }
        let rules: BTreeSet<RuleId> = self.selectors_of(labels).flat_map(|selector| &selector.rules).copied().collect();
        let rules: Rules = rules.into_iter().collect();
        let number = *self.numbers.entry(rules).or_insert_with_key(|rules| {
            self.sets.push(Arc::clone(rules));
            u32::try_from(self.sets.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_selectors.insert(found, number);
        number
    }
}

fn matches(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

fn metric_name(selector: &[Matcher]) -> Option<&str> {
    let named = |matcher: &&Matcher| matcher.name() == METRIC_NAME_LABEL && matcher.op() == MatchOp::Equal;
    selector.iter().find(named).map(Matcher::value)
}

/// Recorded names that reach themselves: recording `a` from `b` and `b` from `a`, or reading whatever there is.
fn circular_names(readers: &[Reader]) -> BTreeSet<String> {
    let recorded: BTreeSet<&str> = readers.iter().filter_map(|reader| reader.records.as_deref()).collect();
    let may_read = |reader: &Reader, name: &str| {
        reader.selectors.iter().any(|selector| {
            let names = selector.iter().filter(|matcher| matcher.name() == METRIC_NAME_LABEL);
            names.into_iter().all(|matcher| matcher.matches(name))
        })
    };
    // An edge leads from a recorded name to every recorded name whose rule may read it.
    let edges: HashMap<&str, Vec<&str>> = recorded
        .iter()
        .map(|name| {
            let readers = readers.iter().filter(|reader| may_read(reader, name));
            (*name, readers.filter_map(|reader| reader.records.as_deref()).collect())
        })
        .collect();
    let reaches_itself = |start: &str| {
        let mut open: Vec<&str> = edges.get(start).cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if name == start {
                return true;
            }
            if seen.insert(name) {
                open.extend(edges.get(name).into_iter().flatten());
            }
        }
        false
    };
    recorded.iter().filter(|name| reaches_itself(name)).map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::{Anchoring, Sample, Timestamp};
    use watchfire_tsdb::Settings;

    fn reader(rule: u64, selectors: &[&[(&str, MatchOp, &str)]], records: Option<&str>) -> Reader {
        let matcher = |(name, op, value): &(&str, MatchOp, &str)| {
            Matcher::new(*name, *op, *value, Anchoring::Prometheus).unwrap()
        };
        let selectors = selectors.iter().map(|selector| selector.iter().map(matcher).collect()).collect();
        Reader { rule: RuleId(rule), selectors, queried: BTreeSet::new(), records: records.map(str::to_owned) }
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
        let mut index = TouchIndex::new(readers, false, &tsdb);
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
    }

    #[test]
    fn a_series_is_worth_keeping_if_an_expression_or_a_template_reads_it_or_everything_is_kept() {
        use MatchOp::{Equal, Regex};
        let tsdb = Tsdb::default();
        let named = || reader(1, &[&[("__name__", Equal, "up"), ("job", Regex, "a|b")]], None);
        let templated = || Reader { queried: BTreeSet::from(["build_info".to_owned()]), ..reader(2, &[], None) };
        let narrow = TouchIndex::new(vec![named()], false, &tsdb);
        let wide = TouchIndex::new(vec![templated(), named()], false, &tsdb);
        let all = TouchIndex::new(Vec::new(), true, &tsdb);
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
    fn recorded_series_that_feed_themselves_start_nothing() {
        use MatchOp::{Equal, Regex};
        let readers = vec![
            reader(1, &[&[("__name__", Equal, "raw")]], Some("a")),
            reader(2, &[&[("__name__", Equal, "a")]], Some("b")),
            reader(3, &[&[("__name__", Equal, "d")]], Some("c")),
            reader(4, &[&[("__name__", Equal, "c")]], Some("d")),
            reader(5, &[&[("__name__", Regex, "e|f")]], Some("e")),
            reader(6, &[&[("__name__", Equal, "a")]], None),
        ];
        assert_eq!(circular_names(&readers).into_iter().collect::<Vec<_>>(), ["c", "d", "e"]);
    }
}
