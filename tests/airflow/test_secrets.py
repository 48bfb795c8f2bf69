"""Nothing that a run leaves behind holds a key, a token, a signature or a payload: a canary in each of them tells."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

CANARIES = {
    "AccessKey id": "CanaryKeyId7f3a",
    "AccessKey secret": "CanarySecret9b1c",
    "STS token": "CanaryToken/+5d2e==",
    "wrong secret": "CanaryWrong4e8f",
    "payload": "canary-payload-6a0b",
    "return payload": "canary-return-2c7d",
}

# The payload is put together at run time: Airflow keeps a copy of the file itself.
DAG_FILE = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_fc.hooks import FunctionComputeHook
from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("canary", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:

    @task
    def submit():
        with FunctionComputeHook() as hook:
            hook.invoke("resize", "-".join(["canary", "payload", "6a0b"]), invocation_id="job-1")

    wait = FunctionComputeInvocationsSensor(
        task_id="wait", function_name="resize", invocation_id_prefix="job-", max_failed=None, settle_seconds=0,
        poke_interval=0.1, deferrable=True,
    )
    rows = FunctionComputeListInvocationsOperator(task_id="rows", function_name="resize")
    denied = [
        FunctionComputeInvocationsSensor(
            task_id=f"denied_{mode}", function_name="resize", invocation_id_prefix="job-", fc_conn_id="fc_wrong",
            deferrable=mode == "deferred", trigger_rule="all_done",
        )
        for mode in ("poke", "deferred")
    ]
    submit() >> wait >> rows >> denied
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator(
        access_key_id=CANARIES["AccessKey id"],
        access_key_secret=CANARIES["AccessKey secret"],
        security_token=CANARIES["STS token"],
    ) as emulator:
        emulator.add_invocations(
            [
                {
                    "function": "resize",
                    "id": "job-0",
                    "statuses": ["Running", "Running", "Running", "Succeeded"],
                    "payload": CANARIES["payload"],
                    "return_payload": CANARIES["return payload"],
                }
            ]
        )
        yield emulator


@pytest.fixture(scope="module")
def left_behind(emulator: FunctionComputeEmulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that a run at DEBUG wrote: its output, its logs, its database."""
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    (dags / "canary.py").write_text(DAG_FILE, encoding="utf-8")
    good = {**emulator.connection, "extra": {**emulator.connection["extra"], "security_token": CANARIES["STS token"]}}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW_CONN_FC_DEFAULT": json.dumps(good),
        "AIRFLOW_CONN_FC_WRONG": json.dumps({**good, "password": CANARIES["wrong secret"]}),
    }
    output = ""
    for command in (["db", "migrate"], ["dags", "test", "canary"]):
        done = subprocess.run(
            [str(Path(sys.executable).with_name("airflow")), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
        )
        output += (done.stdout + done.stderr).decode("utf-8", "replace")
    files = {
        str(path.relative_to(home)): path.read_bytes().decode("utf-8", "replace")
        for path in home.rglob("*")
        if path.is_file()
    }
    # Airflow 3's stand-in for the supervisor, used by `dags test` alone, prints at DEBUG what it is asked to mask, for
    # connections of every provider; the real supervisor leaves those messages' contents out.
    kept = [line for line in output.splitlines() if "msg=MaskSecret(" not in line]
    return {"output": "\n".join(kept), **files}


def test_the_run_did_what_it_was_to_do(left_behind: dict[str, str], emulator: FunctionComputeEmulator) -> None:
    assert {record.operation for record in emulator.requests} == {"List", "Invoke"}
    assert {200, 202, 403} <= {record.status for record in emulator.requests}
    assert "Success: 2 found" in left_behind["output"]
    assert left_behind["output"].count("Signature") >= 2
    assert any(name.endswith(".db") for name in left_behind)


@pytest.mark.parametrize("what", CANARIES)
def test_it_left_no_secret_behind(left_behind: dict[str, str], what: str) -> None:
    assert [name for name, text in left_behind.items() if CANARIES[what] in text] == []


def test_it_left_no_signature_behind(left_behind: dict[str, str]) -> None:
    signature = re.compile(r"Signature=[0-9a-f]{64}|FC [\w*]+:[A-Za-z0-9+/]{43}=")

    assert [name for name, text in left_behind.items() if signature.search(text)] == []
