//! Identities of rules and rule groups.

use std::fmt;

/// Identifies a rule across reloads and restarts: a stable hash of file, group, name and labels.
///
/// Prometheus matches rules of a reloaded group by name and labels in order (`rules/group.go`, `CopyState`); the
/// ordinal tells rules apart that are equal in all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u64);

/// Identifies a rule group across reloads and restarts: a stable hash of file and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleGroupId(pub u64);

impl RuleGroupId {
    /// The group `name` of the rule file `file`.
    pub fn new(file: &str, name: &str) -> RuleGroupId {
        RuleGroupId(stable_hash([file, name]))
    }
}

impl RuleId {
    /// The `ordinal`-th rule of `group` that has this name and these label texts, in the order of the file.
    pub fn new(group: RuleGroupId, name: &str, labels: &[(String, String)], ordinal: usize) -> RuleId {
        let group = group.0.to_string();
        let ordinal = ordinal.to_string();
        let mut sorted: Vec<_> = labels.iter().collect();
        sorted.sort();
        let labels = sorted.into_iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        RuleId(stable_hash([group.as_str(), name, ordinal.as_str()].into_iter().chain(labels)))
    }
}

/// FNV-1a over the parts, each closed by a byte that no UTF-8 text contains, then mixed so that low bits are usable.
fn stable_hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for RuleGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl RuleId {
    /// From the 16 hexadecimal digits that [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<RuleId> {
        u64::from_str_radix(text, 16).ok().map(RuleId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rules_differ_by_ordinal_and_label_order_does_not_matter() {
        let group = RuleGroupId::new("a.yml", "g");
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let one = RuleId::new(group, "Down", &[pair("a", "1"), pair("b", "2")], 0);
        assert_eq!(one, RuleId::new(group, "Down", &[pair("b", "2"), pair("a", "1")], 0));
        assert_ne!(one, RuleId::new(group, "Down", &[pair("b", "2"), pair("a", "1")], 1));
        assert_ne!(one, RuleId::new(group, "Down", &[pair("a", "1b"), pair("", "2")], 0));
        assert_eq!(RuleId::parse(&one.to_string()), Some(one));
    }
}
