//! From a plugin's folder to one `.wasm` file, with the toolchain of its language.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use watchfire_host::{CONTRACT_VERSION, Cases};
use wit_bindgen_core::{Files, WorldGenerator};

use crate::document::Document;
use crate::scaffold::{go_module, write_sdk};
use crate::{AuthorError, Language, Project, component, doctor, manifest};

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The plugin's file.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
}

/// Builds the plugin in a folder. What the toolchain says goes to the terminal.
///
/// # Errors
/// If a program is missing, the toolchain refuses the source, or what it built does not fit the contract.
pub fn build(project: &Project, output: Option<&Path>) -> Result<Built, AuthorError> {
    let wasm = compile(project)?;
    complete(project, wasm, output)
}

/// Takes a component that something else built, such as a workspace of several plugins, and adds what
/// [`build`](build()) adds: the manifest and the cases.
///
/// # Errors
/// If the file cannot be read, or is not complete.
pub fn build_from(project: &Project, component: &Path, output: Option<&Path>) -> Result<Built, AuthorError> {
    // The others are about the plugin's own files.
    let named = |error: AuthorError| match error {
        AuthorError::Component(_) => {
            AuthorError::Content { place: component.display().to_string(), message: error.to_string() }
        }
        other => other,
    };
    component::wrap(read(component)?, None).and_then(|wasm| complete(project, wasm, output)).map_err(named)
}

/// A component of the plugin's sources.
fn compile(project: &Project) -> Result<Vec<u8>, AuthorError> {
    write_sdk(&project.folder, project.language, project.name())?;
    let work = project.folder.join("build");
    fs::create_dir_all(&work).map_err(AuthorError::file(&work))?;
    let folder = fs::canonicalize(&project.folder).map_err(AuthorError::file(&project.folder))?;
    let site = Site { folder: &folder, work: folder.join("build"), project };
    let world = project.world();
    let (built, world) = match project.language {
        Language::Rust => (site.rust()?, None),
        Language::Python => (site.python()?, None),
        Language::JavaScript => (site.javascript("watchfire/exports.js")?, None),
        Language::TypeScript => (site.typescript()?, None),
        Language::Go => (site.go()?, Some("all-plugin")),
        // The generated object file has the world already.
        Language::C | Language::Cpp => (site.clang(&world)?, None),
        Language::AssemblyScript => (site.assemblyscript()?, Some("all-plugin")),
        Language::Wat => (site.wat()?, Some(world.as_str())),
    };
    component::wrap(built, world)
}

/// Writes the plugin's file with what it says of itself and its cases.
fn complete(project: &Project, mut wasm: Vec<u8>, output: Option<&Path>) -> Result<Built, AuthorError> {
    manifest::refuse_complete(&wasm)?;
    manifest::embed(&mut wasm, &project.manifest)?;
    let (mut count, mut bytes, mut values) = (0, 0, 0);
    for file in project.cases()? {
        // Read as cases too, so that a mistake in them is told here and not where the plugin is used.
        let document = Document::open(&file)?;
        count += document.cases()?.len();
        let json = document.read::<serde_json::Value>()?.to_string();
        bytes += json.len();
        values += watchfire_host::values(json.as_bytes());
        manifest::embed_cases(&mut wasm, &json);
    }
    let (most, largest) = (Cases::EMBEDDED_MAX, Cases::EMBEDDED_BYTES_MAX);
    let most_values = Cases::EMBEDDED_VALUES_MAX;
    if count > most || bytes > largest || values > most_values {
        return Err(AuthorError::Content {
            place: project.folder.join("tests").display().to_string(),
            message: format!(
                "a plugin carries at most {most} cases of {largest} bytes and {most_values} values together, since an \
                 engine runs them before it takes the plugin; here are {count} of {bytes} bytes and {values} values: keep \
                 those that matter there and test the rest in the language itself"
            ),
        });
    }
    let path = output.map_or_else(|| project.output(), Path::to_owned);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(AuthorError::file(parent))?;
    }
    fs::write(&path, &wasm).map_err(AuthorError::file(&path))?;
    Ok(Built { path, bytes: wasm.len() as u64 })
}

/// Where a build happens.
struct Site<'p> {
    folder: &'p Path,
    work: PathBuf,
    project: &'p Project,
}

