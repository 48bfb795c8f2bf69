"""Where the invocations are: by function and id, in listing order, and in the journal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from airflow_provider_fc.emulator.invocations import Invocation
from airflow_provider_fc.emulator.listing import Listing


class Journal(Protocol):
    """Where invocations outlive the process."""

    def save(self, invocations: Collection[Invocation]) -> None: ...

    def load(self) -> list[Invocation]: ...


class Store:
    """Keeps its three views of the invocations in step."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        # What leaves no record is kept apart, where nobody looks it up.
        self._invocations: dict[tuple[str, str, bool], dict[str, Invocation]] = {}
        self._listings: dict[tuple[str, str, bool], Listing] = {}

    def load(self) -> list[Invocation]:
        """Take over what the journal holds."""
        loaded = [] if self._journal is None else self._journal.load()
        self._insert(loaded)
        return loaded

    def of(self, service: str, function: str) -> dict[str, Invocation]:
        """Give the invocations of a function by id."""
        return self._invocations.get((service, function, True), {})

    def listing(self, service: str, function: str) -> Listing:
        return self._listings.get((service, function, True)) or Listing()

    def add(self, invocations: Collection[Invocation]) -> None:
        self._save(invocations)  # first: what cannot be kept was not accepted
        self._insert(invocations)

    def touch(self, invocations: Collection[Invocation]) -> None:
        """Take note that invocations have changed."""
        for invocation in invocations:
            self._listings[_key(invocation)].touch(invocation)
        self._save(invocations)

    def _insert(self, invocations: Collection[Invocation]) -> None:
        for invocation in invocations:
            key = _key(invocation)
            self._invocations.setdefault(key, {})[invocation.id] = invocation
            self._listings.setdefault(key, Listing()).touch(invocation)

    def _save(self, invocations: Collection[Invocation]) -> None:
        if self._journal is not None and invocations:
            self._journal.save(invocations)


def _key(invocation: Invocation) -> tuple[str, str, bool]:
    return invocation.service, invocation.function, invocation.recorded
