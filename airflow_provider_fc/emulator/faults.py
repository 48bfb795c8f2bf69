"""What can go wrong, as a table: an action is its own keys and the places where it interferes.

To add one is to add a row to ``ACTIONS``, and a line to the documentation. The injector decides which rules act.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from fnmatch import fnmatchcase
from functools import reduce
from http import HTTPStatus
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator.delivery import Delivery
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.generations import Operation
from airflow_provider_fc.emulator.invocations import Invocation, Moment
from airflow_provider_fc.emulator.listing import Page, Position

LONGEST = 1e9  # seconds, some 31 years: with less than this no moment leaves the range of dates
Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST)]
SignedSeconds = Annotated[float, msgspec.Meta(ge=-LONGEST, le=LONGEST)]
Ordinal = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
HeaderName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]+\Z")]
HeaderText = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]*\Z")]

NEVER_SENT = 0
NO_CONTENT = 204
_MESSAGE = "a fault injected into the emulator"
_CODES = {400: "InvalidArgument", 403: "AccessDenied", 429: "ResourceExhausted", 500: "InternalServerError"}


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What rules look at in a request.

    :param operation: ``None`` for a path the API does not have.
    :param id: in the path of a Get or Stop, sent with an Invoke.
    :param status_filter: the ``status`` a List asks for.
    :param continued: whether it asks for a further page.
    :param now: epoch seconds; ``server_time`` is what the server takes for that.
    """

    operation: Operation | None
    now: float
    server_time: float
    function: str = ""
    id: str = ""
    status_filter: str = ""
    continued: bool = False
    security_token: str = ""


class Asked(msgspec.Struct, frozen=True):
    """The page a List asks for; ``turn`` is which of the tokens for the same ``start`` it carries."""

    start: int | Position | None
    turn: int
    limit: int


