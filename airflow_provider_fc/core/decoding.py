"""Reads invocations out of answers, whatever form the server gives them.

An answer in the usual form is decoded by msgspec at one go into what :class:`_Usual` declares. One that does not fit is
read again, item by item and field by field: numbers as text, ISO times, JSON where its text was meant, a second
spelling. What cannot be read even so is ``None``, except for the id and the status, on which everything depends.

Sources: struct pages "StatefulAsyncInvocation" (2016-08-15, 2021-04-06) and "AsyncTask" (2023-03-30), the pages of the
operations, which disagree with them on the form of times and the case of keys, and the official SDKs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import msgspec

from airflow_provider_fc.core.api import APIS, Api
from airflow_provider_fc.core.errors import MalformedBodyError
from airflow_provider_fc.core.invocations import FIRST_MS, LAST_MS, Event, Invocation

log = logging.getLogger(__name__)

T = TypeVar("T")

_Word = Annotated[str, msgspec.Meta(min_length=1)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]


def read_page(api: Api, body: bytes) -> tuple[list[Invocation], str | None]:
    """Read a page of a listing and the token of the next.

    :raises MalformedBodyError: it is none, or one of its invocations has no id or no status.
    """
    page, _ = _decoders(api.version)
    listing = _decode(body, page)
    items, token = _odd_page(api, body) if listing is None else (listing.items, listing.next_token)
    if not items:
        _expect_listing(api, body)
    return [_invocation(item) for item in items or ()], token or None


def read_invocation(api: Api, body: bytes) -> Invocation:
    """Read a single invocation.

    :raises MalformedBodyError: it is none, or has no id or no status.
    """
    _, item = _decoders(api.version)
    return _invocation(_decode(body, item) or _odd(api, _object(body)))


def _decode(body: bytes | str, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Decode JSON of the expected form; ``None`` if it has another one.

    :raises MalformedBodyError: it is no JSON.
    """
    try:
        return decoder.decode(body)
    except UnicodeDecodeError:
        # An error message cut to a length in bytes may end in half a character; the rest of the page is sound.
        assert isinstance(body, bytes)
        return _decode(body.decode("utf-8", "replace"), decoder)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedBodyError(f"the answer cannot be read: {error}") from None


def _object(body: bytes) -> dict[str, Any]:
    document = _decode(body, _OBJECT)
    if document is None:
        raise MalformedBodyError("the answer cannot be read: it is no JSON object")
    return document


_OBJECT = msgspec.json.Decoder(dict[str, Any])


_TOKENS = ("nextToken", "NextToken")
"""Keys of the next page's token: FC's own, and the one of Alibaba Cloud's RPC-style APIs (as in ``RequestId``)."""


# The usual form


class _Usual(msgspec.Struct, kw_only=True):
    """An invocation as servers usually send it; with 0 for a time that is not yet, and empty texts."""

    invocation_id: _Word
    status: _Word
    function_name: str | None = None  # in FC 3.0 an ARN
    service_name: str | None = None
    qualifier: str | None = None
    request_id: str | None = None
    started_time: _Time | None = None
    end_time: _Time | None = None
    duration_ms: int | None = None
    destination_status: str | None = None
    error_message: str | None = None
    already_retried_times: int | None = None
    instance_id: str | None = None
    payload: str | None = None
    return_payload: str | None = None
    events: tuple[Event, ...] | None = None


class _Page(msgspec.Struct):
    items: list[_Usual] | None = None
    next_token: str | None = None


@cache
def _decoders(version: str) -> tuple[msgspec.json.Decoder[_Page], msgspec.json.Decoder[_Usual]]:
    """Make the decoders of a page and of an invocation, with the keys of this API version."""
    api = APIS[version]
    spellings = {name: _spellings(api, name) for name in _Usual.__struct_fields__}
    item = msgspec.defstruct(
        "UsualInvocation",
        [(field.name, field.type, field.default) for field in msgspec.structs.fields(_Usual)]
        # Under another spelling only null is usual.
        + [(other, None, None) for _, *others in spellings.values() for other in others],
        bases=(_Usual,),
        kw_only=True,
        rename={name: first for name, (first, *_) in spellings.items()},
    )
    page = msgspec.defstruct(
        "UsualPage",
        # A page whose token stands under another spelling must not pass for the last one.
        [("items", list[item] | None, None), ("next_token", str | None, None), ("other", None, None)],  # type: ignore[valid-type]
        bases=(_Page,),
        rename=dict(zip(("items", "next_token", "other"), (api.envelope, *_TOKENS), strict=True)),
    )
    return msgspec.json.Decoder(page), msgspec.json.Decoder(item)


def _spellings(api: Api, name: str) -> list[str]:
    first, *others = name.split("_")
    return list(api.spellings.get(name, [first + "".join(map(str.capitalize, others))]))


