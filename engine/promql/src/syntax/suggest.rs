//! What to do about a mistake.

use super::functions::Function;

/// The function whose name is at most two letters away.
pub(super) fn nearest_function(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let nearest = Function::all().iter().map(|f| (distance(&lower, f.name), f.name)).min()?;
    (nearest.0 <= 2).then_some(nearest.1)
}

/// How many letters have to be changed, added or removed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What to do about a text that the lexer cannot read.
pub(super) fn lexer_help(message: &str) -> Option<&'static str> {
    Some(match message {
        "unclosed left parenthesis" => "add the missing )",
        "unterminated quoted string" => "add the closing quote",
        "unexpected end of input inside braces" => "add the missing }",
        "unexpected end of input in duration expression" => "add the missing ]",
        "unexpected character after '=': '~'" => "use =~ inside braces only; compare values with ==",
        "unexpected character inside braces: '-'" => {
            "put label names with other signs than letters, digits and _ in quotes"
        }
        _ => return None,
    })
}
