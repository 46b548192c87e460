//! The shapes that operations share.

use serde_json::{Value, json};

use super::schema::{boolean, described, integer, list, map, named, nullable, number, object, text, time, word};

/// How errors are told.
pub(super) fn responses() -> Value {
    let told = |what: &str| json!({"description": what, "content": {"application/json": {"schema": named("Error")}}});
    let said = |what: &str| json!({"description": what, "content": {"text/plain": {"schema": text()}}});
    json!({
        "400": told("What was sent cannot be understood; the answer says where and why"),
        "401": said("Credentials or a signature are missing or wrong"),
        "403": said("The role does not allow it, or the request comes from a page of another site"),
        "404": told("There is no such thing"),
        "409": told("It cannot be done to this one"),
        "413": said("The body is larger than may be; the answer says how large"),
        "422": told("It is understood and cannot be done"),
        "429": said("As much is under way as may be; `Retry-After` says when to try again"),
        "503": said("The engine is stopping, or cannot make anything durable at the moment"),
    })
}

pub(super) fn schemas() -> Value {
    json!({
        "Error": object(&[("error", described(text(), "What is wrong and what to do about it"))], &[]),
        "Labels": map(text()),
        "Fingerprint": json!({"type": "string", "pattern": "^[0-9a-f]{16}$"}),
        "PostableAlert": postable_alert(),
        "Request": request(),
        "Delivery": delivery(),
        "Route": route(),
        "Explanation": explanation(),
        "Plugin": plugin(),
    })
}

fn postable_alert() -> Value {
    let alert = object(
        &[("labels", named("Labels"))],
        &[("annotations", map(text())), ("startsAt", time()), ("endsAt", time()), ("generatorURL", text())],
    );
    described(alert, "An alert as POST /api/v2/alerts takes it")
}

fn request() -> Value {
    let request = object(
        &[
            ("method", text()),
            ("url", text()),
            ("headers", list(json!({"type": "array", "items": text()}))),
            ("body", text()),
            ("notes", described(list(text()), "What was shortened or left out to fit the channel")),
        ],
        &[],
    );
    described(request, "A request to a receiver; secrets are replaced by <secret>")
}

fn delivery() -> Value {
    let answer = object(&[("status", integer()), ("body", text())], &[]);
    let exchange = object(&[("request", named("Request")), ("answer", nullable(answer))], &[]);
    let delivery = object(
        &[
            ("number", integer()),
            ("at", time()),
            ("receiver", text()),
            ("integration", text()),
            ("notification", described(text(), "The same for every attempt: the idempotency key")),
            ("attempt", integer()),
            ("group", text()),
            ("reason", text()),
            ("alerts", integer()),
            ("outcome", word(&["delivered", "retry", "rejected"])),
            ("said", described(text(), "The receipt, or why it failed")),
            ("notes", list(text())),
            ("exchanges", list(exchange)),
        ],
        &[],
    );
    described(delivery, "One attempt to tell a receiver")
}

fn route() -> Value {
    object(
        &[
            ("receiver", text()),
            ("matchers", list(text())),
            ("groupBy", described(nullable(list(text())), "Null where alerts are grouped by all their labels")),
            ("groupWait", text()),
            ("groupInterval", text()),
            ("repeatInterval", text()),
            ("continue", boolean()),
            ("router", described(nullable(text()), "The plugin that decides instead")),
            ("routes", list(named("Route"))),
        ],
        &[],
    )
}

