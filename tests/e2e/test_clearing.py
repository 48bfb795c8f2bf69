"""Three of two hundred fail: clearing those three, and what follows them, executes three and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

pytest.importorskip("airflow.sdk", reason="uses the REST API of Airflow 3")

from local_airflow import REPOSITORY, Airflow, Program, Run

EXAMPLES = REPOSITORY / "example_dags"
DAG_ID = "fc_fan_out"
HOW_MANY = 200
TOO_LARGE = (3, 77, 199)
MAX_BYTES = 1000


def test_clearing_what_failed_ends_green_with_exactly_three_further_executions(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:03}.txt" for number in range(HOW_MANY)]
    for number, file in enumerate(files):
        file.write_text("word " * (1000 if number in TOO_LARGE else number % 100))
    with (
        FunctionComputeEmulator(functions=EXAMPLES / "functions" / "words.py") as emulator,
        Airflow(
            tmp_path / "airflow", REPOSITORY / ".demo", EXAMPLES, json.dumps(emulator.connection), say=print
        ) as airflow,
    ):
        airflow.env["AIRFLOW__CORE__PARALLELISM"] = "4"
        scheduler, *_ = [airflow.start(name) for name in ("scheduler", "api-server", "dag-processor", "triggerer")]
        airflow.wait_until_healthy(scheduler)
        airflow.wait_for_dag(DAG_ID, scheduler)
        run = airflow.trigger(DAG_ID, {"paths": [str(file) for file in files], "max_bytes": MAX_BYTES})

        assert end_of(airflow, run, scheduler) == "failed"
        assert len(emulator.executions) == HOW_MANY
        assert sorted(row["error_message"] for row in airflow.xcom(run, "failed")) == [
            f"ValueError: {files[number]} has 5000 bytes, more than the 1000 allowed" for number in TOO_LARGE
        ]

        for number in TOO_LARGE:
            files[number].write_text("mended")
        airflow.post(
            f"/dags/{DAG_ID}/clearTaskInstances",
            {
                "dag_run_id": run.run_id,
                "task_ids": [["invoke", number] for number in TOO_LARGE],
                "include_downstream": True,
                "only_failed": False,
                "reset_dag_runs": True,
                "dry_run": False,
            },
        )

        assert end_of(airflow, run, scheduler) == "success"
        assert airflow.xcom(run, "wait")["by_status"] == {"Succeeded": HOW_MANY}
        assert airflow.xcom(run, "total") == sum(len(file.read_text().split()) for file in files)
        assert [execution.outcome for execution in emulator.executions].count("failed") == len(TOO_LARGE)
        assert len(emulator.executions) == HOW_MANY + len(TOO_LARGE)


def end_of(airflow: Airflow, run: Run, scheduler: Program) -> str:
    """The state that the run comes to."""
    changes = list(airflow.follow(run, scheduler, seconds=900))
    return changes[-1].now
