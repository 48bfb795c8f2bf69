"""The fan-out that checks a deployment: mapped tasks submit, mapped sensors wait, and one sensor waits for all ids.

What is submitted and waited for comes with the run; scripts/batches.py decides it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_fc.operators import FunctionComputeInvokeOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

# Enough for a worker that dies and for half a minute without Function Compute.
RETRIES: dict[str, Any] = {"retries": 9, "retry_delay": timedelta(seconds=10)}

with DAG(
    "e2e_deployment",
    schedule=None,
    catchup=False,
    params={"invocations": Param([], type="array"), "sensors": Param([], type="array")},
):

    @task(**RETRIES)
    def given(what: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return list((params or {})[what])

    invoke = FunctionComputeInvokeOperator.partial(
        task_id="invoke", function_name="work", wait_for_completion=False, **RETRIES
    ).expand_kwargs(given.override(task_id="invocations")("invocations"))

    FunctionComputeInvocationsSensor(
        task_id="wait_for_all",
        function_name="work",
        invocation_ids=invoke.output,
        max_failed=None,
        deferrable=True,
        poke_interval=10,
        **RETRIES,
    )

    FunctionComputeInvocationsSensor.partial(
        task_id="wait",
        function_name="work",
        deferrable=True,
        poke_interval=10,
        priority_weight=100,  # all of them wait before the last invocation is submitted
        **RETRIES,
    ).expand_kwargs(given.override(task_id="sensors")("sensors"))
