"""Three of two hundred fail; clearing those three, with all that follows them, executes three and no more."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from local_airflow import REPOSITORY, Airflow, Run
from versions import needs

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

needs("REST API 2")

EXAMPLES = REPOSITORY / "example_dags"
DAG_ID = "fc_fan_out"
HOW_MANY = 200
TOO_LARGE = (3, 77, 199)
MAX_BYTES = 1000


@dataclass
class Story:
    """What is known of the run when it has failed, and when it has ended again."""

    errors: list[str]
    states: list[str]
    executions: list[list[str]]
    listed: list[list[dict[str, Any]]]
    sensor_log: str
    to_clear: list[list[list[Any]]]
    cleared: list[tuple[str, int]]
    waited: dict[str, Any]
    total: int
    words: int


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("clearing")
    files = [folder / f"{number:03}.txt" for number in range(HOW_MANY)]
    for number, file in enumerate(files):
        file.write_text("word " * (1000 if number in TOO_LARGE else number % 100))
    with FunctionComputeEmulator(functions=EXAMPLES / "functions" / "words.py") as emulator:
        connection = json.dumps(emulator.connection)
        with Airflow(folder / "airflow", REPOSITORY / ".demo", EXAMPLES, connection, say=print) as airflow:
            airflow.env["AIRFLOW__CORE__PARALLELISM"] = "4"
            airflow.start_all()
            airflow.unpause(DAG_ID)

            run = airflow.trigger(DAG_ID, {"paths": [str(file) for file in files], "max_bytes": MAX_BYTES})
            states = [end_of(run, airflow)]
            executions = [[execution.invocation_id for execution in emulator.executions]]
            listed = [airflow.xcom(run, "failed")]
            to_clear = [airflow.xcom(run, "to_clear")]
            sensor_log = "".join(log.read_text() for log in airflow.task_logs(run, "wait"))

            for number in TOO_LARGE:
                files[number].write_text("mended")
            cleared = clear(to_clear[0], run, airflow)
            states.append(end_of(run, airflow))
            executions.append([execution.invocation_id for execution in emulator.executions])
            listed.append(airflow.xcom(run, "failed"))
            to_clear.append(airflow.xcom(run, "to_clear"))

            return Story(
                errors=[
                    f"ValueError: {files[number]} has 5000 bytes, more than the 1000 allowed" for number in TOO_LARGE
                ],
                states=states,
                executions=executions,
                listed=listed,
                sensor_log=sensor_log,
                to_clear=to_clear,
                cleared=cleared,
                waited=airflow.xcom(run, "wait"),
                total=airflow.xcom(run, "total"),
                words=sum(len(file.read_text().split()) for file in files),
            )


def end_of(run: Run, airflow: Airflow) -> str:
    """The state that the run comes to. Only the run is asked for: two hundred tasks are a large answer."""
    state = ""

    def has_ended() -> bool:
        nonlocal state
        state = airflow.get(run.path)["state"]
        return state in ("success", "failed")

    airflow.wait_until(has_ended, "the end of the run")
    return state


def clear(tasks: list[list[Any]], run: Run, airflow: Airflow) -> list[tuple[str, int]]:
    """Clear these mapped tasks with everything downstream; what was cleared."""
    body = {
        "dag_run_id": run.run_id,
        "task_ids": tasks,
        "include_downstream": True,
        "only_failed": False,
        "dry_run": False,
    }
    answer = airflow.post(f"/dags/{run.dag_id}/clearTaskInstances", body)
    return sorted((task["task_id"], task["map_index"]) for task in answer["task_instances"])


def test_three_failures_of_two_hundred_fail_the_run_after_one_execution_each(story: Story) -> None:
    assert story.states[0] == "failed"
    assert len(set(story.executions[0])) == len(story.executions[0]) == HOW_MANY


def test_the_sensor_names_the_three_with_their_error_texts(story: Story) -> None:
    assert "3 of 200 invocations of word_count" in story.sensor_log
    assert [text for text in story.errors if text not in story.sensor_log] == []
    assert [row["invocation_id"] for row in story.listed[0] if row["invocation_id"] not in story.sensor_log] == []


def test_the_failures_are_listed_although_the_sensor_has_failed(story: Story) -> None:
    assert sorted(row["error_message"] for row in story.listed[0]) == story.errors


def test_the_dag_tells_which_mapped_tasks_to_clear(story: Story) -> None:
    assert story.to_clear[0] == [["invoke", number] for number in TOO_LARGE]


def test_clearing_reaches_only_those_three_and_what_follows_them(story: Story) -> None:
    assert Counter(task for task, _ in story.cleared) == {
        "invoke": 3, "wait": 1, "failed": 1, "to_clear": 1, "chunks": 1, "words_of": 1, "total": 1,
    }  # fmt: skip
    assert [number for task, number in story.cleared if task == "invoke"] == list(TOO_LARGE)


def test_clearing_ends_green_with_exactly_three_further_executions(story: Story) -> None:
    assert story.states[1] == "success"
    assert len(set(story.executions[1])) == len(story.executions[1]) == HOW_MANY + len(TOO_LARGE)
    assert story.waited["by_status"] == {"Succeeded": HOW_MANY}
    assert story.total == story.words


def test_the_old_failures_stay_under_the_prefix_but_are_not_to_be_cleared_again(story: Story) -> None:
    assert story.listed[1] == story.listed[0]
    assert story.to_clear[1] == []
