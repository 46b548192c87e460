//! Field matchers, compiled.

use regex::Regex;
use watchfire_model::{Event, FieldValue, compile_regex};

use crate::field::{View, lookup};
use crate::{CompareOp, EventQueryError, FieldMatcher, FieldOp};

#[derive(Clone, Debug)]
pub(crate) struct CompiledMatcher {
    field: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exists(bool),
    Equal { any_of: Vec<Scalar>, negate: bool },
    Null { negate: bool },
    Order(CompareOp, f64),
    Text { kind: TextKind, needles: Vec<String>, ignore_case: bool },
    Regex(Vec<Regex>),
}

#[derive(Clone, Copy, Debug)]
enum TextKind {
    Contains,
    StartsWith,
    EndsWith,
}

/// What a scalar is compared with. Whole numbers are compared as such, because not all of them fit an `f64`.
#[derive(Clone, Debug)]
enum Scalar {
    Int(i64),
    Number(f64),
    Text { text: String, ignore_case: bool },
}

/// How an equality can be found in an index: by the number or by the text, perhaps in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum IndexKey {
    Number(u64),
    Text(String),
    Folded(String),
}

impl IndexKey {
    /// One key for both zeros, and a number for whole numbers too: two that share it are told apart by the matcher.
    pub(crate) fn number(value: f64) -> IndexKey {
        IndexKey::Number(if value == 0.0 { 0 } else { value.to_bits() })
    }
}

