"""The wait around the polls: sleeps, tolerates faults, and ends at an absolute deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_fc.core.counting import Counting
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    ApiError,
    CertificateError,
    DeadlineExceeded,
    FunctionComputeError,
    UnavailableError,
)
from airflow_provider_fc.core.flow import Context, Flow, Sleep
from airflow_provider_fc.core.outcome import Kind, Outcome
from airflow_provider_fc.core.policies import Polling
from airflow_provider_fc.core.progress import Counts, Trend
from airflow_provider_fc.core.watch import Watch

log = logging.getLogger(__name__)

LAST_POLL = timedelta(seconds=30)
"""How long the poll after the deadline may take."""

PROGRESS_INTERVAL = 300.0
"""Seconds between two counts of a batch at least."""

NO_LAST_POLL = "the last poll "
"""So begins what is known where the last poll has told nothing."""

LAST_POLL_FAILED = f"{NO_LAST_POLL}failed"

HEARTBEAT = timedelta(minutes=10)
SLOWEST = 8.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to poll.

    :param poll_interval: seconds between two polls.
    :param deadline: aware instant at which the wait is over.
    :param exponential_backoff: double the interval after each poll.
    :param max_wait: seconds that a growing interval never exceeds.
    :param silent_fail: permanent errors do not end the wait either.
    :param progress_interval: seconds between two counts of the batch at least; ``None`` for no counts.
    """

    poll_interval: float
    deadline: datetime
    exponential_backoff: bool = False
    max_wait: float | None = None
    silent_fail: bool = False
    progress_interval: float | None = PROGRESS_INTERVAL

    def to_json(self) -> dict[str, Any]:
        """Dump it for a trigger's arguments, the deadline as epoch seconds."""
        return {**asdict(self), "deadline": self.deadline.timestamp()}

    @classmethod
    def from_json(cls, wire: Mapping[str, Any]) -> Schedule:
        """Rebuild what :meth:`to_json` has dumped; what an older version did not know has its default."""
        return cls(**{**wire, "deadline": datetime.fromtimestamp(wire["deadline"], UTC)})


class Pace:
    """Tells how long to sleep before the next poll."""

    def __init__(self, schedule: Schedule, random: Callable[[], float], policy: Polling) -> None:
        self.schedule = schedule
        self._policy = policy
        self._random = random
        self._polls = 0
        self._slowdown = 1.0
        self._wished = 0.0

    def first(self) -> float:
        return self._policy.first + self._random() * min(self.schedule.poll_interval, self._policy.first_spread)

    def next(self) -> float:
        """Give the interval with 10 % jitter, grown where that is wanted, never less than the server asked for."""
        interval = self.schedule.poll_interval
        if self.schedule.exponential_backoff:
            interval *= 2.0 ** min(self._polls, 16)
        self._polls += 1
        return self._no_sooner(self._stretched(interval) * (0.9 + 0.2 * self._random()))

    def slowed(self, interval: float) -> float:
        """Stretch an interval of somebody else's, as long as the server's state wants it."""
        return self._no_sooner(self._stretched(interval))

    def _stretched(self, interval: float) -> float:
        interval *= self._slowdown
        return interval if self.schedule.max_wait is None else min(interval, self.schedule.max_wait)

    def _no_sooner(self, interval: float) -> float:
        return max(interval, self._wished, self._policy.shortest)

    def slow_down(self, error: FunctionComputeError) -> None:
        if isinstance(error, UnavailableError):
            self._slowdown = min(self._slowdown * 2, SLOWEST)
            self._wished = error.retry_after or 0.0

    def recover(self) -> None:
        self._slowdown = max(self._slowdown / 2, 1.0)
        self._wished = 0.0


