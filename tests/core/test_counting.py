"""Counts of an unfinished batch: when, at what cost, and that they decide nothing."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from harness import START, World

from airflow_provider_fc.core.counting import Count
from airflow_provider_fc.core.errors import TransportError
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.outcome import Kind
from airflow_provider_fc.core.wait import Wait


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO)
    return World()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def is_count(request: HttpRequest) -> bool:
    """Whether it belongs to a count: polls of an unfinished batch list newest first, or look one up."""
    return dict(request.query).get("sortOrderByTime") == "asc"


def counting(world: World, **parameters: Any) -> Wait:
    return world.wait(**{"progress_interval": 300.0, "timeout": 3600, **parameters})


def ending(world: World, groups: int, size: int, seconds: float) -> None:
    """Add groups that end one after the other."""
    for number in range(groups):
        end = seconds * (number + 1) / groups
        world.add_many(size, prefix=f"job-{number:03}-", statuses=None, timeline=[[0, "Running"], [end, "Succeeded"]])


def test_a_large_batch_says_every_five_minutes_how_far_it_is(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.seconds_per_request = 0.1
    ending(world, groups=20, size=100, seconds=1800)

    outcome = world.run(counting(world, expected_count=2000).run(world.context))

    assert outcome.kind is Kind.SUCCESS
    told = [line for line in lines(caplog) if "unfinished: " in line]
    assert told[:3] == [
        "Waiting: 300 of 2,000 ended, 1,700 unfinished: Running 1,700",
        "Waiting: 600 of 2,000 ended, 1,400 unfinished: Running 1,400; about 24 min left at this pace",
        "Waiting: 1,000 of 2,000 ended, 1,000 unfinished: Running 1,000; about 15 min left at this pace",
    ]
    assert len(told) == 5


@pytest.mark.parametrize("seconds_per_request", [0.1, 0.5, 1.0])
def test_what_starts_while_it_is_counted_is_counted_once(
    world: World, caplog: pytest.LogCaptureFixture, seconds_per_request: float
) -> None:
    world.seconds_per_request = seconds_per_request
    for number in range(0, 2000, 10):  # each moves to the end of the listing when it starts
        begin = 0.5 * number + 1
        life = [[0, "Enqueued"], [begin, "Running"], [begin + 60, "Succeeded"]]
        world.add_many(10, prefix=f"job-{number:04}-", statuses=None, timeline=life)

    world.run(counting(world, expected_count=2000).run(world.context))

    told = [line for line in lines(caplog) if "unfinished: " in line and "so far" not in line]
    assert len(told) >= 2
    assert [line for line in told if " of 2,000 ended" not in line] == []


@pytest.mark.parametrize("seconds_per_request", [0.0, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("size", [300, 6_000])
def test_counts_take_a_request_in_six_seconds_and_a_twentieth_of_the_time_at_most(
    world: World, size: int, seconds_per_request: float
) -> None:
    world.seconds_per_request = seconds_per_request
    world.add_many(size, "Running")
    moments = []
    world.answer = lambda request: moments.append(world.clock.now() - START) if is_count(request) else None

    world.run(counting(world, timeout=2 * 3600).run(world.context))

    counted = [moment.total_seconds() for moment in moments if moment < timedelta(hours=2)]
    one_count = size // 100
    assert counted[0] >= 300
    # Of the first count on, which nothing has paid for yet.
    assert len(counted) - one_count <= 2 * 3600 / 6
    assert (len(counted) - one_count) * seconds_per_request <= 2 * 3600 / 20


@pytest.mark.parametrize("seconds_per_request", [0.1, 2.0])
def test_a_count_holds_up_no_poll(world: World, seconds_per_request: float) -> None:
    world.seconds_per_request = seconds_per_request
    world.add_many(5_000, "Running")
    polls = []
    world.answer = lambda request: None if is_count(request) else polls.append(world.clock.now())

    world.run(counting(world, timeout=3000).run(world.context))

    gaps = [(after - before).total_seconds() for before, after in pairwise(polls[1:-1])]
    assert max(gaps) <= 60 + 3 * seconds_per_request


def test_the_first_poll_counts_ten_pages_and_no_more(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.add_many(700, "Running")
    world.run(counting(world).first_poll(world.context))
    assert sum(map(is_count, world.sent)) == 7
    assert lines(caplog)[-1] == "Waiting: 0 ended, 700 unfinished: Running 700"

    world.add_many(700, "Enqueued", prefix="job-x")
    world.sent.clear()
    world.run(counting(world, expected_count=5000).first_poll(world.context))
    assert sum(map(is_count, world.sent)) == 10
    assert lines(caplog)[-1].startswith("Waiting: 1,000 counted so far: 0 ended, 1,000 unfinished: Running ")


def test_no_progress_interval_means_no_counts(world: World) -> None:
    world.add_many(1000, "Running")
    wait = world.wait(progress_interval=None, timeout=7200)

    world.run(wait.first_poll(world.context))
    world.run(wait.poke(world.context))
    assert not any(map(is_count, world.sent))
    world.clock.sleep(600)
    world.run(wait.poke(world.context))
    assert not any(map(is_count, world.sent))


def test_a_batch_of_one_page_costs_nothing_more(world: World) -> None:
    world.add_many(50, "Running")

    world.run(counting(world, timeout=3000, poll_interval=100).run(world.context))

    assert len(world.sent) == 31


def test_an_hour_without_change_is_quiet_but_for_a_sign_of_life(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.add_many(500, "Running")
    world.add_many(500, "Enqueued", prefix="job-x")

    world.run(counting(world, poll_interval=10).run(world.context))

    assert 5 <= len(lines(caplog)) <= 10
    assert lines(caplog)[1] == "Waiting: 0 ended, 1,000 unfinished: Running 500, Enqueued 500"


def test_a_poking_sensor_counts_as_a_trigger_does(world: World) -> None:
    world.add_many(1000, "Running")
    wait = counting(world)
    counted = []

    for _ in range(30):
        world.sent.clear()
        world.run(wait.poke(world.context))
        counted.append(sum(map(is_count, world.sent)))
        world.clock.sleep(60)

    assert counted == [10, 0, 0, 0, 0] * 6


def test_a_rescheduled_sensor_counts_with_the_first_poll_of_each_five_minutes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.add_many(1000, "Running")
    began_at = world.clock.now()
    counted = []

    for number in range(30):
        wait = counting(world)
        wait = Wait(type(wait.watch)(wait.watch.batch, began_at), wait.schedule, world.context)
        if number:
            wait.go_on_for_one_poll()
        world.sent.clear()
        world.run(wait.poke(world.context))
        counted.append(sum(map(is_count, world.sent)))
        world.clock.sleep(60)

    assert counted == [10, 0, 0, 0, 0] * 6
    assert "Waiting: 0 ended, 1,000 unfinished: Running 1,000" in lines(caplog)


def test_a_rescheduled_sensor_of_unknown_size_counts_within_its_share(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.add_many(9000, "Running")
    wait = counting(world)
    world.clock.sleep(300)
    wait.go_on_for_one_poll()

    world.run(wait.poke(world.context))

    assert sum(map(is_count, world.sent)) == 300 / 6
    assert lines(caplog)[-1] == "Waiting: 5,000 counted so far: 0 ended, 5,000 unfinished: Running 5,000"


@pytest.mark.parametrize("how_many", [4, 150])
def test_given_ids_are_counted(world: World, caplog: pytest.LogCaptureFixture, how_many: int) -> None:
    world.add_many(how_many - 1, prefix="job-a")
    world.add("job-z", statuses=["Running"])
    world.add_many(3000, prefix="job-b")  # others with the same prefix
    ids = [f"job-a{number:05}" for number in range(how_many - 1)] + ["job-z"]

    world.run(counting(world, invocation_ids=ids, timeout=400).run(world.context))

    assert [line for line in lines(caplog) if "ended" in line]
    assert sum(map(is_count, world.sent)) <= 2 * 2 + 1


def test_a_given_id_without_a_record_is_counted_as_none(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    count = Count(world.batch(invocation_ids=["job-1", "job-2"]), world.context)

    while not count.done:
        world.run(count.step(world.context))

    assert count.counts().by_status == {"Running": 1}
    assert count.requests == 2


def test_a_rescheduled_sensor_tells_what_it_could_count_in_its_time(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.seconds_per_request = 4.0
    world.add_many(9000, "Running")
    wait = counting(world)
    world.clock.sleep(300)
    wait.go_on_for_one_poll()

    world.run(wait.poke(world.context))

    assert sum(map(is_count, world.sent)) <= 300 / 20 / 4 + 1
    assert re.match(r"Waiting: [34]00 counted so far: 0 ended", lines(caplog)[-1])


FAULTS: dict[str, HttpResponse | Exception] = {
    "denied": HttpResponse(403, {}, b'{"Code": "AccessDenied", "Message": "m"}'),
    "not found": HttpResponse(404, {}, b'{"Code": "FunctionNotFound", "Message": "m"}'),
    "throttled": HttpResponse(429, {}, b'{"Code": "ResourceExhausted", "Message": "m"}'),
    "reset": TransportError("connection reset"),
    "nonsense": HttpResponse(200, {}, b"<html>"),
    "a listing of nothing": HttpResponse(200, {}, b'{"tasks": []}'),
    "a listing of others": HttpResponse(200, {}, b'{"tasks": [{"taskId": "job-1", "status": "Failed"}]}'),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_count_is_never_a_verdict_and_never_changes_one(world: World, fault: HttpResponse | Exception) -> None:
    world.add_many(400, prefix="job-a", statuses=None, timeline=[[0, "Running"], [2000, "Succeeded"]])
    flow = counting(world, timeout=7200, expected_count=400, on_empty="fail").run(world.context)

    def answer(request: HttpRequest) -> HttpResponse | Exception | None:
        counts = is_count(request) and world.clock.now() < START + timedelta(seconds=1900)
        return fault if counts else None

    world.answer = answer
    outcome = world.run(flow)

    assert any(map(is_count, world.sent))
    assert outcome.kind is Kind.SUCCESS
    assert outcome.summary.by_status == {"Succeeded": 400}


def test_what_a_count_says_is_not_believed_by_polls(world: World) -> None:
    """A count that shows all of them ended, while one of them runs, and the other way round."""
    world.add_many(150, prefix="job-a")
    world.add("job-z", timeline=[[0, "Running"], [1000, "Succeeded"]])
    wait = counting(world, max_failed=None)
    lies = b'{"tasks": [{"taskId": "job-q", "status": "Running"}]}'
    world.answer = lambda request: (
        HttpResponse(200, {}, lies)
        if is_count(request) and world.clock.now() < START + timedelta(seconds=900)
        else None
    )

    outcome = world.run(wait.run(world.context))

    assert outcome.kind is Kind.SUCCESS
    assert outcome.summary.total == 151
