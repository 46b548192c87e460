//! `/api/v1/series`, `labels`, `label/<name>/values`, `metadata`.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use watchfire_ingest::Metadata;
use watchfire_model::{Labels, Matcher, Timestamp};

use super::parameters::Parameters;
use super::{Failed, bad_data, first, labels_json, success_with, unavailable};
use crate::App;

/// The series that the request selects, in its time; nothing if it selects none.
async fn selected(
    app: &App,
    parameters: &Parameters,
    selectors: Vec<Vec<Matcher>>,
) -> Result<Option<Vec<Labels>>, Failed> {
    let start = parameters.time("start", Timestamp::MIN)?;
    let end = parameters.time("end", Timestamp::MAX)?;
    if selectors.is_empty() {
        return Ok(None);
    }
    Ok(Some(app.engine.series(selectors, start, end).await?))
}

/// `/api/v1/series`
pub(super) async fn series(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let limit = parameters.limit()?;
    let selectors = parameters.selectors(&app).await.map_err(|failed| match parameters.all("match[]").next() {
        // An engine that is stopping is no fault of the parameter.
        Some(_) if failed.status == StatusCode::BAD_REQUEST => super::invalid("match[]", failed.message),
        _ => failed,
    })?;
    let found = selected(&app, &parameters, selectors).await?;
    let found = found.ok_or_else(|| bad_data("no match[] parameter provided"))?;
    let (found, warnings) = first(found, limit);
    let answer = move || success_with(found.iter().map(labels_json).collect(), &warnings, &[]);
    app.aside(answer).await.ok_or_else(unavailable)
}

/// `/api/v1/labels`. Without a selector these are the labels of everything that is kept, whatever its time.
pub(super) async fn labels(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let limit = parameters.limit()?;
    let names: Vec<String> = match selected(&app, &parameters, parameters.selectors(&app).await?).await? {
        None => app.engine.label_names().await?,
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
    let values: Vec<String> = match selected(&app, &parameters, parameters.selectors(&app).await?).await? {
        None => app.engine.label_values(name).await?,
        Some(found) => {
            let values: BTreeSet<&str> = found.iter().filter_map(|labels| labels.get(&name)).collect();
            values.into_iter().map(str::to_owned).collect()
        }
    };
    let (values, warnings) = first(values, limit);
    Ok(success_with(json!(values), &warnings, &[]))
}

/// `/api/v1/metadata`: what senders said about metric families.
pub(super) async fn metadata(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let number = |name: &str| {
        let number = parameters.get(name).map_or(Ok(-1), str::parse::<i64>);
        number.map_err(|_| bad_data(format!("{name} must be a number")))
    };
    // As in Prometheus a negative number is no limit, and so is zero for the limit per metric.
    let families_max = usize::try_from(number("limit")?).unwrap_or(usize::MAX);
    let per_family_max = usize::try_from(number("limit_per_metric")?).ok().filter(|max| *max > 0).unwrap_or(usize::MAX);
    let mut families: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for Metadata { family, kind, help, unit } in app.engine.metadata(parameters.get("metric")) {
        if families.len() >= families_max && !families.contains_key(&family) {
            break;
        }
        let variants = families.entry(family).or_default();
        if variants.len() < per_family_max {
            variants.push(json!({ "type": kind.as_str(), "help": help, "unit": unit }));
        }
    }
    Ok(success_with(json!(families), &[], &[]))
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
