//! Looks at a file before it is compiled: is it a component, what does it ask for, what does it offer?
//!
//! Compiling takes up to seconds, so everything that can be refused is refused here, with what to do about it.

use std::collections::BTreeSet;

use wasmparser::{BinaryReaderError, Parser, Payload};
use wasmtime::{Engine, Precompiled};
use watchfire_plugin::{Kind, Limits};

use crate::contract::MINOR_VERSIONS;
use crate::{LoadError, wasi};

/// The contract's package, as it stands in the names of imports and exports.
const PACKAGE: &str = "watchfire:plugin/";
/// The version of the contract that plugins are built for now. The host speaks the one before it too.
pub const CONTRACT_VERSION: &str = "0.2.0";
/// The contract's interfaces that the host offers.
const OFFERED: [&str; 5] = ["alerts", "input", "log", "state", "types"];

/// What can be known without compiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Names of imported interfaces, sorted.
    pub(crate) imports: Vec<String>,
    /// The kinds of plugin for which there is an export.
    pub(crate) kinds: BTreeSet<Kind>,
    /// The version of the contract that it exports.
    pub(crate) contract: String,
    /// The minor number of that version, of [`MINOR_VERSIONS`].
    pub(crate) minor: u64,
}

/// What an import needs to be granted, by the name that operators give it; types need nothing.
pub(crate) fn grant_for(import: &str) -> Option<&'static str> {
    match import.strip_prefix(PACKAGE).map(|own| split_version(own).0) {
        Some("input") => Some("input"),
        Some("log") => Some("log"),
        Some("state") => Some("state"),
        Some(_) => None,
        None => Some("wasi"),
    }
}

/// Refuses a plugin that asks for more than it was granted.
pub(crate) fn check_grant(name: &str, imports: &[String], grant: &BTreeSet<String>) -> Result<(), LoadError> {
    let missing = imports.iter().find_map(|import| {
        let needed = grant_for(import).filter(|needed| !grant.contains(*needed))?;
        Some((import, needed))
    });
    match missing {
        None => Ok(()),
        Some((import, needed)) => Err(LoadError::Untrusted(format!(
            "it imports `{import}`, and `plugins.settings.{name}.grant` does not name {needed:?}; add it if the plugin may \
             have that"
        ))),
    }
}

/// Reads the outline, or says why the file cannot be a plugin for this host.
pub(crate) fn outline(wasm: &[u8], limits: &Limits) -> Result<Outline, LoadError> {
    refuse_other_formats(wasm)?;
    let sections = sections(wasm).map_err(|error| broken(&error))?;
    let imports: Vec<_> = sections.imports.into_iter().collect();
    for import in &imports {
        check_import(import)?;
    }
    let (kinds, contract, minor) = check_exports(&sections.exports)?;
    let bounds = [
        ("memory", sections.memory_bytes, limits.memory_bytes, "bytes"),
        ("tables", sections.table_elements, limits.table_elements, "elements"),
        ("one function", sections.function_bytes as u64, FUNCTION_BYTES_MAX, "bytes"),
    ];
    for (resource, wanted, limit, unit) in bounds {
        let limit = limit as u64;
        if wanted > limit {
            return Err(LoadError::Limit { resource, wanted, limit, unit });
        }
    }
    Ok(Outline { imports, kinds, contract, minor })
}

/// What is wrong with a file that cannot be read to its end, and what to do about it.
fn broken(error: &BinaryReaderError) -> LoadError {
    let is_cut = error.message().starts_with("unexpected end");
    let remedy = if is_cut { "; the file ends too early: copy it again, or build it again" } else { "" };
    LoadError::Malformed(format!("{error}{remedy}"))
}

fn refuse_other_formats(wasm: &[u8]) -> Result<(), LoadError> {
    let refusal = match wasm {
        _ if matches!(Engine::detect_precompiled(wasm), Some(Precompiled::Component | Precompiled::Module)) => {
            "this is precompiled machine code, which is never loaded from outside; use the .wasm file it was made from"
        }
        [b'\0', b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', 0x01, 0x00, 0x00, 0x00, ..] => {
            "this is a core WebAssembly module, a plugin is a component; build for the target wasm32-wasip2, or wrap \
             the module with `wasm-tools component new`"
        }
        [b'\0', b'a', b's', b'm', ..] => {
            "this WebAssembly file has an unknown version; a plugin is a component of the WebAssembly component model"
        }
        [] => "the file is empty",
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            "this is compressed, which is never unpacked here; unpack it first"
        }
        _ if wasm.trim_ascii_start().starts_with(b"(") => {
            "this is WebAssembly text; assemble it first with `wasm-tools parse plugin.wat -o plugin.wasm`"
        }
        _ => {
            "this is not WebAssembly; a plugin is a component, a file that begins with the bytes 00 61 73 6d 0d 00 01 00"
        }
    };
    Err(LoadError::NotAComponent(refusal.to_owned()))
}

/// Bytes of one function. The largest of interpreters have a tenth of that, and the time to compile one grows faster than
/// its length.
const FUNCTION_BYTES_MAX: usize = 1 << 20;

/// What the sections of a file say.
#[derive(Default)]
struct Sections {
    /// Of the outermost component.
    imports: BTreeSet<String>,
    /// Of the outermost component.
    exports: BTreeSet<String>,
    /// That all memories together begin with.
    memory_bytes: u64,
    /// That the largest table begins with.
    table_elements: u64,
    /// Of the largest function.
    function_bytes: usize,
}

