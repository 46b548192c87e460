//! Comments that silence a lint: `# watchfire ignore short-range -- the exporter is scraped every 5 s`.

use std::collections::BTreeSet;

use watchfire_rules::Position;

use super::LINTS;
use crate::decode::Decoder;
use crate::diagnostic::{Diagnostic, nearest};

const MARK: &str = "# watchfire ignore";

/// The lints that comments of a file silence.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// The lines where rules begin.
    rules: Vec<usize>,
    /// The line of a rule, or 0 for the whole file, and a lint.
    pairs: BTreeSet<(usize, &'static str)>,
}

impl Ignored {
    /// Reads the comments of a file whose rules begin at `positions`. One that names no lint is told.
    ///
    /// A comment belongs to the rule in which it stands, or to the one that begins right below it; before the first
    /// rule group it belongs to the whole file.
    pub(super) fn read(decoder: &mut Decoder<'_>, positions: impl Iterator<Item = Position>) -> Ignored {
        let mut ignored = Ignored { rules: positions.map(|position| position.line).collect(), ..Ignored::default() };
        ignored.rules.sort_unstable();
        let file = decoder.file();
        let mut start = 0;
        // The lines of comments that wait for what stands below them.
        let mut waiting: Vec<&'static str> = Vec::new();
        for (index, line) in file.lines().enumerate() {
            let number = index + 1;
            let lints = lints(decoder, start, line);
            start += line.len() + 1;
            let alone = line.trim_start().starts_with('#');
            if alone {
                waiting.extend(lints);
                continue;
            }
            let owner = match ignored.rule_of(number) {
                0 if line.starts_with("groups:") || line.trim().is_empty() => 0,
                // Above the first rule, but not above everything: the group's own lines.
                0 => continue,
                rule => rule,
            };
            let all = std::mem::take(&mut waiting).into_iter().chain(lints);
            ignored.pairs.extend(all.map(|lint| (owner, lint)));
        }
        let last = ignored.rules.last().copied().unwrap_or(0);
        ignored.pairs.extend(waiting.into_iter().map(|lint| (last, lint)));
        ignored
    }

    pub(super) fn silences(&self, diagnostic: &Diagnostic) -> bool {
        let rule = self.rule_of(diagnostic.line);
        [0, rule].iter().any(|owner| self.pairs.contains(&(*owner, diagnostic.code)))
    }

    /// The line where the rule begins in which a line stands; 0 before the first rule.
    fn rule_of(&self, line: usize) -> usize {
        let after = self.rules.partition_point(|start| *start <= line);
        after.checked_sub(1).map_or(0, |at| self.rules[at])
    }
}

/// The lints that a line's comment names.
fn lints(decoder: &mut Decoder<'_>, start: usize, line: &str) -> Vec<&'static str> {
    let Some(at) = line.find(MARK) else { return Vec::new() };
    let rest = line[at + MARK.len()..].split(" --").next().unwrap_or_default();
    let words: Vec<&str> = rest.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
    let mut found = Vec::new();
    for word in &words {
        match LINTS.iter().find(|(id, _)| id == word) {
            Some((id, _)) => found.push(*id),
            None => {
                let help = match nearest(word, LINTS.iter().map(|(id, _)| *id)) {
                    Some(near) => format!("did you mean {near}? A reason stands behind ` -- `"),
                    None => "`watchfire check --help` lists them; a reason stands behind ` -- `".to_owned(),
                };
                decoder.warning(start + at, "unknown-lint", format!("there is no lint {word:?}")).help(help);
            }
        }
    }
    if words.is_empty() {
        let message = "this comment says to ignore something, but not what";
        decoder.warning(start + at, "unknown-lint", message).help("write the lint's id, as it stands in brackets");
    }
    found
}
