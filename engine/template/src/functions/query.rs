//! Queries inside rule templates, and what to do with their results.

use super::{Function, Param, text};
use crate::value::{Struct, Type, Value};

/// One element of a query's result.
pub static SAMPLE: Type = Type::plain("*template.sample");
/// A query's result.
pub static VECTOR: Type = Type::plain("template.queryResult");

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "query",
        params: &[Param::Text],
        variadic: false,
        call: |context, a| {
            let Some(query) = context.query.as_mut() else {
                return Err("queries are not available here".to_owned());
            };
            let samples = query(text(a, 0))?;
            let samples = samples.into_iter().map(|(labels, value)| {
                Value::structure(&SAMPLE, vec![("Labels", Value::from(&labels)), ("Value", Value::Float(value))])
            });
            Ok(Value::list(&VECTOR, samples.collect()))
        },
    },
    Function {
        name: "first",
        params: &[Param::Vector],
        variadic: false,
        call: |_, a| match a.first() {
            Some(Value::List(list)) if !list.items.is_empty() => Ok(list.items[0].clone()),
            _ => Err("first() called on vector with no elements".to_owned()),
        },
    },
    Function {
        name: "label",
        params: &[Param::Text, Param::Sample],
        variadic: false,
        call: |_, a| Ok(label(sample(a, 1)?, text(a, 0))),
    },
    Function {
        name: "value",
        params: &[Param::Sample],
        variadic: false,
        call: |_, a| Ok(sample(a, 0)?.field("Value").cloned().unwrap_or(Value::Nil)),
    },
    Function {
        name: "strvalue",
        params: &[Param::Sample],
        variadic: false,
        call: |_, a| Ok(label(sample(a, 0)?, "__value__")),
    },
    Function {
        name: "sortByLabel",
        params: &[Param::Text, Param::Vector],
        variadic: false,
        call: |_, a| {
            let name = text(a, 0);
            let Some(Value::List(list)) = a.get(1) else {
                return Ok(Value::list(&VECTOR, Vec::new()));
            };
            let mut items = list.items.to_vec();
            items.sort_by_cached_key(|item| match item {
                Value::Struct(sample) => label(sample, name).as_text().unwrap_or("").to_owned(),
                _ => String::new(),
            });
            Ok(Value::list(&VECTOR, items))
        },
    },
    Function {
        name: "args",
        params: &[Param::Any],
        variadic: true,
        call: |_, a| Ok(Value::map(a.iter().enumerate().map(|(i, value)| (format!("arg{i}"), value.clone())))),
    },
];

fn sample(arguments: &[Value], index: usize) -> Result<&Struct, String> {
    match arguments.get(index) {
        Some(Value::Struct(sample)) => Ok(sample),
        _ => Err("runtime error: invalid memory address or nil pointer dereference".to_owned()),
    }
}

fn label(sample: &Struct, name: &str) -> Value {
    match sample.field("Labels") {
        Some(Value::Map(labels)) => labels.get_or_zero(name),
        _ => "".into(),
    }
}
