//! A query made ready to be evaluated again and again.
//!
//! Parentheses are gone, constants are folded, selectors are numbered so that the series they match can be kept, and
//! everything that the text alone decides is decided: group labels are sorted, names that cannot collide are known.

use std::sync::Arc;

use watchfire_model::{Duration, METRIC_NAME_LABEL, MatchOp, Matcher, Timestamp};
use watchfire_tsdb::{SeriesId, Tsdb};

use crate::eval::{self, Projection, Query, Selected};
use crate::syntax::{
    AggregateOp, At, BinaryOp, DurationValue, FunctionName, Matching, RangeExtension, Span, VectorSelector,
};
use crate::{Answer, Expr, Options, QueryError, Selector, Stop, ValueType};

/// A query made ready to be evaluated again and again.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) root: Node,
    pub(crate) selections: Vec<Selection>,
    pub(crate) options: Options,
    pub(crate) nodes: usize,
    expr: Expr,
}

/// Which series one selector reads.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    pub(crate) value_type: ValueType,
    /// A number within the plan, for results that are kept during a query.
    pub(crate) id: usize,
    /// Whether the result is the same at every step.
    pub(crate) invariant: bool,
    /// Whether all series of the result have one name at most, so that dropping it cannot make two of them equal.
    pub(crate) one_name: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Number(f64),
    String(String),
    Instant(Reading),
    Range(Reading, DurationValue),
    Subquery(Box<SubqueryPlan>),
    Call(FunctionName, Vec<Node>),
    Aggregate(Box<AggregatePlan>),
    Binary(Box<BinaryPlan>),
    Negate(Box<Node>),
}

/// Which selection is read, and when.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) selection: usize,
    pub(crate) offset: Option<DurationValue>,
    pub(crate) at: Option<At>,
    pub(crate) extension: Option<RangeExtension>,
    /// What `absent` answers with.
    pub(crate) matchers: Vec<Matcher>,
    /// Only counts and sums of native histograms will be looked at, so that resets are found out while reading.
    pub(crate) statistics: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct SubqueryPlan {
    pub(crate) inner: Node,
    pub(crate) range: DurationValue,
    pub(crate) step: Option<DurationValue>,
    pub(crate) offset: Option<DurationValue>,
    pub(crate) at: Option<At>,
}

#[derive(Clone, Debug)]
pub(crate) struct AggregatePlan {
    pub(crate) op: AggregateOp,
    pub(crate) param: Option<Node>,
    pub(crate) inner: Node,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
    /// The labels of a group.
    pub(crate) labels: Arc<Projection>,
    /// How it is written; what is written the same gives the same.
    pub(crate) text: String,
}

#[derive(Clone, Debug)]
pub(crate) struct BinaryPlan {
    pub(crate) op: BinaryOp,
    pub(crate) left: Node,
    pub(crate) right: Node,
    pub(crate) return_bool: bool,
    pub(crate) matching: Option<Matching>,
    /// The labels that decide which series meet: sorted; with `__name__` where they are those to ignore.
    pub(crate) signature: Vec<String>,
    /// The labels of a result where one series meets one other, unless they are all of the left one's.
    pub(crate) labels: Option<Arc<Projection>>,
}

struct Compiler {
    selections: Vec<Selection>,
    nodes: usize,
    /// How many functions that read counts and sums of histograms are around what is compiled.
    statistics: usize,
    /// How many things that need whole histograms are around it.
    whole: usize,
}

impl Plan {
    /// Prepares a checked expression.
    pub fn new(expr: &Expr, options: &Options) -> Plan {
        let mut compiler = Compiler { selections: Vec::new(), nodes: 0, statistics: 0, whole: 0 };
        let root = compiler.node(expr);
        let Compiler { selections, nodes, .. } = compiler;
        Plan { root, selections, options: *options, nodes, expr: expr.clone() }
    }

    /// The expression that was prepared.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// What the query reads.
    pub fn selectors(&self) -> Vec<Selector> {
        self.expr.selectors_with(self.options.lookback)
    }

    /// Evaluates at one instant.
    pub fn instant(&self, db: &Tsdb, at: Timestamp, stop: &dyn Fn() -> Option<Stop>) -> Result<Answer, QueryError> {
        self.evaluate(db, Query::instant(at), stop)
    }

    /// Evaluates at every step from `start` to `end`.
    pub fn range(
        &self,
        db: &Tsdb,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
        stop: &dyn Fn() -> Option<Stop>,
    ) -> Result<Answer, QueryError> {
        self.evaluate(db, self.range_query(start, end, step)?, stop)
    }

    fn evaluate(&self, db: &Tsdb, query: Query, stop: &dyn Fn() -> Option<Stop>) -> Result<Answer, QueryError> {
        let ids = self.select(db);
        eval::run(self, Selected::Stored { db, ids: &ids, layouts: None }, query, stop)
    }

