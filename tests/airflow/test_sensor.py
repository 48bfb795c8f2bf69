"""The sensor in its modes, against the emulator, on whatever Airflow is installed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from running import MODES, Reads, context, ending, fire, run

from airflow_provider_fc._compat import SHORTEST_RESCHEDULE, before_execution_timeout
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    FunctionComputeError,
    InvocationsFailedError,
    NoInvocationsError,
    ParameterError,
    SettingsError,
    TriggerError,
)
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

pytestmark = pytest.mark.usefixtures("metadata_db")  # Airflow 2.11 looks up reschedules there


@pytest.fixture
def emulator(connection: Callable[..., str], hasten: Callable[..., None]) -> Iterator[FunctionComputeEmulator]:
    hasten(polling={"first": 0.0, "shortest": 0.0})
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def sensor(
    mode: str = "poke",
    cls: type[FunctionComputeInvocationsSensor] = FunctionComputeInvocationsSensor,
    **parameters: Any,
) -> FunctionComputeInvocationsSensor:
    which = {} if "invocation_ids" in parameters else {"invocation_id_prefix": "job-"}
    return cls(
        task_id="wait",
        **{
            "function_name": "resize",
            "poke_interval": 0.02,
            "timeout": 5,
            "settle_seconds": 0,
            "deferrable": mode == "deferred",
            "mode": "reschedule" if mode == "reschedule" else "poke",
            **which,
            **parameters,
        },
    )


def add(emulator: FunctionComputeEmulator, *statuses: str, **script: Any) -> None:
    emulator.add_invocations(
        [
            {"function": "resize", "id": f"job-{index}", "statuses": [status], **script}
            for index, status in enumerate(statuses)
        ]
    )


UNFINISHED = {
    "running": (["Running"], {}, "What is unfinished goes on"),
    "running and fewer than expected": (["Running"], {"expected_count": 2}, "What is unfinished goes on"),
    "by ids": (["Running"], {"invocation_ids": ["job-0"]}, "What is unfinished goes on"),
    "fewer than expected": (["Succeeded"], {"expected_count": 2}, "If more will come"),
    "an id is not there": (["Succeeded"], {"invocation_ids": ["job-0", "job-1"]}, "If more will come"),
    "nothing there": ([], {}, None),
}


@pytest.mark.parametrize(("statuses", "parameters", "goes_on"), UNFINISHED.values(), ids=UNFINISHED)
@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_a_timeout_says_how_to_wait_longer_where_something_was_found(
    emulator: FunctionComputeEmulator, mode: str, statuses: list[str], parameters: dict[str, Any], goes_on: str | None
) -> None:
    add(emulator, *statuses)

    with pytest.raises(AirflowSensorTimeout) as caught:
        run(sensor(mode, timeout=0.1, **parameters))

    assert (f". {goes_on}: raise timeout, then clear this task. " in str(caught.value)) == bool(goes_on)
    assert str(caught.value).endswith(
        ". If more were expected, clear the tasks that should start what is not found, with everything downstream"
        if goes_on
        else ". If all this is right, clear the tasks that should start what is not found, with everything downstream"
    )
    assert ("(check " in str(caught.value)) == (goes_on is None)


@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_a_timeout_whose_last_poll_failed_says_to_mend_what_it_failed_on(
    emulator: FunctionComputeEmulator, mode: str
) -> None:
    emulator.add_faults([{"action": "status", "status": 503}])

    with pytest.raises(AirflowSensorTimeout, match=r"the last poll failed .*HTTP 503.*; before it: ") as caught:
        run(sensor(mode, timeout=0.1))

    assert str(caught.value).endswith("not polled yet. Mend what it failed on, then clear this task")


@pytest.mark.parametrize("poke_interval", [5, 30])
@pytest.mark.parametrize("mode", MODES)
def test_a_rescheduled_sensor_that_airflow_may_fail_without_a_word_warns_of_it(
    emulator: FunctionComputeEmulator,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    mode: str,
    poke_interval: float,
) -> None:
    add(emulator, "Succeeded")

    run(sensor(mode, poke_interval=poke_interval))

    told = "poke_interval=5 is short for mode='reschedule'" in capfd.readouterr().out + caplog.text
    assert told == (mode == "reschedule" and poke_interval < SHORTEST_RESCHEDULE)


def test_a_wait_that_execution_timeout_has_cut_says_so(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Running")

    with pytest.raises(AirflowSensorTimeout, match=r"goes on: raise execution_timeout, then clear this task\."):
        run(sensor("poke", execution_timeout=timedelta(seconds=0.3)))


PROTECTED = {
    "a prefix alone": ({}, True),
    "a count": ({"expected_count": 1}, False),
    "nothing to wait for": ({"expected_count": 0}, False),
    "ids": ({"invocation_ids": ["job-0"]}, False),
    "a short wait": ({"timeout": 3600}, False),
}


@pytest.mark.parametrize(("parameters", "warned"), PROTECTED.values(), ids=PROTECTED)
def test_a_wait_as_long_as_records_are_kept_is_warned_of_where_nothing_protects_from_it(
    emulator: FunctionComputeEmulator,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    parameters: dict[str, Any],
    warned: bool,
) -> None:
    add(emulator, "Succeeded")

    sensor(**{"timeout": 7 * 86_400, **parameters}).execute(context())

    told = capfd.readouterr().out + caplog.text
    assert ("keeps records for 7: set timeout, or give expected_count or invocation_ids" in told) == warned


@pytest.mark.parametrize("word", ["False", "false", False])
def test_the_text_false_does_not_defer(emulator: FunctionComputeEmulator, word: Any) -> None:
    add(emulator, "Running")

    with pytest.raises(AirflowSensorTimeout):
        sensor(deferrable=word, timeout=0.1).execute(context())


@pytest.mark.parametrize("word", ["True", "true"])
def test_the_text_true_defers(emulator: FunctionComputeEmulator, word: Any) -> None:
    add(emulator, "Running")

    with pytest.raises(TaskDeferred):
        sensor(deferrable=word).execute(context())


ENDINGS = {
    **dict.fromkeys(["Enqueued", "Dequeued", "Running", "Retrying", "Stopping", "Paused"], "AirflowSensorTimeout"),
    "Succeeded": "success",
    **dict.fromkeys(["Failed", "Stopped", "Expired", "Invalid"], "InvocationsFailedError"),
}


@pytest.mark.parametrize("mode", ["poke", "first poll", "trigger", "ids, first poll", "ids, trigger"])
@pytest.mark.parametrize(("status", "end"), ENDINGS.items())
def test_a_status_ends_the_same_in_every_mode(
    emulator: FunctionComputeEmulator, status: str, end: str, mode: str
) -> None:
    add(emulator, status)
    # A script that begins unfinished forces the deferral.
    if "trigger" in mode:
        emulator.state.add([{"function": "resize", "id": "job-x", "statuses": ["Running", "Succeeded"]}])
    ids = {"invocation_ids": ["job-0", *(["job-x"] if "trigger" in mode else [])]} if "ids" in mode else {}

    seconds = 0.3 if end == "AirflowSensorTimeout" else 60
    waiting = sensor("poke" if mode == "poke" else "deferred", timeout=seconds, **ids)

    assert ending(waiting) == end


@pytest.mark.parametrize("mode", MODES)
def test_the_summary_is_the_same_in_every_mode(emulator: FunctionComputeEmulator, mode: str) -> None:
    add(emulator, "Succeeded", "Succeeded", started_time=1_795_000_000_000, end_time=1_795_000_060_000)

    assert run(sensor(mode, expected_count=2)) == {
        "total": 2,
        "by_status": {"Succeeded": 2},
        "failed": [],
        "started_at": "2026-11-18T11:06:40.000Z",
        "ended_at": "2026-11-18T11:07:40.000Z",
    }


@pytest.mark.parametrize("mode", MODES)
def test_tolerated_failures_carry_their_error_texts_in_every_mode(emulator: FunctionComputeEmulator, mode: str) -> None:
    add(emulator, "Succeeded")
    statuses = ["Running", "Running", "Failed"] if mode == "deferred" else ["Failed"]
    emulator.add_invocations(
        [{"function": "resize", "id": "job-x", "statuses": statuses, "error_message": "ValueError: no image"}]
    )

    summary = run(sensor(mode, max_failed=None))

    assert summary["by_status"] == {"Failed": 1, "Succeeded": 1}
    [failed] = summary["failed"]
    assert failed["invocation_id"] == "job-x"
    assert failed["status"] == "Failed"
    assert failed["request_id"]
    assert "ValueError: no image" in failed["error_message"]


def test_error_texts_that_cannot_be_fetched_leave_a_success_a_success(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    event = {"kind": "success", "summary": {"by_status": {"Failed": 1}, "failed": [["job-0", "Failed", "r-1"]]}}
    connection(**{**emulator.connection, "password": "wrong"})

    [failed] = sensor("deferred", max_failed=1).execute_complete(context(), event)["failed"]

    assert failed == {"invocation_id": "job-0", "status": "Failed", "error_message": None, "request_id": "r-1"}


@pytest.mark.parametrize("mode", MODES)
def test_a_failure_names_counts_error_message_and_request_id(emulator: FunctionComputeEmulator, mode: str) -> None:
    emulator.add_invocations(
        [
            {
                "function": "resize",
                "id": "job-0",
                "statuses": ["Running", "Running", "Failed"] if mode == "deferred" else ["Failed"],
                "error_message": "ValueError: no image",
            }
        ]
    )

    with pytest.raises(InvocationsFailedError) as caught:
        run(sensor(mode))

    assert "1 of 1 invocations of resize (prefix 'job-') ended badly (max_failed=0): Failed 1" in str(caught.value)
    assert "job-0 Failed: " in str(caught.value)
    assert "ValueError: no image" in str(caught.value)
    assert "[request id " in str(caught.value)


def test_what_is_finished_at_the_first_poll_is_never_deferred(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Succeeded", submitted_seconds_ago=3600)

    assert sensor("deferred", settle_seconds=15).execute(context())["total"] == 1
    assert len(emulator.requests) == 1


def test_a_transient_error_at_the_first_poll_defers(connection: Callable[..., str]) -> None:
    connection(login="id", password="secret", host="http://127.0.0.1:1", extra={"max_attempts": 1})

    with pytest.raises(TaskDeferred):
        sensor("deferred").execute(context())


def test_the_deferral_has_a_backstop_after_the_deadline(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Running")

    with pytest.raises(TaskDeferred) as caught:
        sensor("deferred", timeout=600).execute(context())

    assert timedelta(seconds=680) < caught.value.timeout <= timedelta(seconds=690)


def test_the_deadline_is_the_nearer_of_timeout_and_execution_timeout(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Running")
    start = datetime.now(UTC)

    with pytest.raises(TaskDeferred) as caught:
        sensor("deferred", timeout=600, execution_timeout=timedelta(seconds=60)).execute(context(start_date=start))

    # Airflow 2 kills the task itself at that moment, so there the last poll comes earlier.
    assert caught.value.trigger.schedule["deadline"] == pytest.approx(start.timestamp() + before_execution_timeout(60))
    assert before_execution_timeout(60) in (30, 60)


# The table of outcomes: one for all modes and versions

POLICIES = {"default": {}, "soft_fail": {"soft_fail": True}, "never_fail": {"never_fail": True}}
OUTCOMES = {
    ("timeout", "default"): "AirflowSensorTimeout",
    ("timeout", "soft_fail"): "skip",
    ("timeout", "never_fail"): "skip",
    ("failed", "default"): "InvocationsFailedError",
    ("failed", "soft_fail"): "InvocationsFailedError",
    ("failed", "never_fail"): "skip",
    ("denied", "default"): "AccessDeniedError",
    ("denied", "soft_fail"): "AccessDeniedError",
    ("denied", "never_fail"): "skip",
    ("bad parameter", "default"): "ParameterError",
    ("bad parameter", "soft_fail"): "ParameterError",
    ("bad parameter", "never_fail"): "skip",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("outcome", "policy"), OUTCOMES)
def test_an_outcome_ends_the_same_in_every_mode(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], outcome: str, policy: str, mode: str
) -> None:
    statuses = {
        "timeout": ["Running"],
        "failed": ["Running", "Running", "Failed"] if mode == "deferred" else ["Failed"],
    }
    emulator.add_invocations([{"function": "resize", "id": "job-0", "statuses": statuses.get(outcome, ["Succeeded"])}])
    if outcome == "denied":
        connection(**{**emulator.connection, "password": "wrong"})
    more = {"max_failed": "many"} if outcome == "bad parameter" else {}
    # In reschedule mode the wait began in an earlier try.
    began = datetime.now(UTC) - timedelta(seconds=10)
    task = context(first_reschedule_date=began, start_date=began) if outcome == "timeout" else context()
    waiting = sensor(mode, **POLICIES[policy], **more)
    if outcome == "timeout" and mode == "reschedule":
        waiting.timeout = 0

    assert ending(waiting, task) == OUTCOMES[outcome, policy]


CRASHES = {
    ("crash", "default"): TriggerError,
    ("crash", "soft_fail"): TriggerError,
    ("crash", "never_fail"): AirflowSkipException,
    ("Trigger timeout", "default"): AirflowSensorTimeout,
    ("Trigger timeout", "soft_fail"): AirflowSkipException,
    ("Trigger timeout", "never_fail"): AirflowSkipException,
}


@pytest.mark.parametrize(("error", "policy"), CRASHES)
def test_a_trigger_that_crashed_or_timed_out_ends_as_the_table_says(error: str, policy: str) -> None:
    resumed = sensor("deferred", **POLICIES[policy])

    with pytest.raises(CRASHES[error, policy], match=r"triggerer.*, then clear this task$"):
        resumed.resume_execution("__fail__", {"error": error}, context())


@pytest.mark.parametrize("event", [None, {}, {"kind": "sucess"}, {"kind": "success"}, "success", {"status": "success"}])
def test_an_event_that_nobody_understands_is_never_a_success(event: Any) -> None:
    with pytest.raises(TriggerError, match="the trigger sent"):
        sensor("deferred").execute_complete(context(), event)


def test_on_empty_fail_has_an_error_of_its_own(emulator: FunctionComputeEmulator) -> None:
    with pytest.raises(NoInvocationsError, match=r"prefix 'job-'"):
        run(sensor(on_empty="fail"))


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_tells_the_last_counts(emulator: FunctionComputeEmulator, mode: str) -> None:
    add(emulator, "Running", "Succeeded")
    waiting = sensor(mode, timeout=0)

    with pytest.raises(AirflowSensorTimeout, match=r"1 ended, 1 unfinished: Running 1"):
        run(waiting)


def test_silent_fail_does_not_swallow_a_verdict(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Failed")

    assert {ending(sensor(mode, silent_fail=True)) for mode in MODES} == {"InvocationsFailedError"}


def test_silent_fail_tolerates_permanent_errors_until_the_deadline(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    connection(**{**emulator.connection, "password": "wrong"})

    assert {ending(sensor(mode, silent_fail=True, timeout=0.2)) for mode in ("poke", "deferred")} == {
        "AirflowSensorTimeout"
    }


def test_a_poking_sensor_polls_no_sooner_than_the_server_asked_for(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Running")
    emulator.add_faults([{"action": "status", "status": 429, "retry_after": 30}])

    assert ending(sensor("poke", timeout=0.5)) == "AirflowSensorTimeout"
    assert len(emulator.requests) == 2  # the first poll and the last


class SlowSensor(FunctionComputeInvocationsSensor):
    """Its ``timeout`` passes between a poll and Airflow's look at the clock."""

    def poke(self, context: Any) -> Any:
        polled = super().poke(context)
        self.timeout = 0.0
        return polled


