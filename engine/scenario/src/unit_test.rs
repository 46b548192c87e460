//! Files in the format of `promtool test rules`, with its verdicts.

use std::collections::BTreeMap;
use std::rc::Rc;

use watchfire_alerting::{Dispatch, InstanceState, ReceiverSpec};
use watchfire_config::Diagnostic;
use watchfire_config::document::{Decoder, Fields, Node};
use watchfire_model::{ALERT_NAME_LABEL, Annotations, Duration, Labels, Timestamp};
use watchfire_promql::Value;
use watchfire_rules::RuleFile;
use watchfire_tsdb::{Point, SampleValue};

use crate::diff::{Item, Line, Mark, difference};
use crate::document::{CODE, float, good, labels, timestamp};
use crate::report::{Case, Mismatch};
use crate::series::{parse_series, parse_values, show_value};
use crate::{Report, Tools, World, WorldSettings, load};

/// Evaluations that one test may take, so that `eval_time: 10y` is an error and not an hour.
const EVALUATIONS_MAX: i64 = 10_000_000;

/// A test file.
struct File {
    /// Each with its place.
    rule_files: Vec<(usize, String)>,
    interval: Duration,
    group_order: Vec<String>,
    fuzzy_compare: bool,
    /// Those that are to be run.
    tests: Vec<Test>,
}

/// One element of `tests`.
struct Test {
    name: String,
    line: usize,
    /// Time between two values of an input series; the file's evaluation interval where it is not given.
    interval: Option<Duration>,
    series: Vec<(Labels, Vec<Option<SampleValue>>)>,
    alerts: Vec<AlertTest>,
    expressions: Vec<ExpressionTest>,
    external_labels: Labels,
    external_url: String,
    start: Timestamp,
}

struct AlertTest {
    line: usize,
    at: Duration,
    name: String,
    expected: Vec<Item>,
}

struct ExpressionTest {
    line: usize,
    at: Duration,
    text: String,
    expected: Vec<(Labels, SampleValue)>,
}

/// Runs a file whose document was already read.
pub(crate) fn run(decoder: &mut Decoder<'_>, root: &Rc<Node>, report: &mut Report, tools: &Tools<'_>) {
    let file = decoder.mapping(root, "a test file", |fields| read_file(fields, tools));
    let mut files = Vec::new();
    // What no test needs is not read, so that a broken rule file concerns only those that do.
    if let Some(file) = file.as_ref().filter(|file| !file.tests.is_empty()) {
        for (position, pattern) in &file.rule_files {
            let paths = load::glob(&report.file, pattern, tools);
            if paths.is_empty() {
                decoder
                    .warning(*position, "no-such-file", format!("no file matches {pattern:?}"))
                    .help("rule files are looked for relative to the test file");
            }
            for path in paths {
                match load::rule_file(&path, tools) {
                    Ok(file) => files.push(file),
                    Err(errors) => report.diagnostics.extend(errors),
                }
            }
        }
    }
    report.diagnostics.append(&mut decoder.diagnostics);
    let Some(file) = file.filter(|_| !report.diagnostics.iter().any(Diagnostic::is_error)) else { return };
    let files = load::with_interval(in_order(files, &file.group_order), file.interval);
    report.cases.extend(file.tests.iter().map(|test| test.run(&file, &files)));
}

/// Each group alone, in the order of evaluation. `group_eval_order` is partial: a group that it does not name has the
/// same place as the first that it names.
fn in_order(files: Vec<RuleFile>, order: &[String]) -> Vec<RuleFile> {
    let place = |name: &str| order.iter().position(|other| other == name).unwrap_or(0);
    let alone = |file: RuleFile| {
        let path = file.path;
        file.groups.into_iter().map(move |group| RuleFile { path: path.clone(), groups: vec![group] })
    };
    let mut groups: Vec<_> = files.into_iter().flat_map(alone).collect();
    groups.sort_by_key(|file| file.groups.first().map(|group| place(&group.name)));
    groups
}

