"""Triggers share one connection to the supervisor with the loop of the triggerer, and the threads of a task one, too.

Airflow 3.0 and 3.1 expect each answer right after its question; one that is read late, or not at all, ends the
triggerer with "Response read out of order" (apache/airflow#64620), and threads of a task take each other's answers.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import msgspec
import pytest
from versions import needs

needs("supervisor")

from airflow.jobs import triggerer_job_runner as triggerer
from airflow.sdk.execution_time import comms, task_runner

from airflow_provider_fc import _compat
from airflow_provider_fc.hooks import FunctionComputeAsyncHook, FunctionComputeHook

ANSWERS: dict[str, dict[str, Any] | None] = {
    "GetConnection": {
        "type": "ConnectionResult",
        "conn_id": "fc_elsewhere",
        "conn_type": "alibaba_fc",
        "host": None,
        "schema": None,
        "port": None,
        "login": "a key's id",
        "password": "a key's secret",
        "extra": '{"region_id": "cn-hangzhou", "account_id": "1234567890123456"}',
    },
    "TriggerStateChanges": {"type": "TriggerStateSync", "to_create": [], "to_cancel": []},
    "MaskSecret": None,
}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer like the supervisor: one question after the other, and not at once."""
    while True:
        frame = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
        number, question, *_ = msgspec.msgpack.decode(frame)
        await asyncio.sleep(0.005)
        answer = msgspec.msgpack.encode([number, ANSWERS[question["type"]], None])
        writer.write(len(answer).to_bytes(4, "big") + answer)


@asynccontextmanager
async def _triggerer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[triggerer.TriggerCommsDecoder]:
    """What Airflow's own triggers talk through, with a supervisor at its other end."""
    near, far = socket.socketpair()
    asked, answers = await asyncio.open_connection(sock=far)
    answering = asyncio.create_task(_answer(asked, answers))
    reader, writer = await asyncio.open_connection(sock=near)
    comms = triggerer.TriggerCommsDecoder(socket=None, async_reader=reader, async_writer=writer)
    if hasattr(comms, "start_reader"):  # Airflow 3.2.2 and later
        await comms.start_reader()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
    try:
        yield comms
    finally:
        await asyncio.gather(*_compat._asking)
        writer.close()
        with suppress(asyncio.IncompleteReadError):
            await answering
        answers.close()
        with suppress(asyncio.IncompleteReadError):
            await (getattr(comms, "_reader_task", None) or asyncio.sleep(0))


async def _sync(comms: triggerer.TriggerCommsDecoder) -> str:
    """Exchange what the triggerer's own loop exchanges with its supervisor every second."""
    changes = triggerer.messages.TriggerStateChanges(events=None, failures=None, finished=None)
    return type(await comms.asend(changes)).__name__


async def _read() -> str:
    return (await FunctionComputeAsyncHook("fc_elsewhere")._read()).region_id or ""


def test_many_triggers_read_their_connection_and_mask_secrets_while_the_triggerer_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> tuple[list[str], list[str], list[None]]:
        async with _triggerer(monkeypatch) as comms:
            return await asyncio.gather(
                asyncio.gather(*(_sync(comms) for _ in range(20))),
                asyncio.gather(*(_read() for _ in range(20))),
                asyncio.gather(*(_compat.amask_secret(f"secret number {n}") for n in range(20))),
            )

    synced, regions, _ = asyncio.run(asyncio.wait_for(scenario(), 120))

    assert set(synced) == {"TriggerStateSync"}
    assert set(regions) == {"cn-hangzhou"}


BEGIN = pytest.mark.parametrize(
    "begin", [_read, lambda: _compat.amask_secret("a secret")], ids=["connection", "secret"]
)


@BEGIN
def test_what_a_trigger_asks_while_nobody_else_does_is_answered_before_the_next_question(
    monkeypatch: pytest.MonkeyPatch, begin: Any
) -> None:
    async def scenario() -> list[str]:
        async with _triggerer(monkeypatch) as comms:
            await begin()
            return [await _sync(comms) for _ in range(3)]

    assert asyncio.run(asyncio.wait_for(scenario(), 120)) == ["TriggerStateSync"] * 3


@BEGIN
@pytest.mark.parametrize("after", [0.0, 0.002, 0.004, 0.006, 0.008])
def test_a_trigger_that_is_cancelled_meanwhile_leaves_no_answer_to_the_next_question(
    monkeypatch: pytest.MonkeyPatch, begin: Any, after: float
) -> None:
    async def scenario() -> list[str]:
        async with _triggerer(monkeypatch) as comms:
            trigger = asyncio.ensure_future(begin())
            await asyncio.sleep(after)
            trigger.cancel()
            with suppress(asyncio.CancelledError):
                await trigger
            return [await _sync(comms) for _ in range(3)]

    assert asyncio.run(asyncio.wait_for(scenario(), 120)) == ["TriggerStateSync"] * 3


def _answer_blocking(supervisor: socket.socket) -> list[str]:
    """Answer until nobody asks any more; return the questions that came while an earlier one was not answered."""
    early = []
    while header := supervisor.recv(4, socket.MSG_WAITALL):
        frame = supervisor.recv(int.from_bytes(header, "big"), socket.MSG_WAITALL)
        number, question, *_ = msgspec.msgpack.decode(frame)
        if select.select([supervisor], [], [], 0.01)[0]:
            early.append(question["type"])
        answer = msgspec.msgpack.encode([number, ANSWERS[question["type"]], None])
        supervisor.sendall(len(answer).to_bytes(4, "big") + answer)
    return early


def test_the_threads_of_a_task_ask_the_supervisor_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    task, supervisor = socket.socketpair()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms.CommsDecoder(socket=task), raising=False)
    with closing(supervisor), ThreadPoolExecutor() as answering, ThreadPoolExecutor(8) as threads:
        answers = answering.submit(_answer_blocking, supervisor)
        with closing(task):
            masking = [threads.submit(_compat.mask_secret, f"secret number {n}") for n in range(16)]
            reading = [threads.submit(lambda: FunctionComputeHook("fc_elsewhere").settings) for _ in range(16)]
            regions = [settings.result(60).region_id for settings in reading]
            assert [masked.result(60) for masked in masking] == [None] * 16

        assert answers.result(60) == []
    assert set(regions) == {"cn-hangzhou"}
