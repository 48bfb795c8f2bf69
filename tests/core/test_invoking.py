"""Submitting once, and reading the record of an invocation that is known to exist."""

from __future__ import annotations

from typing import Any

import pytest
from core.conversation import Conversation, refusal
from harness import FUNCTION, World

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import AlreadyExistsError, ApiError, NotFoundError, ParameterError, TransportError
from airflow_provider_fc.core.flow import Flow
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.invoking import look_up, start, submit
from airflow_provider_fc.core.operations import Accepted, GetInvocation, Invoke

FC_3 = function_ref("resize")
ACCEPTED = HttpResponse(202, {"x-fc-request-id": "request-1"})
LOST = TransportError("connection reset")
TAKEN = refusal(409, "AsyncTaskAlreadyExists")


# Submitting


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


def test_an_accepted_submission_is_returned(talk: Conversation) -> None:
    talk.answers = [ACCEPTED]

    assert talk.run(submit(Invoke(FC_3, b"", "job-1"), talk.context)) == Accepted("job-1", "request-1")


@pytest.mark.parametrize("lost", [LOST, refusal(503, "ServiceUnavailable")], ids=["reset", "503"])
def test_a_conflict_after_a_lost_answer_is_its_confirmation(talk: Conversation, lost: Any) -> None:
    talk.answers = [lost, TAKEN]

    assert talk.run(submit(Invoke(FC_3, b"", "job-1"), talk.context)) == Accepted("job-1", None)


@pytest.mark.parametrize(
    "before", [[], [refusal(429, "ResourceThrottled")]], ids=["at once", "after a request that was turned away"]
)
def test_a_conflict_that_no_answer_of_ours_explains_is_an_error(talk: Conversation, before: list[Any]) -> None:
    talk.answers = [*before, TAKEN]

    with pytest.raises(AlreadyExistsError):
        talk.run(submit(Invoke(FC_3, b"", "job-1"), talk.context))


def test_the_emulator_accepts_an_id_once() -> None:
    world = World()
    operation = Invoke.from_parameters(FC_3, "hello", invocation_id="job-1")

    assert world.run(submit(operation, world.context)).invocation_id == "job-1"
    with pytest.raises(AlreadyExistsError):
        world.run(submit(operation, world.context))


def test_another_error_of_a_submission_passes_through(talk: Conversation) -> None:
    talk.answers = [refusal(400, "EntityTooLarge")]

    with pytest.raises(ApiError, match="128 KB"):
        talk.run(submit(Invoke(FC_3, b"", "job-1"), talk.context))


# Looking up


def record(world: World, *, seconds: float) -> Flow[Invocation]:
    operation = GetInvocation(world.settings.function(FUNCTION), "job-1")
    return look_up(operation, world.context, seconds=seconds)


def test_a_record_that_is_not_visible_yet_is_waited_for() -> None:
    world = World()
    world.add("job-1", appears_after=5)

    assert world.run(record(world, seconds=8)).invocation_id == "job-1"
    assert sum(world.slept) == 6


def test_a_server_out_of_order_is_waited_for() -> None:
    world = World()
    world.add("job-1")
    world.app.add_faults([{"action": "status", "status": 503, "times": 3}])

    assert world.run(record(world, seconds=60)).invocation_id == "job-1"


def test_a_record_that_does_not_appear_is_an_error_when_the_time_is_over() -> None:
    world = World()
    world.add("job-2")

    with pytest.raises(NotFoundError):
        world.run(record(world, seconds=8))
    assert sum(world.slept) == 8


def test_a_refusal_that_nothing_explains_is_waited_for() -> None:
    world = World()
    world.add("job-1")
    answers = iter([HttpResponse(400, {}, b"<html>"), HttpResponse(404, {}, b"")])
    world.answer = lambda request: next(answers, None)

    assert world.run(record(world, seconds=8)).invocation_id == "job-1"


@pytest.mark.parametrize("refusal", [{"status": 403}, {"status": 400, "code": "InvalidArgument"}], ids=str)
def test_a_refusal_is_an_error_at_once(refusal: dict[str, Any]) -> None:
    world = World()
    world.add("job-1")
    world.app.add_faults([{"action": "status", **refusal}])

    with pytest.raises(ApiError):
        world.run(record(world, seconds=8))
    assert world.slept == []


def operation_of(attempt: int) -> Invoke:
    return Invoke(FC_3, b"", f"job-{attempt}")


def test_an_invocation_that_is_submitted_in_no_attempt_is_a_wrong_parameter(talk: Conversation) -> None:
    with pytest.raises(ParameterError, match=r"^retries: 0 attempts are none"):
        talk.run(start(operation_of, 0, talk.context, watched=True, first_try=False))


def test_a_conflict_of_a_function_that_is_gone_is_an_error_of_the_function(talk: Conversation) -> None:
    talk.answers = [TAKEN, *[refusal(404, "FunctionNotFound")] * 5]

    with pytest.raises(NotFoundError) as caught:
        talk.run(start(operation_of, 1, talk.context, watched=True, first_try=False))
    assert not caught.value.is_invocation
