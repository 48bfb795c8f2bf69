"""How to reach the server, the same for both clients: headers, CAs, proxy, timeouts, and how failures read."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from urllib.request import getproxies

import certifi
from requests.utils import select_proxy, should_bypass_proxies

from airflow_provider_fc import __version__
from airflow_provider_fc.core.endpoints import is_loopback
from airflow_provider_fc.core.errors import CertificateError, SettingsError, TransportError
from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import redact_signed

log = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-fc/{__version__}"


def outgoing_headers(settings: Settings, request: HttpRequest) -> dict[str, str]:
    """Give the headers that were signed, and say who we are.

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
    """Choose the proxy for requests to ``origin``: the connection's own, else the environment's as requests reads it.

    ``NO_PROXY`` rules both. This machine is never reached through a proxy.

    :raises SettingsError: a kind of proxy that only one of the two clients could use.
    """
    if is_loopback(origin) or should_bypass_proxies(origin, None):
        return None
    proxy = settings.proxy or select_proxy(origin, getproxies())
    if not proxy:
        return None
    kind, found, _ = proxy.partition("://")
    if found and kind not in ("http", "https"):
        raise SettingsError(settings.conn_id, [f"a {kind} proxy cannot be used; set extra.proxy to an http:// one"])
    return proxy if found else f"http://{proxy}"


# The first two as requests reads them; the third is OpenSSL's own, which curl, httpx and the library that fetches
# credentials read too.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def ca_bundle(settings: Settings) -> tuple[str | None, str]:
    """Choose the certificate authorities to trust.

    :returns: path of a file or a directory, ``None`` to trust anyone; and what says so.
    """
    if settings.verify is not True:
        return settings.verify or None, "extra.verify"
    for name in CA_VARIABLES:
        if path := os.environ.get(name):
            return path, f"the variable {name}"
    return certifi.where(), "the package certifi"


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Set up whom to trust; takes 50 ms of CPU.

    :raises SettingsError: what is named as the authorities cannot be read.
    """
    path, source = ca_bundle(settings)
    folder = path is not None and os.path.isdir(path)
    try:
        context = ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
    except OSError as error:
        raise SettingsError(
            settings.conn_id,
            [f"{source}: {path!r} cannot be read as a file of authorities: {error}; name a PEM file of this host"],
        ) from None
    if path is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def total_timeout(settings: Settings, timeout: float | None) -> float:
    """Give the seconds that a whole exchange may take, so that an answer that drips in byte by byte ends too."""
    longest = settings.connect_timeout + 2 * settings.read_timeout
    return longest if timeout is None else min(longest, timeout)


# What the causes of a failure say; the first row that fits decides.
_FAILURES: tuple[tuple[str, Callable[[BaseException], bool]], ...] = (
    ("untrusted", lambda cause: isinstance(cause, ssl.SSLCertVerificationError)),
    # ProxyError of urllib3 and requests, ClientProxyConnectionError of aiohttp.
    ("proxy", lambda cause: "Proxy" in type(cause).__name__),
    ("unknown host", lambda cause: isinstance(cause, (socket.gaierror, UnicodeError))),
    ("nobody listens", lambda cause: isinstance(cause, ConnectionRefusedError)),
    ("no TLS", lambda cause: isinstance(cause, ssl.SSLError)),
    ("other", lambda cause: True),
)

ADVICE = {
    "untrusted": (
        "where a proxy or an authority of your own has signed it, name its CA bundle in extra.verify or in one of the "
        f"variables {', '.join(CA_VARIABLES)}, for workers and triggerers; else check host and this machine's clock"
    ),
    "proxy": "the proxy did not take it: check extra.proxy, or the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    "unknown host": "there is no such host: check host, region_id and account_id",
    "nobody listens": "nothing listens there: check host and its port, and that the server, or the emulator, runs",
    "no TLS": (
        "the server does not speak TLS as it should; if it speaks plain HTTP, as the emulator does, let host begin "
        "with http:// (without a scheme, only this machine is taken for http)"
    ),
    "other": (
        "check host, region_id, account_id, internal and proxy; an -internal endpoint answers only from inside its "
        "region"
    ),
}
"""What to do about a connection that gave no complete answer."""


def transport_error(request: HttpRequest, error: Exception, *, advice: Mapping[str, str] = ADVICE) -> TransportError:
    """Say who was asked for what, the innermost reason (outer ones repeat URLs and addresses), and what to do about it.

    Raise it outside of the ``except``: the tracebacks of the libraries would hide it, and may quote secrets.

    :param advice: by kind of failure; none where it is missing.
    """
    reason = type(error).__name__
    causes = list(_causes(error))
    for cause in causes:
        text = " ".join(str(cause).split()) or ("timed out" if isinstance(cause, TimeoutError) else "")
        if text:
            reason = f"{type(cause).__name__}: {text}"
    failure = next(name for name, fits in _FAILURES if any(map(fits, causes)))
    told = f"{request.method} {request.origin}{request.path}: {redact_signed(request, reason)[:300]}"
    if failure in advice:
        told += f" ({advice[failure]})"
    return CertificateError(told) if failure == "untrusted" else TransportError(told)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """List the error and what it was raised for, outermost first.

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
