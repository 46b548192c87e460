//! A configuration as it may be shown: without its secrets, and for Alertmanager's clients without what only this engine
//! knows.

use std::rc::Rc;

use crate::config::Source;
use crate::decode::Decoder;
use crate::diagnostic::{Level, is_reference, names_secret, without_secrets};
use crate::yaml::{Entry, Kind, Node, Style};

/// What takes the place of a secret; Alertmanager's clients know the word.
const SECRET: &str = "<secret>";

/// Sections of a configuration that Alertmanager has too.
const SECTIONS: [&str; 7] =
    ["global", "templates", "route", "inhibit_rules", "receivers", "time_intervals", "mute_time_intervals"];
/// What routes, receivers and integrations may say here and not there.
const ADDED: [&str; 17] = [
    "repeat",
    "notify",
    "rate_limit",
    "escalation",
    "flap_damping",
    "router",
    "template",
    "formatter",
    "grant",
    "per_recipient",
    "dedup_key",
    "event",
    "webhook_secret",
    "webhook_secret_file",
    "signing_secret",
    "signing_secret_file",
    "oauth2",
];

/// A configuration without its secrets, as YAML. A reference to the environment (`${NAME}`) says nothing, and is what a
/// reader looks for: it is shown.
pub fn shown(text: &str) -> String {
    written(text, false)
}

/// The same as far as Alertmanager knows it, so that its clients can read it: what is beyond it is left out.
pub fn shown_to_alertmanagers_clients(text: &str) -> String {
    written(text, true)
}

fn written(text: &str, clients: bool) -> String {
    let mut decoder = Decoder::new(Source { name: "", text }, None);
    let root = decoder.parse();
    let broken = decoder.diagnostics.iter().any(|diagnostic| diagnostic.severity == Level::Error);
    match root {
        Some(root) if !broken => {
            let mut writer = Writer { out: String::new(), clients, path: Vec::new() };
            writer.block(&root, 0);
            writer.out
        }
        // What cannot be read is shown line by line.
        _ => without_secrets(text),
    }
}

/// Writes block YAML.
struct Writer {
    out: String,
    /// Whether Alertmanager's clients are to read it.
    clients: bool,
    /// The keys above.
    path: Vec<String>,
}

impl Writer {
    /// Writes a mapping or a list on lines of its own; the first line is not indented.
    fn block(&mut self, node: &Node, indent: usize) {
        match &node.kind {
            Kind::Mapping(entries) => {
                let kept = entries.iter().filter(|entry| !self.leaves_out(entry)).cloned().collect::<Vec<_>>();
                for (i, entry) in kept.iter().enumerate() {
                    self.margin(i, indent);
                    self.out.push_str(&scalar(&entry.key, Style::Plain));
                    self.out.push(':');
                    self.path.push(entry.key.clone());
                    self.value(entry, indent);
                    self.path.pop();
                }
            }
            Kind::Sequence(items) => {
                // Alertmanager's inhibition rules have one source.
                let clients = self.clients;
                let kept = items.iter().filter(|item| !clients || item.get("sources").is_none());
                for (i, item) in kept.enumerate() {
                    self.margin(i, indent);
                    self.out.push_str("- ");
                    self.item(item, indent + 2);
                }
            }
            Kind::Scalar { text, style } => {
                self.out.push_str(&scalar(text, *style));
                self.out.push('\n');
            }
        }
    }

    fn margin(&mut self, line: usize, indent: usize) {
        if line > 0 {
            self.out.extend(std::iter::repeat_n(' ', indent));
        }
    }

