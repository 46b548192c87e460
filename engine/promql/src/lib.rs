//! PromQL, the whole language of Prometheus 3: text to a checked tree, tree to a plan, plan and series to a value.
//!
//! Own parser: the known library keeps no positions on its nodes, and an error has to point at the character. The time
//! of evaluation, limits and the wish to stop are arguments; there is no clock and no I/O here.

mod annotations;
mod eval;
mod extract;
mod numeric;
mod options;
mod plan;
mod series_notation;
pub mod syntax;
mod tracked;
mod value;

pub use eval::Windows;
pub use extract::Extract;
pub use options::{Options, QueryError, Stop};
pub use plan::{Plan, instant, range};
pub use series_notation::{NotedValue, SeriesNotation, parse_series, parse_values};
pub use syntax::{
    Expr, Features, ParseError, Selector, ValueType, parse, parse_selector, parse_selector_within, parse_with,
    parse_within,
};
pub use tracked::Tracked;
pub use value::{Answer, MatrixSeries, Value, VectorSample};