fn read_file(fields: &mut Fields<'_, '_>, tools: &Tools<'_>) -> File {
    let rule_files = fields.list("rule_files", |decoder, node| Some((node.start, decoder.text(node, "a rule file")?)));
    let interval = fields.duration("evaluation_interval");
    let group_order = fields.list("group_eval_order", |decoder, node| decoder.text(node, "a group"));
    if let Some(twice) = group_order.iter().enumerate().find(|(i, name)| group_order[..*i].contains(name)) {
        fields
            .error("group_eval_order", CODE, format!("group_eval_order names the group {:?} twice", twice.1))
            .help("a group is evaluated once, so name it once");
    }
    let fuzzy_compare = fields.boolean("fuzzy_compare").unwrap_or(false);
    let mut number = 0;
    let tests = fields.list("tests", |decoder, node| {
        let before = decoder.diagnostics.len();
        let (test, is_to_run) = decoder.mapping(node, "a test", |fields| read_test(fields, number, tools))?;
        number += 1;
        if is_to_run {
            return Some(test);
        }
        // Like promtool, only the form of what is left out matters, not what it says.
        let mut position = 0;
        decoder.diagnostics.retain(|diagnostic| {
            position += 1;
            position <= before || diagnostic.code != CODE
        });
        None
    });
    File {
        rule_files,
        interval: interval.filter(|interval| !interval.is_zero()).unwrap_or(Duration::from_mins(1)),
        group_order,
        fuzzy_compare,
        tests,
    }
}

/// A test, and whether it is among those to be run.
fn read_test(fields: &mut Fields<'_, '_>, number: usize, tools: &Tools<'_>) -> (Test, bool) {
    let name = fields.text("name").unwrap_or_default();
    let is_to_run = tools.runs(&name);
    let interval = fields.duration("interval").filter(|interval| !interval.is_zero());
    let series =
        fields.list("input_series", |decoder, node| decoder.mapping(node, "an input series", read_series).flatten());
    let alerts = fields.list("alert_rule_test", |decoder, node| {
        decoder.mapping(node, "an element of alert_rule_test", read_alert_test).flatten()
    });
    let expressions = fields.list("promql_expr_test", |decoder, node| {
        decoder.mapping(node, "an element of promql_expr_test", read_expression_test)
    });
    let test = Test {
        name: if name.is_empty() { format!("unnamed#{number}") } else { name },
        line: fields.position().line,
        interval,
        series,
        alerts,
        expressions,
        external_labels: labels(fields, "external_labels"),
        external_url: fields.text("external_url").unwrap_or_default(),
        start: timestamp(fields, "start_timestamp").unwrap_or(Timestamp::EPOCH),
    };
    (test, is_to_run)
}

/// A series and its values, one per interval.
pub(crate) fn read_series(fields: &mut Fields<'_, '_>) -> Option<(Labels, Vec<Option<SampleValue>>)> {
    let series = fields.text("series").unwrap_or_default();
    let values = fields.text("values").unwrap_or_default();
    let labels = good(fields, "series", parse_series(&series));
    let values = good(fields, "values", parse_values(&values));
    Some((labels?, values?))
}

fn eval_time(fields: &mut Fields<'_, '_>) -> Duration {
    fields.duration("eval_time").unwrap_or(Duration::ZERO)
}

fn read_alert_test(fields: &mut Fields<'_, '_>) -> Option<AlertTest> {
    let at = eval_time(fields);
    let name = fields.text("alertname").unwrap_or_default();
    let expected = fields.list("exp_alerts", |decoder, node| {
        decoder.mapping(node, "an expected alert", |fields| {
            let mut labels = fields.text_map("exp_labels");
            labels.insert(ALERT_NAME_LABEL.to_owned(), name.clone());
            Item {
                labels: Labels::from_pairs(labels),
                details: annotations(&fields.text_map("exp_annotations").into_iter().collect()),
            }
        })
    });
    if name.is_empty() {
        let at = fields.start();
        fields
            .decoder()
            .error(at, CODE, "an element of alert_rule_test names no alert")
            .help("write `alertname: NAME`, the `alert` of the rule");
        return None;
    }
    Some(AlertTest { line: fields.position().line, at, name, expected })
}

