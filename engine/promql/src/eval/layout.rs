//! What the set of series decides: which rows each node of a plan can have, and how they follow from those below.
//!
//! A row is a series that may be in the node's result, whether it is at some instant or not. Groups, join partners and
//! buckets are found here once, with the same code that an evaluation without layouts uses, and stay as long as the
//! series do; an evaluation then computes numbers alone. Labels are made for the rows that come out at the end.

use std::sync::Arc;

use watchfire_model::METRIC_NAME_LABEL;
use watchfire_tsdb::{SeriesId, Tsdb};

use super::aggregate::groups;
use super::binary::{Join, result};
use super::element::{Element, Metric, NameState, refuse_equal};
use super::functions::histogram::{Shape as HistogramShape, WITHOUT_BOUND, histograms};
use super::functions::{absence, is_counter_name, is_mapping};
use super::has_metadata_labels;
use super::windows::{SharedRows, Table, Windows, is_kept};
use crate::annotations::Annotations;
use crate::plan::{AggregatePlan, BinaryPlan, Kind, Node, Plan};
use crate::syntax::{AggregateOp, BinaryOp, Cardinality, DurationValue, FunctionName, ValueType};

/// The value of a row that is not in the result: the staleness marker, which no sample of a result can be.
pub(super) const ABSENT: f64 = watchfire_model::STALE_NAN;

/// Whether a row with this value is in the result.
#[inline]
pub(super) fn is_present(value: f64) -> bool {
    value.to_bits() != ABSENT.to_bits()
}

/// From so many rows on it is cheaper to look whether another plan has aggregated the same than to do it again.
const SHARED_MIN: usize = 8;

/// The layouts of a plan's nodes, by their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layouts(Vec<Layout>);

/// The rows of one node.
#[derive(Clone, Debug, Default)]
pub(super) enum Layout {
    /// There are none: the node is evaluated in the general way.
    #[default]
    General,
    /// One for each series of the selection.
    Instant,
    /// The same, with what is known about their windows.
    Windows {
        table: Arc<Table>,
        /// Whether a name among them is not that of a counter.
        odd_names: bool,
    },
    /// Those of the operand.
    Operand,
    /// One.
    Single,
    /// One for each group; for each row of the operand its group, and for each group the first such row. Other plans may
    /// have the same.
    Groups { of: Vec<u32>, first: Vec<u32>, shared: Option<Arc<SharedRows>> },
    /// One for each histogram; their buckets with bounds and rows, and where each histogram's end.
    Histograms { buckets: Vec<(f64, u32)>, ends: Vec<u32> },
    /// Those of the left, or of the "many" side; for `or` those of both sides.
    Join(Meetings),
}

/// Which rows of two operands meet: those with the same number.
#[derive(Clone, Debug)]
pub(super) struct Meetings {
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
    pub(super) count: usize,
    /// For each number the only row of the "one" side, where labels of it come into the result.
    pub(super) partners: Vec<Option<u32>>,
}

fn narrow(numbers: impl IntoIterator<Item = usize>) -> Vec<u32> {
    // A store has fewer slots than a u32 has values.
    numbers.into_iter().map(|number| u32::try_from(number).unwrap_or(u32::MAX)).collect()
}

impl Layouts {
    pub(crate) fn new(plan: &Plan, db: &Tsdb, ids: &[Vec<SeriesId>], windows: &Windows) -> Layouts {
        let options = &plan.options;
        let mut layouts = Layouts(vec![Layout::General; plan.nodes]);
        // What these add to names and times is left to the general way.
        let special = options.delayed_name_removal || options.start_timestamps || options.type_and_unit_labels;
        if !special && !has_metadata_labels(db) {
            let lookback = options.lookback.as_millis();
            Builder { db, ids, windows, lookback, layouts: &mut layouts }.node(&plan.root);
        }
        layouts
    }

