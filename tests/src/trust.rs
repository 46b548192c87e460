//! Which plugins are trusted: pins, lock files, signatures, grants, and what a registry hands out.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder};
use ring::digest::{SHA256, digest};

use crate::Case;
use crate::support::{Tool, block_on, client, eventually, variable};

use crate::fixture::{Fixture, GOOD};

pub(crate) const CASES: &[Case] = &[
    Case { name: "trust::only_what_is_pinned_locked_and_granted_is_loaded", needs: &[Tool::Binary], run: locked },
    Case { name: "trust::a_lock_file_lies_where_it_likes", needs: &[Tool::Binary], run: locked_elsewhere },
    Case {
        name: "trust::only_what_is_signed_is_loaded",
        needs: &[Tool::Binary, Tool::Program("minisign")],
        run: signed,
    },
    Case {
        name: "trust::a_registry_hands_out_what_its_digest_says",
        needs: &[Tool::Binary, Tool::Program("docker-registry")],
        run: pulled,
    },
    Case {
        name: "trust::a_registry_that_wants_a_login_gets_the_one_that_is_kept_for_it",
        needs: &[Tool::Binary, Tool::Program("docker-registry")],
        run: pulled_with_a_login,
    },
];

/// The binary in a folder; its exit code and what it says.
fn watchfire(folder: &Path, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?;
    let output = Command::new(binary).args(arguments).current_dir(folder).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder with a configuration and the good plugin.
fn prepared(plugins: &str) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("plugins"))?;
    std::fs::write(folder.path().join("plugins/good.wasm"), GOOD.build())?;
    configure(folder.path(), plugins)?;
    Ok(folder)
}

fn configure(folder: &Path, plugins: &str) -> Result<()> {
    let text = format!("plugins: {{dir: plugins, {plugins}}}\nroute: {{receiver: a}}\nreceivers: [{{name: a}}]\n");
    Ok(std::fs::write(folder.join("watchfire.yml"), text)?)
}

fn expect(folder: &Path, arguments: &[&str], code: i32, part: &str) -> Result<String> {
    let (came, told) = watchfire(folder, arguments)?;
    ensure!(came == Some(code) && told.contains(part), "{arguments:?} gave {came:?} without {part:?}:\n{told}");
    Ok(told)
}

fn locked() -> Result<()> {
    let folder = prepared("lock: plugins.lock")?;
    let (folder, verify) = (folder.path(), &["plugin", "verify"][..]);
    expect(folder, verify, 1, "the lock file cannot be used, so that no plugin is loaded")?;
    expect(folder, &["plugin", "lock"], 0, "new      good")?;
    expect(folder, verify, 0, "ok       good")?;
    let checked = Command::new("sha256sum").args(["--check", "plugins.lock"]).current_dir(folder).output()?;
    ensure!(checked.status.success(), "sha256sum: {checked:?}");
    // Another version is refused until it is locked, and so is a file that nobody has locked.
    let other = Fixture { data: "(data (i32.const 3000) \"2\")", ..GOOD }.build();
    std::fs::write(folder.join("plugins/good.wasm"), &other)?;
    std::fs::write(folder.join("plugins/more.wasm"), &other)?;
    let told = expect(folder, verify, 1, "run `watchfire plugin lock`")?;
    ensure!(told.contains("refused  good") && told.contains("refused  more") && told.contains("is not in"), "{told}");
    expect(folder, &["plugin", "lock"], 0, "changed  good")?;
    expect(folder, verify, 0, "ok       more")?;
    // What was locked is not forgotten because the file is broken.
    let locked = std::fs::read(folder.join("plugins.lock"))?;
    std::fs::write(folder.join("plugins.lock"), "<<<<<<< ours\n")?;
    expect(folder, &["plugin", "lock"], 1, "mend it, or delete it to lock anew")?;
    ensure!(std::fs::read_to_string(folder.join("plugins.lock"))?.contains("ours"), "a broken lock file is kept");
    std::fs::write(folder.join("plugins.lock"), locked)?;
    // What can be no plugin does not become one by being locked, and what cannot be read does not stop half-way.
    std::fs::copy(folder.join("plugins/good.wasm"), folder.join("plugins/Bad Name.wasm"))?;
    let told = expect(folder, &["plugin", "lock"], 0, "same     good")?;
    let expected = "warning: plugins/Bad Name.wasm is not locked: \"Bad Name\" is no name for a plugin: use letters";
    ensure!(
        told.contains(expected) && !std::fs::read_to_string(folder.join("plugins.lock"))?.contains("Bad"),
        "{told}"
    );
    std::fs::remove_file(folder.join("plugins/Bad Name.wasm"))?;
    let locked = std::fs::read(folder.join("plugins.lock"))?;
    std::fs::create_dir(folder.join("plugins/dir.wasm"))?;
    symlink("/dev/null", folder.join("plugins/null.wasm"))?;
    std::fs::write(folder.join("plugins/aaa.wasm"), &other)?;
    let told =
        expect(folder, &["plugin", "lock"], 1, "error: nothing is locked, mend these or take them out of plugins:")?;
    ensure!(
        told.contains("\ncannot read plugins/dir.wasm: it is no file\ncannot read plugins/null.wasm: it is"),
        "{told}"
    );
    ensure!(!told.contains("aaa") && std::fs::read(folder.join("plugins.lock"))? == locked, "nothing was done: {told}");
    std::fs::remove_dir(folder.join("plugins/dir.wasm"))?;
    std::fs::remove_file(folder.join("plugins/null.wasm"))?;
    std::fs::remove_file(folder.join("plugins/aaa.wasm"))?;
    // A pin in the configuration.
    let pin = sha256(&other);
    configure(folder, &format!("settings: {{good: {{digest: 'sha256:{pin}'}}}}"))?;
    expect(folder, verify, 0, "ok       good")?;
    std::fs::write(folder.join("plugins/good.wasm"), GOOD.build())?;
    expect(folder, verify, 1, &format!("allows only sha256:{pin}"))?;
    // What is imported needs to be granted.
    let imports = "(import \"watchfire:plugin/log@0.2.0\" \"log\" (func (param i32 i32 i32)))";
    std::fs::write(folder.join("plugins/good.wasm"), Fixture { imports, ..GOOD }.build())?;
    configure(folder, "settings: {good: {grant: [log]}}")?;
    expect(folder, verify, 0, "ok       good")?;
    expect(folder, &["plugin", "inspect", "plugins/good.wasm"], 0, "needs granted log")?;
    configure(folder, "settings: {good: {grant: [state]}}")?;
    expect(folder, verify, 1, "it imports `watchfire:plugin/log@0.2.0`, and `plugins.settings.good.grant` does not")?;
    configure(folder, "settings: {god: {grant: [log]}}")?;
    expect(
        folder,
        verify,
        1,
        "absent   god                      `plugins.settings.god` is about no plugin in plugins;",
    )?;
    // Machine code from outside is never run, whatever is said about it.
    std::fs::write(folder.join("plugins/good.wasm"), b"\x7fELF\x02\x01\x01")?;
    configure(folder, "limits: {call_timeout: 1s}")?;
    expect(folder, verify, 1, "this is not WebAssembly")?;
    Ok(())
}

