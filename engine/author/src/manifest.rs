//! What a built plugin says of itself, in a section of its file: readable without running it.

use serde::{Deserialize, Serialize};
use wasm_encoder::{CustomSection, Encode, Section};
use wasmparser::{Parser, Payload};

use crate::AuthorError;

/// The name of the section. Its content is JSON.
const SECTION: &str = "watchfire:manifest";

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
}

/// Adds the manifest at the end of a component.
pub(crate) fn embed(component: &mut Vec<u8>, manifest: &Manifest) -> Result<(), AuthorError> {
    let json = serde_json::to_vec(manifest).map_err(|error| AuthorError::Component(error.to_string()))?;
    let section = CustomSection { name: SECTION.into(), data: json.into() };
    component.push(section.id());
    section.encode(component);
    Ok(())
}

/// The manifest of a plugin's file; `None` where there is none, as in files that other tools built.
///
/// # Errors
/// If the file is no WebAssembly or the manifest is not what this version writes.
pub fn read_manifest(wasm: &[u8]) -> Result<Option<Manifest>, AuthorError> {
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| AuthorError::Component(error.to_string()))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                let manifest = serde_json::from_slice(section.data());
                return manifest.map(Some).map_err(|error| AuthorError::Component(format!("its manifest: {error}")));
            }
            _ => {}
        }
    }
    Ok(None)
}
