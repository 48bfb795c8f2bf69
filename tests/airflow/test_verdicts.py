"""What a retry cannot change is not retried; and what a failure says."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from running import MODES, context, fire, rebuilt, run

from airflow_provider_fc import exceptions
from airflow_provider_fc.base import FunctionComputeTask
from airflow_provider_fc.core.outcome import Kind, Outcome, Summary
from airflow_provider_fc.emulator.schema import Life
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.execution.verdicts import AFTERWARDS, ENDS_THE_SAME, NO_RETRY, VERDICTS, end_retries
from airflow_provider_fc.operators import FunctionComputeInvokeOperator, FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

pytestmark = pytest.mark.usefixtures("metadata_db")  # Airflow 2.11 looks up reschedules there


@pytest.fixture
def emulator(connection: Callable[..., str], hasten: Callable[..., None]) -> Iterator[FunctionComputeEmulator]:
    hasten(polling={"first": 0.0, "shortest": 0.0})
    with FunctionComputeEmulator() as emulator:
        connection(**{**emulator.connection, "extra": {**extra_of(emulator), "region_id": "cn-hangzhou"}})
        yield emulator


def extra_of(emulator: FunctionComputeEmulator) -> dict[str, Any]:
    extra = emulator.connection["extra"]
    return extra if isinstance(extra, dict) else {}


def sensor(mode: str, **parameters: Any) -> FunctionComputeInvocationsSensor:
    return FunctionComputeInvocationsSensor(
        task_id="wait",
        **{
            "function_name": "resize",
            "invocation_id_prefix": "job-",
            "poke_interval": 0.02,
            "timeout": 5,
            "settle_seconds": 0,
            "deferrable": mode == "deferred",
            "mode": "reschedule" if mode == "reschedule" else "poke",
            **parameters,
        },
    )


def add_failed(emulator: FunctionComputeEmulator, mode: str = "poke", how_many: int = 1, **script: Any) -> None:
    statuses = ["Running", "Running", "Failed"] if mode == "deferred" else ["Failed"]
    for number in range(how_many):
        emulator.add_invocations([{"function": "resize", "id": f"job-{number}", "statuses": statuses, **script}])


def error_of(waiting: FunctionComputeInvocationsSensor) -> Exception:
    with pytest.raises(exceptions.FunctionComputeError) as caught:
        run(waiting)
    return caught.value


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_failed_batch_is_not_retried_and_says_so_in_every_mode(
    emulator: FunctionComputeEmulator, mode: str, soft_fail: bool
) -> None:
    add_failed(emulator, mode)

    error = error_of(sensor(mode, soft_fail=soft_fail))

    assert isinstance(error, AirflowFailException)
    assert isinstance(error, exceptions.InvocationsFailedError)
    assert type(error).__name__ == "InvocationsFailedError"
    assert str(error).endswith(NO_RETRY)


@pytest.mark.parametrize("mode", MODES)
def test_retry_verdicts_has_them_retried(emulator: FunctionComputeEmulator, mode: str) -> None:
    add_failed(emulator, mode)

    error = error_of(sensor(mode, retry_verdicts="true"))

    assert type(error) is exceptions.InvocationsFailedError
    assert ENDS_THE_SAME not in str(error)


WRONG = {
    "a parameter": ({"on_empty": "{{ nothing }}x"}, exceptions.ParameterError, True),
    "retry_verdicts itself": ({"retry_verdicts": "perhaps"}, exceptions.ParameterError, True),
    "nothing there": ({"on_empty": "fail"}, exceptions.NoInvocationsError, False),
    "a connection that is missing": ({"fc_conn_id": "nowhere"}, exceptions.ConnectionNotFoundError, False),
}


@pytest.mark.parametrize(("parameters", "kind", "final"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_what_a_retry_may_change_is_retried(
    emulator: FunctionComputeEmulator, mode: str, parameters: dict[str, Any], kind: type[Exception], final: bool
) -> None:
    error = error_of(sensor(mode, **parameters))

    assert isinstance(error, kind)
    assert isinstance(error, AirflowFailException) == final


def test_refused_keys_are_not_retried(emulator: FunctionComputeEmulator, connection: Callable[..., str]) -> None:
    connection(**{**emulator.connection, "password": "wrong"})

    error = error_of(sensor("poke"))

    assert isinstance(error, exceptions.AccessDeniedError)
    assert isinstance(error, AirflowFailException)
    assert error.status == 403


@pytest.mark.parametrize("kind", VERDICTS)
def test_a_verdict_comes_out_of_a_pickle_as_ours(kind: type[exceptions.FunctionComputeError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "text")
    end_retries(error, False)
    end_retries(error, False)

    again = pickle.loads(pickle.dumps(error))

    assert isinstance(error, AirflowException)
    assert type(again) is kind
    advised = {
        exceptions.InvocationsFailedError: NO_RETRY,
        exceptions.InvocationsLostError: NO_RETRY,
        exceptions.ParameterError: f"{ENDS_THE_SAME}{AFTERWARDS}",
        exceptions.AccessDeniedError: f"{NO_RETRY}{AFTERWARDS}",
    }
    assert str(again) == str(error) == f"text. {advised[kind]}"


def test_the_last_line_of_an_error_of_one_line_says_what_is_wrong() -> None:
    one_line = exceptions.ParameterError("limit", "'x' is not a whole number; give one, 0 or more")
    several = exceptions.InvocationsFailedError("1 of 2 ended badly:\n  - job-1 Failed")
    for error in (one_line, several):
        end_retries(error, False)

    assert str(one_line) == f"limit: 'x' is not a whole number; give one, 0 or more. {ENDS_THE_SAME}{AFTERWARDS}"
    assert str(several) == f"1 of 2 ended badly:\n  - job-1 Failed\n{NO_RETRY}"


# Why it failed


REPETITIONS = {
    "a prefix": ({}, "; start a new run under a prefix of its own", "what has failed stays under this one"),
    "ids": (
        {"invocation_id_prefix": None, "invocation_ids": ["job-0"]},
        "; clear the tasks that have started them",
        "start under new ids, and wait for those",
    ),
}


@pytest.mark.parametrize(("which", "first", "then"), REPETITIONS.values(), ids=REPETITIONS)
@pytest.mark.parametrize("mode", MODES)
def test_a_failure_says_how_to_repeat_what_has_failed(
    emulator: FunctionComputeEmulator, mode: str, which: dict[str, Any], first: str, then: str
) -> None:
    add_failed(emulator, mode)

    *_, advised, last = str(error_of(sensor(mode, **which))).splitlines()

    assert "list them with FunctionComputeListInvocationsOperator (fields, statuses); mend the cause" in advised
    assert first in advised
    assert then in advised
    assert last == NO_RETRY


LOST = {
    "a prefix": ({}, "start a new run under a prefix of its own, such as one with {{ run_id }}. "),
    "ids": (
        {"invocation_id_prefix": None, "invocation_ids": ["job-0"]},
        "clear the tasks that have started them, with everything downstream. What no task of this DAG has started, ",
    ),
}


@pytest.mark.parametrize(("which", "first"), LOST.values(), ids=LOST)
def test_what_is_lost_is_started_again_instead_of_waited_for_again(
    emulator: FunctionComputeEmulator, which: dict[str, Any], first: str
) -> None:
    event = Outcome(Kind.LOST, "how it ended cannot be known", Summary({})).to_json()
    emulator.add_invocations([{"function": "resize", "id": "job-0", "statuses": ["Running"]}])
    waiting = sensor("deferred", **which)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute(context())

    with pytest.raises(exceptions.InvocationsLostError) as caught:
        waiting.resume_execution(deferred.value.method_name, {"event": event}, context())
    gone, advised, last = str(caught.value).splitlines()

    assert gone == "how it ended cannot be known"
    assert advised.startswith(f"What to do next: {first}")
    assert advised.endswith("Clearing this task alone does not help: a record that is gone does not come back")
    assert last == NO_RETRY


def test_where_a_count_is_missing_it_is_to_be_given(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations(
        [{"function": "resize", "id": "job-0", "statuses": ["Succeeded"], "submitted_seconds_ago": 6.6 * 86_400}]
    )

    error = error_of(sensor("poke"))

    assert isinstance(error, exceptions.InvocationsLostError)
    assert "give expected_count or invocation_ids, or started_after" in str(error)
    assert str(error).endswith(f", then clear this task. {NO_RETRY}")


def test_a_failed_invocation_of_the_operator_s_own_is_repeated_by_clearing_it(
    emulator: FunctionComputeEmulator,
) -> None:
    emulator.state.catalogue.lives["resize"] = Life(timeline=[[0, "Failed"]])

    told = advice(FunctionComputeInvokeOperator(task_id="invoke", function_name="resize"))

    assert told.endswith("; mend the cause; clear this task, which starts another invocation")
    assert "ListInvocations" not in told


def add_what_fails(emulator: FunctionComputeEmulator, who: str, number: int) -> FunctionComputeTask:
    """Script an invocation that fails, and make the task that says so: the invoke operator, or the sensor in a mode."""
    started = f"job-{number}"
    if who == "invoke":
        emulator.add_invocations([{"function": "resize", "id": started, "statuses": ["Failed"]}])
        return FunctionComputeInvokeOperator(task_id="invoke", function_name="resize", invocation_id=started)
    statuses = ["Running", "Running", "Failed"] if who == "deferred" else ["Failed"]
    emulator.add_invocations([{"function": "resize", "id": started, "statuses": statuses}])
    return sensor(who, invocation_id_prefix=started, retry_verdicts=True)


def advice(task: FunctionComputeTask) -> str:
    with pytest.raises(exceptions.InvocationsFailedError) as caught:
        run(task, context(try_number=2, max_tries=2))
    return str(caught.value).splitlines()[-1]


@pytest.mark.parametrize("who", [*MODES, "invoke"])
def test_only_what_is_at_alibaba_cloud_is_to_be_looked_at_in_its_console(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], who: str
) -> None:
    assert "look in the emulator's output, if this runs on it" in advice(add_what_fails(emulator, who, 1))

    # What asks an endpoint there through a proxy gets the answers of that.
    extra = {**extra_of(emulator), "proxy": emulator.endpoint}
    connection(**{**emulator.connection, "host": "http://fcv3.cn-hangzhou.aliyuncs.com", "extra": extra})
    assert "look in the console (https://" in advice(add_what_fails(emulator, who, 2))


@pytest.mark.parametrize("mode", MODES)
def test_the_log_of_a_function_is_quoted_for_three_failures_when_asked_for(
    emulator: FunctionComputeEmulator, mode: str
) -> None:
    add_failed(emulator, mode, how_many=5, error_message="\n".join(f"line {number}" for number in range(40)))

    text = str(error_of(sensor(mode, log_tail_lines="5")))

    assert text.count("the end of its log:") == 3
    assert (
        "      | line 36\n      | line 37\n      | line 38\n      | line 39\n      | FC Invoke End RequestId: " in text
    )
    assert "| line 35" not in text


@pytest.mark.parametrize("mode", MODES)
def test_the_log_of_a_function_is_never_shown_unasked(emulator: FunctionComputeEmulator, mode: str) -> None:
    add_failed(emulator, mode)

    assert "FC Invoke" not in str(error_of(sensor(mode)))
    assert "FC Invoke" not in str(run(sensor("poke", max_failed=None)))


def test_the_log_of_a_function_is_in_no_event(emulator: FunctionComputeEmulator) -> None:
    add_failed(emulator, "deferred")
    with pytest.raises(TaskDeferred) as deferred:
        sensor("deferred", log_tail_lines=20).execute(context())

    assert "log_tail" not in str(rebuilt(deferred.value.trigger).serialize())
    [event] = fire(deferred.value.trigger)
    assert event["kind"] == "failed"
    assert "FC Invoke" not in str(event)


@pytest.mark.parametrize("lines", [0, 20])
def test_the_invoke_operator_quotes_the_log_when_asked_to(emulator: FunctionComputeEmulator, lines: int) -> None:
    emulator.add_invocations([{"function": "resize", "id": "mine", "statuses": ["Failed"]}])
    task = FunctionComputeInvokeOperator(
        task_id="invoke", function_name="resize", invocation_id="mine", log_tail_lines=lines, retries=2
    )

    with pytest.raises(exceptions.InvocationsFailedError) as caught:
        task.execute(context(try_number=2, max_tries=2))

    assert not isinstance(caught.value, AirflowFailException)  # a retry is a new attempt
    assert ("FC Invoke Start RequestId: " in str(caught.value)) == bool(lines)
    assert str(caught.value).endswith("leave invocation_id out to let each attempt have its own")


def test_the_list_operator_has_the_log_as_a_field_for_whoever_names_it(emulator: FunctionComputeEmulator) -> None:
    add_failed(emulator)

    def rows(**parameters: Any) -> Any:
        task = FunctionComputeListInvocationsOperator(task_id="list", function_name="resize", **parameters)
        return task.execute(context())

    [row] = rows(fields=["invocation_id", "log_tail"])
    assert row["log_tail"].startswith("FC Invoke Start RequestId: ")
    assert "FC Invoke" not in str(rows())
