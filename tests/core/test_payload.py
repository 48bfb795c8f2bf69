"""Payloads: taken by their meaning, refused with the place of the mistake and never with the content."""

from __future__ import annotations

import dataclasses
import enum
import json
import numbers
from collections import OrderedDict, UserDict, UserList, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import attrs
import msgspec
import pendulum
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.payload import encode_payload


def problem(payload: Any) -> str:
    with pytest.raises(ParameterError) as caught:
        encode_payload(payload)
    assert caught.value.name == "payload"
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


class Text(str):
    """Text of a template engine; what ``str()`` says of it is another thing."""

    def __str__(self) -> str:
        return "for people"


class Number(int):
    def __repr__(self) -> str:
        return "a number"


class Ratio(float):
    def __repr__(self) -> str:
        return "a ratio"


class Proxy:
    """What Airflow 2 wraps values of the context in: it says that it is text, and is not."""

    def __init__(self, value: object) -> None:
        self._value = value

    @property  # type: ignore[misc]  # as a proxy does
    def __class__(self) -> Any:
        return type(self._value)

    def __str__(self) -> str:
        return str(self._value)


class Scalar:
    """A number as numpy has it: no number of Python's, but one by declaration."""

    shape = ()

    def __init__(self, value: Any, kind: str) -> None:
        self.value = value
        self.dtype = type("dtype", (), {"kind": kind})

    def item(self) -> Any:
        return self.value


numbers.Integral.register(Scalar)  # numpy registers its time differences, too


class Array(Scalar):
    shape = (1,)


class Color(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):  # noqa: UP042 - older code is written so
    GO = "go"


class Level(enum.IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Order:
    number: int
    tags: tuple[str, ...] = ("a",)


@attrs.define
class Parcel:
    weight: float


class Model(pydantic.BaseModel):
    at: datetime
    inner: dict[str, Decimal]


class Struct(msgspec.Struct, rename="camel", tag="event"):
    started_at: int
    not_set: int | msgspec.UnsetType = msgspec.UNSET


MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)

MEANINGS: list[tuple[Any, Any]] = [
    (Text("a"), "a"),
    (Markup('{"a": 1}'), '{"a": 1}'),
    (Proxy("a"), "a"),
    (Number(5), 5),
    (Level.HIGH, 3),
    (Color.RED, "red"),
    (Word.GO, "go"),
    (Ratio(1.5), 1.5),
    (True, True),
    (MOMENT, "2026-11-22T08:30:00Z"),
    (pendulum.instance(MOMENT), "2026-11-22T08:30:00Z"),
    (pendulum.datetime(2026, 11, 22, 8, 30, tz="Asia/Shanghai"), "2026-11-22T08:30:00+08:00"),
    (datetime(2026, 11, 22, 8, 30, 0, 250_000, timezone(timedelta(hours=-5))), "2026-11-22T08:30:00.250000-05:00"),
    (datetime(2026, 11, 22, 8, 30), "2026-11-22T08:30:00"),  # noqa: DTZ001
    (date(2026, 11, 22), "2026-11-22"),
    (pendulum.date(2026, 11, 22), "2026-11-22"),
    (time(8, 30), "08:30:00"),
    (pendulum.time(8, 30, 1), "08:30:01"),
    (timedelta(minutes=1), 60),
    (timedelta(seconds=1.5), 1.5),
    (pendulum.duration(hours=2), 7200),
    (pendulum.instance(MOMENT) - pendulum.instance(MOMENT).subtract(days=1), 86_400),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal("1.10"), "1.10"),
    (Scalar(7, "i"), 7),
    (Scalar(7, "u"), 7),
    (Scalar(0.5, "f"), 0.5),
    (Scalar(True, "b"), True),
    ((1, 2), [1, 2]),
    (Point(1, 2), [1, 2]),
    (range(2), [0, 1]),
    (deque([1]), [1]),
    (UserList([1, UserDict({"a": range(2)})]), [1, {"a": [0, 1]}]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    ({1: "a", 1.5: "b", False: "c", None: "d"}, {"1": "a", "1.5": "b", "false": "c", "null": "d"}),
    ({Text("a"): 1, date(2026, 1, 1): 2, UUID(int=1): 3, Word.GO: 4}, None),
    (Order(7), {"number": 7, "tags": ["a"]}),
    (Parcel(1.5), {"weight": 1.5}),
    (Model(at=MOMENT, inner={"a": Decimal("0.10")}), {"at": "2026-11-22T08:30:00Z", "inner": {"a": "0.10"}}),
    (Struct(5), {"type": "event", "startedAt": 5}),
]


