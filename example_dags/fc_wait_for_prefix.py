"""Start one invocation per file, wait until all have ended, and go on with the succeeded and the failed ones.

The invocations of a run share a prefix made from ``{{ run_id }}``. It ends in a delimiter, because ``words-1`` would
also match ``words-10``. Characters that Function Compute does not allow in ids become ``_`` wherever an id or a prefix
is given, so the same text works for submitting, waiting and listing.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

FUNCTION = "word_count"
PREFIX = "words-{{ run_id }}-"

with DAG(
    "fc_wait_for_prefix",
    schedule=None,
    catchup=False,
    params={
        "paths": Param(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"], type="array", description="files to read"),
        "max_bytes": Param(None, type=["null", "integer"], description="larger files fail"),
        "seconds": Param(2, type="number", description="how long each invocation works"),
    },
    tags=["function compute", "example"],
    doc_md=__doc__,
):

    @task(retries=1, retry_delay=timedelta(seconds=10))
    def submit(prefix: str, params: dict[str, Any] | None = None) -> int:
        """Start the invocations; their number is what the sensor waits for."""
        from airflow_provider_fc.exceptions import AlreadyExistsError  # here: only this task pays for these imports
        from airflow_provider_fc.hooks import FunctionComputeHook

        given = params or {}
        with FunctionComputeHook() as hook:
            for number, path in enumerate(given["paths"]):
                payload = {"path": path, "max_bytes": given["max_bytes"], "seconds": given["seconds"]}
                with suppress(AlreadyExistsError):  # a try of this task before this one has started it
                    hook.invoke(FUNCTION, payload, invocation_id=f"{prefix}{number:05}")
        return len(given["paths"])

    @task
    def report(succeeded: list[dict[str, Any]], failed: list[dict[str, Any]]) -> dict[str, Any]:
        """What comes after the batch; here it only tells what happened."""
        for row in failed:
            print(f"{row['invocation_id']} {row['status']}: {row['error_message']}")
        busy_ms = sum(row["duration_ms"] or 0 for row in succeeded)
        print(f"{len(succeeded)} succeeded in {busy_ms / 1000:.1f} s of work, {len(failed)} failed")
        return {"succeeded": len(succeeded), "failed": [row["invocation_id"] for row in failed]}

    submitted = submit(PREFIX)

    wait = FunctionComputeInvocationsSensor(
        task_id="wait",
        function_name=FUNCTION,
        invocation_id_prefix=PREFIX,
        expected_count=submitted,
        max_failed=None,  # failures are for the tasks below to handle
        deferrable=True,
        poke_interval=5,
        settle_seconds=5,
        timeout=600,
        retries=1,
        retry_delay=timedelta(seconds=10),
    )

    failed = FunctionComputeListInvocationsOperator(
        task_id="failed",
        function_name=FUNCTION,
        invocation_id_prefix=PREFIX,
        statuses=["Failed", "Stopped", "Expired", "Invalid"],
    )

    succeeded = FunctionComputeListInvocationsOperator(
        task_id="succeeded",
        function_name=FUNCTION,
        invocation_id_prefix=PREFIX,
        statuses="Succeeded",
        order="asc",
    )

    wait >> [failed, succeeded]
    report(succeeded.output, failed.output)
