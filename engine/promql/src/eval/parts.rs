//! Which series of a query have a say in the same rows of its result, and which never meet.
//!
//! Where a few series change out of many, only the parts of the result that they belong to need a look: those of their
//! group, of their histogram, of those that they are compared with. The parts follow from the layouts alone.

use std::collections::BTreeSet;

use watchfire_tsdb::SeriesId;

use super::layout::{Layout, Layouts};
use crate::plan::{Kind, Node, Plan};
use crate::syntax::{BinaryOp, Cardinality, FunctionName, ValueType};

/// Below so many series the whole is as quick as a part.
const SERIES_MIN: usize = 1_024;

/// A part is evaluated without layouts, which costs as much as so many times the series with them.
const COST_OF_PART: usize = 64;

/// The parts of a plan's series.
#[derive(Debug)]
pub(crate) enum Parts {
    /// There is one selection, and none of its series has to do with another one.
    Each,
    Groups(Groups),
}

/// Parts of several series, or of several selections. Flat lists, because there are as many as series.
#[derive(Debug)]
pub(crate) struct Groups {
    /// The slot of each series and the number of its part, by slot.
    of_slot: Vec<(u32, u32)>,
    /// Where the members of each part begin, and behind the last one where they end.
    starts: Vec<u32>,
    /// Positions in the selections, these counted one after the other; ascending within a part.
    members: Vec<u32>,
}

impl Parts {
    /// `None` if there is nothing to be gained: few series, or one part.
    pub(crate) fn new(plan: &Plan, layouts: &Layouts, ids: &[Vec<SeriesId>]) -> Option<Parts> {
        if Parts::may_help(ids) { Parts::split(plan, layouts, ids) } else { None }
    }

    fn split(plan: &Plan, layouts: &Layouts, ids: &[Vec<SeriesId>]) -> Option<Parts> {
        let mut slots: Vec<u32> = ids.iter().flatten().map(|id| narrow(id.slot())).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut joined = Joined { parents: (0..narrow(slots.len())).collect(), joins: false };
        Finder { layouts, ids, slots: &slots, joined: &mut joined }.rows(&plan.root)?;
        if ids.len() == 1 && !joined.joins {
            return Some(Parts::Each);
        }
        let mut numbers = vec![u32::MAX; slots.len()];
        let mut count = 0;
        let of_slot: Vec<(u32, u32)> = (0..)
            .zip(&slots)
            .map(|(position, slot)| {
                let number = &mut numbers[joined.root(position) as usize];
                if *number == u32::MAX {
                    *number = count;
                    count += 1;
                }
                (*slot, *number)
            })
            .collect();
        if count < 2 {
            return None;
        }
        let part = |id: &SeriesId| {
            let position = slots.binary_search(&narrow(id.slot())).ok()?;
            Some(of_slot[position].1 as usize)
        };
        // Counted first and then put in their places, from the last one to the first.
        let mut starts = vec![0; count as usize + 1];
        for id in ids.iter().flatten() {
            starts[part(id)?] += 1;
        }
        let mut end = 0;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        let mut members = vec![0; end as usize];
        let all: Vec<&SeriesId> = ids.iter().flatten().collect();
        for (position, id) in all.into_iter().enumerate().rev() {
            let start = &mut starts[part(id)?];
            *start -= 1;
            members[*start as usize] = narrow(position);
        }
        Some(Parts::Groups(Groups { of_slot, starts, members }))
    }

    /// Whether there are enough series for parts to be of use.
    pub(crate) fn may_help(ids: &[Vec<SeriesId>]) -> bool {
        ids.iter().map(Vec::len).sum::<usize>() >= SERIES_MIN
    }

