"""Only a user's action stops the invocation that a task waits for, and it stops no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from local_airflow import REPOSITORY, Airflow
from versions import needs

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

needs("kill of deferred tasks")

DAGS = Path(__file__).parent / "kill_dags"
TASKS = ("deferred", "blocking")
BYSTANDER = "bystander"


@dataclass
class Story:
    """What was seen: states of tasks and statuses of invocations, by task, and the ids that were stopped."""

    ids: dict[str, str]
    links: dict[str, str | None]
    states: list[dict[str, str]] = field(default_factory=list)
    statuses: list[dict[str, str]] = field(default_factory=list)
    stopped: list[list[str]] = field(default_factory=list)
    executions: int = 0

    def note(self, emulator: FunctionComputeEmulator, airflow: Airflow) -> None:
        rows = airflow.rows("select task_id, state from task_instance where dag_id = 'e2e_kill'")
        self.states.append(dict(rows))
        found = {**self.ids, BYSTANDER: BYSTANDER}
        self.statuses.append({name: str(emulator.state.status("work", key)) for name, key in found.items()})
        self.stopped.append([each.parameters["id"] for each in emulator.requests if each.operation == "Stop"])
        self.executions = len(emulator.executions)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("kill")
    with (
        FunctionComputeEmulator(functions=DAGS / "functions.py", workers=3) as emulator,
        Airflow(folder / "airflow", REPOSITORY / ".demo", DAGS, json.dumps(emulator.connection), say=print) as airflow,
    ):
        emulator.add_invocations([{"function": "work", "id": BYSTANDER, "timeline": [[0, "Running"]]}])
        airflow.start_all()
        airflow.unpause("e2e_kill")
        airflow.wait_until(lambda: len(emulator.executions) == len(TASKS), "two invocations")
        polled_twice(emulator, airflow)
        ids = {task: key for key in invoked(emulator) for task in TASKS if f"-{task}-" in key}
        told = Story(ids, {task: link(airflow, task) for task in TASKS})

        airflow.stop("triggerer")
        airflow.start("triggerer")
        polled_twice(emulator, airflow)
        told.note(emulator, airflow)

        for task in TASKS:
            fail(airflow, task)
            airflow.wait_until(
                lambda task=task: emulator.state.status("work", ids[task]) == "Stopped",  # type: ignore[misc]
                f"the end of {task}",
            )
            told.note(emulator, airflow)
        yield told


def polled_twice(emulator: FunctionComputeEmulator, airflow: Airflow) -> None:
    """The trigger polls; a restarted one is taken over when the old triggerer has been silent for long enough."""

    def polls() -> int:
        return sum("-deferred-" in request.parameters.get("id", "") for request in emulator.requests)

    before = polls()
    airflow.wait_until(lambda: polls() >= before + 2, "two polls of the invocation")


def invoked(emulator: FunctionComputeEmulator) -> list[str]:
    return [execution.invocation_id for execution in emulator.executions]


def path(airflow: Airflow, task: str) -> str:
    [run] = airflow.get("/dags/e2e_kill/dagRuns")["dag_runs"]
    return f"/dags/e2e_kill/dagRuns/{run['dag_run_id']}/taskInstances/{task}"


def link(airflow: Airflow, task: str) -> str | None:
    """Where the button of a task leads."""
    found: dict[str, str | None] = airflow.get(f"{path(airflow, task)}/links")["extra_links"]
    return found["Function Compute console"]


def fail(airflow: Airflow, task: str) -> None:
    """As a user does in the browser."""
    airflow.patch(f"{path(airflow, task)}?map_index=-1", {"new_state": "failed"})


def test_restarting_the_triggerer_stops_nothing(story: Story) -> None:
    assert story.states[0] == {"deferred": "deferred", "blocking": "running"}
    assert story.statuses[0] == {"deferred": "Running", "blocking": "Running", BYSTANDER: "Running"}
    assert story.stopped[0] == []


def test_marking_a_deferred_task_failed_stops_exactly_its_invocation(story: Story) -> None:
    assert story.states[1]["deferred"] == "failed"
    assert story.statuses[1] == {"deferred": "Stopped", "blocking": "Running", BYSTANDER: "Running"}
    assert story.stopped[1] == [story.ids["deferred"]]


def test_marking_a_task_failed_that_waits_on_its_worker_stops_exactly_its_invocation(story: Story) -> None:
    assert story.states[2] == {"deferred": "failed", "blocking": "failed"}
    assert story.statuses[2] == {"deferred": "Stopped", "blocking": "Stopped", BYSTANDER: "Running"}
    assert story.stopped[2] == [story.ids["deferred"], story.ids["blocking"]]


def test_each_was_executed_once(story: Story) -> None:
    assert story.executions == len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_the_button_to_the_console_works_while_the_task_runs(story: Story, task: str) -> None:
    assert story.links[task] == "https://fcnext.console.aliyun.com/cn-hangzhou/functions/work"
