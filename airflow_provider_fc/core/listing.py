"""A filtered listing over one or several server walks, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.flow import Context, Flow, RecentIds, Walk
from airflow_provider_fc.core.invocations import Invocation, is_terminal
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE
from airflow_provider_fc.core.operations import ListInvocations, Order


@dataclass(frozen=True, slots=True)
class Query:
    """Which invocations to list.

    :param statuses: any of these; all by default.
    :param started_after: epoch ms, inclusive; an invocation without a start time passes.
    :param started_before: epoch ms, inclusive; an invocation without a start time passes.
    :param order: by start time; the server's own order by default.
    :param page_size: 1 to 100.
    """

    function: FunctionRef
    prefix: str | None = None
    statuses: tuple[str, ...] = ()
    started_after: int | None = None
    started_before: int | None = None
    order: Order | None = None
    include_payload: bool = False
    page_size: int = MAX_PAGE_SIZE

    @property
    def filtered_here(self) -> bool:
        """Whether the server cannot filter the statuses, so that a page of its may hold none of those wanted."""
        return len(self.statuses) > 1 and not all(map(is_terminal, self.statuses))

    def walks(self) -> Iterator[tuple[str, ...]]:
        """The statuses each walk is to yield.

        Final statuses never change, so each gets a walk that the server filters. As soon as one of several can change,
        a single walk over everything is filtered here: what moves between two filtered walks would be in neither.
        """
        if self.filtered_here:
            yield self.statuses
        else:
            yield from ((status,) for status in self.statuses)
        if not self.statuses:
            yield ()

    def operation(self, statuses: tuple[str, ...]) -> ListInvocations:
        # Whether the server's bounds are inclusive is not documented: ask for a millisecond more and cut in admits().
        return ListInvocations(
            self.function,
            prefix=self.prefix,
            status=statuses[0] if len(statuses) == 1 else None,
            started_after=None if self.started_after is None else max(self.started_after - 1, 0),
            started_before=None if self.started_before is None else self.started_before + 1,
            order=self.order,
            include_payload=self.include_payload,
            page_size=self.page_size,
        )

    def admits(self, item: Invocation, statuses: tuple[str, ...]) -> bool:
        """Whether an item that the server sent is one that was asked for."""
        return (
            (not statuses or item.status in statuses)
            and (not self.prefix or item.invocation_id.startswith(self.prefix))
            and (item.started_time is None or self._in_window(item.started_time))
        )

    def _in_window(self, started: int) -> bool:
        after = self.started_after is None or started >= self.started_after
        return after and (self.started_before is None or started <= self.started_before)


class _Stream:
    """One walk with the rest of its current page."""

    def __init__(self, query: Query, statuses: tuple[str, ...], context: Context) -> None:
        self._query = query
        self._statuses = statuses
        self._walk = Walk(query.operation(statuses), context)
        # Nothing waits for one without a start time: until a time is known, it stands before all others.
        self._last_key = inf if query.order == "desc" else -inf
        self.items: deque[Invocation] = deque()

    @property
    def done(self) -> bool:
        return self._walk.done and not self.items

    def refill(self) -> Flow[None]:
        while not (self.items or self._walk.done):
            page = yield from self._walk.next_page()
            self.items.extend(item for item in page.items if self._query.admits(item, self._statuses))

    @property
    def key(self) -> float:
        """Where the next item stands in time; one without a start time stands where the one before it stood."""
        started = self.items[0].started_time
        if started is not None:
            self._last_key = started
        return self._last_key


class Listing:
    """The items of a query, a handful at a time, in the order asked for.

    Memory holds one page of each walk and the last 1,000 ids, by which an item that moved to a later page while the
    walk was under way is left out the second time.
    """

    def __init__(self, query: Query, context: Context) -> None:
        self._order = query.order
        self._streams = [_Stream(query, statuses, context) for statuses in query.walks()]
        self._recent = RecentIds()

    @property
    def done(self) -> bool:
        return not self._streams

    def next_items(self) -> Flow[list[Invocation]]:
        """The next items, at least one unless the listing is done."""
        items: list[Invocation] = []
        while self._streams and not items:
            yield from self._refill()
            items = [item for item in self._take() if self._recent.is_new(item.invocation_id)]
        return items

    def _refill(self) -> Flow[None]:
        # Without an order the walks simply follow each other; with one, all of them take part in the merge.
        for stream in self._streams if self._order else self._streams[:1]:
            yield from stream.refill()
        self._streams = [stream for stream in self._streams if not stream.done]

    def _take(self) -> Iterator[Invocation]:
        """Items up to the moment when some walk needs its next page."""
        streams = self._streams if self._order else self._streams[:1]
        while streams and all(stream.items for stream in streams):
            nearest = (max if self._order == "desc" else min)(streams, key=lambda stream: stream.key)
            yield nearest.items.popleft()