impl CompiledMatcher {
    pub(crate) fn compile(matcher: &FieldMatcher, path: &str) -> Result<CompiledMatcher, EventQueryError> {
        let error = |message: String| EventQueryError { what: format!("{path}.{}", matcher.field), message };
        if matcher.field.is_empty() {
            return Err(EventQueryError { what: path.to_owned(), message: "a field needs a name".to_owned() });
        }
        let (op, operand, ignore_case) = (matcher.op, &matcher.operand, matcher.ignore_case);
        let scalar = |value: &FieldValue| match value {
            FieldValue::Int(i) => Ok(Scalar::Int(*i)),
            FieldValue::Float(f) => Ok(Scalar::Number(*f)),
            FieldValue::Bool(_) | FieldValue::Text(_) => {
                let text = value.to_text();
                Ok(Scalar::Text { text: if ignore_case { text.to_lowercase() } else { text }, ignore_case })
            }
            FieldValue::Null | FieldValue::List(_) => {
                Err(error(format!("{op} compares with a text, a number, true or false")))
            }
        };
        let texts = || -> Result<Vec<String>, EventQueryError> {
            let items = match operand {
                FieldValue::List(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            let wrong = items.is_empty() || items.iter().any(|i| matches!(i, FieldValue::Null | FieldValue::List(_)));
            if wrong {
                return Err(error(format!("{op} needs a text, or a list of texts of which one must pass")));
            }
            Ok(items.iter().map(FieldValue::to_text).collect())
        };
        let test = match op {
            FieldOp::Eq | FieldOp::Ne => {
                let negate = op == FieldOp::Ne;
                match operand {
                    FieldValue::Null => Test::Null { negate },
                    FieldValue::List(_) => {
                        return Err(error(format!("{op} compares with one value; for a list use in")));
                    }
                    one => Test::Equal { any_of: vec![scalar(one)?], negate },
                }
            }
            FieldOp::In => match operand {
                FieldValue::List(items) if !items.is_empty() => {
                    Test::Equal { any_of: items.iter().map(scalar).collect::<Result<_, _>>()?, negate: false }
                }
                _ => return Err(error("in needs a list of values, such as [a, b]".to_owned())),
            },
            FieldOp::Gt | FieldOp::Gte | FieldOp::Lt | FieldOp::Lte => {
                let compare = match op {
                    FieldOp::Gt => CompareOp::Greater,
                    FieldOp::Gte => CompareOp::GreaterOrEqual,
                    FieldOp::Lt => CompareOp::Less,
                    _ => CompareOp::LessOrEqual,
                };
                let number = operand.as_f64().filter(|n| !n.is_nan());
                Test::Order(compare, number.ok_or_else(|| error(format!("{op} needs a number")))?)
            }
            FieldOp::Contains | FieldOp::StartsWith | FieldOp::EndsWith => {
                let kind = match op {
                    FieldOp::Contains => TextKind::Contains,
                    FieldOp::StartsWith => TextKind::StartsWith,
                    _ => TextKind::EndsWith,
                };
                let mut needles = texts()?;
                if ignore_case {
                    needles = needles.iter().map(|needle| needle.to_lowercase()).collect();
                }
                Test::Text { kind, needles, ignore_case }
            }
            FieldOp::Regex => {
                let compile = |pattern: &String| {
                    let flags = if ignore_case { "(?i)" } else { "" };
                    compile_regex(&format!("{flags}{pattern}"))
                        .map_err(|e| error(format!("invalid regular expression {pattern:?}: {e}")))
                };
                Test::Regex(texts()?.iter().map(compile).collect::<Result<_, _>>()?)
            }
            FieldOp::Exists => match operand {
                FieldValue::Bool(wanted) => Test::Exists(*wanted),
                _ => return Err(error("exists needs true or false".to_owned())),
            },
        };
        Ok(CompiledMatcher { field: matcher.field.clone(), test })
    }

    pub(crate) fn field(&self) -> &str {
        &self.field
    }

    pub(crate) fn matches(&self, event: &Event) -> bool {
        let view = lookup(event, &self.field);
        match &self.test {
            Test::Exists(wanted) => view.is_some() == *wanted,
            Test::Null { negate } => view.is_none() != *negate,
            Test::Equal { any_of, negate } => {
                let equal = view.is_some_and(|view| view.any(&mut |v| any_of.iter().any(|scalar| scalar.equals(v))));
                equal != *negate
            }
            Test::Order(op, bound) => {
                view.is_some_and(|view| view.any(&mut |v| v.number().is_some_and(|number| op.compare(number, *bound))))
            }
            Test::Text { kind, needles, ignore_case } => view.is_some_and(|view| {
                view.any(&mut |v| {
                    let text = v.text();
                    if *ignore_case { kind.test(&text.to_lowercase(), needles) } else { kind.test(&text, needles) }
                })
            }),
            Test::Regex(patterns) => view.is_some_and(|view| {
                view.any(&mut |v| {
                    let text = v.text();
                    patterns.iter().any(|pattern| pattern.is_match(&text))
                })
            }),
        }
    }

    /// The keys of which an event that matches has at least one, if the matcher is such that there are any.
    pub(crate) fn index_keys(&self) -> Option<Vec<IndexKey>> {
        let Test::Equal { any_of, negate: false } = &self.test else { return None };
        Some(any_of.iter().map(Scalar::index_key).collect())
    }
}

impl TextKind {
    fn test(self, text: &str, needles: &[String]) -> bool {
        needles.iter().any(|needle| match self {
            TextKind::Contains => text.contains(needle.as_str()),
            TextKind::StartsWith => text.starts_with(needle.as_str()),
            TextKind::EndsWith => text.ends_with(needle.as_str()),
        })
    }
}

impl Scalar {
    fn equals(&self, view: View<'_>) -> bool {
        match (self, view) {
            (Scalar::Int(wanted), View::Value(FieldValue::Int(value))) => wanted == value,
            (Scalar::Int(wanted), View::Millis(value)) => *wanted == value,
            (Scalar::Int(wanted), view) => view.number() == Some(*wanted as f64),
            (Scalar::Number(wanted), view) => view.number() == Some(*wanted),
            (Scalar::Text { text, ignore_case: false }, view) => view.text() == text.as_str(),
            (Scalar::Text { text, ignore_case: true }, view) => view.text().to_lowercase() == *text,
        }
    }

    fn index_key(&self) -> IndexKey {
        match self {
            Scalar::Int(value) => IndexKey::number(*value as f64),
            Scalar::Number(value) => IndexKey::number(*value),
            Scalar::Text { text, ignore_case: false } => IndexKey::Text(text.clone()),
            Scalar::Text { text, ignore_case: true } => IndexKey::Folded(text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use watchfire_model::Timestamp;

    use super::*;

    fn event() -> Event {
        let text = |t: &str| FieldValue::Text(t.to_owned());
        Event {
            id: "e1".to_owned(),
            time: Timestamp::from_secs(7),
            kind: "login_failed".to_owned(),
            fields: BTreeMap::from([
                ("user.name".to_owned(), text("Anna")),
                ("code".to_owned(), FieldValue::Int(403)),
                ("spelled".to_owned(), text("403")),
                ("big".to_owned(), FieldValue::Int(i64::MAX)),
                ("ratio".to_owned(), FieldValue::Float(0.5)),
                ("admin".to_owned(), FieldValue::Bool(true)),
                ("nothing".to_owned(), FieldValue::Null),
                ("tags".to_owned(), FieldValue::List(vec![text("blue"), FieldValue::Int(5)])),
            ]),
            body: "Access DENIED for Anna".to_owned(),
        }
    }

    #[test]
    fn operators() {
        let t = |t: &str| FieldValue::Text(t.to_owned());
        let list = |items: &[FieldValue]| FieldValue::List(items.to_vec());
        use FieldOp::*;
        use FieldValue::{Bool, Float, Int, Null};
        // Field, operator, operand, passes as it is, passes with letter case ignored.
        let table = [
            ("type", Eq, t("login_failed"), true, true),
            ("type", Eq, t("LOGIN_FAILED"), false, true),
            ("type", Ne, t("login_failed"), false, false),
            ("id", Eq, t("e1"), true, true),
            ("time", Eq, Int(7000), true, true),
            ("user.name", Eq, t("anna"), false, true),
            ("code", Eq, Int(403), true, true),
            ("code", Eq, Float(403.0), true, true),
            ("code", Eq, t("403"), true, true),
            ("spelled", Eq, Int(403), true, true),
            ("big", Eq, Int(i64::MAX), true, true),
            ("big", Eq, Int(i64::MAX - 1), false, false),
            ("admin", Eq, Bool(true), true, true),
            ("admin", Eq, t("true"), true, true),
            ("admin", Eq, Bool(false), false, false),
            ("nothing", Eq, Null, true, true),
            ("gone", Eq, Null, true, true),
            ("code", Eq, Null, false, false),
            ("code", Ne, Null, true, true),
            ("gone", Ne, t("x"), true, true),
            ("gone", Eq, t(""), false, false),
            ("code", In, list(&[Int(401), Int(403)]), true, true),
            ("code", In, list(&[Int(401)]), false, false),
            ("code", Gt, Int(402), true, true),
            ("code", Gt, Int(403), false, false),
            ("code", Gte, Int(403), true, true),
            ("code", Lt, t("404"), true, true),
            ("ratio", Lte, Float(0.5), true, true),
            ("body", Gt, Int(1), false, false),
            ("gone", Lt, Int(1), false, false),
            ("body", Contains, t("denied"), false, true),
            ("body", Contains, list(&[t("nope"), t("DENIED")]), true, true),
            ("body", StartsWith, t("access"), false, true),
            ("body", EndsWith, t("Anna"), true, true),
            ("body", Regex, t("^access"), false, true),
            ("body", Regex, t("D.+D"), true, true),
            ("gone", Contains, t(""), false, false),
            ("tags", Eq, t("blue"), true, true),
            ("tags", Eq, Int(5), true, true),
            ("tags", Ne, t("blue"), false, false),
            ("tags", Gt, Int(4), true, true),
            ("tags", Contains, t("lu"), true, true),
            ("tags", Exists, Bool(true), true, true),
            ("nothing", Exists, Bool(true), false, false),
            ("gone", Exists, Bool(false), true, true),
        ];
        for (field, op, operand, plain, folded) in table {
            for (ignore_case, expected) in [(false, plain), (true, folded)] {
                let matcher = FieldMatcher { field: field.to_owned(), op, operand: operand.clone(), ignore_case };
                let compiled = CompiledMatcher::compile(&matcher, "match").unwrap();
                assert_eq!(compiled.matches(&event()), expected, "{matcher:?}");
            }
        }
    }

    #[test]
    fn an_event_without_a_type_may_have_a_field_of_that_name() {
        let fields = BTreeMap::from([("type".to_owned(), FieldValue::Text("x".to_owned()))]);
        let matcher =
            CompiledMatcher::compile(&FieldMatcher::equal("type", FieldValue::Text("x".into())), "match").unwrap();
        assert!(matcher.matches(&Event { kind: String::new(), fields: fields.clone(), ..event() }));
        assert!(!matcher.matches(&Event { kind: "y".to_owned(), fields, ..event() }));
    }

    #[test]
    fn wrong_operands_are_refused_with_what_would_be_right() {
        let table = [
            (FieldOp::Eq, FieldValue::List(vec![]), "match.f: eq compares with one value; for a list use in"),
            (FieldOp::In, FieldValue::Int(1), "match.f: in needs a list of values, such as [a, b]"),
            (FieldOp::Gt, FieldValue::Text("x".into()), "match.f: gt needs a number"),
            (FieldOp::Gt, FieldValue::Float(f64::NAN), "match.f: gt needs a number"),
            (
                FieldOp::Contains,
                FieldValue::List(vec![]),
                "match.f: contains needs a text, or a list of texts of which one must pass",
            ),
            (FieldOp::Exists, FieldValue::Int(1), "match.f: exists needs true or false"),
            (
                FieldOp::Regex,
                FieldValue::Text("(".into()),
                "match.f: invalid regular expression \"(\": missing closing ): `(`",
            ),
        ];
        for (op, operand, expected) in table {
            let error = CompiledMatcher::compile(&FieldMatcher::new("f", op, operand), "match").unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
