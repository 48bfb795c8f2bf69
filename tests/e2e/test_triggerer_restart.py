"""A triggerer that is restarted in mid-wait changes neither the deadline nor the outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from local_airflow import REPOSITORY, Airflow, Run, tail
from versions import needs

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

needs("REST API 2")

DAG_ID = "e2e_waits"
TIMEOUT = 75.0
"""Seconds, as in the DAG."""
LATE = 20.0
"""So much later may the task end: it has to be resumed first. A deadline counted anew would be later than that."""
WORK = 40.0


@pytest.fixture
def emulator() -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as emulator:
        yield emulator


@pytest.fixture
def airflow(emulator: FunctionComputeEmulator, tmp_path: Path) -> Iterator[Airflow]:
    connection = json.dumps(emulator.connection)
    dags = Path(__file__).parent / "dags"
    with Airflow(tmp_path / "airflow", REPOSITORY / ".demo", dags, connection, say=print) as airflow:
        yield airflow


def all_deferred(airflow: Airflow, run: Run) -> bool:
    tasks = airflow.get(f"{run.path}/taskInstances")["task_instances"]
    for task in tasks:
        assert task["state"] != "failed", "\n".join(map(tail, airflow.task_logs(run, task["task_id"])))
    return {task["state"] for task in tasks} == {"deferred"}


def test_a_restarted_triggerer_changes_neither_deadline_nor_outcome(
    airflow: Airflow, emulator: FunctionComputeEmulator
) -> None:
    airflow.start_all()
    airflow.unpause(DAG_ID)

    earliest = time.time()
    run = airflow.trigger(DAG_ID, {})
    airflow.wait_until(lambda: all_deferred(airflow, run), "the deferral of both")
    latest = time.time()
    polls = len(emulator.requests)
    emulator.add_invocations(
        [
            {
                "function": "resize",
                "id_template": "ends-{index}",
                "count": 3,
                "timeline": [[0, "Running"], [WORK, "Succeeded"]],
            },
            {"function": "resize", "id": "expires-1", "timeline": [[0, "Running"]]},
        ]
    )
    added = time.time()
    airflow.wait_until(lambda: len(emulator.requests) >= polls + 2, "two more polls")
    airflow.stop("triggerer")
    assert all_deferred(airflow, run)
    polls = len(emulator.requests)

    airflow.start("triggerer")
    ended = {change.task: change.now for change in airflow.follow(run)}

    assert ended["ends"] == "success"
    assert airflow.xcom(run, "ends")["by_status"] == {"Succeeded": 3}
    assert end_of(airflow, run, "ends") >= added + WORK
    assert len(emulator.requests) > polls
    assert ended["expires"] == "failed"
    assert earliest + TIMEOUT <= end_of(airflow, run, "expires") <= latest + TIMEOUT + LATE
    text = "".join(log.read_text() for log in airflow.task_logs(run, "expires"))
    assert "AirflowSensorTimeout" in text
    assert "1 unfinished: Running 1" in text


def end_of(airflow: Airflow, run: Run, task_id: str) -> float:
    """When a task has ended, in epoch seconds; each has had exactly one try."""
    task = airflow.get(f"{run.path}/taskInstances/{task_id}")
    assert task["try_number"] == 1
    return datetime.fromisoformat(task["end_date"]).timestamp()
