"""Two tasks that wait for invocations that take long: one deferred, one on its worker."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_fc.operators import FunctionComputeInvokeOperator

with DAG("e2e_kill", schedule="@once", start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    for task_id in ("deferred", "blocking"):
        FunctionComputeInvokeOperator(
            task_id=task_id,
            function_name="work",
            poll_interval=2,
            timeout=3600,
            deferrable=task_id == "deferred",
        )