    /// For each of the selections the series that some of the changed ones have to do with, or `None` if the whole is
    /// cheaper.
    pub(crate) fn of(&self, ids: &[Vec<SeriesId>], changed: &[SeriesId]) -> Option<Vec<Vec<SeriesId>>> {
        let series: usize = ids.iter().map(Vec::len).sum();
        let pays = |count: usize| COST_OF_PART * count <= series;
        match self {
            Parts::Each => {
                let all = ids.first()?;
                let known = |id: &SeriesId| all.binary_search_by_key(&id.slot(), |id| id.slot()).ok();
                let positions: BTreeSet<usize> = changed.iter().filter_map(known).collect();
                let alone = || vec![positions.iter().map(|position| all[*position]).collect()];
                pays(positions.len()).then(alone)
            }
            Parts::Groups(groups) => {
                let parts: BTreeSet<u32> = changed.iter().filter_map(|id| groups.part(*id)).collect();
                pays(parts.iter().map(|part| groups.members(*part).len()).sum()).then(|| groups.ids(ids, parts))
            }
        }
    }
}

impl Groups {
    fn part(&self, id: SeriesId) -> Option<u32> {
        let position = self.of_slot.binary_search_by_key(&narrow(id.slot()), |(slot, _)| *slot).ok()?;
        Some(self.of_slot[position].1)
    }

    fn members(&self, part: u32) -> &[u32] {
        let part = part as usize;
        &self.members[self.starts[part] as usize..self.starts[part + 1] as usize]
    }

    /// For each selection the series of these parts.
    fn ids(&self, ids: &[Vec<SeriesId>], parts: impl IntoIterator<Item = u32>) -> Vec<Vec<SeriesId>> {
        let mut members: Vec<u32> = parts.into_iter().flat_map(|part| self.members(part)).copied().collect();
        // The order is that of a selection, as sums depend on it.
        members.sort_unstable();
        let mut members = members.into_iter().map(|position| position as usize).peekable();
        let mut first = 0;
        let of_one = |of_one: &Vec<SeriesId>| {
            let end = first + of_one.len();
            let found = std::iter::from_fn(|| members.next_if(|position| *position < end));
            let found = found.map(|position| of_one[position - first]).collect();
            first = end;
            found
        };
        ids.iter().map(of_one).collect()
    }
}

fn narrow(number: usize) -> u32 {
    // A store has fewer slots than a u32 has values.
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Positions that were joined have one root.
struct Joined {
    parents: Vec<u32>,
    /// Whether any two were.
    joins: bool,
}

impl Joined {
    fn root(&mut self, mut position: u32) -> u32 {
        while self.parents[position as usize] != position {
            // Every second step is cut short, which keeps the ways short.
            let above = self.parents[position as usize];
            self.parents[position as usize] = self.parents[above as usize];
            position = above;
        }
        position
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.joins |= a != b;
        self.parents[a.max(b) as usize] = a.min(b);
    }
}

struct Finder<'f> {
    layouts: &'f Layouts,
    ids: &'f [Vec<SeriesId>],
    slots: &'f [u32],
    joined: &'f mut Joined,
}

