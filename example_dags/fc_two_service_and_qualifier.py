"""Function Compute 2.0: functions live in services, and a qualifier (version or alias) says which of them to run.

``service_name`` is what makes every hook, sensor and operator here speak to FC 2.0; without it they speak to FC 3.0.
This example waits for the very ids it has submitted instead of a prefix: a missing one is never taken for done.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

SERVICE = "texts"
FUNCTION = "word_count"
QUALIFIER = "LATEST"
PREFIX = "fc2-words-{{ run_id }}-"

with DAG(
    "fc_two_service_and_qualifier",
    schedule=None,
    catchup=False,
    params={
        "paths": Param(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"], type="array", description="files to read"),
        "seconds": Param(2, type="number", description="how long each invocation works"),
    },
    tags=["function compute", "example"],
    doc_md=__doc__,
):

    @task(retries=1, retry_delay=timedelta(seconds=10))
    def submit(prefix: str, params: dict[str, Any] | None = None) -> list[str]:
        from airflow_provider_fc.exceptions import AlreadyExistsError  # here: only this task pays for these imports
        from airflow_provider_fc.hooks import FunctionComputeHook

        given = params or {}
        ids = [f"{prefix}{number:05}" for number in range(len(given["paths"]))]
        with FunctionComputeHook() as hook:
            for invocation_id, path in zip(ids, given["paths"], strict=True):
                with suppress(AlreadyExistsError):  # a try of this task before this one has started it
                    hook.invoke(
                        FUNCTION,
                        {"path": path, "seconds": given["seconds"]},
                        invocation_id=invocation_id,
                        service_name=SERVICE,
                        qualifier=QUALIFIER,
                    )
        return ids

    @task
    def report(finished: list[dict[str, Any]]) -> int:
        for row in finished:
            print(f"{row['invocation_id']} {row['status']} after {row['duration_ms']} ms")
        return len(finished)

    wait = FunctionComputeInvocationsSensor(
        task_id="wait",
        service_name=SERVICE,
        function_name=FUNCTION,
        qualifier=QUALIFIER,
        invocation_ids=submit(PREFIX),
        deferrable=True,
        poke_interval=5,
        timeout=600,
        retries=1,
        retry_delay=timedelta(seconds=10),
    )

    finished = FunctionComputeListInvocationsOperator(
        task_id="finished",
        service_name=SERVICE,
        function_name=FUNCTION,
        qualifier=QUALIFIER,
        invocation_id_prefix=PREFIX,
        statuses="Succeeded",
    )

    wait >> finished
    report(finished.output)
