"""The button to the console: right for both generations, without any look-up."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running import TaskInstance

from airflow_provider_fc.core.console import advised_url, console_url
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.emulator.schema import Life
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

    found = console_url(settings, settings.function(**{"function_name": "resize", **function}))

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

    found = console_url(settings, settings.function("resize", **function))

    assert found == f"https://fc.console.alibabacloud.com/cn-hangzhou/{path}"


@pytest.mark.parametrize(
    ("fields", "advised"),
    [
        ({"region_id": "cn-hangzhou"}, True),
        ({"endpoint": "https://fcv3.cn-hangzhou.aliyuncs.com"}, True),
        ({"endpoint": "https://42.cn-hangzhou-internal.fc.aliyuncs.com", "region_id": "cn-hangzhou"}, True),
        ({"endpoint": "http://127.0.0.1:9000", "region_id": "cn-hangzhou"}, False),
        ({"endpoint": "http://emulator:9000", "region_id": "cn-hangzhou"}, False),
        ({"endpoint": "https://fcv3.cn-hangzhou.aliyuncs.com.example.invalid", "region_id": "cn-hangzhou"}, False),
    ],
    ids=str,
)
def test_nobody_is_sent_to_the_console_for_what_runs_elsewhere(fields: dict[str, str], advised: bool) -> None:
    settings = Settings("fc_default", Auth(), **fields)
    function = settings.function("resize")

    assert console_url(settings, function)
    assert advised_url(settings, function) == (console_url(settings, function) if advised else "")


ADDRESS = "https://fcnext.console.aliyun.com/cn-hangzhou/functions/resize"

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

    assert ti.xcoms[XCOM_KEY] == ADDRESS
    assert [type(link) for link in operator.operator_extra_links] == [FunctionComputeConsoleLink]


BROKEN = {
    FunctionComputeInvocationsSensor: {"invocation_id_prefix": "job-", "on_empty": "perhaps"},
    FunctionComputeListInvocationsOperator: {"order": "upwards"},
    FunctionComputeInvokeOperator: {"timeout": "soon"},
    FunctionComputeStopInvocationsOperator: {"timeout": "soon"},
}


@pytest.mark.parametrize(("operator", "parameters"), BROKEN.items())
def test_a_task_that_fails_before_it_asks_anything_has_the_button_too(
    connection: Callable[..., str], operator: Any, parameters: dict[str, Any]
) -> None:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        ti = TaskInstance()

        with pytest.raises((ParameterError, ValueError)):
            operator(task_id="task", function_name="resize", **parameters).execute({"ti": ti})

    assert ti.xcoms[XCOM_KEY] == ADDRESS


# In a process of its own, because Airflow takes the XCom backend from its environment when it is imported.
SCRIPT = """
import json, pendulum, sys
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_fc._compat import AIRFLOW_2
from airflow_provider_fc.links import FunctionComputeConsoleLink
from airflow_provider_fc.operators import FunctionComputeInvokeOperator, FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("buttons", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
    common = {"function_name": "resize", "poll_interval": 1}
    FunctionComputeInvokeOperator(task_id="blocking", **common)
    FunctionComputeInvokeOperator(task_id="deferred", deferrable=True, **common)
    FunctionComputeInvokeOperator.partial(task_id="mapped", wait_for_completion=False, **common).expand(payload=[1, 2])
    FunctionComputeInvokeOperator.partial(task_id="unrendered_mapped", **common).expand(payload=["{{ 1 / 0 }}"])
    FunctionComputeListInvocationsOperator(task_id="unrendered", function_name="{{ 1 / 0 }}")
    FunctionComputeListInvocationsOperator(task_id="unconnected", function_name="resize", fc_conn_id="nowhere")
    FunctionComputeInvocationsSensor(
        task_id="refused", function_name="resize", invocation_id_prefix="{{ '' }}", mode="reschedule", poke_interval=1
    )
dag.fileloc = __file__


def link(ti):
    '''Ask as Airflow's web server does.'''
    if AIRFLOW_2:
        return FunctionComputeConsoleLink().get_link(None, ti_key=ti.key)
    try:
        from airflow.serialization.definitions.operatorlink import XComOperatorLink
    except ImportError:  # before Airflow 3.2
        from airflow.serialization.serialized_objects import XComOperatorLink
    button = FunctionComputeConsoleLink
    return XComOperatorLink(name=button.name, xcom_key=button.xcom_key).get_link(None, ti_key=ti.key)


if __name__ == "__main__":
    found = {f"{ti.task_id}{ti.map_index}": [str(ti.state), link(ti)] for ti in dag.test().get_task_instances()}
    with open(sys.argv[1], "w") as file:
        json.dump(found, file)
"""


def while_running(process: subprocess.Popen[str]) -> set[str]:
    """Read what the database holds for the button of the blocking task until the task has ended."""
    database = Path(os.environ["AIRFLOW_HOME"], "airflow.db")
    seen = set()
    while process.poll() is None:
        with closing(sqlite3.connect(database, timeout=30)) as connected:
            states = connected.execute("SELECT state FROM task_instance WHERE task_id = 'blocking'").fetchall()
            rows = connected.execute("SELECT value FROM xcom WHERE task_id = 'blocking' AND key = ?", [XCOM_KEY])
            seen.update(json.loads(value) for [value] in rows)
        if states == [("success",)]:
            break
        time.sleep(0.2)
    return seen


@pytest.mark.parametrize("backend", ["BaseXCom", "XComObjectStorageBackend"])
def test_the_button_works_in_every_state_and_leaves_no_error_in_any_log(
    tmp_path: Path, connection: Callable[..., str], dags_folder: Path, metadata_db: None, backend: str
) -> None:
    pytest.importorskip("airflow.providers.common.io")
    file, result, storage = dags_folder / "buttons.py", tmp_path / "result.json", tmp_path / "storage"
    file.write_text(SCRIPT, encoding="utf-8")
    storage.mkdir()
    environment = {
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": storage.as_uri(),
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
    }
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        emulator.state.catalogue.lives["resize"] = Life(timeline=[[0, "Running"], [3, "Succeeded"]])

        with (
            (tmp_path / "log").open("w") as log,
            subprocess.Popen(
                ["timeout", "120", sys.executable, str(file), str(result)],
                env={**os.environ, **(environment if backend != "BaseXCom" else {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
        ):
            seen = while_running(process)

    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert process.returncode == 0, said
    assert seen == {ADDRESS}
    assert json.loads(result.read_text(encoding="utf-8")) == {
        "blocking-1": ["success", ADDRESS],
        "deferred-1": ["success", ADDRESS],
        "mapped0": ["success", ADDRESS],
        "mapped1": ["success", ADDRESS],
        "refused-1": ["failed", ADDRESS],
        "unconnected-1": ["failed", ""],
        "unrendered-1": ["failed", ""],
        "unrendered_mapped0": ["failed", ""],
    }
    assert "XCom not found" not in said
    assert "fc_console_url" not in "".join(path.read_text() for path in storage.rglob("*.json"))
