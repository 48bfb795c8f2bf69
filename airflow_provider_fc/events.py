"""What a trigger tells the worker: built small, read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 4096
"""The triggerer logs every event and stores it in the database, so it stays small."""

KINDS = frozenset({"success", "failed", "lost", "empty", "timeout", "error"})

_MAX_TEXT = 1500
_OTHERS = "(others)"


class MalformedEvent(ValueError):
    """An event that nobody here sent. It must never pass for a success."""


@dataclass(frozen=True, slots=True)
class Event:
    """How a wait ended.

    :param kind: one of :data:`KINDS`.
    :param summary: ``by_status``, ``failed`` (rows of id, status, request id), ``started``, ``ended`` (epoch ms).
    :param error: the fields of an error, for kind ``error``.
    :param invocation_id: the one that was waited for, where it was a single one.
    """

    kind: str
    message: str
    summary: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    invocation_id: str | None = None


def build(event: Event) -> dict[str, Any]:
    """JSON-native form of at most 4 KiB; failures beyond that are left out of the list, never out of the counts."""
    payload: dict[str, Any] = {"kind": event.kind, "message": event.message[:_MAX_TEXT]}
    if event.invocation_id is not None:
        payload["invocation_id"] = event.invocation_id
    if event.summary is not None:
        payload["summary"] = {**event.summary, "failed": list(event.summary.get("failed", ()))}
    if event.error is not None:
        payload["error"] = {
            key: value[:_MAX_TEXT] if isinstance(value, str) else value for key, value in event.error.items()
        }
        del payload["message"]
    while _size(payload) > MAX_BYTES and payload.get("summary", {}).get("failed"):
        payload["summary"]["failed"].pop()
    _merge_counts(payload)
    _shorten(payload)
    return payload


def _merge_counts(payload: dict[str, Any]) -> None:
    """Add up the longest words until all fits: only words that no version knows are so many or so long."""
    if "summary" not in payload:
        return
    counts = payload["summary"]["by_status"] = dict(payload["summary"].get("by_status", {}))
    for word in sorted(counts, key=len, reverse=True):
        if _size(payload) <= MAX_BYTES:
            break
        counts[_OTHERS] = counts.pop(word) + counts.get(_OTHERS, 0)


def _shorten(payload: dict[str, Any]) -> None:
    """Halve texts until all fits: outside ASCII a character takes up to twelve bytes of JSON."""
    error = payload.get("error", {})
    for texts, name in ((error, "message"), (error, "text"), (payload, "message")):
        while _size(payload) > MAX_BYTES and texts.get(name):
            texts[name] = texts[name][: len(texts[name]) // 2]


def _size(payload: object) -> int:
    return len(json.dumps(payload).encode())


def parse(payload: object) -> Event:
    """Read an event on the worker.

    :raises MalformedEvent: ``None``, an unknown kind, or a success without counts.
    """
    if not isinstance(payload, Mapping):
        raise MalformedEvent(f"the trigger sent {type(payload).__name__} instead of an event")
    kind, summary, error = payload.get("kind"), payload.get("summary"), payload.get("error")
    if kind not in KINDS:
        raise MalformedEvent(f"the trigger sent an event of the unknown kind {kind!r}")
    if kind in ("success", "failed") and not _is_summary(summary):
        raise MalformedEvent(f"the trigger sent {kind!r} without counts")
    if kind == "error" and not isinstance(error, Mapping):
        raise MalformedEvent("the trigger sent 'error' without one")
    return Event(
        kind=kind,
        message=str(payload.get("message", "")),
        summary=summary if _is_summary(summary) else None,
        error=error if isinstance(error, Mapping) else None,
        invocation_id=payload.get("invocation_id"),
    )


def _is_summary(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("by_status"), Mapping)
        and all(isinstance(count, int) for count in value["by_status"].values())
        and isinstance(value.get("failed"), list)
    )
