//! The cases of Prometheus' alert generator compliance suite, on a virtual clock.
//!
//! The suite itself takes forty minutes (`cargo xtask compliance`); its cases as data say what each alert's state is at
//! each sample, and the suite's specification when Alertmanager has to be told.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Error, Result, bail, ensure};
use serde_json::Value as Json;
use watchfire_alerting::{Dispatch, ReceiverSpec};
use watchfire_config::{Source, load_rules};
use watchfire_model::{Alert, Duration, Labels, Sample, Timestamp};
use watchfire_promql::Value;
use watchfire_scenario::{World, WorldSettings};

use crate::Case;
use crate::support::{Tool, variable};

pub(crate) const CASES: &[Case] = &[
    Case { name: "compliance::alert_generator_cases_hold", needs: &[Tool::Data], run: || cases(Mode::AtTheInterval) },
    Case {
        name: "compliance::alert_generator_cases_hold_sooner_on_arrival",
        needs: &[Tool::Data],
        run: || cases(Mode::OnArrival),
    },
];

const START: Timestamp = Timestamp::from_secs(1_700_000_100);
/// Between two samples.
const STEP: Duration = Duration::from_secs(15);
/// Between two slots.
const SLOT: Duration = Duration::from_secs(30);
/// After more than this an alert is told again.
const RESEND: Duration = Duration::from_mins(1);
/// For so long an end is told.
const RETENTION: Duration = Duration::from_mins(15);
/// Samples between two evaluations.
const SAMPLES_PER_SLOT: i64 = 2;
/// The end, in samples: the longest case and a quarter of an hour more.
const SAMPLES: i64 = 340;

/// When rules are evaluated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As in Prometheus, for which the suite was written: a change may be seen as late as at the next slot.
    AtTheInterval,
    /// A change is seen with the sample that makes it, and a `for` below the interval ends with a sample, too.
    OnArrival,
}

/// What is known of one alert: its state at each evaluation.
struct Expected {
    name: String,
    variant: Option<String>,
    /// State, from which sample, before which sample.
    states: Vec<(String, i64, i64)>,
}

fn cases(mode: Mode) -> Result<()> {
    let folder = variable("WATCHFIRE_TEST_DATA").context("WATCHFIRE_TEST_DATA is not set")?;
    let folder = Path::new(&folder).join("compliance/alert_generator");
    let data: Json = serde_json::from_str(&std::fs::read_to_string(folder.join("CASES.json"))?)?;
    let rules = std::fs::read_to_string(folder.join("rules.yaml"))?;
    let loaded = load_rules(Source { name: "rules.yaml", text: &rules });
    ensure!(loaded.quarantined.is_empty(), "{:?}", loaded.diagnostics);
    let mut settings = WorldSettings { start: START, resend_delay: Some(RESEND), ..WorldSettings::new() };
    settings.on_ingest = mode == Mode::OnArrival;
    settings.engine.arrival_coalesce = Duration::ZERO;
    // Samples that come between the slots show which of the two an evaluation belongs to.
    let shift = if mode == Mode::OnArrival { Duration::from_secs(7) } else { Duration::ZERO };
    let mut world = World::new(settings, None);
    let nobody = ReceiverSpec { name: "none".into(), integrations: Vec::new() };
    world.reload(&[loaded.file], Dispatch::to(nobody));

    let (mut series, mut expected) = (Vec::new(), Vec::new());
    for case in data["cases"].as_array().context("there are no cases")? {
        let group = case["group"].as_str().context("a case has a group")?;
        for (key, notation) in case["samples"].as_object().context("a case has samples")? {
            series.extend(samples(group, key, notation)?);
        }
        expected.extend(alerts(group, case, mode)?);
    }
    ensure!(expected.len() == 8, "{} alerts", expected.len());

    let mut states: Vec<Vec<String>> = vec![Vec::new(); expected.len()];
    for index in 0..SAMPLES {
        let at = START + shift + STEP.times(index);
        world.advance_before(at)?;
        let due = series.iter().filter_map(|(labels, values)| Some((labels, *values.get(index as usize)?)));
        let batch: Vec<_> = due.map(|(labels, value)| (labels.clone(), Sample { timestamp: at, value })).collect();
        ensure!(world.push_samples(&batch).is_empty(), "samples were refused");
        world.advance_to(at)?;
        if mode == Mode::OnArrival || index % SAMPLES_PER_SLOT == 0 {
            for (alert, states) in expected.iter().zip(&mut states) {
                let state = state(&world, alert, at)?;
                // At the interval a change may be seen one evaluation later, and what follows from `ALERTS` too.
                let late = if mode == Mode::OnArrival && !alert.follows_alerts() { 0 } else { SAMPLES_PER_SLOT };
                let allowed: Vec<&str> = (0..=late).map(|late| alert.at(index - late)).collect();
                ensure!(
                    allowed.contains(&state.as_str()),
                    "{} at sample {index}: {state}, not {allowed:?}",
                    alert.name
                );
                states.push(state);
            }
        }
    }
    for (alert, states) in expected.iter().zip(&states) {
        let told: Vec<String> = world.forwarded().iter().filter(|(_, told)| alert.is(told)).map(line).collect();
        if mode == Mode::AtTheInterval {
            let due = due(states);
            ensure!(told == due, "{} {:?}:\n told {told:#?}\n due {due:#?}", alert.name, alert.variant);
        } else {
            let told: Vec<_> = world.forwarded().iter().filter(|(_, told)| alert.is(told)).collect();
            is_told_in_time(alert, &told)?;
        }
    }
    ensure!(world.forwarded().len() > 60, "only {} alerts were sent", world.forwarded().len());
    annotations(&world)
}

