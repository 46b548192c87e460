//! Which rules read what others write: what evaluates rules on arrival must know it, so that a result reaches the rules that
//! read it, and comes back to none.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use watchfire_alerting::RuleKind;
use watchfire_model::{ALERT_NAME_LABEL, Labels, METRIC_NAME_LABEL, MatchOp, Matcher, RuleId};

use crate::Rule;

/// What is written of every alert.
const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// A rule and what it reads.
#[derive(Debug)]
pub struct Reader {
    /// Which rule.
    pub rule: RuleId,
    /// One list of matchers per selector of its expression; a sample that one of them matches starts an evaluation.
    pub selectors: Vec<Arc<[Matcher]>>,
    /// Metrics that its templates may query; their samples are stored and start nothing.
    pub queried: BTreeSet<String>,
    /// The series that the rule itself writes.
    pub writes: Written,
    /// Whether some alert's series could be among those that it selects.
    may_read_alerts: bool,
}

impl Reader {
    /// What a rule reads; `None` for one that reads no series.
    pub fn of(rule: &Rule) -> Option<Reader> {
        let selectors: Vec<_> = rule.selectors().into_iter().map(|selector| selector.matchers.into()).collect();
        let queried = rule.template_queries().names;
        let reads = !selectors.is_empty() || !queried.is_empty();
        reads.then(|| Reader::new(rule.id, selectors, queried, Written::by(&rule.name, &rule.life())))
    }

    /// From its parts.
    pub fn new(rule: RuleId, selectors: Vec<Arc<[Matcher]>>, queried: BTreeSet<String>, writes: Written) -> Reader {
        let may_read = |selector: &[Matcher]| ALERT_SERIES.iter().any(|name| agree(selector, METRIC_NAME_LABEL, name));
        let may_read_alerts = selectors.iter().any(|selector| may_read(selector));
        Reader { rule, selectors, queried, writes, may_read_alerts }
    }
}

/// The series that one rule writes, as far as the rule alone says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Written {
    /// A recorded series, by its name.
    Series(String),
    /// `ALERTS` and `ALERTS_FOR_STATE` of an alert, by its name.
    Alert(String),
}

impl Written {
    /// What a rule of this name and kind writes.
    pub fn by(name: &str, kind: &RuleKind) -> Written {
        match kind {
            RuleKind::Recording => Written::Series(name.to_owned()),
            RuleKind::Alerting(_) => Written::Alert(name.to_owned()),
        }
    }

    /// What a series belongs to that a rule wrote.
    pub fn of(series: &Labels) -> Written {
        match series.value_or_empty(METRIC_NAME_LABEL) {
            name if ALERT_SERIES.contains(&name) => Written::Alert(series.value_or_empty(ALERT_NAME_LABEL).to_owned()),
            name => Written::Series(name.to_owned()),
        }
    }

    /// Whether a selector may select it: labels that the rule alone does not decide may be anything.
    fn may_meet(&self, selector: &[Matcher]) -> bool {
        match self {
            Written::Series(name) => agree(selector, METRIC_NAME_LABEL, name),
            Written::Alert(alert) => {
                ALERT_SERIES.iter().any(|name| agree(selector, METRIC_NAME_LABEL, name))
                    && agree(selector, ALERT_NAME_LABEL, alert)
            }
        }
    }
}

/// Whether one of these rules may read what one before it writes.
pub fn is_chain<'r>(rules: impl IntoIterator<Item = (Written, Option<&'r Reader>)>) -> bool {
    let (mut recorded, mut alerts) = (BTreeSet::new(), false);
    rules.into_iter().any(|(writes, reader)| {
        let reads = reader.is_some_and(|reader| {
            alerts && (reader.may_read_alerts || ALERT_SERIES.iter().any(|name| reader.queried.contains(*name)))
                || !recorded.is_disjoint(&reader.queried)
                || reader.selectors.iter().any(|selector| match metric_name(selector) {
                    Some(name) => recorded.contains(name),
                    None => recorded.iter().any(|name: &String| agree(selector, METRIC_NAME_LABEL, name)),
                })
        });
        match writes {
            Written::Series(name) => drop(recorded.insert(name)),
            Written::Alert(_) => alerts = true,
        }
        reads
    })
}

/// Whether nothing that a selector says of a label speaks against this value.
fn agree(selector: &[Matcher], label: &str, value: &str) -> bool {
    selector.iter().filter(|matcher| matcher.name() == label).all(|matcher| matcher.matches(value))
}

/// The metric that a selector names, if it names one.
pub fn metric_name(selector: &[Matcher]) -> Option<&str> {
    let named = |matcher: &&Matcher| matcher.name() == METRIC_NAME_LABEL && matcher.op() == MatchOp::Equal;
    selector.iter().find(named).map(Matcher::value)
}

