//! What is valid but probably not meant: warnings about rules, each with an id.
//!
//! A lint earns its place by being right: none of them has a false alarm on the public rule collections.

mod labels;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use watchfire_model::{Duration, METRIC_NAME_LABEL, MatchOp, Severity};
use watchfire_promql::syntax::{DurationValue, Expr, FunctionName, Span, VectorSelector};
use watchfire_rules::{ExprSource, Position, Rule, RuleFile, RuleKind, Source as RuleSource};
use watchfire_template::prometheus::RuleTemplate;

use crate::config::Source;
use crate::decode::Decoder;
use crate::diagnostic::Diagnostic;
use crate::yaml::{Kind, Node};

/// Every lint by its id, with what it finds.
pub const LINTS: [(&str, &str); 7] = [
    ("template-label", "a template names a label that the expression drops"),
    ("dropped-label", "an aggregation names a label that the expression below it drops"),
    ("short-range", "a range holds fewer than two samples"),
    ("rate-of-gauge", "a function for counters is used on what its name calls a gauge"),
    ("always-fires", "an alert compares with `bool`, so that it fires whatever the answer is"),
    ("duplicate-rule", "two rules of a file do the same"),
    ("missing-for", "a critical alert fires on a single sample"),
];

/// Suffixes that no counter has.
const GAUGE_SUFFIXES: [&str; 7] =
    ["_ratio", "_percent", "_percentage", "_celsius", "_timestamp_seconds", "_info", "_temperature"];

/// Looks at the good rules of a file. Without a scrape interval nothing is said about ranges.
pub fn lint(source: Source<'_>, file: &RuleFile, scrape_interval: Option<Duration>) -> Vec<Diagnostic> {
    let mut decoder = Decoder::new(source, None);
    let expressions = decoder.parse().map(|root| expressions(&decoder, &root)).unwrap_or_default();
    decoder.diagnostics.clear();
    let mut linter = Linter { decoder, expressions, scrape_interval };
    linter.duplicates(file);
    for rule in file.groups.iter().flat_map(|group| &group.rules) {
        linter.rule(rule);
    }
    let mut diagnostics = linter.decoder.diagnostics;
    diagnostics.sort_by_key(|d| (d.line, d.column));
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
    scrape_interval: Option<Duration>,
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
        let RuleKind::Alerting { for_, annotations, .. } = &rule.kind else { return };
        if rule.condition.is_none() {
            if let Expr::Binary(binary) = expr.inner()
                && binary.return_bool
            {
                let at = self.place(rule, &["expr"], Some(binary.op_span.start));
                let message = "`bool` keeps every series, with 0 or 1: the alert always fires".to_owned();
                self.warn(at, "always-fires", message, "remove `bool`");
            }
            self.missing_for(rule, expr, *for_);
        }
        let result = labels::labels_of(expr);
        for (key, templates) in [("labels", &rule.labels), ("annotations", annotations)] {
            for (name, template) in templates {
                for label in named_labels(template).into_iter().filter(|label| !result.may_have(label)) {
                    let offset = template.text().find(&format!("$labels.{label}"));
                    let at = self.place(rule, &[key, name], offset);
                    let message = format!("the template uses $labels.{label}, which the expression drops");
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
                let inner = labels::labels_of(&aggregate.expr);
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
                    && GAUGE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
                {
                    let message = format!("{}() is for counters, but {name} looks like a gauge", call.function.name);
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
                if let (Some(interval), DurationValue::Literal(range)) = (self.scrape_interval, &matrix.range)
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
            _ => {}
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

    fn duplicates(&mut self, file: &RuleFile) {
        let mut seen: BTreeMap<(bool, &str, Vec<(&str, &str)>, String), Position> = BTreeMap::new();
        for group in &file.groups {
            for rule in &group.rules {
                let RuleSource::Expr(ExprSource { expr, .. }) = &rule.source else { continue };
                // The same name recorded by different expressions is common: each gives a part of the series.
                let (records, what) = match &rule.kind {
                    RuleKind::Recording => (true, expr.to_string()),
                    RuleKind::Alerting { for_, .. } => (false, format!("{for_} {expr}")),
                };
                let labels = rule.labels.iter().map(|(name, label)| (name.as_str(), label.text())).collect();
                let key = (records, rule.name.as_str(), labels, what);
                let Some(first) = seen.get(&key) else {
                    seen.insert(key, rule.position);
                    continue;
                };
                let line = first.line;
                let at = self.place(rule, &[if records { "record" } else { "alert" }], None);
                let what = if records { "recording rule" } else { "alert" };
                let message = format!("{} is the same {what} as at line {line}", rule.name);
                self.warn(at, "duplicate-rule", message, "remove one of the two");
            }
        }
    }
}

/// The labels that a template reads of the alert, and not of the results of a query that it makes.
fn named_labels(template: &RuleTemplate) -> Vec<String> {
    let mut names = template.label_names();
    names.retain(|name| template.text().contains(&format!("$labels.{name}")));
    names
}

fn metric_name(selector: &VectorSelector) -> Option<&str> {
    let equal =
        |matcher: &&watchfire_model::Matcher| matcher.name() == METRIC_NAME_LABEL && matcher.op() == MatchOp::Equal;
    selector.name.as_deref().or_else(|| selector.matchers.iter().find(equal).map(|matcher| matcher.value()))
}
