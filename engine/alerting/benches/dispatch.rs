//! What the state machine costs with 50,000 alerts in 5,000 groups, 500 routes, 100 silences and 1,000 inhibition rules:
//! `cargo bench -p watchfire-alerting`.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_alerting::{
    Definitions, DeliveryOutcome, Dispatch, Engine, GroupBy, InhibitRule, InhibitSource, Input, IntegrationSpec,
    Output, ReceiverSpec, Record, RecordKey, Settings, SettingsDigest, SilenceDraft,
};
use watchfire_model::{Alert, Duration, Labels, Matcher, Timestamp};

const ALERTS: usize = 50_000;
const GROUPS: usize = 5_000;
const ROUTES: usize = 500;
const START: Timestamp = Timestamp::from_secs(1_767_571_200);

fn definitions() -> Arc<Definitions> {
    let webhook = IntegrationSpec {
        kind: "webhook".into(),
        send_resolved: true,
        takes_acknowledgements: false,
        settings: SettingsDigest::default(),
    };
    let mut dispatch = Dispatch::to(ReceiverSpec { name: "ops".into(), integrations: vec![webhook] });
    dispatch.route.group_by = GroupBy::Labels(["team", "service"].map(str::to_owned).into());
    let root = dispatch.route.clone();
    let route = |team| root.child(vec![Matcher::equal("team", format!("team-{team}"))]);
    dispatch.route.routes = (0..ROUTES).map(route).collect();
    let inhibition = |number: usize| InhibitRule {
        name: None,
        sources: vec![InhibitSource {
            matchers: vec![Matcher::equal("alertname", format!("Down{number}"))],
            equal: vec!["cluster".to_owned()],
        }],
        target_matchers: vec![Matcher::equal("severity", "warning")],
    };
    dispatch.inhibit_rules = (0..1_000).map(inhibition).collect();
    Arc::new(Definitions { groups: vec![], dispatch, resend_delay: None })
}

fn alert(number: usize, now: Timestamp) -> Alert {
    let group = number % GROUPS;
    let annotations = [("summary", "the checkout fails for 12.5% of its users"), ("runbook_url", "https://runbooks/x")];
    Alert {
        labels: Labels::from_pairs([
            ("alertname", "HighErrorRate".to_owned()),
            ("cluster", "eu-west-1-production".to_owned()),
            ("instance", format!("10.0.{}.{}:8080", number / 250, number % 250)),
            ("service", format!("service-{group}")),
            ("severity", "warning".to_owned()),
            ("team", format!("team-{}", group % ROUTES)),
        ]),
        annotations: annotations.into(),
        starts_at: now,
        ends_at: Some(now + Duration::from_hours(10)),
        updated_at: now,
        timeout: false,
        generator_url: "http://prometheus/graph?g0.expr=up".into(),
        value: None,
    }
}

/// An engine whose notifications are delivered at once, and what it keeps.
struct Bench {
    engine: Engine,
    now: Timestamp,
    committed: BTreeMap<RecordKey, Record>,
    /// Whether it is kept, which costs memory that is not the engine's.
    keeps: bool,
    notifications: usize,
}

impl Bench {
    fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.engine.handle(self.now, input);
            let (mut answers, mut confirm) = (Vec::new(), false);
            while let Some(output) = self.engine.poll_output() {
                match output {
                    Output::Persist(record) => match *record {
                        Record::Deleted(key) => drop(self.committed.remove(&key)),
                        record if self.keeps => drop(self.committed.insert(record.key(), record)),
                        _ => {}
                    },
                    Output::Confirm => confirm = true,
                    Output::Deliver(delivery) => answers.push((delivery.id, delivery.attempt)),
                    _ => {}
                }
            }
            self.notifications += answers.len();
            for (id, attempt) in answers {
                let outcome = DeliveryOutcome::Delivered { receipt: String::new() };
                self.engine.handle(self.now, Input::Delivered { id, attempt, outcome, stand_in: None });
            }
            if confirm {
                next = Some(Input::Confirmed);
            } else if self.engine.poll_output().is_some() {
                next = Some(Input::Tick);
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.handle(Input::Tick);
        }
        self.now = until;
    }
}

/// The memory of this process in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1_024
}

/// The processor time of this process in seconds, to a hundredth: other programs do not change it.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn microseconds_each(since: f64, count: usize) -> f64 {
    (processor() - since) * 1e6 / count as f64
}

/// Everything that happens before it is quiet.
fn storm(keeps: bool) -> Bench {
    let engine = Engine::new(Settings::default());
    let mut bench = Bench { engine, now: START, committed: BTreeMap::new(), keeps, notifications: 0 };
    bench.handle(Input::Restore(vec![]));
    bench.handle(Input::Reload(definitions()));
    for number in 0..100 {
        let draft = SilenceDraft {
            annotations: BTreeMap::new(),
            id: None,
            matcher_sets: vec![vec![Matcher::equal("service", format!("service-x{number}"))]],
            starts_at: START,
            ends_at: START + Duration::from_hours(100),
            recurrence: None,
            created_by: "bench".to_owned(),
            comment: String::new(),
        };
        bench.engine.set_silence(START, draft).unwrap();
    }
    bench.handle(Input::Tick);
    for what in ["new", "sent again"] {
        let since = processor();
        for first in (0..ALERTS).step_by(500) {
            bench.handle(Input::Alerts((first..first + 500).map(|number| alert(number, START)).collect()));
        }
        println!("alerts {what}, made here included: {:.1} us each", microseconds_each(since, ALERTS));
    }
    let since = processor();
    bench.pass(Duration::from_mins(6));
    println!(
        "{} notifications of ten: {:.1} us each",
        bench.notifications,
        microseconds_each(since, bench.notifications)
    );
    bench
}

fn main() {
    let before = memory();
    let mut bench = storm(false);
    println!("memory: {} B per alert, history included", (memory() - before) / ALERTS);
    let (span, since) = (Duration::from_hours(5), processor());
    bench.pass(span);
    let share = (processor() - since) / (span.as_millis() as f64 / 1e3) * 100.0;
    println!("idle, repeats included: {share:.3} % of a core over {span}");
    let records: Vec<Record> = storm(true).committed.into_values().collect();
    let (count, since) = (records.len(), processor());
    let mut engine = Engine::new(Settings::default());
    engine.handle(START + Duration::from_hours(1), Input::Restore(records));
    engine.handle(START + Duration::from_hours(1), Input::Reload(definitions()));
    while engine.poll_output().is_some() {}
    println!("{count} records taken up at a start in {:.2} s", processor() - since);
}
