//! What senders say about metric families: kind, help and unit.
//!
//! It is kept in memory only, because every sender says it again: remote-write 1.0 every minute, 2.0 with each series
//! that is new to this process.

use std::collections::BTreeMap;

use watchfire_ingest::Metadata;

/// Families, each with the different things that were said about it. Bounded; what came first is kept.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable {
    families: BTreeMap<String, Vec<Metadata>>,
    bytes: usize,
}

/// Different things that are kept of one family; services that disagree about a help text are few.
const VARIANTS_MAX: usize = 8;

/// Bytes of all texts together.
const BYTES_MAX: usize = 32 << 20;

fn bytes(metadata: &Metadata) -> usize {
    size_of::<Metadata>() + metadata.family.len() + metadata.help.len() + metadata.unit.len()
}

impl MetadataTable {
    /// Takes over what is new as far as there is room.
    pub(crate) fn extend(&mut self, said: impl IntoIterator<Item = Metadata>) {
        for metadata in said {
            let known = self.families.get(&metadata.family);
            let is_kept = known.is_some_and(|known| known.len() >= VARIANTS_MAX || known.contains(&metadata));
            let room = self.bytes + bytes(&metadata) <= BYTES_MAX;
            if !is_kept && room && !metadata.family.is_empty() {
                self.bytes += bytes(&metadata);
                self.families.entry(metadata.family.clone()).or_default().push(metadata);
            }
        }
    }

    /// Everything that was said, or everything about one family, by name.
    pub(crate) fn get(&self, family: Option<&str>) -> Vec<Metadata> {
        match family {
            None => self.families.values().flatten().cloned().collect(),
            Some(family) => self.families.get(family).cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use watchfire_ingest::MetricKind;

    use super::*;

    fn metadata(family: &str, help: impl Into<String>) -> Metadata {
        Metadata { family: family.to_owned(), kind: MetricKind::Counter, help: help.into(), unit: String::new() }
    }

    #[test]
    fn what_is_said_again_is_kept_once_and_every_bound_holds() {
        let mut table = MetadataTable::default();
        table.extend([metadata("b", "one"), metadata("a", "two"), metadata("b", "one"), metadata("", "none")]);
        assert_eq!(table.get(None), [metadata("a", "two"), metadata("b", "one")]);
        table.extend((0..20).map(|i| metadata("a", i.to_string())));
        assert_eq!(table.get(Some("a")).len(), VARIANTS_MAX);
        table.extend((0..100).map(|i| metadata(&format!("long{i}"), "x".repeat(1 << 20))));
        assert!(table.bytes <= BYTES_MAX && table.get(None).len() < 50);
        assert_eq!(table.get(Some("gone")), []);
    }
}
