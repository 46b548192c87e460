//! What is wrong with a file, where, and what to do about it.

use std::borrow::Cow;
use std::fmt;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What it is about is not used.
    Error,
    /// What it is about is used, but probably does not do what was meant.
    Warning,
}

impl Level {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to be told about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from one.
    pub line: usize,
    /// Column in characters, from one.
    pub column: usize,
    /// Error or warning.
    pub severity: Level,
    /// A short stable name of the kind, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Level::Error
    }

    /// The text of [`Display`](fmt::Display) with the offending line of `text`, the file's content, and a caret below.
    ///
    /// A line that may hold a secret is left out: what is rendered ends in the logs of a pipeline.
    pub fn render(&self, text: &str) -> String {
        let mut out = self.headline();
        let at = self.line.saturating_sub(1);
        let shown = lines_without_secrets(text).nth(at).flatten();
        if let Some(line) = text.lines().nth(at).filter(|line| shown.as_deref() == Some(*line)) {
            let number = self.line.to_string();
            // Tabs stay tabs, so that the caret stands right whatever their width is.
            let indent: String =
                line.chars().take(self.column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            out.push_str(&format!("\n  {number} | {line}\n  {:width$} | {indent}^", "", width = number.len()));
        }
        if let Some(help) = &self.help {
            out.push_str(&format!("\n  help: {help}"));
        }
        out
    }

    fn headline(&self) -> String {
        let Diagnostic { file, line, column, severity, code, message, .. } = self;
        format!("{file}:{line}:{column}: {severity}: {message} [{code}]")
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: error: message [code]`, and the help on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Whether the values of a key are secrets. The bare `url` is that of a webhook, which often is the secret itself.
pub(crate) fn names_secret(key: &str) -> bool {
    const ENDS: [&str; 11] = [
        "password",
        "secret",
        "secrets",
        "token",
        "tokens",
        "token_id",
        "credentials",
        "authorization",
        "key",
        "api_url",
        "webhook_url",
    ];
    let key = key.to_ascii_lowercase();
    key == "url" || ENDS.iter().any(|end| key.ends_with(end))
}

/// Whether a value is a reference to a variable of the environment and nothing else. A reference with a default
/// (`${NAME:-default}`) or with text around it may hold the secret itself.
pub(crate) fn is_reference(value: &str) -> bool {
    let name = value.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(watchfire_model::is_legacy_label_name)
}

/// Where the first secret of a line begins, and the column of its key: the value of a key whose values are secret, or an
/// address with a user, who may have a password.
fn secret_value(line: &str) -> Option<(usize, usize)> {
    /// Keys below which everything is secret, on the same line or not: what stands there is called as somebody likes.
    const BLOCKS: [&str; 5] = ["bearer_tokens", "basic", "proxy_connect_header", "channel_configs", "secrets"];
    let keyed = line.match_indices(':').find_map(|(at, _)| {
        let before = line[..at].trim_end_matches(['"', '\'', ' ']);
        let key = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        let value = line[at + 1..].trim();
        let secret = BLOCKS.contains(&key) || names_secret(key) && !value.is_empty();
        secret.then(|| (at + 1, before.len() - key.len()))
    });
    let address = line.match_indices('@').find_map(|(at, _)| {
        let word = line[..at].rsplit([' ', '\t', '\'', '"', '[', '{', ',']).next().unwrap_or("");
        word.contains("://").then(|| (at - word.len(), at - word.len()))
    });
    keyed.into_iter().chain(address).min()
}

/// The lines of a configuration as they may be shown: what may be a secret is `<secret>`, and the lines on which it goes on
/// are left out.
///
/// The text need not be valid; when in doubt more is hidden.
fn lines_without_secrets(text: &str) -> impl Iterator<Item = Option<Cow<'_, str>>> {
    // The column of the key whose value was hidden last.
    let mut hidden: Option<usize> = None;
    text.lines().map(move |line| {
        let indent = line.len() - line.trim_start().len();
        // The elements of a list may stand right below its key.
        let belongs = |column: usize| indent > column || indent == column && line[indent..].starts_with("- ");
        if hidden.is_some_and(|column| line.trim().is_empty() || belongs(column)) {
            return None;
        }
        let found = secret_value(line);
        hidden = found.map(|(_, column)| column);
        Some(match found {
            // A reference to the environment says nothing, and is what a reader looks for.
            Some((value, _)) if is_reference(unquoted(&line[value..])) => line.into(),
            Some((value, _)) => format!("{} <secret>", &line[..value]).into(),
            None => line.into(),
        })
    })
}

/// A value without the quotes around it and the brackets that end behind it.
fn unquoted(value: &str) -> &str {
    let value = value.trim().trim_start_matches(['"', '\'']);
    let end = value.find('}').map_or(0, |end| end + 1);
    match value[end..].trim_matches(['"', '\'', '}', ']', ' ']) {
        "" => &value[..end],
        _ => value,
    }
}

/// A configuration as it may be shown: what may be a secret is `<secret>`, with the lines on which it goes on.
pub(crate) fn without_secrets(text: &str) -> String {
    lines_without_secrets(text).flatten().flat_map(|line| [line, "\n".into()]).collect()
}

/// The one of `known` that is nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let distance = edit_distance(&word, &candidate.to_lowercase());
        // A third of the letters may differ: `recieverr` means `receiver`, but `foo` means nothing.
        let allowed = (word.chars().count().max(candidate.chars().count()) / 3).max(1);
        if distance <= allowed && best.is_none_or(|(shortest, _)| distance < shortest) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substitution = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substitution.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_shown_without_its_secrets() {
        let text = "receivers:\n- name: a\n  slack_configs:\n  - api_url: https://hooks/x\n    channel: '#a'\n  \
                    webhook_configs: [{url: 'http://u:p@h/', send_resolved: true}]\n  opsgenie_configs:\n  - api_key: |\n      \
                    abc\n      def\n    message: m\nserver: {auth: {bearer_tokens: [t0ken]}}\nother: {password: ${P}}\n\
                    list:\n  bearer_tokens:\n  - t1\n  - t2\n  basic:\n    ops: pw\n  channel: z\n\
                    a: {token: '${A:-r1}', x: y}\nb: {token: ${B}, other_token: r2}\nc: {token: ${C}r3}\n\
                    d: {token: \"${D}\"}\ne:\n  token: ${E}\n    r4\nf:\n  proxy_connect_header:\n    X-Any: [r5]\n\
                    g: {channel_configs: [{settings: {any: r6}}]}\nh: {X-Api-Key: r7}\n\
                    i: {proxy_url: 'http://u:r8@h', x: y}\nj:\n- http://u:r9@h\nk: {to: a@b.c}\nl: x:y[5m:]@1\n";
        let shown = without_secrets(text);
        let secrets = "hooks u:p abc def t0ken t1 t2 pw r1 r2 r3 r4 r5 r6 r7 r8 r9".split(' ');
        for secret in secrets.clone() {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        for line in 1..=text.lines().count() {
            let diagnostic = Diagnostic {
                file: "f".to_owned(),
                line,
                column: 1,
                severity: Level::Error,
                code: "c",
                message: "m".to_owned(),
                help: None,
            };
            let rendered = diagnostic.render(text);
            for secret in secrets.clone() {
                assert!(!rendered.contains(secret), "{secret}: {rendered}");
            }
        }
        for kept in [
            "channel: '#a'",
            "message: m",
            "${P}",
            "name: a",
            "channel: z",
            "\"${D}\"",
            "token: ${E}",
            "{to: a@b.c}",
            "x:y[5m:]@1",
        ] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
    }

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        let known = ["receiver", "group_by", "group_wait", "routes", "matchers"];
        for (word, expected) in [
            ("reciever", Some("receiver")),
            ("groupby", Some("group_by")),
            ("GroupWait", Some("group_wait")),
            ("route", Some("routes")),
            ("match", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
