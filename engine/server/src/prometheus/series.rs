//! `/api/v1/series`, `labels`, `label/<name>/values`, `metadata`.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;
use watchfire_model::{Labels, Timestamp};

use super::parameters::Parameters;
use super::{Failed, bad_data, first, labels_json, success_with};
use crate::App;

/// The series that the request selects, in its time.
fn selected(app: &App, parameters: &Parameters) -> Result<Option<Vec<Labels>>, Failed> {
    let start = parameters.time("start", Timestamp::MIN)?;
    let end = parameters.time("end", Timestamp::MAX)?;
    let selectors = parameters.selectors()?;
    Ok((!selectors.is_empty()).then(|| app.engine.series(&selectors, start, end)))
}

/// `/api/v1/series`
pub(super) async fn series(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let limit = parameters.limit()?;
    let found = selected(&app, &parameters).map_err(|failed| match parameters.all("match[]").next() {
        Some(_) if !failed.message.starts_with("invalid parameter") => super::invalid("match[]", failed.message),
        _ => failed,
    })?;
    let found = found.ok_or_else(|| bad_data("no match[] parameter provided"))?;
    let (found, warnings) = first(found, limit);
    Ok(success_with(found.iter().map(labels_json).collect(), &warnings, &[]))
}

/// `/api/v1/labels`. Without a selector these are the labels of everything that is kept, whatever its time.
pub(super) async fn labels(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let limit = parameters.limit()?;
    let names: Vec<String> = match selected(&app, &parameters)? {
        None => app.engine.label_names(),
        Some(found) => {
            let names: BTreeSet<&str> = found.iter().flat_map(|labels| labels.iter().map(|label| label.name)).collect();
            names.into_iter().map(str::to_owned).collect()
        }
    };
    let (names, warnings) = first(names, limit);
    Ok(success_with(json!(names), &warnings, &[]))
}

/// `/api/v1/label/<name>/values`, as [`labels`].
pub(super) async fn label_values(
    State(app): State<App>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Response, Failed> {
    let name = unescaped(&name).unwrap_or(name);
    if name.is_empty() {
        return Err(bad_data(format!("invalid label name: {name:?}")));
    }
    let limit = parameters.limit()?;
    let values: Vec<String> = match selected(&app, &parameters)? {
        None => app.engine.label_values(&name),
        Some(found) => {
            let values: BTreeSet<&str> = found.iter().filter_map(|labels| labels.get(&name)).collect();
            values.into_iter().map(str::to_owned).collect()
        }
    };
    let (values, warnings) = first(values, limit);
    Ok(success_with(json!(values), &warnings, &[]))
}

/// `/api/v1/metadata`: kinds and help texts are not kept, which the API allows.
pub(super) async fn metadata(parameters: Parameters) -> Result<Response, Failed> {
    for name in ["limit", "limit_per_metric"] {
        if parameters.get(name).is_some_and(|text| text.parse::<i64>().is_err()) {
            return Err(bad_data(format!("{name} must be a number")));
        }
    }
    Ok(success_with(json!({}), &[], &[]))
}

/// A name that is no legal part of an address, as Prometheus' clients write it: `U__` in front, `_` doubled, and every
/// other character as its code in hexadecimal between two `_`. `None` for a name that is written as it is.
fn unescaped(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut out = String::new();
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (code, behind) = rest.split_once('_')?;
        rest = behind;
        out.push(if code.is_empty() { '_' } else { char::from_u32(u32::from_str_radix(code, 16).ok()?)? });
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (name, expected) in [
            ("job", None),
            ("U__http_2e_status", Some("http.status")),
            ("U__a__b", Some("a_b")),
            ("U___f6_l", Some("öl")),
            ("U__broken_2e", None),
        ] {
            assert_eq!(unescaped(name).as_deref(), expected, "{name}");
        }
    }
}
