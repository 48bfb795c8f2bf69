"""The emulator as the official clients see it: they sign, send and read, and know nothing of our code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fc2
import pytest
from alibabacloud_fc20230330 import models as fc_2023
from alibabacloud_fc20230330.client import Client as Client2023
from alibabacloud_fc_open20210406 import models as fc_2021
from alibabacloud_fc_open20210406.client import Client as Client2021
from alibabacloud_tea_openapi.models import Config
from alibabacloud_tea_util.models import RuntimeOptions
from darabonba.runtime import RuntimeOptions as DaraRuntimeOptions

from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

FUNCTION, SERVICE = "resize", "media"


def config(emulator: FunctionComputeEmulator, secret: str, token: str | None) -> Config:
    return Config(
        access_key_id=ACCESS_KEY_ID,
        access_key_secret=secret,
        security_token=token,
        endpoint=emulator.endpoint.removeprefix("http://"),
        protocol="http",
    )


@dataclass
class Sdk:
    """What all generations can do, in one vocabulary."""

    client: Any
    asynchronous: bool = False

    def call(self, name: str, *arguments: Any) -> Any:
        if self.asynchronous:
            return asyncio.run(getattr(self.client, f"{name}_with_options_async")(*arguments))
        return getattr(self.client, f"{name}_with_options")(*arguments)


class Sdk2021(Sdk):
    service = SERVICE
    runtime = RuntimeOptions(autoretry=False)

    def list(self, *, prefix: str | None = None, **query: Any) -> tuple[list[dict[str, Any]], str]:
        request = fc_2021.ListStatefulAsyncInvocationsRequest(invocation_id_prefix=prefix, **query)
        headers = fc_2021.ListStatefulAsyncInvocationsHeaders()
        body = self.call(
            "list_stateful_async_invocations", SERVICE, FUNCTION, request, headers, self.runtime
        ).body.to_map()
        return body.get("invocations") or [], body.get("nextToken") or ""

    def get(self, key: str) -> dict[str, Any]:
        request, headers = fc_2021.GetStatefulAsyncInvocationRequest(), fc_2021.GetStatefulAsyncInvocationHeaders()
        answer = self.call("get_stateful_async_invocation", SERVICE, FUNCTION, key, request, headers, self.runtime)
        found: dict[str, Any] = answer.body.to_map()
        return found

    def task_mode(self) -> Any:
        request = fc_2021.GetFunctionAsyncInvokeConfigRequest()
        headers = fc_2021.GetFunctionAsyncInvokeConfigHeaders()
        answer = self.call("get_function_async_invoke_config", SERVICE, FUNCTION, request, headers, self.runtime)
        return answer.body.stateful_invocation

    def stop(self, key: str) -> int:
        request, headers = fc_2021.StopStatefulAsyncInvocationRequest(), fc_2021.StopStatefulAsyncInvocationHeaders()
        answer = self.call("stop_stateful_async_invocation", SERVICE, FUNCTION, key, request, headers, self.runtime)
        return int(answer.status_code)

    def invoke(self, key: str, payload: bytes) -> tuple[int, dict[str, str]]:
        request = fc_2021.InvokeFunctionRequest(body=payload)
        headers = fc_2021.InvokeFunctionHeaders(
            x_fc_invocation_type="Async",
            x_fc_stateful_async_invocation_id=key,
            x_fc_stateful_async_invocation_enable="true",
        )
        answer = self.call("invoke_function", SERVICE, FUNCTION, request, headers, self.runtime)
        return answer.status_code, answer.headers


class Sdk2023(Sdk):
    service = ""
    runtime = DaraRuntimeOptions(autoretry=False)

    def list(self, **query: Any) -> tuple[list[dict[str, Any]], str]:
        request = fc_2023.ListAsyncTasksRequest(**query)
        body = self.call("list_async_tasks", FUNCTION, request, {}, self.runtime).body.to_map()
        return body.get("tasks") or [], body.get("nextToken") or ""

    def get(self, key: str) -> dict[str, Any]:
        answer = self.call("get_async_task", FUNCTION, key, fc_2023.GetAsyncTaskRequest(), {}, self.runtime)
        found: dict[str, Any] = answer.body.to_map()
        return found

    def task_mode(self) -> Any:
        request = fc_2023.GetAsyncInvokeConfigRequest()
        return self.call("get_async_invoke_config", FUNCTION, request, {}, self.runtime).body.async_task

    def stop(self, key: str) -> int:
        answer = self.call("stop_async_task", FUNCTION, key, fc_2023.StopAsyncTaskRequest(), {}, self.runtime)
        return int(answer.status_code)

    def invoke(self, key: str, payload: bytes) -> tuple[int, dict[str, str]]:
        request = fc_2023.InvokeFunctionRequest(body=payload)
        headers = fc_2023.InvokeFunctionHeaders(x_fc_invocation_type="Async", x_fc_async_task_id=key)
        answer = self.call("invoke_function", FUNCTION, request, headers, self.runtime)
        return answer.status_code, answer.headers


class Sdk2016(Sdk):
    """aliyun-fc2 has no methods for asynchronous tasks; what signs and sends underneath does."""

    service = SERVICE
    path = f"/2016-08-15/services/{SERVICE}/functions/{FUNCTION}/stateful-async-invocations"

    def request(self, method: str, path: str, params: dict[str, str] | None = None) -> Any:
        headers = self.client._build_common_headers(method, path)
        return self.client._do_request(method, path, headers, params=params)

    def list(self, *, prefix: str | None = None, **query: Any) -> tuple[list[dict[str, Any]], str]:
        names = {
            "next_token": "nextToken",
            "sort_order_by_time": "sortOrderByTime",
            "include_payload": "includePayload",
            "started_time_begin": "startedTimeBegin",
            "started_time_end": "startedTimeEnd",
        }
        query["invocationIdPrefix"] = prefix
        params = {names.get(name, name): str(value) for name, value in query.items() if value is not None}
        body = self.request("GET", self.path, params).json()
        return body.get("invocations") or [], body.get("nextToken") or ""

    def get(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.request("GET", f"{self.path}/{key}").json()
        return found

    def task_mode(self) -> Any:
        return self.client.get_function_async_invoke_config(SERVICE, "LATEST", FUNCTION).data["statefulInvocation"]

    def stop(self, key: str) -> int:
        return int(self.request("PUT", f"{self.path}/{key}").status_code)

    def invoke(self, key: str, payload: bytes) -> tuple[int, dict[str, str]]:
        headers = {"x-fc-invocation-type": "Async", "x-fc-stateful-async-invocation-id": key}
        answer = self.client.invoke_function(SERVICE, FUNCTION, payload=payload, headers=headers)
        return 202, answer.headers


def sdk_2016(emulator: FunctionComputeEmulator, secret: str, token: str | None) -> Sdk2016:
    return Sdk2016(
        fc2.Client(
            endpoint=emulator.endpoint, accessKeyID=ACCESS_KEY_ID, accessKeySecret=secret, securityToken=token or ""
        )
    )


SDKS = {
    "fc2 (2016)": sdk_2016,
    "fc_open20210406": lambda *access: Sdk2021(Client2021(config(*access))),
    "fc_open20210406, async": lambda *access: Sdk2021(Client2021(config(*access)), asynchronous=True),
    "fc20230330": lambda *access: Sdk2023(Client2023(config(*access))),
    "fc20230330, async": lambda *access: Sdk2023(Client2023(config(*access)), asynchronous=True),
}


@pytest.fixture
def emulator() -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as running:
        yield running


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest, emulator: FunctionComputeEmulator) -> Any:
    return SDKS[request.param](emulator, ACCESS_KEY_SECRET, None)  # type: ignore[operator]


def add(emulator: FunctionComputeEmulator, sdk: Any, **script: Any) -> None:
    emulator.add_invocations([{"function": FUNCTION, "service": sdk.service, **script}])


def id_of(item: dict[str, Any]) -> str:
    return item.get("invocationId") or item["taskId"]


def list_all(sdk: Any, **query: Any) -> list[dict[str, Any]]:
    items, token = sdk.list(**query)
    while token:
        page, token = sdk.list(**query, next_token=token)
        items += page
    return items


def test_a_listing_of_several_pages_is_complete(emulator: FunctionComputeEmulator, sdk: Any) -> None:
    add(emulator, sdk, id_template="job-{index:03}", count=101, submitted_seconds_ago=600, submitted_seconds_apart=1)

    found = list_all(sdk, limit=50, sort_order_by_time="asc")

    assert [id_of(item) for item in found] == [f"job-{index:03}" for index in range(101)]
    assert len(emulator.requests) == 3


def test_every_filter_reaches_the_server(emulator: FunctionComputeEmulator, sdk: Any) -> None:
    """Booleans arrive as True, spaces as +, and all of it is signed."""
    add(emulator, sdk, id="run-1-a", statuses=["Failed"], started_time=2_000, payload="hello", error_message="boom")
    add(emulator, sdk, id="run-1-b", statuses=["Succeeded"], started_time=2_000)
    add(emulator, sdk, id="run-1-c", statuses=["Failed"], started_time=9_000)
    add(emulator, sdk, id="run-2-a", statuses=["Failed"], started_time=2_000)

    found, token = sdk.list(
        prefix="run-1-",
        status="Failed",
        started_time_begin=1_000,
        started_time_end=3_000,
        sort_order_by_time="desc",
        include_payload=True,
        limit=100,
    )

    assert [id_of(item) for item in found] == ["run-1-a"]
    assert "hello" in found[0].values()
    assert "boom" in found[0].values()
    assert token == ""


def test_no_match_is_an_empty_listing(sdk: Any) -> None:
    assert sdk.list(prefix="nothing a+b/c=%") == ([], "")


def test_get_reads_every_field_into_the_sdk_s_model(emulator: FunctionComputeEmulator, sdk: Any) -> None:
    add(emulator, sdk, id="job-1", statuses=["Succeeded"], started_time=1_000, end_time=5_000, payload="in")

    found = sdk.get("job-1")

    assert (id_of(found), found["status"]) == ("job-1", "Succeeded")
    assert (found["startedTime"], found["endTime"]) == (1_000, 5_000)
    assert found["qualifier"] == "LATEST"
    assert found["requestId"]
    assert "in" in found.values()


def test_stop_ends_an_invocation(emulator: FunctionComputeEmulator, sdk: Any) -> None:
    add(emulator, sdk, id="job-1", statuses=["Enqueued"])

    assert sdk.stop("job-1") in (200, 204)
    assert sdk.get("job-1")["status"] == "Stopped"


def test_invoke_is_accepted_under_the_given_id(emulator: FunctionComputeEmulator, sdk: Any) -> None:
    status, headers = sdk.invoke("job-1", b'{"key": "value"}')

    assert status == 202
    assert sdk.get("job-1")["requestId"] == {name.lower(): value for name, value in headers.items()}["x-fc-request-id"]


def test_an_unknown_invocation_is_not_found(sdk: Any) -> None:
    with pytest.raises(Exception, match="NotFound"):
        sdk.get("job-1")


@pytest.mark.parametrize("make", SDKS.values(), ids=SDKS.keys())
def test_a_wrong_secret_is_refused(emulator: FunctionComputeEmulator, make: Any) -> None:
    with pytest.raises(Exception, match="Signature"):
        make(emulator, "wrong", None).get("job-1")

    assert [record.status for record in emulator.requests] == [403]


@pytest.mark.parametrize("make", SDKS.values(), ids=SDKS.keys())
def test_an_sts_token_is_signed_and_checked(make: Any) -> None:
    with FunctionComputeEmulator(security_token="CAIS+token/with=chars==") as emulator:
        sdk = make(emulator, ACCESS_KEY_SECRET, "CAIS+token/with=chars==")
        add(emulator, sdk, id="job-1")

        assert id_of(sdk.get("job-1")) == "job-1"
        with pytest.raises(Exception, match="InvalidSecurityToken"):
            make(emulator, ACCESS_KEY_SECRET, "CAIS+another").get("job-1")


@pytest.mark.parametrize("on", [True, False])
def test_the_task_mode_of_a_function_is_told(emulator: FunctionComputeEmulator, sdk: Any, on: bool) -> None:
    emulator.set_switches(task_mode_off=[] if on else [FUNCTION], unconfigured=False)

    assert sdk.task_mode() is on
