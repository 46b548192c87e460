//! The route tree and inhibition rules.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use watchfire_alerting::{GroupBy, InhibitRule, InhibitSource, Policy, Repeat};
use watchfire_model::{Anchoring, Duration, MatchOp, Matcher, is_legacy_label_name};
use watchfire_plugin::PluginUse;
use watchfire_rules::Position;

use crate::decode::{Decoder, Fields};
use crate::diagnostic::nearest;
use crate::matcher::parse_matchers;
use crate::plugins::plugin_use;
use crate::policy::policy;
use crate::yaml::Node;

/// A node of the route tree with what it inherits filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Where it stands.
    pub position: Position,
    /// A name of its own, which then is its identity; usually none.
    pub name: Option<String>,
    /// All of them must match.
    pub matchers: Vec<Matcher>,
    /// The receiver's name.
    pub receiver: String,
    /// By which labels alerts are told together.
    pub group_by: GroupBy,
    /// How long a new group waits for more alerts.
    pub group_wait: Duration,
    /// How often a group is looked at.
    pub group_interval: Duration,
    /// After what time an unchanged group is told again.
    pub repeat_interval: Duration,
    /// Whether later siblings are tried after this one matched.
    pub continue_matching: bool,
    /// Intervals in which nothing is told. Not inherited.
    pub mute_time_intervals: Vec<String>,
    /// Intervals outside of which nothing is told. Not inherited.
    pub active_time_intervals: Vec<String>,
    /// Labels for templates, with those of its parents; values may be templates.
    pub labels: BTreeMap<String, String>,
    /// What it adds to Alertmanager's way.
    pub policy: Policy,
    /// The plugin that decides for each alert. Not inherited.
    pub router: Option<PluginUse>,
    /// The children in order.
    pub routes: Vec<Route>,
}

/// The names that routes may refer to, and where references to others stand.
pub(crate) struct Names<'a> {
    pub(crate) receivers: &'a BTreeSet<String>,
    pub(crate) intervals: &'a BTreeSet<String>,
}

/// The root with Alertmanager's defaults.
pub(crate) fn root(decoder: &mut Decoder<'_>, node: &Rc<Node>, names: &Names<'_>) -> Option<Route> {
    let defaults = Route {
        position: Position::default(),
        name: None,
        matchers: Vec::new(),
        receiver: String::new(),
        group_by: GroupBy::Labels(BTreeSet::new()),
        group_wait: Duration::from_secs(30),
        group_interval: Duration::from_mins(5),
        repeat_interval: Duration::from_hours(4),
        continue_matching: false,
        mute_time_intervals: Vec::new(),
        active_time_intervals: Vec::new(),
        labels: BTreeMap::new(),
        policy: Policy::default(),
        router: None,
        routes: Vec::new(),
    };
    decoder.mapping(node, "a route", |f| {
        let route = read(f, &defaults, names);
        if !f.has("receiver") {
            f.missing("receiver").help("the root route takes every alert that no other one does; name its receiver");
        }
        for key in ["match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals"] {
            let node = f.peek(key);
            if node.is_some_and(|node| !node.is_empty()) {
                f.key_error(key, "root-route", format!("the root route cannot have `{key}`: it takes every alert"))
                    .help("put it on a child under `routes:`");
            }
        }
        if route.continue_matching {
            f.key_error("continue", "root-route", "the root route cannot have `continue`: it has no siblings")
                .help("remove it");
        }
        route
    })
}

