//! Matchers in Alertmanager's two syntaxes: classic (`pkg/labels/parse.go`) and UTF-8 (`matcher/parse`).
//!
//! Both are tried, as Alertmanager does by default: what the UTF-8 parser refuses the classic one may take, and where
//! both take it but differ, the classic one wins, so that an old configuration keeps its meaning.

use thiserror::Error;
use watchfire_model::{Anchoring, MatchOp, Matcher, MatcherBudget, MatcherError, is_reserved_in_matchers};

/// Why a text is not a matcher.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct MatcherSyntaxError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// A matcher before its pattern is compiled: equal texts mean equal matchers.
type Raw = (String, MatchOp, String);

/// One matcher such as `severity=~"critical|page"`, as `amtool` takes it: without braces. In the classic syntax all that
/// follows the operator is the value, also commas.
///
/// # Errors
/// Where and why the text is not exactly one matcher.
pub fn parse_matcher(text: &str) -> Result<Matcher, MatcherSyntaxError> {
    one_compiled(text, |name, op, value| Matcher::new(name, op, value, Anchoring::Alertmanager))
}

/// The same of what a request says, which has a budget for all its matchers.
///
/// # Errors
/// As [`parse_matcher`], and where the budget is used up.
pub fn parse_matcher_within(text: &str, budget: &mut MatcherBudget) -> Result<Matcher, MatcherSyntaxError> {
    one_compiled(text, |name, op, value| Matcher::new_within(name, op, value, Anchoring::Alertmanager, budget))
}

fn one_compiled(
    text: &str,
    compile: impl FnOnce(String, MatchOp, String) -> Result<Matcher, MatcherError>,
) -> Result<Matcher, MatcherSyntaxError> {
    if text.starts_with('{') || text.ends_with('}') {
        let offset = if text.starts_with('{') { 0 } else { text.len() - 1 };
        return Err(error(offset, "unexpected brace; write one matcher without { }"));
    }
    let (name, op, value) = agreed(utf8_one(text), classic_one(text, 0))?;
    compile(name, op, value).map_err(|e| error(0, e.to_string()))
}

/// What both syntaxes say of a text, or one of them.
fn agreed<T>(new: Result<T, MatcherSyntaxError>, old: Result<T, MatcherSyntaxError>) -> Result<T, MatcherSyntaxError> {
    match (new, old) {
        (_, Ok(old)) => Ok(old),
        (new, Err(_)) => new,
    }
}

/// Any number of matchers separated by commas, within braces or without: `{a="1", b!~"2|3"}`.
///
/// # Errors
/// Where and why the text is neither in the classic nor in the UTF-8 syntax.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, MatcherSyntaxError> {
    compiled(text, |name, op, value| Matcher::new(name, op, value, Anchoring::Alertmanager))
}

/// The same of what a request says, which has a budget for all its matchers.
///
/// # Errors
/// As [`parse_matchers`], and where the budget is used up.
pub fn parse_matchers_within(text: &str, budget: &mut MatcherBudget) -> Result<Vec<Matcher>, MatcherSyntaxError> {
    compiled(text, |name, op, value| Matcher::new_within(name, op, value, Anchoring::Alertmanager, budget))
}

fn compiled(
    text: &str,
    mut compile: impl FnMut(String, MatchOp, String) -> Result<Matcher, MatcherError>,
) -> Result<Vec<Matcher>, MatcherSyntaxError> {
    let raw = agreed(utf8(text), classic(text))?;
    raw.into_iter()
        .map(|((name, op, value), offset)| compile(name, op, value).map_err(|e| error(offset, e.to_string())))
        .collect()
}

fn error(offset: usize, message: impl Into<String>) -> MatcherSyntaxError {
    MatcherSyntaxError { offset, message: message.into() }
}

