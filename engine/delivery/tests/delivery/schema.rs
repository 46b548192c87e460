//! As much of JSON Schema as the published schemas of the channels use. Unknown keywords fail, so that no rule is
//! passed over in silence.

use serde_json::Value;

/// Every rule of `schema` that `value` breaks, as `path: reason`.
pub(crate) fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(schema, schema, value, "", &mut out);
    out
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    let rules = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return out.push(format!("{path}: is not allowed")),
        Value::Object(rules) => rules,
        _ => panic!("not a schema: {schema}"),
    };
    let valid = |sub: &Value| {
        let mut errors = Vec::new();
        check(root, sub, value, path, &mut errors);
        errors
    };
    for (keyword, rule) in rules {
        let number = || rule.as_u64().unwrap() as usize;
        let length = || value.as_str().map(|text| text.chars().count());
        let count = || value.as_array().map(Vec::len);
        let list = || rule.as_array().unwrap().iter();
        match keyword.as_str() {
            "$schema" | "title" | "$defs" | "then" | "else" | "format" => {}
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                check(root, target, value, path, out);
            }
            "type" => {
                let names: Vec<&str> = match rule {
                    Value::String(name) => vec![name],
                    _ => list().map(|name| name.as_str().unwrap()).collect(),
                };
                if !names.iter().any(|name| is_type(name, value)) {
                    out.push(format!("{path}: is not of type {names:?}"));
                }
            }
            "const" => out.extend((rule != value).then(|| format!("{path}: is not {rule}"))),
            "enum" => out.extend((!list().any(|one| one == value)).then(|| format!("{path}: is none of {rule}"))),
            "minLength" => out.extend(length().filter(|n| *n < number()).map(|n| format!("{path}: too short: {n}"))),
            "maxLength" => out.extend(length().filter(|n| *n > number()).map(|n| format!("{path}: too long: {n}"))),
            "minItems" => out.extend(count().filter(|n| *n < number()).map(|n| format!("{path}: too few: {n}"))),
            "maxItems" => out.extend(count().filter(|n| *n > number()).map(|n| format!("{path}: too many: {n}"))),
            "pattern" => {
                let pattern = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    out.push(format!("{path}: does not match {rule}"));
                }
            }
            "required" => {
                let Some(object) = value.as_object() else { continue };
                let missing = list().filter(|name| !object.contains_key(name.as_str().unwrap()));
                out.extend(missing.map(|name| format!("{path}: lacks {name}")));
            }
            "properties" => {
                for (name, sub) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        check(root, sub, inner, &format!("{path}/{name}"), out);
                    }
                }
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object);
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        check(root, rule, inner, &format!("{path}/{name}"), out);
                    }
                }
            }
            "items" => {
                for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, inner, &format!("{path}/{index}"), out);
                }
            }
            "allOf" => list().for_each(|sub| out.extend(valid(sub))),
            "anyOf" => {
                let all: Vec<_> = list().map(&valid).collect();
                if all.iter().all(|errors| !errors.is_empty()) {
                    out.push(format!("{path}: fits none of several: {}", all.concat().join("; ")));
                }
            }
            "oneOf" => {
                let all: Vec<_> = list().map(&valid).collect();
                if all.iter().filter(|errors| errors.is_empty()).count() != 1 {
                    out.push(format!("{path}: fits not exactly one of several: {}", all.concat().join("; ")));
                }
            }
            "not" => out.extend(valid(rule).is_empty().then(|| format!("{path}: must not fit {rule}"))),
            "if" => {
                let branch = if valid(rule).is_empty() { "then" } else { "else" };
                if let Some(sub) = rules.get(branch) {
                    check(root, sub, value, path, out);
                }
            }
            other => panic!("the keyword {other} is not known here"),
        }
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    }
}

#[test]
fn rules_that_are_broken_are_found() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": "string", "maxLength": 2}, "b": {"oneOf": [{"const": 1}, {"type": "integer"}]}},
        "if": {"required": ["b"]}, "then": {"properties": {"a": {"pattern": "^x"}}}
    });
    let table = [
        (serde_json::json!({"a": "yy"}), 0),
        (serde_json::json!({"a": "xyz"}), 1),
        (serde_json::json!({"a": "yy", "b": 2}), 1),
        (serde_json::json!({"a": "xy", "b": 1}), 1),
        (serde_json::json!({"c": 1}), 2),
    ];
    for (value, expected) in table {
        assert_eq!(errors(&schema, &value).len(), expected, "{value}: {:?}", errors(&schema, &value));
    }
}
