"""Where Function Compute is reached: hosts as authors write them, and those of Alibaba Cloud's own."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from airflow_provider_fc.core.errors import ParameterError

_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?")
_LOOPBACK = re.compile(r"(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?")

_WITHOUT_FCV3 = {
    "me-central-1": "{region}.fc.aliyuncs.com",
    "cn-hangzhou-finance": "{region}.fc.aliyuncs.com",
    "cn-shanghai-finance-1": "{region}.fc.aliyuncs.com",
    "cn-heyuan-acdr-1": None,
}
"""Regions that have no ``fcv3.{region}`` host, and the one that needs no account there; ``None`` where only
``{account}.{region}-internal.fc`` exists. Source: the endpoint map of the package alibabacloud-fc20230330 4.8.3; for
the last one ``resources/fc/impl/client.ts`` of the tool devsapp/fc3.
"""

# {account}.{region}[-internal].fc.aliyuncs.com, {region}.fc.aliyuncs.com, fcv3.{region}.aliyuncs.com (page "Endpoints")
_REGION_IN_HOST = re.compile(
    r"https?://(?:(?:\d+\.)?([a-z0-9-]+?)(?:-internal)?\.fc|fcv3\.([a-z0-9-]+))\.aliyuncs\.com(?::\d+)?"
)


def is_loopback(origin: str) -> bool:
    """Tell whether an origin or authority names this very machine."""
    return _LOOPBACK.fullmatch(origin.rpartition("://")[2]) is not None


def region_of(endpoint: str) -> str | None:
    """Read the region from an endpoint of Alibaba Cloud's own."""
    found = _REGION_IN_HOST.fullmatch(endpoint.lower())
    return None if found is None else found[1] or found[2]


def is_alibaba_clouds(endpoint: str | None) -> bool:
    """Tell whether an endpoint is one of Alibaba Cloud's own, as the usual one is; any other may be an emulator's."""
    return endpoint is None or region_of(endpoint) is not None


def usual_origin(region_id: str | None, account_id: str | None, *, internal: bool, has_services: bool) -> str:
    """Make the address of a region (page "Endpoints").

    :param has_services: FC 2.0 is asked.
    :raises ParameterError: there is no address without an account id, or without ``internal``.
    """
    region = region_id or ""
    check_internal_only(region, account_id, internal=internal)
    if account_id:
        return f"https://{account_id}.{region}{'-internal' if internal else ''}.fc.aliyuncs.com"
    if has_services:
        raise ParameterError(
            "extra.account_id",
            "is missing: FC 2.0 (service_name given) is reached at an address that contains it; give it, or leave "
            "service_name out for a function of FC 3.0",
        )
    host = _WITHOUT_FCV3.get(region) or "fcv3.{region}.aliyuncs.com"
    return f"https://{host.format(region=region)}"


def check_internal_only(region: str, account_id: str | None, *, internal: bool) -> None:
    """Refuse what has no address in a region that is reached from inside only.

    :raises ParameterError: ``account_id`` or ``internal`` is missing.
    """
    if region in _WITHOUT_FCV3 and _WITHOUT_FCV3[region] is None and not (account_id and internal):
        raise ParameterError(
            "extra.region_id",
            f"{region!r} has only a VPC endpoint; set internal to true and give account_id, or set host",
        )


def origin_of(host: str | None, port: int | None) -> str | None:
    """Read ``host``, with or without scheme and port; https unless it says otherwise or is this machine.

    :raises ParameterError: it is no endpoint, or there are two ports, or a port alone.
    """
    text = (host or "").strip().rstrip("/")
    if not text:
        if port:
            raise ParameterError("port", f"{port} is given without host; give both, or none for the region's endpoint")
        return None
    scheme, found, authority = text.rpartition("://")
    authority = _with_brackets(authority)
    if not found:
        scheme = "http" if is_loopback(authority) else "https"
    named = authority.rpartition("]")[2].partition(":")[2]
    if port and named and named != str(port):
        raise ParameterError(
            "port", f"{port} is given, but host names port {named.rpartition('@')[2]}; give one of them"
        )
    if port and not named:
        authority = f"{authority}:{port}"
    scheme = scheme.lower()
    if scheme not in ("http", "https") or not _AUTHORITY.fullmatch(authority):
        shown = text.rpartition("@")[2]  # what stands before an @ may be a password
        raise ParameterError(
            "host", f"{shown!r} is not an endpoint; give a host or http(s)://host[:port] without a path"
        )
    return f"{scheme}://{authority}"


def _with_brackets(authority: str) -> str:
    """Put an IPv6 address into the brackets that a URL needs, and that Airflow takes off when it reads a URI."""
    try:
        return f"[{IPv6Address(authority).compressed}]"
    except ValueError:
        return authority