class Rule(
    msgspec.Struct,
    tag_field="action",
    forbid_unknown_fields=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    kw_only=True,
):
    """Which requests an action hits, and when. Each action has a class of its own with its own keys, too.

    :param name: shown in records; by default the action.
    :param operation: ``List``, ``Get``, ``Stop`` or ``Invoke``; without it any this action can happen to.
    :param id: may hold ``*`` and ``?``. For an action on invocations: which ones; otherwise which Get, Stop and Invoke.
    :param status_filter: the ``status`` a List asks for; ``""`` for a List that asks for none.
    :param first: the ordinal of the first matching request it may hit; ``last`` that of the last one.
    :param times: how often it acts.
    :param probability: of its acting on a matching request, drawn from ``seed``.
    :param after: seconds since the rule was added, before which it does not act; ``until``: after which.
    """

    name: str = ""
    operation: Operation | None = None
    function: str | None = None
    id: str | None = None
    status_filter: str | None = None
    first: Ordinal = 1
    last: Ordinal | None = None
    times: Ordinal | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    seed: int = 0
    after: Seconds = 0.0
    until: Seconds | None = None

    def __post_init__(self) -> None:
        if problem := self._problem() or self.action.problem(self):
            raise ValueError(problem)

    def _problem(self) -> str:
        operations = self.action.operations
        if self.operation and self.operation not in operations:
            names = ", ".join(sorted(filter(None, operations)))
            return f"`{self.tag}` happens to {names} only; change or leave out `operation`"
        if self.status_filter is not None and (self.operation or "List") != "List":
            return f"a {self.operation} has no status filter; leave out `status_filter` or `operation`"
        if self.id is not None and not self.action.show and (self.operation == "List" or operations == _LIST):
            return "a List names no single id; leave out `id`"
        if self.last is not None and self.last < self.first:
            return f"`last` ({self.last}) must not be below `first` ({self.first})"
        if self.until is not None and self.until <= self.after:
            return f"`until` ({self.until:g}) must be above `after` ({self.after:g})"
        return ""

    @property
    def tag(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def label(self) -> str:
        return self.name or self.tag

    @property
    def action(self) -> Action:
        return ACTIONS[self.tag]

    def meets(self, arrival: Arrival) -> bool:
        """Tell whether a request is one of those this rule counts."""
        wanted = (
            (self.operation, arrival.operation),
            (self.function, arrival.function),
            (self.status_filter, arrival.status_filter),
        )
        return (
            arrival.operation in self.action.operations
            and all(one is None or one == given for one, given in wanted)
            and (self.status_filter is None or arrival.operation == "List")
            and ((self.action.show is not None and arrival.operation == "List") or self.selects(arrival.id))
            and self.action.concerns(self, arrival)
        )

    def selects(self, id: str) -> bool:
        """Tell whether an invocation is one of those this rule names."""
        return self.id is None or (id != "" and fnmatchcase(id, self.id))


# What functions of the table get as `rule` is a Rule with the keys of its own row, which no type checker can know.
Memory = MutableMapping[str, float]
Fetch = Callable[[Asked], Page]
_LIST: frozenset[Operation | None] = frozenset({"List"})


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a fault does: its keys, and where it interferes. Whatever is ``None`` it leaves alone.

    :param keys: name -> type, or type and default, of the keys that its rules have besides those of all.
    :param operations: to which requests it can happen.
    :param concerns: whether it can happen to a request that a rule meets otherwise.
    :param problem: what is wrong with the keys of a rule, if anything is.
    :param refuse: says no and does nothing, or lets pass, which a memory of the rule may help to decide. Of several
        that refuse only the first whose turn it is acts, and one that has not refused does nothing else either.
    :param shift: seconds by which the server's clock is wrong.
    :param page: another page of a List.
    :param show: an invocation as it is shown at an epoch ms, or nothing.
    :param alter: another response.
    :param deliver: another way of a response.
    """

    keys: Mapping[str, Any] = field(default_factory=dict)
    operations: frozenset[Operation | None] = frozenset({"List", "Get", "Stop", "Invoke", "Config", None})
    concerns: Callable[[Any, Arrival], bool] = lambda rule, arrival: True
    problem: Callable[[Any], str] = lambda rule: ""
    refuse: Callable[[Any, Arrival, Memory], Refusal | None] | None = None
    shift: Callable[[Any], float] | None = None
    page: Callable[[Any, Asked, Fetch], Page] | None = None
    show: Callable[[Any, Invocation, Moment, int], Moment | None] | None = None
    alter: Callable[[Any, HttpResponse], HttpResponse] | None = None
    deliver: Callable[[Any, Delivery, HttpResponse], Delivery] | None = None


def default_code(status: int) -> str:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "InternalServerError"
    return _CODES.get(status) or phrase.replace(" ", "")


def _error(rule: Any, arrival: Arrival, memory: Memory) -> Refusal:
    headers = {name.lower(): text for name, text in rule.headers.items()}
    if rule.retry_after is not None:
        headers["retry-after"] = _retry_after(rule, arrival.server_time)
    if rule.x_acs_retry_after is not None:
        headers["x-acs-retry-after"] = str(rule.x_acs_retry_after)
    return Refusal(rule.code or default_code(rule.status), rule.message, status=rule.status, headers=headers)


def _retry_after(rule: Any, server_time: float) -> str:
    wish: float | str = rule.retry_after
    if isinstance(wish, str):
        return wish
    if rule.retry_after_as_date:
        return format_datetime(datetime.fromtimestamp(server_time + wish, UTC), usegmt=True)
    return str(int(wish) if wish == int(wish) else wish)


def _date_without_seconds(rule: Any) -> str:
    if rule.retry_after_as_date and not isinstance(rule.retry_after, int | float):
        return "`retry_after_as_date` needs a number of seconds in `retry_after`"
    return ""


def _proxy_page(rule: Any, response: HttpResponse) -> HttpResponse:
    page = f"<html><head><title>{rule.status}</title></head><body><h1>{rule.status}</h1><hr>proxy</body></html>"
    return HttpResponse(rule.status, {"content-type": "text/html", "date": response.headers["date"]}, page.encode())


def _limit_rate(rule: Any, arrival: Arrival, memory: Memory) -> Refusal | None:
    capacity = float(rule.burst or max(1, int(rule.qps)))
    passed = max(0.0, arrival.now - memory.get("at", 0.0))
    filled = min(capacity, memory.get("filled", capacity) + passed * rule.qps)
    admitted = filled > 1 - 1e-6  # differences of epoch seconds are not exact
    memory.update(at=arrival.now, filled=filled - admitted)
    if admitted:
        return None
    wait = {"retry-after": str(math.ceil((1 - filled) / rule.qps))}
    return Refusal("ResourceExhausted", f"more than {rule.qps:g} requests per second", status=429, headers=wait)


def _has_token(rule: Any, arrival: Arrival) -> bool:
    return arrival.security_token != "" and rule.security_token in (None, arrival.security_token)


def _refusal(code: str, message: str, status: int) -> Callable[[Any, Arrival, Memory], Refusal]:
    return lambda rule, arrival, memory: Refusal(code, message, status=status)


def _empty_page(rule: Any, asked: Asked, fetch: Fetch) -> Page:
    return Page([], asked.start or 0, turn=asked.turn + 1)


def _short_page(rule: Any, asked: Asked, fetch: Fetch) -> Page:
    return fetch(msgspec.structs.replace(asked, limit=min(asked.limit, rule.items)))


def _repeated_token(rule: Any, asked: Asked, fetch: Fetch) -> Page:
    return msgspec.structs.replace(fetch(asked), following=asked.start or 0, turn=asked.turn % rule.cycle + 1)


def _unknown_status(rule: Any, invocation: Invocation, moment: Moment, now: int) -> Moment:
    return msgspec.structs.replace(moment, status=rule.status)


def _appears_late(rule: Any, invocation: Invocation, moment: Moment, now: int) -> Moment | None:
    return None if now < invocation.submitted + rule.seconds * 1000 else moment


def _disappears(rule: Any, invocation: Invocation, moment: Moment, now: int) -> Moment | None:
    return None if now >= invocation.submitted + rule.seconds * 1000 else moment


def _half_json(rule: Any, response: HttpResponse) -> HttpResponse:
    kept = len(response.body) // 2 if rule.bytes is None else rule.bytes
    return response if kept >= len(response.body) else replace(response, body=response.body[:kept])


def _later(rule: Any, delivery: Delivery, response: HttpResponse) -> Delivery:
    return replace(delivery, delay=delivery.delay + rule.seconds)


def _drip(rule: Any, delivery: Delivery, response: HttpResponse) -> Delivery:
    per_byte = rule.seconds_per_byte or (rule.seconds or 0.0) / max(1, len(response.body))
    return replace(delivery, per_byte=per_byte) if response.body else delivery


def _not_one_speed(rule: Any) -> str:
    if (rule.seconds is None) == (rule.seconds_per_byte is None):
        return "give exactly one of `seconds` (in all) and `seconds_per_byte`"
    return ""


def _reset(rule: Any, delivery: Delivery, response: HttpResponse) -> Delivery:
    return replace(delivery, answered=False, end="reset")


def _unless_ended(end: Callable[[Any, Delivery, HttpResponse], Delivery]) -> Callable[..., Delivery]:
    """Let only the first of several that end the connection act."""

    def deliver(rule: Any, delivery: Delivery, response: HttpResponse) -> Delivery:
        over = delivery.end != "keep" or response.status == NEVER_SENT
        return delivery if over else end(rule, delivery, response)

    return deliver


def _cut(end: Literal["close", "reset"]) -> Callable[..., Delivery]:
    """End the connection after a part of the body that Content-Length promises; half of it, if none is named."""

    def deliver(rule: Any, delivery: Delivery, response: HttpResponse) -> Delivery:
        size = len(response.body)
        sent = min(size // 2 if rule.bytes is None else rule.bytes, max(0, size - 1))
        return delivery if response.status == NO_CONTENT else replace(delivery, sent=sent, end=end)

    return _unless_ended(deliver)


_STATUS_KEYS = {
    "status": Annotated[int, msgspec.Meta(ge=300, le=599)],
    "code": (str, ""),
    "message": (str, _MESSAGE),
    "retry_after": (Seconds | HeaderText | None, None),
    "retry_after_as_date": (bool, False),
    "x_acs_retry_after": (Natural | None, None),
    "headers": (dict[HeaderName, HeaderText], msgspec.field(default_factory=dict)),
}
_TOKEN_EXPIRED = _refusal("InvalidSecurityToken.Expired", "the security token has expired", 403)
_BYTES = {"bytes": (Natural | None, None)}
_SHOWN: frozenset[Operation | None] = frozenset({"List", "Get", "Stop"})

ACTIONS: dict[str, Action] = {
    # Said no to, by the service or by a proxy before it.
    "status": Action(keys=_STATUS_KEYS, problem=_date_without_seconds, refuse=_error),
    "html": Action(
        keys={"status": (Annotated[int, msgspec.Meta(ge=200, le=599)], 502)},
        refuse=lambda rule, *_: Refusal("", "", status=rule.status),
        alter=_proxy_page,
    ),
    "rate_limit": Action(
        keys={"qps": Annotated[float, msgspec.Meta(ge=1 / LONGEST, le=LONGEST)], "burst": (Ordinal | None, None)},
        refuse=_limit_rate,
    ),
    "expired_security_token": Action(
        keys={"security_token": (str | None, None)}, concerns=_has_token, refuse=_TOKEN_EXPIRED
    ),
    "expired_page_token": Action(
        operations=_LIST,
        concerns=lambda rule, arrival: arrival.continued,
        refuse=_refusal("InvalidArgument", "nextToken has expired", 400),
    ),
    "reset": Action(refuse=_refusal("", "", NEVER_SENT), deliver=_reset),
    # Another page than the one that should be shown.
    "empty_page": Action(operations=_LIST, page=_empty_page),
    "short_page": Action(operations=_LIST, keys={"items": (Ordinal, 1)}, page=_short_page),
    "repeated_token": Action(operations=_LIST, keys={"cycle": (Ordinal, 1)}, page=_repeated_token),
    "null_list": Action(operations=_LIST, page=lambda rule, asked, fetch: Page(None, None)),
    # Invocations that look different from what they are, or cannot be seen. A List that asks for their real status
    # leaves those of an unknown one out.
    "unknown_status": Action(
        operations=frozenset({"List", "Get"}), keys={"status": (str, "Migrating")}, show=_unknown_status
    ),
    "appears_late": Action(operations=_SHOWN, keys={"seconds": Seconds}, show=_appears_late),
    "disappears": Action(operations=_SHOWN, keys={"seconds": (Seconds, 0.0)}, show=_disappears),
    # The way of a response: its time, its text, its connection.
    "wrong_clock": Action(keys={"seconds": SignedSeconds}, shift=lambda rule: float(rule.seconds)),
    "truncated_json": Action(keys=_BYTES, alter=_half_json),
    "delay": Action(keys={"seconds": Seconds}, deliver=_later),
    "drip": Action(
        keys={"seconds_per_byte": (Seconds | None, None), "seconds": (Seconds | None, None)},
        problem=_not_one_speed,
        deliver=_drip,
    ),
    "lose_answer": Action(deliver=_unless_ended(_reset)),
    "reset_in_body": Action(keys=_BYTES, deliver=_cut("reset")),
    "truncated_body": Action(keys=_BYTES, deliver=_cut("close")),
    "close": Action(deliver=_unless_ended(lambda rule, delivery, _: replace(delivery, end="close"))),
}


def _rule_class(tag: str, action: Action) -> type[Rule]:
    fields = [(name, *one) if isinstance(one, tuple) else (name, one) for name, one in action.keys.items()]
    return cast("type[Rule]", msgspec.defstruct(tag, fields, bases=(Rule,), tag=tag, kw_only=True))


RULES = {tag: _rule_class(tag, action) for tag, action in ACTIONS.items()}

if TYPE_CHECKING:
    FaultRule = Rule
else:
    FaultRule = reduce(or_, RULES.values())  # msgspec reads the class to make from the tag