    pub(crate) fn range_query(&self, start: Timestamp, end: Timestamp, step: Duration) -> Result<Query, QueryError> {
        if step <= Duration::ZERO {
            return Err(QueryError::Range("zero or negative query resolution step widths are not accepted"));
        }
        if end < start {
            return Err(QueryError::Range("end timestamp must not be before start time"));
        }
        if !matches!(self.root.value_type, ValueType::Scalar | ValueType::Vector) {
            return Err(QueryError::Execution(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                self.root.value_type.documented()
            )));
        }
        Ok(Query::range(start, end, step))
    }

    pub(crate) fn select(&self, db: &Tsdb) -> Vec<Vec<SeriesId>> {
        self.selections.iter().map(|selection| db.select(&selection.matchers)).collect()
    }
}

/// Evaluates an expression once, at one instant.
pub fn instant(db: &Tsdb, expr: &Expr, at: Timestamp, options: &Options) -> Result<Answer, QueryError> {
    Plan::new(expr, options).instant(db, at, &|| None)
}

/// Evaluates an expression once, at every step from `start` to `end`.
pub fn range(
    db: &Tsdb,
    expr: &Expr,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    options: &Options,
) -> Result<Answer, QueryError> {
    Plan::new(expr, options).range(db, start, end, step, &|| None)
}

/// Functions whose result depends on when they are evaluated even if their arguments do not.
fn depends_on_time(function: FunctionName) -> bool {
    matches!(
        function,
        FunctionName::DaysInMonth
            | FunctionName::DayOfMonth
            | FunctionName::DayOfWeek
            | FunctionName::DayOfYear
            | FunctionName::Hour
            | FunctionName::Minute
            | FunctionName::Month
            | FunctionName::Year
            | FunctionName::PredictLinear
            | FunctionName::Time
            | FunctionName::Timestamp
    )
}

impl Compiler {
    fn finish(&mut self, expr: &Expr, kind: Kind, invariant: bool, one_name: bool) -> Node {
        let id = self.nodes;
        self.nodes += 1;
        Node { kind, span: expr.span(), value_type: expr.value_type(), id, invariant, one_name }
    }

    fn reading(&mut self, selector: &VectorSelector) -> (Reading, bool) {
        let selection = self.selection(selector.matchers.clone());
        let one_name = selector.matchers.iter().any(|m| m.name() == METRIC_NAME_LABEL && m.op() == MatchOp::Equal);
        let reading = Reading {
            selection,
            offset: selector.offset.clone(),
            at: selector.at,
            extension: selector.extension,
            matchers: selector.matchers.clone(),
            statistics: self.statistics > 0 && self.whole == 0,
        };
        (reading, one_name)
    }

    fn selection(&mut self, matchers: Vec<Matcher>) -> usize {
        // Equal selectors share their series.
        let known = self.selections.iter().position(|s| s.matchers == matchers);
        known.unwrap_or_else(|| {
            self.selections.push(Selection { matchers });
            self.selections.len() - 1
        })
    }

