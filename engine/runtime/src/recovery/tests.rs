//! A machine that dies at any byte: what was acknowledged comes back, or a warning says what did not.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;
use watchfire_events::{CompareOp, EventQuery, Threshold, Window};
use watchfire_model::{Event, Labels, Sample};
use watchfire_store::log::{Entry, LogSettings, Position, SyncPolicy};
use watchfire_tsdb::{BucketCount, Histogram, Point, SampleValue};

use super::*;

/// What happens before the machine dies.
#[derive(Clone, Debug)]
enum Step {
    /// These series get a sample each, in one request.
    Samples(Vec<u8>),
    Snapshot,
    /// The process is killed and starts again.
    Restart,
}

/// What the death does to the files.
#[derive(Clone, Debug)]
enum Damage {
    None,
    /// The newest segment ends here.
    CutLog(prop::sample::Index),
    /// A byte of the newest segment is another.
    FlipLog(prop::sample::Index),
    /// The newest snapshot ends here.
    CutSnapshot(prop::sample::Index),
    /// A byte of the newest snapshot is another.
    FlipSnapshot(prop::sample::Index),
    /// The newest snapshot was still being written.
    UnfinishedSnapshot(prop::sample::Index),
}

type Held = BTreeMap<Labels, Vec<Point>>;

struct Machine {
    dir: TempDir,
    data: Option<Arc<Data>>,
    recovered: Recovered,
    /// Bytes that opening the log cut off.
    cut_bytes: u64,
    clock: i64,
    /// The time at the next start, if it matters.
    now: Option<Timestamp>,
    /// The event rules at the next start.
    queries: BTreeMap<RuleId, Arc<CompiledQuery>>,
    /// Every acknowledged request with the end of the log behind it.
    acknowledged: Vec<(Position, Vec<(Labels, Point)>)>,
    /// Where snapshots begin.
    snapshots: Vec<Position>,
}

impl Machine {
    fn new() -> Machine {
        let mut machine = Machine {
            dir: TempDir::new().unwrap(),
            data: None,
            recovered: Recovered::default(),
            cut_bytes: 0,
            clock: 0,
            now: None,
            queries: BTreeMap::new(),
            acknowledged: Vec::new(),
            snapshots: Vec::new(),
        };
        machine.start();
        machine
    }

    fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn start(&mut self) {
        let open = |name: &str| {
            let settings = LogSettings::new(self.dir.path().join(name));
            Log::open(LogSettings { segment_bytes: 300, sync: SyncPolicy::Never, ..settings }).unwrap()
        };
        let ((log, opened), (events, _)) = (open("log"), open("events"));
        self.cut_bytes = opened.cut_bytes;
        let metrics = Arc::new(Metrics::new());
        let (settings, limits) = (Settings::default(), Limits::STANDARD);
        let reach = Timestamp::EPOCH..self.now.unwrap_or(Timestamp::MAX);
        let recovered = recover(log, events, settings, limits, &self.queries, reach, &metrics);
        let (data, recovered) = recovered.unwrap();
        (self.data, self.recovered) = (Some(data), recovered);
    }

    fn data(&self) -> &Data {
        self.data.as_deref().expect("it runs")
    }

    fn take(&mut self, step: &Step) {
        self.clock += 1000;
        let at = Timestamp::from_millis(self.clock);
        match step {
            Step::Samples(numbers) => {
                let points: Vec<_> = numbers.iter().map(|number| (labels(*number), point(*number, at))).collect();
                let entry = Entry::Samples(points.iter().map(|(l, p)| (l.clone(), vec![p.clone()])).collect());
                self.data().accept(&[entry], at).unwrap();
                let end = lock(&self.data().writer).log.end();
                self.acknowledged.push((end, points));
            }
            Step::Snapshot => {
                let end = lock(&self.data().writer).log.end();
                self.snapshots.push(end);
                self.data().snapshot(at).unwrap();
            }
            Step::Restart => {
                self.data = None;
                self.start();
                assert_eq!(self.recovered.warnings, [""; 0]);
            }
        }
    }

