"""The cheapest next question about a batch, and what its answer proves.

An unfinished batch needs one witness: a single live invocation. So a look first asks for one live status with
``limit=1``, beginning with the one that answered last time. Only when no witness is found is the whole listing read,
and only a whole listing, confirmed by a second one, gives a verdict.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_fc.core.batch import Batch, Tally, failed_count, judge, unfinished
from airflow_provider_fc.core.errors import ApiError, NotFoundError, PagingError
from airflow_provider_fc.core.flow import Context, Flow, Sleep, Walk, call
from airflow_provider_fc.core.invocations import LIVE_STATUSES, STATUSES, Invocation
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE, RECORDS_ARE_KEPT
from airflow_provider_fc.core.operations import GetInvocation, ListInvocations, Page
from airflow_provider_fc.core.outcome import Kind, Outcome, Summary

log = logging.getLogger(__name__)

OLD_ENOUGH = timedelta(minutes=10)
"""A listing whose newest time lies so far back needs no confirmation."""

LOST_AFTER = timedelta(seconds=15)
"""Listings lag by seconds; a record that was there must be missing for longer before it counts as gone."""

LONGEST_SPACING = timedelta(minutes=15)
SPACING_FACTOR = 20
MAX_REMEMBERED = 10_000

_MOST_PAGES_OF_FAILURES = 2
"""More pages of failures that do not settle the matter cost as much as a complete listing."""


class Survey:
    """One walk over a batch's listing, and what it said so far."""

    def __init__(self, batch: Batch, context: Context, known: Memory) -> None:
        self._batch = batch
        self._known = known
        self._walk = Walk(ListInvocations(batch.function, prefix=batch.prefix, order="asc"), context)
        self.tally = Tally(batch)
        self.present: set[str] = set()
        self.server_time: int | None = None
        self.witness: Invocation | None = None

    @property
    def done(self) -> bool:
        return self._walk.done

    @property
    def pages(self) -> int:
        return self._walk.pages

    def next_page(self) -> Flow[Page]:
        page = yield from self._walk.next_page()
        # Once in the batch, always: one that was queued may show a start before the bound, by another clock, later.
        mine = [item for item in page.items if self._batch.belongs(item) or self._known.knows(item.invocation_id)]
        self.tally.add(mine)
        self._known.learn(mine)
        self.present.update(item.invocation_id for item in mine if self._known.knows(item.invocation_id))
        self.server_time = page.server_time
        self.witness = self.witness or next((item for item in mine if not item.is_terminal), None)
        return page

    def finish(self, *, stop_at_witness: bool) -> Flow[None]:
        """Read on to the last page, or to the first live invocation."""
        while not (self.done or (stop_at_witness and self.witness)):
            yield from self.next_page()


class Memory:
    """What this process has seen of the batch: hints that save requests, and witnesses that must not vanish."""

    def __init__(self) -> None:
        self._live: dict[str, None] = {}
        self._unknown: dict[str, None] = {}
        self._unusable: set[str] = set()
        self.last_answer: str | None = None

    def learn(self, items: Iterable[Invocation]) -> None:
        for item in items:
            if item.is_terminal:
                continue
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

    def gone(self, present: set[str]) -> set[str]:
        """Those once seen live that are not there."""
        return self._live.keys() - present

    def knows(self, invocation_id: str) -> bool:
        """Whether it was once seen live."""
        return invocation_id in self._live

    def live_filters(self) -> list[str]:
        """Live statuses worth asking for, the one that answered last first."""
        words = dict.fromkeys([*([self.last_answer] if self.last_answer else []), *LIVE_STATUSES, *self._unknown])
        return [word for word in words if self.usable(word)]

    def usable(self, status: str) -> bool:
        return status not in self._unusable

    def distrust(self, status: str, reason: str) -> None:
        if self.usable(status):
            log.info("The filter status=%s is of no use here (%s); complete listings decide instead", status, reason)
        self._unusable.add(status)

    def distrust_all(self, reason: str) -> None:
        for word in (*STATUSES, *self._unknown):
            self._unusable.add(word)
        log.info("Status filters are of no use here (%s); complete listings decide instead", reason)

    @property
    def unknown_text(self) -> str:
        return f"; unknown status words: {', '.join(self._unknown)}" if self._unknown else ""


