//! What Go's text/template has by itself, beside `and`, `or` and `call`, which the executor knows.

use super::{Function, Param, escape};
use crate::go::{sprint, sprintf, sprintln};
use crate::value::Value;

const ANY: &[Param] = &[Param::Any];
const TWO: &[Param] = &[Param::Any, Param::Any];

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "eq", params: TWO, variadic: true, call: |_, a| equal(a).map(Value::Bool) },
    Function { name: "ne", params: TWO, variadic: false, call: |_, a| Ok(Value::Bool(!equal(a)?)) },
    Function { name: "lt", params: TWO, variadic: false, call: |_, a| less(a).map(Value::Bool) },
    Function { name: "le", params: TWO, variadic: false, call: |_, a| at_most(a).map(Value::Bool) },
    Function { name: "gt", params: TWO, variadic: false, call: |_, a| Ok(Value::Bool(!at_most(a)?)) },
    Function { name: "ge", params: TWO, variadic: false, call: |_, a| Ok(Value::Bool(!less(a)?)) },
    Function { name: "not", params: ANY, variadic: false, call: |_, a| Ok(Value::Bool(!argument(a, 0).is_true())) },
    Function { name: "len", params: ANY, variadic: false, call: |_, a| length(argument(a, 0)) },
    Function { name: "index", params: TWO, variadic: true, call: |_, a| index(a) },
    Function { name: "slice", params: TWO, variadic: true, call: |_, a| slice(a) },
    Function { name: "print", params: ANY, variadic: true, call: |_, a| Ok(sprint(a).into()) },
    Function { name: "println", params: ANY, variadic: true, call: |_, a| Ok(sprintln(a).into()) },
    Function {
        name: "printf",
        params: &[Param::Text, Param::Any],
        variadic: true,
        call: |_, a| Ok(sprintf(super::text(a, 0), &a[1..]).into()),
    },
    Function { name: "html", params: ANY, variadic: true, call: |_, a| Ok(escape::html_escape(&joined(a)).into()) },
    Function { name: "js", params: ANY, variadic: true, call: |_, a| Ok(escape::js_escape(&joined(a)).into()) },
    Function {
        name: "urlquery",
        params: ANY,
        variadic: true,
        call: |_, a| Ok(escape::query_escape(&joined(a)).into()),
    },
];

fn argument(arguments: &[Value], index: usize) -> &Value {
    arguments.get(index).unwrap_or(&Value::Nil)
}

/// What the escaping functions work on: one text as it is, anything else printed.
fn joined(arguments: &[Value]) -> String {
    match arguments {
        [one] if one.as_text().is_some() => one.as_text().unwrap_or("").to_owned(),
        all => {
            let shown = |value: &Value| if let Value::Nil = value { "<no value>".into() } else { value.pointed_to() };
            sprint(&all.iter().map(shown).collect::<Vec<_>>())
        }
    }
}

/// `call`: functions are no values here, so this can only explain that. `spelled` is the argument as the template has it;
/// one that comes through the pipeline is shown as Go's reflection does.
pub(crate) fn call_value(spelled: Option<String>, arguments: &[Value]) -> Result<Value, String> {
    let value = argument(arguments, 0);
    let shown = match (spelled, value.as_text()) {
        (Some(spelled), _) => spelled,
        (None, Some(text)) => text.to_owned(),
        (None, None) => format!("<{} Value>", value.type_name()),
    };
    match value {
        Value::Nil => Err("call of nil".to_owned()),
        value => Err(format!("non-function {shown} of type {}", value.type_name())),
    }
}

#[derive(PartialEq, Eq)]
enum Basic<'v> {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float,
    Text(&'v str),
    None,
}

fn basic(value: &Value) -> Basic<'_> {
    match value {
        Value::Bool(truth) => Basic::Bool(*truth),
        Value::Byte(byte) => Basic::Unsigned(u64::from(*byte)),
        Value::Float(_) => Basic::Float,
        Value::Text(text) | Value::Safe(_, text) => Basic::Text(text),
        value => value.as_int().map_or(Basic::None, Basic::Int),
    }
}

