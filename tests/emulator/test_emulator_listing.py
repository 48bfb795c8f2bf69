"""What a List shows, in which order, and how it pages."""

from __future__ import annotations

import gc
import tracemalloc

import msgspec
import pytest

from airflow_provider_fc.emulator.listing import Query

FC_2016 = "/2016-08-15/services/media/functions/resize/stateful-async-invocations"
FC_2021 = "/2021-04-06/services/media/functions/resize/stateful-async-invocations"
FC_2023 = "/2023-03-30/functions/resize/async-tasks"
GENERATIONS = pytest.mark.parametrize("path", [FC_2016, FC_2021, FC_2023])


def scripted(path: str = FC_2023, **fields):
    service = {} if path == FC_2023 else {"service": "media"}
    return {"function": "resize", **service, **fields}


def many(count: int, path: str = FC_2023, **fields):
    return scripted(
        path, id_template="job-{index:03}", count=count, submitted_seconds_ago=90, submitted_seconds_apart=1, **fields
    )


@GENERATIONS
def test_a_listing_shows_every_invocation_once_in_ascending_order(client, state, path):
    state.add([many(45, path)])

    pages = client.pages(path, limit=20, sortOrderByTime="asc")

    assert [len(page) for page in pages] == [20, 20, 5]
    assert [id for page in pages for id in page] == [f"job-{index:03}" for index in range(45)]


@GENERATIONS
def test_a_descending_listing_shows_every_invocation_once_newest_first(client, state, path):
    state.add([many(45, path)])

    assert client.list_all(path, limit=20, sortOrderByTime="desc") == [f"job-{i:03}" for i in reversed(range(45))]


@GENERATIONS
def test_a_full_last_page_has_no_token(client, state, path):
    state.add([many(40, path)])

    assert [len(page) for page in client.pages(path, limit=20)] == [20, 20]


@pytest.mark.parametrize(("path", "size"), [(FC_2016, 50), (FC_2021, 50), (FC_2023, 20)])
def test_the_default_page_size_is_the_generation_s(client, state, path, size):
    state.add([many(60, path)])

    assert len(client("GET", path).ids) == size


@pytest.mark.parametrize(
    ("path", "body"),
    [(FC_2016, {"invocations": None}), (FC_2021, {"invocations": None}), (FC_2023, {"nextToken": ""})],
)
def test_no_match_is_no_list_at_all(client, path, body):
    found = client("GET", path, **{"invocationIdPrefix" if "invocations" in path else "prefix": "nothing-"})

    assert (found.status, found.body) == (200, body)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "ten"},
        {"limit": -1},
        {"limit": "1.5"},
        {"limit": "9" * 5000},
        {"startedTimeEnd": "9" * 20},
        {"status": "Done"},
        {"status": "running"},
        {"status": "Running,Enqueued"},
        {"sortOrderByTime": "up"},
        {"includePayload": "yes"},
        {"startedTimeBegin": "2026-01-01"},
        {"nextToken": "garbage"},
        {"nextToken": "+//+AAAA"},
    ],
)
@GENERATIONS
def test_a_bad_parameter_is_an_invalid_argument(client, state, path, query):
    state.add([scripted(path, id="job")])

    refused = client("GET", path, **query)

    assert (refused.status, refused.code) == (400, "InvalidArgument")


def test_empty_parameters_count_as_absent(client, state):
    state.add([scripted(id="job")])

    assert client("GET", FC_2023, status="", nextToken="", prefix="", limit="").ids == ["job"]


@GENERATIONS
def test_a_prefix_selects_ids_that_start_with_it(client, state, path):
    state.add([scripted(path, id=id) for id in ("run-1", "run-10", "run-2")])
    name = "prefix" if path == FC_2023 else "invocationIdPrefix"

    assert client("GET", path, sortOrderByTime="asc", **{name: "run-1"}).ids == ["run-1", "run-10"]


def test_a_generation_does_not_know_the_other_one_s_prefix_parameter(client, state):
    state.add([scripted(FC_2016, id="run-1"), scripted(FC_2016, id="run-2")])

    assert len(client("GET", FC_2016, prefix="run-1").ids) == 2


def test_a_status_selects_invocations_in_it(client, state):
    state.add([scripted(id="a", statuses=["Running"]), scripted(id="b", statuses=["Failed"])])

    assert client("GET", FC_2023, status="Failed").ids == ["b"]


