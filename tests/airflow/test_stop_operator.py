"""The stop operator: what it stops, and what it leaves alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from running import TaskInstance

from airflow_provider_fc.core.errors import AccessDeniedError, ParameterError, WaitTimeoutError
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.operators import FunctionComputeStopInvocationsOperator


@pytest.fixture
def emulator(connection: Callable[..., str], hasten: Callable[..., None]) -> Iterator[FunctionComputeEmulator]:
    hasten(polling={"shortest": 0.0}, records={"lag": 1.0})
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def stop(**parameters: Any) -> dict[str, list[str]]:
    made = FunctionComputeStopInvocationsOperator(task_id="stop", **{"function_name": "resize", **parameters})
    return made.execute({"ti": TaskInstance()})


def add(emulator: FunctionComputeEmulator, **statuses: str) -> None:
    emulator.add_invocations(
        [{"function": "resize", "id": key.replace("_", "-"), "statuses": [word]} for key, word in statuses.items()]
    )


def stops(emulator: FunctionComputeEmulator) -> int:
    return [record.operation for record in emulator.requests].count("Stop")


def test_each_id_has_its_result(emulator: FunctionComputeEmulator) -> None:
    add(emulator, live="Running", done="Succeeded", other="Running")

    assert stop(invocation_ids=["live", "done", {"invocation_id": "gone"}]) == {
        "stopped": ["live"],
        "already_finished": ["done"],
        "not_found": ["gone"],
    }
    assert emulator.state.status("resize", "other") == "Running"


def test_the_log_names_what_was_not_found(
    emulator: FunctionComputeEmulator, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    stop(invocation_ids=[f"gone-{number}" for number in range(7)])

    told = capfd.readouterr().out + caplog.text
    assert "7 not_found (gone-0, gone-1, gone-2, gone-3, gone-4 and 2 more)" in told


def test_the_rows_of_another_function_are_an_error_and_no_clean_up_that_finds_nothing(
    emulator: FunctionComputeEmulator,
) -> None:
    with pytest.raises(ParameterError, match="holds an invocation of 'other', but function_name is 'resize'"):
        stop(invocation_ids=["job-1", {"invocation_id": "job-2", "function_name": "other"}])

    assert not emulator.requests


def test_what_was_just_submitted_and_cannot_be_seen_yet_is_stopped(emulator: FunctionComputeEmulator) -> None:
    add(emulator, live="Running")
    emulator.add_invocations([{"function": "resize", "id": "late", "statuses": ["Running"], "appears_after": 0.5}])

    results = stop(invocation_ids=["late", "gone", "live"], wait_for_completion=True, poll_interval=0.01)

    assert results == {"stopped": ["live", "late"], "already_finished": [], "not_found": ["gone"]}
    assert {emulator.state.status("resize", key) for key in ("late", "live")} == {"Stopped"}


def test_a_prefix_stops_what_is_live_and_asks_nothing_of_the_rest(emulator: FunctionComputeEmulator) -> None:
    add(emulator, job_1="Running", job_2="Enqueued", job_3="Failed", jab_4="Running")

    results = stop(invocation_id_prefix="job-")

    assert sorted(results["stopped"]) == ["job-1", "job-2"]
    assert stops(emulator) == 2
    assert emulator.state.status("resize", "jab-4") == "Running"


def test_a_run_id_makes_a_prefix(emulator: FunctionComputeEmulator) -> None:
    add(emulator, **{"manual__2026-11-22T08_00_00": "Running"})

    assert stop(invocation_id_prefix="manual::2026-11-22T08:00")["stopped"] == []
    assert len(stop(invocation_id_prefix="manual--2026-11-22T08-")["stopped"]) == 1


def test_three_hundred_are_stopped(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations(
        [{"function": "resize", "id_template": "job-{index:03}", "count": 300, "statuses": ["Running"]}]
    )

    assert len(stop(invocation_id_prefix="job-", wait_for_completion=True, poll_interval=0.01)["stopped"]) == 300


def test_it_can_wait_until_they_have_ended(emulator: FunctionComputeEmulator) -> None:
    add(emulator, live="Running")

    stop(invocation_ids=["live"], wait_for_completion=True, poll_interval=0.01)

    assert emulator.state.status("resize", "live") == "Stopped"


def test_a_wait_that_takes_too_long_is_an_error(emulator: FunctionComputeEmulator) -> None:
    add(emulator, live="Running")

    with pytest.raises(
        WaitTimeoutError, match=r"Not all have ended within 0 s: .*; they were asked to stop: raise timeout, then clear"
    ):
        stop(invocation_ids=["live"], wait_for_completion=True, timeout=0)


def test_a_refusal_is_an_error(emulator: FunctionComputeEmulator, connection: Callable[..., str]) -> None:
    add(emulator, live="Running")
    connection(**{**emulator.connection, "password": "wrong"})

    with pytest.raises(AccessDeniedError):
        stop(invocation_ids=["live"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "invocation_ids: must be given, or else invocation_id_prefix"),
        (
            {"invocation_ids": ["a"], "invocation_id_prefix": "abc"},
            "and not both, so that no more is stopped than meant",
        ),
        (
            {"invocation_id_prefix": ""},
            "would match every invocation; give a prefix .* stop operator then need invocation_ids",
        ),
        ({"invocation_id_prefix": "ab"}, "'ab' has fewer than 3 letters and digits .* set allow_short_prefix=True"),
        ({"invocation_id_prefix": "a:::b"}, "'a:::b' has fewer than 3 letters and digits"),
        ({"invocation_id_prefix": "___"}, "'___' has fewer than 3 letters and digits"),
        ({"invocation_id_prefix": "华东-华东"}, "'华', which no invocation id can"),
        ({"invocation_ids": ["华东-1"]}, "'华', which no invocation id can"),
    ],
)
def test_what_might_stop_too_much_is_refused(
    emulator: FunctionComputeEmulator, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        stop(**parameters)
    assert not emulator.requests


def test_a_short_prefix_can_be_meant(emulator: FunctionComputeEmulator) -> None:
    add(emulator, a1="Running")

    assert stop(invocation_id_prefix="a", allow_short_prefix=True)["stopped"] == ["a1"]


def test_a_status_that_nobody_knows_is_stopped_as_well(emulator: FunctionComputeEmulator) -> None:
    add(emulator, job_1="Suspended", job_2="Succeeded")

    assert stop(invocation_id_prefix="job-")["stopped"] == ["job-1"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency: 0 is out of range; give 1 to 1000"),
        ({"max_concurrency": 10**6}, "max_concurrency: 1000000 is out of range; give 1 to 1000"),
        ({"max_concurrency": None}, "max_concurrency: is missing"),
        ({"timeout": "soon"}, "timeout: 'soon' is not a number of seconds"),
        ({"timeout": sys.maxsize}, "timeout: .* is too long"),
        ({"poll_interval": sys.maxsize}, "poll_interval: .* is too long"),
        ({"timeout": None}, "timeout: None is not a number of seconds"),
        ({"poll_interval": -1}, "poll_interval: -1 is too short"),
    ],
    ids=str,
)
def test_a_wrong_number_is_named_before_anything_is_stopped(
    emulator: FunctionComputeEmulator, wrong: dict[str, Any], message: str
) -> None:
    add(emulator, job_1="Running")

    with pytest.raises(ParameterError, match=message):
        stop(invocation_ids=["job-1"], wait_for_completion=True, **wrong)
    assert not emulator.requests


def test_durations_may_be_timedeltas(emulator: FunctionComputeEmulator) -> None:
    add(emulator, job_1="Running")

    stop(
        invocation_ids=["job-1"],
        wait_for_completion=True,
        timeout=timedelta(minutes=1),
        poll_interval=timedelta(milliseconds=10),
    )

    assert emulator.state.status("resize", "job-1") == "Stopped"


@pytest.mark.parametrize("nothing", [[], (), "[]"], ids=str)
def test_no_ids_are_nothing_to_stop(emulator: FunctionComputeEmulator, nothing: Any) -> None:
    assert stop(invocation_ids=nothing) == {"stopped": [], "already_finished": [], "not_found": []}
    assert not emulator.requests
