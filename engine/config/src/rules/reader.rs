//! Reads rule files again and again: what is written as it was is not read again.
//!
//! A file that lists its groups line by line is cut into their texts, each of which is read on its own. Where anything
//! speaks against that, such as another layout, an anchor, or an error, the file is read as a whole, so that verdicts
//! and diagnostics are always those of [`load_rules_with`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use watchfire_promql::Features;
use watchfire_rules::{RuleFile, RuleGroup};

use super::{LoadedRules, load_rules_with};
use crate::config::Source;
use crate::diagnostic::Diagnostic;

/// Reads rule files and remembers their groups.
#[derive(Clone, Debug, Default)]
pub struct RuleReader {
    files: HashMap<String, Known>,
}

/// The groups of a file by their texts.
#[derive(Clone, Debug, Default)]
struct Known {
    features: Features,
    groups: HashMap<String, Arc<ReadGroup>>,
}

/// What the text of a group gave.
#[derive(Clone, Debug)]
struct ReadGroup {
    /// The line of the file on which the text began.
    line: usize,
    group: RuleGroup,
    warnings: Vec<Diagnostic>,
}

/// The text of one group, and the line of the file on which it begins, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part<'t> {
    line: usize,
    text: &'t str,
}

impl RuleReader {
    /// Reads a rule file. Rules that are written as they were when the file was read last are the same `Arc`, unless
    /// they have moved to other lines.
    pub fn read(&mut self, source: Source<'_>, features: Features) -> LoadedRules {
        let before = self.files.remove(source.name).filter(|known| known.features == features).unwrap_or_default();
        let Some((loaded, groups)) = read_parts(source, features, &before) else {
            return load_rules_with(source, features);
        };
        self.files.insert(source.name.to_owned(), Known { features, groups });
        loaded
    }

    /// Forgets the files that are no longer there.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.files.retain(|file, _| is_there(file));
    }
}

/// Reads each group on its own. `None` if the file has to be read as a whole.
fn read_parts(
    source: Source<'_>,
    features: Features,
    before: &Known,
) -> Option<(LoadedRules, HashMap<String, Arc<ReadGroup>>)> {
    let parts = parts(source.text)?;
    let mut file = RuleFile { path: source.name.to_owned(), groups: Vec::with_capacity(parts.len()) };
    let mut diagnostics = Vec::new();
    let mut groups = HashMap::with_capacity(parts.len());
    for part in parts {
        let read = match before.groups.get(part.text) {
            Some(known) if known.line == part.line => Arc::clone(known),
            Some(known) => Arc::new(known.moved(part.line)),
            None => Arc::new(read_part(source.name, part, features)?),
        };
        file.groups.push(read.group.clone());
        diagnostics.extend(read.warnings.iter().cloned());
        // Two groups of the same text have the same name too, which is found below.
        groups.insert(part.text.to_owned(), read);
    }
    let mut names = HashSet::with_capacity(file.groups.len());
    let distinct = file.groups.iter().all(|group| names.insert(group.name.as_str()));
    distinct.then_some((LoadedRules { file, quarantined: Vec::new(), diagnostics }, groups))
}

fn read_part(file: &str, part: Part<'_>, features: Features) -> Option<ReadGroup> {
    let text = format!("{HEAD}\n{}", part.text);
    let LoadedRules { file, quarantined, diagnostics } = load_rules_with(Source { name: file, text: &text }, features);
    let [group] = <[RuleGroup; 1]>::try_from(file.groups).ok()?;
    let is_good = quarantined.is_empty() && !diagnostics.iter().any(Diagnostic::is_error);
    // The group's first line is the second of the text.
    is_good.then(|| ReadGroup { line: 2, group, warnings: diagnostics }.moved(part.line))
}

impl ReadGroup {
    /// The same text at another line.
    fn moved(&self, line: usize) -> ReadGroup {
        let moved = |at: usize| at + line - self.line;
        let mut group = self.group.clone();
        group.position.line = moved(group.position.line);
        group.rules = group.rules.iter().map(|rule| Arc::new(rule.moved(moved))).collect();
        let warning = |warning: &Diagnostic| Diagnostic { line: moved(warning.line), ..warning.clone() };
        ReadGroup { line, group, warnings: self.warnings.iter().map(warning).collect() }
    }
}

const HEAD: &str = "groups:";

