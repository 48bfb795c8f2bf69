"""The same watch for a given set of ids: each one is looked up until it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from math import ceil
from os.path import commonprefix

from airflow_provider_fc.core.batch import Batch, failed_count, unfinished
from airflow_provider_fc.core.errors import NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, Walk, call
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE, RECORDS_ARE_KEPT
from airflow_provider_fc.core.operations import GetInvocation, ListInvocations
from airflow_provider_fc.core.outcome import MAX_LISTED_FAILURES, Failure, Kind, Outcome, Summary
from airflow_provider_fc.core.task_mode import expect_record
from airflow_provider_fc.core.watch import LOST_AFTER, PrefixWatch, Watch

FEW = 5
"""So many ids are simply asked for one by one."""

_NAMED = 5


class IdsWatch(Watch):
    """Watches a given set of ids. A final status never changes, so what has ended is not asked for again."""

    def __init__(self, batch: Batch, began_at: datetime) -> None:
        super().__init__(batch, began_at)
        self._common = commonprefix(batch.ids) or None  # noqa: RUF071 - characters are what is meant
        self._ended: dict[str, Invocation] = {}
        self._live: dict[str, Invocation] = {}
        self._absent: dict[str, None] = {}
        self._missing_since: dict[str, datetime] = {}
        self._record_expected = False

    @property
    def _prefix(self) -> str | None:
        return self._common

    def first_look(self, context: Context) -> Flow[Outcome]:
        if len(self._open) > FEW:
            self._note((yield from self._listing(context).next_page()).items)
        else:
            yield from self._get_each(self._open, context, stop_at_witness=True)
        return (yield from self._conclude(context))

    def poll(self, context: Context) -> Flow[Outcome]:
        witness = yield from self._known_witness(context)
        if witness is None and len(self._open) > FEW:
            witness = yield from self._find_witness(context)
        if witness and not (yield from self._failing_fast(context)):
            self._note([witness])
            return self._waiting(f"at least one invocation is {witness.status}")
        if not self._spacing.is_due(context.now()):
            return self._waiting(self._waiting_for, self.last)
        with self._spacing.apart(context):
            yield from self._resolve(context, stop_at_witness=not self.batch.fail_fast)
        return (yield from self._conclude(context))

    def last_look(self, context: Context) -> Flow[Outcome]:
        yield from self._resolve(context, stop_at_witness=False)
        return (yield from self._conclude(context))

    @property
    def _open(self) -> list[str]:
        return [invocation_id for invocation_id in self.batch.ids if invocation_id not in self._ended]

    def _listing(self, context: Context) -> Walk:
        # The newest first: what was submitted for this wait rather than what has piled up before it.
        return Walk(ListInvocations(self.batch.function, prefix=self._prefix, order="desc"), context)

    def _known_witness(self, context: Context) -> Flow[Invocation | None]:
        """The invocation that was live at the last look, if it still is."""
        for invocation_id in list(self._live)[:1]:
            item = yield from self._get(invocation_id, context)
            if item is not None and not item.is_terminal:
                return item
        return None

    def _resolve(self, context: Context, *, stop_at_witness: bool) -> Flow[None]:
        """Look up every id that has not ended: in bulk as far as a listing helps, then one by one."""
        self._live.clear()
        if len(self._open) > FEW:
            yield from self._read_listing(context, stop_at_witness=stop_at_witness)
        # Those that were there first: of them a missing one has vanished.
        unseen = sorted(set(self._open) - self._live.keys(), key=lambda key: (not self._memory.knows(key), key))
        if not (stop_at_witness and self._live):
            yield from self._get_each(unseen, context, stop_at_witness=stop_at_witness)

    def _read_listing(self, context: Context, *, stop_at_witness: bool) -> Flow[None]:
        """No more pages than the ids could fill: others may share the prefix."""
        walk = self._listing(context)
        most = ceil(len(self._open) / MAX_PAGE_SIZE) + 1
        while not walk.done and walk.pages < most and len(self._live) < len(self._open):
            self._note((yield from walk.next_page()).items)
            if stop_at_witness and self._live:
                return

    def _get_each(self, ids: list[str], context: Context, *, stop_at_witness: bool) -> Flow[None]:
        """One that is missing witnesses as well as one that is live: the batch is not complete."""
        for invocation_id in ids:
            item = yield from self._get(invocation_id, context)
            if stop_at_witness and (item is None or not item.is_terminal):
                return

    def _get(self, invocation_id: str, context: Context) -> Flow[Invocation | None]:
        try:
            item = yield from call(GetInvocation(self.batch.function, invocation_id), context)
        except NotFoundError as error:
            # Of a function or alias that does not exist nothing will ever be found.
            if not error.is_invocation:
                raise
            self._live.pop(invocation_id, None)
            self._absent[invocation_id] = None
            if self._memory.knows(invocation_id):
                self._missing_since.setdefault(invocation_id, context.now())
            return None
        self._note([item])
        return item

    def _note(self, items: Iterable[Invocation]) -> None:
        mine = [item for item in items if self.batch.belongs(item)]
        self._memory.learn(mine)
        for item in mine:
            self._absent.pop(item.invocation_id, None)
            self._missing_since.pop(item.invocation_id, None)
            if item.is_terminal:
                self._ended[item.invocation_id] = item
                self._live.pop(item.invocation_id, None)
            elif item.invocation_id not in self._ended:
                self._live[item.invocation_id] = item

    def _conclude(self, context: Context) -> Flow[Outcome]:
        lost = yield from self._lost(context)
        summary = self.last = self._summary()
        if self.batch.fail_fast and self.batch.exceeds(failed_count(self.batch, summary)):
            return self._judge(summary, context)
        if lost:
            reason = (
                f"{lost} was seen unfinished and no longer exists: its record has expired ({RECORDS_ARE_KEPT}) "
                f"or was removed"
            )
            return Outcome(Kind.LOST, reason, summary)
        yield from self._expect_record(context)
        if self._never_visible(context.now()):
            reason = (
                f"{next(iter(self._absent))} was accepted, but there is no record of it: the function is not in "
                f"asynchronous task mode, the qualifier is another one's, or the record has expired"
            )
            return Outcome(Kind.LOST, reason, summary)
        open_reason = unfinished(self.batch, summary)
        if not open_reason:
            return self._judge(summary, context)
        return self._waiting(f"{open_reason}{self._missing_text()}", summary)

    def _lost(self, context: Context) -> Flow[str | None]:
        """One that has been missing for longer, and still is when asked for once more."""
        for invocation_id, since in list(self._missing_since.items()):
            if context.now() - since >= LOST_AFTER and not (yield from self._get(invocation_id, context)):
                return invocation_id
        return None

    def _expect_record(self, context: Context) -> Flow[None]:
        """Find out, once, whether what was submitted just now and cannot be seen ever will be."""
        if self._record_expected or not self._absent or self.batch.visible_within is None:
            return
        yield from expect_record(self.batch.function, next(iter(self._absent)), context)
        self._record_expected = True

    def _never_visible(self, now: datetime) -> bool:
        grace = self.batch.visible_within
        return grace is not None and bool(self._absent) and (now - self.began_at).total_seconds() > grace

    def _missing_text(self) -> str:
        missing = list(self._absent)
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        return f"; not found (yet): {', '.join(missing[:_NAMED])}{more}" if missing else ""

    def _summary(self) -> Summary:
        ended = self._ended.values()
        failures = [Failure.of(item) for item in ended if self.batch.is_failure(item.status)]
        by_status = Counter(item.status for item in (*ended, *self._live.values()))
        return Summary(
            dict(sorted(by_status.items())),
            tuple(failures[:MAX_LISTED_FAILURES]),
            min((item.started_time for item in ended if item.started_time is not None), default=None),
            max((item.end_time for item in ended if item.end_time is not None), default=None),
        )


def watch(batch: Batch, began_at: datetime) -> Watch:
    """The right kind of watch for the batch."""
    return IdsWatch(batch, began_at) if batch.ids else PrefixWatch(batch, began_at)
