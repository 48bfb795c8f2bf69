"""What is measured: ours, and what one would use without us. ``listing.py`` starts each in a process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

KEY_ID, SECRET = "bench-key-id", "bench-key-secret"
COUNT = 1000  # pages that one round of the reading contenders reads

Round = Callable[[], object]


def expect(found: int, wanted: int) -> None:
    assert found == wanted, f"{found} listed instead of {wanted}"


# Reading one page: bytes to items


def read_with_json() -> Round:
    from pages import body

    content = body()

    def run() -> None:
        for _ in range(COUNT):
            expect(len(json.loads(content)["tasks"]), 100)

    return run


def read_ours() -> Round:
    from pages import body

    from airflow_provider_fc.core.api import function_ref
    from airflow_provider_fc.core.http import HttpResponse
    from airflow_provider_fc.core.operations import ListInvocations

    response, operation = HttpResponse(200, {}, body()), ListInvocations(function_ref("thumbnail"))

    def run() -> None:
        for _ in range(COUNT):
            expect(len(operation.read(response).items), 100)

    return run


# Listing, blocking


def connect(origin: str, ca: str = "") -> None:
    """Make the connection as an administrator does: by an environment variable."""
    connection = {"conn_type": "alibaba_fc", "host": origin, "login": KEY_ID, "password": SECRET}
    extra = {"region_id": "cn-hangzhou", **({"verify": ca} if ca else {})}
    os.environ["AIRFLOW_CONN_FC_DEFAULT"] = json.dumps({**connection, "extra": extra})


def list_ours(origin: str, count: str) -> Round:
    connect(origin)
    from airflow_provider_fc.hooks import FunctionComputeHook

    hook = FunctionComputeHook()
    return lambda: expect(sum(1 for _ in hook.list_invocations(f"listed-{count}", order="asc")), int(count))


def list_with_requests(origin: str, count: str) -> Round:
    import requests

    session = requests.Session()
    url = f"{origin}/2023-03-30/functions/listed-{count}/async-tasks"

    def run() -> None:
        query, found = {"limit": "100", "sortOrderByTime": "asc"}, 0
        while True:
            page = json.loads(session.get(url, params=query, timeout=60).content)
            found += len(page["tasks"])
            if not page["nextToken"]:
                return expect(found, int(count))
            query["nextToken"] = page["nextToken"]

    return run


def _sdk(origin: str) -> Any:
    from alibabacloud_fc20230330.client import Client
    from alibabacloud_tea_openapi.models import Config

    parts = urlsplit(origin)
    return Client(Config(access_key_id=KEY_ID, access_key_secret=SECRET, endpoint=parts.netloc, protocol=parts.scheme))


def list_with_sdk(origin: str, count: str) -> Round:
    from alibabacloud_fc20230330.models import ListAsyncTasksRequest
    from darabonba.runtime import RuntimeOptions

    client, runtime = _sdk(origin), RuntimeOptions(autoretry=False)

    def run() -> None:
        request, found = ListAsyncTasksRequest(limit=100, sort_order_by_time="asc"), 0
        while True:
            page = client.list_async_tasks_with_options(f"listed-{count}", request, {}, runtime).body
            found += len(page.tasks)
            if not page.next_token:
                return expect(found, int(count))
            request.next_token = page.next_token

    return run


# Listing on an event loop


def list_ours_on_loop(origin: str, count: str, ca: str = "") -> Round:
    connect(origin, ca)
    from airflow_provider_fc.hooks import FunctionComputeAsyncHook

    runner = asyncio.Runner()
    hook = runner.run(FunctionComputeAsyncHook().__aenter__())

    async def run() -> None:
        found = 0
        async for _ in hook.list_invocations(f"listed-{count}", order="asc"):
            found += 1
        expect(found, int(count))

    return lambda: runner.run(run())


def list_with_aiohttp(origin: str, count: str) -> Round:
    import aiohttp

    runner = asyncio.Runner()

    async def connected() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = runner.run(connected())
    url = f"{origin}/2023-03-30/functions/listed-{count}/async-tasks"

    async def run() -> None:
        query, found = {"limit": "100", "sortOrderByTime": "asc"}, 0
        while True:
            async with session.get(url, params=query) as response:
                page = json.loads(await response.read())
            found += len(page["tasks"])
            if not page["nextToken"]:
                return expect(found, int(count))
            query["nextToken"] = page["nextToken"]

    return lambda: runner.run(run())


def list_with_sdk_on_loop(origin: str, count: str, ca: str) -> Round:
    from alibabacloud_fc20230330.models import ListAsyncTasksRequest
    from darabonba.runtime import RuntimeOptions

    client, runtime = _sdk(origin), RuntimeOptions(autoretry=False, ca=ca)
    runner = asyncio.Runner()

    async def run() -> None:
        request, found = ListAsyncTasksRequest(limit=100, sort_order_by_time="asc"), 0
        while True:
            page = (await client.list_async_tasks_with_options_async(f"listed-{count}", request, {}, runtime)).body
            found += len(page.tasks)
            if not page.next_token:
                return expect(found, int(count))
            request.next_token = page.next_token

    return lambda: runner.run(run())


# In a fresh process


def import_requests() -> Round:
    def run() -> None:
        import requests  # noqa: F401

    return run


def first_use(origin: str) -> Round:
    connect(origin)
    from airflow.providers.common.compat.sdk import BaseHook

    BaseHook.get_connection("fc_default")

    def run() -> None:
        from airflow_provider_fc.hooks import FunctionComputeHook

        expect(sum(1 for _ in FunctionComputeHook().list_invocations("listed-100")), 100)

    return run


def import_operators() -> Round:
    import airflow.providers.common.compat.sdk
    import airflow.triggers.base

    try:
        import airflow.sdk
    except ImportError:
        import airflow.models.baseoperator
        import airflow.sensors.base  # noqa: F401

    def run() -> dict[str, int]:
        before = len(sys.modules)
        import airflow_provider_fc.operators
        import airflow_provider_fc.sensors  # noqa: F401

        return {"modules": len(sys.modules) - before}

    return run


# Memory


def memory(origin: str, count: str) -> Round:
    connect(origin)
    from airflow_provider_fc.hooks import FunctionComputeHook

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run() -> dict[str, int]:
        first = most = found = 0
        for found, _ in enumerate(FunctionComputeHook().list_invocations(f"listed-{count}", order="asc"), 1):
            if found == 100:
                first = most = resident()
            elif found % 10_000 == 0:
                most = max(most, resident())
        expect(found, int(count))
        return {"growth": most - first}

    return run


def main(contenders: Mapping[str, Callable[..., Round]], name: str, *arguments: str) -> None:
    """Make the named one and run it for each line that comes in."""
    run = contenders[name](*arguments)
    if "import" not in name and "first" not in name and "memory" not in name:
        run()  # warm-up
    gc.collect()
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        known = run()
        print(
            json.dumps({"cpu": time.process_time() - began, **(known if isinstance(known, dict) else {})}), flush=True
        )


if __name__ == "__main__":
    made = {name: each for name, each in globals().items() if getattr(each, "__module__", "") == "__main__"}
    main(made, *sys.argv[1:])
