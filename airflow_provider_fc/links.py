"""The button that leads from a task to its function in the Function Compute console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_fc import _compat

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

XCOM_KEY = "fc_console_url"


class FunctionComputeConsoleLink(BaseOperatorLink):
    """The function's page in the console. The task pushes its address when it starts; nothing is looked up here."""

    name = "Function Compute console"
    # Where Airflow 3 looks for the address; it writes there itself what get_link returns when the task ends.
    xcom_key = XCOM_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty text if it is not known.

        Airflow 2 asks in its web server. Airflow 3 asks in the task's own process, when it ends; an XCom that is not
        there would leave an error in its log, so it is read only where an earlier process has pushed it.
        """
        known = None if _compat.AIRFLOW_2 else getattr(operator, "console_url", "")
        return known if known is not None else _compat.read_link(ti_key, XCOM_KEY)
