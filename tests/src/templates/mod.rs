//! Templates against Go itself: the language, rule templates against Prometheus, messages against Alertmanager.
//!
//! `WATCHFIRE_SEED` repeats a run; `cargo xtask fuzz templates --minutes N` makes long ones.

mod data;
mod grammar;
mod peer;

use anyhow::{Result, ensure};

use crate::Case;
use crate::support::{Fuzz, Tool};
use data::{Answer, Kind};
use grammar::Grammar;
use peer::Peer;

pub(crate) const CASES: &[Case] =
    &[Case { name: "templates::render_as_in_go", needs: &[Tool::Program(peer::PROGRAM)], run: templates }];

/// Templates of the bounded run.
const TEMPLATES: u64 = 8_000;
/// Differences after which a run ends.
const DIFFERENCES_MAX: usize = 40;

/// Values of rules: what the functions that make numbers readable treat differently.
const VALUES: [&str; 22] = [
    "0",
    "1",
    "-1",
    "0.5",
    "12.5",
    "1e-9",
    "999.9999",
    "1000",
    "1023.99",
    "1048576",
    "59.9",
    "60",
    "3599.5",
    "86400",
    "90061.25",
    "1e21",
    "-123456.789",
    "1700000000.123",
    "1e300",
    "NaN",
    "Inf",
    "-Inf",
];

fn templates() -> Result<()> {
    let (fuzz, mut random) = Fuzz::begin("templates");
    let mut peer = Peer::start()?;
    let (mut asked, mut rendered, mut differences) = (0u64, 0u64, Vec::new());
    loop {
        let kind = Kind::ALL[(asked % Kind::ALL.len() as u64) as usize];
        let value = VALUES[random.below(VALUES.len() as u64) as usize];
        let template = Grammar::new(&mut random, kind).template();
        asked += 1;
        let (theirs, own) = both(&mut peer, kind, value, &template)?;
        rendered += u64::from(theirs.is_ok());
        if differ(&theirs, &own) {
            let small = shrink(&mut peer, kind, value, template)?;
            let (theirs, own) = both(&mut peer, kind, value, &small)?;
            println!("DIFFERS {kind:?} {small:?} with {value}\n        {theirs:?}, Watchfire\n        {own:?}");
            differences.push(small);
        }
        if fuzz.is_over(asked, TEMPLATES) || differences.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    println!("{asked} templates, {rendered} without an error, {} differ", differences.len());
    ensure!(rendered > asked / 3, "too few templates give a text");
    ensure!(differences.is_empty(), "{} templates have other texts than in Go", differences.len());
    Ok(())
}

fn both(peer: &mut Peer, kind: Kind, value: &str, template: &str) -> Result<(Answer, Answer)> {
    Ok((peer.render(kind, value, template)?, data::render(kind, value, template)?))
}

/// Whether the answers differ otherwise than on purpose.
fn differ(theirs: &Answer, own: &Answer) -> bool {
    if theirs == own {
        return false;
    }
    let texts = [theirs, own].map(|answer| answer.as_ref().unwrap_or_else(|error| error));
    let either = |part: &str| texts.iter().any(|text| text.contains(part));
    let known = match theirs {
        // html/template looks at a template before it knows the values; here it is rendered, and fails if it does later.
        Err(error) if error.starts_with("html/template:") || error.contains("disallowed in template") => true,
        // Go knows an element of a list of anything by the list's type as long as it is not passed on.
        Err(error) if ["type interface {}", "got interface {}"].into_iter().any(|end| error.ends_with(end)) => true,
        Err(error) if error.contains("nil pointer evaluating interface {}") => true,
        // A thread's stack is not asked for as much as in Go; a text is always UTF-8; `nil` has no type; where exactly
        // a text stops being base64 depends on how many bytes are read at a time.
        Err(_) if ["maximum template depth", "\\x", "on zero Value", "illegal base64"].into_iter().any(either) => true,
        // What is in a time is Go's own business, and so is an address: of the elements of a query's answer, and of
        // durations in rules, which are numbers here.
        _ => ["(time.Time=", "time.Date(", "*time.Location", "*time.Duration", "0xc000000000"].into_iter().any(either),
    };
    !known && without_names(texts[0]) != without_names(texts[1])
}

/// Without the names of what is the same here: one type of integers, also for durations, times that are no pointers, and escaping that is
/// no part of the pipeline; how many characters stand for bytes that are none does not count either.
fn without_names(text: &str) -> String {
    let mut text =
        text.replace("int64", "int").replace("*time.", "time.").replace("time.Duration", "int").replace("uint8", "int");
    text = text.replace("&#xfffd;", "\u{fffd}");
    while let Some(at) = text.find(" | _html_template_") {
        let name = &text[at + " | ".len()..];
        let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        text.replace_range(at..at + " | ".len() + length, "");
    }
    while text.contains("\u{fffd}\u{fffd}") {
        text = text.replace("\u{fffd}\u{fffd}", "\u{fffd}");
    }
    text
}

/// A smaller template that differs too: without some of its characters.
fn shrink(peer: &mut Peer, kind: Kind, value: &str, template: String) -> Result<String> {
    let mut left: Vec<char> = template.chars().collect();
    let mut size = left.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < left.len() {
            let end = (at + size).min(left.len());
            let candidate: Vec<char> = [&left[..at], &left[end..]].concat();
            let text: String = candidate.iter().collect();
            let (theirs, own) = both(peer, kind, value, &text)?;
            if differ(&theirs, &own) {
                left = candidate;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    Ok(left.into_iter().collect())
}
