"""Run one mapped task per finished invocation: ``.expand(invocation=finished.output)``.

The list operator pushes a plain list of dicts, so it can be mapped over. Airflow maps over at most 1024 items
(``[core] max_map_length``); the operator's ``max_items`` (1000) stays below that.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

FUNCTION = "word_count"
PREFIX = "mapped-words-{{ run_id }}-"

with DAG(
    "fc_map_over_invocations",
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
    def submit(prefix: str, params: dict[str, Any] | None = None) -> int:
        from airflow_provider_fc.exceptions import AlreadyExistsError  # here: only this task pays for these imports
        from airflow_provider_fc.hooks import FunctionComputeHook

        given = params or {}
        with FunctionComputeHook() as hook:
            for number, path in enumerate(given["paths"]):
                with suppress(AlreadyExistsError):  # a try of this task before this one has started it
                    payload = {"path": path, "seconds": given["seconds"]}
                    hook.invoke(FUNCTION, payload, invocation_id=f"{prefix}{number:05}")
        return len(given["paths"])

    @task
    def words_of(invocation: dict[str, Any]) -> int:
        """Read what one invocation has returned. Listings do not hold results; Get does."""
        from airflow_provider_fc.hooks import FunctionComputeHook

        with FunctionComputeHook() as hook:
            result = hook.get_invocation(FUNCTION, invocation["invocation_id"]).return_payload
        return json.loads(result or "{}")["words"]

    @task
    def total(words: list[int]) -> int:
        return sum(words)

    wait = FunctionComputeInvocationsSensor(
        task_id="wait",
        function_name=FUNCTION,
        invocation_id_prefix=PREFIX,
        expected_count=submit(PREFIX),
        deferrable=True,
        poke_interval=5,
        settle_seconds=5,
        timeout=600,
        retries=1,
        retry_delay=timedelta(seconds=10),
    )

    finished = FunctionComputeListInvocationsOperator(
        task_id="finished",
        function_name=FUNCTION,
        invocation_id_prefix=PREFIX,
        statuses="Succeeded",
        fields=("invocation_id", "status"),
    )

    wait >> finished
    total(words_of.expand(invocation=finished.output))