def test_a_made_up_status_can_be_filtered_on_once_a_script_holds_it(client, state):
    assert client("GET", FC_2023, status="Hibernating").status == 400

    state.add([scripted(id="a", statuses=["Hibernating"])])

    assert client("GET", FC_2023, status="Hibernating").ids == ["a"]


@pytest.mark.parametrize(
    ("begin", "end", "ids"),
    [
        (1000, 3000, ["a", "b", "c"]),
        (1000, 2000, ["a", "b"]),
        (1001, 1999, []),
        (None, 2000, ["a", "b"]),
        (3000, None, ["c"]),
        (3001, None, []),
    ],
)
def test_a_start_window_holds_both_its_ends(client, state, begin, end, ids):
    state.add([scripted(id=id, statuses=["Running"], started_time=1000 * n) for n, id in enumerate("abc", start=1)])
    window = {"startedTimeBegin": begin, "startedTimeEnd": end}

    found = client("GET", FC_2023, sortOrderByTime="asc", **{k: v for k, v in window.items() if v is not None})

    assert found.ids == ids


def test_a_start_window_hides_what_has_not_started(client, state, clock):
    state.add([scripted(id="queued", statuses=["Enqueued"])])

    assert client("GET", FC_2023, startedTimeEnd=clock.ms + 1).ids == []


def test_queued_ones_sort_by_their_submission_and_have_no_start_time(client, state):
    state.add([scripted(id="older", statuses=["Enqueued"], submitted_seconds_ago=60)])
    state.add([scripted(id="newer", statuses=["Running"], submitted_seconds_ago=30)])

    found = client("GET", FC_2023, sortOrderByTime="asc")

    assert found.ids == ["older", "newer"]
    assert [item["startedTime"] > 0 for item in found.body["tasks"]] == [False, True]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (FC_2016.replace("media", "media.prod"), {}),
        (FC_2021, {"qualifier": "prod"}),
        (FC_2023, {"qualifier": "prod"}),
    ],
)
def test_a_qualifier_selects_its_invocations(client, state, path, query):
    where = FC_2016 if "services" in path else FC_2023
    state.add([scripted(where, id="a", qualifier="prod"), scripted(where, id="b")])

    assert client("GET", path, **query).ids == ["a"]


@GENERATIONS
def test_without_a_qualifier_all_are_listed(client, state, path):
    state.add([scripted(path, id="a", qualifier="prod"), scripted(path, id="b")])

    assert len(client("GET", path).ids) == 2


def test_services_and_generations_do_not_mix(client, state):
    state.add([scripted(FC_2016, id="fc2"), scripted(FC_2023, id="fc3")])
    state.add([{"function": "resize", "service": "other", "id": "other"}])

    assert [client("GET", path).ids for path in (FC_2016, FC_2021, FC_2023)] == [["fc2"], ["fc2"], ["fc3"]]


@GENERATIONS
def test_every_token_holds_characters_a_client_must_encode(client, state, path):
    state.add([many(3, path)])

    token = client("GET", path, limit=1).body["nextToken"]

    assert {"+", "/", "="} <= set(token)


@pytest.mark.parametrize("other", [{"status": "Running"}, {"prefix": "job-0"}, {"sortOrderByTime": "asc"}])
def test_a_token_is_bound_to_its_query(client, state, other):
    state.add([many(3)])
    token = client("GET", FC_2023, limit=1).body["nextToken"]

    assert client("GET", FC_2023, limit=1, nextToken=token, **other).code == "InvalidArgument"


def test_a_listing_stays_complete_while_its_place_is_stable(client, state):
    state.add([many(4)])
    first = client("GET", FC_2023, limit=2, sortOrderByTime="asc")
    state.add([scripted(id="before", submitted_seconds_ago=100)])

    second = client("GET", FC_2023, limit=2, sortOrderByTime="asc", nextToken=first.body["nextToken"])

    assert second.ids == ["job-002", "job-003"]


def test_offset_tokens_shift_with_the_listing(client, state):
    state.set_switches(offset_tokens=True)
    state.add([many(4)])
    first = client("GET", FC_2023, limit=2, sortOrderByTime="asc")
    state.add([scripted(id="before", submitted_seconds_ago=100)])

    second = client("GET", FC_2023, limit=2, sortOrderByTime="asc", nextToken=first.body["nextToken"])

    assert second.ids == ["job-001", "job-002"]


