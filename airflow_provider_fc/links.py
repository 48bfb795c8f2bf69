"""The button that leads from a task to its function in the Function Compute console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

    from airflow_provider_fc.core.api import FunctionRef
    from airflow_provider_fc.core.settings import Settings

XCOM_KEY = "fc_console_url"


class FunctionComputeConsoleLink(BaseOperatorLink):
    """The function's page in the console. The task pushes its address when it starts; nothing is looked up here."""

    name = "Function Compute console"
    # Where Airflow 3 looks for the address; its own key is written only when the task leaves its worker.
    xcom_key = XCOM_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address, or an empty text if the task never started."""
        return XCom.get_value(key=XCOM_KEY, ti_key=ti_key) or ""


def push_link(context: Context, settings: Settings, function: FunctionRef) -> None:
    """Push the address of the function's page for :class:`FunctionComputeConsoleLink`."""
    from airflow_provider_fc.core.console import console_url

    url = console_url(settings, function)
    ti: Any = context.get("ti")
    if url and ti is not None:
        ti.xcom_push(key=XCOM_KEY, value=url)