// The UTF-8 syntax.

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    OpenBrace,
    CloseBrace,
    Comma,
    Op(MatchOp),
    Quoted(&'a str),
    Unquoted(&'a str),
    End,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// The next token and where it begins.
    fn next(&mut self) -> Result<(Token<'a>, usize), MatcherSyntaxError> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        let (token, length) = match rest.chars().next() {
            None => (Token::End, 0),
            Some('{') => (Token::OpenBrace, 1),
            Some('}') => (Token::CloseBrace, 1),
            Some(',') => (Token::Comma, 1),
            Some('=') if rest.starts_with("=~") => (Token::Op(MatchOp::Regex), 2),
            Some('=') => (Token::Op(MatchOp::Equal), 1),
            Some('!') if rest.starts_with("!~") => (Token::Op(MatchOp::NotRegex), 2),
            Some('!') if rest.starts_with("!=") => (Token::Op(MatchOp::NotEqual), 2),
            Some('!') => return Err(error(start, "`!` must be followed by `=` or `~`")),
            Some('"') => {
                let length = quoted_length(rest).ok_or_else(|| error(start, "this quote is not closed"))?;
                (Token::Quoted(&rest[..length]), length)
            }
            Some(c) if is_reserved_in_matchers(c) => {
                return Err(error(start, format!("`{c}` is not allowed here; put the text in double quotes")));
            }
            Some(_) => {
                let length = rest.find(is_reserved_in_matchers).unwrap_or(rest.len());
                (Token::Unquoted(&rest[..length]), length)
            }
        };
        self.at = start + length;
        Ok((token, start))
    }

    fn peek(&mut self) -> Result<(Token<'a>, usize), MatcherSyntaxError> {
        let at = self.at;
        let token = self.next();
        self.at = at;
        token
    }
}

fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn utf8(text: &str) -> Result<Vec<(Raw, usize)>, MatcherSyntaxError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut matchers = Vec::new();
    let braced = lexer.peek()?.0 == Token::OpenBrace;
    if braced {
        lexer.next()?;
    }
    loop {
        let (token, start) = lexer.next()?;
        match token {
            Token::End if braced => return Err(error(start, "the closing } is missing")),
            Token::End => return Ok(matchers),
            Token::CloseBrace if !braced => return Err(error(start, "unexpected }: there is no opening {")),
            Token::CloseBrace => break,
            Token::Quoted(_) | Token::Unquoted(_) => {}
            _ => return Err(error(start, "expected a label name")),
        }
        let name = unquote(&token, start)?;
        let op = match lexer.next()? {
            (Token::Op(op), _) => op,
            (_, at) => return Err(error(at, "expected an operator: =, !=, =~ or !~")),
        };
        let value = match lexer.next()? {
            (token @ (Token::Quoted(_) | Token::Unquoted(_)), at) => unquote(&token, at)?,
            (_, at) => return Err(error(at, "expected a value; write \"\" for the empty one")),
        };
        matchers.push(((name, op, value), start));
        match lexer.peek()? {
            (Token::Comma, _) => {
                lexer.next()?;
            }
            (Token::CloseBrace | Token::End, _) => {}
            (_, at) => return Err(error(at, "expected a comma between two matchers")),
        }
    }
    match lexer.next()? {
        (Token::End, _) => Ok(matchers),
        (_, at) => Err(error(at, "expected nothing after the closing }")),
    }
}

fn utf8_one(text: &str) -> Result<Raw, MatcherSyntaxError> {
    let mut matchers = utf8(text)?;
    match (matchers.pop(), matchers.len()) {
        (Some((matcher, _)), 0) => Ok(matcher),
        (None, _) => Err(error(0, "no matcher here; write one like name=\"value\"")),
        (Some(_), more) => Err(error(0, format!("expected one matcher, found {}", more + 1))),
    }
}

/// A token's text; quoted ones have the escapes of a Go string.
fn unquote(token: &Token<'_>, start: usize) -> Result<String, MatcherSyntaxError> {
    let Token::Quoted(quoted) = token else {
        return Ok(if let Token::Unquoted(text) = token { (*text).to_owned() } else { String::new() });
    };
    let inner = &quoted[1..quoted.len() - 1];
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        let at = start + 1 + inner.len() - rest.len();
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' => return Err(error(at, "a line feed within quotes must be written \\n")),
            '\\' => {
                let length = escape(rest, &mut bytes)
                    .ok_or_else(|| error(at, "unknown escape; write a backslash in quotes as \\\\"))?;
                rest = &rest[length..];
            }
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(bytes).map_err(|_| error(start, "the escapes do not make valid UTF-8"))
}

