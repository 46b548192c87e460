//! What is said about broken files: each file in `broken` has its diagnostics beside it, as a reader sees them.
//!
//! `UPDATE_EXPECT=1 cargo test -p watchfire-config --test broken` writes them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use watchfire_config::lint::{Knowledge, lint};
use watchfire_config::{Diagnostic, FixedEnvironment, Source, load_config, load_rules};
use watchfire_model::Duration;
use watchfire_rules::RuleFile;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

/// What the rules of a file record, and a server that has no series `gone` and whose `up` has no label `team`.
fn knowledge(file: &RuleFile) -> Knowledge {
    let mut knowledge = Knowledge::new(Some(Duration::from_secs(15)));
    knowledge.gauges.insert("size".to_owned());
    knowledge.add_rules(file);
    for question in knowledge.questions(file) {
        let team = question.label.as_ref().is_some_and(|(name, _)| name == "team");
        let exists = question.metric != "gone" && !team;
        knowledge.answer(question, exists);
    }
    knowledge
}

/// All files with their diagnostics.
fn broken() -> BTreeMap<String, (String, Vec<Diagnostic>)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let source = Source { name: &name, text: &text };
            let diagnostics = if name.starts_with("rules-") {
                let loaded = load_rules(source);
                assert_eq!(loaded.quarantined.is_empty(), !loaded.diagnostics.iter().any(Diagnostic::is_error));
                let mut diagnostics = loaded.diagnostics;
                diagnostics.extend(lint(source, &loaded.file, &knowledge(&loaded.file)));
                diagnostics
            } else {
                let (config, diagnostics) = load_config(source, &FixedEnvironment::default());
                assert_eq!(config.is_none(), diagnostics.iter().any(Diagnostic::is_error));
                diagnostics
            };
            (name, (text, diagnostics))
        })
        .collect()
}

#[test]
fn every_broken_file_is_told_as_expected() {
    for (name, (text, diagnostics)) in broken() {
        assert!(!diagnostics.is_empty(), "nothing is said about {name}");
        let told: Vec<String> = diagnostics.iter().map(|d| d.render(&text)).collect();
        let expected = folder().join(name).with_extension("stderr");
        expect_test::expect_file![expected].assert_eq(&format!("{}\n", told.join("\n\n")));
    }
}

#[test]
fn every_diagnostic_says_what_to_do() {
    for (name, (_, diagnostics)) in broken() {
        for diagnostic in diagnostics {
            // The words of the expression, event and YAML parsers are often the help themselves.
            let own_words = ["bad-expression", "bad-event-query", "yaml-syntax"].contains(&diagnostic.code);
            assert!(diagnostic.help.is_some() || own_words, "{name}: {diagnostic}");
            assert!(!diagnostic.message.contains('\n'), "{name}: {diagnostic}");
        }
    }
}

#[test]
fn no_text_makes_reading_panic() {
    for (_, (text, _)) in broken() {
        // Every place would take minutes; a step that is prime still meets all kinds.
        for (at, c) in text.char_indices().step_by(101) {
            for put in ["", "\n", "\"", "'", "|", "*a ", "&a ", "{", "]", ": ", "\t", "${", "{{"] {
                let changed = format!("{}{put}{}", &text[..at], &text[at + c.len_utf8()..]);
                let source = Source { name: "changed.yml", text: &changed };
                let (_, diagnostics) = load_config(source, &FixedEnvironment::default());
                let loaded = load_rules(source);
                let linted = lint(source, &loaded.file, &knowledge(&loaded.file));
                for diagnostic in diagnostics.iter().chain(&loaded.diagnostics).chain(&linted) {
                    assert!(diagnostic.render(&changed).starts_with("changed.yml:"), "{changed}");
                }
            }
        }
    }
}
