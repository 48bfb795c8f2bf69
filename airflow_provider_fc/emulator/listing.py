"""The invocations of one function in the order in which a List shows them."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import count
from operator import attrgetter
from typing import Literal, NamedTuple

import msgspec

from airflow_provider_fc.emulator.invocations import Invocation, InvocationView, Moment


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides which invocations a List shows, and in which order; a page token is bound to it."""

    service: str
    function: str
    order: Literal["asc", "desc"]
    qualifier: str | None = None
    prefix: str = ""
    status: str | None = None
    started_from: int | None = None
    started_to: int | None = None

    def concerns(self, invocation: Invocation) -> bool:
        return invocation.id.startswith(self.prefix) and self.qualifier in (None, invocation.qualifier)

    def admits(self, moment: Moment) -> bool:
        """Tell whether a moment matches; a start window holds both its ends, and shows only what has started."""
        if self.status is not None and moment.status != self.status:
            return False
        if self.started_from is None and self.started_to is None:
            return True
        after = self.started_from is None or moment.started >= self.started_from
        before = self.started_to is None or moment.started <= self.started_to
        return moment.started > 0 and after and before


class Position(NamedTuple):
    """Where a page ended: the sort key of its last item, or, like an offset API, how many items came before."""

    time: int
    id: str


class Page(msgspec.Struct, frozen=True):
    """One page of a listing.

    :param items: ``None`` only where a fault wants ``null``.
    :param following: where the next page begins; ``turn`` tells different tokens for the same beginning apart.
    """

    items: list[InvocationView] | None
    following: int | Position | None
    turn: int = 0


Lens = Callable[[Invocation, Moment, Callable[[Moment], bool]], Moment | None]
"""Shows an invocation differently, or not at all; it is told which moments have been asked for."""


class Row:
    """An invocation as the listing shows it at the moment."""

    __slots__ = ("invocation", "moment")

    def __init__(self, invocation: Invocation) -> None:
        self.invocation = invocation
        self.moment: Moment | None = None

    def update(self, time: int) -> bool:
        """Show the invocation as it was at ``time``, and tell whether that changes the order."""
        before = self._sort_time()
        self.moment = self.invocation.at(time)
        return self._sort_time() != before

    @property
    def key(self) -> tuple[int, str]:
        return self._sort_time() or 0, self.invocation.id

    def _sort_time(self) -> int | None:
        """Give the time it sorts by: its start, or before that its submission."""
        return None if self.moment is None else self.moment.started or self.invocation.submitted


_KEY = attrgetter("key")


class Listing:
    """Holds the invocations of a function, by id and in order.

    It keeps the order between requests: what changed, and a heap of what will, so that a request costs little more
    than its page.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._touched: list[Row] = []
        self._to_come: list[tuple[int, int, Row]] = []
        self._tie = count()
        self._order: list[Row] | None = None
        self._time = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, id: str | None) -> Invocation | None:
        row = self._rows.get(id) if id else None
        return None if row is None else row.invocation

    def touch(self, invocation: Invocation) -> None:
        """Take note of an invocation that is new or has changed."""
        row = self._rows.get(invocation.id)
        if row is None:
            row = self._rows[invocation.id] = Row(invocation)
        self._touched.append(row)

    def rows_at(self, time: int) -> list[Row]:
        """Put every visible row in ascending order, as everything was at ``time``."""
        if time < self._time:  # the clock or the list lag moved back: the past has to be read again
            self._to_come.clear()
            self._touched = list(self._rows.values())
        self._time = time
        while self._to_come and self._to_come[0][0] <= time:
            self._touched.append(heapq.heappop(self._to_come)[2])
        for row in self._touched:
            if row.update(time):
                self._order = None
            self._schedule(row)
        self._touched.clear()
        if self._order is None:
            visible = (row for row in self._rows.values() if row.moment is not None)
            self._order = sorted(visible, key=_KEY)
        return self._order

    def _schedule(self, row: Row) -> None:
        """Have the row read again when its next change has come."""
        invocation = row.invocation
        times = [invocation.visible_from, invocation.visible_until or 0, *(one.at for one in invocation.moments)]
        if max(times) > self._time:
            following = min(time for time in times if time > self._time)
            heapq.heappush(self._to_come, (following, next(self._tie), row))


def matching(
    rows: list[Row], query: Query, after: Position | None, lens: Lens | None = None
) -> Iterator[tuple[Row, Moment]]:
    """Find the rows a query matches and what to show of them, beginning behind ``after``."""
    if query.order == "asc":
        start = bisect_right(rows, after, key=_KEY) if after else 0
        indices = range(start, len(rows))
    else:
        end = bisect_left(rows, after, key=_KEY) if after else len(rows)
        indices = range(end - 1, -1, -1)
    status = None if lens else query.status
    for index in indices:
        row = rows[index]
        moment = row.moment
        # The cheapest question first: a filter that finds nothing asks it of every row.
        if moment is None or (status is not None and status != moment.status) or not query.concerns(row.invocation):
            continue
        shown = lens(row.invocation, moment, query.admits) if lens else moment
        if shown is not None and query.admits(shown):
            yield row, shown
