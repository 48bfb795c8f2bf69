"""A verdict in Airflow's own DAG run: what is retried there, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

pytestmark = pytest.mark.usefixtures("metadata_db")

DAG_FILE = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("verdicts", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
    for name, more in {
        "final": {}, "soft": {"soft_fail": True}, "deferred": {"deferrable": True}, "again": {"retry_verdicts": True},
    }.items():
        FunctionComputeInvocationsSensor(
            task_id=name, function_name="resize", invocation_id_prefix=f"{name}-", poke_interval=1, settle_seconds=0,
            timeout=60, retries=1, retry_delay=pendulum.duration(), **more,
        )
"""


def test_a_failed_batch_fails_its_task_at_once_unless_retries_are_wanted(
    connection: Callable[..., str], dags_folder: Path
) -> None:
    file = dags_folder / "verdicts.py"
    file.write_text(DAG_FILE, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "verdicts", "__file__": str(file)}
    exec(compile(DAG_FILE, str(file), "exec"), namespace)
    dag = namespace["dag"]
    dag.fileloc = str(file)
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        for name in ("final", "soft", "again"):
            emulator.add_invocations([{"function": "resize", "id": f"{name}-1", "statuses": ["Failed"]}])
        emulator.add_invocations([{"function": "resize", "id": "deferred-1", "statuses": ["Running", "Failed"]}])

        states = {ti.task_id: str(ti.state) for ti in dag.test().get_task_instances()}

        polls = Counter(record.parameters["prefix"] for record in emulator.requests if record.operation == "List")
    assert states == dict.fromkeys(["final", "soft", "deferred", "again"], "failed")
    assert polls == {"final-": 1, "soft-": 1, "deferred-": 2, "again-": 2}
