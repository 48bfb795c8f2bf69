"""Functions that are real Python callables, executed by worker processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from emulator import emulator_functions

from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.functions import read_functions
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

FILE = Path(emulator_functions.__file__)


@pytest.fixture(scope="module")
def shared():
    """One emulator with two retries for every test that only executes something."""
    with FunctionComputeEmulator(functions=FILE, workers=2, retries=2, retry_delay=0) as emulator:
        yield emulator


@pytest.fixture
def alone():
    with FunctionComputeEmulator(functions=FILE, workers=1) as emulator:
        yield emulator


def run(emulator, function: str, event: bytes = b"", **where):
    """Invoke, wait, and return what a Get shows."""
    id = emulator.state.submit(where.get("service", ""), function, payload=event, **_without(where, "service"))
    emulator.wait_until_finished(function, id, service=where.get("service", ""))
    return emulator.state.get(where.get("service", ""), function, id)


def _without(mapping, name):
    return {key: value for key, value in mapping.items() if key != name}


def wait_for(condition) -> None:
    """Wait for something outside the emulator's knowledge."""
    never = threading.Event()
    for _ in range(1000):
        if condition():
            return
        never.wait(0.01)
    raise AssertionError("waited ten seconds in vain")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("function", "returned"),
    [("echo", "event"), ("text", "Grüße"), ("nothing", ""), ("succeed_on_attempt_three", "3")],
)
def test_a_result_becomes_the_return_payload(shared, function, returned):
    done = run(shared, function, b"event")

    assert (done.status, done.return_payload, done.error_message) == ("Succeeded", returned, "")
    assert done.started_time <= done.end_time


def test_a_function_knows_what_it_is_invoked_for(shared):
    done = run(shared, "describe", service="media", qualifier="prod", id="job-1")

    assert json.loads(done.return_payload) == {
        "function_name": "describe",
        "service_name": "media",
        "qualifier": "prod",
        "request_id": done.request_id,
        "invocation_id": "job-1",
        "attempt": 1,
        "region": "cn-hangzhou",
        "account_id": "123456789",
    }


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("fail", "ValueError: not a text file"),
        ("fail_silently", "ValueError"),
        ("leave", "SystemExit: enough"),
        ("unserializable", "TypeError: Encoding objects of type object is unsupported"),
        ("die", "the worker process ended with exit code 7"),
    ],
)
def test_what_goes_wrong_is_retried_and_then_a_failure_that_says_why(shared, function, error):
    done = run(shared, function)

    assert (done.status, done.error_message, done.already_retried_times) == ("Failed", error, 2)
    attempts = ["Dequeued", "Running", "Retrying", "Running", "Retrying", "Running", "Failed"]
    assert [event.status for event in done.events] == ["Enqueued", *attempts]


@pytest.mark.parametrize(
    ("function", "status", "said"),
    [
        ("fork", "Succeeded", "parent of a child with exit code 0"),
        ("fork_into_an_error", "Failed", "ValueError: parent of a child with exit code 1"),
    ],
)
def test_only_the_worker_answers_though_a_fork_of_it_comes_back_too(alone, function, status, said):
    done = run(alone, function)
    after = run(alone, "fail")

    assert (done.status, done.return_payload or done.error_message) == (status, said)
    assert (after.status, after.error_message) == ("Failed", "ValueError: not a text file")


def test_without_retries_a_failure_is_final(alone):
    done = run(alone, "fail")

    assert (done.status, done.already_retried_times) == ("Failed", 0)


def test_a_result_is_cut_at_a_megabyte(shared):
    assert len(run(shared, "large").return_payload) == 1024 * 1024


def test_executions_are_recorded(alone):
    run(alone, "echo", service="media", id="good")
    run(alone, "fail", id="bad")

    first, second = alone.executions
    assert (first.function, first.service, first.invocation_id, first.attempt) == ("echo", "media", "good", 1)
    assert (first.outcome, second.outcome) == ("succeeded", "failed")
    assert first.started <= first.ended <= second.started


def test_a_killed_worker_is_a_failed_attempt(alone, tmp_path):
    file = tmp_path / "pids"
    id = alone.state.submit("", "spin", payload=json.dumps({"file": str(file)}).encode())
    wait_for(file.exists)
    worker, child = json.loads(file.read_text())

    os.kill(worker, signal.SIGKILL)
    alone.wait_until_finished("spin", id)

    assert alone.state.get("", "spin", id).error_message == "the worker process ended with exit code -9"
    wait_for(lambda: not alive(child))
    assert run(alone, "echo", b"next").return_payload == "next"


def test_a_stop_ends_what_is_running_and_what_it_has_started(alone, tmp_path):
    file = tmp_path / "pids"
    id = alone.state.submit("", "spin", payload=json.dumps({"file": str(file)}).encode())
    wait_for(file.exists)

    alone.state.stop("", "spin", id)
    alone.wait_until_finished("spin", id)

    shown = alone.state.get("", "spin", id)
    assert [event.status for event in shown.events][-3:] == ["Running", "Stopping", "Stopped"]
    assert alone.executions[0].outcome == "stopped"
    wait_for(lambda: not any(map(alive, json.loads(file.read_text()))))
    assert run(alone, "echo", b"next").return_payload == "next"