/// Decodes what follows a backslash; gives its length.
fn escape(rest: &str, bytes: &mut Vec<u8>) -> Option<usize> {
    let simple = match rest.chars().next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        'x' => {
            bytes.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            return Some(3);
        }
        c @ ('u' | 'U') => {
            let length = if c == 'u' { 5 } else { 9 };
            let character = char::from_u32(u32::from_str_radix(rest.get(1..length)?, 16).ok()?)?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(length);
        }
        '0'..='7' => {
            bytes.push(u8::from_str_radix(rest.get(..3)?, 8).ok()?);
            return Some(3);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(1)
}

// The classic syntax.

fn classic(text: &str) -> Result<Vec<(Raw, usize)>, MatcherSyntaxError> {
    let opened = usize::from(text.starts_with('{'));
    let inner = text.strip_prefix('{').unwrap_or(text);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut parts = Vec::new();
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    for (at, c) in inner.char_indices() {
        match c {
            ',' if !quoted => {
                parts.push((start, &inner[start..at]));
                start = at + 1;
            }
            ',' => {}
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    if !inner[start..].trim().is_empty() {
        parts.push((start, &inner[start..]));
    }
    parts.into_iter().map(|(at, part)| Ok((classic_one(part, opened + at)?, opened + at))).collect()
}

fn classic_one(text: &str, start: usize) -> Result<Raw, MatcherSyntaxError> {
    let bad = || error(start, format!("not a matcher: {text}"));
    let trimmed = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let name_length = trimmed.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let (name, rest) = trimmed.split_at(name_length.ok_or_else(bad)?);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let operators =
        [("=~", MatchOp::Regex), ("=", MatchOp::Equal), ("!=", MatchOp::NotEqual), ("!~", MatchOp::NotRegex)];
    let (op, raw) = operators.iter().find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?))).ok_or_else(bad)?;
    let raw = raw.trim_matches(|c: char| c.is_ascii_whitespace());
    let (mut rest, mut closing) = match raw.strip_prefix('"') {
        Some(rest) => (rest, true),
        None => (raw, false),
    };
    let stray = || error(start, format!("a double quote within a value must be written \\\": {raw}"));
    let mut value = String::new();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, rest.chars().next()) {
            ('\\', Some('n')) => {
                value.push('\n');
                rest = &rest[1..];
            }
            ('\\', Some(next @ ('"' | '\\'))) => {
                value.push(next);
                rest = &rest[1..];
            }
            // A backslash before anything else stands for itself.
            ('\\', Some(next)) => {
                value.push('\\');
                value.push(next);
                rest = &rest[next.len_utf8()..];
            }
            ('"', None) if closing => closing = false,
            ('"', _) => return Err(stray()),
            (c, _) => value.push(c),
        }
    }
    if closing { Err(stray()) } else { Ok((name.to_owned(), op, value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, String> {
        match parse_matchers(text) {
            Ok(matchers) => Ok(matchers.iter().map(ToString::to_string).collect()),
            Err(error) => Err(format!("{}: {}", error.offset, error.message)),
        }
    }

    #[test]
    fn both_syntaxes_are_read() {
        // Classic ones from `pkg/labels/parse_test.go` in spirit, UTF-8 ones from `matcher/parse`.
        let table: [(&str, &[&str]); 26] = [
            ("", &[]),
            ("{}", &[]),
            ("foo=bar", &[r#"foo="bar""#]),
            ("{foo=bar}", &[r#"foo="bar""#]),
            (r#"{foo="bar",}"#, &[r#"foo="bar""#]),
            ("foo=bar,baz!=qux", &[r#"foo="bar""#, r#"baz!="qux""#]),
            (r#"{foo=~"bar.*",  baz!~"q|x"}"#, &[r#"foo=~"bar.*""#, r#"baz!~"q|x""#]),
            ("foo=", &[r#"foo="""#]),
            (r#"foo="""#, &[r#"foo="""#]),
            ("foo = bar baz", &[r#"foo="bar baz""#]),
            ("foo==bar", &[r#"foo="=bar""#]),
            (r#"foo="a,b""#, &[r#"foo="a,b""#]),
            (r#"foo="a\"b""#, &[r#"foo="a\"b""#]),
            (r#"foo=~"[0-9]\d+""#, &[r#"foo=~"[0-9]\\d+""#]),
            (r#"foo=~"\\d+""#, &[r#"foo=~"\\d+""#]),
            (r"foo=a\b", &[r#"foo="a\\b""#]),
            ("foo={bar}", &[r#"foo="{bar""#]),
            ("statuscode=~5..", &[r#"statuscode=~"5..""#]),
            ("a:b=c", &[r#"a:b="c""#]),
            ("föö=bär", &[r#"föö="bär""#]),
            (r#"{"foo bar"="baz"}"#, &[r#""foo bar"="baz""#]),
            (r#""a.b"=~"c""#, &[r#"a.b=~"c""#]),
            ("foo.bar=baz", &[r#"foo.bar="baz""#]),
            ("foo🙂=bar", &[r#"foo🙂="bar""#]),
            (r#"foo="\u00e4""#, &[r#"foo="\\u00e4""#]),
            ("foo=bar, ", &[r#"foo="bar""#]),
        ];
        for (text, expected) in table {
            assert_eq!(parsed(text), Ok(expected.iter().map(|s| (*s).to_owned()).collect()), "{text}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_refused_with_its_place() {
        for (text, expected) in [
            ("foo", "3: expected an operator: =, !=, =~ or !~"),
            ("=bar", "0: expected a label name"),
            ("foo!bar", "3: `!` must be followed by `=` or `~`"),
            (r#"foo="bar"#, "4: this quote is not closed"),
            ("{foo.x=bar", "10: the closing } is missing"),
            ("foo.x=bar}", "9: unexpected }: there is no opening {"),
            ("foo.x=bar baz", "10: expected a comma between two matchers"),
            ("{foo.x=bar}}", "11: expected nothing after the closing }"),
            (r#"foo=~"(""#, "0: invalid regular expression \"(\" for label \"foo\": missing closing ): `^(?:()$`"),
            (r#"f.o="\q""#, "5: unknown escape; write a backslash in quotes as \\\\"),
        ] {
            assert_eq!(parsed(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn one_matcher_is_all_of_its_text() {
        for (text, expected) in [
            ("a=b,c=d", r#"a="b,c=d""#),
            ("a=b,", r#"a="b,""#),
            (r#"a="b","#, r#"a="b""#),
            (r#"a="b,c""#, r#"a="b,c""#),
            (r#"a="b", c="d""#, ""),
            ("a=~b,c", r#"a=~"b,c""#),
            (r#""a.b"=c,"#, r#"a.b="c""#),
            (r#""a.b"=c,d=e"#, ""),
            ("{a=b}", ""),
            ("a=b}", ""),
            (",a=b", ""),
            ("", ""),
        ] {
            let found = parse_matcher(text).map(|matcher| matcher.to_string()).unwrap_or_default();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let names = ["a", "föö", "a b", "a\"b", "", "a\\b"];
        let values =
            ["", "b", " b ", "a\tb", "line\nfeed", "zero\u{200b}width", "e\u{301}", "\\d+", "\"", "a,b={c}", "🙂"];
        for (name, value) in names.iter().flat_map(|name| values.map(|value| (*name, value))) {
            let matcher = Matcher::equal(name, value);
            let pair = format!("{matcher}, x=\"y\"");
            assert_eq!(parse_matcher(&matcher.to_string()), Ok(matcher.clone()), "{matcher}");
            assert_eq!(parse_matchers(&pair).map(|both| both[0].clone()), Ok(matcher), "{pair}");
        }
    }
}
