from watchfire import BadInput, Decision, Finding, Formatter, InvalidConfig, Message, Outcome, Router, Severity, Target
from watchfire import Condition, log, offer


def found(series=0, severity=Severity.WARNING, value=1.0, summary="found"):
    return Outcome([Finding(series, severity, value, summary)])


async def later():
    return found()


def imports():
    import wave


def ends():
    raise SystemExit(3)


def invalid():
    raise InvalidConfig(None, 7)


def bad():
    raise BadInput("half of \ud83d")


@offer
class Answers(Condition):
    name = "answers"

    def __init__(self, config):
        self.answer = config["answer"]

    def evaluate(self, batch, state):
        answers = {
            "severity": lambda: found(severity="warning"),
            "summary": lambda: found(summary=None),
            "series": lambda: found(series="a"),
            "negative": lambda: found(series=-1),
            "value": lambda: found(value="x"),
            "nothing": lambda: None,
            "promise": later,
            "member": lambda: Outcome(["a"]),
            "text": lambda: Outcome("a"),
            "tuples": lambda: Outcome((Finding(0, Severity.INFO, 1, "a tuple"),), ()),
            "half": lambda: found(summary="half of \ud83d"),
            "state": lambda: state.set("a", "text"),
            "label": lambda: batch.label("a", "b"),
            "log": lambda: log("loud", "x"),
            "import": imports,
            "open": lambda: open("/etc/passwd"),
            "exit": ends,
            "invalid": invalid,
            "bad": bad,
        }
        return answers[self.answer]()


@offer
class Decisions(Router):
    name = "decisions"

    def __init__(self, config):
        self.answer = config["answer"]

    def route(self, at_ms, alerts):
        answers = {
            "text": lambda: Decision(receivers="hook"),
            "number": lambda: Decision(receivers=[7]),
            "suppress": lambda: Decision(suppress=True),
            "nothing": lambda: None,
            "tuples": lambda: Decision(receivers=("hook",)),
        }
        return tuple(answers[self.answer]() for _ in alerts)


@offer
class Messages(Formatter):
    name = "messages"

    def __init__(self, config):
        self.answer = config["answer"]

    def format(self, group):
        answers = {
            "body": lambda: Message(body={"text": "a"}),
            "header": lambda: Message(body="", headers=[("X-Count", 1)]),
            "target": lambda: Message(body="", target="https://desk.example"),
            "method": lambda: Message(body="", target=Target("https://desk.example", "post")),
            "nothing": lambda: None,
            "headers": lambda: Message(body="half of \ud83d", headers={"X-Team": "a"}),
        }
        return answers[self.answer]()