def test_a_stop_of_a_queued_one_keeps_it_from_running(alone, tmp_path):
    gate = tmp_path / "gate"
    first = alone.state.submit("", "wait_for_file", payload=json.dumps({"file": str(gate)}).encode())
    queued = alone.state.submit("", "echo")
    wait_for((tmp_path / "gate.began-1").exists)

    alone.state.stop("", "echo", queued)
    gate.touch()
    alone.wait_until_finished("wait_for_file", first)
    run(alone, "echo")

    assert alone.state.get("", "echo", queued).status == "Stopped"
    assert queued not in [execution.invocation_id for execution in alone.executions]


def test_computing_does_not_keep_the_server_from_answering(alone, tmp_path):
    gate = tmp_path / "gate"
    id = alone.state.submit("", "wait_for_file", payload=json.dumps({"file": str(gate)}).encode())
    wait_for((tmp_path / "gate.began-1").exists)

    assert alone.state.get("", "wait_for_file", id).status == "Running"
    gate.touch()
    alone.wait_until_finished("wait_for_file", id)


def test_a_delay_holds_an_invocation_back(clock):
    with FunctionComputeEmulator(functions={"echo": emulator_functions.echo}, workers=1, clock=clock) as emulator:
        late = emulator.state.submit("", "echo", delay=60)
        run(emulator, "echo")
        before = emulator.state.status("echo", late)
        clock.seconds += 60
        emulator.wait_until_finished("echo", late)

    assert before == "Enqueued"


def test_waiting_for_what_does_not_finish_ends_with_its_status(alone):
    alone.state.add([{"function": "echo", "id": "job", "statuses": ["Running"]}])

    with pytest.raises(TimeoutError, match="'job': 'Running'"):
        alone.wait_until_finished("echo", "job", timeout=0.01)


def test_closing_ends_the_worker_processes(tmp_path):
    file = tmp_path / "pids"
    threads = set(threading.enumerate())
    with FunctionComputeEmulator(functions=FILE, workers=2) as emulator:
        run(emulator, "echo")
        emulator.state.submit("", "spin", payload=json.dumps({"file": str(file)}).encode())
        wait_for(file.exists)

    wait_for(lambda: not any(map(alive, json.loads(file.read_text()))))
    assert set(threading.enumerate()) == threads


def test_an_unregistered_function_is_named_with_those_that_exist(alone):
    with pytest.raises(Refusal, match=r"no function 'thumb'; registered: .*echo"):
        alone.state.submit("", "thumb")


def test_callables_of_a_module_and_lives_can_be_mixed():
    functions = {"copy": emulator_functions.echo, "broken": {"statuses": ["Failed"], "error_message": "no"}}
    with FunctionComputeEmulator(functions=functions, workers=1) as emulator:
        assert run(emulator, "copy", b"event").return_payload == "event"
        assert run(emulator, "broken").error_message == "no"


def test_a_file_s_functions_are_its_public_ones_with_two_arguments():
    targets, _ = read_functions(FILE)

    assert {"echo", "fail", "spin"} <= targets.keys()
    assert not {"_private", "helper", "json", "Path"} & targets.keys()


@pytest.mark.parametrize(
    ("definition", "is_function"),
    [
        ("def f(event, context): pass", True),
        ("def f(event, context, extra=None): pass", True),
        ("def f(event, context=None): pass", True),
        ("def f(*arguments): pass", True),
        ("def f(event, context, *, extra=None): pass", True),
        ("def f(event): pass", False),
        ("def f(event, context, extra): pass", False),
        ("def f(event, context, *, extra): pass", False),
        ("class f:\n    def g(event, context): pass", False),
    ],
)
def test_a_function_takes_two_positional_arguments(tmp_path, definition, is_function):
    file = tmp_path / "functions.py"
    file.write_text(f"{definition}\n\ndef other(event, context):\n    pass\n")

    targets, _ = read_functions(file)

    assert ("f" in targets) is is_function


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "no function found; write `def name"),
        ("async def f(event, context): pass", "f is an async def"),
    ],
)
def test_a_file_without_usable_functions_is_an_error(tmp_path, source, message):
    file = tmp_path / "functions.py"
    file.write_text(source)

    with pytest.raises(ValueError, match=message):
        read_functions(file)


@pytest.mark.parametrize("function", [lambda event, context: None, threading.Event().is_set])
def test_a_callable_that_no_other_process_can_import_is_an_error(function):
    with pytest.raises(ValueError, match="top-level def of an importable module"):
        read_functions({"f": function})


def test_a_callable_of_main_is_an_error(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "echo", emulator_functions.echo, raising=False)
    monkeypatch.setattr(emulator_functions.echo, "__module__", "__main__")

    with pytest.raises(ValueError, match="not 'echo' of __main__"):
        read_functions({"f": emulator_functions.echo})
