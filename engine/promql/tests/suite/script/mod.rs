//! Runs scripts in the test language of Prometheus' engine (`load`, `clear`, `eval`).

mod check;
mod load;
mod parse;
mod replay;

use std::fmt;

use watchfire_model::{Duration, Labels, Timestamp};
use watchfire_promql::syntax::{At, Expr, FunctionName};
use watchfire_promql::{
    Answer, Extract, Features, NotedValue, Options, Plan, QueryError, Value, VectorSample, parse_with,
};
use watchfire_tsdb::Tsdb;

pub(crate) use check::almost_equal;
pub(crate) use parse::parse_script;

/// A script's commands with their lines.
pub(crate) struct Script {
    pub(crate) commands: Vec<(usize, Command)>,
}

pub(crate) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

pub(crate) struct Load {
    pub(crate) gap: Duration,
    pub(crate) series: Vec<LoadedSeries>,
    pub(crate) with_custom_histograms: bool,
}

pub(crate) struct LoadedSeries {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<NotedValue>,
    /// When each sample began to count, relative to the sample, in milliseconds.
    pub(crate) starts: Option<Vec<Option<i64>>>,
}

/// How a message is compared.
pub(crate) enum Text {
    Any,
    Exactly(String),
    Pattern(regex::Regex),
}

impl Text {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Exactly(expected) => expected == text,
            Text::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Any => f.write_str("anything"),
            Text::Exactly(text) => f.write_str(text),
            Text::Pattern(pattern) => write!(f, "/{pattern}/"),
        }
    }
}

#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) series: Vec<(Labels, Vec<NotedValue>)>,
    pub(crate) scalar: Option<f64>,
    pub(crate) string: Option<String>,
    pub(crate) ordered: bool,
    pub(crate) fail: Option<Text>,
    pub(crate) warnings: Vec<Text>,
    pub(crate) infos: Vec<Text>,
    pub(crate) no_warnings: bool,
    pub(crate) no_infos: bool,
    /// Start and step of the points of a range vector that an instant query answers.
    pub(crate) points: Option<(Timestamp, Duration)>,
}

pub(crate) enum When {
    Instant(Timestamp),
    Range(Timestamp, Timestamp, Duration),
}

pub(crate) struct Eval {
    pub(crate) expr: String,
    pub(crate) when: When,
    pub(crate) expected: Expected,
}

/// An eval that did not hold.
pub(crate) struct Failure {
    pub(crate) line: usize,
    pub(crate) expr: String,
    pub(crate) reason: String,
}

/// How many evals were tried, and those that failed.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) evals: usize,
    pub(crate) failures: Vec<Failure>,
}

fn options() -> Options {
    Options { samples_max: 0, delayed_name_removal: true, start_timestamps: true, ..Options::default() }
}

/// Runs a whole script; an eval that fails does not stop it.
pub(crate) fn run(script: &Script) -> Outcome {
    let mut db = Tsdb::default();
    let mut outcome = Outcome::default();
    let mut replay = replay::Replay::default();
    for (line, command) in &script.commands {
        match command {
            Command::Clear => {
                db = Tsdb::default();
                replay = replay::Replay::default();
            }
            Command::Load(load) => {
                if let Err(reason) = load::load(&mut db, load) {
                    outcome.failures.push(Failure { line: *line, expr: "load".to_owned(), reason });
                }
            }
            Command::Eval(eval) => {
                outcome.evals += 1;
                if let Err(reason) = evaluate(&db, eval).and_then(|()| replay.evaluate(&db, eval)) {
                    outcome.failures.push(Failure { line: *line, expr: eval.expr.clone(), reason });
                }
            }
        }
    }
    outcome
}

fn evaluate(db: &Tsdb, eval: &Eval) -> Result<(), String> {
    match eval.when {
        When::Range(start, end, step) => range(db, eval, start, end, step),
        When::Instant(at) => {
            instant(db, eval, &eval.expr, at)?;
            for (expr, at) in at_forms(&eval.expr, at)? {
                instant(db, eval, &expr, at)
                    .map_err(|reason| format!("as {expr:?} at {}: {reason}", at.as_millis()))?;
            }
            Ok(())
        }
    }
}

fn plan(expr: &str) -> Result<Plan, String> {
    let parsed = parse_with(expr, Features::ALL).map_err(|error| error.to_string())?;
    Ok(Plan::new(&parsed, &options()))
}

/// Whether copies of the series, made a few at a time, give what the store itself gave.
fn same_from_copies(
    db: &Tsdb,
    extract: Result<Extract, QueryError>,
    expected: &Result<Answer, QueryError>,
) -> Result<(), String> {
    let found = extract.and_then(|mut extract| {
        while extract.copy_from(db, 3, &|| None)? {}
        extract.evaluate(&|| None)
    });
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    if found == expected { Ok(()) } else { Err(format!("copies give {found}\n      instead of {expected}")) }
}

fn range(db: &Tsdb, eval: &Eval, start: Timestamp, end: Timestamp, step: Duration) -> Result<(), String> {
    let answer = plan(&eval.expr).and_then(|plan| {
        let answer = plan.range(db, start, end, step, &|| None);
        same_from_copies(db, Extract::range(plan, start, end, step), &answer)?;
        answer.map_err(|error| error.to_string())
    });
    let answer = match (answer, &eval.expected.fail) {
        (Err(error), Some(expected)) if expected.matches(&error) => return Ok(()),
        (Err(error), Some(expected)) => return Err(format!("expected error {expected}, got {error}")),
        (Err(error), None) => return Err(error),
        (Ok(_), Some(_)) => return Err("expected an error, got none".to_owned()),
        (Ok(answer), None) => answer,
    };
    check::annotations(&eval.expected, &answer)?;
    check::value(&eval.expected, &answer.value, Some((start, step)))
}

