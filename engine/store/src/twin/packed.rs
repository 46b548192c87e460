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
    /// The texts that can be referred to: the tag of each, and where it stands.
    tags: Vec<u64>,
    places: Vec<(usize, usize)>,
    /// The time that was written last, in milliseconds.
    time: i64,
}

/// By what most different texts differ: their length and their end, since names and values begin alike more often.
fn tag(text: &str) -> u64 {
    let end = match text.as_bytes().last_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => text.bytes().fold(0, |end, byte| end << 8 | u64::from(byte)),
    };
    end.rotate_left(5) ^ text.len() as u64
}

impl Writer {
    pub(super) fn new() -> Writer {
        let (body, tags, places) = (Vec::with_capacity(BODY_BYTES), Vec::with_capacity(32), Vec::with_capacity(32));
        Writer { body, tags, places, time: 0 }
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
        let tag = tag(text);
        let alike = self.tags.iter().zip(&self.places).enumerate().filter(|(_, (other, _))| **other == tag);
        let mut stands = alike.filter(|(_, (_, (from, to)))| self.body.get(*from..*to) == Some(text.as_bytes()));
        match stands.next() {
            Some((place, _)) => self.number((place as u64) << 1 | 1),
            None => {
                self.number((text.len() as u64) << 1);
                let from = self.body.len();
                self.body.extend(text.as_bytes());
                if self.tags.len() < TEXTS_MAX {
                    self.tags.push(tag);
                    self.places.push((from, self.body.len()));
                }
            }
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
        let (body, texts) = (self.body.len(), self.tags.len());
        if self.group_pieces(key.as_str()).is_none() {
            self.body.truncate(body);
            self.tags.truncate(texts);
            self.places.truncate(texts);
            self.count(0);
            self.text(key.as_str());
        }
    }

    /// Nothing of a key in which something else stands between quotes than values, or that has no labels.
    fn group_pieces(&mut self, key: &str) -> Option<()> {
        let (before, labels) = key.split_once('{')?;
        let quotes = labels.bytes().filter(|byte| *byte == b'"').count();
        self.count(Some(quotes / 2).filter(|count| *count > 0)?);
        self.text(before.strip_suffix(':')?);
        let mut pieces = labels.split('"');
        for index in 0..quotes / 2 {
            let name = pieces.next()?;
            let name = if index > 0 { name.strip_prefix(", ")? } else { name };
            self.text(name.strip_suffix('=')?);
            self.text(pieces.next()?);
        }
        (pieces.next()? == "}" && pieces.next().is_none()).then_some(())
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
