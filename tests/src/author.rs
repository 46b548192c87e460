//! The author's way, once per language: `watchfire plugin new`, `build`, `test`, with the language's real toolchain.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, Tool, block_on, eventually, root, variable};

const BUILT: Tool = Tool::Binary;

pub(crate) const CASES: &[Case] = &[
    Case { name: "author::rust", needs: &[BUILT, Tool::Program("cargo")], run: || three("rust") },
    Case { name: "author::python", needs: &[BUILT, Tool::Program("componentize-py")], run: || three("python") },
    Case { name: "author::javascript", needs: &[BUILT, Tool::Program("npm")], run: || three("javascript") },
    Case { name: "author::typescript", needs: &[BUILT, Tool::Program("npm")], run: || three("typescript") },
    Case { name: "author::go", needs: &[BUILT, Tool::Program("go")], run: || three("go") },
    Case { name: "author::c", needs: &[BUILT, Tool::Program("clang")], run: || three("c") },
    Case { name: "author::cpp", needs: &[BUILT, Tool::Program("clang++")], run: || three("cpp") },
    Case { name: "author::assemblyscript", needs: &[BUILT, Tool::Program("npm")], run: || three("assemblyscript") },
    Case { name: "author::wat", needs: &[BUILT], run: || tour("wat", "condition", None) },
    Case { name: "author::a_failed_call_comes_back", needs: &[BUILT], run: comes_back },
    Case { name: "author::dev_builds_tests_and_tries", needs: &[BUILT], run: dev },
    Case { name: "author::dev_goes_on_after_a_mistake", needs: &[BUILT], run: dev_goes_on },
    Case { name: "author::first_party_plugins_pass_their_cases", needs: &[BUILT, Tool::Plugins], run: first_party },
    Case { name: "author::mistakes_are_told", needs: &[BUILT], run: mistakes },
];

/// All three kinds, one after the other; what they download is shared.
fn three(language: &str) -> Result<()> {
    let shared = tempfile::tempdir()?;
    for kind in ["condition", "router", "formatter"] {
        tour(language, kind, Some(shared.path()))?;
    }
    Ok(())
}

/// What an author does first, up to the plugin that passes its tests.
fn tour(language: &str, kind: &str, shared: Option<&Path>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str]| watchfire(folder.path(), shared, arguments);
    let (code, told) = run(&["plugin", "new", "first", "--lang", language, "--kind", kind])?;
    ensure!(code == Some(0), "new: {told}");
    if let (Some(shared), "javascript" | "typescript" | "assemblyscript") = (shared, language) {
        // One download serves the three kinds.
        let modules = shared.join("node_modules");
        if modules.is_dir() {
            std::os::unix::fs::symlink(&modules, folder.path().join("first/node_modules"))?;
        }
    }
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(0), "{language} {kind}: build: {told}");
    let (code, told) = run(&["plugin", "test", "first"])?;
    ensure!(code == Some(0) && told.contains(" passed, 0 failed"), "{language} {kind}: test: {told}");
    if language == "typescript" {
        let tsc = ["--noEmit", "--project", "first"];
        let checked = Command::new(folder.path().join("first/node_modules/.bin/tsc"))
            .args(tsc)
            .current_dir(folder.path())
            .output()?;
        ensure!(checked.status.success(), "{kind}: tsc: {}", String::from_utf8_lossy(&checked.stdout));
    }
    // Compiling an interpreter takes seconds, so that one kind stands for all.
    if kind == "condition" {
        let (code, told) = run(&["plugin", "inspect", "first/build/first.wasm"])?;
        let written = format!("written in {language}");
        ensure!(code == Some(0) && told.contains(&written) && told.contains(kind), "{language}: inspect: {told}");
        if language == "javascript" {
            checks(folder.path(), &run)?;
        }
        lasts(language, &run)?;
        fails(language, folder.path(), &run)?;
        reads(language, folder.path(), &run)?;
        answers(language, folder.path(), &run)?;
    }
    if kind == "formatter" {
        unescapes(language, folder.path(), &run)?;
    }
    if (language, kind) == ("assemblyscript", "formatter") {
        refuses(folder.path(), &run)?;
    }
    // Calls beyond the first few, when a language collects its garbage.
    if (language, kind) == ("go", "router") || (language, kind) == ("go", "formatter") {
        lasts(language, &run)?;
    }
    let modules = folder.path().join("first/node_modules");
    if let Some(shared) = shared
        && modules.is_dir()
        && !modules.is_symlink()
    {
        std::fs::rename(modules, shared.join("node_modules"))?;
    }
    Ok(())
}

