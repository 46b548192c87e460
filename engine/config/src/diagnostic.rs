//! What is wrong with a file, where, and what to do about it.

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
        if let Some(line) = text.lines().nth(self.line.saturating_sub(1)).filter(|line| !may_hold_secret(line)) {
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

/// Whether a line gives a value to a key whose values are secrets.
fn may_hold_secret(line: &str) -> bool {
    secret_value(line).is_some()
}

/// Whether the values of a key are secrets. The bare `url` is that of a webhook, which often is the secret itself.
pub(crate) fn names_secret(key: &str) -> bool {
    let words = ["password", "secret", "token", "tokens", "credentials", "key", "api_url", "webhook_url"];
    key == "url" || words.iter().any(|word| key.ends_with(word))
}

/// Where the value of the first key begins whose values are secrets, and the column of that key.
fn secret_value(line: &str) -> Option<(usize, usize)> {
    line.match_indices(':').find_map(|(at, _)| {
        let before = line[..at].trim_end_matches(['"', '\'', ' ']);
        let key = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        let value = line[at + 1..].trim();
        (names_secret(key) && !value.is_empty()).then(|| (at + 1, before.len() - key.len()))
    })
}

/// A configuration as it may be shown: what may be a secret is `<secret>`, with the lines on which it goes on.
///
/// The text need not be valid; when in doubt more is hidden.
pub(crate) fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // The column of the key whose value was hidden last.
    let mut hidden: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        // The elements of a list may stand right below its key.
        let belongs = |column: usize| indent > column || indent == column && line[indent..].starts_with("- ");
        if hidden.is_some_and(|column| line.trim().is_empty() || belongs(column)) {
            continue;
        }
        hidden = None;
        match secret_value(line).or_else(|| secret_block(line)) {
            // A reference to the environment says nothing, and is what a reader looks for.
            Some((value, _)) if line[value..].trim().starts_with("${") => out.push_str(line),
            Some((value, column)) => {
                out.push_str(&line[..value]);
                out.push_str(" <secret>");
                hidden = Some(column);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// As [`secret_value`], for keys below which everything is secret, on the same line or not.
fn secret_block(line: &str) -> Option<(usize, usize)> {
    ["bearer_tokens:", "basic:"].iter().find_map(|key| {
        let column = line.find(key)?;
        Some((column + key.len(), column))
    })
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
                    list:\n  bearer_tokens:\n  - t1\n  - t2\n  basic:\n    ops: pw\n  channel: z\n";
        let shown = without_secrets(text);
        for secret in ["hooks", "u:p", "abc", "def", "t0ken", "t1", "t2", "pw"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        for kept in ["channel: '#a'", "message: m", "${P}", "name: a", "channel: z"] {
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
