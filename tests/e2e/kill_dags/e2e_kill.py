"""A task that waits, deferred, for an invocation that takes long."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_fc.operators import FunctionComputeInvokeOperator

with DAG("e2e_kill", schedule="@once", start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    FunctionComputeInvokeOperator(
        task_id="invoke", function_name="work", poll_interval=2, timeout=3600, deferrable=True
    )
