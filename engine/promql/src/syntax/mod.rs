//! From text to a checked syntax tree and back.

pub(crate) mod ast;
mod check;
mod display;
mod duration;
mod error;
pub(crate) mod functions;
mod lexer;
mod literal;
mod modifier;
pub(crate) mod parser;
mod quote;
mod suggest;
mod visit;

pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, DurationKind, DurationOp,
    DurationValue, Expr, Matching, MatrixSelector, NumberLiteral, Paren, RangeExtension, Span, StringLiteral, Subquery,
    Unary, ValueType, VectorSelector,
};
pub use error::ParseError;
pub use functions::{Function, FunctionName};
pub use parser::{Features, parse, parse_selector, parse_selector_within, parse_with, parse_within};
pub use visit::Selector;

pub(crate) use quote::{is_label_name, quote};

#[cfg(test)]
mod tests;
