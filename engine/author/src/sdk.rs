//! The SDKs, the templates and the contract, as they are shipped inside the binary.

use watchfire_plugin::Kind;

use crate::Language;

/// The contract.
pub(crate) const CONTRACT: &str = include_str!("../../../sdk/wit/watchfire.wit");

/// A file to be written: its path within a folder, and its content.
pub(crate) type File = (&'static str, &'static str);

macro_rules! sdk {
    ($($path:literal <- $source:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../sdk/", $source)))),*]
    };
}

/// The folder `watchfire/` of a plugin: what its language's SDK consists of.
pub(crate) const fn files(language: Language) -> &'static [File] {
    match language {
        Language::Rust => sdk![
            "Cargo.toml" <- "rust/Cargo.toml",
            "wit/watchfire.wit" <- "wit/watchfire.wit",
            "src/config.rs" <- "rust/src/config.rs",
            "src/error.rs" <- "rust/src/error.rs",
            "src/export.rs" <- "rust/src/export.rs",
            "src/guest.rs" <- "rust/src/guest.rs",
            "src/input.rs" <- "rust/src/input.rs",
            "src/kinds.rs" <- "rust/src/kinds.rs",
            "src/lib.rs" <- "rust/src/lib.rs",
            "src/series.rs" <- "rust/src/series.rs",
            "src/state.rs" <- "rust/src/state.rs",
            "src/testing.rs" <- "rust/src/testing.rs",
        ],
        Language::Python => sdk![
            "watchfire.py" <- "python/watchfire.py",
            "watchfire_exports.py" <- "python/watchfire_exports.py",
            "wit/watchfire.wit" <- "wit/watchfire.wit",
        ],
        Language::JavaScript | Language::TypeScript => sdk![
            "watchfire.js" <- "javascript/watchfire.js",
            "watchfire.d.ts" <- "javascript/watchfire.d.ts",
            "exports.js" <- "javascript/exports.js",
            "wit/watchfire.wit" <- "wit/watchfire.wit",
        ],
        Language::Go => sdk![
            "watchfire.go" <- "go/watchfire/watchfire.go",
            "condition.go" <- "go/watchfire/condition.go",
            "alerts.go" <- "go/watchfire/alerts.go",
            "convert/convert.go" <- "go/exports/convert.go",
            "export_watchfire_plugin_plugin/plugin.go" <- "go/exports/plugin.go",
            "export_watchfire_plugin_condition/condition.go" <- "go/exports/condition.go",
            "export_watchfire_plugin_router/router.go" <- "go/exports/router.go",
            "export_watchfire_plugin_formatter/formatter.go" <- "go/exports/formatter.go",
            "wit/types/types.go" <- "go/wit/types.go",
            "wit/runtime/runtime.go" <- "go/wit/runtime.go",
        ],
        Language::C => sdk!["watchfire.h" <- "c/watchfire.h"],
        Language::Cpp => sdk![
            "watchfire.h" <- "c/watchfire.h", "watchfire.hpp" <- "cpp/watchfire.hpp",
            "condition.hpp" <- "cpp/condition.hpp",
            "alerts.hpp" <- "cpp/alerts.hpp",
            "router.hpp" <- "cpp/router.hpp",
            "formatter.hpp" <- "cpp/formatter.hpp",
        ],
        Language::Wat => &[],
    }
}

/// The source that a new plugin begins with; `None` where the language has none of that kind.
pub(crate) const fn template(language: Language, kind: Kind) -> Option<&'static [File]> {
    Some(match (language, kind) {
        (Language::Rust, Kind::Condition) => {
            sdk!["Cargo.toml" <- "rust/templates/Cargo.toml", "src/lib.rs" <- "rust/templates/condition.rs"]
        }
        (Language::Rust, Kind::Router) => {
            sdk!["Cargo.toml" <- "rust/templates/Cargo.toml", "src/lib.rs" <- "rust/templates/router.rs"]
        }
        (Language::Rust, Kind::Formatter) => {
            sdk!["Cargo.toml" <- "rust/templates/Cargo.toml", "src/lib.rs" <- "rust/templates/formatter.rs"]
        }
        (Language::Python, Kind::Condition) => sdk!["plugin.py" <- "python/templates/condition.py"],
        (Language::Python, Kind::Router) => sdk!["plugin.py" <- "python/templates/router.py"],
        (Language::Python, Kind::Formatter) => sdk!["plugin.py" <- "python/templates/formatter.py"],
        (Language::JavaScript, Kind::Condition) => {
            sdk!["package.json" <- "javascript/templates/package.json", "plugin.js" <- "javascript/templates/condition.js"]
        }
        (Language::JavaScript, Kind::Router) => {
            sdk!["package.json" <- "javascript/templates/package.json", "plugin.js" <- "javascript/templates/router.js"]
        }
        (Language::JavaScript, Kind::Formatter) => {
            sdk!["package.json" <- "javascript/templates/package.json", "plugin.js" <- "javascript/templates/formatter.js"]
        }
        (Language::TypeScript, Kind::Condition) => {
            sdk!["package.json" <- "typescript/templates/package.json", "plugin.ts" <- "typescript/templates/condition.ts"]
        }
        (Language::TypeScript, Kind::Router) => {
            sdk!["package.json" <- "typescript/templates/package.json", "plugin.ts" <- "typescript/templates/router.ts"]
        }
        (Language::TypeScript, Kind::Formatter) => {
            sdk!["package.json" <- "typescript/templates/package.json", "plugin.ts" <- "typescript/templates/formatter.ts"]
        }
        (Language::Go, Kind::Condition) => {
            sdk!["go.mod" <- "go/templates/go.mod.txt", "plugin.go" <- "go/templates/condition.go"]
        }
        (Language::Go, Kind::Router) => {
            sdk!["go.mod" <- "go/templates/go.mod.txt", "plugin.go" <- "go/templates/router.go"]
        }
        (Language::Go, Kind::Formatter) => {
            sdk!["go.mod" <- "go/templates/go.mod.txt", "plugin.go" <- "go/templates/formatter.go"]
        }
        (Language::C, Kind::Condition) => sdk!["plugin.c" <- "c/templates/condition.c"],
        (Language::C, Kind::Router) => sdk!["plugin.c" <- "c/templates/router.c"],
        (Language::C, Kind::Formatter) => sdk!["plugin.c" <- "c/templates/formatter.c"],
        (Language::Cpp, Kind::Condition) => sdk!["plugin.cpp" <- "cpp/templates/condition.cpp"],
        (Language::Cpp, Kind::Router) => sdk!["plugin.cpp" <- "cpp/templates/router.cpp"],
        (Language::Cpp, Kind::Formatter) => sdk!["plugin.cpp" <- "cpp/templates/formatter.cpp"],
        (Language::Wat, Kind::Condition) => sdk!["plugin.wat" <- "wat/templates/condition.wat"],
        (Language::Wat, Kind::Router | Kind::Formatter) => return None,
    })
}

/// The cases that a template passes, and the name of what it offers.
pub(crate) const fn cases(language: Language, kind: Kind) -> &'static str {
    match (language, kind) {
        (Language::Wat, _) => include_str!("../../../sdk/wat/cases.yml"),
        (_, Kind::Condition) => include_str!("../../../sdk/cases/condition.yml"),
        (_, Kind::Router) => include_str!("../../../sdk/cases/router.yml"),
        (_, Kind::Formatter) => include_str!("../../../sdk/cases/formatter.yml"),
    }
}
