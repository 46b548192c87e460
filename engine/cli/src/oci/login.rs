//! With what a registry is logged in to: what is said on the command line, or what `docker login` has kept.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Under this name Docker keeps what is for its own registry, which has several.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
const DOCKER_HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// The longest password, and the longest answer of a helper.
const BYTES_MAX: u64 = 1 << 20;
/// How long a helper may take; it may ask a person.
const HELPER_TIMEOUT: Duration = Duration::from_secs(60);

/// Who pulls. Without it, what `docker login` has kept counts.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The user; else what `docker login` has kept is used
    #[arg(long, value_name = "USER", requires = "password")]
    username: Option<String>,
    /// A file with the password and nothing else
    #[arg(long, value_name = "FILE", group = "password", requires = "username")]
    password_file: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long, group = "password", requires = "username")]
    password_stdin: bool,
}

/// A user with a password, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Login {
    /// What is said on the command line.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub(crate) fn given(&self) -> Result<Option<Credentials>> {
        let Some(user) = self.username.clone() else { return Ok(None) };
        let (mut text, place) = (String::new(), self.password_file.as_deref());
        let read = match place {
            Some(path) => std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)),
            None => std::io::stdin().take(BYTES_MAX).read_to_string(&mut text),
        };
        let place = place.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
        read.with_context(|| format!("the password in {place}"))?;
        let password = text.trim_end_matches(['\r', '\n']).to_owned();
        ensure!(!password.is_empty(), "there is no password in {place}");
        Ok(Some(Credentials { user, password }))
    }
}

/// Docker's `config.json`, as far as it is about logins.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Docker {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// What `docker login` has kept for a host, if anything.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn kept(host: &str) -> Result<Option<Credentials>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "Docker's variables say where its own file is; no decision of the engine"
    )]
    let named = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    let folder = named("DOCKER_CONFIG").or_else(|| Some(named("HOME")?.join(".docker")));
    match folder {
        Some(folder) => kept_in(&folder.join("config.json"), host).await,
        None => Ok(None),
    }
}

async fn kept_in(path: &Path, host: &str) -> Result<Option<Credentials>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    // What serde says of a wrong value may show it.
    let docker: Docker =
        serde_json::from_slice(&text).ok().with_context(|| format!("{} cannot be read", path.display()))?;
    let server = if DOCKER_HUB_HOSTS.contains(&host) { DOCKER_HUB } else { host };
    let is_it = |key: &str| key == server || host_of(key).eq_ignore_ascii_case(host_of(server));
    let own = docker.cred_helpers.iter().find(|(key, _)| is_it(key)).map(|(_, helper)| helper);
    if let Some(helper) = own.or(docker.creds_store.as_ref()).filter(|helper| !helper.is_empty())
        && let Some(found) = helped(helper, server).await?
    {
        return Ok(Some(found));
    }
    let entry = docker.auths.into_iter().find(|(key, _)| is_it(key)).map(|(_, entry)| entry).unwrap_or_default();
    let of_entry = || format!("what {} has for {host}", path.display());
    if !entry.auth.is_empty() {
        let decoded = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.trim_end_matches('\0').split_once(':'));
        let (user, password) = pair.with_context(|| format!("{} is no USER:PASSWORD in base64", of_entry()))?;
        // A user without a password goes with an identity token, which is looked at next.
        if !password.is_empty() {
            return Ok(Some(Credentials { user: user.to_owned(), password: password.to_owned() }));
        }
    }
    ensure!(entry.identitytoken.is_empty(), "{} is an identity token; give --username and a password", of_entry());
    let Entry { username: user, password, .. } = entry;
    Ok((!user.is_empty() && !password.is_empty()).then_some(Credentials { user, password }))
}

/// The host of a key, which may be an address: `https://ghcr.io/v2/`.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

/// What a credential helper has for a server.
async fn helped(helper: &str, server: &str) -> Result<Option<Credentials>> {
    let is_name = helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    ensure!(is_name, "{helper:?} is no name of a credential helper");
    let program = format!("docker-credential-{helper}");
    let asked = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take().ok_or_else(|| std::io::Error::other("it has no standard input"))?;
        // One that does not read what it is asked says so in its answer.
        drop(stdin.write_all(format!("{server}\n").as_bytes()).await);
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(HELPER_TIMEOUT, asked)
        .await
        .with_context(|| format!("{program} gives no answer"))?
        .with_context(|| format!("{program} cannot be run"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(said.contains("credentials not found"), "{program} failed: {said}");
        return Ok(None);
    }
    // What serde says of a wrong value may show it.
    let answer: Option<Helped> = serde_json::from_slice(&output.stdout).ok();
    let Helped { username, secret } = answer.with_context(|| format!("{program} does not answer as it should"))?;
    ensure!(username != "<token>", "{program} has an identity token for {server}; give --username and a password");
    Ok(Some(Credentials { user: username, password: secret }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `user password` for a host, or what is wrong.
    async fn found(config: &str, host: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        match kept_in(&path, host).await {
            Ok(Some(Credentials { user, password })) => format!("{user} {password}"),
            Ok(None) => "nothing".to_owned(),
            Err(error) => format!("error: {error}").replace(&*path.to_string_lossy(), "config.json"),
        }
    }

    #[tokio::test]
    async fn what_docker_login_kept_is_found_by_the_registry() {
        // ann:a:b, as `docker login` keeps it.
        let auth = r#"{"auth": "YW5uOmE6Yg=="}"#;
        let of = |key: &str| format!(r#"{{"auths": {{"other": {{"auth": "eDp5"}}, "{key}": {auth}}}}}"#);
        for (key, host, expected) in [
            ("ghcr.io", "ghcr.io", "ann a:b"),
            ("https://ghcr.io/v2/", "ghcr.io", "ann a:b"),
            ("localhost:5000", "localhost:5000", "ann a:b"),
            ("https://index.docker.io/v1/", "registry-1.docker.io", "ann a:b"),
            ("ghcr.io", "ghcr.io:444", "nothing"),
            ("ghcr.io", "evil-ghcr.io", "nothing"),
            ("ghcr.io.evil", "ghcr.io", "nothing"),
        ] {
            assert_eq!(found(&of(key), host).await, expected, "{key} {host}");
        }
        for (config, expected) in [
            ("{}", "nothing"),
            (r#"{"auths": {"a": {}}}"#, "nothing"),
            (r#"{"auths": {"a": {"username": "ann", "password": "b"}}}"#, "ann b"),
            (r#"{"auths": {"a": {"auth": "%"}}}"#, "error: what config.json has for a is no USER:PASSWORD in base64"),
            (
                r#"{"auths": {"a": {"identitytoken": "t"}}}"#,
                "error: what config.json has for a is an identity token; give --username and a password",
            ),
            ("secret", "error: config.json cannot be read"),
            (r#"{"credHelpers": {"a": "../x"}}"#, "error: \"../x\" is no name of a credential helper"),
            (r#"{"credsStore": "that-is-not-there"}"#, "error: docker-credential-that-is-not-there cannot be run"),
        ] {
            assert_eq!(found(config, "a").await, expected, "{config}");
        }
        assert!(kept_in(Path::new("/nowhere/config.json"), "a").await.unwrap().is_none());
    }
}
