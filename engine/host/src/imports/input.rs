//! The interface `input`: the batch that a condition looks at.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{ComponentType, Linker, Lower};
use watchfire_model::{Label, Labels};
use watchfire_plugin::Batch;

use super::Store;
use super::columns::{count, dictionary, latest, pack};
use crate::context::{BATCH, Context, Refused};

/// One event of a stream.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Event {
    id: String,
    #[component(name = "time-ms")]
    time_ms: i64,
    kind: String,
    body: String,
    fields: Vec<(String, String)>,
}

/// Adds the interface under the name that a version of the contract gives it.
pub(super) fn add(linker: &mut Linker<Context>, interface: &str) -> Result<()> {
    let mut input = linker.instance(interface)?;
    input.func_wrap("eval-time-ms", |_: Store<'_>, (): ()| read(|batch| batch.at.as_millis()))?;
    input.func_wrap("series-count", |_: Store<'_>, (): ()| read(|batch| count(batch.series.len())))?;
    input.func_wrap("row-count", |_: Store<'_>, (): ()| read(|batch| count(batch.values.len())))?;

    input.func_wrap("latest", |_: Store<'_>, (): ()| read(latest))?;
    input.func_wrap("latest-le", |_: Store<'_>, (): ()| read(|batch| pack(&latest(batch), f64::to_le_bytes)))?;
    input.func_wrap("series-ids", |_: Store<'_>, (): ()| read(|batch| Arc::clone(&batch.ids)))?;
    input.func_wrap("series-ids-le", |_: Store<'_>, (): ()| read(|batch| pack(&batch.ids, u64::to_le_bytes)))?;
    input.func_wrap("offsets", |_: Store<'_>, (): ()| read(|batch| batch.offsets.clone()))?;
    input.func_wrap("offsets-le", |_: Store<'_>, (): ()| read(|batch| pack(&batch.offsets, u32::to_le_bytes)))?;
    input.func_wrap("timestamps", |_: Store<'_>, (): ()| read(|batch| batch.timestamps.clone()))?;
    input.func_wrap("timestamps-le", |_: Store<'_>, (): ()| read(|batch| pack(&batch.timestamps, i64::to_le_bytes)))?;
    input.func_wrap("values", |_: Store<'_>, (): ()| read(|batch| Arc::clone(&batch.values)))?;
    input.func_wrap("values-le", |_: Store<'_>, (): ()| read(|batch| pack(&batch.values, f64::to_le_bytes)))?;

    input.func_wrap("series-key", |_: Store<'_>, (index,): (u32,)| {
        find(|batch| Ok(series(batch, index)?.fingerprint().to_string()))
    })?;
    input.func_wrap("label", |_: Store<'_>, (index, name): (u32, String)| {
        find(|batch| Ok(series(batch, index)?.get(&name).map(str::to_owned)))
    })?;
    input.func_wrap("labels", |_: Store<'_>, (index,): (u32,)| {
        let pair = |label: Label<'_>| (label.name.to_owned(), label.value.to_owned());
        find(|batch| Ok(series(batch, index)?.iter().map(pair).collect::<Vec<_>>()))
    })?;
    input.func_wrap("label-column", |_: Store<'_>, (name,): (String,)| {
        read(|batch| dictionary(batch.series.iter().map(|labels| labels.get(&name))))
    })?;

    input.func_wrap("event-at", |_: Store<'_>, (row,): (u32,)| find(|batch| event(batch, row)))?;
    input.func_wrap("event-bodies", |_: Store<'_>, (): ()| read(bodies))?;
    input.func_wrap("event-column", |_: Store<'_>, (name,): (String,)| {
        read(|batch| {
            let texts: Vec<_> = batch.events.iter().map(|event| event.fields.get(&name).map(|v| v.to_text())).collect();
            dictionary(texts.iter().map(Option::as_deref))
        })
    })
}

/// What the batch has, which only an `evaluate` has.
fn find<R>(find: impl FnOnce(&Batch) -> Result<R>) -> Result<(R,)> {
    if !BATCH.is_set() {
        return Err(Refused("`input` can be read during condition.evaluate only".to_owned()).into());
    }
    BATCH.with(find).map(|found| (found,))
}

/// The same for what every batch has.
fn read<R>(read: impl FnOnce(&Batch) -> R) -> Result<(R,)> {
    find(|batch| Ok(read(batch)))
}

fn series(batch: &Batch, index: u32) -> Result<&Labels> {
    let missing = || Refused(format!("`input` was asked for series {index}, there are {}", batch.series.len()));
    Ok(batch.series.get(index as usize).ok_or_else(missing)?)
}

fn event(batch: &Batch, row: u32) -> Result<Option<Event>> {
    let (row, rows) = (row as usize, batch.values.len());
    if row >= rows {
        return Err(Refused(format!("`input` was asked for row {row}, there are {rows}")).into());
    }
    Ok(batch.events.get(row).map(|event| Event {
        id: event.id.clone(),
        time_ms: event.time.as_millis(),
        kind: event.kind.clone(),
        body: event.body.clone(),
        fields: event.fields.iter().map(|(name, value)| (name.clone(), value.to_text())).collect(),
    }))
}

/// Where each body begins and at last the number of bytes, and the bytes.
fn bodies(batch: &Batch) -> (Vec<u32>, Vec<u8>) {
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    for event in &batch.events {
        bytes.extend_from_slice(event.body.as_bytes());
        offsets.push(count(bytes.len()));
    }
    (offsets, bytes)
}
