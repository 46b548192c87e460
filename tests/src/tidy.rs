//! The rules of the code, as tests: purity, the direction of the arrows, size of files, documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Case;
use crate::support::root;

pub(crate) const CASES: &[Case] = &[
    Case { name: "tidy::pure_crates_reach_no_effects", needs: &[], run: pure_crates_reach_no_effects },
    Case { name: "tidy::arrows_point_down", needs: &[], run: arrows_point_down },
    Case { name: "tidy::heavy_libraries_have_one_owner", needs: &[], run: heavy_libraries_have_one_owner },
    Case { name: "tidy::every_crate_says_what_it_is", needs: &[], run: every_crate_says_what_it_is },
    Case { name: "tidy::nothing_leads_out_of_the_checkout", needs: &[], run: nothing_leads_out_of_the_checkout },
    Case { name: "tidy::no_test_is_ignored", needs: &[], run: no_test_is_ignored },
    Case { name: "tidy::semantics_name_tests_that_exist", needs: &[], run: semantics_name_tests_that_exist },
    Case { name: "tidy::long_files_only_shrink", needs: &[], run: long_files_only_shrink },
];

/// The crates from the bottom up; each may use those before it only. The first ten are pure.
const LAYERS: [&str; 18] = [
    "watchfire-model",
    "watchfire-tsdb",
    "watchfire-promql",
    "watchfire-events",
    "watchfire-template",
    "watchfire-plugin",
    "watchfire-alerting",
    "watchfire-rules",
    "watchfire-config",
    "watchfire-scenario",
    "watchfire-host",
    "watchfire-author",
    "watchfire-delivery",
    "watchfire-store",
    "watchfire-ingest",
    "watchfire",
    "watchfire-server",
    "watchfire-cli",
];
const PURE: usize = 10;

/// Libraries that do I/O, keep time or run tasks: none of them may be reachable from a pure crate.
const EFFECTS: [&str; 14] = [
    "tokio",
    "mio",
    "async-std",
    "axum",
    "hyper",
    "reqwest",
    "lettre",
    "sqlx",
    "sqlx-core",
    "wasmtime",
    "notify",
    "socket2",
    "rustls",
    "getrandom",
];

/// Libraries that may be named in one manifest only.
const OWNERS: [(&str, &str); 6] = [
    ("wasmtime", "watchfire-host"),
    ("wasmtime-wasi", "watchfire-host"),
    ("sqlx", "watchfire-store"),
    ("lettre", "watchfire-delivery"),
    ("notify", "watchfire"),
    ("prost", "watchfire-ingest"),
];

struct Workspace {
    /// Normal dependencies by package id.
    resolved: BTreeMap<String, Vec<String>>,
    /// Package name by id.
    names: BTreeMap<String, String>,
    /// Names of direct, normal dependencies of each member.
    direct: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    fn load() -> Result<Workspace> {
        let output = Command::new("cargo")
            .args(["metadata", "--format-version=1", "--all-features"])
            .current_dir(root())
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let normal = |kinds: &Value| items(kinds).iter().any(|kind| kind["kind"].is_null());
        let mut workspace = Workspace { resolved: BTreeMap::new(), names: BTreeMap::new(), direct: BTreeMap::new() };
        for package in items(&metadata["packages"]) {
            workspace.names.insert(text(&package["id"]), text(&package["name"]));
            let direct = items(&package["dependencies"]);
            let direct = direct.iter().filter(|dependency| dependency["kind"].is_null());
            workspace.direct.insert(text(&package["name"]), direct.map(|d| text(&d["name"])).collect());
        }
        for node in items(&metadata["resolve"]["nodes"]) {
            let used = items(&node["deps"]);
            let used = used.iter().filter(|dependency| normal(&dependency["dep_kinds"])).map(|d| text(&d["pkg"]));
            workspace.resolved.insert(text(&node["id"]), used.collect());
        }
        Ok(workspace)
    }

    /// Names of all packages that `package` reaches through normal dependencies.
    fn reach(&self, package: &str) -> BTreeSet<&str> {
        let start = self.names.iter().find(|(_, name)| *name == package).map(|(id, _)| id);
        let mut open: Vec<&String> = start.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.resolved.get(id).into_iter().flatten());
            }
        }
        seen.into_iter().filter_map(|id| self.names.get(id)).map(String::as_str).collect()
    }
}

