"""A payload as the author has it -> the bytes that are sent; a mistake is named with its place, never its content."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Integral, Rational, Real
from typing import Any
from uuid import UUID

import msgspec

from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.limits import PAYLOAD_LIMITS, RAISED_PAYLOAD_LIMIT

_DEEPEST = 100
"""Levels. Nobody nests so deep on purpose; a payload that contains itself does."""

_LONGEST_KEY = 40


def encode_payload(payload: object) -> bytes:
    """Encode bytes as they are, text as UTF-8, and everything else as JSON.

    :raises ParameterError: JSON cannot hold it, or it is larger than any account may send. It names the place, as in
        ``payload["a"][3]``, and never shows what is there.
    """
    encoded = _encoded(payload)
    if len(encoded) > RAISED_PAYLOAD_LIMIT:
        raise ParameterError(
            "payload",
            f"{len(encoded)} bytes are more than FC takes: {PAYLOAD_LIMITS}; pass a reference to the data",
        )
    return encoded


def _encoded(payload: object) -> bytes:
    if payload is None:
        return b""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    plain = _plain(payload, "payload", 0)
    if isinstance(payload, str):
        return str(plain).encode()
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: object, place: str, depth: int) -> Any:
    """Give what JSON has of its own for ``value``, by its meaning and not by its exact type.

    Templates and other libraries hand over subclasses: Jinja's native text, pendulum's times, numpy's numbers.
    """
    if depth > _DEEPEST:
        raise ParameterError(
            "payload", f"is nested more than {_DEEPEST} levels deep, or contains itself; give plain data"
        )
    if isinstance(value, Enum):
        return _plain(value.value, place, depth + 1)
    value = _unwrapped(value, place)
    if value is None or isinstance(value, bool):
        return value
    for kinds, plain in _SCALARS:
        if isinstance(value, kinds):
            return plain(value, place)
    inside = _parts(value, place)
    if isinstance(inside, Mapping):
        return _object(inside, place, depth + 1)
    return [_plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(inside)]


def _object(value: Mapping[object, object], place: str, depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = _key(key, place)
        if name in result:  # {1: ..., "1": ...}: a reader of the JSON would see one of the two
            raise _problem(
                _at(place, name),
                "stands there twice, because JSON makes text of every key; give one of them another name",
            )
        result[name] = _plain(item, _at(place, name), depth)
    return result


def _key(key: object, place: str) -> str:
    """Give the text of a key, as JSON spells the value."""
    plain = None if isinstance(key, tuple) else _plain(key, f"{place} (a key)", 0)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, (int, float)) or key is None:
        return json.dumps(plain)
    raise _problem(place, f"has a key of type {_type(key)}; give text")


def _at(place: str, key: str) -> str:
    return f"{place}[{json.dumps(key if len(key) <= _LONGEST_KEY else key[:_LONGEST_KEY] + '...', ensure_ascii=False)}]"


def _problem(place: str, problem: str) -> ParameterError:
    return ParameterError("payload", problem if place == "payload" else f"{place} {problem}")


def _type(value: object) -> str:
    return type(value).__name__


# Scalars


def _text(value: Any, place: str) -> str:
    # str() would ask the subclass, whose text may be another. A proxy, as in Airflow 2's context, is no real subclass.
    text = str.__str__(value) if issubclass(type(value), str) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _problem(
            place,
            "holds half a character (a lone surrogate), which UTF-8 has no bytes for; decode it rightly",
        ) from None
    return text


def _integer(value: Any, place: str) -> int:
    number = int(value)
    if number.bit_length() > 4096:  # Python itself refuses to write more than 4,300 digits
        raise _problem(place, "is a number of more than 1,200 digits; give it as text")
    return number


def _number(value: Any, place: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise _problem(place, "is NaN or infinite, which JSON does not have; give None or text")
    return number


def _decimal(value: Decimal, place: str) -> str:
    if not value.is_finite():
        raise _problem(place, "is NaN or infinite; give None or text")
    return str(value)  # as text: a JSON number would be read as a float and lose digits


def _datetime(value: datetime, place: str) -> str:
    if value != value:  # pandas calls a missing time a datetime
        raise _problem(place, "is no moment; give None")
    return datetime.isoformat(value).replace("+00:00", "Z")


def _time(value: time, place: str) -> str:
    return time.isoformat(value).replace("+00:00", "Z")


def _seconds(value: timedelta, place: str) -> float:
    seconds = value.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _refused(problem: str) -> Callable[[Any, str], Any]:
    def refuse(value: object, place: str) -> Any:
        raise _problem(place, f"is of type {_type(value)}: {problem}")

    return refuse


# The first row that fits decides: a datetime is a date as well.
_SCALARS: tuple[tuple[Any, Callable[[Any, str], Any]], ...] = (
    (str, _text),
    (int, _integer),
    (float, _number),
    (datetime, _datetime),
    (date, lambda value, place: date.isoformat(value)),
    (time, _time),
    (timedelta, _seconds),
    (UUID, lambda value, place: str(value)),
    (Decimal, _decimal),
    ((bytes, bytearray, memoryview), _refused("JSON has no bytes; give text, for example Base64")),
    (AbstractSet, _refused("a set has no order; give a list, for example sorted(...)")),
    (Integral, _integer),
    (Rational, _refused("a fraction would lose digits; give a float, or text")),
    (Real, _number),
)


# What has parts


def _parts(value: object, place: str) -> Mapping[Any, object] | Sequence[object]:
    """Take a structure apart; lazy results of mapped tasks are sequences."""
    if isinstance(value, (Mapping, Sequence)):
        return value
    if not isinstance(value, type):
        for marker, parts in _STRUCTURES:
            if hasattr(value, marker):
                return parts(value)
    raise _problem(place, f"is of type {_type(value)}, which JSON cannot hold; give text, numbers, lists and dicts")


def _struct(value: Any) -> Mapping[str, object]:
    """Take a msgspec struct apart, under the names and with the tag that msgspec itself would write."""
    config = value.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag else {}
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    fields = {written: getattr(value, name) for written, name in names}
    return tag | {name: field for name, field in fields.items() if field is not msgspec.UNSET}


def _dataclass(value: Any) -> Mapping[str, object]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _attrs(value: Any) -> Mapping[str, object]:
    return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}


_STRUCTURES: tuple[tuple[str, Callable[[Any], Mapping[Any, object]]], ...] = (
    ("__dataclass_fields__", _dataclass),
    ("__struct_fields__", _struct),
    ("__attrs_attrs__", _attrs),
    ("model_dump", lambda value: value.model_dump()),  # pydantic
)


def _unwrapped(value: Any, place: str) -> object:
    """Take a number of numpy's (or a flag) out of it, without importing numpy: most never need it.

    Its times and time differences have units that get lost on the way.
    """
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind is None or isinstance(value, (str, bytes)):
        return value
    if kind not in "biuf" or getattr(value, "shape", None) != ():
        raise _problem(place, f"is of type {_type(value)}; give Python's own values, for example by tolist()")
    return value.item()
