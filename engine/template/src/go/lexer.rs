//! Cuts template text into tokens.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Bool,
    /// A printable ASCII character that is nothing else, such as a comma.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelimiter,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    /// Whether it is a word of the language.
    fn is_keyword(self) -> bool {
        use Kind::{Block, Break, Continue, Define, Dot, Else, End, If, Nil, Range, Template, With};
        matches!(self, Block | Break | Continue | Dot | Define | Else | End | If | Nil | Range | Template | With)
    }
}

/// One token: where it starts, on which line, and its text (for errors their message).
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl std::fmt::Display for Token {
    /// As error messages show it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            kind if kind.is_keyword() => write!(f, "<{}>", self.text),
            _ if self.text.len() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                write!(f, "{}...", super::quote::quote(&start, false))
            }
            _ => f.write_str(&super::quote::quote(&self.text, false)),
        }
    }
}

/// The lexer: hands out one token at a time.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    start: usize,
    line: usize,
    start_line: usize,
    parens: usize,
    inside_action: bool,
    failed: bool,
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn has_left_trim(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES))
}

fn has_right_trim(text: &str) -> bool {
    text.strip_prefix(SPACES).is_some_and(|rest| rest.starts_with('-'))
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, at: 0, start: 0, line: 1, start_line: 1, parens: 0, inside_action: false, failed: false }
    }

    /// The next token; after the end and after an error always [`Kind::Eof`].
    pub(crate) fn next_token(&mut self) -> Token {
        if self.failed {
            return Token { kind: Kind::Eof, at: self.at, line: self.start_line, text: "EOF".to_owned() };
        }
        if self.inside_action { self.inside() } else { self.outside() }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, kind: Kind) -> Token {
        let text = self.text[self.start..self.at].to_owned();
        let token = Token { kind, at: self.start, line: self.start_line, text };
        self.start = self.at;
        self.start_line = self.line;
        token
    }

    /// Moves on without a token.
    fn skip(&mut self, bytes: usize) {
        self.line += self.rest()[..bytes].matches('\n').count();
        self.at += bytes;
        self.start = self.at;
        self.start_line = self.line;
    }

    fn error(&mut self, message: impl Into<String>) -> Token {
        self.failed = true;
        Token { kind: Kind::Error, at: self.start, line: self.start_line, text: message.into() }
    }

    fn outside(&mut self) -> Token {
        loop {
            let Some(found) = self.rest().find("{{") else {
                if self.rest().is_empty() {
                    return self.take(Kind::Eof);
                }
                self.line += self.rest().matches('\n').count();
                self.at = self.text.len();
                return self.take(Kind::Text);
            };
            if found > 0 {
                let whole = &self.rest()[..found];
                let trims = has_left_trim(&self.rest()[found + 2..]);
                let kept = if trims { whole.trim_end_matches(SPACES).len() } else { found };
                self.line += whole[..kept].matches('\n').count();
                self.at += kept;
                let token = self.take(Kind::Text);
                self.skip(found - kept);
                if !token.text.is_empty() {
                    return token;
                }
            }
            // At the left delimiter.
            let trims = has_left_trim(&self.rest()[2..]);
            let marker = if trims { 2 } else { 0 };
            if !self.rest()[2 + marker..].starts_with("/*") {
                self.at += 2;
                let token = self.take(Kind::LeftDelimiter);
                self.inside_action = true;
                self.parens = 0;
                self.skip(marker);
                return token;
            }
            self.skip(2 + marker);
            let Some(end) = self.rest()[2..].find("*/") else {
                return self.error("unclosed comment");
            };
            let after = &self.rest()[2 + end + 2..];
            let (delimiter, trims) = right_delimiter(after);
            if !delimiter {
                return self.error("comment ends before closing delimiter");
            }
            self.skip(2 + end + 2 + if trims { 4 } else { 2 });
            if trims {
                let rest = self.rest();
                self.skip(rest.len() - rest.trim_start_matches(SPACES).len());
            }
        }
    }

    fn close(&mut self, trims: bool) -> Token {
        if trims {
            self.skip(2);
        }
        self.at += 2;
        let token = self.take(Kind::RightDelimiter);
        if trims {
            let rest = self.rest();
            self.skip(rest.len() - rest.trim_start_matches(SPACES).len());
        }
        self.inside_action = false;
        token
    }

    fn inside(&mut self) -> Token {
        let (delimiter, trims) = right_delimiter(self.rest());
        if delimiter {
            return if self.parens == 0 { self.close(trims) } else { self.error("unclosed left paren") };
        }
        let Some(c) = self.peek() else {
            return self.error("unclosed action");
        };
        match c {
            c if is_space(c) => self.space(),
            '=' => self.single(Kind::Assign),
            ':' => {
                self.next_char();
                if self.next_char() == Some('=') { self.take(Kind::Declare) } else { self.error("expected :=") }
            }
            '|' => self.single(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => {
                self.next_char();
                loop {
                    match self.next_char() {
                        None => return self.error("unterminated raw quoted string"),
                        Some('`') => return self.take(Kind::RawString),
                        Some(_) => {}
                    }
                }
            }
            '$' => {
                self.next_char();
                self.name(Kind::Variable, Kind::Variable)
            }
            // At the very end it is a number to Go, and none.
            '.' if self.rest()[1..].starts_with(|c: char| !c.is_ascii_digit()) => {
                self.next_char();
                self.name(Kind::Field, Kind::Dot)
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            c if is_word(c) => self.identifier(),
            '(' => {
                self.parens += 1;
                self.single(Kind::LeftParen)
            }
            ')' if self.parens == 0 => {
                self.next_char();
                self.error("unexpected right paren")
            }
            ')' => {
                self.parens -= 1;
                self.single(Kind::RightParen)
            }
            c if c.is_ascii_graphic() => self.single(Kind::Char),
            c => {
                self.next_char();
                self.error(format!("unrecognized character in action: {}", unicode(Some(c))))
            }
        }
    }

    fn single(&mut self, kind: Kind) -> Token {
        self.next_char();
        self.take(kind)
    }

    fn space(&mut self) -> Token {
        let mut count = 0;
        while self.peek().is_some_and(is_space) {
            // The last space may belong to a trim marker and is then not ours.
            if has_right_trim(self.rest()) && self.rest()[2..].starts_with("}}") {
                break;
            }
            self.next_char();
            count += 1;
        }
        if count == 0 { self.close(true) } else { self.take(Kind::Space) }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Token {
        self.next_char();
        loop {
            let c = self.next_char();
            let escaped = if c == Some('\\') { self.next_char() } else { Some(' ') };
            if matches!(c, None | Some('\n')) || matches!(escaped, None | Some('\n')) {
                return self.error(unterminated);
            }
            if c == Some(quote) {
                return self.take(kind);
            }
        }
    }

    /// What follows a `.` or `$`.
    fn name(&mut self, kind: Kind, alone: Kind) -> Token {
        if self.at_terminator() {
            return self.take(alone);
        }
        while self.peek().is_some_and(is_word) {
            self.next_char();
        }
        if self.at_terminator() { self.take(kind) } else { self.bad_character() }
    }

    fn bad_character(&mut self) -> Token {
        let c = self.peek();
        self.error(format!("bad character {}", unicode(c)))
    }

    fn identifier(&mut self) -> Token {
        while self.peek().is_some_and(is_word) {
            self.next_char();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.text[self.start..self.at] {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.take(kind)
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with("}}"),
        }
    }

    fn number(&mut self) -> Token {
        if !self.scan_number() {
            return self.bad_number();
        }
        if self.peek().is_some_and(|c| c == '+' || c == '-') {
            if !self.scan_number() || !self.text[..self.at].ends_with('i') {
                return self.bad_number();
            }
            return self.take(Kind::Complex);
        }
        self.take(Kind::Number)
    }

    fn bad_number(&mut self) -> Token {
        let text = super::quote::quote(&self.text[self.start..self.at], false);
        self.error(format!("bad number syntax: {text}"))
    }

    fn accept(&mut self, valid: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| valid.contains(c));
        if accepted {
            self.next_char();
        }
        accepted
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        while self.accept(digits) {}
        if self.accept(".") {
            while self.accept(digits) {}
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            while self.accept("0123456789_") {}
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.next_char();
            return false;
        }
        true
    }
}

/// Whether a right delimiter comes next, and whether it trims.
fn right_delimiter(text: &str) -> (bool, bool) {
    if has_right_trim(text) && text[2..].starts_with("}}") {
        return (true, true);
    }
    (text.starts_with("}}"), false)
}

/// `%#U`
fn unicode(c: Option<char>) -> String {
    match c {
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
        Some(c) if super::quote::is_printable(c) => format!("U+{:04X} '{c}'", c as u32),
        Some(c) => format!("U+{:04X}", c as u32),
    }
}
