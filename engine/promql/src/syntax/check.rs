//! Types and the rules that the grammar does not say.

use watchfire_model::METRIC_NAME_LABEL;

use super::ast::{AggregateOp, Binary, Call, Cardinality, Expr, Span, ValueType, VectorSelector};
use super::error::ParseError;
use super::functions::FunctionName;
use super::quote::quote;

struct Check<'a> {
    text: &'a str,
}

/// Checks the tree and completes what depends on types: only two vectors have a matching.
pub(super) fn check(text: &str, expr: &mut Expr) -> Result<(), ParseError> {
    Check { text }.expr(expr).map(|_| ())
}

impl Check<'_> {
    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span.range(), message)
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, context: &str) -> Result<(), ParseError> {
        let found = self.expr(expr)?;
        if found == wanted {
            return Ok(());
        }
        let message = format!("expected type {} in {context}, got {}", wanted.documented(), found.documented());
        let error = self.error(expr.span(), message);
        Err(match (wanted, found) {
            (ValueType::Matrix, ValueType::Vector) => error.with_help("add a range such as [5m]"),
            (ValueType::Vector, ValueType::Matrix) => {
                error.with_help("take a function over the range, such as rate(...) or last_over_time(...)")
            }
            (ValueType::Vector, ValueType::Scalar) => error.with_help("wrap it in vector(...)"),
            (ValueType::Scalar, ValueType::Vector) => error.with_help("wrap it in scalar(...)"),
            _ => error,
        })
    }

    fn expr(&self, expr: &mut Expr) -> Result<ValueType, ParseError> {
        match expr {
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Vector(selector) => self.selector(selector)?,
            Expr::Matrix(matrix) => self.selector(&matrix.selector)?,
            Expr::Subquery(subquery) => {
                let found = self.expr(&mut subquery.expr)?;
                if found != ValueType::Vector {
                    let message = format!("subquery is only allowed on instant vector, got {} instead", found.name());
                    return Err(self.error(subquery.span, message));
                }
            }
            Expr::Call(call) => self.call(call)?,
            Expr::Aggregate(aggregate) => {
                self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
                let wanted =
                    if aggregate.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
                if let Some(param) = &mut aggregate.param {
                    self.expect(param, wanted, "aggregation parameter")?;
                }
            }
            Expr::Binary(binary) => self.binary(binary)?,
            Expr::Unary(unary) => {
                let found = self.expr(&mut unary.expr)?;
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quote(found.documented())
                    );
                    return Err(self.error(unary.span, message));
                }
            }
            Expr::Paren(paren) => {
                self.expr(&mut paren.expr)?;
            }
        }
        Ok(expr.value_type())
    }

    fn selector(&self, selector: &VectorSelector) -> Result<(), ParseError> {
        if let Some(name) = &selector.name {
            let written = &selector.matchers[..selector.matchers.len().saturating_sub(1)];
            if let Some(second) = written.iter().find(|m| m.name() == METRIC_NAME_LABEL) {
                let message =
                    format!("metric name must not be set twice: {} or {}", quote(name), quote(second.value()));
                return Err(self.error(selector.span, message));
            }
            return Ok(());
        }
        if selector.matchers.iter().all(|m| m.matches("")) {
            return Err(self
                .error(selector.span, "vector selector must contain at least one non-empty matcher")
                .with_help("name the metric, or a label that must be there: {job=~\".+\"}"));
        }
        Ok(())
    }

    fn binary(&self, binary: &mut Binary) -> Result<(), ParseError> {
        let left = self.expr(&mut binary.lhs)?;
        let right = self.expr(&mut binary.rhs)?;
        let op = binary.op;
        let at_op = |message: String| self.error(binary.op_span, message);
        if binary.return_bool && !op.is_comparison() {
            return Err(at_op("bool modifier can only be used on comparison operators".to_owned()));
        }
        if op.is_comparison() && !binary.return_bool && (left, right) == (ValueType::Scalar, ValueType::Scalar) {
            return Err(at_op("comparisons between scalars must use BOOL modifier".to_owned())
                .with_help(format!("write {} bool", op.symbol())));
        }
        let Some(matching) = &mut binary.matching else { return Ok(()) };
        if op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        if let Some(label) = matching.labels.iter().find(|l| matching.on && matching.include.contains(l)) {
            return Err(at_op(format!("label {} must not occur in ON and GROUP clause at once", quote(label))));
        }
        for (side, found) in [(&binary.lhs, left), (&binary.rhs, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(side.span(), message));
            }
        }
        let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        if left != ValueType::Vector || right != ValueType::Vector {
            if !matching.labels.is_empty() {
                return Err(self.error(binary.span, "vector matching only allowed between instant vectors"));
            }
            if filled {
                let message = "filling in missing series only allowed between instant vectors";
                return Err(self.error(binary.span, message));
            }
            if op.is_set() {
                let message = format!("set operator {} not allowed in binary scalar expression", quote(op.symbol()));
                return Err(self.error(binary.span, message).with_help("wrap the number in vector(...)"));
            }
            binary.matching = None;
        } else if op.is_set() {
            if matching.cardinality != Cardinality::ManyToMany {
                let message = format!("no grouping allowed for {} operation", quote(op.symbol()));
                return Err(self.error(binary.span, message));
            }
            if filled {
                return Err(self.error(binary.span, "filling in missing series not allowed for set operators"));
            }
        }
        Ok(())
    }

    fn call(&self, call: &mut Call) -> Result<(), ParseError> {
        let function = call.function;
        let (expected, given) = (function.args.len(), call.args.len());
        let name = quote(function.name);
        let message = if function.variadic == 0 {
            (expected != given).then(|| format!("expected {expected} argument(s) in call to {name}, got {given}"))
        } else {
            let least = expected - 1;
            let most = least + usize::try_from(function.variadic).unwrap_or(usize::MAX - least);
            if given < least {
                Some(format!("expected at least {least} argument(s) in call to {name}, got {given}"))
            } else {
                (given > most).then(|| format!("expected at most {most} argument(s) in call to {name}, got {given}"))
            }
        };
        if let Some(message) = message {
            return Err(self.error(call.span, message));
        }
        if function.id == FunctionName::Info
            && let Some(second) = call.args.get(1)
        {
            let span = second.span();
            match second {
                Expr::Vector(selector) if selector.name.is_some() => {
                    let message = "expected label selectors only, got vector selector instead";
                    return Err(self.error(span, message));
                }
                Expr::Vector(_) => {}
                _ if second.value_type() != ValueType::Vector => {
                    let found = second.value_type().documented();
                    let message = format!("expected type instant vector in call to function {name}, got {found}");
                    return Err(self.error(call.span, message));
                }
                _ => return Err(self.error(span, "expected label selectors only")),
            }
        }
        for (i, arg) in call.args.iter_mut().enumerate() {
            // The second argument of `info` only names labels and may match everything.
            if function.id == FunctionName::Info && i == 1 {
                continue;
            }
            let wanted = function.args[i.min(expected - 1)];
            self.expect(arg, wanted, &format!("call to function {name}"))?;
        }
        Ok(())
    }
}
