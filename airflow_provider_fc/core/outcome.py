"""How a wait ended: the one vocabulary for it, and the small JSON form in which a trigger tells it to the worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import msgspec

from airflow_provider_fc.core.errors import FunctionComputeError, TriggerError, from_fields, to_fields
from airflow_provider_fc.core.invocations import Invocation, iso8601

MAX_LISTED_FAILURES = 20
MAX_ERROR_MESSAGE = 500
MAX_LOG_TAIL = 4000
"""Characters of a function's log that a failure quotes at most, when that is asked for."""

MAX_BYTES = 4096
"""Of the JSON form: the triggerer logs every event and Airflow's database stores it."""

_MAX_TEXT = 1500
_OTHERS = "(others)"


class Kind(Enum):
    """What a poll, and in the end a wait, has found."""

    WAITING = "waiting"
    SUCCESS = "success"
    FAILED = "failed"
    LOST = "lost"
    EMPTY = "empty"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """One invocation that ended badly, as a summary tells it."""

    invocation_id: str
    status: str
    error_message: str | None
    request_id: str | None
    log_tail: str | None = None
    """For the exception's text alone, and only when the author asks: a function's log may hold anything."""

    @classmethod
    def of(cls, item: Invocation, log_tail_lines: int = 0) -> Failure:
        message = item.error_message[:MAX_ERROR_MESSAGE] if item.error_message else None
        tail = "\n".join((item.log_tail or "").splitlines()[-log_tail_lines:]) if log_tail_lines else ""
        return cls(item.invocation_id, item.status, message, item.request_id, tail[-MAX_LOG_TAIL:] or None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "invocation_id": self.invocation_id,
            "status": self.status,
            "error_message": self.error_message,
            "request_id": self.request_id,
        }

    def __str__(self) -> str:
        reason = f": {self.error_message}" if self.error_message else ""
        tail = "\n      | ".join(["\n    the end of its log:", *(self.log_tail or "").splitlines()])
        told = f"{self.invocation_id} {self.status}{reason} [request id {self.request_id or 'unknown'}]"
        return f"{told}{tail}" if self.log_tail else told


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts and up to 20 failures; times are epoch ms."""

    by_status: Mapping[str, int]
    failed: tuple[Failure, ...] = ()
    started: int | None = None
    ended: int | None = None

    @property
    def total(self) -> int:
        return sum(self.by_status.values())

    def to_dict(self) -> dict[str, Any]:
        """Give the shape that the sensor returns."""
        return {
            "total": self.total,
            "by_status": dict(self.by_status),
            "failed": [failure.to_dict() for failure in self.failed],
            "started_at": iso8601(self.started),
            "ended_at": iso8601(self.ended),
        }

    def __str__(self) -> str:
        return f"{self.total} found" + (f" ({counts_text(self.by_status)})" if self.total else "")


def counts_text(by_status: Mapping[str, int]) -> str:
    """Write ``Failed 2, Succeeded 98``."""
    return ", ".join(f"{status} {count}" for status, count in sorted(by_status.items()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a poll has found, or how a wait has ended.

    :param reason: in words, for log and error.
    :param summary: counts, where a complete listing gave them.
    :param error: what ended the wait, for :attr:`Kind.ERROR`.
    :param invocation_id: the one that was waited for, where a trigger waits for a single one.
    """

    kind: Kind
    reason: str
    summary: Summary | None = None
    error: FunctionComputeError | None = None
    invocation_id: str | None = None

    @property
    def decided(self) -> bool:
        return self.kind is not Kind.WAITING

    @classmethod
    def of_error(cls, error: FunctionComputeError) -> Outcome:
        return cls(Kind.ERROR, str(error), error=error)

    def to_json(self) -> dict[str, Any]:
        """Dump it to at most 4 KiB of JSON, without error texts of failures: those may hold anything.

        What does not fit is left out of the list of failures and never out of the counts.
        """
        wire: dict[str, Any] = {"kind": self.kind.value}
        if self.invocation_id is not None:
            wire["invocation_id"] = self.invocation_id
        if self.summary is not None:
            wire["summary"] = {
                "by_status": dict(self.summary.by_status),
                "failed": [
                    [failure.invocation_id, failure.status, failure.request_id] for failure in self.summary.failed
                ],
                "started": self.summary.started,
                "ended": self.summary.ended,
            }
        if self.error is not None:
            wire["error"] = {name: _cut(value) for name, value in to_fields(self.error).items()}
        else:
            # The reason of a failure quotes error texts.
            wire["reason"] = _cut(str(self.summary) if self.kind is Kind.FAILED else self.reason)
        _fit(wire)
        return wire

    @classmethod
    def from_json(cls, wire: object) -> Outcome:
        """Read what a trigger has sent.

        :raises TriggerError: nobody here has sent that. It must never pass for a success.
        """
        try:
            read = msgspec.convert(wire, _Wire)
        except msgspec.ValidationError as error:
            raise TriggerError(f"the trigger sent what is no outcome: {error}") from None
        if read.kind in (Kind.SUCCESS, Kind.FAILED) and read.summary is None:
            raise TriggerError(f"the trigger sent {read.kind.value!r} without counts")
        if read.kind is Kind.WAITING or (read.kind is Kind.ERROR) != (read.error is not None):
            raise TriggerError(f"the trigger sent {read.kind.value!r}, which ends no wait in this form")
        summary = None if read.summary is None else read.summary.to_summary()
        if read.error is not None:
            return replace(cls.of_error(from_fields(read.error)), invocation_id=read.invocation_id)
        return cls(read.kind, read.reason, summary, invocation_id=read.invocation_id)


class _WireSummary(msgspec.Struct):
    by_status: dict[str, int]
    failed: list[tuple[str, str, str | None]] = []
    started: int | None = None
    ended: int | None = None

    def to_summary(self) -> Summary:
        failed = tuple(Failure(key, status, None, request_id) for key, status, request_id in self.failed)
        return Summary(self.by_status, failed, self.started, self.ended)


class _Wire(msgspec.Struct):
    kind: Kind
    reason: str = ""
    summary: _WireSummary | None = None
    error: dict[str, Any] | None = None
    invocation_id: str | None = None


def _cut(value: Any) -> Any:
    return value[:_MAX_TEXT] if isinstance(value, str) else value


def _fit(wire: dict[str, Any]) -> None:
    """Make it small: first fewer failures, then fewer words, then shorter texts."""
    summary = wire.get("summary", {})
    while summary.get("failed") and _size(wire) > MAX_BYTES:
        summary["failed"].pop()
    _merge_counts(wire)
    _shorten(wire)


def _merge_counts(wire: dict[str, Any]) -> None:
    """Add up the longest words until all fits: only words that no version knows are so many or so long."""
    counts = wire.get("summary", {}).get("by_status", {})
    for word in sorted(counts, key=len, reverse=True):
        if _size(wire) <= MAX_BYTES:
            break
        counts[_OTHERS] = counts.pop(word) + counts.get(_OTHERS, 0)


def _shorten(wire: dict[str, Any]) -> None:
    """Halve texts until all fits: outside ASCII a character takes up to twelve bytes of JSON."""
    error = wire.get("error", {})
    for texts, name in ((error, "message"), (error, "text"), (wire, "reason")):
        while _size(wire) > MAX_BYTES and texts.get(name):
            texts[name] = texts[name][: len(texts[name]) // 2]


def _size(wire: object) -> int:
    return len(json.dumps(wire).encode())
