"""Drives core flows with aiohttp."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from airflow_provider_fc.clients.credentials import CredentialsProvider, provider_for
from airflow_provider_fc.clients.network import (
    outgoing_headers,
    proxy_for,
    tls_context,
    total_timeout,
    transport_error,
    warn_once,
)
from airflow_provider_fc.core.flow import Context, Flow, GetCredentials, Send, Step, drive_async
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.policies import PRODUCTION, Policies
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import Credentials

T = TypeVar("T")

_MAX_CONNECTIONS = 32  # with TLS asyncio keeps 256 KiB for each; 32 at 0.1 s a request carry 300 requests a second
_FETCHERS = 4


@dataclass
class _Pool:
    session: asyncio.Task[aiohttp.ClientSession]
    users: int = 0


# A session belongs to its loop: one used on another loop fails with "Event loop is closed".
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, _Pool]] = WeakKeyDictionary()


# Whoever waits for credentials waits on a thread: not on those of the loop itself, which also look up names.
_fetchers: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()


async def _fetch(provider: CredentialsProvider, rejected: Credentials | None) -> Credentials:
    loop = asyncio.get_running_loop()
    threads = _fetchers.get(loop)
    if threads is None:
        threads = _fetchers[loop] = ThreadPoolExecutor(_FETCHERS, "fc-credentials")
    # In the caller's context, by which Airflow knows to whose log a line belongs.
    return await loop.run_in_executor(threads, copy_context().run, provider.get, rejected)


@asynccontextmanager
async def _shared_session(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    """Share one connection pool per event loop and settings; the last user closes it."""
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    pool = pools.get(settings)
    if pool is None:
        pool = pools[settings] = _Pool(asyncio.ensure_future(_open_session(settings)))
    pool.users += 1
    try:
        yield await asyncio.shield(pool.session)
    finally:
        pool.users -= 1
        if not pool.users:
            del pools[settings]
            await _close(pool.session)


async def _open_session(settings: Settings) -> aiohttp.ClientSession:
    # Reading the certificate authorities takes 50 ms of CPU: not on the loop.
    context = await asyncio.to_thread(tls_context, settings)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=_MAX_CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        middlewares=[_send_once],
    )


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Turn the errors after which aiohttp sends a GET or PUT again by itself, byte for byte, into one that it reports.

    A nonce is good for one use, so only the flow may send again.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


async def _close(opening: asyncio.Task[aiohttp.ClientSession]) -> None:
    if not opening.done():
        opening.cancel()
    elif not opening.cancelled() and opening.exception() is None:
        await opening.result().close()


class AiohttpTransport:
    """Sends requests exactly as they are: no redirects, no environment, no headers of its own."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._proxies: dict[str, tuple[URL | None, dict[str, str]]] = {}

    async def send(self, send: Send) -> HttpResponse:
        """:raises TransportError: no complete answer."""
        request, settings = send.request, self._settings
        headers = outgoing_headers(settings, request)
        total = total_timeout(settings, send.timeout)
        try:
            proxy, proxy_headers = self._proxies.get(request.origin) or self._find_proxy(request.origin)
            if not request.origin.startswith("https:"):
                headers |= proxy_headers  # aiohttp itself sends them only with CONNECT
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),  # encoded: these bytes are signed
                headers=headers,
                skip_auto_headers=("accept", "accept-encoding", "content-type"),
                data=request.body or None,
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=proxy_headers,
                timeout=aiohttp.ClientTimeout(
                    total=total, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
                ),
            ) as response:
                body = await response.read()
        # aiohttp lets some of its parser's errors through, and ValueErrors about hosts and ports that cannot be.
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            failure = transport_error(request, error)
        else:
            return HttpResponse(response.status, _headers(response), body)
        raise failure

    def _find_proxy(self, origin: str) -> tuple[URL | None, dict[str, str]]:
        """Find out once how an origin is reached."""
        warn_once(self._settings.conn_id, origin, self._settings.verify)
        found = self._proxies[origin] = _proxy(proxy_for(self._settings, origin))
        return found


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    """As requests reads them: repeated ones joined, and bytes that are not ASCII as characters that can be stored."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _proxy(url: str | None) -> tuple[URL | None, dict[str, str]]:
    """Give the proxy and, apart from it, its password: aiohttp's errors quote the whole URL."""
    proxy = None if url is None else URL(url)
    if proxy is None or proxy.user is None:
        return proxy, {}
    userinfo = f"{proxy.user}:{proxy.password or ''}"
    return proxy.with_user(None), {"proxy-authorization": f"Basic {b64encode(userinfo.encode()).decode()}"}


class AsyncClient:
    """Runs flows for one connection on the running loop. Use it as ``async with``.

    :param announce: called with each new snapshot of credentials before its first use, so that logs can mask it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        credentials: CredentialsProvider | None = None,
        announce: Callable[[Credentials], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        policies: Policies = PRODUCTION,
    ) -> None:
        self._settings = settings
        self._credentials = credentials or provider_for(settings)
        self._announce = announce
        self._announced: Credentials | None = None
        self._sleep = sleep
        self.context = Context(settings, now=now, random=random.random, nonce=lambda: uuid4().hex, policies=policies)

    async def __aenter__(self) -> AsyncClient:
        self._shared = _shared_session(self._settings)
        self._transport = AiohttpTransport(self._settings, await self._shared.__aenter__())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._shared.__aexit__(None, None, None)

    async def run(self, flow: Flow[T]) -> T:
        """Obey the flow until it returns; its errors and ours pass through it."""
        return await drive_async(flow, self._obey)

    async def _obey(self, step: Step) -> object:
        if isinstance(step, Send):
            return await self._transport.send(step)
        if isinstance(step, GetCredentials):
            return await self._snapshot(step.rejected)
        await self._sleep(step.seconds)
        return None

    async def _snapshot(self, rejected: Credentials | None) -> Credentials:
        credentials = self._credentials.cached(rejected)
        if credentials is None:
            credentials = await _fetch(self._credentials, rejected)
        if self._announce and credentials is not self._announced:
            await self._announce(credentials)
            self._announced = credentials
        return credentials

    async def pages(self, listing: Listing) -> AsyncIterator[list[Invocation]]:
        """Yield a listing's items, page by page, fetched as they are asked for."""
        while not listing.done:
            yield await self.run(listing.next_items())