    /// One for each node, or none before the first series was looked for.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, node: &Node) -> &Layout {
        &self.0[node.id]
    }

    /// A row with its labels and without its value.
    pub(super) fn element<'a>(
        &self,
        db: &'a Tsdb,
        ids: &[Vec<SeriesId>],
        node: &Node,
        row: usize,
    ) -> Option<Element<'a>> {
        let element = |node, row| self.element(db, ids, node, row);
        let stored = |selection: usize| {
            let series = db.series(*ids[selection].get(row)?)?;
            Some(Element::new(Metric::Stored(series.labels()), 0.0, NameState::Kept))
        };
        let hidden = |mut element: Element<'a>| {
            element.drop_name(NameState::Hidden);
            element
        };
        match (&node.kind, self.of(node)) {
            (Kind::Instant(reading), _) => stored(reading.selection),
            (Kind::Call(function, args), Layout::Windows { .. }) if *function != FunctionName::AbsentOverTime => {
                let Kind::Range(reading, _) = &args[0].kind else { return None };
                let element = stored(reading.selection)?;
                let keeps_name = matches!(function, FunctionName::LastOverTime | FunctionName::FirstOverTime);
                Some(if keeps_name { element } else { hidden(element) })
            }
            (Kind::Call(FunctionName::Vector, _), _) => Some(Element::bare(0.0)),
            (Kind::Call(FunctionName::Absent | FunctionName::AbsentOverTime, args), _) => Some(absence(&args[0])),
            (Kind::Call(_, args), Layout::Operand) => element(&args[0], row).map(hidden),
            (Kind::Call(_, args), Layout::Histograms { buckets, ends }) => {
                let first = if row == 0 { 0 } else { ends[row - 1] as usize };
                let bucket = element(&args[1], buckets[first].1 as usize)?;
                Some(hidden(Element { metric: bucket.part(&WITHOUT_BOUND), ..bucket }))
            }
            (Kind::Negate(operand), _) => element(operand, row).map(hidden),
            (Kind::Aggregate(plan), Layout::Groups { first, .. }) => {
                let first = element(&plan.inner, first[row] as usize)?;
                Some(Element { metric: first.part(&plan.labels), ..first })
            }
            (Kind::Binary(plan), Layout::Operand) => {
                let operand = if plan.left.value_type == ValueType::Vector { &plan.left } else { &plan.right };
                let element = element(operand, row)?;
                Some(if plan.renames() { hidden(element) } else { element })
            }
            (Kind::Binary(plan), Layout::Join(meetings)) => match plan.op {
                BinaryOp::And | BinaryOp::Unless => element(&plan.left, row),
                BinaryOp::Or => match row.checked_sub(meetings.left.len()) {
                    None => element(&plan.left, row),
                    Some(row) => element(&plan.right, row),
                },
                _ => {
                    let matching = plan.matching.as_ref()?;
                    let swapped = matching.cardinality == Cardinality::OneToMany;
                    let (many, one) = if swapped { (&plan.right, &plan.left) } else { (&plan.left, &plan.right) };
                    let numbers = if swapped { &meetings.right } else { &meetings.left };
                    let many = element(many, row)?;
                    let one = if matching.include.is_empty() {
                        many.clone()
                    } else {
                        match meetings.partners[numbers[row] as usize] {
                            Some(partner) => element(one, partner as usize)?,
                            // Without a partner the row is never in the result.
                            None => many.clone(),
                        }
                    };
                    Some(result(plan, matching, &many, &one, false))
                }
            },
            _ => None,
        }
    }
}

struct Builder<'b, 'a> {
    db: &'a Tsdb,
    ids: &'b [Vec<SeriesId>],
    windows: &'b Windows,
    lookback: i64,
    layouts: &'b mut Layouts,
}

