//! The three kinds of plugin: the traits of `watchfire-plugin` over a component of any contract, and what their answers
//! must be.

use std::collections::BTreeMap;
use std::mem;

use wasmtime::Store;
use watchfire_model::{AlertStatus, Severity, Timestamp};
use watchfire_plugin::{
    AlertView, Batch, Condition, Decision, Formatter, Limits, Message, MessageGroup, Outcome, Owner, PluginError,
    Router, StandIns, State,
};

use crate::bindings::v0_2::watchfire::plugin::{alerts, types};
use crate::context::{BATCH, Context};
use crate::contract::{ConditionGuest, FormatterGuest, RouterGuest};
use crate::failure::cut;
use crate::opened::Opened;
use crate::recording::{Answer, Input};

/// Receivers that a router may name for one alert.
const RECEIVERS_MAX: usize = 32;
/// Bytes of a receiver's name, of a group key and of a deduplication key.
const KEY_BYTES_MAX: usize = 1_024;
/// Headers of a message.
const HEADERS_MAX: usize = 32;
/// Bytes of a header's name and value together.
const HEADER_BYTES_MAX: usize = 4_096;

/// Bytes of the address of a request.
const URL_BYTES_MAX: usize = 8_192;

/// Headers that authenticate a request; they belong to the host unless the request is the plugin's own.
const HEADERS_WITH_CREDENTIALS: [&str; 3] = ["authorization", "cookie", "x-api-key"];
/// Headers that frame a request or say where it goes; these belong to the host.
const HEADERS_REFUSED: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl<G: ConditionGuest> Condition for Opened<G> {
    fn evaluate(&mut self, batch: &Batch, state: &mut State) -> Result<Outcome, PluginError> {
        let result = self.call(
            batch.at,
            &StandIns::default(),
            Some(state),
            |store, guest, handle| BATCH.set(batch, || guest.evaluate(store, handle)),
            |outcome, limits| check_outcome(outcome, batch.series.len(), limits.text_bytes),
        );
        self.record(
            &result,
            || Input::of_condition(batch, state),
            |outcome| Answer::Condition(outcome.clone(), state.staged()),
        );
        result
    }

    fn owner(&self) -> Owner {
        self.owner()
    }

    fn limit(&mut self, limits: Limits) {
        self.allow(limits);
    }
}

fn check_outcome(mut outcome: Outcome, series: usize, text_bytes: usize) -> Result<Outcome, PluginError> {
    let mut seen = Seen::new(series);
    for finding in &mut outcome.findings {
        seen.note(finding.series)?;
        if finding.summary.len() > text_bytes {
            finding.summary = cut(mem::take(&mut finding.summary), text_bytes);
        }
    }
    for index in &outcome.unknown {
        seen.note(*index)?;
    }
    Ok(outcome)
}

/// The series that an answer has mentioned: each exists and is mentioned once.
struct Seen {
    series: usize,
    /// Made when the first index comes; most answers mention nothing.
    bits: Vec<u64>,
}

impl Seen {
    fn new(series: usize) -> Seen {
        Seen { series, bits: Vec::new() }
    }

    fn note(&mut self, index: u32) -> Result<(), PluginError> {
        let at = index as usize;
        if at >= self.series {
            return Err(PluginError::InvalidOutput(format!(
                "it answered about series {index}, there are {}",
                self.series
            )));
        }
        if self.bits.is_empty() {
            self.bits.resize(self.series.div_ceil(64), 0);
        }
        let bit = 1 << (at % 64);
        if self.bits[at / 64] & bit != 0 {
            return Err(PluginError::InvalidOutput(format!("it answered about series {index} twice")));
        }
        self.bits[at / 64] |= bit;
        Ok(())
    }
}