    fn value(&mut self, entry: &Entry, indent: usize) {
        let node = &entry.value;
        if let Some(text) = node.text().filter(|text| !text.is_empty())
            && self.hides(&entry.key, text)
        {
            self.out.push_str(&format!(" {SECRET}\n"));
            return;
        }
        match &node.kind {
            Kind::Mapping(entries) if entries.is_empty() => self.out.push_str(" {}\n"),
            Kind::Sequence(items) if items.is_empty() => self.out.push_str(" []\n"),
            Kind::Mapping(_) | Kind::Sequence(_) => {
                self.out.push('\n');
                let inner = if matches!(node.kind, Kind::Mapping(_)) { indent + 2 } else { indent };
                self.out.extend(std::iter::repeat_n(' ', inner));
                self.block(node, inner);
            }
            Kind::Scalar { .. } => {
                self.out.push(' ');
                self.block(node, indent);
            }
        }
    }

    fn item(&mut self, item: &Rc<Node>, indent: usize) {
        let key = self.path.last().map(String::as_str).unwrap_or_default();
        match &item.kind {
            Kind::Scalar { text, .. } if self.hides(key, text) => self.out.push_str(&format!("{SECRET}\n")),
            Kind::Mapping(entries) if entries.is_empty() => self.out.push_str("{}\n"),
            Kind::Sequence(items) if items.is_empty() => self.out.push_str("[]\n"),
            _ => self.block(item, indent),
        }
    }

    /// Whether a value is a secret, by its key and by those above it.
    fn hides(&self, key: &str, text: &str) -> bool {
        let secret = has_credentials(text) || self.is_secret(key);
        secret && (self.clients || !is_reference(text))
    }

    /// Whether the values of a key are secrets. Alertmanager's clients want an address where one is none: theirs are
    /// hidden where Alertmanager hides them.
    fn is_secret(&self, key: &str) -> bool {
        let within = |section: &str| self.path.iter().any(|above| above == section);
        match key {
            "api_url" if self.clients => within("slack_configs"),
            "url" if self.clients => within("webhook_configs"),
            "slack_api_url" => true,
            _ if self.clients && self.path == ["global", key] && key.ends_with("_api_url") => false,
            // What stands there is called as somebody likes.
            _ if within("proxy_connect_header") || within("channel_configs") && within("settings") => true,
            // Names and their passwords or secrets.
            _ if self.path.iter().rev().nth(1).is_some_and(|above| above == "basic" || above == "secrets") => true,
            _ => names_secret(key),
        }
    }

    fn leaves_out(&self, entry: &Entry) -> bool {
        let key = entry.key.as_str();
        let section = self.path.first().map(String::as_str);
        let added = |key: &str| ADDED.contains(&key);
        self.clients
            && match (section, self.path.len()) {
                (None, _) => !SECTIONS.contains(&key),
                (Some("receivers"), 1) => key == "channel_configs",
                (Some("receivers"), 2) => added(key),
                (Some(section @ ("route" | "inhibit_rules")), _) => {
                    let added = added(key) || section == "route" && key == "name";
                    added && self.path.last().is_none_or(|last| last != "labels")
                }
                _ => false,
            }
    }
}

/// Whether a text is an address with a user in it, whose name or password is a secret.
fn has_credentials(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    authority.is_some_and(|authority| authority.contains('@'))
}

