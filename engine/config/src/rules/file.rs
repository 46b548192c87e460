//! Reads a rule file. Verdicts are those of Prometheus' `model/rulefmt`.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use watchfire_model::{METRIC_NAME_LABEL, RuleGroupId, RuleId};
use watchfire_promql::Features;
use watchfire_rules::{
    Alerting, EventSource, ExprSource, GroupSource, Position, Rule, RuleFile, RuleGroup, RuleKind, Source as RuleSource,
};
use watchfire_template::prometheus::RuleTemplate;

use super::alerting::{self, alerting};
use super::events::events;
use super::template::template;
use super::{Allowed, LoadedRules, Quarantined};
use crate::config::Source;
use crate::decode::{Decoder, Fields};
use crate::plugins::condition_use;
use crate::prometheus::wrong_address;
use crate::yaml::Node;

/// Reads a rule file. What is wrong with one rule or group costs that one only.
pub fn load_rules(source: Source<'_>) -> LoadedRules {
    load_rules_with(source, Allowed::default())
}

/// As [`load_rules`], with a say in what is allowed.
pub fn load_rules_with(source: Source<'_>, allowed: impl Into<Allowed>) -> LoadedRules {
    let Allowed { features, unknown_keys } = allowed.into();
    let mut decoder = Decoder::new(source, None);
    decoder.ignore_unknown_keys = unknown_keys;
    let mut reader = Reader { file: source.name.to_owned(), features, quarantined: Vec::new() };
    let groups = match decoder.parse() {
        Some(root) => decoder.mapping(&root, "a rule file", |f| reader.groups(f)).unwrap_or_default(),
        None => Vec::new(),
    };
    let Reader { mut quarantined, .. } = reader;
    let mut diagnostics = decoder.diagnostics;
    // A fault of the YAML itself says nothing about which rule it belongs to unless it stops everything.
    if groups.is_empty()
        && quarantined.is_empty()
        && let Some(reason) = diagnostics.iter().find(|d| d.is_error())
    {
        let position = Position { line: reason.line, column: reason.column };
        quarantined.push(Quarantined { position, group: String::new(), rule: None, id: None, reason: reason.clone() });
    }
    diagnostics.sort_by_key(|d| (d.line, d.column));
    diagnostics.dedup();
    LoadedRules { file: RuleFile { path: source.name.to_owned(), groups }, quarantined, diagnostics }
}

/// The JSON Schema of rule files, for editors; made by the code that reads them.
pub fn rules_schema() -> String {
    let mut decoder = Decoder::recorder();
    let mut reader = Reader { file: String::new(), features: Features::default(), quarantined: Vec::new() };
    decoder.mapping(&Rc::new(Node::null()), "a rule file", |f| reader.groups(f));
    decoder.recorded().document("Watchfire rule file")
}

struct Reader {
    file: String,
    features: Features,
    quarantined: Vec<Quarantined>,
}

/// What all rules of a group share.
struct GroupContext<'a> {
    id: RuleGroupId,
    name: &'a str,
    labels: &'a BTreeMap<String, RuleTemplate>,
    features: Features,
    /// Whether a server elsewhere answers its queries.
    is_remote: bool,
}

impl Reader {
    fn groups(&mut self, f: &mut Fields<'_, '_>) -> Vec<RuleGroup> {
        let mut lines: HashMap<String, usize> = HashMap::new();
        f.list("groups", |decoder, node| {
            let errors = decoder.diagnostics.len();
            let before = self.quarantined.len();
            // Faults of rules are theirs alone; what is wrong beside them quarantines the group.
            let (group, own_faults) = decoder.mapping(node, "a rule group", |f| self.group(f, &mut lines))?;
            let unknown_keys = decoder.diagnostics[errors..]
                .iter()
                .position(|d| d.code == "unknown-key" && d.message.ends_with("in a rule group"));
            let reason = own_faults.or(unknown_keys.map(|at| errors + at));
            let Some(reason) = reason else { return Some(group) };
            self.quarantined.truncate(before);
            self.quarantined.push(Quarantined {
                position: group.position,
                group: group.name,
                rule: None,
                id: None,
                reason: decoder.diagnostics[reason].clone(),
            });
            None
        })
    }

