//! The table.

use axum::http::Method;
use axum::routing::{delete, get, post};
use serde_json::json;

use super::schema::{boolean, described, integer, list, map, named, nullable, object, text, time, word};
use super::{Content, Operation};
use crate::{acknowledgement, admin, explain, inbound, plugin_calls as calls, plugins, receivers, routes, send};

/// Every operation of this engine's own API.
pub(super) fn all() -> Vec<Operation> {
    [engine(), plugins(), plugin_calls(), acknowledgements(), of_receivers(), webhooks(), events()]
        .into_iter()
        .flatten()
        .collect()
}

fn engine() -> Vec<Operation> {
    let mut stream = Operation::new(
        Method::GET,
        crate::STREAM,
        "stream",
        "Server-sent events: `changed` whenever anything may look different, and one every few seconds",
    );
    stream.answer = Some(Content("text/event-stream", text()));
    vec![
        Operation::new(
            Method::GET,
            "/api/watchfire/v1/explain",
            "explain",
            "Why an alert was told, or why not: by its fingerprint, or by labels, also of one that never came",
        )
        .parameter("query", "fingerprint", named("Fingerprint"), false, "The alert")
        .parameter("query", "label", text(), true, "NAME=VALUE, as often as the alert has labels")
        .answers(named("Explanation"))
        .refuses(&[400, 404])
        .by(get(explain::explain)),
        Operation::new(Method::GET, "/api/watchfire/v1/routes", "routes", "The route tree as it is in force")
            .answers(named("Route"))
            .by(get(routes::routes)),
        stream.by(get(admin::stream)),
    ]
}

fn plugins() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/api/watchfire/v1/plugins",
            "plugins",
            "Every plugin with what it offers, may use and has done since the start",
        )
        .answers(object(&[("plugins", list(named("Plugin")))], &[]))
        .by(get(plugins::plugins)),
    ]
}

fn plugin_calls() -> Vec<Operation> {
    let path = "/api/watchfire/v1/plugins/{plugin}/calls";
    let of_plugin = |method, path, id, summary| {
        Operation::new(method, path, id, summary)
            .parameter("path", "plugin", text(), false, "The plugin's name")
            .refuses(&[400, 404])
    };
    let failure = object(&[("kind", text()), ("message", text())], &[]);
    let call = object(
        &[
            ("number", integer()),
            ("kind", text()),
            ("part", json!({})),
            ("at", time()),
            ("digest", text()),
            ("failure", described(nullable(failure), "Null where the call succeeded")),
            ("nanoseconds", integer()),
        ],
        &[],
    );
    let mut record = of_plugin(Method::POST, path, "recordPluginCalls", "Record the next calls of a plugin")
        .parameter("query", "calls", integer(), false, "How many")
        .answers(object(&[("calls", integer())], &[]))
        .by(post(calls::record));
    record.success = 202;
    vec![
        of_plugin(Method::GET, path, "pluginCalls", "The recorded calls of a plugin, the oldest first")
            .answers(object(&[("calls", list(call))], &[]))
            .by(get(calls::calls)),
        record,
        of_plugin(
            Method::GET,
            "/api/watchfire/v1/plugins/{plugin}/calls/{number}",
            "pluginCall",
            "One recorded call with everything that is needed to make it again",
        )
        .parameter("path", "number", integer(), false, "The call's number")
        .answers(json!({"type": "object"}))
        .by(get(calls::call)),
    ]
}

fn acknowledgements() -> Vec<Operation> {
    let path = "/api/watchfire/v1/acknowledgements";
    let what = [
        ("fingerprint", described(named("Fingerprint"), "An alert; either this or `groupKey`")),
        ("groupKey", described(text(), "An alert group")),
    ];
    let until = described(time(), "When the acknowledgement ends by itself");
    let snooze = described(boolean(), "Whether receivers are told again at that time");
    let more = [("comment", text()), ("until", until), ("snooze", snooze)];
    let set = object(&[("by", text())], &[&what[..], &more[..]].concat());
    let answer = object(&[("alerts", described(list(named("Fingerprint")), "Those concerned"))], &[]);
    vec![
        Operation::new(
            Method::POST,
            path,
            "acknowledge",
            "Acknowledge or snooze: no repeats, no escalation until it ends",
        )
        .takes(set)
        .answers(answer.clone())
        .refuses(&[400, 404])
        .by(post(acknowledgement::set)),
        Operation::new(Method::DELETE, path, "withdrawAcknowledgement", "Withdraw an acknowledgement")
            .takes(object(&[], &what))
            .answers(answer)
            .refuses(&[400, 404])
            .by(delete(acknowledgement::withdraw)),
    ]
}

