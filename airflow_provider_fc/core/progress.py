"""How far a batch is, in words: counts become a text, and their pace the time that is left. Nothing is decided here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from airflow_provider_fc.core.invocations import is_terminal

TREND = timedelta(minutes=30)
"""Counts as far back as this tell the pace."""

_NEXT_TO_END = ("Running", "Retrying", "Stopping", "Dequeued", "Enqueued")
_LONGEST_ESTIMATE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many invocations had which status.

    :param failed: so many of them ended badly.
    :param expected: so many there will be, where that is known.
    :param complete: no invocation was left out.
    """

    by_status: Mapping[str, int]
    failed: int = 0
    expected: int | None = None
    complete: bool = True

    @property
    def total(self) -> int:
        return sum(self.by_status.values())

    @property
    def ended(self) -> int:
        return sum(count for status, count in self.by_status.items() if is_terminal(status))

    def __str__(self) -> str:
        """Tell them as ``3,412 of 5,000 ended (12 failed), 1,588 unfinished: Running 212, Enqueued 1,376``."""
        of = f" of {self.expected:,}" if self.complete and self.expected and self.expected >= self.total else ""
        failed = f" ({self.failed:,} failed)" if self.failed else ""
        parts = [f"{self.ended:,}{of} ended{failed}", self._unfinished, self._not_found]
        so_far = "" if self.complete else f"{self.total:,} counted so far: "
        return so_far + ", ".join(part for part in parts if part)

    @property
    def _unfinished(self) -> str:
        live = [status for status in self.by_status if not is_terminal(status)]
        if not live:
            return ""
        words = ", ".join(f"{status} {self.by_status[status]:,}" for status in sorted(live, key=_distance))
        return f"{self.total - self.ended:,} unfinished: {words}"

    @property
    def _not_found(self) -> str:
        missing = (self.expected or 0) - self.total
        return f"{missing:,} not found yet" if self.complete and missing > 0 else ""


def _distance(status: str) -> tuple[int, str]:
    """Order statuses by how far from their end they are, unknown words last."""
    known = status in _NEXT_TO_END
    return (_NEXT_TO_END.index(status) if known else len(_NEXT_TO_END)), status


class Trend:
    """The complete counts of the last half hour, and what they say of the time that is left."""

    def __init__(self) -> None:
        self._ended: deque[tuple[datetime, int]] = deque()
        self._remaining = 0

    def add(self, counts: Counts, now: datetime) -> None:
        if not counts.complete:
            return
        self._remaining = 0
        if counts.ended < counts.total:  # else the pace says nothing of what is not found
            self._remaining = max(counts.expected or 0, counts.total) - counts.ended
        self._ended.append((now, counts.ended))
        while now - self._ended[0][0] > TREND:
            self._ended.popleft()

    def __str__(self) -> str:
        """Tell it as ``; about 14 min left at this pace``; empty while there is no trend."""
        left = time_left(self._ended, self._remaining)
        return "" if left is None else f"; {duration_text(left)} left at this pace"


def time_left(ended: Iterable[tuple[datetime, int]], remaining: int) -> timedelta | None:
    """Tell how long the rest takes at the pace of these counts.

    :param ended: when so many had ended, oldest first.
    """
    counts = list(ended)
    if len(counts) < 2 or remaining <= 0:
        return None
    (first, before), (last, after) = counts[0], counts[-1]
    if after <= before or last <= first:
        return None
    left = (last - first) * (remaining / (after - before))
    return left if left <= _LONGEST_ESTIMATE else None


def duration_text(left: timedelta) -> str:
    """Tell a duration no more exactly than it can be known: ``about 14 min``, ``about 3 h 20 min``."""
    if left < timedelta(minutes=1):
        return "less than a minute"
    minutes = ceil(left.total_seconds() / 60)
    if minutes == 1:
        return "about a minute"
    if minutes < 120:
        return f"about {minutes} min"
    hours, rest = divmod(round(minutes / 10) * 10, 60)
    if hours >= 48:
        return f"about {round(hours / 24)} days"
    return f"about {hours} h{f' {rest} min' if rest else ''}"
