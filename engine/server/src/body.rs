//! Reading request bodies with a bound.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is too large; said before it is read whole.
    #[error(
        "the body is larger than the limit of {limit} bytes; send smaller batches or raise server.limits.body_bytes_max"
    )]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke.
    #[error("the body ended early: {0}")]
    Broken(String),
}

/// Reads a body of at most `limit` bytes. A length announced beyond the limit is refused without reading anything.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    let mut read = BytesMut::with_capacity(announced.unwrap_or(0));
    let mut stream = body.into_data_stream();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| BodyError::Broken(error.to_string()))?;
        if read.len() + part.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        read.extend_from_slice(&part);
    }
    Ok(read.freeze())
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let status = match self {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        (status, format!("{self}\n")).into_response()
    }
}
