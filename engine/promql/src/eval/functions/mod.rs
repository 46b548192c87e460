//! The functions.

mod extended;
pub(super) mod histogram;
mod info;
mod labels;
mod over_time;
pub(super) mod rate;
mod time;

use watchfire_model::{Labels, LabelsBuilder, METRIC_NAME_LABEL, MatchOp, Matcher};
use watchfire_tsdb::SampleValue;

use super::aggregate::nan_last;
use super::element::{Element, Metric, NameState};
use super::read::Range;
use super::{Evaluator, fault};
use crate::QueryError;
use crate::annotations::Annotations;
use crate::numeric;
use crate::plan::{Kind, Node};
use crate::syntax::{FunctionName, RangeExtension};

pub(super) use extended::extended_output;
pub(crate) use info::info_matchers;

/// Go's `math.Max`: NaN wins over everything but infinity.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: NaN wins over everything but minus infinity.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

/// What a function over ranges gives for one series.
pub(crate) type RangeResult = Result<Option<SampleValue>, QueryError>;

/// What a function over ranges gets beside the range.
pub(crate) struct RangeCall<'n> {
    pub(crate) function: FunctionName,
    /// The other arguments, in order.
    pub(crate) numbers: Vec<f64>,
    pub(crate) at: i64,
    pub(crate) notes: &'n mut Annotations,
    /// Where the first argument stands, which annotations point at.
    pub(crate) first_span: crate::syntax::Span,
}

/// Functions that may look at the samples beyond the edges of an extended range.
fn allowed_with(extension: RangeExtension) -> (&'static str, &'static [FunctionName]) {
    match extension {
        RangeExtension::Anchored => (
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with",
            &[
                FunctionName::Changes,
                FunctionName::Delta,
                FunctionName::Increase,
                FunctionName::Rate,
                FunctionName::Resets,
            ],
        ),
        RangeExtension::Smoothed => (
            "smoothed modifier can only be used with: delta, increase, rate - not with",
            &[FunctionName::Delta, FunctionName::Increase, FunctionName::Rate],
        ),
    }
}