impl<G: RouterGuest> Router for Opened<G> {
    fn route(&mut self, at: Timestamp, alerts: &[AlertView]) -> Result<Vec<Decision>, PluginError> {
        let views: Vec<_> = alerts.iter().map(LentAlert::new).collect();
        let lowered: Vec<_> = views.iter().map(LentAlert::lower).collect();
        let result = self.call(
            at,
            &StandIns::default(),
            None,
            |store, guest, handle| guest.route(store, handle, at.as_millis(), &lowered),
            |decisions, limits| check_decisions(decisions, alerts.len(), limits),
        );
        self.record(&result, || Input::Router(at, alerts.to_vec()), |decisions| Answer::Router(decisions.clone()));
        result
    }
}

fn check_decisions(decisions: Vec<Decision>, alerts: usize, limits: &Limits) -> Result<Vec<Decision>, PluginError> {
    if decisions.len() != alerts {
        return Err(PluginError::InvalidOutput(format!("it decided {} times about {alerts} alerts", decisions.len())));
    }
    let checked = decisions.into_iter().map(|Decision { receivers, suppress, group_key }| {
        if receivers.len() > RECEIVERS_MAX {
            return Err(PluginError::InvalidOutput(format!(
                "it named {} receivers for one alert, the limit is {RECEIVERS_MAX}",
                receivers.len()
            )));
        }
        for name in &receivers {
            check_key("a receiver", name)?;
        }
        if let Some(key) = &group_key {
            check_key("a group key", key)?;
        }
        if suppress.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            let what = "it held an alert back without saying why, which whoever misses the page would ask";
            return Err(PluginError::InvalidOutput(what.to_owned()));
        }
        let suppress = suppress.map(|reason| cut(reason, limits.text_bytes));
        Ok(Decision { receivers, suppress, group_key })
    });
    checked.collect()
}

fn check_key(what: &str, key: &str) -> Result<(), PluginError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(PluginError::InvalidOutput(format!(
            "it gave {what} of {} bytes, there may be 1 to {KEY_BYTES_MAX}",
            key.len()
        )));
    }
    Ok(())
}

impl<G: FormatterGuest> Formatter for Opened<G> {
    fn format(&mut self, group: &MessageGroup) -> Result<Message, PluginError> {
        let views: Vec<_> = group.alerts.iter().map(LentAlert::new).collect();
        let lent = LentGroup {
            group,
            labels: pairs(&group.group_labels),
            secrets: pairs(&group.secrets),
            alerts: views.iter().map(LentAlert::lower).collect(),
        };
        let stand_ins = StandIns::of(&group.secrets);
        let run = |store: &mut Store<Context>, guest: &G, handle| guest.format(store, handle, &lent);
        let result = self.call(group.at, &stand_ins, None, run, check_message);
        self.record(
            &result,
            || Input::Formatter(stand_ins.group(group)),
            |message| Answer::Formatter(stand_ins.message(message)),
        );
        result
    }
}

fn check_message(message: Message, limits: &Limits) -> Result<Message, PluginError> {
    let Message { content_type, body, headers, dedup_key, target, .. } = &message;
    let refuse = |text: String| Err(PluginError::InvalidOutput(text));
    if body.len() > limits.body_bytes {
        let limit = limits.body_bytes as u64;
        return Err(PluginError::LimitExceeded { resource: "the message's body", limit, unit: "bytes" });
    }
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let is_media_type = media_type.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    // A request may have no body, and then there is nothing that the type would be of.
    let is_empty = target.is_some() && body.is_empty() && content_type.is_empty();
    if !is_empty && (!is_media_type || !is_header_value(content_type)) {
        let shown = cut(content_type.clone(), 64);
        return refuse(format!("it gave {shown:?} as content type, such as application/json is one"));
    }
    if headers.len() > HEADERS_MAX {
        return refuse(format!("it gave {} headers, the limit is {HEADERS_MAX}", headers.len()));
    }
    for (name, value) in headers {
        let shown = cut(name.clone(), 64);
        if !is_token(name) || !is_header_value(value) || name.len() + value.len() > HEADER_BYTES_MAX {
            return refuse(format!("the header {shown:?} is malformed or longer than {HEADER_BYTES_MAX} bytes"));
        }
        let lower = name.to_ascii_lowercase();
        let credentials = HEADERS_WITH_CREDENTIALS.contains(&lower.as_str());
        if credentials && target.is_none() {
            return refuse(format!("it may not set the header {shown:?}; the host addresses and signs the request"));
        }
        if HEADERS_REFUSED.contains(&lower.as_str()) || lower.starts_with("proxy-") || lower.starts_with("sec-") {
            return refuse(format!("it may not set the header {shown:?}; the host frames the request"));
        }
    }
    if let Some(key) = dedup_key {
        check_key("a deduplication key", key)?;
    }
    if let Some(target) = target
        && (target.url.len() > URL_BYTES_MAX || !target.url.bytes().all(|byte| (b'!'..=b'~').contains(&byte)))
    {
        return refuse(format!(
            "the address of its request is longer than {URL_BYTES_MAX} bytes or has characters that must be percent-encoded"
        ));
    }
    Ok(Message { title: cut(message.title, limits.text_bytes), ..message })
}

fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

pub(crate) fn severity_from(severity: types::Severity) -> Severity {
    match severity {
        types::Severity::Info => Severity::Info,
        types::Severity::Warning => Severity::Warning,
        types::Severity::Error => Severity::Error,
        types::Severity::Critical => Severity::Critical,
    }
}

fn severity_to(severity: Severity) -> types::Severity {
    match severity {
        Severity::Info => types::Severity::Info,
        Severity::Warning => types::Severity::Warning,
        Severity::Error => types::Severity::Error,
        Severity::Critical => types::Severity::Critical,
    }
}

/// A group as it is lowered, whatever the contract calls its parts.
pub(crate) struct LentGroup<'a> {
    pub(crate) group: &'a MessageGroup,
    pub(crate) labels: Vec<(&'a str, &'a str)>,
    pub(crate) secrets: Vec<(&'a str, &'a str)>,
    pub(crate) alerts: Vec<alerts::Alert<'a>>,
}

/// An alert with what lowering borrows from.
struct LentAlert<'a> {
    view: &'a AlertView,
    fingerprint: String,
    labels: Vec<(&'a str, &'a str)>,
    annotations: Vec<(&'a str, &'a str)>,
}

impl<'a> LentAlert<'a> {
    fn new(view: &'a AlertView) -> LentAlert<'a> {
        LentAlert {
            view,
            fingerprint: view.alert.fingerprint().to_string(),
            labels: view.alert.labels.iter().map(|label| (label.name, label.value)).collect(),
            annotations: view.alert.annotations.iter().collect(),
        }
    }

    fn lower(&self) -> alerts::Alert<'_> {
        let alert = &self.view.alert;
        let firing = self.view.status == AlertStatus::Firing;
        alerts::Alert {
            fingerprint: &self.fingerprint,
            name: alert.name(),
            severity: severity_to(self.view.severity),
            firing,
            starts_ms: alert.starts_at.as_millis(),
            ends_ms: if firing { None } else { alert.ends_at.map(Timestamp::as_millis) },
            value: alert.value,
            summary: self.view.summary(),
            generator_url: &alert.generator_url,
            labels: &self.labels,
            annotations: &self.annotations,
        }
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_an_alert_back_says_why() {
        for (reason, is_taken) in [(None, true), (Some("muted"), true), (Some(""), false), (Some(" \n"), false)] {
            let decision = Decision { suppress: reason.map(str::to_owned), ..Decision::default() };
            let checked = check_decisions(vec![decision], 1, &Limits::STANDARD);
            assert_eq!(checked.is_ok(), is_taken, "{reason:?}: {checked:?}");
        }
    }

    #[test]
    fn each_series_is_mentioned_once_and_exists() {
        let mut seen = Seen::new(65);
        seen.note(0).unwrap();
        seen.note(64).unwrap();
        assert_eq!(
            seen.note(64).unwrap_err().to_string(),
            "the plugin broke the contract: it answered about series 64 twice"
        );
        assert_eq!(
            seen.note(65).unwrap_err().to_string(),
            "the plugin broke the contract: it answered about series 65, there are 65"
        );
    }
}
