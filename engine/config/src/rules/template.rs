//! Templates of labels and annotations, with the place of what is wrong with them.

use watchfire_template::functions::PROMETHEUS;
use watchfire_template::prometheus::RuleTemplate;

use crate::decode::Decoder;
use crate::diagnostic::nearest;
use crate::template::{line_start, words_and_line};
use crate::yaml::Node;

/// Parses the template that a scalar holds; what is wrong is told at the action that is wrong.
pub(super) fn template(decoder: &mut Decoder<'_>, node: &Node, rule: &str, what: &str) -> Option<RuleTemplate> {
    let text = decoder.text(node, what)?;
    let error = match RuleTemplate::parse(rule, &text) {
        Ok(template) => return Some(template),
        Err(error) => error,
    };
    let (message, line) = words_and_line(&error);
    let at = node.locate(decoder.file(), culprit(rule, &text, line, &error.message));
    decoder
        .error(at, "bad-template", format!("the template of {what} cannot be parsed: {message}"))
        .help(help(&error.message));
    None
}

/// Where the action begins that the error is about. The parser knows the line only; the first action of that line after
/// which the text cut off there gives the same error is the one.
fn culprit(rule: &str, text: &str, line: usize, message: &str) -> usize {
    let line_start = line_start(text, line);
    let mut from = line_start;
    let mut first = None;
    while let Some(open) = text[from..].find("{{").map(|at| from + at) {
        let close = text[open..].find("}}").map_or(text.len(), |at| open + at + 2);
        first.get_or_insert(open);
        if RuleTemplate::parse(rule, &text[..close]).is_err_and(|error| error.message == message) {
            return open;
        }
        from = close;
    }
    first.unwrap_or(line_start)
}

fn help(message: &str) -> String {
    let function = message.strip_prefix("function \"").and_then(|rest| rest.split('"').next());
    if let Some(name) = function {
        let names = PROMETHEUS.names();
        return match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("functions: {}", names.join(", ")),
        };
    }
    if message.contains("undefined variable") {
        return "there are $labels, $value, $externalLabels and $externalURL; others must be set with {{ $x := ... }}"
            .to_owned();
    }
    if message.contains("unexpected EOF") {
        return "an {{ if }}, {{ range }}, {{ with }} or {{ define }} lacks its {{ end }}".to_owned();
    }
    if message.contains("unclosed action") {
        return "close the action with }} on the same line".to_owned();
    }
    "write values as {{ $labels.name }} and {{ $value }}; for two literal braces write {{ \"{{\" }}".to_owned()
}
