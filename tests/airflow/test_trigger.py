"""The trigger: what it carries, what it sends, what it never does."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, TaskDeferred
from hypothesis import given
from hypothesis import strategies as st
from running import Reads, context, fire, rebuilt

from airflow_provider_fc.core import outcome
from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.core.wait import Schedule
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor
from airflow_provider_fc.triggers import FunctionComputeInvocationsTrigger


@pytest.fixture
def emulator(connection: Callable[..., str], hasten: Callable[..., None]) -> Iterator[FunctionComputeEmulator]:
    hasten(polling={"first": 0.0, "shortest": 0.0})
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def trigger(**arguments: Any) -> FunctionComputeInvocationsTrigger:
    """One that waits for prefix ``job-``; the schedule's fields may be given by themselves."""
    now = datetime.now(UTC).timestamp()
    schedule = {"poll_interval": 0.02, "deadline": now + 60, "silent_fail": False}
    schedule.update((name, arguments.pop(name)) for name in schedule.keys() & arguments.keys())
    batch = Batch(function_ref("resize"), prefix="job-", settle_seconds=0)
    return FunctionComputeInvocationsTrigger(
        **{
            "fc_conn_id": "fc_default",
            "region_id": None,
            "batch": batch.to_json(),
            "schedule": schedule,
            "began_at": now,
            **arguments,
        }
    )


text = st.none() | st.text(max_size=20)
json_object = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text()))


@given(
    st.fixed_dictionaries(
        {
            "fc_conn_id": st.text(min_size=1),
            "region_id": text,
            "batch": json_object,
            "schedule": json_object,
            "began_at": st.floats(0, 4e9),
        }
    )
)
def test_a_trigger_comes_out_of_json_as_it_went_in(arguments: dict[str, Any]) -> None:
    made = FunctionComputeInvocationsTrigger(**arguments)

    path, kwargs = rebuilt(made).serialize()

    assert path == "airflow_provider_fc.triggers.FunctionComputeInvocationsTrigger"
    assert kwargs == arguments


FUNCTIONS = st.one_of(
    st.builds(function_ref, st.just("resize"), st.just("media"), st.sampled_from([None, "prod"])),
    st.builds(function_ref, st.just("resize"), st.none(), st.sampled_from([None, "LATEST"])),
)


@given(
    st.builds(
        Batch,
        FUNCTIONS,
        prefix=text,
        ids=st.lists(st.text()).map(tuple),
        started_after=st.none() | st.integers(0),
        expected_count=st.none() | st.integers(0),
        settle_seconds=st.floats(0, 1e6),
        on_empty=st.sampled_from(["wait", "fail", "succeed"]),
        success_statuses=st.lists(st.sampled_from(["Succeeded", "Stopped"])).map(tuple),
        max_failed=st.none() | st.integers(0),
        fail_fast=st.booleans(),
        visible_within=st.none() | st.floats(0, 1e6),
    )
)
def test_a_batch_comes_out_of_json_as_it_went_in(batch: Batch) -> None:
    assert Batch.from_json(json.loads(json.dumps(batch.to_json()))) == batch


@given(
    st.builds(
        Schedule,
        st.floats(0, 1e6),
        st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the strategy adds the zone
        exponential_backoff=st.booleans(),
        max_wait=st.none() | st.floats(0, 1e6),
        silent_fail=st.booleans(),
        progress_interval=st.none() | st.floats(1, 1e6),
    )
)
def test_a_schedule_comes_out_of_json_as_it_went_in(schedule: Schedule) -> None:
    assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule


def test_every_argument_of_the_sensor_that_matters_reaches_the_trigger(emulator: FunctionComputeEmulator) -> None:
    sensor = FunctionComputeInvocationsSensor(
        task_id="wait",
        function_name="resize",
        invocation_id_prefix="job:",
        service_name="media",
        qualifier="prod",
        started_after="2026-11-22T08:00:00+00:00",
        expected_count="7",
        settle_seconds=3,
        on_empty="fail",
        success_statuses=["Succeeded", "Stopped"],
        max_failed="2",
        fail_fast=True,
        region_id="cn-beijing",
        poke_interval=12,
        timeout=600,
        exponential_backoff=True,
        max_wait=99,
        silent_fail=True,
        progress_interval=600,
        deferrable=True,
    )
    start = datetime(2026, 11, 22, 9, tzinfo=UTC)

    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(context(start_date=datetime.now(UTC)))
    kwargs = caught.value.trigger.serialize()[1]

    deadline, began_at = kwargs["schedule"].pop("deadline"), kwargs.pop("began_at")
    assert deadline - began_at == pytest.approx(600)
    assert start.timestamp() > 0
    assert kwargs == {
        "fc_conn_id": "fc_default",
        "region_id": "cn-beijing",
        "batch": {
            "function": {
                "api_version": "2016-08-15",
                "function_name": "resize",
                "service_name": "media",
                "qualifier": "prod",
            },
            "prefix": "job_",
            "ids": [],
            "started_after": 1_795_334_400_000,
            "expected_count": 7,
            "settle_seconds": 3.0,
            "on_empty": "fail",
            "success_statuses": ["Succeeded", "Stopped"],
            "max_failed": 2,
            "fail_fast": True,
            "visible_within": None,
        },
        "schedule": {
            "poll_interval": 12.0,
            "exponential_backoff": True,
            "max_wait": 99.0,
            "silent_fail": True,
            "progress_interval": 600.0,
        },
    }


