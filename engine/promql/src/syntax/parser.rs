//! Tokens to a tree, by recursive descent.

use watchfire_model::{Anchoring, Duration, Labels, METRIC_NAME_LABEL, MatchOp, Matcher, MatcherBudget, MatcherError};

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, Matching, NumberLiteral, Paren, Span,
    StringLiteral, Unary, VectorSelector,
};
use super::error::ParseError;
use super::functions::Function;
use super::lexer::{Kind, Lexer, Token};
use super::literal::number;
use super::quote::{quote, unquote};
use super::suggest::{lexer_help, nearest_function};

/// The parts of the language that Prometheus keeps behind feature flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `limitk`, `sort_by_label`, `info` and the other functions marked experimental.
    pub functions: bool,
    /// Arithmetic in ranges and offsets: `[5m * 2]`, `offset step()`.
    pub durations: bool,
    /// `anchored` and `smoothed`.
    pub range_extensions: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub fill: bool,
}

impl Features {
    /// Everything.
    pub const ALL: Features = Features { functions: true, durations: true, range_extensions: true, fill: true };
}

/// Parses and checks an expression of the stable language.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_with(text, Features::default())
}

/// Parses and checks an expression, with what is behind feature flags as far as it is allowed.
pub fn parse_with(text: &str, features: Features) -> Result<Expr, ParseError> {
    expression(text, &mut Parser::new(text, features)?)
}

/// The same of what a request asks, whose matchers may take only so much.
pub fn parse_within(text: &str, features: Features, budget: &mut MatcherBudget) -> Result<Expr, ParseError> {
    within(text, features, budget, |parser| expression(text, parser))
}

fn within<T>(
    text: &str,
    features: Features,
    budget: &mut MatcherBudget,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    let mut parser = Parser::new(text, features)?;
    parser.budget = Some(budget.clone());
    let parsed = parse(&mut parser);
    if let Some(left) = parser.budget {
        *budget = left;
    }
    parsed
}

fn expression(text: &str, parser: &mut Parser<'_>) -> Result<Expr, ParseError> {
    if parser.token.kind == Kind::Eof {
        return Err(
            ParseError::new(text, 0..0, "no expression found in input").with_help("write a query such as up == 0")
        );
    }
    let mut expr = parser.expression(0)?;
    parser.expect_end()?;
    super::check::check(text, &mut expr)?;
    Ok(expr)
}

/// Parses a selector as it stands in API parameters and test files: `up`, `up{job="x"}`, `{job="x"}`.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    selector(&mut Parser::new(text, Features::default())?)
}

/// The same of what a request says, which has a budget for all its matchers.
pub fn parse_selector_within(text: &str, budget: &mut MatcherBudget) -> Result<Vec<Matcher>, ParseError> {
    within(text, Features::default(), budget, selector)
}

fn selector(parser: &mut Parser<'_>) -> Result<Vec<Matcher>, ParseError> {
    let selector = match parser.token.kind {
        Kind::Identifier | Kind::MetricIdentifier | Kind::Word(_) | Kind::Sign("{") => parser.selector()?,
        _ => return Err(parser.unexpected("", "")),
    };
    parser.expect_end()?;
    Ok(selector.matchers)
}

/// Parses the labels of one series, written like a selector: `up{job="x"}`, `{}`, or nothing at all.
pub(crate) fn parse_label_set(text: &str) -> Result<Labels, ParseError> {
    if text.trim().is_empty() {
        return Ok(Labels::empty());
    }
    let matchers = parse_selector(text)?;
    if let Some(other) = matchers.iter().find(|m| m.op() != MatchOp::Equal) {
        let message = format!("expected {}=\"...\" in a series, got {other}", other.name());
        return Err(ParseError::new(text, 0..text.len(), message));
    }
    Ok(Labels::from_pairs(matchers.iter().map(|m| (m.name(), m.value()))))
}

/// Deeper nesting than this is refused, because parsing walks down into it.
const DEPTH_MAX: usize = 100;
/// A higher tree than this is refused, because evaluation walks down its whole height on a thread's small stack.
const HEIGHT_MAX: usize = 250;

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    lexer: Lexer<'a>,
    pub(super) token: Token,
    /// Where the token before ended.
    pub(super) last_end: usize,
    pub(super) features: Features,
    /// What is left for the matchers of a request.
    budget: Option<MatcherBudget>,
    depth: usize,
    /// How high the expression is that was read last.
    height: usize,
}

