//! The checks that every label set passes, whatever wire it came on.

use watchfire_model::{METRIC_NAME_LABEL, is_legacy_label_name};

use crate::{DecodeError, Item, LabelNames, Limits, UnsortedLabels};

/// Whether `name` may name a metric under the old rules, which allow colons beside what labels may have.
fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// Text for a message: at most 64 characters of it, so that an error never carries a megabyte back.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Counts the bytes of the labels that a body gives to its series. Where a text stands once for many series, a small body
/// can hold very large label sets.
#[derive(Debug)]
pub(crate) struct LabelBudget {
    left: usize,
    max: usize,
}

impl LabelBudget {
    pub(crate) fn new(limits: &Limits) -> LabelBudget {
        LabelBudget { left: limits.labels_bytes_max, max: limits.labels_bytes_max }
    }

    /// Counts labels before they are copied.
    ///
    /// # Errors
    /// If the body has more of them than it may.
    pub(crate) fn spend(&mut self, bytes: usize, item: Item) -> Result<(), DecodeError> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let message = format!("the labels of all series together have more than {} bytes", self.max);
                Err(DecodeError::too_large(message).at(item))
            }
        }
    }
}

/// Checks one label's name.
pub(crate) fn check_name(name: &str, limits: &Limits) -> Result<(), String> {
    if name.is_empty() {
        return Err("a label name is empty".to_owned());
    }
    if name.len() > limits.label_name_bytes_max {
        let (length, max) = (name.len(), limits.label_name_bytes_max);
        return Err(format!("label name {:?} has {length} bytes, the limit is {max}", shorten(name)));
    }
    if limits.label_names == LabelNames::Legacy && !is_legacy_label_name(name) {
        return Err(format!("label name {:?} is invalid", shorten(name)));
    }
    Ok(())
}

/// Checks one label's value.
pub(crate) fn check_value(name: &str, value: &str, limits: &Limits) -> Result<(), String> {
    if value.len() > limits.label_value_bytes_max {
        let (length, max) = (value.len(), limits.label_value_bytes_max);
        return Err(format!("the value of label {:?} has {length} bytes, the limit is {max}", shorten(name)));
    }
    Ok(())
}

/// Checks a series' label set and brings it into its canonical form: sorted, names unique, no empty values.
///
/// # Errors
/// The reason why the series is rejected.
pub(crate) fn check_series(labels: &mut Vec<(&str, &str)>, limits: &Limits) -> Result<(), String> {
    if labels.len() > limits.labels_max {
        return Err(format!("it has {} labels, the limit is {}", labels.len(), limits.labels_max));
    }
    for (name, value) in labels.iter() {
        check_name(name, limits)?;
        check_value(name, value, limits)?;
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 > pair[1].0) {
        if limits.unsorted_labels == UnsortedLabels::Reject {
            let (first, second) = (shorten(pair[0].0), shorten(pair[1].0));
            return Err(format!("its labels are not sorted: {first:?} comes before {second:?}"));
        }
        // Stable, so that the message below names duplicates in the sender's order.
        labels.sort_by_key(|(name, _)| *name);
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("label {:?} is given more than once", shorten(pair[0].0)));
    }
    labels.retain(|(_, value)| !value.is_empty());
    match labels.iter().find(|(name, _)| *name == METRIC_NAME_LABEL) {
        None => Err("it has no __name__ label".to_owned()),
        Some((_, name)) if limits.label_names == LabelNames::Legacy && !is_legacy_metric_name(name) => {
            Err(format!("metric name {:?} is invalid", shorten(name)))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_own_reason() {
        let long = "x".repeat(2_000);
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[("__name__", "up"), ("a", "1")], ""),
            (&[("__name__", "up"), ("a.b", "1")], ""),
            (&[("a", "1")], "it has no __name__ label"),
            (&[("__name__", "")], "it has no __name__ label"),
            (&[("", "1"), ("__name__", "up")], "a label name is empty"),
            (&[("__name__", "up"), ("b", "1"), ("a", "1")], r#"its labels are not sorted: "b" comes before "a""#),
            (&[("__name__", "up"), ("a", "1"), ("a", "1")], r#"label "a" is given more than once"#),
            (&[("__name__", "up"), ("a", "1"), ("b", ""), ("b", "2")], r#"label "b" is given more than once"#),
            (&[("__name__", "up"), ("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")], "it has 5 labels, the limit is 4"),
        ];
        let limits = Limits { labels_max: 4, ..Limits::STANDARD };
        for (labels, reason) in table {
            let result = check_series(&mut labels.to_vec(), &limits);
            assert_eq!(result.err().unwrap_or_default(), *reason, "{labels:?}");
        }
        let error = check_series(&mut vec![("__name__", "up"), (long.as_str(), "1")], &limits).unwrap_err();
        assert!(error.ends_with("...\" has 2000 bytes, the limit is 1024"), "{error}");
        let limits = Limits { label_value_bytes_max: 10, ..Limits::STANDARD };
        let error = check_series(&mut vec![("__name__", "up"), ("a", long.as_str())], &limits).unwrap_err();
        assert_eq!(error, r#"the value of label "a" has 2000 bytes, the limit is 10"#);
    }

    #[test]
    fn legacy_names_are_a_choice() {
        let legacy = Limits { label_names: LabelNames::Legacy, ..Limits::STANDARD };
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[("__name__", "job:up:sum")], ""),
            (&[("__name__", "up"), ("a-b", "1")], r#"label name "a-b" is invalid"#),
            (&[("__name__", "up"), ("a:b", "1")], r#"label name "a:b" is invalid"#),
            (&[("__name__", "http.requests")], r#"metric name "http.requests" is invalid"#),
        ];
        for (labels, reason) in table {
            assert_eq!(check_series(&mut labels.to_vec(), &legacy).err().unwrap_or_default(), *reason, "{labels:?}");
        }
    }

    #[test]
    fn empty_values_are_absent_labels_and_sorting_is_a_choice() {
        let sorting = Limits { unsorted_labels: UnsortedLabels::Sort, ..Limits::STANDARD };
        let mut labels = vec![("b", "2"), ("a", ""), ("__name__", "up")];
        check_series(&mut labels, &sorting).unwrap();
        assert_eq!(labels, [("__name__", "up"), ("b", "2")]);
    }
}
