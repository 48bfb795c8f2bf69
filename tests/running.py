"""Runs sensors and triggers the way Airflow does, without its scheduler."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred
from airflow.triggers.base import BaseTrigger

from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

MODES = ("poke", "reschedule", "deferred")


@dataclass
class TaskInstance:
    """As much of a task instance as our operators look at."""

    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    first_reschedule_date: datetime | None = None
    xcoms: dict[str, Any] = field(default_factory=dict)
    dag_id: str = "dag"
    task_id: str = "task"
    run_id: str = "run"
    map_index: int = -1
    max_tries: int = 0
    try_number: int = 1

    def get_first_reschedule_date(self, context: object) -> datetime | None:
        return self.first_reschedule_date

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))


@dataclass
class Reads:
    """The connections that are read from Airflow, in order, and what happens to the reads.

    :param errors: what the next reads end with instead.
    :param then: awaited on this loop before a read hands over what it has found.
    """

    ids: list[str] = field(default_factory=list)
    errors: Iterator[Exception] = field(default_factory=lambda: iter(()))
    then: tuple[asyncio.AbstractEventLoop, Callable[[], Awaitable[object]]] | None = None

    def read(self, found: Callable[[str], Any], conn_id: str) -> Any:
        self._begin(conn_id)
        conn = found(conn_id)
        if self.then is not None:
            loop, wait = self.then
            asyncio.run_coroutine_threadsafe(_awaited(wait()), loop).result()
        return conn

    async def aread(self, found: Callable[[str], Awaitable[Any]], conn_id: str) -> Any:
        self._begin(conn_id)
        conn = await found(conn_id)
        if self.then is not None:
            await self.then[1]()
        return conn

    def _begin(self, conn_id: str) -> None:
        self.ids.append(conn_id)
        if error := next(self.errors, None):
            raise error


async def _awaited(something: Awaitable[object]) -> None:
    await something


def context(**fields: Any) -> dict[str, Any]:
    return {"ti": TaskInstance(**fields)}


def rebuilt(trigger: BaseTrigger) -> BaseTrigger:
    """The trigger after its way through the database."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))


def fire(trigger: BaseTrigger) -> list[Any]:
    """Every event that the rebuilt trigger sends."""

    async def collect() -> list[Any]:
        return [event.payload async for event in rebuilt(trigger).run()]

    return asyncio.run(collect())


def run(sensor: FunctionComputeInvocationsSensor, task_context: Mapping[str, Any] | None = None) -> Any:
    """Execute a sensor; a deferral is carried out at once, through JSON."""
    task_context = task_context or context()
    try:
        return sensor.execute(task_context)
    except TaskDeferred as deferred:
        [event] = fire(deferred.trigger)
        return sensor.resume_execution(deferred.method_name, {"event": json.loads(json.dumps(event))}, task_context)


def ending(sensor: FunctionComputeInvocationsSensor, task_context: Mapping[str, Any] | None = None) -> str:
    """``success``, ``skip``, or the name of the exception."""
    try:
        run(sensor, task_context)
    except AirflowSkipException:
        return "skip"
    except Exception as error:  # noqa: BLE001 - its name is what is asked for
        return type(error).__name__
    return "success"
