//! One evaluation of one rule, as tables.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use watchfire_events::{EventHit, EventQuery, EventWindows, FieldMatcher, Window};
use watchfire_model::{Duration, Event, FieldValue, Labels, RuleId, Sample, Severity, Timestamp};
use watchfire_plugin::{
    Batch, Condition, Finding, Limits, Outcome as PluginOutcome, Owner, PluginError, PluginUse, State, StateLimits,
};
use watchfire_promql::{Options, Tracked};
use watchfire_rules::{
    Alerting, ConditionUse, EvaluateError, Evaluator, EventSource, ExprSource, Instance, OnError, OpenCondition,
    Outcome, Position, Prepared, Remote, Rule, RuleKind, Series, Source, builtin, evaluate,
};
use watchfire_template::prometheus::RuleTemplate;
use watchfire_tsdb::{SampleValue, Settings, Tsdb};

const AT: Timestamp = Timestamp::from_secs(600);

fn templates(pairs: &[(&str, &str)]) -> Vec<(String, RuleTemplate)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), RuleTemplate::parse("A", text).unwrap())).collect()
}

fn expression(text: &str) -> Source {
    let expr = Arc::new(watchfire_promql::parse(text).unwrap());
    Source::Expr(ExprSource { expr, text: text.to_owned(), position: Position::default() })
}

fn alert(source: Source, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Rule {
    Rule {
        id: RuleId(1),
        position: Position { line: 1, column: 1 },
        name: "A".to_owned(),
        kind: RuleKind::Alerting(Alerting { annotations: templates(annotations), ..Alerting::default() }),
        source,
        condition: None,
        labels: templates(labels),
    }
}

fn recording(name: &str, text: &str, labels: &[(&str, &str)]) -> Rule {
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), RuleTemplate::verbatim(*v))).collect();
    let rule = alert(expression(text), &[], &[]);
    Rule { name: name.to_owned(), kind: RuleKind::Recording, labels, ..rule }
}

/// Two series of `m` and one of `other`, a sample each minute up to the time of the evaluation.
fn store() -> Tsdb {
    let mut db = Tsdb::new(Settings::default());
    for minute in 0..=10 {
        let timestamp = Timestamp::from_secs(minute * 60);
        for (name, host, value) in [("m", "a", 1.0), ("m", "b", 2.0), ("other", "a", 5.0)] {
            let labels = Labels::from_pairs([("__name__", name), ("host", host), ("severity", "from-series")]);
            db.append(&labels, Sample { timestamp, value: value + minute as f64 / 100.0 }).unwrap();
        }
    }
    db
}

