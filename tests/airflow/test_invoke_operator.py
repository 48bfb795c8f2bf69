"""The invoke operator: exactly once, over retries, crashes and lost answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from hypothesis import given
from hypothesis import strategies as st
from running import TaskInstance, fire

from airflow_provider_fc.core import defaults
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ApiError,
    InvocationsFailedError,
    InvocationsLostError,
    ParameterError,
    TransportError,
    TriggerError,
    UnavailableError,
    WaitTimeoutError,
)
from airflow_provider_fc.core.invoking import TaskKey
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.execution.invoke import InvokeExecution
from airflow_provider_fc.hooks import FunctionComputeHook
from airflow_provider_fc.operators import FunctionComputeInvokeOperator


@pytest.fixture
def emulator(connection: Callable[..., str], hasten: Callable[..., None]) -> Iterator[FunctionComputeEmulator]:
    hasten(polling={"first": 0.0, "shortest": 0.0})
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def lives(emulator: FunctionComputeEmulator, *statuses: str, **more: str) -> None:
    """What becomes of every invocation that is started from now on."""
    from airflow_provider_fc.emulator.schema import Life

    emulator.state.catalogue.lives["resize"] = Life(statuses=list(statuses), **more)


def operator(**parameters: Any) -> FunctionComputeInvokeOperator:
    return FunctionComputeInvokeOperator(
        task_id="invoke", **{"function_name": "resize", "poll_interval": 0.02, "retries": 2, **parameters}
    )


def run(made: FunctionComputeInvokeOperator, **ti: Any) -> dict[str, Any]:
    """Execute; a deferral is carried out at once. The result as it comes out of XCom."""
    # By default a later try: it may find what an earlier one has started.
    context = {"ti": TaskInstance(**{"max_tries": 2, "try_number": 2, **ti})}
    try:
        result = made.execute(context)
    except TaskDeferred as deferred:
        [event] = fire(deferred.trigger)
        result = made.execute_complete(context, event)
    return json.loads(json.dumps(result))


def invoked(emulator: FunctionComputeEmulator) -> list[str]:
    """The ids of everything that was started, in order."""
    with FunctionComputeHook() as hook:
        return [item.invocation_id for item in hook.list_invocations("resize", order="asc")]


MODES = {"blocking": {}, "deferred": {"deferrable": True}}


@pytest.mark.parametrize("mode", MODES)
def test_the_result_is_the_invocation(emulator: FunctionComputeEmulator, mode: str) -> None:
    lives(emulator, "Running", "Running", "Succeeded")

    result = run(operator(**MODES[mode]))

    assert tuple(result) == defaults.FIELDS
    assert result["status"] == "Succeeded"
    assert result["request_id"]
    assert [result["invocation_id"]] == invoked(emulator)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", ["Failed", "Stopped", "Expired", "Invalid"])
def test_a_bad_end_fails_the_task_with_message_and_request_id(
    emulator: FunctionComputeEmulator, status: str, mode: str
) -> None:
    lives(emulator, "Running", status, error_message="ValueError: no image")

    with pytest.raises(InvocationsFailedError, match=rf"{status}: ValueError: no image \[request id \S+\]"):
        run(operator(**MODES[mode]))


@pytest.fixture
def unreadable(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], hasten: Callable[..., None]
) -> dict[str, Any]:
    """What a trigger sends of an invocation whose record can then not be read."""
    hasten(records={"ended": 0.0})
    lives(emulator, "Succeeded")
    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True).execute({"ti": TaskInstance(max_tries=2)})
    [event] = fire(deferred.value.trigger)
    connection(**{**emulator.connection, "extra": {**emulator.connection["extra"], "max_attempts": 1}})
    emulator.add_faults([{"action": "status", "status": 503, "operation": "Get"}])
    return event


def test_a_success_stays_one_when_its_record_cannot_be_read(
    emulator: FunctionComputeEmulator, unreadable: dict[str, Any]
) -> None:
    result = operator().execute_complete({"ti": TaskInstance()}, unreadable)

    assert (result["invocation_id"], result["status"]) == (unreadable["invocation_id"], "Succeeded")
    assert emulator.faults[0].fired == 1


def test_a_return_payload_that_cannot_be_read_is_an_error_that_a_retry_heals(
    emulator: FunctionComputeEmulator, unreadable: dict[str, Any]
) -> None:
    asking = {"include_return_payload": True}

    with pytest.raises(UnavailableError):
        operator(**asking).execute_complete({"ti": TaskInstance()}, unreadable)

    emulator.clear_faults()
    assert run(operator(**asking))["return_payload"] is not None
    assert len(invoked(emulator)) == 1


def test_a_blocking_wait_goes_on_with_the_new_keys_of_its_connection(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lives(emulator, *["Running"] * 5, "Succeeded")
    exchange = emulator.app.exchange

    def rotating(request: Any) -> Any:
        if len(emulator.requests) == 3:
            emulator.app.credentials = Credentials("new-key-id", "new-key-secret")
            connection(**{**emulator.connection, "login": "new-key-id", "password": "new-key-secret"})
        return exchange(request)

    monkeypatch.setattr(emulator.app, "exchange", rotating)

    assert run(operator())["status"] == "Succeeded"
    assert [record.status for record in emulator.requests].count(403) == 1


def test_a_blocking_wait_ends_when_its_keys_are_refused_and_the_connection_has_no_others(
    emulator: FunctionComputeEmulator,
) -> None:
    lives(emulator, "Running")
    emulator.add_faults([{"action": "status", "status": 403, "operation": "Get"}])
    emulator.add_faults([{"action": "status", "status": 403, "operation": "List"}])

    with pytest.raises(AccessDeniedError):
        run(operator())


def test_the_return_payload_comes_only_when_it_is_asked_for(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Succeeded", return_payload="42")

    assert "return_payload" not in run(operator())
    assert run(operator(include_return_payload=True, invocation_id="other"))["return_payload"] == "42"


@pytest.mark.parametrize("asking", [True, "True"])
def test_without_waiting_there_is_no_return_payload_to_ask_for(emulator: FunctionComputeEmulator, asking: Any) -> None:
    with pytest.raises(ParameterError, match="include_return_payload: needs wait_for_completion=True"):
        run(operator(include_return_payload=asking, wait_for_completion=False))

    assert not emulator.requests


def test_without_waiting_the_submission_is_the_result(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Running")

    result = run(operator(wait_for_completion=False))

    assert result["status"] == "Enqueued"
    assert result["request_id"]
    assert len(emulator.requests) == 1


PAYLOADS = {
    "none": (None, b""),
    "text": ("grüße", "grüße".encode()),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "dict": ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode()),
    "list": ([1, 2], b"[1,2]"),
}


@pytest.mark.parametrize(("payload", "sent"), PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_arrives_as_bytes_text_or_json(
    emulator: FunctionComputeEmulator, payload: object, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = []
    exchange = emulator.app.exchange
    monkeypatch.setattr(emulator.app, "exchange", lambda request: (bodies.append(request.body), exchange(request))[1])

    run(operator(payload=payload, wait_for_completion=False))

    assert bodies == [sent]


def test_a_payload_that_json_cannot_hold_is_refused_without_showing_it(emulator: FunctionComputeEmulator) -> None:
    with pytest.raises(ParameterError, match=r'payload: payload\["ids"\]\[1\] is of type set') as caught:
        run(operator(payload={"ids": ["canary", {"canary"}]}))
    assert "canary" not in str(caught.value)
    assert not emulator.requests


@pytest.mark.parametrize("text", ["{'key': 'cat.jpg', 'n': None}", "['a', True]"])
def test_a_payload_that_a_template_turned_into_python_text_is_refused(
    emulator: FunctionComputeEmulator, text: str
) -> None:
    with pytest.raises(
        ParameterError, match=r"payload: is a (dict|list) turned into text by str.. or a template.*tojson"
    ):
        run(operator(payload=text))
    assert not emulator.requests


@pytest.mark.parametrize("text", ['{"key": 1}', "{curly} text", "[note] to self", "{}", "{'half"])
def test_other_text_is_sent_as_it_is(emulator: FunctionComputeEmulator, text: str) -> None:
    assert run(operator(payload=text, wait_for_completion=False))["invocation_id"]


def test_a_payload_that_is_too_large_is_explained(emulator: FunctionComputeEmulator) -> None:
    with pytest.raises(ApiError, match=r"EntityTooLarge.*128 KB, or 256 KB on request; pass a reference"):
        run(operator(payload="x" * 200_000))


# A function without records


def executed(emulator: FunctionComputeEmulator) -> int:
    return [record.operation for record in emulator.requests].count("Invoke")


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("service", [{}, {"service_name": "media"}], ids=["FC 3.0", "FC 2.0"])
def test_an_invocation_that_ran_synchronously_fails_the_task_for_good(
    emulator: FunctionComputeEmulator, service: dict[str, Any], mode: str, waits: bool
) -> None:
    """A retry would send it again, and without a record its id protects from nothing."""
    emulator.set_switches(runs_synchronously=["resize"])

    with pytest.raises(AirflowFailException, match=r"has run synchronously.*No retry follows") as caught:
        run(operator(**service, wait_for_completion=waits, **MODES[mode]), try_number=1)

    assert executed(emulator) == 1
    assert caught.value.__suppress_context__  # one traceback
    assert emulator.requests[-1].operation == "Invoke"  # nothing was waited for


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("service", [{}, {"service_name": "media"}], ids=["FC 3.0", "FC 2.0"])
def test_an_invocation_that_leaves_no_record_fails_the_task_for_good(
    emulator: FunctionComputeEmulator, service: dict[str, Any], mode: str, hasten: Callable[..., None]
) -> None:
    hasten(records={"lag": 0.0})
    emulator.set_switches(task_mode_off=["resize"])

    with pytest.raises(AirflowFailException, match=r"not in asynchronous task mode.*No retry follows") as caught:
        run(operator(**service, **MODES[mode]), try_number=1)

    assert executed(emulator) == 1
    assert caught.value.__suppress_context__


# The id


def key(**fields: Any) -> TaskKey:
    return TaskKey(**{"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": -1, "generation": 1, **fields})


names = st.text(min_size=1, max_size=250)


@given(names, names, names, st.integers(-1, 1000), st.integers(1, 50), st.integers(1, 9))
def test_a_derived_id_is_legal_whatever_the_names_are(
    dag_id: str, run_id: str, task_id: str, map_index: int, generation: int, attempt: int
) -> None:
    import re

    made = TaskKey(dag_id, run_id, task_id, map_index, generation).invocation_id(None, attempt)

    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,127}", made)


@pytest.mark.parametrize(
    "other", [{"dag_id": "dag2"}, {"run_id": "run2"}, {"task_id": "task2"}, {"map_index": 0}, {"generation": 2}]
)
def test_another_task_has_another_id(other: dict[str, Any]) -> None:
    assert key(**other).invocation_id("p-", 1) != key().invocation_id("p-", 1)


def test_names_that_look_alike_in_fc_s_alphabet_have_different_ids() -> None:
    assert key(run_id="a:b").invocation_id(None, 1) != key(run_id="a_b").invocation_id(None, 1)


def test_a_derived_id_can_be_read() -> None:
    assert key().invocation_id(None, 2).startswith("dag-task-")
    assert key().invocation_id("thumb-", 2).startswith("thumb-")
    assert key().invocation_id("thumb-", 2).endswith("-g1-a2")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"invocation_id": "1-job"}, "invocation_id: '1-job' must begin with a letter or _"),
        ({"invocation_id_prefix": "2026-"}, "invocation_id_prefix: '2026-' must begin with a letter or _"),
        ({"invocation_id_prefix": "x" * 110}, "invocation_id_prefix: 110 characters are too many"),
        ({"invocation_id_prefix": ""}, "invocation_id_prefix: '' would match every"),
        ({"invocation_id_prefix": "a-", "invocation_id": "b"}, "invocation_id: is given beside invocation_id_prefix"),
        ({"delay": 3601}, "delay: 3601 is out of range; give 0 to 3600"),
    ],
)
def test_an_id_that_cannot_be_submitted_is_explained(
    emulator: FunctionComputeEmulator, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        run(operator(**parameters))
    assert not emulator.requests


# Never twice


def test_a_retry_watches_what_the_first_try_has_started(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Running", "Running", "Running", "Running", "Succeeded")
    with pytest.raises(WaitTimeoutError, match=r"it goes on\. A retry watches it again; raise timeout"):
        run(operator(timeout=0))

    result = run(operator())

    assert result["status"] == "Succeeded"
    assert len(invoked(emulator)) == 1


WATCHED_ON = {
    "a retry is left": ({}, 2, {}, "it goes on. A retry watches it again; raise timeout if it needs longer. "),
    "none was asked for": ({"retries": 0}, 1, {"max_tries": 0}, "No retry is left, .*: set retries; raise timeout"),
    "the last has been": ({}, 3, {}, "No retry is left, .*: set retries; raise timeout"),
    "after a clear": ({"retries": 0}, 2, {"max_tries": 1}, "No retry is left"),
}


@pytest.mark.parametrize(("parameters", "number", "ti", "text"), WATCHED_ON.values(), ids=WATCHED_ON)
@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_says_whether_what_goes_on_is_watched_again(
    emulator: FunctionComputeEmulator, mode: str, parameters: dict[str, Any], number: int, ti: dict[str, int], text: str
) -> None:
    lives(emulator, "Running")

    with pytest.raises(WaitTimeoutError, match=text) as caught:
        run(operator(**{"timeout": 0, **parameters, **MODES[mode]}), try_number=number, **ti)
    assert str(caught.value).endswith("Clearing this task starts another one beside it")


def test_clearing_a_task_whose_timeout_has_passed_does_what_its_error_says(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Running")
    for parameters, says in (
        ({}, "starts another one beside it"),
        ({"invocation_id": "mine"}, "its invocation_id is in use"),
    ):
        with pytest.raises(WaitTimeoutError, match=says):
            run(operator(retries=0, timeout=0, **parameters), max_tries=0, try_number=1)

    with pytest.raises(WaitTimeoutError):
        run(operator(retries=0, timeout=0), max_tries=1, try_number=2)
    with pytest.raises(
        AirflowFailException,
        match=r"mine is in use, .* or this task, before it was cleared, .* leave invocation_id out",
    ):
        run(operator(retries=0, timeout=0, invocation_id="mine"), max_tries=1, try_number=2)

    assert len(invoked(emulator)) == 3


def test_a_retry_takes_over_the_result_of_what_has_succeeded_meanwhile(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Succeeded")
    first = run(operator())

    assert run(operator()) == first
    assert len(invoked(emulator)) == 1


def test_a_retry_after_a_bad_end_starts_anew(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Failed")
    for _ in range(3):
        with pytest.raises(InvocationsFailedError):
            run(operator())

    first, second, third = invoked(emulator)

    assert (first[-6:], second[-6:], third[-6:]) == ("-g1-a1", "-g1-a2", "-g1-a3")


def test_there_are_no_more_attempts_than_tries(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Failed")
    for _ in range(5):
        with pytest.raises(InvocationsFailedError):
            run(operator())

    assert len(invoked(emulator)) == 3


def test_a_clear_starts_anew(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Succeeded")
    run(operator())
    context = {"ti": TaskInstance(max_tries=3)}

    operator().execute(context)

    assert [made[-6:] for made in invoked(emulator)] == ["-g1-a1", "-g2-a1"]


def test_a_running_task_that_is_cleared_may_start_anew_without_any_retries(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Stopped")  # by the kill that comes with the clear
    with pytest.raises(InvocationsFailedError):
        run(operator(retries=0), max_tries=0, try_number=1)
    lives(emulator, "Succeeded")

    assert run(operator(retries=0), max_tries=0, try_number=2)["invocation_id"].endswith("-g1-a2")


def test_an_id_of_the_author_s_own_cannot_be_retried_and_the_error_says_so(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Failed")

    for _ in range(2):
        with pytest.raises(InvocationsFailedError, match="a retry cannot start it again"):
            run(operator(invocation_id="mine"))
    assert invoked(emulator) == ["mine"]


def test_without_waiting_any_earlier_submission_will_do(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Failed")
    run(operator(wait_for_completion=False))

    assert run(operator(wait_for_completion=False))["status"] == "Failed"
    assert len(invoked(emulator)) == 1


def test_a_refused_submission_of_another_kind_is_an_error(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    connection(**{**emulator.connection, "password": "wrong"})

    with pytest.raises(ApiError) as caught:
        run(operator())
    assert not isinstance(caught.value, AlreadyExistsError)


STRANGERS = {
    "another run's fixed id": {"invocation_id": "nightly"},
    "another Airflow with the same names": {},
    "without waiting": {"wait_for_completion": False},
}


@pytest.mark.parametrize("parameters", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("status", ["Running", "Succeeded"])
def test_a_first_try_never_takes_a_stranger_s_invocation_for_its_own(
    emulator: FunctionComputeEmulator, status: str, parameters: dict[str, Any]
) -> None:
    lives(emulator, status)
    run(operator(**{**parameters, "wait_for_completion": False}), try_number=1)
    second = operator(timeout=0, **parameters)

    # A fail that Airflow does not retry: the retry would take the stranger's invocation for the first try's.
    with pytest.raises(AirflowFailException, match=r"is in use, but this task has submitted nothing yet.*HTTP 409"):
        run(second, try_number=1)
    second.on_kill()

    assert "Stop" not in {record.operation for record in emulator.requests}


def test_a_kill_before_an_id_of_the_author_s_own_is_accepted_stops_nobody(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations([{"function": "resize", "id": "nightly", "statuses": ["Running"]}])
    emulator.add_faults([{"action": "status", "status": 429, "operation": "Invoke"}])
    made = operator(invocation_id="nightly")

    with pytest.raises(UnavailableError):
        run(made, try_number=1)
    made.on_kill()

    assert emulator.state.status("resize", "nightly") == "Running"


def pushed_id(made: FunctionComputeInvokeOperator, *, fails: type[Exception]) -> Any:
    """What a task downstream reads of a first try that fails; ``...`` if it finds nothing."""
    ti = TaskInstance(max_tries=2, try_number=1)
    with pytest.raises(fails):
        made.execute({"ti": ti})
    return ti.xcoms.get("invocation_id", ...)


@pytest.mark.parametrize("own", [None, "nightly"], ids=["derived", "own"])
def test_what_was_submitted_is_known_downstream_after_a_failure(
    emulator: FunctionComputeEmulator, own: str | None
) -> None:
    lives(emulator, "Running")

    found = pushed_id(operator(invocation_id=own, timeout=0), fails=WaitTimeoutError)

    assert [found] == invoked(emulator)


def test_what_was_submitted_is_known_downstream_although_no_answer_came(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    connection(**{**emulator.connection, "extra": {**emulator.connection["extra"], "max_attempts": 1}})
    emulator.add_faults([{"action": "lose_answer", "operation": "Invoke"}])

    found = pushed_id(operator(), fails=TransportError)

    assert [found] == invoked(emulator)


@pytest.mark.parametrize("own", [None, "nightly"], ids=["derived", "own"])
def test_a_stranger_s_invocation_is_not_known_downstream(emulator: FunctionComputeEmulator, own: str | None) -> None:
    lives(emulator, "Running")
    if own is None:
        pushed_id(operator(timeout=0), fails=WaitTimeoutError)  # as another Airflow with the same names does
    else:
        emulator.add_invocations([{"function": "resize", "id": own, "statuses": ["Running"]}])

    assert pushed_id(operator(invocation_id=own), fails=AirflowFailException) in (None, ...)


class Store(dict[str, str]):
    """Airflow 3.3's task state store, as far as it is used."""

    def set(self, key: str, value: str) -> None:
        self[key] = value