/// Annotations as they are shown; as with labels, an empty one is none.
fn annotations(texts: &Annotations) -> BTreeMap<String, String> {
    let said = texts.iter().filter(|(_, text)| !text.is_empty());
    said.map(|(name, text)| (name.to_owned(), format!("{text:?}"))).collect()
}

fn read_expression_test(fields: &mut Fields<'_, '_>) -> ExpressionTest {
    ExpressionTest {
        line: fields.position().line,
        at: eval_time(fields),
        text: fields.text("expr").unwrap_or_default(),
        expected: fields
            .list("exp_samples", |decoder, node| decoder.mapping(node, "an expected sample", read_sample).flatten()),
    }
}

fn read_sample(fields: &mut Fields<'_, '_>) -> Option<(Labels, SampleValue)> {
    let series = fields.text("labels").unwrap_or_default();
    let value = match fields.node("value") {
        Some(node) => float(fields.decoder(), &node, "value")?,
        None => 0.0,
    };
    let histogram = fields.text("histogram").unwrap_or_default();
    let parsed = parse_series(&series).and_then(|labels| {
        if histogram.is_empty() {
            return Ok((labels, SampleValue::Float(value)));
        }
        match parse_values(&histogram)?.as_slice() {
            [Some(value @ SampleValue::Histogram(_))] => Ok((labels, value.clone())),
            _ => Err(format!("{histogram:?} is not one histogram")),
        }
    });
    good(fields, "labels", parsed)
}

impl Test {
    fn run(&self, file: &File, files: &[RuleFile]) -> Case {
        let checks = self.alerts.len() + self.expressions.len();
        let mut case = Case { name: self.name.clone(), line: self.line, checks, failures: Vec::new() };
        let last = self.alerts.iter().map(|test| test.at).chain(self.expressions.iter().map(|test| test.at)).max();
        let last = last.unwrap_or(Duration::ZERO).max(Duration::ZERO);
        if last.as_millis() / file.interval.as_millis() > EVALUATIONS_MAX {
            case.failures
                .push(Mismatch::new(self.line, format!("this would take more than {EVALUATIONS_MAX} evaluations")));
            return case;
        }
        let mut settings = WorldSettings { start: self.start, interval: file.interval, ..WorldSettings::new() };
        settings.external_labels = self.external_labels.clone();
        settings.external_url.clone_from(&self.external_url);
        settings.query.subquery_step = file.interval;
        let mut world = World::new(settings, None);
        world.reload(files, nobody());
        let mut samples = self.samples(self.interval.unwrap_or(file.interval));
        let mut at = Duration::ZERO;
        while at <= last {
            let now = self.start + at;
            let later = samples.split_off(&(now + Duration::from_millis(1)));
            if let Err(stuck) = world.advance_before(now) {
                case.failures.push(Mismatch::new(self.line, stuck.to_string()));
                return case;
            }
            for (time, points) in std::mem::replace(&mut samples, later) {
                for (position, error) in world.push_points(points) {
                    case.failures.push(Mismatch::new(self.line, format!("sample {position} at {time}: {error}")));
                }
            }
            if let Err(stuck) = world.advance_to(now) {
                case.failures.push(Mismatch::new(self.line, stuck.to_string()));
                return case;
            }
            let failures = world.take_failures();
            world.take_changes();
            if !failures.is_empty() {
                let told = failures.iter().map(|f| format!("rule {} failed at {at}: {}", f.rule, f.error));
                case.failures.extend(told.map(|message| Mismatch::new(self.line, message)));
                return case;
            }
            for test in self.alerts.iter().filter(|test| test.at >= at && test.at < at + file.interval) {
                let comparison = difference(&test.expected, &firing(&world, &test.name));
                if !comparison.is_empty() {
                    let title = format!("alert {} at {}", test.name, test.at);
                    case.failures.push(Mismatch { line: test.line, title, comparison });
                }
            }
            at = at + file.interval;
        }
        for (_, points) in samples {
            world.push_points(points);
        }
        for test in &self.expressions {
            let comparison = test.check(&world, self.start + test.at, file.fuzzy_compare);
            if !comparison.is_empty() {
                let title = format!("{} at {}", test.text.trim(), test.at);
                case.failures.push(Mismatch { line: test.line, title, comparison });
            }
        }
        case
    }

