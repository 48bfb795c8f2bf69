"""The button to the console: right for both generations, without any look-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from running import TaskInstance

from airflow_provider_fc.core.calls import function_of
from airflow_provider_fc.core.console import console_url
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.links import XCOM_KEY, FunctionComputeConsoleLink
from airflow_provider_fc.operators import (
    FunctionComputeInvokeOperator,
    FunctionComputeListInvocationsOperator,
    FunctionComputeStopInvocationsOperator,
)
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

ADDRESSES = {
    "FC 3.0": ({"region_id": "cn-hangzhou"}, {}, "cn-hangzhou/functions/resize"),
    "FC 2.0": (
        {"region_id": "cn-beijing"},
        {"service_name": "media", "qualifier": "prod"},
        "cn-beijing/services/media/function-detail/resize/prod",
    ),
    "FC 2.0 without qualifier": (
        {"region_id": "cn-beijing"},
        {"service_name": "media"},
        "cn-beijing/services/media/function-detail/resize/LATEST",
    ),
    "region in the endpoint": (
        {"endpoint": "https://42.eu-central-1-internal.fc.aliyuncs.com"},
        {},
        "eu-central-1/functions/resize",
    ),
    "region in the new endpoint": (
        {"endpoint": "https://fcv3.ap-southeast-1.aliyuncs.com"},
        {},
        "ap-southeast-1/functions/resize",
    ),
    "a function that came from FC 2.0": (
        {"region_id": "cn-hangzhou"},
        {"function_name": "media$thumbnail"},
        "cn-hangzhou/functions/media%24thumbnail",
    ),
    "no region": ({"endpoint": "http://127.0.0.1:9000"}, {}, None),
}


@pytest.mark.parametrize(("fields", "function", "path"), ADDRESSES.values(), ids=ADDRESSES)
def test_the_address(fields: dict[str, str], function: dict[str, str], path: str | None) -> None:
    settings = Settings("fc_default", Auth(), **fields)

    found = console_url(settings, function_of(settings, **{"function_name": "resize", **function}))

    assert found == (f"https://fcnext.console.aliyun.com/{path}" if path else "")


@pytest.mark.parametrize(
    ("function", "path"),
    [
        ({}, "functions/resize"),
        ({"service_name": "media", "qualifier": "prod"}, "services/media/function-detail/resize/prod"),
    ],
    ids=["FC 3.0", "FC 2.0"],
)
def test_the_account_of_the_international_site_has_its_own_console(function: dict[str, str], path: str) -> None:
    settings = Settings.from_connection(
        "fc", login="id", password="s", extra={"region_id": "cn-hangzhou", "console": "international"}
    )

    found = console_url(settings, function_of(settings, "resize", **function))

    assert found == f"https://fc.console.alibabacloud.com/cn-hangzhou/{path}"


OPERATORS = {
    FunctionComputeInvocationsSensor: {"invocation_id_prefix": "job-", "settle_seconds": 0},
    FunctionComputeListInvocationsOperator: {},
    FunctionComputeInvokeOperator: {"wait_for_completion": False},
    FunctionComputeStopInvocationsOperator: {"invocation_id_prefix": "job-"},
}


@pytest.mark.parametrize(("operator", "parameters"), OPERATORS.items())
def test_every_operator_pushes_the_address_and_has_the_button(
    connection: Callable[..., str], operator: Any, parameters: dict[str, Any]
) -> None:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Succeeded"]}])
        ti = TaskInstance()

        operator(task_id="task", function_name="resize", **parameters).execute({"ti": ti})

    assert ti.xcoms[XCOM_KEY] == "https://fcnext.console.aliyun.com/cn-hangzhou/functions/resize"
    assert [type(link) for link in operator.operator_extra_links] == [FunctionComputeConsoleLink]


@pytest.mark.parametrize(("pushed", "link"), [("https://console", "https://console"), (None, "")])
def test_the_button_shows_what_was_pushed_or_nothing(
    monkeypatch: pytest.MonkeyPatch, pushed: str | None, link: str
) -> None:
    from airflow_provider_fc import links

    asked: list[dict[str, Any]] = []

    class Stored:
        @staticmethod
        def get_value(**kwargs: Any) -> str | None:
            asked.append(kwargs)
            return pushed

    monkeypatch.setattr(links, "XCom", Stored)

    assert FunctionComputeConsoleLink().get_link(None, ti_key="ti-key") == link
    assert asked == [{"key": XCOM_KEY, "ti_key": "ti-key"}]
