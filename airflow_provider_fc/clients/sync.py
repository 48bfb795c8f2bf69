"""Drives core flows with requests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

import requests
import urllib3

from airflow_provider_fc.clients.credentials import CredentialsProvider, provider_for
from airflow_provider_fc.clients.network import USER_AGENT, ca_bundle, proxy_for, total_timeout, warn_once
from airflow_provider_fc.core.errors import FunctionComputeError, TransportError
from airflow_provider_fc.core.flow import Context, Flow, GetCredentials, Send, Sleep
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import Credentials

T = TypeVar("T")

_CHUNK = 65_536


class RequestsTransport:
    """Sends requests exactly as they are: no redirects, no ``.netrc``, no environment, no resending."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env = False

    def send(self, send: Send) -> HttpResponse:
        """:raises TransportError: no complete answer."""
        request, settings = send.request, self._settings
        warn_once(settings.conn_id, request.origin, settings.verify)
        prepared = requests.Request(request.method, request.origin).prepare()
        prepared.url = request.url  # set afterwards: preparing would rewrite the bytes that are signed
        prepared.headers.clear()
        prepared.headers.update({**request.headers, "user-agent": USER_AGENT})
        prepared.body = request.body or None
        if request.body or request.method != "GET":
            prepared.headers["content-length"] = str(len(request.body))
        proxy = proxy_for(settings, request.origin)
        total = total_timeout(settings, send.timeout)
        ends = time.monotonic() + total
        try:
            with self._session.send(
                prepared,
                timeout=(min(settings.connect_timeout, total), min(settings.read_timeout, total)),
                allow_redirects=False,
                verify=ca_bundle(settings) or False,
                proxies={"http": proxy, "https": proxy} if proxy else {},
                stream=True,
            ) as response:
                body = b"".join(self._chunks(response, ends))
        # requests lets some of urllib3's errors through when a body is streamed.
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise TransportError(f"{request.method} {request.origin}{request.path}: {_reason(error)}") from error
        return HttpResponse(
            response.status_code, {name.lower(): value for name, value in response.headers.items()}, body
        )

    @staticmethod
    def _chunks(response: requests.Response, ends: float) -> Iterator[bytes]:
        # read1 returns what has arrived, so that the clock is looked at even when bytes drip in one by one.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            yield chunk
            if time.monotonic() > ends:
                raise TimeoutError("the answer took too long")

    def close(self) -> None:
        self._session.close()


def _reason(error: BaseException) -> str:
    """The innermost cause: the outer ones repeat the whole URL."""
    while cause := (error.__cause__ or error.__context__):
        error = cause
    return f"{type(error).__name__}: {error}"


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
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._obey(step)
                except FunctionComputeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _obey(self, step: Send | Sleep | GetCredentials) -> object:
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

    def items(self, listing: Listing) -> Iterator[Invocation]:
        """A listing's items, fetched as they are asked for."""
        while not listing.done:
            yield from self.run(listing.next_items())

    def close(self) -> None:
        self._transport.close()
