//! The application: orders come in, the engine watches them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use watchfire::Watchfire;
use watchfire::alerting::DeliveryOutcome;
use watchfire::config::{FixedEnvironment, Source, load_config, load_rules};
use watchfire::delivery::{Channel, Notification, Sending};
use watchfire::model::{Event, FieldValue, Sample, Severity};
use watchfire::plugin::{
    Batch, Condition, Descriptor, Finding, Formatter, Kind, Outcome, Owner, PluginError, Provider,
    Router as RouterPlugin, State as Memory,
};

/// Where alerts go: a receiver without integrations of its own, to which the pager below is added.
const CONFIG: &str = "
route: {receiver: shop, group_by: [alertname], group_wait: 0s, group_interval: 1s}
receivers: [{name: shop}]
evaluation: {interval: 1s}
";

/// What is watched: with the shop's own condition over a series, and over events.
const RULES: &str = "
groups:
  - name: orders
    rules:
      - alert: OrdersSlow
        expr: order_seconds
        condition: {plugin: slower-than-promised, config: {}}
        annotations: {summary: 'an order took {{ $value }} s'}
      - alert: OrdersFail
        events: {match: {type: order_failed}, by: [reason], count: {over: 1m, op: '>=', value: 3}}
        annotations: {summary: '{{ $value }} orders failed: {{ $labels.reason }}'}
";

/// The running application.
#[derive(Clone)]
pub(crate) struct Shop {
    engine: Watchfire,
}

impl Shop {
    pub(crate) async fn start(data: &Path, pager: Pager) -> Result<Shop> {
        let (config, diagnostics) = load_config(Source { name: "shop", text: CONFIG }, &FixedEnvironment::default());
        let config = config.ok_or_else(|| anyhow!("{diagnostics:?}"))?;
        let rules = load_rules(Source { name: "shop", text: RULES });
        anyhow::ensure!(rules.quarantined.is_empty(), "{:?}", rules.diagnostics);
        let engine = Watchfire::builder()
            .config(config, vec![rules.file])
            .data_dir(data)
            .provider(Arc::new(Promises))
            .channel("shop", Arc::new(pager))
            .start()
            .await?;
        Ok(Shop { engine })
    }

    /// The shop's own routes, and behind them the engine's.
    fn router(&self) -> Router {
        let engine = watchfire_server::router(self.engine.clone(), watchfire_server::Settings::default());
        Router::new().route("/orders/{how}", post(order)).with_state(self.clone()).merge(engine)
    }

    /// Answers until `stop` ends. Whoever serves the router otherwise ends the streams of open pages as well
    /// ([`watchfire_server::Stopping`]), or waits for their readers to leave.
    pub(crate) async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) {
        watchfire_server::serve(listener, &self.engine, self.router(), stop).await;
    }

    pub(crate) async fn close(&self) {
        self.engine.shutdown().await;
    }

    /// Tells the engine how an order went.
    pub(crate) async fn ordered(&self, how: &str) -> Result<()> {
        let now = self.engine.now();
        let seconds = if how == "slow" { 9.0 } else { 0.2 };
        let labels = [("__name__", "order_seconds"), ("shop", "main")].into_iter().collect();
        self.engine.push_samples(vec![(labels, vec![Sample { timestamp: now, value: seconds }])]).await?;
        if how == "failed" {
            let fields = BTreeMap::from([("reason".to_owned(), FieldValue::Text("payment".to_owned()))]);
            let kind = "order_failed".to_owned();
            let event = Event { id: String::new(), time: now, kind, fields, body: String::new() };
            self.engine.push_events(vec![event]).await?;
        }
        Ok(())
    }
}

async fn order(State(shop): State<Shop>, UrlPath(how): UrlPath<String>) -> (StatusCode, String) {
    match shop.ordered(&how).await {
        Ok(()) => (StatusCode::CREATED, format!("ordered, {how}\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// A channel in Rust: keeps what it is told and prints it.
#[derive(Clone, Default)]
pub(crate) struct Pager(Arc<Mutex<Vec<String>>>);

impl Pager {
    pub(crate) fn pages(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Channel for Pager {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(async move {
            let page = notification.subject();
            println!("page: {page}");
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(page);
            DeliveryOutcome::Delivered { receipt: "printed".to_owned() }
        })
    }
}

/// A condition in Rust: the shop promises every order within two seconds.
struct SlowerThanPromised;

impl Condition for SlowerThanPromised {
    fn evaluate(&mut self, batch: &Batch, _memory: &mut Memory) -> Result<Outcome, PluginError> {
        let slow = (0u32..).zip(batch.values.iter()).filter(|(_, seconds)| **seconds > 2.0);
        let findings = slow.map(|(series, seconds)| Finding {
            series,
            severity: if *seconds > 10.0 { Severity::Critical } else { Severity::Warning },
            value: *seconds,
            summary: "slower than promised".to_owned(),
        });
        Ok(Outcome { findings: findings.collect(), unknown: Vec::new() })
    }

    fn owner(&self) -> Owner {
        Owner::new(Some("shop"), NAME, 1)
    }
}

/// Offers the condition under the name by which the rule asks for it.
struct Promises;

const NAME: &str = "slower-than-promised";

fn unknown(name: &str) -> PluginError {
    PluginError::Unsupported(format!("the shop has no plugin {name:?}"))
}

impl Provider for Promises {
    fn descriptors(&self) -> Vec<Descriptor> {
        vec![Descriptor {
            kind: Kind::Condition,
            name: NAME.to_owned(),
            summary: "orders that take longer than two seconds".to_owned(),
            config_schema: String::new(),
            state_version: 1,
        }]
    }

    fn open_condition(&self, name: &str, _config: &str) -> Result<Box<dyn Condition>, PluginError> {
        if name == NAME { Ok(Box::new(SlowerThanPromised)) } else { Err(unknown(name)) }
    }

    fn open_router(&self, name: &str, _config: &str) -> Result<Box<dyn RouterPlugin>, PluginError> {
        Err(unknown(name))
    }

    fn open_formatter(&self, name: &str, _config: &str) -> Result<Box<dyn Formatter>, PluginError> {
        Err(unknown(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire::alerting::{Change, DeliveryReason, Reason};

    /// Waits until something is delivered.
    async fn delivered(changes: &mut tokio::sync::broadcast::Receiver<Arc<Change>>) -> Result<()> {
        while !matches!(changes.recv().await?.reason, Reason::Delivery(DeliveryReason::Delivered { .. })) {}
        Ok(())
    }

    #[tokio::test]
    async fn the_shop_pages_itself_and_shuts_down_cleanly() -> Result<()> {
        let data = tempfile::tempdir()?;
        let pager = Pager::default();
        let shop = Shop::start(data.path(), pager.clone()).await?;
        let mut changes = shop.engine.subscribe();
        shop.ordered("slow").await?;
        delivered(&mut changes).await?;
        assert!(pager.pages()[0].contains("OrdersSlow"), "{:?}", pager.pages());
        for _ in 0..3 {
            shop.ordered("failed").await?;
        }
        while !pager.pages().iter().any(|page| page.contains("OrdersFail")) {
            delivered(&mut changes).await?;
        }
        shop.close().await;
        assert!(shop.ordered("well").await.is_err(), "a closed engine takes nothing");
        Ok(())
    }
}
