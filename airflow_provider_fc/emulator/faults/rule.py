"""What all faults share: the requests they meet, and the places where a kind of fault interferes."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

import msgspec

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.faults.delivery import Delivery
from airflow_provider_fc.emulator.generations import Operation
from airflow_provider_fc.emulator.invocations import Invocation, Moment
from airflow_provider_fc.emulator.listing import Page, Position

LONGEST = 1e9  # seconds, some 31 years: with less than this no moment leaves the range of dates
Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST)]
SignedSeconds = Annotated[float, msgspec.Meta(ge=-LONGEST, le=LONGEST)]
Ordinal = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


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
    """The page a List asks for; ``turn`` is which of the tokens for the same ``place`` it carries."""

    place: int | Position | None
    turn: int
    limit: int


class Fault(
    msgspec.Struct,
    tag_field="action",
    forbid_unknown_fields=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    kw_only=True,
):
    """A rule: which requests, when, and, by its class, what happens.

    :param name: shown in records; by default the action.
    :param operation: ``List``, ``Get``, ``Stop`` or ``Invoke``; without it any this action can happen to.
    :param id: may hold ``*`` and ``?``. For an action on invocations: which ones; otherwise which Get, Stop and Invoke.
    :param status_filter: the ``status`` a List asks for; ``""`` for a List that asks for none.
    :param first: the ordinal of the first matching request it may hit; ``last`` that of the last one.
    :param times: how often it acts.
    :param probability: of its acting on a matching request, drawn from ``seed``.
    :param after: seconds since the rule was added, before which it does not act; ``until``: after which.
    """

    happens_to: ClassVar[frozenset[Operation | None]] = frozenset({"List", "Get", "Stop", "Invoke", None})

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
        if self.operation and self.operation not in self.happens_to:
            names = ", ".join(sorted(filter(None, self.happens_to)))
            raise ValueError(f"`{self.action}` happens to {names} only; change or leave out `operation`")
        if self.status_filter is not None and (self.operation or "List") != "List":
            raise ValueError(f"a {self.operation} has no status filter; leave out `status_filter` or `operation`")
        if self.id is not None and not self.can_choose_id():
            raise ValueError("a List names no single id; leave out `id`")
        if self.last is not None and self.last < self.first:
            raise ValueError(f"`last` ({self.last}) must not be below `first` ({self.first})")
        if self.until is not None and self.until <= self.after:
            raise ValueError(f"`until` ({self.until:g}) must be above `after` ({self.after:g})")

    @property
    def action(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def label(self) -> str:
        return self.name or self.action

    def can_choose_id(self) -> bool:
        return self.operation != "List" and self.happens_to != {"List"}

    def meets(self, arrival: Arrival) -> bool:
        """Whether a request is one of those this rule counts."""
        wanted = (
            (self.operation, arrival.operation),
            (self.function, arrival.function),
            (self.status_filter, arrival.status_filter),
        )
        return (
            arrival.operation in self.happens_to
            and all(one is None or one == given for one, given in wanted)
            and (self.status_filter is None or arrival.operation == "List")
            and self.chooses(arrival)
        )

    def chooses(self, arrival: Arrival) -> bool:
        return self.id is None or (arrival.id != "" and fnmatchcase(arrival.id, self.id))

    # Where a kind of fault interferes, each with "nothing happens" as what is inherited.

    def shift(self) -> float:
        """Seconds by which the server's clock is wrong."""
        return 0.0

    def alter(self, response: HttpResponse) -> HttpResponse:
        return response

    def deliver(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        return delivery


Refuse = Callable[[Arrival], Refusal | None]


class RefusingFault(Fault):
    """The service says no and does nothing; of several only the first whose turn it is acts."""

    def refuser(self) -> Refuse:
        """What refuses from now on; it may remember what it has let pass."""
        return self.refuse

    def refuse(self, arrival: Arrival) -> Refusal | None:
        raise NotImplementedError


class PageFault(Fault):
    """A List shows another page than the one it should."""

    happens_to: ClassVar[frozenset[Operation | None]] = frozenset({"List"})

    def page(self, asked: Asked, fetch: Callable[[Asked], Page]) -> Page:
        raise NotImplementedError


class ItemFault(Fault):
    """An invocation looks different from what it is, or cannot be seen."""

    happens_to: ClassVar[frozenset[Operation | None]] = frozenset({"List", "Get", "Stop"})

    def show(self, invocation: Invocation, moment: Moment, now: int) -> Moment | None:
        """``moment`` as it is shown; ``now`` is epoch ms."""
        raise NotImplementedError

    def can_choose_id(self) -> bool:
        return True

    def chooses(self, arrival: Arrival) -> bool:
        return arrival.operation == "List" or super().chooses(arrival)

    def selects(self, id: str) -> bool:
        return self.id is None or fnmatchcase(id, self.id)
