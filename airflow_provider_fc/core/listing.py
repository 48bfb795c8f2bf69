"""A filtered listing in constant memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

from airflow_provider_fc.core.flow import Context, Flow, Pages, RecentIds
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.operations import ListInvocations


class Listing:
    """The items that are asked for, page by page.

    Memory holds one page and the last 1,000 ids, by which an item that moved to a later page while they were
    read is left out the second time.
    """

    def __init__(self, operation: ListInvocations, context: Context) -> None:
        self._operation = operation
        self._listings = [Pages(one, context) for one in operation.listings()]
        self._recent = RecentIds()

    @property
    def done(self) -> bool:
        return not self._listings

    def next_items(self) -> Flow[list[Invocation]]:
        """Fetch the next items, at least one unless the listing is done."""
        items: list[Invocation] = []
        while self._listings and not items:
            page = yield from self._listings[0].next_page()
            items = self._recent.pick_new(self._operation.pick(page.items))
            if self._listings[0].done:
                del self._listings[0]
        return items


def count(listing: Listing) -> Flow[dict[str, Any]]:
    """Count what a listing has, in as little memory as reading it takes."""
    by_status: Counter[str] = Counter()
    while not listing.done:
        items = yield from listing.next_items()
        by_status.update(item.status for item in items)
    return {"total": by_status.total(), "by_status": dict(sorted(by_status.items()))}
