"""One reading of a batch's listing, what a wait remembers of it, and how far apart long readings are kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_fc.core.batch import Batch, Tally
from airflow_provider_fc.core.flow import Context, Flow, Pages
from airflow_provider_fc.core.invocations import STATUSES, Invocation
from airflow_provider_fc.core.operations import ListInvocations, Order

log = logging.getLogger(__name__)

LONGEST_SPACING = timedelta(minutes=15)
SPACING_PER_PAGE = timedelta(seconds=2)
"""A page takes about 0.1 s; so no wait spends more than a twentieth of its time on listings of several pages."""

MAX_REMEMBERED = 10_000


class Memory:
    """What this process has seen of the batch: invocations that must not vanish, and filters that are of no use."""

    def __init__(self) -> None:
        self._live: dict[str, None] = {}
        self._unknown: dict[str, None] = {}
        self._useless: set[str] = set()
        self.missing: dict[str, datetime] = {}
        """Once seen live, not found since that moment."""

    def learn(self, items: Sequence[Invocation]) -> list[Invocation]:
        """Note what was seen, and pick those that are live."""
        if self.missing:
            for item in items:
                self.missing.pop(item.invocation_id, None)
        live = [item for item in items if not item.is_terminal]
        for item in live:
            if item.status not in STATUSES and item.status not in self._unknown:
                log.warning(
                    "%r is a status this version does not know; it counts as unfinished (invocation %s)",
                    item.status,
                    item.invocation_id,
                )
                self._unknown[item.status] = None
            self._live[item.invocation_id] = None
            if len(self._live) > MAX_REMEMBERED:
                del self._live[next(iter(self._live))]
        return live

    def note_absence(self, present: set[str], now: datetime) -> None:
        """Note which of those once seen live are not there."""
        for invocation_id in self._live.keys() - present:
            self.missing.setdefault(invocation_id, now)

    def knows(self, invocation_id: str) -> bool:
        """Tell whether it was once seen live."""
        return invocation_id in self._live

    def pick_known(self, ids: set[str]) -> set[str]:
        """Pick those that were once seen live."""
        return self._live.keys() & ids

    def trusts(self, status: str) -> bool:
        """Tell whether the filter for this status has not been refused or ignored in this wait."""
        return status not in self._useless

    def distrust(self, status: str, reason: str) -> None:
        log.info("The filter status=%s is of no use here (%s); complete listings decide instead", status, reason)
        self._useless.add(status)

    @property
    def unknown_text(self) -> str:
        return f"; unknown status words: {', '.join(self._unknown)}" if self._unknown else ""


class BatchListing:
    """One reading of a batch's listing, and what it said so far."""

    def __init__(self, batch: Batch, order: Order, context: Context, memory: Memory) -> None:
        self._batch = batch
        self._memory = memory
        self._pages = Pages(ListInvocations(batch.function, prefix=batch.server_prefix, order=order), context)
        self.tally = Tally(batch)
        self.present: set[str] = set()
        self.server_time: int | None = None
        self.live: Invocation | None = None

    @property
    def done(self) -> bool:
        return self._pages.done

    @property
    def pages(self) -> int:
        return self._pages.pages

    def next_page(self) -> Flow[list[Invocation]]:
        """Read one page and return what belongs to the batch."""
        page = yield from self._pages.next_page()
        # Once in the batch, always: one that was queued may show a start before the bound, by another clock, later.
        mine = [item for item in page.items if self._batch.belongs(item) or self._memory.knows(item.invocation_id)]
        self.tally.add(mine)
        live = self._memory.learn(mine)
        self.present |= self._memory.pick_known({item.invocation_id for item in mine})
        self.server_time = page.server_time
        self.live = self.live or next(iter(live), None)
        return mine

    def finish(self, *, stop_at_live: bool) -> Flow[None]:
        """Read on to the last page, or to the first live invocation."""
        while not (self.done or (stop_at_live and self.live)):
            yield from self.next_page()


@dataclass(slots=True)
class Spacing:
    """Keeps listings of several pages apart, by the requests they took.

    Not by their duration: a slow request, retries or a busy event loop would hold back what comes next for minutes.
    """

    due: datetime | None = None

    def left(self, now: datetime) -> float:
        """Give the seconds until then, or 0."""
        return 0.0 if self.due is None else max((self.due - now).total_seconds(), 0.0)

    def note(self, pages: int, now: datetime) -> None:
        if pages > 1:
            self.due = now + min(LONGEST_SPACING, SPACING_PER_PAGE * pages)
