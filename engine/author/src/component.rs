//! A core module becomes a component: the contract is embedded, WASI's old interface adapted, everything validated.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, WorldId};

use crate::{AuthorError, clock, sdk};

/// How WebAssembly begins.
const MAGIC: &[u8] = b"\0asm";

/// How a component begins, which tells it from a core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The contract with one of its worlds.
pub(crate) fn contract(world: &str) -> Result<(Resolve, WorldId), AuthorError> {
    let failed = |error: &dyn std::fmt::Display| AuthorError::Component(format!("the contract: {error:#}"));
    let mut resolve = Resolve::default();
    let package: PackageId = resolve.push_str("watchfire.wit", sdk::CONTRACT).map_err(|error| failed(&error))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|error| failed(&error))?;
    Ok((resolve, world))
}

/// Makes a component of what a toolchain built; a component stays what it is. `world` is embedded where the toolchain
/// did not embed one itself.
///
/// # Errors
/// If the module does not fit the world; the text says which import or export is at fault.
pub fn wrap(wasm: Vec<u8>, world: Option<&str>) -> Result<Vec<u8>, AuthorError> {
    if wasm.starts_with(COMPONENT) {
        return Ok(wasm);
    }
    if !wasm.starts_with(MAGIC) {
        return Err(AuthorError::Component("it is not WebAssembly".to_owned()));
    }
    let failed = |error: &dyn std::fmt::Display| AuthorError::Component(format!("{error:#}"));
    let mut module = clock::moved_inside(wasm).map_err(|error| failed(&error))?;
    if let Some(world) = world {
        let (resolve, world) = contract(world)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(|error| failed(&error))?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|encoder| encoder.adapter(clock::MODULE, &wat::parse_str(clock::ADAPTER)?))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| failed(&error))
}
