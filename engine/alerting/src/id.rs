//! Identities that the state machine gives out.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use watchfire_model::Labels;

/// One evaluation of one rule; unique while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvaluationId(pub u64);

/// One question to a router plugin; unique while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteRequestId(pub u64);

/// One notification: the same on every attempt and after a restart, so it serves as idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(pub u128);

/// The identity of a silence, written as a UUID because Alertmanager's clients expect one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SilenceId(pub Arc<str>);

/// The identity of a route node. It outlives edits of the configuration: a node that only changed its matchers keeps
/// its id, so that nothing is forgotten and no second incident is opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub Arc<str>);

/// The identity of an alert group: its route node, the receiver where a router chose it, and its group labels.
///
/// Their order is that of their texts: of groups that are due at one time the first by name is told first. Whether two are
/// equal is asked of a hash first, because they are long and have much in common.
#[derive(Clone)]
pub struct GroupKey {
    hash: u64,
    text: Arc<str>,
}

/// An integration of a receiver by what it is and not by where it stands, so that nothing is forgotten or mistaken when
/// others are added, removed or moved; see [`Integration`](crate::Integration).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntegrationKey {
    /// The channel, such as `slack`.
    pub kind: Arc<str>,
    /// Tells it from the receiver's other integrations of the same kind. At first that is its position among them.
    pub number: u32,
}

/// A digest of the settings of an integration as its user wrote them: no two of one kind and receiver have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingsDigest(pub u128);

/// Who is told about which alert group: one integration of one receiver for one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey {
    /// The alert group.
    pub group: GroupKey,
    /// The receiver's name.
    pub receiver: Arc<str>,
    /// Which of its integrations.
    pub integration: IntegrationKey,
}

impl GroupKey {
    /// The key of the group with these labels under a route, `receiver` being given where a router plugin chose it.
    pub fn new(route: &RouteId, receiver: Option<&str>, labels: &Labels) -> GroupKey {
        // Room for what stands between names and values too, unless one needs escapes: it is made for every alert.
        let mut text = String::with_capacity(route.0.len() + labels.packed_bytes() + 4 * (labels.len() + 1));
        text.push_str(&route.0);
        // Nothing fails that writes into memory.
        let _written = match receiver {
            None => write!(text, ":{labels}"),
            Some(receiver) => write!(text, "/{receiver:?}:{labels}"),
        };
        GroupKey::from_text(text)
    }

    /// The key that [`GroupKey::as_str`] gave.
    pub fn from_text(text: impl Into<Arc<str>>) -> GroupKey {
        let text = text.into();
        GroupKey { hash: hash_words(0, &text), text }
    }

    /// A hash of it: what records of it are kept under, because it is long and much of it is in the record too.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, shared.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

impl TargetKey {
    /// As [`GroupKey::hash`].
    pub(crate) fn hash(&self) -> u64 {
        TargetKey::hash_of(&self.group, &self.receiver, &self.integration)
    }

    /// The same for a key that is not put together.
    pub(crate) fn hash_of(group: &GroupKey, receiver: &str, integration: &IntegrationKey) -> u64 {
        let integration = hash_words(u64::from(integration.number), &integration.kind);
        hash_words(group.hash ^ integration, receiver)
    }
}

impl PartialEq for GroupKey {
    fn eq(&self, other: &GroupKey) -> bool {
        self.hash == other.hash && self.cmp(other) == Ordering::Equal
    }
}

impl Eq for GroupKey {}

impl PartialOrd for GroupKey {
    fn partial_cmp(&self, other: &GroupKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupKey {
    fn cmp(&self, other: &GroupKey) -> Ordering {
        match Arc::ptr_eq(&self.text, &other.text) {
            true => Ordering::Equal,
            false => self.text.cmp(&other.text),
        }
    }
}

impl Hash for GroupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKey({:?})", self.text)
    }
}

impl SilenceId {
    /// A UUID of version 8 (RFC 9562: bits of the maker's own choice) from a hash.
    pub(crate) fn from_hash(hash: u128) -> SilenceId {
        let bits = hash & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        SilenceId(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Numbers that are written as 32 hexadecimal digits.
macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl $name {
            /// From the 32 hexadecimal digits that [`Display`](fmt::Display) writes.
            pub fn parse(text: &str) -> Option<$name> {
                if text.len() != 32 {
                    return None;
                }
                u128::from_str_radix(text, 16).ok().map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
    )*};
}
hexadecimal!(NotificationId, SettingsDigest);

impl fmt::Display for IntegrationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.kind, self.number)
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.group, self.receiver, self.integration)
    }
}

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_inner!(EvaluationId, RouteRequestId, SilenceId, RouteId);

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// FNV-1a over words of eight bytes, mixed after each because it carries nothing from high bits to low ones. It never
/// changes, because records are found by it.
fn hash_words(seed: u64, text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed ^ text.len() as u64;
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
    }
    hash
}

/// FNV-1a over 128 bits, each part closed by a byte that no UTF-8 text contains, then mixed. A part is hashed as it is
/// written, so that it need not become a text first.
pub(crate) struct StableHash(u128);

impl Default for StableHash {
    fn default() -> StableHash {
        StableHash(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl StableHash {
    /// Adds a part.
    pub(crate) fn part(&mut self, part: impl fmt::Display) -> &mut StableHash {
        // Hashing takes whatever is written; what fails to display itself has said all that it will ever say.
        let _hashed = write!(self, "{part}");
        self.add(0xff);
        self
    }

    /// The hash of all parts.
    pub(crate) fn finish(&self) -> u128 {
        let hash = (self.0 ^ (self.0 >> 64)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        hash ^ (hash >> 64)
    }

    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
}

impl fmt::Write for StableHash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.add(byte));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_id_is_a_uuid() {
        let id = SilenceId::from_hash(u128::MAX);
        assert_eq!(id.as_str(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }
}
