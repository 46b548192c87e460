"""The SDK for Watchfire plugins in Python: what a plugin offers, as classes, over the generated bindings.

A plugin is a module `plugin.py` that announces classes derived from `Condition`, `Router` or `Formatter` with the
decorator `offer`. An object is made per rule, route or channel, with that user's configuration; raise `InvalidConfig`
where it cannot be used. Any other exception costs that call alone, and its traceback reaches the host's log.

Everything must be a function of what is passed in: the clock stands at the time of the call, `random` begins anew with
it, and memory may vanish between two calls. What has to be remembered belongs into `State`. Imports belong at the top of
a module: they run when the plugin is built, and there are no files afterwards.
"""

import json
import sys
from binascii import crc32
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from componentize_py_types import Err
from wit_world.exports import formatter as _formatter
from wit_world.imports import input as _input
from wit_world.imports import log as _log
from wit_world.imports import state as _state
from wit_world.imports import types as _types

#: How bad something is: Severity.INFO, WARNING, ERROR, CRITICAL.
Severity = _types.Severity

#: The method of an HTTP request: Method.GET, POST, PUT, PATCH, DELETE.
Method = _formatter.Method


class InvalidConfig(Exception):
    """The configuration cannot be used: where (a JSON pointer such as `/limit`), and what would be right."""

    def __init__(self, path: str, message: str):
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class BadInput(Exception):
    """This input cannot be handled; the next one may be."""


@dataclass
class Finding:
    """One series in trouble: its index in the batch, each at most once."""

    series: int
    severity: Severity
    value: float
    summary: str


@dataclass
class Outcome:
    """The series whose alert is active, and those of which nothing can be said; the others are fine."""

    findings: list[Finding] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)


@dataclass
class Event:
    """One event of a stream; nested fields are flattened with dots. The time is in milliseconds since 1970."""

    id: str
    time_ms: int
    kind: str
    body: str
    fields: dict[str, str]


class Batch:
    """Series with rows, in columns; to be used during `evaluate` only.

    Numbers come packed, as memoryviews: an element costs a fraction of what a list of numbers would, and a tenth less than
    one of an array.
    """

    def __len__(self) -> int:
        return _input.series_count()

    @property
    def at_ms(self) -> int:
        """The time of the evaluation in milliseconds since 1970. There is no other clock."""
        return _input.eval_time_ms()

    def latest(self) -> memoryview:
        """The newest value of each series, NaN where there is none."""
        return memoryview(_input.latest_le()).cast("d")

    def ids(self) -> memoryview:
        """The stable ids of the series: the keys for what is remembered per series."""
        return memoryview(_input.series_ids_le()).cast("Q")

    def offsets(self) -> memoryview:
        """Where each series' rows begin, and at last the number of rows."""
        return memoryview(_input.offsets_le()).cast("I")

    def timestamps(self) -> memoryview:
        """The rows' times in milliseconds since 1970."""
        return memoryview(_input.timestamps_le()).cast("q")

    def values(self) -> memoryview:
        """The rows' values."""
        return memoryview(_input.values_le()).cast("d")

    def label(self, series: int, name: str) -> Optional[str]:
        """One label of one series. Ask for those that fire, not for all."""
        return _input.label(number("series", series), text("name", name))

    def labels(self, series: int) -> dict[str, str]:
        """All labels of one series."""
        return dict(_input.labels(number("series", series)))

    def label_column(self, name: str) -> tuple[list[str], list[int]]:
        """One label of all series: the distinct values, and for each series the index of its value."""
        return _input.label_column(text("name", name))

    def event(self, row: int) -> Optional[Event]:
        """The event of one row, or None over an expression."""
        event = _input.event_at(number("row", row))
        return event and Event(event.id, event.time_ms, event.kind, event.body, dict(event.fields))

    def event_bodies(self) -> list[str]:
        """The bodies of all events."""
        offsets, text = _input.event_bodies()
        return [text[begin:end].decode() for begin, end in zip(offsets, offsets[1:])]

    def event_column(self, name: str) -> tuple[list[str], list[int]]:
        """One field of all events, as `label_column`."""
        return _input.event_column(text("name", name))


