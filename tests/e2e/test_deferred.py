"""Waits in the triggerer of a complete Airflow: the least that each supported version must do, and a difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from local_airflow import REPOSITORY, Airflow
from versions import AIRFLOW

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

EXAMPLES = REPOSITORY / "example_dags"
DAG_ID = "fc_wait_for_prefix"
TOO_LONG = "e2e_execution_timeout"
DAG_FILES = (EXAMPLES / f"{DAG_ID}.py", Path(__file__).parent / "deferral_dags" / f"{TOO_LONG}.py")
FILES = ("README.md", "CONTRIBUTING.md", "LICENSE")


@dataclass
class Outcome:
    """What was seen: changes of task and run states, and what the tasks have pushed."""

    changes: list[tuple[str, str]]
    waited: dict[str, Any]
    report: dict[str, Any]
    too_long: list[tuple[str, str]]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("deferred")
    dags = folder / "dags"
    dags.mkdir()
    for file in DAG_FILES:
        shutil.copy(file, dags)
    with FunctionComputeEmulator(functions=EXAMPLES / "functions" / "words.py", workers=len(FILES)) as emulator:
        connection = json.dumps(emulator.connection)
        with Airflow(folder / "airflow", REPOSITORY / ".demo", dags, connection, say=print) as airflow:
            airflow.start_all()
            for dag_id in (DAG_ID, TOO_LONG):
                airflow.unpause(dag_id)
            paths = [str(REPOSITORY / name) for name in FILES]
            sizes = sorted(Path(path).stat().st_size for path in paths)
            # A minute of work, because the sensor must find them unfinished on a busy machine too.
            run = airflow.trigger(DAG_ID, {"paths": paths, "max_bytes": sizes[-2], "seconds": 60})
            other = airflow.trigger(TOO_LONG, {})
            yield Outcome(
                changes=[(change.task, change.now) for change in airflow.follow(run)],
                waited=airflow.xcom(run, "wait"),
                report=airflow.xcom(run, "report"),
                too_long=[(change.task, change.now) for change in airflow.follow(other)],
            )


def test_a_sensor_waits_deferred_and_tells_what_became_of_the_batch(outcome: Outcome) -> None:
    [failed] = outcome.waited["failed"]

    assert outcome.changes[-1] == ("", "success")
    assert ("wait", "deferred") in outcome.changes
    assert outcome.waited["by_status"] == {"Failed": 1, "Succeeded": 2}
    assert outcome.report == {"succeeded": 2, "failed": [failed["invocation_id"]]}


def test_only_airflow_2_itself_counts_deferred_time_for_execution_timeout(outcome: Outcome) -> None:
    ends = "failed" if AIRFLOW.startswith("2.") else "success"

    assert outcome.too_long[-1] == ("", ends)
    assert outcome.too_long[-2] == ("wait", ends)
