"""Only a user's action stops the invocation that a deferred task waits for, and it stops no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

pytest.importorskip("airflow.sdk", reason="before Airflow 3.3 a deferred task is not told that it is killed")

from local_airflow import REPOSITORY, Airflow, Program

DAGS = Path(__file__).parent / "kill_dags"
BYSTANDER = "bystander"


def test_marking_a_deferred_task_failed_stops_its_invocation_and_restarting_the_triggerer_stops_none(
    tmp_path: Path,
) -> None:
    with (
        FunctionComputeEmulator(functions=DAGS / "functions.py") as emulator,
        Airflow(
            tmp_path / "airflow", REPOSITORY / ".demo", DAGS, json.dumps(emulator.connection), say=print
        ) as airflow,
    ):
        emulator.add_invocations([{"function": "work", "id": BYSTANDER, "timeline": [[0, "Running"]]}])
        scheduler, *_ = [airflow.start(name) for name in ("scheduler", "api-server", "dag-processor")]
        first = airflow.start("triggerer")
        look_twice(emulator, first)
        [invocation_id] = invoked(emulator)

        first.stop()
        second = airflow.start("triggerer")
        look_twice(emulator, second)

        assert state(airflow) == "deferred"
        assert requests(emulator, "Stop") == []
        assert emulator.state.status("work", invocation_id) == "Running"

        [run] = airflow.get("/dags/e2e_kill/dagRuns")["dag_runs"]
        airflow.patch(
            f"/dags/e2e_kill/dagRuns/{run['dag_run_id']}/taskInstances/invoke?map_index=-1", {"new_state": "failed"}
        )
        scheduler.wait_until(
            lambda: emulator.state.status("work", invocation_id) == "Stopped", problem="the invocation's end"
        )

        assert requests(emulator, "Stop") == [invocation_id]
        assert emulator.state.status("work", BYSTANDER) == "Running"
        assert invoked(emulator) == [invocation_id]
        assert state(airflow) == "failed"


def look_twice(emulator: FunctionComputeEmulator, triggerer: Program) -> None:
    """The trigger polls; a restarted one is taken over when the old triggerer has been silent for long enough."""
    before = len(emulator.requests)
    triggerer.wait_until(lambda: len(emulator.requests) >= before + 4, seconds=180, problem="a look at the invocation")


def invoked(emulator: FunctionComputeEmulator) -> list[str]:
    return [execution.invocation_id for execution in emulator.executions]


def requests(emulator: FunctionComputeEmulator, operation: str) -> list[str]:
    """The ids that requests of one kind were about."""
    return [request.parameters["id"] for request in emulator.requests if request.operation == operation]


def state(airflow: Airflow) -> str:
    [(found,)] = airflow.rows("select state from task_instance where dag_id = 'e2e_kill'")
    return found
