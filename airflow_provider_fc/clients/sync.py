"""Drives core flows with requests."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TypeVar, cast
from uuid import uuid4

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from airflow_provider_fc.clients.credentials import CredentialsProvider, provider_for
from airflow_provider_fc.clients.deadline import TimedHTTPConnection, TimedHTTPSConnection, ends
from airflow_provider_fc.clients.network import (
    ca_bundle,
    outgoing_headers,
    proxy_for,
    tls_context,
    total_timeout,
    transport_error,
    warn_once,
)
from airflow_provider_fc.core.flow import Context, Flow, GetCredentials, Send, Step, drive
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.policies import PRODUCTION, Policies
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import Credentials

T = TypeVar("T")

_CHUNK = 2**18  # a page of 100 is read at one go


def _body(response: BaseHTTPResponse) -> bytes:
    try:
        return b"".join(response.stream(_CHUNK, decode_content=True))
    finally:  # as requests ends a response
        response.close()
        response.release_conn()


@contextmanager
def _without_warnings() -> Iterator[None]:
    # urllib3 would say it with every request; network.warn_once has said it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        yield


@dataclass(frozen=True)
class _Way:
    """How an origin is reached.

    :param absolute: a proxy that is asked for a plain ``http`` origin wants its whole URL.
    """

    pool: HTTPConnectionPool
    absolute: bool


class RequestsTransport:
    """Sends requests exactly as they are: no redirects, no ``.netrc``, no environment, no resending."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Not a Session: that one keeps cookies, reads the environment, and looks where a redirect leads.
        self._adapter = HTTPAdapter()
        self._ways: dict[str, _Way] = {}

    def send(self, send: Send) -> HttpResponse:
        """Send one request.

        :raises TransportError: no complete answer.
        :raises SettingsError: ``verify`` or a variable names a file that cannot be used.
        """
        request, settings = send.request, self._settings
        total = total_timeout(settings, send.timeout)
        ends.set(time.monotonic() + total)
        headers = outgoing_headers(settings, request)
        try:
            way = self._ways.get(request.origin) or self._find_way(request.origin)
            with nullcontext() if settings.verify else _without_warnings():
                response = way.pool.urlopen(
                    request.method,
                    request.url if way.absolute else request.target,  # these bytes are signed
                    body=request.body or None,
                    headers=headers,
                    retries=False,
                    redirect=False,
                    assert_same_host=False,
                    preload_content=False,
                    timeout=Timeout(min(settings.connect_timeout, total), min(settings.read_timeout, total)),
                )
                body = _body(response)
        # Both libraries let errors of what is below through, and ValueErrors about hosts and ports that cannot be.
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            failure = transport_error(request, error)
        else:
            answer = {name.lower(): value for name, value in response.headers.itermerged()}
            return HttpResponse(response.status, answer, body)
        raise failure

    def _find_way(self, origin: str) -> _Way:
        """Find out once how an origin is reached: requests' adapter knows proxies and authorities, its pool sends."""
        settings = self._settings
        warn_once(settings.conn_id, origin, settings.verify)
        proxy = proxy_for(settings, origin)
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        path, source = ca_bundle(settings)
        if source != "the package certifi":
            tls_context(settings)  # requests' own error about an unusable file says neither where it is named nor why
        verify = path or False
        prepared = requests.PreparedRequest()
        prepared.url = f"{origin}/"
        pool = cast("HTTPConnectionPool", self._adapter.get_connection_with_tls_context(prepared, verify, proxies))
        self._adapter.cert_verify(pool, prepared.url, verify, None)  # type: ignore[no-untyped-call]
        pool.ConnectionCls = TimedHTTPSConnection if pool.scheme == "https" else TimedHTTPConnection
        way = self._ways[origin] = _Way(pool, absolute=bool(proxy) and not origin.startswith("https:"))
        return way

    def close(self) -> None:
        self._ways.clear()
        self._adapter.close()


class SyncClient:
    """Runs flows for one connection, blocking. Not to be shared between threads.

    :param announce: called with each new snapshot of credentials before its first use, so that logs can mask it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        credentials: CredentialsProvider | None = None,
        announce: Callable[[Credentials], None] = lambda credentials: None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        policies: Policies = PRODUCTION,
    ) -> None:
        self._transport = RequestsTransport(settings)
        self._credentials = credentials or provider_for(settings)
        self._announce = announce
        self._announced: Credentials | None = None
        self._sleep = sleep
        self.context = Context(settings, now=now, random=random.random, nonce=lambda: uuid4().hex, policies=policies)

    def run(self, flow: Flow[T]) -> T:
        """Obey the flow until it returns; its errors and ours pass through it."""
        return drive(flow, self._obey)

    def _obey(self, step: Step) -> object:
        if isinstance(step, Send):
            return self._transport.send(step)
        if isinstance(step, GetCredentials):
            return self._snapshot(step.rejected)
        self._sleep(step.seconds)
        return None

    def _snapshot(self, rejected: Credentials | None) -> Credentials:
        credentials = self._credentials.get(rejected)
        if credentials is not self._announced:
            self._announce(credentials)
            self._announced = credentials
        return credentials

    def pages(self, listing: Listing) -> Iterator[list[Invocation]]:
        """Yield a listing's items, page by page, fetched as they are asked for."""
        while not listing.done:
            yield self.run(listing.next_items())

    def close(self) -> None:
        self._transport.close()
