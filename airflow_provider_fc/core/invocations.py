"""What an invocation is, in one shape for all API generations, and what each status means.

Sources: struct pages "StatefulAsyncInvocation" (2016-08-15, 2021-04-06) and "AsyncTask" (2023-03-30); the states and
which of them are final: "Asynchronous tasks" in the Function Compute user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import msgspec
import pendulum

from airflow_provider_fc.core.errors import MalformedBodyError, ParameterError

LIVE_STATUSES = ("Running", "Enqueued", "Dequeued", "Retrying", "Stopping")
TERMINAL_STATUSES = ("Succeeded", "Failed", "Stopped", "Expired", "Invalid")
SUCCESS_STATUSES = frozenset({"Succeeded"})
"""What ended well; each other final status is a failure, unless an author says otherwise for a batch."""

STATUSES = (*LIVE_STATUSES, *TERMINAL_STATUSES)
"""Every documented status. A word that is not here is never success and never final."""


def is_terminal(status: str) -> bool:
    return status in TERMINAL_STATUSES


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an invocation's history."""

    event_id: int | None = None
    status: str | None = None
    timestamp: int | None = None
    """Epoch ms."""
    event_detail: str | None = None


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
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


def _datetime(milliseconds: int | None) -> pendulum.DateTime | None:
    if milliseconds is None:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    return pendulum.from_timestamp(seconds).replace(microsecond=rest * 1000)


def iso8601(milliseconds: int | None) -> str | None:
    """Epoch ms to ISO 8601 in UTC with three decimals, for example ``2026-11-22T08:30:00.250Z``."""
    moment = _datetime(milliseconds)
    return None if moment is None else moment.format("YYYY-MM-DDTHH:mm:ss.SSS[Z]")


_DUMPERS: dict[str, Any] = {
    **{name: (lambda item, name=name: getattr(item, name)) for name in Invocation.__struct_fields__},
    "events": lambda item: None if item.events is None else [msgspec.to_builtins(event) for event in item.events],
    "started_at": lambda item: iso8601(item.started_time),
    "ended_at": lambda item: iso8601(item.end_time),
    "is_terminal": lambda item: item.is_terminal,
}

FIELDS = tuple(_DUMPERS)
"""Every name that :meth:`Invocation.to_dict` knows."""


# What servers really send is wider than the documents: numbers as text, ISO times, 0 for "not yet", null anywhere.
_Number = int | float | str | None
# JSON as text according to the documents; one that comes as JSON itself must not make a whole page unreadable.
_Text = str | int | float | bool | dict[str, Any] | list[Any] | None


class _WireEvent(msgspec.Struct, rename="camel"):
    event_id: _Number = None
    status: str | None = None
    timestamp: _Number = None
    event_detail: _Text = None


class WireInvocation(msgspec.Struct, rename="camel"):
    """An invocation as any of the three generations spells it; unknown keys are ignored."""

    # FC 2.0
    invocation_id: str | None = None
    function_name: str | None = None
    service_name: str | None = None
    invocation_error_message: _Text = None
    invocation_payload: _Text = None
    # The 2016-08-15 documentation prints this key with a capital letter, the SDKs without.
    invocation_payload_as_documented: _Text = msgspec.field(default=None, name="InvocationPayload")
    # FC 3.0
    task_id: str | None = None
    function_arn: str | None = None
    task_error_message: _Text = None
    task_payload: _Text = None
    # all
    status: str | None = None
    qualifier: str | None = None
    request_id: str | None = None
    started_time: _Number = None
    end_time: _Number = None
    duration_ms: _Number = None
    destination_status: str | None = None
    already_retried_times: _Number = None
    instance_id: str | None = None
    return_payload: _Text = None
    events: list[_WireEvent] | None = None

    def to_invocation(self) -> Invocation:
        """Bring it into our shape.

        :raises MalformedBodyError: without an id or a status nothing can be said about it.
        """
        invocation_id = self.invocation_id or self.task_id
        if not invocation_id or not self.status:
            raise MalformedBodyError("an invocation in the answer has no id or no status")
        started = _milliseconds(self.started_time)
        ended = _milliseconds(self.end_time)
        duration = _integer(self.duration_ms)
        if duration is None and started is not None and ended is not None and ended >= started:
            duration = ended - started
        return Invocation(
            invocation_id=invocation_id,
            status=self.status,
            function_name=self.function_name or _function_of(self.function_arn),
            service_name=self.service_name or None,
            qualifier=self.qualifier or None,
            request_id=self.request_id or None,
            started_time=started,
            end_time=ended,
            duration_ms=duration,
            destination_status=self.destination_status or None,
            error_message=_first(self.invocation_error_message, self.task_error_message) or None,
            already_retried_times=_integer(self.already_retried_times),
            instance_id=self.instance_id or None,
            payload=_first(self.invocation_payload, self.invocation_payload_as_documented, self.task_payload),
            return_payload=_first(self.return_payload),
            events=None if self.events is None else tuple(map(_event, self.events)),
        )


def _event(wire: _WireEvent) -> Event:
    return Event(
        event_id=_integer(wire.event_id),
        status=wire.status,
        timestamp=_milliseconds(wire.timestamp),
        event_detail=_first(wire.event_detail),
    )


def _first(*values: _Text) -> str | None:
    """The first that is given, as text."""
    given = next((value for value in values if value is not None), None)
    return given if given is None or isinstance(given, str) else msgspec.json.encode(given).decode()


def _function_of(arn: str | None) -> str | None:
    """``acs:fc:{region}:{account}:functions/{name}`` -> name; one that came from FC 2.0 has a ``$``, or ``%24``."""
    found = _FUNCTION_IN_ARN.search(arn or "")
    return unquote(found[1] if found else arn or "") or None


_FUNCTION_IN_ARN = re.compile(r"(?:^|[:/])functions/([^/]*)")


def _integer(value: _Number) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(float(value)) if isinstance(value, str) and "." in value else int(value)
    except (ValueError, OverflowError):
        raise MalformedBodyError(f"a number was expected, not {str(value)[:40]!r}") from None


def _milliseconds(value: _Number) -> int | None:
    """Epoch ms from a number, digits as text, or ISO 8601 (UTC where it names no zone).

    0 means "not yet", and so does all before 1970, such as the zero time of the Go language.
    """
    milliseconds = _parsed(value) or 0
    if milliseconds > _LAST_MS:
        raise MalformedBodyError(f"a time was expected, not {str(value)[:40]!r}")
    return milliseconds if milliseconds > 0 else None


def _parsed(value: _Number) -> int | None:
    if isinstance(value, str) and not _NUMERIC.fullmatch(value) and value:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise MalformedBodyError(f"a time was expected, not {value[:40]!r}") from None
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    return _integer(value)


# The end of the year 9999: later ones cannot be shown.
_LAST_MS = 253_402_300_799_999

_NUMERIC = re.compile(r"-?\d+(\.\d+)?")

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")


def legal_invocation_id(text: str) -> str:
    """Map text such as ``{{ run_id }}`` into FC's alphabet ``[A-Za-z0-9_-]``: each illegal character becomes ``_``.

    One character in, one out, so the image of a prefix is a prefix of the image; legal text stays as it is.
    Source of the alphabet: "InvokeFunction", header ``x-fc-async-task-id``.

    :raises ParameterError: the value is not text.
    """
    if not isinstance(text, str):
        raise ParameterError("invocation id", f"{type(text).__name__} is not text; give a string")
    return _ILLEGAL.sub("_", text)
