//! The windows against a model that keeps every event and looks at all of them for each answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use watchfire_model::{Duration, Event, FieldValue, Labels, Timestamp};

use super::{secs, text, threshold};
use crate::{Aggregation, CompareOp, Direction, EventQuery, EventWindows, FieldMatcher, Step, Threshold, Window};

const LATENESS: Duration = Duration::from_secs(4);

/// One thing that happens, some seconds after the one before.
#[derive(Clone, Debug)]
enum Action {
    Push { user: u8, kind: u8, number: i64, delay: i64, id: u8 },
    Ask,
}

/// Every event that was taken, in order of arrival, with the time at which it is placed.
#[derive(Default)]
struct Model {
    taken: Vec<(Timestamp, Event)>,
    ids: BTreeMap<String, Timestamp>,
}

impl Model {
    fn push(&mut self, event: &Event, now: Timestamp, query: &EventQuery, memory: Duration) {
        let time = event.time.min(now);
        if event.time < now - LATENESS || time <= now - memory {
            return;
        }
        let kept = event.time.min(time + LATENESS) + LATENESS.max(query.window.span());
        if self.ids.get(&event.id).is_some_and(|kept| *kept > now) {
            return;
        }
        self.ids.insert(event.id.clone(), kept);
        // A group that was forgotten begins anew.
        let group = |event: &Event| query.by.first().map(|field| event.fields[field].to_text());
        let newest = self.taken.iter().filter(|(_, e)| group(e) == group(event)).map(|(time, _)| *time).max();
        if newest.is_some_and(|newest| newest + memory <= now)
            && !(query.by.is_empty() && query.window.speaks_of_silence())
        {
            self.taken.retain(|(_, e)| group(e) != group(event));
        }
        self.taken.push((time, event.clone()));
    }

    /// The definition of each window, word for word.
    fn answer(&self, query: &EventQuery, at: Timestamp, memory: Duration) -> Vec<(Labels, f64)> {
        let mut groups: BTreeMap<Labels, Vec<(Timestamp, &Event)>> = BTreeMap::new();
        if query.by.is_empty() {
            groups.insert(Labels::empty(), Vec::new());
        }
        for (time, event) in &self.taken {
            let user = query.by.iter().map(|field| (field.clone(), event.fields[field].to_text()));
            groups.entry(Labels::from_pairs(user)).or_default().push((*time, event));
        }
        let mut answer = Vec::new();
        for (labels, mut events) in groups {
            let silent_from_start = query.by.is_empty() && query.window.speaks_of_silence();
            let start = silent_from_start.then_some(Timestamp::EPOCH);
            let newest = events.iter().map(|(time, _)| *time).chain(start).max();
            if !silent_from_start && newest.is_none_or(|newest| newest + memory <= at) {
                continue;
            }
            // Stable, so that equal times stay in the order of arrival.
            events.sort_by_key(|(time, _)| *time);
            if let Some(value) = value(&query.window, &events, newest, at) {
                answer.push((labels, value));
            }
        }
        answer
    }
}

fn value(window: &Window, events: &[(Timestamp, &Event)], newest: Option<Timestamp>, at: Timestamp) -> Option<f64> {
    let within = |from: Timestamp, to: Timestamp| -> Vec<(Timestamp, &Event)> {
        events.iter().filter(|(time, _)| *time > from && *time <= to).copied().collect()
    };
    let number = |event: &Event| event.fields["n"].as_f64().unwrap();
    match window {
        Window::All { over, .. } => Some(within(at - *over, at).len() as f64).filter(|n| *n > 0.0),
        Window::Count { over, threshold } => Some(within(at - *over, at).len() as f64).filter(|n| threshold.holds(*n)),
        Window::Rate { over, threshold } => {
            Some(within(at - *over, at).len() as f64 / over.as_secs_f64()).filter(|n| threshold.holds(*n))
        }
        Window::Aggregate { aggregation, over, threshold, .. } => aggregation
            .of(within(at - *over, at).into_iter().map(|(_, event)| number(event)))
            .filter(|n| threshold.holds(*n)),
        Window::Distinct { over, threshold, .. } => {
            let values: BTreeSet<_> =
                within(at - *over, at).into_iter().map(|(_, e)| e.fields["n"].to_text()).collect();
            Some(values.len() as f64).filter(|n| threshold.holds(*n))
        }
        Window::Absent { duration, .. } => {
            let last = newest?;
            (at >= last + *duration).then(|| at.since(last).as_secs_f64())
        }
        Window::Change { over, threshold, .. } => {
            let mut previous = within(Timestamp::MIN, at - *over).last().map(|(_, e)| e.fields["n"].to_text());
            let mut changes = 0;
            for (_, event) in within(at - *over, at) {
                let current = event.fields["n"].to_text();
                changes += usize::from(previous.is_some_and(|previous| previous != current));
                previous = Some(current);
            }
            Some(changes as f64).filter(|n| threshold.holds(*n))
        }
        Window::Spike { over, baseline, factor, minimum, direction } => {
            if at < Timestamp::EPOCH + *over + *baseline {
                return None;
            }
            let now = within(at - *over, at).len() as f64;
            let before = within(at - *over - *baseline, at - *over).len() as f64;
            let usual = before * over.as_secs_f64() / baseline.as_secs_f64();
            let holds = match direction {
                Direction::Up => now > 0.0 && now >= *minimum && now >= factor * usual,
                Direction::Down => usual > 0.0 && usual >= *minimum && now * factor <= usual,
            };
            holds.then_some(now / usual)
        }
        Window::Sequence { steps, within: limit, hold } => {
            // Every way to choose a first, a second, ... event; the one that ends last, and began last, is reported.
            let kinds: Vec<_> = steps.iter().map(|step| step.matchers[0].operand.to_text()).collect();
            let mut best: Option<(Timestamp, Timestamp)> = None;
            let mut chains: Vec<(usize, Timestamp)> = Vec::new();
            for (time, event) in within(at - *limit - *hold, at) {
                let mut longer = Vec::new();
                if event.kind == kinds[0] {
                    longer.push((1, time));
                }
                for (length, start) in &chains {
                    if *length < kinds.len() && event.kind == kinds[*length] && time.since(*start) <= *limit {
                        longer.push((length + 1, *start));
                    }
                }
                for (length, start) in &longer {
                    if *length == kinds.len() {
                        best = best.max(Some((time, *start)));
                    }
                }
                chains.extend(longer);
            }
            best.filter(|(end, _)| *end > at - *hold).map(|(end, start)| end.since(start).as_secs_f64())
        }
        // Depends on the order of arrival and has its own table.
        Window::NewValue { .. } => None,
    }
}

