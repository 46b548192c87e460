//! Walking the tree, and what a query reads.

use watchfire_model::{Duration, Matcher};

use super::ast::{Call, DurationValue, Expr, Span, VectorSelector};
use super::functions::FunctionName;

/// What a query reads of the store through one of its selectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// How far before the evaluation time it reads, lookback, ranges, offsets and subqueries added up.
    pub reach: Duration,
    /// Whether it reads at an instant that `@` fixes, so that `reach` says nothing.
    pub pinned: bool,
    /// Where the selector stands.
    pub span: Span,
}

impl Expr {
    /// The expressions directly below this one.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
            Expr::Subquery(subquery) => vec![&subquery.expr],
            Expr::Call(call) => call.args.iter().collect(),
            Expr::Aggregate(aggregate) => aggregate.param.iter().map(|p| &**p).chain([&*aggregate.expr]).collect(),
            Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            Expr::Unary(unary) => vec![&unary.expr],
            Expr::Paren(paren) => vec![&paren.expr],
        }
    }

    /// Calls `visit` for this expression and everything below it, parents first, in the order of the text.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Everything that the expression reads, in the order of the text; `lookback` is the engine's.
    pub fn selectors_with(&self, lookback: Duration) -> Vec<Selector> {
        let mut out = Vec::new();
        read(self, lookback, Duration::ZERO, false, &mut |read| {
            let matchers = match read.what {
                What::Selected(selector) => selector.matchers.clone(),
                What::Info(call) => info_matchers(call),
            };
            out.push(Selector { matchers, reach: read.reach, pinned: read.pinned, span: read.span() });
        });
        out
    }

    /// How far before the evaluation time the expression reads at most, as [`Selector::reach`] says; absent if it reads
    /// nothing.
    pub fn reach_with(&self, lookback: Duration) -> Option<Duration> {
        let mut furthest = None;
        read(self, lookback, Duration::ZERO, false, &mut |read| furthest = furthest.max(Some(read.reach)));
        furthest
    }

    /// The same, unless that is only known when it is evaluated: `@` fixes an instant, or a duration is computed.
    pub(crate) fn known_reach_with(&self, lookback: Duration) -> Option<Duration> {
        let mut known = true;
        self.walk(&mut |expr| {
            let (at, durations) = match expr {
                Expr::Vector(selector) => (selector.at, [selector.offset.as_ref(), None]),
                Expr::Matrix(matrix) => (matrix.selector.at, [matrix.selector.offset.as_ref(), Some(&matrix.range)]),
                Expr::Subquery(subquery) => (subquery.at, [subquery.offset.as_ref(), Some(&subquery.range)]),
                _ => return,
            };
            let computed = durations.iter().flatten().any(|value| matches!(value, DurationValue::Computed(_)));
            known &= at.is_none() && !computed;
        });
        known.then(|| self.reach_with(lookback).unwrap_or(Duration::ZERO))
    }

    /// The same with the default lookback of five minutes.
    pub fn selectors(&self) -> Vec<Selector> {
        self.selectors_with(Duration::from_mins(5))
    }
}

/// The span as far as it is known before the query runs; what is computed then counts as the lookback alone.
fn known(value: Option<&DurationValue>) -> Duration {
    match value {
        Some(DurationValue::Literal(duration)) => *duration,
        _ => Duration::ZERO,
    }
}

/// One reading of the store, and what stands in the expression for it.
struct Reading<'a> {
    what: What<'a>,
    reach: Duration,
    pinned: bool,
}

enum What<'a> {
    Selected(&'a VectorSelector),
    /// The metrics that a call of `info` takes labels from.
    Info(&'a Call),
}

impl Reading<'_> {
    fn span(&self) -> Span {
        match self.what {
            What::Selected(selector) => selector.span,
            What::Info(call) => call.span,
        }
    }
}

/// Tells of everything that an expression reads, in the order of the text.
fn read<'a>(expr: &'a Expr, lookback: Duration, shift: Duration, pinned: bool, tell: &mut dyn FnMut(Reading<'a>)) {
    let mut add = |selector: &'a VectorSelector, length: Duration| {
        let reach = (shift + known(selector.offset.as_ref()) + length).max(Duration::ZERO);
        tell(Reading { what: What::Selected(selector), reach, pinned: pinned || selector.at.is_some() });
    };
    match expr {
        // Extended range selectors look for a sample before the range, as far as the lookback.
        Expr::Vector(selector) if selector.extension.is_some() => add(selector, lookback + lookback),
        Expr::Vector(selector) => add(selector, lookback),
        Expr::Matrix(matrix) => {
            let before = if matrix.selector.extension.is_some() { lookback } else { Duration::ZERO };
            add(&matrix.selector, known(Some(&matrix.range)) + before);
        }
        Expr::Subquery(subquery) => {
            let shift = shift + known(Some(&subquery.range)) + known(subquery.offset.as_ref());
            read(&subquery.expr, lookback, shift, pinned || subquery.at.is_some(), tell);
        }
        Expr::Call(call) => {
            for (i, arg) in call.args.iter().enumerate() {
                // The second argument of `info` selects labels of info metrics, not samples of its own.
                if !(call.function.id == FunctionName::Info && i == 1) {
                    read(arg, lookback, shift, pinned, tell);
                }
            }
            if call.function.id == FunctionName::Info {
                tell(Reading { what: What::Info(call), reach: shift + lookback, pinned });
            }
        }
        other => other.children().into_iter().for_each(|child| read(child, lookback, shift, pinned, tell)),
    }
}

/// Without a matcher on the name, `info` reads `target_info`.
fn info_matchers(call: &Call) -> Vec<Matcher> {
    let mut matchers = match call.args.get(1) {
        Some(Expr::Vector(selector)) => selector.matchers.clone(),
        _ => Vec::new(),
    };
    if !matchers.iter().any(|m| m.name() == watchfire_model::METRIC_NAME_LABEL) {
        matchers = vec![Matcher::equal(watchfire_model::METRIC_NAME_LABEL, "target_info")];
    }
    matchers
}
