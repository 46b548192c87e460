//! The languages that plugins are written in.

use std::fmt;
use std::str::FromStr;

/// A language with a template and a toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust, target `wasm32-wasip2`.
    Rust,
    /// Python, by `componentize-py`.
    Python,
    /// JavaScript on QuickJS, by `componentize-qjs`.
    JavaScript,
    /// TypeScript, bundled by `esbuild`, then as JavaScript.
    TypeScript,
    /// Go, by its standard toolchain.
    Go,
    /// C, by clang.
    C,
    /// C++, by clang.
    Cpp,
    /// AssemblyScript, by `asc`.
    AssemblyScript,
    /// WebAssembly's own text: the proof that anything goes.
    Wat,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 9] = [
        Language::Rust,
        Language::Python,
        Language::JavaScript,
        Language::TypeScript,
        Language::Go,
        Language::C,
        Language::Cpp,
        Language::AssemblyScript,
        Language::Wat,
    ];

    /// The word for it in `plugin.yml` and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Python => "python",
            Language::JavaScript => "javascript",
            Language::TypeScript => "typescript",
            Language::Go => "go",
            Language::C => "c",
            Language::Cpp => "cpp",
            Language::AssemblyScript => "assemblyscript",
            Language::Wat => "wat",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Language, String> {
        let word = match text {
            "py" => "python",
            "js" => "javascript",
            "ts" => "typescript",
            "c++" => "cpp",
            "rs" => "rust",
            "as" => "assemblyscript",
            "golang" => "go",
            other => other,
        };
        let all = Language::ALL.map(Language::as_str);
        let found = Language::ALL.into_iter().find(|language| language.as_str() == word);
        found.ok_or_else(|| format!("{text:?} is no language with a template; use {}", all.join(", ")))
    }
}