/// A plugin in JavaScript has exports for every kind, and only itself knows for which of them it offers something.
fn checks(folder: &Path, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let config = "plugins: {dir: first/build}\nroute: {receiver: a, router: {plugin: first}}\nreceivers: [{name: a}]\n\
                  rules: {paths: [first.rules]}\n";
    std::fs::write(folder.join("watchfire.yml"), config)?;
    std::fs::write(folder.join("first.rules"), RULE)?;
    let (code, told) = run(&["check", "watchfire.yml"])?;
    let wrong = "watchfire.yml:2:39: error: the plugin \"first\" offers no router [wrong-kind]";
    let help = "it offers condition; name a plugin that offers a router";
    ensure!(code == Some(1) && told.contains(wrong) && told.contains(help) && told.contains("1 error,"), "{told}");
    Ok(())
}

/// One instance answers ten thousand calls, each a second after the one before.
fn lasts(language: &str, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let (code, told) = run(&["plugin", "bench", "first", "--items", "1,3", "--calls", "10000"])?;
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("first ")).collect();
    ensure!(code == Some(0) && lines.len() == 2, "{language}: bench: {told}");
    Ok(())
}

/// How each language fails: what to write over what in the template, and what the author is told then.
const FAILURES: [(&str, &str, &str, &str, &[&str]); 8] = [
    (
        "rust",
        "src/lib.rs",
        "let mut outcome = Outcome::default();",
        "let mut outcome = Outcome::default(); [0][state.get(\"none\").map_or(1, |_| 0)];",
        &["index out of bounds", "src/lib.rs:"],
    ),
    (
        "python",
        "plugin.py",
        "outcome, limit, latest =",
        "{}[\"none\"]; outcome, limit, latest =",
        &["KeyError", "plugin.py"],
    ),
    (
        "javascript",
        "plugin.js",
        "const findings = [];",
        "const findings = []; none();",
        &["none is not defined", "plugin.js:"],
    ),
    (
        "typescript",
        "plugin.ts",
        "const unknown: number[] = [];",
        "const unknown: number[] = []; (globalThis as any).none();",
        &["not a function", "evaluate"],
    ),
    (
        "go",
        "plugin.go",
        "streak := 1",
        "streak := 1; var none []int; _ = none[len(none)]",
        &["index out of range", "plugin.go:"],
    ),
    ("c", "plugin.c", "row = streak();", "row = streak(); __builtin_trap();", &["unreachable", "condition_evaluate"]),
    (
        "assemblyscript",
        "plugin.ts",
        "const outcome = new Outcome();",
        "const outcome = new Outcome(); outcome.unknown[7] += 1;",
        &["instruction executed: Index out of range", "evaluate"],
    ),
    ("cpp", "plugin.cpp", "Outcome outcome;", "Outcome outcome; __builtin_trap();", &["unreachable", "evaluate"]),
];

/// Breaks the template: what goes wrong in the language is told with its place.
fn fails(language: &str, folder: &Path, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let Some((_, file, good, bad, expected)) = FAILURES.iter().find(|failure| failure.0 == language) else {
        return Ok(());
    };
    let source = folder.join("first").join(file);
    let text = std::fs::read_to_string(&source)?;
    ensure!(text.contains(good), "the template of {language} has no {good:?} any more");
    std::fs::write(&source, text.replacen(good, bad, 1))?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(0), "{language}: build: {told}");
    let (code, told) = run(&["plugin", "test", "first"])?;
    ensure!(code == Some(1) && expected.iter().all(|part| told.contains(part)), "{language}: {told}");
    Ok(())
}

/// What the SDK of each language has beyond what its template uses; C has the bindings alone.
const READERS: [(&str, &str, &str); 7] = [
    ("rust", "src/lib.rs", include_str!("readers/reader.rs")),
    ("python", "plugin.py", include_str!("readers/reader.py")),
    ("javascript", "plugin.js", include_str!("readers/reader.js")),
    ("typescript", "plugin.ts", include_str!("readers/reader.ts")),
    ("go", "plugin.go", include_str!("readers/reader.go.txt")),
    ("cpp", "plugin.cpp", include_str!("readers/reader.cpp")),
    ("assemblyscript", "plugin.ts", include_str!("readers/reader.as.ts")),
];

