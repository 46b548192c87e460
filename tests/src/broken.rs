//! Contract C3 at the command line: a folder of broken files, each with the messages that it must give.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Case;
use crate::fixture::GOOD;
use crate::support::{Tool, install_plugins, root, variable};

pub(crate) const CASES: &[Case] = &[
    Case { name: "broken::check_tells_every_mistake_of_every_file", needs: &[Tool::Binary], run: check },
    Case {
        name: "broken::check_looks_for_the_plugins_that_files_name",
        needs: &[Tool::Binary, Tool::Plugins],
        run: plugins,
    },
    Case { name: "broken::good_files_pass", needs: &[Tool::Binary], run: good },
    Case { name: "broken::help_and_version", needs: &[Tool::Binary], run: help },
];

fn watchfire(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?;
    let folder = root().join("engine/config/tests/broken");
    let output = Command::new(binary).args(arguments).current_dir(folder).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

fn check() -> Result<()> {
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("engine/config/tests/broken"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".yml") || name == "rules-lint.yml" {
            continue;
        }
        let expected = std::fs::read_to_string(path.with_extension("stderr"))?;
        // The environment of this test is not that of the recorded messages: what depends on it is left out.
        let places = expected.lines().filter(|line| line.starts_with(&name) && line.contains(" error: "));
        let (code, told) = watchfire(&["check", &name])?;
        let mut errors = 0;
        for place in places.filter(|line| !line.contains("${") && !line.contains("_file")) {
            ensure!(told.contains(place), "{name}: {place:?} is missing in:\n{told}");
            errors += 1;
        }
        if errors > 0 {
            ensure!(code == Some(1), "{name}: exit code {code:?}");
            files += 1;
        }
    }
    ensure!(files >= 10, "only {files} broken files were found");
    Ok(())
}

fn plugins() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    install_plugins(&folder.path().join("plugins"), &["team-router", "slack-card"])?;
    write("plugins/broken.wasm", "no WebAssembly")?;
    std::fs::write(folder.path().join("plugins/good.wasm"), GOOD.build())?;
    let rules = "\
groups:
  - name: g
    rules:
      - {alert: A, expr: up, condition: {plugin: ewma-anomaly}}
      - {alert: B, expr: up, condition: {plugin: broken}}
      - {alert: C, expr: up, condition: {plugin: slack-card}}
      - {alert: D, expr: up, condition: {plugin: good/nope}}
      - {alert: E, expr: up, condition: {plugin: good/evil}}
";
    write("rules.yml", rules)?;
    let config = |dir: &str, lock: &str| {
        let text = format!(
            "\
rules: {{paths: [rules.yml]}}
plugins: {{dir: {dir}{lock}}}
route: {{receiver: a, router: {{plugin: team-router, config: {{router: {{plugin: theirs}}}}}}}}
receivers:
  - name: a
    webhook_configs: [{{url: 'http://a', formatter: {{plugin: slack-cart}}}}]
"
        );
        write("watchfire.yml", &text)
    };
    let path = folder.path().join("watchfire.yml").display().to_string();
    // Everything in a folder that is not there is left to the machine where it is.
    config("nowhere", "")?;
    let (code, told) = watchfire(&["check", &path])?;
    ensure!(code == Some(0) && told.contains("0 errors"), "{told}");
    config("plugins", "")?;
    let (code, told) = watchfire(&["check", &path])?;
    let expected = [
        "watchfire.yml:6:61: error: there is no plugin \"slack-cart\" in ",
        "the folder has broken, good, slack-card, team-router",
        "rules.yml:5:50: error: the plugin \"broken\" will not be loaded [plugin-refused]",
        "this is not WebAssembly",
        "rules.yml:6:50: error: the plugin \"slack-card\" offers no condition [wrong-kind]",
        "it offers formatter; name a plugin that offers a condition",
        "rules.yml:7:50: error: the plugin \"good\" has no condition \"nope\" [unknown-part]",
        "write good/evil",
        "4 errors",
    ];
    for text in expected {
        ensure!(told.contains(text), "{text:?} is missing in:\n{told}");
    }
    ensure!(code == Some(1), "{code:?}");
    // What the lock does not have is not loaded either.
    write("plugins.lock", "")?;
    config("plugins", ", lock: plugins.lock")?;
    let (_, told) = watchfire(&["check", &path])?;
    ensure!(told.contains("watchfire.yml:3:39: error: the plugin \"team-router\" will not be loaded"), "{told}");
    ensure!(told.contains("run `watchfire plugin lock`"), "{told}");
    Ok(())
}

fn good() -> Result<()> {
    for pack in ["host", "watchfire"] {
        let file = |name: &str| root().join("rules").join(pack).join(name).display().to_string();
        let (code, told) = watchfire(&["check", "--strict", &file("rules.yml")])?;
        ensure!(code == Some(0) && told.contains("0 errors"), "{pack}: {code:?}: {told}");
        let (code, told) = watchfire(&["test", &file("tests.yml")])?;
        ensure!(code == Some(0) && told.contains("1 passed, 0 failed"), "{pack}: {code:?}: {told}");
    }
    let (code, _) = watchfire(&["test", "rules-rules.yml"])?;
    ensure!(code == Some(1), "a file that is no test must fail, not {code:?}");
    Ok(())
}

fn help() -> Result<()> {
    let (code, told) = watchfire(&["--help"])?;
    for word in ["serve", "check", "test", "demo", "Exit codes"] {
        ensure!(told.contains(word), "--help does not tell of {word}: {told}");
    }
    ensure!(code == Some(0));
    let (code, told) = watchfire(&["--version"])?;
    ensure!(code == Some(0) && told.starts_with("watchfire "), "{told}");
    let (code, told) = watchfire(&["serev"])?;
    ensure!(code == Some(2) && told.contains("serve"), "{code:?}: {told}");
    Ok(())
}