    fn samples(&self, interval: Duration) -> BTreeMap<Timestamp, Vec<(Labels, Point)>> {
        let mut samples: BTreeMap<Timestamp, Vec<(Labels, Point)>> = BTreeMap::new();
        for (labels, values) in &self.series {
            for (step, value) in (0i64..).zip(values) {
                if let Some(value) = value {
                    let timestamp = self.start + interval.times(step);
                    let point = Point { timestamp, start: None, value: value.clone() };
                    samples.entry(timestamp).or_default().push((labels.clone(), point));
                }
            }
        }
        samples
    }
}

/// Nobody is told anything: this format knows no dispatch. Nor does any group look whether there is something to tell,
/// because a test may span centuries.
fn nobody() -> Dispatch {
    let mut dispatch = Dispatch::to(ReceiverSpec { name: "nobody".into(), integrations: Vec::new() });
    let never = Duration::from_hours(24 * 365 * 10_000);
    dispatch.route.group_wait = never;
    dispatch.route.group_interval = never;
    dispatch
}

fn firing(world: &World, name: &str) -> Vec<Item> {
    let rules = world.engine().rule_states().into_iter().filter(|rule| &*rule.name == name);
    let instances = rules.flat_map(|rule| rule.instances);
    instances
        .filter(|instance| instance.state == InstanceState::Firing)
        .map(|instance| Item { labels: instance.labels, details: annotations(&instance.annotations) })
        .collect()
}

impl ExpressionTest {
    fn check(&self, world: &World, at: Timestamp, fuzzy: bool) -> Vec<Line> {
        let remark = |text: String| vec![Line::new(Mark::Got, text)];
        let got = match world.query(&self.text, at).map(|answer| answer.value) {
            Err(error) => return remark(format!("error: {error}")),
            Ok(Value::Scalar(value)) => vec![(Labels::empty(), SampleValue::Float(value))],
            Ok(Value::Vector(samples)) => samples.into_iter().map(|s| (s.labels, s.value)).collect(),
            Ok(Value::String(_) | Value::Matrix(_)) => return remark("neither a vector nor a scalar".to_owned()),
        };
        let mut wanted: Vec<_> = self.expected.iter().collect();
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut there: Vec<_> = got.iter().collect();
        there.sort_by(|a, b| a.0.cmp(&b.0));
        let same = wanted.len() == there.len()
            && wanted.iter().zip(&there).all(|(a, b)| a.0 == b.0 && same_value(&a.1, &b.1, fuzzy));
        if same {
            return Vec::new();
        }
        let items = |samples: &[&(Labels, SampleValue)]| -> Vec<Item> {
            let item = |(labels, value): &(Labels, SampleValue)| Item {
                labels: labels.clone(),
                details: BTreeMap::from([("value".to_owned(), show_value(value))]),
            };
            samples.iter().map(|sample| item(sample)).collect()
        };
        let told = difference(&items(&wanted), &items(&there));
        if told.is_empty() {
            return remark("NaN is equal to nothing; compare with a condition instead".to_owned());
        }
        told
    }
}

/// As promtool compares: NaN differs from NaN, and with `fuzzy_compare` neighbouring numbers are equal.
fn same_value(a: &SampleValue, b: &SampleValue, fuzzy: bool) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => a == b || fuzzy && (a.next_down() == *b || a.next_up() == *b),
        (SampleValue::Histogram(_), SampleValue::Histogram(_)) => show_value(a) == show_value(b),
        _ => false,
    }
}
