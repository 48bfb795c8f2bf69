"""What polling given ids proves, and what it costs."""

from __future__ import annotations

import pytest
from core.conversation import json_answer
from harness import World

from airflow_provider_fc.core.errors import NotFoundError, ParameterError
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.outcome import Kind
from airflow_provider_fc.core.watch import watch

KINDS = {
    "Enqueued": Kind.WAITING,
    "Running": Kind.WAITING,
    "Succeeded": Kind.SUCCESS,
    "Failed": Kind.FAILED,
    "Invalid": Kind.FAILED,
    "Paused": Kind.WAITING,
}


@pytest.fixture
def world() -> World:
    return World()


def ids_of(how_many: int, prefix: str = "job-") -> list[str]:
    return [f"{prefix}{index:05}" for index in range(how_many)]


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
@pytest.mark.parametrize("poll", ["first_poll", "poke", "last_poll"])
@pytest.mark.parametrize("how_many", [1, 5, 90])
def test_a_status_means_the_same_in_every_poll(world: World, status: str, kind: Kind, poll: str, how_many: int) -> None:
    world.add_many(how_many - 1)
    world.add("job-z", statuses=[status])
    wait = world.wait(invocation_ids=[*ids_of(how_many - 1), "job-z"])
    flow = wait.watch.last_poll(world.context) if poll == "last_poll" else getattr(wait, poll)(world.context)

    assert world.kind_of(flow) is kind


def test_other_invocations_with_the_same_prefix_do_not_matter(world: World) -> None:
    world.add_many(20)
    world.add_many(300, "Failed", prefix="job-old")

    assert world.kind_of(world.wait(invocation_ids=ids_of(20)).poke(world.context)) is Kind.SUCCESS


def test_ids_without_a_common_prefix_are_found(world: World) -> None:
    ids = [f"{letter}-{index}" for index in range(10) for letter in "xyz"]
    world.add(*ids, statuses=["Succeeded"])

    assert world.kind_of(world.wait(invocation_ids=ids).poke(world.context)) is Kind.SUCCESS


def test_the_rows_of_another_function_are_refused(world: World) -> None:
    with pytest.raises(ParameterError, match=r"^invocation_ids: holds an invocation of 'other'"):
        world.wait(invocation_ids=[{"invocation_id": "a", "function_name": "other"}])


@pytest.mark.parametrize("ids", [["a"], ["a", "a"], ["a", "b"]], ids=str)
def test_more_expected_than_there_are_ids_is_an_error(world: World, ids: list[str]) -> None:
    world.add(*set(ids), statuses=["Succeeded"])
    there = len(set(ids))

    with pytest.raises(
        ParameterError,
        match=rf"^expected_count: is {there + 1}, .* only {there} different ids; leave it out beside them$",
    ):
        world.wait(invocation_ids=ids, expected_count=there + 1)
    for fewer in (None, 0, there):
        assert world.kind_of(world.wait(invocation_ids=ids, expected_count=fewer).poke(world.context)) is Kind.SUCCESS