fn sections(wasm: &[u8]) -> wasmparser::Result<Sections> {
    const PAGE: u64 = 64 << 10;
    let mut sections = Sections::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // The end of the outermost component finds a depth of 0.
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    sections.imports.insert(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    sections.exports.insert(export?.name.name.to_owned());
                }
            }
            Payload::CodeSectionEntry(body) => {
                sections.function_bytes = sections.function_bytes.max(body.range().len());
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let bytes = memory?.initial.saturating_mul(PAGE);
                    sections.memory_bytes = sections.memory_bytes.saturating_add(bytes);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    sections.table_elements = sections.table_elements.max(table?.ty.initial);
                }
            }
            _ => {}
        }
    }
    Ok(sections)
}

fn check_import(import: &str) -> Result<(), LoadError> {
    if let Some(own) = import.strip_prefix(PACKAGE) {
        let (interface, version) = split_version(own);
        if spoken(version).is_none() {
            return Err(LoadError::Contract(other_version(version)));
        }
        if !OFFERED.contains(&interface) {
            return Err(LoadError::Import(format!(
                "the plugin imports `{import}`, which is not part of the contract {version}; it may need a \
                 newer Watchfire"
            )));
        }
        return Ok(());
    }
    if wasi::offers(import) {
        return Ok(());
    }
    let advice = if import.starts_with("wasi:http/") || import.starts_with("wasi:sockets/") {
        "plugins get no network: decide or format in the plugin and let the host send"
    } else if import.starts_with("wasi:") {
        "of WASI only the 0.2 interfaces cli, clocks, filesystem, io, random and sockets are there, and they grant nothing"
    } else {
        "a plugin may import only watchfire:plugin and WASI 0.2; link other components into it, for example with `wac plug`"
    };
    Err(LoadError::Import(format!("the plugin imports `{import}`, which is not offered: {advice}")))
}

/// The kinds that are exported, and the version of the contract with its minor number.
fn check_exports(exports: &BTreeSet<String>) -> Result<(BTreeSet<Kind>, String, u64), LoadError> {
    let own: Vec<_> = exports.iter().filter_map(|name| name.strip_prefix(PACKAGE)).map(split_version).collect();
    // What is exported is looked at even where nothing is imported, so that the version is told before anything else.
    if let Some((_, version)) = own.iter().find(|(_, version)| spoken(version).is_none()) {
        return Err(LoadError::Contract(other_version(version)));
    }
    let minors: BTreeSet<_> = own.iter().filter_map(|(_, version)| spoken(version)).collect();
    if minors.len() > 1 {
        return Err(LoadError::Contract(
            "the component exports interfaces of several versions of the contract; build all of it with one".to_owned(),
        ));
    }
    let exported = |interface: &str| own.iter().any(|(name, _)| *name == interface);
    let kinds: BTreeSet<_> =
        [Kind::Condition, Kind::Router, Kind::Formatter].into_iter().filter(|kind| exported(kind.as_str())).collect();
    let version = own.iter().find(|(name, _)| *name == "plugin").map(|(_, version)| (*version).to_owned());
    let (Some(version), Some(minor)) = (version, minors.into_iter().next()) else {
        return Err(LoadError::Contract(format!(
            "the component does not export `{PACKAGE}plugin@{CONTRACT_VERSION}`, so it is no Watchfire plugin; build it \
             against the world condition-plugin, router-plugin or formatter-plugin of sdk/wit"
        )));
    };
    if kinds.is_empty() {
        return Err(LoadError::Contract(
            "the plugin exports neither `condition` nor `router` nor `formatter`, so there is nothing to use it for"
                .to_owned(),
        ));
    }
    Ok((kinds, version, minor))
}

fn split_version(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

/// The minor number of a version that this host speaks.
fn spoken(version: &str) -> Option<u64> {
    parse(version).filter(|(major, minor)| *major == 0 && MINOR_VERSIONS.contains(minor)).map(|(_, minor)| minor)
}

/// Major and minor number.
fn parse(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn other_version(version: &str) -> String {
    let newest = MINOR_VERSIONS.into_iter().max().unwrap_or_default();
    let spoken: Vec<_> = MINOR_VERSIONS.iter().map(|minor| format!("0.{minor}")).collect();
    let advice = match parse(version) {
        Some(asked) if asked > (0, newest) => "update Watchfire, or rebuild the plugin with the SDK of this version",
        _ => "rebuild the plugin with the SDK of this version",
    };
    let version = if version.is_empty() { "no version" } else { version };
    format!(
        "the plugin was built for watchfire:plugin {version}, this Watchfire speaks {}; {advice}",
        spoken.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_what_to_do() {
        for (version, expected) in [
            ("0.1.0", None),
            ("0.1.7", None),
            ("0.1", None),
            ("0.2.0", None),
            ("0.2.1", None),
            ("0.3.0", Some("this Watchfire speaks 0.1 and 0.2; update Watchfire, or rebuild the plugin")),
            ("1.0.0", Some("update Watchfire")),
            ("0.10.0", Some("update Watchfire")),
            ("0.0.9", Some("speaks 0.1 and 0.2; rebuild the plugin")),
            ("", Some("built for watchfire:plugin no version, this Watchfire speaks 0.1 and 0.2; rebuild the plugin")),
            ("next", Some("rebuild the plugin")),
        ] {
            assert_eq!(spoken(version).is_some(), expected.is_none(), "{version}");
            if let Some(expected) = expected {
                let told = other_version(version);
                assert!(told.contains(expected), "{version}: {told}");
            }
        }
    }
}
