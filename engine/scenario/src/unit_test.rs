//! Files in the format of `promtool test rules`, with its verdicts.

use std::collections::BTreeMap;
use std::rc::Rc;

use watchfire_alerting::{Dispatch, InstanceState, ReceiverSpec};
use watchfire_model::{ALERT_NAME_LABEL, Duration, Labels, Timestamp};
use watchfire_promql::Value;
use watchfire_rules::RuleFile;
use watchfire_tsdb::{Point, SampleValue};

use crate::diff::{Item, difference};
use crate::document::{Fields, Node, Reader};
use crate::report::{Case, Mismatch};
use crate::series::{parse_series, parse_values, show_value};
use crate::{Report, Tools, World, WorldSettings, load};

/// Evaluations that one test may take, so that `eval_time: 10y` is an error and not an hour.
const EVALUATIONS_MAX: i64 = 10_000_000;

/// A test file.
struct File {
    rule_files: Vec<String>,
    interval: Duration,
    group_order: Vec<String>,
    fuzzy_compare: bool,
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
pub(crate) fn run(name: &str, reader: &mut Reader<'_>, root: &Rc<Node>, tools: &Tools<'_>) -> Report {
    let file = reader.map(root, "the test file", read_file);
    let mut report = Report { file: name.to_owned(), ..Report::default() };
    let mut files = Vec::new();
    if let Some(file) = &file {
        for pattern in &file.rule_files {
            for path in load::glob(name, pattern, tools) {
                match load::rule_file(&path, tools) {
                    Ok(file) => files.push(file),
                    Err(errors) => report.errors.extend(errors),
                }
            }
        }
    }
    report.errors.extend(std::mem::take(&mut reader.diagnostics));
    let Some(file) = file.filter(|_| report.errors.is_empty()) else { return report };
    let files = load::with_interval(in_order(files, &file.group_order), file.interval);
    for test in &file.tests {
        if tools.only.as_ref().is_none_or(|only| only.is_match(&test.name)) {
            report.cases.push(test.run(&file, &files));
        }
    }
    report
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

fn read_file(reader: &mut Reader<'_>, fields: &Fields<'_>) -> File {
    let rule_files =
        reader.list(fields.get("rule_files"), "rule_files", |reader, node| reader.text(node, "a rule file"));
    let interval = fields.get("evaluation_interval").and_then(|node| reader.duration(node, "evaluation_interval"));
    let group_order =
        reader.list(fields.get("group_eval_order"), "group_eval_order", |reader, node| reader.text(node, "a group"));
    if let Some(twice) = group_order.iter().enumerate().find(|(i, name)| group_order[..*i].contains(name)) {
        reader.error(fields.node, format!("group_eval_order names the group {:?} twice", twice.1));
    }
    let fuzzy_compare = fields.get("fuzzy_compare").and_then(|node| reader.boolean(node, "fuzzy_compare"));
    let mut number = 0;
    let tests = reader.list(fields.get("tests"), "tests", |reader, node| {
        number += 1;
        reader.map(node, "a test", |reader, fields| read_test(reader, fields, number))
    });
    File {
        rule_files,
        interval: interval.filter(|interval| !interval.is_zero()).unwrap_or(Duration::from_mins(1)),
        group_order,
        fuzzy_compare: fuzzy_compare.unwrap_or(false),
        tests,
    }
}

fn read_test(reader: &mut Reader<'_>, fields: &Fields<'_>, number: usize) -> Test {
    let name = fields.get("name").and_then(|node| reader.text(node, "name"));
    let interval = fields.get("interval").and_then(|node| reader.duration(node, "interval"));
    let series = reader.list(fields.get("input_series"), "input_series", |reader, node| {
        reader.map(node, "an input series", read_series).flatten()
    });
    let alerts = reader.list(fields.get("alert_rule_test"), "alert_rule_test", |reader, node| {
        reader.map(node, "an element of alert_rule_test", read_alert_test).flatten()
    });
    let expressions = reader.list(fields.get("promql_expr_test"), "promql_expr_test", |reader, node| {
        reader.map(node, "an element of promql_expr_test", read_expression_test)
    });
    let external_labels = fields.get("external_labels").map(|node| reader.labels(node, "external_labels"));
    let external_url = fields.get("external_url").and_then(|node| reader.text(node, "external_url"));
    let start = fields.get("start_timestamp").and_then(|node| reader.timestamp(node, "start_timestamp"));
    Test {
        name: name.unwrap_or_else(|| format!("test {number}")),
        line: fields.node.place.line,
        interval: interval.filter(|interval| !interval.is_zero()),
        series,
        alerts,
        expressions,
        external_labels: external_labels.unwrap_or_default(),
        external_url: external_url.unwrap_or_default(),
        start: start.unwrap_or(Timestamp::EPOCH),
    }
}

fn read_series(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<(Labels, Vec<Option<SampleValue>>)> {
    let series = fields.get("series").and_then(|node| reader.text(node, "series")).unwrap_or_default();
    let values = fields.get("values").and_then(|node| reader.text(node, "values")).unwrap_or_default();
    let parsed = parse_series(&series).and_then(|labels| Ok((labels, parse_values(&values)?)));
    parsed.map_err(|message| reader.error(fields.node, message)).ok()
}

fn eval_time(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Duration {
    fields.get("eval_time").and_then(|node| reader.duration(node, "eval_time")).unwrap_or(Duration::ZERO)
}

fn read_alert_test(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<AlertTest> {
    let at = eval_time(reader, fields);
    let name = fields.get("alertname").and_then(|node| reader.text(node, "alertname")).unwrap_or_default();
    let expected = reader.list(fields.get("exp_alerts"), "exp_alerts", |reader, node| {
        reader.map(node, "an expected alert", |reader, fields| {
            let mut labels =
                fields.get("exp_labels").map(|node| reader.text_map(node, "exp_labels")).unwrap_or_default();
            labels.insert(ALERT_NAME_LABEL.to_owned(), name.clone());
            let details = fields.get("exp_annotations").map(|node| reader.text_map(node, "exp_annotations"));
            let mut details = details.unwrap_or_default();
            // As labels, so an empty annotation is none.
            details.retain(|_, text| !text.is_empty());
            Item { labels: Labels::from_pairs(labels), details }
        })
    });
    if name.is_empty() {
        reader.error(
            fields.node,
            format!("an item under alert_rule_test misses required attribute alertname at eval_time {at}"),
        );
        return None;
    }
    Some(AlertTest { line: fields.node.place.line, at, name, expected })
}

fn read_expression_test(reader: &mut Reader<'_>, fields: &Fields<'_>) -> ExpressionTest {
    let at = eval_time(reader, fields);
    let text = fields.get("expr").and_then(|node| reader.text(node, "expr")).unwrap_or_default();
    let expected = reader.list(fields.get("exp_samples"), "exp_samples", |reader, node| {
        reader.map(node, "an expected sample", read_sample).flatten()
    });
    ExpressionTest { line: fields.node.place.line, at, text, expected }
}

fn read_sample(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<(Labels, SampleValue)> {
    let labels = fields.get("labels").and_then(|node| reader.text(node, "labels")).unwrap_or_default();
    let value = fields.get("value").and_then(|node| reader.number(node, "value")).unwrap_or(0.0);
    let histogram = fields.get("histogram").and_then(|node| reader.text(node, "histogram")).unwrap_or_default();
    let parsed = parse_series(&labels).and_then(|labels| {
        if histogram.is_empty() {
            return Ok((labels, SampleValue::Float(value)));
        }
        match parse_values(&histogram)?.as_slice() {
            [Some(value @ SampleValue::Histogram(_))] => Ok((labels, value.clone())),
            _ => Err(format!("{histogram:?} is not one histogram")),
        }
    });
    parsed.map_err(|message| reader.error(fields.node, message)).ok()
}

impl Test {
    fn run(&self, file: &File, files: &[RuleFile]) -> Case {
        let checks = self.alerts.len() + self.expressions.len();
        let mut case = Case { name: self.name.clone(), line: self.line, checks, failures: Vec::new() };
        let fail = |line: usize, message: String| Mismatch { line, message };
        let last = self.alerts.iter().map(|test| test.at).chain(self.expressions.iter().map(|test| test.at)).max();
        let last = last.unwrap_or(Duration::ZERO).max(Duration::ZERO);
        if last.as_millis() / file.interval.as_millis() > EVALUATIONS_MAX {
            case.failures.push(fail(self.line, format!("this would take more than {EVALUATIONS_MAX} evaluations")));
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
                case.failures.push(fail(self.line, stuck.to_string()));
                return case;
            }
            for (time, points) in std::mem::replace(&mut samples, later) {
                for (position, error) in world.push_points(points) {
                    case.failures.push(fail(self.line, format!("sample {position} at {time}: {error}")));
                }
            }
            if let Err(stuck) = world.advance_to(now) {
                case.failures.push(fail(self.line, stuck.to_string()));
                return case;
            }
            let failures = world.take_failures();
            world.take_changes();
            if !failures.is_empty() {
                let told = failures.iter().map(|f| format!("rule {} failed at {at}: {}", f.rule, f.error));
                case.failures.extend(told.map(|message| fail(self.line, message)));
                return case;
            }
            for test in self.alerts.iter().filter(|test| test.at >= at && test.at < at + file.interval) {
                if let Some(difference) = difference(&test.expected, &firing(&world, &test.name)) {
                    let message = format!("alert {} at {}\n{difference}", test.name, test.at);
                    case.failures.push(fail(test.line, message));
                }
            }
            at = at + file.interval;
        }
        for (_, points) in samples {
            world.push_points(points);
        }
        for test in &self.expressions {
            if let Some(message) = test.check(&world, self.start + test.at, file.fuzzy_compare) {
                case.failures.push(fail(test.line, format!("{} at {}\n{message}", test.text, test.at)));
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
        .map(|instance| {
            let mut details = instance.annotations;
            details.retain(|_, text| !text.is_empty());
            Item { labels: instance.labels, details }
        })
        .collect()
}

impl ExpressionTest {
    fn check(&self, world: &World, at: Timestamp, fuzzy: bool) -> Option<String> {
        let got = match world.query(&self.text, at).map(|answer| answer.value) {
            Err(error) => return Some(format!("failed: {error}")),
            Ok(Value::Scalar(value)) => vec![(Labels::empty(), SampleValue::Float(value))],
            Ok(Value::Vector(samples)) => samples.into_iter().map(|s| (s.labels, s.value)).collect(),
            Ok(Value::String(_) | Value::Matrix(_)) => return Some("is neither a vector nor a scalar".to_owned()),
        };
        let mut wanted: Vec<_> = self.expected.iter().collect();
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut there: Vec<_> = got.iter().collect();
        there.sort_by(|a, b| a.0.cmp(&b.0));
        let same = wanted.len() == there.len()
            && wanted.iter().zip(&there).all(|(a, b)| a.0 == b.0 && same_value(&a.1, &b.1, fuzzy));
        if same {
            return None;
        }
        let items = |samples: &[&(Labels, SampleValue)]| -> Vec<Item> {
            let item = |(labels, value): &(Labels, SampleValue)| Item {
                labels: labels.clone(),
                details: BTreeMap::from([("value".to_owned(), show_value(value))]),
            };
            samples.iter().map(|sample| item(sample)).collect()
        };
        let told = difference(&items(&wanted), &items(&there));
        Some(told.unwrap_or_else(|| "NaN is equal to nothing; compare with a condition instead".to_owned()))
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
