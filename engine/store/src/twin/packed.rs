//! The form of the bodies that there are many of: numbers and texts one after the other, in an order that writer and
//! reader agree on.
//!
//! Numbers are variable (7 bits a byte, least first, as in Protocol Buffers), times are differences to the time before,
//! and a text that stood before is the number of its place: names and values of labels stand in an alert, in the key of
//! its group and in the notification about it. In JSON the same records took more than twice the bytes, and every byte is
//! copied, summed and written again by the database's log.

use std::sync::Arc;

use thiserror::Error;
use watchfire_alerting::{FingerprintSet, GroupKey, NotificationId};
use watchfire_model::{Annotations, Fingerprint, Labels, RuleId, Timestamp};

/// How many texts of a body can be referred to. Those of the first alerts, which a thousand others have in common.
const TEXTS_MAX: usize = 64;

/// How many slots they are found by: the fewer are taken, the sooner.
const SLOTS: usize = 4 * TEXTS_MAX;

/// Room for the quotes of most groups' keys.
const QUOTES: usize = 32;

/// Room for most bodies.
const BODY_BYTES: usize = 512;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum PackedError {
    /// It is shorter than what it says.
    #[error("the body ends too early")]
    Short,
    /// It is longer than what it says.
    #[error("the body goes on after its end")]
    Long,
    /// A number has more than 64 bits, or more than its place allows.
    #[error("a number of the body is out of range")]
    Number,
    /// A text refers to one that does not stand before it.
    #[error("a text of the body refers to none")]
    Reference,
    /// A text is no UTF-8.
    #[error("a text of the body is no UTF-8")]
    Utf8,
    /// A word is none of those that may stand in its place.
    #[error("the body has an unknown {0}")]
    Word(&'static str),
}

/// Writes a body.
#[derive(Debug)]
pub(super) struct Writer {
    body: Vec<u8>,
    /// Where the texts that can be referred to stand, and how many there are. In here and not on the heap, because a
    /// record is written in less time than it takes to ask for memory a few times.
    texts: [(usize, usize); TEXTS_MAX],
    known: usize,
    /// The place of each of them in `texts` and one more, at its hash or behind it where that was taken.
    slots: [u8; SLOTS],
    /// The time that was written last, in milliseconds.
    time: i64,
    /// Room for the places of quotes in a group's key.
    quotes: Vec<usize>,
}

/// By what most different texts differ: their length and their end, since names and values begin alike more often.
fn slot(text: &str) -> usize {
    let end = match text.as_bytes().last_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => text.bytes().fold(0, |end, byte| end << 8 | u64::from(byte)),
    };
    // Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, 6.4): the highest bits depend on all others.
    let hash = (end.rotate_left(5) ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - SLOTS.ilog2())) as usize
}

/// What stands before the labels of a group's key, by the places of its quotes. Nothing of a key in which something else
/// stands between quotes than values, or that has no labels.
fn labels_between<'k>(key: &'k str, quotes: &[usize]) -> Option<&'k str> {
    let before = &key[..memchr::memchr(b'{', key.as_bytes())?];
    let first = before.len() + 1;
    let is_label = |index: usize, quoted: &[usize]| {
        let separator = if index > 0 { ", " } else { "" };
        let from = if index > 0 { quotes[2 * index - 1] + 1 } else { first };
        key.get(from..quoted[0]).is_some_and(|name| name.starts_with(separator) && name.ends_with('='))
    };
    let pairs = quotes.chunks_exact(2);
    let whole = pairs.remainder().is_empty() && key.get(quotes.last()? + 1..)? == "}";
    (whole && pairs.enumerate().all(|(index, quoted)| is_label(index, quoted)))
        .then(|| before.strip_suffix(':'))
        .flatten()
}

impl Writer {
    pub(super) fn new() -> Writer {
        let (texts, slots) = ([(0, 0); TEXTS_MAX], [0; SLOTS]);
        Writer { body: Vec::with_capacity(BODY_BYTES), texts, known: 0, slots, time: 0, quotes: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.body
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.body.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.body.push(number as u8);
    }

    pub(super) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.body.push(flag.into());
    }

    pub(super) fn time(&mut self, time: Timestamp) {
        let difference = time.as_millis().wrapping_sub(self.time);
        self.time = time.as_millis();
        // Zigzag, so that small differences are short in both directions.
        self.number(((difference << 1) ^ (difference >> 63)) as u64);
    }

    /// Something that may be absent.
    pub(super) fn option<T>(&mut self, item: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        self.flag(item.is_some());
        if let Some(item) = item {
            write(self, item);
        }
    }