def _invocation(usual: _Usual) -> Invocation:
    """Bring it into our shape. Called for every invocation listed: positions are faster than names."""
    started, ended, duration = usual.started_time, usual.end_time, usual.duration_ms
    if started is not None and started < FIRST_MS:
        started = _milliseconds(started)
    if ended is not None and ended < FIRST_MS:
        ended = _milliseconds(ended)
    if duration is None and started is not None and ended is not None and ended >= started:
        duration = ended - started
    return Invocation(
        usual.invocation_id,
        usual.status,
        _function_of(usual.function_name),
        usual.service_name or None,
        usual.qualifier or None,
        usual.request_id or None,
        started,
        ended,
        duration,
        usual.destination_status or None,
        usual.error_message or None,
        usual.already_retried_times,
        usual.instance_id or None,
        usual.payload,
        usual.return_payload,
        usual.events,
    )


@lru_cache
def _function_of(name_or_arn: str | None) -> str | None:
    """Take the name out of ``acs:fc:{region}:{account}:functions/{name}``; one from FC 2.0 has a ``$``, or ``%24``."""
    found = _FUNCTION_IN_ARN.search(name_or_arn or "")
    return unquote(found[1] if found else name_or_arn or "") or None


_FUNCTION_IN_ARN = re.compile(r"(?:^|[:/])functions/([^/]*)")


def _milliseconds(time: int) -> int | None:
    """Read a time below :data:`FIRST_MS`: 0 means "not yet", anything else is in seconds."""
    if time:
        _warn_once("Function Compute sends times in seconds; they are read as such")
    return time * 1000 or None


# Any other form


def _odd_page(api: Api, body: bytes) -> tuple[list[_Usual], str | None]:
    document = _object(body)
    items = document.get(api.envelope)
    token = next((document[key] for key in _TOKENS if document.get(key) not in (None, "")), None)
    if items is None:
        items = []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise MalformedBodyError(f"the answer is no listing: its {api.envelope!r} is no list of objects")
    if not isinstance(token, str | None):
        raise MalformedBodyError("the answer is no listing: its page token is no text")
    return [_odd(api, item) for item in items], token


def _odd(api: Api, item: dict[str, Any]) -> _Usual:
    """Bring each field of an invocation into its usual form."""
    found = {name: _first(item, _spellings(api, name)) for name in _Usual.__struct_fields__}
    for name in ("invocation_id", "status"):
        if not (found[name] and isinstance(found[name], str)):
            raise MalformedBodyError("an invocation in the answer has no id or no status")
    values = {name: _read(name, _FORMS.get(name, _text), value) for name, value in found.items()}
    return msgspec.convert(values, _Usual)


def _first(item: dict[str, Any], keys: list[str]) -> Any:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _read(name: str, form: Callable[[Any], T], value: Any) -> T | None:
    """Give the value in its usual form; ``None`` where there is none, or where it cannot be read."""
    if value is None:
        return None
    try:
        return form(value)
    except (ValueError, OverflowError):
        _warn_once(f"An invocation's {name} cannot be read and is left out")
        return None


def _text(value: Any) -> str:
    """Give text as it is; JSON in the place of its text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _number(value: Any) -> int | None:
    if value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    return int(float(value)) if isinstance(value, str) and "." in value else int(value)


def _time(value: Any) -> int:
    """Read a number, digits as text, or ISO 8601 (UTC where it names no zone).

    Before 1970, such as the zero time of the Go language, means "not yet" like 0.
    """
    iso = isinstance(value, str) and value and not _NUMERIC.fullmatch(value)
    time = max(_iso(value) if iso else _number(value) or 0, 0)
    if time > LAST_MS:
        raise ValueError
    return time


def _iso(text: str) -> int:
    moment = datetime.fromisoformat(text)
    time = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    return time if time >= FIRST_MS else 0


def _events(value: Any) -> tuple[Event, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError
    return tuple(map(_event, value))


def _event(item: dict[str, Any]) -> Event:
    time = _read("timestamp", _time, item.get("timestamp")) or 0
    return Event(
        event_id=_read("eventId", _number, item.get("eventId")),
        status=_read("status", _text, item.get("status")),
        timestamp=time if time >= FIRST_MS else _milliseconds(time),
        event_detail=_read("eventDetail", _text, item.get("eventDetail")),
    )


_NUMERIC = re.compile(r"-?\d+(\.\d+)?")

_FORMS: dict[str, Callable[[Any], Any]] = {
    "started_time": _time,
    "end_time": _time,
    "duration_ms": _number,
    "already_retried_times": _number,
    "events": _events,
}


@cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)


# What is no listing


_BESIDE_A_LISTING = {*_TOKENS, "requestId", "RequestId"}
_ERROR_KEYS = {"Code", "code", "ErrorCode", "errorCode", "Message", "message", "ErrorMessage", "errorMessage"}


def _expect_listing(api: Api, body: bytes) -> None:
    """Tell a listing without a match, for which servers send null or no list at all, from any other object.

    :raises MalformedBodyError: an error or a proxy's answer under a 200 must not pass for an empty last page.
    """
    keys = _object(body).keys()
    # Beside a list that is there but empty only an error is suspicious: servers add fields.
    foreign = keys & _ERROR_KEYS if api.envelope in keys else keys - _BESIDE_A_LISTING
    if foreign:
        raise MalformedBodyError(f"the answer is no listing: it holds {', '.join(sorted(foreign))[:200]}")
