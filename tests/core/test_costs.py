"""What a page of a listing costs, in numbers that do not depend on the machine: calls of functions, and memory."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
from core.conversation import Conversation
from core.test_decoding import FC_3, NEW

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.batch_listing import BatchListing, Memory
from airflow_provider_fc.core.decoding import read_page
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.operations import ListInvocations

ITEMS = 100


def page(number: int = 0, **fields: Any) -> bytes:
    items = [{**FC_3, "taskId": f"job-{number}-{index}", **fields} for index in range(ITEMS)]
    return msgspec.json.encode({"tasks": items, "nextToken": f"token-{number}"})


def calls_of(run: Callable[[], object]) -> int:
    """How many functions written in Python are called."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    run()  # what is made once is made
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def test_reading_a_usual_page_calls_one_function_for_each_invocation() -> None:
    usual, unusual = page(), page(durationMs="700")

    assert calls_of(lambda: read_page(NEW, usual)) <= ITEMS + 20
    assert calls_of(lambda: read_page(NEW, unusual)) > 10 * ITEMS, "what it is when every field is looked at"


def test_reading_a_page_takes_little_more_memory_than_its_invocations() -> None:
    body = page()
    read_page(NEW, body)
    tracemalloc.start()
    try:
        items, _ = read_page(NEW, body)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(items) == ITEMS
    assert most < 1.4 * kept, f"{most / ITEMS:.0f} bytes an invocation at most, {kept / ITEMS:.0f} of them kept"


def test_listing_a_page_asks_nothing_of_each_invocation_but_its_reading() -> None:
    talk = Conversation()
    listing = Listing(ListInvocations(function_ref("resize"), prefix="job-", statuses=("Failed",)), talk.context)
    talk.answers = [HttpResponse(200, {}, page(number)) for number in range(4)]

    assert calls_of(lambda: talk.run(listing.next_items())) <= ITEMS + 200


def test_a_page_that_a_verdict_rests_on_asks_six_things_of_each_invocation_beside_its_reading() -> None:
    talk = Conversation()
    batch = Batch(function_ref("resize"), prefix="job-", max_failed=None)
    listing = BatchListing(batch, "asc", talk.context, Memory())
    ended = {"status": "Succeeded", "endTime": FC_3["startedTime"] + 700}
    talk.answers = [HttpResponse(200, {}, page(number, **ended)) for number in range(2)]

    assert calls_of(lambda: talk.run(listing.next_page())) <= 7 * ITEMS + 200
    assert listing.tally.summary().by_status == {"Succeeded": 2 * ITEMS}