pub(super) fn aggregate_op(word: &str) -> Option<AggregateOp> {
    Some(match word {
        "sum" => AggregateOp::Sum,
        "avg" => AggregateOp::Avg,
        "count" => AggregateOp::Count,
        "min" => AggregateOp::Min,
        "max" => AggregateOp::Max,
        "group" => AggregateOp::Group,
        "stddev" => AggregateOp::Stddev,
        "stdvar" => AggregateOp::Stdvar,
        "topk" => AggregateOp::Topk,
        "bottomk" => AggregateOp::Bottomk,
        "count_values" => AggregateOp::CountValues,
        "quantile" => AggregateOp::Quantile,
        "limitk" => AggregateOp::Limitk,
        "limit_ratio" => AggregateOp::LimitRatio,
        _ => return None,
    })
}

/// Operators with their binding strength; a higher number binds tighter.
fn binary_op(kind: Kind) -> Option<(BinaryOp, u8)> {
    let (Kind::Sign(text) | Kind::Word(text)) = kind else { return None };
    Some(match text {
        "or" => (BinaryOp::Or, 1),
        "and" => (BinaryOp::And, 2),
        "unless" => (BinaryOp::Unless, 2),
        "==" => (BinaryOp::Equal, 3),
        "!=" => (BinaryOp::NotEqual, 3),
        "<" => (BinaryOp::Less, 3),
        "<=" => (BinaryOp::LessOrEqual, 3),
        ">" => (BinaryOp::Greater, 3),
        ">=" => (BinaryOp::GreaterOrEqual, 3),
        "</" => (BinaryOp::TrimUpper, 3),
        ">/" => (BinaryOp::TrimLower, 3),
        "+" => (BinaryOp::Add, 4),
        "-" => (BinaryOp::Sub, 4),
        "*" => (BinaryOp::Mul, 5),
        "/" => (BinaryOp::Div, 5),
        "%" => (BinaryOp::Mod, 5),
        "atan2" => (BinaryOp::Atan2, 5),
        "^" => (BinaryOp::Pow, POWER),
        _ => return None,
    })
}

const POWER: u8 = 6;

