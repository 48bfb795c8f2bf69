"""Addresses of pages in the Function Compute console."""

from __future__ import annotations

import re

from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.settings import Settings

_CONSOLE = "https://fcnext.console.aliyun.com"

# {account}.{region}[-internal].fc.aliyuncs.com and fcv3.{region}.aliyuncs.com
_REGION_IN_HOST = re.compile(r"https?://(?:\d+\.([a-z0-9-]+?)(?:-internal)?\.fc|fcv3\.([a-z0-9-]+))\.aliyuncs\.com")


def console_url(settings: Settings, function: FunctionRef) -> str:
    """The function's page; empty when no region is known.

    Source: console addresses in the tests of the devsapp/fc3 tool and in published guides; a page for a single
    invocation is not documented.
    """
    region = settings.region_id or _region_of(settings.endpoint or "")
    if not region:
        return ""
    if function.service_name is None:
        return f"{_CONSOLE}/{region}/functions/{function.function_name}"
    qualifier = function.qualifier or "LATEST"
    return f"{_CONSOLE}/{region}/services/{function.service_name}/function-detail/{function.function_name}/{qualifier}"


def _region_of(endpoint: str) -> str | None:
    found = _REGION_IN_HOST.fullmatch(endpoint)
    return None if found is None else found[1] or found[2]
