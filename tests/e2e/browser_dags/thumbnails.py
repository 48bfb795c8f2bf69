"""A batch that is awaited, and the list of what failed in it: what a user of the web interface looks at."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("thumbnails", schedule=None, catchup=False):
    batch = {"function_name": "thumbnail", "invocation_id_prefix": "thumb-monday-"}
    wait = FunctionComputeInvocationsSensor(
        task_id="wait",
        expected_count=40,
        max_failed=None,
        deferrable=True,
        poke_interval=3,
        progress_interval=3,
        settle_seconds=1,
        timeout=3600,
        **batch,
    )
    failed = FunctionComputeListInvocationsOperator(task_id="failed", statuses="Failed", **batch)
    wait >> failed
