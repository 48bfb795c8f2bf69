"""Listings against the emulator in this process: complete, in order, filtered as asked, in constant memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from core.conversation import json_answer
from harness import FUNCTION, World
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import ApiError, PagingError, ParameterError
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.invocations import LIVE_STATUSES, STATUSES, TERMINAL_STATUSES, Invocation
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.operations import ListInvocations

FC_3 = function_ref(FUNCTION)
TOO_MUCH_GROWTH = 0.5  # MiB


def over_the_wire(world: World) -> World:
    """Let the emulator see what a server would read from the request line, not what we meant to say."""

    def answer(request: HttpRequest) -> HttpResponse:
        parts = urlsplit(request.url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        received = HttpRequest(request.method, request.origin, unquote(parts.path), query, request.headers)
        return world.app.handle(received)

    world.answer = answer
    return world


@pytest.fixture
def world() -> World:
    return over_the_wire(World())


def batches(world: World, **query: Any) -> Iterator[list[Invocation]]:
    listing = Listing(ListInvocations(query.pop("function", FC_3), **query), world.context)
    while not listing.done:
        yield world.run(listing.next_items())


def items(world: World, **query: Any) -> list[Invocation]:
    return [item for batch in batches(world, **query) for item in batch]


def ids(world: World, **query: Any) -> list[str]:
    return [item.invocation_id for item in items(world, **query)]


def started(found: list[Invocation]) -> list[int]:
    return [item.started_time for item in found if item.started_time is not None]


def in_order(numbers: list[int], order: str) -> bool:
    return numbers == sorted(numbers, reverse=order == "desc")


# Completeness


@pytest.mark.parametrize("order", ["asc", "desc", None])
@pytest.mark.parametrize("how_many", [0, 1, 99, 100, 101, 250])
def test_a_listing_is_complete_and_in_order(world: World, how_many: int, order: Any) -> None:
    world.add_many(how_many, submitted_seconds_ago=3600, submitted_seconds_apart=1)

    found = ids(world, order=order)

    expected = [f"job-{index:05}" for index in range(how_many)]
    assert found == (expected if order == "asc" else expected[::-1])  # newest first is the emulator's own order
    assert len(world.sent) == max(1, -(-how_many // 100))


def test_ten_thousand_and_one_are_complete_and_in_order(world: World) -> None:
    world.add_many(10_001, submitted_seconds_ago=20_000, submitted_seconds_apart=1)

    assert ids(world, order="asc") == [f"job-{index:05}" for index in range(10_001)]
    assert len(world.sent) == 101


@pytest.mark.parametrize("function", [function_ref(FUNCTION, "media"), FC_3], ids=["FC 2.0", "FC 3.0"])
@pytest.mark.parametrize("page_size", [1, 7, 100])
def test_every_generation_is_listed_with_every_page_size(world: World, function: Any, page_size: int) -> None:
    service = function.service_name or ""
    world.add_many(23, service=service, submitted_seconds_ago=60, submitted_seconds_apart=1)

    assert ids(world, function=function, order="asc", page_size=page_size) == [f"job-{index:05}" for index in range(23)]
    assert {query["limit"] for query in world.queries()} == {str(page_size)}


def test_equal_start_times_lose_nothing(world: World) -> None:
    world.add_many(250, started_time=1_700_000_000_000)

    assert len(set(ids(world, order="desc"))) == 250


def test_pages_are_fetched_only_when_their_items_are_asked_for(world: World) -> None:
    world.add_many(300)

    pages = batches(world)

    assert world.sent == []
    assert len(next(pages)) == 100
    assert len(world.sent) == 1
    assert len(next(pages)) == 100
    assert len(world.sent) == 2


def test_every_batch_before_the_end_has_an_item(world: World) -> None:
    world.add_many(250, status="Succeeded")
    world.add_many(1, status="Running", prefix="other-", submitted_seconds_ago=3600)

    found = list(batches(world, statuses=("Running", "Enqueued"), order="desc", page_size=10))

    assert [len(batch) for batch in found if batch] == [1]
    assert len(found) <= 2


def test_a_listing_that_is_done_asks_no_more(world: World) -> None:
    listing = Listing(ListInvocations(FC_3), world.context)

    assert world.run(listing.next_items()) == []
    assert listing.done
    assert world.run(listing.next_items()) == []
    assert len(world.sent) == 1


def test_an_error_on_a_later_page_is_not_the_end_of_the_list(world: World) -> None:
    world.add_many(150)
    pages = batches(world)
    next(pages)
    world.answer = lambda request: HttpResponse(403)

    with pytest.raises(ApiError):
        next(pages)


def test_a_server_that_leads_in_circles_is_an_error(world: World) -> None:
    world.answer = lambda request: json_answer(
        {"tasks": [{"taskId": "job-1", "status": "Running"}], "nextToken": "again"}
    )

    with pytest.raises(PagingError):
        ids(world)


# Filters


def test_a_prefix_lists_only_what_begins_with_it(world: World) -> None:
    world.add("run-1", "run-10", "run-1-a", "other", "my-run-1")

    assert set(ids(world, prefix="run-1-")) == {"run-1-a"}
    assert set(ids(world, prefix="run-1")) == {"run-1", "run-10", "run-1-a"}


def test_a_server_that_ignores_the_prefix_changes_nothing(world: World) -> None:
    tasks = [{"taskId": key, "status": "Running"} for key in ("run-1", "other", "run-2")]
    world.answer = lambda request: json_answer({"tasks": tasks})

    assert ids(world, prefix="run-") == ["run-1", "run-2"]


@pytest.mark.parametrize("ignored", [False, True], ids=["server filters", "server ignores the filter"])
@pytest.mark.parametrize("status", STATUSES)
def test_one_status_lists_exactly_it(world: World, status: str, ignored: bool) -> None:
    world.state.set_switches(ignore_status_filter=ignored)
    for word in STATUSES:
        world.add(f"job-{word}", statuses=[word])

    assert ids(world, statuses=(status,)) == [f"job-{status}"]
    assert [query["status"] for query in world.queries()] == [status]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("ignored", [False, True], ids=["server filters", "server ignores the filter"])
def test_terminal_statuses_with_an_order_are_one_listing_sorted_out_here(
    world: World, order: Any, ignored: bool
) -> None:
    world.state.set_switches(ignore_status_filter=ignored)
    for index in range(260):
        world.add(
            f"job-{index:03}",
            statuses=[TERMINAL_STATUSES[index * 7 % 5]],
            started_time=1_700_000_000_000 + index,
            submitted_seconds_ago=5000 - index,
        )
    chosen = ("Failed", "Succeeded")

    found = items(world, statuses=chosen, order=order, page_size=10)

    assert sorted(item.invocation_id for item in found) == sorted(
        f"job-{index:03}" for index in range(260) if TERMINAL_STATUSES[index * 7 % 5] in chosen
    )
    assert in_order(started(found), order)
    assert [query for query in world.queries() if "status" in query] == []
    assert len(world.sent) == 26, "one listing of everything"


def test_terminal_statuses_without_an_order_follow_each_other(world: World) -> None:
    world.add("job-1", statuses=["Failed"])
    world.add("job-2", statuses=["Succeeded"])

    assert ids(world, statuses=("Succeeded", "Failed")) == ["job-2", "job-1"]
    assert [query["status"] for query in world.queries()] == ["Succeeded", "Failed"]


def test_a_second_listing_is_not_begun_before_it_is_needed(world: World) -> None:
    world.add_many(150, status="Succeeded")
    world.add_many(1, status="Failed", prefix="bad-")

    next(batches(world, statuses=("Succeeded", "Failed")))

    assert [query["status"] for query in world.queries()] == ["Succeeded"]


@pytest.mark.parametrize("live", LIVE_STATUSES)
def test_a_live_status_among_several_makes_one_unfiltered_listing(world: World, live: str) -> None:
    for word in STATUSES:
        world.add(f"job-{word}", statuses=[word])

    assert set(ids(world, statuses=("Failed", live), order="asc")) == {"job-Failed", f"job-{live}"}
    assert ["status" in query for query in world.queries()] == [False]


def test_an_invocation_that_finishes_during_the_listing_is_not_lost(world: World) -> None:
    """It would be, if Running and Succeeded were listed one after the other."""
    world.add_many(30, status="Succeeded", prefix="a-")
    world.add("job-moving", statuses=["Running", "Succeeded"])

    assert "job-moving" in ids(world, statuses=("Succeeded", "Running"), page_size=10)


# The window


START_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"started_after": START_MS + 1}, [1, 2, 3, 4]),
        ({"started_before": START_MS + 3}, [0, 1, 2, 3]),
        ({"started_after": START_MS + 1, "started_before": START_MS + 3}, [1, 2, 3]),
        ({"started_after": START_MS + 2, "started_before": START_MS + 2}, [2]),
        ({"started_after": START_MS + 3, "started_before": START_MS + 1}, []),
        ({"started_after": START_MS + 5}, []),
        ({"started_after": 0}, [0, 1, 2, 3, 4]),
        ({"started_before": 0}, []),
    ],
    ids=["all", "from", "to", "both", "one instant", "the wrong way round", "none", "from 1970", "to 1970"],
)
@pytest.mark.parametrize("exclusive", [False, True], ids=["server includes the bounds", "server excludes them"])
def test_the_window_includes_its_bounds(
    world: World, window: dict[str, int], expected: list[int], exclusive: bool
) -> None:
    for index in range(5):
        world.add(str(index), statuses=["Succeeded"], started_time=START_MS + index)
    if exclusive:
        world.answer = excluding_the_bounds

    found = items(world, order="asc", **window)

    assert started(found) == [START_MS + index for index in expected]


def excluding_the_bounds(request: HttpRequest) -> HttpResponse:
    after = int(request.query.get("startedTimeBegin", -1))
    before = int(request.query.get("startedTimeEnd", 10**15))
    times = [START_MS + index for index in range(5)]
    tasks = [{"taskId": str(time), "status": "Failed", "startedTime": time} for time in times if after < time < before]
    return json_answer({"tasks": tasks})


@pytest.mark.parametrize("moment", [0, 1, START_MS])
def test_no_negative_time_is_sent(world: World, moment: int) -> None:
    items(world, started_after=moment, started_before=moment)

    assert int(world.queries()[0].get("startedTimeBegin", "0")) >= 0
    assert int(world.queries()[0].get("startedTimeEnd", "0")) >= 0


@pytest.mark.parametrize(
    "window",
    [
        {"started_after": START_MS + 1, "started_before": START_MS},
        {"started_after": "2026-11-23T00:00:00Z", "started_before": "2026-11-22T00:00:00+00:00"},
        {"started_after": START_MS, "started_before": 0},
    ],
    ids=str,
)
def test_a_window_that_ends_before_it_begins_is_refused(window: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=r"^started_after: is later than started_before"):
        ListInvocations.from_parameters(function_ref("resize"), **window)


@pytest.mark.parametrize("time", [None, 0, "0"])
def test_an_invocation_without_a_start_time_passes_the_window(world: World, time: Any) -> None:
    world.answer = lambda request: json_answer({"tasks": [{"taskId": "a", "status": "Enqueued", "startedTime": time}]})

    assert ids(world, started_after=START_MS, started_before=START_MS + 1) == ["a"]


# Invocations that move while they are listed


@pytest.mark.parametrize("function", [function_ref(FUNCTION, "media"), FC_3], ids=["FC 2.0", "FC 3.0"])
def test_an_invocation_shown_on_two_pages_is_listed_once(world: World, function: Any) -> None:
    """New ones push what has been shown onto the next page of a server whose tokens are offsets."""
    world.state.set_switches(offset_tokens=True)
    service = function.service_name or ""
    world.add_many(25, service=service, submitted_seconds_ago=3600, submitted_seconds_apart=1)
    pages = batches(world, function=function, order="desc", page_size=10)

    found = next(pages)
    world.add_many(5, prefix="new-", service=service)
    found += [item for page in pages for item in page]

    listed = [item.invocation_id for item in found]
    assert len(listed) == len(set(listed))
    assert {f"job-{index:05}" for index in range(25)} <= set(listed)


# Any listing


SCRIPTS = st.lists(
    st.fixed_dictionaries(
        {
            "statuses": st.sampled_from([*STATUSES, "Paused"]).map(lambda status: [status]),
            "started_time": st.integers(START_MS, START_MS + 20),
            "submitted_seconds_ago": st.integers(0, 1000),
            "prefix": st.sampled_from(["run-1-", "run-10-", "x"]),
        }
    ),
    max_size=30,
)
MOMENTS = st.none() | st.integers(START_MS - 2, START_MS + 22)


@given(
    scripts=SCRIPTS,
    statuses=st.lists(st.sampled_from(list(STATUSES)), unique=True, max_size=4).map(tuple),
    prefix=st.sampled_from([None, "run-1", "run-1-", "none-"]),
    started_after=MOMENTS,
    started_before=MOMENTS,
    order=st.sampled_from([None, "asc", "desc"]),
    page_size=st.integers(1, 12),
    switches=st.fixed_dictionaries({"ignore_status_filter": st.booleans(), "offset_tokens": st.booleans()}),
)
def test_a_listing_is_what_a_filter_over_everything_would_give(
    scripts: list[dict[str, Any]],
    statuses: tuple[str, ...],
    prefix: str | None,
    started_after: int | None,
    started_before: int | None,
    order: Any,
    page_size: int,
    switches: dict[str, bool],
) -> None:
    world = over_the_wire(World())
    world.state.set_switches(**switches)
    for index, script in enumerate(scripts):
        world.add(f"{script['prefix']}{index}", **{key: value for key, value in script.items() if key != "prefix"})
    everything = items(over_the_wire(world))

    found = items(
        world,
        statuses=statuses,
        prefix=prefix,
        started_after=started_after,
        started_before=started_before,
        order=order,
        page_size=page_size,
    )

    def wanted(item: Invocation) -> bool:
        # The server's own window hides what never started.
        hidden = item.started_time is None and (started_after is not None or started_before is not None)
        time = item.started_time or 0
        return (
            not hidden
            and (not statuses or item.status in statuses)
            and item.invocation_id.startswith(prefix or "")
            and (started_after is None or time >= started_after)
            and (started_before is None or time <= started_before)
        )

    assert sorted(item.invocation_id for item in found) == sorted(
        item.invocation_id for item in everything if wanted(item)
    )
    if order and not any(item.started_time is None for item in found):
        assert in_order(started(found), order)


# Memory


def endless(world: World, how_many: int) -> World:
    """A server that makes each page up when it is asked for, so that only our own memory is measured."""

    def answer(request: HttpRequest) -> HttpResponse:
        world.sent.clear()
        first = int(request.query.get("nextToken", "0"))
        rows = ",".join(f'{{"taskId":"job-{index:07}","status":"Running"}}' for index in range(first, first + 100))
        token = str(first + 100) if first + 100 < how_many else ""
        return HttpResponse(200, {}, f'{{"tasks":[{rows}],"nextToken":"{token}"}}'.encode())

    world.answer = answer
    return world


def mebibytes_to_list(how_many: int) -> float:
    world = endless(World(), how_many)
    tracemalloc.start()
    try:
        assert sum(len(batch) for batch in batches(world, order="asc")) == how_many
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_length_of_the_listing() -> None:
    small, large = mebibytes_to_list(10_000), mebibytes_to_list(100_000)

    assert large - small < TOO_MUCH_GROWTH, f"{small:.2f} MiB for 10,000 items, {large:.2f} MiB for 100,000"
