//! What comes in: remote-write, OTLP, text exposition, events.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use watchfire::{PushError, Pushed, WriteError};
use watchfire_ingest::{DecodeError, Rejections, events, otlp, remote_write, text};

use crate::{App, body, push_refused};

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn decode_refused(error: &DecodeError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status, format!("{error}\n")).into_response()
}

/// One line per reason: what the decoder left out, then what the store refused.
fn reasons(decoded: &Rejections, pushed: &Pushed) -> String {
    let mut lines: Vec<String> = decoded.first.iter().map(ToString::to_string).collect();
    lines.extend(pushed.rejected.iter().map(|rejection| rejection.reason.clone()));
    let more = (decoded.count + pushed.rejected_count).saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n") + "\n"
}

/// `POST /api/v1/write`: Prometheus remote-write 1.0 and 2.0.
///
/// What is valid is kept even if the answer is 400, as the protocol wants it: a sender must not repeat the rest for ever.
pub(crate) async fn write(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let message =
        remote_write::negotiate(text_of(&headers, header::CONTENT_TYPE), text_of(&headers, header::CONTENT_ENCODING));
    let message = match message {
        Ok(message) => message,
        Err(error) => return decode_refused(&error),
    };
    let bytes = match body::read(&headers, body, app.body_bytes_max()).await {
        Ok(bytes) => bytes,
        Err(error) => return error.into_response(),
    };
    let (report, pushed) = match app.engine.push_remote_write(message, bytes).await {
        Ok(written) => written,
        Err(WriteError::Decode(error)) => return decode_refused(&error),
        Err(WriteError::Push(error)) => return push_refused(error),
    };
    let mut written = report.written();
    let histograms = pushed.histograms_rejected as u64;
    written.samples = written.samples.saturating_sub(pushed.rejected_count as u64 - histograms);
    written.histograms = written.histograms.saturating_sub(histograms);
    let refused = !report.rejections.is_empty() || pushed.rejected_count > 0;
    let mut response = if refused {
        (StatusCode::BAD_REQUEST, reasons(&report.rejections, &pushed)).into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    if message.wants_written_headers() {
        for (name, value) in written.headers() {
            let name = HeaderName::try_from(name.to_ascii_lowercase());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value.to_string())) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// `POST /v1/metrics`: OpenTelemetry's protocol. What cannot be taken is told in the answer, whose status is 200 even so:
/// the protocol has a sender repeat whole requests only.
pub(crate) async fn otlp_metrics(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let bytes = match body::read(&headers, body, app.body_bytes_max()).await {
        Ok(bytes) => bytes,
        Err(error) => return error.into_response(),
    };
    let limits = app.ingest_limits();
    let (media, encoding) = (text_of(&headers, header::CONTENT_TYPE), text_of(&headers, header::CONTENT_ENCODING));
    let (media, encoding) = (media.map(str::to_owned), encoding.map(str::to_owned));
    let budget = limits.clone();
    // Even a short one may be long once it is unpacked.
    let decoded = app.aside(move || {
        let plain = otlp::plain(media.as_deref(), encoding.as_deref(), &bytes, &budget)?;
        otlp::decode(&plain, &budget)
    });
    let mut metrics = match decoded.await {
        Some(Ok(metrics)) => metrics,
        Some(Err(error)) => return decode_refused(&error),
        None => return push_refused(PushError::Closed),
    };
    let stored = match metrics.deltas.is_empty() {
        true => app.engine.push_samples(std::mem::take(&mut metrics.series)).await,
        false => {
            // Requests with deltas come one after another, and a total counts when it is stored. Both belong together,
            // whether or not the sender waits for them: it is a task of its own, which ends with neither or both.
            let app = app.clone();
            let push = async move {
                let mut totals = app.deltas.lock().await;
                let deltas = std::mem::take(&mut metrics.deltas);
                metrics.series.extend(totals.add(deltas, &limits, &mut metrics.rejections));
                let stored = app.engine.push_samples(std::mem::take(&mut metrics.series)).await;
                if stored.is_ok() {
                    totals.keep();
                }
                (stored, metrics)
            };
            let Ok((stored, rest)) = tokio::spawn(push).await else { return push_refused(PushError::Closed) };
            metrics = rest;
            stored
        }
    };
    let pushed = match stored {
        Ok(pushed) => pushed,
        Err(error) => return push_refused(error),
    };
    app.engine.push_metadata(metrics.metadata);
    let rejected = metrics.rejections.count + pushed.rejected_count;
    let answer = otlp::response(rejected, reasons(&metrics.rejections, &pushed).trim_end());
    ([(header::CONTENT_TYPE, "application/x-protobuf")], answer).into_response()
}

/// `POST /api/v1/import/prometheus`: text exposition, pushed.
pub(crate) async fn import(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let bytes = match body::read(&headers, body, app.body_bytes_max()).await {
        Ok(bytes) => bytes,
        Err(error) => return error.into_response(),
    };
    let format = text::Format::from_content_type(text_of(&headers, header::CONTENT_TYPE));
    let (now, limits) = (app.engine.now(), app.ingest_limits());
    let decoded = match app.read_body(bytes, move |bytes| text::decode_series(format, bytes, now, &limits)).await {
        Some(Ok(decoded)) => decoded,
        Some(Err(error)) => return decode_refused(&error),
        None => return push_refused(PushError::Closed),
    };
    let pushed = match app.engine.push_samples(decoded.series).await {
        Ok(pushed) => pushed,
        Err(error) => return push_refused(error),
    };
    app.engine.push_metadata(decoded.metadata);
    if decoded.rejections.is_empty() && pushed.rejected_count == 0 {
        return StatusCode::NO_CONTENT.into_response();
    }
    (StatusCode::BAD_REQUEST, reasons(&decoded.rejections, &pushed)).into_response()
}

/// `POST /api/v1/events`: JSON, arrays of it, NDJSON, CloudEvents.
pub(crate) async fn events(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let bytes = match body::read(&headers, body, app.body_bytes_max()).await {
        Ok(bytes) => bytes,
        Err(error) => return error.into_response(),
    };
    let (now, limits) = (app.engine.now(), app.ingest_limits());
    let decode = move |bytes: &[u8]| {
        let pairs = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        events::decode(&pairs.collect::<Vec<_>>(), bytes, now, &limits)
    };
    let decoded = match app.read_body(bytes, decode).await {
        Some(Ok(decoded)) => decoded,
        Some(Err(error)) => return decode_refused(&error),
        None => return push_refused(PushError::Closed),
    };
    let pushed = match app.engine.push_events(decoded.events).await {
        Ok(pushed) => pushed,
        Err(error) => return push_refused(error),
    };
    if decoded.rejections.is_empty() {
        return (StatusCode::ACCEPTED, format!("{{\"accepted\":{}}}\n", pushed.accepted)).into_response();
    }
    (StatusCode::BAD_REQUEST, reasons(&decoded.rejections, &pushed)).into_response()
}
