"""What is waited for, what a listing said of it, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import partial
from hashlib import blake2b
from os.path import commonprefix
from sys import intern
from typing import Any, Literal, get_args

from airflow_provider_fc.core import defaults, parameters
from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.endpoints import is_alibaba_clouds
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.invocations import (
    SUCCESS_STATUSES,
    TERMINAL_STATUSES,
    Invocation,
    is_terminal,
    iso8601,
)
from airflow_provider_fc.core.limits import RECORD_RETENTION, RECORDS_ARE_KEPT
from airflow_provider_fc.core.outcome import MAX_LISTED_FAILURES, Failure, Kind, Outcome, Summary, counts_text
from airflow_provider_fc.core.progress import Counts

OnEmpty = Literal["wait", "fail", "succeed"]

_SAFE_DAYS = RECORD_RETENTION.days - 0.5
"""A later verdict may rest on records already gone."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The invocations that are waited for and what counts as their success.

    :param prefix: ids that start with it belong to the batch; or
    :param ids: exactly these belong to it.
    :param started_after: epoch ms; an invocation with a start time before it does not belong to the batch.
    :param expected_count: at least so many; implied by ``ids``, of which there must not be fewer.
    :param settle_seconds: how long a finished listing must stay the same to be believed; 0 believes the first.
    :param on_empty: what it means that nothing matches.
    :param success_statuses: terminal statuses that count as success.
    :param max_failed: so many may end otherwise; ``None`` for any number.
    :param fail_fast: fail as soon as more than ``max_failed`` have ended badly.
    :param visible_within: seconds after the beginning of the wait within which every one of ``ids`` must have been
        found, because they are known to have been accepted; ``None`` for any time.
    """

    function: FunctionRef
    prefix: str | None = None
    ids: tuple[str, ...] = ()
    started_after: int | None = None
    expected_count: int | None = None
    settle_seconds: float = float(defaults.SETTLE_SECONDS)
    on_empty: OnEmpty = "wait"
    success_statuses: tuple[str, ...] = tuple(SUCCESS_STATUSES)
    max_failed: int | None = 0
    fail_fast: bool = False
    visible_within: float | None = None
    members: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", frozenset(self.ids))

    @classmethod
    def from_parameters(cls, function: FunctionRef, *, visible_within: float | None = None, **given: object) -> Batch:
        """Check the sensor's parameters as templates render them.

        :param given: named as in :data:`PARAMETERS`; the rest has the defaults above.
        :raises ParameterError: names the parameter and the fix.
        """
        checks = dict(PARAMETERS)
        checks["invocation_ids"] = ("ids", partial(parameters.invocation_ids, of=function.function_name))
        rows = ((*checks[name], name, value) for name, value in given.items())
        checked = {field: check(name, value) for field, check, name, value in rows}
        batch = cls(function, visible_within=visible_within, **checked)
        if bool(batch.prefix) == bool(batch.ids):
            raise ParameterError(
                "invocation_id_prefix",
                "is given beside invocation_ids; give one of the two"
                if batch.ids
                else "is missing; give it or invocation_ids",
            )
        expected = batch.expected_count
        if batch.ids and expected is not None and expected > len(batch.ids):
            raise ParameterError(
                "expected_count",
                f"is {expected}, but invocation_ids has only {len(batch.ids)} different ids; leave it out beside them",
            )
        return batch

    def to_json(self) -> dict[str, Any]:
        """Dump it for a trigger's arguments."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        lists = {"ids": list(self.ids), "success_statuses": list(self.success_statuses)}
        return {**plain, **lists, "function": self.function.to_json()}

    @classmethod
    def from_json(cls, wire: Mapping[str, Any]) -> Batch:
        """Rebuild the batch that :meth:`to_json` has dumped; what an older version did not know has its default."""
        tuples = {name: tuple(wire[name]) for name in ("ids", "success_statuses") if name in wire}
        return cls(**{**wire, **tuples, "function": FunctionRef.from_json(wire["function"])})

    @property
    def expects_nothing(self) -> bool:
        """Whether the author (or a task upstream) says that nothing was submitted."""
        return not self.ids and self.expected_count == 0

    @property
    def is_counted(self) -> bool:
        """Whether a record that is gone would be missed: it cannot be taken for one that never was."""
        return bool(self.ids or self.expected_count)

    def names(self, invocation_id: str) -> bool:
        """Tell whether an id is one of the batch's, whenever its invocation may have started."""
        return invocation_id in self.members if self.ids else invocation_id.startswith(self.prefix or "")

    @property
    def expected(self) -> int | None:
        """At least so many are waited for; ``None`` when nobody said."""
        return len(self.ids) or self.expected_count

    @property
    def server_prefix(self) -> str | None:
        """What the server can narrow a listing down to."""
        return self.prefix or commonprefix(self.ids) or None  # noqa: RUF071 - characters are what is meant

    def counts(self, by_status: Mapping[str, int], *, complete: bool) -> Counts:
        """Make counts of this batch, for people to read."""
        failed = sum(count for status, count in by_status.items() if self.is_failure(status))
        return Counts(dict(by_status), failed, self.expected, complete)

    def belongs(self, item: Invocation) -> bool:
        if not self.names(item.invocation_id):
            return False
        if self.ids:
            return True
        # A queued invocation has no start time, or 0: it must not be overlooked.
        return not (self.started_after and item.started_time and item.started_time < self.started_after)

    def is_failure(self, status: str) -> bool:
        return status not in self.success_statuses and is_terminal(status)

    @property
    def failure_statuses(self) -> tuple[str, ...]:
        return tuple(filter(self.is_failure, TERMINAL_STATUSES))

    def exceeds(self, failed: int) -> bool:
        """Tell whether so many failures are more than allowed."""
        return self.max_failed is not None and failed > self.max_failed

    def __str__(self) -> str:
        which = f"prefix {self.prefix!r}" if self.prefix else f"{len(self.ids)} given ids"
        if len(self.ids) == 1:
            which = f"id {self.ids[0]!r}"
        return f"invocations of {self.function.function_name} ({which})"


