//! Which labels the result of an expression can have.

use std::collections::{BTreeMap, BTreeSet};

use watchfire_model::MatchOp;
use watchfire_promql::syntax::{AggregateOp, Binary, Call, Cardinality, Expr, FunctionName, VectorSelector};

/// The labels that a result can have, as far as the expression alone says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LabelSet {
    /// Any but these.
    AllBut(BTreeSet<String>),
    /// None but these.
    Only(BTreeSet<String>),
}

impl LabelSet {
    fn all() -> LabelSet {
        LabelSet::AllBut(BTreeSet::new())
    }

    fn none() -> LabelSet {
        LabelSet::Only(BTreeSet::new())
    }

    /// Whether a result can have the label.
    pub(super) fn may_have(&self, label: &str) -> bool {
        match self {
            LabelSet::AllBut(gone) => !gone.contains(label),
            LabelSet::Only(left) => left.contains(label),
        }
    }

    pub(super) fn with<'a>(mut self, labels: impl IntoIterator<Item = &'a str>) -> LabelSet {
        for label in labels {
            match &mut self {
                LabelSet::AllBut(gone) => gone.remove(label),
                LabelSet::Only(left) => left.insert(label.to_owned()),
            };
        }
        self
    }

    fn without<'a>(mut self, labels: impl IntoIterator<Item = &'a str>) -> LabelSet {
        for label in labels {
            match &mut self {
                LabelSet::AllBut(gone) => gone.insert(label.to_owned()),
                LabelSet::Only(left) => left.remove(label),
            };
        }
        self
    }

    pub(super) fn union(self, other: LabelSet) -> LabelSet {
        match (self, other) {
            (LabelSet::AllBut(a), LabelSet::AllBut(b)) => LabelSet::AllBut(&a & &b),
            (LabelSet::Only(a), LabelSet::Only(b)) => LabelSet::Only(&a | &b),
            (LabelSet::AllBut(gone), LabelSet::Only(left)) | (LabelSet::Only(left), LabelSet::AllBut(gone)) => {
                LabelSet::AllBut(&gone - &left)
            }
        }
    }
}

fn texts(labels: &[String]) -> impl Iterator<Item = &str> {
    labels.iter().map(String::as_str)
}

/// The labels of series that rules record, by their names.
pub(super) type Recorded = BTreeMap<String, LabelSet>;

/// The labels that the result of `expr` can have, if `recorded` is all that records the series that it names.
pub(super) fn labels_of(expr: &Expr, recorded: &Recorded) -> LabelSet {
    Follower { recorded }.labels_of(expr)
}

/// Follows labels from the selectors up.
#[derive(Clone, Copy)]
struct Follower<'a> {
    recorded: &'a Recorded,
}

