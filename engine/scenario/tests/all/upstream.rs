//! Test files of others in the format of `promtool test rules`, with the verdicts that promtool gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use watchfire_config::FixedEnvironment;
use watchfire_scenario::{Files, Report, Tools, run_file};

/// The disk.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        if !name.contains('*') {
            return Path::new(pattern).exists().then(|| pattern.to_owned()).into_iter().collect();
        }
        let (before, after) = name.split_once('*').unwrap_or((name, ""));
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found: Vec<_> = names.filter(|name| name.starts_with(before) && name.ends_with(after)).collect();
        found.sort();
        found.into_iter().map(|name| format!("{folder}/{name}")).collect()
    }
}

fn run(path: &Path) -> Report {
    let environment = FixedEnvironment::default();
    let tools = Tools {
        files: &Disk,
        environment: &environment,
        provider: None,
        renderer: None,
        only: None,
        ignore_unknown_keys: false,
    };
    run_file(&path.to_string_lossy(), &std::fs::read_to_string(path).unwrap(), &tools)
}

/// The folder with the public test data, or one line that says that there is none.
#[expect(clippy::disallowed_methods, reason = "tests find public test data through the environment")]
fn data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var("WATCHFIRE_TEST_DATA").ok().filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
    }
    folder
}

/// Runs each file and lists those whose verdict is another than expected.
fn compare(folder: &Path, expected: &BTreeMap<String, bool>) {
    let mut wrong = Vec::new();
    for (file, passes) in expected {
        let report = run(&folder.join(file));
        if report.passed() != *passes {
            let wanted = if *passes { "pass" } else { "fail" };
            wrong.push(format!("{file} should {wanted}\n{report}"));
        }
    }
    println!("{} of {} files have the same verdict", expected.len() - wrong.len(), expected.len());
    assert!(wrong.is_empty(), "{} of {} verdicts differ:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
}

/// The index has the verdicts of promtool 2.42. These are others since windows are open on the left: the verdicts of
/// promtool 3.15, which for all other files are those of the index.
const SINCE_3: [(&str, bool); 6] = [
    ("etcd-mixin/test.yaml", false),
    ("konflux-o11y/data_plane/kyverno_test.yaml", false),
    ("konflux-o11y/recording/caching_availability_recording_rules_test.yaml", false),
    ("kubernetes-mixin/tests/absent_alert-test.yaml", true),
    ("kubernetes-mixin/tests/tests.yaml", true),
    ("openshift-cmo/bz1974830.yaml", false),
];

#[test]
fn rule_unit_tests_of_others_have_the_verdicts_of_promtool() {
    let Some(data) = data("rule_unit_tests_of_others_have_the_verdicts_of_promtool") else { return };
    let folder = data.join("rule-unit-tests");
    let index = std::fs::read_to_string(folder.join("INDEX.jsonl")).unwrap();
    let mut expected = BTreeMap::new();
    for line in index.lines() {
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!("\"{name}\": \"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let file = field("file");
        let passes = match SINCE_3.iter().find(|(other, _)| *other == file) {
            Some((_, passes)) => *passes,
            None => field("promtool_2_42") == "pass",
        };
        expected.insert(file, passes);
    }
    assert_eq!(expected.len(), 58);
    compare(&folder, &expected);
}

#[test]
fn the_test_files_of_promtool_itself_have_its_verdicts() {
    let Some(data) = data("the_test_files_of_promtool_itself_have_its_verdicts") else { return };
    // From promtool's own tests (prometheus `cmd/promtool/unittest_test.go`), with the language as it is today.
    let expected = [
        ("at-modifier-test.yml", true),
        ("bad-input-series.yml", false),
        ("bad-promql.yml", false),
        ("bad-rules-error-test.yml", false),
        ("bad-rules-syntax-test.yml", false),
        ("failing.yml", false),
        ("long-period.yml", true),
        ("negative-offset-test.yml", true),
        ("no-test-group-interval.yml", true),
        ("rules_run.yml", false),
        ("rules_run_extrafields.yml", false),
        ("rules_run_fuzzy.yml", false),
        ("rules_run_no_fuzzy.yml", false),
        ("start-time-test.yml", true),
        ("unittest.yml", true),
    ];
    let expected = expected.map(|(file, passes)| (file.to_owned(), passes)).into();
    compare(&data.join("prometheus-rules/head/cmd/promtool/testdata"), &expected);
}
