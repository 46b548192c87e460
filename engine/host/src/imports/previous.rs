//! What contract 0.1 imports: the same functions as in the current version, under their old names.

use wasmtime::Result;

use crate::bindings::v0_1::watchfire::plugin as before;
use crate::bindings::v0_2::watchfire::plugin as current;
use crate::context::Context;

macro_rules! unchanged {
    ($interface:ident { $(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* } $($changed:item)*) => {
        impl before::$interface::Host for Context {
            $(fn $name(&mut self $(, $argument: $type)*) -> Result<$answer> {
                current::$interface::Host::$name(self $(, $argument)*)
            })*
            $($changed)*
        }
    };
}

unchanged! {
    input {
        fn eval_time_ms() -> i64;
        fn series_count() -> u32;
        fn row_count() -> u32;
        fn latest() -> Vec<f64>;
        fn latest_le() -> Vec<u8>;
        fn series_ids() -> Vec<u64>;
        fn series_ids_le() -> Vec<u8>;
        fn offsets() -> Vec<u32>;
        fn offsets_le() -> Vec<u8>;
        fn timestamps() -> Vec<i64>;
        fn timestamps_le() -> Vec<u8>;
        fn values() -> Vec<f64>;
        fn values_le() -> Vec<u8>;
        fn series_key(series: u32) -> String;
        fn label(series: u32, name: String) -> Option<String>;
        fn labels(series: u32) -> Vec<(String, String)>;
        fn label_column(name: String) -> (Vec<String>, Vec<u32>);
        fn event_bodies() -> (Vec<u32>, Vec<u8>);
        fn event_column(name: String) -> (Vec<String>, Vec<u32>);
    }
    fn event_at(&mut self, row: u32) -> Result<Option<before::input::Event>> {
        let event = current::input::Host::event_at(self, row)?;
        Ok(event.map(|current::input::Event { id, time_ms, kind, body, fields }| before::input::Event {
            id,
            time_ms,
            kind,
            body,
            fields,
        }))
    }
}

unchanged! {
    log {}
    fn log(&mut self, level: before::log::Level, message: String) -> Result<()> {
        let level = match level {
            before::log::Level::Debug => current::log::Level::Debug,
            before::log::Level::Info => current::log::Level::Info,
            before::log::Level::Warn => current::log::Level::Warn,
            before::log::Level::Error => current::log::Level::Error,
        };
        current::log::Host::log(self, level, message)
    }
}
