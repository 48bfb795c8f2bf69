"""The trigger of an asset watcher: events when invocations end. Airflow 3 only.

Its class path is stored in Airflow's database: never move it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Hashable
from contextlib import aclosing
from datetime import UTC, datetime
from hashlib import blake2b
from math import inf
from os.path import commonprefix
from random import random
from typing import Any, Literal, get_args
from weakref import WeakSet, WeakValueDictionary

from airflow.triggers.base import TriggerEvent

from airflow_provider_fc.core import defaults, parameters
from airflow_provider_fc.core.announcing import (
    AnnouncedIds,
    Announcer,
    BatchAnnouncer,
    EachAnnouncer,
    WatchedListing,
    WatchedPage,
)
from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.batch_listing import Spacing
from airflow_provider_fc.core.errors import FunctionComputeError, ParameterError
from airflow_provider_fc.core.operations import ListInvocations
from airflow_provider_fc.core.policies import Policies
from airflow_provider_fc.core.wait import Pace, Progress, Schedule
from airflow_provider_fc.hooks import FunctionComputeAsyncHook
from airflow_provider_fc.triggers import load_execution

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # pragma: no cover - Airflow 2
    raise ImportError("asset watchers and their event triggers need Airflow 3") from None

log = logging.getLogger(__name__)

Mode = Literal["batch", "each"]

_watchers: dict[Hashable, WeakSet[FunctionComputeInvocationsEventTrigger]] = {}
"""Who listens to which shared listing: it covers the prefixes of all of them and no more."""


class FunctionComputeInvocationsEventTrigger(BaseEventTrigger):
    """Sends events about invocations that end, for ever; for an ``AssetWatcher``.

    Values are checked when the DAG file is parsed: a mistake is an import error of the DAG. Nothing renders templates
    here, so that one is a mistake, too.

    :param function_name: the function whose invocations are watched.
    :param invocation_id_prefix: ids that start with it are watched.
    :param mode: ``batch`` for one event when all that has not been announced yet has ended, ``each`` for one event an
        invocation.
    :param poll_interval: seconds between two polls, at least 1. Long listings are read less often: 20 times as
        long apart as one takes, at most 15 minutes.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.
    :raises ParameterError: names the parameter and the fix.
    """

    def __init__(
        self,
        *,
        function_name: str,
        invocation_id_prefix: str,
        mode: Mode = "batch",
        poll_interval: float = 60,
        service_name: str | None = None,
        qualifier: str | None = None,
        fc_conn_id: str = defaults.CONN_ID,
        region_id: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        function_ref(function_name, service_name, qualifier)
        prefix = parameters.id_prefix("invocation_id_prefix", invocation_id_prefix, instead="")
        if prefix is None:
            raise ParameterError("invocation_id_prefix", "is missing; give the prefix of the ids to watch")
        self.function_name = function_name
        self.invocation_id_prefix = prefix
        self.mode: Mode = parameters.choice("mode", mode, get_args(Mode))
        self.poll_interval = parameters.interval("poll_interval", poll_interval, _policies().polling.shortest)
        self.service_name = service_name
        self.qualifier = qualifier
        for name, value in (("fc_conn_id", fc_conn_id), ("region_id", region_id)):
            if parameters.is_given(name, value):
                parameters.text(name, value)
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "function_name": self.function_name,
                "invocation_id_prefix": self.invocation_id_prefix,
                "mode": self.mode,
                "poll_interval": self.poll_interval,
                "service_name": self.service_name,
                "qualifier": self.qualifier,
                "fc_conn_id": self.fc_conn_id,
                "region_id": self.region_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """With a listing of its own; so do Airflow 3.0 to 3.2."""
        async with aclosing(_SharedListing(self, [self]).pages()) as pages:
            async for event in self._events(pages):
                yield event

    def shared_stream_key(self) -> Hashable:
        """Let all watchers of a function share one listing (Airflow 3.3 and later)."""
        return (self.fc_conn_id, self.region_id, self.function_name, self.service_name, self.qualifier)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[WatchedPage]:
        """Read the listing that is shared, for ever; errors are logged and tolerated."""
        one = cls(**kwargs)
        listing = _listings[one.shared_stream_key()] = _SharedListing(one, _sharing(one))
        async with aclosing(listing.pages()) as pages:
            async for page in pages:
                yield page

    async def filter_shared_stream(self, shared_stream: AsyncIterator[WatchedPage]) -> AsyncIterator[TriggerEvent]:
        """Pick this watcher's events out of the shared listing."""
        _sharing(self).add(self)
        if listing := _listings.get(self.shared_stream_key()):
            listing.joined.set()
        async for event in self._events(shared_stream):
            yield event

    async def _events(self, pages: AsyncIterator[WatchedPage]) -> AsyncIterator[TriggerEvent]:
        announcer: Announcer | None = None
        async for page in pages:
            if not self.invocation_id_prefix.startswith(page.prefix):
                continue  # that listing began before this watcher was there
            announcer = announcer or await self._announcer()
            if announcer is None:
                continue
            announcements = announcer.read(page, _now())
            # Kept first: what may have been announced is never announced again.
            if announcements is None or not await self._kept(announcements.announced):
                continue
            announcer.has_kept(announcements.announced)
            if announcements.payloads:
                log.info("%s: %d events", self.invocation_id_prefix, len(announcements.payloads))
            for payload in announcements.payloads:
                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _announcer(self) -> Announcer | None:
        """With what has been announced before; ``None`` when that cannot be read just now."""
        function = function_ref(self.function_name, self.service_name, self.qualifier)
        batch = Batch.from_parameters(function, invocation_id_prefix=self.invocation_id_prefix, max_failed=None)
        kind = BatchAnnouncer if self.mode == "batch" else EachAnnouncer
        try:
            return kind(batch, AnnouncedIds.from_json(await self._stored()), _policies().announcing)
        except Exception as error:  # noqa: BLE001 - Airflow's API server, in any of its ways
            log.warning("The asset state store cannot be read, trying again: %s", type(error).__name__)
            return None

    async def _stored(self) -> object:
        if self._store is None:
            return None
        try:
            return await self._store.aget(self._store_key)
        except ValueError as error:
            log.warning("What is announced is kept in memory only: %s", error)  # equal triggers of several assets
            self.asset_state_store = None
            return None

    async def _kept(self, announced: AnnouncedIds) -> bool:
        if self._store is None:
            return True
        try:
            await self._store.aset(self._store_key, announced.to_json())
        except Exception as error:  # noqa: BLE001 - the same
            log.warning("The asset state store cannot be written, trying again: %s", type(error).__name__)
            return False
        return True

    @property
    def _store(self) -> Any:
        """What survives a restart; there is none before Airflow 3.3."""
        return getattr(self, "asset_state_store", None)

    @property
    def _store_key(self) -> str:
        """The same as long as the same is watched, however often."""
        what = repr((self.shared_stream_key(), self.invocation_id_prefix, self.mode))
        return f"fc_announced_{blake2b(what.encode(), digest_size=8).hexdigest()}"


