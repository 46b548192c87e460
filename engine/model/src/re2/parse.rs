//! Reading a pattern: groups, repetitions, escapes, flags (Go's `regexp/syntax/parse.go` gives the rules).

use std::collections::BTreeSet;

use super::class;
use super::{DEPTH_MAX, RegexError};

/// How often something may be repeated at most.
const REPEAT_MAX: u32 = 1_000;

/// One element of a concatenation, written for the library.
struct Atom {
    text: String,
    /// The largest product of the repetitions inside.
    repeated: u32,
}

/// A group that is open.
struct Group {
    /// How it began.
    opening: String,
    /// The branches before this one, each followed by `|`.
    branches: String,
    /// The branch so far.
    atoms: Vec<Atom>,
    /// Flags that are set for what follows.
    pending: String,
    repeated: u32,
}

impl Group {
    fn new(opening: String) -> Group {
        Group { opening, branches: String::new(), atoms: Vec::new(), pending: String::new(), repeated: 1 }
    }

    fn push(&mut self, text: &str) {
        let text = format!("{}{text}", std::mem::take(&mut self.pending));
        self.atoms.push(Atom { text, repeated: 1 });
    }

    fn end_branch(&mut self) {
        for atom in self.atoms.drain(..) {
            self.branches.push_str(&atom.text);
            self.repeated = self.repeated.max(atom.repeated);
        }
        self.branches.push_str(&std::mem::take(&mut self.pending));
    }
}

/// The pattern in the syntax of the library that runs it.
pub(super) fn translate(pattern: &str) -> Result<String, RegexError> {
    let mut groups = vec![Group::new(String::new())];
    let mut names = BTreeSet::new();
    let mut rest = pattern;
    // The repetition just before, which another one must not follow.
    let mut repetition_before = "";
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let mut repetition = "";
        let Some(group) = groups.last_mut() else { break };
        let next = match c {
            '(' if after.starts_with('?') => flags_or_group(rest, &mut groups, &mut names)?,
            '(' => {
                groups.push(Group::new("(".to_owned()));
                after
            }
            '|' => {
                group.end_branch();
                group.branches.push('|');
                after
            }
            ')' => {
                close(&mut groups, pattern)?;
                after
            }
            '^' | '$' | '.' => {
                group.push(&rest[..1]);
                after
            }
            '[' => {
                let (class, after) = class::bracketed(rest)?;
                group.push(&class);
                after
            }
            '*' | '+' | '?' => {
                let after = after.strip_prefix('?').unwrap_or(after);
                repetition = &rest[..rest.len() - after.len()];
                repeat(group, repetition, repetition_before, rest, 1)?;
                after
            }
            '{' => match counts(rest) {
                Some((min, max, after)) => {
                    let after = after.strip_prefix('?').unwrap_or(after);
                    repetition = &rest[..rest.len() - after.len()];
                    if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min) {
                        return Err(RegexError::new("invalid repeat count", repetition));
                    }
                    repeat(group, repetition, repetition_before, rest, max.unwrap_or(min).max(1))?;
                    after
                }
                None => {
                    group.push(r"\{");
                    after
                }
            },
            '\\' => escaped(rest, group)?,
            _ => {
                group.push(&literal(u32::from(c)));
                after
            }
        };
        repetition_before = repetition;
        rest = next;
        if groups.len() > DEPTH_MAX {
            return Err(RegexError::new("expression nests too deeply", pattern));
        }
    }
    let Some(mut root) = groups.pop().filter(|_| groups.is_empty()) else {
        return Err(RegexError::new("missing closing )", pattern));
    };
    root.end_branch();
    Ok(root.branches)
}

/// `(?flags)`, `(?flags:`, `(?P<name>` or `(?<name>`; answers what follows.
fn flags_or_group<'p>(
    rest: &'p str,
    groups: &mut Vec<Group>,
    names: &mut BTreeSet<&'p str>,
) -> Result<&'p str, RegexError> {
    let inside = &rest[2..];
    if let Some(named) = inside.strip_prefix("P<").or_else(|| inside.strip_prefix('<')) {
        let Some(end) = named.find('>') else { return Err(RegexError::new("invalid named capture", rest)) };
        let name = &named[..end];
        let after = &named[end + 1..];
        let whole = &rest[..rest.len() - after.len()];
        let valid = !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        if !valid {
            return Err(RegexError::new("invalid named capture", whole));
        }
        // The library has no names that begin with a digit, and none that stand twice; such a group can still be told by
        // its number.
        let digit = name.starts_with(|c: char| c.is_ascii_digit());
        let nameless = digit || !names.insert(name);
        groups.push(Group::new(if nameless { "(".to_owned() } else { format!("(?P<{name}>") }));
        return Ok(after);
    }
    let (mut flag_seen, mut negative) = (false, false);
    for (at, c) in inside.char_indices() {
        match c {
            'i' | 'm' | 's' | 'U' => flag_seen = true,
            '-' if !negative => (negative, flag_seen) = (true, false),
            ':' | ')' if flag_seen || !negative => {
                let flags = &inside[..at];
                let Some(group) = groups.last_mut() else { break };
                if c == ':' {
                    // What was set before the group belongs in front of it.
                    let opening = format!("{}(?{flags}:", std::mem::take(&mut group.pending));
                    groups.push(Group::new(opening));
                } else if !flags.is_empty() {
                    group.pending.push_str(&format!("(?{flags})"));
                }
                return Ok(&inside[at + 1..]);
            }
            _ => return Err(RegexError::new("invalid or unsupported Perl syntax", &rest[..2 + at + c.len_utf8()])),
        }
    }
    Err(RegexError::new("missing closing )", rest))
}