/// `labels annotations = value`, one line per instance.
fn shown(outcome: &Result<Outcome, EvaluateError>) -> String {
    match outcome {
        Err(error) => format!("error: {error}"),
        Ok(Outcome::LastAnswer) => "the last answer".to_owned(),
        Ok(Outcome::Samples(samples)) => {
            let line = |(labels, value): &(Labels, SampleValue)| match value {
                SampleValue::Float(value) => format!("{labels} = {value}"),
                SampleValue::Histogram(histogram) => format!("{labels} = {histogram}"),
            };
            samples.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Ok(Outcome::Instances { active, unknown, .. }) => {
            let active = active
                .iter()
                .map(|Instance { labels, annotations, value }| format!("{labels} {annotations:?} = {value}"));
            active.chain(unknown.iter().map(|labels| format!("unknown {labels}"))).collect::<Vec<_>>().join("\n")
        }
    }
}

/// As if a server that has `db` answered the queries, and the engine had no series.
fn through_a_server(rule: &Rule, db: &Tsdb, external: &Labels) -> Result<Outcome, EvaluateError> {
    let (empty, options, mut remote) = (Tsdb::default(), Options::default(), Remote::default());
    loop {
        let mut evaluator = Evaluator {
            remote: Some(&mut remote),
            external_url: "http://w.example/p",
            ..Evaluator::new(&empty, external, &options)
        };
        let outcome = evaluate(rule, AT, &mut evaluator);
        let wanted = remote.take_wanted();
        assert_eq!(outcome == Err(EvaluateError::Unanswered), !wanted.is_empty(), "{outcome:?} {wanted:?}");
        if wanted.is_empty() {
            return outcome;
        }
        for query in wanted {
            let answer = watchfire_promql::parse(&query.text).map_err(|error| error.to_string()).and_then(|expr| {
                watchfire_promql::instant(db, &expr, query.at, &options).map_err(|error| error.to_string())
            });
            remote.answer(query, answer);
        }
    }
}

fn run(rule: &Rule) -> (String, Vec<String>) {
    let (db, external, options) = (store(), Labels::from_pairs([("region", "eu")]), Options::default());
    let prepared = Prepared::new(rule, &options);
    let mut tracked = Tracked::default();
    let mut evaluator = Evaluator {
        prepared: Some(&prepared),
        tracked: Some(&mut tracked),
        external_url: "http://w.example/p",
        ..Evaluator::new(&db, &external, &options)
    };
    let outcome = evaluate(rule, AT, &mut evaluator);
    let warnings = std::mem::take(&mut evaluator.warnings);
    // Without the plan and what it knows the answer is the same.
    let plain = evaluate(
        rule,
        AT,
        &mut Evaluator { external_url: "http://w.example/p", ..Evaluator::new(&db, &external, &options) },
    );
    assert_eq!(shown(&outcome), shown(&plain));
    assert_eq!(shown(&outcome), shown(&through_a_server(rule, &db, &external)), "the same if a server answers");
    (shown(&outcome), warnings)
}

#[test]
fn semantics_03_04_17_labels_and_annotations_come_together_as_in_prometheus() {
    let one = "m{host=\"b\"}";
    for (expr, labels, annotations, expected) in [
        // `__name__` is gone from the labels, but templates have seen it.
        (
            "m > 1.5",
            vec![("metric", "{{ $labels.__name__ }}")],
            vec![("s", "{{ $labels.host }} is {{ $value }}")],
            r#"{alertname="A", host="b", metric="m", severity="from-series"} {"s": "b is 2.1"} = 2.1"#,
        ),
        // The rule's labels overwrite, `alertname` wins over all, and an empty value removes a label.
        (
            one,
            vec![("severity", "page"), ("alertname", "no"), ("host", ""), ("x", "{{ $labels.nosuch }}")],
            vec![],
            r#"{alertname="A", severity="page"} {} = 2.1"#,
        ),
        // Templates see the result's labels and not what the rule makes of them.
        (
            one,
            vec![("host", "other")],
            vec![("h", "{{ .Labels.host }} {{ $externalLabels.region }} {{ $externalURL }} {{ pathPrefix }}")],
            r#"{alertname="A", host="other", severity="from-series"} {"h": "b eu http://w.example/p /p"} = 2.1"#,
        ),
        // A number is one element without labels.
        ("1 + 1", vec![("a", "b")], vec![("v", "{{ $value }}")], r#"{a="b", alertname="A"} {"v": "2"} = 2"#),
        ("vector(0)", vec![], vec![], r#"{alertname="A"} {} = 0"#),
        ("m > 100", vec![], vec![], ""),
        ("\"text\"", vec![], vec![], "error: rule result is not a vector or scalar"),
        // Two elements that become one alert are an error, not a choice.
        (
            "m",
            vec![("host", "")],
            vec![],
            "error: vector contains metrics with the same labelset after applying alert labels",
        ),
        (
            "{host=\"a\"}",
            vec![],
            vec![],
            "error: vector contains metrics with the same labelset after applying alert labels",
        ),
        // Queries in templates run on the same series at the time of the evaluation.
        (
            one,
            vec![],
            vec![(
                "q",
                "{{ range query \"m\" | sortByLabel \"host\" }}{{ .Labels.host }}={{ .Value }} {{ end }}{{ query \"time()\" | first | value }}",
            )],
            r#"{alertname="A", host="b", severity="from-series"} {"q": "a=1.1 b=2.1 600"} = 2.1"#,
        ),
    ] {
        let (got, warnings) = run(&alert(expression(expr), &labels, &annotations));
        assert_eq!(got, expected, "{expr}");
        assert_eq!(warnings, Vec::<String>::new(), "{expr}");
    }
}

#[test]
fn semantics_19_a_template_that_fails_does_not_keep_the_alert_back() {
    let rule = alert(expression("m"), &[], &[("a", "{{ query \"m{\" }}")]);
    let (got, warnings) = run(&rule);
    assert_eq!(got.lines().count(), 2, "{got}");
    assert!(
        got.contains("<error expanding template: error executing template __alert_A: template: __alert_A:1:115: "),
        "{got}"
    );
    assert!(got.contains("error calling query: 1:3: parse error: "), "{got}");
    assert_eq!(warnings.len(), 1, "one warning for both instances: {warnings:?}");
}

#[test]
fn semantics_02_the_query_looks_back_by_the_offset_and_templates_do_not() {
    let (db, external, options) = (store(), Labels::empty(), Options::default());
    let rule = alert(expression("m{host=\"a\"}"), &[], &[("q", "{{ query \"m{host='a'}\" | first | value }}")]);
    let mut evaluator = Evaluator { query_offset: Duration::from_mins(2), ..Evaluator::new(&db, &external, &options) };
    let got = shown(&evaluate(&rule, AT, &mut evaluator));
    assert_eq!(got, r#"{alertname="A", host="a", severity="from-series"} {"q": "1.1"} = 1.08"#);
}

#[test]
fn recording_rules_name_and_label_their_samples() {
    for (name, expr, labels, expected) in [
        (
            "m:x2",
            "m{host=\"a\"} * 2",
            vec![("team", "sre"), ("severity", "")],
            r#"{__name__="m:x2", host="a", team="sre"} = 2.2"#,
        ),
        ("n", "2", vec![("t", "{{ $value }}")], r#"{__name__="n", t="{{ $value }}"} = 2"#),
        (
            "m:x",
            "m",
            vec![("host", "same")],
            "error: vector contains metrics with the same labelset after applying rule labels",
        ),
        ("m:y", "\"text\"", vec![], "error: rule result is not a vector or scalar"),
    ] {
        assert_eq!(run(&recording(name, expr, &labels)).0, expected, "{expr}");
    }
}

/// Answers what it was told to answer.
struct Fixed(Result<PluginOutcome, PluginError>, Vec<Batch>);

impl Condition for Fixed {
    fn evaluate(&mut self, batch: &Batch, _: &mut State) -> Result<PluginOutcome, PluginError> {
        self.1.push(batch.clone());
        self.0.clone()
    }

    fn owner(&self) -> Owner {
        Owner::new(None, "fixed", 1)
    }
}

/// Writes to the series while it computes.
struct Writes(Arc<RwLock<Tsdb>>);

impl Condition for Writes {
    fn evaluate(&mut self, batch: &Batch, _: &mut State) -> Result<PluginOutcome, PluginError> {
        let mut db = self.0.try_write().map_err(|_| PluginError::Trap("the series are locked".to_owned()))?;
        db.append(
            &Labels::from_pairs([("__name__", "seen")]),
            Sample { timestamp: AT, value: batch.series.len() as f64 },
        )
        .map_err(|error| PluginError::Trap(error.to_string()))?;
        Ok(PluginOutcome { findings: vec![finding(0, Severity::Critical, 1.0)], unknown: Vec::new() })
    }

    fn owner(&self) -> Owner {
        Owner::new(None, "writes", 1)
    }
}

#[test]
fn nothing_waits_for_a_condition_to_write_series() {
    let (db, external, options) = (Arc::new(RwLock::new(store())), Labels::empty(), Options::default());
    let mut state = State::new(StateLimits::STANDARD, BTreeMap::new());
    let mut condition = Writes(Arc::clone(&db));
    let mut evaluator = Evaluator {
        condition: Some(OpenCondition { condition: &mut condition, state: &mut state }),
        ..Evaluator::new(Series::Shared(&db), &external, &options)
    };
    let text = "{{ with query \"seen\" }}{{ . | first | value }} seen{{ end }}";
    let rule = with_condition(alert(expression("sum by (host) (m)"), &[], &[("s", text)]));
    let got = shown(&evaluate(&rule, AT, &mut evaluator));
    assert!(got.contains(r#""s": "2 seen""#), "{got}");
}

/// What conditions in Rust remember is kept apart as that of components is; the built-in one goes on with its twin's.
#[test]
fn a_native_condition_finds_nothing_of_another_ones() {
    let (db, external, options) = (store(), Labels::empty(), Options::default());
    let rule = with_condition(alert(expression("sum by (host) (m)"), &[], &[]));
    let limits = StateLimits { total_bytes_max: 600, ..StateLimits::STANDARD };
    let mut state = State::new(limits, BTreeMap::new());
    let keys = |state: &State| state.entries().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
    for (owner, bytes, remains) in [
        (Owner::new(Some("other"), "other", 1), 590, false),
        (Owner::new(None, "other", 1), 590, false),
        (Owner::new(Some(builtin::EWMA_ANOMALY), builtin::EWMA_ANOMALY, 1), 190, true),
    ] {
        state.lend(&owner, |state| state.set("all", vec![0; bytes])).unwrap();
        state.commit();
        let mut condition = builtin::EwmaAnomaly::open("{}").unwrap();
        let mut evaluator = Evaluator {
            condition: Some(OpenCondition { condition: &mut condition, state: &mut state }),
            ..Evaluator::new(&db, &external, &options)
        };
        evaluate(&rule, AT, &mut evaluator).unwrap();
        state.commit();
        let kept = keys(&state);
        assert_eq!(kept.contains(&"all".to_owned()), remains, "{owner:?}: {kept:?}");
        // It is signed: the next one does not find it either.
        let found = state.lend(&Owner::new(None, "next", 1), |state| Ok::<_, ()>(keys(state)));
        assert_eq!(found, Ok(vec![]), "{owner:?}");
        state.clear();
    }
}

fn finding(series: u32, severity: Severity, value: f64) -> Finding {
    Finding { series, severity, value, summary: format!("series {series} is odd") }
}

fn run_condition(rule: &Rule, hits: Option<Vec<EventHit>>, condition: &mut Fixed) -> String {
    let (db, external, options) = (store(), Labels::empty(), Options::default());
    let mut state = State::new(StateLimits::STANDARD, BTreeMap::new());
    let mut evaluator = Evaluator {
        hits,
        condition: Some(OpenCondition { condition, state: &mut state }),
        ..Evaluator::new(&db, &external, &options)
    };
    shown(&evaluate(rule, AT, &mut evaluator))
}

fn with_condition(rule: Rule) -> Rule {
    with_on_error(rule, OnError::Unknown)
}

fn with_on_error(rule: Rule, on_error: OnError) -> Rule {
    let usage = PluginUse { plugin: "odd".to_owned(), config_json: "{}".to_owned() };
    Rule { condition: Some(ConditionUse { usage, on_error, limits: Limits::UNLIMITED }), ..rule }
}

#[test]
fn a_failing_condition_comes_to_what_the_rule_says() {
    let failure = Err(PluginError::Timeout { limit_ms: 5 });
    for (on_error, expected) in [
        (OnError::Unknown, "error: condition odd: the plugin was stopped after 5 ms"),
        (OnError::Keep, "the last answer"),
        (
            OnError::Fire,
            "{alertname=\"A\", host=\"a\", severity=\"page\"} {\"finding\": \"the condition odd failed: the plugin was stopped \
             after 5 ms\"} = 1.1\n{alertname=\"A\", host=\"b\", severity=\"page\"} {\"finding\": \"the condition odd failed: the \
             plugin was stopped after 5 ms\"} = 2.1",
        ),
    ] {
        let rule = with_on_error(alert(expression("sum by (host) (m)"), &[("severity", "page")], &[]), on_error);
        assert_eq!(run_condition(&rule, None, &mut Fixed(failure.clone(), Vec::new())), expected, "{on_error:?}");
    }
    let stand_in = |on_error, error: PluginError| {
        let rule = with_on_error(alert(expression("m"), &[], &[]), on_error);
        rule.condition.unwrap().stand_in(&error)
    };
    let late = || PluginError::Timeout { limit_ms: 5 };
    assert_eq!(stand_in(OnError::Unknown, late()), None);
    let keeps =
        "the condition odd failed, what it found last counts (`on_error: keep`): the plugin was stopped after 5 ms";
    assert_eq!(stand_in(OnError::Keep, late()).as_deref(), Some(keeps));
    let fires = "the condition odd failed, so every series fires (`on_error: fire`): the plugin was stopped after 5 ms";
    assert_eq!(stand_in(OnError::Fire, late()).as_deref(), Some(fires));
    let waits = stand_in(OnError::Fire, PluginError::Compiling("it is being compiled".to_owned())).unwrap();
    assert!(waits.starts_with("the condition odd cannot answer yet, what it found last counts: "), "{waits}");
    // What is only being compiled has not failed; what is left alone because it kept failing has.
    let rule = with_on_error(alert(expression("m"), &[("severity", "page")], &[]), OnError::Fire);
    let answer = |error: PluginError| run_condition(&rule, None, &mut Fixed(Err(error), Vec::new()));
    assert_eq!(answer(PluginError::Compiling("it is being compiled".to_owned())), "the last answer");
    assert!(answer(PluginError::Suspended("it kept failing".to_owned())).contains("it kept failing"));
}

#[test]
fn findings_become_instances_and_unknown_series_keep_theirs() {
    let unlabelled = "sum by (host) (m)";
    let outcome = PluginOutcome { findings: vec![finding(1, Severity::Critical, 7.5)], unknown: vec![0] };
    // The rule says no severity, so the plugin does; any severity may be the one under which the unknown series fires.
    let rule = with_condition(alert(expression(unlabelled), &[], &[("s", "{{ $labels.host }} scores {{ $value }}")]));
    let got = run_condition(&rule, None, &mut Fixed(Ok(outcome.clone()), Vec::new()));
    let expected = [
        r#"{alertname="A", host="b", severity="critical"} {"finding": "series 1 is odd", "s": "b scores 7.5"} = 7.5"#,
        r#"unknown {alertname="A", host="a", severity="info"}"#,
        r#"unknown {alertname="A", host="a", severity="warning"}"#,
        r#"unknown {alertname="A", host="a", severity="error"}"#,
        r#"unknown {alertname="A", host="a", severity="critical"}"#,
    ];
    assert_eq!(got, expected.join("\n"));
    // With a severity of the rule or of the series there is only one.
    for (expr, labels, severity) in [(unlabelled, vec![("severity", "page")], "page"), ("m", vec![], "from-series")] {
        let rule = with_condition(alert(expression(expr), &labels, &[("finding", "own")]));
        let got = run_condition(&rule, None, &mut Fixed(Ok(outcome.clone()), Vec::new()));
        let expected = format!(
            "{{alertname=\"A\", host=\"b\", severity=\"{severity}\"}} {{\"finding\": \"own\"}} = 7.5\n\
             unknown {{alertname=\"A\", host=\"a\", severity=\"{severity}\"}}"
        );
        assert_eq!(got, expected, "{expr}");
    }
}

#[test]
fn a_condition_gets_one_row_per_series_and_is_held_to_its_contract() {
    let rule = with_condition(alert(expression("m"), &[], &[]));
    let mut condition = Fixed(Ok(PluginOutcome::default()), Vec::new());
    assert_eq!(run_condition(&rule, None, &mut condition), "");
    let batch = &condition.1[0];
    assert_eq!((batch.at, &batch.offsets, &*batch.values), (AT, &vec![0, 1, 2], &vec![1.1, 2.1]));
    assert_eq!(batch.series[0].metric_name(), Some("m"));
    let twice = PluginOutcome { findings: vec![finding(0, Severity::Info, 1.0)], unknown: vec![0] };
    for (answer, expected) in [
        (Err(PluginError::Trap("unreachable".to_owned())), "error: condition odd: the plugin trapped: unreachable"),
        (
            Ok(PluginOutcome { findings: vec![finding(2, Severity::Info, 1.0)], unknown: vec![] }),
            "error: condition odd: the plugin broke the contract: it names series 2, the batch has 2",
        ),
        (Ok(twice), "error: condition odd: the plugin broke the contract: it names series 0 twice"),
    ] {
        assert_eq!(run_condition(&rule, None, &mut Fixed(answer, Vec::new())), expected);
    }
}

fn event(secs: i64, user: &str, size: i64) -> Event {
    let fields = [("user", FieldValue::Text(user.to_owned())), ("size", FieldValue::Int(size))];
    Event {
        id: String::new(),
        time: Timestamp::from_secs(secs),
        kind: "upload".to_owned(),
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: String::new(),
    }
}

fn event_rule(window: Window) -> (Rule, EventWindows) {
    let query = EventQuery {
        matchers: vec![FieldMatcher::equal("type", FieldValue::Text("upload".to_owned()))],
        by: vec!["user".to_owned()],
        ..EventQuery::new(window)
    };
    let query = Arc::new(query.compile().unwrap());
    let source = Source::Events(EventSource { query: Arc::clone(&query), text: "events".to_owned() });
    let mut windows = EventWindows::new(query, Timestamp::EPOCH);
    for (secs, user, size) in [(500, "ann", 3), (550, "bob", 5), (560, "ann", 7)] {
        let event = event(secs, user, size);
        assert_ne!(windows.push(&event, event.time), watchfire_events::Touched::Unmatched);
    }
    (alert(source, &[("team", "{{ $labels.user }}-team")], &[("n", "{{ $value }} from {{ $labels.user }}")]), windows)
}

#[test]
fn event_rules_fire_by_their_windows_or_by_a_condition_over_them() {
    let threshold = watchfire_events::Threshold { op: watchfire_events::CompareOp::GreaterOrEqual, value: 2.0 };
    let (rule, mut windows) = event_rule(Window::Count { over: Duration::from_mins(5), threshold });
    let (db, external, options) = (store(), Labels::empty(), Options::default());
    let mut evaluator = Evaluator { hits: Some(windows.evaluate(AT)), ..Evaluator::new(&db, &external, &options) };
    let expected = r#"{alertname="A", team="ann-team", user="ann"} {"n": "2 from ann"} = 2"#;
    assert_eq!(shown(&evaluate(&rule, AT, &mut evaluator)), expected);
    let missing = evaluate(&rule, AT, &mut Evaluator::new(&db, &external, &options));
    assert_eq!(shown(&missing), "error: the rule needs what its event windows answer, which is not there");

    let (rule, mut windows) = event_rule(Window::All { over: Duration::from_mins(5), field: Some("size".to_owned()) });
    let outcome = PluginOutcome { findings: vec![finding(1, Severity::Warning, 5.0)], unknown: vec![] };
    let mut condition = Fixed(Ok(outcome), Vec::new());
    let got = run_condition(&with_condition(rule), Some(windows.evaluate(AT)), &mut condition);
    let expected = r#"{alertname="A", severity="warning", team="bob-team", user="bob"} {"finding": "series 1 is odd", "n": "5 from bob"} = 5"#;
    assert_eq!(got, expected);
    let batch = &condition.1[0];
    assert_eq!((&batch.offsets, &*batch.values), (&vec![0, 2, 3], &vec![3.0, 7.0, 5.0]));
    assert_eq!(batch.timestamps, [500_000, 560_000, 550_000]);
    assert_eq!(batch.events.iter().map(|e| e.time.as_millis()).collect::<Vec<_>>(), batch.timestamps);
}
