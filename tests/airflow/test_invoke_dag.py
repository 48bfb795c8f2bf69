"""The invoke operator in Airflow's own DAG run: the numbers of tries that it relies on are Airflow's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

pytestmark = pytest.mark.usefixtures("metadata_db")

DAG_FILE = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_fc.operators import FunctionComputeInvokeOperator

with DAG("invoking", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
    FunctionComputeInvokeOperator(task_id="derived", function_name="resize", poll_interval=1)
    FunctionComputeInvokeOperator(
        task_id="in_use", function_name="resize", invocation_id="nightly", retries=1, retry_delay=pendulum.duration()
    )
"""


@pytest.fixture
def emulator(connection: Callable[..., str]) -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def test_a_first_try_starts_its_own_invocation_and_leaves_a_stranger_s_alone(
    emulator: FunctionComputeEmulator, dags_folder: Path
) -> None:
    emulator.add_invocations([{"function": "resize", "id": "nightly", "statuses": ["Succeeded"]}])
    file = dags_folder / "invoking.py"
    file.write_text(DAG_FILE, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "invoking", "__file__": str(file)}
    exec(compile(DAG_FILE, str(file), "exec"), namespace)
    dag = namespace["dag"]
    dag.fileloc = str(file)

    states = {ti.task_id: str(ti.state) for ti in dag.test().get_task_instances()}

    assert states == {"derived": "success", "in_use": "failed"}
    assert sorted(record.status for record in emulator.requests if record.operation == "Invoke") == [202, 409]