impl Finder<'_> {
    /// For each row of a node the position of a series that has a say in it; all others that have are joined with it.
    /// `None` if some row depends on everything.
    fn rows(&mut self, node: &Node) -> Option<Vec<u32>> {
        match (&node.kind, self.layouts.of(node)) {
            (Kind::Instant(reading), Layout::Instant) => self.selection(reading.selection),
            (Kind::Call(FunctionName::AbsentOverTime, _), _) => None,
            (Kind::Call(_, args), Layout::Windows { .. }) => match &args[0].kind {
                Kind::Range(reading, _) => self.selection(reading.selection),
                _ => None,
            },
            (Kind::Call(_, args), Layout::Operand) => self.beside(&args[1..], &args[0]),
            (Kind::Call(_, args), Layout::Histograms { buckets, ends }) => {
                let rows = self.beside(&args[..1], &args[1])?;
                let mut start = 0;
                let mut firsts = Vec::with_capacity(ends.len());
                for end in ends {
                    let of_one = &buckets[start..*end as usize];
                    start = *end as usize;
                    let first = rows[of_one.first()?.1 as usize];
                    of_one.iter().for_each(|(_, row)| self.joined.join(first, rows[*row as usize]));
                    firsts.push(first);
                }
                Some(firsts)
            }
            (Kind::Negate(operand), Layout::Operand) => self.rows(operand),
            (Kind::Aggregate(plan), Layout::Groups { of, first, .. }) => {
                let rows = self.beside(plan.param.as_slice(), &plan.inner)?;
                for (row, group) in rows.iter().zip(of) {
                    self.joined.join(*row, rows[first[*group as usize] as usize]);
                }
                Some(first.iter().map(|row| rows[*row as usize]).collect())
            }
            (Kind::Binary(plan), Layout::Operand) if plan.left.value_type == ValueType::Vector => {
                self.beside(std::slice::from_ref(&plan.right), &plan.left)
            }
            (Kind::Binary(plan), Layout::Operand) => self.beside(std::slice::from_ref(&plan.left), &plan.right),
            (Kind::Binary(plan), Layout::Join(meetings)) => {
                let (left, right) = (self.rows(&plan.left)?, self.rows(&plan.right)?);
                let mut first = vec![None; meetings.count];
                let numbers = meetings.left.iter().chain(&meetings.right);
                for (row, number) in left.iter().chain(&right).zip(numbers) {
                    self.joined.join(*row, *first[*number as usize].get_or_insert(*row));
                }
                let swapped = plan.matching.as_ref().is_some_and(|m| m.cardinality == Cardinality::OneToMany);
                Some(match plan.op {
                    BinaryOp::Or => [left, right].concat(),
                    BinaryOp::And | BinaryOp::Unless => left,
                    _ if swapped => right,
                    _ => left,
                })
            }
            _ => None,
        }
    }

    /// The rows of a vector beside numbers, unless those are taken from series.
    fn beside(&mut self, numbers: &[Node], vector: &Node) -> Option<Vec<u32>> {
        if numbers.iter().any(Node::reads_series) { None } else { self.rows(vector) }
    }

    fn selection(&self, selection: usize) -> Option<Vec<u32>> {
        let position = |id: &SeriesId| self.slots.binary_search(&narrow(id.slot())).ok().map(narrow);
        self.ids[selection].iter().map(position).collect()
    }
}

impl Node {
    /// Whether the result depends on any series.
    fn reads_series(&self) -> bool {
        match &self.kind {
            Kind::Number(_) | Kind::String(_) => false,
            Kind::Instant(_) | Kind::Range(..) | Kind::Subquery(_) => true,
            Kind::Call(_, args) => args.iter().any(Node::reads_series),
            Kind::Aggregate(plan) => plan.inner.reads_series(),
            Kind::Binary(plan) => plan.left.reads_series() || plan.right.reads_series(),
            Kind::Negate(operand) => operand.reads_series(),
        }
    }
}

#[cfg(test)]
mod tests {
    use watchfire_model::{Labels, Sample, Timestamp};
    use watchfire_tsdb::Tsdb;

    use super::super::{Query, Selected, Windows, run};
    use super::*;
    use crate::{Options, Value, parse};

    /// A counter, a gauge and a histogram of two buckets for each of so many hosts, with half a minute of samples.
    fn store(hosts: usize) -> Tsdb {
        let mut db = Tsdb::default();
        for host in 0..hosts {
            for (name, le) in [("c_total", ""), ("g", ""), ("h_bucket", "1"), ("h_bucket", "+Inf")] {
                let (instance, job) = (format!("h{host}"), format!("j{}", host % 3));
                let pairs = [("__name__", name), ("instance", &instance), ("job", &job), ("le", le)];
                let labels = Labels::from_pairs(pairs.map(|(name, value)| (name, value.to_owned())));
                for second in [0, 10, 20, 30] {
                    let value = (host * 7 + second * (host + 1) + usize::from(le == "+Inf") * 5) as f64 / 3.0;
                    let timestamp = Timestamp::from_secs(i64::try_from(second).unwrap());
                    db.append(&labels, Sample { timestamp, value }).unwrap();
                }
            }
        }
        db
    }

    fn elements(plan: &Plan, db: &Tsdb, ids: &[Vec<SeriesId>]) -> Vec<String> {
        let answer =
            run(plan, Selected::Stored { db, ids, layouts: None }, Query::instant(Timestamp::from_secs(30)), &|| None)
                .unwrap();
        let Value::Vector(samples) = answer.value else { panic!("{} gives no vector", plan.expr()) };
        samples.iter().map(|sample| format!("{} {:?}", sample.labels, sample.value)).collect()
    }

