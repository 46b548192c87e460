//! The commands of the binary beside `serve`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Case;
use crate::support::{Engine, Tool, block_on, variable};

pub(crate) const CASES: &[Case] = &[Case {
    name: "commands::check_looks_for_series_on_a_server_and_in_its_data",
    needs: &[Tool::Binary],
    run: check,
}];

const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\nevaluation: {keep_unread: true}\n";

/// What a command said and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// Its output as JSON, one value per line.
    fn lines(&self) -> Result<Vec<Value>> {
        let parse = |line| serde_json::from_str(line).with_context(|| format!("{}{}", self.out, self.err));
        self.out.lines().map(parse).collect()
    }
}

fn watchfire(engine: &Engine, arguments: &[&str]) -> Result<Said> {
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY is not set")?;
    let output = Command::new(binary).args(arguments).current_dir(engine.folder()).output()?;
    Ok(Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn check() -> Result<()> {
    block_on(async {
        let rules = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: there{job=\"x\"} > 1\n  - alert: B\n    \
                     expr: gone > 1\n  - alert: C\n    expr: there{team=\"a\"} > 1\n  - alert: D\n    \
                     expr: there{job=\"y\"} > 1 # watchfire ignore missing-series -- comes tomorrow\n";
        let engine = Engine::start(&[("watchfire.yml", QUIET), ("rules.yml", rules)]).await?;
        engine.push("there{job=\"x\"} 1\n").await?;
        for place in [["--server", &engine.url("")], ["--data", "data"]] {
            let said = watchfire(&engine, &[&["check", "--json", "rules.yml"], &place[..]].concat())?;
            let found: Vec<_> = said.lines()?.iter().map(|line| (line["line"].clone(), line["code"].clone())).collect();
            let expected =
                [(7, "missing-series"), (9, "missing-series")].map(|(line, code)| (line.into(), code.into()));
            ensure!(said.code == 0 && found == expected, "{place:?}: {}: {found:?}", said.code);
        }
        let strict = watchfire(&engine, &["check", "--strict", "rules.yml", "--data", "data"])?;
        ensure!(strict.code == 1 && strict.out.contains("1 file checked, 0 errors, 2 warnings"), "{}", strict.out);
        let alone = watchfire(&engine, &["check", "--strict", "rules.yml"])?;
        ensure!(alone.code == 0, "{}", alone.out);
        let nowhere = watchfire(&engine, &["check", "rules.yml", "--data", "."])?;
        ensure!(nowhere.code == 1 && nowhere.err.contains("nothing is recorded here"), "{}", nowhere.err);
        Ok(())
    })
}
