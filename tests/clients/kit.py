"""Both clients behind one interface, and requests that carry every kind of secret there is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from airflow_provider_fc.clients.aio import AsyncClient
from airflow_provider_fc.clients.sync import SyncClient
from airflow_provider_fc.core.flow import Context, Flow, Send
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials, Signature, sign

KEYS = Credentials("canary-access-key-id", "canary-access-key-secret", "canary+security/token==")
PROXY_PASSWORD = "canary-proxy-password"
LIST = "/2023-03-30/functions/resize/async-tasks"

_conn_ids = count()


def settings_for(origin: str, **settings: Any) -> Settings:
    """Settings with the canary keys, each with a connection id of its own."""
    auth = Auth("sts", KEYS.access_key_id, KEYS.access_key_secret, KEYS.security_token)
    return replace(Settings(f"fc_{next(_conn_ids)}", auth, endpoint=origin, region_id="cn-hangzhou"), **settings)


def signed(
    origin: str,
    method: str = "GET",
    path: str = LIST,
    query: dict[str, str] | None = None,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    signature: Signature = "ACS3",
) -> HttpRequest:
    return sign(
        HttpRequest(method, origin, path, query or {}, headers or {"accept": "application/json"}, body),
        KEYS,
        signature=signature,
        now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        nonce="nonce-1",
        action="ListAsyncTasks",
        version="2023-03-30",
    )


def secrets_of(request: HttpRequest) -> list[str]:
    """What must never be shown: the keys, the token, the signature made with them, a proxy's password."""
    signature = re.split("Signature=|:", request.headers["authorization"])[-1]
    return [KEYS.access_key_id, KEYS.access_key_secret, str(KEYS.security_token), signature, PROXY_PASSWORD]


def sending(request: HttpRequest, timeout: float | None = None) -> Flow[HttpResponse]:
    """The shortest flow: one exchange."""
    return (yield Send(request, timeout))


class Blocking:
    """The client that uses requests."""

    def __init__(self, settings: Settings, slept: Callable[[float], None], **options: Any) -> None:
        self._client = SyncClient(settings, **{"sleep": slept, **options})

    @property
    def context(self) -> Context:
        return self._client.context

    def run(self, flow: Flow[Any]) -> Any:
        return self._client.run(flow)

    def exchange(self, request: HttpRequest, timeout: float | None = None) -> HttpResponse:
        return self._client.run(sending(request, timeout))

    def close(self) -> None:
        self._client.close()


class OnALoop:
    """The client that uses aiohttp, on an event loop that stands still between calls."""

    def __init__(self, settings: Settings, slept: Callable[[float], None], **options: Any) -> None:
        async def sleep(seconds: float) -> None:
            slept(seconds)

        self._runner = asyncio.Runner()
        self._client = AsyncClient(settings, **{"sleep": sleep, **options})
        self._entered = False

    @property
    def context(self) -> Context:
        return self._client.context

    def run(self, flow: Flow[Any]) -> Any:
        return self._runner.run(self._run(flow))

    async def _run(self, flow: Flow[Any]) -> Any:
        if not self._entered:
            await self._client.__aenter__()
            self._entered = True
        return await self._client.run(flow)

    def exchange(self, request: HttpRequest, timeout: float | None = None) -> HttpResponse:
        response: HttpResponse = self.run(sending(request, timeout))
        return response

    def close(self) -> None:
        if self._entered:
            self._runner.run(self._client.__aexit__(None, None, None))
        self._runner.close()


Client = Blocking | OnALoop
