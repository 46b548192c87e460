//! Stand-ins: what a formatter gets in the place of the secrets that its receiver grants.
//!
//! A stand-in becomes the secret where it stands in a request of the plugin's own. Whoever knows one and writes a text of
//! the alerts could ask for the secret, so it is made for one call, of random bytes, and is worth nothing in the next. What
//! is kept of a call and told of it has in its place a word made of the secret's name alone, equally long, so that a limit
//! cuts both alike: a replay, which gets these words, gives the same answer, byte by byte.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::{Message, MessageGroup, PluginError};

/// With what every stand-in begins.
const BEGIN: &str = "secret-";
/// Random bytes of a stand-in.
const RANDOM: usize = 16;
/// Bytes of a stand-in, and of what is shown of it.
const BYTES: usize = BEGIN.len() + 2 * RANDOM;
/// How much of a stand-in is taken for one, as texts may be cut: fewer letters stand in other texts too.
const FOUND_MIN: usize = BEGIN.len() + 5;

/// A word that no text has by accident and nobody can guess, if the bytes are random.
pub fn stand_in(random: [u8; RANDOM]) -> String {
    random.iter().fold(BEGIN.to_owned(), |word, byte| format!("{word}{byte:02x}"))
}

/// The stand-ins of one call, which nobody but the plugin may see.
#[derive(Clone, Default)]
pub struct StandIns(Vec<StandIn>);

#[derive(Clone)]
struct StandIn {
    name: String,
    word: String,
    shown: String,
}

impl StandIns {
    /// For a group's secrets. Words that [`stand_in`] did not make, such as those of an author's cases, are nothing to be
    /// hidden.
    pub fn of(secrets: &BTreeMap<String, String>) -> StandIns {
        let is_made = |word: &str| {
            let hexadecimal = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            word.len() == BYTES && word.strip_prefix(BEGIN).is_some_and(hexadecimal)
        };
        let made = secrets.iter().filter(|(_, word)| is_made(word));
        let made = made.map(|(name, word)| StandIn { name: name.clone(), word: word.clone(), shown: shown(name) });
        StandIns(made.collect())
    }

    /// The name of a secret whose stand-in is in a text.
    pub fn find(&self, text: &str) -> Option<&str> {
        self.0.iter().find(|one| text.contains(&one.word)).map(|one| one.name.as_str())
    }

    /// A text as others may see it.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let hide = |text: Cow<'t, str>, one: &StandIn| one.hidden(&text).map_or(text, Cow::Owned);
        self.0.iter().fold(Cow::Borrowed(text), hide)
    }

    /// A failure as others may see it.
    pub fn error(&self, error: PluginError) -> PluginError {
        let text = |text: String| self.text(&text).into_owned();
        match error {
            _ if self.0.is_empty() => error,
            PluginError::InvalidConfig { path, message } => {
                PluginError::InvalidConfig { path: text(path), message: text(message) }
            }
            PluginError::BadInput(why) => PluginError::BadInput(text(why)),
            PluginError::Unsupported(why) => PluginError::Unsupported(text(why)),
            PluginError::Internal(why) => PluginError::Internal(text(why)),
            PluginError::Trap(why) => PluginError::Trap(text(why)),
            PluginError::InvalidOutput(why) => PluginError::InvalidOutput(text(why)),
            // These the host says without having asked the plugin, or of numbers alone.
            PluginError::Compiling(_)
            | PluginError::Suspended(_)
            | PluginError::Timeout { .. }
            | PluginError::LimitExceeded { .. } => error,
        }
    }

    /// What the plugin was given as others may see it. The texts of the alerts were there before the stand-ins were made.
    pub fn group(&self, group: &MessageGroup) -> MessageGroup {
        let mut group = group.clone();
        for one in &self.0 {
            group.secrets.insert(one.name.clone(), one.shown.clone());
        }
        group
    }

    /// What the plugin answered as others may see it.
    pub fn message(&self, message: &Message) -> Message {
        let mut message = message.clone();
        if self.0.is_empty() {
            return message;
        }
        let Message { title, content_type, body, headers, dedup_key, target } = &mut message;
        let headers = headers.iter_mut().flat_map(|(name, value)| [name, value]);
        let url = target.as_mut().map(|target| &mut target.url);
        for text in [title, content_type, body].into_iter().chain(headers).chain(dedup_key).chain(url) {
            if let Cow::Owned(hidden) = self.text(text) {
                *text = hidden;
            }
        }
        message
    }
}

impl std::fmt::Debug for StandIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|one| &one.name)).finish()
    }
}

impl StandIn {
    /// A text without it, if it or its beginning is in it.
    fn hidden(&self, text: &str) -> Option<String> {
        let beginning = &self.word[..FOUND_MIN];
        let mut at = text.find(beginning)?;
        let (mut hidden, mut rest) = (String::with_capacity(text.len()), text);
        loop {
            let same = rest.bytes().skip(at).zip(self.word.bytes()).take_while(|(a, b)| a == b).count();
            hidden.extend([&rest[..at], &self.shown[..same]]);
            rest = &rest[at + same..];
            let Some(next) = rest.find(beginning) else { break };
            at = next;
        }
        hidden.push_str(rest);
        Some(hidden)
    }
}

/// What is seen in the place of a stand-in, of the same letters. That two long names may share a word does no harm: nothing
/// is put in its place.
fn shown(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let word: String = BEGIN.chars().chain("of-".chars()).chain(plain).chain(['-']).take(BYTES).collect();
    format!("{word:0<BYTES$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_has_the_word_of_the_name_wherever_a_stand_in_stood() {
        let live = [("token", 7), ("a_very_long_name_of_a_secret_indeed", 0xab)];
        let live = live.map(|(name, byte)| (name.to_owned(), stand_in([byte; 16])));
        let of_case = ("own".to_owned(), "secret-word".to_owned());
        let stand_ins = StandIns::of(&live.iter().cloned().chain([of_case]).collect());
        let [(_, token), (_, long)] = &live;
        let mut told = String::new();
        for text in [
            "nothing, secret-word, secret-0707, secret-07-and-so-on".to_owned(),
            format!("{token}{long}/{token}"),
            format!("cut {}…", &token[..20]),
            format!("secret-{token}é"),
        ] {
            let seen = stand_ins.text(&text);
            assert_eq!(seen.len(), text.len());
            assert_eq!(stand_ins.find(&text).is_some(), text.contains(token.as_str()));
            told.push_str(&format!("{seen}\n"));
        }
        let expected = "\
            nothing, secret-word, secret-0707, secret-07-and-so-on\n\
            secret-of-token-00000000000000000000000secret-of-a-very-long-name-of-a-secret-/secret-of-token-00000000000000000000000\n\
            cut secret-of-token-0000…\n\
            secret-secret-of-token-00000000000000000000000é\n";
        assert_eq!(told, expected);
        assert!(!format!("{stand_ins:?}").contains("0707"));
    }
}