@dataclass(slots=True)
class Spacing:
    """Keeps expensive listings apart: 20 times as long as one took, at most 15 minutes."""

    due: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        return not self.left(now)

    def left(self, now: datetime) -> float:
        """Seconds until then, or 0."""
        return 0.0 if self.due is None else max((self.due - now).total_seconds(), 0.0)

    def note(self, began: datetime, now: datetime) -> None:
        self.due = now + min(LONGEST_SPACING, SPACING_FACTOR * (now - began))

    @contextmanager
    def apart(self, context: Context) -> Iterator[None]:
        """Around a listing; one that fails has cost as much as one that succeeds."""
        began = context.now()
        try:
            yield
        finally:
            self.note(began, context.now())


class Watch(ABC):
    """Looks at one batch again and again. What it remembers between looks saves requests and never decides.

    :param began_at: when the wait began, over all tries of it.
    """

    def __init__(self, batch: Batch, began_at: datetime) -> None:
        self.batch = batch
        self.last: Summary | None = None
        self.began_at = began_at
        self._memory = Memory()
        self._spacing = Spacing()
        self._waiting_for = "not looked at yet"

    @property
    def hint(self) -> str | None:
        """The live status that answered last. A watch of another process that is given it saves requests."""
        return self._memory.last_answer

    @hint.setter
    def hint(self, status: str | None) -> None:
        self._memory.last_answer = status if status in LIVE_STATUSES else None

    @property
    def known(self) -> str:
        """What the looks have found so far, in words."""
        counts = "" if self.last is None else f"{self.last}; "
        return f"{counts}{self._waiting_for}{self._memory.unknown_text}"

    @abstractmethod
    def first_look(self, context: Context) -> Flow[Outcome]:
        """The cheapest look that can decide. It never sleeps."""

    @abstractmethod
    def poll(self, context: Context) -> Flow[Outcome]:
        """One look, as cheap as what is known allows."""

    @abstractmethod
    def last_look(self, context: Context) -> Flow[Outcome]:
        """Everything once more before giving up, whatever it costs within the context's limit."""

    @property
    @abstractmethod
    def _prefix(self) -> str | None:
        """What the server can narrow a listing down to."""

    def _waiting(self, reason: str, summary: Summary | None = None) -> Outcome:
        self._waiting_for = reason
        return Outcome(Kind.WAITING, reason + self._memory.unknown_text, summary)

    def _judge(self, summary: Summary, context: Context) -> Outcome:
        outcome = judge(self.batch, summary, self.began_at, context.now())
        if outcome.kind is Kind.SUCCESS and summary.total > (self.batch.expected_count or summary.total):
            log.warning("%s are more than the %s expected", summary, self.batch.expected_count)
        return outcome

    @property
    def _probe_size(self) -> int:
        """One answer will do where whatever the server finds belongs to the batch."""
        return MAX_PAGE_SIZE if self.batch.started_after or self.batch.ids else 1

    @property
    def _keeps_looking(self) -> bool:
        """With a start bound the first hits may all belong to an older batch."""
        return bool(self.batch.started_after)

    def _find_witness(self, context: Context) -> Flow[Invocation | None]:
        """Ask for one live invocation. The answer is a hint: the item's own status counts, not the filter."""
        for status in self._memory.live_filters():
            witness = yield from self._ask(status, context)
            if witness is not None:
                self._memory.last_answer = status
                return witness
        return None

    def _ask(self, status: str, context: Context) -> Flow[Invocation | None]:
        walk = self._filtered(status, self._probe_size, context)
        while not walk.done and self._memory.usable(status):
            items = yield from self._page_of(walk, status)
            witness = next((item for item in items if not item.is_terminal and self.batch.belongs(item)), None)
            if witness is not None or (items and not self._keeps_looking):
                return witness
        return None

    def _filtered(self, status: str, size: int, context: Context) -> Walk:
        operation = ListInvocations(
            self.batch.function, prefix=self._prefix, statuses=(status,), order="asc", page_size=size
        )
        return Walk(operation, context)

    def _page_of(self, walk: Walk, status: str) -> Flow[list[Invocation]]:
        """One page of a filtered listing; a filter that is refused or ignored is not used again in this wait."""
        try:
            page = yield from walk.next_page()
        except PagingError as error:
            self._memory.distrust(status, str(error))
            return []
        except ApiError as error:
            if error.status != 400 or error.transient:
                raise
            self._memory.distrust(status, f"refused: {error.code}")
            return []
        self._memory.learn(filter(self.batch.belongs, page.items))
        other = next((item for item in page.items if item.status != status), None)
        if other is not None and status == "Running" and other.is_terminal:
            self._memory.distrust_all(f"asked for Running, got {other.status}")
        elif other is not None:
            self._memory.distrust(status, f"got {other.status}")
        return page.items

    def _failing_fast(self, context: Context) -> Flow[bool]:
        """Whether more failures than allowed seem to be there already; a complete listing then says for sure."""
        if not self.batch.fail_fast or self.batch.max_failed is None:
            return False
        found: set[str] = set()
        for status in self.batch.failure_statuses:
            if not self._memory.usable(status):
                return True
            size = MAX_PAGE_SIZE if self._probe_size > 1 else min(self.batch.max_failed + 1, MAX_PAGE_SIZE)
            walk = self._filtered(status, size, context)
            while not walk.done and not self.batch.exceeds(len(found)):
                if walk.pages == _MOST_PAGES_OF_FAILURES:
                    return True
                items = yield from self._page_of(walk, status)
                if not self._memory.usable(status):
                    return True
                found.update(
                    item.invocation_id
                    for item in items
                    if self.batch.is_failure(item.status) and self.batch.belongs(item)
                )
        return self.batch.exceeds(len(found))


