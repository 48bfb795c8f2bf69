"""``make benchmark-emulator``: what large listings cost the local Function Compute, in process and without a socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import msgspec

from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.signing import sign
from airflow_provider_fc.emulator.app import FunctionComputeApp
from airflow_provider_fc.emulator.state import FunctionComputeState

LIST = "/2023-03-30/functions/resize/async-tasks"


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def listed(app: FunctionComputeApp, **query: str) -> dict[str, object]:
    """One signed list call."""
    request = sign(
        HttpRequest("GET", "http://127.0.0.1", LIST, query),
        app.credentials,
        signature="ACS3",
        now=datetime.now(UTC),
        nonce=uuid4().hex,
        action="ListAsyncTasks",
        version="2023-03-30",
    )
    answer = app.handle(request)
    assert answer.status == 200, answer
    return msgspec.json.decode(answer.body, type=dict[str, object])


def walk(app: FunctionComputeApp) -> int:
    """Read every page; how many there were."""
    token, pages = "", 0
    while token or not pages:
        query = {"limit": "100", "sortOrderByTime": "asc", **({"nextToken": token} if token else {})}
        token = str(listed(app, **query)["nextToken"])
        pages += 1
    return pages


def measure(count: int) -> None:
    state = FunctionComputeState()
    app = FunctionComputeApp(state)
    script = {"function": "resize", "id_template": "job-{index:06}", "count": count, "statuses": ["Running"]}
    print(f"{count:,} invocations")
    print(f"  add them       {seconds(lambda: state.add([script])) * 1000:8.1f} ms")
    print(f"  first page     {seconds(lambda: listed(app, limit='1')) * 1000:8.1f} ms")
    for status, found in (("Running", "hit"), ("Enqueued", "miss")):
        best = min(seconds(partial(listed, app, limit="1", status=status)) for _ in range(10))
        print(f"  probe, {found:4}    {best * 1000:8.1f} ms")
    begin = time.perf_counter()
    pages = walk(app)
    print(f"  page of a walk {(time.perf_counter() - begin) / pages * 1000:8.2f} ms ({pages} pages)")


if __name__ == "__main__":
    for size in (10_000, 100_000):
        measure(size)
