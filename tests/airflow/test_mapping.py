"""Mapped tasks in Airflow's own DAG run: over the list operator's output, and over payloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.hooks import FunctionComputeHook

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


PAYLOADS = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_fc.operators import FunctionComputeInvokeOperator

with DAG("payloads", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:

    @task
    def one():
        return {"key": "cat.jpg"}

    @task
    def many():
        return ["cat.jpg", "dog.jpg"]

    def invoke(task_id, payload):
        common = {"function_name": "resize", "wait_for_completion": False}
        FunctionComputeInvokeOperator.partial(task_id=task_id, **common).expand(payload=payload)

    names = many()
    invoke("of_a_dict", {"key": "cat.jpg"})
    invoke("of_a_result", one())
    invoke("of_pairs", [("cat.jpg", 3)])
    invoke("of_results", names)
    invoke("of_zipped_results", names.zip(names))
"""


def run_dag(folder: Path, text: str = DAG_FILE) -> dict[str, list[str]]:
    """Run the DAG; the states of each task's instances."""
    file = folder / "mapping.py"
    file.write_text(text, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "mapping", "__file__": str(file)}
    exec(compile(text, str(file), "exec"), namespace)
    dag = namespace["dag"]
    dag.fileloc = str(file)
    states: dict[str, list[str]] = {}
    # The mapped tasks are created, but marked as done instead of executed: that saves two minutes.
    for ti in dag.test(mark_success_pattern="use").get_task_instances():
        states.setdefault(ti.task_id, []).append(str(ti.state))
    return states


def test_a_payload_is_no_pair_of_a_dict_that_was_meant_as_one_payload(
    emulator: FunctionComputeEmulator, dags_folder: Path
) -> None:
    states = run_dag(dags_folder, PAYLOADS)

    assert states == {
        "one": ["success"],
        "many": ["success"],
        "of_a_dict": ["failed"],
        "of_a_result": ["failed"],
        "of_pairs": ["success"],
        "of_results": ["success"] * 2,
        "of_zipped_results": ["success"] * 2,
    }
    assert [request.operation for request in emulator.requests] == ["Invoke"] * 5
    invoked = FunctionComputeHook().list_invocations("resize", include_payload=True)
    assert sorted(str(invocation.payload) for invocation in invoked) == [
        '["cat.jpg","cat.jpg"]',
        '["cat.jpg",3]',
        '["dog.jpg","dog.jpg"]',
        "cat.jpg",
        "dog.jpg",
    ]


def rows(count: int) -> list[dict[str, object]]:
    return [{"function": "resize", "id_template": "job-{index:05}", "count": count}]


def test_a_thousand_rows_map_to_a_thousand_tasks(emulator: FunctionComputeEmulator, dags_folder: Path) -> None:
    emulator.add_invocations(rows(1000))
    states = run_dag(dags_folder)

    assert states["rows"] == ["success"]
    assert states["use"] == ["success"] * 1000


def test_a_thousand_and_one_rows_fail_before_they_are_mapped(
    emulator: FunctionComputeEmulator, dags_folder: Path
) -> None:
    emulator.add_invocations(rows(1001))
    states = run_dag(dags_folder)

    assert states["rows"] == ["failed"]
    assert states["use"] == ["upstream_failed"]
