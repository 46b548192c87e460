//! An HTTP receiver that keeps every request and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;

use super::eventually;

/// One request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Path and query.
    pub(crate) path: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, if it is JSON.
    pub(crate) json: Value,
    /// What was answered.
    pub(crate) status: StatusCode,
}

type Answer = dyn Fn(&Received, usize) -> (StatusCode, String) + Send + Sync;

/// Keeps what it receives.
#[derive(Clone)]
pub(crate) struct Sink {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

struct Shared {
    received: Arc<Mutex<Vec<Received>>>,
    answer: Box<Answer>,
}

impl Sink {
    /// Answers 200 to everything.
    pub(crate) async fn start() -> Result<Sink> {
        Sink::answering(|_, _| (StatusCode::OK, "ok".to_owned())).await
    }

    /// Answers as `answer` says, which gets the request and how many came before it.
    pub(crate) async fn answering(
        answer: impl Fn(&Received, usize) -> (StatusCode, String) + Send + Sync + 'static,
    ) -> Result<Sink> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { received: Arc::clone(&received), answer: Box::new(answer) });
        let router = Router::new().fallback(keep).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Sink { address, received })
    }

    /// Where it listens.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything so far, in the order of arrival.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().map(|received| received.clone()).unwrap_or_default()
    }

    /// Waits until what came in satisfies a condition and returns it.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&[Received]) -> bool) -> Result<Vec<Received>> {
        let found = eventually(what, async || Ok(Some(self.received()).filter(|received| done(received)))).await;
        found.map_err(|error| error.context(format!("received: {:#?}", self.received())))
    }
}

async fn keep(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut one = Received { path: uri.to_string(), headers, json, status: StatusCode::OK };
    let Ok(mut received) = shared.received.lock() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the sink is broken".to_owned());
    };
    let (status, text) = (shared.answer)(&one, received.len());
    one.status = status;
    received.push(one);
    (status, text)
}
