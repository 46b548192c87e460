//! Which toolchains are here, and how to get those that are not.

use std::process::Command;

use crate::Language;

/// One program that a language needs.
#[derive(Clone, Debug)]
pub struct Check {
    /// The language.
    pub language: Language,
    /// The program.
    pub program: &'static str,
    /// What it says of its version; `None` where it is not installed.
    pub version: Option<String>,
    /// How to get it.
    pub remedy: &'static str,
}

const fn programs(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => &["cargo", "rustc"],
        Language::Python => &["python3", "componentize-py"],
        Language::JavaScript | Language::TypeScript => &["node", "npm"],
        Language::Go => &["go"],
        Language::C | Language::Cpp => &["clang", "wasm-ld"],
        Language::Wat => &[],
    }
}

/// Looks for every program of these languages.
pub fn doctor(languages: &[Language]) -> Vec<Check> {
    let checks = languages.iter().flat_map(|language| {
        programs(*language).iter().map(|program| Check {
            language: *language,
            program,
            version: version(program),
            remedy: remedy(program),
        })
    });
    checks.collect()
}

fn version(program: &str) -> Option<String> {
    // Go alone has a command for it instead of an option.
    let argument = if program == "go" { "version" } else { "--version" };
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next().unwrap_or("installed").trim().to_owned())
}

/// How to get a program.
pub(crate) fn remedy(program: &str) -> &'static str {
    let name = program.rsplit('/').next().unwrap_or(program);
    match name {
        "cargo" | "rustc" => "install Rust with https://rustup.rs and run `rustup target add wasm32-wasip2`",
        "python3" => "install Python 3.10 or newer",
        "componentize-py" => {
            "run `python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1` in the folder"
        }
        "node" | "npm" => "install Node.js 20 or newer",
        "componentize-qjs" | "esbuild" => "run `npm install` in the plugin's folder",
        "go" => "install Go 1.24 or newer from https://go.dev/dl",
        "clang" | "clang++" => "on Debian: apt install clang lld wasi-libc libclang-rt-dev-wasm32 libc++-dev-wasm32",
        "wasm-ld" => "on Debian: apt install lld",
        _ => "install it",
    }
}
