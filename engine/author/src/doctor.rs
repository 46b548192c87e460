//! Which toolchains are here, and how to get those that are not.

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

use crate::Language;

/// One program or library that a language needs.
#[derive(Clone, Debug)]
pub struct Check {
    /// The language.
    pub language: Language,
    /// What it is called.
    pub program: &'static str,
    /// Its version, or that it is there; `None` where it is not.
    pub version: Option<String>,
    /// How to get it.
    pub remedy: &'static str,
    /// With which versions plugins were tried, where the one that is here is none of them.
    pub tried: Option<&'static str>,
}

/// With which versions plugins were tried: from a version on, or with one alone where the next one may differ.
const TRIED: [(&str, &str, RangeInclusive<[u32; 2]>); 5] = [
    ("python3", "3.10 or newer", [3, 10]..=[3, u32::MAX]),
    ("componentize-py", "0.25", [0, 25]..=[0, 25]),
    ("node", "20 or newer", [20, 0]..=[u32::MAX, u32::MAX]),
    ("go", "1.24 or newer", [1, 24]..=[1, u32::MAX]),
    ("clang", "14 or newer", [14, 0]..=[u32::MAX, u32::MAX]),
];

/// What is looked for, and the command that succeeds where it is there.
type Probe = (&'static str, &'static [&'static str]);

const fn probes(language: Language) -> &'static [Probe] {
    const C: Probe = ("clang", &["clang", "--version"]);
    // Linking nothing takes the linker, the C library and the compiler's runtime for that target.
    const WASI: Probe = (
        "wasi-libc",
        &["clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-x", "c", "/dev/null", "-o", "/dev/null"],
    );
    match language {
        Language::Rust => &[
            ("cargo", &["cargo", "--version"]),
            ("rustc", &["rustc", "--version"]),
            ("wasm32-wasip2", &["rustc", "--print", "target-libdir", "--target", "wasm32-wasip2"]),
        ],
        Language::Python => {
            &[("python3", &["python3", "--version"]), ("componentize-py", &["componentize-py", "--version"])]
        }
        Language::JavaScript | Language::TypeScript | Language::AssemblyScript => {
            &[("node", &["node", "--version"]), ("npm", &["npm", "--version"])]
        }
        Language::Go => &[("go", &["go", "version"])],
        Language::C => &[C, ("wasm-ld", &["wasm-ld", "--version"]), WASI],
        Language::Cpp => &[
            C,
            ("wasm-ld", &["wasm-ld", "--version"]),
            WASI,
            ("libc++", &["clang++", "--target=wasm32-wasi", "-E", "-include", "string", "-x", "c++", "/dev/null"]),
        ],
        Language::Wat => &[],
    }
}

/// Looks for everything that these languages need, in a plugin's folder and among what is installed, as a build there does.
pub fn doctor(languages: &[Language], folder: &Path) -> Vec<Check> {
    let checks = languages.iter().flat_map(|language| {
        probes(*language).iter().map(|(what, command)| {
            let version = found(folder, command);
            let tried = version.as_deref().and_then(|version| untried(what, version));
            Check { language: *language, program: what, version, remedy: remedy(what), tried }
        })
    });
    checks.collect()
}

/// A program that a plugin's folder has for itself, else the one that is installed.
pub(crate) fn own_program(folder: &Path, program: &str) -> String {
    let own = [".venv/bin", "node_modules/.bin"].map(|own| folder.join(own).join(program));
    own.iter().find(|own| own.is_file()).map_or_else(|| program.to_owned(), |own| own.display().to_string())
}

/// With which versions of a program plugins were tried, where this is none of them.
fn untried(program: &str, version: &str) -> Option<&'static str> {
    let (_, tried, range) = TRIED.iter().find(|(name, ..)| *name == program)?;
    let start = version.find(|digit: char| digit.is_ascii_digit())?;
    let mut numbers = version[start..].split(|other: char| !other.is_ascii_digit()).map(|number| number.parse().ok());
    let found = [numbers.next().flatten()?, numbers.next().flatten().unwrap_or(0)];
    (!range.contains(&found)).then_some(tried)
}

/// What a command says first, where it succeeds. Of a folder that it names, whether it is there.
fn found(folder: &Path, command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = Command::new(own_program(folder, program))
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = text.lines().next().unwrap_or_default().trim();
    if first.starts_with('/') && !Path::new(first).is_dir() {
        return None;
    }
    Some(if first.is_empty() || first.starts_with(['#', '/']) { "installed".to_owned() } else { first.to_owned() })
}

/// How to get a program.
pub(crate) fn remedy(program: &str) -> &'static str {
    let name = program.rsplit('/').next().unwrap_or(program);
    match name {
        "cargo" | "rustc" => "install Rust with https://rustup.rs and run `rustup target add wasm32-wasip2`",
        "wasm32-wasip2" => "run `rustup target add wasm32-wasip2`",
        "python3" => "install Python 3.10 or newer",
        "componentize-py" => {
            "run `python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1` in the folder"
        }
        "node" | "npm" => "install Node.js 20 or newer",
        "componentize-qjs" | "esbuild" | "asc" => "run `npm install` in the plugin's folder",
        "go" => "install Go 1.24 or newer from https://go.dev/dl",
        "clang" | "clang++" => "on Debian: apt install clang lld wasi-libc libclang-rt-dev-wasm32 libc++-dev-wasm32",
        "wasi-libc" => "on Debian: apt install wasi-libc libclang-rt-dev-wasm32",
        "libc++" => "on Debian: apt install libc++-dev-wasm32",
        "wasm-ld" => "on Debian: apt install lld",
        _ => "install it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_was_not_tried_is_told() {
        for (program, version, expected) in [
            ("python3", "Python 3.9.2", Some("3.10 or newer")),
            ("python3", "Python 3.13.1", None),
            ("componentize-py", "componentize-py 0.24.0", Some("0.25")),
            ("componentize-py", "componentize-py 0.25.1", None),
            ("componentize-py", "componentize-py 1.0.0", Some("0.25")),
            ("node", "v18.20.4", Some("20 or newer")),
            ("node", "v22.1.0", None),
            ("go", "go version go1.23.4 linux/amd64", Some("1.24 or newer")),
            ("go", "go version go1.26 linux/amd64", None),
            ("clang", "Debian clang version 11.0.1-2", Some("14 or newer")),
            ("cargo", "cargo 1.2.3", None),
        ] {
            assert_eq!(untried(program, version), expected, "{version}");
        }
    }

    #[test]
    fn a_program_of_the_folder_comes_before_the_installed_one() {
        let folder = tempfile::tempdir().unwrap();
        let venv = folder.path().join(".venv/bin");
        std::fs::create_dir_all(&venv).unwrap();
        assert_eq!(own_program(folder.path(), "componentize-py"), "componentize-py");
        std::fs::write(venv.join("componentize-py"), "").unwrap();
        assert_eq!(own_program(folder.path(), "componentize-py"), venv.join("componentize-py").display().to_string());
    }
}