fn explanation() -> Value {
    let instance = object(
        &[
            ("state", word(&["pending", "firing", "resolved"])),
            ("value", text()),
            ("activeSince", time()),
            ("firedAt", nullable(time())),
            ("resolvedAt", nullable(time())),
        ],
        &[],
    );
    let rule = object(
        &[
            ("name", text()),
            ("id", text()),
            ("lastEvaluation", nullable(time())),
            ("madeUpFor", described(nullable(time()), "The time of its cron schedule for which it was evaluated late")),
            ("error", nullable(text())),
            ("instance", described(nullable(instance), "Null where the rule says nothing about these labels")),
        ],
        &[],
    );
    let alert = object(
        &[
            ("status", word(&["firing", "resolved"])),
            ("state", word(&["unprocessed", "active", "suppressed"])),
            ("startsAt", time()),
            ("endsAt", nullable(time())),
            ("receivers", list(text())),
            ("inhibitedBy", list(named("Fingerprint"))),
            ("mutedBy", list(text())),
        ],
        &[],
    );
    let silence = object(
        &[
            ("id", text()),
            ("state", word(&["active", "pending", "expired"])),
            ("createdBy", text()),
            ("comment", text()),
            ("endsAt", time()),
        ],
        &[],
    );
    let group = object(
        &[
            ("receiver", text()),
            ("labels", named("Labels")),
            ("since", time()),
            ("nextFlush", time()),
            ("notToldBecause", nullable(text())),
        ],
        &[],
    );
    let told =
        object(&[("receiver", text()), ("integration", text()), ("at", nullable(time())), ("receipt", text())], &[]);
    let waiting = object(
        &[
            ("receiver", text()),
            ("integration", text()),
            ("reason", text()),
            ("since", time()),
            ("attempt", integer()),
            ("nextAttempt", time()),
            ("error", text()),
        ],
        &[],
    );
    let history = object(
        &[
            ("at", time()),
            ("what", text()),
            ("why", text()),
            ("to", described(nullable(text()), "Whom it is about, as the answer names them")),
            ("receiver", nullable(text())),
            ("integration", nullable(text())),
            ("notification", nullable(text())),
        ],
        &[],
    );
    let route = object(
        &[
            ("receiver", text()),
            ("matchers", list(text())),
            ("groupLabels", named("Labels")),
            ("groupWait", text()),
            ("groupInterval", text()),
            ("repeatInterval", text()),
        ],
        &[],
    );
    object(
        &[
            ("verdict", described(text(), "The answer in one sentence")),
            ("labels", named("Labels")),
            ("fingerprint", named("Fingerprint")),
            ("rules", list(rule)),
            ("alert", described(nullable(alert), "Null where there is no such alert")),
            ("silences", list(silence)),
            ("routes", list(route)),
            ("groups", list(group)),
            ("told", described(list(told), "What receivers know")),
            ("waiting", described(list(waiting), "What is on its way to receivers")),
            ("similar", described(list(named("Labels")), "Alerts of the same name, where this one is unknown")),
            ("history", list(history)),
        ],
        &[],
    )
}

fn plugin() -> Value {
    let offer = object(&[("kind", text()), ("name", text()), ("summary", text())], &[]);
    let limits = object(
        &[
            ("callTimeout", text()),
            ("memoryBytes", integer()),
            ("tableElements", integer()),
            ("outputBytes", integer()),
            ("logBytes", integer()),
            ("stateBytes", integer()),
            ("calls", integer()),
        ],
        &[],
    );
    let in_force = object(
        &[
            ("digest", text()),
            ("version", described(nullable(text()), "Null where the component has no manifest")),
            ("offers", list(offer)),
            ("grants", list(text())),
            ("limits", limits),
            ("bytes", integer()),
            ("codeBytes", described(integer(), "The size of its machine code")),
        ],
        &[],
    );
    let suspension = object(
        &[
            ("kind", text()),
            ("name", text()),
            ("usedBy", described(list(text()), "The rules, receivers and routes that use it")),
            ("until", time()),
            ("failures", integer()),
            ("last", text()),
        ],
        &[],
    );
    object(
        &[
            ("name", text()),
            ("error", described(nullable(text()), "Why the file that is there now is not in force")),
            (
                "compiling",
                described(boolean(), "Whether the file that is there now is being compiled; it takes over then"),
            ),
            ("inForce", described(nullable(in_force), "Null where no version was ever accepted")),
            ("calls", integer()),
            ("seconds", described(number(), "Spent in all calls")),
            ("failures", described(map(integer()), "By kind")),
            ("limitHits", described(map(integer()), "By limit")),
            ("suspendedCalls", described(integer(), "Not made because the plugin kept failing")),
            ("instances", integer()),
            ("memoryBytes", integer()),
            ("suspensions", list(suspension)),
        ],
        &[],
    )
}
