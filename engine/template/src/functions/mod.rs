//! The functions that templates may call, one module per family.

mod builtin;
mod collection;
mod escape;
mod number;
mod query;
mod regexp;
mod text;
mod time;

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use watchfire_model::{Labels, Timestamp};

use crate::value::{Safe, Value};

pub(crate) use builtin::call_value;
pub(crate) use escape::{html_escape, js_escape};
pub use query::{SAMPLE, VECTOR};

/// A query that a template makes: text in, label sets and values out.
pub type Query<'a> = dyn FnMut(&str) -> Result<Vec<(Labels, f64)>, String> + 'a;

/// A route label's value by its name.
pub type RouteLabel<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

/// What functions may use beside their arguments. There is no clock and no I/O in it but what the caller lends.
pub struct Context<'a> {
    /// The time that `now` and `since` see.
    pub now: Timestamp,
    /// Where readers reach this engine.
    pub external_url: &'a str,
    /// Answers `query`; without it `query` is an error.
    pub query: Option<&'a mut Query<'a>>,
    /// Answers `routeLabels`; without it there are none.
    pub route_label: Option<&'a mut RouteLabel<'a>>,
    /// How much an execution may do.
    pub limits: Limits,
    regexes: BTreeMap<String, Regex>,
}

/// How much one execution may do, because templates can loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest output in bytes.
    pub output_bytes_max: usize,
    /// Most nodes that may be executed.
    pub steps_max: usize,
    /// Most bytes of values that functions may make, all together.
    pub values_bytes_max: usize,
}

/// The longest text in bytes that a function makes. What a template keeps in its variables can double at each step.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// The most patterns that are kept compiled in one execution.
const REGEXES_MAX: usize = 64;

/// What a function says that would make a longer text.
pub(crate) fn too_long() -> String {
    format!("the text would have more than {TEXT_BYTES_MAX} bytes")
}

impl Limits {
    /// 4 MiB of output, a million nodes, 256 MiB of values on the way.
    pub const STANDARD: Limits =
        Limits { output_bytes_max: TEXT_BYTES_MAX, steps_max: 1_000_000, values_bytes_max: 256 << 20 };
}

impl<'a> Context<'a> {
    /// Without queries and with standard limits.
    pub fn new(now: Timestamp, external_url: &'a str) -> Context<'a> {
        Context {
            now,
            external_url,
            query: None,
            route_label: None,
            limits: Limits::STANDARD,
            regexes: BTreeMap::new(),
        }
    }

    /// With an answer to `query`.
    pub fn with_query(self, query: &'a mut Query<'a>) -> Context<'a> {
        Context { query: Some(query), ..self }
    }

    /// With the labels of a route.
    pub fn with_route_labels(self, route_label: &'a mut RouteLabel<'a>) -> Context<'a> {
        Context { route_label: Some(route_label), ..self }
    }

    /// A compiled pattern; compiled once per execution, unless it has very many.
    pub(crate) fn regex(&mut self, pattern: &str) -> Result<&Regex, String> {
        if !self.regexes.contains_key(pattern) {
            let compiled = regexp::compile(pattern)?;
            if self.regexes.len() >= REGEXES_MAX {
                self.regexes.clear();
            }
            self.regexes.insert(pattern.to_owned(), compiled);
        }
        self.regexes.get(pattern).ok_or_else(|| "regexp: not compiled".to_owned())
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("now", &self.now).field("external_url", &self.external_url).finish()
    }
}

/// The type of a parameter; decides which arguments are accepted, and is named in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `float64`
    Float,
    /// `time.Time`
    Time,
    /// `time.Duration`
    Duration,
    /// `*time.Location`, given by its name here
    Location,
    /// `[]string`
    TextList,
    /// `[]interface {}`
    AnyList,
    /// The result of `query`.
    Vector,
    /// One element of it.
    Sample,
}

impl Param {
    /// As Go names the type.
    pub const fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Text => "string",
            Param::Int => "int",
            Param::Float => "float64",
            Param::Time => "time.Time",
            Param::Duration => "time.Duration",
            Param::Location => "*time.Location",
            Param::TextList => "[]string",
            Param::AnyList => "[]interface {}",
            Param::Vector => "template.queryResult",
            Param::Sample => "*template.sample",
        }
    }

    /// Whether `nil` may be passed.
    pub(crate) const fn takes_nil(self) -> bool {
        matches!(self, Param::Any | Param::TextList | Param::AnyList | Param::Vector | Param::Sample)
    }

    /// Whether a value of this type may be passed. Named string types are not strings to Go.
    pub(crate) fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Param::Any, _)
            | (Param::Text, Value::Text(_))
            | (Param::Int, Value::Int(_))
            | (Param::Float, Value::Float(_))
            | (Param::Time, Value::Time(_))
            | (Param::Duration, Value::Duration(_)) => true,
            // Go lets pass what differs in its name only.
            (Param::TextList, Value::List(list)) => ["[]string", "template.Strings"].contains(&list.ty.name),
            (Param::AnyList | Param::Vector, Value::List(list)) => list.ty.name == self.type_name(),
            (Param::Sample, Value::Struct(structure)) => structure.ty.name == self.type_name(),
            _ => false,
        }
    }
}

/// One function.
pub struct Function {
    /// The name by which templates call it.
    pub name: &'static str,
    /// Its parameters; the last one repeats if `variadic`.
    pub params: &'static [Param],
    /// Whether the last parameter may be given any number of times, also none.
    pub variadic: bool,
    /// What it does.
    pub call: for<'a> fn(&mut Context<'a>, &[Value]) -> Result<Value, String>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({})", self.name)
    }
}

/// The functions that a template may call: the language's own and some families more.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    families: &'static [&'static [Function]],
}

/// Only what Go's text/template has.
pub const BUILTIN: Functions = Functions { families: &[builtin::FUNCTIONS] };

/// What Prometheus' rule templates have.
pub const PROMETHEUS: Functions = Functions {
    families: &[
        builtin::FUNCTIONS,
        text::COMMON,
        text::PROMETHEUS,
        regexp::FUNCTIONS,
        number::DURATION,
        number::FUNCTIONS,
        time::PROMETHEUS,
        query::FUNCTIONS,
    ],
};

/// What Alertmanager's notification templates have.
pub const ALERTMANAGER: Functions = Functions {
    families: &[
        builtin::FUNCTIONS,
        text::COMMON,
        text::ALERTMANAGER,
        regexp::FUNCTIONS,
        number::DURATION,
        time::ALERTMANAGER,
        collection::FUNCTIONS,
    ],
};

impl Functions {
    /// The function of a name.
    pub fn find(&self, name: &str) -> Option<&'static Function> {
        self.families.iter().flat_map(|family| family.iter()).find(|function| function.name == name)
    }

    /// The names of all functions, sorted, for completion and documentation.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.families.iter().flat_map(|family| family.iter()).map(|f| f.name).collect();
        names.extend(["and", "call", "or"]);
        names.sort_unstable();
        names
    }
}

/// The text of an argument that [`Param::Text`] has let through.
fn text(arguments: &[Value], index: usize) -> &str {
    arguments.get(index).and_then(Value::as_text).unwrap_or("")
}

/// HTML that is not escaped again.
fn safe(kind: Safe, text: &str) -> Value {
    Value::Safe(kind, text.into())
}
