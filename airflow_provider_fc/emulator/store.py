"""Where the invocations are: in the listings of their functions, and in the journal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from airflow_provider_fc.emulator.invocations import Invocation
from airflow_provider_fc.emulator.listing import Listing


class Journal(Protocol):
    """Where invocations are kept over a restart of the process."""

    def save(self, invocations: Collection[Invocation]) -> None: ...

    def load(self) -> list[Invocation]: ...


class Store:
    """Keeps listings and journal in step."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        # What leaves no record is kept apart, where nobody looks it up.
        self._listings: dict[tuple[str, str, bool], Listing] = {}

    def load(self) -> list[Invocation]:
        """Take over what the journal holds."""
        loaded = [] if self._journal is None else self._journal.load()
        self._insert(loaded)
        return loaded

    def of(self, service: str, function: str) -> Listing:
        """Give the recorded invocations of a function."""
        return self._listings.get((service, function, True)) or Listing()

    def keep(self, invocations: Collection[Invocation]) -> None:
        """Take note of invocations that are new or have changed."""
        if self._journal is not None and invocations:
            self._journal.save(invocations)  # first: what cannot be kept was not accepted
        self._insert(invocations)

    def _insert(self, invocations: Collection[Invocation]) -> None:
        for invocation in invocations:
            key = (invocation.service, invocation.function, invocation.recorded)
            listing = self._listings.get(key)
            if listing is None:
                listing = self._listings[key] = Listing()
            listing.touch(invocation)