@pytest.mark.parametrize(("value", "meaning"), MEANINGS, ids=[type(value).__name__ for value, _ in MEANINGS])
def test_a_value_is_sent_by_its_meaning_at_every_depth(value: Any, meaning: Any) -> None:
    if meaning is None:
        meaning = {"a": 1, "2026-01-01": 2, "00000000-0000-0000-0000-000000000001": 3, "go": 4}

    assert json.loads(encode_payload([value])) == [meaning]
    assert json.loads(encode_payload({"a": {"b": (value,)}})) == {"a": {"b": [meaning]}}
    assert type(json.loads(encode_payload([value]))[0]) is type(meaning)


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        (None, b""),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        pytest.param(memoryview(b"ab"), b"ab", id="memoryview"),
        ("", b""),
        ("text", b"text"),
        (Text("text"), b"text"),
        (Markup("<b>"), b"<b>"),
        pytest.param(Proxy("text"), b"text", id="proxy"),
        ("雪", "雪".encode()),
        ('{"already": "JSON"}', b'{"already": "JSON"}'),
        ({"a": [1, None, True, "é"]}, '{"a":[1,null,true,"é"]}'.encode()),
        ([], b"[]"),
        (0, b"0"),
        (False, b"false"),
        (1.5, b"1.5"),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (MOMENT, b'"2026-11-22T08:30:00Z"'),
    ],
    ids=repr,
)
def test_a_payload_is_sent_as_bytes_text_or_json(payload: Any, sent: bytes) -> None:
    assert encode_payload(payload) == sent


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON.filter(lambda value: not isinstance(value, str) and value is not None))
def test_what_json_holds_is_sent_unchanged(value: Any) -> None:
    assert json.loads(encode_payload(value)) == value


@given(st.text())
def test_text_is_sent_unchanged(text: str) -> None:
    assert encode_payload(Text(text)).decode() == text


NO_JSON: list[Any] = [
    object(),
    {1, 2},
    frozenset(),
    {"a": 1}.keys(),
    b"s3cret",
    bytearray(b"s3cret"),
    float("nan"),
    float("-inf"),
    Ratio("inf"),
    Decimal("NaN"),
    1j,
    Fraction(1, 3),
    10**5000,
    PurePosixPath("s3cret"),
    lambda: None,
    (item for item in "s3cret"),
    Order,
    Model,
    Scalar(7, "m"),
    Scalar(7, "M"),
    Array(7, "i"),
    "s3cret \ud800",
    {("s3cret",): 1},
    {b"s3cret": 1},
    {1: "s3cret", "1": "s3cret"},
    pydantic.SecretStr("s3cret"),
]


@pytest.mark.parametrize("value", NO_JSON, ids=lambda value: type(value).__name__)
def test_what_json_cannot_hold_is_refused_at_its_place(value: Any) -> None:
    assert 'payload["a"][3]' in problem({"a": [0, 1, 2, value]})
    assert 'payload["b"]["options"]' in problem({"b": {"options": value}})
    if not isinstance(value, (bytes, bytearray)):
        assert problem(value).startswith("payload: ")


def test_a_long_key_is_cut_in_the_message() -> None:
    assert problem({"x" * 1000: {1}}).startswith(f'payload: payload["{"x" * 40}..."] is of type set: ')


def test_a_payload_that_contains_itself_is_refused() -> None:
    payload: list[Any] = []
    payload.append({"a": payload})

    assert problem(payload) == "payload: is nested more than 100 levels deep, or contains itself; give plain data"


def test_a_payload_that_no_account_may_send_is_refused_before_it_is_sent() -> None:
    assert len(encode_payload("x" * 262_144)) == 262_144
    assert problem("é" * 131_073) == (
        "payload: 262146 bytes are more than FC takes: 128 KB, or 256 KB on request; pass a reference to the data"
    )


def test_a_missing_time_is_no_moment() -> None:
    class NotATime(datetime):
        """As pandas makes them: a datetime that equals nothing, itself included."""

        def __eq__(self, other: object) -> bool:
            return False

        def __ne__(self, other: object) -> bool:
            return True

        __hash__ = None

    assert "is no moment" in problem({"at": NotATime(2026, 1, 1)})