@pytest.mark.parametrize(("policies", "end"), [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)])
def test_a_timeout_that_airflow_notices_first_says_what_was_last_known(
    emulator: FunctionComputeEmulator, policies: dict[str, bool], end: type[Exception]
) -> None:
    add(emulator, "Running")

    with pytest.raises(end) as caught:
        sensor("poke", SlowSensor, **policies).execute(context())

    assert str(caught.value).startswith("Timed out waiting for invocations of resize (prefix 'job-'): last known: ")
    assert "Running 1" in str(caught.value)


@pytest.mark.parametrize("mode", ["poke", "deferred"])
@pytest.mark.parametrize(("policy", "fields"), [("soft_fail", {}), ("never_fail", {"password": "wrong"})])
def test_the_log_says_why_a_sensor_is_skipped(
    emulator: FunctionComputeEmulator,
    connection: Callable[..., str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    mode: str,
    policy: str,
    fields: dict[str, str],
) -> None:
    add(emulator, "Running")
    connection(**{**emulator.connection, **fields})

    assert ending(sensor(mode, timeout=0.1, **{policy: True})) == "skip"
    told = capfd.readouterr().out + caplog.text
    assert "Skipping: " in told
    assert ("Running 1" if policy == "soft_fail" else "HTTP 403") in told.partition("Skipping: ")[2]


# Costs, counted at the emulator


@pytest.mark.parametrize("mode", MODES)
def test_ten_thousand_unfinished_invocations_cost_one_request_a_poll(
    emulator: FunctionComputeEmulator, mode: str
) -> None:
    emulator.add_invocations(
        [{"function": "resize", "id_template": "job-{index:05}", "count": 10_000, "statuses": ["Succeeded"]}]
    )
    emulator.add_invocations([{"function": "resize", "id": "job-z", "statuses": ["Retrying"] * 12 + ["Succeeded"]}])

    asked: list[list[str]] = []
    if mode == "deferred":
        with pytest.raises(TaskDeferred) as deferred:
            sensor(mode, timeout=60, progress_interval=None).execute(context())
        asked.append(operations(emulator))
        fire(deferred.value.trigger)
        asked.append(operations(emulator)[:10])
    else:
        waiting = sensor(mode, progress_interval=None)
        for _ in range(3):
            assert not waiting.poke(context())
            asked.append(operations(emulator))
            waiting = waiting if mode == "poke" else sensor(mode, progress_interval=None)

    assert (
        asked
        == {
            "poke": [["List"], ["Get"], ["Get"]],
            "reschedule": [["List"], ["List"], ["List"]],
            "deferred": [["List"], ["List", *["Get"] * 9]],
        }[mode]
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_first_poll_counts_ten_pages_in_every_mode(
    emulator: FunctionComputeEmulator, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    emulator.add_invocations(
        [{"function": "resize", "id_template": "job-{index:05}", "count": 2_000, "statuses": ["Running"]}]
    )
    waiting = sensor(mode, poke_interval=60, timeout=600, expected_count=2_000)

    with pytest.raises(TaskDeferred) if mode == "deferred" else nullcontext() as deferred:
        waiting.execute(context()) if mode == "deferred" else waiting.poke(context())

    assert operations(emulator) == ["List"] * 11
    assert "Waiting: 1,000 counted so far: 0 ended, 1,000 unfinished: Running 1,000" in caplog.text
    if deferred:
        assert deferred.value.trigger.schedule["progress_interval"] == 300.0


def test_a_rescheduled_poll_counts_when_it_is_time_to(
    emulator: FunctionComputeEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    emulator.add_invocations(
        [{"function": "resize", "id_template": "job-{index:05}", "count": 2_000, "statuses": ["Running"]}]
    )
    counted = {}
    for seconds in (200, 302, 380):
        began_at = datetime.now(UTC) - timedelta(seconds=seconds)
        task_context = context(first_reschedule_date=began_at)
        waiting = sensor("reschedule", poke_interval=60, timeout=3600, expected_count=2_000)
        assert not waiting.poke(task_context)
        counted[seconds] = operations(emulator).count("List") - 1

    assert counted == {200: 0, 302: 20, 380: 0}
    assert "Waiting: 0 of 2,000 ended, 2,000 unfinished: Running 2,000" in caplog.text


def operations(emulator: FunctionComputeEmulator) -> list[str]:
    """The requests since the last call."""
    asked = [record.operation for record in emulator.requests]
    emulator.app.requests.clear()
    return asked


# A server that behaves otherwise than documented

ODDITIES = {
    "ignores the status filter": {"ignore_status_filter": True},
    "refuses status=Dequeued": {"reject_status": ["Dequeued"]},
    "lists with a lag": {"list_lag": 0.5},
    "changes the start time on a retry": {"reset_start_on_retry": True},
    "pages by position": {"offset_tokens": True},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("last", "end"), [("Succeeded", "success"), ("Failed", "InvocationsFailedError")])
@pytest.mark.parametrize("switches", ODDITIES.values(), ids=ODDITIES)
def test_an_odd_server_gives_the_right_end_in_every_mode(
    emulator: FunctionComputeEmulator, switches: dict[str, Any], last: str, end: str, mode: str
) -> None:
    emulator.set_switches(**switches)
    emulator.add_invocations(
        [{"function": "resize", "id_template": "job-{index:05}", "count": 250, "statuses": ["Succeeded"]}]
    )
    life = [[0, "Running"], [0.2, "Retrying"], [0.4, "Running"], [0.8, last]]
    emulator.add_invocations([{"function": "resize", "id": "job-00100x", "timeline": life}])
    rescheduled = ended = "AirflowRescheduleException"
    while ended == rescheduled:  # each poll of a rescheduled sensor is a process of its own
        ended = ending(sensor(mode, settle_seconds=0.6, timeout=30))

    assert ended == end


# Bad input


BAD_INPUT = {
    "function_name missing": ({"function_name": None}, "function_name: is missing"),
    "function_name illegal": ({"function_name": "a b"}, "function_name: 'a b' is not a legal name"),
    "prefix empty": ({"invocation_id_prefix": ""}, "invocation_id_prefix: '' would match every invocation"),
    "prefix rendered as None": ({"invocation_id_prefix": "None"}, "invocation_id_prefix: 'None' is what a template"),
    "neither": ({"invocation_id_prefix": None}, "invocation_id_prefix: is missing; give it or invocation_ids"),
    "no ids": ({"invocation_id_prefix": None, "invocation_ids": []}, "invocation_ids: is empty"),
    "naive time": ({"started_after": "2026-11-22T08:00:00"}, "started_after: .* has no time zone"),
    "seconds": ({"started_after": 1_795_000_000}, "started_after: 1795000000 looks like seconds"),
    "live success": ({"success_statuses": ["Running"]}, "success_statuses: 'Running' is not one of Succeeded"),
    "on_empty": ({"on_empty": "maybe"}, "on_empty: 'maybe' is unknown; use one of wait, fail, succeed"),
    "expected_count": ({"expected_count": "-1"}, "expected_count: '-1' is out of range; give 0 or more"),
    "max_failed rendered to nothing": ({"max_failed": ""}, "max_failed: '' is what a template renders"),
    "max_failed rendered as None": ({"max_failed": "None"}, "max_failed: 'None' is what a template renders"),
    "bound rendered to nothing": ({"started_after": ""}, "started_after: '' is what a template renders"),
    "count rendered as None": ({"expected_count": "None"}, "expected_count: 'None' is what a template renders"),
    "ids in one text": ({"invocation_id_prefix": None, "invocation_ids": "a,b"}, "invocation_ids: 'a,b' is one text"),
    "connection": ({"fc_conn_id": "nowhere"}, "Connection 'nowhere' .*fc_conn_id names no connection"),
    "connection missing": ({"fc_conn_id": ""}, "fc_conn_id: is missing"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("parameters", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_named_with_its_fix(
    emulator: FunctionComputeEmulator, parameters: dict[str, Any], message: str, mode: str
) -> None:
    bad = sensor(mode, **{"invocation_ids": None, "invocation_id_prefix": "job-", **parameters})

    with pytest.raises((ParameterError, SettingsError), match=f"(?s){message}"):
        bad.execute(context())
    assert not emulator.requests


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [0, "0"])
def test_nothing_submitted_is_nothing_to_wait_for(
    emulator: FunctionComputeEmulator,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    mode: str,
    count: Any,
) -> None:
    add(emulator, "Running")  # whoever's it is

    summary = run(sensor(mode, expected_count=count))

    assert summary == {"total": 0, "by_status": {}, "failed": [], "started_at": None, "ended_at": None}
    assert (
        "There is nothing to wait for: expected_count of the invocations of resize"
        in capfd.readouterr().out + caplog.text
    )
    assert not emulator.requests


@pytest.mark.parametrize("mode", MODES)
def test_nothing_submitted_can_be_a_failure(emulator: FunctionComputeEmulator, mode: str) -> None:
    with pytest.raises(NoInvocationsError, match="expected_count is 0: no invocations of resize"):
        run(sensor(mode, expected_count=0, on_empty="fail"))
    assert not emulator.requests


TOO_LONG: list[tuple[str, dict[str, Any]]] = [
    (name, {name: value})
    for name in ("timeout", "poke_interval", "settle_seconds", "max_wait")
    for value in (sys.maxsize, 10**9, timedelta.max)
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "given"), TOO_LONG)
def test_a_duration_without_end_is_named_before_anything_is_asked(
    emulator: FunctionComputeEmulator, mode: str, name: str, given: dict[str, Any]
) -> None:
    with pytest.raises(ParameterError, match=f"{name}: .* is too long"):
        sensor(mode, **given).execute(context())
    assert not emulator.requests


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parameters", [{"on_empty": "maybe"}, {"fc_conn_id": "nowhere"}], ids=str)
def test_silent_fail_does_not_tolerate_what_was_never_right(
    emulator: FunctionComputeEmulator, parameters: dict[str, Any], mode: str
) -> None:
    with pytest.raises((ParameterError, SettingsError)):
        sensor(mode, silent_fail=True, **parameters).execute(context())


def test_both_a_prefix_and_ids_are_refused(emulator: FunctionComputeEmulator) -> None:
    with pytest.raises(ParameterError, match="is given beside invocation_ids; give one of the two"):
        sensor(invocation_id_prefix="job-", invocation_ids=["job-1"]).execute(context())


def test_several_mistakes_of_a_connection_are_named_together(connection: Callable[..., str]) -> None:
    connection(extra={"api_version": "2020-01-01", "verify": True, "max_attempts": "none"})

    with pytest.raises(SettingsError) as caught:
        sensor().execute(context())

    for mistake in ("login (AccessKey ID)", "password (AccessKey secret)", "region_id", "api_version", "max_attempts"):
        assert mistake in str(caught.value)


def test_an_api_version_of_the_other_generation_names_both(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    fields = emulator.connection
    connection(**{**fields, "extra": {**fields["extra"], "api_version": "2016-08-15"}})

    with pytest.raises(ParameterError, match=r"service_name: None does not fit api_version '2016-08-15'"):
        sensor().execute(context())


# Parameters as templates render them


def test_numbers_and_booleans_may_arrive_as_text(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Succeeded", "Failed")

    summary = run(sensor(expected_count="2", max_failed="1", settle_seconds="0", fail_fast="False"))

    assert summary["total"] == 2


def test_a_run_id_makes_a_prefix(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations(
        [{"function": "resize", "id": "manual__2026-11-22T08_00_00_00_00-1", "statuses": ["Succeeded"]}]
    )

    assert run(sensor(invocation_id_prefix="manual__2026-11-22T08:00:00+00:00-"))["total"] == 1


def test_ids_may_be_the_dicts_that_operators_return(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "Succeeded", "Succeeded")

    summary = run(sensor(invocation_ids=[{"invocation_id": "job-0", "status": "Running"}, "job-1"]))

    assert summary["total"] == 2


def test_the_constructor_changes_nothing() -> None:
    given = {"function_name": " {{ x }} ", "max_failed": "{{ y }}", "started_after": object(), "fc_conn_id": "{{ c }}"}
    made = sensor(**given)

    assert {name: getattr(made, name) for name in given} == given


def test_fc_2_is_used_when_there_is_a_service(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations(
        [{"function": "resize", "service": "media", "qualifier": "prod", "id": "job-1", "statuses": ["Succeeded"]}]
    )

    assert run(sensor(service_name="media", qualifier="prod"))["total"] == 1
    assert {record.generation for record in emulator.requests} == {"2016-08-15"}


def test_a_refused_read_of_the_error_texts_changes_nothing(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    add(emulator, "Failed")
    event = {
        "kind": "failed",
        "reason": "1 found (Failed 1)",
        "summary": {"by_status": {"Failed": 1}, "failed": [["job-0", "Failed", "r-1"]], "started": None, "ended": None},
    }
    connection(**{**emulator.connection, "password": "wrong"})

    with pytest.raises(InvocationsFailedError, match="job-0 Failed"):
        sensor("deferred").execute_complete(context(), event)


def test_our_errors_are_not_airflow_exceptions() -> None:
    from airflow.providers.common.compat.sdk import AirflowException

    assert not issubclass(FunctionComputeError, AirflowException)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_connection_that_cannot_be_read_for_a_moment_does_not_end_the_wait(
    emulator: FunctionComputeEmulator, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    add(emulator, "Running")
    began = context(first_reschedule_date=datetime.now(UTC)) if mode == "reschedule" else context()
    waiting = sensor(mode)
    assert not waiting.poke(began)
    monkeypatch.delenv("AIRFLOW_CONN_FC_DEFAULT")
    if mode == "reschedule":
        waiting = sensor(mode)  # another process

    assert not waiting.poke(began)


def test_a_series_of_polls_reads_the_connection_once_and_airflow_warns_of_nothing(
    emulator: FunctionComputeEmulator, reads: Reads, caplog: pytest.LogCaptureFixture
) -> None:
    add(emulator, "Running")
    waiting, began = sensor(), context()

    assert [bool(waiting.poke(began)) for _ in range(5)] == [False] * 5

    assert reads.ids == ["fc_default"]
    assert "shall not contain" not in caplog.text


def test_a_poll_that_failed_reads_the_connection_again(emulator: FunctionComputeEmulator, reads: Reads) -> None:
    add(emulator, "Running")
    waiting, began = sensor(silent_fail=True), context()
    waiting.poke(began)
    emulator.add_faults([{"action": "status", "status": 404, "times": 1}])

    for _ in range(3):
        waiting.poke(began)

    assert reads.ids == ["fc_default"] * 2


def test_a_poking_sensor_goes_on_with_the_new_keys_of_its_connection(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], reads: Reads
) -> None:
    add(emulator, "Running")
    waiting, began = sensor(), context()
    waiting.poke(began)
    emulator.app.credentials = Credentials("new-key-id", "new-key-secret")
    connection(**{**emulator.connection, "login": "new-key-id", "password": "new-key-secret"})

    assert not waiting.poke(began)

    emulator.app.credentials = Credentials("newest-key-id", "newest-key-secret")
    with pytest.raises(AccessDeniedError):  # the connection has no newer ones
        waiting.poke(began)
    assert len(reads.ids) == 3


def test_a_deferral_says_what_it_needs_and_until_when_airflow_waits(
    emulator: FunctionComputeEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    add(emulator, "Running")
    caplog.set_level("INFO")

    with pytest.raises(TaskDeferred) as deferred:
        sensor("deferred", timeout=600).execute(context())

    [said] = [record.getMessage() for record in caplog.records if "triggerer" in record.getMessage()]
    assert "which must be running and must see connection 'fc_default' too" in said
    assert deferred.value.timeout is not None
    until = datetime.fromisoformat(said.rpartition(" ")[2])
    assert abs(until - datetime.now(UTC) - deferred.value.timeout) < timedelta(seconds=10)
