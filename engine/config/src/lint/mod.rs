//! What is valid but probably not meant: warnings about rules, each with an id.
//!
//! A lint earns its place by being right: none of them has a false alarm on the public rule collections. A comment in
//! the file silences the one that is wrong all the same.

mod ignore;
mod knowledge;
mod labels;

use std::collections::HashMap;
use std::rc::Rc;

use watchfire_model::{Duration, METRIC_NAME_LABEL, MatchOp, Matcher, Severity};
use watchfire_promql::syntax::{
    Binary, BinaryOp, Cardinality, DurationValue, Expr, FunctionName, Span, VectorSelector,
};
use watchfire_rules::{ExprSource, Position, Rule, RuleFile, RuleGroup, RuleKind, Source as RuleSource};
use watchfire_template::prometheus::RuleTemplate;

use crate::config::Source;
use crate::decode::Decoder;
use crate::diagnostic::{Diagnostic, nearest};
use crate::yaml::{Kind, Node};
use ignore::Ignored;
pub use knowledge::{Knowledge, Question};

/// Every lint by its id, with what it finds.
pub const LINTS: [(&str, &str); 11] = [
    ("template-label", "a template names a label that the expression drops"),
    ("value-label", "a label holds the value, so that every new value is another alert"),
    ("dropped-label", "an aggregation names a label that the expression below it drops"),
    ("join-label", "two operands are joined on a label that one of them drops"),
    ("missing-series", "an expression needs series that do not exist"),
    ("short-range", "a range holds fewer than two samples"),
    ("rate-of-gauge", "a function for counters is used on a gauge, by its metadata or its name"),
    ("always-fires", "an alert compares with `bool`, so that it fires whatever the answer is"),
    ("no-condition", "an alert has no condition, so that it fires for every series that there is"),
    ("duplicate-rule", "two rules do the same, in one file or in two"),
    ("missing-for", "a critical alert fires on a single sample"),
];

/// Suffixes that no counter has.
const GAUGE_SUFFIXES: [&str; 7] =
    ["_ratio", "_percent", "_percentage", "_celsius", "_timestamp_seconds", "_info", "_temperature"];

/// Looks at the good rules of a file, in the light of what is known beside it.
pub fn lint(source: Source<'_>, file: &RuleFile, knowledge: &Knowledge) -> Vec<Diagnostic> {
    let mut decoder = Decoder::new(source, None);
    let expressions = decoder.parse().map(|root| expressions(&decoder, &root)).unwrap_or_default();
    decoder.diagnostics.clear();
    let positions = file.groups.iter().flat_map(|group| &group.rules).map(|rule| rule.position);
    let ignored = Ignored::read(&mut decoder, positions);
    let mut linter = Linter { decoder, expressions, knowledge };
    for group in &file.groups {
        for rule in &group.rules {
            linter.duplicate(group, rule);
            linter.rule(rule);
        }
    }
    let mut diagnostics = linter.decoder.diagnostics;
    diagnostics.retain(|diagnostic| !ignored.silences(diagnostic));
    diagnostics.sort_by_key(|d| (d.line, d.column));
    // A rule that stands in several places through aliases is looked at as often.
    diagnostics.dedup();
    diagnostics
}

/// The rules' nodes by where they stand.
fn expressions(decoder: &Decoder<'_>, root: &Node) -> HashMap<Position, Rc<Node>> {
    let items = |node: Option<&Rc<Node>>| match node.map(|node| &node.kind) {
        Some(Kind::Sequence(items)) => items.clone(),
        _ => Vec::new(),
    };
    let rules = items(root.get("groups")).into_iter().flat_map(|group| items(group.get("rules")));
    rules.map(|rule| (decoder.position(rule.start), rule)).collect()
}

struct Linter<'s> {
    decoder: Decoder<'s>,
    expressions: HashMap<Position, Rc<Node>>,
    knowledge: &'s Knowledge,
}

