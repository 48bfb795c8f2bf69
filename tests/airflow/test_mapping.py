"""The list operator's output as input of mapped tasks, in Airflow's own DAG run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

pytestmark = pytest.mark.usefixtures("metadata_db")

DAG_FILE = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator

with DAG("mapping", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
    rows = FunctionComputeListInvocationsOperator(task_id="rows", function_name="resize")

    @task
    def use(row):
        return row["status"]

    use.expand(row=rows.output)
"""


@pytest.fixture
def emulator(connection: Callable[..., str]) -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def run_dag(folder: Path, count: int, emulator: FunctionComputeEmulator) -> dict[str, list[str]]:
    """Run the DAG over so many invocations; the states of each task's instances."""
    emulator.add_invocations([{"function": "resize", "id_template": "job-{index:05}", "count": count}])
    file = folder / "mapping.py"
    file.write_text(DAG_FILE, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "mapping", "__file__": str(file)}
    exec(compile(DAG_FILE, str(file), "exec"), namespace)
    dag = namespace["dag"]
    dag.fileloc = str(file)
    states: dict[str, list[str]] = {}
    # The mapped tasks are created, but marked as done instead of executed: that saves two minutes.
    for ti in dag.test(mark_success_pattern="use").get_task_instances():
        states.setdefault(ti.task_id, []).append(str(ti.state))
    return states


def test_a_thousand_rows_map_to_a_thousand_tasks(emulator: FunctionComputeEmulator, dags_folder: Path) -> None:
    states = run_dag(dags_folder, 1000, emulator)

    assert states["rows"] == ["success"]
    assert states["use"] == ["success"] * 1000


def test_a_thousand_and_one_rows_fail_before_they_are_mapped(
    emulator: FunctionComputeEmulator, dags_folder: Path
) -> None:
    states = run_dag(dags_folder, 1001, emulator)

    assert states["rows"] == ["failed"]
    assert states["use"] == ["upstream_failed"]
