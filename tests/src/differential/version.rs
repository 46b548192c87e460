//! What a Prometheus before version 3 answers otherwise because the language has changed since, and is not asked.

use std::process::Command;

use anyhow::{Context, Result};
use watchfire_model::{Timestamp, is_legacy_label_name};
use watchfire_promql::syntax::{AggregateOp, BinaryOp, Expr, FunctionName, ValueType, VectorSelector};
use watchfire_promql::{Features, parse_with};
use watchfire_tsdb::SampleValue;

use super::series::Data;

/// Which language the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Before version 3: compared is what has not changed since 2.42.
    Two,
    /// The language as it is now.
    Three,
}

/// What is left out for an older server: its name, and whether a part of a query has it.
const CHANGED: &[(&str, fn(&Expr) -> bool)] = &[
    ("functions that came later", came_later),
    ("names beyond letters, digits and underscores", has_odd_name),
    ("durations as numbers, underscores in numbers, offsets of nothing", has_new_number),
    ("(?<name>) and open \\Q in patterns", has_new_pattern),
    ("atan2, which kept the name", |expr| matches!(expr, Expr::Binary(binary) if binary.op == BinaryOp::Atan2)),
    ("subqueries in subqueries, whose edges meet their steps", has_nested_subquery),
];

/// What it answers otherwise about some samples only, and is left out of what is generated.
const CHANGED_FOR_SOME: &[(&str, fn(&Expr) -> bool)] = &[
    ("stddev and stdvar, which took infinity for a number", deviates),
    ("rate and increase, which reached for zero from further away", is_rate),
    ("topk and bottomk, which took others of equal values", chooses),
    ("count_values, which shows the last digits of sums", |expr| aggregates(expr, &[AggregateOp::CountValues])),
    ("comparisons of vectors, which found out later that several match", compares_vectors),
    ("ranges at a fixed time", |expr| matches!(expr, Expr::Matrix(matrix) if matrix.selector.at.is_some())),
];

impl Version {
    /// The version of the installed server. Of an older one it is said what it is not asked.
    pub(crate) fn installed() -> Result<Version> {
        let output = Command::new("prometheus").arg("--version").output().context("cannot start prometheus")?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
        if !version.starts_with("2.") {
            return Ok(Version::Three);
        }
        let names = |all: &[(&'static str, fn(&Expr) -> bool)]| {
            all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        };
        println!(
            "Prometheus {version} is older than the language. Left out are: native histograms, numbers near the \
             largest, experimental functions, edges of ranges that fall on a sample, remarks, {}; and of generated \
             queries {}",
            names(CHANGED),
            names(CHANGED_FOR_SOME)
        );
        Ok(Version::Two)
    }

    /// Whether experimental parts of the language are there.
    pub(crate) fn is_current(self) -> bool {
        self == Version::Three
    }

    /// A time of evaluation near this one. Ranges have been open on the left only since version 3, so that no edge of
    /// one may fall on a sample.
    pub(crate) fn time(self, at: i64) -> i64 {
        if self.is_current() { at } else { at.div_euclid(10) * 10 + 5 }
    }

    /// What of the series the server can hold, with their samples where no edge of a range falls.
    pub(crate) fn data(self, mut data: Data) -> Data {
        if self.is_current() {
            return data;
        }
        data.series.retain(|(labels, points)| {
            let names = labels.iter().all(|label| is_legacy_label_name(label.name));
            // Sums lost digits of what is near the largest number.
            let metric = labels.get("__name__").is_none_or(|name| name.is_ascii() && name != "odd");
            names && metric && points.iter().all(|point| matches!(point.value, SampleValue::Float(_)))
        });
        for point in data.series.iter_mut().flat_map(|(_, points)| points) {
            point.timestamp = Timestamp::from_millis(point.timestamp.as_millis().div_euclid(10) * 10 + 3);
        }
        data
    }

    /// Whether the server can be asked this.
    pub(crate) fn speaks(self, query: &str) -> bool {
        self.is_current() || is_without(query, CHANGED)
    }

    /// Whether it answers this in the same way whatever the samples are.
    pub(crate) fn agrees(self, query: &str) -> bool {
        self.is_current() || (is_without(query, CHANGED) && is_without(query, CHANGED_FOR_SOME))
    }
}

fn is_without(query: &str, changed: &[(&str, fn(&Expr) -> bool)]) -> bool {
    let Ok(expr) = parse_with(query, Features::default()) else { return false };
    // An offset of nothing leaves no trace in the tree.
    let mut without = !query.contains("offset 0s");
    expr.walk(&mut |part| without &= !changed.iter().any(|(_, has)| has(part)));
    without
}

fn came_later(expr: &Expr) -> bool {
    match expr {
        Expr::Aggregate(aggregate) => matches!(aggregate.op, AggregateOp::Limitk | AggregateOp::LimitRatio),
        Expr::Call(call) => {
            call.function.experimental
                || matches!(
                    call.function.id,
                    FunctionName::FirstOverTime
                        | FunctionName::HistogramAvg
                        | FunctionName::HistogramFraction
                        | FunctionName::HistogramStddev
                        | FunctionName::HistogramStdvar
                )
        }
        _ => false,
    }
}

/// The selector of a part that has one.
fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::Vector(selector) => Some(selector),
        Expr::Matrix(matrix) => Some(&matrix.selector),
        _ => None,
    }
}

