//! Which message a request carries, from its headers.

use crate::DecodeError;

/// The two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest`, remote-write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, remote-write 2.0.
    V2,
}

impl Message {
    /// The fully qualified name.
    pub const fn name(self) -> &'static str {
        match self {
            Message::V1 => "prometheus.WriteRequest",
            Message::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// Whether the response needs the headers of [`Written`](super::Written).
    pub const fn wants_written_headers(self) -> bool {
        matches!(self, Message::V2)
    }
}

/// Chooses the message by `Content-Type` and checks `Content-Encoding`.
///
/// A missing type means 1.0, a missing encoding means snappy: old senders leave both out.
///
/// # Errors
/// For any other media type, message or encoding; the status is 415.
pub fn negotiate(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<Message, DecodeError> {
    let encoding = content_encoding.unwrap_or("").trim();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return Err(DecodeError::unsupported(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )));
    }
    let content_type = content_type.unwrap_or("").trim();
    if content_type.is_empty() {
        return Ok(Message::V1);
    }
    let refuse = || {
        DecodeError::unsupported(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        ))
    };
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/x-protobuf")) {
        return Err(refuse());
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            return Err(DecodeError::unsupported(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got \
                 {part} in {content_type} content-type"
            )));
        };
        if name.trim().eq_ignore_ascii_case("proto") {
            return match value.trim().trim_matches('"') {
                "prometheus.WriteRequest" => Ok(Message::V1),
                "io.prometheus.write.v2.Request" => Ok(Message::V2),
                other => Err(DecodeError::unsupported(format!(
                    "got {content_type} content type; unknown remote write protobuf message {other}"
                ))),
            };
        }
    }
    Ok(Message::V1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_choose_the_message() {
        let v1 = Some(Message::V1);
        let v2 = Some(Message::V2);
        let table = [
            (None, None, v1),
            (Some(""), Some(""), v1),
            (Some("application/x-protobuf"), Some("snappy"), v1),
            (Some("application/x-protobuf;proto=prometheus.WriteRequest"), Some("snappy"), v1),
            (Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"), Some("snappy"), v2),
            (Some("Application/X-Protobuf; charset=x; proto=\"io.prometheus.write.v2.Request\""), Some("Snappy"), v2),
            (Some("application/x-protobuf;proto=io.prometheus.write.v3.Request"), Some("snappy"), None),
            (Some("application/x-protobuf;proto"), Some("snappy"), None),
            (Some("application/json"), Some("snappy"), None),
            (Some("application/x-protobuf"), Some("zstd"), None),
            (Some("application/x-protobuf"), Some("gzip"), None),
        ];
        for (content_type, encoding, expected) in table {
            let result = negotiate(content_type, encoding);
            assert_eq!(result.as_ref().ok().copied(), expected, "{content_type:?} {encoding:?}");
            if let Err(error) = result {
                assert_eq!(error.status(), 415);
            }
        }
    }
}
