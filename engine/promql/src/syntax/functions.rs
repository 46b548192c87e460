//! The functions: names, types and whether they are behind a switch.

use super::ast::ValueType;
use super::ast::ValueType::{Matrix, Scalar, String, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The same for dispatch.
    pub id: FunctionName,
    /// What its arguments have to be; the last one repeats if it is variadic.
    pub args: &'static [ValueType],
    /// 0: exactly these arguments; n: the last one may be left out or come up to n times; -1: any number of times.
    pub variadic: i32,
    /// What it answers.
    pub returns: ValueType,
    /// Whether it is behind a switch.
    pub experimental: bool,
}

/// All functions.
#[expect(missing_docs, reason = "each variant is the function of that name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FunctionName {
    Abs,
    Absent,
    AbsentOverTime,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    AvgOverTime,
    Ceil,
    Changes,
    Clamp,
    ClampMax,
    ClampMin,
    Cos,
    Cosh,
    CountOverTime,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Deg,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    End,
    Exp,
    FirstOverTime,
    Floor,
    HistogramAvg,
    HistogramCount,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramStddev,
    HistogramStdvar,
    HistogramSum,
    Hour,
    Idelta,
    Increase,
    Info,
    Irate,
    LabelJoin,
    LabelReplace,
    LastOverTime,
    Ln,
    Log10,
    Log2,
    MadOverTime,
    MaxOf,
    MaxOverTime,
    MinOf,
    MinOverTime,
    Minute,
    Month,
    Pi,
    PredictLinear,
    PresentOverTime,
    QuantileOverTime,
    Rad,
    Range,
    Rate,
    Resets,
    Round,
    Scalar,
    Sgn,
    Sin,
    Sinh,
    Sort,
    SortByLabel,
    SortByLabelDesc,
    SortDesc,
    Sqrt,
    Start,
    StartTimestamp,
    StddevOverTime,
    StdvarOverTime,
    Step,
    SumOverTime,
    Tan,
    Tanh,
    Time,
    Timestamp,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMaxOverTime,
    TsOfMinOverTime,
    Vector,
    Year,
}

const fn function(
    name: &'static str,
    id: FunctionName,
    args: &'static [ValueType],
    variadic: i32,
    returns: ValueType,
    experimental: bool,
) -> Function {
    Function { name, id, args, variadic, returns, experimental }
}

