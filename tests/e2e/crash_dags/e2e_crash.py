"""Two tasks that start an invocation each; how they fare depends on what happens to them from outside."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_fc.operators import FunctionComputeInvokeOperator


class Telling(FunctionComputeInvokeOperator):
    """Says which process executes it. That one holds all that the task knows; killing its parent would kill Airflow."""

    def execute(self, context: Any) -> dict[str, Any]:
        Path(os.environ["E2E_FOLDER"], f"{self.task_id}-{context['ti'].try_number}.pid").write_text(str(os.getpid()))
        return super().execute(context)


with DAG(
    "e2e_crash",
    schedule="@once",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
):
    for task_id, waits in {"killed": True, "killed_submitting": False, "unanswered": True}.items():
        Telling(task_id=task_id, function_name="note", payload=task_id, poll_interval=1, wait_for_completion=waits)
