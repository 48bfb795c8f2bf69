"""Invoking, stopping, and functions that do not exist."""

from __future__ import annotations

import pytest

from airflow_provider_fc.emulator.app import FunctionComputeApp
from airflow_provider_fc.emulator.state import FunctionComputeState

FC_2016 = "/2016-08-15/services/media/functions/resize"
FC_2021 = "/2021-04-06/services/media/functions/resize"
FC_2023 = "/2023-03-30/functions/resize"
LISTS = {
    FC_2016: f"{FC_2016}/stateful-async-invocations",
    FC_2021: f"{FC_2021}/stateful-async-invocations",
    FC_2023: f"{FC_2023}/async-tasks",
}
ID_HEADERS = {
    FC_2016: "x-fc-stateful-async-invocation-id",
    FC_2021: "x-fc-stateful-async-invocation-id",
    FC_2023: "x-fc-async-task-id",
}
GENERATIONS = pytest.mark.parametrize("path", [FC_2016, FC_2021, FC_2023])
ASYNC = {"x-fc-invocation-type": "Async"}


def invoke(client, path=FC_2023, id=None, body=b"", **headers):
    sent = ASYNC | ({ID_HEADERS[path]: id} if id else {}) | headers
    return client("POST", f"{path}/invocations", body=body, headers=sent)


def stop(client, path=FC_2023, id="job"):
    return client("PUT", f"{LISTS[path]}/{id}" + ("/stop" if path == FC_2023 else ""))


@GENERATIONS
def test_an_invocation_is_accepted_under_the_id_it_came_with(client, path):
    accepted = invoke(client, path, "job", b"event")

    assert (accepted.status, accepted.headers[ID_HEADERS[path]], accepted.body) == (202, "job", None)
    item = client("GET", f"{LISTS[path]}/job").body
    assert item["status"] == "Enqueued"
    assert item["requestId"] == accepted.headers["x-fc-request-id"]
    assert item.get("invocationPayload", item.get("taskPayload")) == "event"


@GENERATIONS
def test_without_an_id_the_request_id_becomes_it(client, path):
    accepted = invoke(client, path)

    assert accepted.headers[ID_HEADERS[path]] == accepted.headers["x-fc-request-id"]
    assert client("GET", LISTS[path]).ids == [accepted.headers["x-fc-request-id"]]


@pytest.mark.parametrize("id", ["1job", "-job", "a b", "a.b", "a/b", "ä", "x" * 129])
def test_an_illegal_id_is_refused(client, id):
    refused = invoke(client, id=id)

    assert (refused.status, refused.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("id", ["a", "_", "A-b_9", "x" * 128])
def test_a_legal_id_is_accepted(client, id):
    assert invoke(client, id=id).status == 202


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (FC_2016, "StatefulAsyncInvocationAlreadyExists"),
        (FC_2021, "StatefulAsyncInvocationAlreadyExists"),
        (FC_2023, "AsyncTaskAlreadyExists"),
    ],
)
def test_an_id_can_be_used_once(client, path, code):
    invoke(client, path, "job")

    refused = invoke(client, path, "job")

    assert (refused.status, refused.code) == (409, code)


@pytest.mark.parametrize(("size", "status"), [(128 * 1024, 202), (128 * 1024 + 1, 400)])
def test_the_payload_has_a_limit(client, size, status):
    answer = invoke(client, body=b"x" * size)

    assert answer.status == status
    assert answer.body is None or answer.code == "EntityTooLarge"


@pytest.mark.parametrize("headers", [{}, {"x-fc-invocation-type": "Sync"}])
def test_only_asynchronous_invocations_exist(client, headers):
    refused = client("POST", f"{FC_2023}/invocations", headers=headers)

    assert (refused.status, refused.code) == (400, "InvalidArgument")
    assert "Async" in refused.body["Message"]


@pytest.mark.parametrize(
    ("delay", "status"),
    [("0", 202), ("3600", 202), ("3601", 400), ("-1", 400), ("soon", 400), ("9" * 5000, 400)],
)
def test_a_delay_is_up_to_an_hour(client, delay, status):
    assert invoke(client, **{"x-fc-async-delay": delay}).status == status


def test_an_invocation_belongs_to_the_qualifier_it_was_sent_to(client):
    client("POST", f"{FC_2023}/invocations", headers=ASYNC, qualifier="prod")
    client("POST", FC_2016.replace("media", "media.prod") + "/invocations", headers=ASYNC)
    invoke(client)

    listed = [client("GET", LISTS[FC_2023]).body["tasks"], client("GET", LISTS[FC_2016]).body["invocations"]]
    assert [sorted(item["qualifier"] for item in items) for items in listed] == [["LATEST", "prod"], ["prod"]]


@pytest.mark.parametrize(("path", "status"), [(FC_2016, 200), (FC_2021, 200), (FC_2023, 204)])
def test_stopping_a_queued_one_ends_it_at_once(client, path, status):
    invoke(client, path, "job")

    stopped = stop(client, path)

    assert (stopped.status, stopped.body) == (status, None)
    assert client("GET", LISTS[path]).statuses == {"job": "Stopped"}


def test_stopping_a_running_life_by_responses_shows_stopping_once(client, state):
    state.add([{"function": "resize", "id": "job", "statuses": ["Running"]}])

    stop(client)

    assert [client("GET", LISTS[FC_2023]).statuses["job"] for _ in range(3)] == ["Stopping", "Stopped", "Stopped"]


def test_stopping_a_running_life_by_time_shows_stopping_for_a_second(client, state, clock):
    state.add([{"function": "resize", "id": "job", "timeline": [[0, "Running"], [9, "Succeeded"]]}])
    stop(client)
    seen = []
    for _ in range(3):
        seen.append(client("GET", LISTS[FC_2023]).statuses["job"])
        clock.seconds += 1

    assert seen == ["Stopping", "Stopped", "Stopped"]


