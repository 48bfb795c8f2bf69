"""What each operation asks in each generation, and how its answer is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from core.conversation import json_answer
from harness import World
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.api import FunctionRef, function_ref
from airflow_provider_fc.core.errors import FunctionComputeError, MalformedBodyError, NoRecordError, ParameterError
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.operations import (
    FILTERS,
    Accepted,
    GetInvocation,
    Invoke,
    ListInvocations,
    Page,
    StopInvocation,
)
from airflow_provider_fc.core.parameters import new_invocation_id

ORIGIN = "https://fc.test"
OLD = function_ref("f", "s", "prod")
MIDDLE = function_ref("f", "s", "prod", api_version="2021-04-06")
NEW = function_ref("f", qualifier="prod")
GENERATIONS = pytest.mark.parametrize("function", [OLD, MIDDLE, NEW], ids=lambda function: function.api.version)
ITEM = {"invocationId": "job-1", "taskId": "job-1", "status": "Running"}


def line(request: HttpRequest) -> str:
    return f"{request.method} {request.target}"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (OLD, "GET /2016-08-15/services/s.prod/functions/f/stateful-async-invocations?limit=100"),
        (MIDDLE, "GET /2021-04-06/services/s/functions/f/stateful-async-invocations?limit=100&qualifier=prod"),
        (NEW, "GET /2023-03-30/functions/f/async-tasks?limit=100&qualifier=prod"),
    ],
)
def test_list(function: FunctionRef, expected: str) -> None:
    assert line(ListInvocations(function).request(ORIGIN)) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (OLD, "GET /2016-08-15/services/s.prod/functions/f/stateful-async-invocations/job-1"),
        (MIDDLE, "GET /2021-04-06/services/s/functions/f/stateful-async-invocations/job-1?qualifier=prod"),
        (NEW, "GET /2023-03-30/functions/f/async-tasks/job-1?qualifier=prod"),
    ],
)
def test_get(function: FunctionRef, expected: str) -> None:
    assert line(GetInvocation(function, "job-1").request(ORIGIN)) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (OLD, "PUT /2016-08-15/services/s.prod/functions/f/stateful-async-invocations/job-1"),
        (MIDDLE, "PUT /2021-04-06/services/s/functions/f/stateful-async-invocations/job-1?qualifier=prod"),
        (NEW, "PUT /2023-03-30/functions/f/async-tasks/job-1/stop?qualifier=prod"),
    ],
)
def test_stop(function: FunctionRef, expected: str) -> None:
    request = StopInvocation(function, "job-1").request(ORIGIN)

    assert line(request) == expected
    assert request.body == b""


@pytest.mark.parametrize(
    ("function", "expected", "headers"),
    [
        (
            OLD,
            "POST /2016-08-15/services/s.prod/functions/f/invocations",
            {"x-fc-stateful-async-invocation-id": "job-1"},
        ),
        (
            MIDDLE,
            "POST /2021-04-06/services/s/functions/f/invocations?qualifier=prod",
            {"x-fc-stateful-async-invocation-id": "job-1", "x-fc-stateful-async-invocation-enable": "true"},
        ),
        (
            NEW,
            "POST /2023-03-30/functions/f/invocations?qualifier=prod",
            {"x-fc-async-task-id": "job-1"},
        ),
    ],
)
def test_invoke(function: FunctionRef, expected: str, headers: dict[str, str]) -> None:
    request = Invoke(function, b'{"a":1}', "job-1").request(ORIGIN)

    assert line(request) == expected
    assert request.body == b'{"a":1}'
    assert request.headers == {
        "accept": "application/json",
        "content-type": "application/octet-stream",
        "x-fc-invocation-type": "Async",
        **headers,
    }


@GENERATIONS
def test_an_invocation_without_an_id_names_none(function: FunctionRef) -> None:
    assert function.api.invocation_id_header not in Invoke(function).request(ORIGIN).headers


@pytest.mark.parametrize(("delay", "header"), [(None, None), (0, None), (1, "1"), (3600, "3600")])
def test_a_delay_is_sent_in_seconds(delay: int | None, header: str | None) -> None:
    assert Invoke(NEW, delay=delay).request(ORIGIN).headers.get("x-fc-async-delay") == header


@pytest.mark.parametrize(
    ("operation", "repeatable"),
    [
        (ListInvocations(NEW), True),
        (GetInvocation(NEW, "job-1"), True),
        (StopInvocation(NEW, "job-1"), True),
        (Invoke(NEW, invocation_id="job-1"), True),
        (Invoke(NEW), False),
    ],
    ids=["list", "get", "stop", "invoke with an id", "invoke without an id"],
)
def test_only_an_invocation_without_an_id_must_not_be_repeated(operation: Any, repeatable: bool) -> None:
    assert operation.repeatable is repeatable


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({"statuses": ("Failed",)}, {"status": "Failed"}),
        ({"started_after": 5}, {"startedTimeBegin": "4"}),
        ({"started_after": 0}, {"startedTimeBegin": "0"}),
        ({"started_before": 6}, {"startedTimeEnd": "7"}),
        ({"order": "desc"}, {"sortOrderByTime": "desc"}),
        ({"include_payload": True}, {"includePayload": "true"}),
        ({"page_size": 1}, {"limit": "1"}),
        ({"token": "a+b/c=\n"}, {"nextToken": "a+b/c=\n"}),
        ({"prefix": "", "statuses": (), "token": ""}, {}),
        ({"statuses": ("Failed", "Running")}, {}),
    ],
    ids=lambda value: ",".join(value),
)
@GENERATIONS
def test_a_filter_is_sent_under_its_name_and_never_empty(
    function: FunctionRef, arguments: dict[str, Any], query: dict[str, str]
) -> None:
    expected = {**function.query, "limit": "100", **query}

    assert ListInvocations(function, **arguments).request(ORIGIN).query == expected


@pytest.mark.parametrize(
    ("function", "name"), [(OLD, "invocationIdPrefix"), (MIDDLE, "invocationIdPrefix"), (NEW, "prefix")]
)
def test_the_prefix_has_a_name_of_its_own_in_each_generation(function: FunctionRef, name: str) -> None:
    assert ListInvocations(function, "job-").request(ORIGIN).query[name] == "job-"


def test_a_request_never_carries_a_signature_yet() -> None:
    assert "authorization" not in Invoke(NEW, b"", "job-1").request(ORIGIN).headers


# Reading a page


def read(body: object, function: FunctionRef = OLD, **headers: str) -> Page:
    return ListInvocations(function).read(json_answer(body, **headers))


@pytest.mark.parametrize(
    ("function", "envelope", "key"),
    [(OLD, "invocations", "invocationId"), (MIDDLE, "invocations", "invocationId"), (NEW, "tasks", "taskId")],
)
def test_a_page_is_read_from_the_envelope_of_its_generation(function: FunctionRef, envelope: str, key: str) -> None:
    page = read({envelope: [{key: "job-1", "status": "Running"}], "nextToken": "A"}, function)

    assert [item.invocation_id for item in page.items] == ["job-1"]
    assert page.next_token == "A"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"LIST": None},
        {"LIST": []},
        {"LIST": [], "nextToken": ""},
        {"LIST": None, "nextToken": None},
        {"requestId": "request-1"},
        {"LIST": [], "total": 0},
    ],
    ids=str,
)
@GENERATIONS
def test_no_match_is_a_page_without_items_or_token(function: FunctionRef, body: dict[str, Any]) -> None:
    page = read({key.replace("LIST", function.api.envelope): value for key, value in body.items()}, function)

    assert (page.items, page.next_token) == ([], None)


@pytest.mark.parametrize(
    ("date", "milliseconds"),
    [
        ("Sun, 22 Nov 2026 08:30:05 GMT", datetime(2026, 11, 22, 8, 30, 5, tzinfo=UTC).timestamp() * 1000),
        ("soon", None),
    ],
)
def test_the_server_s_own_time_comes_with_the_page(date: str, milliseconds: float | None) -> None:
    assert read({}, date=date).server_time == milliseconds
    assert read({}).server_time is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"<html>502 Bad Gateway</html>",
        b'{"invocations": [',
        b'{"invocations": {}}',
        b'{"invocations": [null]}',
        b'{"invocations": ["job-1"]}',
        b'{"invocations": [{}]}',
        b'{"invocations": [{"invocationId": "job-1"}]}',
        b'{"invocations": [{"invocationId": "", "status": "Running"}]}',
        b'{"invocations": [{"status": "Running"}]}',
        b'{"invocations": [{"invocationId": 1, "status": "Running"}]}',
        b'{"invocations": [{"invocationId": "job-1", "status": 5}]}',
        b'{"invocations": [{"taskId": "job-1", "status": "Running"}]}',
        b'{"tasks": [{"taskId": "job-1", "status": "Running"}]}',
        b'{"nextToken": 5}',
        b"\xff\xfe",
        b'{"invocations": [{"invocationId": "job-1", "status": "Running"}]} trailing',
        b"[" * 100_000,
        b'{"x":' * 100_000,
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
def test_a_body_that_is_not_a_page_is_named_as_such(body: bytes) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        ListInvocations(OLD).read(HttpResponse(200, {}, body))

    assert caught.value.transient
    assert len(str(caught.value)) < 300


@given(st.binary(max_size=200))
def test_any_bytes_are_a_page_or_a_malformed_body(body: bytes) -> None:
    try:
        page = ListInvocations(OLD).read(HttpResponse(200, {}, body))
    except MalformedBodyError:
        return
    assert isinstance(page, Page)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "invocationId",
        "taskId",
        "status",
        "startedTime",
        "endTime",
        "durationMs",
        "alreadyRetriedTimes",
        "events",
        "functionArn",
        "InvocationPayload",
        "requestId",
    ]
)


@given(
    item=st.dictionaries(KEYS, JSON, max_size=6),
    certain=st.sampled_from([{}, {"invocationId": "job-1", "status": "Running"}, {"taskId": "job-1", "status": "?"}]),
)
def test_any_item_is_an_invocation_that_can_be_dumped_or_a_malformed_body(
    item: dict[str, Any], certain: dict[str, str]
) -> None:
    body = msgspec.json.encode({"invocations": [{**item, **certain}]})
    try:
        page = ListInvocations(OLD).read(HttpResponse(200, {}, body))
    except MalformedBodyError:
        return
    dumped = page.items[0].to_dict()
    assert dumped["invocation_id"]
    assert dumped["status"]


def test_a_text_that_was_cut_in_the_middle_of_a_character_does_not_spoil_the_page() -> None:
    """Error messages are cut to a length in bytes by whoever made them."""
    body = b'{"invocations": [{"invocationId": "job-1", "status": "Failed", "invocationErrorMessage": "\xe9\x9b"}]}'

    page = ListInvocations(OLD).read(HttpResponse(200, {}, body))

    assert page.items[0].error_message == "�"


# Reading the rest


@GENERATIONS
def test_get_reads_the_bare_object(function: FunctionRef) -> None:
    assert GetInvocation(function, "job-1").read(json_answer(ITEM)).status == "Running"


@pytest.mark.parametrize("body", [{"taskId": "job-2", "status": "Running"}, {"taskId": "JOB-1", "status": "Running"}])
def test_an_answer_about_another_invocation_is_refused(body: dict[str, str]) -> None:
    with pytest.raises(MalformedBodyError, match="asked for 'job-1', got"):
        GetInvocation(NEW, "job-1").read(json_answer(body))


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"null"])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_nothing_is_read_from_the_answer_to_a_stop(status: int, body: bytes) -> None:
    assert StopInvocation(NEW, "job-1").read(HttpResponse(status, {}, body)) is None


@pytest.mark.parametrize(
    ("given_id", "headers", "accepted"),
    [
        ("job-1", {"x-fc-request-id": "r"}, Accepted("job-1", "r")),
        ("job-1", {}, Accepted("job-1", None)),
        (None, {"x-fc-request-id": "r"}, Accepted("r", "r")),
        (None, {"x-fc-request-id": "r", "x-fc-stateful-async-invocation-id": "a"}, Accepted("a", "r")),
        (None, {"x-fc-request-id": "r", "x-fc-async-task-id": "b"}, Accepted("b", "r")),
        (None, {"x-fc-request-id": "r", "x-fc-async-task-id": ""}, Accepted("r", "r")),
        (None, {"x-fc-async-task-id": "b"}, Accepted("b", None)),
    ],
)
@GENERATIONS
def test_an_accepted_invocation_has_the_id_it_goes_by(
    function: FunctionRef, given_id: str | None, headers: dict[str, str], accepted: Accepted
) -> None:
    assert Invoke(function, invocation_id=given_id).read(HttpResponse(202, headers)) == accepted


def test_an_answer_that_names_nothing_is_refused() -> None:
    with pytest.raises(MalformedBodyError, match="neither the invocation nor the request"):
        Invoke(NEW).read(HttpResponse(202))


@pytest.mark.parametrize("status", [200, 204])
def test_an_ok_from_something_else_than_function_compute_is_no_acceptance(status: int) -> None:
    """A captive portal answers everything with 200; the invocation would never have been submitted."""
    with pytest.raises(FunctionComputeError, match="without a request id"):
        Invoke(NEW, invocation_id="job-1").read(HttpResponse(status, {}, b"<html>log in</html>"))


@pytest.mark.parametrize("name", ["x-fc-async-task-id", "x-fc-stateful-async-invocation-id"])
@GENERATIONS
def test_an_ok_that_names_the_invocation_is_an_acceptance(function: FunctionRef, name: str) -> None:
    answer = HttpResponse(200, {"x-fc-request-id": "r", name: "job-1"})

    assert Invoke(function, invocation_id="job-1").read(answer) == Accepted("job-1", "r")


RAN = {
    "FC's own": {"x-fc-request-id": "r-1"},
    "without a request id": {"x-fc-code-checksum": "1"},
    "through the gateway": {"x-acs-request-id": "r-1"},
    "with a function's error": {"x-fc-request-id": "r-1", "x-fc-error-type": "UnhandledInvocationError"},
}


@pytest.mark.parametrize("headers", RAN.values(), ids=RAN)
@pytest.mark.parametrize("status", [200, 201, 204])
@GENERATIONS
def test_an_answer_to_an_invocation_that_was_not_queued_means_that_it_has_run(
    function: FunctionRef, status: int, headers: dict[str, str]
) -> None:
    with pytest.raises(NoRecordError) as caught:
        Invoke(function, invocation_id="job-1").read(HttpResponse(status, headers, b"secret result"))

    text = str(caught.value)
    assert f"HTTP {status} instead of 202" in text
    assert "has run synchronously" in text
    assert "HTTP trigger, or is not in asynchronous task mode" in text
    assert f'{{"{function.api.task_mode_key}": true}}' in text
    assert ("UnhandledInvocationError" in text) == ("x-fc-error-type" in headers)
    assert "secret result" not in text
    assert not caught.value.transient


@pytest.mark.parametrize(
    "body",
    [
        {"Code": "InternalError", "Message": "try again", "RequestId": "request-1"},
        {"RequestId": "request-1", "Success": False},
        {"ErrorCode": "ServiceUnavailable", "ErrorMessage": "busy"},
        {"data": {"tasks": []}},
        {"tasks": None, "Code": "InternalError"},
        {"invocations": [], "errorMessage": "half of it is missing"},
    ],
    ids=str,
)
def test_an_object_that_is_no_listing_is_never_an_empty_last_page(body: dict[str, object]) -> None:
    answer = HttpResponse(200, {}, msgspec.json.encode(body))

    with pytest.raises(MalformedBodyError, match="the answer is no listing"):
        ListInvocations(function_ref("resize")).read(answer)


# From parameters, as templates render them

LIST = ListInvocations.from_parameters
FC_3 = function_ref("resize")


def problem(function: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(ParameterError) as caught:
        function(*arguments, **keywords)
    return str(caught.value)


def test_a_listing_has_the_documented_defaults() -> None:
    assert LIST(FC_3) == ListInvocations(FC_3)
    assert LIST(FC_3).page_size == 100


def test_every_list_parameter_is_read_as_a_template_renders_it() -> None:
    query = LIST(
        FC_3,
        invocation_id_prefix="run.1-",
        statuses="Failed,Stopped",
        started_after="2026-11-22T00:00:00Z",
        started_before="1795392000000",
        order="asc",
        include_payload="True",
        page_size="20",
    )

    window = 1_795_305_600_000, 1_795_392_000_000
    assert query == ListInvocations(FC_3, "run_1-", ("Failed", "Stopped"), *window, "asc", True, 20)


def test_without_an_order_it_is_the_server_s_own() -> None:
    assert LIST(FC_3, order=None).order is None


@pytest.mark.parametrize("rendered", ["", "None"])
@pytest.mark.parametrize(
    "name", ["invocation_id_prefix", "statuses", "started_after", "started_before", "order", "page_size"]
)
def test_what_a_template_makes_of_nothing_narrows_a_listing_to_nothing(name: str, rendered: str) -> None:
    assert problem(LIST, FC_3, **{name: rendered}).startswith(f"{name}: ")


@pytest.mark.parametrize("rendered", ["", "None"])
@pytest.mark.parametrize("name", ["invocation_id", "delay"])
def test_what_a_template_makes_of_nothing_is_no_default_of_a_submission(name: str, rendered: str) -> None:
    assert problem(Invoke.from_parameters, FC_3, **{name: rendered}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("invocation_id_prefix", ""),
        ("statuses", "Done"),
        ("started_after", "yesterday"),
        ("started_before", 5),
        ("order", "up"),
        ("include_payload", "maybe"),
        ("page_size", 0),
        ("page_size", 101),
        ("page_size", "many"),
    ],
)
def test_a_list_parameter_that_is_wrong_is_named(name: str, value: Any) -> None:
    assert problem(LIST, FC_3, **{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("page_size", "limit", "asked"),
    [(100, None, 100), (100, 5, 5), (5, 100, 5), (100, 0, 1), (100, 101, 100), (None, None, 100)],
)
def test_no_more_is_asked_for_than_is_wanted(page_size: int | None, limit: int | None, asked: int) -> None:
    assert LIST(FC_3, page_size=page_size, limit=limit).page_size == asked
    assert LIST(FC_3, page_size=page_size, limit=limit, statuses="Failed,Stopped").page_size == asked


def test_every_filter_becomes_a_field_and_every_field_but_two_is_a_filter() -> None:
    assert [field for field, _ in FILTERS.values()] == [*ListInvocations.__struct_fields__[1:-1]]


def test_a_filter_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        LIST(FC_3, nonsense=1)


def test_a_limit_does_not_shrink_the_pages_of_a_listing_that_is_filtered_here() -> None:
    """One wanted among a thousand others would cost a thousand requests."""
    world = World()
    world.add("job-wanted", statuses=["Running"], submitted_seconds_ago=3600)
    world.add_many(1000)
    query = LIST(FC_3, statuses=["Running", "Retrying"], order="desc", limit=1)

    found = world.run(Listing(query, world.context).next_items())

    assert [item.invocation_id for item in found] == ["job-wanted"]
    assert len(world.sent) == 11


@pytest.mark.parametrize(
    ("make", "kind"), [(GetInvocation.from_parameters, GetInvocation), (StopInvocation.from_parameters, StopInvocation)]
)
def test_get_and_stop_take_an_id_and_make_it_legal(make: Any, kind: type) -> None:
    assert make(FC_3, "run.1/a") == kind(FC_3, "run_1_a")
    assert make(FC_3, "1-made-by-the-server").invocation_id == "1-made-by-the-server"
    assert problem(make, FC_3, None).startswith("invocation_id: is missing")


def test_an_invocation_is_made_of_checked_parts() -> None:
    made = Invoke.from_parameters(FC_3, {"a": 1}, invocation_id="job.1", delay="30")

    assert made == Invoke(FC_3, b'{"a":1}', "job_1", 30)


def test_an_invocation_always_gets_an_id_of_its_own() -> None:
    made = {Invoke.from_parameters(FC_3, invocation_id=None).invocation_id for _ in range(20)}

    assert len(made) == 20
    assert all(key and key.startswith("airflow-") and len(key) <= 128 for key in made)
    assert Invoke.from_parameters(FC_3).repeatable


@pytest.mark.parametrize(("delay", "seconds"), [(None, None), (0, 0), ("3600", 3600)])
def test_a_delay_is_within_what_fc_takes(delay: Any, seconds: int | None) -> None:
    assert Invoke.from_parameters(FC_3, delay=delay).delay == seconds


@pytest.mark.parametrize("delay", [-1, 3601, "soon", 1.5])
def test_another_delay_is_refused(delay: Any) -> None:
    assert problem(Invoke.from_parameters, FC_3, delay=delay).startswith("delay: ")


@pytest.mark.parametrize("key", ["job-1", "_job", "J", "x" * 128])
def test_an_id_may_begin_with_a_letter_or_an_underscore(key: str) -> None:
    assert new_invocation_id("invocation_id", key) == key


@pytest.mark.parametrize("key", ["1-job", "-job"])
def test_an_id_that_fc_would_refuse_is_refused_with_the_way_out(key: str) -> None:
    refusal = problem(new_invocation_id, "invocation_id", key)

    assert refusal == f"invocation_id: {key!r} must begin with a letter or _; put a word before it"


@pytest.mark.parametrize("key", ["@job", ".job", " job"])
def test_what_becomes_an_underscore_is_a_beginning(key: str) -> None:
    assert new_invocation_id("invocation_id", key) == "_" + key[1:]


@pytest.mark.parametrize("key", [None, "", "None", "x" * 129, 5])
def test_what_can_be_no_new_id_is_refused(key: Any) -> None:
    assert problem(new_invocation_id, "invocation_id", key).startswith("invocation_id: ")