impl Site<'_> {
    fn rust(&self) -> Result<Vec<u8>, AuthorError> {
        let arguments =
            ["build", "--release", "--target", "wasm32-wasip2", "--message-format", "json-render-diagnostics"];
        let mut cargo = self.command("cargo");
        let lines = output("cargo build", cargo.args(arguments))?;
        // The last artefact is the plugin itself; what it depends on comes before it.
        let artefact = lines.lines().rev().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let files = message.get("filenames")?.as_array()?;
            files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
        });
        let Some(artefact) = artefact else {
            return Err(AuthorError::Content {
                place: "Cargo.toml".to_owned(),
                message: "the crate builds no `.wasm` file; it needs `[lib] crate-type = [\"cdylib\"]`".to_owned(),
            });
        };
        read(&artefact)
    }

    fn python(&self) -> Result<Vec<u8>, AuthorError> {
        let built = self.work.join("component.wasm");
        let mut command = self.command(&self.own_program("componentize-py"));
        command.args(["-d", "watchfire/wit", "-w", "all-plugin", "componentize"]);
        command.args(["-p", ".", "-p", "watchfire", "watchfire_exports", "-o"]).arg(&built);
        run("componentize-py", &mut command)?;
        read(&built)
    }

    fn javascript(&self, entry: &str) -> Result<Vec<u8>, AuthorError> {
        self.npm()?;
        let built = self.work.join("component.wasm");
        let mut command = self.command(&self.own_program("componentize-qjs"));
        command.args(["--wit", "watchfire/wit", "--world", "all-plugin", "--sync"]);
        // Not for size: half a megabyte less would cost three times the time per series.
        command.args(["--minify", "--js", entry, "--output"]).arg(&built);
        run("componentize-qjs", &mut command)?;
        read(&built)
    }

    fn typescript(&self) -> Result<Vec<u8>, AuthorError> {
        self.npm()?;
        let mut command = self.command(&self.own_program("esbuild"));
        command.args(["watchfire/exports.js", "--bundle", "--format=esm", "--platform=neutral", "--log-level=warning"]);
        // The bundle stands where the module stood, so that relative paths mean the same.
        command.args(["--external:watchfire:*", "--resolve-extensions=.ts,.js", "--outfile=build/bundle.js"]);
        run("esbuild", &mut command)?;
        self.javascript("build/bundle.js")
    }

    /// Installs what `package.json` asks for, once.
    fn npm(&self) -> Result<(), AuthorError> {
        if self.folder.join("node_modules").is_dir() {
            return Ok(());
        }
        run("npm install", self.command("npm").args(["install", "--no-audit", "--no-fund", "--silent"]))
    }

    fn go(&self) -> Result<Vec<u8>, AuthorError> {
        let module = go_module(self.project.name());
        let options =
            wit_bindgen_go::Opts { pkg_name: Some(format!("{module}/watchfire")), ..wit_bindgen_go::Opts::default() };
        let own = format!("{module}/watchfire/");
        for (path, content) in generate(&mut *options.build(), "all-plugin")? {
            // The few generic types that the bindings speak are part of the SDK, so that nothing is downloaded.
            let content = String::from_utf8_lossy(&content).replace("go.bytecodealliance.org/pkg/", &own);
            // Go's modules are described once, in the plugin's own folder.
            if path != "go.mod" {
                crate::scaffold::write(&self.folder.join("watchfire"), &path, &content)?;
            }
        }
        let built = self.work.join("module.wasm");
        let overlay = self.go_overlay()?;
        let mut command = self.command("go");
        command.env("GOOS", "wasip1").env("GOARCH", "wasm");
        command.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-overlay"]).arg(&overlay);
        run("go build", command.arg("-o").arg(&built).arg("."))?;
        read(&built)
    }

    /// The list of what the SDK adds to Go's own packages: a file of the runtime, which alone can begin its random numbers
    /// anew.
    fn go_overlay(&self) -> Result<PathBuf, AuthorError> {
        let root = output("go env", self.command("go").args(["env", "GOROOT"]))?;
        let added = Path::new(root.trim()).join("src/runtime/watchfire.go");
        let own = self.folder.join("watchfire/runtime.go.txt");
        let list = serde_json::json!({ "Replace": { added.display().to_string(): own } });
        let path = self.work.join("overlay.json");
        fs::write(&path, list.to_string()).map_err(AuthorError::file(&path))?;
        Ok(path)
    }

    fn clang(&self, world: &str) -> Result<Vec<u8>, AuthorError> {
        let options = wit_bindgen_c::Opts { rename_world: Some("plugin".to_owned()), ..wit_bindgen_c::Opts::default() };
        for (path, content) in generate(&mut *options.build(), world)? {
            let path = self.work.join(path);
            fs::write(&path, content).map_err(AuthorError::file(&path))?;
        }
        let (compiler, extension) = match self.project.language {
            Language::Cpp => ("clang++", "cpp"),
            _ => ("clang", "c"),
        };
        let bindings = self.work.join("plugin.o");
        let target = ["--target=wasm32-wasi", "-Os", "-Wall", "-Ibuild", "-Iwatchfire"];
        let mut command = self.command("clang");
        run("clang", command.args(target).args(["-c", "build/plugin.c", "-o"]).arg(&bindings))?;
        let built = self.work.join("module.wasm");
        let mut command = self.command(compiler);
        command.args(target).args(["-Wextra", "-mexec-model=reactor", "-Wl,--strip-debug", "-Wl,-z,stack-size=65536"]);
        if self.project.language == Language::Cpp {
            // What throws cannot be caught across the border; without exceptions a plugin is a tenth of the size.
            command.args(["-std=c++20", "-fno-exceptions", "-fno-rtti"]);
        }
        command
            .args(self.sources(extension)?)
            .arg(&bindings)
            .arg("build/plugin_component_type.o")
            .arg("-o")
            .arg(&built);
        run(compiler, &mut command)?;
        read(&built)
    }

    fn assemblyscript(&self) -> Result<Vec<u8>, AuthorError> {
        self.npm()?;
        let path = self.work.join("module.wat");
        let mut command = self.command(&self.own_program("asc"));
        command.args(["watchfire/exports.ts", "--runtime", "incremental", "--use", "abort=watchfire/watchfire/abort"]);
        run("asc", command.args(["--optimize", "--textFile"]).arg(&path))?;
        // What the contract calls its functions cannot be the name of one in this language.
        let mut text = fs::read_to_string(&path).map_err(AuthorError::file(&path))?;
        for interface in ["plugin", "condition", "router", "formatter"] {
            let exported = format!("(export \"watchfire:plugin/{interface}@{CONTRACT_VERSION}#");
            text = text.replace(&format!("(export \"{interface}_"), &exported);
        }
        wat::parse_str(&text).map_err(|error| AuthorError::Component(error.to_string()))
    }

    fn wat(&self) -> Result<Vec<u8>, AuthorError> {
        let path = self.folder.join("plugin.wat");
        wat::parse_file(&path)
            .map_err(|error| AuthorError::Content { place: path.display().to_string(), message: error.to_string() })
    }

    /// The source files of a language, sorted: those in the folder and those in `src/`.
    fn sources(&self, extension: &str) -> Result<Vec<PathBuf>, AuthorError> {
        let mut sources = Vec::new();
        for folder in [self.folder.to_owned(), self.folder.join("src")] {
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&folder).map_err(AuthorError::file(&folder))? {
                let path = entry.map_err(AuthorError::file(&folder))?.path();
                if path.extension() == Some(OsStr::new(extension)) {
                    sources.push(path);
                }
            }
        }
        sources.sort();
        Ok(sources)
    }

    /// A program that the plugin's folder may have for itself.
    fn own_program(&self, program: &str) -> String {
        doctor::own_program(self.folder, program)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder);
        command
    }
}

