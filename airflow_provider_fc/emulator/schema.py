"""The one schema of what users hand to the emulator: scenario files, control paths and the Python API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec

from airflow_provider_fc.emulator.faults import RULES, FaultRule, Seconds, SignedSeconds
from airflow_provider_fc.emulator.generations import Operation

# {index} alone or with a width: what else Python can format is no id.
_ID_TEMPLATE = re.compile(r"(?:[^{}]|(?P<index>\{index(?::0?[1-9][0-9]?)?\}))*")
T = TypeVar("T")


class SchemaError(ValueError):
    """What was handed over does not fit the schema; the text names the key and the fix."""


class Life(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The life of an invocation nobody executes; the last status stays.

    :param statuses: one step each time a response has shown the invocation; ``Enqueued``, ``Running``, ``Succeeded``
        if neither this nor ``timeline`` is given. Any word is allowed.
    :param timeline: instead of ``statuses``: pairs of seconds after submission and status.
    :param error_message: shown with a final status other than ``Succeeded``.
    :param return_payload: shown with ``Succeeded``.
    """

    statuses: list[str] | None = None
    timeline: list[tuple[Seconds, str]] | None = None
    error_message: str = ""
    return_payload: str = ""

    def __post_init__(self) -> None:
        if self.statuses is not None and self.timeline is not None:
            raise ValueError("give `statuses` (advanced by responses) or `timeline` (advanced by time), not both")
        if self.statuses == [] or self.timeline == []:
            raise ValueError("`statuses` and `timeline` need at least one status")
        if self.timeline and [at for at, _ in self.timeline] != sorted(at for at, _ in self.timeline):
            raise ValueError("the seconds in `timeline` must not decrease")


class ScriptedInvocation(Life, forbid_unknown_fields=True, kw_only=True):
    """One invocation, or ``count`` alike, that exists without anybody having invoked it.

    :param service: a service makes it an FC 2.0 invocation, none an FC 3.0 one.
    :param id: its id; with ``count`` give ``id_template`` instead, where ``{index}`` counts from 0.
    :param submitted_seconds_ago: how long before now it was submitted.
    :param submitted_seconds_apart: how much later than its predecessor each further one of ``count`` was submitted.
    :param started_time: epoch ms shown as start once it has started, instead of the one its life gives.
    :param end_time: epoch ms shown as end once it has ended, instead of the one its life gives.
    :param appears_after: seconds from now until it can be seen.
    :param disappears_after: seconds from now after which it can no longer be seen.
    """

    function: str
    service: str = ""
    qualifier: str = "LATEST"
    id: str | None = None
    id_template: str | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    payload: str = ""
    submitted_seconds_ago: SignedSeconds = 0.0
    submitted_seconds_apart: Seconds = 0.0
    started_time: int | None = None
    end_time: int | None = None
    appears_after: Seconds = 0.0
    disappears_after: Seconds | None = None

    def __post_init__(self) -> None:
        Life.__post_init__(self)
        if not self.function:
            raise ValueError("`function` must not be empty")
        if (self.id is None) == (self.id_template is None):
            raise ValueError("give exactly one of `id` and `id_template`")
        template = _ID_TEMPLATE.fullmatch(self.id_template or "")
        if template is None:
            raise ValueError("in `id_template` braces hold an index, as {index} or {index:05}")
        if self.disappears_after is not None and self.disappears_after <= self.appears_after:
            raise ValueError("`disappears_after` must be above `appears_after`, or nothing is ever seen")
        if self.count > 1 and template["index"] is None:
            raise ValueError("`count` above 1 needs an `id_template` with {index}, for example 'job-{index:05}'")

    def ids(self) -> list[str]:
        if self.id_template is None:
            return [self.id or ""]
        return [self.id_template.format(index=index) for index in range(self.count)]


