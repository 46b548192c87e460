//! Many callers at one time, and callers that panic.

use futures::future::join_all;
use tempfile::TempDir;
use watchfire_config::{FixedEnvironment, Source, load_config};
use watchfire_model::{Alert, Annotations, Labels, Timestamp};

use super::{REQUESTS_PER_TURN, Request};
use crate::handle::ALERTS_WAITING_MAX;
use crate::{PushError, Watchfire};

const CONFIG: &str = "
route: {receiver: nobody}
receivers: [{name: nobody}]
";

async fn engine() -> (Watchfire, TempDir) {
    let (config, diagnostics) = load_config(Source { name: "c", text: CONFIG }, &FixedEnvironment::default());
    let config = config.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let folder = tempfile::tempdir().unwrap();
    let builder = Watchfire::builder().config(config, Vec::new()).data_dir(folder.path());
    (builder.start().await.unwrap(), folder)
}

fn alert(disk: usize, now: Timestamp) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", "Full"), ("disk", &disk.to_string())]),
        annotations: Annotations::default(),
        starts_at: now,
        ends_at: None,
        updated_at: now,
        timeout: false,
        generator_url: "".into(),
        value: None,
    }
}

/// All of them ask before the owner looks, on the one thread of this test: a request more than fit into one turn is for
/// the next one.
#[tokio::test]
async fn everybody_is_answered_however_many_ask_at_one_time() {
    let (engine, _folder) = engine().await;
    let now = engine.now();
    let many = 3 * REQUESTS_PER_TURN + 2;
    let pushed = join_all((0..many).map(|disk| engine.push_alerts(vec![alert(disk, now)]))).await;
    let refused: Vec<_> = pushed.into_iter().enumerate().filter(|(_, pushed)| pushed.is_err()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let looks = join_all((0..many).map(|_| engine.view(move |engine| engine.alerts(now).len()))).await;
    assert!(looks.iter().all(|look| *look == Some(many)), "{looks:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn alerts_wait_up_to_the_bound_and_more_at_once_come_in_when_none_do() {
    let (engine, _folder) = engine().await;
    let now = engine.now();
    let accepted = engine.push_alerts(vec![alert(1, now); ALERTS_WAITING_MAX + 1]).await.map(|pushed| pushed.accepted);
    assert_eq!(accepted, Ok(ALERTS_WAITING_MAX + 1));
    // Who hangs up has no more room than who waits.
    let mut impatient = Box::pin(engine.push_alerts(vec![alert(2, now); ALERTS_WAITING_MAX]));
    assert!(futures::poll!(&mut impatient).is_pending());
    drop(impatient);
    let refused = engine.push_alerts(vec![alert(3, now)]).await;
    assert!(matches!(refused, Err(PushError::Overloaded { .. })), "{refused:?}");
    let metrics = engine.metrics(&[]).await;
    assert!(metrics.lines().any(|line| line == "watchfire_overloaded_total{queue=\"alerts\"} 1"), "{metrics}");
    let alerts = engine.view(move |engine| engine.alerts(now).len()).await;
    assert_eq!(alerts, Some(2));
    assert!(engine.push_alerts(vec![alert(3, now)]).await.is_ok());
    engine.shutdown().await;
}

#[tokio::test]
async fn a_look_that_panics_harms_nobody_but_its_caller() {
    let (engine, _folder) = engine().await;
    let caller = engine.clone();
    let look = tokio::spawn(async move { caller.view(|_| panic!("a look of an embedding program")).await });
    assert!(look.await.unwrap_err().is_panic());
    assert_eq!(engine.view(|engine| engine.outbox_len()).await, Some(0));
    assert!(engine.ready());
    engine.shutdown().await;
    engine.stopped().await;
}

#[tokio::test]
async fn who_supervises_sees_that_a_defect_has_ended_the_engine() {
    let (engine, _folder) = engine().await;
    let defect = Request::Act(Box::new(|_, _| panic!("a defect of the state machine")));
    assert!(engine.inner.owner.send(defect).is_ok());
    engine.stopped().await;
    assert!(!engine.is_running() && !engine.ready());
    let refused = engine.push_alerts(vec![alert(1, engine.now())]).await;
    assert_eq!(refused, Err(PushError::Closed));
}
