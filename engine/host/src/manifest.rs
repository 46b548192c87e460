//! What a built plugin says of itself, in a section of its file: readable without running it.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};
use watchfire_model::Duration;
use watchfire_plugin::Limits;

use crate::LoadError;

/// What a built plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The plugin's name.
    pub name: String,
    /// Its version, as its author counts.
    pub version: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The version of the contract that it was built against.
    pub contract: String,
    /// The language that it was written in.
    pub language: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Where its source is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Its licence, as an SPDX expression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// What it makes do with.
    #[serde(default, skip_serializing_if = "ManifestLimits::is_empty")]
    pub limits: ManifestLimits,
}

/// What a plugin makes do with, where that is less than others get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ManifestLimits {
    /// Milliseconds for a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_ms: Option<u32>,
    /// Bytes of linear memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<usize>,
    /// Bytes of state per rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<usize>,
    /// Calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<usize>,
}

impl ManifestLimits {
    fn is_empty(&self) -> bool {
        *self == ManifestLimits::default()
    }

    pub(crate) fn limits(&self) -> Limits {
        let all = Limits::UNLIMITED;
        Limits {
            call_time: self.call_ms.map_or(all.call_time, |ms| Duration::from_millis(i64::from(ms))),
            memory_bytes: self.memory_bytes.unwrap_or(all.memory_bytes),
            state_bytes: self.state_bytes.unwrap_or(all.state_bytes),
            calls: self.calls.unwrap_or(all.calls),
            ..all
        }
    }
}

impl Manifest {
    /// The name of its section, whose content is JSON.
    pub const SECTION: &str = "watchfire:manifest";

    /// The manifest of a plugin's file; `None` where there is none, as in files that other tools built.
    ///
    /// # Errors
    /// If the file is no WebAssembly or the manifest is not what this version knows.
    pub fn read(wasm: &[u8]) -> Result<Option<Manifest>, LoadError> {
        let Some(json) = sections(wasm, Manifest::SECTION)?.into_iter().next() else { return Ok(None) };
        let manifest = serde_json::from_slice(json);
        manifest.map(Some).map_err(|error| {
            LoadError::Malformed(format!(
                "its manifest is not valid: {error}; build it again with `watchfire plugin build`"
            ))
        })
    }
}

/// The custom sections of a name in the outermost component, in their order.
///
/// # Errors
/// If the file is no WebAssembly.
pub fn sections<'a>(wasm: &'a [u8], name: &str) -> Result<Vec<&'a [u8]>, LoadError> {
    let (mut depth, mut found) = (0_u32, Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| LoadError::Malformed(error.to_string()))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == name => found.push(section.data()),
            _ => {}
        }
    }
    Ok(found)
}
