"""What a task says when nobody answers: one exception, and what to do."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from running import TaskInstance

from airflow_provider_fc.core.errors import TransportError
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.hooks import FunctionComputeHook
from airflow_provider_fc.operators import (
    FunctionComputeInvokeOperator,
    FunctionComputeListInvocationsOperator,
    FunctionComputeStopInvocationsOperator,
)
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

OPERATORS: dict[str, Callable[..., Any]] = {
    "list": FunctionComputeListInvocationsOperator,
    "invoke": FunctionComputeInvokeOperator,
    "invoke, deferrable": lambda **task: FunctionComputeInvokeOperator(deferrable=True, **task),
    "stop by id": lambda **task: FunctionComputeStopInvocationsOperator(invocation_ids=["job-1"], **task),
    "stop by prefix": lambda **task: FunctionComputeStopInvocationsOperator(invocation_id_prefix="job-", **task),
}
PLACES = {
    "the emulator is off": "nothing listens there: check host and its port",
    "https on an http port": "if it speaks plain HTTP, as the emulator does, let host begin with http://",
}


@pytest.fixture(params=PLACES)
def advice(request: pytest.FixtureRequest, connection: Callable[..., str]) -> Iterator[str]:
    """A connection that leads nowhere, and what is to be said about it."""
    with FunctionComputeEmulator() as emulator, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        hosts = {
            "the emulator is off": f"http://127.0.0.1:{bound.getsockname()[1]}",
            "https on an http port": emulator.endpoint.replace("http://", "https://"),
        }
        extra = {**emulator.connection["extra"], "max_attempts": 2}
        connection(**{**emulator.connection, "host": hosts[request.param], "extra": extra})
        yield PLACES[request.param]


@pytest.mark.parametrize("make", OPERATORS.values(), ids=OPERATORS)
def test_a_task_that_nobody_answers_ends_with_one_exception_that_says_what_to_do(
    advice: str, make: Callable[..., Any]
) -> None:
    with pytest.raises(TransportError) as caught:
        make(task_id="task", function_name="resize").execute({"ti": TaskInstance()})

    told = "".join(traceback.format_exception(caught.value))
    assert told.count("Traceback") == 1
    assert "TransportError" in told.splitlines()[-1]
    assert advice in told.splitlines()[-1]


def test_the_connection_test_says_the_same(advice: str) -> None:
    passed, text = FunctionComputeHook().test_connection()

    assert not passed
    assert text.startswith("Unreachable: no answer from ")
    assert advice in text


def test_a_poking_sensor_goes_on_and_says_the_same_in_its_log(advice: str, caplog: pytest.LogCaptureFixture) -> None:
    sensor = FunctionComputeInvocationsSensor(
        task_id="task", function_name="resize", invocation_id_prefix="job-", mode="poke", deferrable=False
    )

    result = sensor.poke({"ti": TaskInstance()})

    assert not result
    assert advice in caplog.text
