//! What a condition plugin is asked about.

use watchfire_events::{CompiledQuery, EventHit};
use watchfire_model::{Event, Timestamp};
use watchfire_plugin::Batch;
use watchfire_promql::VectorSample;

/// The batch for the result of an expression: one row per series. Native histograms have no number and are left out.
pub fn batch_of_samples(at: Timestamp, samples: &[VectorSample]) -> Batch {
    let rows = |sample: &VectorSample| Some((sample.labels.clone(), [(sample.timestamp, sample.float()?)]));
    Batch::new(at, samples.iter().filter_map(rows))
}

/// The batch for event windows: one series per group, its events as rows, oldest first.
pub(crate) fn batch_of_events(at: Timestamp, query: &CompiledQuery, hits: Vec<EventHit>) -> Batch {
    let row = |event: &Event| (event.time, query.row_value(event));
    let series = hits.iter().map(|hit| (hit.labels.clone(), hit.events.iter().map(row)));
    let batch = Batch::new(at, series);
    Batch { events: hits.into_iter().flat_map(|hit| hit.events).collect(), ..batch }
}
