//! What goes on while a plugin computes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use watchfire_config::{FixedEnvironment, Source, load_config, load_rules};
use watchfire_model::{Alert, Annotations, Event, Labels, Sample, Timestamp};
use watchfire_plugin::{
    AlertView, Batch, Condition, Decision, Descriptor, Formatter, Kind, Outcome, Owner, PluginError, Provider, Router,
    State,
};

use crate::Watchfire;
use crate::data::lock;

/// A condition that says that it was called, and answers when it is told to.
#[derive(Clone)]
struct Patient {
    called: UnboundedSender<()>,
    told: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Condition for Patient {
    fn evaluate(&mut self, batch: &Batch, _: &mut State) -> Result<Outcome, PluginError> {
        if !batch.series.is_empty() {
            self.called.send(()).expect("the test listens until the engine has stopped");
            let told = lock(&self.told).recv();
            assert!(told.is_err(), "the end of the channel is what it is told");
        }
        Ok(Outcome::default())
    }

    fn owner(&self) -> Owner {
        Owner::new(None, "patient", 1)
    }
}

impl Provider for Patient {
    fn descriptors(&self) -> Vec<Descriptor> {
        vec![Descriptor {
            kind: Kind::Condition,
            name: "patient".to_owned(),
            summary: String::new(),
            config_schema: String::new(),
            state_version: 1,
        }]
    }

    fn open_condition(&self, _: &str, _: &str) -> Result<Box<dyn Condition>, PluginError> {
        Ok(Box::new(self.clone()))
    }

    fn open_router(&self, name: &str, _: &str) -> Result<Box<dyn Router>, PluginError> {
        Err(PluginError::Unsupported(name.to_owned()))
    }

    fn open_formatter(&self, name: &str, _: &str) -> Result<Box<dyn Formatter>, PluginError> {
        Err(PluginError::Unsupported(name.to_owned()))
    }
}

const CONFIG: &str = "
route: {receiver: nobody}
receivers: [{name: nobody}]
";

const RULES: &str = "
groups:
  - name: events
    rules:
      - alert: Watched
        events: {match: {type: login}, all: {over: 5m}}
        condition: {plugin: patient, config: {}}
";

#[tokio::test]
async fn what_arrives_waits_for_no_condition_over_events() {
    let (config, diagnostics) = load_config(Source { name: "c", text: CONFIG }, &FixedEnvironment::default());
    let rules = load_rules(Source { name: "r", text: RULES });
    assert!(rules.quarantined.is_empty(), "{:?}", rules.diagnostics);
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let (tell, told) = mpsc::channel();
    let folder = tempfile::tempdir().unwrap();
    let engine = Watchfire::builder()
        .config(config.unwrap_or_else(|| panic!("{diagnostics:?}")), vec![rules.file])
        .data_dir(folder.path())
        .provider(Arc::new(Patient { called, told: Arc::new(Mutex::new(told)) }))
        .start()
        .await
        .unwrap();
    let login = || Event {
        id: String::new(),
        time: engine.now(),
        kind: "login".to_owned(),
        fields: BTreeMap::new(),
        body: String::new(),
    };
    engine.push_events(vec![login()]).await.unwrap();
    calls.recv().await.expect("the condition is asked");

    // Were anything locked that arrivals need, they would wait for an answer that nobody has told it to give.
    let arrive = async {
        let labels = Labels::from_pairs([("__name__", "up")]);
        let sample = Sample { timestamp: engine.now(), value: 1.0 };
        let events = engine.push_events(vec![login(), login()]).await.unwrap();
        let samples = engine.push_samples(vec![(labels, vec![sample])]).await.unwrap();
        (events.rejected_count, samples.rejected_count)
    };
    let arrived = tokio::time::timeout(Duration::from_secs(60), arrive).await;
    drop(tell);
    assert_eq!(arrived.expect("they arrive while the condition computes"), (0, 0));
    engine.shutdown().await;
}

/// A router that says that it was called, and then answers as it was made to.
#[derive(Clone)]
struct Answers {
    called: UnboundedSender<()>,
    answer: fn() -> Vec<Decision>,
}

impl Router for Answers {
    fn route(&mut self, _: Timestamp, _: &[AlertView]) -> Result<Vec<Decision>, PluginError> {
        self.called.send(()).expect("the test listens until the engine has stopped");
        Ok((self.answer)())
    }
}

impl Provider for Answers {
    fn descriptors(&self) -> Vec<Descriptor> {
        Vec::new()
    }

    fn open_condition(&self, name: &str, _: &str) -> Result<Box<dyn Condition>, PluginError> {
        Err(PluginError::Unsupported(name.to_owned()))
    }

    fn open_router(&self, _: &str, _: &str) -> Result<Box<dyn Router>, PluginError> {
        Ok(Box::new(self.clone()))
    }

    fn open_formatter(&self, name: &str, _: &str) -> Result<Box<dyn Formatter>, PluginError> {
        Err(PluginError::Unsupported(name.to_owned()))
    }
}

/// What an engine counts whose router is asked about so many alerts, one after the other.
async fn counted(alerts: usize, answer: fn() -> Vec<Decision>) -> String {
    let text = "route: {receiver: nobody, router: {plugin: own}}\nreceivers: [{name: nobody}]\n";
    let (config, diagnostics) = load_config(Source { name: "c", text }, &FixedEnvironment::default());
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let folder = tempfile::tempdir().unwrap();
    let engine = Watchfire::builder()
        .config(config.unwrap_or_else(|| panic!("{diagnostics:?}")), Vec::new())
        .data_dir(folder.path())
        .provider(Arc::new(Answers { called, answer }))
        .start()
        .await
        .unwrap();
    for number in 0..alerts {
        let labels = Labels::from_pairs([("alertname", number.to_string())]);
        let starts_at = engine.now();
        let alert = Alert {
            labels,
            annotations: Annotations::default(),
            starts_at,
            ends_at: None,
            updated_at: starts_at,
            timeout: false,
            generator_url: "".into(),
            value: None,
        };
        engine.push_alerts(vec![alert]).await.unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(60), calls.recv()).await;
        assert_eq!(asked.expect("somebody is there to ask it"), Some(()));
    }
    // All that was begun is over then.
    engine.shutdown().await;
    engine.metrics(&[]).await
}

#[tokio::test]
async fn c3_a_router_that_panics_stops_no_other_question() {
    let alerts = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    let metrics = counted(alerts, || panic!("a defect")).await;
    let line = format!("watchfire_plugin_failures_total{{plugin=\"own\",kind=\"internal\"}} {alerts}\n");
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn a_router_that_names_receivers_which_are_not_there_has_failed() {
    fn named(receiver: &str) -> Decision {
        Decision { receivers: vec![receiver.to_owned()], ..Decision::default() }
    }
    for (answer, failures) in [
        ((|| vec![named("nowhere")]) as fn() -> Vec<Decision>, 1),
        (|| vec![named("nobody")], 0),
        (|| vec![Decision { suppress: Some("it is known".to_owned()), ..named("nowhere") }], 0),
    ] {
        let metrics = counted(1, answer).await;
        let line = "watchfire_plugin_failures_total{plugin=\"own\",kind=\"invalid_output\"} 1\n";
        assert_eq!(metrics.matches(line).count(), failures, "{metrics}");
    }
}
