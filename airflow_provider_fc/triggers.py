"""The triggers that deferred tasks wait with. Their class paths are stored in Airflow's database: never move them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from types import ModuleType


async def load_execution() -> ModuleType:
    """Import what waits, on a thread: the first time it takes half a second, and all triggers share the loop."""
    return await asyncio.to_thread(import_module, "airflow_provider_fc.execution.deferred")


class FunctionComputeInvocationsTrigger(BaseTrigger):
    """Waits for a batch of invocations and sends exactly one event. It only reads, and may run twice at once.

    All arguments are JSON-native; an argument once shipped stays accepted, because deferred tasks survive upgrades.

    :param fc_conn_id: id of the connection; its secrets are read when the trigger runs.
    :param region_id: overrides the connection's region.
    :param batch: what is waited for, checked by the task (``Batch.to_json``).
    :param schedule: when to poll, and the deadline, unchanged by restarts (``Schedule.to_json``).
    :param began_at: epoch seconds at which the wait began.
    """

    def __init__(
        self,
        *,
        fc_conn_id: str,
        region_id: str | None,
        batch: dict[str, Any],
        schedule: dict[str, Any],
        began_at: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id
        self.batch = batch
        self.schedule = schedule
        self.began_at = began_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "fc_conn_id": self.fc_conn_id,
                "region_id": self.region_id,
                "batch": self.batch,
                "schedule": self.schedule,
                "began_at": self.began_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        execution = await load_execution()
        outcome = await execution.DeferredWait(self).outcome()
        yield TriggerEvent(outcome.to_json())  # type: ignore[no-untyped-call]


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

    async def on_kill(self) -> None:
        """Stop it: Airflow 3.3 and later call this on a user's action only."""
        if self.cancel_on_kill:
            execution = await load_execution()
            await execution.DeferredWait(self).stop()
