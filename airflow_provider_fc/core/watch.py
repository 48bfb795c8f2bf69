"""The cheapest next question about a batch, and what its answer proves.

A poll goes from the cheap to the dear and stops at the first answer that shows the batch unfinished:

1. Is the invocation that was live at the last poll still live? One Get.
2. Is any Running? One list request. The status of what it returns decides; the filter is only a hint.
3. The listing, newest first, up to the first live invocation.
4. No live one: that listing was complete. After ``settle_seconds`` it is read again, oldest first. The same ids, all of
   them ended, give the verdict.

Two directions, because a listing is no snapshot: an invocation that is retried gets a new start time, or none until it
runs again, and so moves while the pages are read. One move hides it from a reading in one direction, not in both.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil

from airflow_provider_fc.core.batch import Batch, Tally, failed_count, forgotten, judge, unfinished
from airflow_provider_fc.core.batch_listing import BatchListing, Memory, Spacing
from airflow_provider_fc.core.errors import ApiError, NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, Sleep, call
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE, RECORDS_ARE_KEPT
from airflow_provider_fc.core.operations import GetInvocation, ListInvocations, Order, Page
from airflow_provider_fc.core.outcome import Kind, Outcome, Summary
from airflow_provider_fc.core.progress import Counts
from airflow_provider_fc.core.task_mode import expect_record

log = logging.getLogger(__name__)

OLD_ENOUGH = timedelta(minutes=10)
"""A listing whose newest time lies so far back needs no confirmation."""

LOST_AFTER = timedelta(seconds=15)
"""Listings lag by seconds; a record that was there must be missing for longer before it counts as gone."""

FEW = 5
"""So many ids are simply asked for one by one."""

_NAMED = 5


class Watch(ABC):
    """Polls one batch again and again. What it remembers between polls saves requests and never decides.

    :param began_at: when the wait began, over all tries of it.
    """

    def __init__(self, batch: Batch, began_at: datetime) -> None:
        self.batch = batch
        self.last: Summary | None = None
        self.counts: Counts | None = None
        """What a poll has counted. Whoever reads it takes it away; the watch itself never looks at it."""
        self.began_at = began_at
        self.live_id: str | None = None
        """An invocation that was live at the last poll. Given to a watch of another process, it saves requests."""
        self._memory = Memory()
        self._spacing = Spacing()
        self._finding = "not polled yet"

    @property
    def known(self) -> str:
        """What the polls have found so far, in words."""
        counts = "" if self.last is None else f"{self.last}; "
        return f"{counts}{self._finding}{self._memory.unknown_text}"

    @abstractmethod
    def first_poll(self, context: Context) -> Flow[Outcome]:
        """Poll as cheaply as can decide. It never sleeps."""

    @abstractmethod
    def poll(self, context: Context) -> Flow[Outcome]:
        """Poll once, as cheaply as what is known allows."""

    @abstractmethod
    def last_poll(self, context: Context) -> Flow[Outcome]:
        """Ask for everything once more before giving up, whatever it costs within the context's limit."""

    # The outcomes

    def _waiting(self, finding: str, summary: Summary | None = None) -> Outcome:
        self._finding = finding
        return Outcome(Kind.WAITING, finding + self._memory.unknown_text, summary)

    def _waiting_for(self, live: Invocation) -> Outcome:
        self.live_id = live.invocation_id
        return self._waiting(f"at least one invocation is {live.status}")

    def _postponed(self, live: Invocation | None) -> Outcome:
        """Wait on without a complete listing, which would come too soon after the last one."""
        if live is not None:
            return self._waiting_for(live)
        assert self._spacing.due is not None
        next_one = f"the next complete listing comes at {self._spacing.due:%H:%M:%S} UTC"
        reason = f"nothing new, {next_one}; the last one: {self._finding}"
        return Outcome(Kind.WAITING, reason + self._memory.unknown_text, self.last)

    def _judge(self, summary: Summary, context: Context) -> Outcome:
        outcome = judge(self.batch, summary, self.began_at, context.now(), context.settings.endpoint)
        if outcome.kind is Kind.SUCCESS and summary.total > (self.batch.expected_count or summary.total):
            log.warning("%s are more than the %s expected", summary, self.batch.expected_count)
        return outcome

    def _unsettled(self, summary: Summary, context: Context) -> Flow[Outcome | None]:
        """Conclude from a complete listing that cannot be the verdict on a whole batch; ``None`` when it can."""
        self.last = summary
        self.counts = self.batch.counts(summary.by_status, complete=self._saw_all)
        if self.batch.fail_fast and self.batch.exceeds(failed_count(self.batch, summary)):
            return self._judge(summary, context)
        missing = len(self._memory.missing)
        lost = yield from self._find_lost(context)
        if lost is not None:
            return Outcome(Kind.LOST, lost, summary)
        reason = unfinished(self.batch, summary, complete=self._saw_all, endpoint=context.settings.endpoint)
        if missing and not summary.total:
            reason = self._all_gone(missing, context)
        elif missing and not reason:
            reason = f"{missing} that were there are not in the listing now"
        return self._waiting(reason + self._absent_text(), summary) if reason else None

    @staticmethod
    def _all_gone(missing: int, context: Context) -> str:
        why = forgotten(context.settings.endpoint)
        were = "was" if missing == 1 else "were"
        return f"nothing found any more, though {missing} {were} there{f' ({why})' if why else ''}"

    def _find_lost(self, context: Context) -> Flow[str | None]:
        """Name one that was seen live, has been missing since, and is not found by its id either."""
        for invocation_id, since in list(self._memory.missing.items())[:1]:
            if context.now() - since < LOST_AFTER or (yield from self._get(invocation_id, context)):
                return None
            why = forgotten(context.settings.endpoint)
            return (
                f"{invocation_id} was seen unfinished and is no longer listed nor found by its id: its record has "
                f"expired ({RECORDS_ARE_KEPT}) or was removed{f' ({why})' if why else ''}, so how it ended cannot be "
                "known"
            )
        return None

    @property
    def _saw_all(self) -> bool:
        """Whether what was read last left nothing out."""
        return True

    def _absent_text(self) -> str:
        return ""

    # The cheap questions

    def _get(self, invocation_id: str, context: Context) -> Flow[Invocation | None]:
        """Get one; ``None`` when there is no such record."""
        try:
            item = yield from call(GetInvocation(self.batch.function, invocation_id), context)
        except NotFoundError as error:
            # Of a function or alias that does not exist nothing will ever be found.
            if not error.is_invocation:
                raise
            return None
        self._memory.learn([item])
        return item

    def _find_known_live(self, context: Context) -> Flow[Invocation | None]:
        """Get the invocation that was live at the last poll."""
        if self.live_id is None or not self.batch.names(self.live_id):
            return None  # another process may have noted it before the parameters were changed
        item = yield from self._get(self.live_id, context)
        if item is not None and not item.is_terminal:
            return item
        self.live_id = None
        return None

    def _find_with(self, status: str, context: Context) -> Flow[Invocation | None]:
        page = yield from self._ask(status, 1, context)
        return next((item for item in page.items if not item.is_terminal), None) if page else None

    def _ask(self, status: str, size: int, context: Context) -> Flow[Page | None]:
        """List one page of those with this status that belong to the batch.

        ``None`` when the filter is refused or ignored, now or before: then it is not used again in this wait.
        """
        if not self._memory.trusts(status):
            return None
        # Where not all that the server finds belongs to the batch, one answer will not do.
        size = MAX_PAGE_SIZE if self.batch.started_after or self.batch.ids else min(size, MAX_PAGE_SIZE)
        operation = ListInvocations(
            self.batch.function, prefix=self.batch.server_prefix, statuses=(status,), order="desc", page_size=size
        )
        try:
            page = yield from call(operation, context)
        except ApiError as error:
            if error.status != 400 or error.transient:
                raise
            self._memory.distrust(status, f"refused: {error.code}")
            return None
        other = next((item for item in page.items if item.status != status), None)
        if other is not None:
            self._memory.distrust(status, f"got {other.status}")
        mine = [item for item in page.items if self.batch.belongs(item)]
        self._memory.learn(mine)
        return Page(mine, page.next_token, page.server_time)

    def _fails_fast(self, context: Context) -> Flow[bool]:
        """Tell whether more failures than allowed may be there already; a complete listing then says for sure."""
        if not self.batch.fail_fast or self.batch.max_failed is None:
            return False
        found = 0
        for status in self.batch.failure_statuses:
            page = yield from self._ask(status, self.batch.max_failed + 1, context)
            if page is None or not self._memory.trusts(status):
                return True
            found += len(page.items)
            if page.next_token is not None or self.batch.exceeds(found):
                return True
        return False