    /// Expressions, and into how many parts they fall over 12 hosts in 3 jobs.
    const EXPRESSIONS: [(&str, usize); 19] = [
        ("g > 3", 12),
        ("rate(c_total[30s]) * 2 > 0.1", 12),
        ("-abs(g)", 12),
        ("sum by (job) (rate(c_total[30s])) > 0", 3),
        ("sum by (instance) (rate(c_total[30s])) / on (instance) g", 12),
        ("sum by (job) (g) / sum by (job) (rate(c_total[30s]))", 3),
        ("g / on (job) group_left sum by (job) (rate(c_total[30s]))", 3),
        ("histogram_quantile(0.5, rate(h_bucket[30s]))", 12),
        ("histogram_quantile(0.5, sum by (le, job) (rate(h_bucket[30s])))", 3),
        ("g unless on (instance) (rate(c_total[30s]) > 1)", 12),
        ("g and on (job) (rate(c_total[30s]) > 1)", 3),
        ("g{job=\"j1\"} or c_total", 12),
        ("time() - g > 2", 12),
        ("sum(g)", 1),
        ("absent(g)", 0),
        ("g > scalar(sum(g)) / 20", 0),
        ("topk(1, g)", 0),
        ("g > bool 5", 12),
        ("quantile by (job) (0.3, g)", 3),
    ];

    #[test]
    fn parts_together_are_the_whole_and_a_change_costs_its_part() {
        let db = store(12);
        for (text, expected) in EXPRESSIONS {
            let plan = Plan::new(&parse(text).unwrap(), &Options::default());
            let ids = plan.select(&db);
            let layouts = Layouts::new(&plan, &db, &ids, &Windows::default());
            let parts = Parts::split(&plan, &layouts, &ids);
            let each: Vec<Vec<Vec<SeriesId>>> = match &parts {
                None => Vec::new(),
                Some(Parts::Each) => ids[0].iter().map(|id| vec![vec![*id]]).collect(),
                Some(Parts::Groups(groups)) => {
                    (1..).zip(&groups.starts[1..]).map(|(part, _)| groups.ids(&ids, [part - 1])).collect()
                }
            };
            assert_eq!(if parts.is_some() { each.len() } else { expected.min(1) }, expected, "{text}");
            if parts.is_none() {
                continue;
            }
            let mut found: Vec<String> = each.iter().flat_map(|ids| elements(&plan, &db, ids)).collect();
            let mut whole = elements(&plan, &db, &ids);
            found.sort();
            whole.sort();
            assert_eq!(found, whole, "{text}");
        }
    }

    /// How many series are looked at when one of so many hosts sends a sample.
    fn looked_at(text: &str, hosts: usize) -> usize {
        let db = store(hosts);
        let plan = Plan::new(&parse(text).unwrap(), &Options::default());
        let ids = plan.select(&db);
        let layouts = Layouts::new(&plan, &db, &ids, &Windows::default());
        let part = Parts::new(&plan, &layouts, &ids).and_then(|parts| parts.of(&ids, &ids[0][7..8]));
        part.unwrap_or(ids).iter().map(Vec::len).sum()
    }

    #[test]
    fn what_a_change_costs_follows_what_it_has_a_say_in() {
        let of_its_own = ["g > 3", "sum by (instance) (rate(c_total[30s])) / on (instance) g"];
        for (text, series) in of_its_own.into_iter().zip([1, 2]) {
            assert_eq!([1_100, 2_200].map(|hosts| looked_at(text, hosts)), [series; 2], "{text}");
        }
        for (text, _) in EXPRESSIONS {
            let [fewer, more] = [1_100, 2_200].map(|hosts| looked_at(text, hosts));
            assert!(more <= 2 * fewer, "{text}: {fewer} and {more}");
        }
        // Where most has changed, the whole is cheaper.
        let db = store(1_100);
        let plan = Plan::new(&parse("g > 3").unwrap(), &Options::default());
        let ids = plan.select(&db);
        let layouts = Layouts::new(&plan, &db, &ids, &Windows::default());
        assert!(Parts::new(&plan, &layouts, &ids).unwrap().of(&ids, &ids[0]).is_none());
    }
}
