"""Decides what to announce of a listing that is read again and again: each invocation once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from airflow_provider_fc.core.batch import Batch, Tally, digest, live_statuses
from airflow_provider_fc.core.flow import Context, Flow, Pages
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.limits import RECORD_RETENTION
from airflow_provider_fc.core.operations import ListInvocations, Page
from airflow_provider_fc.core.outcome import Summary
from airflow_provider_fc.core.policies import Announcing

KEPT_FOR = RECORD_RETENTION + timedelta(days=1)
"""How long an announced id is kept: longer than the record can be listed."""

KEPT_AT_LEAST = timedelta(hours=1)


class DatedKey(NamedTuple):
    """As much of an announced invocation as is kept; ``moment`` (epoch ms) is its end."""

    key: str
    moment: int | None

    @classmethod
    def of(cls, item: Invocation) -> DatedKey:
        return cls(urlsafe_b64encode(digest(item.invocation_id)[:9]).decode(), item.end_time)


class AnnouncedIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has been announced, in about 64 KB of JSON beside the last hour's and those that show no end.

    :param dated: key to moment (epoch ms).
    :param undated: key to when it was announced, of those that show no end.
    :param floor: what ended up to this moment has been announced, although its key is no longer kept.
    """

    dated: dict[str, int] = {}
    undated: dict[str, int] = {}
    floor: int = 0

    @classmethod
    def from_json(cls, stored: object) -> AnnouncedIds:
        """:raises msgspec.ValidationError: nothing that :meth:`to_json` has made."""
        return cls() if stored is None else msgspec.convert(stored, cls)

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def knows(self, item: Invocation) -> bool:
        key, moment = DatedKey.of(item)
        if key in self.dated or key in self.undated:
            return True
        return moment is not None and moment <= self.floor

    def after(self, items: Iterable[DatedKey], now: datetime) -> AnnouncedIds:
        """Add these."""
        at = _ms(now)
        dated, undated = dict(self.dated), dict(self.undated)
        for key, moment in items:
            if moment is None:
                undated[key] = at
            else:
                dated[key] = moment
        oldest = at - _span(KEPT_FOR)
        return AnnouncedIds(dated, {key: since for key, since in undated.items() if since > oldest}, self.floor)

    def trimmed(self, now: datetime, policy: Announcing, unannounced: int | None = None) -> AnnouncedIds:
        """Drop the oldest keys, once it is known what is still to be announced.

        :param unannounced: the earliest end (epoch ms) that a complete listing has seen and that is not announced yet.
        """
        surplus = self._surplus(_ms(now), policy.kept, unannounced)
        if not surplus:
            return self
        # What is dropped must stay known, or it would be announced again.
        floor = max(self.floor, *map(self.dated.__getitem__, surplus))
        return AnnouncedIds({key: self.dated[key] for key in self.dated.keys() - surplus}, self.undated, floor)

    def _surplus(self, now: int, most: int, unannounced: int | None) -> set[str]:
        """Take none of the last hour's, where what ended together may still come to light one by one."""
        newest = now - _span(KEPT_AT_LEAST)
        if unannounced is not None:
            newest = min(newest, unannounced - 1)
        old = sorted((key for key, moment in self.dated.items() if moment <= newest), key=self.dated.__getitem__)
        expired = sum(self.dated[key] <= now - _span(KEPT_FOR) for key in old)
        return set(old[: max(expired, len(self.dated) - most)])


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _span(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class WatchedPage:
    """One page of a listing of everything whose id starts with ``prefix``; it may be the first or the last one."""

    prefix: str
    listed: Page
    first: bool

    @property
    def last(self) -> bool:
        return self.listed.next_token is None


class WatchedListing:
    """One listing, page by page."""

    def __init__(self, operation: ListInvocations, context: Context) -> None:
        self._prefix = operation.prefix or ""
        self._pages = Pages(operation, context)

    @property
    def done(self) -> bool:
        return self._pages.done

    def next_page(self) -> Flow[WatchedPage]:
        first = not self._pages.pages
        return WatchedPage(self._prefix, (yield from self._pages.next_page()), first)


@dataclass(frozen=True, slots=True)
class Announcements:
    """What is to be announced, if anything, and the ids to keep before doing so."""

    payloads: tuple[dict[str, Any], ...]
    announced: AnnouncedIds


class Announcer(ABC):
    """Reads listings for one watcher. Whoever has kept the ids that came with announcements tells it so."""

    def __init__(self, batch: Batch, announced: AnnouncedIds, policy: Announcing) -> None:
        self.batch = batch
        self.announced = announced
        self.policy = policy

    @abstractmethod
    def read(self, page: WatchedPage, now: datetime) -> Announcements | None:
        """Tell what a page brings, if anything."""

    def has_kept(self, announced: AnnouncedIds) -> None:
        """Note that these ids are kept, so that what came with them is announced."""
        self.announced = announced

    def _fresh(self, items: Iterable[Invocation]) -> list[Invocation]:
        """Pick those watched that have not been announced, the unfinished ones among them."""
        return [item for item in items if self.batch.belongs(item) and not self.announced.knows(item)]


class EachAnnouncer(Announcer):
    """Announces every invocation that has ended, and one of several by itself, after the others.

    Airflow makes a DAG run of a first event at once, and leaves what comes right after it to the run that a later event
    makes. Without one that comes later, the DAG would not hear of the others.
    """

    def __init__(self, batch: Batch, announced: AnnouncedIds, policy: Announcing) -> None:
        super().__init__(batch, announced, policy)
        self._pending_before: str | None = None
        self._announced_at: datetime | None = None
        self._begin()
        self._whole = False

    def _begin(self) -> None:
        self._left = self.policy.most
        self._put_off: int | None = None
        self._pending: Invocation | None = None
        self._alone = True
        self._whole = True

    def read(self, page: WatchedPage, now: datetime) -> Announcements | None:
        if page.first:
            self._begin()
        ended = {item.invocation_id: item for item in self._fresh(page.listed.items) if item.is_terminal}
        others = self._keep_one_pending(list(ended.values()))
        items, later = others[: self._left], others[self._left :]
        self._left -= len(items)
        self._alone = self._alone and not items
        if page.last and self._pending is not None:
            (items if self._may_follow(now) else later).append(self._pending)
            self._pending_before = self._pending.invocation_id
        if items:
            self._announced_at = now
        for item in later:
            if item.end_time is not None:
                self._put_off = min(self._put_off or item.end_time, item.end_time)
        announced = self.announced.after(map(DatedKey.of, items), now) if items else self.announced
        if page.last and self._whole:
            announced = announced.trimmed(now, self.policy, self._put_off)
        if announced is self.announced:
            return None
        return Announcements(tuple(map(self._payload, items)), announced)

    def _keep_one_pending(self, ended: list[Invocation]) -> list[Invocation]:
        """Leave out the one that stays pending in this listing: not the same as in the last, if there is another."""
        if ended and (self._pending is None or self._pending.invocation_id == self._pending_before):
            before = self._pending
            self._pending = next((item for item in ended if item.invocation_id != self._pending_before), None)
            if self._pending is None:
                self._pending = before or ended[0]
            elif before is not None:
                ended = [before, *ended]
        return [item for item in ended if item is not self._pending]

    def _may_follow(self, now: datetime) -> bool:
        if self._announced_at is None:
            return self._alone
        return self._alone and (now - self._announced_at).total_seconds() >= self.policy.between_events

    def _payload(self, item: Invocation) -> dict[str, Any]:
        told = ("invocation_id", "status", "request_id", "started_at", "ended_at")
        return {"mode": "each", "function_name": self.batch.function.function_name, **item.to_dict(told)}


class BatchAnnouncer(Announcer):
    """Announces once that everything not announced before has ended, when two complete listings say so."""

    def __init__(self, batch: Batch, announced: AnnouncedIds, policy: Announcing) -> None:
        super().__init__(batch, announced, policy)
        self._tally: Tally | None = None
        self._dated: list[DatedKey] = []
        self._live: set[bytes] = set()
        self._settled: tuple[tuple[int, int], datetime] | None = None

    def read(self, page: WatchedPage, now: datetime) -> Announcements | None:
        if page.first:
            self._tally, self._dated = Tally(self.batch), []
        if self._tally is None:  # joined while the listing was under way
            return None
        fresh = self._fresh(page.listed.items)
        self._tally.add(fresh)
        self._dated.extend(map(DatedKey.of, fresh))
        self._live.update(digest(item.invocation_id) for item in fresh if not item.is_terminal)
        if not page.last:
            return None
        tally, self._tally = self._tally, None
        return self._conclude(tally, now)

    def _conclude(self, tally: Tally, now: datetime) -> Announcements | None:
        summary = tally.summary()
        if not summary.total or live_statuses(summary):
            self._settled = None
            return None
        fingerprint, since = self._settled or (None, now)
        if fingerprint != tally.fingerprint:
            self._settled = tally.fingerprint, now
            return None
        if (now - since).total_seconds() < self.policy.settle:
            return None
        lost = len(self._live - tally.keys)
        return Announcements(
            (self._payload(summary, lost),), self.announced.after(self._dated, now).trimmed(now, self.policy)
        )

    def has_kept(self, announced: AnnouncedIds) -> None:
        super().has_kept(announced)
        self._live.clear()
        self._settled = None

    def _payload(self, summary: Summary, lost: int) -> dict[str, Any]:
        told = summary.to_dict()
        return {
            "mode": "batch",
            "function_name": self.batch.function.function_name,
            "invocation_id_prefix": self.batch.prefix,
            "total": told["total"],
            "by_status": told["by_status"],
            "failed": [failure.invocation_id for failure in summary.failed],
            "lost": lost,
            "started_at": told["started_at"],
            "ended_at": told["ended_at"],
        }