fn of_receivers() -> Vec<Operation> {
    let alerts = described(list(named("PostableAlert")), "Without any, a test alert");
    let wanted = || object(&[("receiver", text())], &[("alerts", alerts.clone())]);
    let deliveries = || list(named("Delivery"));
    let previewed = json!({"oneOf": [
        object(&[("requests", list(named("Request")))], &[]),
        object(&[("error", text())], &[]),
    ]});
    vec![
        Operation::new(
            Method::POST,
            "/api/watchfire/v1/receivers/preview",
            "previewReceiver",
            "The requests that a receiver would be sent; nothing is sent",
        )
        .takes(wanted())
        .answers(object(&[("receiver", text()), ("integrations", list(previewed))], &[]))
        .refuses(&[400, 404])
        .by(post(receivers::preview)),
        Operation::new(
            Method::POST,
            "/api/watchfire/v1/receivers/test",
            "testReceiver",
            "Send a test alert, or these, to a receiver, past all routes, and say how it went",
        )
        .takes(wanted())
        .answers(object(&[("receiver", text()), ("deliveries", deliveries())], &[]))
        .refuses(&[400, 404])
        .by(post(receivers::test)),
        Operation::new(
            Method::GET,
            "/api/watchfire/v1/deliveries",
            "deliveries",
            "The last attempts with what was sent and answered, newest first",
        )
        .parameter("query", "receiver", text(), false, "Only those to this receiver")
        .parameter("query", "limit", integer(), false, "At most so many")
        .answers(object(&[("deliveries", deliveries())], &[]))
        .refuses(&[400])
        .by(get(receivers::deliveries)),
        Operation::new(
            Method::POST,
            "/api/watchfire/v1/deliveries/{number}/redeliver",
            "redeliver",
            "Send a delivery once more",
        )
        .parameter("path", "number", integer(), false, "Its number in the list of deliveries")
        .answers(named("Delivery"))
        .refuses(&[404])
        .by(post(receivers::redeliver)),
    ]
}

fn webhooks() -> Vec<Operation> {
    let mut pagerduty = Operation::new(
        Method::POST,
        inbound::SIGNED[0],
        "pagerDutyWebhook",
        "PagerDuty's v3 webhooks: what is acknowledged or resolved there is so here",
    )
    .refuses(&[400, 404, 422]);
    pagerduty.body = Some(Content("application/json", json!({"type": "object"})));
    let mut slack = Operation::new(
        Method::POST,
        inbound::SIGNED[1],
        "slackInteractive",
        "Clicks on the buttons of Slack messages: acknowledge and silence",
    )
    .refuses(&[400, 404, 422]);
    slack.body = Some(Content("application/x-www-form-urlencoded", object(&[("payload", text())], &[])));
    slack.answer = Some(Content("text/plain", text()));
    vec![pagerduty.by(post(inbound::pagerduty)), slack.by(post(inbound::slack))]
}

fn events() -> Vec<Operation> {
    let severity = || word(&["critical", "error", "warning", "info"]);
    let happened = object(
        &[("event_type", described(text(), "A word; it becomes the alert's name")), ("title", text())],
        &[
            ("severity", described(severity(), "warning unless it is given")),
            ("message", text()),
            ("source", text()),
            ("labels", named("Labels")),
            ("details", map(json!({}))),
            ("lasts", described(text(), "How long it holds unless it is sent again, such as 1h")),
            ("resolved", described(boolean(), "Whether it is over")),
        ],
    );
    let accepted = object(
        &[
            ("status", word(&["accepted"])),
            ("fingerprint", named("Fingerprint")),
            ("dedup_key", described(text(), "Ends it at /v1/alerting/pagerduty/resolve")),
            ("receivers", list(text())),
        ],
        &[],
    );
    let counted = ["notifications", "delivered", "retried", "rejected", "given_up"].map(|name| (name, integer()));
    let stats = object(
        &[
            ("firing", described(map(integer()), "By severity")),
            ("since_start", object(&counted, &[])),
            ("waiting", integer()),
            ("history", object(&[("attempts", integer()), ("failed", integer())], &[])),
        ],
        &[],
    );
    let event_type = object(&[("event_type", text())], &[("description", text())]);
    let level = object(&[("severity", severity()), ("rate_limit", nullable(text()))], &[]);
    vec![
        Operation::new(Method::POST, "/v1/alerting/send", "send", "Send an alert: say what happened")
            .takes(happened)
            .answers(accepted)
            .refuses(&[400])
            .by(post(send::send)),
        Operation::new(Method::POST, "/v1/alerting/test", "sendTest", "Send a test alert to a receiver")
            .takes(object(&[("receiver", text())], &[]))
            .answers(object(&[("deliveries", list(named("Delivery")))], &[]))
            .refuses(&[400, 404])
            .by(post(send::test)),
        Operation::new(Method::GET, "/v1/alerting/stats", "stats", "What fires, and how deliveries went")
            .answers(stats)
            .by(get(send::stats)),
        Operation::new(Method::POST, "/v1/alerting/clear-history", "clearHistory", "Forget the attempts to deliver")
            .answers(object(&[("forgotten", integer())], &[]))
            .by(post(send::clear_history)),
        Operation::new(Method::GET, "/v1/alerting/event-types", "eventTypes", "The event types, known and sent ones")
            .answers(object(&[("event_types", list(event_type))], &[]))
            .by(get(send::event_types)),
        Operation::new(Method::GET, "/v1/alerting/severities", "severities", "The severities and their rate limits")
            .answers(object(&[("severities", list(level))], &[]))
            .by(get(send::severities)),
        Operation::new(
            Method::POST,
            "/v1/alerting/pagerduty/resolve",
            "resolve",
            "End what was sent under a deduplication key; PagerDuty is told",
        )
        .takes(object(&[("dedup_key", text())], &[]))
        .answers(object(&[("resolved", integer())], &[]))
        .refuses(&[400, 404, 409])
        .by(post(send::resolve)),
    ]
}