class Progress:
    """One line in the log when something changes, a sign of life every ten minutes, the rest at DEBUG."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._trend = Trend()
        self._counted = False
        self._said: str | None = None
        self._said_at = now()
        self._failing = False

    def answered(self) -> None:
        if self._failing:
            log.info("Function Compute answers again")
            self._failing = False

    def polled(self, outcome: Outcome, counts: Counts | None) -> None:
        """Tell what a poll has found.

        :param counts: what it has counted, if it has. A poll that has not tells nothing new to whoever has read counts.
        """
        self.answered()
        waiting = outcome.kind is Kind.WAITING
        if counts is not None and waiting:
            self._trend.add(counts, self._now())
            self._say(str(outcome.summary), f"Waiting: {outcome.reason}{self._trend}")
        elif self._counted and waiting:
            self._say(self._said, f"Waiting: {outcome.reason}")
        else:
            text = str(outcome.summary) if outcome.summary else outcome.reason
            self._say(text, f"{outcome.kind.value.capitalize()}: {outcome.reason}")

    def counted(self, counts: Counts) -> None:
        """Tell how far the batch is."""
        self._counted = True
        self._trend.add(counts, self._now())
        self._say(str(counts), f"Waiting: {counts}{self._trend}")

    def _say(self, finding: str | None, line: str) -> None:
        due = self._now() - self._said_at >= HEARTBEAT
        level = logging.INFO if finding != self._said or due else logging.DEBUG
        log.log(level, "%s", line)
        if level == logging.INFO:
            self._said, self._said_at = finding, self._now()

    def failed(self, reason: object) -> None:
        log.log(logging.DEBUG if self._failing else logging.WARNING, "Could not poll, the wait goes on: %s", reason)
        self._failing = True


class Wait:
    """One wait: its watch, its pace and what it has said. Poking sensors and triggers both go through it.

    :ivar answered: the server has answered this wait before.
    :ivar accepted: it has, or it has answered the task before this wait was handed over.
    :ivar counted_for: seconds that counting took out of the pause after the last poll.
    """

    def __init__(self, watch: Watch, schedule: Schedule, context: Context) -> None:
        self.watch = watch
        self.schedule = schedule
        self.pace = Pace(schedule, context.random, context.policies.polling)
        self._progress = Progress(context.now)
        self._counting = Counting(watch.batch, watch.began_at, schedule.progress_interval, self._progress.counted)
        self._now = context.now
        self._error: FunctionComputeError | None = None
        self.answered = self.accepted = False
        self.counted_for = 0.0

    @property
    def known(self) -> str:
        """What the polls have found so far, and what the last one failed on, in words."""
        if self._error is None:
            return self.watch.known
        if isinstance(self._error, DeadlineExceeded):
            return f"{NO_LAST_POLL}was not over in time; before it: {self.watch.known}"
        return f"{LAST_POLL_FAILED} ({self._error}); before it: {self.watch.known}"

    def go_on_for_one_poll(self) -> None:
        """Take over from an earlier process, in one that polls once."""
        self.answered = self.accepted = True
        self._counting.go_on_for_one_poll(self._now(), self.schedule.poll_interval)

    def first_poll(self, context: Context) -> Flow[Outcome | None]:
        """Poll before deferring: cheap, never sleeping; ``None`` when it met a transient error."""
        outcome = yield from self._tolerant(self.watch.first_poll(context))
        if outcome is not None and not outcome.decided:
            yield from self._counting.run(context)
        return outcome

    def poke(self, context: Context) -> Flow[Outcome | None]:
        """Poll once, and when that ends after the deadline for the last time."""
        context = context.until(self.schedule.deadline)
        if self._time_left(context):
            outcome = yield from self._tolerant(self.watch.poll(context))
            if outcome is not None and outcome.decided:
                return outcome
            if self._time_left(context):
                began = context.now()
                ends = began + timedelta(seconds=self.schedule.poll_interval)
                yield from self._counting.run(context.until(min(ends, self.schedule.deadline)))
                self.counted_for = (context.now() - began).total_seconds()
                return outcome
        return (yield from self._give_up(context))

    def run(self, context: Context, first_pause: float | None = None) -> Flow[Outcome]:
        """Poll until the batch is decided or the deadline has passed.

        Transient errors never end it; a permanent one does, unless ``silent_fail``.

        :param first_pause: seconds before the first poll; by default as a trigger needs them.
        :raises FunctionComputeError: a permanent error.
        """
        context = context.until(self.schedule.deadline)
        self.accepted = True
        self._counting.go_on(context.now())
        pause = self.pace.first() if first_pause is None else first_pause
        while left := self._time_left(context):
            yield from self._pause(min(pause, left), context)
            if pause < left:
                outcome = yield from self._tolerant(self.watch.poll(context), denied_ends=True)
                if outcome is not None and outcome.decided:
                    return outcome
                pause = self.pace.next()
        return (yield from self._give_up(context))

    def _pause(self, seconds: float, context: Context) -> Flow[None]:
        """Sleep, and count meanwhile if it is time to."""
        ends = context.now() + timedelta(seconds=seconds)
        due = self._counting.due_in(context.now())
        if due is not None and due < seconds:
            if due:
                yield Sleep(due)
            yield from self._counting.run(context.until(ends))
            seconds = (ends - context.now()).total_seconds()
        if seconds > 0:
            yield Sleep(seconds)

    @staticmethod
    def _time_left(context: Context) -> float:
        return max(context.seconds_left() or 0.0, 0.0)

    def _give_up(self, context: Context) -> Flow[Outcome]:
        """Poll one last time, completely; that may still decide, or gives the counts for the message."""
        context = context.until(max(self.schedule.deadline, context.now()) + LAST_POLL)
        outcome = yield from self._tolerant(self.watch.last_poll(context))
        if outcome is None:
            return Outcome(Kind.TIMEOUT, self.known, self.watch.last)
        return outcome if outcome.decided else replace(outcome, kind=Kind.TIMEOUT)

    def _tolerant(self, poll: Flow[Outcome], *, denied_ends: bool = False) -> Flow[Outcome | None]:
        """Poll; transient errors are noted and tolerated.

        :param denied_ends: refused keys end the flow even under ``silent_fail``: the caller reads the connection again.
        """
        try:
            outcome = yield from poll
        except FunctionComputeError as error:
            if denied_ends and isinstance(error, AccessDeniedError):
                raise
            if not (self._tolerates(error) or self.schedule.silent_fail):
                raise
            self.pace.slow_down(error)
            self._error = error
            if self._now() < self.schedule.deadline:  # else it may have been cut off, and what comes next is the last
                self._progress.failed(error)
            return None
        self._error = None
        self.answered = self.accepted = True
        self.pace.recover()
        counts, self.watch.counts = self.watch.counts, None
        self._progress.polled(outcome, counts)
        if counts is not None and counts.complete:
            self._counting.counted(self._now())
        return outcome

    def _tolerates(self, error: FunctionComputeError) -> bool:
        # Where the server's certificate was accepted before, somebody is late to renew it; else our trust is wrong.
        renewable = self.answered and isinstance(error, CertificateError)
        # A request like those that were accepted before is no mistake of the author's.
        foreign = self.accepted and isinstance(error, ApiError) and error.unexplained
        return error.transient or renewable or foreign or isinstance(error, DeadlineExceeded)
