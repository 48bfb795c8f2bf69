"""A rescheduled sensor in Airflow's own DAG run: each poll is a process of its own, and the next one knows more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from versions import lacks, needs

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

pytestmark = pytest.mark.usefixtures("metadata_db")

DAG_FILE = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("rescheduled", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
    FunctionComputeInvocationsSensor(
        task_id="wait", function_name="resize", invocation_id_prefix="job-", mode="reschedule", poke_interval=1,
        settle_seconds=1, timeout=120, progress_interval=None,
    )
"""


def test_the_second_poll_asks_for_what_the_first_one_has_found(
    connection: Callable[..., str], dags_folder: Path
) -> None:
    needs("rescheduled sensors in dag.test()")
    file = dags_folder / "rescheduled.py"
    file.write_text(DAG_FILE, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "rescheduled", "__file__": str(file)}
    exec(compile(DAG_FILE, str(file), "exec"), namespace)
    dag = namespace["dag"]
    dag.fileloc = str(file)
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        emulator.add_invocations(
            [
                {"function": "resize", "id_template": "job-{index:05}", "count": 200, "statuses": ["Succeeded"]},
                {"function": "resize", "id": "job-z", "statuses": ["Retrying"] * 4 + ["Succeeded"]},
            ]
        )

        [ti] = dag.test().get_task_instances()

        asked = [record.operation for record in emulator.requests]
    # Airflow before 3.3 keeps nothing between two polls: each begins with the first page, which has the live one.
    later_poll = "List" if lacks("task state store") else "Get"
    assert str(ti.state) == "success"
    assert asked[:3] == ["List", later_poll, later_poll]
