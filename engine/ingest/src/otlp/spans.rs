//! Traces as OTLP's requests have them, written for a collector: only the fields that are filled.
//! <https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto>

use crate::wire::{write_bytes, write_fixed64, write_number};

/// Work within the process, as a span's kind.
const INTERNAL: u64 = 1;
/// An error, as a span's status.
const ERROR: u64 = 2;

/// A piece of work that is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// What all spans of one piece of work share; not zero.
    pub trace: [u8; 16],
    /// Its own id; not zero.
    pub id: [u8; 8],
    /// The span that it is a part of.
    pub parent: Option<[u8; 8]>,
    /// What kind of work it is.
    pub name: &'static str,
    /// When it began, in nanoseconds since 1970.
    pub began: u64,
    /// When it ended, in nanoseconds since 1970.
    pub ended: u64,
    /// What is to be known about it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

/// The body of a request with spans of a service.
pub fn write_spans(service: &str, version: &str, spans: &[Span]) -> Vec<u8> {
    let mut resource = Vec::new();
    for (name, text) in [("service.name", service), ("service.version", version)] {
        write_bytes(&mut resource, 1, &attribute(name, &Attribute::Text(text.to_owned())));
    }
    let mut scope = Vec::new();
    write_bytes(&mut scope, 1, service.as_bytes());
    let mut of_scope = Vec::new();
    write_bytes(&mut of_scope, 1, &scope);
    for one in spans {
        write_bytes(&mut of_scope, 2, &span(one));
    }
    let mut of_resource = Vec::new();
    write_bytes(&mut of_resource, 1, &resource);
    write_bytes(&mut of_resource, 2, &of_scope);
    let mut request = Vec::new();
    write_bytes(&mut request, 1, &of_resource);
    request
}

fn span(span: &Span) -> Vec<u8> {
    let mut out = Vec::new();
    write_bytes(&mut out, 1, &span.trace);
    write_bytes(&mut out, 2, &span.id);
    if let Some(parent) = &span.parent {
        write_bytes(&mut out, 4, parent);
    }
    write_bytes(&mut out, 5, span.name.as_bytes());
    write_number(&mut out, 6, INTERNAL);
    write_fixed64(&mut out, 7, span.began);
    write_fixed64(&mut out, 8, span.ended);
    for (name, value) in &span.attributes {
        write_bytes(&mut out, 9, &attribute(name, value));
    }
    if let Some(error) = &span.error {
        let mut status = Vec::new();
        write_bytes(&mut status, 2, error.as_bytes());
        write_number(&mut status, 3, ERROR);
        write_bytes(&mut out, 15, &status);
    }
    out
}

fn attribute(name: &str, value: &Attribute) -> Vec<u8> {
    let mut written = Vec::new();
    match value {
        Attribute::Text(text) => write_bytes(&mut written, 1, text.as_bytes()),
        Attribute::Number(number) => write_number(&mut written, 3, number.cast_unsigned()),
    }
    let mut out = Vec::new();
    write_bytes(&mut out, 1, name.as_bytes());
    write_bytes(&mut out, 2, &written);
    out
}
