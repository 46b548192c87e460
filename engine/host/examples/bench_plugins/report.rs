//! The tables at the end.

use crate::measure::{Cost, SIZES};

/// What a condition costs, in nanoseconds per series.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// By the number of series, as in [`SIZES`].
    pub(crate) costs: Vec<Cost>,
}

/// One number.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it shall not be more than, if that was ever said.
    pub(crate) goal: Option<f64>,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure { what: what.into(), value, unit, goal: None }
    }

    pub(crate) fn at_most(self, goal: f64) -> Figure {
        Figure { goal: Some(goal), ..self }
    }
}

/// Prints everything.
pub(crate) fn print(rows: &[Row], figures: &[Figure]) {
    println!(
        "\n{:<48}{}",
        "condition, ns per series (median) in a batch of",
        SIZES.map(|size| format!("{size:>20}")).concat()
    );
    for row in rows {
        let cells: String = row.costs.iter().map(|cost| format!("{:>20}", cell(*cost))).collect();
        println!("  {:<46}{cells}", row.what);
    }
    println!("\n{:<62}{:>14}{:>14}", "the rest", "measured", "at most");
    for Figure { what, value, unit, goal } in figures {
        let goal = goal.map_or(String::new(), |goal| {
            format!("{:>14}{}", amount(goal, unit), if *value > goal { "  missed" } else { "" })
        });
        println!("  {what:<60}{:>14}{goal}", amount(*value, unit));
    }
}

fn cell(Cost { best, median }: Cost) -> String {
    format!("{best:.1} ({median:.1})")
}

/// Three digits, as far as there are so many.
fn amount(value: f64, unit: &str) -> String {
    let digits = match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}
