"""The wait around the polls: when it sleeps, what it tolerates, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from harness import START, World
from msgspec import structs

from airflow_provider_fc.core.batch_listing import SPACING_PER_PAGE
from airflow_provider_fc.core.errors import AccessDeniedError, ApiError, CertificateError, TransportError
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.outcome import Kind


@pytest.fixture
def world() -> World:
    return World()


def status(code: int, name: str = "", **headers: str) -> HttpResponse:
    return HttpResponse(code, headers, b'{"Code": "%s", "Message": "m"}' % name.encode())


def test_the_first_sleep_is_five_seconds_and_a_share_of_the_interval(world: World) -> None:
    world.run(world.wait(poll_interval=30).run(world.context))

    assert world.slept[0] == 5 + 0.5 * 30


def test_the_first_sleep_spreads_over_a_minute_at_most(world: World) -> None:
    world.run(world.wait(poll_interval=600).run(world.context))

    assert world.slept[0] == 5 + 0.5 * 60


def test_later_sleeps_are_the_interval_give_or_take_ten_percent(world: World) -> None:
    world.run(world.wait(poll_interval=100).run(world.context))

    assert set(world.slept[1:-1]) == {100.0}


def test_exponential_backoff_doubles_up_to_max_wait(world: World) -> None:
    world.run(world.wait(poll_interval=10, exponential_backoff=True, max_wait=60).run(world.context))

    assert world.slept[1:6] == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_the_wait_ends_at_the_deadline_with_the_last_counts(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    world.add("job-2", statuses=["Succeeded"])

    outcome = world.run(world.wait(timeout=1000, poll_interval=300).run(world.context))

    assert world.clock.now() - START == timedelta(seconds=1000)
    assert outcome.kind is Kind.TIMEOUT
    assert outcome.reason == "1 ended, 1 unfinished: Running 1"


def test_a_batch_that_ends_with_the_deadline_is_still_judged(world: World) -> None:
    world.add("job-1", timeline=[[0, "Running"], [999, "Failed"]])

    assert world.run(world.wait(timeout=1000, poll_interval=300).run(world.context)).kind is Kind.FAILED


def test_a_wait_begun_after_its_deadline_ends_at_once_as_a_timeout(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    wait = world.wait(timeout=1000)
    world.clock.sleep(5000)

    assert world.run(wait.run(world.context)).kind is Kind.TIMEOUT
    assert world.slept == []


def test_a_poke_that_ends_after_the_deadline_gives_the_last_counts(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    wait = world.wait(timeout=1000)
    world.clock.sleep(1001)

    outcome = world.run(wait.poke(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert outcome.summary.by_status == {"Running": 1}


def test_a_poke_whose_poll_takes_the_rest_of_the_time_is_the_last(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    wait = world.wait(timeout=1)
    world.seconds_per_request = 2.0

    outcome = world.run(wait.poke(world.context))

    assert outcome.kind is Kind.TIMEOUT


def test_a_restart_in_mid_wait_changes_neither_deadline_nor_outcome(world: World) -> None:
    world.add("job-1", timeline=[[0, "Running"], [700, "Succeeded"]])
    first = world.wait(timeout=1000)
    second = world.wait(timeout=1000)
    flow = first.run(world.context)
    next(flow)
    flow.close()
    world.clock.sleep(500)

    assert world.run(second.run(world.context)).kind is Kind.SUCCESS
    assert second.schedule.deadline == START + timedelta(seconds=1000)


FAULTS = {
    "reset": TransportError("connection reset"),
    "500": status(500, "InternalServerError"),
    "503": status(503, "ServiceUnavailable"),
    "429": status(429, "ResourceExhausted"),
    "throttled": status(400, "Throttling.User"),
    "truncated JSON": HttpResponse(200, {}, b'{"tasks": [{"task'),
    "HTML": HttpResponse(502, {}, b"<html>Bad Gateway</html>"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_transient_error_never_ends_a_wait(world: World, fault: HttpResponse | Exception) -> None:
    world.add("job-1", timeline=[[0, "Running"], [2000, "Succeeded"]])
    world.answer = lambda request: fault if world.clock.now() - START < timedelta(seconds=2500) else None

    assert world.run(world.wait().run(world.context)).kind is Kind.SUCCESS


@pytest.mark.parametrize("way", ["first_poll", "poke", "run"])
def test_a_certificate_that_was_never_accepted_ends_a_wait_at_once(world: World, way: str) -> None:
    world.add("job-1", statuses=["Running"])
    world.answer = lambda request: CertificateError("self-signed")
    wait = world.wait()

    with pytest.raises(CertificateError):
        world.run(getattr(wait, way)(world.context))

    assert world.clock.now() - START < timedelta(minutes=1)
    assert len(world.sent) == 1


def test_a_certificate_that_was_accepted_before_may_be_renewed_late(world: World) -> None:
    world.add("job-1", timeline=[[0, "Running"], [2000, "Succeeded"]])
    expired = (timedelta(seconds=500), timedelta(seconds=2500))
    world.answer = lambda request: (
        CertificateError("expired") if expired[0] < world.clock.now() - START < expired[1] else None
    )

    assert world.run(world.wait().run(world.context)).kind is Kind.SUCCESS


def test_a_fault_that_lasts_to_the_deadline_ends_as_a_timeout(world: World) -> None:
    world.answer = lambda request: TransportError("connection reset")

    outcome = world.run(world.wait().run(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert outcome.reason == "the last poll failed (connection reset); before it: not polled yet"


def test_a_last_poll_that_fails_leaves_what_was_known(world: World) -> None:
    world.add_many(500, "Running")
    world.answer = lambda request: (
        TransportError("connection reset") if world.clock.now() >= START + timedelta(hours=1) else None
    )

    outcome = world.run(world.wait().run(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert outcome.reason == ("the last poll failed (connection reset); before it: at least one invocation is Running")


def test_polls_are_a_second_apart_even_where_no_interval_is_wanted(world: World) -> None:
    world.add("job-1", statuses=["Running"])

    world.run(world.wait(timeout=100, poll_interval=0).run(world.context))

    assert min(world.slept[1:-1]) >= 1


def test_an_hour_of_settled_but_incomplete_listings_is_quiet(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.add_many(1_000)
    world.seconds_per_request = 0.2

    world.run(world.wait(poll_interval=10, expected_count=2_000).run(world.context))

    assert len([record for record in caplog.records if record.levelno >= logging.INFO]) <= 20


def test_a_fault_is_logged_when_it_starts_and_when_it_ends(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.add("job-1", statuses=["Running"])
    world.answer = lambda request: (
        TransportError("connection reset") if 500 < (world.clock.now() - START).total_seconds() < 2500 else None
    )

    world.run(world.wait().run(world.context))

    assert caplog.text.count("Could not poll, the wait goes on: connection reset") == 1
    assert caplog.text.count("Function Compute answers again") == 1


@pytest.mark.parametrize("way", ["poke", "run"])
def test_a_poll_that_the_deadline_cuts_off_is_no_fault_in_the_log(
    world: World, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.add_many(500)
    world.seconds_per_request = 20.0
    wait = world.wait(timeout=25, poll_interval=5)

    outcome = world.run(getattr(wait, way)(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert outcome.reason == wait.known == "the last poll was not over in time; before it: not polled yet"
    assert "Could not poll" not in caplog.text
    assert "answers again" not in caplog.text


def test_what_is_known_names_what_the_last_poll_failed_on_until_one_succeeds(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    wait = world.wait()
    world.answer = lambda request: TransportError("connection reset")
    world.run(wait.poke(world.context))
    assert wait.known == "the last poll failed (connection reset); before it: not polled yet"

    world.answer = lambda request: None
    world.run(wait.poke(world.context))
    assert wait.known == "1 found (Running 1); 0 ended, 1 unfinished: Running 1"


@pytest.mark.parametrize(("code", "name"), [(400, "InvalidArgument"), (401, ""), (403, "AccessDenied")])
def test_a_permanent_error_ends_the_wait_at_once(world: World, code: int, name: str) -> None:
    world.answer = lambda request: status(code, name)

    with pytest.raises(Exception, match=f"HTTP {code}"):
        world.run(world.wait().run(world.context))
    assert len(world.sent) == 1


# Refusals that nothing explains

UNEXPLAINED = {
    "nothing": b"",
    "a proxy's page": b"<html>Bad Request</html>",
    "a code that was cut off": b'{"Code": "InvalidArgum',
    "a message alone": b'{"Message": "bad request"}',
    "a list": b'["InvalidArgument"]',
}
REFUSALS = sorted({*range(400, 418), 421, 422, 423, 424, 426, 428, 431, 451} - {401, 403, 408})
ASKED: dict[str, dict[str, Any]] = {"a prefix": {}, "ids": {"invocation_ids": ["job-1"]}}
"""What lists, and what asks for one."""


def refusing(world: World, refusal: HttpResponse, *, begins: float = 500, ends: float = 2500) -> None:
    """Answer everything so for a while."""
    world.answer = lambda request: refusal if begins < (world.clock.now() - START).total_seconds() < ends else None


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("body", UNEXPLAINED.values(), ids=UNEXPLAINED)
@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_without_an_error_code_does_not_end_a_wait_that_was_answered_before(
    world: World, code: int, body: bytes, asked: dict[str, Any]
) -> None:
    world.add("job-1", timeline=[[0, "Running"], [2000, "Succeeded"]])
    refusing(world, HttpResponse(code, {}, body))

    assert world.run(world.wait(**asked).run(world.context)).kind is Kind.SUCCESS


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_with_an_error_code_ends_a_wait_that_was_answered_before(
    world: World, code: int, asked: dict[str, Any]
) -> None:
    world.add("job-1", statuses=["Running"])
    refusing(world, status(code, "InvalidArgument"))

    with pytest.raises(ApiError, match=f"HTTP {code} InvalidArgument"):
        world.run(world.wait(**asked).run(world.context))
    assert world.clock.now() - START < timedelta(seconds=600)


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("body", UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_refused_keys_need_no_error_code(world: World, code: int, body: bytes) -> None:
    world.add("job-1", statuses=["Running"])
    refusing(world, HttpResponse(code, {}, body))

    with pytest.raises(AccessDeniedError):
        world.run(world.wait().run(world.context))


def test_a_refusal_that_nothing_explains_ends_with_the_deadline_and_is_told(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    refusing(world, HttpResponse(400, {}, b"<html>Bad Request</html>"), ends=1e9)

    outcome = world.run(world.wait(timeout=3600).run(world.context))

    assert world.clock.now() - START < timedelta(seconds=3600 + 60)
    assert outcome.kind is Kind.TIMEOUT
    assert "HTTP 400 without an error code: the body is not an error of Function Compute" in outcome.reason


@pytest.mark.parametrize("way", ["first_poll", "poke"])
@pytest.mark.parametrize("code", REFUSALS)
def test_before_any_answer_a_refusal_that_nothing_explains_is_an_error_at_once(
    world: World, way: str, code: int
) -> None:
    refusing(world, HttpResponse(code, {}, b"<html>Bad Request</html>"), begins=-1)

    with pytest.raises(ApiError, match=f"HTTP {code} without an error code"):
        world.run(getattr(world.wait(), way)(world.context))


def test_a_poking_wait_that_was_answered_before_goes_on_and_so_does_the_next_process(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    wait, next_process = world.wait(), world.wait()
    next_process.go_on_for_one_poll()
    assert world.run(wait.poke(world.context))
    refusing(world, HttpResponse(400, {}, b""), begins=-1)

    assert [world.run(each.poke(world.context)) for each in (wait, next_process)] == [None, None]


def test_a_permanent_error_is_tolerated_with_silent_fail(world: World) -> None:
    world.add("job-1", statuses=["Succeeded"], submitted_seconds_ago=3600)
    answers = iter([status(400, "InvalidArgument")] * 3)
    world.answer = lambda request: next(answers, None)

    assert world.run(world.wait(silent_fail=True).run(world.context)).kind is Kind.SUCCESS


def test_refused_keys_end_the_flow_even_with_silent_fail_so_that_new_ones_are_looked_for(world: World) -> None:
    world.answer = lambda request: status(403, "AccessDenied")

    with pytest.raises(AccessDeniedError):
        world.run(world.wait(silent_fail=True).run(world.context))


def test_a_verdict_is_not_tolerated_with_silent_fail(world: World) -> None:
    world.add("job-1", statuses=["Failed"])

    assert world.run(world.wait(silent_fail=True).run(world.context)).kind is Kind.FAILED


def test_throttling_slows_the_polls_down_and_an_answer_speeds_them_up_again(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    answers = iter([status(429, "ResourceExhausted")] * 2)
    world.answer = lambda request: next(answers, None)

    world.run(world.wait(poll_interval=60).run(world.context))

    assert world.slept[1:5] == [120.0, 240.0, 120.0, 60.0]


# When the verdict comes

BATCHES: dict[str, tuple[int, dict[str, Any]]] = {
    "one id": (1, {"invocation_ids": ["job-00000"]}),
    "five ids": (5, {"invocation_ids": [f"job-{index:05}" for index in range(5)]}),
    "ninety ids": (90, {"invocation_ids": [f"job-{index:05}" for index in range(90)]}),
    "three hundred ids": (300, {"invocation_ids": [f"job-{index:05}" for index in range(300)]}),
    "a prefix of one page": (90, {}),
    "a prefix of three pages": (300, {}),
    "a count over three pages": (300, {"expected_count": 300}),
}


def slow(world: World) -> None:
    world.clock.sleep(60)


def fail_thrice(world: World) -> HttpResponse:
    world.clock.sleep(10)
    return status(503, "ServiceUnavailable")


@pytest.mark.parametrize(("how_many", "parameters"), BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("trouble", [slow, fail_thrice], ids=["a slow request or a starved loop", "retries"])
@pytest.mark.parametrize("at", [1, 2, 4, 30], ids="request {}".format)
def test_the_verdict_comes_soon_after_the_end_whatever_single_requests_took(
    world: World,
    how_many: int,
    parameters: dict[str, Any],
    trouble: Callable[[World], HttpResponse | None],
    at: int,
) -> None:
    world.seconds_per_request = 0.1
    world.add_many(how_many, timeline=[[0, "Running"], [100, "Succeeded"]], statuses=None)
    context = structs.replace(world.context, settings=replace(world.settings, max_attempts=4))
    troubles: list[datetime] = [START]

    def answer(request: HttpRequest) -> HttpResponse | None:
        if not at <= len(world.sent) < at + (3 if trouble is fail_thrice else 1):
            return None
        reply = trouble(world)
        troubles.append(world.clock.now())
        return reply

    world.answer = answer

    outcome = world.run(world.wait(poll_interval=2, **parameters).run(context))

    truth = max(START + timedelta(seconds=100), troubles[-1])
    listings = 3 * 2 * 0.1 + 2.0  # two listings and some single requests
    spacing = SPACING_PER_PAGE.total_seconds() * 4 if how_many > 100 else 0
    assert outcome.kind is Kind.SUCCESS
    assert world.clock.now() - truth <= timedelta(seconds=2.2 + 15 + listings + spacing)


def test_a_poll_that_finds_nothing_new_says_so_and_when_the_next_complete_listing_comes(world: World) -> None:
    world.state.set_switches(reject_status=["Running"])
    world.add_many(250)
    ids = [f"job-{index:05}" for index in range(250)]
    wait = world.wait(invocation_ids=[*ids, *(f"job-x{index}" for index in range(10))])
    first, second = (world.run(wait.poke(world.context)) for _ in range(2))

    assert first.reason.startswith("250 found (Succeeded 250), 260 expected; not found (yet): job-x0")
    assert second.reason.startswith("nothing new, the next complete listing comes at 08:00:06 UTC; the last one: 250")


def test_retry_after_is_the_least_pause(world: World) -> None:
    world.add("job-1", statuses=["Running"])
    answers = iter([status(429, "ResourceExhausted", **{"retry-after": "45"})])
    world.answer = lambda request: next(answers, None)

    world.run(world.wait(poll_interval=1, timeout=100).run(world.context))

    assert world.slept[1] == 45.0


def test_an_hour_without_change_is_a_quiet_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.add("job-1", statuses=["Running"])

    world.run(world.wait(poll_interval=10).run(world.context))

    assert 2 <= len(caplog.records) <= 20


def test_a_change_of_counts_is_a_line_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.add("job-1", timeline=[[0, "Running"], [100, "Succeeded"]])
    world.add("job-2", timeline=[[0, "Running"], [200, "Succeeded"]])

    world.run(world.wait(poll_interval=20).run(world.context))

    lines = [record.message for record in caplog.records]
    assert lines == [
        "Waiting: 0 ended, 2 unfinished: Running 2",
        "Waiting: 1 ended, 1 unfinished: Running 1; about 2 min left at this pace",
        "Success: 2 found (Succeeded 2)",
    ]


def test_no_request_is_sent_after_the_deadline_and_the_last_poll(world: World) -> None:
    world.seconds_per_request = 4.0
    world.add_many(5000, "Running")
    moments = []

    def note(request: HttpRequest) -> None:
        moments.append(world.clock.now() - START)

    world.answer = note
    outcome = world.run(world.wait(timeout=600).run(world.context))

    assert outcome.kind is Kind.TIMEOUT
    assert max(moments) <= timedelta(seconds=600 + 30 + 4)
    assert all(before <= after for before, after in pairwise(moments))


def test_an_access_error_carries_what_support_needs(world: World) -> None:
    world.answer = lambda request: HttpResponse(
        403, {}, b'{"Code": "AccessDenied", "Message": "no permission", "RequestId": "r-1"}'
    )

    with pytest.raises(AccessDeniedError) as caught:
        world.run(world.wait().run(world.context))

    assert (caught.value.status, caught.value.code, caught.value.request_id) == (403, "AccessDenied", "r-1")
