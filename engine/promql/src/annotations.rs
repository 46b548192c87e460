//! What the engine has to say about a query beyond its result, in Prometheus' words.

use watchfire_model::{Timestamp, format_g};

use crate::syntax::{Span, quote};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Warning,
    Info,
}

/// What grows when the same thing is found again.
#[derive(Clone, Debug, PartialEq)]
enum Detail {
    None,
    Monotonicity(Monotonicity),
    Occurrences(usize),
    /// Of the numbers beyond a bound, only the farthest is told.
    Beyond(f64),
}

/// How much the buckets of a classic histogram had to be changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Monotonicity {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) lowest_bucket: f64,
    pub(crate) highest_bucket: f64,
    pub(crate) difference: f64,
    pub(crate) count: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Annotation {
    level: Level,
    text: String,
    span: Span,
    detail: Detail,
}

/// What was found, each text once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations(Vec<Annotation>);

/// What two histograms were combined for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Combination {
    Addition,
    Subtraction,
    Aggregation,
}

impl Combination {
    fn name(self) -> &'static str {
        match self {
            Combination::Addition => "addition",
            Combination::Subtraction => "subtraction",
            Combination::Aggregation => "aggregation",
        }
    }
}

fn for_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quote(metric)) }
}

impl Annotations {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, level: Level, text: String, span: Span, detail: Detail) {
        let Some(known) = self.0.iter_mut().find(|a| a.level == level && a.text == text) else {
            self.0.push(Annotation { level, text, span, detail });
            return;
        };
        match (&mut known.detail, detail) {
            (Detail::Monotonicity(old), Detail::Monotonicity(new)) => {
                old.first = old.first.min(new.first);
                old.last = old.last.max(new.last);
                old.lowest_bucket = old.lowest_bucket.min(new.lowest_bucket);
                old.highest_bucket = old.highest_bucket.max(new.highest_bucket);
                old.difference = old.difference.max(new.difference);
                old.count += new.count;
            }
            (Detail::Occurrences(old), Detail::Occurrences(new)) => *old += new,
            // Found again elsewhere: Prometheus reports the position of the last one.
            _ => known.span = span,
        }
    }

    fn warn(&mut self, text: String, span: Span) {
        self.add(Level::Warning, text, span, Detail::None);
    }

    fn info(&mut self, text: String, span: Span) {
        self.add(Level::Info, text, span, Detail::None);
    }

    pub(crate) fn invalid_quantile(&mut self, q: f64, span: Span) {
        self.warn(format!("quantile value should be between 0 and 1, got {}", format_g(q)), span);
    }

    /// The parameter of an aggregation, which may be another one at every step.
    pub(crate) fn invalid_quantile_in_aggregation(&mut self, q: f64, span: Span) {
        self.beyond("quantile value should be between 0 and 1, got ", q, "", span);
    }

    pub(crate) fn invalid_ratio(&mut self, ratio: f64, capped: f64, span: Span) {
        let capping = format!(", capping to {}", format_g(capped));
        self.beyond("ratio value should be between -1 and 1, got ", ratio, &capping, span);
    }

    /// Tells of a number beyond a bound, once for each side.
    fn beyond(&mut self, text: &str, value: f64, rest: &str, span: Span) {
        let whole = format!("{text}{}{rest}", format_g(value));
        let same_side = |a: &&mut Annotation| match a.detail {
            Detail::Beyond(known) => {
                a.span == span && a.text.starts_with(text) && !known.is_nan() && (known < 0.0) == (value < 0.0)
            }
            _ => false,
        };
        match self.0.iter_mut().find(same_side) {
            Some(known) if !value.is_nan() => {
                if let Detail::Beyond(other) = known.detail
                    && value.abs() > other.abs()
                {
                    (known.text, known.detail) = (whole, Detail::Beyond(value));
                }
            }
            _ => self.add(Level::Warning, whole, span, Detail::Beyond(value)),
        }
    }

    pub(crate) fn bad_bucket_label(&mut self, metric: &str, label: &str, span: Span) {
        let text = format!("bucket label \"le\" is missing or has a malformed value of {}", quote(label));
        self.warn(for_metric(&text, metric), span);
    }

    pub(crate) fn mixed_floats_histograms(&mut self, metric: &str, span: Span) {
        self.warn(format!("encountered a mix of histograms and floats for metric name {}", quote(metric)), span);
    }

    pub(crate) fn mixed_floats_histograms_in_aggregation(&mut self, span: Span) {
        self.warn("encountered a mix of histograms and floats for aggregation".to_owned(), span);
    }

    pub(crate) fn mixed_classic_native(&mut self, metric: &str, span: Span) {
        self.warn(for_metric("vector contains a mix of classic and native histograms", metric), span);
    }

    pub(crate) fn histogram_not_counter(&mut self, metric: &str, span: Span) {
        self.warn(format!("this native histogram metric is not a counter: {}", quote(metric)), span);
    }

    pub(crate) fn histogram_not_gauge(&mut self, metric: &str, span: Span) {
        self.warn(format!("this native histogram metric is not a gauge: {}", quote(metric)), span);
    }

    pub(crate) fn mixed_exponential_custom(&mut self, metric: &str, span: Span) {
        let text = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        self.warn(format!("{text} {}", quote(metric)), span);
    }

    pub(crate) fn incompatible_bucket_layout(&mut self, operator: &str, span: Span) {
        self.warn(format!("incompatible bucket layout encountered for binary operator {operator}"), span);
    }

    pub(crate) fn sort_in_range_query(&mut self, span: Span) {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        self.warn(text.to_owned(), span);
    }

    pub(crate) fn reset_collision(&mut self, combination: Combination, span: Span) {
        self.warn(format!("conflicting counter resets during histogram {}", combination.name()), span);
    }

    pub(crate) fn start_overlap(&mut self, metric: &str, span: Span) {
        let text = "sample has start time that overlaps with previous sample timestamp";
        let text = format!("{text} for metric {}", quote(metric));
        self.add(Level::Warning, text, span, Detail::Occurrences(1));
    }

    pub(crate) fn possible_non_counter(&mut self, metric: &str, span: Span) {
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        self.info(format!("{text} {}", quote(metric)), span);
    }

    pub(crate) fn possible_non_counter_type(&mut self, metric: &str, found: &str, span: Span) {
        let text = "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"";
        self.info(format!("{text}, got {}: {}", quote(found), quote(metric)), span);
    }

    pub(crate) fn forced_monotonicity(&mut self, metric: &str, found: Monotonicity, span: Span) {
        let text = "input to histogram_quantile needed to be fixed for monotonicity (see \
                    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        self.add(Level::Info, for_metric(text, metric), span, Detail::Monotonicity(found));
    }

    pub(crate) fn incompatible_types(&mut self, left: &str, operator: &str, right: &str, span: Span) {
        let text = "incompatible sample types encountered for binary operator";
        self.info(format!("{text} {}: {left} {operator} {right}", quote(operator)), span);
    }

    pub(crate) fn histogram_ignored_in_aggregation(&mut self, aggregation: &str, span: Span) {
        self.info(format!("ignored histogram in {aggregation} aggregation"), span);
    }

    pub(crate) fn histogram_ignored_in_range(&mut self, metric: &str, span: Span) {
        let text = "ignored histograms in a range containing both floats and histograms for metric name";
        self.info(format!("{text} {}", quote(metric)), span);
    }

    pub(crate) fn quantile_is_nan(&mut self, metric: &str, span: Span) {
        self.info(for_metric("input to histogram_quantile has NaN observations, result is NaN", metric), span);
    }

    pub(crate) fn quantile_is_skewed(&mut self, metric: &str, span: Span) {
        self.info(
            for_metric("input to histogram_quantile has NaN observations, result is skewed higher", metric),
            span,
        );
    }

    pub(crate) fn fraction_without_nan(&mut self, metric: &str, span: Span) {
        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        self.info(for_metric(text, metric), span);
    }

    pub(crate) fn bounds_reconciled(&mut self, combination: Combination, span: Span) {
        self.info(format!("mismatched custom buckets were reconciled during {}", combination.name()), span);
    }

    /// Warnings and infos as they are shown.
    pub(crate) fn finish(self) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for annotation in self.0 {
            let Annotation { level, text, span, detail } = annotation;
            let detail = match detail {
                Detail::None | Detail::Occurrences(0 | 1) | Detail::Beyond(_) => String::new(),
                Detail::Occurrences(count) => format!(" ({count} occurrences)"),
                Detail::Monotonicity(found) => format!(
                    ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                    format_g(found.lowest_bucket),
                    format_g(found.highest_bucket),
                    two_digits(found.difference),
                    found.count,
                    seconds(found.first),
                    seconds(found.last),
                ),
            };
            let position = format!("({}:{})", span.line, span.column);
            match level {
                Level::Warning => warnings.push(format!("PromQL warning: {text}{detail} {position}")),
                Level::Info => infos.push(format!("PromQL info: {text}{detail} {position}")),
            }
        }
        (warnings, infos)
    }
}

/// Go's `%.2g`.
fn two_digits(value: f64) -> String {
    format_g(format!("{value:.1e}").parse().unwrap_or(value))
}

/// RFC 3339 without a fraction.
fn seconds(millis: i64) -> String {
    let time = Timestamp::from_secs(millis.div_euclid(1000)).to_rfc3339();
    time.replace(".000Z", "Z")
}
