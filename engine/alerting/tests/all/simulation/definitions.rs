//! What is defined in the simulation, in variants that a user may edit one into the other.

use watchfire_alerting::{
    Dispatch, EscalationStep, FlapDamping, GroupBy, InhibitRule, InhibitSource, IntegrationSpec, Notify, PluginUse,
    Policy, RateLimits, Repeat, Route, RuleGroupSpec,
};
use watchfire_model::{Duration, Labels, Matcher, RuleGroupId};

use crate::world::{alerting, integration, receiver, rule_group};

/// How many variants there are.
pub(super) const VARIANTS: u64 = 256;

/// The kind of an integration, one of two of receiver `a`, that wants to know of no ends.
pub(super) const NO_ENDS: &str = "noends";

/// Alerts of rules and alerts from outside never have the same labels here, so that the simulation knows what fires.
pub(super) fn alert_labels(number: u64, source: &str) -> Labels {
    let team = ["a", "b", "r", "x"][(number % 4) as usize];
    let severity = if number.is_multiple_of(5) { "critical" } else { "warning" };
    Labels::from_pairs([
        ("alertname", format!("N{}", number % 7)),
        ("number", number.to_string()),
        ("severity", severity.to_owned()),
        ("source", source.to_owned()),
        ("team", team.to_owned()),
    ])
}

pub(super) fn dispatch(variant: u64) -> Dispatch {
    let mut dispatch = Dispatch::to(receiver("ops"));
    let receivers = ["a", "b", "day", "night", "lead", "boss", "unrelated"];
    dispatch.receivers.extend(receivers.map(receiver));
    for integration in dispatch.receivers.iter_mut().flat_map(|receiver| &mut receiver.integrations) {
        integration.takes_acknowledgements = true;
    }
    let no_ends = IntegrationSpec { send_resolved: false, ..integration(NO_ENDS, 0) };
    dispatch.receivers[1].integrations.push(no_ends);
    let by = |names: &[&str]| GroupBy::Labels(names.iter().map(|name| (*name).to_owned()).collect());
    let root = &mut dispatch.route;
    root.group_by = by(&["alertname"]);
    root.group_wait = Duration::from_secs(10);
    root.group_interval = Duration::from_mins(2);
    root.repeat_interval = Duration::from_hours(4);
    root.policy.rate_limits = RateLimits([("warning".to_owned(), Duration::from_mins(9))].into());
    root.policy.flap_damping = Some(FlapDamping { times: 2, within: Duration::from_mins(6) });
    let team = |root: &Route, name: &str| root.child(vec![Matcher::equal("team", name)]);
    let changes = Policy { repeat: Repeat::Exact, notify: Notify::Changes, ..Policy::default() };
    let step =
        |minutes, receiver: &str| EscalationStep { after: Duration::from_mins(minutes), receiver: receiver.into() };
    let escalates = Policy { escalation: vec![step(7, "lead"), step(20, "boss")], ..root.policy.clone() };
    let mut a = Route {
        receiver: "a".into(),
        group_by: by(&["team"]),
        continue_matching: true,
        policy: changes,
        ..team(root, "a")
    };
    let b = Route {
        receiver: "b".into(),
        group_by: GroupBy::All,
        group_wait: Duration::ZERO,
        policy: escalates,
        ..team(root, "b")
    };
    let plugin = PluginUse { plugin: "hours".to_owned(), config_json: "{}".to_owned() };
    let router = Some(plugin).filter(|_| variant & 128 == 0);
    let r = Route { router, ..team(root, "r") };
    let unrelated = Route { receiver: "unrelated".into(), ..team(root, "nobody") };
    if variant & 1 == 1 {
        a.matchers.push(Matcher::equal("absent", ""));
    }
    root.routes = if variant & 2 == 2 { vec![unrelated, r, a, b] } else { vec![a, b, r] };
    if variant & 4 == 4 {
        dispatch.receivers.reverse();
    }
    if variant & 64 == 64 {
        // The router goes on choosing it.
        dispatch.receivers.retain(|receiver| &*receiver.name != "night");
    }
    let severity = |value: &str| vec![Matcher::equal("severity", value)];
    let source = InhibitSource { matchers: severity("critical"), equal: vec!["team".to_owned()] };
    dispatch.inhibit_rules =
        vec![InhibitRule { name: None, sources: vec![source], target_matchers: severity("warning") }];
    dispatch
}

pub(super) fn groups(variant: u64) -> Vec<RuleGroupSpec> {
    let group = |number: u64| {
        let rules = (0..3).map(|i| number * 3 + i);
        let kinds = [("0s", "0s"), ("2m", "0s"), ("1m", "3m")];
        let mut rules: Vec<_> = rules.zip(kinds).map(|(id, (for_, keep))| alerting(id, for_, keep)).collect();
        if variant & 8 == 8 {
            rules.reverse();
        }
        RuleGroupSpec { id: RuleGroupId(number * 7_000), rules, in_order: number == 0, ..rule_group(vec![]) }
    };
    let mut groups = vec![group(0), group(1)];
    match variant & 48 {
        16 => groups.reverse(),
        // Rules that are gone for a while.
        32 => drop(groups[1].rules.pop()),
        _ => {}
    }
    groups
}
