//! The number behind an alert, and from where on it is trouble: what a reader wants to see drawn.

use std::borrow::Cow;

use watchfire_events::{CompareOp, Threshold};
use watchfire_model::{ALERT_NAME_LABEL, Labels, METRIC_NAME_LABEL};
use watchfire_promql::syntax::BinaryOp;
use watchfire_promql::{Expr, ValueType};

use crate::labels::SEVERITY_LABEL;
use crate::{Rule, Source};

/// What a rule measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure<'a> {
    /// Gives the number at every time, whether or not it is trouble.
    pub expr: Cow<'a, Expr>,
    /// When it is trouble, if that is a comparison with a constant.
    pub threshold: Option<Threshold>,
}

impl Rule {
    /// What it measures for an alert with these labels; nothing if it looks at events, at what is missing, or at one
    /// thing or another. The expression is the same for all its alerts.
    pub fn measure(&self, alert: &Labels) -> Option<Measure<'_>> {
        let Source::Expr(source) = &self.source else { return None };
        let alerting = self.alerting().filter(|alerting| alerting.absent.is_none())?;
        let severity = alert.value_or_empty(SEVERITY_LABEL);
        let level = alerting.severities.iter().find(|level| level.severity == severity);
        match level.or(alerting.severities.first()) {
            Some(level) => Some(Measure { expr: Cow::Borrowed(&source.expr), threshold: Some(level.threshold) }),
            None => compared(&source.expr),
        }
    }

    /// Whether a series of the measure is the one behind an alert of this rule: all labels agree but those that the
    /// rule sets itself.
    pub fn gives(&self, alert: &Labels, series: &Labels) -> bool {
        let levels = self.alerting().is_some_and(|alerting| !alerting.severities.is_empty());
        let set = |name: &str| {
            let own = name == ALERT_NAME_LABEL || self.label(name).is_some();
            own || name == METRIC_NAME_LABEL || (levels && name == SEVERITY_LABEL)
        };
        alert.filter(|name| !set(name)) == series.filter(|name| !set(name))
    }
}

/// The comparison that an expression comes down to. What only says when to look (`and`, `unless`) is left out.
fn compared(expr: &Expr) -> Option<Measure<'_>> {
    let binary = match expr {
        Expr::Paren(paren) => return compared(&paren.expr),
        Expr::Binary(binary) => binary,
        _ if expr.value_type() == ValueType::Vector => return Some(all_of(expr)),
        _ => return None,
    };
    let op = match binary.op {
        BinaryOp::And | BinaryOp::Unless => return compared(&binary.lhs),
        BinaryOp::Or => return None,
        _ => comparison(binary.op).filter(|_| !binary.return_bool),
    };
    let Some(op) = op else { return Some(all_of(expr)) };
    let threshold = |op: CompareOp, value: f64| Some(Threshold { op, value });
    Some(match (constant(&binary.lhs), constant(&binary.rhs)) {
        (None, Some(value)) => Measure { expr: Cow::Borrowed(&binary.lhs), threshold: threshold(op, value) },
        (Some(value), None) => Measure { expr: Cow::Borrowed(&binary.rhs), threshold: threshold(turned(op), value) },
        _ => Measure { expr: Cow::Borrowed(&binary.lhs), threshold: None },
    })
}

fn all_of(expr: &Expr) -> Measure<'_> {
    Measure { expr: Cow::Borrowed(expr), threshold: None }
}

fn comparison(op: BinaryOp) -> Option<CompareOp> {
    CompareOp::parse(op.symbol())
}

/// The comparison with its sides exchanged.
fn turned(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Equal | CompareOp::NotEqual => op,
    }
}

/// The number that an expression of numbers comes to.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(number) => Some(number.value),
        Expr::Paren(paren) => constant(&paren.expr),
        Expr::Unary(unary) => constant(&unary.expr).map(|value| if unary.negative { -value } else { value }),
        Expr::Binary(binary) => {
            let (lhs, rhs) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            match binary.op {
                BinaryOp::Add => Some(lhs + rhs),
                BinaryOp::Sub => Some(lhs - rhs),
                BinaryOp::Mul => Some(lhs * rhs),
                BinaryOp::Div => Some(lhs / rhs),
                BinaryOp::Pow => Some(lhs.powf(rhs)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_measures_what_it_compares() {
        for (text, expected) in [
            ("up == 0", "up == 0"),
            ("rate(errors[5m]) > 0.05", "rate(errors[5m]) > 0.05"),
            ("(rate(errors[5m])) > (5 / 100)", "(rate(errors[5m])) > 0.05"),
            ("10 * 1024 >= free", "free <= 10240"),
            ("-1 < celsius", "celsius > -1"),
            ("a > 5 and on (job) b < 2", "a > 5"),
            ("(a / b > 5 unless maintenance)", "a / b > 5"),
            ("a > b", "a"),
            ("a > bool 5", "a > bool 5"),
            ("absent(up)", "absent(up)"),
            ("a > 1 or b > 2", ""),
            ("1 > 2", ""),
            ("time()", ""),
        ] {
            let expr = watchfire_promql::parse(text).ok().filter(|_| text != "1 > 2");
            let measure = expr.as_ref().and_then(compared);
            let shown = measure.map(|measure| match measure.threshold {
                Some(threshold) => format!("{} {} {}", measure.expr, threshold.op, threshold.value),
                None => measure.expr.to_string(),
            });
            assert_eq!(shown.unwrap_or_default(), expected, "{text}");
        }
    }
}
