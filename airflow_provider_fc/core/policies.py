"""How long this package pauses and what it puts up with, where that is its own choice. It is handed in.

A client's :class:`~airflow_provider_fc.core.flow.Context` carries them. Airflow makes hooks, operators and triggers by
itself, from JSON and in other processes, so for those they stand in one attribute of the hooks. What Function Compute
allows is in ``limits.py``, what an author may choose in ``defaults.py`` and in signatures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_fc.core import defaults

# Without slots: Polling.shortest is the default. All times are seconds.


@dataclass(frozen=True)
class Polling:
    """When to poll."""

    first: float = 5.0
    """A trigger that fires sooner than this after the deferral can lose a race in Airflow's scheduler."""

    first_spread: float = 60.0
    """Triggers that start together spread their first poll over so long."""

    shortest: float = 1.0
    """Between two polls at least; Airflow lets authors ask for 0."""


@dataclass(frozen=True)
class Records:
    """How long the record of an invocation may be behind what is known of it."""

    lag: float = 10.0
    """A record becomes visible a few seconds after the submission; so much later it is taken for missing."""

    pause: float = 2.0
    """Between two reads of a record that is not yet as it must become."""

    conflict: float = 8.0
    """A submission was refused because the id is in use; for so long may the record of that id be missing."""

    stopping: float = 60.0
    """For so long is an invocation that was found ``Stopping`` waited for before a new attempt is decided on."""

    accepted: float = 300.0
    """An invocation that is waited for and was accepted so long ago, and still has no record, is lost."""

    ended: float = 60.0
    """For so long may the record of an invocation whose end is known be missing, or the server be out of order."""


@dataclass(frozen=True)
class Connections:
    """How a wait reads its connection again."""

    reread: float = 60.0
    """Between two reads that look for new keys."""

    retry: float = 30.0
    """Between two reads of a connection that could not be read."""

    misses: int = 60
    """So often may Airflow say that a connection, which the task has read, does not exist."""

    last_read: float = 5.0
    """So long may the last read take even if the deadline is nearer, or has passed."""


@dataclass(frozen=True)
class Announcing:
    """When and how much an asset watcher announces."""

    settle: float = defaults.SETTLE_SECONDS
    """A finished listing must still be the same after so long: listings lag by seconds."""

    between_events: float = 10.0
    """In this time Airflow's scheduler makes a DAG run of an event."""

    most: int = 1_000
    """Announced in one poll at most, the rest in the next: Airflow stores them one by one."""

    kept: int = 2_000
    """So many announced ids are kept, beside the last hour's."""


@dataclass(frozen=True)
class Policies:
    """All of them, each with what is used in production as its default."""

    polling: Polling = field(default_factory=Polling)
    records: Records = field(default_factory=Records)
    connections: Connections = field(default_factory=Connections)
    announcing: Announcing = field(default_factory=Announcing)


PRODUCTION = Policies()
