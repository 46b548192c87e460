"""The component's exports: hands every call to what `plugin.py` offers. `componentize-py` starts here."""

import plugin  # noqa: F401, the import announces what it offers
import watchfire
from wit_world.exports import condition as _condition
from wit_world.exports import formatter as _formatter
from wit_world.exports import router as _router


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
    findings = [_condition.Finding(f.series, f.severity, f.value, f.summary) for f in outcome.findings]
    return _condition.Outcome(findings, outcome.unknown)


def _decisions(decisions) -> list[_router.Decision]:
    return [_router.Decision(d.receivers, d.suppress, d.group_key) for d in decisions]


def _message(m) -> _formatter.Message:
    target = m.target and _formatter.Target(m.target.method, m.target.url)
    return _formatter.Message(m.title, m.content_type, m.body, m.headers, m.dedup_key, target)


class Plugin:
    def describe(self):
        return watchfire.descriptors()


class Condition(watchfire.Opened):
    def __init__(self):
        super().__init__(watchfire.Condition)

    def evaluate(self, handle):
        return self.guard(lambda: _outcome(self.objects[handle].evaluate(watchfire.Batch(), watchfire.State())))


class Router(watchfire.Opened):
    def __init__(self):
        super().__init__(watchfire.Router)

    def route(self, handle, at_ms, alerts):
        return self.guard(lambda: _decisions(self.objects[handle].route(at_ms, [_alert(alert) for alert in alerts])))


class Formatter(watchfire.Opened):
    def __init__(self):
        super().__init__(watchfire.Formatter)

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
        return self.guard(lambda: _message(self.objects[handle].format(about)))
