//! The canonical text of an expression, which is Prometheus' to the letter.

use std::fmt;

use watchfire_model::{Duration, METRIC_NAME_LABEL, MatchOp, Matcher, format_f, is_legacy_label_name};

use super::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationKind, DurationOp, DurationValue, Expr, Matching,
    RangeExtension, VectorSelector,
};
use super::quote::quote;

struct LabelList<'a>(&'a [String]);

impl fmt::Display for LabelList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, label) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write_label_name(f, label)?;
        }
        f.write_str(")")
    }
}

fn write_label_name(f: &mut impl fmt::Write, name: &str) -> fmt::Result {
    if is_legacy_label_name(name) { f.write_str(name) } else { f.write_str(&quote(name)) }
}

fn matcher(matcher: &Matcher) -> String {
    let mut out = String::new();
    let _ = write_label_name(&mut out, matcher.name());
    out + &matcher.op().to_string() + &quote(matcher.value())
}

fn write_seconds(f: &mut fmt::Formatter<'_>, seconds: f64) -> fmt::Result {
    write!(f, "{}", Duration::from_millis((seconds * 1000.0).round() as i64))
}

/// The modifiers behind a selector or subquery.
fn write_at(f: &mut fmt::Formatter<'_>, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Time(time)) => write!(f, " @ {:.3}", time.as_secs_f64()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn write_extension(f: &mut fmt::Formatter<'_>, extension: Option<RangeExtension>) -> fmt::Result {
    f.write_str(match extension {
        None => "",
        Some(RangeExtension::Anchored) => " anchored",
        Some(RangeExtension::Smoothed) => " smoothed",
    })
}

fn write_offset(f: &mut fmt::Formatter<'_>, offset: Option<&DurationValue>) -> fmt::Result {
    match offset {
        None => Ok(()),
        Some(offset) => write!(f, " offset {offset}"),
    }
}

impl fmt::Display for DurationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationValue::Literal(duration) => write!(f, "{duration}"),
            DurationValue::Computed(expr) => write!(f, "{expr}"),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationKind::Number { value, duration: true } => write_seconds(f, *value)?,
            DurationKind::Number { value, .. } => f.write_str(&format_f(*value))?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::Negative(operand) => write!(f, "-{operand}")?,
            DurationKind::Binary(DurationOp::MaxOf, a, b) => write!(f, "max_of({a}, {b})")?,
            DurationKind::Binary(DurationOp::MinOf, a, b) => write!(f, "min_of({a}, {b})")?,
            DurationKind::Binary(op, a, b) => {
                let sign = match op {
                    DurationOp::Add => "+",
                    DurationOp::Sub => "-",
                    DurationOp::Mul => "*",
                    DurationOp::Div => "/",
                    DurationOp::Mod => "%",
                    _ => "^",
                };
                write!(f, "{a} {sign} {b}")?;
            }
        }
        if self.wrapped { f.write_str(")") } else { Ok(()) }
    }
}

impl VectorSelector {
    /// The name and the braces, without modifiers.
    fn write_bare(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("");
        f.write_str(name)?;
        let hidden = |m: &&Matcher| {
            m.name() == METRIC_NAME_LABEL && m.op() == MatchOp::Equal && m.value() == name && !name.is_empty()
        };
        let mut matchers: Vec<String> = self.matchers.iter().filter(|m| !hidden(m)).map(matcher).collect();
        matchers.sort_unstable();
        if matchers.is_empty() { Ok(()) } else { write!(f, "{{{}}}", matchers.join(",")) }
    }
}

impl fmt::Display for Matching {
    /// With a space before each part, nothing for the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grouped = matches!(self.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany);
        if !self.labels.is_empty() || self.on || grouped {
            write!(f, " {} {}", if self.on { "on" } else { "ignoring" }, LabelList(&self.labels))?;
        }
        if grouped {
            let side = if self.cardinality == Cardinality::ManyToOne { "left" } else { "right" };
            write!(f, " group_{side} {}", LabelList(&self.include))?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_f(left)),
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", format_f(left))?;
                }
                if let Some(right) = right {
                    write!(f, " fill_right ({})", format_f(right))?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.lhs, self.op.symbol(), if self.return_bool { " bool" } else { "" })?;
        if let Some(matching) = &self.matching {
            write!(f, "{matching}")?;
        }
        write!(f, " {}", self.rhs)
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        if self.without {
            write!(f, " without {} ", LabelList(&self.grouping))?;
        } else if !self.grouping.is_empty() {
            write!(f, " by {} ", LabelList(&self.grouping))?;
        }
        f.write_str("(")?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(number) if number.duration => write_seconds(f, number.value),
            Expr::Number(number) => f.write_str(&format_f(number.value)),
            Expr::String(string) => f.write_str(&quote(&string.value)),
            Expr::Vector(selector) => {
                selector.write_bare(f)?;
                write_at(f, selector.at)?;
                write_extension(f, selector.extension)?;
                write_offset(f, selector.offset.as_ref())
            }
            Expr::Matrix(matrix) => {
                matrix.selector.write_bare(f)?;
                write!(f, "[{}]", matrix.range)?;
                write_extension(f, matrix.selector.extension)?;
                write_at(f, matrix.selector.at)?;
                write_offset(f, matrix.selector.offset.as_ref())
            }
            Expr::Subquery(subquery) => {
                write!(f, "{}[{}:", subquery.expr, subquery.range)?;
                if let Some(step) = &subquery.step {
                    write!(f, "{step}")?;
                }
                f.write_str("]")?;
                write_at(f, subquery.at)?;
                write_offset(f, subquery.offset.as_ref())
            }
            Expr::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                for (i, arg) in call.args.iter().enumerate() {
                    write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Expr::Aggregate(aggregate) => write!(f, "{aggregate}"),
            Expr::Binary(binary) => write!(f, "{binary}"),
            Expr::Unary(unary) => write!(f, "{}{}", if unary.negative { "-" } else { "+" }, unary.expr),
            Expr::Paren(paren) => write!(f, "({})", paren.expr),
        }
    }
}
