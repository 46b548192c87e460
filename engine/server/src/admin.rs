//! Supervision: readiness, health, metrics, reload, the stream of changes.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;
use watchfire::Bound;

use crate::bounds::full;
use crate::{App, Stopping};

/// Changes within this time reach a page as one, because a storm of alerts must not become a storm of page loads.
const COALESCE: Duration = Duration::from_millis(250);

/// The sign of life.
pub(crate) const HEALTHY: &str = "Watchfire is healthy.\n";

/// `GET /-/healthy`
pub(crate) async fn healthy(State(app): State<App>) -> Response {
    if app.engine.is_running() {
        HEALTHY.into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Watchfire has stopped; start it again.\n").into_response()
    }
}

/// `GET /-/ready`
pub(crate) async fn ready(State(app): State<App>) -> Response {
    if app.engine.ready() {
        "Watchfire is ready.\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Watchfire is not ready.\n").into_response()
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (deltas, deltas_max) = app.deltas.lock().await.usage();
    let text = app.engine.metrics(&[("delta_series", deltas, deltas_max)]).await;
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

/// `POST /-/reload`
pub(crate) async fn reload(State(app): State<App>) -> Response {
    match app.engine.reload().await {
        Ok(report) if report.errors == 0 => (StatusCode::OK, format!("{report}\n")).into_response(),
        Ok(report) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{report}\n")).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n")).into_response()
        }
    }
}

/// `GET /api/watchfire/v1/stream`: an event `changed` whenever pages may look different, and one every few seconds.
pub(crate) async fn stream(State(app): State<App>, stopping: Option<Extension<Stopping>>) -> Response {
    let Some(place) = app.engine.enter(Bound::Streams) else {
        return full("as many pages are open as server.limits.streams_max allows; close one and try again\n");
    };
    let mut changes = BroadcastStream::new(app.engine.subscribe());
    let stream = async_stream(async move |sender: tokio::sync::mpsc::Sender<Event>| {
        // Given back when the reader is gone, which the next tick finds out.
        let _place = place;
        let mut ticks = tokio::time::interval(Duration::from_secs(2));
        let mut stop = pin!(async move {
            match stopping {
                Some(Extension(mut stopping)) => stopping.stopped().await,
                None => std::future::pending().await,
            }
        });
        loop {
            tokio::select! {
                // The server would wait for the reader, who waits for the server.
                () = &mut stop => return,
                // A slow reader that lost some changes must look again all the more.
                change = changes.next() => if change.is_none() { return },
                _ = ticks.tick() => {}
            }
            if sender.send(Event::default().event("changed").data("1")).await.is_err() {
                return;
            }
            let quiet = tokio::time::sleep(COALESCE);
            tokio::pin!(quiet);
            loop {
                tokio::select! {
                    () = &mut stop => return,
                    () = &mut quiet => break,
                    change = changes.next() => if change.is_none() { return },
                }
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

/// Runs `produce` as a task that ends when the reader goes away.
fn async_stream<F, P>(produce: P) -> impl Stream<Item = Result<Event, Infallible>>
where
    P: FnOnce(tokio::sync::mpsc::Sender<Event>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(produce(sender));
    tokio_stream::wrappers::ReceiverStream::new(receiver).map(Ok)
}
