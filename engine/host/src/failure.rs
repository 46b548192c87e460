//! From what wasmtime says to what the user is told.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use watchfire_model::Duration;
use watchfire_plugin::{Limits, PluginError};

use crate::bindings::v0_2::watchfire::plugin::types;
use crate::context::{Context, Refused};
use crate::engine::STACK_BYTES;

/// Names of functions to show with a trap.
const FRAMES_MAX: usize = 5;

/// Why a call into a guest gave no answer.
pub(crate) fn classify(error: &wasmtime::Error, context: &Context, limits: &Limits, time: Duration) -> PluginError {
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return PluginError::Timeout { limit_ms: time.as_millis().cast_unsigned() };
    }
    // What the guest was denied explains the trap that followed better than the trap does.
    if let Some(denied) = context.limiter.denied {
        return PluginError::LimitExceeded { resource: denied.resource, limit: denied.limit, unit: denied.unit };
    }
    if trap == Some(&Trap::StackOverflow) {
        return PluginError::LimitExceeded { resource: "stack", limit: STACK_BYTES as u64, unit: "bytes" };
    }
    let root = error.root_cause().to_string();
    // wasmtime's type for this is private.
    if root.contains("fuel allocated for hostcalls") {
        return PluginError::LimitExceeded { resource: "output", limit: limits.output_bytes as u64, unit: "bytes" };
    }
    let refused = error.downcast_ref::<Refused>();
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    if trap.is_none() && refused.is_none() && backtrace.is_none() {
        return PluginError::InvalidOutput(cut(root, limits.text_bytes));
    }
    let mut text = match refused {
        Some(refused) => refused.to_string(),
        None => root.trim_start_matches("wasm trap: ").to_owned(),
    };
    let said = match context.stderr.text() {
        // Without a standard error, what ends a call has the log to say why: so does AssemblyScript's `throw`.
        nothing if nothing.is_empty() => context.log.last_words(),
        said => said,
    };
    if !said.is_empty() {
        text = format!("{text}: {said}");
    }
    let frames: Vec<_> = backtrace.map(frames).unwrap_or_default();
    if !frames.is_empty() {
        text = format!("{text} (in {})", frames.join(" < "));
    }
    PluginError::Trap(cut(text, limits.text_bytes))
}

/// Why an instance cannot be made, where it is not the guest's fault.
pub(crate) fn classify_start(
    error: &wasmtime::Error,
    context: &Context,
    limits: &Limits,
    instances_max: u32,
) -> PluginError {
    if error.is::<PoolConcurrencyLimitError>() {
        return PluginError::LimitExceeded {
            resource: "instances",
            limit: u64::from(instances_max),
            unit: "instances",
        };
    }
    classify(error, context, limits, limits.open_time)
}

/// The innermost functions that have a readable name.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    names
        .filter(|name| !name.starts_with("_ZN") && !name.starts_with("_R"))
        .take(FRAMES_MAX)
        .map(str::to_owned)
        .collect()
}

/// What the guest says about itself.
pub(crate) fn from_guest(error: types::PluginError, limits: &Limits) -> PluginError {
    let cut = |text| cut(text, limits.text_bytes);
    match error {
        types::PluginError::InvalidConfig(error) => {
            PluginError::InvalidConfig { path: cut(error.path), message: cut(error.message) }
        }
        types::PluginError::BadInput(text) => PluginError::BadInput(cut(text)),
        types::PluginError::Unsupported(text) => PluginError::Unsupported(cut(text)),
        types::PluginError::Internal(text) => PluginError::Internal(cut(text)),
    }
}

/// Shortens a text to at most so many bytes, at a character's border and with an ellipsis.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= bytes_max {
        return text;
    }
    text.truncate(text.floor_char_boundary(bytes_max.saturating_sub(ELLIPSIS.len_utf8())));
    text.push(ELLIPSIS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, bytes_max, expected) in
            [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc…"), ("ääää", 6, "ä…"), ("äääää", 8, "ää…")]
        {
            let shortened = cut(text.to_owned(), bytes_max);
            assert!(shortened.len() <= bytes_max, "{shortened}");
            assert_eq!(shortened, expected);
        }
    }
}
