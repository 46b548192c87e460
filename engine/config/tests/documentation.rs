//! What the documentation shows is true: its reference names every key that is read with the default in force, and its
//! examples are read without a remark.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use watchfire_config::{
    Config, Diagnostic, Environment, FixedEnvironment, Source, config_schema, load_config, load_rules,
};

const REFERENCE: &str = include_str!("../../../docs/configuration.md");

/// Sections that are Alertmanager's and described there.
const ALERTMANAGER: &[&str] = &[
    "global",
    "route",
    "receivers",
    "inhibit_rules",
    "time_intervals",
    "mute_time_intervals",
    "templates",
    "tracing",
    "event_recorder",
];

/// Keys whose own keys stand elsewhere: on a page of their own, or with the same words a row below.
const ELSEWHERE: &[&str] = &["sources", "plugins.settings.NAME.limits"];

/// The rows of the reference: key and default.
fn rows() -> Vec<(&'static str, Option<&'static str>)> {
    let code = |cell: &'static str| cell.trim().strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| ")?.split('|');
        Some((code(cells.next()?)?, code(cells.next()?)))
    };
    REFERENCE.lines().filter_map(row).collect()
}

/// Keys of an object of the schema, down to those that hold no object with fixed keys.
fn keys(schema: &Value, object: &Value, path: &str, found: &mut BTreeSet<String>) {
    let fields = object["properties"].as_object().expect("an object of the schema has properties");
    for (name, field) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        // What stands under names of the user's choice is written as `NAME`.
        let (path, field) = match &field["additionalProperties"] {
            named if named.get("$ref").is_some() && !ELSEWHERE.contains(&path.as_str()) => {
                (format!("{path}.NAME"), named)
            }
            _ => (path, field),
        };
        match field["$ref"].as_str() {
            Some(_) if ALERTMANAGER.contains(&path.as_str()) => {}
            Some(_) if ELSEWHERE.contains(&path.as_str()) => {
                found.insert(path);
            }
            Some(reference) => keys(schema, &schema["$defs"][reference.trim_start_matches("#/$defs/")], &path, found),
            None if ALERTMANAGER.contains(&path.as_str()) => {}
            None => {
                found.insert(path);
            }
        }
    }
}

fn load(text: &str) -> Config {
    let (config, diagnostics) = load_config(Source { name: "watchfire.yml", text }, &FixedEnvironment::default());
    config.unwrap_or_else(|| panic!("{diagnostics:#?}\n{text}"))
}

const MINIMAL: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

#[test]
fn every_key_is_in_the_reference_and_no_other() {
    let schema: Value = serde_json::from_str(&config_schema()).expect("the schema is JSON");
    let root = &schema["$defs"][schema["$ref"].as_str().expect("a root").trim_start_matches("#/$defs/")];
    let mut read = BTreeSet::new();
    keys(&schema, root, "", &mut read);
    let written: BTreeSet<String> = rows().into_iter().map(|(key, _)| key.to_owned()).collect();
    let missing: Vec<_> = read.difference(&written).collect();
    let unknown: Vec<_> = written.difference(&read).collect();
    assert!(missing.is_empty(), "docs/configuration.md does not have {missing:?}");
    assert!(unknown.is_empty(), "docs/configuration.md has keys that nobody reads: {unknown:?}");
}

#[test]
fn every_default_in_the_reference_is_in_force() {
    let silent = load(MINIMAL);
    for (key, default) in rows() {
        let Some(default) = default else { continue };
        let mut text = MINIMAL.to_owned();
        let parts: Vec<&str> = key.split('.').collect();
        for (depth, part) in parts.iter().enumerate() {
            let end = if depth + 1 == parts.len() { format!(" {default}") } else { String::new() };
            text.push_str(&format!("{}{part}:{end}\n", "  ".repeat(depth)));
        }
        // Positions and the like of the rest are equal, so that the whole configuration can be compared, line by line.
        let (said, unsaid) = (format!("{:#?}", load(&text)), format!("{silent:#?}"));
        let difference = said.lines().zip(unsaid.lines()).find(|(said, unsaid)| said != unsaid);
        assert_eq!(difference, None, "{key}: the default is not {default}");
    }
}

/// A machine that has every variable and every file that an example names.
struct Machine;

impl Environment for Machine {
    fn variable(&self, _name: &str) -> Option<String> {
        Some("https://example.org/of-the-environment".to_owned())
    }

    fn file(&self, _path: &str) -> Result<String, String> {
        Ok("https://example.org/of-a-file".to_owned())
    }

    fn zone(&self) -> Option<String> {
        Some("Europe/Berlin".to_owned())
    }
}

/// Every page for users: the README and what lies under `docs`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the documentation") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// What an example becomes in a file of its own: rules and routes are often shown without what stands around them.
fn whole(example: &str) -> Option<String> {
    let indented = |by: usize| {
        let lines = example.lines().map(|line| if line.is_empty() { String::new() } else { " ".repeat(by) + line });
        lines.collect::<Vec<_>>().join("\n")
    };
    let begins = |key: &str| example.lines().any(|line| line.starts_with(key));
    let receiver = |name: &str| format!("receivers: [{{name: {name}}}]\n");
    if begins("groups:") || (begins("route:") && begins("receivers:")) {
        Some(example.to_owned())
    } else if begins("- alert:") {
        Some(format!("groups:\n  - name: example\n    rules:\n{}\n", indented(6)))
    } else if begins("      - alert:") || begins("      - record:") {
        Some(format!("groups:\n  - name: example\n    rules:\n{example}"))
    } else if begins("route:") {
        let names: BTreeSet<&str> = example
            .split("receiver: ")
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '-').next())
            .collect();
        let receivers: String = names.iter().map(|name| format!("  - name: {name}\n")).collect();
        Some(format!("{example}receivers:\n{receivers}"))
    } else if example.trim_start_matches(char::is_alphabetic).starts_with("_configs:") {
        Some(format!("route: {{receiver: example}}\nreceivers:\n  - name: example\n{}\n", indented(4)))
    } else if begins("receivers:") {
        let name = example.split("receivers:").nth(1)?.split("name: ").nth(1)?.split_whitespace().next()?;
        Some(format!("route: {{receiver: {name}}}\n{example}"))
    } else if example.starts_with(char::is_alphabetic) {
        Some(format!("route: {{receiver: nobody}}\n{}{example}", receiver("nobody")))
    } else {
        None
    }
}

#[test]
fn every_example_is_read_without_a_remark() {
    let mut examples = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        for example in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let place = format!("{}\n{example}", page.display());
            let text = whole(example).unwrap_or_else(|| panic!("nobody knows what this is an example of: {place}"));
            let source = Source { name: "example.yml", text: &text };
            let remarks: Vec<Diagnostic> = if text.starts_with("groups:") {
                load_rules(source).diagnostics
            } else {
                load_config(source, &Machine).1
            };
            assert!(remarks.is_empty(), "{remarks:#?}\n{place}");
            examples += 1;
        }
    }
    println!("{examples} examples");
    assert!(examples >= 8, "only {examples} examples were found");
}
