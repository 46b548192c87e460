//! Two sets side by side: what is missing, what is there unexpectedly, and what differs in part.

use std::collections::BTreeMap;

use watchfire_model::Labels;

/// Something with labels and named details, such as an alert with its annotations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) labels: Labels,
    pub(crate) details: BTreeMap<String, String>,
}

/// The difference of two sets, one line for each thing; `None` if they are equal. Order does not matter.
pub(crate) fn difference(expected: &[Item], got: &[Item]) -> Option<String> {
    let mut missing: Vec<&Item> = expected.iter().collect();
    let mut extra: Vec<&Item> = Vec::new();
    for item in got {
        match missing.iter().position(|other| *other == item) {
            Some(position) => drop(missing.remove(position)),
            None => extra.push(item),
        }
    }
    if missing.is_empty() && extra.is_empty() {
        return None;
    }
    let mut lines = Vec::new();
    for wanted in missing {
        // The same labels with other details are one difference and not two.
        match extra.iter().position(|item| item.labels == wanted.labels) {
            Some(position) => {
                let item = extra.remove(position);
                lines.push(format!("differs     {}", wanted.labels));
                details(wanted, item, &mut lines);
            }
            None => lines.push(format!("missing     {}", one_line(wanted))),
        }
    }
    lines.extend(extra.into_iter().map(|item| format!("unexpected  {}", one_line(item))));
    Some(lines.join("\n"))
}

fn details(expected: &Item, got: &Item, lines: &mut Vec<String>) {
    let mut names: Vec<_> = expected.details.keys().chain(got.details.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (wanted, there) = (expected.details.get(name), got.details.get(name));
        if wanted != there {
            let show = |value: Option<&String>| value.map_or("(absent)".to_owned(), |text| format!("{text:?}"));
            lines.push(format!("    {name}"));
            lines.push(format!("        expected {}", show(wanted)));
            lines.push(format!("        got      {}", show(there)));
        }
    }
}

fn one_line(item: &Item) -> String {
    let details: Vec<_> = item.details.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{} {}", item.labels, details.join(", ")).trim_end().to_owned()
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

    #[test]
    fn each_difference_is_told_once() {
        let expected = [item(&[("a", "1")], &[("summary", "x"), ("same", "s")]), item(&[("b", "1")], &[])];
        let got = [item(&[("c", "1")], &[("d", "e")]), item(&[("a", "1")], &[("summary", "y"), ("same", "s")])];
        let told = difference(&expected, &got).unwrap();
        expect_test::expect![[r#"
            differs     {a="1"}
                summary
                    expected "x"
                    got      "y"
            missing     {b="1"}
            unexpected  {c="1"} d="e""#]]
        .assert_eq(&told);
        assert_eq!(difference(&expected, &[expected[1].clone(), expected[0].clone()]), None);
    }
}
