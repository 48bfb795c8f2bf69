"""The error texts of failures that are known by id only."""

from __future__ import annotations

import pytest
from harness import World

from airflow_provider_fc.core.errors import TransportError
from airflow_provider_fc.core.explain import explain
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.outcome import Failure, Summary

DENIED = HttpResponse(403, {}, b'{"Code": "AccessDenied", "Message": "no"}')
BUSY = HttpResponse(503, {}, b'{"Code": "ServiceUnavailable", "Message": "later"}')


@pytest.fixture
def world() -> World:
    world = World()
    world.add("job-1", "job-2", "job-3", statuses=["Failed"], error_message="disk full")
    return world


def explained(world: World, *ids: str, at_most: int | None = None) -> list[str | None]:
    summary = Summary({"Failed": len(ids)}, tuple(Failure(each, "Failed", None, None) for each in ids))
    found: Summary = world.run(explain(world.batch(), summary, world.context, at_most=at_most))
    return [failure.error_message for failure in found.failed]


def test_each_failure_gets_its_text(world: World) -> None:
    assert explained(world, "job-1", "job-2") == ["disk full", "disk full"]


def test_no_more_are_asked_for_than_wanted(world: World) -> None:
    assert explained(world, "job-1", "job-2", "job-3", at_most=1) == ["disk full", None, None]
    assert len(world.sent) == 1


def test_a_record_that_is_gone_does_not_keep_the_others_from_their_texts(world: World) -> None:
    assert explained(world, "job-0", "job-1") == [None, "disk full"]


@pytest.mark.parametrize("passing", [BUSY, TransportError("reset")], ids=["503", "reset"])
def test_what_passes_does_not_keep_the_others_from_their_texts(world: World, passing: HttpResponse | Exception) -> None:
    answers = iter([passing])
    world.answer = lambda request: next(answers, None)

    assert explained(world, "job-1", "job-2") == [None, "disk full"]


def test_what_is_denied_for_one_is_not_asked_for_the_others(world: World) -> None:
    def deny(request: HttpRequest) -> HttpResponse:
        return DENIED

    world.answer = deny

    assert explained(world, "job-1", "job-2", "job-3") == [None, None, None]
    assert len(world.sent) == 1
