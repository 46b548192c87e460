"""The component's exports: hands every call to what `plugin.py` offers. `componentize-py` starts here."""

import plugin  # noqa: F401, the import announces what it offers
import watchfire
from watchfire import members, number, of, text
from wit_world.exports import condition as _condition
from wit_world.exports import formatter as _formatter
from wit_world.exports import router as _router

watchfire.imported()


def _alert(alert) -> watchfire.Alert:
    return watchfire.Alert(
        alert.fingerprint,
        alert.name,
        alert.severity,
        alert.firing,
        alert.starts_ms,
        alert.ends_ms,
        alert.value,
        alert.summary,
        alert.generator_url,
        dict(alert.labels),
        dict(alert.annotations),
    )


# What the plugin answers, which may be nothing of the kind.


def _outcome(outcome) -> _condition.Outcome:
    of("the answer of evaluate", watchfire.Outcome, outcome)
    unknown = [number("Outcome.unknown", series) for series in members("Outcome.unknown", outcome.unknown)]
    return _condition.Outcome([_finding(f) for f in members("Outcome.findings", outcome.findings)], unknown)


def _finding(f) -> _condition.Finding:
    of("a member of Outcome.findings", watchfire.Finding, f)
    return _condition.Finding(
        number("Finding.series", f.series),
        of("Finding.severity", watchfire.Severity, f.severity),
        float(of("Finding.value", (float, int), f.value)),
        text("Finding.summary", f.summary),
    )


def _decisions(decisions) -> list[_router.Decision]:
    return [_decision(d) for d in members("the answer of route", decisions)]


def _decision(d) -> _router.Decision:
    of("a member of the answer of route", watchfire.Decision, d)
    return _router.Decision(
        [text("Decision.receivers", name) for name in members("Decision.receivers", d.receivers)],
        _optional("Decision.suppress", d.suppress),
        _optional("Decision.group_key", d.group_key),
    )


def _message(m) -> _formatter.Message:
    of("the answer of format", watchfire.Message, m)
    headers = m.headers.items() if isinstance(m.headers, dict) else members("Message.headers", m.headers)
    return _formatter.Message(
        text("Message.title", m.title),
        text("Message.content_type", m.content_type),
        text("Message.body", m.body),
        [_header(header) for header in headers],
        _optional("Message.dedup_key", m.dedup_key),
        None if m.target is None else _target(m.target),
    )


def _header(header) -> tuple[str, str]:
    pair = members("a member of Message.headers", header)
    if len(pair) != 2:
        raise TypeError(f"a member of Message.headers must be a name and a value, not {header!r}")
    return text("a header's name", pair[0]), text(f"the header {pair[0]!r}", pair[1])


def _target(target) -> _formatter.Target:
    of("Message.target", watchfire.Target, target)
    return _formatter.Target(of("Target.method", watchfire.Method, target.method), text("Target.url", target.url))


def _optional(what, value):
    return None if value is None else text(what, value)


class Plugin:
    def describe(self):
        return watchfire.descriptors()


class Condition(watchfire.Opened):
    kind, objects = watchfire.Condition, []

    def evaluate(self, handle):
        batch = watchfire.Batch()
        condition = self.begin(handle, lambda: batch.at_ms)
        try:
            return _outcome(condition.evaluate(batch, watchfire.State()))
        except BaseException as error:
            raise watchfire.refusal(error)


class Router(watchfire.Opened):
    kind, objects = watchfire.Router, []

    def route(self, handle, at_ms, alerts):
        given = [_alert(alert) for alert in alerts]
        router = self.begin(handle, lambda: at_ms)
        try:
            return _decisions(router.route(at_ms, given))
        except BaseException as error:
            raise watchfire.refusal(error)


class Formatter(watchfire.Opened):
    kind, objects = watchfire.Formatter, []

    def format(self, handle, group):
        alerts = [_alert(alert) for alert in group.alerts]
        about = watchfire.Group(
            group.at_ms,
            group.key,
            group.receiver,
            dict(group.group_labels),
            group.external_url,
            alerts,
            group.id,
            group.channel,
            dict(group.secrets),
        )
        formatter = self.begin(handle, lambda: group.at_ms)
        try:
            return _message(formatter.format(about))
        except BaseException as error:
            raise watchfire.refusal(error)
