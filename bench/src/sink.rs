//! A webhook receiver that notes when each alert arrives, and one that only counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::{Json, Router, routing::post};
use serde_json::Value;
use tokio::sync::Notify;

#[derive(Clone, Default)]
pub(crate) struct Sink {
    arrived: Arc<Mutex<HashMap<String, Vec<Instant>>>>,
    news: Arc<Notify>,
    counted: Arc<AtomicUsize>,
}

impl Sink {
    pub(crate) async fn start() -> Result<(Sink, SocketAddr)> {
        let sink = Sink::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/", post(receive)).route("/count", post(count)).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((sink, address))
    }

    /// When the alert of a trial arrived; waits for it.
    pub(crate) async fn arrival(&self, trial: &str) -> Instant {
        loop {
            let news = self.news.notified();
            if let Some(at) = self.arrivals(trial).first() {
                return *at;
            }
            news.await;
        }
    }

    /// When the alert of a trial arrived, each time.
    pub(crate) fn arrivals(&self, trial: &str) -> Vec<Instant> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).get(trial).cloned().unwrap_or_default()
    }

    /// How many requests came to `/count`.
    pub(crate) fn counted(&self) -> usize {
        self.counted.load(Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
async fn receive(State(sink): State<Sink>, Json(body): Json<Value>) {
    let now = Instant::now();
    for alert in body["alerts"].as_array().into_iter().flatten() {
        let trial = alert["labels"]["trial"].as_str().unwrap_or_default().to_owned();
        sink.arrived.lock().unwrap_or_else(PoisonError::into_inner).entry(trial).or_default().push(now);
    }
    sink.news.notify_one();
}

/// The body is taken and not looked at: a receiver that costs as little as possible.
async fn count(State(sink): State<Sink>, _body: Bytes) {
    sink.counted.fetch_add(1, Ordering::Relaxed);
}