@pytest.mark.parametrize(("text", "shown"), [("true", True), ("True", True), ("false", False), ("False", False)])
def test_include_payload_understands_both_spellings(client, state, text, shown):
    state.add([scripted(id="job", payload="in")])

    (item,) = client("GET", FC_2023, includePayload=text).body["tasks"]

    assert ("taskPayload" in item) is shown


ITEM_2016 = {
    "functionName": "resize",
    "serviceName": "media",
    "qualifier": "LATEST",
    "invocationId": "job",
    "status": "Failed",
    "startedTime": 1_700_000_000_000,
    "endTime": 1_700_000_007_000,
    "destinationStatus": "",
    "invocationErrorMessage": "boom",
    "alreadyRetriedTimes": 1,
}
ITEM_2021 = ITEM_2016 | {"durationMs": 7000}
ITEM_2023 = {
    "functionArn": "acs:fc:cn-hangzhou:123456789:functions/resize",
    "qualifier": "LATEST",
    "taskId": "job",
    "status": "Failed",
    "startedTime": 1_700_000_000_000,
    "endTime": 1_700_000_007_000,
    "destinationStatus": "",
    "taskErrorMessage": "boom",
    "alreadyRetriedTimes": 1,
    "durationMs": 7000,
}


@pytest.mark.parametrize(("path", "expected"), [(FC_2016, ITEM_2016), (FC_2021, ITEM_2021), (FC_2023, ITEM_2023)])
def test_an_item_has_its_generation_s_fields(client, state, clock, path, expected):
    timeline = [[0, "Running"], [3, "Retrying"], [4, "Running"], [7, "Failed"]]
    state.add([scripted(path, id="job", timeline=timeline, error_message="boom")])
    clock.seconds += 10

    (item,) = client("GET", path).body["invocations" if path != FC_2023 else "tasks"]
    events = item.pop("events")
    request = f"RequestId: {item['requestId']}"
    assert item.pop("instanceId") == f"c-{item.pop('requestId')}"
    assert item == expected
    assert [event["status"] for event in events] == ["Running", "Retrying", "Running", "Failed"]
    assert events[3] == {
        "eventId": 4,
        "status": "Failed",
        "timestamp": 1_700_000_007_000,
        "eventDetail": msgspec.json.encode(
            {"Error": "boom", "logTail": f"FC Invoke Start {request}\nboom\nFC Invoke End {request}\n"}
        ).decode(),
    }


@GENERATIONS
def test_a_get_shows_the_payload_and_an_unfinished_one_has_no_end(client, state, path):
    state.add([scripted(path, id="job", statuses=["Running"], payload="in")])

    item = client("GET", f"{path}/job").body

    assert item.get("invocationPayload", item.get("taskPayload")) == "in"
    assert item["endTime"] == 0


@pytest.mark.parametrize("path", [FC_2021, FC_2023])
def test_a_get_shows_what_a_success_returned(client, state, path):
    state.add([scripted(path, id="job", statuses=["Succeeded"], return_payload="out")])

    assert client("GET", f"{path}/job").body["returnPayload"] == "out"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (FC_2016, "StatefulAsyncInvocationNotFound"),
        (FC_2021, "StatefulAsyncInvocationNotFound"),
        (FC_2023, "AsyncTaskNotFound"),
    ],
)
@pytest.mark.parametrize(("method", "tail"), [("GET", "/none"), ("PUT", "/none")])
def test_an_unknown_id_is_not_found(client, path, code, method, tail):
    tail += "/stop" if (method, path) == ("PUT", FC_2023) else ""

    refused = client(method, path + tail)

    assert (refused.status, refused.code) == (404, code)


def test_an_id_of_another_qualifier_is_not_found(client, state):
    state.add([scripted(id="job", qualifier="prod")])

    assert client("GET", f"{FC_2023}/job", qualifier="test").status == 404
    assert client("GET", f"{FC_2023}/job", qualifier="prod").status == 200


def test_an_invocation_takes_less_than_650_bytes(state):
    """100,000 of them have to fit into a process of 150 MB, together with the server."""
    state.add([{"function": "resize", "id": "before", "statuses": ["Running"]}])
    tracemalloc.start()
    try:
        state.add([{"function": "resize", "id_template": "job-{index}", "count": 2000, "statuses": ["Running"]}])
        state.list_page(Query(service="", function="resize", order="asc"), limit=1)
        gc.collect()  # also of what Python keeps for its next tuples
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept / 2000 < 650