/// Beside the plugins or not, a link or not, and wherever the command runs: what is written is the same, and
/// `sha256sum` finds the plugins from the folder in which the lock file lies.
fn locked_elsewhere() -> Result<()> {
    for (lock, from) in [
        ("plugins.lock", "."),
        ("plugins.lock", "locks"),
        ("locks/plugins.lock", "."),
        ("locks/plugins.lock", "plugins"),
        ("plugins/plugins.lock", "locks"),
    ] {
        let folder = prepared(&format!("lock: {lock}"))?;
        let folder = folder.path();
        let (real, lock, config) = (folder.join("real.lock"), folder.join(lock), folder.join("watchfire.yml"));
        std::fs::create_dir(folder.join("locks"))?;
        std::fs::write(&real, "")?;
        std::fs::set_permissions(&real, Permissions::from_mode(0o640))?;
        symlink(&real, &lock)?;
        let config = config.to_string_lossy();
        expect(&folder.join(from), &["plugin", "lock", &config], 0, "new      good")?;
        let beside = lock.parent().context("it lies in a folder")?;
        let checked = Command::new("sha256sum").args(["--check", "plugins.lock"]).current_dir(beside).output()?;
        ensure!(checked.status.success(), "{lock:?} from {from}: {checked:?}");
        let text = std::fs::read_to_string(&real)?;
        ensure!(!text.contains(&*folder.to_string_lossy()), "it can be moved with the plugins: {text}");
        let mode = real.metadata()?.permissions().mode();
        ensure!(mode & 0o777 == 0o640 && lock.is_symlink(), "{lock:?}: {mode:o}");
    }
    Ok(())
}