    fn held(&self) -> Held {
        self.data()
            .with_tsdb(|tsdb| tsdb.all_series().map(|s| (s.labels().clone(), s.samples().iter().collect())).collect())
    }

    /// What the first requests brought, so many of them.
    fn brought(&self, requests: usize) -> Held {
        let mut held = Held::new();
        for (labels, point) in self.acknowledged[..requests].iter().flat_map(|(_, points)| points) {
            let points = held.entry(labels.clone()).or_default();
            // The same series may come twice in a request.
            if points.last() != Some(point) {
                points.push(point.clone());
            }
        }
        held
    }
}

fn labels(number: u8) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), format!("series_{}", number % 7)),
        ("n".to_owned(), number.to_string()),
    ])
}

/// Every third series is a native histogram.
fn point(number: u8, at: Timestamp) -> Point {
    let value = at.as_secs_f64() / f64::from(number % 4 + 1);
    if !number.is_multiple_of(3) {
        return Point::from(Sample { timestamp: at, value });
    }
    let positive = vec![BucketCount { index: 3, count: value }];
    let histogram = Histogram { count: value, sum: 1.5 * value, positive, ..Histogram::default() };
    Point { timestamp: at, start: Some(Timestamp::EPOCH), value: SampleValue::Histogram(Arc::new(histogram)) }
}

#[test]
fn while_the_log_cannot_be_written_nothing_is_acknowledged_and_rules_go_on() {
    let mut machine = Machine::new();
    machine.take(&Step::Samples(vec![1, 2]));
    let before = machine.held();
    // Without its directory the log cannot begin a segment, as on a full disk.
    let (log, away) = (machine.log_dir(), machine.dir.path().join("away"));
    fs::rename(&log, &away).unwrap();
    let at = Timestamp::from_millis(10_000);
    let long = |name: &str| {
        // More samples than a segment holds, so that another one has to begin.
        let times = (0..200).map(|n| Timestamp::from_millis(10_000 + n));
        let points = times.map(|timestamp| Point::from(Sample { timestamp, value: 1.0 })).collect::<Vec<_>>();
        (Labels::from_pairs([("__name__", name)]), points)
    };
    let data = Arc::clone(machine.data.as_ref().unwrap());
    for _ in 0..3 {
        data.accept(&[Entry::Samples(vec![long("refused")])], at).unwrap_err();
    }
    assert_eq!(machine.held(), before);
    assert!(data.health.failure().unwrap().contains("cannot make a segment"));
    assert_eq!((data.metrics.log_failures.get(), data.metrics.log_failing.get()), (3, 1));
    // What rules find is still stored.
    let (labels, points) = long("recorded");
    data.append_derived(&[(labels.clone(), points[0].clone())], at);
    assert_eq!(machine.held()[&labels], points[..1]);

    fs::rename(&away, &log).unwrap();
    data.accept(&[Entry::Samples(vec![long("taken")])], at).unwrap();
    assert_eq!((data.health.failure(), data.metrics.log_failing.get()), (None, 0));
    drop(data);
    machine.take(&Step::Restart);
    let held = machine.held();
    assert!(before.iter().all(|(labels, points)| held[labels] == *points));
    assert_eq!(held[&long("taken").0], long("taken").1);
}

fn login(time: Timestamp) -> Event {
    let (id, kind, body) = (String::new(), "login".to_owned(), String::new());
    Event { id, time, kind, fields: BTreeMap::new(), body }
}

