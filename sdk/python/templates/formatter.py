"""Writes one line for each alert, for the receiver's channel or, with `url`, for a service of its own."""

from watchfire import BadInput, Formatter, InvalidConfig, Message, Target, offer


@offer
class Lines(Formatter):
    name = "lines"
    summary = "Writes one line for each alert."
    schema = {"type": "object", "properties": {"prefix": {"type": "string"}, "url": {"type": "string"}}}

    def __init__(self, config):
        self.prefix = config.get("prefix", "")
        self.url = config.get("url", "")
        for name in ("prefix", "url"):
            if not isinstance(getattr(self, name), str):
                raise InvalidConfig(f"/{name}", "must be a text")

    def format(self, group):
        firing = sum(alert.firing for alert in group.alerts)
        lines = [
            f"{'FIRING' if alert.firing else 'RESOLVED'} {alert.name}: {alert.summary}\n" for alert in group.alerts
        ]
        title = f"{self.prefix}{firing} firing, {len(group.alerts) - firing} resolved"
        message = Message(title=title, body="".join(lines))
        if self.url:
            if "token" not in group.secrets:
                raise BadInput("the receiver's grant has no secret `token`")
            message.headers = [("Authorization", f"Bearer {group.secrets['token']}")]
            message.target = Target(self.url)
        return message
