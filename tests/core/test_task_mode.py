"""Whether a function keeps records of its invocations, and what follows for one that cannot be seen."""

from __future__ import annotations

from typing import Any

import pytest
from core.conversation import Conversation, json_answer, refusal
from harness import World

from airflow_provider_fc.core.api import FunctionRef, function_ref
from airflow_provider_fc.core.errors import MalformedBodyError, NoRecordError, NotFoundError, TransportError
from airflow_provider_fc.core.flow import call
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.invoking import submit
from airflow_provider_fc.core.operations import Invoke
from airflow_provider_fc.core.outcome import Kind
from airflow_provider_fc.core.task_mode import GetTaskMode, expect_record, keeps_records
from airflow_provider_fc.core.wait import Wait
from airflow_provider_fc.emulator.schema import Life

OLD = function_ref("resize", "media", "prod")
MIDDLE = function_ref("resize", "media", "prod", api_version="2021-04-06")
NEW = function_ref("resize", qualifier="prod")
ASKED = pytest.mark.parametrize("function", [OLD, NEW], ids=["2016-08-15", "2023-03-30"])
KEYS = {"2016-08-15": "statefulInvocation", "2021-04-06": "statefulInvocation", "2023-03-30": "asyncTask"}


def configuration(function: FunctionRef, on: object) -> HttpResponse:
    return json_answer({KEYS[function.api.version]: on, "createdTime": "2026-01-02T15:04:05Z"})


@pytest.mark.parametrize(
    ("function", "path", "query"),
    [
        (OLD, "/2016-08-15/services/media.prod/functions/resize/async-invoke-config", {}),
        (MIDDLE, "/2021-04-06/services/media/functions/resize/async-invoke-config", {"qualifier": "prod"}),
        (NEW, "/2023-03-30/functions/resize/async-invoke-config", {"qualifier": "prod"}),
    ],
    ids=list(KEYS),
)
def test_the_configuration_of_the_qualifier_that_is_invoked_is_read(
    function: FunctionRef, path: str, query: dict[str, str]
) -> None:
    request = GetTaskMode(function).request("https://fc.test")

    assert (request.method, request.path, dict(request.query)) == ("GET", path, query)


@pytest.mark.parametrize(("value", "on"), [(True, True), (False, False), (None, False)], ids=str)
@ASKED
def test_the_generation_s_own_key_says_whether_task_mode_is_on(
    function: FunctionRef, value: bool | None, on: bool
) -> None:
    assert GetTaskMode(function).read(configuration(function, value)) is on


