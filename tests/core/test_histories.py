"""Random lives of batches, told by an unreliable server: the wait must end as somebody says who sees the truth."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from harness import World
from histories import FUNCTION, LATE, RIGHT, SETTINGS, START, START_TIMES, WRONG_GREEN, Life, Server, main, search
from hypothesis import event, given, settings
from hypothesis import strategies as st

from airflow_provider_fc.core.invocations import is_terminal
from airflow_provider_fc.core.outcome import Kind, Outcome

HISTORIES = int(os.environ.get("FC_HISTORIES", "500"))
"""``FC_HISTORIES=100000 python -m pytest tests/core/test_histories.py`` is the long run."""


RUN = ["Running"]
MIDDLES = st.lists(st.sampled_from([["Dequeued"], RUN, ["Retrying", "Running"], ["Limbo"]]), max_size=3)
ENDS = st.sampled_from([*["Succeeded"] * 6, "Failed", "Stopped", "Expired", "Invalid", *["Running"] * 1])


@st.composite
def lives(draw: st.DrawFn, *, counted: bool, start_times: str) -> Life:
    # Without a count nobody can know of what is submitted later.
    second = submitted = draw(st.integers(-60, 300 if counted else -1))
    words = ["Enqueued", *(word for words in draw(MIDDLES) for word in words), draw(ENDS)]
    steps = []
    for word in words:
        steps.append((second, word))
        second += draw(st.integers(1, 200))
    vanishes = submitted + draw(st.integers(1, 900)) if counted and draw(st.integers(0, 9)) == 0 else None
    return Life(tuple(steps), vanishes, start_times)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Server, dict[str, object]]:
    counted = draw(st.sampled_from(["prefix", "expected_count", "invocation_ids"]))
    start_times = draw(st.sampled_from(START_TIMES))
    told = {
        f"job-{index}": draw(lives(counted=counted != "prefix", start_times=start_times))
        for index in range(draw(st.integers(1, 7)))
    }
    server = Server(
        lives=told,
        lag=draw(st.integers(0, 10)),
        page=draw(st.integers(1, 4)),
        offset_tokens=draw(st.booleans()),
        ignores_filter=draw(st.integers(0, 4)) == 0,
        rejects=frozenset(draw(st.lists(st.sampled_from(["Running", "Enqueued", "Dequeued", "Failed"]), max_size=2))),
    )
    parameters: dict[str, object] = {
        "max_failed": draw(st.sampled_from([0, 1, None])),
        "fail_fast": draw(st.booleans()),
    }
    if counted == "invocation_ids":
        parameters["invocation_ids"] = list(told)
    if counted == "expected_count":
        parameters["expected_count"] = len(told)
    return server, parameters


def told_by(server: Server, parameters: dict[str, object]) -> tuple[Outcome, float]:
    """How the wait ends, and when."""
    world = World()
    world.seconds_per_request = 0.3
    world.answer = lambda request: server.answer(request, (world.clock.now() - START).total_seconds())
    outcome = world.run(world.wait(timeout=6 * 3600, poll_interval=40, **parameters).run(world.context))
    return outcome, (world.clock.now() - START).total_seconds()


def oracle(server: Server, parameters: dict[str, object]) -> set[Kind]:
    """The right ends, by somebody who sees the truth."""
    ends = [life.end for life in server.lives.values()]
    failed = sum(1 for end in ends if is_terminal(end) and end != "Succeeded")
    most = parameters["max_failed"]
    too_many = most is not None and failed > most  # type: ignore[operator]
    if any(life.vanishes is not None for life in server.lives.values()):
        # Whether the record was still there when it was looked for is chance; silence is never success.
        return {Kind.LOST, Kind.TIMEOUT, Kind.FAILED if too_many else Kind.SUCCESS}
    if all(map(is_terminal, ends)):
        return {Kind.FAILED if too_many else Kind.SUCCESS}
    return {Kind.FAILED} if too_many and parameters["fail_fast"] else {Kind.TIMEOUT}


@pytest.mark.heavy
@settings(max_examples=HISTORIES)
@given(worlds())
def test_a_wait_ends_as_the_truth_says_and_is_never_green_too_early(told: tuple[Server, dict[str, object]]) -> None:
    server, parameters = told

    outcome, second = told_by(server, parameters)

    event(outcome.kind.value)
    assert outcome.kind in oracle(server, parameters)
    if outcome.kind is Kind.SUCCESS:
        assert all(is_terminal(life.status(second) or "") for life in server.lives.values())
        assert outcome.summary is not None
        assert outcome.summary.total == len(server.lives)
    assert second <= timedelta(hours=6, seconds=31).total_seconds()


def test_the_function_of_the_histories_is_the_one_that_is_waited_for() -> None:
    world = World()
    world.answer = lambda request: Server({}).answer(request, 0)

    world.run(world.wait().poke(world.context))

    assert {request.path for request in world.sent} == {f"/2023-03-30/functions/{FUNCTION}/async-tasks"}


# The search among servers that are out to deceive: tests/histories.py


def test_no_adversarial_history_of_a_few_hundred_is_green_too_early_or_judged_late() -> None:
    found = {number: verdict for _, verdict, number in search(1, range(20 * len(SETTINGS)))}

    assert {number: verdict for number, verdict in found.items() if verdict in (WRONG_GREEN, LATE)} == {}


@pytest.mark.parametrize(("seed", "number"), [(7, 506), (7, 1535), (1, 9206)])
def test_a_history_that_hides_one_from_both_listings_is_not_green_too_early(seed: int, number: int) -> None:
    assert [verdict for _, verdict, _ in search(seed, range(number, number + 1))] == [RIGHT]


def test_the_search_prints_a_table_and_is_the_same_again_for_the_same_seed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--histories", str(len(SETTINGS)), "--seeds", "5"]

    ended = [main(arguments), main(arguments)]

    first, second = capsys.readouterr().out.rsplit("setting  ", 1)
    assert ended == [0, 0]
    assert first.partition("setting  ")[2].split() == second.split()
    assert second.count("s a request") == len(SETTINGS)
    assert LATE in second


def test_a_history_can_be_told_again_request_by_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "1:4"]) == 0

    assert "async-tasks {'prefix': 'job-'" in capsys.readouterr().out
