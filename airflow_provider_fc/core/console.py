"""Addresses of pages in the Function Compute console."""

from __future__ import annotations

from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.endpoints import is_alibaba_clouds, region_of
from airflow_provider_fc.core.http import percent_encode
from airflow_provider_fc.core.settings import Settings

_SITES = {"china": "https://fcnext.console.aliyun.com", "international": "https://fc.console.alibabacloud.com"}
"""The account belongs to one of the two sites; neither its number nor the region tells to which."""


def advised_url(settings: Settings, function: FunctionRef) -> str:
    """Make the same address for an advice to look there; empty where the endpoint is not one of Alibaba Cloud's own.

    An emulator's functions are in no console.
    """
    return console_url(settings, function) if is_alibaba_clouds(settings.endpoint) else ""


def console_url(settings: Settings, function: FunctionRef) -> str:
    """Make the address of the function's page; empty when no region is known.

    Source: console addresses in the tests of the devsapp/fc3 tool and in published guides, and for the international
    site the page of all functions in Alibaba Cloud's own guide; what follows is taken to be as on the other site. A
    page for a single invocation is not documented.
    """
    region = settings.region_id or region_of(settings.endpoint or "")
    if not region:
        return ""
    site = _SITES[settings.console]
    if function.service_name is None:
        return f"{site}/{region}/functions/{percent_encode(function.function_name)}"
    qualifier = function.qualifier or "LATEST"
    return f"{site}/{region}/services/{function.service_name}/function-detail/{function.function_name}/{qualifier}"