#[test]
fn what_the_log_cannot_take_in_one_piece_costs_no_other_request() {
    let machine = Machine::new();
    let data = Arc::clone(machine.data.as_ref().unwrap());
    let at = Timestamp::from_millis(10_000);
    let event = |body: String| {
        Entry::Events(vec![Event {
            id: String::new(),
            time: at,
            kind: String::new(),
            fields: Default::default(),
            body,
        }])
    };
    let entries = [event("a".to_owned()), event("x".repeat((64 << 20) + 1)), event("b".to_owned())];
    let (answers, _) = data.accept(&entries, at).unwrap();
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, true]);
    let refused = answers[1].as_ref().unwrap_err();
    assert!(matches!(refused, crate::PushError::TooLarge(_)), "{refused}");
    assert!(refused.to_string().ends_with("the limit is 67108864; send less at a time"), "{refused}");
    assert_eq!((data.health.failure(), data.metrics.log_failures.get()), (None, 0));
}

#[test]
fn a_reload_leaves_windows_whose_query_asks_the_same_and_fills_the_others_from_the_log() {
    let machine = Machine::new();
    let (data, rule) = (machine.data(), RuleId(1));
    let query = |at_least: f64, events_max: usize| {
        let threshold = Threshold { op: CompareOp::GreaterOrEqual, value: at_least };
        let mut query = EventQuery::new(Window::Count { over: Duration::from_mins(10), threshold });
        query.limits.events_max = events_max;
        Arc::new(query.compile().unwrap())
    };
    let at = |seconds: i64| Timestamp::from_secs(1_000 + seconds);
    let push = |seconds: i64| {
        data.accept(&[Entry::Events(vec![login(at(seconds))])], at(seconds)).unwrap();
    };
    let reload = |query: &Arc<CompiledQuery>, now: Timestamp, meanwhile: &dyn Fn()| {
        let queries = BTreeMap::from([(rule, Arc::clone(query))]);
        let refill = data.refill(&queries, Timestamp::EPOCH, now).unwrap();
        meanwhile();
        data.set_rules(&[], queries, refill, false, now);
    };
    let counted = |now: Timestamp| {
        let windows = data.windows(rule).unwrap();
        let hits = lock(&windows).evaluate(now);
        (hits.first().map(|hit| hit.value), lock(&windows).query().query().limits.events_max)
    };
    push(0);
    push(1);
    // A rule that is new knows what came before it, and what comes while it is read.
    reload(&query(2.0, 100), at(2), &|| push(2));
    assert_eq!(counted(at(3)), (Some(3.0), 100));
    // Other bounds hold for what comes, and change nothing else.
    reload(&query(2.0, 4), at(4), &|| {});
    push(5);
    push(6);
    assert_eq!(counted(at(7)), (Some(4.0), 4));
    reload(&query(4.0, 50), at(8), &|| push(9));
    assert_eq!(counted(at(10)), (Some(6.0), 50));
}

#[test]
fn a_clock_that_was_ahead_spoils_no_windows_neither_now_nor_after_a_restart() {
    let mut machine = Machine::new();
    let threshold = Threshold { op: CompareOp::GreaterOrEqual, value: 1.0 };
    let query = EventQuery::new(Window::Count { over: Duration::from_mins(10), threshold }).compile();
    let (rule, at) = (RuleId(1), Timestamp::from_secs);
    machine.queries = BTreeMap::from([(rule, Arc::new(query.unwrap()))]);
    machine.now = Some(at(100));
    machine.take(&Step::Restart);
    let counted = |machine: &Machine, now: Timestamp| {
        let windows = machine.data().windows(rule).unwrap();
        lock(&windows).evaluate(now).first().map(|hit| hit.value)
    };
    let push = |machine: &Machine, now: Timestamp| {
        machine.data().accept(&[Entry::Events(vec![login(now)])], now).unwrap();
    };
    push(&machine, at(100));
    push(&machine, at(50_000));
    // An engine that starts before anything else comes.
    machine.now = Some(at(110));
    machine.take(&Step::Restart);
    assert_eq!(counted(&machine, at(111)), Some(2.0));
    push(&machine, at(120));
    push(&machine, at(60_000));
    assert_eq!(counted(&machine, at(60_000)), Some(1.0));
    // One that goes on.
    push(&machine, at(130));
    assert_eq!(counted(&machine, at(131)), Some(2.0));
    assert_eq!(machine.data().pass_time(at(731)).0, [rule]);
    assert_eq!(counted(&machine, at(731)), None);
}