def test_retries_that_are_changed_between_two_tries_start_nothing_twice(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Running")
    store = Store()

    def attempt(retries: int, try_number: int) -> None:
        ti = TaskInstance(max_tries=5, try_number=try_number)
        with pytest.raises(WaitTimeoutError):
            operator(retries=retries, timeout=0).execute({"ti": ti, "task_state_store": store})

    attempt(5, 1)
    attempt(2, 2)
    attempt(2, 4)
    attempt(9, 5)

    assert len(invoked(emulator)) == 1


def test_a_clear_starts_anew_whatever_was_noted_before(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Succeeded")
    store = Store()

    for max_tries, try_number in ((2, 1), (3, 2)):
        ti = TaskInstance(max_tries=max_tries, try_number=try_number)
        operator().execute({"ti": ti, "task_state_store": store})

    assert [made[-6:] for made in invoked(emulator)] == ["-g1-a1", "-g2-a1"]


def test_a_conflict_about_something_else_is_no_submission(emulator: FunctionComputeEmulator) -> None:
    emulator.add_faults([{"action": "status", "status": 409, "code": "FunctionStateConflict", "operation": "Invoke"}])

    with pytest.raises(AlreadyExistsError, match="FunctionStateConflict"):
        run(operator(wait_for_completion=False))


def test_a_retry_waits_until_what_the_kill_stops_has_stopped(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Running", "Stopping", "Stopping", "Stopped")
    with pytest.raises(WaitTimeoutError):
        run(operator(retries=0, timeout=0), max_tries=0, try_number=1)
    lives(emulator, "Succeeded")

    assert run(operator(retries=0), max_tries=0, try_number=2)["invocation_id"].endswith("-g1-a2")


WRONG_DURATIONS = {
    "timeout as text": ({"timeout": "2h"}, "timeout: '2h' is not a number of seconds"),
    "no timeout": ({"timeout": None}, "timeout: None is not a number of seconds"),
    "endless": ({"timeout": float("inf")}, "timeout: inf is too long"),
    "no interval": ({"poll_interval": None}, "poll_interval: None is not a number of seconds"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG_DURATIONS.values(), ids=WRONG_DURATIONS)
@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_duration_is_named_before_anything_is_submitted(
    emulator: FunctionComputeEmulator, wrong: dict[str, Any], message: str, mode: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        run(operator(**wrong, **MODES[mode]))
    assert not emulator.requests


@pytest.mark.parametrize("mode", MODES)
def test_durations_may_be_timedeltas_or_text(emulator: FunctionComputeEmulator, mode: str) -> None:
    lives(emulator, "Running", "Succeeded")

    durations = {"timeout": timedelta(minutes=1), "poll_interval": "0.01"}

    assert run(operator(**durations, **MODES[mode]))["status"] == "Succeeded"


@pytest.mark.parametrize("mode", MODES)
def test_a_function_that_keeps_no_records_is_not_waited_for_until_the_timeout(
    emulator: FunctionComputeEmulator, mode: str, hasten: Callable[..., None]
) -> None:
    hasten(records={"accepted": 0.2})
    emulator.add_faults([{"action": "status", "status": 404, "code": "AsyncTaskNotFound", "operation": "Get"}])

    with pytest.raises(InvocationsLostError, match=r"was accepted, but there is no record of it.*task mode") as caught:
        run(operator(**MODES[mode]), try_number=1)
    assert str(caught.value).endswith(
        "\nWhat to do next: see in the function's own log whether it has run; clear this task, which starts another "
        "invocation"
    )


def test_a_timeout_names_the_time_that_was_given(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Running")

    with pytest.raises(WaitTimeoutError, match=r"has not ended within 0\.\d+ s"):
        run(operator(deferrable=True, execution_timeout=timedelta(seconds=0.3)))


def test_a_timeout_whose_last_poll_failed_does_not_say_that_the_invocation_goes_on(
    emulator: FunctionComputeEmulator,
) -> None:
    lives(emulator, "Running")
    emulator.add_faults([{"action": "status", "status": 503, "operation": "Get"}])

    with pytest.raises(WaitTimeoutError, match=r"was not seen to end within 0 s \(the last poll failed .*\)\. A retry"):
        run(operator(timeout=0), try_number=1)


TOLD_NOTHING = {
    "Trigger timeout": (
        WaitTimeoutError,
        r"did not answer in time: an invocation of resize\. See that .*triggerer runs",
    ),
    "no such class": (TriggerError, r"failed \(no such class\): an invocation of resize\. See in the triggerer's log"),
}


@pytest.mark.parametrize("error", TOLD_NOTHING)
def test_a_trigger_that_has_told_nothing_ends_with_what_to_do(error: str) -> None:
    kind, text = TOLD_NOTHING[error]
    deferred = operator(deferrable=True)

    with pytest.raises(kind, match=text) as caught:
        deferred.resume_execution("__fail__", {"error": error}, {"ti": TaskInstance(max_tries=2, try_number=1)})

    assert "A retry watches it again" in str(caught.value)
    assert str(caught.value).endswith("Clearing this task starts another one beside it")


def test_a_first_try_whose_answer_was_lost_goes_on(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Succeeded")
    emulator.add_faults([{"action": "lose_answer", "operation": "Invoke", "times": 1}])

    assert run(operator(), try_number=1)["status"] == "Succeeded"
    assert len(invoked(emulator)) == 1


# Killing


def test_killing_a_blocking_task_stops_exactly_its_invocation(emulator: FunctionComputeEmulator) -> None:
    lives(emulator, "Running")
    emulator.add_invocations([{"function": "resize", "id": "other", "statuses": ["Running"]}])
    made = operator(timeout=0)
    with pytest.raises(WaitTimeoutError):
        run(made)
    [mine] = set(invoked(emulator)) - {"other"}
    assert emulator.state.status("resize", mine) == "Running"  # a timeout stops nothing

    made.on_kill()

    assert emulator.state.status("resize", mine) in ("Stopping", "Stopped")
    assert emulator.state.status("resize", "other") == "Running"


@pytest.mark.parametrize("parameters", [{"cancel_on_kill": False}, {}])
def test_killing_stops_nothing_when_nothing_was_started_or_it_is_not_wanted(
    emulator: FunctionComputeEmulator, parameters: dict[str, bool]
) -> None:
    lives(emulator, "Running")
    made = operator(**parameters)
    if parameters:
        run(operator(wait_for_completion=False, **parameters))

    made.on_kill()

    assert "Stop" not in {record.operation for record in emulator.requests}


@pytest.mark.parametrize("status", ["Succeeded", None])
def test_killing_after_the_end_is_no_error(
    emulator: FunctionComputeEmulator, status: str | None, hasten: Callable[..., None]
) -> None:
    hasten(records={"lag": 0.0})
    if status:
        emulator.add_invocations([{"function": "resize", "id": "mine", "statuses": [status]}])
    made = operator(invocation_id="mine")
    made._execution = InvokeExecution(made)
    made._execution._submitted = "mine"

    made.on_kill()

    assert [record.status for record in emulator.requests] == [412 if status else 404]


def test_killing_right_after_the_submission_stops_what_cannot_be_seen_yet(
    emulator: FunctionComputeEmulator, hasten: Callable[..., None]
) -> None:
    hasten(records={"pause": 0.1})
    emulator.add_invocations([{"function": "resize", "id": "mine", "statuses": ["Running"], "appears_after": 0.5}])
    made = operator(invocation_id="mine")
    made._execution = InvokeExecution(made)
    made._execution._submitted = "mine"

    made.on_kill()

    assert emulator.state.status("resize", "mine") in ("Stopping", "Stopped")


def test_the_trigger_stops_the_invocation_when_airflow_says_that_a_user_killed_the_task(
    emulator: FunctionComputeEmulator,
) -> None:
    import asyncio

    lives(emulator, "Running")
    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True).execute({"ti": TaskInstance(max_tries=2)})
    [mine] = invoked(emulator)

    asyncio.run(deferred.value.trigger.cleanup())
    assert emulator.state.status("resize", mine) == "Running"
    asyncio.run(deferred.value.trigger.on_kill())

    assert emulator.state.status("resize", mine) in ("Stopping", "Stopped")


def test_the_deadline_of_a_deferred_wait_is_counted_from_the_start_of_the_try(
    emulator: FunctionComputeEmulator,
) -> None:
    lives(emulator, "Running")
    start = datetime.now(UTC) - timedelta(seconds=50)

    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True, timeout=100).execute({"ti": TaskInstance(start_date=start, max_tries=2)})

    assert deferred.value.trigger.schedule["deadline"] == pytest.approx(start.timestamp() + 100)
    assert timedelta(seconds=130) < deferred.value.timeout <= timedelta(seconds=140)


@pytest.mark.parametrize("event", [None, {"kind": "success"}, {"kind": "done"}])
def test_an_event_that_nobody_understands_is_never_a_success(event: Any) -> None:
    with pytest.raises(TriggerError):
        operator(deferrable=True).execute_complete({"ti": TaskInstance()}, event)
