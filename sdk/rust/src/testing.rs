//! For unit tests: batches, alerts and opening without WebAssembly.

use std::collections::BTreeMap;

use crate::{ABSENT, Alert, Condition, Error, Event, Formatter, Input, Router, Severity, config};

/// Opens a condition with JSON text, as the host does.
///
/// # Errors
/// What the condition says about its configuration.
pub fn open_condition<C: Condition>(config: &str) -> Result<C, Error> {
    C::open(config::parse(config)?)
}

/// Opens a router with JSON text.
///
/// # Errors
/// What the router says about its configuration.
pub fn open_router<R: Router>(config: &str) -> Result<R, Error> {
    R::open(config::parse(config)?)
}

/// Opens a formatter with JSON text.
///
/// # Errors
/// What the formatter says about its configuration.
pub fn open_formatter<F: Formatter>(config: &str) -> Result<F, Error> {
    F::open(config::parse(config)?)
}

/// An alert with these labels, firing since `starts_ms`. `alertname` and `severity` are taken from the labels.
pub fn alert(labels: &[(&str, &str)], starts_ms: i64) -> Alert {
    let labels = owned(labels);
    let get = |name: &str| labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
    let severity = match get("severity") {
        "info" => Severity::Info,
        "error" => Severity::Error,
        "critical" => Severity::Critical,
        _ => Severity::Warning,
    };
    Alert {
        fingerprint: format!("{:016x}", fingerprint(&labels)),
        name: get("alertname").to_owned(),
        severity,
        firing: true,
        starts_ms,
        labels,
        ..Alert::default()
    }
}

/// Builds an [`Input`].
#[derive(Clone, Debug)]
pub struct InputBuilder(Batch);

impl InputBuilder {
    /// An empty batch at a time in milliseconds since 1970.
    pub fn at(at_ms: i64) -> InputBuilder {
        InputBuilder(Batch { at_ms, offsets: vec![0], ..Batch::default() })
    }

    /// Adds a series with one row at the time of the batch.
    #[must_use]
    pub fn series(self, labels: &[(&str, &str)], value: f64) -> InputBuilder {
        let at_ms = self.0.at_ms;
        self.series_with(labels, &[(at_ms, value)])
    }

    /// Adds a series with rows of time and value, oldest first.
    #[must_use]
    pub fn series_with(mut self, labels: &[(&str, &str)], rows: &[(i64, f64)]) -> InputBuilder {
        let batch = &mut self.0;
        batch.series.push(owned(labels));
        for (timestamp, value) in rows {
            batch.timestamps.push(*timestamp);
            batch.values.push(*value);
        }
        batch.offsets.push(u32::try_from(batch.values.len()).unwrap_or(u32::MAX));
        self
    }

    /// Adds a series of events.
    #[must_use]
    pub fn events(mut self, labels: &[(&str, &str)], events: Vec<Event>) -> InputBuilder {
        let rows: Vec<_> = events.iter().map(|event| (event.time_ms, 1.0)).collect();
        self.0.events.extend(events);
        self.series_with(labels, &rows)
    }

    /// The finished input.
    pub fn build(self) -> Input {
        Input::from_test(self.0)
    }
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let map: BTreeMap<_, _> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    map.into_iter().collect()
}

/// The same function as the engine's: FNV-1a over name, 0xff, value, 0xff.
fn fingerprint(labels: &[(String, String)]) -> u64 {
    labels.iter().flat_map(|(name, value)| [name, value]).fold(0xcbf2_9ce4_8422_2325, |hash, part| {
        part.bytes().chain([0xff]).fold(hash, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    })
}

/// What an [`Input`] reads in a test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) at_ms: i64,
    pub(crate) series: Vec<Vec<(String, String)>>,
    pub(crate) offsets: Vec<u32>,
    pub(crate) timestamps: Vec<i64>,
    pub(crate) values: Vec<f64>,
    pub(crate) events: Vec<Event>,
}

impl Batch {
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.series.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn latest(&self) -> Vec<f64> {
        let rows = self.offsets.windows(2).map(|range| &self.values[range[0] as usize..range[1] as usize]);
        rows.map(|rows| rows.last().copied().unwrap_or(f64::NAN)).collect()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.series.iter().map(|labels| fingerprint(labels)).collect()
    }

    pub(crate) fn labels(&self, series: u32) -> &[(String, String)] {
        &self.series[series as usize]
    }

    pub(crate) fn label(&self, series: u32, name: &str) -> Option<&str> {
        self.labels(series).iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn label_column(&self, name: &str) -> (Vec<String>, Vec<u32>) {
        dictionary((0..self.count()).map(|series| self.label(series, name)))
    }

    pub(crate) fn event_column(&self, name: &str) -> (Vec<String>, Vec<u32>) {
        let field = |event: &'_ Event| event.fields.iter().position(|(n, _)| n == name);
        dictionary(self.events.iter().map(|event| field(event).map(|at| event.fields[at].1.as_str())))
    }
}

fn dictionary<'a>(column: impl Iterator<Item = Option<&'a str>>) -> (Vec<String>, Vec<u32>) {
    let mut values: Vec<String> = Vec::new();
    let codes = column.map(|value| {
        let Some(value) = value else { return ABSENT };
        let known = values.iter().position(|other| other == value);
        let at = known.unwrap_or_else(|| {
            values.push(value.to_owned());
            values.len() - 1
        });
        u32::try_from(at).unwrap_or(ABSENT)
    });
    let codes = codes.collect();
    (values, codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_reads_what_was_built() {
        let event = Event { kind: "login".into(), fields: vec![("user".into(), "ann".into())], ..Event::default() };
        let input = InputBuilder::at(5)
            .series(&[("job", "b"), ("a", "1")], 1.0)
            .series_with(&[("a", "2")], &[(1, 2.0), (2, 3.0)])
            .series_with(&[], &[])
            .events(&[("job", "b")], vec![])
            .build();
        assert_eq!((input.eval_time_ms(), input.series_count()), (5, 4));
        assert_eq!(format!("{:?}", input.latest()), "[1.0, 3.0, NaN, NaN]");
        assert_eq!(input.offsets(), [0, 1, 3, 3, 3]);
        assert_eq!(input.timestamps(), [5, 1, 2]);
        assert_eq!(input.labels(0)[0], ("a".to_owned(), "1".to_owned()));
        assert_eq!(input.label_column("job"), (vec!["b".to_owned()], vec![0, ABSENT, ABSENT, 0]));
        // The offset basis, as for the engine's empty label set.
        assert_eq!(input.series_ids()[2], 0xcbf2_9ce4_8422_2325);
        let input = InputBuilder::at(5).events(&[], vec![event.clone(), Event::default()]).build();
        assert_eq!(input.event_column("user"), (vec!["ann".to_owned()], vec![0, ABSENT]));
        assert_eq!(input.event_at(0), Some(event));
    }
}