def _success_statuses(name: str, value: object) -> tuple[str, ...]:
    return parameters.statuses(name, value, terminal=True) or tuple(SUCCESS_STATUSES)


PARAMETERS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "invocation_id_prefix": ("prefix", parameters.id_prefix),
    "invocation_ids": ("ids", parameters.invocation_ids),
    "started_after": ("started_after", parameters.epoch_ms),
    "expected_count": ("expected_count", partial(parameters.whole_number, at_least=0)),
    "settle_seconds": ("settle_seconds", parameters.seconds),
    "on_empty": ("on_empty", partial(parameters.choice, allowed=get_args(OnEmpty))),
    "success_statuses": ("success_statuses", _success_statuses),
    "max_failed": ("max_failed", parameters.unlimited_number),
    "fail_fast": ("fail_fast", parameters.boolean),
}
"""The sensor's parameters: the field of :class:`Batch` that each becomes, and how it is checked."""


def digest(invocation_id: str) -> bytes:
    """16 bytes that stand for an id, so that a large listing can be compared in little memory."""
    return blake2b(invocation_id.encode(), digest_size=16).digest()


class Tally:
    """Counts invocations exactly once each, in about 150 bytes an invocation.

    Where an id appears twice in a listing (it moved between two pages), a live status wins, and then a bad end.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._statuses: dict[bytes, str] = {}
        self._sum = 0
        self._failures: dict[str, Failure] = {}
        self._first_start: int | None = None
        self._last_start = 0
        self._last_end = 0
        self._without_time = False

    def add(self, items: Iterable[Invocation]) -> None:
        self._note_times([item for item in items if self._take(item)])

    def _take(self, item: Invocation) -> bool:
        """Count it; tell whether it says more than what was known of its id."""
        key = digest(item.invocation_id)
        known = self._statuses.get(key)
        if known is None:
            self._sum ^= int.from_bytes(key)
        elif self._rank(known) >= self._rank(item.status):
            return False
        else:
            self._failures.pop(item.invocation_id, None)
        self._statuses[key] = intern(item.status)
        if self._batch.is_failure(item.status) and len(self._failures) < MAX_LISTED_FAILURES:
            self._failures[item.invocation_id] = Failure.of(item)
        return True

    def _rank(self, status: str) -> int:
        return 2 if not is_terminal(status) else int(self._batch.is_failure(status))

    def _note_times(self, items: list[Invocation]) -> None:
        starts = [item.started_time for item in items if item.started_time is not None]
        ends = [item.end_time for item in items if item.end_time is not None]
        if starts:
            self._first_start = min(self._first_start or starts[0], *starts)
            self._last_start = max(self._last_start, *starts)
        if ends:
            self._last_end = max(self._last_end, *ends)
        self._without_time = self._without_time or len(ends) < len(items)

    @property
    def keys(self) -> frozenset[bytes]:
        return frozenset(self._statuses)

    def has(self, invocation_id: str) -> bool:
        return digest(invocation_id) in self._statuses

    @property
    def fingerprint(self) -> tuple[int, int]:
        """Equal for equal sets of ids; comparing whole sets would hold up an event loop."""
        return len(self._statuses), self._sum

    @property
    def newest(self) -> int | None:
        """The newest server time in the listing (epoch ms); ``None`` when one does not show its end."""
        return None if self._without_time else max(self._last_start, self._last_end) or None

    def summary(self) -> Summary:
        by_status = dict(sorted(Counter(self._statuses.values()).items()))
        return Summary(by_status, tuple(self._failures.values()), self._first_start, self._last_end or None)


def failed_count(batch: Batch, summary: Summary) -> int:
    return sum(count for status, count in summary.by_status.items() if batch.is_failure(status))


def live_statuses(summary: Summary) -> list[str]:
    """List the statuses in it that are not final, unknown words included."""
    return [status for status in summary.by_status if not is_terminal(status)]


def unfinished(batch: Batch, summary: Summary, *, complete: bool = True, endpoint: str | None = None) -> str | None:
    """Tell why what was read does not settle the batch yet, or ``None`` when it does.

    :param complete: everything that there is was read.
    :param endpoint: who was asked; ``None`` is Alibaba Cloud's usual one.
    """
    if live_statuses(summary):
        return str(batch.counts(summary.by_status, complete=complete))
    expected = batch.expected or 0
    if not summary.total and (expected or batch.on_empty == "wait"):
        return f"nothing found yet{f', {expected} expected' if expected else ''}{_where_else(batch, endpoint)}"
    if summary.total < expected:
        return f"{summary}, {expected}{ARE_EXPECTED}{_what_may_be_missing(batch)}"
    return None


ARE_EXPECTED = " expected"


def _what_may_be_missing(batch: Batch) -> str:
    if batch.ids:
        return ""  # those that are not found are named
    return " (if no more were submitted, correct expected_count; else see whether all ids begin with the prefix)"


def _where_else(batch: Batch, endpoint: str | None) -> str:
    """Name what was asked for, by the parameters that may be wrong."""
    if batch.visible_within is not None:
        return ""  # submitted by this very task
    which = f"invocation_id_prefix {batch.prefix!r}" if batch.prefix else "invocation_ids"
    if batch.started_after is not None:
        which += f", started_after {iso8601(batch.started_after)}"
    return f" (check {which}, {names_to_check(batch.function, endpoint)})"


def forgotten(endpoint: str | None) -> str:
    """Say what may have become of everything at once, where an emulator may have been asked."""
    return "" if is_alibaba_clouds(endpoint) else "an emulator restarted without --state has forgotten everything"


def names_to_check(function: FunctionRef, endpoint: str | None) -> str:
    """Name what finds nothing where it is wrong, instead of failing."""
    service = f"service_name {function.service_name!r}" if function.service_name else "service_name (none: FC 3.0)"
    qualifier = f"qualifier {function.qualifier!r}" if function.qualifier else "qualifier (none)"
    why = forgotten(endpoint)
    return (
        f"function_name {function.function_name!r}, {service}, {qualifier}, region_id, and that the function is in "
        f"asynchronous task mode{f'; {why}' if why else ''}"
    )


def nothing_expected(batch: Batch) -> Outcome:
    """Judge a batch of which nothing was submitted."""
    if batch.on_empty == "fail":
        return Outcome(
            Kind.EMPTY,
            f"expected_count is 0: no {batch} were submitted (check what gives it, or set on_empty='succeed')",
        )
    return Outcome(Kind.SUCCESS, f"There is nothing to wait for: expected_count of the {batch} is 0", Summary({}))


def judge(batch: Batch, summary: Summary, began_at: datetime, now: datetime, endpoint: str | None = None) -> Outcome:
    """Give the verdict on a complete, settled listing.

    :param began_at: when the wait began.
    :param endpoint: who was asked; ``None`` is Alibaba Cloud's usual one.
    """
    failed = failed_count(batch, summary)
    if batch.exceeds(failed):
        return Outcome(Kind.FAILED, failure_text(batch, summary, failed), summary)
    if not summary.total and batch.on_empty == "fail":
        return Outcome(Kind.EMPTY, f"No {batch} exist{_where_else(batch, endpoint)}", summary)
    expired = _maybe_expired(batch, summary, began_at, now)
    if expired:
        return Outcome(Kind.LOST, f"{expired}, so {summary} is no proof; {COUNT_THEM}", summary)
    return Outcome(Kind.SUCCESS, f"{summary}", summary)


COUNT_THEM = (
    "give expected_count or invocation_ids, or started_after where older ones do not matter, then clear this task"
)


def _maybe_expired(batch: Batch, summary: Summary, began_at: datetime, now: datetime) -> str | None:
    """Tell why records of the batch may be gone already; of those that were counted a missing one would be noticed."""
    if batch.is_counted:
        return None
    days = (now - began_at).total_seconds() / 86_400
    if days > _SAFE_DAYS:
        return f"After {days:.1f} days of waiting some records of the {batch} may have expired ({RECORDS_ARE_KEPT})"
    # A sensor that is cleared days later: what ended badly may be what is no longer listed.
    age = 0.0 if summary.started is None else now.timestamp() / 86_400 - summary.started / 86_400_000
    if age > _SAFE_DAYS and batch.max_failed is not None:
        older = f"older records may have expired ({RECORDS_ARE_KEPT})"
        return f"The oldest of the {batch} began {age:.1f} days ago, and {older}"
    return None


def failure_text(batch: Batch, summary: Summary, failed: int) -> str:
    """Write the counts per status and the first failures with error message and request id."""
    head = f"{failed} of {summary.total} {batch} ended badly (max_failed={batch.max_failed}): "
    listed = "".join(f"\n  - {failure}" for failure in summary.failed)
    more = f"\n  ... and {failed - len(summary.failed)} more" if failed > len(summary.failed) else ""
    return head + counts_text(summary.by_status) + listed + more
