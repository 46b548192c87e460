//! Whether the data are there that an expression decides over, whatever it decides.

use watchfire_promql::syntax::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Paren, Subquery};
use watchfire_promql::{Expr, ValueType};

/// The expression without what it filters by: it has an element wherever the data are there that say whether the
/// expression has one. `None` if there is no such thing as missing data, as for `absent(...)` and for `vector(1)`.
///
/// Only the labels of its elements mean something, their values do not.
pub(crate) fn presence(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Number(_) | Expr::String(_) => None,
        Expr::Vector(_) | Expr::Matrix(_) => Some(expr.clone()),
        Expr::Paren(paren) => Some(Expr::Paren(Paren { expr: Box::new(presence(&paren.expr)?), span: paren.span })),
        Expr::Unary(unary) => presence(&unary.expr),
        Expr::Subquery(subquery) => {
            Some(Expr::Subquery(Subquery { expr: Box::new(presence(&subquery.expr)?), ..subquery.clone() }))
        }
        Expr::Call(call) => of_call(call),
        Expr::Aggregate(aggregate) => of_aggregate(aggregate),
        Expr::Binary(binary) => of_binary(binary),
    }
}

fn is_scalar(expr: &Expr) -> bool {
    matches!(expr.value_type(), ValueType::Scalar | ValueType::String)
}

fn of_call(call: &Call) -> Option<Expr> {
    if matches!(call.function.name, "absent" | "absent_over_time") || call.args.iter().all(is_scalar) {
        return None;
    }
    let args = call.args.iter().map(|arg| if is_scalar(arg) { Some(arg.clone()) } else { presence(arg) });
    Some(Expr::Call(Call { args: args.collect::<Option<_>>()?, ..call.clone() }))
}

fn of_aggregate(aggregate: &Aggregate) -> Option<Expr> {
    let expr = presence(&aggregate.expr)?;
    match aggregate.op {
        // These choose by value.
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => Some(expr),
        _ => Some(Expr::Aggregate(Aggregate {
            op: AggregateOp::Group,
            param: None,
            expr: Box::new(expr),
            ..aggregate.clone()
        })),
    }
}

fn of_binary(binary: &Binary) -> Option<Expr> {
    match (is_scalar(&binary.lhs), is_scalar(&binary.rhs)) {
        (true, true) => return None,
        (true, false) => return presence(&binary.rhs),
        (false, true) => return presence(&binary.lhs),
        (false, false) => {}
    }
    if binary.op == BinaryOp::Unless {
        return presence(&binary.lhs);
    }
    match (presence(&binary.lhs), presence(&binary.rhs)) {
        (Some(lhs), Some(rhs)) => {
            // An addition pairs series as the comparison does, and filters nothing.
            let op = if binary.op.is_set() { binary.op } else { BinaryOp::Add };
            let (lhs, rhs) = (Box::new(lhs), Box::new(rhs));
            Some(Expr::Binary(Binary { op, lhs, rhs, return_bool: false, ..binary.clone() }))
        }
        // Either side suffices, and one is always there.
        _ if binary.op == BinaryOp::Or => None,
        (lhs, rhs) => lhs.or(rhs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_go_and_what_they_filter_stays() {
        let cases = [
            ("up == 0", "up"),
            ("90 < cpu", "cpu"),
            ("rate(x[5m]) > 1 and on (job) up == 1", "rate(x[5m]) and on (job) up"),
            ("a > on (job) group_left () b", "a + on (job) group_left () b"),
            ("count(up == 0) > 3", "group(up)"),
            ("topk by (job) (3, x > 5)", "x"),
            ("sum by (job) (x) / sum by (job) (y) > 0.1", "group by (job) (x) + group by (job) (y)"),
            ("a > 1 unless b", "a"),
            ("a > 1 or b > 1", "a or b"),
            ("max_over_time((x > 5)[10m:1m])", "max_over_time((x)[10m:1m])"),
            ("histogram_quantile(0.9, rate(x[5m])) > 1", "histogram_quantile(0.9, rate(x[5m]))"),
            ("-x > 1", "x"),
            ("x > 5 and on () hour() > 8", "x"),
            ("absent(up)", "always"),
            ("absent(up) and on (job) x > 1", "x"),
            ("a > 1 or vector(1)", "always"),
            ("time() > 5", "always"),
        ];
        for (text, expected) in cases {
            // A comparison of two scalars needs `bool`, which changes nothing here.
            let expr = watchfire_promql::parse(&text.replace("time() >", "time() > bool")).unwrap();
            let got = presence(&expr).map_or("always".to_owned(), |expr| expr.to_string());
            assert_eq!(got, expected, "{text}");
        }
    }
}
