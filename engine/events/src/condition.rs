//! `where`: a CEL expression over one event.
//!
//! The event is handed to the interpreter as a map that looks its fields up when they are asked for, because copying
//! a record into CEL's values for each event would cost more than the expression itself.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use cel::common::traits::{Container, Indexer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Program, Value};
use thiserror::Error;
use watchfire_model::{Event, FieldValue};

/// The standard functions and those for texts; building an environment is dear, so there is one.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    if env.add_extension(cel::extensions::strings).is_err() {
        env = Env::stdlib();
    }
    Arc::new(env)
});

/// The name under which an expression sees the event.
const EVENT: &str = "event";

/// Why an expression gave no answer for an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConditionError(pub String);

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Condition {
    program: Program,
}

impl Condition {
    /// The error is one line and says where.
    pub(crate) fn compile(text: &str) -> Result<Condition, String> {
        let program = ENVIRONMENT.compile(text).map_err(|errors| {
            let one = |error: &cel::ParseError| {
                let message = error.msg.trim_start_matches("Syntax error: ");
                format!("line {}, column {}: {message}", error.pos.0, error.pos.1)
            };
            errors.errors.first().map_or_else(|| errors.to_string(), one)
        })?;
        let references = program.references();
        for name in references.variables() {
            // Macros such as `exists` declare names of their own, which appear here too; only a program without any
            // can be judged by its names alone.
            if name != EVENT && !text.contains('(') {
                return Err(format!("unknown name {name:?}; fields are written as event.{name}"));
            }
        }
        drop(references);
        Ok(Condition { program })
    }

    pub(crate) fn holds(&self, event: &Event) -> Result<bool, ConditionError> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_as_val(EVENT, Box::new(Record { event, path: String::new() }));
        let error = |error: ExecutionError| ConditionError(error.to_string());
        let value = Value::resolve_val(self.program.expression(), &context).map_err(error)?;
        match value.downcast_ref::<CelBool>() {
            Some(answer) => Ok(*answer.inner()),
            None => Err(ConditionError(format!("the answer is a {}, not true or false", value.get_type().name()))),
        }
    }
}

/// An event, or the part of its fields whose names begin with a path, as a CEL map.
#[derive(Clone, Debug)]
struct Record<'v> {
    event: &'v Event,
    /// Empty, or a path with its closing dot.
    path: String,
}

impl<'v> Record<'v> {
    fn find(&self, name: &str) -> Option<Box<dyn Val + 'v>> {
        let event = self.event;
        if self.path.is_empty() {
            let own = match name {
                "type" => &event.kind,
                "body" => &event.body,
                "id" => &event.id,
                "time" => return Some(Box::new(CelInt::from(event.time.as_millis()))),
                _ => "",
            };
            if !own.is_empty() {
                return Some(Box::new(CelString::from(own)));
            }
        }
        let path = format!("{}{name}", self.path);
        if let Some(value) = event.fields.get(&path) {
            return Some(convert(value));
        }
        let path = path + ".";
        let mut below = event.fields.range(path.clone()..);
        match below.next() {
            Some((field, _)) if field.starts_with(&path) => Some(Box::new(Record { event, path })),
            // A text part that the event lacks is empty and not an error.
            _ if self.path.is_empty() && matches!(name, "type" | "body" | "id") => Some(Box::new(CelString::from(""))),
            _ => None,
        }
    }
}

fn convert<'v>(value: &'v FieldValue) -> Box<dyn Val + 'v> {
    match value {
        FieldValue::Null => Box::new(CelNull),
        FieldValue::Bool(b) => Box::new(CelBool::from(*b)),
        FieldValue::Int(i) => Box::new(CelInt::from(*i)),
        FieldValue::Float(f) => Box::new(CelDouble::from(*f)),
        FieldValue::Text(text) => Box::new(CelString::from(text.as_str())),
        FieldValue::List(items) => Box::new(CelList::from(items.iter().map(convert).collect::<Vec<_>>())),
    }
}

impl Indexer for Record<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = key.downcast_ref::<CelString>().map(CelString::inner);
        let name = name.ok_or_else(|| ExecutionError::no_such_key("a field's name is a text"))?;
        match self.find(name) {
            Some(value) => Ok(CowVal::Owned(value)),
            None => Err(ExecutionError::no_such_key(&format!("{}{name}", self.path))),
        }
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Container for Record<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(key.downcast_ref::<CelString>().is_some_and(|name| self.find(name.inner()).is_some()))
    }
}

impl Val for Record<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use watchfire_model::Timestamp;

    use super::*;

    #[test]
    fn expressions_see_the_record_as_a_nested_map() {
        let text = |t: &str| FieldValue::Text(t.to_owned());
        let event = Event {
            id: String::new(),
            time: Timestamp::from_secs(3),
            kind: "login_failed".to_owned(),
            fields: BTreeMap::from([
                ("attempts".to_owned(), FieldValue::Int(3)),
                ("ratio".to_owned(), FieldValue::Float(0.5)),
                ("user".to_owned(), text("anna")),
                ("geo.country".to_owned(), text("DE")),
                ("geo.city.name".to_owned(), text("Ulm")),
                ("geometry".to_owned(), text("round")),
                ("ok".to_owned(), FieldValue::Bool(false)),
                ("nothing".to_owned(), FieldValue::Null),
                ("tags".to_owned(), FieldValue::List(vec![text("a"), text("b")])),
            ]),
            body: "denied".to_owned(),
        };
        let table: &[(&str, Result<bool, &str>)] = &[
            (r#"event.attempts > 2 && !event.user.startsWith("svc-")"#, Ok(true)),
            ("event.attempts > 2.5", Ok(true)),
            ("event.ratio * 2.0 == 1.0", Ok(true)),
            (r#"event.geo.country == "DE" && event.geo.city.name == "Ulm""#, Ok(true)),
            (r#"event["geo"]["country"] in ["DE", "AT"]"#, Ok(true)),
            ("has(event.geo.country) && !has(event.geo.zip) && !has(event.absent)", Ok(true)),
            (r#""user" in event && !("usr" in event)"#, Ok(true)),
            (r#"event.tags.exists(t, t == "b")"#, Ok(true)),
            ("size(event.tags) == 2", Ok(true)),
            ("event.ok", Ok(false)),
            ("event.nothing == null", Ok(true)),
            (r#"event.type == "login_failed" && event.body.contains("den") && event.id == """#, Ok(true)),
            ("event.time == 3000", Ok(true)),
            (r#"event.user.upperAscii() == "ANNA""#, Ok(true)),
            (r#"event.user.matches("^a.*a$")"#, Ok(true)),
            ("event.absent > 2", Err("No such key: absent")),
            ("event.geo.zip > 2", Err("No such key: geo.zip")),
            ("event.user > 2", Err("found no matching overload for '_>_' applied to '(string, int)'")),
            ("event.user", Err("the answer is a string, not true or false")),
        ];
        for (expression, expected) in table {
            let answer = Condition::compile(expression).unwrap().holds(&event);
            let expected = expected.map_err(|message| ConditionError(message.to_owned()));
            assert_eq!(answer, expected, "{expression}");
        }
    }

    #[test]
    fn expressions_that_do_not_parse_are_refused_with_the_place() {
        let error = Condition::compile("event.a >").unwrap_err();
        assert!(error.starts_with("line 1, column "), "{error}");
        assert_eq!(
            Condition::compile("attempts > 3").unwrap_err(),
            "unknown name \"attempts\"; fields are written as event.attempts"
        );
    }
}
