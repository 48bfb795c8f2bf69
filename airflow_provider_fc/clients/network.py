"""How to reach the server, the same for both clients: CAs, proxy, timeouts."""

from __future__ import annotations

import logging
from functools import cache
from urllib.request import (  # type: ignore[attr-defined]  # the second is missing from typeshed
    getproxies_environment,
    proxy_bypass_environment,
)

import certifi

from airflow_provider_fc import __version__
from airflow_provider_fc.core.settings import Settings, is_loopback

log = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-fc/{__version__}"


def proxy_for(settings: Settings, origin: str) -> str | None:
    """The proxy for requests to ``origin``: the connection's own, else the environment's; ``NO_PROXY`` rules both.

    This machine is never reached through a proxy.
    """
    scheme, _, authority = origin.partition("://")
    if is_loopback(origin) or proxy_bypass_environment(authority):
        return None
    environment = getproxies_environment()
    return settings.proxy or environment.get(scheme) or environment.get("all")


def ca_bundle(settings: Settings) -> str | None:
    """Path of the certificate authorities to trust, or ``None`` to trust anyone."""
    if settings.verify is True:
        return certifi.where()
    return settings.verify or None


def total_timeout(settings: Settings, timeout: float | None) -> float:
    """Seconds that a whole exchange may take, so that an answer that drips in byte by byte ends too."""
    longest = settings.connect_timeout + 2 * settings.read_timeout
    return longest if timeout is None else min(longest, timeout)


@cache
def warn_once(conn_id: str, origin: str, verify: bool | str) -> None:
    """Say once per process what makes a connection less safe than it could be."""
    if origin.startswith("http://") and not is_loopback(origin):
        log.warning("Connection %r sends signed requests to %s without encryption; use https", conn_id, origin)
    if verify is False:
        log.warning("Connection %r does not check the server's certificate (verify is false)", conn_id)