fn has_odd_name(expr: &Expr) -> bool {
    let odd = |name: &String| !is_legacy_label_name(name);
    match expr {
        Expr::Aggregate(aggregate) => aggregate.grouping.iter().any(odd),
        Expr::Binary(binary) => {
            binary.matching.iter().any(|matching| matching.labels.iter().chain(&matching.include).any(odd))
        }
        Expr::String(text) => text.value == "a.b" || text.value == "my.v",
        _ => selector(expr).is_some_and(|selector| {
            selector.matchers.iter().any(|m| !is_legacy_label_name(m.name()) || !m.value().is_ascii())
        }),
    }
}

fn has_new_number(expr: &Expr) -> bool {
    // The generated queries have a thousand as `1_000`.
    matches!(expr, Expr::Number(number) if number.duration || number.value == 1_000.0)
}

fn has_new_pattern(expr: &Expr) -> bool {
    let is_new = |pattern: &str| pattern.contains("(?<") || pattern.contains("\\Q");
    match expr {
        Expr::String(text) => is_new(&text.value),
        _ => selector(expr).is_some_and(|selector| selector.matchers.iter().any(|m| is_new(m.value()))),
    }
}

fn calls(expr: &Expr, functions: &[FunctionName]) -> bool {
    matches!(expr, Expr::Call(call) if functions.contains(&call.function.id))
}

fn aggregates(expr: &Expr, operators: &[AggregateOp]) -> bool {
    matches!(expr, Expr::Aggregate(aggregate) if operators.contains(&aggregate.op))
}

fn deviates(expr: &Expr) -> bool {
    aggregates(expr, &[AggregateOp::Stddev, AggregateOp::Stdvar])
        || calls(expr, &[FunctionName::StddevOverTime, FunctionName::StdvarOverTime])
}

fn is_rate(expr: &Expr) -> bool {
    calls(expr, &[FunctionName::Rate, FunctionName::Increase])
}

fn chooses(expr: &Expr) -> bool {
    aggregates(expr, &[AggregateOp::Topk, AggregateOp::Bottomk])
}

fn compares_vectors(expr: &Expr) -> bool {
    let Expr::Binary(binary) = expr else { return false };
    binary.op.is_comparison() && [&binary.lhs, &binary.rhs].iter().all(|side| side.value_type() == ValueType::Vector)
}

fn has_nested_subquery(expr: &Expr) -> bool {
    let Expr::Subquery(subquery) = expr else { return false };
    let mut nested = false;
    subquery.expr.walk(&mut |part| nested |= matches!(part, Expr::Subquery(_)));
    nested
}