fn signed() -> Result<()> {
    let folder = prepared("limits: {call_timeout: 1s}")?;
    let folder = folder.path();
    let minisign = |arguments: &[&str]| -> Result<()> {
        let output = Command::new("minisign").args(arguments).current_dir(folder).stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "minisign {arguments:?}: {output:?}");
        Ok(())
    };
    minisign(&["-G", "-W", "-p", "own.pub", "-s", "own.key"])?;
    minisign(&["-G", "-W", "-p", "other.pub", "-s", "other.key"])?;
    let key = std::fs::read_to_string(folder.join("own.pub"))?;
    let key = key.lines().nth(1).context("minisign.pub has two lines")?;
    configure(folder, &format!("signers: [{key}]"))?;
    let verify = &["plugin", "verify"];
    expect(folder, verify, 1, "sign it with `minisign -S`")?;
    minisign(&["-S", "-s", "other.key", "-m", "plugins/good.wasm"])?;
    expect(folder, verify, 1, "is not a signature of this file by one of `plugins.signers`")?;
    minisign(&["-S", "-s", "own.key", "-m", "plugins/good.wasm"])?;
    expect(folder, verify, 0, "ok       good")?;
    minisign(&["-S", "-l", "-s", "own.key", "-m", "plugins/good.wasm"])?;
    expect(folder, verify, 1, "good.wasm.minisig is a legacy signature, which is not accepted; sign the file again")?;
    minisign(&["-S", "-s", "own.key", "-m", "plugins/good.wasm"])?;
    let mut wasm = std::fs::read(folder.join("plugins/good.wasm"))?;
    wasm.extend_from_slice(&[0, 2, 1, b'x']);
    std::fs::write(folder.join("plugins/good.wasm"), &wasm)?;
    expect(folder, verify, 1, "the file was changed after it was signed, or somebody else signed it; get both anew")?;
    std::fs::write(folder.join("plugins/good.wasm.minisig"), "nonsense")?;
    expect(folder, verify, 1, "is not a minisign signature")?;
    Ok(())
}

/// A registry on the loopback interface, which ends with the test.
struct Registry {
    child: Child,
    address: String,
    /// Whether it lets in [`USER`] only.
    is_closed: bool,
    _folder: tempfile::TempDir,
}

const USER: &str = "ann";
const PASSWORD: &str = "open sesame";
/// The same as registries keep it, with bcrypt.
const HTPASSWD: &str = "ann:$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n";

impl Registry {
    async fn start(is_closed: bool) -> Result<Registry> {
        let folder = tempfile::tempdir()?;
        // The port is free now; that nobody takes it within the next moment is the best that can be had of this program.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage").display().to_string();
        let users = folder.path().join("users");
        std::fs::write(&users, HTPASSWD)?;
        let auth = match is_closed {
            true => format!("auth: {{htpasswd: {{realm: here, path: {}}}}}\n", users.display()),
            false => String::new(),
        };
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {storage}}}}}\nhttp: {{addr: '{address}'}}\n{auth}"
            ),
        )?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let registry = Registry { child, address, is_closed, _folder: folder };
        eventually("the registry answers", async || {
            let answer = registry.ask(Method::GET, registry.url(""))?.send().await.ok();
            Ok(answer.filter(|answer| answer.status().is_success()).map(drop))
        })
        .await?;
        Ok(registry)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.address)
    }

    fn ask(&self, method: Method, url: String) -> Result<RequestBuilder> {
        let request = client()?.request(method, url);
        Ok(if self.is_closed { request.basic_auth(USER, Some(PASSWORD)) } else { request })
    }

    /// Uploads a blob; answers its digest.
    async fn push_blob(&self, bytes: &[u8]) -> Result<String> {
        let begun = self.ask(Method::POST, self.url("oncall/blobs/uploads/"))?.send().await?.error_for_status()?;
        let place = begun.headers()["location"].to_str()?.to_owned();
        let digest = format!("sha256:{}", sha256(bytes));
        let separator = if place.contains('?') { '&' } else { '?' };
        let place = if place.starts_with('/') { format!("http://{}{place}", self.address) } else { place };
        let url = format!("{place}{separator}digest={digest}");
        self.ask(Method::PUT, url)?
            .header("content-type", "application/octet-stream")
            .body(bytes.to_vec())
            .send()
            .await?
            .error_for_status()?;
        Ok(digest)
    }

    /// Pushes an artefact with one layer; answers the digest of its manifest.
    async fn push(&self, layer_type: &str, layer: &[u8]) -> Result<String> {
        const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
        let config = self.push_blob(b"{}").await?;
        let digest = self.push_blob(layer).await?;
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2, "mediaType": TYPE,
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": config, "size": 2},
            "layers": [{"mediaType": layer_type, "digest": digest, "size": layer.len()}],
        }))?;
        let digest = format!("sha256:{}", sha256(&manifest));
        let url = self.url(&format!("oncall/manifests/{digest}"));
        self.ask(Method::PUT, url)?.header("content-type", TYPE).body(manifest).send().await?.error_for_status()?;
        Ok(digest)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn pulled() -> Result<()> {
    block_on(async {
        let folder = prepared("lock: plugins.lock")?;
        let folder = folder.path();
        let registry = Registry::start(false).await?;
        let good = GOOD.build();
        let digest = registry.push("application/wasm", &good).await?;
        let reference = |digest: &str| format!("oci://{}/oncall@{digest}", registry.address);
        let elsewhere = tempfile::tempdir()?;
        expect(elsewhere.path(), &["plugin", "pull", &reference(&digest)], 0, "plugins/oncall.wasm\nsha256:")?;
        ensure!(std::fs::read(elsewhere.path().join("plugins/oncall.wasm"))? == good, "the folder is made");
        // Nobody listens there: what is wrong with the rest is told before anything is downloaded.
        let nowhere = format!("oci://127.0.0.1:9/oncall@{digest}");
        let name = ["plugin", "pull", &nowhere, "--name", "Bad Name"];
        expect(elsewhere.path(), &name, 1, "is no name for a plugin: use letters")?;
        let into = ["plugin", "pull", &nowhere, "--into", "plugins/oncall.wasm"];
        expect(elsewhere.path(), &into, 1, "cannot make the folder plugins/oncall.wasm; name another with --into: ")?;
        expect(folder, &["plugin", "pull", &reference(&digest)], 0, &format!("sha256:{}", sha256(&good)))?;
        ensure!(std::fs::read(folder.join("plugins/oncall.wasm"))? == good, "what was pulled is what was pushed");
        expect(folder, &["plugin", "lock"], 0, "new      oncall")?;
        expect(folder, &["plugin", "verify"], 0, "ok       oncall")?;
        let unknown = format!("sha256:{}", "0".repeat(64));
        expect(folder, &["plugin", "pull", &reference(&unknown)], 1, "404")?;
        let tag = format!("oci://{}/oncall:latest", registry.address);
        expect(folder, &["plugin", "pull", &tag], 2, "a tag can be moved")?;
        let text = registry.push("text/plain", b"no plugin").await?;
        expect(folder, &["plugin", "pull", &reference(&text)], 1, "there is no WebAssembly in it")?;
        let broken = registry.push("application/wasm", &good[..good.len() / 2]).await?;
        expect(folder, &["plugin", "pull", &reference(&broken)], 1, "the component is broken")?;
        ensure!(std::fs::read(folder.join("plugins/oncall.wasm"))? == good, "a broken file replaces nothing");
        Ok(())
    })
}

