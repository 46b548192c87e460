"""Tells the receiver that a label names, with a prefix."""

from watchfire import Decision, InvalidConfig, Router, offer


@offer
class ByLabel(Router):
    name = "by-label"
    summary = "Tells the receiver that a label names."
    schema = {"type": "object", "properties": {"label": {"type": "string"}, "prefix": {"type": "string"}}}

    def __init__(self, config):
        self.label = config.get("label", "team")
        self.prefix = config.get("prefix", "")
        for name in ("label", "prefix"):
            if not isinstance(getattr(self, name), str):
                raise InvalidConfig(f"/{name}", "must be a text")

    def route(self, at_ms, alerts):
        return [self.decide(alert.labels) for alert in alerts]

    def decide(self, labels):
        if labels.get("mute") == "true":
            return Decision(suppress="muted by its label")
        if self.label in labels:
            return Decision(receivers=[self.prefix + labels[self.label]])
        # The route's own receiver is told.
        return Decision()