impl<'a> Builder<'_, 'a> {
    /// Lays out a node and what is below it. Answers how many rows it has, unless it is evaluated in the general way.
    fn node(&mut self, node: &Node) -> Option<usize> {
        let (layout, rows) = match &node.kind {
            Kind::Number(_) | Kind::String(_) | Kind::Range(..) | Kind::Subquery(_) => None,
            Kind::Instant(reading) => {
                reading.extension.is_none().then(|| (Layout::Instant, self.ids[reading.selection].len()))
            }
            Kind::Call(function, args) => self.call(*function, args),
            Kind::Aggregate(plan) => self.aggregate(plan),
            Kind::Binary(plan) => self.binary(plan),
            Kind::Negate(operand) => self.operand(operand),
        }?;
        self.layouts.0[node.id] = layout;
        if self.may_lose_names(node) && refuse_equal(&self.elements(node, rows)?).is_err() {
            self.layouts.0[node.id] = Layout::General;
            return None;
        }
        Some(rows)
    }

    /// Whether rows may become equal because their names are dropped or parts of their labels are.
    fn may_lose_names(&self, node: &Node) -> bool {
        match (&node.kind, self.layouts.of(node)) {
            (Kind::Call(FunctionName::HistogramQuantile, args), _) => !args[1].one_name,
            (Kind::Call(_, args), Layout::Operand | Layout::Windows { .. }) => !args[0].one_name,
            (Kind::Negate(operand), _) => !operand.one_name,
            (Kind::Binary(plan), Layout::Operand) => !(plan.left.one_name && plan.right.one_name),
            (Kind::Binary(plan), Layout::Join(_)) => plan
                .matching
                .as_ref()
                .is_some_and(|m| matches!(m.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany)),
            _ => false,
        }
    }

    fn elements(&self, node: &Node, rows: usize) -> Option<Vec<Element<'a>>> {
        (0..rows).map(|row| self.layouts.element(self.db, self.ids, node, row)).collect()
    }

    fn operand(&mut self, operand: &Node) -> Option<(Layout, usize)> {
        self.node(operand).map(|rows| (Layout::Operand, rows))
    }

    fn call(&mut self, function: FunctionName, args: &[Node]) -> Option<(Layout, usize)> {
        // Every argument is laid out, also below functions that are evaluated in the general way.
        let rows: Vec<Option<usize>> = args.iter().map(|arg| self.node(arg)).collect();
        match function {
            _ if is_mapping(function) => rows[0].map(|rows| (Layout::Operand, rows)),
            FunctionName::Absent => rows[0].map(|_| (Layout::Single, 1)),
            FunctionName::Vector => Some((Layout::Single, 1)),
            FunctionName::HistogramQuantile => self.histograms(&args[1], rows[1]?),
            _ if is_kept(function) => {
                let Kind::Range(reading, DurationValue::Literal(length)) = &args.first()?.kind else { return None };
                if reading.extension.is_some() {
                    return None;
                }
                let ids = &self.ids[reading.selection];
                let table = self.windows.table(function, length.as_millis(), ids);
                let counter = matches!(function, FunctionName::Rate | FunctionName::Increase);
                let is_odd = |id: &SeriesId| {
                    let labels = self.db.series(*id).map(|series| series.labels());
                    labels.is_some_and(|labels| !is_counter_name(labels.value_or_empty(METRIC_NAME_LABEL)))
                };
                let odd_names = counter && ids.iter().any(is_odd);
                let rows = if function == FunctionName::AbsentOverTime { 1 } else { ids.len() };
                Some((Layout::Windows { table, odd_names }, rows))
            }
            _ => None,
        }
    }

    fn aggregate(&mut self, plan: &AggregatePlan) -> Option<(Layout, usize)> {
        if let Some(param) = &plan.param {
            self.node(param);
        }
        let rows = self.node(&plan.inner)?;
        use AggregateOp as Op;
        match plan.op {
            Op::Sum | Op::Avg | Op::Min | Op::Max | Op::Count | Op::Group | Op::Stddev | Op::Stdvar | Op::Quantile => {}
            _ => return None,
        }
        let groups = groups(plan, &plan.grouping, &self.elements(&plan.inner, rows)?);
        let rows = groups.first.len();
        let shared = (groups.of.len() >= SHARED_MIN).then(|| self.windows.shared(&plan.text, self.lookback));
        Some((Layout::Groups { of: narrow(groups.of), first: narrow(groups.first), shared }, rows))
    }

    fn histograms(&mut self, node: &Node, rows: usize) -> Option<(Layout, usize)> {
        let mut elements = self.elements(node, rows)?;
        for (row, element) in elements.iter_mut().enumerate() {
            // In the place of a bucket's count stands its row.
            element.value = (row as f64).into();
        }
        let mut notes = Annotations::default();
        let found = histograms(&elements, false, &mut notes, node.span);
        if !notes.is_empty() {
            return None;
        }
        let (mut buckets, mut ends) = (Vec::with_capacity(rows), Vec::with_capacity(found.len()));
        for (_, shape) in found {
            let HistogramShape::Classic(classic) = shape else { return None };
            buckets.extend(classic.iter().map(|bucket| (bucket.upper, bucket.count as u32)));
            ends.push(buckets.len());
        }
        let rows = ends.len();
        Some((Layout::Histograms { buckets, ends: narrow(ends) }, rows))
    }

    fn binary(&mut self, plan: &BinaryPlan) -> Option<(Layout, usize)> {
        let (left, right) = (self.node(&plan.left), self.node(&plan.right));
        if matches!(plan.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            return None;
        }
        let matching = match (plan.left.value_type, plan.right.value_type, &plan.matching) {
            (ValueType::Vector, ValueType::Vector, Some(matching)) => matching,
            (ValueType::Vector, ValueType::Scalar, _) => return left.map(|rows| (Layout::Operand, rows)),
            (ValueType::Scalar, ValueType::Vector, _) => return right.map(|rows| (Layout::Operand, rows)),
            _ => return None,
        };
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return None;
        }
        let (left, right) = (self.elements(&plan.left, left?)?, self.elements(&plan.right, right?)?);
        let join = Join { on: matching.on, names: &plan.signature };
        let (of_left, of_right, count) = join.numbers(&left, &right);
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let rows = match plan.op {
            BinaryOp::Or => left.len() + right.len(),
            _ if swapped => right.len(),
            _ => left.len(),
        };
        let mut partners = Vec::new();
        if !matching.include.is_empty() {
            partners = vec![None; count];
            let one = if swapped { &of_left } else { &of_right };
            for (row, number) in narrow(0..one.len()).into_iter().zip(one) {
                // With several possible partners the labels depend on which of them is there.
                if partners[*number].replace(row).is_some() {
                    return None;
                }
            }
        }
        let meetings = Meetings { left: narrow(of_left), right: narrow(of_right), count, partners };
        Some((Layout::Join(meetings), rows))
    }
}

impl BinaryPlan {
    /// Whether the result of an operation with a number is another metric than its operand.
    pub(super) fn renames(&self) -> bool {
        super::binary::changes_metric(self.op) || self.return_bool
    }
}
