//! A folder that builds and passes its test.

use std::fs;
use std::path::{Path, PathBuf};

use watchfire_plugin::Kind;

use crate::{AuthorError, Language, sdk};

/// Writes a new plugin into the folder `parent/name` and answers with its path.
///
/// # Errors
/// If the folder exists, the name cannot be one, or the language has no template of that kind.
pub fn scaffold(parent: &Path, name: &str, language: Language, kind: Kind) -> Result<PathBuf, AuthorError> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(good) || name.len() > 64 {
        return Err(AuthorError::Content {
            place: format!("{name:?}"),
            message:
                "a plugin's name has lower-case letters, digits and dashes, begins with a letter and is at most 64 \
                      long"
                    .to_owned(),
        });
    }
    let Some(template) = sdk::template(language, kind) else {
        return Err(AuthorError::Content {
            place: language.to_string(),
            message: format!(
                "there is no template for a {}, only for a {}; another language has one",
                kind.as_str(),
                sdk::kinds(language).map(Kind::as_str).collect::<Vec<_>>().join(" and a ")
            ),
        });
    };
    let folder = parent.join(name);
    if folder.exists() {
        return Err(AuthorError::Exists(folder));
    }
    let word = kind.as_str();
    let description = format!(
        "# What this plugin is; `watchfire plugin build` embeds it into the file.\nname: {name}\nversion: 0.1.0\nlanguage: \
         {language}\nkinds: [{word}]\nsummary: \"\"\n"
    );
    write(&folder, "plugin.yml", &description)?;
    write(&folder, ".gitignore", "build/\nwatchfire/\nnode_modules/\ntarget/\n")?;
    write(&folder, &format!("tests/{word}.yml"), sdk::cases(language, kind))?;
    for (path, content) in template {
        write(&folder, &path, &fill(content, name))?;
    }
    write_sdk(&folder, language, name)?;
    Ok(folder)
}

/// Writes the SDK into the plugin's folder `watchfire/`, as this binary has it. Files that are as they should be stay
/// untouched, so that toolchains see what has changed.
pub(crate) fn write_sdk(folder: &Path, language: Language, name: &str) -> Result<(), AuthorError> {
    sdk::files(language).into_iter().try_for_each(|(path, content)| {
        let content = match language {
            Language::Rust => crate_of_sdk(&path, content),
            _ => fill(content, name),
        };
        write(&folder.join("watchfire"), &path, &content)
    })
}

/// The Rust SDK as a part of a plugin: its contract lies beside its sources, and its manifest is that of a member, without
/// the workspace, the examples and the profiles that it has for itself.
fn crate_of_sdk(path: &str, content: &str) -> String {
    if path != "Cargo.toml" {
        return content.replace("path: \"../wit\"", "path: \"wit\"");
    }
    let from = content.find("[package]").unwrap_or(0);
    let to = content.find("[[example]]").unwrap_or(content.len());
    content[from..to].to_owned()
}

/// Replaces what a template leaves open.
fn fill(content: &str, name: &str) -> String {
    content.replace("MODULE", &go_module(name)).replace("PLUGIN_NAME", name)
}

/// The path of a plugin's Go module. The prefix keeps a name from being one of Go's own packages.
pub(crate) fn go_module(name: &str) -> String {
    format!("plugin/{name}")
}

pub(crate) fn write(folder: &Path, path: &str, content: &str) -> Result<(), AuthorError> {
    let path = folder.join(path);
    if fs::read_to_string(&path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(AuthorError::file(parent))?;
    }
    fs::write(&path, content).map_err(AuthorError::file(path))
}
