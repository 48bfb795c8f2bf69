"""One wait that ends well and one that runs into its deadline."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("e2e_waits", schedule=None, catchup=False):
    for task_id, timeout in {"ends": 600, "expires": 75}.items():
        FunctionComputeInvocationsSensor(
            task_id=task_id,
            function_name="resize",
            invocation_id_prefix=f"{task_id}-",
            settle_seconds=1,
            deferrable=True,
            poke_interval=3,
            timeout=timeout,
        )
