//! YAML text as a tree of nodes that know where they stand.
//!
//! Anchors, aliases and merge keys are resolved, duplicate keys reported. Everything is bounded: the text's size, the
//! depth, and what aliases blow it up to. A tree that stands at a place that another one aliases is shared, not copied.

mod build;
mod locate;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use sha2::{Digest, Sha256};

pub(crate) use build::parse;

/// The longest text that is read, in bytes. 10,000 rules take about 5 MiB.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 20;
/// How deep mappings and sequences may be nested.
pub(crate) const DEPTH_MAX: usize = 100;
/// How many nodes aliases may stand for in one file.
pub(crate) const ALIASED_NODES_MAX: u64 = 1_000_000;

/// A value of a YAML document.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, in bytes of the text.
    pub start: usize,
    /// Where it ends, in bytes of the text.
    pub end: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A text, a number, a truth value or null: which one, whoever reads it decides.
    Scalar {
        /// The text without quotes, escapes and indentation.
        text: String,
        /// How it is written.
        style: Style,
    },
    /// A list.
    Sequence(Vec<Rc<Node>>),
    /// Keys and values in the order of the file, merged ones last.
    Mapping(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key begins, in bytes of the text.
    pub key_start: usize,
    /// The value.
    pub value: Rc<Node>,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'...'`
    SingleQuoted,
    /// `"..."`
    DoubleQuoted,
    /// `|` or `>`
    Block,
}

impl Node {
    /// A value that is not there.
    pub(crate) fn null() -> Node {
        Node { kind: Kind::Scalar { text: String::new(), style: Style::Plain }, start: 0, end: 0 }
    }

    /// A digest of what it says, from which nobody learns a secret: the order of keys, the style and comments do not
    /// matter, and placeholders stand for themselves.
    pub(crate) fn digest(&self) -> u128 {
        let mut hash = Sha256::new();
        self.feed(&mut hash);
        let digest = hash.finalize();
        digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    fn feed(&self, hash: &mut Sha256) {
        fn head(hash: &mut Sha256, what: u8, length: usize) {
            hash.update([what]);
            hash.update((length as u64).to_le_bytes());
        }
        match &self.kind {
            Kind::Scalar { text, .. } => {
                head(hash, b's', text.len());
                hash.update(text);
            }
            Kind::Sequence(items) => {
                head(hash, b'l', items.len());
                items.iter().for_each(|item| item.feed(hash));
            }
            Kind::Mapping(entries) => {
                head(hash, b'm', entries.len());
                let mut entries: Vec<&Entry> = entries.iter().collect();
                entries.sort_by(|a, b| a.key.cmp(&b.key));
                for entry in entries {
                    head(hash, b'k', entry.key.len());
                    hash.update(&entry.key);
                    entry.value.feed(hash);
                }
            }
        }
    }

    /// What it is, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a text",
        }
    }

    /// Whether it stands for "no value": an empty plain scalar, `~` or `null`.
    pub fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, style: Style::Plain } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// Whether it holds nothing: null, an empty text, list or mapping.
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, .. } => text.is_empty() || self.is_null(),
            Kind::Sequence(items) => items.is_empty(),
            Kind::Mapping(entries) => entries.is_empty(),
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Rc<Node>> {
        match &self.kind {
            Kind::Mapping(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Kind::Scalar { .. } | Kind::Sequence(_) => None,
        }
    }

    /// Where the byte `offset` of a scalar's text stands in the file.
    pub(crate) fn locate(&self, file: &str, offset: usize) -> usize {
        match &self.kind {
            Kind::Scalar { text, style } => locate::locate(file, self.start, self.end, text, *style, offset),
            Kind::Sequence(_) | Kind::Mapping(_) => self.start,
        }
    }
}