fn instant(db: &Tsdb, eval: &Eval, expr: &str, at: Timestamp) -> Result<(), String> {
    let plan = match plan(expr) {
        Ok(plan) => plan,
        Err(error) => {
            return match &eval.expected.fail {
                Some(expected) if expected.matches(&error) => Ok(()),
                _ => Err(error),
            };
        }
    };
    let answer = plan.instant(db, at, &|| None);
    same_from_copies(db, Ok(Extract::instant(plan.clone(), at)), &answer)?;
    let answer = match (answer, &eval.expected.fail) {
        (Err(error), Some(expected)) if expected.matches(&error.to_string()) => return Ok(()),
        (Err(error), Some(expected)) => return Err(format!("expected error {expected}, got {error}")),
        (Err(error), None) => return Err(error.to_string()),
        (Ok(_), Some(_)) => return Err("expected an error, got none".to_owned()),
        (Ok(answer), None) => answer,
    };
    check::annotations(&eval.expected, &answer)?;
    check::value(&eval.expected, &answer.value, eval.expected.points)?;
    let by_context = ["start()", "end()", "range()", "step()"].iter().any(|call| expr.contains(call));
    if eval.expected.points.is_some() || eval.expected.string.is_some() || eval.expected.ordered || by_context {
        return Ok(());
    }
    // The middle step of a range query has to give the same.
    let minute = Duration::from_mins(1);
    let in_range = plan
        .range(db, at - minute, at + minute, minute, &|| None)
        .map_err(|error| format!("in range mode: {error}"))?;
    let Value::Matrix(series) = in_range.value else { return Err("a range query must answer a matrix".to_owned()) };
    let middle: Vec<VectorSample> = series
        .into_iter()
        .flat_map(|s| {
            let labels = s.labels;
            s.samples.into_iter().filter(|(time, _)| *time == at).map(move |(timestamp, value)| VectorSample {
                labels: labels.clone(),
                timestamp,
                value,
            })
        })
        .collect();
    let middle = match (&answer.value, middle.first()) {
        (Value::Scalar(_), Some(sample)) => Value::Scalar(sample.float().unwrap_or(f64::NAN)),
        _ => Value::Vector(middle),
    };
    check::value(&eval.expected, &middle, None).map_err(|reason| format!("in range mode: {reason}"))
}

/// The same query with every selector fixed to the evaluation time, at other evaluation times.
fn at_forms(text: &str, at: Timestamp) -> Result<Vec<(String, Timestamp)>, String> {
    let Ok(mut expr) = parse_with(text, Features::ALL) else { return Ok(Vec::new()) };
    let mut fixed = true;
    fix(&mut expr, at, &mut fixed);
    if !fixed {
        return Ok(Vec::new());
    }
    let t = at.as_millis();
    let times = if t == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t, 0, t / 5, t, 10 * t] };
    let text = expr.to_string();
    Ok(times.into_iter().map(|t| (text.clone(), Timestamp::from_millis(t))).collect())
}

fn fix(expr: &mut Expr, time: Timestamp, fixed: &mut bool) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(selector) => {
            selector.at.get_or_insert(At::Time(time));
        }
        Expr::Matrix(matrix) => {
            matrix.selector.at.get_or_insert(At::Time(time));
        }
        Expr::Subquery(subquery) => {
            // What is inside moves with the subquery.
            subquery.at.get_or_insert(At::Time(time));
            let mut inside = true;
            contains_time(&subquery.expr, &mut inside);
            *fixed &= inside;
        }
        Expr::Call(call) => {
            *fixed &= !depends_on_time(call.function.id);
            call.args.iter_mut().for_each(|arg| fix(arg, time, fixed));
        }
        Expr::Aggregate(aggregate) => {
            if let Some(param) = &mut aggregate.param {
                fix(param, time, fixed);
            }
            fix(&mut aggregate.expr, time, fixed);
        }
        Expr::Binary(binary) => {
            fix(&mut binary.lhs, time, fixed);
            fix(&mut binary.rhs, time, fixed);
        }
        Expr::Unary(unary) => fix(&mut unary.expr, time, fixed),
        Expr::Paren(paren) => fix(&mut paren.expr, time, fixed),
    }
}

fn contains_time(expr: &Expr, fixed: &mut bool) {
    expr.walk(&mut |e| {
        if let Expr::Call(call) = e {
            *fixed &= !depends_on_time(call.function.id);
        }
    });
}

fn depends_on_time(function: FunctionName) -> bool {
    matches!(
        function,
        FunctionName::DaysInMonth
            | FunctionName::DayOfMonth
            | FunctionName::DayOfWeek
            | FunctionName::DayOfYear
            | FunctionName::Hour
            | FunctionName::Minute
            | FunctionName::Month
            | FunctionName::Year
            | FunctionName::PredictLinear
            | FunctionName::Time
            | FunctionName::Timestamp
            | FunctionName::Start
            | FunctionName::End
            | FunctionName::Range
            | FunctionName::Step
    )
}