/// The bindings of a world: paths and contents.
fn generate(generator: &mut dyn WorldGenerator, world: &str) -> Result<Vec<(String, Vec<u8>)>, AuthorError> {
    let (mut resolve, world) = component::contract(world)?;
    let mut files = Files::default();
    generator
        .generate(&mut resolve, world, &mut files)
        .map_err(|error| AuthorError::Component(format!("the bindings: {error:#}")))?;
    Ok(files.iter().map(|(path, content)| (path.to_owned(), content.to_owned())).collect())
}

fn run(what: &str, command: &mut Command) -> Result<(), AuthorError> {
    let status = command.status().map_err(|error| not_started(command, error))?;
    if status.success() { Ok(()) } else { Err(AuthorError::Toolchain { what: what.to_owned() }) }
}

/// What a program writes to its standard output.
fn output(what: &str, command: &mut Command) -> Result<String, AuthorError> {
    let output =
        command.stderr(std::process::Stdio::inherit()).output().map_err(|error| not_started(command, error))?;
    if !output.status.success() {
        return Err(AuthorError::Toolchain { what: what.to_owned() });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn not_started(command: &Command, error: std::io::Error) -> AuthorError {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() == std::io::ErrorKind::NotFound {
        let remedy = doctor::remedy(&program);
        return AuthorError::Missing { program, remedy };
    }
    AuthorError::File { path: program.into(), error }
}

fn read(path: &Path) -> Result<Vec<u8>, AuthorError> {
    fs::read(path).map_err(AuthorError::file(path))
}
