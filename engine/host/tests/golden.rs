//! Components of every language from every version of the contract that was ever released: they load and answer.

mod support;

use std::path::Path;
use std::process::Command;

use support::{batch, group, settings, state};
use watchfire_host::{Host, HostSettings, Source};
use watchfire_model::Timestamp;
use watchfire_plugin::{Decision, Kind, MessageGroup, Method, Provider, Target};

const CONDITION: &[Kind] = &[Kind::Condition];
const ROUTER: &[Kind] = &[Kind::Router];
const FORMATTER: &[Kind] = &[Kind::Formatter];

/// What is kept, by version: conditions in every language, formatters since they may address requests of their own, and
/// what routers and the formatters before are in the smallest of them.
const KEPT: [(&str, &[(&str, &[Kind])]); 2] = [
    (
        "0.1",
        &[
            ("assemblyscript.wasm", CONDITION),
            ("c.wasm", CONDITION),
            ("cpp.wasm", CONDITION),
            ("formatter-rust.wasm", FORMATTER),
            ("go.wasm.xz", CONDITION),
            ("javascript.wasm.xz", CONDITION),
            ("python.wasm.xz", CONDITION),
            ("router-rust.wasm", ROUTER),
            ("rust.wasm", CONDITION),
            ("typescript.wasm.xz", CONDITION),
            ("wat.wasm", CONDITION),
        ],
    ),
    (
        "0.2",
        &[
            ("assemblyscript.wasm", CONDITION),
            ("c.wasm", CONDITION),
            ("cpp.wasm", CONDITION),
            ("formatter-assemblyscript.wasm", FORMATTER),
            ("formatter-c.wasm", FORMATTER),
            ("formatter-cpp.wasm", FORMATTER),
            ("formatter-go.wasm.xz", FORMATTER),
            ("formatter-javascript.wasm.xz", FORMATTER),
            ("formatter-rust.wasm", FORMATTER),
            ("formatter-typescript.wasm.xz", FORMATTER),
            ("go.wasm.xz", CONDITION),
            ("javascript.wasm.xz", CONDITION),
            ("python.wasm.xz", &[Kind::Condition, Kind::Formatter]),
            ("router-assemblyscript.wasm", ROUTER),
            ("router-c.wasm", ROUTER),
            ("router-rust.wasm", ROUTER),
            ("rust.wasm", CONDITION),
            ("typescript.wasm.xz", CONDITION),
            ("wat.wasm", CONDITION),
        ],
    ),
];

#[test]
fn a_plugin_of_every_language_and_contract_answers_as_it_did() {
    // Python's take seconds to compile. What was compiled is found again as long as wasmtime and its settings are the
    // same, so that only another wasmtime, which has to prove itself on them, takes that time again.
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden");
    let host = Host::new(HostSettings { cache_dir: Some(compiled), ..settings() }).unwrap();
    for (version, kept) in KEPT {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/golden").join(version);
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut files: Vec<_> = files.map(|name| name.to_string_lossy().into_owned()).collect();
        files.sort();
        assert_eq!(files, kept.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{version}");
        for (name, kinds) in kept {
            let file = folder.join(name);
            let shown = format!("{version}/{name}");
            let Some(wasm) = read(&file) else {
                println!("SKIPPED golden component {shown}: xz, which unpacks it, is not installed");
                continue;
            };
            let loaded = host.load("golden", Source::Bytes(&wasm));
            let info = loaded.unwrap_or_else(|error| panic!("{shown}: {error}"));
            assert_eq!((info.contract, &*info.kinds), (format!("{version}.0"), *kinds), "{shown}");
            for kind in info.kinds {
                match kind {
                    Kind::Condition => finds(&host, &shown),
                    Kind::Formatter => writes(&host, &shown, version),
                    Kind::Router => routes(&host, &shown),
                }
            }
        }
    }
}

/// The component; `None` if the program that unpacks it is missing.
fn read(file: &Path) -> Option<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "wasm") {
        return Some(std::fs::read(file).unwrap());
    }
    let unpacked = Command::new("xz").args(["--decompress", "--stdout"]).arg(file).output().ok()?;
    let error = String::from_utf8_lossy(&unpacked.stderr);
    assert!(unpacked.status.success(), "{}: {error}", file.display());
    Some(unpacked.stdout)
}

fn finds(host: &Host, shown: &str) {
    if shown.ends_with("/wat.wasm") {
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

fn routes(host: &Host, shown: &str) {
    let mut router = host.open_router("golden", r#"{"label": "alertname", "prefix": "team-"}"#).unwrap();
    let alerts = group().alerts;
    let expected = Decision { receivers: vec!["team-A".to_owned()], suppress: None, group_key: None };
    assert_eq!(router.route(Timestamp::EPOCH, &alerts).unwrap(), [expected], "{shown}");
}

fn writes(host: &Host, shown: &str, version: &str) {
    let mut formatter = host.open_formatter("golden", r#"{"prefix": "shop: "}"#).unwrap();
    let message = formatter.format(&group()).unwrap();
    assert_eq!((message.title.as_str(), message.target), ("shop: 1 firing, 0 resolved", None), "{shown}");
    if version == "0.1" {
        return;
    }
    let url = "https://desk.example/tickets".to_owned();
    let mut formatter = host.open_formatter("golden", &format!(r#"{{"url": "{url}"}}"#)).unwrap();
    let secrets = [("token".to_owned(), "STAND-IN".to_owned())].into();
    let message = formatter.format(&MessageGroup { secrets, ..group() }).unwrap();
    assert_eq!(message.headers, [("Authorization".to_owned(), "Bearer STAND-IN".to_owned())], "{shown}");
    assert_eq!(message.target, Some(Target { method: Method::Post, url }), "{shown}");
}