/// Sorted by name.
static FUNCTIONS: &[Function] = &[
    function("abs", FunctionName::Abs, &[Vector], 0, Vector, false),
    function("absent", FunctionName::Absent, &[Vector], 0, Vector, false),
    function("absent_over_time", FunctionName::AbsentOverTime, &[Matrix], 0, Vector, false),
    function("acos", FunctionName::Acos, &[Vector], 0, Vector, false),
    function("acosh", FunctionName::Acosh, &[Vector], 0, Vector, false),
    function("asin", FunctionName::Asin, &[Vector], 0, Vector, false),
    function("asinh", FunctionName::Asinh, &[Vector], 0, Vector, false),
    function("atan", FunctionName::Atan, &[Vector], 0, Vector, false),
    function("atanh", FunctionName::Atanh, &[Vector], 0, Vector, false),
    function("avg_over_time", FunctionName::AvgOverTime, &[Matrix], 0, Vector, false),
    function("ceil", FunctionName::Ceil, &[Vector], 0, Vector, false),
    function("changes", FunctionName::Changes, &[Matrix], 0, Vector, false),
    function("clamp", FunctionName::Clamp, &[Vector, Scalar, Scalar], 0, Vector, false),
    function("clamp_max", FunctionName::ClampMax, &[Vector, Scalar], 0, Vector, false),
    function("clamp_min", FunctionName::ClampMin, &[Vector, Scalar], 0, Vector, false),
    function("cos", FunctionName::Cos, &[Vector], 0, Vector, false),
    function("cosh", FunctionName::Cosh, &[Vector], 0, Vector, false),
    function("count_over_time", FunctionName::CountOverTime, &[Matrix], 0, Vector, false),
    function("day_of_month", FunctionName::DayOfMonth, &[Vector], 1, Vector, false),
    function("day_of_week", FunctionName::DayOfWeek, &[Vector], 1, Vector, false),
    function("day_of_year", FunctionName::DayOfYear, &[Vector], 1, Vector, false),
    function("days_in_month", FunctionName::DaysInMonth, &[Vector], 1, Vector, false),
    function("deg", FunctionName::Deg, &[Vector], 0, Vector, false),
    function("delta", FunctionName::Delta, &[Matrix], 0, Vector, false),
    function("deriv", FunctionName::Deriv, &[Matrix], 0, Vector, false),
    function(
        "double_exponential_smoothing",
        FunctionName::DoubleExponentialSmoothing,
        &[Matrix, Scalar, Scalar],
        0,
        Vector,
        true,
    ),
    function("end", FunctionName::End, &[], 0, Scalar, true),
    function("exp", FunctionName::Exp, &[Vector], 0, Vector, false),
    function("first_over_time", FunctionName::FirstOverTime, &[Matrix], 0, Vector, false),
    function("floor", FunctionName::Floor, &[Vector], 0, Vector, false),
    function("histogram_avg", FunctionName::HistogramAvg, &[Vector], 0, Vector, false),
    function("histogram_count", FunctionName::HistogramCount, &[Vector], 0, Vector, false),
    function("histogram_fraction", FunctionName::HistogramFraction, &[Scalar, Scalar, Vector], 0, Vector, false),
    function("histogram_quantile", FunctionName::HistogramQuantile, &[Scalar, Vector], 0, Vector, false),
    function(
        "histogram_quantiles",
        FunctionName::HistogramQuantiles,
        &[Vector, String, Scalar, Scalar],
        9,
        Vector,
        true,
    ),
    function("histogram_stddev", FunctionName::HistogramStddev, &[Vector], 0, Vector, false),
    function("histogram_stdvar", FunctionName::HistogramStdvar, &[Vector], 0, Vector, false),
    function("histogram_sum", FunctionName::HistogramSum, &[Vector], 0, Vector, false),
    function("hour", FunctionName::Hour, &[Vector], 1, Vector, false),
    function("idelta", FunctionName::Idelta, &[Matrix], 0, Vector, false),
    function("increase", FunctionName::Increase, &[Matrix], 0, Vector, false),
    function("info", FunctionName::Info, &[Vector, Vector], 1, Vector, true),
    function("irate", FunctionName::Irate, &[Matrix], 0, Vector, false),
    function("label_join", FunctionName::LabelJoin, &[Vector, String, String, String], -1, Vector, false),
    function("label_replace", FunctionName::LabelReplace, &[Vector, String, String, String, String], 0, Vector, false),
    function("last_over_time", FunctionName::LastOverTime, &[Matrix], 0, Vector, false),
    function("ln", FunctionName::Ln, &[Vector], 0, Vector, false),
    function("log10", FunctionName::Log10, &[Vector], 0, Vector, false),
    function("log2", FunctionName::Log2, &[Vector], 0, Vector, false),
    function("mad_over_time", FunctionName::MadOverTime, &[Matrix], 0, Vector, true),
    function("max_of", FunctionName::MaxOf, &[Scalar, Scalar], 0, Scalar, true),
    function("max_over_time", FunctionName::MaxOverTime, &[Matrix], 0, Vector, false),
    function("min_of", FunctionName::MinOf, &[Scalar, Scalar], 0, Scalar, true),
    function("min_over_time", FunctionName::MinOverTime, &[Matrix], 0, Vector, false),
    function("minute", FunctionName::Minute, &[Vector], 1, Vector, false),
    function("month", FunctionName::Month, &[Vector], 1, Vector, false),
    function("pi", FunctionName::Pi, &[], 0, Scalar, false),
    function("predict_linear", FunctionName::PredictLinear, &[Matrix, Scalar], 0, Vector, false),
    function("present_over_time", FunctionName::PresentOverTime, &[Matrix], 0, Vector, false),
    function("quantile_over_time", FunctionName::QuantileOverTime, &[Scalar, Matrix], 0, Vector, false),
    function("rad", FunctionName::Rad, &[Vector], 0, Vector, false),
    function("range", FunctionName::Range, &[], 0, Scalar, true),
    function("rate", FunctionName::Rate, &[Matrix], 0, Vector, false),
    function("resets", FunctionName::Resets, &[Matrix], 0, Vector, false),
    function("round", FunctionName::Round, &[Vector, Scalar], 1, Vector, false),
    function("scalar", FunctionName::Scalar, &[Vector], 0, Scalar, false),
    function("sgn", FunctionName::Sgn, &[Vector], 0, Vector, false),
    function("sin", FunctionName::Sin, &[Vector], 0, Vector, false),
    function("sinh", FunctionName::Sinh, &[Vector], 0, Vector, false),
    function("sort", FunctionName::Sort, &[Vector], 0, Vector, false),
    function("sort_by_label", FunctionName::SortByLabel, &[Vector, String], -1, Vector, true),
    function("sort_by_label_desc", FunctionName::SortByLabelDesc, &[Vector, String], -1, Vector, true),
    function("sort_desc", FunctionName::SortDesc, &[Vector], 0, Vector, false),
    function("sqrt", FunctionName::Sqrt, &[Vector], 0, Vector, false),
    function("start", FunctionName::Start, &[], 0, Scalar, true),
    function("start_timestamp", FunctionName::StartTimestamp, &[Vector], 0, Vector, true),
    function("stddev_over_time", FunctionName::StddevOverTime, &[Matrix], 0, Vector, false),
    function("stdvar_over_time", FunctionName::StdvarOverTime, &[Matrix], 0, Vector, false),
    function("step", FunctionName::Step, &[], 0, Scalar, true),
    function("sum_over_time", FunctionName::SumOverTime, &[Matrix], 0, Vector, false),
    function("tan", FunctionName::Tan, &[Vector], 0, Vector, false),
    function("tanh", FunctionName::Tanh, &[Vector], 0, Vector, false),
    function("time", FunctionName::Time, &[], 0, Scalar, false),
    function("timestamp", FunctionName::Timestamp, &[Vector], 0, Vector, false),
    function("ts_of_first_over_time", FunctionName::TsOfFirstOverTime, &[Matrix], 0, Vector, true),
    function("ts_of_last_over_time", FunctionName::TsOfLastOverTime, &[Matrix], 0, Vector, true),
    function("ts_of_max_over_time", FunctionName::TsOfMaxOverTime, &[Matrix], 0, Vector, true),
    function("ts_of_min_over_time", FunctionName::TsOfMinOverTime, &[Matrix], 0, Vector, true),
    function("vector", FunctionName::Vector, &[Scalar], 0, Vector, false),
    function("year", FunctionName::Year, &[Vector], 1, Vector, false),
];

impl Function {
    /// The function with this name.
    pub fn by_name(name: &str) -> Option<&'static Function> {
        FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
    }

    /// All functions, sorted by name.
    pub fn all() -> &'static [Function] {
        FUNCTIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_function_is_found() {
        for function in Function::all() {
            assert_eq!(Function::by_name(function.name), Some(function));
        }
    }
}