/// A login from the command line, from what `docker login` keeps, and from a credential helper.
fn pulled_with_a_login() -> Result<()> {
    block_on(async {
        let folder = prepared("lock: plugins.lock")?;
        let folder = folder.path();
        let registry = Registry::start(true).await?;
        let digest = registry.push("application/wasm", &GOOD.build()).await?;
        let reference = format!("oci://{}/oncall@{digest}", registry.address);
        let docker = folder.join("docker");
        std::fs::create_dir(&docker)?;
        let helper = docker.join("docker-credential-vault");
        let script = format!(
            "#!/bin/sh\nread server\n[ \"$1 $server\" = \"get {}\" ] || exit 1\n\
             echo '{{\"ServerURL\": \"x\", \"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'\n",
            registry.address
        );
        std::fs::write(&helper, script)?;
        std::fs::set_permissions(&helper, Permissions::from_mode(0o755))?;
        std::fs::write(folder.join("password"), format!("{PASSWORD}\n"))?;
        std::fs::write(folder.join("other"), "shut")?;
        let path = std::env::join_paths(
            std::iter::once(docker.clone()).chain(std::env::split_paths(&variable("PATH").unwrap_or_default())),
        )?;
        let auths = |text: &str| format!("{{\"auths\": {{\"{}\": {{\"auth\": \"{text}\"}}}}}}", registry.address);
        let helpers = format!("{{\"credHelpers\": {{\"{}\": \"vault\"}}}}", registry.address);
        // What Docker keeps, arguments, the exit code, what is said.
        let cases: [(&str, &[&str], i32, &str); 7] = [
            ("{}", &[], 1, "wants a login: run `docker login"),
            ("{}", &["--username", USER, "--password-file", "password"], 0, "sha256:"),
            ("{}", &["--username", USER, "--password-stdin"], 0, "sha256:"),
            (&auths("YW5uOm9wZW4gc2VzYW1l"), &[], 0, "sha256:"),
            (&helpers, &[], 0, "sha256:"),
            // What is said on the command line goes before.
            (&helpers, &["--username", USER, "--password-file", "other"], 1, "answers 401 Unauthorized"),
            ("{}", &["--username", USER], 2, "--password"),
        ];
        for (config, arguments, code, part) in cases {
            std::fs::write(docker.join("config.json"), config)?;
            let output = Command::new(variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?)
                .args(["plugin", "pull", &reference])
                .args(arguments)
                .current_dir(folder)
                .env("DOCKER_CONFIG", &docker)
                .env("PATH", &path)
                .stdin(std::fs::File::open(folder.join("password"))?)
                .output()?;
            let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            ensure!(output.status.code() == Some(code) && told.contains(part), "{config} {arguments:?}: {told}");
            ensure!(!told.contains(PASSWORD), "{told}");
        }
        Ok(())
    })
}