    fn node(&mut self, expr: &Expr) -> Node {
        match expr {
            Expr::Paren(paren) => self.node(&paren.expr),
            Expr::Number(number) => self.finish(expr, Kind::Number(number.value), true, true),
            Expr::String(string) => self.finish(expr, Kind::String(string.value.clone()), true, true),
            Expr::Vector(selector) => {
                let (reading, one_name) = self.reading(selector);
                self.finish(expr, Kind::Instant(reading), selector.at.is_some(), one_name)
            }
            Expr::Matrix(matrix) => {
                let (reading, one_name) = self.reading(&matrix.selector);
                let invariant = matrix.selector.at.is_some();
                self.finish(expr, Kind::Range(reading, matrix.range.clone()), invariant, one_name)
            }
            Expr::Subquery(subquery) => {
                self.whole += 1;
                let inner = self.node(&subquery.expr);
                self.whole -= 1;
                let one_name = inner.one_name;
                let plan = SubqueryPlan {
                    inner,
                    range: subquery.range.clone(),
                    step: subquery.step.clone(),
                    offset: subquery.offset.clone(),
                    at: subquery.at,
                };
                self.finish(expr, Kind::Subquery(Box::new(plan)), subquery.at.is_some(), one_name)
            }
            Expr::Unary(unary) => {
                let inner = self.node(&unary.expr);
                if !unary.negative {
                    return inner;
                }
                if let Kind::Number(value) = inner.kind {
                    return self.finish(expr, Kind::Number(-value), true, true);
                }
                let (invariant, one_name) = (inner.invariant, inner.one_name);
                self.finish(expr, Kind::Negate(Box::new(inner)), invariant, one_name)
            }
            Expr::Call(call) => self.call(expr, call.function.id, &call.args),
            Expr::Aggregate(aggregate) => {
                let inner = self.node(&aggregate.expr);
                let param = aggregate.param.as_ref().map(|p| self.node(p));
                let mut grouping = aggregate.grouping.clone();
                grouping.sort_unstable();
                grouping.dedup();
                let keeps_series = matches!(
                    aggregate.op,
                    AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
                );
                let named =
                    if keeps_series { !inner.one_name } else { grouping.iter().any(|l| l == METRIC_NAME_LABEL) };
                // As in Prometheus, the parameter has no say: over what is fixed with `@` it is that of the first step.
                let invariant = inner.invariant;
                let mut names = grouping.clone();
                if aggregate.without {
                    names.push(METRIC_NAME_LABEL.to_owned());
                }
                let labels = Arc::new(Projection { names, keep: !aggregate.without });
                let without = aggregate.without;
                let text = expr.to_string();
                let plan = AggregatePlan { op: aggregate.op, param, inner, grouping, without, labels, text };
                self.finish(expr, Kind::Aggregate(Box::new(plan)), invariant, !named)
            }
            Expr::Binary(binary) => {
                let trims = usize::from(matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower));
                self.whole += trims;
                let (left, right) = (self.node(&binary.lhs), self.node(&binary.rhs));
                self.whole -= trims;
                if let (Kind::Number(a), Kind::Number(b)) = (&left.kind, &right.kind) {
                    let value = eval::scalar_operation(binary.op, *a, *b);
                    return self.finish(expr, Kind::Number(value), true, true);
                }
                let mut signature = binary.matching.as_ref().map_or_else(Vec::new, |m| m.labels.clone());
                if binary.matching.as_ref().is_some_and(|m| !m.on) {
                    signature.push(METRIC_NAME_LABEL.to_owned());
                }
                signature.sort_unstable();
                signature.dedup();
                let one_name = match binary.op {
                    BinaryOp::Or => false,
                    BinaryOp::And | BinaryOp::Unless => left.one_name,
                    _ => left.one_name && right.one_name,
                };
                let invariant = left.invariant && right.invariant;
                let labels = binary.matching.as_ref().filter(|m| m.on || !m.labels.is_empty());
                let labels = labels.map(|m| Arc::new(Projection { names: m.labels.clone(), keep: m.on }));
                let plan = BinaryPlan {
                    op: binary.op,
                    left,
                    right,
                    return_bool: binary.return_bool,
                    matching: binary.matching.clone(),
                    signature,
                    labels,
                };
                self.finish(expr, Kind::Binary(Box::new(plan)), invariant, one_name)
            }
        }
    }

    fn call(&mut self, expr: &Expr, function: FunctionName, args: &[Expr]) -> Node {
        let statistics = usize::from(matches!(
            function,
            FunctionName::HistogramCount | FunctionName::HistogramSum | FunctionName::HistogramAvg
        ));
        let whole = usize::from(matches!(
            function,
            FunctionName::HistogramQuantile | FunctionName::HistogramQuantiles | FunctionName::HistogramFraction
        ));
        self.statistics += statistics;
        self.whole += whole;
        let mut nodes: Vec<Node> = args.iter().map(|arg| self.node(arg)).collect();
        self.statistics -= statistics;
        self.whole -= whole;
        if function == FunctionName::Absent
            && let (Some(Expr::Unary(_)), Some(Node { kind: Kind::Instant(reading), .. })) =
                (args.first().map(Expr::inner), nodes.first_mut())
        {
            // Of the absence of `+x` only a selector's labels would say more, and `+x` is none.
            reading.matchers.clear();
        }
        if matches!(function, FunctionName::Timestamp | FunctionName::StartTimestamp)
            && let (Some(operand @ Expr::Unary(_)), Some(Node { kind: Kind::Instant(_), .. })) =
                (args.first().map(Expr::inner), nodes.first())
        {
            // `+x` is no selector, so that its time is that of the evaluation; its value does not matter.
            let node = nodes.remove(0);
            let (invariant, one_name) = (node.invariant, node.one_name);
            nodes.push(self.finish(operand, Kind::Negate(Box::new(node)), invariant, one_name));
        }
        if function == FunctionName::Info {
            // The second argument names labels of info metrics; what is read are the info metrics themselves.
            let given = match args.get(1).map(Expr::inner) {
                Some(Expr::Vector(selector)) => selector.matchers.clone(),
                _ => Vec::new(),
            };
            let selection = self.selection(eval::info_matchers(&given));
            let reading =
                Reading { selection, offset: None, at: None, extension: None, matchers: given, statistics: false };
            let second = self.finish(expr, Kind::Instant(reading), false, false);
            nodes.truncate(1);
            nodes.push(second);
        }
        // A timestamp is that of the sample itself where the argument is a selector, and then as fixed as that.
        let reads_sample_time =
            function == FunctionName::Timestamp && matches!(nodes.first().map(|n| &n.kind), Some(Kind::Instant(_)));
        let invariant = (!depends_on_time(function) || reads_sample_time)
            && function != FunctionName::Info
            && nodes.iter().all(|n| n.invariant);
        let one_name = match function {
            FunctionName::LabelReplace | FunctionName::LabelJoin | FunctionName::Info => false,
            _ => nodes.iter().all(|n| n.one_name),
        };
        self.finish(expr, Kind::Call(function, nodes), invariant, one_name)
    }
}