def test_stopping_what_is_stopping_already_is_fine(client, state):
    state.add([{"function": "resize", "id": "job", "statuses": ["Running"]}])

    assert [stop(client).status, stop(client).status] == [204, 204]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (FC_2016, "StatefulAsyncInvocationAlreadyCompleted"),
        (FC_2021, "StatefulAsyncInvocationAlreadyCompleted"),
        (FC_2023, "AsyncTaskAlreadyCompleted"),
    ],
)
@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Stopped", "Expired", "Invalid"])
def test_what_has_ended_cannot_be_stopped(client, state, path, code, status):
    service = {} if path == FC_2023 else {"service": "media"}
    state.add([{"function": "resize", **service, "id": "job", "statuses": [status]}])

    refused = stop(client, path)

    assert (refused.status, refused.code) == (412, code)


def test_a_function_can_be_given_a_life_for_whatever_is_invoked_under_its_name(clock):
    lives = {"resize": {"statuses": ["Running", "Failed"], "error_message": "out of memory"}}
    state = FunctionComputeState(clock=clock, scripted_functions=lives)
    state.submit("", "resize", id="job")

    seen = [state.get("", "resize", "job") for _ in range(2)]

    assert [(one.status, one.error_message) for one in seen] == [("Running", ""), ("Failed", "out of memory")]


@GENERATIONS
def test_without_registered_functions_every_function_exists(client, path):
    assert client("GET", LISTS[path]).status == 200


@pytest.mark.parametrize("path", [FC_2016, FC_2021, FC_2023])
def test_with_registered_functions_another_one_is_not_found(client, clock, path):
    client.send = FunctionComputeApp(FunctionComputeState(clock=clock, scripted_functions={"thumb": {}})).handle

    for refused in (
        client("GET", LISTS[path]),
        client("GET", f"{LISTS[path]}/job"),
        invoke(client, path),
        client("GET", f"{path}/async-invoke-config"),
    ):
        assert (refused.status, refused.code) == (404, "FunctionNotFound")
    assert client("GET", LISTS[path].replace("resize", "thumb")).status == 200


def test_a_scripted_invocation_makes_its_function_exist(client, clock):
    state = FunctionComputeState(clock=clock, scripted_functions={"thumb": {}})
    client.send = FunctionComputeApp(state).handle
    state.add([{"function": "resize", "id": "job"}])

    assert client("GET", LISTS[FC_2023]).ids == ["job"]


@pytest.mark.parametrize("strict", [True, False])
def test_strictness_about_functions_can_be_chosen(client, clock, strict):
    client.send = FunctionComputeApp(FunctionComputeState(clock=clock, strict_functions=strict)).handle

    assert client("GET", LISTS[FC_2023]).status == (404 if strict else 200)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("PUT", f"{FC_2016}/async-invoke-config"),
        ("PUT", f"{FC_2023}/async-invoke-config"),
        ("DELETE", f"{FC_2023}/async-tasks/job"),
        ("PUT", f"{FC_2023}/async-tasks/job"),
        ("PUT", f"{FC_2021}/stateful-async-invocations/job/stop"),
        ("GET", "/2023-03-30/services/media/functions/resize/async-tasks"),
        ("GET", "/2024-01-01/functions/resize/async-tasks"),
    ],
)
def test_what_the_api_does_not_have_is_path_not_supported(client, method, path):
    refused = client(method, path)

    assert (refused.status, refused.code) == (404, "PathNotSupported")


# Functions that keep no records

CONFIG = {FC_2016: "statefulInvocation", FC_2021: "statefulInvocation", FC_2023: "asyncTask"}


@GENERATIONS
def test_a_function_is_in_task_mode_until_somebody_switches_that_off(client, path):
    config = client("GET", f"{path}/async-invoke-config")

    assert (config.status, config.body[CONFIG[path]]) == (200, True)


@GENERATIONS
def test_without_task_mode_nothing_of_an_invocation_can_be_seen_or_stopped(client, state, path):
    state.set_switches(task_mode_off=["resize"])

    assert [invoke(client, path, "job").status for _ in range(2)] == [202, 202]

    assert client("GET", LISTS[path]).ids == []
    assert client("GET", f"{LISTS[path]}/job").status == 404
    assert stop(client, path).status == 404


@GENERATIONS
def test_a_function_without_task_mode_has_no_configuration_or_one_that_says_so(client, state, path):
    state.set_switches(task_mode_off=["*"])
    absent = client("GET", f"{path}/async-invoke-config")
    state.set_switches(unconfigured=False)
    configured = client("GET", f"{path}/async-invoke-config")

    assert (absent.status, absent.code) == (404, "AsyncConfigNotExists")
    assert (configured.status, configured.body[CONFIG[path]]) == (200, False)


def test_the_header_of_2021_asks_for_a_record_whatever_the_configuration_says(client, state):
    state.set_switches(task_mode_off=["resize"])

    invoke(client, FC_2021, "job", **{"x-fc-stateful-async-invocation-enable": "true"})

    assert client("GET", LISTS[FC_2021]).ids == ["job"]


@GENERATIONS
def test_a_function_that_runs_synchronously_answers_200_and_leaves_no_record(client, state, path):
    state.set_switches(runs_synchronously=["resize"])

    answer = invoke(client, path, "job")

    assert (answer.status, ID_HEADERS[path] in answer.headers) == (200, False)
    assert answer.headers["x-fc-request-id"]
    assert client("GET", LISTS[path]).ids == []
