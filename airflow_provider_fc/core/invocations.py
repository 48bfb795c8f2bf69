"""What an invocation is, in one shape for all API generations, and what each status means.

Sources: struct pages "StatefulAsyncInvocation" (2016-08-15, 2021-04-06) and "AsyncTask" (2023-03-30); the states and
which of them are final: "Asynchronous tasks" in the Function Compute user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import pendulum

from airflow_provider_fc.core.errors import ParameterError

LIVE_STATUSES = ("Enqueued", "Dequeued", "Running", "Retrying", "Stopping")
TERMINAL_STATUSES = ("Succeeded", "Failed", "Stopped", "Expired", "Invalid")
SUCCESS_STATUSES = frozenset({"Succeeded"})
"""What ended well; each other final status is a failure, unless an author says otherwise for a batch."""

STATUSES = (*LIVE_STATUSES, *TERMINAL_STATUSES)
"""Every documented status. A word that is not here is never success and never final."""


def is_terminal(status: str) -> bool:
    return status in TERMINAL_STATUSES


FIRST_MS = 10**11
"""Epoch milliseconds of 1973; a smaller number is a time in seconds."""

LAST_MS = 253_402_300_799_999
"""The end of the year 9999; later ones cannot be shown."""


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of an invocation's history."""

    event_id: int | None = None
    status: str | None = None
    timestamp: Annotated[int, msgspec.Meta(ge=FIRST_MS, le=LAST_MS)] | None = None
    """Epoch ms."""
    event_detail: str | None = None


class Invocation(msgspec.Struct, frozen=True):
    """An FC asynchronous task. Times are epoch milliseconds; ``None`` means the server did not say.

    ``started_time`` is when the last attempt began; a queued invocation has none. ``duration_ms`` is the server's own
    figure, or the difference of the two times where the server sends none (2016-08-15).
    ``payload``, ``return_payload`` and ``events`` are there only where the operation returns them.
    """

    invocation_id: str
    status: str
    function_name: str | None = None
    service_name: str | None = None
    qualifier: str | None = None
    request_id: str | None = None
    started_time: int | None = None
    end_time: int | None = None
    duration_ms: int | None = None
    destination_status: str | None = None
    error_message: str | None = None
    already_retried_times: int | None = None
    instance_id: str | None = None
    payload: str | None = None
    return_payload: str | None = None
    events: tuple[Event, ...] | None = None

    def __repr__(self) -> str:
        # Payloads and error texts may hold secrets of the author's.
        return f"Invocation(invocation_id={self.invocation_id!r}, status={self.status!r})"

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final. An unknown word is not."""
        return is_terminal(self.status)

    @property
    def log_tail(self) -> str | None:
        """The last lines of the function's log, where the record has them. They may hold anything."""
        tails = (_log_tail(event.event_detail) for event in reversed(self.events or ()))
        return next((tail for tail in tails if tail), None)

    @property
    def started_at(self) -> pendulum.DateTime | None:
        """``started_time`` as an aware UTC datetime."""
        return _datetime(self.started_time)

    @property
    def ended_at(self) -> pendulum.DateTime | None:
        """``end_time`` as an aware UTC datetime."""
        return _datetime(self.end_time)

    def to_dict(self, fields: Iterable[str] | None = None) -> dict[str, Any]:
        """Dump to JSON-native values: times as epoch ms, ``started_at`` and ``ended_at`` as ISO 8601 in UTC.

        :param fields: names out of :data:`FIELDS`, in the order wanted; all of them by default.
        """
        return {name: _DUMPERS[name](self) for name in (FIELDS if fields is None else fields)}


def _log_tail(event_detail: str | None) -> str | None:
    """Read the member ``logTail`` of an event's detail, which is JSON as text, or any other text."""
    if not event_detail or "logTail" not in event_detail:
        return None
    try:
        return msgspec.json.decode(event_detail, type=_EventDetail).log_tail
    except msgspec.DecodeError:
        return None


class _EventDetail(msgspec.Struct, rename="camel"):
    log_tail: str | None = None


def _datetime(milliseconds: int | None) -> pendulum.DateTime | None:
    if milliseconds is None:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    return pendulum.from_timestamp(seconds).replace(microsecond=rest * 1000)


def iso8601(milliseconds: int | None) -> str | None:
    """Write epoch ms as ISO 8601 in UTC with three decimals, for example ``2026-11-22T08:30:00.250Z``."""
    moment = _datetime(milliseconds)
    return None if moment is None else moment.format("YYYY-MM-DDTHH:mm:ss.SSS[Z]")


_DUMPERS: dict[str, Any] = {
    **{name: (lambda item, name=name: getattr(item, name)) for name in Invocation.__struct_fields__},
    "events": lambda item: None if item.events is None else [*map(msgspec.structs.asdict, item.events)],
    "started_at": lambda item: iso8601(item.started_time),
    "ended_at": lambda item: iso8601(item.end_time),
    "is_terminal": lambda item: item.is_terminal,
    "log_tail": lambda item: item.log_tail,
}

FIELDS = tuple(_DUMPERS)
"""Every name that :meth:`Invocation.to_dict` knows."""


_LEGAL = r"A-Za-z0-9_\-"
_MAPPED = re.compile(r"[:+./@~ ]")
"""What Airflow's own ids, and the times in them, hold beside FC's alphabet (``[core] allowed_run_id_pattern``)."""

_REFUSED = re.compile(rf"[^{_LEGAL}:+./@~ ]")


def legal_invocation_id(text: str, *, name: str = "invocation id") -> str:
    """Map text such as ``{{ run_id }}`` into FC's alphabet ``[A-Za-z0-9_-]``.

    Each of ``: + . / @ ~`` and space becomes ``_``. One character in, one out, so the image of a prefix is a prefix of
    the image; legal text stays as it is. Any other character is refused: its meaning would be lost, and texts that are
    strangers to each other would become the same id.
    Source of the alphabet: "InvokeFunction", header ``x-fc-async-task-id``.

    :param name: the parameter, for the error.
    :raises ParameterError: the value is not text, or holds a character that has no place in an id.
    """
    if not isinstance(text, str):
        raise ParameterError(name, f"{type(text).__name__} is not text; give a string")
    if refused := _REFUSED.search(text):
        raise ParameterError(
            name,
            f"{text!r} holds {refused.group()!r}, which no invocation id can; use letters (a to z), digits, _ and - "
            "(: + . / @ ~ and space are taken for _)",
        )
    return _MAPPED.sub("_", str.__str__(text))


def readable_id(text: str) -> str:
    """Make any text legal for people to read, for an id that something else makes unique."""
    return re.sub(rf"[^{_LEGAL}]", "_", text)
