"""Faults of the way an answer takes: its time, its text, its connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import msgspec

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.faults.delivery import Delivery
from airflow_provider_fc.emulator.faults.rule import Arrival, Fault, RefusingFault, Seconds, SignedSeconds

NEVER_SENT = 0
NO_CONTENT = 204


class WrongClock(Fault, tag="wrong_clock", kw_only=True):
    """The server's clock is so many seconds ahead (below 0: behind), in ``Date`` and in the check of signatures."""

    seconds: SignedSeconds

    def shift(self) -> float:
        return self.seconds


class TruncatedJson(Fault, tag="truncated_json"):
    """A complete answer whose body is only the first ``bytes`` (default: half) of the JSON text."""

    bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def alter(self, response: HttpResponse) -> HttpResponse:
        kept = len(response.body) // 2 if self.bytes is None else self.bytes
        return response if kept >= len(response.body) else replace(response, body=response.body[:kept])


class Delay(Fault, tag="delay", kw_only=True):
    """The request is carried out at once, its answer comes so many seconds later."""

    seconds: Seconds

    def deliver(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        return replace(delivery, delay=delivery.delay + self.seconds)


class Drip(Fault, tag="drip"):
    """The body comes in small pieces, ``seconds_per_byte`` or ``seconds`` in all."""

    seconds_per_byte: Seconds | None = None
    seconds: Seconds | None = None

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if (self.seconds is None) == (self.seconds_per_byte is None):
            raise ValueError("give exactly one of `seconds` (in all) and `seconds_per_byte`")

    def deliver(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        per_byte = self.seconds_per_byte or (self.seconds or 0.0) / max(1, len(response.body))
        return replace(delivery, per_byte=per_byte) if response.body else delivery


class Reset(RefusingFault, tag="reset"):
    """The connection is reset and the request is not carried out."""

    def refuse(self, arrival: Arrival) -> Refusal:
        return Refusal("", "", status=NEVER_SENT)

    def deliver(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        return replace(delivery, answered=False, end="reset")


class Break(Fault):
    """Ends the connection after a part of the answer; of several only the first acts."""

    end: ClassVar[Literal["close", "reset"]]

    def deliver(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        over = delivery.end != "keep" or response.status == NEVER_SENT
        return delivery if over else replace(self.cut(delivery, response), end=self.end)

    def cut(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        return delivery


class LoseAnswer(Break, tag="lose_answer"):
    """The request is carried out, then the connection is reset instead of an answer."""

    end: ClassVar[Literal["close", "reset"]] = "reset"

    def cut(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        return replace(delivery, answered=False)


class Close(Break, tag="close"):
    """The answer is complete; then the connection is closed, though nothing announced that."""

    end: ClassVar[Literal["close", "reset"]] = "close"


class CutBody(Break):
    """Sends only the first ``bytes`` (default: half) of the body Content-Length promises."""

    bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def deliver(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        return delivery if response.status == NO_CONTENT else Break.deliver(self, delivery, response)

    def cut(self, delivery: Delivery, response: HttpResponse) -> Delivery:
        size = len(response.body)
        return replace(delivery, sent=min(size // 2 if self.bytes is None else self.bytes, max(0, size - 1)))


class ResetInBody(CutBody, tag="reset_in_body"):
    """Then the connection is reset."""

    end: ClassVar[Literal["close", "reset"]] = "reset"


class TruncatedBody(CutBody, tag="truncated_body"):
    """Then the connection is closed."""

    end: ClassVar[Literal["close", "reset"]] = "close"