/// What holds however often an alert is evaluated: its beginning and its end are told when they come, the end for a
/// quarter of an hour, and what is told comes again after the delay, at the latest with the next slot.
fn is_told_in_time(alert: &Expected, told: &[&(Timestamp, Alert)]) -> Result<()> {
    let name = &alert.name;
    let is_end = |(at, alert): &(Timestamp, Alert)| alert.ends_at.is_some_and(|end| end <= *at);
    for pair in told.windows(2) {
        let [before, after] = pair else { continue };
        let same = before.1.starts_at == after.1.starts_at && is_end(before) == is_end(after);
        let pause = after.0.since(before.0);
        ensure!(!same || pause > RESEND, "{name} came again after {pause}");
        ensure!(!same || pause <= RESEND + SLOT, "{name} came again as late as after {pause}");
    }
    for first in told.iter().enumerate().filter(|(i, one)| *i == 0 || told[i - 1].1.starts_at != one.1.starts_at) {
        let (at, first) = first.1;
        ensure!(*at == first.starts_at, "{name} was told {} after it fired", at.since(first.starts_at));
    }
    let ends: Vec<_> = told.iter().filter(|one| is_end(one)).collect();
    for (at, ended) in &ends {
        let end = ended.ends_at.unwrap_or(*at);
        let first = ends.iter().find(|(_, other)| other.ends_at == Some(end)).context("it is one of them")?;
        ensure!(first.0 == end, "the end of {name} was told {} later", first.0.since(end));
        ensure!(at.since(end) <= RETENTION + SLOT, "the end of {name} was told {} later still", at.since(end));
        let last = ends.iter().rfind(|(_, other)| other.ends_at == Some(end)).context("it is one of them")?;
        let comes_back = told.iter().any(|(_, other)| other.starts_at > end);
        let kept_on = last.0.since(end) >= RETENTION - RESEND - SLOT || comes_back;
        ensure!(kept_on, "the end of {name} was told for {} only", last.0.since(end));
    }
    Ok(())
}

/// `at firing|resolved start-end` in seconds after the start.
fn line((at, alert): &(Timestamp, Alert)) -> String {
    let end = alert.ends_at.unwrap_or(*at);
    let word = if end > *at { "firing" } else { "resolved" };
    let seconds = |time: Timestamp| time.since(START).as_millis() / 1000;
    let word =
        if word == "resolved" || end.since(*at) == Duration::from_mins(4) { word } else { "of another validity" };
    format!("{} {word} since {} until {}", seconds(*at), seconds(alert.starts_at), seconds(end))
}

/// What Alertmanager is to be told, by the suite's specification ("Sending Alerts to Alertmanager").
fn due(states: &[String]) -> Vec<String> {
    const SLOT: i64 = 30;
    let mut told = Vec::new();
    let (mut fired, mut resolved, mut sent): (Option<i64>, Option<i64>, Option<i64>) = (None, None, None);
    for (slot, state) in states.iter().enumerate() {
        let at = slot as i64 * SLOT;
        let again = |sent: Option<i64>| sent.is_none_or(|sent| at - sent > 60);
        match state.as_str() {
            "firing" => {
                if fired.is_none() || resolved.is_some() {
                    (fired, resolved, sent) = (Some(at), None, None);
                }
                if again(sent) {
                    told.push(format!("{at} firing since {} until {}", fired.unwrap_or(at), at + 240));
                    sent = Some(at);
                }
            }
            "pending" => (fired, resolved, sent) = (None, None, None),
            _ => {
                let Some(since) = fired else { continue };
                let first = resolved.is_none();
                let end = *resolved.get_or_insert(at);
                if at - end <= 15 * 60 && (first || again(sent)) {
                    told.push(format!("{at} resolved since {since} until {end}"));
                    sent = Some(at);
                }
            }
        }
    }
    told
}

fn state(world: &World, alert: &Expected, at: Timestamp) -> Result<String> {
    let variant = alert.variant.as_ref().map_or(String::new(), |variant| format!(",variant=\"{variant}\""));
    let query = format!("ALERTS{{alertname=\"{}\"{variant}}}", alert.name);
    let Value::Vector(found) = world.query(&query, at).map_err(Error::msg)?.value else { bail!("ALERTS is a vector") };
    ensure!(found.len() <= 1, "{} has {} states", alert.name, found.len());
    Ok(found.first().map_or("inactive", |one| one.labels.value_or_empty("alertstate")).to_owned())
}