fn pure_crates_reach_no_effects() -> Result<()> {
    let workspace = Workspace::load()?;
    for pure in &LAYERS[..PURE] {
        let reach = workspace.reach(pure);
        ensure!(reach.contains(pure), "{pure} is not in the workspace; correct the list of layers");
        let found: Vec<_> = EFFECTS.iter().filter(|effect| reach.contains(*effect)).collect();
        ensure!(found.is_empty(), "{pure} is pure, but reaches {found:?}");
        ensure!(!workspace.direct[*pure].contains("serde"), "{pure} is pure: serde types belong to the outer crates");
    }
    Ok(())
}

fn arrows_point_down() -> Result<()> {
    let workspace = Workspace::load()?;
    for (height, name) in LAYERS.iter().enumerate() {
        for used in &workspace.direct[*name] {
            let Some(layer) = LAYERS.iter().position(|layer| layer == used) else { continue };
            ensure!(layer < height, "{name} uses {used}, which lies above it");
        }
    }
    Ok(())
}

fn heavy_libraries_have_one_owner() -> Result<()> {
    let workspace = Workspace::load()?;
    for (library, owner) in OWNERS {
        for name in LAYERS {
            let named = workspace.direct[name].contains(library);
            ensure!(!named || name == owner, "{name} names {library}, which belongs to {owner} alone");
        }
    }
    Ok(())
}

fn every_crate_says_what_it_is() -> Result<()> {
    for folder in std::fs::read_dir(root().join("engine"))? {
        let source = folder?.path().join("src");
        if !source.is_dir() {
            continue;
        }
        let file = ["lib.rs", "main.rs"].iter().map(|name| source.join(name)).find(|path| path.is_file());
        let file = file.with_context(|| format!("{} has no root file", source.display()))?;
        let text = std::fs::read_to_string(&file)?;
        let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
        ensure!(opening >= 3, "{}: say in some lines what this crate is and what it is not", file.display());
    }
    Ok(())
}

fn rust_files() -> Result<Vec<PathBuf>> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found)?;
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    for folder in ["engine", "sdk", "plugins", "tests", "xtask", "examples"] {
        walk(&root().join(folder), &mut found)?;
    }
    found.sort();
    Ok(found)
}

/// A link, such as one to where a machine keeps what it builds, leads nowhere on any other machine.
fn nothing_leads_out_of_the_checkout() -> Result<()> {
    // Whoever runs this need not be who checked it out.
    let list = ["-c", "safe.directory=*", "ls-files", "--stage"];
    let output = Command::new("git").args(list).current_dir(root()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout)?;
    ensure!(listed.lines().count() > 100, "the files of the project are not listed: {listed}");
    let links: Vec<&str> = listed.lines().filter(|line| line.starts_with("120000 ")).collect();
    ensure!(links.is_empty(), "a link is kept: {links:?}");
    Ok(())
}

fn no_test_is_ignored() -> Result<()> {
    let ignore = concat!("#[", "ignore");
    for file in rust_files()? {
        let text = std::fs::read_to_string(&file)?;
        ensure!(!text.contains(ignore), "{}: a test that is not run proves nothing", file.display());
    }
    Ok(())
}

/// A file past 800 lines is asking to be two ideas. What is longer stands in `long_files.txt` with its length, which may
/// only go down.
fn long_files_only_shrink() -> Result<()> {
    let listed = std::fs::read_to_string(root().join("tests/long_files.txt"))?;
    let allowed: BTreeMap<&str, usize> = listed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(path, lines)| Some((path, lines.parse().ok()?)))
        .collect();
    let mut wrong = Vec::new();
    for file in rust_files()? {
        let lines = std::fs::read_to_string(&file)?.lines().count();
        let path = file.strip_prefix(root())?.display().to_string();
        let limit = allowed.get(path.as_str()).copied().unwrap_or(800);
        if lines > limit {
            wrong.push(format!("{path} has {lines} lines, {limit} are allowed"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Each point of `engine/SEMANTICS.md` names files that are there, and functions that are in them.
fn semantics_name_tests_that_exist() -> Result<()> {
    let text = std::fs::read_to_string(root().join("engine/SEMANTICS.md"))?;
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    let numbers: Vec<usize> = rows.iter().filter_map(|row| row.split('|').nth(1)?.trim().parse().ok()).collect();
    ensure!(numbers == (1..=33).collect::<Vec<_>>(), "the points are {numbers:?}");
    for row in rows {
        let names: Vec<&str> = row.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        ensure!(!names.is_empty(), "nothing holds {row}");
        for name in names {
            let (path, function) = name.split_once("::").map_or((name, None), |(path, name)| (path, Some(name)));
            let content = std::fs::read_to_string(root().join(path)).with_context(|| format!("{name} is not there"))?;
            let is_there = function.is_none_or(|function| content.contains(&format!("fn {function}(")));
            ensure!(is_there, "{path} has no {function:?}");
        }
    }
    Ok(())
}
