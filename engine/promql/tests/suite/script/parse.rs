//! Text of a script to its commands.

use std::sync::LazyLock;

use regex::Regex;
use watchfire_model::{Duration, Timestamp};
use watchfire_promql::syntax::Expr;
use watchfire_promql::{parse, parse_series};

use super::{Command, Eval, Expected, Load, LoadedSeries, Script, Text, When};

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns of this file are valid")
}

static START_ITEM: LazyLock<Regex> = LazyLock::new(|| pattern(r"^([+-]?\d+[a-z]*?)(?:([+-]\d+[a-z]*?))?(?:x(\d+))?$"));
static INSTANT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$"));
static RANGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$"));
static EXPECT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$"));

/// A line without comment; what is empty ends a block.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect()
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn time(text: &str) -> Result<Timestamp, String> {
    Ok(Timestamp::EPOCH + duration(text)?)
}

/// Reads a script.
pub(crate) fn parse_script(text: &str) -> Result<Script, String> {
    let lines = lines(text);
    let mut commands = Vec::new();
    let mut i = 0;
    while i < lines.len() {
        let line = lines[i];
        let number = i + 1;
        let at = |reason: String| format!("line {number}: {reason}");
        i += 1;
        if line.is_empty() {
            continue;
        }
        let start = i;
        while i < lines.len() && !lines[i].is_empty() {
            i += 1;
        }
        let word = line.split([' ', '\t']).next().unwrap_or("").to_lowercase();
        let command = if word == "clear" {
            i = start;
            Command::Clear
        } else if word.starts_with("load") {
            Command::Load(load(line, &lines[start..i]).map_err(at)?)
        } else if word.starts_with("eval") {
            let (eval, used) = eval(line, &lines[start..i]).map_err(at)?;
            i = start + used;
            Command::Eval(Box::new(eval))
        } else {
            return Err(at(format!("invalid command {line:?}")));
        };
        commands.push((number, command));
    }
    Ok(Script { commands })
}

fn load(head: &str, body: &[&str]) -> Result<Load, String> {
    let (word, gap) = head.split_once([' ', '\t']).ok_or("a load needs a step")?;
    let with_custom_histograms = word == "load_with_nhcb";
    let mut series: Vec<LoadedSeries> = Vec::new();
    let mut starts: Option<Vec<Option<i64>>> = None;
    for line in body {
        let (name, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if name.ends_with("@st") {
            starts = Some(start_offsets(rest)?);
            continue;
        }
        let parsed = parse_series(line).map_err(|error| error.to_string())?;
        // A series that is given twice in one load has the later values.
        series.retain(|s| s.labels != parsed.labels);
        series.push(LoadedSeries { labels: parsed.labels, values: parsed.values, starts: starts.take() });
    }
    Ok(Load { gap: duration(gap.trim())?, series, with_custom_histograms })
}

/// `_ -1mx3 30s-1mx2`: how long before its sample each one began to count.
fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let pattern = &*START_ITEM;
    let millis = |text: &str| -> Result<i64, String> {
        let unsigned = text.trim_start_matches(['+', '-']);
        let value = duration(unsigned)?.as_millis();
        Ok(if text.starts_with('-') { -value } else { value })
    };
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        if let Some(rest) = item.strip_prefix('_') {
            let count = rest.strip_prefix('x').map_or(Ok(1), str::parse::<usize>).map_err(|e| e.to_string())?;
            out.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let parts = pattern.captures(item).ok_or_else(|| format!("invalid start {item:?}"))?;
        let mut offset = millis(&parts[1])?;
        let step = parts.get(2).map_or(Ok(0), |m| millis(m.as_str()))?;
        let count = parts.get(3).map_or(Ok(0), |m| m.as_str().parse::<usize>()).map_err(|e| e.to_string())?;
        for _ in 0..=count {
            out.push(Some(offset));
            offset += step;
        }
    }
    Ok(out)
}

/// An eval and how many lines of its block belong to it.
fn eval(head: &str, body: &[&str]) -> Result<(Eval, usize), String> {
    let instant = &*INSTANT;
    let range = &*RANGE;
    let (mode, when, expr) = if let Some(parts) = instant.captures(head) {
        let at = time(parts.get(2).map_or("0", |m| m.as_str()))?;
        (parts.get(1), When::Instant(at), parts[3].to_owned())
    } else if let Some(parts) = range.captures(head) {
        let when = When::Range(time(&parts[2])?, time(&parts[3])?, duration(&parts[4])?);
        (parts.get(1), when, parts[5].to_owned())
    } else {
        return Err(format!("invalid evaluation command {head:?}"));
    };
    let mut expected = Expected::default();
    match mode.map(|m| m.as_str()) {
        Some("fail") => expected.fail = Some(Text::Any),
        Some("warn") => expected.warnings.push(Text::Any),
        Some("info") => expected.infos.push(Text::Any),
        Some("ordered") => expected.ordered = true,
        _ => {}
    }
    let mut used = 0;
    for line in body {
        used += 1;
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            expected.fail = Some(Text::Exactly(text.trim().to_owned()));
            break;
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            expected.fail = Some(Text::Pattern(Regex::new(text.trim()).map_err(|e| e.to_string())?));
            break;
        } else if let Some(rest) = line.strip_prefix("expect range vector") {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let ["from", start, "to", _, "step", step] = words[..] else {
                return Err(format!("invalid range vector {line:?}"));
            };
            expected.points = Some((time(start)?, duration(step)?));
        } else if let Some(text) = line.strip_prefix("expect string") {
            match parse(text.trim()) {
                Ok(Expr::String(literal)) => expected.string = Some(literal.value),
                _ => return Err(format!("invalid string {text:?}")),
            }
        } else if line.split(' ').next() == Some("expect") {
            expectation(line, &mut expected)?;
        } else if let Ok(value) = line.parse::<f64>() {
            expected.scalar = Some(value);
            break;
        } else if let Ok(Expr::Number(number)) = parse(line) {
            expected.scalar = Some(number.value);
            break;
        } else {
            let series = parse_series(line).map_err(|error| format!("{line:?}: {error}"))?;
            expected.series.push((series.labels, series.values));
        }
    }
    Ok((Eval { expr, when, expected }, used))
}

fn expectation(line: &str, expected: &mut Expected) -> Result<(), String> {
    let pattern = &*EXPECT;
    let parts = pattern.captures(line).ok_or_else(|| format!("invalid expect statement {line:?}"))?;
    let message = parts.get(3).map_or("", |m| m.as_str()).trim();
    let text = match parts.get(2).map(|m| m.as_str()) {
        Some("msg") => Text::Exactly(message.to_owned()),
        Some(_) => Text::Pattern(Regex::new(message).map_err(|e| e.to_string())?),
        None => Text::Any,
    };
    match &parts[1] {
        "ordered" => expected.ordered = true,
        "fail" => expected.fail = Some(text),
        "warn" => expected.warnings.push(text),
        "info" => expected.infos.push(text),
        "no_warn" => expected.no_warnings = true,
        _ => expected.no_infos = true,
    }
    Ok(())
}