/// A scalar that is read back as the same: plain where it was, else quoted.
fn scalar(text: &str, style: Style) -> String {
    let plain = style == Style::Plain && !text.contains(['\n', '#']) && !text.contains(": ") && !text.ends_with(':');
    let opens =
        text.starts_with(['[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ',', '?', '-']);
    let number = text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if plain && (!opens || number) {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# What the team agreed on.\n\
        server: {listen: ':1', auth: {bearer_tokens: [t0ken], basic: {ops: pw, ada: {password: pw}}}}\n\
        global: {http_config: {proxy_url: 'http://u:pw@proxy:3128/'}, slack_api_url: 'https://hooks/x', jira_api_url: 'https://jira/'}\n\
        route: {receiver: a, name: r, group_by: ['...'], repeat: exact, routes: [{matchers: ['a=\"b\"', c=~d], labels: {repeat: x, name: y}}]}\n\
        inhibit_rules: [{sources: [{matchers: [a=b]}], target_matchers: [c=d]}, {source_matchers: [a=b]}]\n\
        receivers:\n- name: a\n  slack_configs:\n  - api_url: ${HOOK}\n    channel: '#a'\n    text: |\n      one\n      two\n    \
        signing_secret: pw\n  opsgenie_configs: [{api_key: pw, api_url: 'https://opsgenie/', details: {}}]\n  \
        webhook_configs: [{url: 'http://h/pw', send_resolved: true, max_alerts: 3}]\n  channel_configs: [{channel: own}]\n";

    #[test]
    fn a_configuration_is_shown_without_its_secrets() {
        let shown = shown(TEXT);
        for secret in ["t0ken", "pw", "hooks", "u:"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        for kept in
            ["api_url: ${HOOK}", "\"one\\ntwo\\n\"", "repeat: exact", "- \"...\"", "details: {}", "max_alerts: 3"]
        {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        assert_eq!(super::shown(&shown), shown, "it is YAML that says the same");
    }

    /// Each of these says `real` where a secret stands.
    #[test]
    fn secrets_go_by_where_they_stand_and_not_by_what_they_look_like() {
        for text in [
            "global: {http_config: {proxy_url: 'http://proxy', proxy_connect_header: {X-Any: [real], Y: real}}}",
            "global: {http_config: {proxy_url: 'http://real@proxy'}}",
            "receivers: [{telegram_configs: [{bot_token: '${TOKEN:-123:real}'}]}]",
            "receivers: [{telegram_configs: [{bot_token: '${PREFIX}real'}]}]",
            "receivers: [{telegram_configs: [{bot_token: '${A}real${B}'}]}]",
            "receivers: [{rocketchat_configs: [{token_id: real}]}]",
            "receivers: [{channel_configs: [{channel: own, settings: {any: real, list: [real], map: {any: real}}}]}]",
            "global: {http_config: {http_headers: {X: {secrets: real}}}}",
            "channels: [{requests: [{headers: {Authorization: Bearer real, X-Api-Key: real}}]}]",
            "server: {auth: {bearer_tokens: [{token: real, role: viewer}], basic: {ada: {password: real}}}}",
            "rules: {paths: ['https://ada:real@host/rules.yml']}",
        ] {
            let (shown, clients) = (shown(text), shown_to_alertmanagers_clients(text));
            assert!(shown.contains(SECRET) && !shown.contains("real") && !clients.contains("real"), "{shown}{clients}");
        }
        let text =
            "a: {token: '${NAME}', password: '${P}', url: ' ${URL} ', tokens: ['${T}'], basic: {ada: {role: viewer}}}";
        assert!(!shown(text).contains(SECRET), "{}", shown(text));
    }

    #[test]
    fn alertmanagers_clients_are_shown_what_alertmanager_knows() {
        let shown = shown_to_alertmanagers_clients(TEXT);
        let expected = "global:\n  http_config:\n    proxy_url: <secret>\n  slack_api_url: <secret>\n  jira_api_url: \"https://jira/\"\n\
            route:\n  receiver: a\n  group_by:\n  - \"...\"\n  routes:\n  - matchers:\n    - \"a=\\\"b\\\"\"\n    - c=~d\n    \
            labels:\n      repeat: x\n      name: y\ninhibit_rules:\n- source_matchers:\n  - a=b\nreceivers:\n- name: a\n  slack_configs:\n  \
            - api_url: <secret>\n    channel: \"#a\"\n    text: \"one\\ntwo\\n\"\n  opsgenie_configs:\n  \
            - api_key: <secret>\n    api_url: \"https://opsgenie/\"\n    details: {}\n  webhook_configs:\n  \
            - url: <secret>\n    send_resolved: true\n    max_alerts: 3\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_cannot_be_read_is_shown_line_by_line() {
        let shown = shown("route: [\n  password: pw\n");
        assert!(shown.contains("route: [") && !shown.contains("pw"), "{shown}");
    }
}
