//! The index never misses a rule, and asks few of them.

use proptest::prelude::*;
use watchfire_model::{Duration, FieldValue, RuleId, Timestamp};

use super::{event, text, threshold};
use crate::{CompiledQuery, EventIndex, EventQuery, FieldMatcher, FieldOp, Step, Window};

fn compiled(matchers: Vec<FieldMatcher>) -> CompiledQuery {
    let window = Window::Count { over: Duration::from_secs(1), threshold: threshold(">", 0.0) };
    EventQuery { matchers, ..EventQuery::new(window) }.compile().unwrap()
}

#[test]
fn an_event_is_offered_only_to_rules_that_share_a_value_with_it() {
    let rules: Vec<_> = (0..10_000)
        .map(|i| {
            let user = FieldMatcher::equal("user", FieldValue::Text(format!("u{i}")));
            (RuleId(i), compiled(vec![FieldMatcher::equal("type", text("login")), user]))
        })
        .collect();
    let index = EventIndex::new(rules.iter().map(|(id, query)| (*id, query)));
    assert_eq!(index.candidates(&event("type=login user=u77", Timestamp::EPOCH)), [RuleId(77)]);
    assert_eq!(index.candidates(&event("type=login user=x", Timestamp::EPOCH)), []);
    assert_eq!(index.unindexed(), 0);
}

fn value() -> impl Strategy<Value = FieldValue> {
    let scalar = prop_oneof![
        prop::sample::select(vec!["a", "A", "1", "-0", "é", "true", ""]).prop_map(text),
        (-1i64..3).prop_map(FieldValue::Int),
        prop::sample::select(vec![0.0, -0.0, 1.0, 1.5]).prop_map(FieldValue::Float),
        any::<bool>().prop_map(FieldValue::Bool),
    ];
    prop_oneof![
        6 => scalar.clone(),
        1 => prop::collection::vec(scalar, 0..3).prop_map(FieldValue::List),
        1 => Just(FieldValue::Null),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["type", "body", "id", "time", "x", "y"]).prop_map(str::to_owned)
}

fn matcher() -> impl Strategy<Value = FieldMatcher> {
    (name(), prop::sample::select(FieldOp::ALL.to_vec()), value(), any::<bool>())
        .prop_map(|(field, op, operand, ignore_case)| FieldMatcher { field, op, operand, ignore_case })
}

fn query() -> impl Strategy<Value = EventQuery> {
    let matchers = || prop::collection::vec(matcher(), 0..3);
    let step = || matchers().prop_map(|matchers| Step { matchers, condition: None });
    let second = Duration::from_secs(1);
    let window = prop_oneof![
        3 => Just(Window::Count { over: second, threshold: threshold(">", 0.0) }),
        1 => prop::collection::vec(step(), 2..3)
            .prop_map(move |steps| Window::Sequence { steps, within: second, hold: second }),
    ];
    (matchers(), window).prop_map(|(matchers, window)| EventQuery { matchers, ..EventQuery::new(window) })
}

proptest! {
    #[test]
    fn every_rule_that_matches_is_a_candidate(
        queries in prop::collection::vec(query(), 0..12),
        fields in prop::collection::btree_map(name(), value(), 0..5),
        kind in prop::sample::select(vec!["", "a", "A", "1"]),
    ) {
        let rules: Vec<_> = queries.iter().filter_map(|query| query.compile().ok()).collect();
        let ids = || (0u64..).map(RuleId);
        let index = EventIndex::new(ids().zip(&rules));
        let mut event = event("", Timestamp::from_millis(1));
        event.fields = fields;
        event.kind = kind.to_owned();
        let candidates = index.candidates(&event);
        prop_assert!(candidates.is_sorted());
        for (id, rule) in ids().zip(&rules) {
            if rule.matches(&event).unwrap() {
                prop_assert!(candidates.contains(&id), "{:?} is missed", rule.query());
            }
        }
    }
}
