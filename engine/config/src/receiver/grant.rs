//! `grant` of a webhook: where requests of its formatter's own may go, and which secrets they carry.

use std::collections::BTreeMap;

use crate::decode::{Decoder, Fields};
use crate::global::GlobalConfig;
use crate::http::{HttpConfig, http_config};
use crate::secret::{Credential, Secret};
use crate::url;

/// What a formatter may address itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Where to, as origins in lower case and without the scheme's own port: `https://desk.example`,
    /// `http://10.0.0.7:8080`.
    pub hosts: Vec<String>,
    /// Secrets by the names that the plugin knows them by.
    pub secrets: BTreeMap<String, Credential>,
    /// How the requests are made. Redirects are not followed, since they could lead anywhere.
    pub http: HttpConfig,
}

pub(super) fn grant(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Option<Box<Grant>> {
    let granted = f.object("grant", "a grant", |f| read(f, global));
    if granted.is_some() && !f.has("formatter") {
        f.error("grant", "conflict", "a grant is for a formatter, and there is none")
            .help("name the plugin under `formatter`, or remove the grant");
    }
    granted.map(Box::new)
}

fn read(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Grant {
    let hosts = f.list("hosts", |decoder, node| {
        let text = decoder.text(node, "a host")?;
        if decoder.is_recording() {
            return None;
        }
        let found = origin(&text);
        if let Err(reason) = &found {
            decoder
                .error(node.start, "bad-host", format!("this is no host: {reason}"))
                .help("write it like desk.example, desk.example:8443 or http://desk.example");
        }
        found.ok()
    });
    if f.lacks("hosts") {
        f.missing("hosts").help("name the hosts to which the formatter's requests may go");
    }
    let inline = f.read("secrets", |decoder, node| {
        Some(decoder.entries(node, "secrets", |decoder, entry| {
            let text = decoder.text(&entry.value, "a secret")?;
            is_named(decoder, &entry.key, entry.key_start).then(|| Credential::Inline(Secret::new(text)))
        }))
    });
    let files = f.read("secret_files", |decoder, node| {
        Some(decoder.entries(node, "secret_files", |decoder, entry| {
            let path = decoder.text(&entry.value, "a path")?;
            let path = decoder.resolve_path(&path);
            let content = decoder.read_secret_file(entry.value.start, &path).map(Secret::new);
            is_named(decoder, &entry.key, entry.key_start).then_some(Credential::File { path, content })
        }))
    });
    let mut secrets: BTreeMap<String, Credential> = inline.unwrap_or_default().into_iter().collect();
    for (name, credential) in files.unwrap_or_default() {
        if secrets.contains_key(&name) {
            f.error("secret_files", "conflict", format!("the secret {name:?} is under `secrets` too"))
                .help("keep one of the two");
        }
        secrets.insert(name, credential);
    }
    let http = http_config(f).unwrap_or_else(|| global.http.clone());
    Grant { hosts, secrets, http: HttpConfig { follow_redirects: false, ..http } }
}

fn is_named(decoder: &mut Decoder<'_>, name: &str, at: usize) -> bool {
    let good = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if !good && !decoder.is_recording() {
        decoder
            .error(at, "bad-name", format!("{name:?} cannot name a secret"))
            .help("use lower-case letters, digits, `_` and `-`, at most 64");
    }
    good
}

/// A host, with a port or a scheme where they are not those of `https`, as its origin.
fn origin(text: &str) -> Result<String, &'static str> {
    let lower = text.to_ascii_lowercase();
    let whole = if lower.contains("://") { lower } else { format!("https://{lower}") };
    url::check(&whole)?;
    let (scheme, host) = whole.split_once("://").unwrap_or_default();
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.contains(['/', '?', '#']) {
        return Err("a grant is for a whole host, without a path");
    }
    if host.contains('@') {
        return Err("it has a user; credentials belong under `secrets`");
    }
    if host.contains('*') {
        return Err("a pattern is no host; name each");
    }
    let usual = if scheme == "https" { ":443" } else { ":80" };
    Ok(format!("{scheme}://{}", host.strip_suffix(usual).unwrap_or(host)))
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn hosts_are_origins() {
        for (text, expected) in [
            ("Desk.example", Ok("https://desk.example")),
            ("desk.example:443", Ok("https://desk.example")),
            ("desk.example:8443", Ok("https://desk.example:8443")),
            ("http://[::1]:80/", Ok("http://[::1]")),
            ("https://desk.example/api", Err("a grant is for a whole host, without a path")),
            ("*.example", Err("a pattern is no host; name each")),
            ("u:p@desk.example", Err("it has a user; credentials belong under `secrets`")),
            ("ftp://desk.example", Err("the scheme is not http or https")),
            ("", Err("it has no host")),
        ] {
            assert_eq!(origin(text).as_deref(), expected.as_ref().copied(), "{text}");
        }
    }
}