/// What reaches itself: recording `a` from `b` and `b` from `a`, an alert on all alerts, or reading whatever there is.
pub fn circular(readers: &[Arc<Reader>]) -> BTreeSet<Written> {
    let written: BTreeSet<&Written> = readers.iter().map(|reader| &reader.writes).collect();
    // Few rules read alerts, and most rules write them.
    let readers_of_alerts: Vec<&Arc<Reader>> = readers.iter().filter(|reader| reader.may_read_alerts).collect();
    let mut by_name: HashMap<&str, Vec<&Arc<Reader>>> = HashMap::new();
    let mut nameless = Vec::new();
    for (reader, selector) in readers.iter().flat_map(|reader| reader.selectors.iter().map(move |s| (reader, s))) {
        match metric_name(selector) {
            Some(name) => by_name.entry(name).or_default().push(reader),
            None => nameless.push(reader),
        }
    }
    // An edge leads from what is written to everything that is written by a rule that may read it.
    let edges: HashMap<&Written, Vec<&Written>> = written
        .iter()
        .map(|output| {
            let candidates = match output {
                Written::Alert(_) => readers_of_alerts.clone(),
                Written::Series(name) => {
                    by_name.get(name.as_str()).into_iter().flatten().chain(&nameless).copied().collect()
                }
            };
            let may_read = |reader: &&Arc<Reader>| reader.selectors.iter().any(|selector| output.may_meet(selector));
            (*output, candidates.into_iter().filter(may_read).map(|reader| &reader.writes).collect())
        })
        .collect();
    let reaches_itself = |start: &Written| {
        let mut open: Vec<&Written> = edges.get(start).cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        while let Some(output) = open.pop() {
            if output == start {
                return true;
            }
            if seen.insert(output) {
                open.extend(edges.get(output).into_iter().flatten());
            }
        }
        false
    };
    written.iter().filter(|output| reaches_itself(output)).map(|output| (*output).clone()).collect()
}

#[cfg(test)]
mod tests {
    use watchfire_model::Anchoring;

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
    fn only_what_is_read_by_a_rule_after_its_writer_makes_a_chain() {
        use MatchOp::{Equal, Regex};
        let up = &[("__name__", Equal, "up")][..];
        let chain = |readers: &[Arc<Reader>]| is_chain(readers.iter().map(|r| (r.writes.clone(), Some(&**r))));
        let alone = [reader(1, &[up], Some("a")), reader(2, &[up], None), reader(3, &[up], None)];
        assert!(!chain(&alone));
        let of = |metric| reader(4, &[&[("__name__", Equal, metric)]], None);
        assert!(chain(&[reader(1, &[up], Some("a")), of("a")]));
        // It reads what was written the last time.
        assert!(!chain(&[of("a"), reader(1, &[up], Some("a"))]));
        assert!(chain(&[reader(1, &[up], None), of("ALERTS")]));
        assert!(!chain(&[reader(1, &[up], Some("a")), of("ALERTS")]));
        assert!(chain(&[reader(1, &[up], Some("a")), reader(2, &[&[("job", Regex, ".+")]], None)]));
        let queried = BTreeSet::from(["a".to_owned()]);
        let queried = Arc::new(Reader::new(RuleId(5), Vec::new(), queried, Written::Alert("A5".to_owned())));
        assert!(chain(&[reader(1, &[up], Some("a")), queried]));
    }

    #[test]
    fn what_feeds_itself_starts_nothing() {
        use MatchOp::{Equal, Regex};
        let readers = vec![
            reader(1, &[&[("__name__", Equal, "raw")]], Some("a")),
            reader(2, &[&[("__name__", Equal, "a")]], Some("b")),
            reader(3, &[&[("__name__", Equal, "d")]], Some("c")),
            reader(4, &[&[("__name__", Equal, "c")]], Some("d")),
            reader(5, &[&[("__name__", Regex, "e|f")]], Some("e")),
            reader(6, &[&[("__name__", Equal, "a")]], None),
            // An alert on the alert of another rule, and back; one on an alert that follows from nothing else.
            reader(7, &[&[("__name__", Equal, "ALERTS"), ("alertname", Equal, "A8")]], None),
            reader(8, &[&[("__name__", Equal, "ALERTS"), ("alertname", Regex, "A[79]")]], None),
            reader(9, &[&[("__name__", Equal, "ALERTS"), ("alertname", Equal, "A6")]], None),
            // One on whatever fires, its own alert included.
            reader(10, &[&[("__name__", Equal, "ALERTS"), ("alertstate", Equal, "firing")]], None),
        ];
        let series = ["c", "d", "e"].map(|name| Written::Series(name.to_owned()));
        let alerts = ["A10", "A7", "A8"].map(|name| Written::Alert(name.to_owned()));
        assert_eq!(circular(&readers).into_iter().collect::<Vec<_>>(), [series, alerts].concat());
    }
}
