"""A wait of Airflow's own that lasts longer than its ``execution_timeout``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator

try:
    from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
except ImportError:  # Airflow 2
    from airflow.triggers.temporal import TimeDeltaTrigger  # type: ignore[import-not-found,no-redef]


class Wait(BaseOperator):
    def execute(self, context: Any) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=30)), method_name="resume")

    def resume(self, context: Any, event: Any) -> None:
        """Return at once: what it is resumed for is that it has waited."""


with DAG("e2e_execution_timeout", schedule=None, catchup=False):
    Wait(task_id="wait", execution_timeout=timedelta(seconds=10))