fn float(value: &Value) -> f64 {
    if let Value::Float(number) = value { *number } else { f64::NAN }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

/// Whether the first is equal to any of the others.
fn equal(arguments: &[Value]) -> Result<bool, String> {
    let [first, others @ ..] = arguments else {
        return Err("missing argument for comparison".to_owned());
    };
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        let truth = match (basic(first), basic(other)) {
            (Basic::Float, Basic::Float) => float(first) == float(other),
            (Basic::Int(a), Basic::Unsigned(b)) | (Basic::Unsigned(b), Basic::Int(a)) => u64::try_from(a) == Ok(b),
            (Basic::None, Basic::None) => same_composite(first, other)?,
            (a, b) if std::mem::discriminant(&a) == std::mem::discriminant(&b) => a == b,
            _ if matches!(first, Value::Nil) || matches!(other, Value::Nil) => false,
            _ => return Err(incompatible(first, other)),
        };
        if truth {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Times and pointers can be compared, slices and maps cannot.
fn same_composite(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Nil, other) | (other, Value::Nil) => Ok(matches!(other, Value::Nil)),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        (Value::Struct(a), Value::Struct(b)) if a.is_pointer() => Ok(std::sync::Arc::ptr_eq(a, b)),
        (Value::Time(_) | Value::Struct(_), _) if a.type_name() != b.type_name() => Ok(false),
        (a, b) => Err(format!("non-comparable type {}: {}", sprint(std::slice::from_ref(b)), a.type_name())),
    }
}

fn less(arguments: &[Value]) -> Result<bool, String> {
    let (a, b) = (argument(arguments, 0), argument(arguments, 1));
    match (basic(a), basic(b)) {
        (Basic::None, _) | (_, Basic::None) | (Basic::Bool(_), Basic::Bool(_)) => {
            Err("invalid type for comparison".to_owned())
        }
        (Basic::Int(a), Basic::Int(b)) => Ok(a < b),
        (Basic::Unsigned(a), Basic::Unsigned(b)) => Ok(a < b),
        (Basic::Int(a), Basic::Unsigned(b)) => Ok(u64::try_from(a).is_ok_and(|a| a < b) || a < 0),
        (Basic::Unsigned(a), Basic::Int(b)) => Ok(u64::try_from(b).is_ok_and(|b| a < b)),
        (Basic::Float, Basic::Float) => Ok(float(a) < float(b)),
        (Basic::Text(a), Basic::Text(b)) => Ok(a < b),
        _ => Err(incompatible(a, b)),
    }
}

fn at_most(arguments: &[Value]) -> Result<bool, String> {
    Ok(less(arguments)? || equal(arguments)?)
}

fn length(value: &Value) -> Result<Value, String> {
    match value {
        Value::List(list) => Ok(list.items.len().into()),
        Value::Map(map) => Ok(map.len().into()),
        Value::Text(text) | Value::Safe(_, text) => Ok(text.len().into()),
        Value::Nil => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.type_name().trim_start_matches('*'))),
    }
}

fn position(value: &Value, most: usize) -> Result<usize, String> {
    let number = match value {
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        value => value.as_int().ok_or_else(|| format!("cannot index slice/array with type {}", value.type_name()))?,
    };
    usize::try_from(number).ok().filter(|n| *n <= most).ok_or_else(|| format!("index out of range: {number}"))
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let mut item = argument(arguments, 0).clone();
    if matches!(item, Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    for key in arguments.iter().skip(1) {
        item = match &item {
            Value::List(list) => {
                let at = position(key, list.items.len())?;
                list.items.get(at).cloned().ok_or("reflect: slice index out of range")?
            }
            Value::Text(text) | Value::Safe(_, text) => {
                let at = position(key, text.len())?;
                let byte = text.as_bytes().get(at).ok_or("reflect: string index out of range")?;
                Value::Byte(*byte)
            }
            Value::Map(map) => match key {
                Value::Nil => return Err("value is nil; should be of type string".to_owned()),
                Value::Text(key) => map.get_or_zero(key),
                key => return Err(format!("value has type {}; should be string", key.type_name())),
            },
            Value::Nil => return Err("index of nil pointer".to_owned()),
            other => {
                return Err(format!("can't index item of type {}", other.type_name().trim_start_matches('*')));
            }
        };
    }
    Ok(item)
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let item = argument(arguments, 0);
    let bounds = arguments.get(1..).unwrap_or(&[]);
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let length = match item {
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        Value::Text(_) | Value::Safe(..) if bounds.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) | Value::Safe(_, text) => text.len(),
        Value::List(list) => list.items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut limits = [0, length, length];
    for (limit, bound) in limits.iter_mut().zip(bounds) {
        *limit = position(bound, length)?;
    }
    let [start, end, capacity] = limits;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    if bounds.len() == 3 && end > capacity {
        return Err(format!("invalid slice index: {end} > {capacity}"));
    }
    match item {
        Value::List(list) => Ok(Value::list(list.ty, list.items[start..end].to_vec())),
        // Go cuts between any two bytes; a half character is replaced, because texts are UTF-8 here.
        other => Ok(String::from_utf8_lossy(&other.as_text().unwrap_or("").as_bytes()[start..end]).into_owned().into()),
    }
}
