"""Faults in what is shown: pages of a List, and invocations."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec

from airflow_provider_fc.emulator.faults.rule import Asked, ItemFault, Ordinal, PageFault, Seconds
from airflow_provider_fc.emulator.generations import Operation
from airflow_provider_fc.emulator.invocations import Invocation, Moment
from airflow_provider_fc.emulator.listing import Page


class EmptyPage(PageFault, tag="empty_page"):
    """No items, and a new token that leads to what should have been here."""

    def page(self, asked: Asked, fetch: Callable[[Asked], Page]) -> Page:
        return Page([], asked.place or 0, turn=asked.turn + 1)


class ShortPage(PageFault, tag="short_page"):
    """At most ``items``, whatever limit was asked for, and a token for the rest."""

    items: Ordinal = 1

    def page(self, asked: Asked, fetch: Callable[[Asked], Page]) -> Page:
        return fetch(msgspec.structs.replace(asked, limit=min(asked.limit, self.items)))


class RepeatedToken(PageFault, tag="repeated_token"):
    """The same page again and again, with the same token, or with ``cycle`` tokens in turn."""

    cycle: Ordinal = 1

    def page(self, asked: Asked, fetch: Callable[[Asked], Page]) -> Page:
        return msgspec.structs.replace(fetch(asked), following=asked.place or 0, turn=asked.turn % self.cycle + 1)


class NullList(PageFault, tag="null_list"):
    """``null`` where the items should be, and no token."""

    def page(self, asked: Asked, fetch: Callable[[Asked], Page]) -> Page:
        return Page(None, None)


class UnknownStatus(ItemFault, tag="unknown_status"):
    """Invocations are in a status nobody has heard of; a List that asks for their real one leaves them out."""

    happens_to: ClassVar[frozenset[Operation | None]] = frozenset({"List", "Get"})
    status: str = "Migrating"

    def show(self, invocation: Invocation, moment: Moment, now: int) -> Moment:
        return msgspec.structs.replace(moment, status=self.status)


class AppearsLate(ItemFault, tag="appears_late", kw_only=True):
    """Invocations cannot be seen until so many seconds after their submission."""

    seconds: Seconds

    def show(self, invocation: Invocation, moment: Moment, now: int) -> Moment | None:
        return None if now < invocation.submitted + self.seconds * 1000 else moment


class Disappears(ItemFault, tag="disappears"):
    """Invocations cannot be seen from so many seconds after their submission on."""

    seconds: Seconds = 0.0

    def show(self, invocation: Invocation, moment: Moment, now: int) -> Moment | None:
        return None if now >= invocation.submitted + self.seconds * 1000 else moment
