//! Escaping by place, as html/template does it: the literal text that was written so far decides how a value is escaped.
//!
//! Known places: element content, titles and text areas, attribute values (quoted or not, URLs apart), scripts, styles and
//! comments. Unlike html/template this looks at the text as it is written and not at the template beforehand, so
//! branches that end in different places are not an error.

use crate::functions::{html_escape, js_escape};
use crate::value::{Safe, Value};

/// Follows the output and escapes values.
#[derive(Debug, Default)]
pub(super) struct Escaper {
    place: HtmlPlace,
    /// The element whose tag is being read, in lower case.
    element: String,
    /// The attribute that is being read, in lower case.
    attribute: String,
    /// For URLs: what of it was written so far.
    url: String,
    /// The last characters, to see the ends of comments and raw elements.
    tail: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HtmlPlace {
    #[default]
    Content,
    TagName,
    Tag,
    AttributeName,
    AfterName,
    BeforeValue,
    Value(Option<char>),
    /// Inside `title` or `textarea`, where only the end tag is markup.
    Title,
    Script,
    Style,
    Comment,
}

impl Escaper {
    /// Writes literal text of the template, without its comments. What looks like the beginning of a tag and is none
    /// becomes a character.
    pub(super) fn text(&mut self, out: &mut String, text: &str) {
        for (at, c) in text.char_indices() {
            let rest = &text[at + c.len_utf8()..];
            match self.place {
                HtmlPlace::Content if c == '<' && rest.starts_with("!--") => {
                    self.tail.clear();
                    self.place = HtmlPlace::Comment;
                }
                HtmlPlace::Content if c == '<' && !opens_tag(rest) => out.push_str("&lt;"),
                HtmlPlace::Comment => self.next(c),
                _ => {
                    self.next(c);
                    out.push(c);
                }
            }
        }
    }

    /// Takes note of what was written.
    fn literal(&mut self, text: &str) {
        for c in text.chars() {
            self.next(c);
        }
    }

    fn next(&mut self, c: char) {
        use HtmlPlace::{
            AfterName, AttributeName, BeforeValue, Comment, Content, Script, Style, Tag, TagName, Title, Value,
        };
        self.place = match self.place {
            Content if self.tail == "<" && (c.is_ascii_alphabetic() || c == '/') => {
                self.element.clear();
                self.element.push(c.to_ascii_lowercase());
                TagName
            }
            Content => {
                self.tail(c, 4);
                if self.tail == "<!--" {
                    Comment
                } else {
                    if c == '<' {
                        "<".clone_into(&mut self.tail);
                    } else if !"<!--".starts_with(&self.tail) {
                        self.tail.clear();
                    }
                    Content
                }
            }
            Comment => {
                self.tail(c, 3);
                if self.tail == "-->" { self.content() } else { Comment }
            }
            TagName | Tag | AttributeName | AfterName if c == '>' => self.after_tag(),
            TagName if c.is_whitespace() || c == '/' => Tag,
            TagName => {
                self.element.push(c.to_ascii_lowercase());
                TagName
            }
            Tag if c.is_whitespace() || c == '/' => Tag,
            AfterName if c.is_whitespace() => AfterName,
            AttributeName | AfterName if c == '=' => BeforeValue,
            AttributeName if c.is_whitespace() => AfterName,
            AttributeName => {
                self.attribute.push(c.to_ascii_lowercase());
                AttributeName
            }
            Tag | AfterName => {
                self.attribute.clear();
                self.attribute.push(c.to_ascii_lowercase());
                AttributeName
            }
            BeforeValue if c.is_whitespace() => BeforeValue,
            BeforeValue if c == '>' => self.after_tag(),
            BeforeValue => {
                self.url.clear();
                if c == '"' || c == '\'' {
                    Value(Some(c))
                } else {
                    self.url.push(c);
                    Value(None)
                }
            }
            Value(Some(quote)) if c == quote => Tag,
            Value(None) if c.is_whitespace() => Tag,
            Value(None) if c == '>' => self.after_tag(),
            Value(quote) => {
                self.url.push(c);
                Value(quote)
            }
            place @ (Title | Script | Style) => {
                let end = format!("</{}", self.element);
                self.tail(c.to_ascii_lowercase(), end.len());
                if self.tail == end {
                    self.element = format!("/{}", self.element);
                    TagName
                } else {
                    place
                }
            }
        };
    }

    fn tail(&mut self, c: char, length: usize) {
        self.tail.push(c);
        while self.tail.chars().count() > length {
            self.tail.remove(0);
        }
    }

    fn content(&mut self) -> HtmlPlace {
        self.tail.clear();
        HtmlPlace::Content
    }

    fn after_tag(&mut self) -> HtmlPlace {
        self.tail.clear();
        match self.element.as_str() {
            "title" | "textarea" => HtmlPlace::Title,
            "script" => HtmlPlace::Script,
            "style" => HtmlPlace::Style,
            _ => HtmlPlace::Content,
        }
    }

