//! Functions that change or order by labels.

use std::cmp::Ordering;

use watchfire_model::{METRIC_NAME_LABEL, compile_regex};

use super::super::element::{Element, Metric, NameState, refuse_equal};
use super::super::{Evaluator, fault};
use crate::QueryError;
use crate::plan::{Kind, Node};
use crate::syntax::is_label_name;

fn text(node: &Node) -> Result<&str, QueryError> {
    match &node.kind {
        Kind::String(text) => Ok(text),
        _ => Err(fault("the function needs a text")),
    }
}

fn invalid(message: &str, name: &str) -> QueryError {
    QueryError::Execution(format!("{message}: {name}"))
}

/// Sets a label; a name that is set stands in the result even where the name was dropped before.
pub(super) fn set<'a>(element: Element<'a>, label: &str, value: String) -> Element<'a> {
    let mut builder = element.visible_labels().to_builder();
    builder.set(label, value);
    let name = match element.name {
        _ if label == METRIC_NAME_LABEL => NameState::Kept,
        // What was hidden has just been left out of the labels.
        NameState::Hidden => NameState::Kept,
        other => other,
    };
    Element { metric: Metric::Made(builder.build()), name, ..element }
}

impl<'s, 'a> Evaluator<'s, 'a> {
    pub(super) fn label_replace(&mut self, args: &'s [Node], at: i64) -> Result<Vec<Element<'a>>, QueryError> {
        let [target, replacement, source, pattern] =
            [text(&args[1])?, text(&args[2])?, text(&args[3])?, text(&args[4])?];
        let regex = compile_regex(&format!("^(?s:{pattern})$"))
            .map_err(|_| invalid("invalid regular expression in label_replace()", pattern))?;
        if !is_label_name(target) {
            return Err(invalid("invalid destination label name in label_replace()", target));
        }
        let vector = self.vector(&args[0], at)?;
        let replaced: Vec<Element<'a>> = vector
            .into_iter()
            .map(|element| {
                let value = regex.captures(element.get(source)).map(|captures| {
                    let mut value = String::new();
                    captures.expand(replacement, &mut value);
                    value
                });
                match value {
                    Some(value) => set(element, target, value),
                    None => element,
                }
            })
            .collect();
        refuse_equal(&replaced)?;
        Ok(replaced)
    }

    pub(super) fn label_join(&mut self, args: &'s [Node], at: i64) -> Result<Vec<Element<'a>>, QueryError> {
        let (target, separator) = (text(&args[1])?, text(&args[2])?);
        let sources = args[3..].iter().map(text).collect::<Result<Vec<&str>, QueryError>>()?;
        if let Some(source) = sources.iter().find(|s| !is_label_name(s)) {
            return Err(invalid("invalid source label name in label_join()", source));
        }
        if !is_label_name(target) {
            return Err(invalid("invalid destination label name in label_join()", target));
        }
        let vector = self.vector(&args[0], at)?;
        let joined: Vec<Element<'a>> = vector
            .into_iter()
            .map(|element| {
                let values: Vec<&str> = sources.iter().map(|source| element.get(source)).collect();
                let value = values.join(separator);
                set(element, target, value)
            })
            .collect();
        refuse_equal(&joined)?;
        Ok(joined)
    }

    pub(super) fn sort_by_label(
        &mut self,
        args: &'s [Node],
        at: i64,
        descending: bool,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let labels = args[1..].iter().map(text).collect::<Result<Vec<&str>, QueryError>>()?;
        let mut vector = self.vector(&args[0], at)?;
        vector.sort_by(|a, b| {
            let by_label = labels.iter().map(|label| natural(a.get(label), b.get(label)));
            let order = by_label.fold(Ordering::Equal, Ordering::then);
            let order = order.then_with(|| a.labels().cmp(b.labels()));
            if descending { order.reverse() } else { order }
        });
        Ok(vector)
    }
}

/// Compares texts so that numbers inside them are in the order of their values: `a9` comes before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (x, y) = (leading_digits(a), leading_digits(b));
        if !x.is_empty() && !y.is_empty() {
            let value = |digits: &str| digits.trim_start_matches('0').to_owned();
            let (p, q) = (value(x), value(y));
            let order = p.len().cmp(&q.len()).then_with(|| p.cmp(&q)).then_with(|| x.len().cmp(&y.len()));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[x.len()..], &b[y.len()..]);
        } else {
            let (Some(c), Some(d)) = (a.chars().next(), b.chars().next()) else { break };
            if c != d {
                return c.cmp(&d);
            }
            (a, b) = (&a[c.len_utf8()..], &b[d.len_utf8()..]);
        }
    }
    a.len().cmp(&b.len())
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}
