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


def polled(emulator: FunctionComputeEmulator) -> list[float]:
    """When the sensor that expires has asked for its invocation, in epoch seconds."""
    asked = (record for record in emulator.requests if "expires-" in "".join(record.parameters.values()))
    return [record.at / 1000 for record in asked]


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
    airflow.wait_until(lambda: time.time() > latest + TIMEOUT / 2, "half of the time")
    before = len(polled(emulator))

    airflow.start("triggerer")
    ended = {change.task: change.now for change in airflow.follow(run)}

    assert ended["ends"] == "success"
    assert airflow.xcom(run, "ends")["by_status"] == {"Succeeded": 3}
    assert end_of(airflow, run, "ends") >= added + WORK
    assert ended["expires"] == "failed"
    assert end_of(airflow, run, "expires") >= earliest + TIMEOUT
    # At most half of the time was left to the new triggerer. A deadline counted anew would be the whole of it after the
    # first poll, however long the start takes; and how late the task is resumed does not matter.
    polls_since = polled(emulator)[before:]
    assert polls_since[-1] - polls_since[0] < 0.75 * TIMEOUT
    text = "".join(log.read_text() for log in airflow.task_logs(run, "expires"))
    assert "AirflowSensorTimeout" in text
    assert "1 unfinished: Running 1" in text


def end_of(airflow: Airflow, run: Run, task_id: str) -> float:
    """When a task has ended, in epoch seconds; each has had exactly one try."""
    task = airflow.get(f"{run.path}/taskInstances/{task_id}")
    assert task["try_number"] == 1
    return datetime.fromisoformat(task["end_date"]).timestamp()
