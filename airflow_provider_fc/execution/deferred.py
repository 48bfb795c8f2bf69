"""What a trigger does in the triggerer: waits, and stops an invocation when its task is killed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import asgiref.sync  # noqa: F401 - reading connections needs it, and must not import it on the loop

from airflow_provider_fc.clients import aio  # noqa: F401 - the hook imports it when it is first used
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    ConnectionNotFoundError,
    FunctionComputeError,
    TriggerError,
)
from airflow_provider_fc.core.operations import StopInvocation
from airflow_provider_fc.core.outcome import Kind, Outcome
from airflow_provider_fc.core.stopping import stop_submitted
from airflow_provider_fc.core.wait import Schedule, Wait
from airflow_provider_fc.core.watch import watch
from airflow_provider_fc.hooks import FunctionComputeAsyncHook

if TYPE_CHECKING:
    from airflow_provider_fc.core.settings import Auth
    from airflow_provider_fc.triggers import FunctionComputeInvocationsTrigger

log = logging.getLogger(__name__)

_NOT_IN_THE_TRIGGERER = (
    "the task has read it on its worker, but the triggerer does not see it: define it where both do (an AIRFLOW_CONN_ "
    "variable or a secrets backend of the workers alone is not enough)"
)


class _TimeIsUp(Exception):
    """The deadline has passed before anything could be asked."""


class DeferredWait:
    """The wait of one trigger."""

    def __init__(self, trigger: FunctionComputeInvocationsTrigger) -> None:
        self._trigger = trigger
        self._policy = FunctionComputeAsyncHook.policies.connections

    @cached_property
    def _batch(self) -> Batch:
        return Batch.from_json(self._trigger.batch)

    @cached_property
    def _schedule(self) -> Schedule:
        return Schedule.from_json(self._trigger.schedule)

    async def outcome(self) -> Outcome:
        """Wait; errors become outcomes, because what a trigger raises reaches its task without its type."""
        ids = self._trigger.batch.get("ids", ())
        return replace(await self._ending(), invocation_id=ids[0] if len(ids) == 1 else None)

    async def _ending(self) -> Outcome:
        try:
            return await self._wait()
        except _TimeIsUp as error:
            return Outcome(Kind.TIMEOUT, str(error))
        except FunctionComputeError as error:
            return Outcome.of_error(error)
        except Exception as error:
            log.exception("The trigger broke")
            name = type(error).__name__
            return Outcome.of_error(TriggerError(f"the trigger broke with {name}; its log has the traceback"))

    async def stop(self) -> None:
        """Stop the one invocation that is waited for."""
        [invocation_id] = self._batch.ids
        hook = await self._open_hook()
        try:
            result = await hook.client.run(
                stop_submitted(StopInvocation.from_parameters(self._batch.function, invocation_id), hook.client.context)
            )
        finally:
            await hook.__aexit__()
        log.info("The task was killed; invocation %s: %s", invocation_id, result)

    async def _wait(self) -> Outcome:
        """Wait with the keys of the connection, and go on with its new ones when it got new ones meanwhile."""
        hook = await self._open_hook()
        try:
            while True:
                try:
                    return await self._wait_with(hook)
                except AccessDeniedError:
                    newer = await self._open_newer(hook.settings.auth)
                    if newer is not None:
                        log.info("Connection %r has new keys; the wait goes on with them", self._trigger.fc_conn_id)
                        old, hook = hook, newer
                        await old.__aexit__()
                    elif self._schedule.silent_fail:
                        await asyncio.sleep(max(min(self._schedule.poll_interval, self._seconds_left()), 0.0))
                    else:
                        raise
        finally:
            await hook.__aexit__()

    async def _wait_with(self, hook: FunctionComputeAsyncHook) -> Outcome:
        context = hook.client.context
        began_at = datetime.fromtimestamp(self._trigger.began_at, UTC)
        wait = Wait(watch(self._batch, began_at), self._schedule, context)
        return await hook.client.run(wait.run(context))

    async def _open_newer(self, refused: Auth) -> FunctionComputeAsyncHook | None:
        """Open the hook with the connection's new keys; ``None`` if it has none."""
        try:
            async with asyncio.timeout(max(self._seconds_left(), self._policy.last_read)):
                hook = await self._open_hook(reread=True)
        except TimeoutError:
            return None
        if hook.settings.auth != refused:
            return hook
        await hook.__aexit__()
        return None

    def _seconds_left(self) -> float:
        return (self._schedule.deadline - datetime.now(UTC)).total_seconds()

    async def _open_hook(self, *, reread: bool = False) -> FunctionComputeAsyncHook:
        """Read the connection; an API server that does not answer for a moment does not end the wait."""
        misses = 0
        while True:
            try:
                hook = FunctionComputeAsyncHook(self._trigger.fc_conn_id, self._trigger.region_id, reread=reread)
                return await hook.__aenter__()
            except Exception as error:
                # The task has read it before; a secrets backend that fails for a moment is reported like a missing one.
                missing = isinstance(error, ConnectionNotFoundError)
                misses += missing
                permanent = isinstance(error, FunctionComputeError) and not missing
                left = self._seconds_left()
                if permanent:
                    raise
                if misses > self._policy.misses:
                    raise ConnectionNotFoundError(self._trigger.fc_conn_id, [_NOT_IN_THE_TRIGGERER]) from None
                problem = _NOT_IN_THE_TRIGGERER if missing else type(error).__name__
                if left <= 0:
                    what = f"connection {self._trigger.fc_conn_id!r} could not be read: {problem}"
                    raise _TimeIsUp(what) from None
                log.warning("Could not read connection %r, trying again: %s", self._trigger.fc_conn_id, problem)
                await asyncio.sleep(min(self._policy.retry, left))
