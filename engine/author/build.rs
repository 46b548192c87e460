//! Puts the SDKs, the templates and the contract into the binary: whatever lies in `sdk/`, so that no file is forgotten.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What lies there and is not for authors of plugins: how the Rust SDK itself is tested, what tools leave behind, and the
/// components that only the host's tests read.
const NOT_SHIPPED: [&str; 6] = ["Cargo.lock", "README.md", "__pycache__", "examples", "golden", "target"];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script through the environment what it builds and where to"
)]
fn main() -> io::Result<()> {
    // Where this runs, not where it was compiled: checkouts that share a target folder share this program.
    let package = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let sdk = fs::canonicalize(Path::new(&package).join("../../sdk"))?;
    println!("cargo::rerun-if-changed={}", sdk.display());
    let mut files = Vec::new();
    let mut folders = vec![sdk.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if NOT_SHIPPED.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            (if entry.file_type()?.is_dir() { &mut folders } else { &mut files }).push(entry.path());
        }
    }
    files.sort();
    let mut table = String::from("&[");
    for file in files {
        let path: PathBuf = file.strip_prefix(&sdk).map_err(io::Error::other)?.to_owned();
        write!(table, "({path:?}, include_str!({file:?})),").map_err(io::Error::other)?;
    }
    table.push(']');
    let output = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&output).join("sdk.rs"), table)
}
