"""What polling a batch by prefix proves, and what it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from harness import START, World
from msgspec.structs import replace as replace_in_struct

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.batch import Batch, nothing_expected, unfinished
from airflow_provider_fc.core.errors import ApiError, TransportError, UnavailableError
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.invocations import STATUSES
from airflow_provider_fc.core.outcome import Kind, Summary

LIVE = ["Enqueued", "Dequeued", "Running", "Retrying", "Stopping"]
BAD = ["Failed", "Stopped", "Expired", "Invalid"]

VERDICTS = {
    **dict.fromkeys(LIVE, Kind.WAITING),
    "Succeeded": Kind.SUCCESS,
    **dict.fromkeys(BAD, Kind.FAILED),
    "Paused": Kind.WAITING,
}


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(("status", "kind"), VERDICTS.items())
@pytest.mark.parametrize("poll", ["first_poll", "poke"])
@pytest.mark.parametrize("how_many", [1, 150])
def test_a_status_means_the_same_in_every_poll(world: World, status: str, kind: Kind, poll: str, how_many: int) -> None:
    world.add_many(how_many - 1, prefix="job-a")
    world.add("job-z", statuses=[status])
    wait = world.wait(settle_seconds=0)

    outcome = world.kind_of(getattr(wait, poll)(world.context))

    # The first poll reads one page; more than one is the trigger's business.
    assert outcome == (Kind.WAITING if poll == "first_poll" and how_many > 100 else kind)


@pytest.mark.parametrize(("status", "kind"), VERDICTS.items())
@pytest.mark.parametrize("how_many", [1, 150])
def test_a_status_means_the_same_in_the_whole_wait(world: World, status: str, kind: Kind, how_many: int) -> None:
    world.add_many(how_many - 1, prefix="job-a")
    world.add("job-z", statuses=[status])

    outcome = world.kind_of(world.wait().run(world.context))

    assert outcome == (Kind.TIMEOUT if kind is Kind.WAITING else kind)


def test_every_documented_status_has_a_verdict() -> None:
    assert set(STATUSES) == VERDICTS.keys() - {"Paused"}


def test_an_unknown_status_is_named_when_time_is_up(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.add("job-1", statuses=["Paused"])

    outcome = world.run(world.wait().run(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert "Paused" in outcome.reason
    assert len([record for record in caplog.records if "'Paused' is a status" in record.message]) == 1


def test_nothing_found_waits(world: World) -> None:
    assert world.run(world.wait().run(world.context)).kind is Kind.TIMEOUT


FORGOTTEN = "an emulator restarted without --state has forgotten everything"
WHERE_ELSE = {
    "prefix": (
        {},
        "nothing found yet (check invocation_id_prefix 'job-', function_name 'resize', service_name (none: ",
    ),
    "count": ({"expected_count": 3}, "nothing found yet, 3 expected (check invocation_id_prefix 'job-', function_name"),
    "ids": (
        {"invocation_ids": ["job-1", "job-2"]},
        "nothing found yet, 2 expected (check invocation_ids, function_name",
    ),
    "time": (
        {"started_after": 1_795_814_530_984},
        "nothing found yet (check invocation_id_prefix 'job-', started_after 2026-11-27T21:22:10.984Z, function_name",
    ),
}


@pytest.mark.parametrize(("parameters", "text"), WHERE_ELSE.values(), ids=WHERE_ELSE)
@pytest.mark.parametrize("poll", ["first_poll", "poke"])
def test_where_nothing_is_found_the_message_names_what_else_it_may_be(
    world: World, parameters: dict[str, Any], text: str, poll: str
) -> None:
    outcome = world.run(getattr(world.wait(**parameters), poll)(world.context))

    assert outcome.reason.startswith(text)
    assert f"region_id, and that the function is in asynchronous task mode; {FORGOTTEN})" in outcome.reason


@pytest.mark.parametrize(
    ("endpoint", "named"),
    [
        (None, False),
        ("https://fcv3.cn-hangzhou.aliyuncs.com", False),
        ("http://1234567890123456.cn-hangzhou-internal.fc.aliyuncs.com", False),
        ("http://127.0.0.1:9000", True),
        ("https://fc.test", True),
    ],
)
def test_a_restarted_emulator_is_named_where_it_may_be_one(world: World, endpoint: str | None, named: bool) -> None:
    settings = replace(world.settings, endpoint=endpoint, region_id="cn-hangzhou")
    world.context = replace_in_struct(world.context, settings=settings)
    wait = world.wait()
    nothing_yet = world.run(wait.poke(world.context)).reason
    nothing = world.run(world.wait(on_empty="fail").poke(world.context)).reason
    world.add("job-1", statuses=["Running"], disappears_after=100)
    world.run(wait.poke(world.context))
    for _ in range(2):
        world.clock.sleep(120)
        lost = world.run(wait.poke(world.context))

    assert lost.kind is Kind.LOST
    assert f"or was removed{f' ({FORGOTTEN})' if named else ''}, so how it ended cannot be known" in lost.reason
    assert [FORGOTTEN in reason for reason in (nothing_yet, nothing)] == [named, named]


def test_where_nothing_is_found_the_service_and_the_qualifier_are_named() -> None:
    function = function_ref("resize", "media", "prod")

    reason = unfinished(Batch(function, prefix="job-"), Summary({}))

    assert reason is not None
    assert "service_name 'media', qualifier 'prod', region_id" in reason


def test_an_invocation_of_our_own_that_is_not_visible_yet_is_no_reason_to_doubt_the_parameters(world: World) -> None:
    batch = Batch(world.batch().function, ids=("job-1",), visible_within=300)

    assert unfinished(batch, Summary({})) == "nothing found yet, 1 expected"


@pytest.mark.parametrize(
    ("on_empty", "kind"), [("wait", Kind.WAITING), ("fail", Kind.EMPTY), ("succeed", Kind.SUCCESS)]
)
def test_on_empty_decides_after_a_confirmation(world: World, on_empty: str, kind: Kind) -> None:
    wait = world.wait(on_empty=on_empty)

    assert world.kind_of(wait.first_poll(world.context)) is Kind.WAITING
    assert world.kind_of(wait.poke(world.context)) is kind
    assert world.slept == ([] if on_empty == "wait" else [15.0])


@pytest.mark.parametrize("on_empty", ["wait", "fail"])
def test_whoever_finds_nothing_is_told_what_to_check(world: World, on_empty: str) -> None:
    reason = world.run(world.wait(on_empty=on_empty).poke(world.context)).reason

    assert "(check invocation_id_prefix 'job-', function_name 'resize', service_name (none: FC 3.0)" in reason
    assert reason.endswith(f"region_id, and that the function is in asynchronous task mode; {FORGOTTEN})")


def test_whoever_submits_nothing_is_told_what_to_check() -> None:
    outcome = nothing_expected(Batch(function_ref("resize"), prefix="job-", expected_count=0, on_empty="fail"))

    assert outcome.kind is Kind.EMPTY
    assert outcome.reason.endswith("were submitted (check what gives it, or set on_empty='succeed')")


def test_on_empty_never_decides_while_invocations_are_expected(world: World) -> None:
    wait = world.wait(on_empty="succeed", expected_count=1, settle_seconds=0)

    assert world.kind_of(wait.poke(world.context)) is Kind.WAITING


def test_what_appears_during_the_confirmation_of_nothing_is_waited_for(world: World) -> None:
    world.add("job-1", statuses=["Running"], appears_after=10)

    assert world.kind_of(world.wait(on_empty="succeed").poke(world.context)) is Kind.WAITING


@pytest.mark.parametrize(("found", "kind"), [(2, Kind.WAITING), (3, Kind.SUCCESS), (4, Kind.SUCCESS)])
def test_so_many_as_expected_must_be_there(world: World, found: int, kind: Kind) -> None:
    world.add_many(found)

    assert world.kind_of(world.wait(expected_count=3).poke(world.context)) is kind


def test_more_than_expected_is_worth_a_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.add_many(4)

    world.run(world.wait(expected_count=3).poke(world.context))

    assert "4 found (Succeeded 4) are more than the 3 expected" in caplog.text


@pytest.mark.parametrize(
    ("max_failed", "kind"), [(0, Kind.FAILED), (1, Kind.FAILED), (2, Kind.SUCCESS), (None, Kind.SUCCESS)]
)
def test_max_failed_is_how_many_may_end_badly(world: World, max_failed: int | None, kind: Kind) -> None:
    world.add("job-1", statuses=["Failed"])
    world.add("job-2", statuses=["Expired"])
    world.add("job-3", statuses=["Succeeded"])

    assert world.kind_of(world.wait(max_failed=max_failed).poke(world.context)) is kind


def test_other_terminal_statuses_can_count_as_success(world: World) -> None:
    world.add("job-1", statuses=["Stopped"])

    wait = world.wait(success_statuses=["Succeeded", "Stopped"], settle_seconds=0)

    assert world.kind_of(wait.poke(world.context)) is Kind.SUCCESS


def test_a_failure_names_counts_and_the_first_twenty_with_error_and_request_id(world: World) -> None:
    world.add_many(25, "Failed", error_message="ValueError: no image")
    world.add_many(75, prefix="job-x")

    outcome = world.run(world.wait().poke(world.context))

    assert "25 of 100 invocations of resize (prefix 'job-') ended badly (max_failed=0)" in outcome.reason
    assert "Failed 25, Succeeded 75" in outcome.reason
    assert outcome.reason.count("ValueError: no image [request id ") == 20
    assert "and 5 more" in outcome.reason
    assert len(outcome.summary.failed) == 20


def test_a_summary_has_counts_and_times(world: World) -> None:
    world.add("job-1", statuses=["Succeeded"], started_time=1_795_000_000_000, end_time=1_795_000_060_000)
    world.add("job-2", statuses=["Succeeded"], started_time=1_795_000_030_000, end_time=1_795_000_090_500)

    assert world.run(world.wait().poke(world.context)).summary.to_dict() == {
        "total": 2,
        "by_status": {"Succeeded": 2},
        "failed": [],
        "started_at": "2026-11-18T11:06:40.000Z",
        "ended_at": "2026-11-18T11:08:10.500Z",
    }


def test_ids_of_other_prefixes_do_not_belong_to_the_batch(world: World) -> None:
    world.add("job-1", statuses=["Succeeded"])
    world.add("jab-1", statuses=["Failed"])

    assert world.kind_of(world.wait(settle_seconds=0).poke(world.context)) is Kind.SUCCESS


# The start bound


def test_invocations_started_before_the_bound_do_not_belong_to_the_batch(world: World) -> None:
    world.add("job-old", statuses=["Running"], started_time=1_790_000_000_000)
    world.add("job-bad", statuses=["Failed"], started_time=1_790_000_000_000, end_time=1_790_000_000_001)
    world.add("job-new", statuses=["Succeeded"])

    outcome = world.run(world.wait(started_after=1_795_000_000_000).poke(world.context))

    assert outcome.kind is Kind.SUCCESS
    assert outcome.summary.total == 1


def test_a_queued_invocation_without_a_start_time_belongs_to_the_batch(world: World) -> None:
    world.add("job-queued", statuses=["Enqueued"])
    world.add("job-new", statuses=["Succeeded"])

    outcome = world.run(world.wait(started_after=1_795_000_000_000).poke(world.context))

    assert outcome.kind is Kind.WAITING


def test_probes_read_past_older_batches_when_there_is_a_start_bound(world: World) -> None:
    world.add_many(150, "Running", prefix="job-old", started_time=1_790_000_000_000)
    world.add("job-new", statuses=["Running"])
    wait = world.wait(started_after=1_795_000_000_000)

    outcome = world.run(wait.poke(world.context))

    assert outcome.reason == "at least one invocation is Running"


def test_the_start_bound_is_never_sent(world: World) -> None:
    world.add_many(150, "Running")

    world.run(world.wait(started_after=1_795_000_000_000).poke(world.context))

    assert not any("startedTimeBegin" in query for query in world.queries())


# The confirmation


def test_a_finished_listing_is_confirmed_after_settle_seconds(world: World) -> None:
    world.add_many(3)

    assert world.kind_of(world.wait(settle_seconds=15).poke(world.context)) is Kind.SUCCESS
    assert world.slept == [15.0]


def test_an_invocation_that_appears_during_the_confirmation_is_waited_for(world: World) -> None:
    world.add_many(3)
    world.add("job-late", statuses=["Succeeded"], appears_after=10)
    wait = world.wait()

    assert world.kind_of(wait.poke(world.context)) is Kind.WAITING
    assert world.run(wait.poke(world.context)).summary.total == 4


def test_an_invocation_that_vanishes_during_the_confirmation_is_not_done(world: World) -> None:
    world.add_many(3)
    world.add("job-brief", statuses=["Succeeded"], disappears_after=10)

    assert world.kind_of(world.wait().poke(world.context)) is Kind.WAITING


def test_the_first_poll_leaves_what_needs_confirmation_to_the_trigger(world: World) -> None:
    world.add_many(3)

    assert world.kind_of(world.wait().first_poll(world.context)) is Kind.WAITING
    assert world.slept == []


@pytest.mark.parametrize(
    ("parameters", "script", "confirmed"),
    [
        pytest.param({"settle_seconds": 0}, {}, False, id="settle_seconds=0 turns it off"),
        pytest.param({"expected_count": 3}, {}, False, id="one page with the expected count"),
        pytest.param({}, {"submitted_seconds_ago": 3600}, False, id="one page over ten minutes old"),
        pytest.param({}, {"submitted_seconds_ago": 300}, True, id="one page five minutes old"),
        pytest.param({}, {}, True, id="one fresh page"),
    ],
)
def test_when_a_confirmation_is_needed(
    world: World, parameters: dict[str, int], script: dict[str, int], confirmed: bool
) -> None:
    world.add_many(3, **script)

    assert world.kind_of(world.wait(**parameters).poke(world.context)) is Kind.SUCCESS
    assert world.slept == ([15.0] if confirmed else [])


def test_several_pages_are_confirmed_even_with_the_expected_count(world: World) -> None:
    world.add_many(150, submitted_seconds_ago=3600)

    assert world.kind_of(world.wait(expected_count=150).poke(world.context)) is Kind.SUCCESS
    assert world.slept == [15.0]


def row(invocation_id: str, status: str, **fields: Any) -> dict[str, Any]:
    times = {"startedTime": round(START.timestamp() * 1000), "endTime": round(START.timestamp() * 1000) + 9}
    return {"taskId": invocation_id, "status": status, **times, **fields}


def page(*rows: dict[str, Any], **fields: Any) -> HttpResponse:
    body = {"tasks": list(rows), **fields}
    date = START.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return HttpResponse(200, {"date": date}, json.dumps(body).encode())


def test_the_verdict_is_that_of_the_listing_that_confirms(world: World) -> None:
    pages = iter([page(row("job-1", "Succeeded")), page(row("job-1", "Failed"))])
    world.answer = lambda request: next(pages)

    assert world.run(world.wait().poke(world.context)).kind is Kind.FAILED


@pytest.mark.parametrize("statuses", [("Failed", "Succeeded"), ("Succeeded", "Failed")])
def test_of_two_ends_of_one_id_the_bad_one_counts(world: World, statuses: tuple[str, str]) -> None:
    world.answer = lambda request: page(*(row("job-1", status) for status in statuses))

    outcome = world.run(world.wait(settle_seconds=0).poke(world.context))

    assert outcome.kind is Kind.FAILED
    assert outcome.summary.by_status == {"Failed": 1}


def test_one_that_shows_a_start_before_the_bound_only_later_stays_in_the_batch(world: World) -> None:
    bound = round(START.timestamp() * 1000)
    pages = iter(
        [
            page(row("job-1", "Enqueued", startedTime=0)),
            page(row("job-1", "Running", startedTime=bound - 2000), row("job-2", "Succeeded")),
            page(row("job-1", "Failed", startedTime=bound - 2000), row("job-2", "Succeeded")),
        ]
    )
    world.answer = lambda request: next(pages)
    wait = world.wait(started_after=bound, settle_seconds=0)

    assert [world.kind_of(wait.poke(world.context)) for _ in range(3)] == [Kind.WAITING, Kind.WAITING, Kind.FAILED]


def test_a_finished_one_without_an_end_time_is_not_taken_for_old(world: World) -> None:
    hours_ago = round((START - timedelta(hours=1)).timestamp() * 1000)
    world.answer = lambda request: page(row("job-1", "Succeeded", startedTime=hours_ago, endTime=0))

    world.run(world.wait().poke(world.context))

    assert world.slept == [15]


@pytest.mark.parametrize("status", ["Retrying", "Failed"])
@pytest.mark.parametrize("end", ["asc", "desc"])
def test_one_that_moved_behind_both_listings_is_found(world: World, end: str, status: str) -> None:
    """It moves to an end of the listing whenever a reading has passed that end, and may end there."""
    others = [row(f"job-{index:03}", "Succeeded") for index in range(150)]
    moved = row("job-x", status, startedTime=0)

    def answer(request: HttpRequest) -> HttpResponse:
        asked = request.query
        if "status" in asked:
            return HttpResponse(400, {}, b'{"Code": "InvalidArgument"}')
        if "nextToken" in asked:
            return page(*others[99:])
        first_pages = sum("nextToken" not in each.query and "status" not in each.query for each in world.sent)
        shown = first_pages > 2 and asked["sortOrderByTime"] == end
        return page(*([moved] if shown else []), *others[:99], nextToken="1")

    world.answer = answer

    wait = world.wait()
    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    assert wait.watch.live_id == ("job-x" if status == "Retrying" else None)  # the next poll begins with it


def test_what_is_live_in_the_confirmation_is_what_the_next_poll_begins_with(world: World) -> None:
    world.add_many(150, submitted_seconds_ago=60)
    world.add("job-late", statuses=["Enqueued"], appears_after=10, submitted_seconds_ago=3600)
    wait = world.wait()

    assert world.kind_of(wait.poke(world.context)) is Kind.WAITING
    assert world.slept == [15]
    assert world.requests_of(wait.poke(world.context))[1] == 1


def test_a_settled_listing_is_confirmed_the_other_way_round(world: World) -> None:
    world.add_many(150)

    world.run(world.wait().poke(world.context))

    orders = [(query["sortOrderByTime"], "nextToken" in query) for query in world.queries() if "status" not in query]
    newest_first, oldest_first = [("desc", False), ("desc", True)], [("asc", False), ("asc", True)]
    assert orders == [*newest_first, *oldest_first, ("asc", False), ("desc", False)]


def test_a_confirmation_that_would_end_after_the_deadline_is_not_begun(world: World) -> None:
    world.add_many(3)

    assert world.kind_of(world.wait(timeout=10).poke(world.context)) is Kind.WAITING
    assert world.slept == []


# The cost


def steady(world: World, how_many: int, status: str) -> None:
    world.add_many(how_many - 1, prefix="job-a")
    world.add("job-z", statuses=[status])


@pytest.mark.parametrize("status", LIVE)
def test_a_poll_of_ten_thousand_with_a_live_one_takes_at_most_six_requests(world: World, status: str) -> None:
    steady(world, 10_000, status)
    wait = world.wait()

    costs = [world.requests_of(wait.poke(world.context))[1] for _ in range(4)]

    assert costs[0] <= 6
    assert costs[1:] == [1, 1, 1]


@pytest.mark.parametrize("status", LIVE)
def test_a_poll_without_memory_takes_at_most_six_requests(world: World, status: str) -> None:
    steady(world, 10_000, status)

    outcome, requests = world.requests_of(world.wait().poke(world.context))

    assert outcome is not None
    assert outcome.kind is Kind.WAITING
    assert requests <= 6


def test_a_poll_that_begins_with_running_ones_takes_two_requests_without_memory(world: World) -> None:
    world.add("job-z", statuses=["Running"])
    world.clock.sleep(60)
    world.add_many(10_000, prefix="job-a")

    assert world.requests_of(world.wait().poke(world.context))[1] == 2


def test_a_batch_of_one_page_is_listed_with_one_request(world: World) -> None:
    steady(world, 100, "Retrying")
    wait = world.wait()

    assert [world.requests_of(wait.poke(world.context))[1] for _ in range(3)] == [1, 1, 1]


def test_a_finished_batch_costs_two_listings_both_ends_and_a_few_filters(world: World) -> None:
    world.add_many(10_000)

    outcome, requests = world.requests_of(world.wait().poke(world.context))

    assert outcome is not None
    assert outcome.kind is Kind.SUCCESS
    assert requests == 1 + 2 * 100 + 2 * 3


def test_a_finished_batch_of_one_page_costs_two_requests(world: World) -> None:
    world.add_many(100)

    outcome, requests = world.requests_of(world.wait().poke(world.context))

    assert outcome is not None
    assert outcome.kind is Kind.SUCCESS
    assert requests == 2


def test_a_live_status_that_changes_costs_nothing(world: World) -> None:
    world.add_many(150, prefix="job-a")
    world.add("job-z", timeline=[[0, "Running"], [30, "Stopping"]])
    wait = world.wait()
    world.run(wait.poke(world.context))
    world.clock.sleep(60)

    outcome, requests = world.requests_of(wait.poke(world.context))

    assert outcome is not None
    assert outcome.reason == "at least one invocation is Stopping"
    assert requests == 1


def test_when_the_live_one_has_ended_another_is_found_with_three_requests(world: World) -> None:
    world.add("job-y", timeline=[[0, "Running"], [500, "Succeeded"]])
    world.clock.sleep(10)
    world.add_many(10_000, prefix="job-a")
    world.add("job-z", timeline=[[0, "Running"], [30, "Succeeded"]])
    wait = world.wait()

    costs = []
    for _ in range(4):
        costs.append(world.requests_of(wait.poke(world.context))[1])
        world.clock.sleep(60)

    assert costs == [1, 3, 1, 1]  # job-z; job-z, the first page, the filter; job-y


def test_a_watch_that_is_told_of_a_live_one_begins_with_one_request(world: World) -> None:
    world.add("job-z", statuses=["Enqueued"])
    world.add_many(10_000, prefix="job-a", submitted_seconds_ago=-60)
    wait = world.wait()
    wait.watch.live_id = "job-z"

    assert world.requests_of(wait.poke(world.context))[1] == 1


@pytest.mark.parametrize("given", [{}, {"invocation_ids": ["job-1"]}], ids=["prefix", "ids"])
def test_a_live_one_of_another_batch_that_was_noted_does_not_hold_up_this_one(
    world: World, given: dict[str, Any]
) -> None:
    world.add("job-1", statuses=["Succeeded"])
    world.add("other-1", statuses=["Running"])
    wait = world.wait(**given)
    wait.watch.live_id = "other-1"

    assert world.kind_of(wait.poke(world.context)) is Kind.SUCCESS


def test_listings_that_fail_are_kept_apart_as_well(world: World) -> None:
    world.add_many(5_000)
    world.seconds_per_request = 0.2
    world.answer = lambda request: TransportError("reset") if len(world.sent) % 60 == 59 else None
    wait = world.wait(expected_count=6_000)

    costs = []
    for _ in range(3):
        costs.append(world.requests_of(wait.poke(world.context))[1])
        world.clock.sleep(60)

    assert costs[0] > 50
    assert max(costs[1:]) <= 6


def test_complete_listings_of_settled_but_incomplete_batches_are_kept_apart(world: World) -> None:
    world.seconds_per_request = 0.5
    world.add_many(1000)
    wait = world.wait(expected_count=2000, settle_seconds=0)
    world.run(wait.poke(world.context))

    outcome, requests = world.requests_of(wait.poke(world.context))

    assert outcome is not None
    assert outcome.reason == (
        "nothing new, the next complete listing comes at 08:00:25 UTC; "
        "the last one: 1000 found (Succeeded 1000), 2000 expected "
        "(if no more were submitted, correct expected_count; else see whether all ids begin with the prefix)"
    )
    assert requests == 2  # the first page and the filter; there were ten pages, so the next listing is due after 20 s

    world.clock.sleep(20)
    assert world.requests_of(wait.poke(world.context))[1] == 11


# Filters that cannot be trusted


def test_a_server_that_ignores_the_status_filter_is_noticed_and_judged_by_whole_listings(world: World) -> None:
    world.state.set_switches(ignore_status_filter=True)
    steady(world, 150, "Running")
    wait = world.wait(settle_seconds=0)

    assert world.run(wait.poke(world.context)).kind is Kind.WAITING

    world.clock.sleep(120)
    before = len(world.sent)
    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    assert [query.get("status") for query in world.queries()[before:]] == [None]


def test_a_server_that_ignores_the_status_filter_still_gives_the_right_end(world: World) -> None:
    world.state.set_switches(ignore_status_filter=True)
    world.add_many(150)

    assert world.run(world.wait().poke(world.context)).kind is Kind.SUCCESS


@pytest.mark.parametrize("rejected", [["Dequeued"], ["Running"], LIVE])
@pytest.mark.parametrize(("status", "kind"), [("Retrying", Kind.WAITING), ("Succeeded", Kind.SUCCESS)])
def test_a_refused_status_filter_never_fails_the_wait(
    world: World, rejected: list[str], status: str, kind: Kind
) -> None:
    world.state.set_switches(reject_status=rejected)
    steady(world, 150, status)

    assert world.run(world.wait().poke(world.context)).kind is kind


def test_a_page_token_that_is_refused_to_a_probe_makes_its_filter_useless(world: World) -> None:
    world.add_many(150, "Running", prefix="job-old-", submitted_seconds_ago=3600)
    world.add("job-new", statuses=["Succeeded"])
    world.answer = lambda request: (
        HttpResponse(400, {}, b'{"Code": "InvalidArgument"}')
        if {"status", "nextToken"} <= request.query.keys()
        else None
    )

    assert world.run(world.wait(started_after=START).poke(world.context)).kind is Kind.SUCCESS


def test_a_refused_status_filter_is_not_sent_again(world: World) -> None:
    world.state.set_switches(reject_status=["Running"])
    world.add_many(150)
    wait = world.wait(expected_count=200)
    for _ in range(3):
        world.run(wait.poke(world.context))

    assert [query.get("status") for query in world.queries()].count("Running") == 1


def test_a_listing_that_lags_does_not_end_the_wait_early(world: World) -> None:
    world.state.set_switches(list_lag=5)
    world.add("job-1", timeline=[[0, "Running"], [20, "Succeeded"]], submitted_seconds_ago=10)
    world.add("job-2", statuses=["Succeeded"], submitted_seconds_ago=2)
    wait = world.wait()

    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    world.clock.sleep(30)
    outcome = world.run(wait.poke(world.context))
    assert outcome.kind is Kind.SUCCESS
    assert outcome.summary.total == 2


def test_offset_tokens_give_the_right_verdict(world: World) -> None:
    world.state.set_switches(offset_tokens=True)
    steady(world, 350, "Succeeded")

    outcome = world.run(world.wait().poke(world.context))

    assert outcome.kind is Kind.SUCCESS
    assert outcome.summary.total == 350


def test_an_invocation_listed_twice_in_one_listing_counts_once_and_as_the_live_one(world: World) -> None:
    first = b'{"tasks": [{"taskId": "job-1", "status": "Failed"}], "nextToken": "t"}'
    second = b'{"tasks": [{"taskId": "job-1", "status": "Retrying"}]}'
    world.answer = lambda request: HttpResponse(200, {}, second if "nextToken" in request.query else first)

    outcome = world.run(world.wait(fail_fast=True, max_failed=5).poke(world.context))

    assert outcome.kind is Kind.WAITING
    assert outcome.summary.by_status == {"Retrying": 1}


def test_a_start_time_that_changes_on_retry_does_not_end_the_wait_early(world: World) -> None:
    world.state.set_switches(reset_start_on_retry=True, offset_tokens=True)
    world.add_many(150)
    world.add("job-00000a", timeline=[[0, "Running"], [30, "Retrying"], [90, "Running"], [200, "Succeeded"]])
    wait = world.wait()
    kinds = []
    while not kinds or kinds[-1] is Kind.WAITING:
        kinds.append(world.run(wait.poke(world.context)).kind)
        world.clock.sleep(20)

    assert kinds[-1] is Kind.SUCCESS
    assert world.clock.now() - START >= timedelta(seconds=200)


# Vanishing


def test_an_invocation_seen_live_that_is_gone_is_an_error_not_a_success(world: World) -> None:
    world.add("job-1", statuses=["Succeeded"])
    world.add("job-2", statuses=["Running"], disappears_after=100)
    wait = world.wait()
    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    world.clock.sleep(120)

    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    world.clock.sleep(60)
    outcome = world.run(wait.poke(world.context))

    assert outcome.kind is Kind.LOST
    assert "no longer listed" in outcome.reason


@pytest.mark.parametrize("which", [{}, {"invocation_ids": ["job-1"]}], ids=["prefix", "ids"])
@pytest.mark.parametrize(("endpoint", "why"), [("http://127.0.0.1:9000", f" ({FORGOTTEN})"), (None, "")])
def test_where_all_that_was_there_is_gone_nothing_is_called_not_found_yet(
    world: World, which: dict[str, Any], endpoint: str | None, why: str
) -> None:
    settings = replace(world.settings, endpoint=endpoint, region_id="cn-hangzhou")
    world.context = replace_in_struct(world.context, settings=settings)
    world.add("job-1", statuses=["Running"], disappears_after=100)
    wait = world.wait(**which)
    world.run(wait.poke(world.context))
    world.clock.sleep(120)

    reason = world.run(wait.poke(world.context)).reason

    assert reason.startswith(f"nothing found any more, though 1 was there{why}")


def test_one_that_listings_miss_but_that_exists_is_not_lost(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    world.add("job-2", statuses=["Succeeded"])
    wait = world.wait()
    world.run(wait.poke(world.context))
    world.answer = lambda request: None if request.path.endswith("/job-1") else page(row("job-2", "Succeeded"))

    for _ in range(5):
        world.clock.sleep(60)
        assert world.run(wait.poke(world.context)).kind is Kind.WAITING


def test_an_invocation_that_is_listed_again_was_never_lost(world: World) -> None:
    world.add_many(3)
    world.add("job-x", statuses=["Running", "Running", "Succeeded"])
    wait = world.wait(settle_seconds=0)
    world.run(wait.poke(world.context))
    empty = HttpResponse(200, {}, b'{"tasks": [{"taskId": "job-00000", "status": "Succeeded"}]}')
    world.answer = lambda request: empty

    assert world.run(wait.poke(world.context)).kind is Kind.WAITING
    world.answer = lambda request: None
    world.clock.sleep(60)
    world.run(wait.poke(world.context))
    assert world.run(wait.poke(world.context)).kind is Kind.SUCCESS


@pytest.mark.parametrize(
    ("parameters", "kind"), [({}, Kind.LOST), ({"expected_count": 3}, Kind.SUCCESS), ({"max_failed": None}, Kind.LOST)]
)
def test_a_verdict_after_the_records_may_have_expired_needs_a_count(
    world: World, parameters: dict[str, int], kind: Kind
) -> None:
    wait = world.wait(timeout=8 * 86_400, **parameters)
    world.clock.moment += timedelta(days=6.6)
    world.add_many(3)

    assert world.run(wait.poke(world.context)).kind is kind


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({}, Kind.LOST),
        ({"max_failed": 5}, Kind.LOST),
        ({"max_failed": None}, Kind.SUCCESS),  # what failed and is no longer listed would not matter either
        ({"expected_count": 2}, Kind.SUCCESS),
        ({"started_after": START - timedelta(days=6)}, Kind.SUCCESS),
    ],
)
def test_a_wait_that_begins_when_records_of_the_batch_may_have_expired_needs_a_count(
    world: World, parameters: dict[str, Any], kind: Kind
) -> None:
    world.add("job-old", statuses=["Succeeded"], submitted_seconds_ago=6.6 * 86_400)
    world.add("job-new", statuses=["Succeeded"])

    outcome = world.run(world.wait(**parameters).poke(world.context))

    assert outcome.kind is kind
    assert kind is Kind.SUCCESS or "began 6.6 days ago" in outcome.reason


# Failing fast


def test_fail_fast_fails_while_others_are_running(world: World) -> None:
    world.add("job-1", statuses=["Failed"])
    world.add("job-2", statuses=["Running"])

    assert world.run(world.wait(fail_fast=True).poke(world.context)).kind is Kind.FAILED


def test_fail_fast_over_several_pages_asks_each_failure_status_once(world: World) -> None:
    steady(world, 150, "Running")
    world.add("job-b", statuses=["Expired"])
    wait = world.wait(fail_fast=True, max_failed=1)
    world.run(wait.poke(world.context))
    before = len(world.sent)

    assert world.run(wait.poke(world.context)).kind is Kind.WAITING

    asked = [(query.get("status"), query.get("limit")) for query in world.queries()[before:]]
    assert asked == [(None, None), ("Failed", "2"), ("Stopped", "2"), ("Expired", "2"), ("Invalid", "2")]


def test_fail_fast_over_several_pages_judges_by_a_whole_listing(world: World) -> None:
    steady(world, 250, "Running")
    world.add("job-b", statuses=["Failed"])

    outcome = world.run(world.wait(fail_fast=True).poke(world.context))

    assert outcome.kind is Kind.FAILED
    assert outcome.summary.by_status == {"Failed": 1, "Running": 1, "Succeeded": 249}


def test_fail_fast_within_max_failed_waits(world: World) -> None:
    steady(world, 250, "Running")
    world.add("job-b", statuses=["Failed"])

    assert world.run(world.wait(fail_fast=True, max_failed=1).poke(world.context)).kind is Kind.WAITING


def test_fail_fast_with_useless_filters_reads_whole_listings(world: World) -> None:
    world.state.set_switches(ignore_status_filter=True)
    steady(world, 250, "Running")
    world.add("job-b", statuses=["Failed"])

    assert world.run(world.wait(fail_fast=True).poke(world.context)).kind is Kind.FAILED


# Errors


@pytest.mark.parametrize("error", [TransportError("reset"), UnavailableError("ListAsyncTasks", 503, None, "", None)])
def test_a_page_that_cannot_be_read_voids_the_poll(world: World, error: Exception) -> None:
    world.add_many(150)
    answers = iter([None, None, None, None, None, None, error])
    world.answer = lambda request: next(answers, None)

    assert world.run(world.wait().poke(world.context)) is None


def test_a_refused_listing_ends_the_wait(world: World) -> None:
    world.answer = lambda request: HttpResponse(403, {}, b'{"Code": "AccessDenied", "Message": "no"}')

    with pytest.raises(ApiError, match="AccessDenied"):
        world.run(world.wait().poke(world.context))


def test_an_error_under_a_200_does_not_hide_the_rest_of_a_listing(world: World) -> None:
    world.add_many(150)
    world.add("job-z", statuses=["Failed"])
    error = HttpResponse(200, {}, b'{"Code": "InternalError", "Message": "try again"}')
    world.answer = lambda request: error if "nextToken" in request.query else None

    assert world.run(world.wait().poke(world.context)) is None


def test_old_failures_that_do_not_belong_cost_two_pages_for_each_status(world: World) -> None:
    world.add_many(400, "Failed", prefix="job-old", started_time=1_790_000_000_000, end_time=1_790_000_000_001)
    world.add("job-new", statuses=["Running"])
    wait = world.wait(started_after=1_795_000_000_000, fail_fast=True)
    world.run(wait.poke(world.context))

    outcome, requests = world.requests_of(wait.poke(world.context))

    assert outcome is not None
    assert outcome.kind is Kind.WAITING
    assert requests <= 12
