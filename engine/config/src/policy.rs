//! What a route adds to Alertmanager's way of telling: exact repeats, changes only, rate limits, escalation, flap damping.

use std::collections::BTreeSet;
use std::rc::Rc;

use watchfire_alerting::{EscalationStep, FlapDamping, Notify, Policy, RateLimits, Repeat};
use watchfire_model::Duration;

use crate::decode::{Decoder, Fields};
use crate::diagnostic::nearest;
use crate::yaml::Node;

const REPEAT: &[&str] = &[Repeat::Compatible.as_str(), Repeat::Exact.as_str()];
const NOTIFY: &[&str] = &[Notify::All.as_str(), Notify::Changes.as_str()];

/// The policy of a route whose parent has `parent`.
pub(crate) fn policy(fields: &mut Fields<'_, '_>, parent: &Policy, receivers: &BTreeSet<String>) -> Policy {
    let repeat = fields.word("repeat", REPEAT);
    let notify = fields.word("notify", NOTIFY);
    Policy {
        repeat: repeat
            .and_then(|word| Repeat::ALL.into_iter().find(|repeat| repeat.as_str() == word))
            .unwrap_or(parent.repeat),
        notify: notify
            .and_then(|word| Notify::ALL.into_iter().find(|notify| notify.as_str() == word))
            .unwrap_or(parent.notify),
        rate_limits: rate_limits(fields).unwrap_or_else(|| parent.rate_limits.clone()),
        escalation: escalation(fields, receivers).unwrap_or_else(|| parent.escalation.clone()),
        flap_damping: flap_damping(fields).unwrap_or(parent.flap_damping),
    }
}

/// `true` for the standard limits, `false` for none, or limits by severity in place of standard ones.
fn rate_limits(fields: &mut Fields<'_, '_>) -> Option<RateLimits> {
    fields.read("rate_limit", |decoder, node| {
        if decoder.is_recording() {
            return None;
        }
        if node.text().is_some() {
            let on = decoder.boolean(node, "rate_limit")?;
            return Some(if on { RateLimits::standard() } else { RateLimits::default() });
        }
        let mut limits = RateLimits::standard();
        limits.0.extend(decoder.entries(node, "rate_limit", |decoder, entry| {
            if entry.key.is_empty() {
                decoder.error(entry.key_start, "bad-value", "a severity cannot be empty").help("name it, or remove it");
                return None;
            }
            decoder.duration(&entry.value, "a rate limit")
        }));
        Some(limits)
    })
}

fn escalation(fields: &mut Fields<'_, '_>, receivers: &BTreeSet<String>) -> Option<Vec<EscalationStep>> {
    let present = fields.has("escalation");
    let mut before = Duration::ZERO;
    let steps = fields.list("escalation", |decoder, node| {
        let step = decoder.mapping(node, "an escalation step", |f| {
            let after = f.positive_duration("after");
            if after.is_none() && f.lacks("after") {
                f.missing("after")
                    .help("say how long nobody may acknowledge before this receiver is told: `after: 15m`");
            }
            let receiver = f.required("receiver", "name the receiver that is told then");
            if let Some(name) = receiver.as_ref().filter(|name| !receivers.contains(*name)) {
                let help = match nearest(name, receivers.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "define it under `receivers:`".to_owned(),
                };
                f.error("receiver", "undefined-receiver", format!("there is no receiver {name:?}")).help(help);
            }
            Some(EscalationStep { after: after?, receiver: receiver?.as_str().into() })
        });
        let step = step.flatten()?;
        in_order(decoder, node, &mut before, step.after);
        Some(step)
    });
    present.then_some(steps)
}

fn in_order(decoder: &mut Decoder<'_>, node: &Rc<Node>, before: &mut Duration, after: Duration) {
    if after <= *before {
        decoder
            .error(
                node.start,
                "bad-value",
                format!("this step is due after {after}, which is not later than the one before it"),
            )
            .help("give the steps in the order of their times; each counts from the first notification");
    }
    *before = after;
}

/// Absent where nothing is said, and nothing where `false` is.
fn flap_damping(fields: &mut Fields<'_, '_>) -> Option<Option<FlapDamping>> {
    fields.read("flap_damping", |decoder, node| {
        if node.text().is_some() && !decoder.is_recording() {
            if decoder.boolean(node, "flap_damping")? {
                decoder
                    .error(node.start, "wrong-type", "flap_damping needs to know what flapping is")
                    .help("write it like {times: 4, within: 30m}: it fired 4 times within 30 minutes");
                return None;
            }
            return Some(None);
        }
        let damping = decoder.mapping(node, "flap damping", |f| {
            let times = f.count("times");
            let within = f.positive_duration("within");
            for key in ["times", "within"] {
                if f.lacks(key) {
                    f.missing(key).help("write it like {times: 4, within: 30m}: it fired 4 times within 30 minutes");
                }
            }
            let times = usize::try_from(times?).unwrap_or(usize::MAX);
            if !(2..=FlapDamping::TIMES_MAX).contains(&times) {
                f.error("times", "bad-value", format!("times must be from 2 to {}", FlapDamping::TIMES_MAX))
                    .help("an alert that fired once does not flap");
                return None;
            }
            Some(FlapDamping { times, within: within? })
        });
        damping.flatten().map(Some)
    })
}
