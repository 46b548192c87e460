//! What the configuration may ask of the machine that it is loaded on.

use std::collections::BTreeMap;

/// Environment variables, files and the time zone, given by the caller: this crate reads none of them.
pub trait Environment {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file that holds a secret.
    ///
    /// # Errors
    /// Why it cannot be read, in a few words.
    fn file(&self, path: &str) -> Result<String, String>;

    /// The name of the time zone that the machine is in, if it is known.
    fn zone(&self) -> Option<String>;
}

/// An environment from values: for tests, for embedding, and (empty) for checks that must not depend on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedEnvironment {
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// The files by path.
    pub files: BTreeMap<String, String>,
    /// The time zone.
    pub zone: Option<String>,
}

impl Environment for FixedEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn zone(&self) -> Option<String> {
        self.zone.clone()
    }
}

/// What a text became.
pub(crate) struct Expanded {
    /// The text with every placeholder replaced.
    pub(crate) text: String,
    /// Variables that are not set and have no default, with their place in the text.
    pub(crate) missing: Vec<(usize, String)>,
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for `${`.
///
/// Nothing is replaced within `{{ }}`, where `${1}` and `${name}` are groups of a regular expression. Returns nothing
/// if there is nothing to replace.
pub(crate) fn expand(text: &str, environment: &dyn Environment) -> Option<Expanded> {
    if !text.contains("${") {
        return None;
    }
    let mut out = Expanded { text: String::with_capacity(text.len()), missing: Vec::new() };
    let mut changed = false;
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        if rest.starts_with("{{") {
            let length = rest.find("}}").map_or(rest.len(), |end| end + 2);
            out.text.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if let Some(literal) = rest.strip_prefix("$${") {
            out.text.push_str("${");
            rest = literal;
            changed = true;
        } else if let Some((name, default, length)) = placeholder(rest) {
            match (environment.variable(name), default) {
                (Some(value), _) if !value.is_empty() || default.is_none() => out.text.push_str(&value),
                (_, Some(default)) => out.text.push_str(default),
                (_, None) => out.missing.push((at, name.to_owned())),
            }
            rest = &rest[length..];
            changed = true;
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            out.text.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    changed.then_some(out)
}

/// The name, default and length of a placeholder at the beginning of `text`.
fn placeholder(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let inner = text.strip_prefix("${")?;
    let end = inner.find('}')?;
    let (name, default) = match inner[..end].split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (&inner[..end], None),
    };
    watchfire_model::is_legacy_label_name(name).then_some((name, default, end + 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_outside_of_templates() {
        let environment = FixedEnvironment {
            variables: [("A", "1"), ("EMPTY", "")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            ..FixedEnvironment::default()
        };
        for (text, expected) in [
            ("x${A}y", Some("x1y")),
            ("${B:-two}", Some("two")),
            ("${EMPTY:-two}", Some("two")),
            ("${EMPTY}", Some("")),
            ("$${A}", Some("${A}")),
            ("{{ reReplaceAll \"(a)\" \"${A}\" }}", None),
            ("{{ \"${A}\" }}${A}", Some("{{ \"${A}\" }}1")),
            ("${1}", None),
            ("$A", None),
            ("${A", None),
        ] {
            assert_eq!(expand(text, &environment).map(|e| e.text).as_deref(), expected, "{text}");
        }
        assert_eq!(expand("a${B}", &environment).unwrap().missing, [(1, "B".to_owned())]);
    }
}