/// Functions of one number.
fn of_number(function: FunctionName) -> Option<fn(f64) -> f64> {
    Some(match function {
        FunctionName::Abs => f64::abs,
        FunctionName::Ceil => f64::ceil,
        FunctionName::Floor => f64::floor,
        FunctionName::Exp => f64::exp,
        FunctionName::Sqrt => f64::sqrt,
        FunctionName::Ln => f64::ln,
        FunctionName::Log2 => f64::log2,
        FunctionName::Log10 => f64::log10,
        FunctionName::Sin => f64::sin,
        FunctionName::Cos => f64::cos,
        FunctionName::Tan => f64::tan,
        FunctionName::Asin => f64::asin,
        FunctionName::Acos => f64::acos,
        FunctionName::Atan => f64::atan,
        FunctionName::Sinh => f64::sinh,
        FunctionName::Cosh => f64::cosh,
        FunctionName::Tanh => f64::tanh,
        FunctionName::Asinh => numeric::asinh,
        FunctionName::Acosh => numeric::acosh,
        FunctionName::Atanh => f64::atanh,
        FunctionName::Rad => |v| v * std::f64::consts::PI / 180.0,
        FunctionName::Deg => |v| v * 180.0 / std::f64::consts::PI,
        FunctionName::Sgn => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

/// A function of single numbers, its parameters known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mapping {
    Apply(fn(f64) -> f64),
    /// Into these bounds.
    Clamp(f64, f64),
    /// To a multiple of that of which this is the inverse.
    Round(f64),
}

impl Mapping {
    /// `None` where the bounds let nothing through.
    #[inline]
    pub(super) fn apply(&self, value: f64) -> Option<f64> {
        match *self {
            Mapping::Apply(function) => Some(function(value)),
            Mapping::Clamp(least, most) => {
                (most >= least || most.is_nan() || least.is_nan()).then(|| go_max(least, go_min(most, value)))
            }
            Mapping::Round(inverse) => Some((value * inverse + 0.5).floor() / inverse),
        }
    }
}

/// Whether the function gives one number for each number of its first argument.
pub(super) fn is_mapping(function: FunctionName) -> bool {
    use FunctionName::{Clamp, ClampMax, ClampMin, Round};
    of_number(function).is_some() || matches!(function, Clamp | ClampMin | ClampMax | Round)
}

impl<'s, 'a> Evaluator<'s, 'a> {
    pub(super) fn call(
        &mut self,
        node: &'s Node,
        function: FunctionName,
        args: &'s [Node],
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        if is_mapping(function) {
            let mapping = self.mapping(function, args, at)?;
            return self.map_floats(&args[0], at, |value| mapping.apply(value));
        }
        if let Some(range) = args.iter().position(|arg| matches!(arg.kind, Kind::Range(..) | Kind::Subquery(_))) {
            return self.over_range(node, function, args, range, at);
        }
        match function {
            FunctionName::Absent => {
                let empty = self.vector(&args[0], at)?.is_empty();
                Ok(if empty { vec![absence(&args[0])] } else { Vec::new() })
            }
            FunctionName::Vector => Ok(vec![Element::bare(self.scalar(&args[0], at)?)]),
            FunctionName::Sort | FunctionName::SortDesc => {
                self.warn_of_sort(node);
                let mut vector = self.vector(&args[0], at)?;
                vector.retain(|e| e.value.float().is_some());
                let value = |e: &Element<'_>| e.value.float().unwrap_or(f64::NAN);
                let descending = function == FunctionName::SortDesc;
                vector.sort_by(|a, b| nan_last(value(a), value(b), descending));
                Ok(vector)
            }
            FunctionName::SortByLabel | FunctionName::SortByLabelDesc => {
                self.warn_of_sort(node);
                self.sort_by_label(args, at, function == FunctionName::SortByLabelDesc)
            }
            FunctionName::LabelReplace => self.label_replace(args, at),
            FunctionName::LabelJoin => self.label_join(args, at),
            FunctionName::Info => self.info(args, at),
            FunctionName::Timestamp | FunctionName::StartTimestamp => self.timestamps(function, args, at),
            FunctionName::HistogramAvg
            | FunctionName::HistogramCount
            | FunctionName::HistogramSum
            | FunctionName::HistogramStddev
            | FunctionName::HistogramStdvar => self.histogram_number(function, &args[0], at),
            FunctionName::HistogramQuantile | FunctionName::HistogramQuantiles => {
                self.histogram_quantile(function, args, at)
            }
            FunctionName::HistogramFraction => self.histogram_fraction(args, at),
            _ => match time::part(function) {
                Some(part) => self.time_part(args, at, part),
                None => Err(fault("the function does not give a vector")),
            },
        }
    }

    fn warn_of_sort(&mut self, node: &Node) {
        // Inside a subquery there are several steps too, and what is the same at all of them is evaluated once.
        let steps = self.depth > 0 || self.query.start != self.query.end;
        if steps && !node.invariant {
            self.notes.sort_in_range_query(node.span);
        }
    }

    /// What a function of single numbers does to each of them.
    pub(super) fn mapping(&mut self, function: FunctionName, args: &'s [Node], at: i64) -> Result<Mapping, QueryError> {
        if let Some(apply) = of_number(function) {
            return Ok(Mapping::Apply(apply));
        }
        let first = match args.get(1) {
            Some(arg) => self.scalar(arg, at)?,
            None => 1.0,
        };
        Ok(match function {
            FunctionName::ClampMin => Mapping::Clamp(first, f64::INFINITY),
            FunctionName::ClampMax => Mapping::Clamp(f64::NEG_INFINITY, first),
            FunctionName::Clamp => Mapping::Clamp(first, self.scalar(&args[2], at)?),
            // The inverse makes fewer rounding errors than the division.
            _ => Mapping::Round(1.0 / first),
        })
    }

    /// Applies a function to every number; native histograms are left out.
    fn map_floats(
        &mut self,
        arg: &'s Node,
        at: i64,
        apply: impl Fn(f64) -> Option<f64>,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        // Even if nothing can come out the argument is evaluated: its errors and annotations are the user's.
        let mut vector = self.vector(arg, at)?;
        let dropped = self.dropped();
        vector.retain_mut(|element| {
            let SampleValue::Float(value) = &mut element.value else { return false };
            let Some(mapped) = apply(*value) else { return false };
            *value = mapped;
            element.drop_name(dropped);
            true
        });
        self.refuse_equal_if_renamed(arg, &vector)?;
        Ok(vector)
    }

    fn over_range(
        &mut self,
        node: &'s Node,
        function: FunctionName,
        args: &'s [Node],
        range_position: usize,
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let range_arg = &args[range_position];
        if let Kind::Range(reading, _) = &range_arg.kind
            && let Some(extension) = reading.extension
        {
            let (message, allowed) = allowed_with(extension);
            if !allowed.contains(&function) {
                return Err(QueryError::Execution(format!("{message} {}", function_name(function))));
            }
        }
        let mut numbers = Vec::with_capacity(args.len() - 1);
        for (i, arg) in args.iter().enumerate() {
            if i != range_position {
                numbers.push(self.scalar(arg, at)?);
            }
        }
        let keeps_name = matches!(function, FunctionName::LastOverTime | FunctionName::FirstOverTime);
        let dropped = self.dropped();
        let hints = matches!(function, FunctionName::Rate | FunctionName::Increase);
        let by_type = self.options.type_and_unit_labels;
        let first_span = args[0].span;
        let mut out: Vec<Element<'a>> = Vec::new();
        let mut found = false;
        let mut last_name = String::new();
        self.each_range(range_arg, at, &mut |notes, range| {
            found = true;
            if function == FunctionName::AbsentOverTime {
                return Ok(());
            }
            let mut call = RangeCall { function, numbers: Vec::new(), at, notes, first_span };
            std::mem::swap(&mut call.numbers, &mut numbers);
            let value = range_function(&mut call, range);
            std::mem::swap(&mut call.numbers, &mut numbers);
            let Some(value) = value? else { return Ok(()) };
            if hints && matches!(value, SampleValue::Float(_)) {
                note_possible_gauge(notes, &range.owner, by_type, first_span, &mut last_name);
            }
            let mut element = range.owner.clone();
            element.value = value;
            if !keeps_name {
                element.drop_name(dropped);
            }
            out.push(element);
            Ok(())
        })?;
        if function == FunctionName::AbsentOverTime {
            return Ok(if found { Vec::new() } else { vec![absence(range_arg)] });
        }
        let _ = node;
        self.refuse_equal_if_renamed(range_arg, &out)?;
        Ok(out)
    }
}

fn function_name(function: FunctionName) -> &'static str {
    crate::syntax::Function::all().iter().find(|f| f.id == function).map_or("", |f| f.name)
}

/// `rate` over what does not look like a counter is worth a note, once per name.
pub(super) fn note_possible_gauge(
    notes: &mut Annotations,
    owner: &Element<'_>,
    by_type: bool,
    span: crate::syntax::Span,
    last_name: &mut String,
) {
    let name = owner.metric_name();
    if name.is_empty() {
        return;
    }
    if by_type {
        let kind = owner.get("__type__");
        if kind != "counter" && kind != "histogram" {
            notes.possible_non_counter_type(name, kind, span);
        }
        return;
    }
    if name == last_name {
        return;
    }
    name.clone_into(last_name);
    if !is_counter_name(name) {
        notes.possible_non_counter(name, span);
    }
}

/// Whether a counter would be named so.
pub(super) fn is_counter_name(name: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
}

pub(super) fn range_function(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> RangeResult {
    match call.function {
        FunctionName::Rate | FunctionName::Increase | FunctionName::Delta => {
            if range.extension.is_some() {
                Ok(extended::extended_rate(call, range))
            } else {
                Ok(rate::extrapolated_rate(call, range))
            }
        }
        FunctionName::Irate | FunctionName::Idelta => Ok(rate::last_difference(call, range)),
        FunctionName::Resets | FunctionName::Changes => Ok(rate::resets_or_changes(call, range)),
        _ => over_time::over_time(call, range),
    }
}

/// What `absent` answers: 1, with the labels that the selector says exactly.
pub(super) fn absence<'a>(arg: &Node) -> Element<'a> {
    let matchers: &[Matcher] = match &arg.kind {
        Kind::Instant(reading) | Kind::Range(reading, _) => &reading.matchers,
        _ => &[],
    };
    let mut labels = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    // Prometheus' store puts matchers that only take series away behind the others before this is asked.
    let takes_away = |m: &&Matcher| matches!(m.op(), MatchOp::NotEqual | MatchOp::NotRegex) && m.matches("");
    let (last, first): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().filter(|m| m.name() != METRIC_NAME_LABEL).partition(takes_away);
    for matcher in first.into_iter().chain(last) {
        // A label that is matched twice is in doubt and left out, whatever the matchers are.
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            labels.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            labels.remove(matcher.name());
        }
    }
    let labels: Labels = labels.build();
    Element::new(Metric::Made(labels), 1.0, NameState::Kept)
}
