"""A task that is killed, or whose answer is lost, has its function executed once; on Airflow 2.11 and 3.3."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_airflow import REPOSITORY, Airflow

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

DAGS = Path(__file__).parent / "crash_dags"
KILLED = ("killed", "killed_submitting")
HOLD_SECONDS = 120
"""So long is an answer held back; the task must be dead by then."""


@dataclass
class Aftermath:
    """What is known when all has ended."""

    states: dict[str, str]
    tries: dict[str, int]
    executions: Counter[str]
    submissions: dict[str, list[int]]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("crash")
    with FunctionComputeEmulator(functions=DAGS / "functions.py") as emulator:
        emulator.add_faults(
            [
                *(
                    {"action": "delay", "seconds": HOLD_SECONDS, "operation": "Invoke", "id": f"*-{task}-*", "times": 1}
                    for task in KILLED
                ),
                {"action": "lose_answer", "operation": "Invoke", "id": "*-unanswered-*", "times": 1},
            ]
        )
        connection = json.dumps(emulator.connection)
        with Airflow(folder / "airflow", REPOSITORY / ".demo", DAGS, connection, say=print) as airflow:
            airflow.env["E2E_FOLDER"] = str(folder)
            airflow.start_all()
            airflow.unpause("e2e_crash")
            for task in KILLED:
                kill_when_accepted(task, emulator, folder, airflow)
            airflow.wait_until(
                lambda: all(state in ("success", "failed") for state, _ in tasks(airflow).values()),
                "the end of all tasks",
            )
            ended = tasks(airflow)
        yield Aftermath(
            states={task: state for task, (state, _) in ended.items()},
            tries={task: number for task, (_, number) in ended.items()},
            executions=Counter(execution.invocation_id.split("-")[1] for execution in emulator.executions),
            submissions={task: submissions(emulator, task) for task in ended},
        )


def kill_when_accepted(task: str, emulator: FunctionComputeEmulator, folder: Path, airflow: Airflow) -> None:
    """Kill the process of the first try while it waits for the answer to a submission that was carried out."""
    pid_file = folder / f"{task}-1.pid"
    airflow.wait_until(
        lambda: any(f"-{task}-" in execution.invocation_id for execution in emulator.executions),
        f"the invocation of {task}",
    )
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


def tasks(airflow: Airflow) -> dict[str, tuple[str, int]]:
    """State and number of tries of each task, as far as the run has come."""
    rows = airflow.rows("select task_id, state, try_number from task_instance where dag_id = 'e2e_crash'")
    return {task: (state or "", number) for task, state, number in rows} or {"no run yet": ("", 0)}


def submissions(emulator: FunctionComputeEmulator, task: str) -> list[int]:
    """What the emulator answered to the submissions of a task; 202 is the one that it carried out."""
    return [
        request.status
        for request in emulator.requests
        if request.operation == "Invoke" and any(f"-{task}-" in value for value in request.parameters.values())
    ]


@pytest.mark.parametrize("task", KILLED)
def test_a_task_killed_after_its_submission_has_its_function_executed_once(aftermath: Aftermath, task: str) -> None:
    assert aftermath.states[task] == "success"
    assert aftermath.executions[task] == 1


@pytest.mark.parametrize("task", KILLED)
def test_the_retry_finds_what_the_killed_try_has_submitted(aftermath: Aftermath, task: str) -> None:
    assert aftermath.tries[task] == 2
    assert aftermath.submissions[task] == [202, 409]


def test_a_lost_answer_does_not_lead_to_a_second_execution(aftermath: Aftermath) -> None:
    assert aftermath.states["unanswered"] == "success"
    assert aftermath.tries["unanswered"] == 1
    assert aftermath.executions["unanswered"] == 1
    assert aftermath.submissions["unanswered"] == [202, 409]
