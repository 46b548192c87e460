//! `watchfire plugin`: the author's tools on the command line.

mod data;
mod dev;
mod replay;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use watchfire_author::{AuthorError, Built, Language, Project, Trial};
use watchfire_host::{Host, HostSettings, Source, visible};
use watchfire_plugin::{Kind, Limits, PluginError};

use crate::oci::{Login, Reference};
use crate::output::{say, visible_lines};
use crate::trust;
use show::Paint;

const HELP: &str = "\
From nothing to a plugin that passes its tests:
  watchfire plugin new above --lang python --kind condition
  cd above && watchfire plugin dev        builds, tests and tries it on every save

Then put build/above.wasm into the folder that the configuration names under `plugins.dir`.
What goes wrong there comes back here:
  watchfire plugin calls above
  watchfire plugin replay above/1";

/// Start, build, try and measure plugins
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a folder that builds and passes its test
    New {
        /// The plugin's name: lower-case letters, digits and dashes
        name: String,
        /// The language: rust, python, javascript, typescript, go, c, cpp, assemblyscript or wat
        #[arg(long, value_name = "LANGUAGE")]
        lang: Language,
        /// What it is to decide
        #[arg(long, value_enum, default_value_t = KindWord::Condition)]
        kind: KindWord,
        /// The folder in which the plugin's own is made
        #[arg(long, value_name = "DIR", default_value = ".")]
        into: PathBuf,
    },
    /// Drive the language's toolchain, wrap what comes out, embed what plugin.yml says
    Build {
        /// The plugin's folder
        #[arg(default_value = ".", value_name = "DIR")]
        folder: PathBuf,
        /// The file to write [default: build/NAME.wasm]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// A component that something else built: only the manifest and the cases are added
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Run the cases in tests/*.yml, with instructions and memory
    Test {
        /// The plugin's folder
        #[arg(default_value = ".", value_name = "DIR")]
        folder: PathBuf,
        /// The plugin's file [default: build/NAME.wasm]
        #[arg(long, value_name = "FILE")]
        plugin: Option<PathBuf>,
    },
    /// Build on every save, run the cases, try it on live or recorded data
    Dev(dev::Dev),
    /// List the recorded calls of a plugin in a running engine: those that failed, and those that were asked for
    Calls(replay::Calls),
    /// Make a recorded call again: the same answer? with instructions, memory and log
    Replay(replay::Replay),
    /// Measure time per call, beside a plugin that does nothing
    Bench {
        /// The plugin's file, or its folder
        #[arg(default_value = ".", value_name = "FILE")]
        plugin: PathBuf,
        /// The configuration as JSON [default: that of the plugin's tests]
        #[arg(long, value_name = "JSON", value_parser = plugin_config)]
        config: Option<String>,
        /// Series, or alerts, per call
        #[arg(long, value_delimiter = ',', default_value = "1,100,1000,10000")]
        items: Vec<usize>,
        /// Calls of each size, each a second after the one before [default: as many as 0.4 s have room for]
        #[arg(long, value_name = "COUNT")]
        calls: Option<u32>,
    },
    /// Show what a plugin is: kinds, imports, limits, size, digest, time to compile
    Inspect {
        /// The plugin's file, or its folder
        #[arg(default_value = ".", value_name = "FILE")]
        plugin: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write the digests of the plugins that are in use into the lock file
    Lock {
        /// The configuration, whose `plugins.dir` and `plugins.lock` say what and where
        #[arg(default_value = "watchfire.yml", value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Say which plugins would be loaded: by digest, lock file, signature, grant and limits
    Verify {
        /// The configuration
        #[arg(default_value = "watchfire.yml", value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Fetch a plugin from an OCI registry by its digest
    Pull {
        /// oci://HOST/REPOSITORY@sha256:DIGEST, the digest being the manifest's
        #[arg(value_name = "REFERENCE")]
        reference: Reference,
        /// The folder to put it into
        #[arg(long, value_name = "DIR", default_value = "plugins")]
        into: PathBuf,
        /// What to call it [default: the last part of the repository]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        login: Login,
    },
    /// Say which toolchains are here, and how to get the others
    Doctor {
        /// Only these languages
        #[arg(long, value_name = "LANGUAGE", value_delimiter = ',')]
        lang: Vec<Language>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindWord {
    /// Which series are in trouble?
    Condition,
    /// Who is told?
    Router,
    /// What is said?
    Formatter,
}

pub(crate) fn run(options: &Plugin) -> Result<ExitCode> {
    run_command(options).or_else(|error| tell_place(error).map_or(Ok(ExitCode::FAILURE), Err))
}

/// Tells a mistake in a file, which begins with its place as what `watchfire check` tells; answers what is left to be told.
fn tell_place(error: anyhow::Error) -> Option<anyhow::Error> {
    match error.downcast_ref() {
        Some(AuthorError::Yaml(diagnostics)) => {
            eprintln!("{diagnostics}");
            None
        }
        _ => Some(error),
    }
}

fn run_command(options: &Plugin) -> Result<ExitCode> {
    match &options.command {
        Command::New { name, lang, kind, into } => new(into, name, *lang, *kind),
        Command::Build { folder, output, from } => {
            let project = Project::open(folder)?;
            let Built { path, bytes } = match from {
                Some(component) => watchfire_author::build_from(&project, component, output.as_deref())?,
                None => watchfire_author::build(&project, output.as_deref())?,
            };
            say!("{} ({})", path.display(), size(bytes));
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { folder, plugin } => test(folder, plugin.as_deref()),
        Command::Dev(options) => crate::block_on(dev::run(options)),
        Command::Calls(options) => crate::block_on(replay::calls(options)),
        Command::Replay(options) => crate::block_on(replay::replay(options)),
        Command::Bench { plugin, config, items, calls } => {
            bench(&watchfire_author::built(plugin)?, config.as_deref(), items, *calls)
        }
        Command::Inspect { plugin, json } => inspect(&watchfire_author::built(plugin)?, *json),
        Command::Lock { config } => trust::lock(config),
        Command::Verify { config } => trust::verify(config),
        Command::Pull { reference, into, name, login } => trust::pull(reference, into, name.as_deref(), login),
        Command::Doctor { lang } => Ok(doctor(lang)),
    }
}

fn new(into: &Path, name: &str, language: Language, kind: KindWord) -> Result<ExitCode> {
    let kind = match kind {
        KindWord::Condition => Kind::Condition,
        KindWord::Router => Kind::Router,
        KindWord::Formatter => Kind::Formatter,
    };
    let folder = watchfire_author::scaffold(into, name, language, kind)?;
    say!("{} is a {} in {language}. Next:\n", folder.display(), kind.as_str());
    say!("  cd {}", folder.display());
    say!("  watchfire plugin dev      # builds, tests and tries it on every save");
    for check in watchfire_author::doctor(&[language], &folder).iter().filter(|check| check.version.is_none()) {
        say!("\n{} is not installed: {}", check.program, check.remedy);
    }
    Ok(ExitCode::SUCCESS)
}

fn test(folder: &Path, plugin: Option<&Path>) -> Result<ExitCode> {
    let project = Project::open(folder)?;
    // What lies elsewhere was built elsewhere; then nothing is written into the folder.
    let cache = plugin.is_none().then(|| project.cache());
    let plugin = watchfire_author::built(plugin.unwrap_or(folder))?;
    let (mut passed, mut failed) = (0, 0);
    let paint = Paint::of_terminal();
    let trial = Trial::load(&plugin, Limits::STANDARD, cache.as_deref())?;
    for file in project.cases()? {
        say!("{}", file.display());
        for case in trial.run_cases(&file)? {
            let good = case.failures.is_empty();
            let verdict = if good { paint.good("ok  ") } else { paint.bad("FAIL") };
            let cost = show::cost(&case.trace).map(|cost| format!(" ({cost})")).unwrap_or_default();
            say!("  {verdict} {}{cost}", visible(&case.name));
            case.failures.iter().for_each(|failure| say!("         {}", visible_lines(failure)));
            show::log(&case.trace, paint);
            if good { passed += 1 } else { failed += 1 }
        }
    }
    if passed + failed == 0 {
        say!(
            "There are no cases; tests/*.yml says what the plugin shall answer, as in a folder of `watchfire plugin new`."
        );
    }
    say!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bench(plugin: &Path, config: Option<&str>, items: &[usize], calls: Option<u32>) -> Result<ExitCode> {
    let lines = watchfire_author::bench(plugin, config, items, calls).map_err(|error| match error {
        AuthorError::Plugin { error: PluginError::InvalidConfig { .. }, .. } => {
            anyhow::anyhow!("{error}; give it one that it takes with `--config JSON`")
        }
        other => other.into(),
    })?;
    say!("{:<24}{:>10}{:>10}{:>16}{:>16}{:>16}", "", "items", "found", "call, µs", "empty call, µs", "ns per item");
    for line in lines {
        let per_item = (line.call_ns - line.empty_ns.unwrap_or(0.0)).max(0.0) / line.items.max(1) as f64;
        let empty = line.empty_ns.map_or_else(|| "-".to_owned(), |empty| format!("{:.2}", empty / 1e3));
        let found = line.found.map_or_else(|| "-".to_owned(), |found| found.to_string());
        let call = line.call_ns / 1e3;
        say!("{:<24}{:>10}{found:>10}{call:>16.2}{empty:>16}{per_item:>16.1}", line.name, line.items);
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::disallowed_methods, reason = "the time to compile is what is shown")]
fn inspect(plugin: &Path, json: bool) -> Result<ExitCode> {
    let host = Host::new(HostSettings { instances_max: 16, ..HostSettings::default() })?;
    let name = plugin.file_stem().and_then(|stem| stem.to_str()).unwrap_or("plugin");
    let began = Instant::now();
    let loaded = host.load(name, Source::File(plugin));
    let info = loaded.map_err(|error| AuthorError::Load { path: plugin.to_owned(), error })?;
    let compiled = began.elapsed();
    let manifest = &info.manifest;
    if json {
        let offers: Vec<_> = info
            .descriptors
            .iter()
            .map(|offer| serde_json::json!({"kind": offer.kind.as_str(), "name": offer.name, "summary": offer.summary}))
            .collect();
        let object = serde_json::json!({
            "manifest": manifest, "contract": info.contract, "digest": format!("sha256:{}", info.digest), "offers": offers,
            "imports": info.imports, "grants": info.grants, "tests": info.cases, "bytes": info.wasm_bytes, "code_bytes": info.code_bytes,
            "limits": limits_json(&info.limits), "compile_ms": compiled.as_secs_f64() * 1e3,
        });
        say!("{object:#}");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(manifest) = manifest {
        let (name, version, language) = (&manifest.name, &manifest.version, &manifest.language);
        say!("{}", visible(&format!("{name} {version}, written in {language}")));
        if !manifest.summary.is_empty() {
            say!("{}", visible(&manifest.summary));
        }
    } else {
        say!("{name}, without a manifest");
    }
    say!("\noffers");
    for offer in &info.descriptors {
        say!("  {:<10} {:<24} {}", offer.kind.as_str(), offer.name, visible(&offer.summary));
    }
    say!("\nimports");
    info.imports.iter().for_each(|import| say!("  {}", visible(import)));
    say!("\nneeds granted {}", if info.grants.is_empty() { "nothing".to_owned() } else { info.grants.join(", ") });
    say!("contract      {}", info.contract);
    say!("tests         {} carried with it", info.cases);
    say!("digest        sha256:{}", info.digest);
    say!("size          {}, {} of machine code", size(info.wasm_bytes), size(info.code_bytes));
    say!("compiled in   {:.0} ms", compiled.as_secs_f64() * 1e3);
    let asked = manifest.as_ref().map(|manifest| manifest.limits).unwrap_or_default();
    let own = |asks: bool| if asks { " (its own)" } else { "" };
    say!(
        "limits        {} ms per call{}, {} of memory{}, {} of state{}, {} calls at once{}",
        info.limits.call_time.as_millis(),
        own(asked.call_ms.map(i64::from) == Some(info.limits.call_time.as_millis())),
        size(info.limits.memory_bytes as u64),
        own(asked.memory_bytes == Some(info.limits.memory_bytes)),
        size(info.limits.state_bytes as u64),
        own(asked.state_bytes == Some(info.limits.state_bytes)),
        info.limits.calls,
        own(asked.calls == Some(info.limits.calls)),
    );
    Ok(ExitCode::SUCCESS)
}

/// What a plugin may use, of which its manifest says what it asked for itself.
fn limits_json(limits: &Limits) -> serde_json::Value {
    serde_json::json!({
        "call_ms": limits.call_time.as_millis(), "open_ms": limits.open_time.as_millis(),
        "memory_bytes": limits.memory_bytes, "table_elements": limits.table_elements,
        "output_bytes": limits.output_bytes, "log_bytes": limits.log_bytes, "state_bytes": limits.state_bytes,
        "calls": limits.calls,
    })
}

fn doctor(languages: &[Language]) -> ExitCode {
    let languages = if languages.is_empty() { &Language::ALL[..] } else { languages };
    let mut missing = false;
    for check in watchfire_author::doctor(languages, Path::new(".")) {
        let language = check.language.as_str();
        if let Some(version) = check.version {
            let (word, tried) =
                check.tried.map_or(("ok", String::new()), |tried| ("untried", format!(", use {tried}")));
            say!("{word:<8} {language:<14} {:<17} {version}{tried}", check.program);
        } else {
            missing = true;
            say!("missing  {language:<14} {:<17} {}", check.program, check.remedy);
        }
    }
    if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The configuration of a plugin, which is one that a rule could have.
fn plugin_config(text: &str) -> Result<String, String> {
    let read = serde_json::from_str::<serde_json::Value>(text);
    let wrong = match read {
        Ok(serde_json::Value::Object(_)) => return Ok(text.to_owned()),
        Ok(_) => "this is JSON, but no object".to_owned(),
        Err(error) => format!("this is no JSON: {error}"),
    };
    Err(format!("{wrong}; write its settings as in '{{\"limit\": 10}}'"))
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_configuration_is_a_json_object() {
        for (text, wrong) in [
            ("{}", None),
            (r#"{"limit": 10}"#, None),
            ("{bad", Some("this is no JSON: key must be a string at line 1 column 2; write")),
            (r#"{"a": 1} x"#, Some("this is no JSON: trailing characters at line 1 column 10; write")),
            ("", Some("this is no JSON: EOF while parsing a value at line 1 column 0; write")),
            ("[1]", Some("this is JSON, but no object; write")),
        ] {
            let read = plugin_config(text);
            match wrong {
                None => assert_eq!(read.as_deref(), Ok(text)),
                Some(wrong) => assert!(read.as_ref().is_err_and(|error| error.starts_with(wrong)), "{text}: {read:?}"),
            }
        }
    }
}
