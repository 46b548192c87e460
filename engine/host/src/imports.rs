//! The contract's imports: what a plugin can ask the host for during a call.

mod previous;

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, WasmList};
use wasmtime::{Engine, Result, StoreContextMut};
use watchfire_plugin::{Batch, State};

use crate::bindings::v0_1;
use crate::bindings::v0_2::watchfire::plugin::{alerts, input, log, types};
use crate::context::{BATCH, Context, Refused};

/// The imports of every version of the contract; WASI is added per component.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Context>> {
    use v0_1::watchfire::plugin as before;

    let mut linker = Linker::new(engine);
    types::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    alerts::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    input::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    log::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    state(&mut linker, "watchfire:plugin/state@0.2.0")?;
    before::input::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    before::log::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    state(&mut linker, "watchfire:plugin/state@0.1.0")?;
    Ok(linker)
}

/// The code of a series that lacks a label, in a dictionary-encoded column.
const ABSENT: u32 = u32::MAX;

fn with_batch<R>(read: impl FnOnce(&Batch) -> Result<R>) -> Result<R> {
    if !BATCH.is_set() {
        return Err(Refused("`input` can be read during condition.evaluate only".to_owned()).into());
    }
    BATCH.with(read)
}

fn series(batch: &Batch, index: u32) -> Result<&watchfire_model::Labels> {
    let missing = || Refused(format!("`input` was asked for series {index}, there are {}", batch.series.len()));
    Ok(batch.series.get(index as usize).ok_or_else(missing)?)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The newest value of every series. Over an expression each has one row, and the column of values is the answer.
fn latest(batch: &Batch) -> Vec<f64> {
    // Without a way out in the middle, so that several offsets are compared at once.
    let one_each = || (0_u32..).zip(&batch.offsets).fold(true, |so_far, (i, offset)| so_far & (*offset == i));
    if batch.values.len() == batch.series.len() && one_each() {
        return batch.values.clone();
    }
    (0..batch.series.len()).map(|index| batch.last(index).unwrap_or(f64::NAN)).collect()
}

/// A column as its bytes. Whole numbers are copied at once: an iterator over their bytes would cost nanoseconds for each.
fn pack<const N: usize, T: Copy>(column: impl ExactSizeIterator<Item = T>, bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(column.len() * N);
    column.for_each(|number| packed.extend_from_slice(&bytes(number)));
    packed
}

/// Encodes a column of texts as its distinct values and one index per row.
fn dictionary<'a>(column: impl Iterator<Item = Option<&'a str>>) -> (Vec<String>, Vec<u32>) {
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

impl types::Host for Context {}

impl alerts::Host for Context {}

impl input::Host for Context {
    fn eval_time_ms(&mut self) -> Result<i64> {
        with_batch(|batch| Ok(batch.at.as_millis()))
    }

    fn series_count(&mut self) -> Result<u32> {
        with_batch(|batch| Ok(count(batch.series.len())))
    }

    fn row_count(&mut self) -> Result<u32> {
        with_batch(|batch| Ok(count(batch.values.len())))
    }

    fn latest(&mut self) -> Result<Vec<f64>> {
        with_batch(|batch| Ok(latest(batch)))
    }

    fn latest_le(&mut self) -> Result<Vec<u8>> {
        with_batch(|batch| Ok(pack(latest(batch).into_iter(), f64::to_le_bytes)))
    }

    fn series_ids(&mut self) -> Result<Vec<u64>> {
        with_batch(|batch| Ok(batch.ids.clone()))
    }

    fn series_ids_le(&mut self) -> Result<Vec<u8>> {
        with_batch(|batch| Ok(pack(batch.ids.iter().copied(), u64::to_le_bytes)))
    }

    fn offsets(&mut self) -> Result<Vec<u32>> {
        with_batch(|batch| Ok(batch.offsets.clone()))
    }

    fn offsets_le(&mut self) -> Result<Vec<u8>> {
        with_batch(|batch| Ok(pack(batch.offsets.iter().copied(), u32::to_le_bytes)))
    }

    fn timestamps(&mut self) -> Result<Vec<i64>> {
        with_batch(|batch| Ok(batch.timestamps.clone()))
    }

    fn timestamps_le(&mut self) -> Result<Vec<u8>> {
        with_batch(|batch| Ok(pack(batch.timestamps.iter().copied(), i64::to_le_bytes)))
    }

    fn values(&mut self) -> Result<Vec<f64>> {
        with_batch(|batch| Ok(batch.values.clone()))
    }

    fn values_le(&mut self) -> Result<Vec<u8>> {
        with_batch(|batch| Ok(pack(batch.values.iter().copied(), f64::to_le_bytes)))
    }

    fn series_key(&mut self, index: u32) -> Result<String> {
        with_batch(|batch| Ok(series(batch, index)?.fingerprint().to_string()))
    }

    fn label(&mut self, index: u32, name: String) -> Result<Option<String>> {
        with_batch(|batch| Ok(series(batch, index)?.get(&name).map(str::to_owned)))
    }

    fn labels(&mut self, index: u32) -> Result<Vec<(String, String)>> {
        with_batch(|batch| Ok(series(batch, index)?.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect()))
    }

    fn label_column(&mut self, name: String) -> Result<(Vec<String>, Vec<u32>)> {
        with_batch(|batch| Ok(dictionary(batch.series.iter().map(|labels| labels.get(&name)))))
    }

    fn event_at(&mut self, row: u32) -> Result<Option<input::Event>> {
        with_batch(|batch| {
            if row as usize >= batch.values.len() {
                return Err(
                    Refused(format!("`input` was asked for row {row}, there are {}", batch.values.len())).into()
                );
            }
            Ok(batch.events.get(row as usize).map(|event| input::Event {
                id: event.id.clone(),
                time_ms: event.time.as_millis(),
                kind: event.kind.clone(),
                body: event.body.clone(),
                fields: event.fields.iter().map(|(name, value)| (name.clone(), value.to_text())).collect(),
            }))
        })
    }

    fn event_bodies(&mut self) -> Result<(Vec<u32>, Vec<u8>)> {
        with_batch(|batch| {
            let (mut offsets, mut bytes) = (vec![0], Vec::new());
            for event in &batch.events {
                bytes.extend_from_slice(event.body.as_bytes());
                offsets.push(count(bytes.len()));
            }
            Ok((offsets, bytes))
        })
    }

    fn event_column(&mut self, name: String) -> Result<(Vec<String>, Vec<u32>)> {
        with_batch(|batch| {
            let texts: Vec<_> = batch.events.iter().map(|event| event.fields.get(&name).map(|v| v.to_text())).collect();
            Ok(dictionary(texts.iter().map(Option::as_deref)))
        })
    }
}

impl log::Host for Context {
    fn log(&mut self, level: log::Level, message: String) -> Result<()> {
        let level = match level {
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        Context::log(self, level, &message);
        Ok(())
    }
}

const NO_STATE: &str = "state is there during condition.evaluate only";

/// The interface `state`, the same in every version. By hand, because the largest values of all cross here, and generated
/// functions take and give values of their own: a copy each that these spare.
fn state(linker: &mut Linker<Context>, interface: &str) -> Result<()> {
    type Store<'a> = StoreContextMut<'a, Context>;
    type Answer = std::result::Result<(), String>;

    let mut state = linker.instance(interface)?;
    state.func_wrap("get", |store: Store<'_>, (key,): (String,)| {
        let value = store.data().state.as_ref().and_then(|state| state.shared(&key));
        Ok((value.map(Arc::clone),))
    })?;
    state.func_wrap("set", |mut store: Store<'_>, (key, value): (String, WasmList<u8>)| {
        store.data_mut().count_state_write()?;
        let value = value.as_le_slice(&store).to_vec();
        let answer: Answer = match &mut store.data_mut().state {
            Some(state) => state.set(&key, value).map_err(|error| error.to_string()),
            None => Err(NO_STATE.to_owned()),
        };
        Ok((answer,))
    })?;
    state.func_wrap("delete", |mut store: Store<'_>, (key,): (String,)| {
        store.data_mut().count_state_write()?;
        if let Some(state) = &mut store.data_mut().state {
            state.delete(&key);
        }
        Ok(())
    })?;
    state.func_wrap("version", |store: Store<'_>, (): ()| {
        let context = store.data();
        Ok((context.state.as_ref().and_then(State::version).unwrap_or(context.state_version),))
    })
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
        let mut batch = Batch::new(at);
        batch.push(Labels::from_pairs([("a", "1")]), [(at, 1.0), (at, 2.0)]);
        batch.push(Labels::from_pairs([("a", "2")]), []);
        assert_eq!(format!("{:?}", latest(&batch)), "[2.0, NaN]");
        // As many rows as series, but not one for each.
        batch.push(Labels::from_pairs([("a", "3")]), [(at, 3.0)]);
        assert_eq!(format!("{:?}", latest(&batch)), "[2.0, NaN, 3.0]");
    }
}