/// The last file of this sort.
fn newest(dir: &Path, extension: &str) -> Option<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|item| item.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).max()
}

fn cut(path: &Path, at: prop::sample::Index) -> u64 {
    let bytes = fs::read(path).unwrap();
    let length = at.index(bytes.len());
    fs::write(path, &bytes[..length]).unwrap();
    length as u64
}

fn flip(path: &Path, at: prop::sample::Index) {
    let mut bytes = fs::read(path).unwrap();
    // The first bytes say what the file is, and a log that is of another version is no damage.
    let at = 16 + at.index((bytes.len() - 16).max(1));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 0x10;
        fs::write(path, bytes).unwrap();
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(0_u8..20, 0..5).prop_map(Step::Samples),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
    ]
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        Just(Damage::None),
        index().prop_map(Damage::CutLog),
        index().prop_map(Damage::FlipLog),
        index().prop_map(Damage::CutSnapshot),
        index().prop_map(Damage::FlipSnapshot),
        index().prop_map(Damage::UnfinishedSnapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_acknowledged_comes_back(
        steps in prop::collection::vec(any_step(), 1..40),
        damage in any_damage(),
    ) {
        let mut machine = Machine::new();
        steps.iter().for_each(|step| machine.take(step));
        let all = machine.brought(machine.acknowledged.len());
        prop_assert_eq!(&machine.held(), &all);
        machine.data = None;

        let dir = machine.log_dir();
        let snapshot = newest(&dir, "wsnap");
        let segment = newest(&dir, "wlog").expect("there is always one");
        let mut expected = Some(all.clone());
        let mut is_told = false;
        match (&damage, &snapshot) {
            (Damage::CutLog(at), _) => {
                // What ended a segment stands before the header of the next one.
                let offset = cut(&segment, *at).max(16);
                let number = segment.file_stem().and_then(|stem| stem.to_str()).unwrap().parse().unwrap();
                let end = Position { segment: number, offset };
                // A snapshot may hold what the log has lost.
                let end = machine.snapshots.iter().copied().chain([end]).max().unwrap();
                let kept = machine.acknowledged.iter().take_while(|(position, _)| *position <= end).count();
                expected = Some(machine.brought(kept));
            }
            (Damage::FlipLog(at), _) => {
                flip(&segment, *at);
                expected = None;
            }
            (Damage::CutSnapshot(at), Some(snapshot)) => {
                cut(snapshot, *at);
                is_told = true;
            }
            (Damage::FlipSnapshot(at), Some(snapshot)) => {
                let before = fs::read(snapshot).unwrap();
                flip(snapshot, *at);
                is_told = before != fs::read(snapshot).unwrap();
            }
            (Damage::UnfinishedSnapshot(at), Some(snapshot)) => {
                cut(snapshot, *at);
                fs::rename(snapshot, snapshot.with_extension("wsnap.part")).unwrap();
            }
            (Damage::None, _) | (_, None) => {}
        }
        machine.start();
        let held = machine.held();
        match expected {
            Some(expected) => {
                prop_assert_eq!(&held, &expected);
                prop_assert_eq!(!machine.recovered.warnings.is_empty(), is_told, "{:?}", machine.recovered.warnings);
            }
            None => {
                let told = !machine.recovered.warnings.is_empty() || machine.cut_bytes > 0;
                prop_assert!(held == all || told, "something is missing and nothing is said");
                for (labels, points) in &held {
                    prop_assert!(points.iter().all(|point| all[labels].contains(point)));
                }
            }
        }
        // And it goes on.
        machine.take(&Step::Samples(vec![1]));
        machine.take(&Step::Snapshot);
        let held = machine.held();
        machine.data = None;
        machine.start();
        prop_assert_eq!(machine.held(), held);
        let files = fs::read_dir(&dir).unwrap().count();
        prop_assert!(files <= 8 + steps.len(), "{} files", files);
    }
}