/// Cuts a file into the texts of its groups, if it is the usual block list and nothing in it can reach from one group
/// into another.
fn parts(text: &str) -> Option<Vec<Part<'_>>> {
    if may_have_anchors(text) {
        return None;
    }
    let mut starts: Vec<(usize, usize)> = Vec::new();
    let (mut headed, mut indent) = (false, None);
    let (mut offset, mut number) = (0, 0);
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        number += 1;
        let content = line.trim_end();
        let blanks = content.len() - content.trim_start_matches(' ').len();
        let content = &content[blanks..];
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if content.starts_with('\t') {
            return None;
        }
        if !headed {
            let only_head = blanks == 0 && content.strip_prefix(HEAD).is_some_and(|rest| rest.is_empty());
            if only_head {
                headed = true;
            } else if content != "---" || blanks > 0 || start > 0 {
                return None;
            }
            continue;
        }
        let indent = *indent.get_or_insert(blanks);
        if blanks == indent && content.starts_with("- ") {
            starts.push((start, number));
        } else if blanks <= indent {
            return None;
        }
    }
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([text.len()]);
    Some(starts.iter().zip(ends).map(|((start, line), end)| Part { line: *line, text: &text[*start..end] }).collect())
}

/// Whether some `&` or `*` may begin a name of YAML, which others refer to.
fn may_have_anchors(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| {
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let after = bytes.get(at + 1).copied().unwrap_or(b' ');
        matches!(byte, b'&' | b'*')
            && matches!(before, b' ' | b'\n' | b'[' | b'{' | b',')
            && !after.is_ascii_whitespace()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(groups: &[&str]) -> String {
        let mut text = String::from("# rules\ngroups:\n");
        for group in groups {
            text.push_str(group);
        }
        text
    }

    fn read(reader: &mut RuleReader, text: &str) -> LoadedRules {
        let source = Source { name: "r.yml", text };
        let loaded = reader.read(source, Features::default());
        let whole = load_rules_with(source, Features::default());
        assert_eq!(format!("{loaded:?}"), format!("{whole:?}"), "{text}");
        loaded
    }

    const A: &str = "- name: a\n  rules:\n  - alert: A\n    expr: a > 1\n    annotations:\n      text: |\n        - x\n\n        # y\n";
    const B: &str = "- name: b\n  # comment\n  rules:\n  - {record: 'b:b', expr: 'sum(b) * 2'}\n\n";
    const C: &str =
        "- name: c\n  rules:\n  - alert: C\n    expr: >\n      c\n      > 1\n    for: 1m\n    resolve_when: c < 1\n";

    #[test]
    fn what_is_written_as_it_was_is_the_same_and_reads_as_the_whole_file_does() {
        let mut reader = RuleReader::default();
        let first = read(&mut reader, &text(&[A, B, C]));
        let same = |after: &LoadedRules, index: usize, before: &LoadedRules, index_before: usize| {
            Arc::ptr_eq(&after.file.groups[index].rules[0], &before.file.groups[index_before].rules[0])
        };
        let changed = read(&mut reader, &text(&[A, &B.replace("* 2", "* 3"), C]));
        assert_eq!([0, 1, 2].map(|at| same(&changed, at, &first, at)), [true, false, true]);
        // What has moved keeps its expression at least.
        let moved = read(&mut reader, &text(&[C, A]));
        let expr = |loaded: &LoadedRules, index: usize| match &loaded.file.groups[index].rules[0].source {
            watchfire_rules::Source::Expr(source) => Arc::clone(&source.expr),
            watchfire_rules::Source::Events(_) => unreachable!("these are expressions"),
        };
        assert!(Arc::ptr_eq(&expr(&moved, 0), &expr(&first, 2)));
        assert!(Arc::ptr_eq(&expr(&moved, 1), &expr(&first, 0)));
    }

    #[test]
    fn whatever_is_unusual_or_wrong_is_told_as_always() {
        let mut reader = RuleReader::default();
        let anchored = "- name: d\n  labels: &l {x: y}\n  rules: [{alert: D, expr: d, labels: *l}]\n";
        let quoted = "- name: \"e\n- name: f\"\n  rules: []\n";
        for groups in [
            &[A, B][..],
            &[A, A],
            &[A, "- name: a\n  rules: []\n"],
            &[A, "- name: b\n  rules:\n  - {alert: B, expr: 'b >'}\n", C],
            &[A, "- name: b\n  rulez: []\n"],
            &[A, "---\n", C],
            &[A, "other: 1\n"],
            &[A, "  - name: x\n", C],
            &[A, "- 7\n"],
            &[A, "-\n  name: g\n  rules: []\n"],
            &[A, "\t- name: g\n"],
            &[anchored, C],
            &[A, quoted],
            &[A, "- name: b\n  rules: [{alert: B, expr: up, labels: {a: '{{'}}]\n"],
            &[],
            &[A, C, B],
        ] {
            read(&mut reader, &text(groups));
        }
        read(&mut reader, "groups: [{name: a, rules: [{alert: A, expr: up}]}]\n");
        read(&mut reader, "");
    }
}