impl Linter<'_> {
    /// Where a key of a rule stands, or a place within its value; the rule itself if it is not written there.
    fn place(&self, rule: &Rule, keys: &[&str], offset: Option<usize>) -> usize {
        let Some(node) = self.expressions.get(&rule.position) else { return 0 };
        let mut found = node;
        for key in keys {
            match found.get(key) {
                Some(next) => found = next,
                None => return node.start,
            }
        }
        found.locate(self.decoder.file(), offset.unwrap_or(0))
    }

    fn warn(&mut self, at: usize, id: &'static str, message: String, help: impl Into<String>) {
        self.decoder.warning(at, id, message).help(help);
    }

    fn rule(&mut self, rule: &Rule) {
        let RuleSource::Expr(ExprSource { expr, .. }) = &rule.source else { return };
        expr.walk(&mut |part| self.part(rule, part));
        for selector in knowledge::needed(expr) {
            self.missing_series(rule, selector);
        }
        let Some(alerting) = rule.alerting() else { return };
        if rule.condition.is_none() {
            if let Expr::Binary(binary) = expr.inner()
                && binary.return_bool
            {
                let at = self.place(rule, &["expr"], Some(binary.op_span.start));
                let message = "`bool` keeps every series, with 0 or 1: the alert always fires".to_owned();
                self.warn(at, "always-fires", message, "remove `bool`");
            }
            let decides_elsewhere = !alerting.severities.is_empty() || alerting.absent.is_some();
            if !decides_elsewhere && !may_be_false(expr) {
                let at = self.place(rule, &["expr"], None);
                let message =
                    "the expression has no condition: the alert fires for every series that there is".to_owned();
                self.warn(at, "no-condition", message, "compare it with something, such as `> 0`");
            }
            self.missing_for(rule, expr, alerting.for_);
        }
        for (name, template) in &rule.labels {
            if let Some(offset) = printed_value(template.text()) {
                let at = self.place(rule, &["labels", name], Some(offset));
                let message = format!("the label {name} holds the value: every new value is another alert");
                let help = "move it to an annotation; with a `for` the alert would never fire";
                self.warn(at, "value-label", message, help);
            }
        }
        let result = self.knowledge.labels_of(expr);
        let is_set = |label: &str| label == "severity" && !alerting.severities.is_empty();
        for (key, templates) in [("labels", &rule.labels), ("annotations", &alerting.annotations)] {
            for (name, template) in templates {
                let dropped = |label: &String| !result.may_have(label) && !is_set(label);
                for (label, spelled) in named_labels(template).into_iter().filter(|(label, _)| dropped(label)) {
                    let at = self.place(rule, &[key, name], template.text().find(&spelled));
                    let message = format!("the template uses {spelled}, which the expression drops");
                    let help = format!("keep it with `by ({label})` or `group_left`, or remove it from the text");
                    self.warn(at, "template-label", message, help);
                }
            }
        }
    }

    fn part(&mut self, rule: &Rule, expr: &Expr) {
        let place = |linter: &Self, span: Span| linter.place(rule, &["expr"], Some(span.start));
        match expr {
            Expr::Aggregate(aggregate) if !aggregate.without => {
                let inner = self.knowledge.labels_of(&aggregate.expr);
                for label in aggregate.grouping.iter().filter(|label| !inner.may_have(label)) {
                    let message = format!("`by ({label})`: the expression that is aggregated has no label {label}");
                    let at = place(self, aggregate.span);
                    self.warn(at, "dropped-label", message, format!("remove {label}, or keep it further inside"));
                }
            }
            Expr::Call(call) => {
                let Some(Expr::Matrix(matrix)) = call.args.iter().find(|arg| matches!(arg, Expr::Matrix(_))) else {
                    return;
                };
                let counters = matches!(
                    call.function.id,
                    FunctionName::Rate | FunctionName::Irate | FunctionName::Increase | FunctionName::Resets
                );
                if let Some(name) = metric_name(&matrix.selector).filter(|_| counters)
                    && let known = self.knowledge.gauges.contains(name)
                    && (known || GAUGE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)))
                {
                    let verb = if known { "is" } else { "looks like" };
                    let message = format!("{}() is for counters, but {name} {verb} a gauge", call.function.name);
                    let at = place(self, call.span);
                    self.warn(at, "rate-of-gauge", message, "use deriv() or delta() for a gauge");
                }
                let two = matches!(
                    call.function.id,
                    FunctionName::Rate
                        | FunctionName::Irate
                        | FunctionName::Increase
                        | FunctionName::Delta
                        | FunctionName::Idelta
                        | FunctionName::Deriv
                );
                if let (Some(interval), DurationValue::Literal(range)) = (self.knowledge.scrape_interval, &matrix.range)
                    && two
                    && *range < interval.times(2)
                {
                    let message = format!(
                        "{}() needs two samples, but {range} holds one at a scrape interval of {interval}",
                        call.function.name
                    );
                    let at = place(self, matrix.span);
                    let help = format!("use at least {}, better {}", interval.times(2), interval.times(4));
                    self.warn(at, "short-range", message, help);
                }
            }
            Expr::Binary(binary) => self.join(rule, binary),
            _ => {}
        }
    }

    /// A label that only one side can have never matches. Comparing with what is absent is a trick that nobody means.
    fn join(&mut self, rule: &Rule, binary: &Binary) {
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on) else { return };
        if binary.op == BinaryOp::Or {
            return;
        }
        let (left, right) = (self.knowledge.labels_of(&binary.lhs), self.knowledge.labels_of(&binary.rhs));
        for label in &matching.labels {
            let side = match (left.may_have(label), right.may_have(label)) {
                (true, false) => "right",
                (false, true) => "left",
                _ => continue,
            };
            let at = self.place(rule, &["expr"], Some(binary.op_span.start));
            let message = format!("`on ({label})`: the {side} operand has no label {label}, so that nothing matches");
            self.warn(at, "join-label", message, format!("keep {label} on both sides, or leave it out of `on`"));
        }
        let (many, one) = match matching.cardinality {
            Cardinality::ManyToOne => ("right", &right),
            Cardinality::OneToMany => ("left", &left),
            Cardinality::OneToOne | Cardinality::ManyToMany => return,
        };
        for label in matching.include.iter().filter(|label| !one.may_have(label)) {
            let at = self.place(rule, &["expr"], Some(binary.op_span.start));
            let message = format!("{label} is to be taken over from the {many} operand, which has no such label");
            self.warn(at, "join-label", message, format!("keep {label} there, or leave it out"));
        }
    }

    /// Against what a server or a store says, and against what other rules record.
    fn missing_series(&mut self, rule: &Rule, selector: &VectorSelector) {
        let Some(name) = metric_name(selector) else { return };
        let at = |linter: &Self| linter.place(rule, &["expr"], Some(selector.span.start));
        if self.knowledge.is_recorded(selector) {
            let labels = self.knowledge.recorded()[name].clone();
            let needs = |matcher: &&Matcher| {
                matcher.name() != METRIC_NAME_LABEL && !matcher.matches("") && !labels.may_have(matcher.name())
            };
            if let Some(matcher) = selector.matchers.iter().find(needs) {
                let label = matcher.name();
                let message =
                    format!("{name} is recorded without the label {label}, so that nothing matches {matcher}");
                let at = at(self);
                self.warn(at, "missing-series", message, format!("keep {label} where {name} is recorded"));
            }
            return;
        }
        if let Some(question) = self.knowledge.missing(selector) {
            let (message, help) = match question.label {
                None => {
                    let near = nearest(name, self.knowledge.recorded().keys().map(String::as_str));
                    let help = match near {
                        Some(near) => format!("did you mean {near}, which a rule records?"),
                        None => "correct the name, or remove the rule if its exporter is gone".to_owned(),
                    };
                    (format!("there is no series {name}: the rule has no result"), help)
                }
                Some((label, None)) => {
                    (format!("no series of {name} has the label {label}"), format!("correct or remove {label}"))
                }
                Some((label, Some(value))) => (
                    format!("there is no series {name}{{{label}={value:?}}}"),
                    format!("correct the value, or see to it that {value} is scraped"),
                ),
            };
            let at = at(self);
            self.warn(at, "missing-series", message, help);
            return;
        }
        // A name with a colon is one that a rule records; one letter of it is soon wrong.
        let near = || nearest(name, self.knowledge.recorded().keys().map(String::as_str));
        if let Some(near) = Some(name).filter(|name| name.contains(':')).and_then(|_| near())
            && near.len().abs_diff(name.len()) <= 2
            && knowledge::is_slip(name, near)
        {
            let at = at(self);
            let message = format!("no rule here records {name}");
            self.warn(at, "missing-series", message, format!("did you mean {near}?"));
        }
    }

    /// A range smooths over a single sample, as `for` does.
    fn missing_for(&mut self, rule: &Rule, expr: &Expr, for_: Duration) {
        let severity = rule.label("severity").map(|label| label.text().parse());
        let written = self.expressions.get(&rule.position).is_some_and(|node| node.get("for").is_some());
        if !for_.is_zero() || written || severity != Some(Ok(Severity::Critical)) {
            return;
        }
        let mut smooth = false;
        // What is compared with the time moves slowly and never for a moment only.
        expr.walk(&mut |part| {
            smooth |= match part {
                Expr::Matrix(_) | Expr::Subquery(_) => true,
                Expr::Call(call) => call.function.id == FunctionName::Time,
                Expr::Vector(selector) => {
                    metric_name(selector).is_some_and(|name| name.contains("expir") || name.contains("ttl"))
                }
                _ => false,
            }
        });
        if !smooth {
            let at = self.place(rule, &["alert"], None);
            let message = format!("{} is critical and has no `for`: a single sample wakes somebody", rule.name);
            self.warn(at, "missing-for", message, "add `for: 1m` or more; `for: 0s` if it is meant so");
        }
    }

    fn duplicate(&mut self, group: &RuleGroup, rule: &Rule) {
        let Some((file, position)) = self.knowledge.earlier(group, rule) else { return };
        let (key, what) = match rule.kind {
            RuleKind::Recording => ("record", "recording rule"),
            RuleKind::Alerting(_) => ("alert", "alert"),
        };
        let first = if *file == group.file {
            format!("at line {}", position.line)
        } else {
            format!("in {file}:{}", position.line)
        };
        let at = self.place(rule, &[key], None);
        let message = format!("{} is the same {what} as {first}", rule.name);
        self.warn(at, "duplicate-rule", message, "remove one of the two");
    }
}

