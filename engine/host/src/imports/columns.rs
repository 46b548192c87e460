//! Columns of a batch, as a plugin takes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_plugin::Batch;

/// The code of a series that lacks a label, in a dictionary-encoded column.
const ABSENT: u32 = u32::MAX;

pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The newest value of every series. Over an expression each has one row, and the column of values is the answer.
pub(super) fn latest(batch: &Batch) -> Arc<Vec<f64>> {
    // Without a way out in the middle, so that several offsets are compared at once.
    let one_each = || (0_u32..).zip(&batch.offsets).fold(true, |so_far, (i, offset)| so_far & (*offset == i));
    if batch.values.len() == batch.series.len() && one_each() {
        return Arc::clone(&batch.values);
    }
    Arc::new((0..batch.series.len()).map(|index| batch.last(index).unwrap_or(f64::NAN)).collect())
}

/// A column as its bytes. Whole numbers are copied at once: an iterator over their bytes would cost nanoseconds for each.
pub(super) fn pack<const N: usize, T: Copy>(column: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(column.len() * N);
    column.iter().for_each(|number| packed.extend_from_slice(&bytes(*number)));
    packed
}

/// Encodes a column of texts as its distinct values and one index per row.
pub(super) fn dictionary<'a>(column: impl Iterator<Item = Option<&'a str>>) -> (Vec<String>, Vec<u32>) {
    let (mut values, mut known) = (Vec::new(), BTreeMap::new());
    let codes = column.map(|value| {
        let Some(value) = value else { return ABSENT };
        *known.entry(value).or_insert_with(|| {
            values.push(value.to_owned());
            count(values.len() - 1)
        })
    });
    let codes = codes.collect();
    (values, codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::{Labels, Timestamp};

    #[test]
    fn a_dictionary_has_each_value_once_in_order_of_appearance() {
        let column = [Some("b"), None, Some("a"), Some("b")];
        assert_eq!(dictionary(column.into_iter()), (vec!["b".into(), "a".into()], vec![0, ABSENT, 1, 0]));
    }

    #[test]
    fn latest_is_the_last_row_of_each_series_and_nan_without_one() {
        let at = Timestamp::EPOCH;
        let latest = |rows: &[&[f64]]| {
            let series = (0..).zip(rows).map(|(number, values)| {
                (Labels::from_pairs([("a", format!("{number}"))]), values.iter().map(|value| (at, *value)))
            });
            format!("{:?}", latest(&Batch::new(at, series)))
        };
        assert_eq!(latest(&[&[1.0, 2.0], &[]]), "[2.0, NaN]");
        // As many rows as series, but not one for each.
        assert_eq!(latest(&[&[1.0, 2.0], &[], &[3.0]]), "[2.0, NaN, 3.0]");
        assert_eq!(latest(&[&[1.0], &[3.0]]), "[1.0, 3.0]");
    }
}
