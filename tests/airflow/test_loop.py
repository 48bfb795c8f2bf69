"""A trigger never keeps the triggerer's loop waiting: what blocks happens on other threads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

# An audit hook cannot be taken off again, so this runs in an interpreter of its own.
SCRIPT = """
import asyncio, concurrent.futures.thread, json, sys, threading, time

import airflow.triggers.base
from airflow_provider_fc.hooks import _read_connection
from airflow_provider_fc.triggers import FunctionComputeInvocationsTrigger

BLOCKING = {"open", "import", "os.listdir", "os.scandir", "subprocess.Popen", "time.sleep",
            "socket.getaddrinfo", "socket.gethostbyname"}
seen = []

def note(event, arguments):
    if event in BLOCKING and threading.current_thread() is threading.main_thread() and watching:
        seen.append([event, str(arguments[0])])

watching = False
sys.addaudithook(note)

async def wait():
    global watching
    await _read_connection("fc_default")  # a triggerer has long imported what Airflow itself needs for this
    now = time.time()
    function = {"api_version": "2023-03-30", "function_name": "resize", "service_name": None, "qualifier": None}
    made = FunctionComputeInvocationsTrigger(
        fc_conn_id="fc_default", region_id=None, began_at=now, schedule={"poll_interval": 0.1, "deadline": now + 60},
        batch={"function": function, "prefix": "job-", "ids": [], "success_statuses": ["Succeeded"],
               "settle_seconds": 0.1},
    )
    watching = True
    events = [event.payload async for event in made.run()]
    watching = False
    return events

events = asyncio.run(wait())
print(json.dumps({"seen": seen, "kinds": [event["kind"] for event in events]}))
"""


@pytest.fixture
def watched(
    python: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[list[str]]]:
    with FunctionComputeEmulator() as emulator:
        emulator.add_invocations(
            [{"function": "resize", "id": "job-1", "statuses": ["Running", "Running", "Succeeded"]}]
        )
        # By name, so that it has to be looked up.
        host = emulator.endpoint.replace("127.0.0.1", "localhost")
        monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", json.dumps({**emulator.connection, "host": host}))
        return json.loads(python("-c", SCRIPT).stdout.splitlines()[-1])


def test_it_waits_to_the_end(watched: dict[str, Any]) -> None:
    assert watched["kinds"] == ["success"]


def test_nothing_that_blocks_is_called_on_the_loop(watched: dict[str, list[list[str]]]) -> None:
    assert watched["seen"] == []