class State:
    """What a condition remembers: durable, one per rule. Writes count only if `evaluate` returns."""

    def get(self, key: str) -> Optional[bytes]:
        return _state.get(text("key", key))

    def set(self, key: str, value: bytes) -> None:
        """Writes a value; raises ValueError where a limit would be passed."""
        key, value = text("key", key), bytes(of("the value for State.set", (bytes, bytearray, memoryview), value))
        try:
            _state.set(key, value)
        except Err as refusal:
            # As it is it would count as the answer of the whole call, which has errors of another kind.
            raise ValueError(refusal.value) from None

    def delete(self, key: str) -> None:
        _state.delete(text("key", key))

    @property
    def version(self) -> int:
        """The `state_version` of whichever version of the plugin wrote what is remembered; its own where nothing is."""
        return _state.version()


class Condition:
    """Decides which series are in trouble. `__init__` gets the rule's configuration."""

    name: str
    summary: str = ""
    schema: dict = {}
    state_version: int = 1

    def __init__(self, config: Any):
        pass

    def evaluate(self, batch: Batch, state: State) -> Outcome:
        raise NotImplementedError


@dataclass
class Alert:
    """An alert as routers and formatters see it; times in milliseconds since 1970."""

    fingerprint: str
    name: str
    severity: Severity
    firing: bool
    starts_ms: int
    ends_ms: Optional[int]
    value: Optional[float]
    summary: str
    generator_url: str
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass
class Decision:
    """Where one alert goes: receivers (none: the route's own), or why nobody is to be told."""

    receivers: list[str] = field(default_factory=list)
    suppress: Optional[str] = None
    group_key: Optional[str] = None


class Router:
    """Decides who is told. `__init__` gets the route's configuration."""

    name: str
    summary: str = ""
    schema: dict = {}
    state_version: int = 1

    def __init__(self, config: Any):
        pass

    def route(self, at_ms: int, alerts: list[Alert]) -> list[Decision]:
        raise NotImplementedError


@dataclass
class Group:
    """What a message is about; firing alerts come first."""

    at_ms: int
    key: str
    receiver: str
    group_labels: dict[str, str]
    external_url: str
    alerts: list[Alert]
    #: The id of this notification: the same at every attempt to deliver it.
    id: str
    #: The kind of the receiver's channel, such as `slack`.
    channel: str
    #: The secrets that the receiver grants, by name: a stand-in for each. Where it stands in the address, a header or the
    #: body of a request of the plugin's own, the host puts the secret.
    secrets: dict[str, str]


@dataclass
class Target:
    """Where a request of the plugin's own goes; the host sends it if the receiver grants the host."""

    url: str
    method: Method = Method.POST


@dataclass
class Message:
    """A message; the host signs and sends it, and addresses it unless the plugin does."""

    body: str
    title: str = ""
    content_type: str = "text/plain"
    headers: list[tuple[str, str]] = field(default_factory=list)
    dedup_key: Optional[str] = None
    #: Where it goes, if not through the receiver's own channel.
    target: Optional[Target] = None


class Formatter:
    """Decides what is said. `__init__` gets the channel's configuration."""

    name: str
    summary: str = ""
    schema: dict = {}
    state_version: int = 1

    def __init__(self, config: Any):
        pass

    def format(self, group: Group) -> Message:
        raise NotImplementedError


def log(level: str, message: Any) -> None:
    """Writes a line to the host's log: debug, info, warn or error."""
    known = _log.Level.__members__.get(str(level).upper())
    if known is None:
        raise ValueError(f"the level of a log line must be debug, info, warn or error, not {level!r}")
    _log.log(known, text("message", str(message)))


# What is handed to the host, checked: what has another type than the contract says ends a call without a word.


def of(what: str, kinds: Any, value: Any) -> Any:
    """The value, which must be of one of these types; says what it is where it is not."""
    if isinstance(value, kinds):
        return value
    raise _wrong(what, kinds, value)


def text(what: str, value: Any) -> str:
    """A text. Halves of characters, which UTF-8 does not have, become the sign for what is unknown."""
    if not isinstance(value, str):
        raise _wrong(what, str, value)
    if not value.isascii():
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def number(what: str, value: Any) -> int:
    """A whole number as the contract has it."""
    if not isinstance(value, int):
        raise _wrong(what, int, value)
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{what} must be from 0 to 4294967295, not {_shown(value)}")
    return int(value)