impl Follower<'_> {
    fn labels_of(self, expr: &Expr) -> LabelSet {
        match expr {
            Expr::Number(_) | Expr::String(_) => LabelSet::none(),
            Expr::Vector(selector) => self.selected(selector),
            Expr::Matrix(matrix) => self.selected(&matrix.selector),
            Expr::Subquery(subquery) => self.labels_of(&subquery.expr),
            Expr::Paren(paren) => self.labels_of(&paren.expr),
            Expr::Unary(unary) => self.labels_of(&unary.expr),
            Expr::Call(call) => self.called(call),
            Expr::Binary(binary) => self.combined(binary),
            Expr::Aggregate(aggregate) => {
                let inner = self.labels_of(&aggregate.expr);
                if matches!(
                    aggregate.op,
                    AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
                ) {
                    return inner;
                }
                let kept = if aggregate.without {
                    inner.without(texts(&aggregate.grouping)).without(["__name__"])
                } else {
                    let there = texts(&aggregate.grouping).filter(|label| inner.may_have(label));
                    LabelSet::none().with(there)
                };
                match aggregate.param.as_deref().map(Expr::inner) {
                    Some(Expr::String(label)) if aggregate.op == AggregateOp::CountValues => {
                        kept.with([label.value.as_str()])
                    }
                    _ => kept,
                }
            }
        }
    }

    fn selected(self, selector: &VectorSelector) -> LabelSet {
        let absent = selector.matchers.iter().filter(|m| m.op() == MatchOp::Equal && m.value().is_empty());
        let known = super::metric_name(selector).and_then(|name| self.recorded.get(name)).cloned();
        known.unwrap_or_else(LabelSet::all).without(absent.map(|matcher| matcher.name()))
    }

    fn called(self, call: &Call) -> LabelSet {
        use FunctionName as F;
        let text = |index: usize| match call.args.get(index).map(Expr::inner) {
            Some(Expr::String(text)) => Some(text.value.as_str()),
            _ => None,
        };
        let first = || call.args.first().map_or_else(LabelSet::none, |arg| self.labels_of(arg));
        match call.function.id {
            F::Time | F::Pi | F::Scalar | F::Vector => LabelSet::none(),
            F::LabelReplace | F::LabelJoin => match text(1) {
                Some(label) => first().with([label]),
                None => LabelSet::all(),
            },
            F::Absent | F::AbsentOverTime => match call.args.first().map(Expr::inner) {
                Some(Expr::Vector(selector)) => equal_labels(selector),
                Some(Expr::Matrix(matrix)) => equal_labels(&matrix.selector),
                _ => LabelSet::none(),
            },
            F::HistogramQuantile => {
                call.args.get(1).map_or_else(LabelSet::all, |arg| self.labels_of(arg)).without(["le"])
            }
            // What these add is only known when they run.
            F::Info => LabelSet::all(),
            _ if call.function.experimental => LabelSet::all(),
            _ if call.args.is_empty() => LabelSet::none(),
            _ => call.args.iter().map(|arg| self.labels_of(arg)).reduce(LabelSet::union).unwrap_or_else(LabelSet::none),
        }
    }

    fn combined(self, binary: &Binary) -> LabelSet {
        use watchfire_promql::ValueType::Scalar;
        use watchfire_promql::syntax::BinaryOp;
        let (left, right) = (self.labels_of(&binary.lhs), self.labels_of(&binary.rhs));
        match (binary.op, &binary.matching) {
            _ if binary.lhs.value_type() == Scalar => right,
            _ if binary.rhs.value_type() == Scalar => left,
            (BinaryOp::And | BinaryOp::Unless, _) => left,
            (BinaryOp::Or, _) => left.union(right),
            (_, Some(matching)) => match matching.cardinality {
                Cardinality::ManyToOne => left.with(texts(&matching.include)),
                Cardinality::OneToMany => right.with(texts(&matching.include)),
                Cardinality::OneToOne | Cardinality::ManyToMany if matching.on => {
                    // A series stands in for a missing one with `fill`, so that either side's label will do.
                    LabelSet::none().with(texts(&matching.labels).filter(|l| left.may_have(l) || right.may_have(l)))
                }
                Cardinality::OneToOne | Cardinality::ManyToMany => left.without(texts(&matching.labels)),
            },
            (_, None) => left.union(right),
        }
    }
}

/// `absent` answers with the labels that its selector fixes.
fn equal_labels(selector: &VectorSelector) -> LabelSet {
    let fixed = selector.matchers.iter().filter(|m| m.op() == MatchOp::Equal && m.name() != "__name__");
    LabelSet::none().with(fixed.map(|matcher| matcher.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_followed_through_an_expression() {
        // Expression, labels that a result can have, labels that it cannot have.
        let table: [(&str, &[&str], &[&str]); 17] = [
            ("up", &["job", "x"], &[]),
            ("up{x=\"\"}", &["job"], &["x"]),
            ("sum by (job) (up)", &["job"], &["instance"]),
            ("sum without (job) (up)", &["instance"], &["job"]),
            ("sum(up)", &[], &["job"]),
            ("topk by (job) (3, up)", &["job", "instance"], &[]),
            ("count_values by (job) (\"version\", up)", &["job", "version"], &["instance"]),
            ("sum by (job) (a) / on (job) group_left (team) b", &["job", "team"], &["instance"]),
            ("a / on (job) b", &["job"], &["instance"]),
            ("a / ignoring (job) b", &["instance"], &["job"]),
            ("sum by (a) (x) or sum by (b) (x)", &["a", "b"], &["c"]),
            ("sum by (a) (x) and sum by (b) (x)", &["a"], &["b"]),
            ("histogram_quantile(0.9, sum by (le, job) (x)) > 1", &["job"], &["le"]),
            ("absent(up{job=\"a\", x=~\"b\"})", &["job"], &["x", "instance"]),
            ("label_replace(sum(up), \"a\", \"$1\", \"b\", \"(.*)\")", &["a"], &["b"]),
            ("1 - sum by (a) (x) > 0.5", &["a"], &["b"]),
            ("vector(1)", &[], &["a"]),
        ];
        for (text, can, cannot) in table {
            let labels = labels_of(&watchfire_promql::parse(text).unwrap(), &Recorded::new());
            for label in can {
                assert!(labels.may_have(label), "{text}: {label}");
            }
            for label in cannot {
                assert!(!labels.may_have(label), "{text}: {label}");
            }
        }
    }
}