/// The texts that templates made.
fn annotations(world: &World) -> Result<()> {
    let mut texts: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (_, alert) in world.forwarded() {
        for (name, text) in alert.annotations.iter() {
            let all = texts.entry((alert.name(), name)).or_default();
            if all.last() != Some(&text) {
                all.push(text);
            }
        }
    }
    for (alert, name, expected) in [
        (
            "PendingAndFiringAndResolved_SimpleAlert",
            "summary",
            &["The value is 15 15", "The value is 19 19", "The value is 15 15"][..],
        ),
        ("ZeroFor_SmallFor_ZeroFor", "template_test", &["1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC"]),
        (
            "ZeroFor_SmallFor_ZeroFor",
            "template_query_test",
            &[
                "Args are: foo bar 99. first_id:101,101:1,102:2,103:3,",
                "Args are: foo bar 99. first_id:101,101:2,102:4,103:6,",
            ],
        ),
        (
            "ZeroFor_SmallFor_SmallFor",
            "template_test",
            &["This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ."],
        ),
        (
            "NewAlerts_OrderCheck_Rule2",
            "description",
            &["Based on ALERTS. Old alertname was NewAlerts_OrderCheck_Rule1. foo was bar."],
        ),
    ] {
        let found = texts.get(&(alert, name)).cloned().unwrap_or_default();
        ensure!(found == expected, "{alert} {name}: {found:?}");
    }
    Ok(())
}

/// The series of one entry with one value per sample: `V`, or `AxB` for B more values, each A above the one before.
fn samples(group: &str, key: &str, notation: &Json) -> Result<Vec<(Labels, Vec<f64>)>> {
    let values = |factor: f64| -> Result<Vec<f64>> {
        let mut values: Vec<f64> = Vec::new();
        for item in notation.as_array().context("samples are a list")? {
            let item = item.as_str().context("a sample is text")?;
            if let Some((add, times)) = item.split_once('x') {
                let (add, times): (f64, usize) = (add.parse()?, times.parse()?);
                for _ in 0..times {
                    values.push(values.last().context("there is no value before")? + add);
                }
            } else if let Some(times) = item.strip_suffix('i') {
                values.push(factor * times.trim_end_matches('*').parse().unwrap_or(1.0));
            } else {
                values.push(item.parse()?);
            }
        }
        Ok(values)
    };
    let suite = [("__name__", "alert_generator_test_suite"), ("rulegroup", group)];
    if key.starts_with("template series") {
        return ["101", "102", "103"]
            .into_iter()
            .zip([1.0, 2.0, 3.0])
            .map(|(id, factor)| {
                let labels = suite.into_iter().chain([("for", "template"), ("id", id)]);
                Ok((Labels::from_pairs(labels), values(factor)?))
            })
            .collect();
    }
    let (name, variant) = key.split_once(" variant=").map_or((key, None), |(name, variant)| (name, Some(variant)));
    let name = format!("{group}_{name}");
    let labels = suite.into_iter().chain([("alertname", name.as_str())]).chain(variant.map(|v| ("variant", v)));
    Ok(vec![(Labels::from_pairs(labels), values(1.0)?)])
}

/// The alerts of a case with their states.
fn alerts(group: &str, case: &Json, mode: Mode) -> Result<Vec<Expected>> {
    let only = case["samples"].as_object().and_then(|samples| samples.keys().next()).context("a case has samples")?;
    let mut found: Vec<Expected> = Vec::new();
    for state in case["states"].as_array().context("a case has states")? {
        let alert = state["alert"].as_str().unwrap_or(only);
        let (name, variant) = alert.split_once('/').map_or((alert, None), |(name, variant)| (name, Some(variant)));
        let (name, variant) = (format!("{group}_{name}"), variant.map(str::to_owned));
        let word = state["state"].as_str().context("a state has a name")?.to_owned();
        let (from, to) = (sample(&state["from"], mode), sample(&state["to"], mode));
        let segment = (word, from.unwrap_or(0), to.unwrap_or(i64::MAX));
        match found.iter_mut().find(|known| known.name == name && known.variant == variant) {
            Some(known) => known.states.push(segment),
            None => found.push(Expected { name, variant, states: vec![segment] }),
        }
    }
    Ok(found)
}

/// A position: a number, or a text that says that a `for` of one sample ends one evaluation later.
fn sample(position: &Json, mode: Mode) -> Option<i64> {
    let evaluation = if mode == Mode::OnArrival { 1 } else { SAMPLES_PER_SLOT };
    match position.as_str() {
        Some(text) => text.split(' ').next()?.parse::<i64>().ok().map(|from| from + evaluation),
        None => position.as_i64(),
    }
}

impl Expected {
    /// The state at a sample; inactive where nothing is said.
    fn at(&self, index: i64) -> &str {
        let segment = self.states.iter().rev().find(|(_, from, to)| (*from..*to).contains(&index));
        segment.map_or("inactive", |(word, _, _)| word)
    }

    /// Whether its rule reads what another rule of its group wrote about alerts.
    fn follows_alerts(&self) -> bool {
        self.name.ends_with("_Rule2")
    }

    fn is(&self, alert: &Alert) -> bool {
        let variant = alert.labels.get("variant");
        alert.name() == self.name && variant == self.variant.as_deref()
    }
}