def test_it_sends_exactly_one_event(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running", "Succeeded"]}])

    [event] = fire(trigger())

    assert event["kind"] == "success"
    assert event["summary"]["by_status"] == {"Succeeded": 1}


def test_two_copies_at_once_agree(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running"] * 6 + ["Failed"]}])

    async def collect(one: Any) -> list[Any]:
        return [event.payload async for event in one.run()]

    async def both() -> list[list[Any]]:
        return list(await asyncio.gather(collect(rebuilt(trigger())), collect(rebuilt(trigger()))))

    assert [[event["kind"] for event in sent] for sent in asyncio.run(both())] == [["failed"], ["failed"]]


def test_one_that_is_killed_and_rebuilt_goes_on_to_the_same_end(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running"] * 8 + ["Succeeded"]}])
    first = trigger()

    async def killed() -> None:
        task = asyncio.ensure_future(anext(first.run()))
        while len(emulator.requests) < 3:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(killed())
    again = rebuilt(first)

    assert again.serialize() == first.serialize()
    assert [event["kind"] for event in fire(again)] == ["success"]


def test_one_started_after_its_deadline_is_a_timeout_with_counts(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running"]}])

    [event] = fire(trigger(deadline=datetime.now(UTC).timestamp() - 100))

    assert event["kind"] == "timeout"
    assert event["summary"]["by_status"] == {"Running": 1}


def test_one_rebuilt_late_in_its_wait_keeps_its_deadline(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running"]}])
    now = datetime.now(UTC).timestamp()
    late = rebuilt(trigger(began_at=now - 1000, deadline=now + 0.3))

    async def event() -> Any:
        return await asyncio.wait_for(anext(late.run()), timeout=60)

    assert asyncio.run(event()).payload["kind"] == "timeout"


def test_a_permanent_error_is_an_event_with_code_and_request_id(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    connection(**{**emulator.connection, "password": "wrong"})

    [event] = fire(trigger())

    assert event["kind"] == "error"
    assert event["error"]["class"] == "AccessDeniedError"
    assert event["error"]["status"] == 403
    assert event["error"]["code"].startswith("Signature")
    assert event["error"]["request_id"]


@pytest.mark.usefixtures("metadata_db")  # Airflow 2.11 looks there too
def test_a_connection_that_stays_missing_is_an_event(hasten: Callable[..., None]) -> None:
    hasten(connections={"retry": 0.01})
    [event] = fire(trigger(fc_conn_id="nowhere"))

    assert event["error"]["class"] == "ConnectionNotFoundError"
    assert "the triggerer does not see it: define it where both do" in str(event["error"])


def test_a_bug_is_an_event_and_its_traceback_is_in_the_log(
    emulator: FunctionComputeEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    made = trigger()
    made.batch["no_such_parameter"] = 1

    [event] = fire(made)

    assert event["error"]["class"] == "TriggerError"
    assert "no_such_parameter" in caplog.text


def test_an_airflow_api_that_is_away_for_a_moment_does_not_end_the_wait(
    emulator: FunctionComputeEmulator, reads: Reads, hasten: Callable[..., None]
) -> None:
    hasten(connections={"retry": 0.01})
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Succeeded"]}])
    missing = AirflowNotFoundException("fc_default")  # so Airflow reports a secrets backend that fails, too
    reads.errors = iter([ConnectionError("api server restarts"), missing, ConnectionError("api server restarts")])

    assert [event["kind"] for event in fire(trigger())] == ["success"]
    assert len(reads.ids) == 4


def test_an_airflow_api_that_is_away_until_the_deadline_ends_as_a_timeout(
    emulator: FunctionComputeEmulator, reads: Reads
) -> None:
    reads.errors = repeat(ConnectionError("api server restarts"))
    now = datetime.now(UTC).timestamp()

    assert fire(trigger(deadline=now - 60)) == [
        {"kind": "timeout", "reason": "connection 'fc_default' could not be read: ConnectionError"}
    ]


def test_no_secret_or_error_text_is_in_the_trigger_or_its_event(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations(
        [{"function": "resize", "id": "job-1", "statuses": ["Running", "Failed"], "error_message": "canary-text"}]
    )
    made = trigger()

    everything = json.dumps([made.serialize(), repr(made), fire(made)])

    assert emulator.connection["password"] not in everything
    assert emulator.connection["login"] not in everything
    assert "canary-text" not in everything


def test_an_event_has_at_most_four_kibibytes(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations(
        [
            {
                "function": "resize",
                "id_template": "job-" + "x" * 118 + "{index:05}",
                "count": 300,
                "statuses": ["Failed"],
            }
        ]
    )

    [event] = fire(trigger())

    assert event["summary"]["by_status"] == {"Failed": 300}
    assert len(event["summary"]["failed"]) >= 15
    assert len(json.dumps(event).encode()) <= outcome.MAX_BYTES


def test_progress_goes_to_the_log(emulator: FunctionComputeEmulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running", "Succeeded"]}])

    fire(trigger())

    assert "Waiting: 0 ended, 1 unfinished: Running 1" in caplog.text


def rotated(emulator: FunctionComputeEmulator) -> None:
    """From now on the emulator takes other keys."""
    emulator.app.credentials = Credentials("new-key-id", "new-key-secret")


def test_keys_that_changed_in_the_connection_are_used_from_then_on(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running"] * 5 + ["Succeeded"]}])
    waiting = trigger()

    async def run() -> Any:
        event = asyncio.ensure_future(anext(waiting.run()))
        while len(emulator.requests) < 3:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        connection(**{**emulator.connection, "login": "new-key-id", "password": "new-key-secret"})
        rotated(emulator)
        return await event

    assert asyncio.run(run()).payload["kind"] == "success"
    assert 403 in {record.status for record in emulator.requests}


async def read_for_another_wait() -> None:
    from airflow_provider_fc.hooks import FunctionComputeAsyncHook

    async with FunctionComputeAsyncHook(reread=True):
        pass


def test_keys_that_changed_after_another_wait_has_read_the_connection_are_found(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], hasten: Callable[..., None]
) -> None:
    hasten(connections={"reread": 0.5})
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Running"] * 5 + ["Succeeded"]}])
    waiting = trigger()

    async def run() -> Any:
        event = asyncio.ensure_future(anext(waiting.run()))
        while len(emulator.requests) < 3:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        await read_for_another_wait()
        connection(**{**emulator.connection, "login": "new-key-id", "password": "new-key-secret"})
        rotated(emulator)
        return await event

    assert asyncio.run(run()).payload["kind"] == "success"


def test_refused_keys_that_did_not_change_end_the_wait_and_the_connection_is_read_once_a_minute_for_all(
    emulator: FunctionComputeEmulator, reads: Reads, hasten: Callable[..., None]
) -> None:
    minute = 0.2
    hasten(connections={"reread": minute})
    rotated(emulator)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(anext(trigger().run()) for _ in range(20)))

    began = time.monotonic()
    sent = asyncio.run(all_at_once())

    assert {event.payload["error"]["class"] for event in sent} == {"AccessDeniedError"}
    assert 1 <= len(reads.ids) - 20 <= 1 + (time.monotonic() - began) / minute


def test_refused_keys_are_looked_up_again_under_silent_fail_too(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], hasten: Callable[..., None]
) -> None:
    hasten(connections={"reread": 0.05})
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Succeeded"]}])
    rotated(emulator)
    waiting = trigger(silent_fail=True)

    async def run() -> Any:
        event = asyncio.ensure_future(anext(waiting.run()))
        while len(emulator.requests) < 3:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        connection(**emulator.connection)
        return await event

    assert asyncio.run(run()).payload["kind"] == "success"


@pytest.mark.parametrize(("silent_fail", "kind"), [(False, "error"), (True, "timeout")])
def test_looking_for_new_keys_ends_with_the_wait(
    emulator: FunctionComputeEmulator, hasten: Callable[..., None], silent_fail: bool, kind: str
) -> None:
    hasten(polling={"first_spread": 0.0}, connections={"last_read": 0.0})
    rotated(emulator)

    async def run() -> Any:
        await read_for_another_wait()  # the next read would be in a minute
        waiting = trigger(silent_fail=silent_fail, poll_interval=60, deadline=datetime.now(UTC).timestamp() + 0.5)
        return await asyncio.wait_for(anext(waiting.run()), timeout=60)

    assert asyncio.run(run()).payload["kind"] == kind
