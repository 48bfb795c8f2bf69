"""A filtered listing in constant memory."""

from __future__ import annotations

from airflow_provider_fc.core.flow import Context, Flow, RecentIds, Walk
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.operations import ListInvocations


class Listing:
    """The items that are asked for, page by page.

    Memory holds one page and the last 1,000 ids, by which an item that moved to a later page while the walk was under
    way is left out the second time.
    """

    def __init__(self, operation: ListInvocations, context: Context) -> None:
        self._operation = operation
        self._walks = [Walk(one, context) for one in operation.walks()]
        self._recent = RecentIds()

    @property
    def done(self) -> bool:
        return not self._walks

    def next_items(self) -> Flow[list[Invocation]]:
        """Fetch the next items, at least one unless the listing is done."""
        items: list[Invocation] = []
        while self._walks and not items:
            page = yield from self._walks[0].next_page()
            items = self._recent.pick_new(self._operation.pick(page.items))
            if self._walks[0].done:
                del self._walks[0]
        return items