def members(what: str, value: Any) -> list:
    """What is in a list, or in anything like it; a text is none."""
    if isinstance(value, list):
        return value
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{what} must be a list, not {_shown(value)}")
    return list(value)


def _wrong(what: str, kinds: Any, value: Any) -> TypeError:
    names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
    hint = "; a method of a plugin cannot be `async`" if hasattr(value, "__await__") else ""
    return TypeError(f"{what} must be {names}, not {_shown(value)}{hint}")


def _shown(value: Any) -> str:
    """A value for a message, however long it is and whatever it does."""
    try:
        shown = repr(value)
    except Exception:
        shown = object.__repr__(value)
    return shown if len(shown) <= 200 else shown[:200] + "..."


_offered: dict[type, dict[str, type]] = {Condition: {}, Router: {}, Formatter: {}}


def offer(offered: type) -> type:
    """Announces a condition, router or formatter; a decorator for its class."""
    for kind, names in _offered.items():
        if issubclass(offered, kind):
            # Checked here, where a mistake ends the build: to be described is no call that may fail.
            name = text(f"the name of {offered.__name__}", getattr(offered, "name", None))
            text(f"the summary of {offered.__name__}", offered.summary)
            number(f"the state_version of {offered.__name__}", offered.state_version)
            json.dumps(offered.schema)
            names[name] = offered
            return offered
    raise TypeError(f"{offered.__name__} is no Condition, Router or Formatter")


def descriptors() -> list[_types.Descriptor]:
    kinds = {Condition: _types.Kind.CONDITION, Router: _types.Kind.ROUTER, Formatter: _types.Kind.FORMATTER}
    return [
        _types.Descriptor(kinds[kind], name, one.summary, json.dumps(one.schema) if one.schema else "", one.state_version)
        for kind, names in _offered.items()
        for name, one in names.items()
    ]


class Opened:
    """What was opened of one kind, under handles."""

    #: What is opened.
    kind: type
    #: The objects by handle, with what random numbers are made from. Of the class, because the runtime makes a new object of
    #: it for each call.
    objects: list[tuple[Any, int]]

    def open(self, name: str, config: str) -> int:
        if name not in _offered[self.kind]:
            raise Err(_types.PluginError_Unsupported(f"this plugin offers no {name!r}"))
        seed = crc32(config.encode())
        _begin(lambda: 0, seed)
        try:
            opened = _offered[self.kind][name](json.loads(config))
        except BaseException as error:
            raise refusal(error)
        self.objects.append((opened, seed))
        return len(self.objects) - 1

    def close(self, handle: int) -> None:
        self.objects[handle] = (None, 0)

    def begin(self, handle: int, at_ms: Callable[[], int]) -> Any:
        """What was opened under a handle, for a call at a time."""
        opened, seed = self.objects[handle]
        _begin(at_ms, seed)
        return opened


#: The module `random`, if the plugin imports it.
_random: Any = None


def imported() -> None:
    """To be called when the plugin is imported, and before anybody calls it."""
    global _random
    _random = sys.modules.get("random")


def _begin(at_ms: Callable[[], int], seed: int) -> None:
    if _random is not None:
        # It would go on where the call before has left it. To begin anew takes as long as a small call, which is why it is
        # done for those alone who may draw.
        _random.seed(at_ms() << 32 | seed)
    else:
        # The runtime imports it for itself. Nobody gets at numbers that did not begin anew by importing it in a function.
        sys.modules.pop("random", None)


def refusal(error: BaseException) -> Err:
    """What the contract has for an exception: whatever else is raised, `SystemExit` too, ends a call without a word."""
    if isinstance(error, Err):
        return error
    if isinstance(error, InvalidConfig):
        path, message = text("path", str(error.path)), text("message", str(error.message))
        return Err(_types.PluginError_InvalidConfig(_types.ConfigError(path, message)))
    if isinstance(error, BadInput):
        return Err(_types.PluginError_BadInput(text("message", str(error))))
    told = f"{type(error).__name__}: {error}{_places(error)}"
    return Err(_types.PluginError_Internal(text("message", told)))


def _places(error: BaseException) -> str:
    """Where it happened, innermost last; without the source's lines, since there are no files to read them from."""
    places = []
    at = error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        places.append(f"\n  {code.co_filename}:{at.tb_lineno} in {code.co_name}")
        at = at.tb_next
    return "".join(places)
