//! What may stand behind an operand: ranges, `offset`, `@` and the range extensions.

use watchfire_model::{Duration, Timestamp};

use super::ast::{At, DurationValue, Expr, MatrixSelector, RangeExtension, Span, Subquery};
use super::error::ParseError;
use super::lexer::Kind;
use super::parser::Parser;

impl Parser<'_> {
    /// Ranges, `offset`, `@`, `anchored` and `smoothed` behind an operand.
    pub(super) fn modifiers(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        loop {
            expr = match self.token.kind {
                Kind::Sign("[") => self.range(expr)?,
                Kind::Sign("@") => self.at_modifier(expr)?,
                Kind::Word("offset") => self.offset(expr)?,
                Kind::Word(word @ ("anchored" | "smoothed")) => self.extension(expr, word)?,
                _ => return Ok(expr),
            };
        }
    }

    fn range(&mut self, expr: Expr) -> Result<Expr, ParseError> {
        let open = self.advance()?;
        let range = self.positive_duration("subquery or range selector", "number, duration, step(), or range()")?;
        if self.at_sign("]") {
            let close = self.advance()?;
            let message = match &expr {
                Expr::Vector(s) if s.offset.is_some() => "no offset modifiers allowed before range",
                Expr::Vector(s) if s.at.is_some() => "no @ modifiers allowed before range",
                Expr::Vector(_) => "",
                _ => "ranges only allowed for vector selectors",
            };
            let Expr::Vector(selector) = expr else {
                return Err(self
                    .error(open.span.to(close.span), message)
                    .with_help("put a colon into the brackets to make it a subquery: [5m:]"));
            };
            if !message.is_empty() {
                return Err(self
                    .error(open.span.to(close.span), message)
                    .with_help("put the modifier behind the range"));
            }
            let span = selector.span.to(close.span);
            return Ok(Expr::Matrix(MatrixSelector { selector, range, span }));
        }
        if !self.eat_sign(":")? {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        let step = if self.at_sign("]") {
            None
        } else {
            Some(self.positive_duration("subquery selector", "number, duration, step(), range(), or \"]\"")?)
        };
        if !self.at_sign("]") {
            return Err(self.unexpected("subquery selector", "\"]\""));
        }
        let close = self.advance()?;
        let span = expr.span().to(close.span);
        self.grow()?;
        Ok(Expr::Subquery(Subquery { expr: Box::new(expr), range, step, offset: None, at: None, span }))
    }

    fn at_modifier(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        self.advance()?;
        let at = if let Kind::Word(word @ ("start" | "end")) = self.token.kind {
            self.advance()?;
            if !(self.eat_sign("(")? && self.eat_sign(")")?) {
                return Err(self.unexpected("@", "timestamp"));
            }
            if word == "start" { At::Start } else { At::End }
        } else {
            let negative = self.at_sign("-");
            if negative || self.at_sign("+") {
                self.advance()?;
            }
            if !matches!(self.token.kind, Kind::Number | Kind::Duration) {
                return Err(self.unexpected("@", "timestamp"));
            }
            let number = self.number_literal()?;
            let seconds = if negative { -number.value } else { number.value };
            if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 {
                let message = format!("timestamp out of bounds for @ modifier: {seconds:.6}");
                return Err(self.error(expr.span(), message));
            }
            At::Time(Timestamp::from_secs_f64(seconds))
        };
        let end = self.last_end;
        let whole = expr.span();
        let Some((slot, _, span)) = modifiable(&mut expr) else {
            let message =
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(whole, message).with_help("move the modifier into the selector"));
        };
        if slot.is_some() {
            let span = *span;
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        extend(&mut expr, end);
        Ok(expr)
    }

    fn offset(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        self.advance()?;
        let value = self.offset_duration()?;
        let end = self.last_end;
        let whole = expr.span();
        let Some((_, slot, span)) = modifiable(&mut expr) else {
            let message =
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(whole, message).with_help("move the offset into the selector"));
        };
        if slot.is_some() {
            let span = *span;
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        *slot = (value != DurationValue::Literal(Duration::ZERO)).then_some(value);
        extend(&mut expr, end);
        Ok(expr)
    }

    fn extension(&mut self, mut expr: Expr, word: &str) -> Result<Expr, ParseError> {
        self.advance()?;
        let whole = expr.span();
        if !self.features.range_extensions {
            return Err(self.error(whole, format!("{word} modifier is experimental and not enabled")));
        }
        let selector = match &mut expr {
            Expr::Vector(selector) => selector,
            Expr::Matrix(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => {
                return Err(self.error(whole, format!("{word} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(whole, format!("{word} modifier not implemented"))),
        };
        let extension = if word == "anchored" { RangeExtension::Anchored } else { RangeExtension::Smoothed };
        if selector.extension.is_some_and(|other| other != extension) {
            return Err(self.error(whole, "anchored and smoothed modifiers cannot be used together"));
        }
        selector.extension = Some(extension);
        Ok(expr)
    }
}

/// Where `@` and `offset` of an expression are kept, if it can have them.
fn modifiable(expr: &mut Expr) -> Option<(&mut Option<At>, &mut Option<DurationValue>, &mut Span)> {
    match expr {
        Expr::Vector(s) => Some((&mut s.at, &mut s.offset, &mut s.span)),
        Expr::Matrix(m) => Some((&mut m.selector.at, &mut m.selector.offset, &mut m.span)),
        Expr::Subquery(s) => Some((&mut s.at, &mut s.offset, &mut s.span)),
        _ => None,
    }
}

fn extend(expr: &mut Expr, end: usize) {
    if let Some((_, _, span)) = modifiable(expr) {
        span.end = end;
    }
}
