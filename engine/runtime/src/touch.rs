//! Which rules read which series: what turns an arriving sample into evaluations.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use watchfire_model::{Labels, METRIC_NAME_LABEL, MatchOp, Matcher, RuleId};
use watchfire_tsdb::{Cursor, SeriesId, Tsdb};

/// A rule and the selectors of its expression.
pub(crate) struct Reader {
    pub(crate) rule: RuleId,
    /// One list of matchers per selector.
    pub(crate) selectors: Vec<Vec<Matcher>>,
    /// The series that the rule itself writes, if it is a recording rule.
    pub(crate) records: Option<String>,
}

/// The rules that read a series, shared by all series that the same rules read.
type Rules = Arc<[RuleId]>;

/// Kept up to date as series come and go, so that a sample finds its rules by one look-up.
#[derive(Default)]
pub(crate) struct TouchIndex {
    /// Selectors that name their metric, by that name.
    by_name: HashMap<String, Vec<(RuleId, Vec<Matcher>)>>,
    /// Selectors that do not.
    nameless: Vec<(RuleId, Vec<Matcher>)>,
    by_series: HashMap<SeriesId, Rules>,
    /// One copy of each set of rules.
    sets: BTreeSet<Rules>,
    cursor: Cursor,
    /// Names of recorded series whose arrival must not start an evaluation, because it would start itself again.
    circular: BTreeSet<String>,
}

impl TouchIndex {
    /// The index for these rules over the series that are there.
    pub(crate) fn new(readers: Vec<Reader>, tsdb: &Tsdb) -> TouchIndex {
        let circular = circular_names(&readers);
        let mut index = TouchIndex { circular, ..TouchIndex::default() };
        for reader in readers {
            for selector in reader.selectors {
                match metric_name(&selector) {
                    Some(name) => {
                        index.by_name.entry(name.to_owned()).or_default().push((reader.rule, selector));
                    }
                    None => index.nameless.push((reader.rule, selector)),
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
            let rules = self.rules_for(series.labels());
            if !rules.is_empty() {
                self.by_series.insert(*id, rules);
            }
        }
        self.cursor = created.cursor;
    }

    /// Forgets series that are gone.
    pub(crate) fn forget(&mut self, series: &[SeriesId]) {
        for id in series {
            self.by_series.remove(id);
        }
    }

    /// The rules that read a series.
    pub(crate) fn touched_by(&self, series: SeriesId) -> &[RuleId] {
        self.by_series.get(&series).map_or(&[], |rules| rules)
    }

    /// The rules that read any of these series. Series that the same rules read share one list, so that a batch of
    /// them costs a comparison each.
    pub(crate) fn touched_by_any(&self, series: &[SeriesId]) -> BTreeSet<RuleId> {
        let mut touched = BTreeSet::new();
        let mut last: Option<&Rules> = None;
        for rules in series.iter().filter_map(|series| self.by_series.get(series)) {
            if !last.is_some_and(|last| Arc::ptr_eq(last, rules)) {
                touched.extend(rules.iter().copied());
                last = Some(rules);
            }
        }
        touched
    }

    /// Whether a recorded series of this name may start evaluations.
    pub(crate) fn may_propagate(&self, name: &str) -> bool {
        !self.circular.contains(name)
    }

    fn rules_for(&mut self, labels: &Labels) -> Rules {
        let named = labels.metric_name().and_then(|name| self.by_name.get(name));
        let found: BTreeSet<RuleId> = named
            .into_iter()
            .flatten()
            .chain(&self.nameless)
            .filter(|(_, matchers)| matches(matchers, labels))
            .map(|(rule, _)| *rule)
            .collect();
        let rules: Rules = found.into_iter().collect();
        match self.sets.get(&rules) {
            Some(shared) => Arc::clone(shared),
            None => {
                self.sets.insert(Arc::clone(&rules));
                rules
            }
        }
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
        Reader { rule: RuleId(rule), selectors, records: records.map(str::to_owned) }
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
        let mut index = TouchIndex::new(readers, &tsdb);
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