fn read(fields: &mut Fields<'_, '_>, parent: &Route, names: &Names<'_>) -> Route {
    let mut route = Route {
        position: fields.position(),
        name: fields.filled("name"),
        matchers: matchers(fields, "match", "match_re", "matchers"),
        receiver: fields.filled("receiver").unwrap_or_else(|| parent.receiver.clone()),
        group_by: parent.group_by.clone(),
        group_wait: fields.duration("group_wait").unwrap_or(parent.group_wait),
        group_interval: fields.positive_duration("group_interval").unwrap_or(parent.group_interval),
        repeat_interval: fields.positive_duration("repeat_interval").unwrap_or(parent.repeat_interval),
        continue_matching: fields.boolean("continue").unwrap_or(false),
        mute_time_intervals: interval_names(fields, "mute_time_intervals", names),
        active_time_intervals: interval_names(fields, "active_time_intervals", names),
        labels: parent.labels.clone(),
        policy: policy(fields, &parent.policy, names.receivers),
        router: plugin_use(fields, "router"),
        routes: Vec::new(),
    };
    if fields.has("receiver") && !route.receiver.is_empty() && !names.receivers.contains(&route.receiver) {
        let help = undefined_help(&route.receiver, names.receivers, "receivers");
        fields.error("receiver", "undefined-receiver", format!("there is no receiver {:?}", route.receiver)).help(help);
    }
    for (name, value) in fields.template_map("labels") {
        if name.is_empty() {
            fields.error("labels", "bad-label", "a label needs a name").help("write `name: value`");
        }
        route.labels.insert(name, value);
    }
    if let Some(group_by) = group_by(fields) {
        route.group_by = group_by;
    }
    let step = route.policy.escalation.iter().find(|step| *step.receiver == *route.receiver);
    if let (Some(step), true) = (step, fields.has("escalation")) {
        let message = format!("{:?} is told at once, so that it cannot be told later", step.receiver);
        fields.error("escalation", "conflict", message).help("name another receiver");
    }
    let exact = route.policy.repeat == Repeat::Exact;
    let repeats_sooner = !exact && route.repeat_interval < route.group_interval;
    if repeats_sooner && (fields.has("repeat_interval") || fields.has("group_interval")) {
        let (repeat, group) = (route.repeat_interval, route.group_interval);
        let key = if fields.has("repeat_interval") { "repeat_interval" } else { "group_interval" };
        fields
            .warning(key, "repeat-interval", format!("repeat_interval {repeat} is shorter than group_interval {group}"))
            .help(format!(
                "repeats happen only when the group is looked at, so every {group}; make it a multiple of that, or write `repeat: exact`"
            ));
    }
    route.routes = fields.list("routes", |decoder, node| decoder.mapping(node, "a route", |f| read(f, &route, names)));
    route
}

fn undefined_help(name: &str, known: &BTreeSet<String>, section: &str) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("define it under `{section}:`"),
    }
}

fn interval_names(fields: &mut Fields<'_, '_>, key: &'static str, names: &Names<'_>) -> Vec<String> {
    fields.list(key, |decoder, node| {
        let name = decoder.text(node, key)?;
        if !decoder.is_recording() && !names.intervals.contains(&name) {
            let help = undefined_help(&name, names.intervals, "time_intervals");
            decoder.error(node.start, "undefined-interval", format!("there is no time interval {name:?}")).help(help);
        }
        Some(name)
    })
}

/// Nothing where there is no `group_by`.
fn group_by(fields: &mut Fields<'_, '_>) -> Option<GroupBy> {
    let present = fields.peek("group_by").is_some_and(|node| !node.is_null());
    let mut all = false;
    let mut labels = BTreeSet::new();
    fields.list("group_by", |decoder, node| {
        let name = decoder.text(node, "a label name")?;
        if decoder.is_recording() {
            return Some(());
        }
        if name == "..." {
            all = true;
        } else if name.is_empty() {
            decoder.error(node.start, "bad-label", "a label name cannot be empty").help("remove the empty item");
        } else if labels.contains(&name) {
            decoder
                .error(node.start, "duplicate-label", format!("the label {name:?} stands in group_by twice"))
                .help("remove one of the two");
        } else {
            labels.insert(name);
        }
        Some(())
    });
    if all && !labels.is_empty() {
        fields
            .error("group_by", "conflict", "group_by has `...` and labels at the same time")
            .help("`...` alone groups by all labels; keep it or the names");
    }
    present.then_some(if all { GroupBy::All } else { GroupBy::Labels(labels) })
}

/// Matchers in their three forms, sorted as Alertmanager sorts them, so that the order in the file means nothing.
fn matchers(
    fields: &mut Fields<'_, '_>,
    equal_key: &'static str,
    regex_key: &'static str,
    matchers_key: &'static str,
) -> Vec<Matcher> {
    let mut all = pairs(fields, equal_key, MatchOp::Equal);
    all.extend(pairs(fields, regex_key, MatchOp::Regex));
    let texts = fields.list(matchers_key, |decoder, node| {
        let scalar = decoder.scalar(node, "a matcher")?;
        decoder.text(node, "a matcher");
        match parse_matchers(&scalar.text) {
            Ok(matchers) => Some(matchers),
            Err(error) => {
                let offset = if scalar.expanded { 0 } else { error.offset };
                let at = node.locate(decoder.file(), offset);
                decoder
                    .error(at, "bad-matcher", format!("not a matcher: {}", error.message))
                    .help("write it like severity=\"critical\" or service=~\"a|b\"; operators are = != =~ !~");
                None
            }
        }
    });
    all.extend(texts.into_iter().flatten());
    all.sort();
    all
}

