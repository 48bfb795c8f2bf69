"""The specification this project began with: "ListStatefulAsyncInvocations", 2016-08-15.

Each parameter and field of its two tables is a row here, under the name the document gives it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from harness import World
from msgspec.structs import replace

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.operations import ListInvocations, Page
from airflow_provider_fc.core.signing import Credentials, sign

# "serviceName[.qualifier]", then "functionName", as in the request syntax.
PATH = "/2016-08-15/services/media.prod/functions/resize/stateful-async-invocations"

EVERYTHING = ListInvocations(
    function_ref("resize", "media", "prod"),
    prefix="job-",
    started_after=1_600_000_000_002,  # a millisecond more is asked for on either side
    started_before=1_600_000_000_001,
    order="asc",
    include_payload=True,
    page_size=50,
    token="3f2a90c1",
)

QUERY = {
    "invocationIdPrefix": "job-",
    "nextToken": "3f2a90c1",
    "limit": "50",
    "startedTimeBegin": "1600000000001",
    "startedTimeEnd": "1600000000002",
    "sortOrderByTime": "asc",
    "includePayload": "true",
}

ITEM = {
    "functionName": "resize",
    "qualifier": "prod",
    "serviceName": "media",
    "invocationId": "job-7c41",
    "requestId": "5e8d1b2a",
    "status": "Succeeded",
    "destinationStatus": "Failed",
    "invocationErrorMessage": "UnhandledInvocationError",
    "InvocationPayload": "hello",
    "alreadyRetriedTimes": 3,
}

ATTRIBUTES = {
    "functionName": "function_name",
    "qualifier": "qualifier",
    "serviceName": "service_name",
    "invocationId": "invocation_id",
    "requestId": "request_id",
    "status": "status",
    "destinationStatus": "destination_status",
    "invocationErrorMessage": "error_message",
    "InvocationPayload": "payload",
    "alreadyRetriedTimes": "already_retried_times",
}


def sent(operation: ListInvocations = EVERYTHING) -> HttpRequest:
    return operation.request("https://123.cn-hangzhou.fc.aliyuncs.com")


def read(**item: Any) -> Page:
    body = msgspec.json.encode({"invocations": [{**ITEM, **item}], "nextToken": "9d0be4"})
    return EVERYTHING.read(HttpResponse(200, {"content-type": "application/json"}, body))


def test_the_request_is_a_get_of_the_documented_path() -> None:
    assert (sent().method, sent().path) == ("GET", PATH)


def test_without_a_qualifier_the_path_names_the_service_alone() -> None:
    assert sent(ListInvocations(function_ref("resize", "media"))).path == PATH.replace(".prod", "")


@pytest.mark.parametrize("name", QUERY)
def test_a_request_parameter_reaches_the_wire_under_its_name(name: str) -> None:
    assert f"{name}={QUERY[name]}" in sent().target.partition("?")[2].split("&")


def test_nothing_else_is_in_the_query() -> None:
    assert sent().query == QUERY


def test_only_the_page_size_is_sent_when_nothing_is_asked_for() -> None:
    assert sent(ListInvocations(function_ref("resize", "media"))).query == {"limit": "100"}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_both_orders_are_sent_as_documented(order: Any) -> None:
    assert sent(ListInvocations(function_ref("resize", "media"), order=order)).query["sortOrderByTime"] == order


def test_the_emulator_of_this_api_understands_every_parameter() -> None:
    world = World()
    operation = replace(EVERYTHING, token=None)
    request = sign(
        sent(operation),
        world.credentials,
        signature="FC",
        now=world.clock.now(),
        nonce="",
        action="",
        version="2016-08-15",
    )

    assert world.app.handle(request).status == 200
    assert world.app.requests[0].operation == "List"
    assert {name: value for name, value in QUERY.items() if name != "nextToken"}.items() <= (
        world.app.requests[0].parameters.items()
    )


def test_the_request_is_signed_the_way_of_this_api() -> None:
    signed = sign(
        sent(),
        Credentials("key-id", "secret"),
        signature="FC",
        now=datetime(2026, 11, 22, tzinfo=UTC),
        nonce="",
        action="",
        version="",
    )

    assert signed.headers["authorization"].startswith("FC key-id:")
    assert signed.headers["date"] == "Sun, 22 Nov 2026 00:00:00 GMT"


@pytest.mark.parametrize(("documented", "attribute"), ATTRIBUTES.items())
def test_a_response_field_is_readable(documented: str, attribute: str) -> None:
    assert getattr(read().items[0], attribute) == ITEM[documented]


def test_the_token_of_the_next_page_is_readable() -> None:
    assert read().next_token == "9d0be4"


@pytest.mark.parametrize(
    "wire",
    [1_597_890_501_000, "1597890501000", "2020-08-20T02:28:21Z"],
    ids=["Long", "Long as text", "as in the example"],
)
@pytest.mark.parametrize(
    ("documented", "milliseconds", "moment"),
    [("startedTime", "started_time", "started_at"), ("endTime", "end_time", "ended_at")],
)
def test_the_times_are_readable_in_both_documented_forms(
    wire: object, documented: str, milliseconds: str, moment: str
) -> None:
    item = read(**{documented: wire}).items[0]

    assert getattr(item, milliseconds) == 1_597_890_501_000
    assert getattr(item, moment) == datetime(2020, 8, 20, 2, 28, 21, tzinfo=UTC)


def test_the_sample_response_has_no_times_and_is_readable_all_the_same() -> None:
    assert (read().items[0].started_at, read().items[0].ended_at) == (None, None)


def test_every_documented_field_has_an_attribute_of_an_invocation() -> None:
    assert set(ATTRIBUTES.values()) | {"started_time", "end_time"} <= set(Invocation.__struct_fields__)
    assert ITEM.keys() == ATTRIBUTES.keys()
