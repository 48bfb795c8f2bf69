"""What waiting is measured with: verdicts beside listings, and the requests of whole waits. ``scale.py`` starts it."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import ceil
from random import Random
from typing import Any

import contenders
from contenders import Round, connect, expect

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.flow import Context
from airflow_provider_fc.core.outcome import Outcome
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.wait import Schedule, Wait
from airflow_provider_fc.core.watch import watch
from airflow_provider_fc.emulator.records import RequestRecord
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

PAGE = 100


def started(batch: Batch, context: Context, poll_interval: float, seconds: float) -> Wait:
    """Make the wait of a deferred sensor that begins now."""
    now = context.now()
    schedule = Schedule(poll_interval=poll_interval, deadline=now + timedelta(seconds=seconds))
    return Wait(watch(batch, now), schedule, context)


# A verdict beside the listings that it rests on


def list_on_loop(origin: str, size: str, times: str) -> Round:
    once = contenders.list_ours_on_loop(origin, size)

    def run() -> None:
        for _ in range(int(times)):
            once()

    return run


def verdict(origin: str, size: str, settle_seconds: str) -> Round:
    """From the first request to the outcome; without ``settle_seconds`` it rests on one listing, else on two."""
    connect(origin)
    from airflow_provider_fc.hooks import FunctionComputeAsyncHook

    runner = asyncio.Runner()
    client = runner.run(FunctionComputeAsyncHook().__aenter__()).client
    batch = Batch(
        function_ref(f"listed-{size}"), prefix="thumb-", max_failed=None, settle_seconds=float(settle_seconds)
    )

    def run() -> None:
        wait = started(batch, client.context, 60, 3600)
        outcome = runner.run(client.run(wait.poke(client.context)))
        assert outcome is not None
        assert outcome.decided
        expect(outcome.summary.total if outcome.summary else 0, int(size))

    return run


def verdict_memory(origin: str, size: str) -> Round:
    """Measure how much the process grows at most, over a small verdict before."""
    small, large = verdict(origin, "1000", "0.001"), verdict(origin, size, "0.001")

    def run() -> dict[str, int]:
        small()
        before = most_resident()
        large()
        return {"growth": most_resident() - before}

    return run


def most_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# The requests of a whole wait


class Clock:
    """Seconds that pass when somebody sleeps, so that an hour of waiting takes none."""

    def __init__(self) -> None:
        self.seconds = datetime.now(UTC).timestamp()
        self.sleeps = 0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.sleeps += 1


GROUPS = 100


def batch_of(size: int, seconds: float) -> Iterator[dict[str, object]]:
    """Script invocations that end in no order, spread over so many seconds; the last of them at the very end."""
    groups = min(size, GROUPS)
    ends = [seconds * (number + 1) / groups for number in range(groups)]
    Random(7).shuffle(ends)
    for number, end in enumerate(ends):
        yield {
            "function": "resize",
            "id_template": f"job-{number:03}-{{index:05}}",
            "count": size // groups,
            "timeline": [(0, "Enqueued"), (0, "Running"), (end, "Succeeded")],
        }


def kind_of(record: RequestRecord) -> str:
    """Say what a request asks for; a cheaper way to count would be a kind of its own."""
    if record.operation == "Get":
        return "one invocation"
    return "by status" if "status" in record.parameters else "page"


async def ended(origin: dict[str, Any], clock: Clock, batch: Batch, poll_interval: float) -> Outcome:
    """Wait as a trigger does, on that clock."""
    from airflow_provider_fc.clients.aio import AsyncClient

    settings = Settings.from_connection("fc_default", **origin)
    async with AsyncClient(settings, sleep=clock.sleep, now=clock.now) as client:
        return await client.run(started(batch, client.context, poll_interval, 86400).run(client.context))


def whole_wait(size: int, polls: int, poll_interval: float = 10.0) -> dict[str, Any]:
    """Count the requests of a deferred sensor from its first poll to its verdict, where the server receives them."""
    clock = Clock()
    batch = Batch(function_ref("resize"), prefix="job-", max_failed=None)
    with FunctionComputeEmulator(clock=clock) as emulator:
        emulator.add_invocations(batch_of(size, polls * poll_interval))
        fields = {name: emulator.connection[name] for name in ("conn_type", "host", "login", "password", "extra")}
        outcome = asyncio.run(ended(fields, clock, batch, poll_interval))
        assert outcome.decided, outcome
        expect(outcome.summary.total if outcome.summary else 0, size)
        requests = Counter(map(kind_of, emulator.requests))
    naive = clock.sleeps * ceil(size / PAGE)
    return {"size": size, "polls": clock.sleeps, "requests": dict(requests), "naive": naive}


if __name__ == "__main__":
    logging.disable()  # Airflow writes logs to where the results go
    contenders.main({one.__name__: one for one in (list_on_loop, verdict, verdict_memory)}, *sys.argv[1:])
