//! Components of every language from every version of the contract that was ever released: they load and answer.

mod support;

use std::path::{Path, PathBuf};

use support::{batch, settings, state};
use watchfire_host::{Host, Source};
use watchfire_plugin::{Kind, Provider};

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/golden");
    let folders = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_plugin_of_every_language_and_contract_answers_as_it_did() {
    let host = Host::new(settings()).unwrap();
    let files = golden();
    let current = files.iter().filter(|file| file.parent().is_some_and(|folder| folder.ends_with("0.1")));
    let names: Vec<_> = current.filter_map(|file| file.file_stem()).collect();
    assert_eq!(names, ["assemblyscript", "c", "cpp", "go", "javascript", "rust", "wat"]);
    for file in files {
        let shown = file.display();
        let info = host.load("golden", Source::File(&file)).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(info.kinds, [Kind::Condition], "{shown}");
        if file.file_stem().is_some_and(|stem| stem == "wat") {
            // The template in WebAssembly text takes no configuration: it finds what is over zero.
            let mut condition = host.open_condition("golden", "{}").unwrap();
            let outcome = condition.evaluate(&batch(0, &[5.0, -1.0]), &mut state()).unwrap();
            let found: Vec<_> = outcome.findings.iter().map(|finding| finding.series).collect();
            assert_eq!(found, [0], "{shown}");
            continue;
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
}