class Switches(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Choices where nothing is known for certain about the real service.

    :param ignore_status_filter: List answers as if no ``status`` had been sent.
    :param reject_status: status words a filter may not use (400 InvalidArgument).
    :param reset_start_on_retry: a further attempt replaces the start time of the one before it; a ``timeline`` is
        laid out when it is added, so set this before.
    :param offset_tokens: page tokens are positions, so items move between pages when the listing changes.
    :param list_lag: List shows everything as it was so many seconds ago; Get is always current.
    :param default_order: the order of a List without ``sortOrderByTime``.
    :param task_mode_off: names of functions whose invocations leave no record: they run, but no List, Get or Stop
        finds them. ``["*"]`` means all of them.
    :param unconfigured: a function whose task mode is off has no configuration at all (404 AsyncConfigNotExists);
        otherwise one that says so.
    :param runs_synchronously: names of functions that run at once (200), as behind an HTTP trigger, leaving no record.
    """

    ignore_status_filter: bool = False
    reject_status: list[str] = []
    reset_start_on_retry: bool = False
    offset_tokens: bool = False
    list_lag: Seconds = 0.0
    default_order: Literal["asc", "desc"] = "desc"
    task_mode_off: list[str] = []
    unconfigured: bool = True
    runs_synchronously: list[str] = []

    def keeps_records(self, function: str) -> bool:
        """Tell whether a function is in task mode."""
        return not {"*", function} & set(self.task_mode_off)


class Scenario(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A scenario file.

    :param functions: function name -> the life of whatever is invoked under that name.
    """

    invocations: list[ScriptedInvocation] = []
    functions: dict[str, Life] = {}
    switches: Switches = msgspec.field(default_factory=Switches)
    faults: list[FaultRule] = []


class NewInvocations(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /_emulator/invocations``."""

    invocations: list[ScriptedInvocation]


class NewFaults(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /_emulator/faults``."""

    faults: list[FaultRule]


def read_scenario(source: str | Path | Mapping[str, Any] | Scenario | None) -> Scenario:
    """Read a scenario from a file, or from what would be in one.

    :raises SchemaError: a key or value is wrong.
    """
    if isinstance(source, str | Path):
        try:
            return read_json(Path(source).read_bytes(), Scenario)
        except SchemaError as error:
            raise SchemaError(f"{source}: {error}") from error
    return read(source or {}, Scenario)


def read_json(data: bytes | str, type_: type[T]) -> T:
    """Decode JSON text into ``type_``."""
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SchemaError(str(error)) from error
    return read(plain, type_)


def read(data: Any, type_: type[T]) -> T:
    """Convert plain Python data, or values of ``type_`` itself, into ``type_``."""
    try:
        return msgspec.convert(data, type=type_)
    except msgspec.ValidationError as error:
        raise _explained(str(error), data) from error


def listed(what: str, given: Iterable[Any]) -> list[Any]:
    """Make a list of several.

    :raises SchemaError: it is one alone, whose keys would be taken for several.
    """
    if isinstance(given, Mapping | msgspec.Struct | str):
        raise SchemaError(f"{what}: give a list of them, not one alone: put it into [...]")
    return list(given)


def _explained(problem: str, data: Any) -> SchemaError:
    """Say also what would be right, if it is a name that is wrong."""
    rule = _faulty_rule(problem, data)
    action = rule.get("action")
    if unknown := re.search(r"unknown field `([^`]*)`", problem):
        structs = [RULES[action]] if action in RULES else [ScriptedInvocation, Switches, Scenario]
        return _suggest(problem, "keys", unknown[1], {name for one in structs for name in one.__struct_fields__})
    if "action`" in problem:
        return _suggest(problem, "actions", str(action), set(RULES))
    if ".operation`" in problem:
        return _suggest(problem, "operations", str(rule.get("operation")), set(get_args(Operation)))
    return SchemaError(problem)


def check_names(given: Iterable[str], what: str, known: Iterable[str]) -> None:
    """Refuse a name that nobody knows.

    :raises SchemaError: says also which may be meant.
    """
    names = set(known)
    for name in given:
        if name not in names:
            raise _suggest(f"{what} has no {name!r}", "options", name, names)


def _suggest(problem: str, kind: str, wrong: str, known: set[str]) -> SchemaError:
    close = get_close_matches(wrong, sorted(known), n=1, cutoff=0.7)
    advice = f"did you mean `{close[0]}`?" if close else f"known {kind}: {', '.join(sorted(known))}"
    return SchemaError(f"{problem}; {advice}")


def _faulty_rule(problem: str, data: Any) -> dict[str, Any]:
    """Find the fault rule a problem is about, or nothing."""
    place = re.search(r"`\$\.faults\[(\d+)\]", problem)
    rule = data["faults"][int(place[1])] if place else None
    return rule if isinstance(rule, dict) else {}
