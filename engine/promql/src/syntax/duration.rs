//! Spans of time in ranges and offsets, and the arithmetic over them.

use watchfire_model::Duration;

use super::ast::{DurationExpr, DurationKind, DurationOp, DurationValue};
use super::error::ParseError;
use super::lexer::Kind;
use super::parser::Parser;

/// Prometheus counts a duration in nanoseconds in 64 bits.
const SECONDS_MAX: f64 = 9_223_372_036.854_775;

/// Operators with their binding strength, as between numbers.
fn operator(kind: Kind) -> Option<(DurationOp, u8)> {
    let Kind::Sign(sign) = kind else { return None };
    Some(match sign {
        "+" => (DurationOp::Add, 1),
        "-" => (DurationOp::Sub, 1),
        "*" => (DurationOp::Mul, 2),
        "/" => (DurationOp::Div, 2),
        "%" => (DurationOp::Mod, 2),
        "^" => (DurationOp::Pow, POWER),
        _ => return None,
    })
}

const POWER: u8 = 3;

impl Parser<'_> {
    /// What stands between brackets.
    pub(super) fn positive_duration(&mut self, context: &str, expected: &str) -> Result<DurationValue, ParseError> {
        if !self.starts_duration() {
            return Err(self.unexpected(context, expected));
        }
        let expr = self.duration(0)?;
        if let DurationKind::Number { value, .. } = expr.kind
            && !expr.wrapped
            && value <= 0.0
        {
            return Err(self.error(expr.span, "duration must be greater than 0"));
        }
        self.finish(expr)
    }

    /// What stands behind `offset`: a sign belongs to it, an operator does not unless in parentheses.
    pub(super) fn offset_duration(&mut self) -> Result<DurationValue, ParseError> {
        if !self.starts_duration() {
            return Err(self.unexpected("offset", "number, duration, step(), or range()"));
        }
        let expr = self.duration_operand(u8::MAX)?;
        self.finish(expr)
    }

    fn starts_duration(&self) -> bool {
        matches!(
            self.token.kind,
            Kind::Number
                | Kind::Duration
                | Kind::Sign("(" | "+" | "-")
                | Kind::Word("step" | "range" | "max_of" | "min_of")
        )
    }

    /// A plain number becomes a span of time now; everything else is computed when the query runs.
    fn finish(&self, expr: DurationExpr) -> Result<DurationValue, ParseError> {
        match expr.kind {
            DurationKind::Number { value, .. } if !expr.wrapped => {
                if value.is_nan() || value.abs() > SECONDS_MAX {
                    return Err(self.error(expr.span, "duration out of range"));
                }
                Ok(DurationValue::Literal(Duration::from_millis((value * 1000.0).round() as i64)))
            }
            _ if !self.features.durations => {
                Err(self.error(expr.span, "experimental duration expression is not enabled"))
            }
            _ => Ok(DurationValue::Computed(Box::new(expr))),
        }
    }

    fn duration(&mut self, strength_min: u8) -> Result<DurationExpr, ParseError> {
        let mut left = self.duration_operand(POWER)?;
        while let Some((op, strength)) = operator(self.token.kind) {
            if strength < strength_min {
                break;
            }
            let sign = self.advance()?;
            let right = self.duration(if op == DurationOp::Pow { strength } else { strength + 1 })?;
            if let (DurationOp::Div | DurationOp::Mod, DurationKind::Number { value: 0.0, .. }) = (op, &right.kind) {
                let message = if op == DurationOp::Div { "division by zero" } else { "modulo by zero" };
                return Err(self.error(sign.span, message));
            }
            let span = left.span.to(right.span);
            let kind = DurationKind::Binary(op, Box::new(left), Box::new(right));
            left = DurationExpr { kind, wrapped: false, span };
        }
        Ok(left)
    }

    /// One operand; `strength` is what a sign before it takes along.
    fn duration_operand(&mut self, strength: u8) -> Result<DurationExpr, ParseError> {
        let start = self.token.span;
        match self.token.kind {
            Kind::Sign("+" | "-") => {
                let negative = self.at_sign("-");
                self.advance()?;
                let mut operand =
                    if strength == u8::MAX { self.duration_operand(strength)? } else { self.duration(strength)? };
                operand.span = start.to(operand.span);
                if !negative {
                    return Ok(operand);
                }
                if let (DurationKind::Number { value, .. }, false) = (&mut operand.kind, operand.wrapped) {
                    *value = -*value;
                    return Ok(operand);
                }
                let span = operand.span;
                Ok(DurationExpr { kind: DurationKind::Negative(Box::new(operand)), wrapped: false, span })
            }
            Kind::Number | Kind::Duration => {
                let number = self.number_literal()?;
                let kind = DurationKind::Number { value: number.value, duration: number.duration };
                Ok(DurationExpr { kind, wrapped: false, span: number.span })
            }
            Kind::Sign("(") => {
                self.advance()?;
                let mut inner = self.duration(0)?;
                self.close()?;
                inner.wrapped = true;
                inner.span = start.until(self.last_end);
                Ok(inner)
            }
            Kind::Word(word @ ("step" | "range")) => {
                self.advance()?;
                self.open()?;
                self.close()?;
                let kind = if word == "step" { DurationKind::Step } else { DurationKind::Range };
                Ok(DurationExpr { kind, wrapped: false, span: start.until(self.last_end) })
            }
            Kind::Word(word @ ("max_of" | "min_of")) => {
                self.advance()?;
                self.open()?;
                let left = self.duration(0)?;
                if !self.eat_sign(",")? {
                    return Err(self.unexpected("", ""));
                }
                let right = self.duration(0)?;
                self.close()?;
                let op = if word == "max_of" { DurationOp::MaxOf } else { DurationOp::MinOf };
                let kind = DurationKind::Binary(op, Box::new(left), Box::new(right));
                Ok(DurationExpr { kind, wrapped: false, span: start.until(self.last_end) })
            }
            _ => Err(self.unexpected("", "")),
        }
    }

    fn open(&mut self) -> Result<(), ParseError> {
        if self.eat_sign("(")? { Ok(()) } else { Err(self.unexpected("", "")) }
    }

    fn close(&mut self) -> Result<(), ParseError> {
        if self.eat_sign(")")? { Ok(()) } else { Err(self.unexpected("", "")) }
    }
}
