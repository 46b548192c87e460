//! Generated queries: every function, operator, aggregation and modifier of the language, most of them meaningful.

use watchfire_promql::syntax::{Function, FunctionName, ValueType};

use super::version::Version;
use crate::support::Random;

const METRICS: [&str; 18] = [
    "requests_total",
    "requests_total",
    "queue_length",
    "queue_length",
    "limit",
    "odd",
    "up",
    "latency_bucket",
    "latency_sum",
    "latency_count",
    "target_info",
    "build_info",
    "\"näh.e\"",
    "sparse_total",
    "native",
    "native_gauge",
    "custom",
    "mixed",
];
const LABELS: [&str; 8] = ["job", "instance", "code", "le", "version", "\"a.b\"", "absent", "__name__"];
const VALUES: [&str; 10] = ["api", "db", "web", "a:80", "b:80", "200", "404", "1", "", "ü\n\""];
const SPANS: [&str; 9] = ["15s", "30s", "1m", "1m30s", "2m", "5m", "10m", "29999ms", "1h"];
const STEPS: [&str; 6] = ["", "15s", "30s", "45s", "1m", "7m"];
const NUMBERS: [&str; 20] = [
    "0", "1", "-1", "2", "0.5", "0.9", "0.99", "1.5", "3", "10", "100", "-0.1", "1e3", "0x1f", "NaN", "Inf", "-Inf",
    "5m", "1e-3", "1_000",
];

/// Makes queries.
pub(crate) struct Grammar<'r> {
    pub(crate) random: &'r mut Random,
    /// The language of the server.
    pub(crate) version: Version,
    /// Where the data begin, in milliseconds.
    pub(crate) start: i64,
    /// Where they end.
    pub(crate) end: i64,
    /// Whether what is behind feature flags is used.
    pub(crate) experimental: bool,
}

