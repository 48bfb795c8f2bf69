"""Addresses of pages in the Function Compute console."""

from __future__ import annotations

from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.settings import Settings, region_of

_CONSOLE = "https://fcnext.console.aliyun.com"


def console_url(settings: Settings, function: FunctionRef) -> str:
    """The function's page; empty when no region is known.

    Source: console addresses in the tests of the devsapp/fc3 tool and in published guides; a page for a single
    invocation is not documented.
    """
    region = settings.region_id or region_of(settings.endpoint or "")
    if not region:
        return ""
    if function.service_name is None:
        return f"{_CONSOLE}/{region}/functions/{function.function_name}"
    qualifier = function.qualifier or "LATEST"
    return f"{_CONSOLE}/{region}/services/{function.service_name}/function-detail/{function.function_name}/{qualifier}"