class PrefixWatch(Watch):
    """Watches everything whose id starts with a prefix."""

    def __init__(self, batch: Batch, began_at: datetime) -> None:
        super().__init__(batch, began_at)
        self._several_pages = False
        self._missing_since: tuple[datetime, set[str]] | None = None

    @property
    def _prefix(self) -> str | None:
        return self.batch.prefix

    def first_look(self, context: Context) -> Flow[Outcome]:
        """One page. It decides if that is the whole listing and needs no confirmation."""
        survey = self._survey(context)
        yield from survey.next_page()
        self._several_pages = not survey.done
        if not survey.done:
            return self._waiting("there is more than one page to read")
        return (yield from self._conclude(survey, context, confirm=False))

    def poll(self, context: Context) -> Flow[Outcome]:
        """One look, as cheap as what is known allows."""
        survey = self._survey(context)
        if not self._several_pages:
            yield from survey.next_page()
            self._several_pages = not survey.done
        if not survey.done:
            witness = survey.witness or (yield from self._find_witness(context))
            if witness and not (yield from self._failing_fast(context)):
                return self._waiting(f"at least one invocation is {witness.status}")
            if not self._spacing.is_due(context.now()):
                return self._waiting(self._waiting_for, self.last)
            yield from self._finish(survey, context)
        return (yield from self._conclude(survey, context, confirm=True))

    def last_look(self, context: Context) -> Flow[Outcome]:
        """One complete listing before giving up, whatever it costs within the context's limit."""
        survey = self._survey(context)
        yield from survey.finish(stop_at_witness=False)
        return (yield from self._conclude(survey, context, confirm=True))

    def _survey(self, context: Context) -> Survey:
        return Survey(self.batch, context, self._memory)

    def _finish(self, survey: Survey, context: Context) -> Flow[None]:
        with self._spacing.apart(context):
            yield from survey.finish(stop_at_witness=not self.batch.fail_fast)

    def _conclude(self, survey: Survey, context: Context, *, confirm: bool) -> Flow[Outcome]:
        """What a listing proves; a settled one is confirmed first."""
        if not survey.done:
            return self._waiting("at least one invocation is not finished")
        summary = self.last = survey.tally.summary()
        self._several_pages = survey.pages > 1
        if self.batch.fail_fast and self.batch.exceeds(failed_count(self.batch, summary)):
            return self._judge(summary, context)
        lost = yield from self._lost(survey, context)
        if lost is not None:
            return lost
        reason = unfinished(self.batch, summary)
        if reason:
            return self._waiting(reason, summary)
        if not self._needs_confirmation(survey, summary):
            return self._judge(summary, context)
        second = (yield from self._confirmation(survey, context)) if confirm else None
        if second is None:
            return self._waiting(f"{summary}, to be confirmed", summary)
        self.last = second.tally.summary()
        return self._judge(self.last, context)

    def _needs_confirmation(self, survey: Survey, summary: Summary) -> bool:
        if not self.batch.settle_seconds:
            return False
        if survey.pages > 1 or not summary.total:
            return True
        if self.batch.expected_count:
            return False  # unfinished() has seen that it is met
        newest = survey.tally.newest
        if newest is None or survey.server_time is None:
            return True
        return survey.server_time - newest <= OLD_ENOUGH.total_seconds() * 1000

    def _confirmation(self, first: Survey, context: Context) -> Flow[Survey | None]:
        """A later listing with the same ids, all finished; ``None`` when there is none."""
        left = context.seconds_left()
        if left is not None and left <= self.batch.settle_seconds:
            return None
        yield Sleep(self.batch.settle_seconds)
        second = self._survey(context)
        yield from second.finish(stop_at_witness=True)
        if second.witness or second.tally.fingerprint != first.tally.fingerprint:
            return None
        if second.pages > 1 and (yield from self._moved(context)):
            return None
        return second

    def _moved(self, context: Context) -> Flow[Invocation | None]:
        """A live invocation that was on no page when that page was read.

        One that is retried may get a new start time, or none, and so move behind a walk of many pages. What has moved
        to the end was still to come; what has moved to the beginning is on the first page, or found by its status.
        """
        again = self._survey(context)
        yield from again.next_page()
        return again.witness or (yield from self._find_witness(context))

    def _lost(self, survey: Survey, context: Context) -> Flow[Outcome | None]:
        """An invocation once seen live must stay in the listing until the verdict."""
        gone, now = self._memory.gone(survey.present), context.now()
        if not gone:
            self._missing_since = None
            return None
        since, before = self._missing_since or (now, gone)
        still = gone & before
        self._missing_since = (since, still) if still else (now, gone)
        if not still or now - since < LOST_AFTER or (yield from self._exists(min(still), context)):
            return self._waiting(f"{len(gone)} that were there are not in the listing now", self.last)
        reason = (
            f"{len(still)} {self.batch} were seen unfinished and are no longer listed, {min(still)} among them: their "
            f"records have expired ({RECORDS_ARE_KEPT}) or were removed, so how they ended cannot "
            f"be known"
        )
        return Outcome(Kind.LOST, reason, self.last)

    def _exists(self, invocation_id: str, context: Context) -> Flow[bool]:
        """A walk may have missed one that moved; the record itself says whether it is there."""
        try:
            yield from call(GetInvocation(self.batch.function, invocation_id), context)
        except NotFoundError as error:
            if not error.is_invocation:
                raise
            return False
        return True
