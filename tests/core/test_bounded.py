"""What goes into XCom stays within its bounds, and says so when it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.bounded import Bounds, collect
from airflow_provider_fc.core.errors import ParameterError, ResultTooLargeError
from airflow_provider_fc.core.invocations import Invocation

FIELDS = ("invocation_id", "status")


def invocations(how_many: int, status: str = "Succeeded", text: str = "", prefix: str = "job") -> list[Invocation]:
    return [
        Invocation(invocation_id=f"{prefix}-{index:04}", status=status, error_message=text or None)
        for index in range(how_many)
    ]


def test_rows_are_dumps_of_the_chosen_fields_in_order() -> None:
    result = collect(invocations(2), FIELDS, Bounds())

    assert result.rows == [
        {"invocation_id": "job-0000", "status": "Succeeded"},
        {"invocation_id": "job-0001", "status": "Succeeded"},
    ]


def test_an_invocation_that_is_listed_again_much_later_is_pushed_once() -> None:
    items = [*invocations(3000), *invocations(1, "Failed")]

    result = collect(items, FIELDS, Bounds(max_items=3000))

    assert len(result.rows) == 3000
    assert result.summary() == {"count": 3000, "truncated": False, "by_status": {"Succeeded": 3000}}


def test_the_summary_counts_rows_by_status() -> None:
    items = [
        *invocations(2, "Failed", prefix="a"),
        *invocations(3, "Succeeded", prefix="b"),
        *invocations(1, "Expired", prefix="c"),
    ]

    assert collect(items, FIELDS, Bounds()).summary() == {
        "count": 6,
        "truncated": False,
        "by_status": {"Expired": 1, "Failed": 2, "Succeeded": 3},
    }


def test_nothing_found_is_an_empty_result() -> None:
    assert collect([], FIELDS, Bounds()).summary() == {"count": 0, "truncated": False, "by_status": {}}


@pytest.mark.parametrize(
    ("there", "limit", "rows", "truncated"),
    [(5, 5, 5, False), (5, 6, 5, False), (6, 5, 5, True), (5, 0, 0, True), (0, 0, 0, False), (1, 1, 1, False)],
)
@pytest.mark.parametrize("on_overflow", ["fail", "truncate"])
def test_a_limit_stops_without_complaint(there: int, limit: int, rows: int, truncated: bool, on_overflow: Any) -> None:
    result = collect(invocations(there), FIELDS, Bounds(limit=limit, on_overflow=on_overflow))

    assert (len(result.rows), result.truncated) == (rows, truncated)
    assert sum(result.by_status.values()) == rows


@pytest.mark.parametrize("limit", [None, 11, 5000])
def test_more_than_max_items_fails_with_the_ways_out(limit: int | None) -> None:
    with pytest.raises(ResultTooLargeError) as caught:
        collect(invocations(11), FIELDS, Bounds(limit=limit, max_items=10))

    for word in ("max_items=10", "limit", "on_overflow='truncate'", "[core] max_map_length", "1024"):
        assert word in str(caught.value)


def test_more_than_max_items_is_cut_when_asked_to() -> None:
    result = collect(invocations(11), FIELDS, Bounds(max_items=10, on_overflow="truncate"))

    assert result.summary() == {"count": 10, "truncated": True, "by_status": {"Succeeded": 10}}


def test_exactly_max_items_are_no_overflow() -> None:
    assert not collect(invocations(10), FIELDS, Bounds(max_items=10)).truncated


def size_of(rows: list[dict[str, Any]]) -> int:
    return len(msgspec.json.encode(rows))


@pytest.mark.parametrize("text", ["", "plain", "雪" * 100, '\n"\\'], ids=["none", "plain", "雪", "escaped"])
@pytest.mark.parametrize("how_many", [1, 2, 7])
def test_max_bytes_is_the_size_of_the_json_in_utf_8(how_many: int, text: str) -> None:
    items = invocations(how_many, text=text)
    fields = (*FIELDS, "error_message")
    size = size_of([item.to_dict(fields) for item in items])

    assert len(collect(items, fields, Bounds(max_bytes=size)).rows) == how_many
    with pytest.raises(ResultTooLargeError) as caught:
        collect(items, fields, Bounds(max_bytes=size - 1))
    assert f"The first {how_many} invocations need more than max_bytes={size - 1}" in str(caught.value)
    assert text not in str(caught.value) or not text


def test_more_than_max_bytes_is_cut_when_asked_to() -> None:
    result = collect(invocations(100), FIELDS, Bounds(max_bytes=500, on_overflow="truncate"))

    assert result.truncated
    assert 0 < len(result.rows) < 100
    assert size_of(result.rows) <= 500


def test_one_row_that_is_too_large_leaves_none() -> None:
    result = collect(invocations(1, text="x" * 1000), ("error_message",), Bounds(max_bytes=100, on_overflow="truncate"))

    assert result.summary() == {"count": 0, "truncated": True, "by_status": {}}


@given(
    there=st.integers(0, 30),
    limit=st.none() | st.integers(0, 30),
    max_items=st.integers(1, 30),
    max_bytes=st.integers(2, 1500),
)
def test_whatever_the_bounds_the_rows_are_within_them_and_truncation_is_told(
    there: int, limit: int | None, max_items: int, max_bytes: int
) -> None:
    bounds = Bounds(limit, max_items, max_bytes, "truncate")

    result = collect(invocations(there), FIELDS, bounds)

    assert len(result.rows) <= min(there, max_items, there if limit is None else limit)
    assert size_of(result.rows) <= max(max_bytes, 2)
    assert result.truncated == (len(result.rows) < there)


@pytest.mark.parametrize(
    ("limit", "max_items", "needed"), [(None, 1000, 1001), (5, 1000, 6), (0, 1000, 1), (5000, 1000, 1001), (10, 10, 11)]
)
def test_no_more_is_read_than_tells_whether_a_bound_is_exceeded(limit: int | None, max_items: int, needed: int) -> None:
    bounds = Bounds(limit=limit, max_items=max_items, on_overflow="truncate")
    read = []

    def source() -> Iterator[Invocation]:
        for item in invocations(6000):
            read.append(item)
            yield item

    collect(source(), FIELDS, bounds)

    assert bounds.most_needed == needed
    assert len(read) == needed


# Parameters


def test_bounds_are_read_as_templates_render_them() -> None:
    assert Bounds.from_parameters("5", "10", "2000", "truncate") == Bounds(5, 10, 2000, "truncate")


def test_absent_bounds_are_the_documented_ones() -> None:
    assert Bounds.from_parameters(None, None, None, "fail") == Bounds(None, 1000, 1_000_000, "fail")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((-1, 10, 10, "fail"), "limit"),
        (("None", 10, 10, "fail"), "limit"),
        ((1, "", 10, "fail"), "max_items"),
        ((1, 10, "None", "fail"), "max_bytes"),
        (("x", 10, 10, "fail"), "limit"),
        ((1, 0, 10, "fail"), "max_items"),
        ((1, 10, 1, "fail"), "max_bytes"),
        ((1, 10, 10, "ignore"), "on_overflow"),
        ((1, 10, 10, None), "on_overflow"),
    ],
)
def test_a_bound_that_is_wrong_is_named(arguments: tuple[Any, ...], name: str) -> None:
    with pytest.raises(ParameterError, match=rf"^{name}: "):
        Bounds.from_parameters(*arguments)


def test_a_summary_is_json_native() -> None:
    summary = collect(invocations(3), FIELDS, Bounds()).summary()

    assert json.loads(json.dumps(summary)) == summary