def _sharing(trigger: FunctionComputeInvocationsEventTrigger) -> WeakSet[FunctionComputeInvocationsEventTrigger]:
    return _watchers.setdefault(trigger.shared_stream_key(), WeakSet())


class _SharedListing:
    """Lists a function again and again, as much of it as its watchers want, as often as the most impatient wants.

    :param one: any of the watchers; they agree on connection and function.
    :ivar joined: set when a watcher has come: it may not want to wait as long as the others.
    """

    def __init__(
        self,
        one: FunctionComputeInvocationsEventTrigger,
        watchers: Collection[FunctionComputeInvocationsEventTrigger],
    ) -> None:
        self._one = one
        self._watchers = watchers
        self._hook: FunctionComputeAsyncHook | None = None
        self._reread = False
        self.joined = asyncio.Event()

    async def pages(self) -> AsyncGenerator[WatchedPage]:
        """Read every page of every listing, for ever. Errors are logged and tolerated: no task could fail."""
        await load_execution()
        pace = Pace(self._schedule(), random, _policies().polling)
        spacing, progress = Spacing(), Progress(_now)
        await asyncio.sleep(pace.first())
        try:
            while True:
                read = 0
                try:
                    async with aclosing(self._pages()) as listing:
                        async for page in listing:
                            read += 1
                            yield page
                    pace.recover()
                    progress.answered()
                except FunctionComputeError as error:
                    pace.slow_down(error)
                    progress.failed(error)
                    if not error.transient:
                        await self._close()
                except Exception as error:  # noqa: BLE001 - Airflow's API server or a secrets backend, in any of their ways
                    progress.failed(type(error).__name__)
                    await self._close()
                spacing.note(read, _now())
                await self._pause(pace, spacing)
        finally:
            await self._close()

    async def _pause(self, pace: Pace, spacing: Spacing) -> None:
        clock, due = asyncio.get_running_loop().time, inf
        joined = True
        while joined:
            self.joined.clear()
            pace.schedule = self._schedule()
            due = min(due, clock() + max(pace.next(), spacing.left(_now())))
            try:
                async with asyncio.timeout_at(due):
                    await self.joined.wait()
            except TimeoutError:
                joined = False

    def _schedule(self) -> Schedule:
        return Schedule(min(each.poll_interval for each in self._all()), datetime.max.replace(tzinfo=UTC))

    def _all(self) -> list[FunctionComputeInvocationsEventTrigger]:
        return list(self._watchers) or [self._one]

    async def _pages(self) -> AsyncGenerator[WatchedPage]:
        hook = await self._open()
        one = self._one
        function = hook.settings.function(one.function_name, one.service_name, one.qualifier)
        prefix = commonprefix([each.invocation_id_prefix for each in self._all()])  # noqa: RUF071 - no paths
        operation = ListInvocations(function, prefix=prefix or None, order="asc")
        listing = WatchedListing(operation, hook.client.context)
        while not listing.done:
            yield await hook.client.run(listing.next_page())

    async def _open(self) -> FunctionComputeAsyncHook:
        if self._hook is None:
            hook = FunctionComputeAsyncHook(self._one.fc_conn_id, self._one.region_id, reread=self._reread)
            self._hook, self._reread = await hook.__aenter__(), True
        return self._hook

    async def _close(self) -> None:
        """Let go of the connection; the next poll reads it anew, in case it has changed."""
        hook, self._hook = self._hook, None
        if hook is not None:
            await hook.__aexit__()


_listings: WeakValueDictionary[Hashable, _SharedListing] = WeakValueDictionary()


def _policies() -> Policies:
    return FunctionComputeAsyncHook.policies


def _now() -> datetime:
    return datetime.now(UTC)
