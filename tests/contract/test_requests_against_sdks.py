"""Our requests and our reading of answers, held against those of the official clients."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from alibabacloud_fc20230330 import models as fc_2023
from alibabacloud_fc20230330.client import Client as Client2023
from alibabacloud_fc_open20210406 import models as fc_2021
from alibabacloud_fc_open20210406.client import Client as Client2021
from alibabacloud_tea_openapi.models import Config
from alibabacloud_tea_util.models import RuntimeOptions

from airflow_provider_fc.core.api import FunctionRef, function_ref
from airflow_provider_fc.core.decoding import read_invocation
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.operations import GetInvocation, Invoke, ListInvocations, Operation, StopInvocation
from airflow_provider_fc.core.task_mode import GetTaskMode

MIDDLE = function_ref("resize", "media", "prod", api_version="2021-04-06")
NEW = function_ref("resize", qualifier="prod")
RUNTIME = RuntimeOptions()
FILTERS = {
    "status": "Failed",
    "started_time_begin": 1_600_000_000_001,
    "started_time_end": 1_600_000_000_002,
    "sort_order_by_time": "asc",
    "include_payload": True,
    "limit": 50,
    "next_token": "MTIz/NCNh+YmM=",
    "qualifier": "prod",
}


class Stop(Exception):
    """Ends an SDK's call before anything is sent."""


def asked_by(client_class: type, method: str, *arguments: Any) -> dict[str, Any]:
    """What an SDK would have sent."""
    captured: dict[str, Any] = {}

    def call_api(params: Any, request: Any, runtime: Any) -> None:
        captured.update(
            line=(params.method, params.pathname),
            names=(params.action, params.version),
            query={name: str(value) for name, value in (request.query or {}).items()},
            headers={name.lower(): str(value) for name, value in (request.headers or {}).items()},
        )
        raise Stop

    client = client_class(Config(access_key_id="id", access_key_secret="secret", endpoint="fc.test"))
    client.call_api = call_api
    with pytest.raises(Stop):
        getattr(client, f"{method}_with_options")(*arguments, RUNTIME)
    return captured


def listing(function: FunctionRef) -> ListInvocations:
    return ListInvocations(
        function,
        prefix="job-",
        statuses=("Failed",),
        started_after=1_600_000_000_002,  # a millisecond more is asked for on either side
        started_before=1_600_000_000_001,
        order="asc",
        include_payload=True,
        page_size=50,
        token="MTIz/NCNh+YmM=",
    )


CALLS: dict[str, tuple[Operation[Any], tuple[Any, ...]]] = {
    "list 2021": (
        listing(MIDDLE),
        (
            Client2021,
            "list_stateful_async_invocations",
            "media",
            "resize",
            fc_2021.ListStatefulAsyncInvocationsRequest(invocation_id_prefix="job-", **FILTERS),
            fc_2021.ListStatefulAsyncInvocationsHeaders(),
        ),
    ),
    "get 2021": (
        GetInvocation(MIDDLE, "job-1"),
        (
            Client2021,
            "get_stateful_async_invocation",
            "media",
            "resize",
            "job-1",
            fc_2021.GetStatefulAsyncInvocationRequest(qualifier="prod"),
            fc_2021.GetStatefulAsyncInvocationHeaders(),
        ),
    ),
    "stop 2021": (
        StopInvocation(MIDDLE, "job-1"),
        (
            Client2021,
            "stop_stateful_async_invocation",
            "media",
            "resize",
            "job-1",
            fc_2021.StopStatefulAsyncInvocationRequest(qualifier="prod"),
            fc_2021.StopStatefulAsyncInvocationHeaders(),
        ),
    ),
    "invoke 2021": (
        Invoke(MIDDLE, b"{}", "job-1"),
        (
            Client2021,
            "invoke_function",
            "media",
            "resize",
            fc_2021.InvokeFunctionRequest(qualifier="prod", body=b"{}"),
            fc_2021.InvokeFunctionHeaders(
                x_fc_invocation_type="Async",
                x_fc_stateful_async_invocation_id="job-1",
                x_fc_stateful_async_invocation_enable="true",
            ),
        ),
    ),
    "config 2021": (
        GetTaskMode(MIDDLE),
        (
            Client2021,
            "get_function_async_invoke_config",
            "media",
            "resize",
            fc_2021.GetFunctionAsyncInvokeConfigRequest(qualifier="prod"),
            fc_2021.GetFunctionAsyncInvokeConfigHeaders(),
        ),
    ),
    "config 2023": (
        GetTaskMode(NEW),
        (Client2023, "get_async_invoke_config", "resize", fc_2023.GetAsyncInvokeConfigRequest(qualifier="prod"), {}),
    ),
    "list 2023": (
        listing(NEW),
        (Client2023, "list_async_tasks", "resize", fc_2023.ListAsyncTasksRequest(prefix="job-", **FILTERS), {}),
    ),
    "get 2023": (
        GetInvocation(NEW, "job-1"),
        (Client2023, "get_async_task", "resize", "job-1", fc_2023.GetAsyncTaskRequest(qualifier="prod"), {}),
    ),
    "get 2023 of a function that came from FC 2.0": (
        GetInvocation(function_ref("media$thumbnail"), "job-1"),
        (Client2023, "get_async_task", "media$thumbnail", "job-1", fc_2023.GetAsyncTaskRequest(), {}),
    ),
    "stop 2023": (
        StopInvocation(NEW, "job-1"),
        (Client2023, "stop_async_task", "resize", "job-1", fc_2023.StopAsyncTaskRequest(qualifier="prod"), {}),
    ),
    "invoke 2023": (
        Invoke(NEW, b"{}", "job-1"),
        (
            Client2023,
            "invoke_function",
            "resize",
            fc_2023.InvokeFunctionRequest(qualifier="prod", body=b"{}"),
            fc_2023.InvokeFunctionHeaders(x_fc_invocation_type="Async", x_fc_async_task_id="job-1"),
        ),
    ),
}


