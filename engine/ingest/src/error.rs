//! How a body or a part of it is refused.

use std::fmt;

use thiserror::Error;

/// Which sort of refusal it is, so that a server can choose the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The bytes are not what the format says.
    Malformed,
    /// The body passes a limit.
    TooLarge,
    /// The media type, the message or the compression is not known here.
    Unsupported,
    /// The format is right but a required part is missing or has no meaning.
    Invalid,
}

/// What is counted in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// The n-th series of a write request, from 0.
    Series(usize),
    /// A line of a text, from 1.
    Line(usize),
    /// The n-th element of a JSON array, from 0.
    Element(usize),
    /// The n-th entry of a symbols table, from 0.
    Symbol(usize),
    /// The n-th metadata entry of a write request, from 0.
    Metadata(usize),
    /// The n-th metric of an OTLP request, from 0.
    Metric(usize),
}

impl Item {
    /// The bare number.
    pub const fn number(self) -> usize {
        match self {
            Item::Series(n)
            | Item::Line(n)
            | Item::Element(n)
            | Item::Symbol(n)
            | Item::Metadata(n)
            | Item::Metric(n) => n,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Series(n) => write!(f, "series {n}"),
            Item::Line(n) => write!(f, "line {n}"),
            Item::Element(n) => write!(f, "element {n}"),
            Item::Symbol(n) => write!(f, "symbol {n}"),
            Item::Metadata(n) => write!(f, "metadata {n}"),
            Item::Metric(n) => write!(f, "metric {n}"),
        }
    }
}

/// Why a whole body is refused; nothing of it may be kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct DecodeError {
    /// The sort of refusal.
    pub kind: DecodeErrorKind,
    /// Where in the body, if it is one item's fault.
    pub item: Option<Item>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            Some(item) => write!(f, "{item}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl DecodeError {
    pub(crate) fn malformed(message: impl Into<String>) -> DecodeError {
        DecodeError { kind: DecodeErrorKind::Malformed, item: None, message: message.into() }
    }

    /// A body that is refused because it is more than can be taken at once.
    pub fn too_large(message: impl Into<String>) -> DecodeError {
        DecodeError { kind: DecodeErrorKind::TooLarge, item: None, message: message.into() }
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> DecodeError {
        DecodeError { kind: DecodeErrorKind::Unsupported, item: None, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> DecodeError {
        DecodeError { kind: DecodeErrorKind::Invalid, item: None, message: message.into() }
    }

    pub(crate) fn at(mut self, item: Item) -> DecodeError {
        self.item = Some(item);
        self
    }

    /// The HTTP status that says the same: 400, 413 or 415.
    pub const fn status(&self) -> u16 {
        match self.kind {
            DecodeErrorKind::Malformed | DecodeErrorKind::Invalid => 400,
            DecodeErrorKind::TooLarge => 413,
            DecodeErrorKind::Unsupported => 415,
        }
    }
}

/// One item that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which.
    pub item: Item,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.item, self.reason)
    }
}

/// What was left out of a batch: all of it counted, the first few with their reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// How many items were left out.
    pub count: usize,
    /// The first of them; at most [`Limits::rejections_max`](crate::Limits::rejections_max).
    pub first: Vec<Rejection>,
}

impl Rejections {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn add(&mut self, max: usize, item: Item, reason: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < max {
            self.first.push(Rejection { item, reason: reason() });
        }
    }
}

impl fmt::Display for Rejections {
    /// One line per item, then how many more there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, rejection) in self.first.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{rejection}")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more if self.first.is_empty() => write!(f, "{more} items rejected"),
            more => write!(f, "\nand {more} more"),
        }
    }
}
