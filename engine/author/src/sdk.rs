//! The SDKs, the templates and the contract, as they are shipped inside the binary.

use watchfire_plugin::Kind;

use crate::Language;

/// The contract.
pub(crate) const CONTRACT: &str = include_str!("../../../sdk/wit/watchfire.wit");

/// Everything in `sdk/`: paths from there, sorted, and contents.
const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// A file to be written: its path within a folder, and its content.
pub(crate) type File = (String, &'static str);

/// Where the templates of a language lie within its folder.
const TEMPLATES: &str = "templates/";

/// The folder `watchfire/` of a plugin: what its language's SDK consists of, and the contract.
pub(crate) fn files(language: Language) -> Vec<File> {
    let folders: &[&str] = match language {
        Language::Rust => &["rust/"],
        Language::Python => &["python/"],
        Language::JavaScript | Language::TypeScript => &["javascript/"],
        Language::Go => &["go/"],
        Language::C => &["c/"],
        Language::Cpp => &["c/", "cpp/"],
        Language::AssemblyScript => &["assemblyscript/"],
        Language::Wat => &[],
    };
    let own = folders.iter().flat_map(|folder| within(folder)).filter(|(path, _)| !path.starts_with(TEMPLATES));
    own.map(|(path, content)| (path.to_owned(), content)).chain([("wit/watchfire.wit".to_owned(), CONTRACT)]).collect()
}

const KINDS: [Kind; 3] = [Kind::Condition, Kind::Router, Kind::Formatter];

/// For what a language has templates.
pub(crate) fn kinds(language: Language) -> impl Iterator<Item = Kind> {
    KINDS.into_iter().filter(move |kind| template(language, *kind).is_some())
}

/// What a new plugin begins with; `None` where the language has no template of that kind. A template is one source, named
/// by its kind, and what the language's tools want beside it.
pub(crate) fn template(language: Language, kind: Kind) -> Option<Vec<File>> {
    let folder = format!("{language}/{TEMPLATES}");
    let mut has_source = false;
    let files = within(&folder).filter_map(|(name, content)| {
        // Go would take a real `go.mod` for the border of a module.
        let name = name.strip_suffix(".txt").unwrap_or(name);
        let Some((stem, extension)) = name.rsplit_once('.') else { return Some((name.to_owned(), content)) };
        match KINDS.iter().find(|kind| kind.as_str() == stem) {
            Some(found) if *found != kind => None,
            None => Some((name.to_owned(), content)),
            Some(_) => {
                has_source = true;
                let source = if language == Language::Rust { "src/lib" } else { "plugin" };
                Some((format!("{source}.{extension}"), content))
            }
        }
    });
    let files: Vec<File> = files.collect();
    has_source.then_some(files)
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

/// What is shipped below a folder, with the paths from there.
fn within(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    SHIPPED.iter().filter_map(move |(path, content)| Some((path.strip_prefix(folder)?, *content)))
}
