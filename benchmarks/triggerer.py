"""One triggerer with many deferred sensors, in a process of its own; ``scale.py`` starts it.

The triggers are created and run by Airflow's own ``TriggerRunner``. Of its surroundings only the supervisor is left
out: nobody sends it more triggers, and nobody fetches events.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.executors.workloads.trigger import RunTrigger
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.models.trigger import Trigger
from contenders import connect

import airflow_provider_fc.execution.deferred  # noqa: F401 - a triggerer that has run for a while has it
from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.wait import Schedule
from airflow_provider_fc.hooks import FunctionComputeAsyncHook

BEAT = 0.01
IDLE = "airflow.providers.standard.triggers.temporal.DateTimeTrigger"
OURS = "airflow_provider_fc.triggers.FunctionComputeInvocationsTrigger"


class Runner(TriggerRunner):
    """Airflow's runner without a supervisor."""

    async def init_comms(self) -> None:
        waiting = asyncio.create_task(asyncio.Event().wait())
        self.comms_decoder = SimpleNamespace(_reader_task=waiting)  # type: ignore[assignment]

    async def sync_state_to_supervisor(self, finished_ids: list[int]) -> None:
        assert not finished_ids, "a trigger has ended"


def sensor(batch_size: int, poll_interval: float) -> tuple[str, dict[str, Any]]:
    """The trigger of a deferred sensor, as Airflow stores it."""
    now = datetime.now(UTC)
    batch = Batch(function_ref(f"running-{batch_size}"), prefix="thumb-")
    schedule = Schedule(poll_interval=poll_interval, deadline=now + timedelta(days=1))
    return OURS, {
        "fc_conn_id": "fc_default",
        "region_id": None,
        "batch": batch.to_json(),
        "schedule": schedule.to_json(),
        "began_at": now.timestamp(),
    }


def idle() -> tuple[str, dict[str, Any]]:
    """A trigger of Airflow's that sleeps: what so many triggers cost before they do anything."""
    return IDLE, {"moment": datetime.now(UTC) + timedelta(days=1)}


class Heartbeat:
    """Seconds by which a beat every 10 ms came late, and how much of it this process was at work itself.

    On a machine that others use, too, the second is what the triggers are to blame for.
    """

    def __init__(self) -> None:
        self.late: list[float] = []
        self.own: list[float] = []

    async def beat(self) -> None:
        while True:
            before, worked = time.monotonic(), time.thread_time()
            await asyncio.sleep(BEAT)
            late = max(time.monotonic() - before - BEAT, 0.0)
            self.late.append(late)
            self.own.append(min(late, time.thread_time() - worked))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connections() -> int:
    """How many sockets this process has."""
    return sum(os.path.realpath(f"/proc/self/fd/{name}").count("socket:") for name in os.listdir("/proc/self/fd"))


def workloads(ids: Iterable[int], classpath: str, kwargs: dict[str, Any]) -> Iterator[RunTrigger]:
    encrypted = Trigger.encrypt_kwargs(kwargs)
    return (RunTrigger(id=number, classpath=classpath, encrypted_kwargs=encrypted) for number in ids)


async def warm_up(runner: Runner) -> None:
    """Let Airflow and us load and make what is made once, whatever the number of triggers."""
    runner.to_create.extend(workloads([-1], *idle()))
    assert [item async for item in FunctionComputeAsyncHook().list_invocations("running-100", limit=1)]
    await asyncio.sleep(2)
    gc.collect()


async def measure(kind: str, count: int, batch_size: int, poll_interval: float, polls: float) -> dict[str, float]:
    """Start them all at once, wait until each has polled, and then measure ``polls`` intervals."""
    runner = Runner()  # type: ignore[no-untyped-call]
    running = asyncio.create_task(runner.arun())  # type: ignore[no-untyped-call]
    await warm_up(runner)
    before, sockets, began = resident(), connections(), time.process_time()
    runner.to_create.extend(workloads(range(count), *(idle() if kind == "idle" else sensor(batch_size, poll_interval))))
    starting, steady = Heartbeat(), Heartbeat()
    beating = asyncio.create_task(starting.beat())
    while len(runner.triggers) <= count and not running.done():  # noqa: ASYNC110 - Airflow tells nobody
        await asyncio.sleep(0.1)
    await asyncio.sleep(5 + poll_interval + 2)  # a trigger first polls after 5 s and up to an interval
    beating.cancel()
    start_cpu = time.process_time() - began
    beating = asyncio.create_task(steady.beat())
    clock, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(polls * poll_interval)
    share = (time.process_time() - cpu) / (time.monotonic() - clock)
    beating.cancel()
    gc.collect()
    found = {
        "triggers": count,
        "cpu_share": share,
        "start_cpu": start_cpu,
        "bytes_a_trigger": (resident() - before) / count,
        "connections": connections() - sockets,
    }
    for name, beats in (("start", starting), ("steady", steady)):
        for which, values in (("late", beats.late), ("own", beats.own)):
            found |= {f"{name}_{which}_p99": percentile(values, 0.99), f"{name}_{which}_max": max(values)}
    assert not running.done(), running.result()
    assert len(runner.triggers) == count + 1
    runner.stop = True
    running.cancel()
    for details in runner.triggers.values():
        details["task"].cancel()
    await asyncio.gather(running, *(details["task"] for details in runner.triggers.values()), return_exceptions=True)
    return found


def main(origin: str, ca: str, kind: str, count: str, batch_size: str, poll_interval: str, polls: str) -> None:
    connect(origin, ca)
    logging.basicConfig(level=logging.INFO, handlers=[logging.FileHandler(os.devnull)], force=True)
    gc.collect()
    gc.freeze()  # a full collection of Airflow's own 150,000 objects takes 0.1 s, which is not ours to measure
    found = asyncio.run(measure(kind, int(count), int(batch_size), float(poll_interval), float(polls)))
    print(json.dumps(found), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