@pytest.mark.parametrize("how_many", [3, 50])
def test_a_missing_id_is_never_done(world: World, how_many: int) -> None:
    world.add_many(how_many)
    wait = world.wait(invocation_ids=[*ids_of(how_many), "job-missing"])

    outcome = world.run(wait.run(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert outcome.reason == (
        f"{how_many} found (Succeeded {how_many}), {how_many + 1} expected; not found (yet): job-missing"
    )


def test_all_ended_needs_no_confirmation(world: World) -> None:
    world.add_many(3)

    assert world.kind_of(world.wait(invocation_ids=ids_of(3)).first_poll(world.context)) is Kind.SUCCESS
    assert world.slept == []


def test_what_has_ended_is_not_asked_for_again(world: World) -> None:
    world.add_many(3)
    world.add("job-z", statuses=["Running", "Running", "Running", "Succeeded"])
    wait = world.wait(invocation_ids=[*ids_of(3), "job-z"])

    costs = [world.requests_of(wait.poke(world.context)) for _ in range(4)]

    assert [requests for _, requests in costs] == [4, 1, 1, 1]
    assert costs[-1][0].kind is Kind.SUCCESS


@pytest.mark.parametrize("status", ["Enqueued", "Dequeued", "Running", "Retrying", "Stopping"])
def test_a_poll_with_a_live_one_takes_at_most_six_requests_and_then_one(world: World, status: str) -> None:
    world.add_many(999)
    world.add("job-z", statuses=[status])
    wait = world.wait(invocation_ids=[*ids_of(999), "job-z"])

    costs = [world.requests_of(wait.poke(world.context))[1] for _ in range(3)]

    assert costs[0] <= 6
    assert costs[1:] == [1, 1]


def test_two_hundred_finished_ids_cost_the_probes_and_the_pages(world: World) -> None:
    world.add_many(200)

    outcome, requests = world.requests_of(world.wait(invocation_ids=ids_of(200)).poke(world.context))

    assert outcome.kind is Kind.SUCCESS
    assert requests <= 5 + 3


def test_refused_and_ignored_status_filters_never_fail_the_wait(world: World) -> None:
    world.add_many(150)
    for switches in ({"ignore_status_filter": True}, {"reject_status": ["Running", "Dequeued"]}):
        world.state.set_switches(**switches)

        assert world.kind_of(world.wait(invocation_ids=ids_of(150)).poke(world.context)) is Kind.SUCCESS


def test_a_failure_names_the_failed_ones(world: World) -> None:
    world.add("job-1", statuses=["Failed"], error_message="ValueError: no image")
    world.add("job-2", statuses=["Succeeded"])

    outcome = world.run(world.wait(invocation_ids=["job-1", "job-2"]).poke(world.context))

    assert (
        "1 of 2 invocations of resize (2 given ids) ended badly (max_failed=0): Failed 1, Succeeded 1" in outcome.reason
    )
    assert "job-1 Failed: " in outcome.reason
    assert "ValueError: no image" in outcome.reason


def test_fail_fast_fails_while_others_are_running(world: World) -> None:
    world.add_many(20, "Running")
    world.add("job-z", statuses=["Failed"])

    outcome = world.run(world.wait(invocation_ids=[*ids_of(20), "job-z"], fail_fast=True).poke(world.context))

    assert outcome.kind is Kind.FAILED
    assert outcome.summary.by_status == {"Failed": 1, "Running": 20}


def test_an_invocation_seen_live_that_no_longer_exists_is_an_error(world: World) -> None:
    world.add("job-1", statuses=["Running"], disappears_after=100)
    wait = world.wait(invocation_ids=["job-1"])
    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    world.clock.sleep(120)

    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    world.clock.sleep(60)
    outcome = world.run(wait.poke(world.context))

    assert outcome.kind is Kind.LOST
    assert "job-1" in outcome.reason


def test_one_that_was_not_found_for_a_moment_is_not_lost(world: World) -> None:
    world.add("job-1", "job-2", statuses=["Running"])
    wait = world.wait(invocation_ids=["job-1", "job-2"])
    world.run(wait.watch.last_poll(world.context))
    gone = HttpResponse(404, {}, b'{"Code": "AsyncTaskNotFound"}')
    world.answer = lambda request: gone if request.path.endswith("/job-2") else None
    world.run(wait.watch.last_poll(world.context))
    world.answer = lambda request: None
    world.clock.sleep(60)

    assert [world.kind_of(wait.poke(world.context)) for _ in range(3)] == [Kind.WAITING] * 3


def test_ids_that_do_not_exist_yet_cost_no_more_than_a_page_and_the_probes(world: World) -> None:
    wait = world.wait(invocation_ids=ids_of(1000))

    assert world.requests_of(wait.poke(world.context))[1] <= 1 + 5 + 1


def test_missing_ids_are_named_when_time_is_up(world: World) -> None:
    outcome = world.run(world.wait(invocation_ids=ids_of(8)).run(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert outcome.reason.endswith("not found (yet): job-00000, job-00001, job-00002, job-00003, job-00004 and 3 more")


@pytest.mark.parametrize("body", [b'{"Code": "FunctionNotFound"}', b'{"Code": "AliasNotFound"}', b"<html>404</html>"])
def test_a_404_that_is_not_about_the_invocation_ends_the_wait(world: World, body: bytes) -> None:
    world.answer = lambda request: HttpResponse(404, {}, body)

    with pytest.raises(NotFoundError, match="HTTP 404"):
        world.run(world.wait(invocation_ids=["job-1"]).poke(world.context))


def test_what_has_ended_stays_so_whatever_a_later_page_says(world: World) -> None:
    """A row that moves while pages are read may come twice, the second time as it was before."""
    ids = [f"job-{number}" for number in range(8)]
    rows = [{"taskId": key, "status": "Succeeded"} for key in ids]
    first = json_answer({"tasks": rows[:4], "nextToken": "more"})
    second = json_answer({"tasks": [{**rows[0], "status": "Running"}, *rows[4:]]})
    world.answer = lambda request: second if "nextToken" in dict(request.query) else first

    assert (
        world.kind_of(watch(world.batch(invocation_ids=ids), world.clock.now()).last_poll(world.context))
        is Kind.SUCCESS
    )
