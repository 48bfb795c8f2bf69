"""Stopping what may have ended meanwhile: what is an answer, what is an error, and when the record decides."""

from __future__ import annotations

from typing import Any

import pytest
from core.conversation import Conversation, json_answer, refusal

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import AlreadyCompletedError, ApiError, NotFoundError, ParameterError
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.operations import StopInvocation
from airflow_provider_fc.core.policies import Records
from airflow_provider_fc.core.stopping import stop, stop_operations, stop_submitted, stop_unfinished

STOP = StopInvocation(function_ref("resize"), "job-1")


def record(status: str) -> HttpResponse:
    return json_answer({"taskId": "job-1", "status": status})


def stopped(*answers: HttpResponse) -> tuple[str, list[str]]:
    """What became of it, and what was sent."""
    talk = Conversation(answers=list(answers))
    result = talk.run(stop(STOP, talk.context))
    return result, [request.method for request in talk.sent]


def test_the_rows_of_another_function_are_refused_before_anything_is_stopped() -> None:
    with pytest.raises(ParameterError, match=r"^invocation_ids: holds an invocation of 'other'"):
        stop_operations(STOP.function, [{"invocation_id": "a", "function_name": "other"}])


def test_no_list_at_all_is_refused_before_anything_is_stopped() -> None:
    with pytest.raises(ParameterError, match=r"^invocation_ids: is None; give a list of ids"):
        stop_operations(STOP.function, None)
    assert stop_operations(STOP.function, []) == []
    assert stop_operations(STOP.function, ["job-1", "job-1"]) == [STOP]


@pytest.mark.parametrize("ids", [[None], ["job-1", None]], ids=str)
def test_a_hook_s_missing_id_comes_without_advice_for_operators(ids: list[Any]) -> None:
    with pytest.raises(ParameterError, match=r"1 of \d ids is missing: .* XCom key; check which$"):
        stop_operations(STOP.function, ids)


@pytest.mark.parametrize("answer", [HttpResponse(200), HttpResponse(204), json_answer({})], ids=["200", "204", "{}"])
def test_what_is_accepted_is_stopped(answer: HttpResponse) -> None:
    assert stopped(answer) == ("stopped", ["PUT"])


@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize(
    "code",
    ["StatefulAsyncInvocationAlreadyCompleted", "AsyncTaskAlreadyCompleted", "ASYNC_TASK_ALREADY_COMPLETED"],
)
def test_a_code_that_says_so_is_enough_to_know_that_it_had_ended(status: int, code: str) -> None:
    assert stopped(refusal(status, code)) == ("already_finished", ["PUT"])


OPEN = {
    "400 of the SDK's live test": refusal(400, "InvalidArgument"),
    "412 without a code": refusal(412),
    "412 CAExited": refusal(412, "CAExited"),
    "412 CAFileNotFound": refusal(412, "CAFileNotFound"),
    "412 PreconditionFailed": refusal(412, "PreconditionFailed"),
}


@pytest.mark.parametrize("answer", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Stopped", "Expired", "Invalid"])
def test_where_the_answer_leaves_it_open_a_record_that_has_ended_decides(answer: HttpResponse, status: str) -> None:
    assert stopped(answer, record(status)) == ("already_finished", ["PUT", "GET"])


@pytest.mark.parametrize("answer", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("status", ["Running", "Enqueued", "SomethingNew"])
def test_a_refusal_to_stop_what_still_runs_is_an_error(answer: HttpResponse, status: str) -> None:
    with pytest.raises(ApiError) as caught:
        stopped(answer, record(status))

    assert caught.value.status == answer.status
    assert not isinstance(caught.value, AlreadyCompletedError)


@pytest.mark.parametrize("answer", OPEN.values(), ids=OPEN)
def test_a_refusal_to_stop_what_has_no_record_means_that_it_is_unknown(answer: HttpResponse) -> None:
    assert stopped(answer, refusal(404, "AsyncTaskNotFound")) == ("not_found", ["PUT", "GET"])


@pytest.mark.parametrize(
    "code",
    ["AsyncTaskNotFound", "StatefulAsyncInvocationNotFound", "ASYNC_TASK_NOT_FOUND", "AsyncTaskNotExist"],
)
@pytest.mark.parametrize("status", [400, 404])
def test_an_unknown_invocation_is_an_answer(status: int, code: str) -> None:
    assert stopped(refusal(status, code)) == ("not_found", ["PUT"])


@pytest.mark.parametrize("code", ["FunctionNotFound", "SERVICE_NOT_FOUND", "AliasNotExist", "NoSuchBucket", None])
def test_anything_else_that_is_missing_is_an_error(code: str | None) -> None:
    with pytest.raises(NotFoundError):
        stopped(refusal(404, code))


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([refusal(412, "CAExited"), record("Failed")], AlreadyCompletedError),
        ([refusal(400, "InvalidArgument"), record("Succeeded")], AlreadyCompletedError),
        ([refusal(412, "AsyncTaskAlreadyCompleted")], AlreadyCompletedError),
        ([refusal(404, "AsyncTaskNotFound")], NotFoundError),
    ],
)
def test_whoever_stops_a_single_one_is_told_by_the_exception(answers: list[Any], kind: type[ApiError]) -> None:
    talk = Conversation(answers=answers)

    with pytest.raises(kind) as caught:
        talk.run(stop_unfinished(STOP, talk.context))

    assert caught.value.request_id == "request-1"


NOT_VISIBLE = refusal(404, "AsyncTaskNotFound")


def test_what_was_just_submitted_is_stopped_as_soon_as_it_can_be_seen() -> None:
    talk = Conversation(answers=[NOT_VISIBLE, NOT_VISIBLE, HttpResponse(200)])

    assert talk.run(stop_submitted(STOP, talk.context)) == "stopped"
    assert talk.slept == [2.0, 2.0]


def test_what_stays_unknown_is_given_up_in_time() -> None:
    talk = Conversation(answers=[NOT_VISIBLE] * 20)

    assert talk.run(stop_submitted(STOP, talk.context)) == "not_found"
    assert sum(talk.slept) == Records.lag