    /// Every bit of it.
    pub(super) fn float(&mut self, number: f64) {
        self.body.extend(number.to_bits().to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        let mut slot = slot(text);
        // There are more slots than texts, so that a free one comes.
        while let Some(place) = usize::from(self.slots[slot]).checked_sub(1) {
            let (from, to) = self.texts[place];
            if &self.body[from..to] == text.as_bytes() {
                return self.number((place as u64) << 1 | 1);
            }
            slot = (slot + 1) % SLOTS;
        }
        self.number((text.len() as u64) << 1);
        let from = self.body.len();
        self.body.extend_from_slice(text.as_bytes());
        if let Some(text) = self.texts.get_mut(self.known) {
            *text = (from, self.body.len());
            self.known += 1;
            self.slots[slot] = self.known as u8;
        }
    }

    pub(super) fn annotations(&mut self, annotations: &Annotations) {
        self.count(annotations.len());
        for (name, text) in annotations.iter() {
            self.text(name);
            self.text(text);
        }
    }

    pub(super) fn labels(&mut self, labels: &Labels) {
        self.count(labels.len());
        for label in labels.iter() {
            self.text(label.name);
            self.text(label.value);
        }
    }

    /// The key of a group by the names and values in it. Whatever it is, its pieces make the same text again.
    pub(super) fn group(&mut self, key: &GroupKey) {
        let key = key.as_str();
        let mut quotes = std::mem::take(&mut self.quotes);
        quotes.clear();
        quotes.reserve(QUOTES);
        quotes.extend(memchr::memchr_iter(b'"', key.as_bytes()));
        match labels_between(key, &quotes) {
            Some(before) => {
                self.count(quotes.len() / 2);
                self.text(before);
                let mut name_from = before.len() + ":{".len();
                for quoted in quotes.chunks_exact(2) {
                    self.text(&key[name_from..quoted[0] - "=".len()]);
                    self.text(&key[quoted[0] + 1..quoted[1]]);
                    name_from = quoted[1] + "\", ".len();
                }
            }
            None => {
                self.count(0);
                self.text(key);
            }
        }
        self.quotes = quotes;
    }

    pub(super) fn fingerprint(&mut self, fingerprint: Fingerprint) {
        self.body.extend(fingerprint.0.to_le_bytes());
    }

    pub(super) fn fingerprints(&mut self, set: &FingerprintSet) {
        self.count(set.len());
        set.iter().for_each(|fingerprint| self.fingerprint(fingerprint));
    }

    pub(super) fn rule(&mut self, rule: RuleId) {
        self.body.extend(rule.0.to_le_bytes());
    }

    pub(super) fn notification(&mut self, id: NotificationId) {
        self.body.extend(id.0.to_le_bytes());
    }
}

/// Reads a body that a [`Writer`] wrote, or anything else, without panicking and without believing it.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
    texts: Vec<&'b str>,
    time: i64,
}

impl<'b> Reader<'b> {
    pub(super) fn new(body: &'b [u8]) -> Reader<'b> {
        Reader { rest: body, texts: Vec::new(), time: 0 }
    }

    /// To be called when all was read.
    pub(super) fn finish(self) -> Result<(), PackedError> {
        if self.rest.is_empty() { Ok(()) } else { Err(PackedError::Long) }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], PackedError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(PackedError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PackedError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(PackedError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn number(&mut self) -> Result<u64, PackedError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(PackedError::Number);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(PackedError::Number)
    }

    /// A number whose place allows fewer than 64 bits.
    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, PackedError> {
        self.number()?.try_into().map_err(|_| PackedError::Number)
    }

    pub(super) fn flag(&mut self) -> Result<bool, PackedError> {
        let [byte] = self.array()?;
        Ok(byte != 0)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, PackedError> {
        let zigzag = self.number()?;
        let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        self.time = self.time.wrapping_add(difference);
        Ok(Timestamp::from_millis(self.time))
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, PackedError>,
    ) -> Result<Option<T>, PackedError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// As many items as a number before them says.
    pub(super) fn list<T, L: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, PackedError>,
    ) -> Result<L, PackedError> {
        let count = self.number()?;
        (0..count).map(|_| read(self)).collect()
    }

    pub(super) fn float(&mut self) -> Result<f64, PackedError> {
        self.array().map(|bytes| f64::from_bits(u64::from_le_bytes(bytes)))
    }

    pub(super) fn text(&mut self) -> Result<&'b str, PackedError> {
        let number = self.number()?;
        let length_or_place = usize::try_from(number >> 1).map_err(|_| PackedError::Number)?;
        if number & 1 == 1 {
            return self.texts.get(length_or_place).copied().ok_or(PackedError::Reference);
        }
        let text = std::str::from_utf8(self.take(length_or_place)?).map_err(|_| PackedError::Utf8)?;
        if self.texts.len() < TEXTS_MAX {
            self.texts.push(text);
        }
        Ok(text)
    }

    pub(super) fn shared(&mut self) -> Result<Arc<str>, PackedError> {
        self.text().map(Arc::from)
    }

    fn pair(&mut self) -> Result<(&'b str, &'b str), PackedError> {
        Ok((self.text()?, self.text()?))
    }

    pub(super) fn annotations(&mut self) -> Result<Annotations, PackedError> {
        self.list(Reader::pair)
    }

    pub(super) fn labels(&mut self) -> Result<Labels, PackedError> {
        let pairs: Vec<_> = self.list(Reader::pair)?;
        Ok(Labels::from_ordered(&pairs))
    }

    pub(super) fn group(&mut self) -> Result<GroupKey, PackedError> {
        let count = self.number()?;
        let before = self.text()?;
        if count == 0 {
            return Ok(GroupKey::from_text(before));
        }
        let mut text = format!("{before}:{{");
        for index in 0..count {
            let (name, value) = self.pair()?;
            if index > 0 {
                text.push_str(", ");
            }
            text.extend([name, "=\"", value, "\""]);
        }
        text.push('}');
        Ok(GroupKey::from_text(text))
    }

    pub(super) fn fingerprint(&mut self) -> Result<Fingerprint, PackedError> {
        self.array().map(|bytes| Fingerprint(u64::from_le_bytes(bytes)))
    }

    pub(super) fn fingerprints(&mut self) -> Result<FingerprintSet, PackedError> {
        self.list(Reader::fingerprint)
    }

    pub(super) fn rule(&mut self) -> Result<RuleId, PackedError> {
        self.array().map(|bytes| RuleId(u64::from_le_bytes(bytes)))
    }

    pub(super) fn notification(&mut self) -> Result<NotificationId, PackedError> {
        self.array().map(|bytes| NotificationId(u128::from_le_bytes(bytes)))
    }
}
