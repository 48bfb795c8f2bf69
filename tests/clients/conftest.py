"""Scripted servers, a certificate authority of our own, and each client in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certificates import Authority, make_authority
from clients.kit import Blocking, Client, OnALoop, settings_for
from clients.wire_server import Step, WireServer


@pytest.fixture(params=[Blocking, OnALoop], ids=["requests", "aiohttp"])
def kind(request: pytest.FixtureRequest) -> type[Client]:
    return request.param


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def slept() -> list[float]:
    """The pauses that were asked for; nobody really sleeps."""
    return []


@pytest.fixture
def connect(kind: type[Client], slept: list[float], authority: Authority) -> Iterator[Callable[..., Client]]:
    """A client for an origin, with settings and options by name; closed when the test ends.

    It trusts the test's own authority: reading the real ones again and again would take most of the time.
    """
    clients: list[Client] = []

    def make(origin: str, options: dict[str, Any] | None = None, **settings: Any) -> Client:
        settings.setdefault("verify", str(authority.ca))
        clients.append(kind(settings_for(origin, **settings), slept.append, **(options or {})))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., WireServer]]:
    """A scripted server; closed when the test ends."""
    servers: list[WireServer] = []

    def make(*script: Step, **options: Any) -> WireServer:
        servers.append(WireServer(*script, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
