//! Putting what a plugin says of itself, and its tests, into its file.

use wasm_encoder::{CustomSection, Encode, Section};
use watchfire_host::{Cases, Manifest};

use crate::AuthorError;

/// Adds the manifest at the end of a component.
pub(crate) fn embed(component: &mut Vec<u8>, manifest: &Manifest) -> Result<(), AuthorError> {
    let json = serde_json::to_vec(manifest).map_err(|error| AuthorError::Component(error.to_string()))?;
    add(component, Manifest::SECTION, &json);
    Ok(())
}

/// Adds a file of cases, as JSON.
pub(crate) fn embed_cases(component: &mut Vec<u8>, json: &str) {
    add(component, Cases::SECTION, json.as_bytes());
}

/// Adds a custom section at the end of a component.
fn add(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = CustomSection { name: name.into(), data: data.into() };
    component.push(section.id());
    section.encode(component);
}