fn close(groups: &mut Vec<Group>, pattern: &str) -> Result<(), RegexError> {
    if groups.len() < 2 {
        return Err(RegexError::new("unexpected )", pattern));
    }
    let Some(mut group) = groups.pop() else { return Ok(()) };
    group.end_branch();
    if let Some(outer) = groups.last_mut() {
        outer.push(&format!("{}{})", group.opening, group.branches));
        if let Some(atom) = outer.atoms.last_mut() {
            atom.repeated = group.repeated;
        }
    }
    Ok(())
}

/// Repeats the element before. `times` is how often at most, for counted repetitions.
fn repeat(group: &mut Group, repetition: &str, before: &str, rest: &str, times: u32) -> Result<(), RegexError> {
    if !before.is_empty() {
        // Perl has possessive repetitions; here two of them in a row are a mistake.
        let both = format!("{before}{repetition}");
        return Err(RegexError::new("invalid nested repetition operator", &both));
    }
    let Some(atom) = group.atoms.last_mut() else {
        return Err(RegexError::new("missing argument to repetition operator", &rest[..repetition.len()]));
    };
    if times >= 2 {
        atom.repeated = atom.repeated.saturating_mul(times);
        if atom.repeated > REPEAT_MAX {
            return Err(RegexError::new("invalid repeat count", repetition));
        }
    }
    atom.text = format!("(?:{}){repetition}", atom.text);
    Ok(())
}

/// `{n}`, `{n,}` or `{n,m}` with what follows; `None` if it is no repetition but characters.
fn counts(rest: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, rest) = number(rest.strip_prefix('{')?)?;
    let Some(rest) = rest.strip_prefix(',') else { return Some((min, Some(min), rest.strip_prefix('}')?)) };
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, rest) = number(rest)?;
    Some((min, Some(max), rest.strip_prefix('}')?))
}

fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    // A zero in front is allowed only alone.
    if digits == 0 || (digits > 1 && text.starts_with('0')) {
        return None;
    }
    Some((text[..digits].parse().unwrap_or(u32::MAX), &text[digits..]))
}

/// Something after a backslash, outside of a class.
fn escaped<'p>(rest: &'p str, group: &mut Group) -> Result<&'p str, RegexError> {
    let after = |bytes: usize| &rest[bytes..];
    let text = match rest.as_bytes().get(1) {
        Some(b'A') => r"\A",
        Some(b'b') => r"(?-u:\b)",
        Some(b'B') => r"\B",
        Some(b'C') => return Err(RegexError::new("invalid escape sequence", r"\C")),
        Some(b'z') => r"\z",
        Some(b'Q') => {
            let (quoted, after) = rest[2..].split_once(r"\E").unwrap_or((&rest[2..], ""));
            quoted.chars().for_each(|c| group.push(&literal(u32::from(c))));
            return Ok(after);
        }
        _ => {
            if let Some((class, after)) = class::named(rest)? {
                group.push(&format!("[{class}]"));
                return Ok(after);
            }
            let (code, after) = escape(rest)?;
            group.push(&literal(code));
            return Ok(after);
        }
    };
    group.push(text);
    Ok(after(2))
}

/// The character that an escape stands for, and what follows it.
pub(super) fn escape(rest: &str) -> Result<(u32, &str), RegexError> {
    let body = &rest[1..];
    let Some(c) = body.chars().next() else {
        return Err(RegexError::new("trailing backslash at end of expression", ""));
    };
    let after = &body[c.len_utf8()..];
    let invalid = || RegexError::new("invalid escape sequence", &rest[..1 + c.len_utf8()]);
    let is_octal = |text: &str| text.starts_with(|c: char| ('0'..='7').contains(&c));
    match c {
        // A single digit would refer back to a group.
        '1'..='7' if !is_octal(after) => Err(invalid()),
        '0'..='7' => {
            let digits = body.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            Ok((u32::from_str_radix(&body[..digits], 8).map_err(|_| invalid())?, &body[digits..]))
        }
        'x' => {
            let (digits, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').ok_or_else(invalid)?,
                None => after.split_at_checked(2).ok_or_else(invalid)?,
            };
            let hexadecimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, 16).ok().filter(|code| hexadecimal && *code <= 0x10_ffff);
            Ok((code.ok_or_else(invalid)?, after))
        }
        'a' => Ok((7, after)),
        'f' => Ok((12, after)),
        'n' => Ok((10, after)),
        'r' => Ok((13, after)),
        't' => Ok((9, after)),
        'v' => Ok((11, after)),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok((u32::from(c), after)),
        _ => Err(invalid()),
    }
}

/// A character by its code. A surrogate is none, so that nothing matches it.
fn literal(code: u32) -> String {
    match char::from_u32(code) {
        Some(c) => regex::escape(c.encode_utf8(&mut [0; 4])),
        None => r"[^\x00-\x{10ffff}]".to_owned(),
    }
}
