"""The triggers that deferred tasks wait with. Their class paths are stored in Airflow's database: never move them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_fc import events

if TYPE_CHECKING:
    from airflow_provider_fc.core.settings import Auth
    from airflow_provider_fc.hooks import FunctionComputeAsyncHook

log = logging.getLogger(__name__)

_CONNECTION_RETRY_SECONDS = 30.0
_CONNECTION_MISSES = 60

_LAST_READ_SECONDS = 5.0
"""How long the connection may be looked at for new keys even if the deadline is nearer, or has passed."""


def import_what_is_needed() -> None:
    """Importing reads files and takes half a second the first time: not on the loop, where all triggers would wait."""
    import asgiref.sync  # Airflow's own look-up of connections needs it
    from airflow.providers.common.compat import connection

    from airflow_provider_fc import hooks
    from airflow_provider_fc.clients import aio
    from airflow_provider_fc.core import announcements, stopping, wait, watch_ids

    needed = (asgiref, connection, hooks, aio, announcements, stopping, wait, watch_ids)
    log.debug("Ready: %s", [module.__name__ for module in needed])


class _TimeIsUp(Exception):
    """The deadline has passed before anything could be looked at."""


class FunctionComputeInvocationsTrigger(BaseTrigger):
    """Waits for a batch of invocations and sends exactly one event. It only reads, and may run twice at once.

    All arguments are JSON-native; an argument once shipped stays accepted, because deferred tasks outlive upgrades.

    :param fc_conn_id: id of the connection; its secrets are read when the trigger runs.
    :param poll_interval: seconds between two looks.
    :param deadline: epoch seconds at which the wait ends as a timeout, unchanged by restarts.
    :param began_at: epoch seconds at which the wait began.
    :param batch: the parameters of the batch, checked by the sensor.
    """

    def __init__(
        self,
        *,
        fc_conn_id: str,
        region_id: str | None,
        function_name: str,
        service_name: str | None,
        qualifier: str | None,
        batch: dict[str, Any],
        poll_interval: float,
        deadline: float,
        began_at: float,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        silent_fail: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id
        self.function_name = function_name
        self.service_name = service_name
        self.qualifier = qualifier
        self.batch = batch
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.began_at = began_at
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.silent_fail = silent_fail

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "fc_conn_id": self.fc_conn_id,
                "region_id": self.region_id,
                "function_name": self.function_name,
                "service_name": self.service_name,
                "qualifier": self.qualifier,
                "batch": self.batch,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "began_at": self.began_at,
                "exponential_backoff": self.exponential_backoff,
                "max_wait": self.max_wait,
                "silent_fail": self.silent_fail,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.to_thread(import_what_is_needed)
        from airflow_provider_fc.core.errors import FunctionComputeError, TriggerError, to_fields

        try:
            event = await self._wait()
        except _TimeIsUp as error:
            event = events.Event("timeout", str(error))
        except FunctionComputeError as error:
            event = events.Event("error", "", error=to_fields(error))
        except Exception as error:
            log.exception("The trigger broke")
            broken = TriggerError(f"the trigger broke with {type(error).__name__}; its log has the traceback")
            event = events.Event("error", "", error=to_fields(broken))
        yield TriggerEvent(events.build(self._addressed(event)))  # type: ignore[no-untyped-call]

    def _addressed(self, event: events.Event) -> events.Event:
        """The event with what its receiver cannot know by itself."""
        return event

    async def _wait(self) -> events.Event:
        """Wait with the keys of the connection, and go on with its new ones when it got new ones meanwhile."""
        from airflow_provider_fc.core.errors import AccessDeniedError

        hook = await self._open_hook()
        try:
            while True:
                try:
                    return await self._wait_with(hook)
                except AccessDeniedError:
                    newer = await self._open_newer(hook.settings.auth)
                    if newer is not None:
                        log.info("Connection %r has new keys; the wait goes on with them", self.fc_conn_id)
                        old, hook = hook, newer
                        await old.__aexit__()
                    elif self.silent_fail:
                        await asyncio.sleep(max(min(self.poll_interval, self._seconds_left()), 0.0))
                    else:
                        raise
        finally:
            await hook.__aexit__()

    async def _wait_with(self, hook: FunctionComputeAsyncHook) -> events.Event:
        from airflow_provider_fc.core.batch import Batch, Kind
        from airflow_provider_fc.core.calls import function_of
        from airflow_provider_fc.core.wait import Schedule, Wait
        from airflow_provider_fc.core.watch_ids import watch

        function = function_of(hook.settings, self.function_name, self.service_name, self.qualifier)
        batch = Batch.from_parameters(function, **self.batch)
        schedule = Schedule(
            poll_interval=self.poll_interval,
            deadline=datetime.fromtimestamp(self.deadline, UTC),
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait,
            silent_fail=self.silent_fail,
        )
        context = hook.client.context
        wait = Wait(watch(batch, datetime.fromtimestamp(self.began_at, UTC)), schedule, context)
        outcome = await hook.client.run(wait.run(context))
        summary = None if outcome.summary is None else outcome.summary.to_event()
        # The reason of a failure quotes error texts, which may hold anything: the worker fetches those itself.
        message = str(outcome.summary) if outcome.kind is Kind.FAILED else outcome.reason
        return events.Event(outcome.kind.value, message, summary)

    async def _open_newer(self, refused: Auth) -> FunctionComputeAsyncHook | None:
        """The hook with the connection's new keys; ``None`` if it has none.

        A read that began before the refusal cannot tell that there are none: then one waits until the next is due.
        """
        from airflow_provider_fc import hooks

        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            async with asyncio.timeout(max(self._seconds_left(), _LAST_READ_SECONDS)):
                while True:
                    hook = await self._open_hook(reread=True)
                    if hook.settings.auth != refused:
                        return hook
                    await hook.__aexit__()
                    if hook.read_at >= asked:
                        return None
                    await asyncio.sleep(hook.read_at + hooks.REREAD_SECONDS - loop.time())
        except TimeoutError:
            return None

    def _seconds_left(self) -> float:
        return self.deadline - datetime.now(UTC).timestamp()

    async def _open_hook(self, *, reread: bool = False) -> FunctionComputeAsyncHook:
        """Read the connection; an API server that does not answer for a moment does not end the wait."""
        from airflow_provider_fc.core.errors import ConnectionNotFoundError, FunctionComputeError
        from airflow_provider_fc.hooks import FunctionComputeAsyncHook

        misses = 0
        while True:
            try:
                hook = FunctionComputeAsyncHook(self.fc_conn_id, self.region_id, reread=reread)
                return await hook.__aenter__()
            except Exception as error:
                # The task has read it before; a secrets backend that fails for a moment looks like a missing one.
                missing = isinstance(error, ConnectionNotFoundError)
                misses += missing
                permanent = isinstance(error, FunctionComputeError) and not missing
                left = self._seconds_left()
                if permanent or misses > _CONNECTION_MISSES:
                    raise
                if left <= 0:
                    raise _TimeIsUp(f"connection {self.fc_conn_id!r} could not be read") from error
                log.warning("Could not read connection %r, trying again: %s", self.fc_conn_id, type(error).__name__)
                await asyncio.sleep(min(_CONNECTION_RETRY_SECONDS, left))


class FunctionComputeInvocationTrigger(FunctionComputeInvocationsTrigger):
    """Waits for the one invocation that an operator has started, and stops it when a user kills the task.

    :param cancel_on_kill: stop it when a user marks the deferred task as failed or succeeded, or clears it (Airflow 3.3
        and later). A restart of the triggerer, a timeout or an error never stops it.
    """

    def __init__(self, *, cancel_on_kill: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        path, kwargs = super().serialize()
        return path, {**kwargs, "cancel_on_kill": self.cancel_on_kill}

    @property
    def invocation_id(self) -> str:
        invocation_id: str = self.batch["invocation_ids"][0]
        return invocation_id

    def _addressed(self, event: events.Event) -> events.Event:
        return replace(event, invocation_id=self.invocation_id)

    async def on_kill(self) -> None:
        """Called by Airflow 3.3 and later on a user's action only."""
        if not self.cancel_on_kill:
            return
        await asyncio.to_thread(import_what_is_needed)
        from airflow_provider_fc.core.calls import function_of, stop_operation
        from airflow_provider_fc.core.stopping import stop

        hook = await self._open_hook()
        try:
            function = function_of(hook.settings, self.function_name, self.service_name, self.qualifier)
            operation = stop_operation(function, self.invocation_id)
            fate = await hook.client.run(stop(operation, hook.client.context))
        finally:
            await hook.__aexit__()
        log.info("The task was killed; invocation %s: %s", self.invocation_id, fate)