fn builds_and_passes(what: &str, cases: usize, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(0), "{what}: build: {told}");
    let (code, told) = run(&["plugin", "test", "first"])?;
    ensure!(code == Some(0) && told.contains(&format!("{cases} passed, 0 failed")), "{what}: {told}");
    Ok(())
}

/// A condition that reads all columns, labels, events and the version of the state's layout.
fn reads(language: &str, folder: &Path, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let Some((_, file, source)) = READERS.iter().find(|reader| reader.0 == language) else { return Ok(()) };
    let cut = |line: &str| match line.split_once(';') {
        Some((read, _)) if matches!(language, "cpp" | "assemblyscript") => format!("{read}\"\n"),
        _ => format!("{line}\n"),
    };
    let cases: String = include_str!("readers/cases.yml").lines().map(cut).collect();
    std::fs::write(folder.join("first").join(file), source)?;
    std::fs::write(folder.join("first/tests/condition.yml"), cases)?;
    builds_and_passes(&format!("{language}: the reader"), 1, run)
}

/// What a plugin may rely on, and what it is told of its own answers: sources one after the other, and cases.
const ANSWERS: [(&str, &str, &[&str], &[&str]); 3] = [
    (
        "python",
        "plugin.py",
        &[include_str!("readers/clock.py"), include_str!("readers/answers.py")],
        &[include_str!("readers/clock.yml"), include_str!("readers/answers.py.yml")],
    ),
    (
        "javascript",
        "plugin.js",
        &[include_str!("readers/clock.js"), include_str!("readers/answers.js")],
        &[include_str!("readers/clock.yml"), include_str!("readers/answers.js.yml")],
    ),
    ("go", "plugin.go", &[include_str!("readers/clock.go.txt")], &[include_str!("readers/clock.yml")]),
];

/// The clock and random numbers are a function of the call, and an answer of the wrong shape is told.
fn answers(language: &str, folder: &Path, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let Some((_, file, sources, cases)) = ANSWERS.iter().find(|answers| answers.0 == language) else { return Ok(()) };
    let plugin = folder.join("first");
    std::fs::write(plugin.join(file), sources.concat())?;
    std::fs::remove_file(plugin.join("tests/condition.yml"))?;
    let files = cases.iter().flat_map(|cases| cases.split("---\n"));
    for (number, cases) in files.clone().enumerate() {
        std::fs::write(plugin.join(format!("tests/{number}.yml")), cases)?;
    }
    let count = files.map(|cases| cases.matches("- {name: ").count() + cases.matches("- name: ").count()).sum();
    builds_and_passes(&format!("{language}: its answers"), count, run)?;
    replays(language, folder, run)
}

/// The limits of a recorded call that is made up here.
fn limits() -> Value {
    json!({
        "callMs": 10_000, "openMs": 10_000, "memoryBytes": 64 << 20, "tableElements": 20_000, "outputBytes": 8 << 20,
        "bodyBytes": 1 << 20, "textBytes": 4_096, "logBytes": 16_384, "logLines": 100, "stateBytes": 1 << 20, "calls": 1,
    })
}

/// What is drawn in a call comes again in another process: without that, no recorded call could be replayed.
fn replays(language: &str, folder: &Path, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let series = json!([{ "labels": { "host": "a" }, "times": [1_700_000_000_123_i64], "values": [1.0] }]);
    let input = json!({ "at": 1_700_000_000_123_i64, "series": series, "events": [], "state": {} });
    let call = json!({
        "plugin": "first", "number": 1, "digest": "", "part": "clock", "limits": limits(), "config": "{}",
        "input": { "condition": input }, "answer": { "failure": { "kind": "trap", "message": "" } },
        "log": [], "memoryBytes": 0, "nanoseconds": 0, "instructions": 0,
    });
    std::fs::write(folder.join("call.json"), call.to_string())?;
    let found = || -> Result<String> {
        let (_, told) = run(&["plugin", "replay", "call.json", "--folder", "first"])?;
        let found = told.lines().find(|line| line.contains("at 1700000000123, none before"));
        // The value is a number between 0 and 1 that was drawn.
        let found = found.filter(|line| line.contains(" 0."));
        found.map(str::to_owned).with_context(|| format!("{language}: {told}"))
    };
    let (first, second) = (found()?, found()?);
    ensure!(first == second, "{language}: {first} and {second}");
    Ok(())
}

