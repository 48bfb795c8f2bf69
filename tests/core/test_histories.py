"""Random lives of batches, told by an unreliable server: the wait must end as somebody says who sees the truth."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import timedelta

from harness import FUNCTION, START, World
from hypothesis import event, given, settings
from hypothesis import strategies as st

from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.invocations import is_terminal
from airflow_provider_fc.core.outcome import Kind, Outcome

DAY = 86_400
HISTORIES = int(os.environ.get("FC_HISTORIES", "500"))
"""``FC_HISTORIES=100000 python -m pytest tests/core/test_histories.py`` is the long run."""


@dataclass(frozen=True)
class Life:
    """One invocation: seconds after the start of the wait at which it has which status.

    :param vanishes: second from which its record is gone, or ``None``.
    """

    submitted: int
    steps: tuple[tuple[int, str], ...]
    vanishes: int | None

    def status(self, second: float) -> str | None:
        """Its status in truth; ``None`` before it was submitted."""
        passed = [status for at, status in self.steps if at <= second]
        return passed[-1] if passed else None

    def started(self, second: float, *, reset: bool) -> int:
        """When it was started, or again; 0 while it is queued."""
        runs = [at for at, status in self.steps if at <= second and status == "Running"]
        return 0 if not runs else runs[-1 if reset else 0]

    @property
    def end(self) -> str:
        return self.steps[-1][1]


@dataclass(frozen=True)
class Teller:
    """A server that shows lives in its own way.

    :param lag: seconds by which listings are behind the truth; a single look-up is not.
    :param page: how many it puts on a page at most.
    :param offset_tokens: tokens are positions, so that pages shift when items move.
    :param reset_start: a retry changes the start time, and so the place in the listing.
    :param ignores_filter: it lists everything whatever status is asked for.
    :param rejects: status filters that it refuses.
    """

    lives: dict[str, Life]
    lag: int
    page: int
    offset_tokens: bool
    reset_start: bool
    ignores_filter: bool
    rejects: frozenset[str]

    def answer(self, request: HttpRequest, second: float) -> HttpResponse:
        tail = request.path.rpartition("/async-tasks")[2].strip("/")
        return self._get(tail, second) if tail else self._list(dict(request.query), second - self.lag)

    def _get(self, key: str, second: float) -> HttpResponse:
        found = {shown["taskId"]: shown for shown in self._shown(second)}.get(key)
        return _json(200, found) if found else _json(404, {"Code": "AsyncTaskNotFound", "Message": "gone"})

    def _list(self, query: dict[str, str], second: float) -> HttpResponse:
        wanted = query.get("status")
        if wanted in self.rejects:
            return _json(400, {"Code": "InvalidArgument", "Message": "status"})
        found = [
            shown
            for shown in self._shown(second)
            if shown["taskId"].startswith(query.get("prefix", ""))
            and (wanted is None or self.ignores_filter or shown["status"] == wanted)
        ]
        keys = [(shown["startedTime"], shown["taskId"]) for shown in found]
        order = sorted(range(len(found)), key=keys.__getitem__, reverse=query.get("sortOrderByTime") == "desc")
        start = self._place(query.get("nextToken"), [keys[index] for index in order])
        size = min(self.page, int(query["limit"]))
        page = order[start : start + size]
        more = start + size < len(order)
        token = json.dumps([start + size, *keys[page[-1]]]) if more else ""
        return _json(200, {"tasks": [found[index] for index in page], "nextToken": token})

    def _place(self, token: str | None, keys: list[tuple[int, str]]) -> int:
        if not token:
            return 0
        position, *last = json.loads(token)
        if self.offset_tokens:
            return int(position)
        descending = len(keys) > 1 and keys[0] > keys[-1]
        return sum(1 for key in keys if (key >= tuple(last) if descending else key <= tuple(last)))

    def _shown(self, second: float) -> list[dict[str, object]]:
        return [
            {
                "taskId": key,
                "status": life.status(second),
                "startedTime": (life.started(second, reset=self.reset_start) or 0)
                and _ms(life, second, self.reset_start),
                "endTime": 0,
            }
            for key, life in self.lives.items()
            if life.status(second) is not None and (life.vanishes is None or second < life.vanishes)
        ]


def _ms(life: Life, second: float, reset: bool) -> int:
    return int(START.timestamp() + life.started(second, reset=reset)) * 1000


def _json(status: int, body: object) -> HttpResponse:
    return HttpResponse(status, {}, json.dumps(body).encode())


RUN = ["Running"]
MIDDLES = st.lists(st.sampled_from([["Dequeued"], RUN, ["Retrying", "Running"], ["Limbo"]]), max_size=3)
ENDS = st.sampled_from([*["Succeeded"] * 6, "Failed", "Stopped", "Expired", "Invalid", *["Running"] * 1])


@st.composite
def lives(draw: st.DrawFn, *, counted: bool) -> Life:
    # Without a count nobody can know of what is submitted later.
    second = submitted = draw(st.integers(-60, 300 if counted else -1))
    words = ["Enqueued", *(word for words in draw(MIDDLES) for word in words), draw(ENDS)]
    steps = []
    for word in words:
        steps.append((second, word))
        second += draw(st.integers(1, 200))
    vanishes = submitted + draw(st.integers(1, 900)) if counted and draw(st.integers(0, 9)) == 0 else None
    return Life(submitted, tuple(steps), vanishes)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Teller, dict[str, object]]:
    counted = draw(st.sampled_from(["prefix", "expected_count", "invocation_ids"]))
    told = {f"job-{index}": draw(lives(counted=counted != "prefix")) for index in range(draw(st.integers(1, 7)))}
    teller = Teller(
        lives=told,
        lag=draw(st.integers(0, 10)),
        page=draw(st.integers(1, 4)),
        offset_tokens=draw(st.booleans()),
        reset_start=draw(st.booleans()),
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
    return teller, parameters


def told_to(teller: Teller, parameters: dict[str, object]) -> tuple[Outcome, float]:
    """How the wait ends, and when."""
    world = World()
    world.seconds_per_request = 0.3
    world.answer = lambda request: teller.answer(request, (world.clock.now() - START).total_seconds())
    outcome = world.run(world.wait(timeout=6 * 3600, poll_interval=40, **parameters).run(world.context))
    return outcome, (world.clock.now() - START).total_seconds()


def oracle(teller: Teller, parameters: dict[str, object]) -> set[Kind]:
    """The right ends, by somebody who sees the truth."""
    ends = [life.end for life in teller.lives.values()]
    failed = sum(1 for end in ends if is_terminal(end) and end != "Succeeded")
    most = parameters["max_failed"]
    too_many = most is not None and failed > most  # type: ignore[operator]
    if any(life.vanishes is not None for life in teller.lives.values()):
        # Whether the record was still there when it was looked for is chance; silence is never success.
        return {Kind.LOST, Kind.TIMEOUT, Kind.FAILED if too_many else Kind.SUCCESS}
    if all(map(is_terminal, ends)):
        return {Kind.FAILED if too_many else Kind.SUCCESS}
    return {Kind.FAILED} if too_many and parameters["fail_fast"] else {Kind.TIMEOUT}


@settings(max_examples=HISTORIES)
@given(worlds())
def test_a_wait_ends_as_the_truth_says_and_is_never_green_too_early(told: tuple[Teller, dict[str, object]]) -> None:
    teller, parameters = told

    outcome, second = told_to(teller, parameters)

    event(outcome.kind.value)
    assert outcome.kind in oracle(teller, parameters)
    if outcome.kind is Kind.SUCCESS:
        assert all(is_terminal(life.status(second) or "") for life in teller.lives.values())
        assert outcome.summary is not None
        assert outcome.summary.total == len(teller.lives)
    assert second <= timedelta(hours=6, seconds=31).total_seconds()


def test_the_function_of_the_histories_is_the_one_that_is_waited_for() -> None:
    world = World()
    world.answer = lambda request: Teller({}, 0, 1, False, False, False, frozenset()).answer(request, 0)

    world.run(world.wait().poke(world.context))

    assert {request.path for request in world.sent} == {f"/2023-03-30/functions/{FUNCTION}/async-tasks"}
