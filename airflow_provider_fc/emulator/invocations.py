"""One invocation as a timeline: what it looked like at any moment, past or still to come."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

TERMINAL = frozenset({"Succeeded", "Failed", "Stopped", "Expired", "Invalid"})
STATUSES = TERMINAL | {"Enqueued", "Dequeued", "Running", "Retrying", "Stopping"}
QUEUED = frozenset({"Enqueued", "Dequeued"})
# Reached without having run, these leave the start time at 0.
_NEVER_STARTS = QUEUED | {"Expired", "Invalid", "Stopped"}


class Moment(msgspec.Struct, frozen=True, gc=False):
    """What an invocation looks like from ``at`` on (epoch ms, like every time here) until its next moment."""

    at: int
    status: str
    started: int = 0
    ended: int = 0
    retries: int = 0
    error: str = ""


class Invocation(msgspec.Struct, kw_only=True, gc=False):
    """An invocation with everything that ever happened to it.

    :param advance: what makes it go on: responses that showed it, the clock, or a worker process.
    :param script: for ``responses``: statuses still to come.
    :param script_error: the error text of a scripted end other than ``Succeeded``.
    :param due: epoch ms before which no worker takes it.
    :param attempts: executions begun so far; ``failures`` of them failed.
    """

    service: str
    function: str
    qualifier: str
    id: str
    request_id: str
    submitted: int
    advance: Literal["responses", "time", "worker"] = "responses"
    moments: list[Moment] = []
    payload: bytes = b""
    return_payload: bytes = b""
    instance_id: str = ""
    script: tuple[str, ...] = ()
    script_error: str = ""
    started_time: int | None = None
    end_time: int | None = None
    visible_from: int = 0
    visible_until: int | None = None
    recorded: bool = True
    due: int = 0
    attempts: int = 0
    failures: int = 0

    @property
    def last(self) -> Moment:
        return self.moments[-1]

    def at(self, time: int) -> Moment | None:
        """Find how it was at ``time``; ``None`` where it could not be seen."""
        if time < self.visible_from or (self.visible_until is not None and time >= self.visible_until):
            return None
        return next((moment for moment in reversed(self.moments) if moment.at <= time), None)

    def enter(self, status: str, at: int, *, error: str = "", reset_start: bool = False) -> None:
        """Append a moment, carrying over what the new status does not change.

        :param reset_start: a further attempt (Retrying -> Running) gets a start time of its own.
        """
        before = self.last if self.moments else Moment(at, "")
        started = before.started
        again = reset_start and status == "Running" and before.retries > 0
        if again or (not started and status not in _NEVER_STARTS):
            # Responses are no clock: what advances by them keeps its place in the listing while its pages are read.
            started = self.submitted if self.advance == "responses" and not again else at
        if self.started_time is not None and started and not again:
            started = self.started_time
        ended = (self.end_time or at) if status in TERMINAL else 0
        if status in TERMINAL and status != "Succeeded":
            error = error or self.script_error
        retries = before.retries + (status == "Retrying")
        self.moments.append(Moment(at, status, started, ended, retries, error))

    def step(self, now: int, *, reset_start: bool) -> bool:
        """Take the next step of a life that advances by responses, and tell whether there was one."""
        if not self.script:
            return False
        self.enter(self.script[0], now, reset_start=reset_start)
        self.script = after_first(self.script)
        return True

    def forget_after(self, now: int) -> None:
        """Drop what was still to come: a stop rewrites the future."""
        self.script = ()
        self.moments = [moment for moment in self.moments if moment.at <= now]


@lru_cache
def after_first(statuses: tuple[str, ...]) -> tuple[str, ...]:
    """Give all but the first status; invocations of one script share the tuple."""
    return statuses[1:]


class Event(msgspec.Struct, frozen=True, rename="camel", gc=False):
    event_id: int
    status: str
    timestamp: int
    event_detail: str


class InvocationView(msgspec.Struct, frozen=True, gc=False):
    """What a response may show of an invocation at one moment."""

    service: str
    function: str
    qualifier: str
    id: str
    request_id: str
    status: str
    started_time: int
    end_time: int
    destination_status: str
    error_message: str
    payload: str
    return_payload: str
    already_retried_times: int
    instance_id: str
    duration_ms: int
    events: list[Event]


def view(invocation: Invocation, moment: Moment, *, payloads: bool) -> InvocationView:
    """Show the invocation as it was at ``moment``."""
    done = moment.status == "Succeeded" and payloads
    return InvocationView(
        service=invocation.service,
        function=invocation.function,
        qualifier=invocation.qualifier,
        id=invocation.id,
        request_id=invocation.request_id,
        status=moment.status,
        started_time=moment.started,
        end_time=moment.ended,
        destination_status="",  # concerns a destination callback, which nothing here configures
        error_message=moment.error if moment.ended else "",
        payload=_text(invocation.payload) if payloads else "",
        return_payload=_text(invocation.return_payload) if done else "",
        already_retried_times=moment.retries,
        instance_id=(invocation.instance_id or f"c-{invocation.request_id}") if moment.started else "",
        duration_ms=max(0, moment.ended - moment.started) if moment.ended and moment.started else 0,
        events=_events(invocation, moment),
    )


def _events(invocation: Invocation, last: Moment) -> list[Event]:
    return [
        Event(number, moment.status, moment.at, _detail(invocation, moment))
        for number, moment in enumerate(invocation.moments, start=1)
        if moment.at <= last.at
    ]


def _detail(invocation: Invocation, moment: Moment) -> str:
    """Show an error, and the end of the log of what has run and ended badly."""
    detail = {"Error": moment.error} if moment.error else {}
    if moment.ended and moment.started and moment.status != "Succeeded":
        request = f"RequestId: {invocation.request_id}"
        detail["logTail"] = f"FC Invoke Start {request}\n{moment.error}\nFC Invoke End {request}\n"
    return msgspec.json.encode(detail).decode() if detail else ""


def _text(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")
