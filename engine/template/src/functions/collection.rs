//! Lists, maps and JSON.

use watchfire_model::{format_g, format_json};

use super::{Function, Param, TEXT_BYTES_MAX, too_long};
use crate::value::{ANY_LIST, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "list",
        params: &[Param::Any],
        variadic: true,
        call: |_, a| Ok(Value::list(&ANY_LIST, a.to_vec())),
    },
    Function {
        name: "append",
        params: &[Param::AnyList, Param::Any],
        variadic: true,
        call: |_, a| {
            let mut items = match a.first() {
                Some(Value::List(list)) => list.items.to_vec(),
                _ => Vec::new(),
            };
            items.extend(a.iter().skip(1).cloned());
            Ok(Value::list(&ANY_LIST, items))
        },
    },
    Function { name: "dict", params: &[Param::Any], variadic: true, call: |_, a| dict(a) },
    Function {
        name: "toJson",
        params: &[Param::Any],
        variadic: false,
        call: |_, a| {
            let mut out = String::new();
            write_json(&mut out, a.first().unwrap_or(&Value::Nil))?;
            Ok(out.into())
        },
    },
];

fn dict(arguments: &[Value]) -> Result<Value, String> {
    if !arguments.len().is_multiple_of(2) {
        return Err("dict requires an even number of arguments".to_owned());
    }
    let mut entries = Vec::with_capacity(arguments.len() / 2);
    for pair in arguments.chunks_exact(2) {
        let Value::Text(key) = &pair[0] else { return Err("dict keys must be strings".to_owned()) };
        entries.push((key.to_string(), pair[1].clone()));
    }
    Ok(Value::map(entries))
}

/// JSON as Go's `json.Marshal` writes it: keys of maps sorted, `<`, `>` and `&` escaped.
pub(crate) fn write_json(out: &mut String, value: &Value) -> Result<(), String> {
    if out.len() > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Float(number) => out.push_str(&json_number(*number)?),
        Value::Text(text) | Value::Safe(_, text) => write_json_text(out, text),
        Value::Time(time) => write_json_text(out, &time.format("2006-01-02T15:04:05.999999999Z07:00")),
        Value::Int(_) | Value::Byte(_) | Value::Duration(_) | Value::Named(_) => {
            out.push_str(&value.as_int().unwrap_or(0).to_string());
        }
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, item)?;
            }
            out.push(']');
        }
        Value::Map(map) => write_json_object(out, map.entries().into_iter())?,
        Value::Struct(structure) => {
            // The notification data has lower-case names in JSON.
            let tagged = matches!(structure.ty.name, "*template.Data" | "template.Alert");
            let fields = structure.fields.iter().map(|(name, value)| {
                let mut name = (*name).to_owned();
                if tagged && let Some(first) = name.get_mut(..1) {
                    first.make_ascii_lowercase();
                }
                (name, value.clone())
            });
            write_json_object(out, fields)?;
        }
    }
    Ok(())
}

fn write_json_object(out: &mut String, entries: impl Iterator<Item = (String, Value)>) -> Result<(), String> {
    out.push('{');
    for (i, (key, value)) in entries.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_json_text(out, &key);
        out.push(':');
        write_json(out, &value)?;
    }
    out.push('}');
    Ok(())
}

fn json_number(number: f64) -> Result<String, String> {
    if !number.is_finite() {
        let shown = format_g(number);
        return Err(format!("json: unsupported value: {shown}"));
    }
    Ok(format_json(number))
}

fn write_json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let value = Value::map([
            ("b".to_owned(), Value::Float(1e21)),
            ("a".to_owned(), Value::texts(["<x>", "\"\n"])),
            ("c".to_owned(), Value::Float(0.1)),
        ]);
        let mut out = String::new();
        write_json(&mut out, &value).unwrap();
        assert_eq!(out, r#"{"a":["\u003cx\u003e","\"\n"],"b":1e+21,"c":0.1}"#);
        assert!(write_json(&mut out, &Value::Float(f64::NAN)).is_err());
        assert!(dict(&["a".into()]).is_err());
    }
}