/// A configuration that others wrote spells what is not ASCII as escapes.
fn unescapes(language: &str, folder: &Path, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let input = json!({ "at": 0, "key": "", "receiver": "", "groupLabels": {}, "externalUrl": "", "alerts": [] });
    let call = json!({
        "plugin": "first", "number": 1, "digest": "", "part": "lines", "limits": limits(),
        "config": r#"{"prefix": "\u00fc\u20ac\ud834\udd1e\t\"a\u0041: "}"#,
        "input": { "formatter": input }, "answer": { "failure": { "kind": "trap", "message": "" } },
        "log": [], "memoryBytes": 0, "nanoseconds": 0, "instructions": 0,
    });
    std::fs::write(folder.join("call.json"), call.to_string())?;
    let (_, told) = run(&["plugin", "replay", "call.json", "--folder", "first"])?;
    ensure!(told.contains("ü€𝄞\\t\"aA: 0 firing, 0 resolved"), "{language}: {told}");
    Ok(())
}

/// AssemblyScript has no exceptions: a refusal counts wherever and with whatever words it is said.
fn refuses(folder: &Path, run: &dyn Fn(&[&str]) -> Result<(Option<i32>, String)>) -> Result<()> {
    let source = folder.join("first/plugin.ts");
    let text = std::fs::read_to_string(&source)?;
    let broken = text.replace("badInput(\"the receiver's grant has no secret `token`\")", "badInput(\"\")").replace(
        "(config) => new Lines(config.text(\"prefix\", \"\"), config.text(\"url\", \"\"))",
        "(config) => open(config)",
    ) + include_str!("readers/refuses.as.ts");
    std::fs::write(&source, broken.replace("import { ", "import { Config, "))?;
    let cases = "formatter: lines\ncases:\n\
        - {name: in a call, config: {url: 'https://desk.example'}, error: 'cannot handle this input: '}\n\
        - {name: in open, config: {prefix: bad input}, error: 'cannot handle this input: '}\n\
        - {name: of the configuration, config: {prefix: both}, error: 'invalid configuration at \"/prefix\": '}\n\
        - {name: none, config: {prefix: good}, message: {title: 'good0 firing, 0 resolved'}}\n";
    std::fs::write(folder.join("first/tests/formatter.yml"), cases)?;
    builds_and_passes("refusals", 4, run)
}

