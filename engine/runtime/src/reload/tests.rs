//! What plugins remember after a reload, one that panics included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::UnboundedSender;
use watchfire_model::Event;
use watchfire_plugin::{
    Batch, Condition, Descriptor, Formatter, Kind, Outcome, Owner, PluginError, Provider, Router, State,
};

use crate::{ReloadError, Watchfire};

/// A condition that remembers how often it was asked, and says so.
struct Counting(UnboundedSender<u8>);

impl Condition for Counting {
    fn evaluate(&mut self, batch: &Batch, state: &mut State) -> Result<Outcome, PluginError> {
        if !batch.series.is_empty() {
            let count = state.get("count").map_or(0, |count| count[0]) + 1;
            state.set("count", vec![count]).expect("one byte is within every bound");
            self.0.send(count).expect("the test listens until the engine has stopped");
        }
        Ok(Outcome::default())
    }

    fn owner(&self) -> Owner {
        Owner::new(None, "counting", 1)
    }
}

/// Offers the condition, and panics instead where it is told to.
struct Moody {
    counts: UnboundedSender<u8>,
    panics: AtomicBool,
}

impl Provider for Moody {
    fn descriptors(&self) -> Vec<Descriptor> {
        vec![Descriptor {
            kind: Kind::Condition,
            name: "counting".to_owned(),
            summary: String::new(),
            config_schema: String::new(),
            state_version: 1,
        }]
    }

    fn open_condition(&self, _: &str, _: &str) -> Result<Box<dyn Condition>, PluginError> {
        assert!(!self.panics.load(Ordering::Acquire), "a defect");
        Ok(Box::new(Counting(self.counts.clone())))
    }

    fn open_router(&self, name: &str, _: &str) -> Result<Box<dyn Router>, PluginError> {
        Err(PluginError::Unsupported(name.to_owned()))
    }

    fn open_formatter(&self, name: &str, _: &str) -> Result<Box<dyn Formatter>, PluginError> {
        Err(PluginError::Unsupported(name.to_owned()))
    }
}

#[tokio::test]
async fn after_a_reload_that_panics_the_next_one_finds_what_plugins_remember() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let rules = |version: &str| {
        let events = "events: {match: {type: login}, all: {over: 5m}}";
        let rule = format!("{events}, condition: {{plugin: counting, config: {{version: {version}}}}}");
        write("rules.yml", &format!("groups: [{{name: g, rules: [{{alert: Watched, {rule}}}]}}]\n"));
    };
    write("watchfire.yml", "rules: {paths: [rules.yml]}\nroute: {receiver: nobody}\nreceivers: [{name: nobody}]\n");
    rules("first");
    let (counts, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let provider = Arc::new(Moody { counts, panics: AtomicBool::new(false) });
    let builder = Watchfire::builder().config_file(folder.path().join("watchfire.yml")).provider(provider.clone());
    let engine = builder.start().await.unwrap();
    let login = || {
        let (id, kind) = (String::new(), "login".to_owned());
        engine.push_events(vec![Event { id, time: engine.now(), kind, fields: BTreeMap::new(), body: String::new() }])
    };
    login().await.unwrap();
    assert_eq!(counted.recv().await, Some(1));

    provider.panics.store(true, Ordering::Release);
    rules("second");
    let panicked = engine.reload().await;
    assert!(matches!(panicked, Err(ReloadError::Defect)), "{panicked:?}");
    provider.panics.store(false, Ordering::Release);
    rules("third");
    let report = engine.reload().await.unwrap();
    assert_eq!(report.errors, 0, "{report}");
    login().await.unwrap();
    assert_eq!(counted.recv().await, Some(2));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_rule_whose_labels_are_edited_goes_on_with_what_its_plugin_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let rules = |release: u8| {
        let events = "events: {match: {type: login}, all: {over: 5m}}";
        let rule = format!("{events}, condition: {{plugin: counting}}, labels: {{release: '{release}'}}");
        write("rules.yml", &format!("groups: [{{name: g, rules: [{{alert: Watched, {rule}}}]}}]\n"));
    };
    write("watchfire.yml", "rules: {paths: [rules.yml]}\nroute: {receiver: nobody}\nreceivers: [{name: nobody}]\n");
    let (counts, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let provider = Arc::new(Moody { counts, panics: AtomicBool::new(false) });
    let mut told = Vec::new();
    rules(0);
    for releases in [0..2, 2..4] {
        let config = folder.path().join("watchfire.yml");
        let engine = Watchfire::builder().config_file(config).provider(provider.clone()).start().await.unwrap();
        for release in releases {
            rules(release);
            engine.reload().await.unwrap();
            let (id, kind, time) = (String::new(), "login".to_owned(), engine.now());
            let event = Event { id, time, kind, fields: BTreeMap::new(), body: String::new() };
            engine.push_events(vec![event]).await.unwrap();
            told.push(counted.recv().await);
        }
        engine.shutdown().await;
    }
    assert_eq!(told, [Some(1), Some(2), Some(3), Some(4)]);
}
