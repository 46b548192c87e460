//! Text to tokens. What a letter means depends on where it stands: inside braces there are no keywords, inside brackets
//! only the words of duration arithmetic.

use super::ast::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Eof,
    /// The text cannot be read further; the lexer keeps the message.
    Error,
    Identifier,
    /// An identifier with a colon, which can only be a metric's name.
    MetricIdentifier,
    String,
    Number,
    Duration,
    /// A reserved word, in lower case.
    Word(&'static str),
    /// Everything made of signs.
    Sign(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

const KEYWORDS: &[&str] = &[
    "and",
    "or",
    "unless",
    "atan2",
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
    "offset",
    "smoothed",
    "anchored",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "fill",
    "fill_left",
    "fill_right",
    "bool",
    "start",
    "end",
    "step",
    "range",
    "max_of",
    "min_of",
];

const DURATION_WORDS: &[&str] = &["step", "range", "max_of", "min_of"];

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn word_in(list: &'static [&'static str], word: &str) -> Option<&'static str> {
    list.iter().find(|k| k.eq_ignore_ascii_case(word)).copied()
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
    /// The byte that `line` and `column` belong to.
    located: usize,
    line: u32,
    column: u32,
    parentheses: i32,
    in_braces: bool,
    in_brackets: bool,
    colon_seen: bool,
    duration_seen: bool,
    /// Whether the token before decides that signs are read as duration arithmetic.
    pub(super) error: Option<String>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer {
            text,
            position: 0,
            located: 0,
            line: 1,
            column: 1,
            parentheses: 0,
            in_braces: false,
            in_brackets: false,
            colon_seen: false,
            duration_seen: false,
            error: None,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, accepted: impl Fn(char) -> bool) -> bool {
        let fits = self.peek().is_some_and(accepted);
        if fits {
            self.next();
        }
        fits
    }

    fn skip(&mut self, accepted: impl Fn(char) -> bool) {
        while self.accept(&accepted) {}
    }

    fn token(&mut self, kind: Kind, start: usize) -> Token {
        let end = self.position;
        Token { kind, span: self.span(start, end) }
    }

    /// Tokens come in the order of the text, so that lines and columns are counted once over the whole of it.
    fn span(&mut self, start: usize, end: usize) -> Span {
        for c in self.text[self.located..start].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.located = start;
        Span { start, end, line: self.line, column: self.column }
    }

    fn fail(&mut self, start: usize, message: impl Into<String>) -> Token {
        self.error = Some(message.into());
        let end = self.text.len();
        Token { kind: Kind::Error, span: self.span(start, end) }
    }

    pub(super) fn token_next(&mut self) -> Token {
        loop {
            self.skip(is_space);
            if self.peek() != Some('#') || self.in_brackets {
                break;
            }
            self.skip(|c| c != '\n' && c != '\r');
        }
        if self.in_braces {
            self.inside_braces()
        } else if self.in_brackets {
            self.inside_brackets()
        } else {
            self.statement()
        }
    }

    fn statement(&mut self) -> Token {
        let start = self.position;
        let Some(c) = self.next() else {
            if self.parentheses != 0 {
                return self.fail(start, "unclosed left parenthesis");
            }
            return self.token(Kind::Eof, start);
        };
        let sign = match c {
            ',' => ",",
            '*' => "*",
            '/' => "/",
            '%' => "%",
            '+' => "+",
            '-' => "-",
            '^' => "^",
            '@' => "@",
            '=' => match self.peek() {
                Some('=') => {
                    self.next();
                    "=="
                }
                Some('~') => return self.fail(start, "unexpected character after '=': '~'"),
                _ => "=",
            },
            '!' => {
                if !self.accept(|c| c == '=') {
                    let found = quoted_char(self.peek());
                    return self.fail(start, format!("unexpected character after '!': {found}"));
                }
                "!="
            }
            '<' if self.accept(|c| c == '=') => "<=",
            '<' if self.accept(|c| c == '/') => "</",
            '<' => "<",
            '>' if self.accept(|c| c == '=') => ">=",
            '>' if self.accept(|c| c == '/') => ">/",
            '>' => ">",
            '(' => {
                self.parentheses += 1;
                "("
            }
            ')' => {
                self.parentheses -= 1;
                if self.parentheses < 0 {
                    return self.fail(start, "unexpected right parenthesis ')'");
                }
                ")"
            }
            '{' => {
                self.in_braces = true;
                "{"
            }
            '[' => {
                self.in_brackets = true;
                self.colon_seen = false;
                self.duration_seen = false;
                "["
            }
            ']' => return self.fail(start, "unexpected right bracket ']'"),
            '"' | '\'' | '`' => return self.string(c, start),
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) => {
                return self.number_or_duration(start);
            }
            c if is_alpha(c) || c == ':' => return self.word(start),
            c => return self.fail(start, format!("unexpected character: {}", quoted_char(Some(c)))),
        };
        self.token(Kind::Sign(sign), start)
    }

    fn inside_braces(&mut self) -> Token {
        let start = self.position;
        let Some(c) = self.next() else {
            return self.fail(start, "unexpected end of input inside braces");
        };
        let sign = match c {
            ',' => ",",
            '=' if self.accept(|c| c == '~') => "=~",
            '=' => "=",
            '!' if self.accept(|c| c == '~') => "!~",
            '!' if self.accept(|c| c == '=') => "!=",
            '!' => {
                let found = quoted_char(self.peek());
                return self.fail(start, format!("unexpected character after '!' inside braces: {found}"));
            }
            '{' => return self.fail(start, "unexpected left brace '{'"),
            '}' => {
                self.in_braces = false;
                "}"
            }
            '"' | '\'' | '`' => return self.string(c, start),
            c if is_alpha(c) => {
                self.skip(is_alphanumeric);
                return self.token(Kind::Identifier, start);
            }
            c => return self.fail(start, format!("unexpected character inside braces: {}", quoted_char(Some(c)))),
        };
        self.token(Kind::Sign(sign), start)
    }

    fn inside_brackets(&mut self) -> Token {
        let start = self.position;
        let Some(c) = self.next() else {
            return self.fail(start, "unexpected end of input in duration expression");
        };
        let sign = match c {
            ']' => {
                self.in_brackets = false;
                "]"
            }
            ':' if !self.duration_seen => {
                return self.fail(start, "unexpected colon before duration in duration expression");
            }
            ':' if self.colon_seen => return self.fail(start, "unexpected repeated colon in duration expression"),
            ':' => {
                self.colon_seen = true;
                ":"
            }
            '(' => {
                self.parentheses += 1;
                "("
            }
            ')' => {
                self.parentheses -= 1;
                if self.parentheses < 0 {
                    return self.fail(start, "unexpected right parenthesis ')'");
                }
                ")"
            }
            '+' => "+",
            '-' => "-",
            '*' => "*",
            '/' => "/",
            '%' => "%",
            '^' => "^",
            ',' => ",",
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) => {
                self.duration_seen = true;
                return self.number_or_duration(start);
            }
            c => {
                self.skip(is_alpha);
                if let Some(word) = word_in(DURATION_WORDS, &self.text[start..self.position]) {
                    self.duration_seen = true;
                    return self.token(Kind::Word(word), start);
                }
                let found = quoted_char(Some(c));
                return self.fail(start, format!("unexpected character in duration expression: {found}"));
            }
        };
        self.token(Kind::Sign(sign), start)
    }

    fn word(&mut self, start: usize) -> Token {
        self.skip(|c| is_alphanumeric(c) || c == ':');
        let word = &self.text[start..self.position];
        if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan") {
            return self.token(Kind::Number, start);
        }
        if let Some(keyword) = word_in(KEYWORDS, word) {
            // These came late to the language: they are keywords only where a parenthesis follows.
            let called = self.text[self.position..].trim_start_matches(is_space).starts_with('(');
            if keyword.starts_with("fill") && !called {
                return self.token(Kind::Identifier, start);
            }
            return self.token(Kind::Word(keyword), start);
        }
        let kind = if word.contains(':') { Kind::MetricIdentifier } else { Kind::Identifier };
        self.token(kind, start)
    }

    fn string(&mut self, quote: char, start: usize) -> Token {
        loop {
            match self.next() {
                None if quote == '`' => return self.fail(start, "unterminated raw string"),
                None => return self.fail(start, "unterminated quoted string"),
                Some('\n') if quote != '`' => return self.fail(start, "unterminated quoted string"),
                Some(c) if c == quote => return self.token(Kind::String, start),
                Some('\\') if quote != '`' => {
                    if let Err(message) = self.escape(quote) {
                        return self.fail(start, message);
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), String> {
        let Some(c) = self.next() else {
            return Err("escape sequence not terminated".to_owned());
        };
        let (digits, base, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, 0x0010_ffff),
            'U' => (8, 16, 0x0010_ffff),
            c => return Err(format!("unknown escape sequence U+{:04X} '{c}'", u32::from(c))),
        };
        let mut value: u64 = 0;
        let mut current = if base == 8 { Some(c) } else { self.next() };
        for i in 0..digits {
            let Some(c) = current else {
                return Err("escape sequence not terminated".to_owned());
            };
            let Some(digit) = c.to_digit(base) else {
                return Err(format!("illegal character U+{:04X} '{c}' in escape sequence", u32::from(c)));
            };
            value = value * u64::from(base) + u64::from(digit);
            if i + 1 < digits {
                current = self.next();
            }
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }

    fn number_or_duration(&mut self, start: usize) -> Token {
        self.position = start;
        if self.scan_number() {
            return self.token(Kind::Number, start);
        }
        if self.scan_duration() {
            return self.token(Kind::Duration, start);
        }
        let found = &self.text[start..self.position];
        let message = format!("bad number or duration syntax: {}", super::quote(found));
        self.fail(start, message)
    }

    /// The rest of a duration whose first digits have been read.
    fn scan_duration(&mut self) -> bool {
        let mut units = "smhdwy";
        loop {
            if !self.accept(|c| units.contains(c)) {
                return false;
            }
            self.accept(|c| c == 's');
            if !self.accept(|c| c.is_ascii_digit()) {
                break;
            }
            self.skip(|c| c.is_ascii_digit());
            // Years can only come first.
            units = "smhdw";
        }
        let ended = !self.peek().is_some_and(is_alphanumeric);
        if !ended {
            self.next();
        }
        ended
    }

    /// Reads as far as a number can reach; its value is computed, and may be refused, by the parser.
    fn scan_number(&mut self) -> bool {
        let mut hexadecimal = false;
        if self.accept(|c| c == '0') && self.accept(|c| matches!(c, 'x' | 'X')) {
            self.accept(|c| c == '_');
            hexadecimal = true;
        }
        let digit = move |c: char| if hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let exponent = move |c: char| !hexadecimal && matches!(c, 'e' | 'E');
        let (mut dot_seen, mut exponent_seen) = (self.accept(|c| c == '.'), false);
        self.accept(digit);
        loop {
            if self.peek() == Some('.') {
                self.next();
                if dot_seen || hexadecimal || self.accept(|c| matches!(c, '_' | '.')) {
                    return false;
                }
                dot_seen = true;
            } else if self.peek().is_some_and(exponent) {
                self.next();
                if exponent_seen {
                    return false;
                }
                exponent_seen = true;
                self.accept(|c| matches!(c, '+' | '-'));
                if self.peek().is_none() || self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) {
                    return false;
                }
            } else if self.peek() == Some('_') {
                self.next();
                if self.peek().is_none() || self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) {
                    return false;
                }
            } else if self.accept(digit) {
                self.skip(digit);
            } else {
                break;
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }
}

/// A character in single quotes, or the end of the text.
fn quoted_char(c: Option<char>) -> String {
    c.map_or_else(|| "end of input".to_owned(), |c| format!("{c:?}"))
}

impl Token {
    /// The token as Prometheus names it in "unexpected ...".
    pub(super) fn describe(&self, text: &str) -> String {
        let found = &text[self.span.range()];
        let shown = || {
            if found.chars().count() > 10 {
                let head: String = found.chars().take(10).collect();
                format!("{}...", super::quote(&head))
            } else {
                super::quote(found)
            }
        };
        match self.kind {
            Kind::Eof => "end of input".to_owned(),
            Kind::Error => "error".to_owned(),
            Kind::Identifier => format!("identifier {}", super::quote(found)),
            Kind::MetricIdentifier => format!("metric identifier {}", super::quote(found)),
            Kind::String => format!("string {}", shown()),
            Kind::Number => format!("number {}", shown()),
            Kind::Duration => format!("duration {}", shown()),
            Kind::Word(word) if super::parser::aggregate_op(word).is_some() => format!("<aggr:{found}>"),
            Kind::Word("and" | "or" | "unless" | "atan2") => format!("<op:{found}>"),
            Kind::Word(_) => format!("<{found}>"),
            Kind::Sign(sign) if super::parser::is_operator_sign(sign) => format!("<op:{sign}>"),
            Kind::Sign(sign) => super::quote(sign),
        }
    }
}