/// What `plugins/` offers, as it was built, with its own cases.
fn first_party() -> Result<()> {
    let built = std::path::PathBuf::from(variable("WATCHFIRE_PLUGINS").context("WATCHFIRE_PLUGINS")?);
    let mut tried = 0;
    for entry in std::fs::read_dir(root().join("plugins"))? {
        let (folder, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if folder.join("plugin.yml").is_file() {
            let file = built.join(name).with_extension("wasm");
            let arguments =
                ["plugin".as_ref(), "test".as_ref(), folder.as_os_str(), "--plugin".as_ref(), file.as_ref()];
            let output =
                Command::new(variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?).args(arguments).output()?;
            let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            ensure!(output.status.success() && told.contains(" passed, 0 failed"), "{}: {told}", folder.display());
            carries_its_tests(&folder, &file)?;
            tried += 1;
        }
    }
    ensure!(tried > 10, "only {tried} plugins have cases");
    Ok(())
}

/// What was built says what it is, for which contract, and has the tests in it.
fn carries_its_tests(folder: &Path, file: &Path) -> Result<()> {
    let (code, told) = watchfire(folder, None, &["plugin", "inspect", &file.display().to_string(), "--json"])?;
    let shown: Value = serde_json::from_str(&told).with_context(|| told.clone())?;
    let name = folder.file_name().and_then(|name| name.to_str());
    ensure!(code == Some(0) && shown["manifest"]["name"].as_str() == name, "{}: {told}", folder.display());
    ensure!(shown["tests"].as_u64() > Some(0) && shown["contract"] == "0.2.0", "{}: {told}", folder.display());
    Ok(())
}

fn watchfire(folder: &Path, shared: Option<&Path>, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?;
    let mut command = Command::new(binary);
    if let Some(shared) = shared {
        command.env("CARGO_TARGET_DIR", shared.join("target"));
    }
    let output = command.args(arguments).current_dir(folder).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

const WATCHING: &str = "rules: {paths: ['*.rules']}\nplugins: {dir: plugins}\nevaluation: {keep_unread: true}\n\
                        route: {receiver: none}\nreceivers: [{name: none}]\n";
const RULE: &str = "groups: [{name: g, rules: [{alert: A, expr: load, condition: {plugin: first}}]}]\n";

/// A plugin traps in an engine; the call comes home, fails there in the same way, and succeeds once the plugin is mended.
fn comes_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str]| watchfire(folder.path(), None, arguments);
    run(&["plugin", "new", "first", "--lang", "wat"])?;
    let source = folder.path().join("first/plugin.wat");
    let good = std::fs::read_to_string(&source)?;
    let broken = good.replacen("(call $latest (i32.const 1024))", "(call $latest (i32.const 1024)) unreachable", 1);
    ensure!(broken != good, "the template has changed");
    std::fs::write(&source, broken)?;
    // A plugin that carries its tests would not be loaded at all.
    std::fs::remove_dir_all(folder.path().join("first/tests"))?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(0), "{told}");
    block_on(async {
        let mut engine = Engine::prepare(&[("watchfire.yml", WATCHING), ("a.rules", RULE)])?;
        std::fs::create_dir_all(engine.folder().join("plugins"))?;
        std::fs::copy(folder.path().join("first/build/first.wasm"), engine.folder().join("plugins/first.wasm"))?;
        engine.run(&[]).await?;
        engine.push("load{host=\"a\"} 12\n").await?;
        let url = engine.url("");
        eventually("the failed call is there", async || {
            let (_, told) = run(&["plugin", "calls", "first", "--url", &url])?;
            Ok(told.contains("unreachable").then_some(()))
        })
        .await?;
        let replay = ["plugin", "replay", "first/1", "--folder", "first", "--save", "call.json", "--url", &url];
        let (code, told) = run(&replay)?;
        ensure!(code == Some(0) && told.contains("the same answer, byte by byte"), "{told}");
        ensure!(told.contains("1 series") && told.contains("unreachable"), "{told}");
        let (code, told) = run(&["plugin", "calls", "second", "--url", &url])?;
        let expected = "there is no plugin \"second\"; in the folder of plugins there is first";
        ensure!(code == Some(1) && told.contains(expected), "{told}");
        Ok(())
    })?;
    // Another version with the same code.
    let described = folder.path().join("first/plugin.yml");
    let text = std::fs::read_to_string(&described)?;
    std::fs::write(&described, format!("{text}license: MIT\n"))?;
    run(&["plugin", "build", "first"])?;
    let (code, told) = run(&["plugin", "replay", "call.json", "--folder", "first"])?;
    let expected = "the same answer, byte by byte, from another build of the plugin: ";
    let digests = told.split_once(expected).map(|(_, rest)| rest.trim_end().len());
    ensure!(code == Some(0) && digests == Some("0123456789ab when it was recorded, 0123456789ab now".len()), "{told}");
    std::fs::write(&source, good)?;
    run(&["plugin", "build", "first"])?;
    let (code, told) = run(&["plugin", "replay", "call.json", "--folder", "first"])?;
    ensure!(
        code == Some(1) && told.contains("another answer, from another build") && told.contains("1 found"),
        "{told}"
    );
    Ok(())
}

/// One round of the loop that an author works in: cases, a running engine, recorded samples.
fn dev() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str]| watchfire(folder.path(), None, arguments);
    run(&["plugin", "new", "first", "--lang", "wat"])?;
    std::fs::create_dir(folder.path().join("samples"))?;
    std::fs::write(folder.path().join("samples/a.om"), "load{host=\"a\"} 0 100\nload{host=\"a\"} 7 160\n# EOF\n")?;
    let recorded = ["plugin", "dev", "first", "--once", "--data", "samples", "--expr", "load", "--every", "60"];
    let (code, told) = run(&recorded)?;
    ensure!(code == Some(0) && told.contains("1 cases passed"), "{told}");
    ensure!(told.contains("{__name__=\"load\", host=\"a\"}") || told.contains("host=\"a\""), "{told}");
    ensure!(told.contains("1 evaluations, 1 with findings"), "{told}");
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", WATCHING)]).await?;
        engine.push("load{host=\"live\"} 12\n").await?;
        let url = engine.url("");
        let (code, told) = run(&["plugin", "dev", "first", "--once", "--url", &url, "--expr", "load"])?;
        ensure!(code == Some(0) && told.contains("host=\"live\"") && told.contains("1 found"), "{told}");
        Ok(())
    })?;
    let (code, told) = run(&["plugin", "dev", "first", "--once", "--url", "127.0.0.1:9", "--expr", "load"])?;
    ensure!(code == Some(1) && told.contains("no data: http://127.0.0.1:9 cannot be reached"), "{told}");
    let source = folder.path().join("first/plugin.wat");
    std::fs::write(&source, std::fs::read_to_string(&source)?.replace("f64.gt", "f64.lt"))?;
    let (code, told) = run(&["plugin", "dev", "first", "--once"])?;
    ensure!(code == Some(1) && told.contains("FAIL") && told.contains("expected a finding"), "{told}");
    Ok(())
}

