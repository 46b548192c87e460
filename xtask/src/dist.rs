//! `cargo xtask dist`: the engine as it is shipped, built twice, the second time with a profile of how the first one ran.
//!
//! What runs often is then inlined and lies together, what never ran is small: an alert with its notification misses the
//! first cache of instructions a quarter less and takes a tenth less CPU. The profile comes from the measurements of
//! `cargo xtask bench`, without the peers, and from the first-party plugins being compiled and called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{plugins, step};

const PROFDATA: &str = "llvm-profdata";
/// What the program is watched at: alerts that come and are told, samples that come, and 10,000 rules that read them.
const LOADS: [&str; 4] = ["accept", "notify", "detection", "ingest"];
/// The same for plugins, one of each kind.
const PLUGINS: [&str; 3] = ["ewma-anomaly", "team-router", "slack-card"];

pub(crate) fn run() -> Result<()> {
    println!("{}", build()?.display());
    Ok(())
}

/// Builds the engine's program and answers where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let compiler = Compiler::find()?;
    let profdata = compiler.profdata()?;
    let folder = step::target_dir().join("profile");
    let (runs, profile) = (folder.join("runs"), folder.join("watchfire.profdata"));
    step::announce("1/3 Building what is watched (as long as an optimised build takes)");
    let watched = compiler.build(&folder, &format!("-Cprofile-generate={}", runs.display()))?;
    if is_newer(&profile, &watched) {
        step::announce("2/3 It has been watched before");
    } else {
        step::announce("2/3 Watching it work (some minutes)");
        watch(&watched, &runs)?;
        let mut merge = Command::new(profdata);
        merge.arg("merge").arg("-o").arg(&profile).arg(&runs);
        step::run("merging what was seen", &mut merge)?;
    }
    step::announce("3/3 Building what is shipped (thin LTO, some minutes)");
    compiler.build(&step::target_dir(), &format!("-Cprofile-use={}", profile.display()))
}

/// Runs the program at everything that it should be fast at. It writes what it did as it ends.
fn watch(watched: &Path, runs: &Path) -> Result<()> {
    if runs.exists() {
        std::fs::remove_dir_all(runs).with_context(|| runs.display().to_string())?;
    }
    let built = plugins::build(watched)?;
    for name in PLUGINS {
        let mut bench = Command::new(watched);
        bench.args(["plugin", "bench"]).arg(built.folder.join(name).with_extension("wasm"));
        step::run(&format!("calling {name}"), &mut bench)?;
    }
    step::run("building the loads", &mut step::cargo(&["build", "--release", "--package", "watchfire-bench"]))?;
    let mut loads = Command::new(step::target_dir().join("release/watchfire-bench"));
    step::run("the loads", loads.arg(watched).arg("--alone").args(LOADS))
}

/// Whether a file is there and was written after another one.
fn is_newer(file: &Path, other: &Path) -> bool {
    let written = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    matches!((written(file), written(other)), (Ok(file), Ok(other)) if file > other)
}

/// The compiler, and what it compiles for.
struct Compiler {
    /// The machine's own target. Naming it keeps build scripts and macros, which run while building, out of the profile.
    target: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn find() -> Result<Compiler> {
        let version = said(&["--version", "--verbose"])?;
        let target = version.lines().find_map(|line| line.strip_prefix("host: "));
        let target = target.with_context(|| format!("rustc names no host in {version:?}"))?.to_owned();
        Ok(Compiler { target, sysroot: said(&["--print", "sysroot"])?.into() })
    }

    /// The program that reads this compiler's profiles; one of another version may not. Installed if it is missing.
    fn profdata(&self) -> Result<PathBuf> {
        let program = self.sysroot.join("lib/rustlib").join(&self.target).join("bin").join(PROFDATA);
        if !program.is_file() {
            if !step::installed("rustup") {
                bail!("{} is missing; install the component llvm-tools of this compiler", program.display());
            }
            let mut add = Command::new("rustup");
            step::run("adding llvm-tools", add.args(["component", "add", "llvm-tools"]).current_dir(step::root()))?;
        }
        Ok(program)
    }

    /// Builds the engine's program with one more flag, beside the caller's own.
    fn build(&self, folder: &Path, flag: &str) -> Result<PathBuf> {
        let flags = [step::variable("RUSTFLAGS").unwrap_or_default(), flag.to_owned()].join(" ");
        let mut cargo =
            step::cargo(&["build", "--profile", "dist", "--package", "watchfire-cli", "--bins", "--target"]);
        cargo.arg(&self.target).env("CARGO_TARGET_DIR", folder).env("RUSTFLAGS", flags.trim());
        step::run("building", &mut cargo)?;
        Ok(folder.join(&self.target).join("dist/watchfire"))
    }
}

/// What the compiler answers, without the line's end.
fn said(arguments: &[&str]) -> Result<String> {
    let output = Command::new("rustc").args(arguments).current_dir(step::root()).output().context("rustc")?;
    ensure!(output.status.success(), "rustc {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
