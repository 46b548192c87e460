"""Writes one line for each alert."""

from watchfire import Formatter, InvalidConfig, Message, offer


@offer
class Lines(Formatter):
    name = "lines"
    summary = "Writes one line for each alert."
    schema = {"type": "object", "properties": {"prefix": {"type": "string"}}}

    def __init__(self, config):
        self.prefix = config.get("prefix", "")
        if not isinstance(self.prefix, str):
            raise InvalidConfig("/prefix", "must be a text")

    def format(self, group):
        firing = sum(alert.firing for alert in group.alerts)
        lines = [
            f"{'FIRING' if alert.firing else 'RESOLVED'} {alert.name}: {alert.summary}\n" for alert in group.alerts
        ]
        title = f"{self.prefix}{firing} firing, {len(group.alerts) - firing} resolved"
        return Message(title=title, body="".join(lines))