/// A mistake in any file is told, and the next save is tried as if nothing had been.
fn dev_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    watchfire(folder.path(), None, &["plugin", "new", "first", "--lang", "wat"])?;
    let path = |file: &str| folder.path().join("first").join(file);
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?;
    let told = folder.path().join("told");
    let out = std::fs::File::create(&told)?;
    let mut dev = Command::new(binary);
    dev.args(["plugin", "dev", "first"]).current_dir(folder.path()).stdout(out.try_clone()?).stderr(out);
    let mut dev = dev.spawn()?;
    let tries = block_on(async {
        let says = async |count: usize, text: &str| {
            eventually(&format!("dev says {text:?}"), async || {
                Ok((std::fs::read_to_string(&told)?.matches(text).count() >= count).then_some(()))
            })
            .await
        };
        says(1, "1 cases passed").await?;
        let mistakes = [
            ("tests/condition.yml", "error: unknown key", "cases:", "casse:"),
            ("plugin.yml", "is no language", "language: wat", "language: what"),
            ("plugin.wat", "failed:", "(module", "(modul"),
        ];
        for (round, (file, complaint, good, bad)) in (2..).zip(mistakes) {
            let text = std::fs::read_to_string(path(file))?;
            std::fs::write(path(file), text.replacen(good, bad, 1))?;
            says(1, complaint).await?;
            std::fs::write(path(file), &text)?;
            says(round, "1 cases passed").await?;
        }
        // As while a branch is checked out.
        std::fs::rename(path("plugin.yml"), folder.path().join("away.yml"))?;
        says(1, "it has no plugin.yml").await?;
        std::fs::rename(folder.path().join("away.yml"), path("plugin.yml"))?;
        says(5, "1 cases passed").await?;
        Ok(())
    });
    dev.kill()?;
    dev.wait()?;
    tries
}

