"""One connection pool per event loop and settings, opened beside the loop and closed without a trace."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from clients.kit import sending, settings_for, signed
from clients.wire_server import WireServer, answer, silence

from airflow_provider_fc.clients.aio import AsyncClient
from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import SettingsError
from airflow_provider_fc.core.flow import call
from airflow_provider_fc.core.operations import ListInvocations
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.emulator.server import FunctionComputeEmulator


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Forgotten sessions, transports and tasks speak up when they are collected, and warnings are errors."""
    yield
    gc.collect()


@pytest.fixture
def server(serve) -> WireServer:
    return serve()


@pytest.fixture
def settings(server, authority) -> Settings:
    return settings_for(server.origin, verify=str(authority.ca))


async def ask(client: AsyncClient, server: WireServer) -> int:
    return (await client.run(sending(signed(server.origin)))).status


async def visit(settings: Settings, server: WireServer) -> int:
    async with AsyncClient(settings) as client:
        return await ask(client, server)


class Gate:
    """Makes reading the authorities wait, and notes who reads them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.threads: list[int] = []
        self._create = ssl.create_default_context

    def __call__(self, *args: Any, **kwargs: Any) -> ssl.SSLContext:
        self.threads.append(threading.get_ident())
        self.entered.set()
        assert self.open.wait(60)
        return self._create(*args, **kwargs)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(ssl, "create_default_context", gate)
    return gate


# --- sharing ----------------------------------------------------------------------------------------------------------


def test_clients_with_equal_settings_share_their_connections(server, settings):
    async def scenario() -> None:
        async with AsyncClient(settings) as one, AsyncClient(replace(settings)) as other:
            for client in (one, other, one, other):
                await ask(client, server)

    asyncio.run(scenario())

    assert (len(server.requests), server.accepted) == (4, 1)


@pytest.mark.parametrize("difference", [{"read_timeout": 7.0}, {"conn_id": "another"}, {"verify": False}])
def test_clients_with_other_settings_do_not(server, settings, difference):
    async def scenario() -> None:
        async with AsyncClient(settings) as one, AsyncClient(replace(settings, **difference)) as other:
            await ask(one, server)
            await ask(other, server)

    asyncio.run(scenario())

    assert server.accepted == 2


def test_a_pool_never_outlives_its_loop(server, settings):
    for _ in range(3):
        assert asyncio.run(visit(settings, server)) == 200

    assert server.accepted == 3


def test_loops_that_run_at_the_same_time_have_pools_of_their_own(server, settings):
    both = threading.Barrier(2, timeout=60)
    statuses: list[int] = []

    async def scenario() -> None:
        async with AsyncClient(settings) as client:
            statuses.append(await ask(client, server))
            await asyncio.to_thread(both.wait)
            statuses.append(await ask(client, server))

    threads = [threading.Thread(target=asyncio.run, args=[scenario()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert statuses == [200] * 4
    assert server.accepted == 2


def test_a_pool_does_not_keep_its_loop_alive(server, settings):
    loops = []

    async def scenario() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await visit(settings, server)

    asyncio.run(scenario())
    gc.collect()

    assert loops[0]() is None


# --- closing ----------------------------------------------------------------------------------------------------------


def test_the_last_client_to_leave_closes_the_connections(server, settings):
    async def scenario() -> None:
        async with AsyncClient(settings) as one:
            async with AsyncClient(settings) as other:
                await ask(other, server)
            assert server.open_connections() == 1
            await ask(one, server)
            assert server.accepted == 1
        await asyncio.to_thread(server.wait_for, lambda: server.open_connections() == 0)

    asyncio.run(scenario())


def test_connections_with_tls_are_closed_without_a_trace_too(serve, authority):
    server = serve(tls=authority.server)

    assert asyncio.run(visit(settings_for(server.origin, verify=str(authority.ca)), server)) == 200

    server.wait_for(lambda: server.open_connections() == 0)


def test_an_exception_inside_leaves_the_pool_to_the_others(server, settings):
    async def visit_and_fail() -> None:
        async with AsyncClient(settings) as client:
            await ask(client, server)
            raise ZeroDivisionError

    async def scenario() -> None:
        async with AsyncClient(settings) as survivor:
            await ask(survivor, server)
            with pytest.raises(ZeroDivisionError):
                await visit_and_fail()
            await ask(survivor, server)

    asyncio.run(scenario())

    assert (len(server.requests), server.accepted) == (3, 1)


def test_a_loop_that_ends_with_requests_under_way_leaves_nothing_behind(serve, authority):
    server = serve(silence)
    settings = settings_for(server.origin, verify=str(authority.ca))

    async def scenario() -> None:
        asyncio.ensure_future(visit(settings, server))  # noqa: RUF006 - asyncio.run() cancels it
        await asyncio.to_thread(server.wait_for, lambda: len(server.requests) == 1)

    asyncio.run(scenario())

    server.wait_for(lambda: server.open_connections() == 0)
    assert server.open_connections() == 0


# --- opening ----------------------------------------------------------------------------------------------------------


def test_the_authorities_are_read_once_and_not_on_the_loop(server, settings, gate):
    async def scenario() -> list[int]:
        return await asyncio.gather(*(visit(settings, server) for _ in range(20)))

    assert asyncio.run(scenario()) == [200] * 20
    assert len(gate.threads) == 1
    assert threading.get_ident() not in gate.threads


def test_names_are_not_looked_up_on_the_loop(server, settings, monkeypatch):
    threads = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        threads.append(threading.get_ident())
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    far = f"http://fc.example.invalid:{server.port}"

    async def scenario() -> int:
        async with AsyncClient(replace(settings, endpoint=far)) as client:
            return (await client.run(sending(signed(far)))).status

    assert asyncio.run(scenario()) == 200
    assert threads
    assert threading.get_ident() not in threads


def test_a_client_cancelled_while_it_waits_for_the_pool_leaks_nothing(server, settings, gate):
    gate.open.clear()

    async def scenario() -> int:
        waiting = asyncio.ensure_future(visit(settings, server))
        await asyncio.to_thread(gate.entered.wait, 5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open.set()
        return await visit(settings, server)

    assert asyncio.run(scenario()) == 200
    assert (len(server.requests), server.accepted) == (1, 1)


def test_a_client_cancelled_while_it_waits_does_not_take_the_pool_from_the_others(server, settings, gate):
    gate.open.clear()

    async def scenario() -> int:
        cancelled, patient = (asyncio.ensure_future(visit(settings, server)) for _ in range(2))
        await asyncio.to_thread(gate.entered.wait, 5)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        gate.open.set()
        return await patient

    assert asyncio.run(scenario()) == 200
    assert len(gate.threads) == 1


def test_a_client_cancelled_at_the_very_moment_the_pool_opens_leaks_nothing(server, settings, gate):
    async def scenario() -> None:
        waiting = asyncio.ensure_future(visit(settings, server))
        for _ in range(20):
            await asyncio.sleep(0)
            if gate.entered.is_set():
                break
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await visit(settings, server) == 200

    for _ in range(5):
        asyncio.run(scenario())


def test_when_the_pool_cannot_be_opened_everybody_hears_why_and_the_next_one_tries_again(server, tmp_path, authority):
    path = tmp_path / "ca.pem"
    settings = settings_for(server.origin, verify=str(path))

    async def scenario() -> list[Any]:
        failed = await asyncio.gather(*(visit(settings, server) for _ in range(3)), return_exceptions=True)
        path.write_bytes(authority.ca.read_bytes())
        return [*failed, await visit(settings, server)]

    *failed, status = asyncio.run(scenario())

    assert [type(error) for error in failed] == [SettingsError] * 3
    assert all(str(path) in str(error) for error in failed)
    assert status == 200


# --- many at once -----------------------------------------------------------------------------------------------------


def test_fifty_clients_list_at_once_through_one_pool(gate):
    with FunctionComputeEmulator() as emulator:
        emulator.add_invocations([{"function": "resize", "id_template": "job-{index:03}", "count": 3}])
        fields = {name: emulator.connection[name] for name in ("host", "login", "password", "extra")}
        settings = Settings.from_connection("fc", **fields)

        async def ids() -> list[str]:
            async with AsyncClient(settings) as client:
                page = await client.run(call(ListInvocations(function_ref("resize")), client.context))
                return [item.invocation_id for item in page.items]

        async def scenario() -> list[list[str]]:
            return await asyncio.gather(*(ids() for _ in range(50)))

        assert [sorted(ids) for ids in asyncio.run(scenario())] == [["job-000", "job-001", "job-002"]] * 50
        assert len(emulator.requests) == 50
    assert len(gate.threads) == 1


def test_a_pool_opens_at_most_32_connections_and_the_rest_wait_for_one(serve, authority):
    release = threading.Event()

    def together(connection: Any) -> None:
        assert release.wait(60)
        answer()(connection)

    server = serve(then=together)
    settings = settings_for(server.origin, verify=str(authority.ca))

    async def scenario() -> list[int]:
        asking = asyncio.gather(*(visit(settings, server) for _ in range(50)))
        await asyncio.to_thread(server.wait_for, lambda: len(server.requests) == 32)
        release.set()
        return await asking

    assert asyncio.run(scenario()) == [200] * 50
    assert server.accepted == 32