@ASKED
def test_a_configuration_without_the_key_is_one_without_task_mode(function: FunctionRef) -> None:
    other = {"asyncTask", "statefulInvocation"} - {function.api.task_mode_key}

    assert GetTaskMode(function).read(json_answer({"createdTime": "", **dict.fromkeys(other, True)})) is False


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"status": "ok"}', b'{"asyncTask": "yes"}', b"\xff"])
def test_what_is_no_configuration_says_nothing(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        GetTaskMode(NEW).read(HttpResponse(200, {}, body))


ANSWERS: dict[str, tuple[list[HttpResponse | Exception], bool | None]] = {
    "never configured": ([refusal(404, "AsyncConfigNotExists")], False),
    "never configured, another spelling": ([refusal(404, "ASYNC_INVOKE_CONFIG_NOT_FOUND")], False),
    "no permission": ([refusal(403, "AccessDenied")], None),
    "no such function": ([refusal(404, "FunctionNotFound")], None),
    "an API without it": ([refusal(404, "PathNotSupported")], None),
    "a proxy's 404": ([refusal(404)], None),
    "out of order": ([refusal(503, "ServiceUnavailable")] * 4, None),
    "unreachable": ([TransportError("reset")] * 4, None),
    "another JSON": ([json_answer({"status": "ok"})] * 4, None),
}


@pytest.mark.parametrize(("answers", "known"), ANSWERS.values(), ids=ANSWERS)
@ASKED
def test_only_function_compute_s_own_word_counts(
    function: FunctionRef, answers: list[HttpResponse | Exception], known: bool | None
) -> None:
    talk = Conversation(answers=list(answers))

    assert talk.run(keeps_records(function, talk.context)) is known


def test_where_each_submission_asks_for_a_record_the_configuration_is_not_asked() -> None:
    talk = Conversation()

    assert talk.run(keeps_records(MIDDLE, talk.context)) is None
    assert talk.sent == []


NOT_FOUND = refusal(404, "AsyncTaskNotFound")


@ASKED
def test_without_task_mode_what_cannot_be_seen_never_will_be(function: FunctionRef) -> None:
    talk = Conversation(answers=[configuration(function, False), *[NOT_FOUND] * 9])

    with pytest.raises(NoRecordError) as caught:
        talk.run(expect_record(function, "job-1", talk.context))

    text = str(caught.value)
    assert "job-1 was accepted, but resize is not in asynchronous task mode" in text
    assert f'{{"{KEYS[function.api.version]}": true}}' in text
    assert ("PutFunctionAsyncInvokeConfig" in text) == (function is OLD)
    assert not caught.value.transient
    assert 10 <= sum(talk.slept) < 60


def test_a_record_that_appears_all_the_same_is_believed() -> None:
    talk = Conversation(
        answers=[configuration(NEW, False), NOT_FOUND, json_answer({"taskId": "job-1", "status": "Running"})]
    )

    assert talk.run(expect_record(NEW, "job-1", talk.context)) is None


def test_a_function_that_is_gone_is_said_to_be_gone() -> None:
    talk = Conversation(answers=[configuration(NEW, False), refusal(404, "FunctionNotFound")])

    with pytest.raises(NotFoundError):
        talk.run(expect_record(NEW, "job-1", talk.context))


@pytest.mark.parametrize("answer", [configuration(NEW, True), refusal(403, "AccessDenied")], ids=["on", "unknown"])
def test_as_long_as_task_mode_may_be_on_a_record_may_be_late(answer: HttpResponse) -> None:
    talk = Conversation(answers=[answer])

    assert talk.run(expect_record(NEW, "job-1", talk.context)) is None
    assert talk.slept == []


# Against the emulator, with both answers that a function without task mode may have


@pytest.mark.parametrize(
    ("switches", "known"),
    [
        ({}, True),
        ({"task_mode_off": ["resize"]}, False),
        ({"task_mode_off": ["*"], "unconfigured": False}, False),
        ({"task_mode_off": ["other"]}, True),
    ],
    ids=str,
)
@ASKED
def test_the_emulator_is_understood(function: FunctionRef, switches: dict[str, Any], known: bool) -> None:
    world = World()
    world.state.set_switches(**switches)

    assert world.run(keeps_records(function, world.context)) is known


@ASKED
def test_a_submission_that_leaves_no_record_is_noticed(function: FunctionRef) -> None:
    world = World()
    world.state.set_switches(task_mode_off=["resize"])
    accepted = world.run(submit(Invoke.from_parameters(function, b"{}", invocation_id="job-1"), world.context))

    with pytest.raises(NoRecordError):
        world.run(expect_record(function, accepted.invocation_id, world.context))


def test_a_refused_permission_leaves_it_open_at_the_emulator_too() -> None:
    world = World()
    world.state.set_switches(task_mode_off=["resize"])
    world.app.add_faults([{"action": "status", "operation": "Config", "status": 403, "code": "AccessDenied"}])

    assert world.run(keeps_records(NEW, world.context)) is None


def test_a_signed_request_for_it_is_accepted_in_every_generation() -> None:
    world = World()

    assert [world.run(call(GetTaskMode(function), world.context)) for function in (OLD, MIDDLE, NEW)] == [True] * 3


# In a wait for what was submitted just now

LATE = 300.0


def wait_for_it(world: World, poll_interval: float) -> tuple[Wait, float]:
    """A wait for an invocation that was accepted, and when it began."""
    world.run(submit(Invoke.from_parameters(NEW_OF_WORLD, b"{}", invocation_id="job-1"), world.context))
    wait = world.wait(invocation_ids=["job-1"], visible_within=LATE, poll_interval=poll_interval, timeout=7200)
    return wait, world.clock.timestamp()


NEW_OF_WORLD = function_ref("resize")


def asked(world: World) -> int:
    return [record.operation for record in world.app.requests].count("Config")


@pytest.mark.parametrize("unconfigured", [True, False])
@pytest.mark.parametrize("poll_interval", [1.0, 30.0, 3600.0])
def test_a_wait_finds_out_within_two_minutes_that_task_mode_is_off(poll_interval: float, unconfigured: bool) -> None:
    world = World()
    world.state.set_switches(task_mode_off=["resize"], unconfigured=unconfigured)
    wait, began = wait_for_it(world, poll_interval)

    with pytest.raises(NoRecordError, match=r"not in asynchronous task mode.*PutAsyncInvokeConfig"):
        world.run(wait.run(world.context))

    assert world.clock.timestamp() - began < 120
    assert asked(world) == 1


def test_without_the_permission_a_wait_goes_on_until_a_record_is_overdue() -> None:
    world = World()
    world.state.set_switches(task_mode_off=["resize"])
    world.app.add_faults([{"action": "status", "operation": "Config", "status": 403, "code": "AccessDenied"}])
    wait, began = wait_for_it(world, 30.0)

    outcome = world.run(wait.run(world.context))

    assert outcome.kind is Kind.LOST
    assert LATE < world.clock.timestamp() - began < LATE + 120
    assert asked(world) == 1


def test_a_record_that_is_late_is_waited_for_where_task_mode_is_on() -> None:
    world = World()
    world.app.add_faults([{"action": "appears_late", "seconds": 100}])
    world.state.catalogue.lives["resize"] = Life(statuses=["Running", "Succeeded"])
    wait, _ = wait_for_it(world, 10.0)

    outcome = world.run(wait.run(world.context))

    assert outcome.kind is Kind.SUCCESS
    assert asked(world) == 1


def test_what_is_seen_at_once_costs_no_question() -> None:
    world = World()
    world.state.catalogue.lives["resize"] = Life(statuses=["Running", "Succeeded"])
    wait, _ = wait_for_it(world, 10.0)

    assert world.run(wait.run(world.context)).kind is Kind.SUCCESS
    assert asked(world) == 0


def test_a_question_that_could_not_be_followed_up_is_asked_again() -> None:
    world = World()
    world.state.set_switches(task_mode_off=["resize"])
    wait, _ = wait_for_it(world, 10.0)
    # The poll's own Get finds nothing; the one that follows up fails until it is given up.
    world.app.add_faults([{"action": "status", "operation": "Get", "status": 503, "first": 2, "last": 9}])

    with pytest.raises(NoRecordError):
        world.run(wait.run(world.context))

    assert asked(world) > 1