fn mistakes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str]| watchfire(folder.path(), None, arguments);
    let (code, told) = run(&["plugin", "new", "First", "--lang", "c"])?;
    ensure!(code == Some(1) && told.contains("lower-case letters"), "{told}");
    let (code, told) = run(&["plugin", "new", "first", "--lang", "cobol"])?;
    ensure!(code == Some(2) && told.contains("use rust, python"), "{told}");
    let (code, told) = run(&["plugin", "new", "first", "--lang", "wat"])?;
    ensure!(code == Some(0), "{told}");
    let (code, told) = run(&["plugin", "new", "first", "--lang", "wat"])?;
    ensure!(code == Some(1) && told.contains("exists already"), "{told}");
    let (code, told) = run(&["plugin", "new", "../first", "--lang", "c"])?;
    ensure!(code == Some(1) && told.starts_with("error: \"../first\": a plugin's name has"), "{told}");
    let (code, told) = run(&["plugin", "new", "second", "--lang", "wat", "--kind", "router"])?;
    ensure!(code == Some(1) && told.contains("no template for a router, only for a condition"), "{told}");
    for command in ["test", "bench", "inspect"] {
        let (code, told) = run(&["plugin", command, "first"])?;
        let expected = "error: first/build/first.wasm is not there; `watchfire plugin build` makes it\n";
        ensure!(code == Some(1) && told == expected, "{command}: {told}");
        let (code, told) = run(&["plugin", command])?;
        ensure!(code == Some(1) && told.contains(". is no plugin's folder, it has no plugin.yml; name"), "{told}");
    }
    let cases = folder.path().join("first/tests/condition.yml");
    let good = std::fs::read(&cases)?;
    std::fs::write(&cases, "cases:\n  - name: a: b\n")?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(1) && told.starts_with("first/tests/condition.yml:2:"), "{told}");
    std::fs::write(&cases, "condition: first\ncases:\n  - nmae: a\n")?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    let expected = "first/tests/condition.yml:3:5: error: unknown key \"nmae\" [bad-value]\n  3 |   - nmae: a\n";
    ensure!(code == Some(1) && told.starts_with(expected) && told.contains("known here: `name`, "), "{told}");
    std::fs::write(&cases, "condition: above-zero\ncases:\n  - {name: a, series: [{labels: {}, value: 1}]}\n")?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    let expected = "first/tests/condition.yml:3:6: error: the case expects nothing, so that it cannot fail";
    ensure!(code == Some(1) && told.starts_with(expected) && told.contains("`findings: []` for none"), "{told}");
    std::fs::write(&cases, "cases: []\n")?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    let expected = "first/tests/condition.yml:1:1: error: name one of `condition`, `router` and `formatter`";
    ensure!(code == Some(1) && told.starts_with(expected), "{told}");
    std::fs::write(&cases, good)?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(0), "{told}");
    let (code, told) = run(&["plugin", "inspect", "first"])?;
    ensure!(code == Some(0) && told.contains("written in wat"), "{told}");
    let (code, told) = run(&["plugin", "build", "first", "--from", "first/build/first.wasm"])?;
    ensure!(code == Some(1) && told.contains("it has a section `watchfire:manifest` already"), "{told}");
    let many: String = (0..65).map(|number| format!("  - {{name: case {number}, findings: []}}\n")).collect();
    let long =
        format!("  - {{name: long, series: [{{labels: {{}}, values: [{}1]}}], findings: []}}\n", "1, ".repeat(100_000));
    for (text, counted) in [(many, "here are 65 of "), (long, "here are 1 of ")] {
        std::fs::write(&cases, format!("condition: above-zero\ncases:\n{text}"))?;
        let (code, told) = run(&["plugin", "build", "first"])?;
        let expected = "error: first/tests: a plugin carries at most 64 cases";
        ensure!(code == Some(1) && told.starts_with(expected) && told.contains(counted), "{told}");
    }
    std::fs::remove_file(&cases)?;
    let (code, told) = run(&["plugin", "test", "first"])?;
    ensure!(code == Some(0) && told.starts_with("There are no cases; tests/*.yml says"), "{told}");
    let (code, told) = run(&["plugin", "dev", "first", "--once", "--expr", "load"])?;
    ensure!(code == Some(1) && told.contains("--expr needs data"), "{told}");
    let (code, told) = run(&["plugin", "build", "first", "--from", "first/plugin.yml"])?;
    ensure!(code == Some(1) && told.contains("error: first/plugin.yml: cannot make a component"), "{told}");
    let described = folder.path().join("first/plugin.yml");
    let good = std::fs::read_to_string(&described)?;
    std::fs::write(&described, good.replace("name: first", "name: ../../evil"))?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    let expected = "first/plugin.yml:2:7: error: \"../../evil\" is no name for a plugin: use letters";
    ensure!(code == Some(1) && told.starts_with(expected), "{told}");
    std::fs::write(&described, good.replace("kinds: [condition]", "kinds: [condition, condition]"))?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(1) && told.contains("error: \"condition\" stands there twice [bad-value]"), "{told}");
    std::fs::write(&described, &good)?;
    for arguments in [&["plugin", "dev", "first", "--once"][..], &["plugin", "bench", "first"]] {
        let (code, told) = run(&[arguments, &["--config", "{bad"]].concat())?;
        let expected = "'--config <JSON>': this is no JSON: key must be a string at line 1 column 2; write";
        ensure!(code == Some(2) && told.contains(expected), "{arguments:?}: {told}");
    }
    std::fs::write(folder.path().join("first/plugin.wat"), "(module (func (export \"nothing\")))")?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(1) && told.contains("cannot make a component"), "{told}");
    let (code, told) = run(&["plugin", "inspect", "first/plugin.yml"])?;
    let expected = "the plugin cannot be loaded: first/plugin.yml: this is not WebAssembly";
    ensure!(code == Some(1) && told.contains(expected), "{told}");
    for arguments in
        [&["plugin", "bench", "first/plugin.yml"][..], &["plugin", "test", "first", "--plugin", "first/plugin.yml"]]
    {
        let (code, told) = run(arguments)?;
        ensure!(code == Some(1) && told.contains("first/plugin.yml: "), "{arguments:?}: {told}");
    }
    Ok(())
}
