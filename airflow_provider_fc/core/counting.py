"""Counts a batch now and then, for people who wait. What it finds is told and forgotten: no poll ever knows of it.

It takes its time out of the pauses between the polls, so that none of these is late, and on average no more than one
request per six seconds and a twentieth of the time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from sys import intern

from airflow_provider_fc.core.batch import Batch, digest
from airflow_provider_fc.core.errors import DeadlineExceeded, FunctionComputeError, NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, Pages, call
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE
from airflow_provider_fc.core.operations import GetInvocation, ListInvocations
from airflow_provider_fc.core.progress import Counts

log = logging.getLogger(__name__)

FIRST_PAGES = 10
"""So many pages are counted at the first poll; what is larger has to wait for its turn."""

SECONDS_PER_REQUEST = 6.0
TIMES_ITS_DURATION = 20.0

_FEW = 5
"""So many ids are looked up one by one."""

_SHORTEST = 0.5
"""Seconds: in less than this no page is asked for."""

_MOST_FAILURES = 3


class Count:
    """One count under way, page by page."""

    def __init__(self, batch: Batch, context: Context) -> None:
        self._batch = batch
        operation = ListInvocations(batch.function, prefix=batch.server_prefix, order="asc")
        self._pages = Pages(operation, context)
        self._to_ask = list(batch.ids) if len(batch.ids) <= _FEW else []
        self._statuses: dict[bytes, str] = {}
        """By digest of the id: what starts while pages are read moves to a later one, and shows up twice."""
        self.most = 2 * ceil(len(batch.ids) / MAX_PAGE_SIZE) + 1 if batch.ids else None
        """So many requests at most: others may share the prefix of given ids."""
        self.began_at = context.now()
        self.requests = 0
        self.seconds = 0.0
        self.failures = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to be asked."""
        if self._batch.ids and len(self._batch.ids) <= _FEW:
            return not self._to_ask
        return self._pages.done or (bool(self._batch.ids) and len(self._statuses) >= len(self._batch.ids))

    def step(self, context: Context) -> Flow[None]:
        """Send one request."""
        began = context.now()
        self.requests += 1
        try:
            items = yield from self._ask(context)
        finally:
            self.seconds += (context.now() - began).total_seconds()
        self.failures = 0
        self._statuses.update(
            (digest(item.invocation_id), intern(item.status)) for item in items if self._batch.belongs(item)
        )

    def _ask(self, context: Context) -> Flow[list[Invocation]]:
        if not self._to_ask:
            self._pages.context = context
            page = yield from self._pages.next_page()
            return page.items
        try:
            item = yield from call(GetInvocation(self._batch.function, self._to_ask[-1]), context)
        except NotFoundError:
            item = None
        self._to_ask.pop()
        return [item] if item else []

    def counts(self) -> Counts:
        return self._batch.counts(Counter(self._statuses.values()), complete=self.done)


@dataclass(slots=True)
class Turn:
    """When a count is due, and how far it may go.

    :param once: there is no other turn, so that what was counted is told even if it is not all.
    """

    due: datetime | None
    requests: int | None = None
    seconds: float | None = None
    once: bool = False


def _lasts(context: Context) -> bool:
    """Tell whether there is time for a request."""
    left = context.seconds_left()
    return left is None or left > _SHORTEST


class Counting:
    """Counts when it is time to, for one wait.

    :param interval: seconds between two counts at least; ``None`` for no counts.
    :param tell: is given the counts.
    """

    def __init__(
        self, batch: Batch, began_at: datetime, interval: float | None, tell: Callable[[Counts], None]
    ) -> None:
        self._batch = batch
        self._began_at = began_at
        self._interval = interval
        self._tell = tell
        self._count: Count | None = None
        self._turn = Turn(None)
        if interval is not None and len(batch.ids) != 1:
            self._turn = Turn(began_at, FIRST_PAGES)

    def go_on(self, now: datetime) -> None:
        """Take over from the process that made the first poll: the next count is due by the clock."""
        if self._turn.due is not None:
            self._turn = Turn(self._began_at + self._period * (self._periods(now) + 1))

    def go_on_for_one_poll(self, now: datetime, poll_interval: float) -> None:
        """Take over for a single poll: of all polls since the wait began, the first one in each period counts.

        Nobody tells this process how long the last count took, so that this one is bounded.
        """
        if self._turn.due is not None:
            new = self._periods(now) > self._periods(now - timedelta(seconds=poll_interval))
            period = self._period.total_seconds()
            most = max(int(period / SECONDS_PER_REQUEST), 1)
            self._turn = Turn(now if new else None, most, period / TIMES_ITS_DURATION, once=True)

    @property
    def _period(self) -> timedelta:
        """The time between two counts, as far as the size of the batch is known beforehand."""
        assert self._interval is not None
        pages = ceil((self._batch.expected or 0) / MAX_PAGE_SIZE)
        return timedelta(seconds=max(self._interval, pages * SECONDS_PER_REQUEST))

    def _periods(self, now: datetime) -> int:
        return (now - self._began_at) // self._period

    def counted(self, now: datetime) -> None:
        """Note that a poll has counted anyway."""
        if self._turn.due is not None and self._interval is not None:
            self._count = None
            self._turn = Turn(now + timedelta(seconds=self._interval))

    def due_in(self, now: datetime) -> float | None:
        """Tell in how many seconds there is something to count; ``None`` when there never is."""
        if self._count is not None:
            return 0.0
        return None if self._turn.due is None else max((self._turn.due - now).total_seconds(), 0.0)

    def run(self, context: Context) -> Flow[None]:
        """Count as far as the context's limit lets it; the next call goes on from there."""
        if self._turn.seconds is not None:
            ends = context.now() + timedelta(seconds=self._turn.seconds)
            context = context.until(min(context.limit or ends, ends))
        while self.due_in(context.now()) == 0.0 and _lasts(context):
            if self._count is None:
                self._count = Count(self._batch, context)
            yield from self._step(self._count, context)
        if self._count is not None and self._turn.once:
            self._finish(self._count, context.now())

    def _step(self, count: Count, context: Context) -> Flow[None]:
        """Send one request. Whatever goes wrong is no matter of the wait's."""
        try:
            yield from count.step(context)
        except FunctionComputeError as error:
            log.debug("Could not count: %s", error)
            count.failures += 1
            passes = error.transient or isinstance(error, DeadlineExceeded)
            if not passes or count.failures >= _MOST_FAILURES:
                self._close(count, context.now())
            return
        if count.done or count.requests in (self._turn.requests, count.most):
            self._finish(count, context.now())

    def _finish(self, count: Count, now: datetime) -> None:
        self._close(count, now)
        self._tell(count.counts())

    def _close(self, count: Count, now: datetime) -> None:
        assert self._interval is not None
        pause = max(self._interval, SECONDS_PER_REQUEST * count.requests, TIMES_ITS_DURATION * count.seconds)
        self._count = None
        self._turn = Turn(max(count.began_at + timedelta(seconds=pause), now))
