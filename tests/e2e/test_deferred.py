"""An example DAG whose sensor waits deferred, in a complete Airflow: the least that every supported version must do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

pytest.importorskip("airflow.sdk", reason="uses the REST API of Airflow 3")

from local_airflow import REPOSITORY, Airflow

EXAMPLES = REPOSITORY / "example_dags"
DAG_ID = "fc_wait_for_prefix"
FILES = ("README.md", "CONTRIBUTING.md", "LICENSE")


def test_a_sensor_waits_deferred_and_tells_what_became_of_the_batch(tmp_path: Path) -> None:
    with FunctionComputeEmulator(functions=EXAMPLES / "functions" / "words.py", workers=len(FILES)) as emulator:
        connection = json.dumps(emulator.connection)
        with Airflow(tmp_path / "airflow", REPOSITORY / ".demo", EXAMPLES, connection, say=print) as airflow:
            airflow.start_all()
            airflow.unpause(DAG_ID)
            paths = [str(REPOSITORY / name) for name in FILES]
            sizes = sorted(Path(path).stat().st_size for path in paths)
            # A minute of work, because the sensor must find them unfinished on a busy machine too.
            run = airflow.trigger(DAG_ID, {"paths": paths, "max_bytes": sizes[-2], "seconds": 60})
            changes = [(change.task, change.now) for change in airflow.follow(run)]
            waited = airflow.xcom(run, "wait")
            report = airflow.xcom(run, "report")

    assert changes[-1] == ("", "success")
    assert ("wait", "deferred") in changes
    assert waited["by_status"] == {"Failed": 1, "Succeeded": 2}
    assert report == {"succeeded": 2, "failed": [waited["failed"][0]["invocation_id"]]}
