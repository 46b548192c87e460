"""Finds the series above a limit, and says for how many evaluations in a row there have been any."""

from watchfire import Condition, Finding, InvalidConfig, Outcome, Severity, offer


@offer
class Above(Condition):
    name = "above"
    summary = "Finds the series above a limit."
    schema = {"type": "object", "required": ["limit"], "properties": {"limit": {"type": "number"}}}

    def __init__(self, config):
        if type(config.get("limit")) not in (int, float):
            raise InvalidConfig("/limit", "must be a number")
        # As a float, which the interpreter compares with a float at once; with an int it takes twice as long.
        self.limit = float(config["limit"])

    def evaluate(self, batch, state):
        outcome, limit, latest = Outcome(), self.limit, batch.latest()
        streak = int(state.get("streak") or b"0") + 1
        # Most of the time no value is odd. To see that takes two thirds of the time if the series are not counted meanwhile.
        odd = [value for value in latest if not value <= limit]
        for series, value in enumerate(latest if odd else ()):
            if value <= limit:
                continue
            if value != value:
                outcome.unknown.append(series)
                continue
            # Labels are asked for where they are needed, not for every series.
            host = batch.label(series, "host") or ""
            summary = f"{host} is above the limit, {streak} in a row"
            outcome.findings.append(Finding(series, Severity.WARNING, value, summary))
        state.set("streak", str(streak if outcome.findings else 0).encode())
        return outcome
