//! The syntax tree. Every node knows where it stands in the text.

use std::ops::Range;

use watchfire_model::{Duration, Matcher, Timestamp};

use super::functions::Function;

/// Where something stands in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// The line of the first byte, from 1.
    pub line: u32,
    /// The column of the first byte in characters, from 1.
    pub column: u32,
}

impl Span {
    /// The bytes as a range, for slicing.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { end: other.end, ..self }
    }

    /// From the start of `self` up to, but not including, the byte `end`.
    pub fn until(self, end: usize) -> Span {
        Span { end, ..self }
    }
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number without labels.
    Scalar,
    /// A text.
    String,
    /// One sample for each of some series.
    Vector,
    /// Several samples for each of some series.
    Matrix,
}

impl ValueType {
    /// The name that Prometheus' documentation and error messages use.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
        }
    }

    /// The name that Prometheus' API uses.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `1.5`, `0x1f`, `Inf`, `5m`
    Number(NumberLiteral),
    /// `"text"`
    String(StringLiteral),
    /// `up{job="x"}`
    Vector(VectorSelector),
    /// `up{job="x"}[5m]`
    Matrix(MatrixSelector),
    /// `max(up)[1h:5m]`
    Subquery(Subquery),
    /// `rate(...)`
    Call(Call),
    /// `sum by (job) (...)`
    Aggregate(Aggregate),
    /// `a + b`
    Binary(Binary),
    /// `-a`
    Unary(Unary),
    /// `(a)`
    Paren(Paren),
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    /// Its value; seconds for a duration.
    pub value: f64,
    /// Whether it was written as a duration (`5m`).
    pub duration: bool,
    /// Where it stands.
    pub span: Span,
}

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    /// Without quotes, escapes resolved.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// The instant that `@` fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// `@ 1609746000`
    Time(Timestamp),
    /// `@ start()`: where the query begins.
    Start,
    /// `@ end()`: where the query ends.
    End,
}

/// How the ends of a range are treated (experimental).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeExtension {
    /// The sample before the range stands in at its left edge.
    Anchored,
    /// Values at both edges are interpolated.
    Smoothed,
}

/// A selector of series by their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name where it stands before the braces; it is one of the matchers too.
    pub name: Option<String>,
    /// All matchers.
    pub matchers: Vec<Matcher>,
    /// How far back, if not zero.
    pub offset: Option<DurationValue>,
    /// The fixed instant.
    pub at: Option<At>,
    /// `anchored` or `smoothed`.
    pub extension: Option<RangeExtension>,
    /// Where it stands, with its modifiers.
    pub span: Span,
}

/// A selector over a range of time.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Which series, and the modifiers that follow the range.
    pub selector: VectorSelector,
    /// How long.
    pub range: DurationValue,
    /// Where it stands, with its modifiers.
    pub span: Span,
}

/// An expression evaluated at several instants.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// How far back.
    pub range: DurationValue,
    /// At which distance; the engine's default where absent.
    pub step: Option<DurationValue>,
    /// Shifts the whole, if not zero.
    pub offset: Option<DurationValue>,
    /// The fixed instant.
    pub at: Option<At>,
    /// Where it stands, with its modifiers.
    pub span: Span,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// The aggregations.
#[expect(missing_docs, reason = "each variant is the operator of that name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// The operator as it is written.
    pub fn name(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it takes a parameter before the vector.
    pub fn has_param(self) -> bool {
        matches!(
            self,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::CountValues
                | AggregateOp::Quantile
                | AggregateOp::Limitk
                | AggregateOp::LimitRatio
        )
    }

    /// Whether it is behind a switch.
    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

/// An aggregation over groups of series.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// `k` of `topk`, the label of `count_values` and so on.
    pub param: Option<Box<Expr>>,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// The labels that make a group, or that do not.
    pub grouping: Vec<String>,
    /// Whether `grouping` names the labels that are left out.
    pub without: bool,
    /// Where it stands.
    pub span: Span,
}

/// The binary operators.
#[expect(missing_docs, reason = "each variant is the operator of that name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Unless,
    TrimUpper,
    TrimLower,
}

impl BinaryOp {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// Whether it compares and so filters or, with `bool`, answers 0 or 1.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessOrEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterOrEqual
        )
    }

    /// Whether it is `and`, `or` or `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// How many series of one side may meet how many of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// The default.
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the series of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// How many of one side may meet how many of the other.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `labels` are those that have to agree, not those that need not.
    pub on: bool,
    /// Labels taken over from the "one" side.
    pub include: Vec<String>,
    /// Stands in for a missing series on the left (experimental).
    pub fill_left: Option<f64>,
    /// Stands in for a missing series on the right (experimental).
    pub fill_right: Option<f64>,
}

/// An operation on two operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// The left operand.
    pub lhs: Box<Expr>,
    /// The right operand.
    pub rhs: Box<Expr>,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Present if both operands are vectors.
    pub matching: Option<Matching>,
    /// Where the operator stands, with its modifiers.
    pub op_span: Span,
    /// Where the whole stands.
    pub span: Span,
}

/// A sign before an operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Whether the sign is a minus.
    pub negative: bool,
    /// The operand.
    pub expr: Box<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// An expression in parentheses.
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Box<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// A span of time: known when the query is written, or computed when it runs (experimental).
#[derive(Clone, Debug, PartialEq)]
pub enum DurationValue {
    /// Known.
    Literal(Duration),
    /// Computed from the query's step and range.
    Computed(Box<DurationExpr>),
}

/// Arithmetic over spans of time, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// What it does.
    pub kind: DurationKind,
    /// Whether it stands in parentheses.
    pub wrapped: bool,
    /// Where it stands.
    pub span: Span,
}

/// The operators of duration arithmetic.
#[expect(missing_docs, reason = "each variant is the operator of that name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    MaxOf,
    MinOf,
}

/// What a duration expression does.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// A number of seconds; `duration` says whether it was written like `5m`.
    Number {
        /// Seconds.
        value: f64,
        /// Whether it was written as a duration.
        duration: bool,
    },
    /// `step()`: the query's step.
    Step,
    /// `range()`: from the query's start to its end.
    Range,
    /// A minus before the operand.
    Negative(Box<DurationExpr>),
    /// Two operands.
    Binary(DurationOp, Box<DurationExpr>, Box<DurationExpr>),
}

impl Expr {
    /// Where the expression stands in its text.
    pub fn span(&self) -> Span {
        match self {
            Expr::Number(n) => n.span,
            Expr::String(n) => n.span,
            Expr::Vector(n) => n.span,
            Expr::Matrix(n) => n.span,
            Expr::Subquery(n) => n.span,
            Expr::Call(n) => n.span,
            Expr::Aggregate(n) => n.span,
            Expr::Binary(n) => n.span,
            Expr::Unary(n) => n.span,
            Expr::Paren(n) => n.span,
        }
    }

    /// What the expression evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(call) => call.function.returns,
            Expr::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Expr::Unary(unary) => unary.expr.value_type(),
            Expr::Paren(paren) => paren.expr.value_type(),
        }
    }

    /// The expression without parentheses around it.
    pub fn inner(&self) -> &Expr {
        match self {
            Expr::Paren(paren) => paren.expr.inner(),
            other => other,
        }
    }
}