@pytest.mark.parametrize(("operation", "arguments"), CALLS.values(), ids=CALLS)
def test_we_ask_what_the_official_client_asks(operation: Operation[Any], arguments: tuple[Any, ...]) -> None:
    theirs = asked_by(*arguments)

    ours = operation.request("https://fc.test")

    api = operation.function.api
    assert (ours.method, ours.target.partition("?")[0]) == theirs["line"]
    assert (api.actions[operation.kind], api.version) == theirs["names"]
    # Their "True" is our "true".
    assert {name: value.replace("true", "True") for name, value in ours.query.items()} == theirs["query"]
    assert theirs["headers"].items() <= ours.headers.items()


# Every field of the official models, filled with something that can be told apart.


def full_2021() -> dict[str, Any]:
    event = fc_2021.StatefulAsyncInvocationEvent(
        event_id=1, status="Running", timestamp=1_600_000_000_003, event_detail="detail"
    )
    item = fc_2021.StatefulAsyncInvocation(
        already_retried_times=2,
        destination_status="Succeeded",
        duration_ms=700,
        end_time=1_600_000_000_005,
        events=[event],
        function_name="resize",
        instance_id="c-1",
        invocation_error_message="boom",
        invocation_id="job-1",
        invocation_payload="in",
        qualifier="prod",
        request_id="request-1",
        return_payload="out",
        service_name="media",
        started_time=1_600_000_000_004,
        status="Failed",
    )
    filled: dict[str, Any] = item.to_map()
    return filled


def full_2023() -> dict[str, Any]:
    event = fc_2023.AsyncTaskEvent(event_id=1, status="Running", timestamp=1_600_000_000_003, event_detail="detail")
    item = fc_2023.AsyncTask(
        already_retried_times=2,
        destination_status="Succeeded",
        duration_ms=700,
        end_time=1_600_000_000_005,
        events=[event],
        function_arn="acs:fc:cn-hangzhou:123:functions/resize",
        instance_id="c-1",
        qualifier="prod",
        request_id="request-1",
        return_payload="out",
        started_time=1_600_000_000_004,
        status="Failed",
        task_error_message="boom",
        task_id="job-1",
        task_payload="in",
    )
    filled: dict[str, Any] = item.to_map()
    return filled


MODELS = {
    "2021": (full_2021, fc_2021.StatefulAsyncInvocation, "media"),
    "2023": (full_2023, fc_2023.AsyncTask, None),
}


@pytest.mark.parametrize(("full", "model", "service"), MODELS.values(), ids=MODELS)
def test_we_read_every_field_that_the_official_model_has(full: Any, model: type, service: str | None) -> None:
    wire = full()
    assert len(wire) == len(vars(model()))

    read = read_invocation((MIDDLE if service else NEW).api, msgspec.json.encode(wire))

    assert read.to_dict() == {
        **dict.fromkeys(Invocation.__struct_fields__),
        "invocation_id": "job-1",
        "status": "Failed",
        "function_name": "resize",
        "service_name": service,
        "qualifier": "prod",
        "request_id": "request-1",
        "started_time": 1_600_000_000_004,
        "end_time": 1_600_000_000_005,
        "duration_ms": 700,
        "destination_status": "Succeeded",
        "error_message": "boom",
        "already_retried_times": 2,
        "instance_id": "c-1",
        "payload": "in",
        "return_payload": "out",
        "events": [{"event_id": 1, "status": "Running", "timestamp": 1_600_000_000_003, "event_detail": "detail"}],
        "started_at": "2020-09-13T12:26:40.004Z",
        "ended_at": "2020-09-13T12:26:40.005Z",
        "is_terminal": True,
        "log_tail": None,
    }


@pytest.mark.parametrize(
    ("model", "operation"),
    [(fc_2021.ListStatefulAsyncInvocationsRequest, listing(MIDDLE)), (fc_2023.ListAsyncTasksRequest, listing(NEW))],
    ids=["2021", "2023"],
)
def test_we_can_ask_for_everything_that_the_official_client_can(model: type, operation: ListInvocations) -> None:
    names = {"invocation_id_prefix", "prefix", *FILTERS}

    assert set(vars(model())) <= names
    assert len(operation.request("https://fc.test").query) == len(vars(model()))


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("function", "model"),
    [
        (MIDDLE, lambda on: fc_2021.GetFunctionAsyncInvokeConfigResponseBody(stateful_invocation=on)),
        (NEW, lambda on: fc_2023.AsyncConfig(async_task=on)),
    ],
    ids=["2021", "2023"],
)
def test_the_task_mode_of_the_official_models_is_read(function: FunctionRef, model: Any, on: bool) -> None:
    body = msgspec.json.encode(model(on).to_map())

    assert GetTaskMode(function).read(HttpResponse(200, {}, body)) is on
