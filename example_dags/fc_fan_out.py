"""Fan work out from Airflow: one mapped task starts one invocation, one sensor waits for all of them.

The mapped tasks only submit (``wait_for_completion=False``), so they end at once and nothing waits on a worker. When
some invocations fail, ``wait`` fails, ``failed`` tells which and why, and ``to_clear`` which ``invoke`` tasks have
started them. Mend the cause, then clear those with everything downstream: only they start new invocations.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_fc.operators import FunctionComputeInvokeOperator, FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

FUNCTION = "word_count"
PREFIX = "fan-out-{{ run_id }}-"
CHUNK = 50

with DAG(
    "fc_fan_out",
    schedule=None,
    catchup=False,
    params={
        "paths": Param(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"], type="array", description="files to read"),
        "max_bytes": Param(None, type=["null", "integer"], description="larger files fail"),
    },
    tags=["function compute", "example"],
    doc_md=__doc__,
):

    @task
    def payloads(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        given = params or {}
        return [{"path": path, "max_bytes": given["max_bytes"]} for path in given["paths"]]

    @task
    def to_clear(invocations: Any, failed: Any) -> list[list[Any]]:
        """The mapped tasks to clear, as the REST API takes them: all are green, and an id does not tell its index."""
        bad = {row["invocation_id"] for row in failed}
        return [["invoke", index] for index, row in enumerate(invocations) if row["invocation_id"] in bad]

    @task
    def chunks(invocations: Any) -> list[list[str]]:
        """A mapped task costs Airflow more than reading a result does, so each of them reads several."""
        ids = [invocation["invocation_id"] for invocation in invocations]
        return [ids[first : first + CHUNK] for first in range(0, len(ids), CHUNK)]

    @task(retries=1, retry_delay=timedelta(seconds=10))
    def words_of(ids: list[str]) -> int:
        """Read what the invocations have returned. Listings do not hold results; Get does."""
        from airflow_provider_fc.hooks import FunctionComputeHook  # here: only this task pays for the import

        with FunctionComputeHook() as hook:
            results = [hook.get_invocation(FUNCTION, key).return_payload for key in ids]
        return sum(json.loads(result or "{}")["words"] for result in results)

    @task
    def total(words: Any) -> int:
        return sum(words)

    invoke = FunctionComputeInvokeOperator.partial(
        task_id="invoke",
        function_name=FUNCTION,
        invocation_id_prefix=PREFIX,
        wait_for_completion=False,
        retries=2,
        retry_delay=timedelta(seconds=10),
    ).expand(payload=payloads())

    wait = FunctionComputeInvocationsSensor(
        task_id="wait",
        function_name=FUNCTION,
        invocation_ids=invoke.output,  # not the prefix: it would still find the old failures after a clear
        deferrable=True,
        poke_interval=5,
        timeout=3600,
        retries=1,
        retry_delay=timedelta(seconds=10),
    )

    failed = FunctionComputeListInvocationsOperator(
        task_id="failed",
        function_name=FUNCTION,
        invocation_id_prefix=PREFIX,
        statuses=["Failed", "Stopped", "Expired", "Invalid"],
        trigger_rule="all_done",  # above all when the sensor has failed
    )

    ready = chunks(invoke.output)
    wait >> [failed, ready]
    to_clear(invoke.output, failed.output)
    total(words_of.expand(ids=ready))
