//! What is different on purpose; the list with the reasons is `differences.txt`.

use watchfire_model::MatchOp;
use watchfire_promql::syntax::{AggregateOp, BinaryOp, Expr, FunctionName};
use watchfire_promql::{Features, parse_with};

/// By name: whether a part of a query meets the difference.
const KNOWN: &[(&str, fn(&Expr) -> bool)] = &[
    ("bucket-bounds-last-digit", |_| false),
    ("places-of-remarks", |_| false),
    ("remarks-of-operators", |_| false),
    ("large-patterns", |_| false),
    ("dates-beyond-64-bits", is_date),
    ("limit-ratio-choice", is_ratio),
    ("word-boundary-beyond-ascii", has_non_boundary),
    ("long-category-names", has_long_category),
    ("library-digits", is_ill_conditioned),
    ("quantiles-beside-nan", |_| false),
    ("hints-of-resets", |_| false),
    ("ties", has_ties),
    ("timestamp-at-offset", is_shifted_timestamp),
    ("remarks-of-fixed-subqueries", is_fixed_subquery),
    ("joined-mixture", |expr| is_call(expr, FunctionName::LabelJoin)),
];

/// The name of the difference that a query meets, if it meets one.
pub(crate) fn difference(query: &str) -> Option<&'static str> {
    if query.contains("1000}") {
        return Some("large-patterns");
    }
    let expr = parse_with(query, Features::ALL).ok()?;
    let mut met = None;
    expr.walk(&mut |part| met = met.or(KNOWN.iter().find(|(_, meets)| meets(part)).map(|(name, _)| *name)));
    met
}

/// The names in the list have to be those that are looked for.
pub(crate) fn list_is_complete() -> anyhow::Result<()> {
    let lines = include_str!("differences.txt").lines().filter(|line| !line.starts_with('#'));
    let listed: Vec<&str> = lines.filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
    anyhow::ensure!(listed == known, "differences.txt lists {listed:?}, known.rs looks for {known:?}");
    Ok(())
}

fn is_date(expr: &Expr) -> bool {
    let Expr::Call(call) = expr else { return false };
    let of_numbers = matches!(
        call.function.id,
        FunctionName::DayOfMonth
            | FunctionName::DayOfWeek
            | FunctionName::DayOfYear
            | FunctionName::DaysInMonth
            | FunctionName::Hour
            | FunctionName::Minute
            | FunctionName::Month
            | FunctionName::Year
    );
    of_numbers && !call.args.is_empty()
}

fn is_ratio(expr: &Expr) -> bool {
    matches!(expr, Expr::Aggregate(aggregate) if aggregate.op == AggregateOp::LimitRatio)
}

fn is_ill_conditioned(expr: &Expr) -> bool {
    if matches!(expr, Expr::Binary(binary) if matches!(binary.op, BinaryOp::Pow | BinaryOp::Mod)) {
        return true;
    }
    let Expr::Call(call) = expr else { return false };
    let of_computed = |expr: &Expr| !matches!(expr.inner(), Expr::Vector(_));
    match call.function.id {
        FunctionName::Sin | FunctionName::Cos | FunctionName::Tan => call.args.iter().any(of_computed),
        FunctionName::Ln | FunctionName::Log2 | FunctionName::Log10 => true,
        FunctionName::Sinh
        | FunctionName::Cosh
        | FunctionName::Tanh
        | FunctionName::Asinh
        | FunctionName::Acosh
        | FunctionName::Atanh => true,
        _ => false,
    }
}

fn is_call(expr: &Expr, function: FunctionName) -> bool {
    matches!(expr, Expr::Call(call) if call.function.id == function)
}

fn has_ties(expr: &Expr) -> bool {
    let Expr::Aggregate(aggregate) = expr else { return false };
    let takes_some = matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk);
    takes_some && !matches!(aggregate.expr.inner(), Expr::Vector(_))
}

fn is_shifted_timestamp(expr: &Expr) -> bool {
    let Expr::Call(call) = expr else { return false };
    let shifted = |argument: &Expr| match argument.inner() {
        Expr::Vector(selector) => selector.at.is_some() && selector.offset.is_some(),
        _ => false,
    };
    call.function.id == FunctionName::Timestamp && call.args.iter().any(shifted)
}

fn is_fixed_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(subquery) if subquery.at.is_some())
}

fn has_non_boundary(expr: &Expr) -> bool {
    has_pattern(expr, |pattern| pattern.contains(r"\B"))
}

fn has_long_category(expr: &Expr) -> bool {
    has_pattern(expr, |pattern| pattern.contains(r"\p{Letter}"))
}

fn has_pattern(expr: &Expr, meets: impl Fn(&str) -> bool) -> bool {
    let matchers = match expr {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        Expr::String(text) => return meets(&text.value),
        _ => return false,
    };
    let is_regex = |op| matches!(op, MatchOp::Regex | MatchOp::NotRegex);
    matchers.iter().any(|matcher| is_regex(matcher.op()) && meets(matcher.value()))
}
