//! Putting what a plugin says of itself, and its tests, into its file.

use std::path::Path;

use wasm_encoder::{CustomSection, Encode, Section};
use watchfire_host::{Cases, Manifest, sections};
use watchfire_plugin::Kind;

use crate::AuthorError;

/// A component that has a manifest or cases already would go on saying what they say.
pub(crate) fn refuse_complete(component: &[u8]) -> Result<(), AuthorError> {
    for section in [Manifest::SECTION, Cases::SECTION] {
        let found = sections(component, section).map_err(|error| AuthorError::Component(error.to_string()))?;
        if !found.is_empty() {
            return Err(AuthorError::Component(format!(
                "it has a section `{section}` already, as what `watchfire plugin build` made; give `--from` what the \
                 toolchain made"
            )));
        }
    }
    Ok(())
}

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

/// The configuration of the first tests that the plugin carries for what it offers of a kind; an empty one without them.
///
/// # Errors
/// If the file cannot be read, or is no WebAssembly.
pub fn tested_config(plugin: &Path, kind: Kind) -> Result<String, AuthorError> {
    let wasm = std::fs::read(plugin).map_err(AuthorError::file(plugin))?;
    let files = sections(&wasm, Cases::SECTION).map_err(AuthorError::load(plugin))?;
    let configs = files.iter().filter_map(|json| {
        let file: serde_json::Value = serde_json::from_slice(json).ok()?;
        file.get(kind.as_str())?;
        file.get("config").filter(|config| config.is_object()).map(ToString::to_string)
    });
    Ok(configs.into_iter().next().unwrap_or_else(|| "{}".to_owned()))
}
