"""A Function Compute in this process, a clock that only moves when somebody sleeps, and a driver for flows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.errors import TransportError
from airflow_provider_fc.core.flow import Context, Flow, GetCredentials, Sleep, Step, drive
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.outcome import Kind, Outcome
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.core.wait import Schedule, Wait
from airflow_provider_fc.core.watch import watch
from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET, FunctionComputeApp
from airflow_provider_fc.emulator.state import FunctionComputeState

FUNCTION = "resize"
START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@dataclass
class Clock:
    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def timestamp(self) -> float:
        return self.moment.timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class World:
    """An emulator without a socket, and somebody who talks to it.

    :param answer: called with each request before the emulator; an answer or error of its own replaces the emulator's.
    """

    clock: Clock = field(default_factory=Clock)
    answer: Callable[[HttpRequest], HttpResponse | Exception | None] = lambda request: None
    seconds_per_request: float = 0.0
    slept: list[float] = field(default_factory=list)
    sent: list[HttpRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = FunctionComputeState(clock=self.clock.timestamp)
        self.app = FunctionComputeApp(self.state)
        self.settings = Settings("fc_default", Auth(), endpoint="http://127.0.0.1:9000", max_attempts=1)
        self.credentials = Credentials(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
        nonces = count()
        self.context = Context(
            self.settings, now=self.clock.now, random=lambda: 0.5, nonce=lambda: f"nonce-{next(nonces)}"
        )

    def run(self, flow: Flow[Any]) -> Any:
        return drive(flow, self._obey)

    def _obey(self, step: Step) -> Any:
        if isinstance(step, GetCredentials):
            return self.credentials
        if isinstance(step, Sleep):
            self.slept.append(step.seconds)
            return self.clock.sleep(step.seconds)
        self.sent.append(step.request)
        self.clock.sleep(self.seconds_per_request)
        reply = self.answer(step.request)
        if isinstance(reply, Exception):
            raise reply
        try:
            return reply or self.app.handle(step.request)
        except ConnectionError as error:  # an injected fault
            raise TransportError(str(error)) from error

    def add(self, *ids: str, **script: Any) -> None:
        """Scripted invocations of the function."""
        self.state.add([{"function": FUNCTION, "id": key, **script} for key in ids])

    def add_many(self, how_many: int, status: str = "Succeeded", prefix: str = "job-", **script: Any) -> None:
        if not how_many:
            return
        template = prefix + "{index:05}"
        self.state.add(
            [{"function": FUNCTION, "id_template": template, "count": how_many, "statuses": [status], **script}]
        )

    def batch(self, **parameters: Any) -> Batch:
        which = {} if "invocation_ids" in parameters else {"invocation_id_prefix": "job-"}
        return Batch.from_parameters(self.settings.function(FUNCTION), **which, **parameters)

    def wait(self, *, timeout: float = 3600.0, poll_interval: float = 60.0, **parameters: Any) -> Wait:
        schedule_parameters = {key: parameters.pop(key) for key in SCHEDULE_PARAMETERS & parameters.keys()}
        schedule = Schedule(
            poll_interval,
            self.clock.now() + timedelta(seconds=timeout),
            **{"progress_interval": None, **schedule_parameters},  # what polls cost is told apart from counts
        )
        return Wait(watch(self.batch(**parameters), self.clock.now()), schedule, self.context)

    def requests_of(self, flow: Flow[Outcome | None]) -> tuple[Outcome | None, int]:
        """Run one poll; its outcome, and how many requests it took."""
        before = len(self.sent)
        outcome = self.run(flow)
        return outcome, len(self.sent) - before

    def kind_of(self, flow: Flow[Outcome | None]) -> Kind | None:
        outcome = self.run(flow)
        return None if outcome is None else outcome.kind

    def queries(self) -> list[dict[str, str]]:
        """What was listed, request by request."""
        return [dict(request.query) for request in self.sent]


SCHEDULE_PARAMETERS = {"exponential_backoff", "max_wait", "silent_fail", "progress_interval"}
