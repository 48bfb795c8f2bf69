"""How far a batch is, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.invocations import STATUSES, is_terminal
from airflow_provider_fc.core.progress import Counts, Trend, duration_text, time_left

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

TEXTS = {
    "of so many, with failures": (
        Counts({"Succeeded": 3400, "Failed": 12, "Enqueued": 1376, "Running": 212}, 12, 5000),
        "3,412 of 5,000 ended (12 failed), 1,588 unfinished: Running 212, Enqueued 1,376",
    ),
    "nobody knows of how many": (
        Counts({"Succeeded": 3400, "Running": 2}),
        "3,400 ended, 2 unfinished: Running 2",
    ),
    "not all are there": (
        Counts({"Succeeded": 10, "Running": 2}, 0, 1020),
        "10 of 1,020 ended, 2 unfinished: Running 2, 1,008 not found yet",
    ),
    "more than expected": (Counts({"Succeeded": 5, "Running": 1}, 0, 3), "5 ended, 1 unfinished: Running 1"),
    "not all was read": (
        Counts({"Succeeded": 200, "Failed": 1, "Enqueued": 799}, 1, 5000, complete=False),
        "1,000 counted so far: 201 ended (1 failed), 799 unfinished: Enqueued 799",
    ),
    "all ended": (Counts({"Succeeded": 3}, 0, 3), "3 of 3 ended"),
    "nothing": (Counts({}), "0 ended"),
    "unknown words last": (
        Counts({"Paused": 1, "Enqueued": 1, "Dequeued": 1, "Stopping": 1, "Retrying": 1, "Running": 1}),
        "0 ended, 6 unfinished: Running 1, Retrying 1, Stopping 1, Dequeued 1, Enqueued 1, Paused 1",
    ),
}


@pytest.mark.parametrize(("counts", "text"), TEXTS.values(), ids=TEXTS)
def test_counts_in_words(counts: Counts, text: str) -> None:
    assert str(counts) == text


@given(
    st.dictionaries(st.sampled_from([*STATUSES, "Paused"]), st.integers(1, 10**6)), st.none() | st.integers(0, 10**7)
)
def test_every_invocation_is_told_once(by_status: dict[str, int], expected: int | None) -> None:
    counts = Counts(by_status, 0, expected)

    assert counts.ended + sum(n for status, n in by_status.items() if not is_terminal(status)) == counts.total
    assert str(counts).startswith(f"{counts.ended:,} ")


DURATIONS = {
    5: "less than a minute",
    59.9: "less than a minute",
    60: "about a minute",
    61: "about 2 min",
    14 * 60: "about 14 min",
    7140: "about 119 min",
}
DURATIONS |= {7200: "about 2 h", 12_000: "about 3 h 20 min", 47 * 3600: "about 47 h", 3 * 86_400: "about 3 days"}


@pytest.mark.parametrize(("seconds", "text"), DURATIONS.items())
def test_a_duration_is_told_no_more_exactly_than_it_can_be_known(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


def history(*counts: tuple[int, int]) -> list[tuple[datetime, int]]:
    return [(NOW + timedelta(minutes=minute), ended) for minute, ended in counts]


PACES = {
    "one count": (history((0, 10)), 100, None),
    "no change": (history((0, 10), (5, 10)), 100, None),
    "less than before": (history((0, 10), (5, 9)), 100, None),
    "both at once": (history((0, 10), (0, 11)), 100, None),
    "nothing left": (history((0, 10), (5, 20)), 0, None),
    "ten in five minutes": (history((0, 10), (5, 20)), 100, 50),
    "the oldest and the newest count": (history((0, 0), (5, 50), (10, 60)), 30, 5),
    "more than a week": (history((0, 10), (5, 11)), 10**6, None),
}


@pytest.mark.parametrize(("ended", "remaining", "minutes"), PACES.values(), ids=PACES)
def test_the_pace_tells_the_time_that_is_left(
    ended: list[tuple[datetime, int]], remaining: int, minutes: int | None
) -> None:
    assert time_left(ended, remaining) == (None if minutes is None else timedelta(minutes=minutes))


@given(st.integers(1, 10_000), st.integers(1, 1800), st.integers(1, 10_000), st.integers(1, 10_000))
def test_more_that_is_left_never_takes_less_time(ended: int, seconds: int, some: int, more: int) -> None:
    counts = [(NOW, 0), (NOW + timedelta(seconds=seconds), ended)]
    longest = timedelta.max
    left = [time_left(counts, remaining) or longest for remaining in (some, some + more)]

    assert all(one <= other for one, other in pairwise(left))


def test_no_pace_is_told_for_what_is_not_found_while_nothing_is_under_way() -> None:
    trend = Trend()
    trend.add(Counts({"Succeeded": 1, "Running": 1}, expected=3), NOW)
    trend.add(Counts({"Succeeded": 2}, expected=3), NOW + timedelta(minutes=1))
    assert str(trend) == ""

    trend.add(Counts({"Succeeded": 2, "Running": 1}, expected=3), NOW + timedelta(minutes=2))
    assert str(trend) == "; about 2 min left at this pace"


def test_what_is_older_than_half_an_hour_or_was_not_complete_tells_no_pace() -> None:
    trend = Trend()
    trend.add(Counts({"Succeeded": 1, "Running": 9}), NOW)
    trend.add(Counts({"Succeeded": 5, "Running": 5}, complete=False), NOW + timedelta(minutes=1))
    assert str(trend) == ""

    trend.add(Counts({"Succeeded": 5, "Running": 5}), NOW + timedelta(minutes=31))
    assert str(trend) == ""

    trend.add(Counts({"Succeeded": 6, "Running": 4}), NOW + timedelta(minutes=33))
    assert str(trend) == "; about 8 min left at this pace"

    trend.add(Counts({"Succeeded": 199, "Running": 1}), NOW + timedelta(minutes=34))
    assert str(trend) == "; less than a minute left at this pace"