fn any_threshold() -> impl Strategy<Value = Threshold> {
    (prop::sample::select(CompareOp::ALL.to_vec()), 0i32..4)
        .prop_map(|(op, value)| Threshold { op, value: f64::from(value) })
}

fn window() -> impl Strategy<Value = Window> {
    let over = (1i64..12).prop_map(secs);
    let field = || "n".to_owned();
    let step = |kind: &str| Step { matchers: vec![FieldMatcher::equal("type", text(kind))], condition: None };
    let aggregation = prop::sample::select(vec![
        Aggregation::Sum,
        Aggregation::Avg,
        Aggregation::Min,
        Aggregation::Max,
        Aggregation::Quantile(0.9),
    ]);
    prop_oneof![
        over.clone().prop_map(|over| Window::All { over, field: None }),
        (over.clone(), any_threshold()).prop_map(|(over, threshold)| Window::Count { over, threshold }),
        over.clone().prop_map(|over| Window::Rate { over, threshold: threshold(">", 0.3) }),
        (aggregation, over.clone(), any_threshold()).prop_map(move |(aggregation, over, threshold)| {
            Window::Aggregate { aggregation, field: field(), over, threshold }
        }),
        (over.clone(), any_threshold()).prop_map(move |(over, threshold)| Window::Distinct {
            field: field(),
            over,
            threshold
        }),
        (over.clone(), any_threshold()).prop_map(move |(over, threshold)| Window::Change {
            field: field(),
            over,
            threshold
        }),
        over.clone().prop_map(|duration| Window::Absent { duration, expected: vec![] }),
        (over.clone(), over.clone(), prop::collection::vec(0u8..3, 2..4)).prop_map(move |(within, hold, kinds)| {
            Window::Sequence { steps: kinds.iter().map(|k| step(&format!("k{k}"))).collect(), within, hold }
        }),
        (over, any::<bool>()).prop_map(|(over, up)| Window::Spike {
            over,
            baseline: over + over,
            factor: 2.0,
            minimum: 1.0,
            direction: if up { Direction::Up } else { Direction::Down },
        }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let delay = prop_oneof![4 => Just(0i64), 2 => -2i64..6];
    prop_oneof![
        3 => (0u8..3, 0u8..3, 0i64..4, delay, 0u8..40)
            .prop_map(|(user, kind, number, delay, id)| Action::Push { user, kind, number, delay, id }),
        1 => Just(Action::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_answer_is_that_of_the_definition(
        window in window(),
        grouped in any::<bool>(),
        script in prop::collection::vec((0i64..4, action()), 1..60),
    ) {
        let by = if grouped { vec!["user".to_owned()] } else { Vec::new() };
        let query = EventQuery { by, lateness: LATENESS, ..EventQuery::new(window) };
        let compiled = Arc::new(query.compile().unwrap());
        let memory = compiled.memory();
        let mut windows = EventWindows::new(Arc::clone(&compiled), Timestamp::EPOCH);
        let mut model = Model::default();
        let mut now = Timestamp::EPOCH;
        let mut known = windows.evaluate(now).len();
        for (pause, action) in script {
            // Time alone changes who is a hit only at the deadlines that were announced.
            let target = now + secs(pause);
            while let Some(deadline) = windows.next_deadline().filter(|deadline| *deadline <= target) {
                let early = deadline - Duration::from_millis(1);
                if early > now {
                    prop_assert_eq!(model.answer(&query, early, memory).len(), known, "before {}", deadline);
                }
                now = now.max(deadline);
                known = windows.evaluate(now).len();
                prop_assert_eq!(model.answer(&query, now, memory).len(), known, "at {}", now);
            }
            prop_assert_eq!(model.answer(&query, target, memory).len(), known, "at {}", target);
            now = target;
            if let Action::Push { user, kind, number, delay, id } = action {
                let event = Event {
                    id: format!("{id}"),
                    time: now - secs(delay),
                    kind: format!("k{kind}"),
                    fields: BTreeMap::from([
                        ("user".to_owned(), FieldValue::Int(user.into())),
                        ("n".to_owned(), FieldValue::Int(number)),
                    ]),
                    body: String::new(),
                };
                let before: Vec<_> = model.answer(&query, now, memory);
                let touched = windows.push(&event, now);
                if compiled.matches(&event).unwrap() {
                    model.push(&event, now, &query, memory);
                }
                let after = model.answer(&query, now, memory);
                prop_assert!(touched.changed() || before == after, "a change was not announced");
            }
            let expected = model.answer(&query, now, memory);
            let hits: Vec<_> = windows.evaluate(now).into_iter().map(|hit| (hit.labels, hit.value)).collect();
            known = hits.len();
            prop_assert_eq!(hits, expected, "at {}", now);
        }
    }
}