    /// The group, and the index of the first diagnostic that is about the group itself.
    fn group(&mut self, f: &mut Fields<'_, '_>, lines: &mut HashMap<String, usize>) -> (RuleGroup, Option<usize>) {
        let first = f.decoder().diagnostics.len();
        let position = f.position();
        let name = f.required("name", "name the group; the name must be unique within the file").unwrap_or_default();
        if let Some(line) = lines.insert(name.clone(), position.line).filter(|_| !name.is_empty()) {
            f.error(
                "name",
                "duplicate-group",
                format!("the group {name:?} stands in this file twice; first at line {line}"),
            )
            .help("rename one of the two");
        }
        let interval = f.duration("interval").filter(|interval| !interval.is_zero());
        let query_offset = f.duration("query_offset");
        let limit = f.integer("limit").unwrap_or(0);
        let source = group_source(f);
        let labels = labels(f, Some(&name));
        let faults = f.decoder().diagnostics[first..].iter().position(|d| d.is_error()).map(|at| first + at);
        let id = RuleGroupId::new(&self.file, &name);
        // Which experimental functions there are is for the server to say that evaluates them.
        let features = if source.is_some() { Features::ALL } else { self.features };
        let context = GroupContext { id, name: &name, labels: &labels, features, is_remote: source.is_some() };
        let mut ordinals = HashMap::new();
        let rules = f.list("rules", |decoder, node| self.rule(decoder, node, &context, &mut ordinals));
        let group = RuleGroup {
            id,
            file: self.file.clone(),
            position,
            interval,
            query_offset,
            source,
            limit: usize::try_from(limit).unwrap_or(0),
            labels: labels.iter().map(text_pair).collect(),
            rules,
            name,
        };
        (group, faults)
    }

    fn rule(
        &mut self,
        decoder: &mut Decoder<'_>,
        node: &Rc<Node>,
        group: &GroupContext<'_>,
        ordinals: &mut HashMap<(String, Vec<(String, String)>), usize>,
    ) -> Option<Arc<Rule>> {
        let first = decoder.diagnostics.len();
        let read = decoder.mapping(node, "a rule", |f| read_rule(f, group));
        let reason = decoder.diagnostics[first..].iter().find(|d| d.is_error()).cloned();
        let (name, rule) = read.unwrap_or_default();
        let texts: Vec<(String, String)> =
            rule.iter().flat_map(|rule| &rule.labels).map(|(name, label)| text_pair((name, label))).collect();
        let ordinal = ordinals.entry((name.clone(), texts.clone())).or_insert(0);
        let id = RuleId::new(group.id, &name, &texts, *ordinal);
        *ordinal += 1;
        if let Some(reason) = reason {
            let position = decoder.position(node.start);
            self.quarantined.push(Quarantined {
                position,
                group: group.name.to_owned(),
                rule: Some(name),
                id: Some(id),
                reason,
            });
            return None;
        }
        rule.map(|rule| Arc::new(Rule { id, ..rule }))
    }
}

/// `source`: the server that answers the group's queries.
fn group_source(f: &mut Fields<'_, '_>) -> Option<GroupSource> {
    let read = f.object("source", "the source of a rule group", |f| {
        let help = "give an address, or a name of `sources` in watchfire.yml";
        let prometheus = f.required("prometheus", help)?;
        let wrong = prometheus.contains("://").then(|| wrong_address(&prometheus)).flatten();
        if let Some((reason, help)) = wrong {
            f.error("prometheus", "bad-url", format!("prometheus is not the address of a server: {reason}")).help(help);
        }
        let at = f.at("prometheus");
        Some(GroupSource { prometheus, position: f.decoder().position(at) })
    });
    read.flatten()
}

fn text_pair((name, label): (&String, &RuleTemplate)) -> (String, String) {
    (name.clone(), label.text().to_owned())
}

/// The rule's name and, if enough of it could be read, the rule.
fn read_rule(f: &mut Fields<'_, '_>, group: &GroupContext<'_>) -> (String, Option<Rule>) {
    let position = f.position();
    let record = f.filled("record");
    let alert = f.filled("alert");
    let name = alert.clone().or_else(|| record.clone()).unwrap_or_default();
    match (&record, &alert) {
        (Some(_), Some(_)) => {
            f.key_error("record", "conflict", "a rule has both `record` and `alert`")
                .help("split it in two: one that records the expression, one that alerts on it");
        }
        (None, None) => f.missing("alert").help("`alert: NAME` makes an alert, `record: NAME` a new series"),
        _ => {}
    }
    let source = source(f, group.features);
    if group.is_remote && matches!(source, Some(RuleSource::Events(_))) {
        f.key_error("events", "conflict", "a rule over events stands in a group that has a `source`")
            .help("events are known here alone: put the rule into a group without `source`");
    }
    let condition = condition_use(f);
    let life = alerting(f, group.features);
    let templated = alert.is_some();
    let mut labels_of_rule = group.labels.clone();
    if !templated {
        labels_of_rule.values_mut().for_each(|label| *label = RuleTemplate::verbatim(label.text()));
    }
    labels_of_rule.extend(labels(f, templated.then_some(name.as_str())));
    if !life.severities.is_empty() {
        // The group's severity is for rules that do not say.
        labels_of_rule.remove("severity");
    }
    let annotations = annotations(f, &name, templated);
    if let Some(record) = record.as_ref().filter(|_| alert.is_none()) {
        recording(f, record, &life);
    }
    let kind = match record {
        Some(_) => RuleKind::Recording,
        None => RuleKind::Alerting(Alerting { annotations: annotations.into_iter().collect(), ..life }),
    };
    let labels = labels_of_rule.into_iter().collect();
    let rule =
        source.map(|source| Rule { id: RuleId(0), position, name: name.clone(), kind, source, condition, labels });
    (name, rule)
}

