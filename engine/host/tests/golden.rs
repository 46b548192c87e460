//! Components of every language from every version of the contract that was ever released: they load and answer.

mod support;

use std::path::{Path, PathBuf};

use support::{batch, group, settings, state};
use watchfire_host::{Host, Source};
use watchfire_plugin::{Kind, MessageGroup, Method, Provider, Target};

/// What is kept, by version: conditions in every language, and formatters since they may address requests of their own.
const KEPT: [(&str, &[&str]); 2] = [
    ("0.1", &["assemblyscript", "c", "cpp", "go", "javascript", "rust", "wat"]),
    (
        "0.2",
        &[
            "assemblyscript",
            "c",
            "cpp",
            "formatter-assemblyscript",
            "formatter-c",
            "formatter-cpp",
            "formatter-rust",
            "go",
            "javascript",
            "rust",
            "wat",
        ],
    ),
];

fn golden(version: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/golden").join(version);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path)).collect();
    files.sort();
    files
}

#[test]
fn a_plugin_of_every_language_and_contract_answers_as_it_did() {
    let host = Host::new(settings()).unwrap();
    for (version, kept) in KEPT {
        let files = golden(version);
        assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), kept, "{version}");
        for (name, file) in files {
            let shown = file.display().to_string();
            let info = host.load("golden", Source::File(&file)).unwrap_or_else(|error| panic!("{shown}: {error}"));
            assert_eq!(info.contract, format!("{version}.0"), "{shown}");
            if name.starts_with("formatter-") {
                assert_eq!(info.kinds, [Kind::Formatter], "{shown}");
                writes(&host, &shown);
            } else {
                assert_eq!(info.kinds, [Kind::Condition], "{shown}");
                finds(&host, &name, &shown);
            }
        }
    }
}

fn finds(host: &Host, name: &str, shown: &str) {
    if name == "wat" {
        // The template in WebAssembly text takes no configuration: it finds what is over zero.
        let mut condition = host.open_condition("golden", "{}").unwrap();
        let outcome = condition.evaluate(&batch(0, &[5.0, -1.0]), &mut state()).unwrap();
        let found: Vec<_> = outcome.findings.iter().map(|finding| finding.series).collect();
        assert_eq!(found, [0], "{shown}");
        return;
    }
    let error = host.open_condition("golden", "{}").err().unwrap().to_string();
    assert!(error.contains("invalid configuration at \"/limit\""), "{shown}: {error}");
    let mut condition = host.open_condition("golden", r#"{"limit": 10}"#).unwrap();
    let mut remembered = state();
    for (round, values, expected) in
        [(1, [12.0, 3.0, f64::NAN], vec![(0, 12.0)]), (2, [12.5, 10.5, 1.0], vec![(0, 12.5), (1, 10.5)])]
    {
        let outcome = condition.evaluate(&batch(round * 60_000, &values), &mut remembered).unwrap();
        remembered.commit();
        let found: Vec<_> = outcome.findings.iter().map(|finding| (finding.series, finding.value)).collect();
        assert_eq!(found, expected, "{shown}");
        assert!(outcome.findings[0].summary.contains("is above the limit"), "{shown}: {outcome:?}");
        let unknown: &[u32] = if round == 1 { &[2] } else { &[] };
        assert_eq!(outcome.unknown, unknown, "{shown}");
    }
}

fn writes(host: &Host, shown: &str) {
    let mut formatter = host.open_formatter("golden", r#"{"prefix": "shop: "}"#).unwrap();
    let message = formatter.format(&group()).unwrap();
    assert_eq!((message.title.as_str(), message.target), ("shop: 1 firing, 0 resolved", None), "{shown}");
    let url = "https://desk.example/tickets".to_owned();
    let mut formatter = host.open_formatter("golden", &format!(r#"{{"url": "{url}"}}"#)).unwrap();
    let secrets = [("token".to_owned(), "STAND-IN".to_owned())].into();
    let message = formatter.format(&MessageGroup { secrets, ..group() }).unwrap();
    assert_eq!(message.headers, [("Authorization".to_owned(), "Bearer STAND-IN".to_owned())], "{shown}");
    assert_eq!(message.target, Some(Target { method: Method::Post, url }), "{shown}");
}
