"""Hook parameters -> operations; payloads, ids, lost answers, and what a connection test says."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from core.conversation import Conversation, refusal
from harness import World

from airflow_provider_fc.core import calls
from airflow_provider_fc.core.api import APIS, function_ref
from airflow_provider_fc.core.errors import (
    AlreadyExistsError,
    ApiError,
    ParameterError,
    TransportError,
)
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.operations import (
    FILTERS,
    Accepted,
    GetInvocation,
    Invoke,
    ListInvocations,
    StopInvocation,
)
from airflow_provider_fc.core.settings import Auth, Settings

LIST = ListInvocations.from_parameters

FC_3 = function_ref("resize")
ACCEPTED = HttpResponse(202, {"x-fc-request-id": "request-1"})
LOST = TransportError("connection reset")
TAKEN = refusal(409, "AsyncTaskAlreadyExists")


def settings(**fields: Any) -> Settings:
    return Settings("fc_default", Auth(), endpoint="https://fc.test", **fields)


def problem(function: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(ParameterError) as caught:
        function(*arguments, **keywords)
    return str(caught.value)


# Operations


@pytest.mark.parametrize(
    ("api_version", "service", "chosen"),
    [
        (None, "media", "2016-08-15"),
        (None, None, "2023-03-30"),
        ("2021-04-06", "media", "2021-04-06"),
        ("2023-03-30", None, "2023-03-30"),
    ],
)
def test_the_connection_s_version_decides_within_a_generation(
    api_version: str | None, service: str | None, chosen: str
) -> None:
    assert calls.function_of(settings(api_version=api_version), "resize", service).api is APIS[chosen]


def test_a_service_and_a_connection_for_fc_3_contradict_each_other() -> None:
    assert "api_version '2023-03-30'" in problem(calls.function_of, settings(api_version="2023-03-30"), "f", "media")


def test_a_listing_has_the_documented_defaults() -> None:
    assert LIST(FC_3) == ListInvocations(FC_3)
    assert LIST(FC_3).page_size == 100


def test_every_list_parameter_is_read_as_a_template_renders_it() -> None:
    query = LIST(
        FC_3,
        invocation_id_prefix="run.1-",
        statuses="Failed,Stopped",
        started_after="2026-11-22T00:00:00Z",
        started_before="1795392000000",
        order="asc",
        include_payload="True",
        page_size="20",
    )

    window = 1_795_305_600_000, 1_795_392_000_000
    assert query == ListInvocations(FC_3, "run_1-", ("Failed", "Stopped"), *window, "asc", True, 20)


def test_without_an_order_it_is_the_server_s_own() -> None:
    assert LIST(FC_3, order=None).order is None


@pytest.mark.parametrize("rendered", ["", "None"])
@pytest.mark.parametrize(
    "name", ["invocation_id_prefix", "statuses", "started_after", "started_before", "order", "page_size"]
)
def test_what_a_template_makes_of_nothing_narrows_a_listing_to_nothing(name: str, rendered: str) -> None:
    assert problem(LIST, FC_3, **{name: rendered}).startswith(f"{name}: ")


@pytest.mark.parametrize("rendered", ["", "None"])
@pytest.mark.parametrize("name", ["invocation_id", "delay"])
def test_what_a_template_makes_of_nothing_is_no_default_of_a_submission(name: str, rendered: str) -> None:
    assert problem(calls.invoke_operation, FC_3, **{name: rendered}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("invocation_id_prefix", ""),
        ("statuses", "Done"),
        ("started_after", "yesterday"),
        ("started_before", 5),
        ("order", "up"),
        ("include_payload", "maybe"),
        ("page_size", 0),
        ("page_size", 101),
        ("page_size", "many"),
    ],
)
def test_a_list_parameter_that_is_wrong_is_named(name: str, value: Any) -> None:
    assert problem(LIST, FC_3, **{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("page_size", "limit", "asked"),
    [(100, None, 100), (100, 5, 5), (5, 100, 5), (100, 0, 1), (100, 101, 100), (None, None, 100)],
)
def test_no_more_is_asked_for_than_is_wanted(page_size: int | None, limit: int | None, asked: int) -> None:
    assert LIST(FC_3, page_size=page_size, limit=limit).page_size == asked
    assert LIST(FC_3, page_size=page_size, limit=limit, statuses="Failed,Stopped").page_size == asked


def test_every_filter_becomes_a_field_and_every_field_but_two_is_a_filter() -> None:
    assert [field for field, _ in FILTERS.values()] == [field.name for field in fields(ListInvocations)][1:-1]


def test_a_filter_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        LIST(FC_3, nonsense=1)


def test_a_limit_does_not_shrink_the_pages_of_a_walk_that_is_filtered_here() -> None:
    """One wanted among a thousand others would cost a thousand requests."""
    world = World()
    world.add("job-wanted", statuses=["Running"], submitted_seconds_ago=3600)
    world.add_many(1000)
    query = LIST(FC_3, statuses=["Running", "Retrying"], order="desc", limit=1)

    found = world.run(Listing(query, world.context).next_items())

    assert [item.invocation_id for item in found] == ["job-wanted"]
    assert len(world.sent) == 11


@pytest.mark.parametrize(
    ("make", "kind"), [(calls.get_operation, GetInvocation), (calls.stop_operation, StopInvocation)]
)
def test_get_and_stop_take_an_id_and_make_it_legal(make: Any, kind: type) -> None:
    assert make(FC_3, "run.1/a") == kind(FC_3, "run_1_a")
    assert make(FC_3, "1-made-by-the-server").invocation_id == "1-made-by-the-server"
    assert problem(make, FC_3, None).startswith("invocation_id: is missing")


def test_an_invocation_is_made_of_checked_parts() -> None:
    made = calls.invoke_operation(FC_3, {"a": 1}, invocation_id="job.1", delay="30")

    assert made == Invoke(FC_3, b'{"a":1}', "job_1", 30)


def test_an_invocation_always_gets_an_id_of_its_own() -> None:
    made = {calls.invoke_operation(FC_3, invocation_id=None).invocation_id for _ in range(20)}

    assert len(made) == 20
    assert all(key and key.startswith("airflow-") and len(key) <= 128 for key in made)
    assert calls.invoke_operation(FC_3).repeatable


@pytest.mark.parametrize(("delay", "seconds"), [(None, None), (0, 0), ("3600", 3600)])
def test_a_delay_is_within_what_fc_takes(delay: Any, seconds: int | None) -> None:
    assert calls.invoke_operation(FC_3, delay=delay).delay == seconds


@pytest.mark.parametrize("delay", [-1, 3601, "soon", 1.5])
def test_another_delay_is_refused(delay: Any) -> None:
    assert problem(calls.invoke_operation, FC_3, delay=delay).startswith("delay: ")


@pytest.mark.parametrize("key", ["job-1", "_job", "J", "x" * 128])
def test_an_id_may_begin_with_a_letter_or_an_underscore(key: str) -> None:
    assert calls.new_id(key) == key


@pytest.mark.parametrize("key", ["1-job", "-job"])
def test_an_id_that_fc_would_refuse_is_refused_with_the_way_out(key: str) -> None:
    assert problem(calls.new_id, key) == f"invocation_id: {key!r} must begin with a letter or _; put a word before it"


@pytest.mark.parametrize("key", ["@job", ".job", " job"])
def test_what_becomes_an_underscore_is_a_beginning(key: str) -> None:
    assert calls.new_id(key) == "_" + key[1:]


@pytest.mark.parametrize("key", [None, "", "None", "x" * 129, 5])
def test_what_can_be_no_new_id_is_refused(key: Any) -> None:
    assert problem(calls.new_id, key).startswith("invocation_id: ")


# Payloads


# Submitting


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


def test_an_accepted_submission_is_returned(talk: Conversation) -> None:
    talk.answers = [ACCEPTED]

    assert talk.run(calls.submit(Invoke(FC_3, b"", "job-1"), talk.context)) == Accepted("job-1", "request-1")


@pytest.mark.parametrize("lost", [LOST, refusal(503, "ServiceUnavailable")], ids=["reset", "503"])
def test_a_conflict_after_a_lost_answer_is_its_confirmation(talk: Conversation, lost: Any) -> None:
    talk.answers = [lost, TAKEN]

    assert talk.run(calls.submit(Invoke(FC_3, b"", "job-1"), talk.context)) == Accepted("job-1", None)


@pytest.mark.parametrize(
    "before", [[], [refusal(429, "ResourceThrottled")]], ids=["at once", "after a request that was turned away"]
)
def test_a_conflict_that_no_answer_of_ours_explains_is_an_error(talk: Conversation, before: list[Any]) -> None:
    talk.answers = [*before, TAKEN]

    with pytest.raises(AlreadyExistsError):
        talk.run(calls.submit(Invoke(FC_3, b"", "job-1"), talk.context))


def test_the_emulator_accepts_an_id_once() -> None:
    world = World()
    operation = calls.invoke_operation(FC_3, "hello", invocation_id="job-1")

    assert world.run(calls.submit(operation, world.context)).invocation_id == "job-1"
    with pytest.raises(AlreadyExistsError):
        world.run(calls.submit(operation, world.context))


def test_another_error_of_a_submission_passes_through(talk: Conversation) -> None:
    talk.answers = [refusal(400, "EntityTooLarge")]

    with pytest.raises(ApiError, match="128 KB"):
        talk.run(calls.submit(Invoke(FC_3, b"", "job-1"), talk.context))


# Testing a connection