/// What a recording rule cannot have.
fn recording(f: &mut Fields<'_, '_>, record: &str, life: &Alerting) {
    for key in alerting::KEYS.into_iter().chain(["condition", "annotations", "events"]) {
        let says_something = match key {
            "for" => !life.for_.is_zero(),
            "keep_firing_for" => !life.keep_firing_for.is_zero(),
            _ => f.peek(key).is_some_and(|node| !node.is_empty()),
        };
        if says_something {
            f.key_error(key, "recording-rule", format!("a recording rule cannot have `{key}`"))
                .help("remove it, or make an alert of the rule with `alert:`");
        }
    }
    if record.contains(['{', '}']) {
        f.error("record", "bad-name", format!("the recorded name {record:?} contains braces"))
            .help("a name alone stands here; labels go under `labels:`, selectors into `expr`");
    }
}

fn source(f: &mut Fields<'_, '_>, features: Features) -> Option<RuleSource> {
    let events = f.read("events", |decoder, node| {
        let text = as_written(decoder, node);
        let query = decoder.mapping(node, "events", events)?;
        Some(query.map(|query| EventSource { query: Arc::new(query), text }))
    });
    f.shape("expr", crate::schema::Shape::Text);
    let expr = f.node("expr");
    match (expr, events) {
        (Some(_), Some(_)) => {
            f.key_error("events", "conflict", "a rule has both `expr` and `events`").help("keep one of the two");
            None
        }
        (None, Some(query)) => Some(RuleSource::Events(query?)),
        (Some(node), None) => {
            let source = expression(f, "expr", &node, features)?;
            Some(RuleSource::Expr(source))
        }
        (None, None) => {
            if !f.has("events") {
                f.missing("expr").help("write the PromQL expression, or `events:` for a rule over events");
            }
            None
        }
    }
}

/// A value as it stands in the file, without the indentation that it has there.
fn as_written(decoder: &Decoder<'_>, node: &Node) -> String {
    let file = decoder.file();
    let indent = file[..node.start].chars().rev().take_while(|c| *c == ' ').count();
    let text = file.get(node.start..node.end).unwrap_or("").trim_end();
    let lines = text.lines().map(|line| match line.len() - line.trim_start_matches(' ').len() {
        blanks if blanks >= indent => &line[indent..],
        _ => line.trim_start_matches(' '),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The expression that `key` holds.
pub(super) fn expression(
    f: &mut Fields<'_, '_>,
    key: &'static str,
    node: &Node,
    features: Features,
) -> Option<ExprSource> {
    let text = f.decoder().scalar(node, key)?.text;
    if text.is_empty() {
        f.missing("expr").help("write the PromQL expression, or `events:` for a rule over events");
        return None;
    }
    let decoder = f.decoder();
    match watchfire_promql::parse_with(&text, features) {
        Ok(expr) => {
            let position = decoder.position(node.locate(decoder.file(), 0));
            Some(ExprSource { expr: Arc::new(expr), text, position })
        }
        Err(error) => {
            let at = node.locate(decoder.file(), error.span.start);
            let diagnostic =
                decoder.error(at, "bad-expression", format!("the expression cannot be parsed: {}", error.message));
            match error.help {
                Some(help) => diagnostic.help(help),
                None if text.starts_with("ALERT ") => diagnostic.help("this is the rule format of Prometheus 1"),
                None => {}
            }
            None
        }
    }
}

/// The labels of a rule or group. Those of the alert or group `owner` are templates.
fn labels(f: &mut Fields<'_, '_>, owner: Option<&str>) -> BTreeMap<String, RuleTemplate> {
    let pairs = f.read("labels", |decoder, node| {
        Some(decoder.entries(node, "labels", |decoder, entry| {
            if (entry.key.is_empty() || entry.key == METRIC_NAME_LABEL) && !decoder.is_recording() {
                decoder
                    .error(entry.key_start, "bad-label", format!("{:?} cannot be a label's name here", entry.key))
                    .help("the metric's name is set by `record`; for an alert by `alert`");
                return None;
            }
            let what = format!("the label {:?}", entry.key);
            match owner {
                Some(owner) => template(decoder, &entry.value, owner, &what),
                None => decoder.text(&entry.value, &what).map(RuleTemplate::verbatim),
            }
        }))
    });
    pairs.unwrap_or_default().into_iter().collect()
}

fn annotations(f: &mut Fields<'_, '_>, rule: &str, templated: bool) -> BTreeMap<String, RuleTemplate> {
    let pairs = f.read("annotations", |decoder, node| {
        Some(decoder.entries(node, "annotations", |decoder, entry| {
            if entry.key.is_empty() && !decoder.is_recording() {
                decoder.error(entry.key_start, "bad-label", "an annotation needs a name").help("write `name: text`");
                return None;
            }
            let what = format!("the annotation {:?}", entry.key);
            if templated {
                template(decoder, &entry.value, rule, &what)
            } else {
                decoder.text(&entry.value, &what);
                None
            }
        }))
    });
    pairs.unwrap_or_default().into_iter().collect()
}
