"""A driver of flows that answers from a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from airflow_provider_fc.core.flow import Context, Flow, GetCredentials, Send, Sleep, Step, drive
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials

START = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)


def json_answer(body: object, status: int = 200, **headers: str) -> HttpResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, {"content-type": "application/json", **names}, msgspec.json.encode(body))


def refusal(status: int, code: str | None = None, message: str = "", **headers: str) -> HttpResponse:
    body = {"Code": code, "Message": message, "RequestId": "request-1"} if code else {}
    return json_answer(body, status, **headers)


@dataclass
class Conversation:
    """Obeys flows with answers prepared beforehand: nothing is sent, nobody sleeps, the clock moves when told to.

    :param answers: what the next sends lead to: a response, or an error to be thrown into the flow.
    :param snapshots: credentials to hand out one after the other; the last one for ever.
    """

    settings: Settings = field(default_factory=lambda: Settings("fc_default", Auth(), endpoint="https://fc.test"))
    answers: list[HttpResponse | Exception] = field(default_factory=list)
    snapshots: list[Credentials] = field(default_factory=lambda: [Credentials("key-id", "key-secret")])
    luck: float = 0.5
    seconds_per_exchange: float = 0.0
    now: datetime = START
    sent: list[HttpRequest] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    rejected: list[Credentials | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._nonces = count(1)
        self._handed_out: Iterator[Credentials] = iter(self.snapshots)

    @property
    def context(self) -> Context:
        return Context(
            self.settings,
            now=lambda: self.now,
            random=lambda: self.luck,
            nonce=lambda: f"nonce-{next(self._nonces)}",
        )

    def run(self, flow: Flow[Any]) -> Any:
        return drive(flow, self._obey)

    def _obey(self, step: Step) -> object:
        if isinstance(step, GetCredentials):
            self.rejected.append(step.rejected)
            return next(self._handed_out, self.snapshots[-1])
        if isinstance(step, Sleep):
            self.slept.append(step.seconds)
            self.now += timedelta(seconds=step.seconds)
            return None
        return self._exchange(step)

    def _exchange(self, send: Send) -> HttpResponse:
        self.sent.append(send.request)
        self.timeouts.append(send.timeout)
        self.now += timedelta(seconds=self.seconds_per_exchange)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