class PrefixWatch(Watch):
    """Watches everything whose id starts with a prefix."""

    def __init__(self, batch: Batch, began_at: datetime) -> None:
        super().__init__(batch, began_at)
        self._several_pages = False

    def first_poll(self, context: Context) -> Flow[Outcome]:
        """Read one page. It decides if that is the whole listing and needs no confirmation."""
        listing = self._listing("desc", context)
        yield from listing.next_page()
        self._several_pages = not listing.done
        if not listing.done:
            return self._waiting("there is more than one page to read")
        return (yield from self._conclude(listing, context, confirm=False))

    def poll(self, context: Context) -> Flow[Outcome]:
        listing = self._listing("desc", context)
        live = yield from self._find_live(listing, context)
        if not listing.done:
            if live and not (yield from self._fails_fast(context)):
                return self._waiting_for(live)
            if self._spacing.left(context.now()):
                return self._postponed(live)
            yield from self._finish(listing, context)
        return (yield from self._conclude(listing, context, confirm=True))

    def last_poll(self, context: Context) -> Flow[Outcome]:
        listing = self._listing("asc", context)
        yield from listing.finish(stop_at_live=False)
        return (yield from self._conclude(listing, context, confirm=True))

    def _listing(self, order: Order, context: Context) -> BatchListing:
        return BatchListing(self.batch, order, context, self._memory)

    def _find_live(self, listing: BatchListing, context: Context) -> Flow[Invocation | None]:
        """Ask the cheap questions. A batch of one page is simply listed: that costs one request, too, and counts."""
        live = None
        if self._several_pages or self.live_id:
            live = yield from self._find_known_live(context)
        if live is None:
            yield from listing.next_page()
            self._several_pages = not listing.done
            live = listing.live
        if live is None and not listing.done:
            live = yield from self._find_with("Running", context)
        return live

    def _finish(self, listing: BatchListing, context: Context) -> Flow[None]:
        try:
            yield from listing.finish(stop_at_live=not self.batch.fail_fast)
        finally:
            # One that fails has cost as much as one that succeeds.
            self._spacing.note(listing.pages, context.now())

    def _conclude(self, listing: BatchListing, context: Context, *, confirm: bool) -> Flow[Outcome]:
        """Conclude from what was read; a settled listing is confirmed first."""
        if not listing.done and listing.live:
            return self._waiting_for(listing.live)
        self._several_pages = listing.pages > 1
        self.live_id = listing.live.invocation_id if listing.live and self._several_pages else None
        self._memory.note_absence(listing.present, context.now())
        summary = listing.tally.summary()
        outcome = yield from self._unsettled(summary, context)
        if outcome is not None:
            return outcome
        if not self._needs_confirmation(listing, summary):
            return self._judge(summary, context)
        second = (yield from self._confirmation(listing, context)) if confirm else None
        if second is None:
            return self._waiting(f"{summary}, to be confirmed", summary)
        self.last = second.tally.summary()
        return self._judge(self.last, context)

    def _needs_confirmation(self, listing: BatchListing, summary: Summary) -> bool:
        if not self.batch.settle_seconds:
            return False
        if listing.pages > 1 or not summary.total:
            return True
        if self.batch.expected_count:
            return False  # unfinished() has seen that it is met
        newest = listing.tally.newest
        if newest is None or listing.server_time is None:
            return True
        return listing.server_time - newest <= OLD_ENOUGH.total_seconds() * 1000

    def _confirmation(self, first: BatchListing, context: Context) -> Flow[BatchListing | None]:
        """Read the listing again, later and the other way round; ``None`` unless it has the same ids, all ended."""
        left = context.seconds_left()
        if left is not None and left <= self.batch.settle_seconds:
            return None
        yield Sleep(self.batch.settle_seconds)
        second = self._listing("asc", context)
        yield from second.finish(stop_at_live=True)
        moved, same = second.live, second.tally.fingerprint == first.tally.fingerprint
        if moved is None and same and second.pages > 1:
            moved = yield from self._find_moved(second.tally, context)
        if moved is not None and not moved.is_terminal and self._several_pages:
            self.live_id = moved.invocation_id  # so that the next poll need not come across it again
        return second if same and moved is None else None

    def _find_moved(self, counted: Tally, context: Context) -> Flow[Invocation | None]:
        """Read both ends once more: what moved while the pages were read has moved to one of them, and may have ended.

        After each the filters are asked as well: what moves from one end to the other meanwhile is being retried.
        """
        for order in ("asc", "desc"):
            for item in (yield from self._listing(order, context).next_page()):
                if not (item.is_terminal and counted.has(item.invocation_id)):
                    return item
            for status in ("Running", "Retrying"):
                live = yield from self._find_with(status, context)
                if live:
                    return live
        return None


