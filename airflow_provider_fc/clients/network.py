"""How to reach the server, the same for both clients: headers, CAs, proxy, timeouts, and how failures read."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from functools import cache
from urllib.request import (  # type: ignore[attr-defined]  # the second is missing from typeshed
    getproxies_environment,
    proxy_bypass_environment,
)

import certifi

from airflow_provider_fc import __version__
from airflow_provider_fc.core.endpoints import is_loopback
from airflow_provider_fc.core.errors import SettingsError, TransportError
from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import redact_signed

log = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-fc/{__version__}"


def outgoing_headers(settings: Settings, request: HttpRequest) -> dict[str, str]:
    """What was signed, and who we are.

    :raises SettingsError: a value no header can have; it is not shown, since only credentials come unchecked.
    """
    for name, value in request.headers.items():
        if not (value.isascii() and value.isprintable()):
            raise SettingsError(
                settings.conn_id,
                [f"its credentials hold characters that cannot stand in the header {name!r}; copy them anew"],
            )
    return {**request.headers, "user-agent": USER_AGENT}


def proxy_for(settings: Settings, origin: str) -> str | None:
    """The proxy for requests to ``origin``: the connection's own, else the environment's; ``NO_PROXY`` rules both.

    This machine is never reached through a proxy.

    :raises SettingsError: a kind of proxy that only one of the two clients could use.
    """
    scheme, _, authority = origin.partition("://")
    if is_loopback(origin) or proxy_bypass_environment(authority):
        return None
    environment = getproxies_environment()
    proxy = settings.proxy or environment.get(scheme) or environment.get("all")
    if not proxy:
        return None
    kind, found, _ = proxy.partition("://")
    if found and kind not in ("http", "https"):
        raise SettingsError(settings.conn_id, [f"a {kind} proxy cannot be used; set extra.proxy to an http:// one"])
    return proxy if found else f"http://{proxy}"


def ca_bundle(settings: Settings) -> str | None:
    """Path of the certificate authorities to trust, or ``None`` to trust anyone."""
    if settings.verify is True:
        return certifi.where()
    return settings.verify or None


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Whom to trust; takes 50 ms of CPU.

    :raises SettingsError: ``verify`` is not the path of a file with authorities.
    """
    try:
        context = ssl.create_default_context(cafile=ca_bundle(settings))
    except OSError as error:
        raise SettingsError(
            settings.conn_id, [f"extra.verify {settings.verify!r} cannot be read as a file of authorities: {error}"]
        ) from error
    if settings.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def total_timeout(settings: Settings, timeout: float | None) -> float:
    """Seconds that a whole exchange may take, so that an answer that drips in byte by byte ends too."""
    longest = settings.connect_timeout + 2 * settings.read_timeout
    return longest if timeout is None else min(longest, timeout)


def transport_error(request: HttpRequest, error: Exception) -> TransportError:
    """Who was asked for what, and the innermost reason: outer ones repeat URLs and addresses of objects."""
    reason = type(error).__name__
    for cause in _causes(error):
        text = " ".join(str(cause).split()) or ("timed out" if isinstance(cause, TimeoutError) else "")
        if text:
            reason = f"{type(cause).__name__}: {text}"
    return TransportError(f"{request.method} {request.origin}{request.path}: {redact_signed(request, reason)[:300]}")


def presentable(request: HttpRequest, error: Exception) -> Exception | None:
    """The error as a cause to be shown, or ``None``: libraries quote what they cannot parse, also our own secrets."""
    return error if all(redact_signed(request, text) == text for text in map(str, _causes(error))) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised for, outermost first.

    Not by ``__context__``, which also holds whatever the caller was handling; requests and urllib3 keep the cause among
    the arguments.
    """
    yield error
    cause = error.__cause__ or next((argument for argument in error.args if isinstance(argument, Exception)), None)
    if cause is not None:
        yield from _causes(cause)


@cache
def warn_once(conn_id: str, origin: str, verify: bool | str) -> None:
    """Say once per process what makes a connection less safe than it could be."""
    if origin.startswith("http://") and not is_loopback(origin):
        log.warning("Connection %r sends signed requests to %s without encryption; use https", conn_id, origin)
    if verify is False:
        log.warning("Connection %r does not check the server's certificate (verify is false)", conn_id)