/// Whether anything about the expression lets some series pass and others not.
fn may_be_false(expr: &Expr) -> bool {
    let mut may = false;
    expr.walk(&mut |part| {
        may |= match part {
            Expr::Binary(binary) => binary.op.is_comparison() || matches!(binary.op, BinaryOp::And | BinaryOp::Unless),
            Expr::Call(call) => {
                matches!(call.function.id, FunctionName::Absent | FunctionName::AbsentOverTime | FunctionName::Vector)
            }
            // What a rule recorded or raised may be there under a condition only, and a label may name a state.
            Expr::Vector(selector) => {
                let name = metric_name(selector).unwrap_or_default();
                name.contains(':') || name.starts_with("ALERTS") || selector.matchers.len() > 1
            }
            _ => false,
        }
    });
    may
}

/// Where a template prints the value. One that only decides by it gives few texts, which is meant so.
fn printed_value(text: &str) -> Option<usize> {
    let actions = text.match_indices("{{").filter_map(|(at, _)| Some((at + 2, text[at + 2..].split("}}").next()?)));
    actions.into_iter().find_map(|(at, action)| {
        let first = action.trim_start_matches('-').split_whitespace().next().unwrap_or_default();
        if ["if", "else", "with", "range"].contains(&first) {
            return None;
        }
        let value = ["$value", ".Value"].iter().find_map(|word| action.find(word))?;
        Some(at + value)
    })
}

/// The labels that a template reads of the alert, and not of the results of a query that it makes, as they are spelled.
fn named_labels(template: &RuleTemplate) -> Vec<(String, String)> {
    let text = template.text();
    // In these, the dot is something else.
    let moved = ["range", "with", "define", "block"].iter().any(|word| text.contains(word));
    let spelled = |name: String| {
        let forms = [format!("$labels.{name}"), format!(".Labels.{name}")];
        let found = forms.into_iter().enumerate().find(|(i, form)| text.contains(form) && !(*i == 1 && moved));
        found.map(|(_, form)| (name, form))
    };
    template.label_names().into_iter().filter_map(spelled).collect()
}

fn metric_name(selector: &VectorSelector) -> Option<&str> {
    let equal = |matcher: &&Matcher| matcher.name() == METRIC_NAME_LABEL && matcher.op() == MatchOp::Equal;
    selector.name.as_deref().or_else(|| selector.matchers.iter().find(equal).map(|matcher| matcher.value()))
}