class IdsWatch(Watch):
    """Watches a given set of ids. A final status never changes, so what has ended is not asked for again."""

    def __init__(self, batch: Batch, began_at: datetime) -> None:
        super().__init__(batch, began_at)
        self._ended: dict[str, Invocation] = {}
        self._live: dict[str, Invocation] = {}
        self._absent: dict[str, None] = {}
        self._record_expected = False

    def first_poll(self, context: Context) -> Flow[Outcome]:
        if len(self._open) > FEW:
            self._note((yield from BatchListing(self.batch, "desc", context, self._memory).next_page()))
        else:
            yield from self._get_each(self._open, context, stop_at_live=True)
        return (yield from self._conclude(context))

    def poll(self, context: Context) -> Flow[Outcome]:
        live = yield from self._find_known_live(context)
        many = len(self._open) > FEW
        if live is None and many:
            live = yield from self._find_with("Running", context)
        if live and not (yield from self._fails_fast(context)):
            self._note([live])
            return self._waiting_for(live)
        if many and self._spacing.left(context.now()):
            return self._postponed(live)
        yield from self._read(context, stop_at_live=not self.batch.fail_fast)
        return (yield from self._conclude(context))

    def last_poll(self, context: Context) -> Flow[Outcome]:
        yield from self._read(context, stop_at_live=False)
        return (yield from self._conclude(context))

    @property
    def _open(self) -> list[str]:
        return [invocation_id for invocation_id in self.batch.ids if invocation_id not in self._ended]

    @property
    def _saw_all(self) -> bool:
        return len(self._ended) + len(self._live) + len(self._absent) >= len(self.batch.ids)

    def _read(self, context: Context, *, stop_at_live: bool) -> Flow[None]:
        """Find every id that has not ended: in bulk as far as a listing helps, then one by one."""
        self._live.clear()
        if len(self._open) > FEW:
            yield from self._read_listing(context, stop_at_live=stop_at_live)
        # Those that were there first: of them a missing one has vanished.
        unseen = sorted(set(self._open) - self._live.keys(), key=lambda key: (not self._memory.knows(key), key))
        if not (stop_at_live and self._live):
            yield from self._get_each(unseen, context, stop_at_live=stop_at_live)
        self.live_id = next(iter(self._live), None)

    def _read_listing(self, context: Context, *, stop_at_live: bool) -> Flow[None]:
        """Read no more pages than the ids could fill: others may share the prefix."""
        listing = BatchListing(self.batch, "desc", context, self._memory)
        most = ceil(len(self._open) / MAX_PAGE_SIZE) + 1
        try:
            while not (listing.done or listing.pages >= most or (stop_at_live and self._live)):
                self._note((yield from listing.next_page()))
        finally:
            self._spacing.note(listing.pages, context.now())

    def _get_each(self, ids: list[str], context: Context, *, stop_at_live: bool) -> Flow[None]:
        """Get them one by one; one that is missing shows the batch unfinished as well as one that is live."""
        for invocation_id in ids:
            item = yield from self._get(invocation_id, context)
            if stop_at_live and (item is None or not item.is_terminal):
                return

    def _get(self, invocation_id: str, context: Context) -> Flow[Invocation | None]:
        item = yield from super()._get(invocation_id, context)
        if item is not None:
            self._note([item])
            return item
        self._live.pop(invocation_id, None)
        self._absent[invocation_id] = None
        if self._memory.knows(invocation_id):
            self._memory.missing.setdefault(invocation_id, context.now())
        return None

    def _note(self, items: Iterable[Invocation]) -> None:
        for item in items:
            self._absent.pop(item.invocation_id, None)
            if item.is_terminal:
                self._ended[item.invocation_id] = item
                self._live.pop(item.invocation_id, None)
            elif item.invocation_id not in self._ended:
                self._live[item.invocation_id] = item

    def _conclude(self, context: Context) -> Flow[Outcome]:
        tally = Tally(self.batch)
        tally.add((*self._ended.values(), *self._live.values()))
        summary = tally.summary()
        outcome = yield from self._unsettled(summary, context)
        if outcome is None:
            return self._judge(summary, context)
        if outcome.decided:
            return outcome
        return (yield from self._never_visible(summary, context)) or outcome

    def _never_visible(self, summary: Summary, context: Context) -> Flow[Outcome | None]:
        """Give up on what was accepted but of which no record appears."""
        grace = self.batch.visible_within
        if grace is None or not self._absent:
            return None
        invocation_id = next(iter(self._absent))
        if not self._record_expected:
            # Once, and at the first poll: whether what cannot be seen yet ever will be.
            yield from expect_record(self.batch.function, invocation_id, context)
            self._record_expected = True
        if (context.now() - self.began_at).total_seconds() <= grace:
            return None
        reason = (
            f"{invocation_id} was accepted, but there is no record of it: the function is not in asynchronous task "
            f"mode, the qualifier is another one's, or the record has expired"
        )
        return Outcome(Kind.LOST, reason, summary)

    def _absent_text(self) -> str:
        missing = list(self._absent)
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        return f"; not found (yet): {', '.join(missing[:_NAMED])}{more}" if missing else ""


def watch(batch: Batch, began_at: datetime) -> Watch:
    """Make the right kind of watch for the batch."""
    return IdsWatch(batch, began_at) if batch.ids else PrefixWatch(batch, began_at)
