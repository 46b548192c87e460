//! Connections: how many there may be, how long one may say nothing, and what they are told before and after.

use std::pin::pin;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use watchfire::{Bound, Watchfire};

use crate::admin;

/// How long the head of a request may take, counted from the end of the request before, so that it is also how long a
/// connection may lie idle. Load balancers drop idle connections after a minute; one that does so first never sends a
/// request into a connection that is being closed here.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long nothing is accepted after that failed, as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What is said to whoever finds no place (contract C7).
const NO_PLACE: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 62\r\n\r\n\
    too many connections are open (server.limits.connections_max)\n";

/// Connections at one time while the engine starts: supervisors, and senders that try.
const STARTING_CONNECTIONS_MAX: usize = 256;

/// As [`HEAD_TIMEOUT`], while the engine starts. It is short, because who is quiet for longer may ask an engine that has
/// started by then.
const STARTING_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// What everybody is told who wants more than a sign of life of an engine that starts.
const STARTING: &str = "Watchfire is starting and reads back what it kept; try again in a moment.\n";

/// Tells answers that would go on for ever, such as a stream of changes, that the server stops. [`serve`] adds it to every
/// request; a program that serves the routes otherwise adds it as an extension, or waits in vain for pages to be closed.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Becomes true when the server stops.
    pub fn new(stopped: watch::Receiver<bool>) -> Stopping {
        Stopping(stopped)
    }

    /// Waits until the server stops.
    pub async fn stopped(&mut self) {
        // A sender that is gone ends the server as well.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

/// Answers on a socket while an engine starts, until `started` ends, and gives the socket back: that the process lives, as
/// Prometheus says it while it reads its log, and to everything else that it is to be tried again.
pub async fn answer_while_starting(
    listener: TcpListener,
    route_prefix: &str,
    started: impl Future<Output = ()>,
) -> TcpListener {
    let wait = async || {
        let again = [(header::RETRY_AFTER, "1"), (HeaderName::from_static("refresh"), "2")];
        (StatusCode::SERVICE_UNAVAILABLE, again, STARTING)
    };
    // A connection serves one request, so that the next one finds the engine, and none is closed that may just be asking.
    let close = async |mut answer: Response| {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        answer
    };
    let router = Router::new().route(&format!("{route_prefix}/-/healthy"), get(admin::HEALTHY)).fallback(wait);
    let router = router.layer(map_response(close));
    let mut connections = JoinSet::new();
    let mut started = pin!(started);
    loop {
        tokio::select! {
            () = &mut started => break,
            accepted = listener.accept(), if connections.len() < STARTING_CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(answer(stream, router.clone(), STARTING_HEAD_TIMEOUT, std::future::pending()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.detach_all();
    listener
}

/// Answers on a socket until `stop` ends, and then what is under way.
pub async fn serve(listener: TcpListener, engine: &Watchfire, router: Router, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(false);
    let router = router.layer(Extension(Stopping(stopped.clone())));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => match engine.enter(Bound::Connections) {
                Some(place) => {
                    let (router, mut stopping) = (router.clone(), Stopping(stopped.clone()));
                    connections.spawn(async move {
                        answer(stream, router, HEAD_TIMEOUT, stopping.stopped()).await;
                        drop(place);
                    });
                }
                None => refuse(&stream),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    while connections.join_next().await.is_some() {}
}

/// Says why and closes. Whoever is not ready to hear it is not waited for.
fn refuse(stream: &TcpStream) {
    // A new connection has room for it; without, closing it says enough.
    drop(stream.try_write(NO_PLACE));
}

/// Answers on one connection until either side closes it, or until `stop` ends and what has come by then is answered.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    head_timeout: Duration,
    stop: impl Future<Output = ()>,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        // The connection comes first: one whose request has not been read yet would be closed as idle.
        biased;
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What comes back for these bytes until the connection is closed.
    async fn said_to(bytes: &str, head_timeout: Duration, stop: bool) -> String {
        let (mut client, server) = tokio::io::duplex(4096);
        let (stopping, stopped) = watch::channel(false);
        let router = Router::new().route("/", get(|| async { "hello" }));
        let answering =
            tokio::spawn(async move { answer(server, router, head_timeout, Stopping(stopped).stopped()).await });
        client.write_all(bytes.as_bytes()).await.unwrap();
        if stop {
            stopping.send_replace(true);
        }
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        answering.await.unwrap();
        drop(stopping);
        said
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_closed() {
        let soon = Duration::from_millis(20);
        assert!(!said_to("GET / HTTP/1.1\r\nhost: a", soon, false).await.contains("hello"));
        assert!(!said_to("", soon, false).await.contains("hello"));
        let said = said_to("GET / HTTP/1.1\r\nhost: a\r\n\r\n", soon, false).await;
        assert!(said.contains("hello"), "{said}");
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections() {
        assert_eq!(said_to("", HEAD_TIMEOUT, true).await, "");
    }

    #[tokio::test]
    async fn a_stop_answers_what_has_come() {
        // Each time the request and the stop are there before the connection is first looked at.
        for _ in 0..20 {
            let said = said_to("GET / HTTP/1.1\r\nhost: a\r\n\r\n", HEAD_TIMEOUT, true).await;
            assert!(said.contains("hello"), "{said:?}");
        }
    }

    #[tokio::test]
    async fn who_came_while_the_engine_started_is_answered_after_it_has() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (started, starting) = tokio::sync::oneshot::channel::<()>();
        let answering = tokio::spawn(answer_while_starting(listener, "", async { drop(starting.await) }));
        let ask = async |mut client: TcpStream, path: &str| {
            client.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            said
        };
        let early = TcpStream::connect(address).await.unwrap();
        // Whoever came before one that is answered has been accepted.
        let said = ask(TcpStream::connect(address).await.unwrap(), "/-/healthy").await;
        assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("connection: close"), "{said}");
        started.send(()).unwrap();
        answering.await.unwrap();
        let said = ask(early, "/-/ready").await;
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("is starting"), "{said}");
    }

    #[test]
    fn the_answer_to_whoever_finds_no_place_is_whole() {
        let text = std::str::from_utf8(NO_PLACE).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
