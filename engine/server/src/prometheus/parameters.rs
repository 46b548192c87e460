//! The parameters of a request, from its address and from a form in its body.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use watchfire_model::{Duration, Matcher, MatcherBudget, Timestamp};
use watchfire_promql::{self as promql, Expr, Features, ParseError};

use super::{Failed, bad_data, invalid, unavailable};
use crate::alertmanager::pairs;
use crate::{App, body};

/// Parameters in the order in which Go's `Request.Form` has them: those of the body first.
pub(super) struct Parameters(Vec<(String, String)>);

impl FromRequest<App> for Parameters {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Parameters, Response> {
        let (parts, body) = request.into_parts();
        let media = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_form = media.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded";
        let form = if is_form {
            // A query has its own time, which begins when it is known; what it takes to send it is bounded here.
            let timeout = app.limits().request_timeout.to_std();
            let read = tokio::time::timeout(timeout, body::read(&parts.headers, body, app.body_bytes_max())).await;
            let late = |_| {
                let text = format!("the body has not come within {} s\n", timeout.as_secs_f64());
                (StatusCode::REQUEST_TIMEOUT, text).into_response()
            };
            read.map_err(late)?.map_err(IntoResponse::into_response)?
        } else {
            Bytes::new()
        };
        let mut all: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
        all.extend(pairs(parts.uri.query().unwrap_or_default()));
        Ok(Parameters(all))
    }
}

impl Parameters {
    /// The first value of a parameter; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(super) fn time(&self, name: &str, default: Timestamp) -> Result<Timestamp, Failed> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let unreadable =
            || invalid(name, format!("invalid time value for '{name}': cannot parse {text:?} to a valid timestamp"));
        parse_time(text).ok_or_else(unreadable)
    }

    /// A time that must be there.
    pub(super) fn needed_time(&self, name: &str) -> Result<Timestamp, Failed> {
        let text = self.text(name);
        parse_time(text).ok_or_else(|| invalid(name, format!("cannot parse {text:?} to a valid timestamp")))
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Failed> {
        self.get(name).map(|_| self.needed_duration(name)).transpose()
    }

    pub(super) fn needed_duration(&self, name: &str) -> Result<Duration, Failed> {
        let text = self.text(name);
        parse_duration(text).ok_or_else(|| invalid(name, format!("cannot parse {text:?} to a valid duration")))
    }

    /// How many results are wanted; 0 for all.
    pub(super) fn limit(&self) -> Result<usize, Failed> {
        let Some(text) = self.get("limit") else { return Ok(0) };
        match text.parse::<i64>() {
            Ok(limit) => usize::try_from(limit).map_err(|_| invalid("limit", "limit must be non-negative")),
            // Go's words.
            Err(_) => Err(invalid("limit", format!("strconv.Atoi: parsing {text:?}: invalid syntax"))),
        }
    }

    /// The `match[]` parameters.
    pub(super) async fn selectors(&self, app: &App) -> Result<Vec<Vec<Matcher>>, Failed> {
        let texts: Vec<String> = self.all("match[]").map(str::to_owned).collect();
        let read = move |budget: &mut MatcherBudget| {
            let selector = |text: &String| {
                let matchers = promql::parse_selector_within(text, budget).map_err(bad_data)?;
                if matchers.iter().all(|matcher| matcher.matches("")) {
                    return Err(bad_data("match[] must contain at least one non-empty matcher"));
                }
                Ok(matchers)
            };
            texts.iter().map(selector).collect()
        };
        app.read_matchers(MatcherBudget::of_request(), read).await.ok_or_else(unavailable)?
    }

    /// The expression in the parameter `query`.
    pub(super) async fn expression(&self, app: &App) -> Result<Result<Expr, ParseError>, Failed> {
        let text = self.text("query").to_owned();
        let read = move |budget: &mut MatcherBudget| promql::parse_within(&text, Features::default(), budget);
        app.read_matchers(MatcherBudget::of_request(), read).await.ok_or_else(unavailable)
    }
}

/// Seconds since the epoch with a fraction, or RFC 3339.
fn parse_time(text: &str) -> Option<Timestamp> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds.abs() < 9e15 => Some(Timestamp::from_secs_f64(seconds)),
        Ok(_) => None,
        Err(_) => match text {
            // The ends of time as clients in Go write them, beyond what four digits of a year can say.
            "-292273086-05-16T16:47:06Z" => Some(Timestamp::MIN),
            "292277025-08-18T07:12:54.999999999Z" => Some(Timestamp::MAX),
            _ => Timestamp::parse_rfc3339(text).ok(),
        },
    }
}

/// Seconds with a fraction, or a duration like `5m`.
fn parse_duration(text: &str) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.abs() < 9.2e9 => Some(Duration::from_millis((seconds * 1000.0).round() as i64)),
        Ok(_) => None,
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc3339() {
        assert_eq!(parse_time("1.5"), Some(Timestamp::from_millis(1_500)));
        assert_eq!(parse_time("1970-01-01T00:00:02Z"), Some(Timestamp::from_secs(2)));
        assert_eq!(parse_time("NaN"), None);
        assert_eq!(parse_duration("15"), Some(Duration::from_secs(15)));
        assert_eq!(parse_duration("1m"), Some(Duration::from_mins(1)));
        assert_eq!(parse_duration("NaN"), None);
    }
}