fn pairs(fields: &mut Fields<'_, '_>, key: &'static str, op: MatchOp) -> Vec<Matcher> {
    let pairs = fields.read(key, |decoder, node| {
        Some(decoder.entries(node, key, |decoder, entry| {
            let value = decoder.text(&entry.value, &entry.key)?;
            if decoder.is_recording() {
                return None;
            }
            if !is_legacy_label_name(&entry.key) {
                decoder
                    .error(entry.key_start, "bad-label", format!("{:?} is not a label name here", entry.key))
                    .help("names of letters, digits and _ only; for others use `matchers:`");
                return None;
            }
            if op == MatchOp::Regex && entry.value.is_null() {
                decoder
                    .error(entry.key_start, "bad-regex", format!("the pattern for {:?} is missing", entry.key))
                    .help("write a regular expression, or \"\" for the empty one");
                return None;
            }
            match Matcher::new(entry.key.clone(), op, value, Anchoring::Alertmanager) {
                Ok(matcher) => Some(matcher),
                Err(error) => {
                    decoder
                        .error(entry.value.start, "bad-regex", error.to_string())
                        .help("patterns are RE2: no look-around, no back-references; they match the whole value");
                    None
                }
            }
        }))
    });
    pairs.unwrap_or_default().into_iter().map(|(_, matcher)| matcher).collect()
}

/// One entry of `inhibit_rules`.
pub(crate) fn inhibit_rule(fields: &mut Fields<'_, '_>) -> InhibitRule {
    let start = fields.start();
    let name = fields.filled("name");
    let source = matchers(fields, "source_match", "source_match_re", "source_matchers");
    let target_matchers = matchers(fields, "target_match", "target_match_re", "target_matchers");
    let equal = equal_labels(fields);
    let mut sources = fields.list("sources", |decoder, node| {
        decoder.mapping(node, "an inhibition source", |f| {
            let own = matchers(f, "match", "match_re", "matchers");
            let has_equal = f.has("equal");
            let own_equal = equal_labels(f);
            InhibitSource { matchers: own, equal: if has_equal { own_equal } else { equal.clone() } }
        })
    });
    if sources.is_empty() || !source.is_empty() {
        sources.insert(0, InhibitSource { matchers: source, equal });
    }
    if target_matchers.is_empty() || sources.iter().any(|source| source.matchers.is_empty()) {
        fields
            .decoder()
            .warning(
                start,
                "broad-inhibition",
                "this inhibition rule has no matchers on one side: it takes every alert",
            )
            .help("give it `source_matchers` and `target_matchers`");
    }
    InhibitRule { name, sources, target_matchers }
}

fn equal_labels(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let labels = fields.list("equal", |decoder, node| {
        let name = decoder.text(node, "a label name")?;
        if name.is_empty() && !decoder.is_recording() {
            decoder.error(node.start, "bad-label", "a label name cannot be empty").help("remove the empty item");
        }
        Some(name)
    });
    // The order means nothing, so that it must not change what the rule is equal to.
    labels.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

impl Route {
    /// As the state machine wants it.
    pub(crate) fn to_alerting(&self) -> watchfire_alerting::Route {
        watchfire_alerting::Route {
            name: self.name.clone(),
            matchers: self.matchers.clone(),
            receiver: self.receiver.as_str().into(),
            group_by: self.group_by.clone(),
            group_wait: self.group_wait,
            group_interval: self.group_interval,
            repeat_interval: self.repeat_interval,
            continue_matching: self.continue_matching,
            mute_time_intervals: self.mute_time_intervals.iter().map(|name| name.as_str().into()).collect(),
            active_time_intervals: self.active_time_intervals.iter().map(|name| name.as_str().into()).collect(),
            router: self.router.clone(),
            labels: Arc::new(self.labels.clone()),
            policy: self.policy.clone(),
            routes: self.routes.iter().map(Route::to_alerting).collect(),
        }
    }
}