    /// Writes a printed value.
    pub(super) fn value(&mut self, out: &mut String, value: &Value, text: &str) {
        match self.place {
            HtmlPlace::Content => match value {
                Value::Safe(Safe::Html, _) => {
                    self.literal(text);
                    out.push_str(text);
                }
                _ => out.push_str(&escape(text)),
            },
            HtmlPlace::Title => out.push_str(&escape(text)),
            HtmlPlace::Value(_) | HtmlPlace::BeforeValue => {
                if self.place == HtmlPlace::BeforeValue {
                    self.url.clear();
                    self.place = HtmlPlace::Value(None);
                }
                let written = if self.is_url() { self.in_url(value, text) } else { text.to_owned() };
                self.url.push_str(&written);
                out.push_str(&self.attribute_value(&written, value));
            }
            HtmlPlace::Script => match value {
                Value::Text(_) | Value::Safe(..) => out.push_str(&format!("\"{}\"", js_escape(text))),
                Value::Int(_) | Value::Byte(_) | Value::Float(_) | Value::Bool(_) => out.push_str(text),
                Value::Nil => out.push_str("null"),
                _ => out.push_str(&format!("\"{}\"", js_escape(text))),
            },
            HtmlPlace::Style => out.push_str(&style(text)),
            HtmlPlace::Comment => {}
            // A value that makes up a tag or attribute name is refused as html/template refuses it.
            HtmlPlace::TagName | HtmlPlace::Tag | HtmlPlace::AttributeName | HtmlPlace::AfterName => {
                let harmless = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                let written = if harmless { text } else { "ZgotmplZ" };
                self.literal(written);
                out.push_str(written);
            }
        }
    }

    fn is_url(&self) -> bool {
        matches!(
            self.attribute.as_str(),
            "href"
                | "src"
                | "action"
                | "formaction"
                | "cite"
                | "background"
                | "poster"
                | "data"
                | "longdesc"
                | "manifest"
                | "profile"
                | "usemap"
                | "codebase"
                | "classid"
                | "archive"
                | "icon"
        )
    }

    /// A value inside a URL: the scheme is filtered, queries are encoded, the rest is made valid.
    fn in_url(&self, value: &Value, text: &str) -> String {
        if matches!(value, Value::Safe(Safe::Url, _)) {
            return normalize_url(text);
        }
        if self.url.contains(['?', '#']) {
            return encode_url(text, |_| false);
        }
        if self.url.trim().is_empty() {
            let before_colon = text.split_once(':').map(|(scheme, _)| scheme);
            let known = ["http", "https", "mailto"];
            if let Some(scheme) = before_colon
                && !scheme.contains('/')
                && !known.iter().any(|k| scheme.eq_ignore_ascii_case(k))
            {
                return "#ZgotmplZ".to_owned();
            }
        }
        normalize_url(text)
    }

    fn attribute_value(&self, text: &str, value: &Value) -> String {
        let escaped = match value {
            // It may hold entities already.
            Value::Safe(Safe::Html, _) => escape(&without_tags(text)).replace("&amp;", "&"),
            _ => escape(text),
        };
        if self.place != HtmlPlace::Value(None) {
            return escaped;
        }
        if escaped.is_empty() {
            return "ZgotmplZ".to_owned();
        }
        // Without quotes a space or a quote would end the value, and without a value the next attribute would be it.
        let mut out = String::with_capacity(escaped.len());
        for c in escaped.chars() {
            match c {
                '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '=' | '`' => out.push_str(&format!("&#{};", c as u32)),
                c => out.push(c),
            }
        }
        out
    }
}

/// Whether a tag or a document type begins, by what stands behind the `<`.
fn opens_tag(rest: &str) -> bool {
    let name = rest.strip_prefix('/').unwrap_or(rest);
    let is_type = rest.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("!doctype"));
    name.starts_with(|c: char| c.is_ascii_alphabetic()) || is_type
}

/// As html/template escapes: also the plus sign, which some old browsers read as the start of an encoding.
fn escape(text: &str) -> String {
    html_escape(text).replace('+', "&#43;")
}

fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// Encodes what may not stand in a URL and leaves what may.
fn normalize_url(text: &str) -> String {
    encode_url(text, |rest| match rest[0] {
        b'%' => rest.get(1..3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)),
        byte => b"!#$&*+,/:;=?@[]".contains(&byte),
    })
}

/// Encodes all but letters, digits, `-._~`, and what is kept by what stands from it on.
fn encode_url(text: &str, kept: impl Fn(&[u8]) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept(&bytes[i..]) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

/// Only what cannot leave a CSS value.
fn style(text: &str) -> String {
    let harmless = text.chars().all(|c| c.is_ascii_alphanumeric() || " #.%-_,+".contains(c));
    let lower = text.to_ascii_lowercase();
    if harmless && !lower.contains("expression") && !lower.contains("mozbinding") {
        text.to_owned()
    } else {
        "ZgotmplZ".to_owned()
    }
}
