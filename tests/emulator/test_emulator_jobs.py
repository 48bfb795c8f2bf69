"""The attempts of an invocation, without a process that executes it."""

from __future__ import annotations

import json
import sys

import pytest
from emulator import emulator_functions  # type: ignore[attr-defined]

from airflow_provider_fc.emulator.context import Context
from airflow_provider_fc.emulator.functions import Target
from airflow_provider_fc.emulator.state import FunctionComputeState
from airflow_provider_fc.emulator.worker import Outcome, Task, execute


@pytest.fixture
def state(clock):
    return FunctionComputeState(clock=clock, functions=["resize"], retries=1, retry_delay=10)


def attempt(state, error: str = "", result: bytes = b""):
    invocation = state.jobs.take()
    execution = state.jobs.begin(invocation, "c-1", end=lambda: None)
    return state.jobs.finish(invocation, execution, result=result, error=error)


def shown(state):
    return state.get("", "resize", "job")


def test_a_taken_invocation_is_dequeued_and_then_running(state):
    state.submit("", "resize", id="job")
    invocation = state.jobs.take()
    before = shown(state).status

    state.jobs.begin(invocation, "c-1", end=lambda: None)

    assert (before, shown(state).status, shown(state).instance_id) == ("Dequeued", "Running", "c-1")


def test_a_retry_comes_after_its_delay(state, clock):
    state.submit("", "resize", id="job")
    attempt(state, error="ValueError: no")
    assert (shown(state).status, state.jobs.take()) == ("Retrying", None)
    clock.seconds += 10

    attempt(state, result=b"yes")

    assert (shown(state).status, shown(state).return_payload) == ("Succeeded", "yes")
    assert (shown(state).already_retried_times, shown(state).error_message) == (1, "")


def test_the_events_keep_what_went_wrong_on_the_way(state, clock):
    state.submit("", "resize", id="job")
    for number in (1, 2):
        attempt(state, error=f"ValueError: {number}")
        clock.seconds += 10

    details = [(event.status, json.loads(event.event_detail)) for event in shown(state).events if event.event_detail]
    assert [(status, detail["Error"]) for status, detail in details] == [
        ("Retrying", "ValueError: 1"),
        ("Failed", "ValueError: 2"),
    ]
    assert [detail.keys() for _, detail in details] == [{"Error"}, {"Error", "logTail"}], "the log's end is at the end"


def test_a_retry_may_replace_the_start_time(state, clock):
    state.set_switches(reset_start_on_retry=True)
    state.submit("", "resize", id="job")
    attempt(state, error="no")
    clock.seconds += 10
    attempt(state)

    assert shown(state).started_time == clock.ms


def test_what_is_stopped_between_queue_and_worker_does_not_begin(state):
    state.submit("", "resize", id="job")
    invocation = state.jobs.take()

    state.stop("", "resize", "job")

    assert state.jobs.begin(invocation, "c-1", end=lambda: None) is None
    assert (shown(state).status, state.jobs.executions) == ("Stopped", [])


def test_what_is_stopped_while_it_waits_for_a_retry_does_not_run_again(state, clock):
    state.submit("", "resize", id="job")
    attempt(state, error="no")
    state.stop("", "resize", "job")
    clock.seconds += 10

    assert state.jobs.take() is None
    assert shown(state).status == "Stopped"


def test_a_stop_ends_the_running_attempt_whatever_it_came_to(state):
    state.submit("", "resize", id="job")
    invocation, ended = state.jobs.take(), []
    execution = state.jobs.begin(invocation, "c-1", end=lambda: ended.append(True))

    state.stop("", "resize", "job")
    stopping = shown(state).status
    stopped = state.jobs.finish(invocation, execution, result=b"done all the same", error="")

    assert (stopping, ended, stopped) == ("Stopping", [True], True)
    assert (shown(state).status, execution.outcome) == ("Stopped", "stopped")


def test_the_oldest_due_one_is_taken_first(state, clock):
    for id, delay in (("c", 2), ("a", 0), ("b", 1)):
        state.submit("", "resize", id=id, delay=delay)
    clock.seconds += 2

    assert [state.jobs.take().id for _ in range(3)] == ["a", "b", "c"]


@pytest.fixture
def own_path(monkeypatch):
    """Keeps what a worker does to its module path away from this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])


CONTEXT = Context(
    function_name="resize",
    service_name="",
    qualifier="LATEST",
    request_id="request",
    invocation_id="job",
    attempt=1,
    region="cn-hangzhou",
    account_id="1",
)


@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        ("echo", Outcome(result=b"event")),
        ("text", Outcome(result="Grüße".encode())),
        ("nothing", Outcome()),
        ("fail", Outcome(error="ValueError: not a text file")),
        ("leave", Outcome(error="SystemExit: enough")),
        (
            "missing",
            Outcome(error="AttributeError: module 'fc_functions_emulator_functions' has no attribute 'missing'"),
        ),
    ],
)
def test_a_worker_turns_whatever_happens_into_an_outcome(own_path, function, outcome):
    target = Target(function, file=emulator_functions.__file__)

    assert execute(Task(target, b"event", CONTEXT)) == outcome


@pytest.mark.parametrize(
    ("module", "outcome"),
    [
        ("emulator.emulator_functions", Outcome(result=b"event")),
        ("known.to.nobody.else", Outcome(result=b"event")),
        ("known", Outcome(result=b"event")),
    ],
)
def test_a_module_only_its_user_can_import_is_loaded_from_its_file(own_path, module, outcome):
    target = Target("echo", module=module, file=emulator_functions.__file__)

    assert execute(Task(target, b"event", CONTEXT)) == outcome


def test_an_import_that_fails_inside_a_module_is_the_outcome(tmp_path, monkeypatch, own_path):
    (tmp_path / "needs_another.py").write_text("import known_to_nobody\n")
    monkeypatch.syspath_prepend(tmp_path)
    target = Target("echo", module="needs_another", file=str(tmp_path / "needs_another.py"))

    assert execute(Task(target, b"", CONTEXT)).error == "ModuleNotFoundError: No module named 'known_to_nobody'"
