"""Random lives of batches told by adversarial servers, and a search through many of them for wrong verdicts.

``make search-histories`` runs the search and prints, per setting, how many histories ended green too early (the one
thing that must not happen), wrongly in another way, and late. Everything follows from the seed: ``--only SEED:NUMBER``
tells one history again, request by request.
"""

from __future__ import annotations

import argparse
import logging
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from itertools import product
from random import Random
from typing import Any

import msgspec

from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.errors import TransportError
from airflow_provider_fc.core.flow import Context, Send, Sleep, Step, drive
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.invocations import is_terminal
from airflow_provider_fc.core.outcome import Kind, Outcome
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.core.wait import Schedule, Wait
from airflow_provider_fc.core.watch import watch

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
FUNCTION = "resize"

START_TIMES = ("kept", "new", "zero")
"""What a retry does to the start time: nothing; the new attempt has a new one; it is 0 until the new attempt begins."""

FILTERS = ("work", "refused", "ignored")
SECONDS_PER_REQUEST = (0.0, 1.0, 5.0)


@dataclass(frozen=True)
class Life:
    """One invocation: from which second after the start of the wait on it has which status.

    :param vanishes: second from which its record is gone, or ``None``.
    :param start_times: one of :data:`START_TIMES`.
    """

    steps: tuple[tuple[float, str], ...]
    vanishes: float | None = None
    start_times: str = "new"
    moments: tuple[float, ...] = field(init=False, repr=False)
    records: tuple[tuple[str, int, int], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moments", tuple(at for at, _ in self.steps))
        object.__setattr__(self, "records", tuple(self._records()))

    def _records(self) -> Iterator[tuple[str, int, int]]:
        """Status, start and end (epoch ms or 0) as the server's record shows them after each step."""
        started = 0
        for at, status in self.steps:
            if status == "Running" and not (started and self.start_times == "kept"):
                started = _epoch_ms(at)
            hidden = self.start_times == "zero" and status == "Retrying"
            yield status, 0 if hidden else started, _epoch_ms(at) if is_terminal(status) else 0

    def status(self, second: float) -> str | None:
        """Its status in truth; ``None`` before it was submitted."""
        passed = bisect_right(self.moments, second)
        return self.steps[passed - 1][1] if passed else None

    def shown(self, second: float) -> tuple[str, int, int] | None:
        """Its record at that moment; ``None`` when there is none."""
        passed = bisect_right(self.moments, second)
        if not passed or (self.vanishes is not None and second >= self.vanishes):
            return None
        return self.records[passed - 1]

    @property
    def end(self) -> str:
        return self.steps[-1][1]

    @property
    def ended_at(self) -> float:
        return self.moments[-1]


def _epoch_ms(second: float) -> int:
    return round((_EPOCH + second) * 1000)


_EPOCH = START.timestamp()
_CREDENTIALS = Credentials("key-id", "key-secret")
_SETTINGS = Settings("fc_default", Auth(), endpoint="https://fc.test", signature="FC")


@dataclass(frozen=True)
class Server:
    """Shows lives in its own way.

    :param lag: seconds by which listings are behind the truth; a single look-up is not.
    :param lag_varies: each listing is behind by some part of it, as where several copies of the data answer.
    :param page: how many it puts on a page at most.
    :param offset_tokens: tokens are positions, so that pages shift when items move.
    :param ignores_filter: it lists everything whatever status is asked for.
    :param rejects: status filters that it refuses.
    """

    lives: dict[str, Life]
    lag: float = 0.0
    lag_varies: bool = False
    page: int = 100
    offset_tokens: bool = False
    ignores_filter: bool = False
    rejects: frozenset[str] = frozenset()

    def answer(self, request: HttpRequest, second: float, chance: float = 1.0) -> HttpResponse:
        tail = request.path.rpartition("/async-tasks")[2].strip("/")
        if tail:
            return self._get(tail, second)
        behind = self.lag * chance if self.lag_varies else self.lag
        return self._list(request.query, second - behind, second)

    def _get(self, key: str, second: float) -> HttpResponse:
        life = self.lives.get(key)
        shown = life and life.shown(second)
        if not shown:
            return _answer(404, {"Code": "AsyncTaskNotFound", "Message": "gone"}, second)
        return _answer(200, _row(key, shown), second)

    def _list(self, query: Any, second: float, now: float) -> HttpResponse:
        wanted = query.get("status")
        if wanted in self.rejects:
            return _answer(400, {"Code": "InvalidArgument", "Message": "status"}, now)
        descending = query.get("sortOrderByTime") == "desc"
        prefix = query.get("prefix", "")
        rows = []
        for key, life in self.lives.items():
            shown = life.shown(second)
            if shown and key.startswith(prefix) and (wanted is None or self.ignores_filter or shown[0] == wanted):
                rows.append((shown[1], key, shown))
        rows.sort(reverse=descending)
        first = self._first(query.get("nextToken"), rows, descending)
        last = first + min(self.page, int(query["limit"]))
        token = f"{last}/{rows[last - 1][0]}/{rows[last - 1][1]}" if last < len(rows) else ""
        found = [_row(key, shown) for _, key, shown in rows[first:last]]
        return _answer(200, {"tasks": found, "nextToken": token}, now)

    def _first(self, token: str | None, rows: list[tuple[int, str, Any]], descending: bool) -> int:
        if not token:
            return 0
        position, started, key = token.split("/")
        if self.offset_tokens:
            return int(position)
        last = (int(started), key)
        return sum(1 for row in rows if (row[:2] >= last if descending else row[:2] <= last))


def _row(key: str, shown: tuple[str, int, int]) -> dict[str, object]:
    return {"taskId": key, "status": shown[0], "startedTime": shown[1], "endTime": shown[2]}


_encode = msgspec.json.Encoder().encode


def _answer(status: int, body: object, second: float) -> HttpResponse:
    return HttpResponse(status, {"date": formatdate(_EPOCH + second, usegmt=True)}, _encode(body))


@dataclass(frozen=True)
class Setting:
    """What a row of the search's table has in common."""

    start_times: str
    filters: str
    seconds_per_request: float

    def __str__(self) -> str:
        return f"start {self.start_times:5} filters {self.filters:8} {self.seconds_per_request:g} s a request"


SETTINGS = [Setting(*each) for each in product(START_TIMES, FILTERS, SECONDS_PER_REQUEST)]


@dataclass(frozen=True)
class History:
    """One batch, one server, one wait.

    :param fault_rate: share of requests that are lost on their way.
    :param slow_rate: share of requests that take far longer than others.
    :param reschedule: each poll is a process of its own, which knows of those before one live invocation at most.
    """

    setting: Setting
    server: Server
    parameters: dict[str, Any]
    poll_interval: float
    fault_rate: float
    slow_rate: float
    reschedule: bool


def make_history(setting: Setting, chance: Random) -> History:
    """Draw a batch most of which has ended, while a few of it are retried again and again."""
    page = chance.choice((1, 1, 1, 2, 2, 3, 100))
    quiet = chance.randint(1, 7)
    # What moves is dangerous when it moves about once in the time that a listing takes.
    listing = -(-(quiet + 1) // page) * max(setting.seconds_per_request, 0.2)
    pace = listing * chance.choice((0.2, 0.5, 1.0, 2.0, 6.0))
    lives = [
        *(_mover(chance, pace, setting.start_times) for _ in range(chance.choice((1, 1, 1, 1, 2)))),
        *(_quiet(chance, setting.start_times) for _ in range(quiet)),
    ]
    names = [f"job-{number}" for number in range(len(lives))]
    chance.shuffle(names)
    parameters: dict[str, Any] = {
        "max_failed": chance.choice((0, 0, 1, None)),
        "fail_fast": chance.random() < 0.2,
        "settle_seconds": chance.choice((5, 15, 15)),
    }
    counted = chance.choice(("prefix", "prefix", "prefix", "prefix", "expected_count", "invocation_ids"))
    if counted == "invocation_ids":
        parameters["invocation_ids"] = names
    if counted == "expected_count":
        parameters["expected_count"] = len(names)
    server = Server(
        lives=dict(zip(names, lives, strict=True)),
        # A listing that is behind by longer than it is given to settle cannot be seen through.
        lag=chance.choice((0.0, 0.0, chance.uniform(0, parameters["settle_seconds"] * 0.6))),
        lag_varies=chance.random() < 0.3,
        page=page,
        offset_tokens=chance.random() < 0.4,
        ignores_filter=setting.filters == "ignored",
        rejects=_refused(chance) if setting.filters == "refused" else frozenset(),
    )
    return History(
        setting,
        server,
        parameters,
        poll_interval=chance.choice((2.0, 10.0, 40.0)),
        fault_rate=chance.choice((0.0, 0.0, 0.0, 0.1)),
        slow_rate=chance.choice((0.0, 0.0, 0.05)),
        reschedule=chance.random() < 0.5,
    )


def _refused(chance: Random) -> frozenset[str]:
    """Some or all of the filters for what has not ended, Running among them."""
    others = ("Enqueued", "Dequeued", "Retrying", "Stopping", "Failed")
    return frozenset(("Running", *(word for word in others if chance.random() < 0.5)))


_ENDS = (*("Succeeded",) * 8, "Failed", "Stopped", "Expired", "Invalid")


def _quiet(chance: Random, start_times: str) -> Life:
    """One that has ended before the wait begins, or shortly after."""
    submitted = chance.uniform(-900, -60)
    began = submitted + chance.uniform(0.1, 30)
    steps = (
        (submitted, "Enqueued"),
        (began, "Running"),
        (began + chance.choice((1.0, 1.0, 1.0, 10.0)) * chance.uniform(0.5, 30), chance.choice(_ENDS)),
    )
    return Life(steps, start_times=start_times)


def _mover(chance: Random, pace: float, start_times: str) -> Life:
    """One that is retried again and again, at the pace at which pages are read."""
    second = chance.uniform(-300, -1)
    steps = [(second, "Enqueued")]
    second += chance.expovariate(1 / pace)
    for _ in range(chance.choice((1, 5, 25, 60))):
        steps.append((second, "Running"))
        second += chance.expovariate(1 / pace) + 0.1
        steps.append((second, "Retrying"))
        second += chance.expovariate(1 / pace) * chance.choice((0.2, 1.0)) + 0.1
    steps.append((second, "Running"))
    steps.append((second + chance.expovariate(1 / pace) + 0.1, chance.choice(_ENDS)))
    return Life(tuple(steps), start_times=start_times)


TIMEOUT = 4 * 3600.0
SPACING_PER_PAGE = 2.0  # docs/reliability.md: listings of several pages are so far apart


@dataclass
class Told:
    """How a wait ended, and what it cost.

    :param second: when it ended.
    :param requests: when each request began, and how many seconds went by until its answer.
    """

    outcome: Outcome | None
    second: float
    requests: list[tuple[float, float]]


class Teller:
    """Runs one wait against a history; time passes only by requests and sleeps."""

    def __init__(self, history: History, chance: Random, note: Callable[[str], None] | None = None) -> None:
        self.second = 0.0
        self.requests: list[tuple[float, float]] = []
        self._history = history
        self._chance = chance
        self._note = note
        self.context = Context(_SETTINGS, now=self.now, random=chance.random, nonce=lambda: "nonce")

    def now(self) -> datetime:
        return START + timedelta(seconds=self.second)

    def tell(self) -> Told:
        pause = self._chance.random() * self._history.poll_interval
        if self._history.reschedule:
            return Told(self._pokes(pause), self.second, self.requests)
        outcome = drive(self._wait().run(self.context, first_pause=pause), self._obey)
        return Told(outcome, self.second, self.requests)

    def _wait(self) -> Wait:
        parameters = self._history.parameters
        which = {} if "invocation_ids" in parameters else {"invocation_id_prefix": "job-"}
        batch = Batch.from_parameters(_FUNCTION_REF, **which, **parameters)
        # Counts decide nothing, and would only move the moments of the polls.
        schedule = Schedule(self._history.poll_interval, START + timedelta(seconds=TIMEOUT), progress_interval=None)
        return Wait(watch(batch, START), schedule, self.context)

    def _pokes(self, pause: float) -> Outcome:
        live_id = None
        while True:
            self.second += pause
            wait = self._wait()
            wait.watch.live_id = live_id
            outcome = drive(wait.poke(self.context), self._obey)
            live_id = wait.watch.live_id or live_id  # as the sensor hands it over
            if outcome is not None and outcome.decided:
                return outcome
            pause = self._history.poll_interval * self._chance.uniform(0.9, 1.1)

    def _obey(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            self._say(f"sleeps {step.seconds:.1f} s")
            self.second += step.seconds
            return None
        return self._exchange(step.request) if isinstance(step, Send) else _CREDENTIALS

    def _exchange(self, request: HttpRequest) -> HttpResponse:
        began = self.second
        self.second += self._seconds()
        self.requests.append((began, self.second - began))
        if self._chance.random() < self._history.fault_rate:
            self._say("loses an answer")
            raise TransportError("lost")
        reply = self._history.server.answer(request, self.second, self._chance.random())
        self._say(f"{request.path.rpartition('/')[2]} {dict(request.query)} -> {reply.status} {reply.body.decode()}")
        return reply

    def _seconds(self) -> float:
        if self._chance.random() < self._history.slow_rate:
            return self._chance.uniform(5, 60)
        return self._history.setting.seconds_per_request * self._chance.uniform(0.8, 1.2)

    def _say(self, text: str) -> None:
        if self._note is not None:
            self._note(f"{self.second:8.2f}  {text}")


_FUNCTION_REF: FunctionRef = _SETTINGS.function(FUNCTION)

WRONG_GREEN, OTHER_WRONG, LATE, RIGHT = "wrong greens", "other wrong ends", "late verdicts", "right"


def judge(history: History, told: Told) -> str:
    """What somebody says of the verdict who sees the truth."""
    lives = history.server.lives.values()
    failed = sum(life.end != "Succeeded" for life in lives)
    most = history.parameters["max_failed"]
    too_many = most is not None and failed > most
    kind = told.outcome.kind if told.outcome else None
    ended = all(life.ended_at <= told.second for life in lives)
    if kind is Kind.SUCCESS and (not ended or too_many or _counted(told) != len(lives)):
        return WRONG_GREEN
    if kind is Kind.FAILED and not (too_many and (ended or history.parameters["fail_fast"])):
        return OTHER_WRONG
    if kind not in (Kind.SUCCESS, Kind.FAILED, Kind.TIMEOUT):
        return OTHER_WRONG
    return LATE if told.second > latest(history, told) else RIGHT


def _counted(told: Told) -> int:
    return told.outcome.summary.total if told.outcome and told.outcome.summary else 0


def latest(history: History, told: Told) -> float:
    """The second at which the verdict must be there; see the table in docs/reliability.md."""
    if history.fault_rate:
        return TIMEOUT + 3600  # a promise is made for servers that answer
    truth = max(max(life.ended_at for life in history.server.lives.values()) + history.server.lag, 0.0)
    in_requests = sum(
        min(seconds, began + seconds - truth) for began, seconds in told.requests if began + seconds > truth
    )
    settle = history.parameters["settle_seconds"]
    return truth + 1.1 * history.poll_interval + settle + in_requests + _allowed(history, settle) + 1e-6


def _allowed(history: History, settle: float) -> float:
    """The exceptions: a confirmation that met other ids or a live one, and listings of several pages kept apart."""
    pages = -(-len(history.server.lives) // history.server.page)
    return float(settle) + (SPACING_PER_PAGE * (pages + 1) if pages > 1 else 0.0)


def chance_of(seed: int, number: int) -> Random:
    return Random(f"{seed}:{number}")


def setting_of(number: int) -> Setting:
    return SETTINGS[number % len(SETTINGS)]


def search(seed: int, numbers: range) -> Iterator[tuple[Setting, str, int]]:
    """The verdict on each history: its setting, the verdict, its number."""
    for number in numbers:
        chance = chance_of(seed, number)
        history = make_history(setting_of(number), chance)
        yield history.setting, judge(history, Teller(history, chance).tell()), number


def retell(seed: int, number: int) -> None:
    """Print one history, request by request."""
    chance = chance_of(seed, number)
    history = make_history(setting_of(number), chance)
    print(history.setting, history.parameters, f"poll_interval {history.poll_interval:g}")
    for key, life in history.server.lives.items():
        print(f"  {key}: " + ", ".join(f"{at:.1f} {status}" for at, status in life.steps))
    print(
        "  ",
        {name: getattr(history.server, name) for name in ("lag", "lag_varies", "page", "offset_tokens", "rejects")},
    )
    told = Teller(history, chance, print).tell()
    print(told.outcome, f"at {told.second:.1f}: {judge(history, told)}, due by {latest(history, told):.1f}")


def main(arguments: list[str] | None = None) -> int:
    """Search, print the table, and fail if a history ended green too early more often than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000, help="how many for each seed (default 10000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="default 1")
    parser.add_argument("--only", metavar="SEED:NUMBER", help="tell one history, request by request")
    parser.add_argument("--examples", type=int, default=3, help="how many of each wrong kind to name (default 3)")
    parser.add_argument("--allowed", type=int, default=0, help="so many wrong greens are no error (default 0)")
    options = parser.parse_args(arguments)
    if options.only:
        seed, _, number = options.only.partition(":")
        retell(int(seed), int(number))
        return 0
    counts: dict[Setting, Counter[str]] = {setting: Counter() for setting in SETTINGS}
    examples: dict[str, list[str]] = {}
    for seed in options.seeds:
        for setting, verdict, number in search(seed, range(options.histories)):
            counts[setting][verdict] += 1
            if verdict != RIGHT and len(found := examples.setdefault(verdict, [])) < options.examples:
                found.append(f"{seed}:{number}")
    total = _print_table(counts)
    for verdict, found in examples.items():
        print(f"{verdict}: {', '.join(found)}")
    return 1 if total[WRONG_GREEN] > options.allowed else 0


def _print_table(counts: dict[Setting, Counter[str]]) -> Counter[str]:
    columns = (WRONG_GREEN, OTHER_WRONG, LATE)
    total: Counter[str] = Counter()
    print(f"{'setting':44}{'histories':>10}" + "".join(f"{name:>18}" for name in columns))
    for setting, found in [*counts.items(), ("all", total)]:
        print(f"{setting!s:44}{found.total():>10}" + "".join(f"{found[name]:>18}" for name in columns))
        if found is not total:
            total.update(found)
    return total


if __name__ == "__main__":
    logging.disable()  # of this process only: tests call main() as well
    sys.exit(main())
