//! `server.auth`: who may come in, and what they may do.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::decode::{Decoder, Fields};
use crate::secret::{Credential, Secret};
use crate::yaml::Node;

/// Who may come in. Nobody given: everybody, which is allowed on loopback only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthConfig {
    /// Tokens for `Authorization: Bearer`.
    pub bearer_tokens: Vec<Login>,
    /// Users and passwords for `Authorization: Basic`.
    pub basic: BTreeMap<String, Login>,
}

/// Somebody, or a program, who may come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The token or the password.
    pub credential: Credential,
    /// What they may do.
    pub role: Role,
}

/// What somebody may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// Send samples, events and alerts; silence, acknowledge, test, deliver again.
    Operator,
    /// Reload, and forget what was kept.
    Administrator,
}

impl Role {
    /// The word in configurations and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Administrator => "administrator",
        }
    }
}

impl AuthConfig {
    /// Whether nobody has to authenticate.
    pub fn is_open(&self) -> bool {
        self.bearer_tokens.is_empty() && self.basic.is_empty()
    }
}

pub(crate) fn read(f: &mut Fields<'_, '_>) -> AuthConfig {
    let mut tokens: Vec<Login> =
        f.list("bearer_tokens", |decoder, node| login(decoder, node, "a token", ["token", "token_file"]));
    let files = f.list("bearer_tokens_files", own_secret_file);
    tokens.extend(files.into_iter().map(Login::of_administrator));
    let basic = f.read("basic", |decoder, node| {
        Some(decoder.entries(node, "basic", |decoder, entry| {
            login(decoder, &entry.value, "a user", ["password", "password_file"])
        }))
    });
    AuthConfig { bearer_tokens: tokens, basic: basic.unwrap_or_default().into_iter().collect() }
}

impl Login {
    /// Who is given without a role may do everything.
    fn of_administrator(credential: Credential) -> Login {
        Login { credential, role: Role::Administrator }
    }
}

/// A secret as a text, or a mapping of the secret, or its file, and a role.
fn login(
    decoder: &mut Decoder<'_>,
    node: &Rc<Node>,
    what: &'static str,
    [key, file_key]: [&'static str; 2],
) -> Option<Login> {
    if node.text().is_some() && !decoder.is_recording() {
        let text = decoder.text(node, key)?;
        if text.is_empty() {
            let message = format!("a {key} cannot be empty: it would let everybody in");
            decoder.error(node.start, "bad-value", message).help("set it");
            return None;
        }
        return Some(Login::of_administrator(Credential::Inline(Secret::new(text))));
    }
    let read = decoder.mapping(node, what, |f| {
        let role = match f.word("role", &["viewer", "operator", "administrator"]) {
            Some("viewer") => Role::Viewer,
            Some("operator") => Role::Operator,
            _ => Role::Administrator,
        };
        (f.credential(key, file_key), role)
    });
    decoder.record_text_too();
    let (credential, role) = read.unwrap_or((None, Role::Viewer));
    let filled = credential.filter(|credential| !credential.expose().is_empty());
    if filled.is_none() && !decoder.is_recording() {
        decoder
            .error(node.start, "missing-key", format!("{what} without `{key}`"))
            .help(format!("give `{key}` or `{file_key}`; the file must be there when the engine starts"));
    }
    Some(Login { credential: filled?, role })
}

/// A file with a secret of the engine itself, without which it must not start.
fn own_secret_file(decoder: &mut Decoder<'_>, node: &Rc<Node>) -> Option<Credential> {
    let path = decoder.text(node, "the path")?;
    if decoder.is_recording() {
        return None;
    }
    let path = decoder.resolve_path(&path);
    let content = decoder.read_secret_file(node.start, &path).filter(|text| !text.is_empty());
    if content.is_none() {
        decoder
            .error(node.start, "unreadable-file", format!("no token in {path}"))
            .help("without it nobody could come in, so that it must be there when the engine starts");
    }
    Some(Credential::File { path, content: content.map(Secret::new) })
}