impl Grammar<'_> {
    /// A whole query of any type.
    pub(crate) fn query(&mut self) -> String {
        match self.random.below(40) {
            0 => self.scalar(2),
            1 => self.matrix(1),
            2 => self.text(),
            // A type that does not fit, now and then.
            3 => {
                let (inner, argument) = (self.matrix(1), self.vector(1));
                self.one(&[&format!("abs({inner})"), &format!("rate({argument})"), &format!("{argument}{inner}")])
                    .to_owned()
            }
            _ => {
                let depth = 1 + self.random.below(3);
                self.vector(depth)
            }
        }
    }

    /// A time of evaluation: mostly within the data, often exactly at a sample.
    pub(crate) fn time(&mut self) -> i64 {
        let span = ((self.end - self.start) / 15_000) as u64;
        let at = self.start + (self.random.below(span + 30) as i64) * 15_000;
        self.version.time(match self.random.below(6) {
            0 => at + 1,
            1 => at - 1,
            2 => at + self.random.below(15_000) as i64,
            _ => at,
        })
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.random.below(all.len() as u64) as usize]
    }

    fn vector(&mut self, depth: u64) -> String {
        if depth == 0 {
            return self.selector();
        }
        match self.random.below(20) {
            0..3 => self.selector(),
            3..9 => self.call(ValueType::Vector, depth - 1),
            9..14 => self.aggregation(depth - 1),
            14..19 => self.binary(depth - 1),
            _ => {
                let inner = self.vector(depth - 1);
                self.one(&[&format!("-{inner}"), &format!("({inner})"), &format!("+({inner})")]).to_owned()
            }
        }
    }

    fn scalar(&mut self, depth: u64) -> String {
        if depth == 0 {
            return self.one(&NUMBERS).to_owned();
        }
        match self.random.below(10) {
            0..6 => self.one(&NUMBERS).to_owned(),
            6 => self.call(ValueType::Scalar, depth - 1),
            7 => format!("scalar({})", self.vector(depth - 1)),
            8 => {
                let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
                let operator = self.one(&["+", "-", "*", "/", "%", "^", "atan2", "> bool", "== bool", "<= bool"]);
                format!("({left} {operator} {right})")
            }
            _ => format!("-({})", self.scalar(depth - 1)),
        }
    }

    fn matrix(&mut self, depth: u64) -> String {
        let modifiers = self.modifiers();
        if depth > 0 && self.chance(4) {
            let inner = self.vector(depth - 1);
            let (range, step) = (self.one(&["1m", "5m", "10m", "20m", "90s"]), self.one(&STEPS));
            return format!("({inner})[{range}:{step}]{modifiers}");
        }
        let selector = self.plain_selector();
        let range = if self.experimental && self.chance(20) {
            self.one(&["5m * 2", "step() + 1m", "1m ^ 1", "-5m", "max_of(step(), 2m)", "range() + 1m"])
        } else {
            self.one(&SPANS)
        };
        let extension = if self.experimental && self.chance(12) { self.one(&[" anchored", " smoothed"]) } else { "" };
        format!("{selector}[{range}]{extension}{modifiers}")
    }

    fn selector(&mut self) -> String {
        let (selector, modifiers) = (self.plain_selector(), self.modifiers());
        format!("{selector}{modifiers}")
    }

    fn plain_selector(&mut self) -> String {
        let mut matchers = Vec::new();
        let mut name = self.one(&METRICS).to_owned();
        match self.random.below(20) {
            0 => {
                let pattern = self.one(&["requests.*", "latency_(sum|count)", "up|limit", ".*_total", "na.*"]);
                matchers.push(format!("__name__=~{}", quote(pattern)));
                name.clear();
            }
            1 => {
                let name = std::mem::take(&mut name);
                matchers.push(format!("__name__={}", if name.starts_with('"') { name } else { quote(&name) }));
            }
            _ if name.starts_with('"') => matchers.push(std::mem::take(&mut name)),
            _ => {}
        }
        for _ in 0..[0, 0, 0, 1, 1, 2][self.random.below(6) as usize] {
            let label = self.one(&LABELS[..7]);
            let (operator, value) = match self.random.below(6) {
                0..2 => ("=", self.one(&VALUES).to_owned()),
                2 => ("!=", self.one(&VALUES).to_owned()),
                3..5 => ("=~", self.pattern()),
                _ => ("!~", self.pattern()),
            };
            matchers.push(format!("{label}{operator}{}", quote(&value)));
        }
        if matchers.is_empty() { name } else { format!("{name}{{{}}}", matchers.join(",")) }
    }

    fn modifiers(&mut self) -> String {
        let mut text = String::new();
        if self.chance(8) {
            let at = match self.random.below(4) {
                0 => "start()".to_owned(),
                1 => "end()".to_owned(),
                _ => format!("{:.3}", self.time() as f64 / 1000.0),
            };
            text = format!(" @ {at}");
        }
        if self.chance(6) {
            let offset = self.one(&["1m", "5m", "30s", "-1m", "-10m", "17s", "0s", "1h"]);
            text = if self.chance(2) { format!("{text} offset {offset}") } else { format!(" offset {offset}{text}") };
        }
        text
    }

    /// A regular expression in RE2's syntax, now and then a broken one.
    pub(crate) fn pattern(&mut self) -> String {
        let mut text = String::new();
        if self.chance(8) {
            text.push_str(self.one(&["(?i)", "(?s)", "(?U)", "(?m)", "(?i-s)", "(?x)", "(?-u)", "(?is:"]));
        }
        for _ in 0..1 + self.random.below(3) {
            let atom = self.one(&[
                "a",
                "b",
                "d",
                "web",
                "api",
                "db",
                "API",
                ".",
                "[a-c]",
                "[^a]",
                "\\d",
                "\\w",
                "\\s",
                "\\D",
                "\\W",
                "\\S",
                "\\b",
                "\\B",
                "[[:alpha:]]",
                "[[:^digit:]]",
                "[[:word:]]",
                "\\pL",
                "\\p{Greek}",
                "\\PN",
                "\\p{^Lu}",
                "\\Qa.b\\E",
                "\\Q:80",
                "(a|b)",
                "(?:80|200)",
                "(?P<x>a)",
                "(?<y>b)",
                "\\x61",
                "\\x{62}",
                "\\141",
                "\\.",
                "\\-",
                "\\:",
                "a&&b",
                "[a&&b]",
                "[a--b]",
                "[[a]b]",
                "[a~~b]",
                "{",
                "}",
                "{,3}",
                "a{2",
                "]",
                "\\z",
                "\\A",
                "\\Z",
                "\\C",
                "\\8",
                "\\e",
                "\\a",
                "\\n",
                "\\t",
                "\\v",
                "[\\d\\s]",
                "[\\w-]",
                "[-a]",
                "[]a]",
                "[^]a]",
                "[a-\\d]",
                "[z-a]",
                "ü",
                "\\xfc",
                "$",
                "^",
                "(?:)",
                "()",
                "|",
                "(",
                ")",
                "*",
                "\\",
                "[[:foo:]]",
                "\\p{Foo}",
                "\\pX",
                "\\u0061",
                "\\U00000061",
                "[[:alpha:]",
                "\\/",
                "\\<",
                "\\>",
                "\\b{start}",
                "\\R",
                "\\h",
                "\\K",
                "\\1",
                "(?=a)",
                "(?#c)",
                "\\p{L}",
                "\\p{Letter}",
                "\\p{sc=Greek}",
                "\\p{Any}",
                "\\pN",
                "[\\pN\\PL]",
                "[\\b]",
                "[a\\]b]",
                "(?i:A)",
                "(?-i)a",
                "ſ",
                "K",
            ]);
            text.push_str(atom);
            if self.chance(3) {
                text.push_str(self.one(&[
                    "*", "+", "?", "*?", "+?", "??", "{2}", "{1,}", "{0,2}", "{1,2}?", "**", "++", "*+", "{1001}",
                    "{2,1}", "{1}{2}", "{,2}", "{ 1}", "{1000}", "{0,1000}",
                ]));
            }
        }
        if text.starts_with("(?is:") {
            text.push(')');
        }
        if self.chance(5) {
            text.push_str(".*");
        }
        text
    }

    fn text(&mut self) -> String {
        self.one(&["\"text\"", "'it''s'", "`raw\\n`", "\"\\u00fc\\n\""]).to_owned()
    }

    fn grouping(&mut self) -> String {
        let count = self.random.below(4);
        let labels: Vec<&str> = (0..count).map(|_| self.one(&LABELS)).collect();
        format!("({})", labels.join(", "))
    }

    fn aggregation(&mut self, depth: u64) -> String {
        let mut operators = vec![
            "sum",
            "sum",
            "avg",
            "count",
            "min",
            "max",
            "group",
            "stddev",
            "stdvar",
            "topk",
            "bottomk",
            "count_values",
            "quantile",
        ];
        if self.experimental {
            operators.extend(["limitk", "limit_ratio"]);
        }
        let operator = self.one(&operators);
        let inner = self.vector(depth);
        let arguments = match operator {
            "topk" | "bottomk" | "limitk" => {
                let k = if self.chance(4) { self.scalar(1) } else { self.one(&["1", "2", "3", "5"]).to_owned() };
                format!("({k}, {inner})")
            }
            "quantile" => format!("({}, {inner})", self.scalar(1)),
            "limit_ratio" => format!("({}, {inner})", self.one(&["0.5", "-0.5", "0.1", "1", "-1", "1.5", "0", "NaN"])),
            "count_values" => format!("({}, {inner})", self.one(&["\"v\"", "\"job\"", "\"my.v\"", "\"le\""])),
            _ => format!("({inner})"),
        };
        match self.random.below(5) {
            0 | 1 => format!("{operator} by {} {arguments}", self.grouping()),
            2 => format!("{operator} without {} {arguments}", self.grouping()),
            3 => format!("{operator}{arguments} by {}", self.grouping()),
            _ => format!("{operator}{arguments}"),
        }
    }

    fn binary(&mut self, depth: u64) -> String {
        let operator =
            self.one(&["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless"]);
        let is_set = ["and", "or", "unless"].contains(&operator);
        let bool_word =
            if !is_set && operator.starts_with(['=', '!', '>', '<']) && self.chance(3) { " bool" } else { "" };
        if !is_set && self.chance(2) {
            let (vector, scalar) = (self.vector(depth), self.scalar(depth));
            return if self.chance(3) {
                format!("({scalar} {operator}{bool_word} {vector})")
            } else {
                format!("({vector} {operator}{bool_word} {scalar})")
            };
        }
        if self.experimental && self.chance(30) {
            let trim = self.one(&["</", ">/"]);
            return format!("({} {trim} {})", self.vector(depth), self.scalar(0));
        }
        let left = self.vector(depth);
        let right = if self.chance(4) { left.clone() } else { self.vector(depth) };
        let mut matching = String::new();
        if self.chance(2) {
            let on = self.one(&["on", "ignoring"]);
            let labels = self.one(&[
                "(job)",
                "(job, instance)",
                "(instance)",
                "(code)",
                "()",
                "(job, instance, code)",
                "(code, version)",
                "(le)",
                "(__name__)",
                "(absent)",
            ]);
            matching = format!(" {on} {labels}");
            if !is_set && self.chance(2) {
                let side = self.one(&["group_left", "group_right"]);
                let include = self.one(&["", " ()", " (version)", " (code)", " (job)", " (instance, absent)"]);
                matching = format!("{matching} {side}{include}");
            }
            if self.experimental && !is_set && self.chance(6) {
                let fill = self.one(&["fill (0)", "fill_left (1)", "fill_right (NaN)", "fill_left (1) fill_right (2)"]);
                matching = format!("{matching} {fill}");
            }
        }
        // Sides that have one series per job and instance meet each other more often than arbitrary ones.
        let keyed = |side: String, random: &mut Random| match random.below(3) {
            0 if !is_set => format!("sum by (job, instance) ({side})"),
            1 if !is_set => format!("sum by (job) ({side})"),
            _ => side,
        };
        let (left, right) = (keyed(left, self.random), keyed(right, self.random));
        format!("({left} {operator}{bool_word}{matching} {right})")
    }

    fn call(&mut self, returns: ValueType, depth: u64) -> String {
        let experimental = self.experimental;
        let functions: Vec<&Function> =
            Function::all().iter().filter(|f| f.returns == returns && (experimental || !f.experimental)).collect();
        let function = functions[self.random.below(functions.len() as u64) as usize];
        let mut count = function.args.len();
        match function.variadic {
            0 => {}
            -1 => count = count - 1 + self.random.below(3) as usize,
            more => count = count - 1 + self.random.below(more as u64 + 1) as usize,
        }
        let mut arguments = Vec::new();
        for i in 0..count {
            let kind = function.args[i.min(function.args.len() - 1)];
            arguments.push(match kind {
                ValueType::Vector => self.vector_argument(function.id, i, depth),
                ValueType::Scalar => self.scalar_argument(function.id, i, depth),
                ValueType::Matrix => self.matrix(depth),
                ValueType::String => self.text_argument(function.id, i),
            });
        }
        format!("{}({})", function.name, arguments.join(", "))
    }

    fn vector_argument(&mut self, function: FunctionName, position: usize, depth: u64) -> String {
        let histogram = matches!(
            function,
            FunctionName::HistogramQuantile
                | FunctionName::HistogramQuantiles
                | FunctionName::HistogramFraction
                | FunctionName::HistogramAvg
                | FunctionName::HistogramCount
                | FunctionName::HistogramSum
                | FunctionName::HistogramStddev
                | FunctionName::HistogramStdvar
        );
        if function == FunctionName::Info && position == 1 {
            return self.one(&["{version=~\".+\"}", "{__name__=\"build_info\"}", "{job=\"api\"}", "{}"]).to_owned();
        }
        if histogram && !self.chance(4) {
            let (range, metric) =
                (self.one(&SPANS), self.one(&["latency_bucket", "native", "custom", "mixed", "native_gauge"]));
            let inner = self
                .one(&[metric, &format!("rate({metric}[{range}])"), &format!("increase({metric}[{range}])")])
                .to_owned();
            return match self.random.below(3) {
                0 => format!("sum by (le) ({inner})"),
                1 => format!("sum by (le, job) ({inner})"),
                _ => inner,
            };
        }
        self.vector(depth)
    }

    fn scalar_argument(&mut self, function: FunctionName, position: usize, depth: u64) -> String {
        match (function, position) {
            (FunctionName::DoubleExponentialSmoothing, _) => {
                self.one(&["0.1", "0.5", "0.9", "1", "0", "1.5"]).to_owned()
            }
            (
                FunctionName::HistogramQuantile | FunctionName::HistogramQuantiles | FunctionName::QuantileOverTime,
                _,
            ) if !self.chance(5) => self.one(&["0", "0.1", "0.5", "0.9", "0.99", "1", "-1", "2", "NaN"]).to_owned(),
            _ => self.scalar(depth.min(1)),
        }
    }

    fn text_argument(&mut self, function: FunctionName, position: usize) -> String {
        let label = self.one(&["job", "instance", "code", "le", "absent", "new", "a.b", "__name__"]).to_owned();
        let text = match (function, position) {
            (FunctionName::LabelReplace, 2) => {
                self.one(&["$1", "x-$1", "${1}y", "$x", "${x}", "$0", "$$", "", "lit", "$1$2", "$1x", "${1"]).to_owned()
            }
            (FunctionName::LabelReplace, 4) => self.pattern(),
            (FunctionName::LabelJoin, 2) => self.one(&["-", "", ", "]).to_owned(),
            _ => label,
        };
        quote(&text)
    }
}

/// A text as the language writes it.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
