//! Expected and got side by side: what is missing, what is there unexpectedly, and what differs in part.

use std::collections::BTreeMap;
use std::ops::Range;

use watchfire_model::{ALERT_NAME_LABEL, Labels, METRIC_NAME_LABEL};

/// Something with labels and named details, such as an alert with its annotations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) labels: Labels,
    /// The details as they are shown.
    pub(crate) details: BTreeMap<String, String>,
}

/// Where the text of a [`Line`] was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// On both sides, or on none: a heading or a remark.
    Both,
    /// Only in what was expected.
    Expected,
    /// Only in what was there.
    Got,
}

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which side it is from.
    pub mark: Mark,
    /// What it says, indented below what it belongs to.
    pub text: String,
    /// The bytes of the text that differ from the line of the other side; empty if there is no such line.
    pub differs: Range<usize>,
    /// Whether it is equal on both sides and only shown for the whole picture.
    pub is_context: bool,
}

impl Line {
    pub(crate) fn new(mark: Mark, text: impl Into<String>) -> Line {
        Line { mark, text: text.into(), differs: 0..0, is_context: false }
    }

    fn context(text: String) -> Line {
        Line { is_context: true, ..Line::new(Mark::Both, text) }
    }
}

/// What an expectation and what is there say about one thing, with the part marked in which they differ.
pub(crate) fn opposed(expected: String, got: String) -> [Line; 2] {
    let before: usize =
        expected.chars().zip(got.chars()).take_while(|(a, b)| a == b).map(|(character, _)| character.len_utf8()).sum();
    let rests = expected[before..].chars().rev().zip(got[before..].chars().rev());
    let behind: usize = rests.take_while(|(a, b)| a == b).map(|(character, _)| character.len_utf8()).sum();
    [(Mark::Expected, expected), (Mark::Got, got)].map(|(mark, text)| {
        let differs = before..text.len() - behind;
        Line { differs, ..Line::new(mark, text) }
    })
}

/// The comparison of two sets; no line if they are equal. Order does not matter.
pub(crate) fn difference(expected: &[Item], got: &[Item]) -> Vec<Line> {
    let mut missing: Vec<&Item> = expected.iter().collect();
    let mut extra: Vec<&Item> = Vec::new();
    let mut lines = Vec::new();
    for item in got {
        match missing.iter().position(|other| *other == item) {
            Some(position) => {
                missing.remove(position);
                lines.extend(one_sided(item, Mark::Both).map(|line| Line::context(line.text)));
            }
            None => extra.push(item),
        }
    }
    if missing.is_empty() && extra.is_empty() {
        return Vec::new();
    }
    // Those that have most in common are probably the same thing, which came out differently.
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (i, wanted) in missing.iter().enumerate() {
        for (j, there) in extra.iter().enumerate() {
            pairs.push((shared(wanted, there), i, j));
        }
    }
    pairs.sort_by_key(|(shared, i, j)| (std::cmp::Reverse(*shared), *i, *j));
    let mut partners: BTreeMap<usize, usize> = BTreeMap::new();
    for (shared, i, j) in pairs {
        let labels = missing[i].labels.len().max(extra[j].labels.len());
        let alike = shared * 2 > labels || labels == 0;
        if alike && !partners.contains_key(&i) && !partners.values().any(|other| *other == j) {
            partners.insert(i, j);
        }
    }
    for (i, wanted) in missing.iter().enumerate() {
        match partners.get(&i) {
            Some(j) => pair(wanted, extra[*j], &mut lines),
            None => lines.extend(one_sided(wanted, Mark::Expected)),
        }
    }
    let alone = extra.iter().enumerate().filter(|(j, _)| !partners.values().any(|other| other == j));
    lines.extend(alone.flat_map(|(_, item)| one_sided(item, Mark::Got)));
    lines
}

/// How many labels are the same.
fn shared(a: &Item, b: &Item) -> usize {
    a.labels.iter().filter(|label| b.labels.get(label.name) == Some(label.value)).count()
}

fn one_sided(item: &Item, mark: Mark) -> impl Iterator<Item = Line> {
    let details = item.details.iter().map(|(name, text)| format!("  {name}: {text}"));
    std::iter::once(named(&item.labels)).chain(details).map(move |text| Line::new(mark, text))
}

