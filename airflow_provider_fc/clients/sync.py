"""Drives core flows with requests."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from uuid import uuid4

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool
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
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import Credentials

T = TypeVar("T")


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*args, **kwargs))
        pool.ConnectionCls = TimedHTTPSConnection if pool.scheme == "https" else TimedHTTPConnection
        return pool


@contextmanager
def _without_warnings() -> Iterator[None]:
    # urllib3 would say it with every request; network.warn_once has said it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        yield


class RequestsTransport:
    """Sends requests exactly as they are: no redirects, no ``.netrc``, no environment, no resending.

    :raises SettingsError: ``verify`` or a variable names a file that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        if ca_bundle(settings)[1] != "the package certifi":
            tls_context(settings)
        self._settings = settings
        # Not a Session: that one keeps cookies, reads the environment, and looks where a redirect leads.
        self._adapter = _Adapter()

    def send(self, send: Send) -> HttpResponse:
        """:raises TransportError: no complete answer."""
        request, settings = send.request, self._settings
        warn_once(settings.conn_id, request.origin, settings.verify)
        proxy = proxy_for(settings, request.origin)
        total = total_timeout(settings, send.timeout)
        ends.set(time.monotonic() + total)
        prepared = self._prepare(request)
        try:
            with (
                nullcontext() if settings.verify else _without_warnings(),
                self._adapter.send(
                    prepared,
                    timeout=(min(settings.connect_timeout, total), min(settings.read_timeout, total)),
                    verify=ca_bundle(settings)[0] or False,
                    proxies={"http": proxy, "https": proxy} if proxy else {},
                ) as response,
            ):
                body = response.content
        # requests lets some of urllib3's errors through, and ValueErrors about hosts and ports that cannot be.
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            failure = transport_error(request, error)
        else:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status_code, headers, body)
        raise failure

    def _prepare(self, request: HttpRequest) -> requests.PreparedRequest:
        # Filled by hand: requests' own way of preparing would rewrite the bytes that are signed.
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = request.method, request.url, request.body or None
        prepared.headers = CaseInsensitiveDict(outgoing_headers(self._settings, request))
        if request.body:
            prepared.headers["content-length"] = str(len(request.body))
        return prepared

    def close(self) -> None:
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
    ) -> None:
        self._transport = RequestsTransport(settings)
        self._credentials = credentials or provider_for(settings)
        self._announce = announce
        self._announced: Credentials | None = None
        self._sleep = sleep
        self.context = Context(settings, now=now, random=random.random, nonce=lambda: uuid4().hex)

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
