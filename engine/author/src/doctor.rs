//! Which toolchains are here, and how to get those that are not.

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
}

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

/// Looks for everything that these languages need.
pub fn doctor(languages: &[Language]) -> Vec<Check> {
    let checks = languages.iter().flat_map(|language| {
        probes(*language).iter().map(|(what, command)| Check {
            language: *language,
            program: what,
            version: found(command),
            remedy: remedy(what),
        })
    });
    checks.collect()
}

/// What a command says first, where it succeeds. Of a folder that it names, whether it is there.
fn found(command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
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