/// What two that are taken for the same have in common, and below it what differs.
fn pair(expected: &Item, got: &Item, lines: &mut Vec<Line>) {
    let common: Vec<_> =
        expected.labels.iter().filter(|label| got.labels.get(label.name) == Some(label.value)).collect();
    let common = Labels::from_pairs(common.into_iter().map(|label| (label.name, label.value)));
    lines.push(Line::new(Mark::Both, named(&common)));
    let labels = |item: &Item| -> BTreeMap<String, String> {
        let own = item.labels.iter().filter(|label| common.get(label.name).is_none());
        own.map(|label| (label.name.to_owned(), format!("{}={:?}", label.name, label.value))).collect()
    };
    let details = |item: &Item| -> BTreeMap<String, String> {
        item.details.iter().map(|(name, text)| (name.clone(), format!("{name}: {text}"))).collect()
    };
    for (wanted, there) in [(labels(expected), labels(got)), (details(expected), details(got))] {
        let mut names: Vec<_> = wanted.keys().chain(there.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let indented = |text: &String| format!("  {text}");
            match (wanted.get(name).map(indented), there.get(name).map(indented)) {
                (Some(wanted), Some(there)) if wanted == there => lines.push(Line::context(wanted)),
                (Some(wanted), Some(there)) => lines.extend(opposed(wanted, there)),
                (Some(wanted), None) => lines.push(Line::new(Mark::Expected, wanted)),
                (None, Some(there)) => lines.push(Line::new(Mark::Got, there)),
                (None, None) => {}
            }
        }
    }
}

/// `Down{job="a"}`: a series or an alert by its name and other labels.
pub(crate) fn named(labels: &Labels) -> String {
    let name = [METRIC_NAME_LABEL, ALERT_NAME_LABEL].into_iter().find(|name| labels.get(name).is_some());
    let Some(name) = name else { return labels.to_string() };
    let others = labels.without(name);
    let others = if others.is_empty() { String::new() } else { others.to_string() };
    format!("{}{others}", labels.value_or_empty(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(labels: &[(&str, &str)], details: &[(&str, &str)]) -> Item {
        Item {
            labels: Labels::from_pairs(labels.iter().copied()),
            details: details.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        }
    }

    /// Each line with its mark, context in brackets, and what differs between arrows.
    fn told(expected: &[Item], got: &[Item]) -> String {
        let show = |line: &Line| {
            let mark = match line.mark {
                Mark::Both => ' ',
                Mark::Expected => '-',
                Mark::Got => '+',
            };
            let Range { start, end } = line.differs;
            let text = match line.text.get(start..end) {
                Some(part) if !part.is_empty() => format!("{}>{part}<{}", &line.text[..start], &line.text[end..]),
                _ => line.text.clone(),
            };
            if line.is_context { format!("[{mark} {text}]") } else { format!("{mark} {text}") }
        };
        difference(expected, got).iter().map(show).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_alike_is_compared_and_the_rest_stands_alone() {
        let expected = [
            item(&[("alertname", "A"), ("a", "1"), ("b", "2")], &[("summary", "x is up"), ("same", "s")]),
            item(&[("alertname", "A"), ("c", "1"), ("d", "1")], &[("summary", "y")]),
            item(&[("alertname", "A"), ("e", "1"), ("severity", "page")], &[]),
            item(&[("equal", "1")], &[]),
        ];
        let got = [
            item(&[("equal", "1")], &[]),
            item(&[("f", "1")], &[("g", "h")]),
            item(&[("alertname", "A"), ("e", "1"), ("severity", "warning")], &[("new", "n")]),
            item(&[("alertname", "A"), ("a", "1"), ("b", "2")], &[("summary", "x is down"), ("same", "s")]),
        ];
        expect_test::expect![[r#"
            [  {equal="1"}]
              A{a="1", b="2"}
            [    same: s]
            -   summary: x is >up<
            +   summary: x is >down<
            - A{c="1", d="1"}
            -   summary: y
              A{e="1"}
            -   severity=">page<"
            +   severity=">warning<"
            +   new: n
            + {f="1"}
            +   g: h"#]]
        .assert_eq(&told(&expected, &got));
        assert_eq!(difference(&expected[..2], &[expected[1].clone(), expected[0].clone()]), []);
    }
}
