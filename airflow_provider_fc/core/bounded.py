"""Keeps what goes into XCom within bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgspec

from airflow_provider_fc.core import defaults, parameters
from airflow_provider_fc.core.errors import ResultTooLargeError
from airflow_provider_fc.core.flow import REMEMBERED_IDS
from airflow_provider_fc.core.invocations import Invocation

OnOverflow = Literal["fail", "truncate"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be pushed.

    :param limit: stop there without complaint.
    :param max_items: more rows are an overflow.
    :param max_bytes: more bytes of UTF-8 JSON are an overflow.
    """

    limit: int | None = None
    max_items: int = defaults.MAX_ITEMS
    max_bytes: int = defaults.MAX_BYTES
    on_overflow: OnOverflow = "fail"

    @classmethod
    def from_parameters(cls, limit: object, max_items: object, max_bytes: object, on_overflow: object) -> Bounds:
        """:raises ParameterError: names the parameter and the fix."""
        default = cls()
        return cls(
            limit=parameters.whole_number("limit", limit, at_least=0),
            max_items=parameters.whole_number("max_items", max_items, at_least=1) or default.max_items,
            max_bytes=parameters.whole_number("max_bytes", max_bytes, at_least=2) or default.max_bytes,
            on_overflow=parameters.choice("on_overflow", on_overflow, get_args(OnOverflow)),
        )

    @property
    def most_needed(self) -> int | None:
        """So many invocations tell whether one of the bounds on their number is exceeded.

        ``None`` where a listing may repeat an invocation among them, so that their number is known only at the end.
        """
        needed = min(self.max_items if self.limit is None else self.limit, self.max_items) + 1
        return needed if needed - 1 <= REMEMBERED_IDS else None


@dataclass(slots=True)
class Rows:
    """What is pushed, and what the ``summary`` XCom says of it."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    by_status: Counter[str] = field(default_factory=Counter)
    truncated: bool = False

    def summary(self) -> dict[str, Any]:
        return {"count": len(self.rows), "truncated": self.truncated, "by_status": dict(sorted(self.by_status.items()))}


def collect(items: Iterable[Invocation], fields: Sequence[str], bounds: Bounds) -> Rows:
    """Dump invocations until a bound is reached.

    :raises ResultTooLargeError: ``max_items`` or ``max_bytes`` is exceeded and ``on_overflow`` says ``fail``.
    """
    result = Rows()
    pushed: set[str] = set()
    size = 2  # the brackets
    for item in items:
        if item.invocation_id in pushed:
            continue
        if len(result.rows) == bounds.limit:
            result.truncated = True
            break
        row = item.to_dict(fields)
        size += len(msgspec.json.encode(row)) + 1
        problem = _overflow(bounds, len(result.rows) + 1, size - 1)
        if problem:
            if bounds.on_overflow == "fail":
                raise ResultTooLargeError(problem)
            result.truncated = True
            break
        result.rows.append(row)
        pushed.add(item.invocation_id)
        result.by_status[item.status] += 1
    return result


def _overflow(bounds: Bounds, count: int, size: int) -> str | None:
    if count > bounds.max_items:
        return (
            f"More than max_items={bounds.max_items} invocations match. Narrow the filters, set limit or "
            "on_overflow='truncate', or raise max_items; to map over more than 1024 rows, Airflow's "
            "[core] max_map_length must be raised too"
        )
    if size > bounds.max_bytes:
        return (
            f"The first {count} invocations need more than max_bytes={bounds.max_bytes}. Choose fewer fields, narrow "
            "the filters, set limit or on_overflow='truncate', or raise max_bytes as far as your XCom backend allows"
        )
    return None