pub(super) fn is_operator_sign(sign: &str) -> bool {
    binary_op(Kind::Sign(match sign {
        "+" | "-" | "*" | "/" | "%" | "^" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "</" | ">/" => "+",
        "=~" | "!~" | "@" => return true,
        _ => return false,
    }))
    .is_some()
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, features: Features) -> Result<Parser<'a>, ParseError> {
        let mut lexer = Lexer::new(text);
        let token = lexer.token_next();
        let mut parser = Parser { text, lexer, token, last_end: 0, features, budget: None, depth: 0, height: 0 };
        parser.refuse_lexer_error()?;
        Ok(parser)
    }

    fn refuse_lexer_error(&mut self) -> Result<(), ParseError> {
        match self.lexer.error.take() {
            Some(message) => {
                let help = lexer_help(&message);
                let error = ParseError::new(self.text, self.token.span.range(), message);
                Err(match help {
                    Some(help) => error.with_help(help),
                    None => error,
                })
            }
            None => Ok(()),
        }
    }

    /// Takes the current token and reads the next one.
    pub(super) fn advance(&mut self) -> Result<Token, ParseError> {
        let token = self.token;
        self.last_end = token.span.end;
        self.token = self.lexer.token_next();
        self.refuse_lexer_error()?;
        Ok(token)
    }

    pub(super) fn at_sign(&self, sign: &str) -> bool {
        matches!(self.token.kind, Kind::Sign(s) if s == sign)
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        matches!(self.token.kind, Kind::Word(w) if w == word)
    }

    pub(super) fn eat_sign(&mut self, sign: &str) -> Result<bool, ParseError> {
        let found = self.at_sign(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn eat_word(&mut self, word: &str) -> Result<bool, ParseError> {
        let found = self.at_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span.range(), message)
    }

    pub(super) fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let mut message = format!("unexpected {}", self.token.describe(self.text));
        if !context.is_empty() {
            message.push_str(&format!(" in {context}"));
        }
        if !expected.is_empty() {
            message.push_str(&format!(", expected {expected}"));
        }
        let error = self.error(self.token.span, message);
        match (self.token.kind, expected) {
            (Kind::Eof, "") => error.with_help("the query ends too early; complete it or remove the last operator"),
            (Kind::Sign("="), "") => error.with_help("compare with =="),
            _ => error,
        }
    }

    fn expect_end(&mut self) -> Result<(), ParseError> {
        if self.token.kind == Kind::Eof { Ok(()) } else { Err(self.unexpected("", "")) }
    }

    fn expression(&mut self, strength_min: u8) -> Result<Expr, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("the expression is nested more than {DEPTH_MAX} levels deep");
            return Err(self.error(self.token.span, message).with_help("split it with a recording rule"));
        }
        let mut left = self.operand()?;
        let mut height = self.height;
        while let Some((op, strength)) = binary_op(self.token.kind) {
            if strength < strength_min {
                break;
            }
            left = self.binary(left, op, strength)?;
            self.height = height.max(self.height);
            self.grow()?;
            height = self.height;
        }
        self.height = height;
        self.depth -= 1;
        Ok(left)
    }

    /// What was read last stands below one more node.
    pub(super) fn grow(&mut self) -> Result<(), ParseError> {
        self.height += 1;
        if self.height > HEIGHT_MAX {
            let message = format!("the expression has more than {HEIGHT_MAX} levels of operators and calls");
            return Err(self.error(self.token.span, message).with_help("split it with a recording rule"));
        }
        Ok(())
    }

    fn binary(&mut self, left: Expr, op: BinaryOp, strength: u8) -> Result<Expr, ParseError> {
        let op_start = self.advance()?.span;
        let return_bool = self.eat_word("bool")?;
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if self.at_word("on") || self.at_word("ignoring") {
            matching.on = self.at_word("on");
            self.advance()?;
            matching.labels = self.grouping_labels()?;
            let side = match self.token.kind {
                Kind::Word("group_left") => Some(Cardinality::ManyToOne),
                Kind::Word("group_right") => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(cardinality) = side {
                self.advance()?;
                matching.cardinality = cardinality;
                if self.at_sign("(") {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        let fill_span = self.token.span;
        let mut filled = false;
        while let Kind::Word(word @ ("fill" | "fill_left" | "fill_right")) = self.token.kind {
            let again = match word {
                "fill" => filled,
                "fill_left" => matching.fill_left.is_some(),
                _ => matching.fill_right.is_some(),
            };
            if again {
                return Err(self.unexpected("", ""));
            }
            self.advance()?;
            let value = self.fill_value()?;
            if word != "fill_right" {
                matching.fill_left = Some(value);
            }
            if word != "fill_left" {
                matching.fill_right = Some(value);
            }
            filled = true;
        }
        if filled && !self.features.fill {
            let span = fill_span.until(self.last_end);
            return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
        }
        let op_span = op_start.until(self.last_end);
        // Everything but the power groups from the left.
        let right = self.expression(if op == BinaryOp::Pow { strength } else { strength + 1 })?;
        let span = left.span().to(right.span());
        Ok(Expr::Binary(Binary {
            op,
            lhs: Box::new(left),
            rhs: Box::new(right),
            return_bool,
            matching: Some(matching),
            op_span,
            span,
        }))
    }

    fn fill_value(&mut self) -> Result<f64, ParseError> {
        if !self.eat_sign("(")? {
            return Err(self.unexpected("", ""));
        }
        let negative = self.at_sign("-");
        if negative || self.at_sign("+") {
            self.advance()?;
        }
        let number = self.number_literal()?;
        if !self.eat_sign(")")? {
            return Err(self.unexpected("", ""));
        }
        Ok(if negative { -number.value } else { number.value })
    }

    /// An operand with its sign and modifiers.
    fn operand(&mut self) -> Result<Expr, ParseError> {
        if self.at_sign("-") || self.at_sign("+") {
            let sign = self.advance()?;
            let negative = &self.text[sign.span.range()] == "-";
            // A sign binds as tightly as a multiplication: -2^2 is -(2^2).
            let expr = self.expression(POWER)?;
            self.grow()?;
            let span = sign.span.to(expr.span());
            return Ok(match expr {
                Expr::Number(mut number) => {
                    if negative {
                        number.value = -number.value;
                    }
                    number.span = span;
                    Expr::Number(number)
                }
                expr => Expr::Unary(Unary { negative, expr: Box::new(expr), span }),
            });
        }
        let primary = self.primary()?;
        self.modifiers(primary)
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let token = self.token;
        self.height = 1;
        match token.kind {
            Kind::Number | Kind::Duration => self.number_literal().map(Expr::Number),
            Kind::String => {
                let token = self.advance()?;
                let value = self.unquoted(token)?;
                Ok(Expr::String(StringLiteral { value, span: token.span }))
            }
            Kind::Sign("(") => {
                self.advance()?;
                let expr = self.expression(0)?;
                if !self.at_sign(")") {
                    return Err(self.unexpected("", ""));
                }
                let close = self.advance()?;
                self.grow()?;
                Ok(Expr::Paren(Paren { expr: Box::new(expr), span: token.span.to(close.span) }))
            }
            Kind::Sign("{") | Kind::MetricIdentifier => self.selector().map(Expr::Vector),
            Kind::Identifier => self.named(token),
            Kind::Word(word) => match aggregate_op(word) {
                Some(op) => self.aggregate_or_metric(token, op),
                None if matches!(word, "start" | "end" | "step" | "range" | "max_of" | "min_of") => self.named(token),
                // These words cannot name a metric without braces around them.
                None if matches!(word, "bool" | "on" | "ignoring" | "group_left" | "group_right" | "atan2") => {
                    Err(self.unexpected("", ""))
                }
                None => self.selector().map(Expr::Vector),
            },
            _ => Err(self.unexpected("", "")),
        }
    }

    /// A call, if a parenthesis follows, or a metric.
    fn named(&mut self, name: Token) -> Result<Expr, ParseError> {
        let after = self.text[name.span.end..].trim_start();
        if !after.starts_with('(') {
            return self.selector().map(Expr::Vector);
        }
        self.advance()?;
        let args = self.arguments()?;
        let written = &self.text[name.span.range()];
        let span = name.span.until(self.last_end);
        let Some(function) = Function::by_name(written) else {
            let error = self.error(name.span, format!("unknown function with name {}", quote(written)));
            return Err(match nearest_function(written) {
                Some(near) => error.with_help(format!("did you mean {near}?")),
                None => error,
            });
        };
        if function.experimental && !self.features.functions {
            return Err(self
                .error(name.span, format!("function {} is not enabled", quote(written)))
                .with_help("switch on experimental functions"));
        }
        Ok(Expr::Call(Call { function, args, span }))
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        self.advance()?;
        let mut args = Vec::new();
        if self.eat_sign(")")? {
            return Ok(args);
        }
        let mut highest = 0;
        loop {
            args.push(self.expression(0)?);
            highest = self.height.max(highest);
            if self.at_sign(",") {
                let comma = self.advance()?;
                if self.at_sign(")") {
                    let message = "trailing commas not allowed in function call args";
                    return Err(self.error(comma.span, message).with_help("remove the comma"));
                }
                continue;
            }
            if self.eat_sign(")")? {
                self.height = highest;
                self.grow()?;
                return Ok(args);
            }
            return Err(self.unexpected("", ""));
        }
    }

    fn aggregate_or_metric(&mut self, name: Token, op: AggregateOp) -> Result<Expr, ParseError> {
        let after = self.text[name.span.end..].trim_start();
        let word_follows = |word: &str| {
            after.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word))
                && !after[word.len()..].starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric())
        };
        let aggregates = after.starts_with('(') || word_follows("by") || word_follows("without");
        if !aggregates {
            return self.selector().map(Expr::Vector);
        }
        self.advance()?;
        let (mut grouping, mut without) = self.aggregate_modifier()?.unwrap_or_default();
        let modified = self.last_end != name.span.end;
        if !self.at_sign("(") {
            return Err(self.unexpected("aggregation", ""));
        }
        let mut args = self.arguments()?;
        if !modified && let Some(modifier) = self.aggregate_modifier()? {
            (grouping, without) = modifier;
        }
        let span = name.span.until(self.last_end);
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.features.functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.name()
            );
            return Err(self.error(span, message));
        }
        let expected = if op.has_param() { 2 } else { 1 };
        if args.len() != expected {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {}",
                args.len()
            );
            return Err(self.error(span, message));
        }
        let expr = args.pop().map(Box::new);
        let param = args.pop().map(Box::new);
        match expr {
            Some(expr) => Ok(Expr::Aggregate(Aggregate { op, param, expr, grouping, without, span })),
            None => Err(self.error(span, "no arguments for aggregate expression provided")),
        }
    }

    fn aggregate_modifier(&mut self) -> Result<Option<(Vec<String>, bool)>, ParseError> {
        if self.eat_word("by")? {
            Ok(Some((self.grouping_labels()?, false)))
        } else if self.eat_word("without")? {
            Ok(Some((self.grouping_labels()?, true)))
        } else {
            Ok(None)
        }
    }

    fn grouping_labels(&mut self) -> Result<Vec<String>, ParseError> {
        if !self.eat_sign("(")? {
            return Err(self.unexpected("grouping opts", "\"(\""));
        }
        let mut labels = Vec::new();
        loop {
            if self.at_sign(")") {
                self.advance()?;
                return Ok(labels);
            }
            let token = self.token;
            let label = match token.kind {
                Kind::Identifier | Kind::MetricIdentifier | Kind::Word(_) => {
                    self.advance()?;
                    self.text[token.span.range()].to_owned()
                }
                Kind::String => {
                    self.advance()?;
                    self.unquoted(token)?
                }
                _ => return Err(self.unexpected("grouping opts", "label")),
            };
            if label.is_empty() {
                return Err(self.error(token.span, "invalid label name for grouping: \"\""));
            }
            labels.push(label);
            if !self.at_sign(")") && !self.eat_sign(",")? {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
    }

    pub(super) fn number_literal(&mut self) -> Result<NumberLiteral, ParseError> {
        let token = self.token;
        let written = &self.text[token.span.range()];
        let (value, duration) = match token.kind {
            Kind::Number => {
                let value = number(written).ok_or_else(|| {
                    let message =
                        format!("error parsing number: strconv.ParseFloat: parsing {}: invalid syntax", quote(written));
                    self.error(token.span, message)
                })?;
                (value, false)
            }
            Kind::Duration => {
                let span: Duration = written.parse().map_err(|_| {
                    self.error(token.span, format!("not a valid duration string: {}", quote(written)))
                        .with_help("write units from the largest to the smallest, each once: 1h30m")
                })?;
                (span.as_secs_f64(), true)
            }
            _ => return Err(self.unexpected("", "")),
        };
        self.advance()?;
        Ok(NumberLiteral { value, duration, span: token.span })
    }

    pub(super) fn unquoted(&self, token: Token) -> Result<String, ParseError> {
        let written = &self.text[token.span.range()];
        unquote(written)
            .map_err(|reason| self.error(token.span, format!("error unquoting string {}: {reason}", quote(written))))
    }

    fn selector(&mut self) -> Result<VectorSelector, ParseError> {
        let start = self.token.span;
        let mut name = None;
        if !self.at_sign("{") {
            let token = self.advance()?;
            name = Some(self.text[token.span.range()].to_owned());
        }
        let mut matchers = Vec::new();
        if self.at_sign("{") {
            self.advance()?;
            matchers = self.label_matchers()?;
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME_LABEL, name.clone()));
        }
        let span = start.until(self.last_end);
        Ok(VectorSelector { name, matchers, offset: None, at: None, extension: None, span })
    }

    fn label_matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        let mut matchers = Vec::new();
        loop {
            if self.at_sign("}") {
                self.advance()?;
                return Ok(matchers);
            }
            matchers.push(self.label_matcher()?);
            if !self.at_sign("}") && !self.eat_sign(",")? {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
        }
    }

    fn label_matcher(&mut self) -> Result<Matcher, ParseError> {
        let token = self.token;
        let name = match token.kind {
            Kind::Identifier => {
                self.advance()?;
                self.text[token.span.range()].to_owned()
            }
            Kind::String => {
                self.advance()?;
                let name = self.unquoted(token)?;
                if self.at_sign(",") || self.at_sign("}") {
                    return Ok(Matcher::equal(METRIC_NAME_LABEL, name));
                }
                name
            }
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        let op = match self.token.kind {
            Kind::Sign("=") => MatchOp::Equal,
            Kind::Sign("!=") => MatchOp::NotEqual,
            Kind::Sign("=~") => MatchOp::Regex,
            Kind::Sign("!~") => MatchOp::NotRegex,
            _ if token.kind == Kind::String => return Err(self.unexpected("label matching", "\",\" or \"}\"")),
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.advance()?;
        let value = self.token;
        if value.kind != Kind::String {
            return Err(self.unexpected("label matching", "string").with_help("put the value in double quotes"));
        }
        self.advance()?;
        let text = self.unquoted(value)?;
        let matcher = match &mut self.budget {
            None => Matcher::new(name, op, text, Anchoring::Prometheus),
            Some(budget) => Matcher::new_within(name, op, text, Anchoring::Prometheus, budget),
        };
        matcher.map_err(|error| {
            let message = match error {
                MatcherError::Pattern { reason, .. } => format!("error parsing regexp: {reason}"),
                MatcherError::Budget(error) => error.to_string(),
            };
            self.error(token.span.to(value.span), message)
        })
    }
}
