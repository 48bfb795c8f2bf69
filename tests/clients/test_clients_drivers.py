"""Both clients obey a flow in the same way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from clients.kit import KEYS, Blocking, sending, settings_for, signed
from clients.wire_server import answer, reset, silence

from airflow_provider_fc.clients.aio import AsyncClient
from airflow_provider_fc.clients.credentials import provider_for
from airflow_provider_fc.clients.sync import SyncClient
from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import AccessDeniedError, SettingsError, TransportError
from airflow_provider_fc.core.flow import Flow, GetCredentials, Send, Sleep, call
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.operations import ListInvocations
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

NOWHERE = "http://127.0.0.1:1"


def test_a_flow_is_resumed_with_what_came_of_each_step_and_its_value_returned(connect, serve, slept):
    server = serve(answer(404, b"first"), answer(200, b"second"))

    def flow() -> Flow[list[Any]]:
        first = yield Send(signed(server.origin))
        pause = yield Sleep(1.5)
        credentials = yield GetCredentials()
        second = yield Send(signed(server.origin))
        return [first.body, pause, credentials, second.body]

    assert connect(server.origin).run(flow()) == [b"first", None, KEYS, b"second"]
    assert slept == [1.5]


def test_a_flow_that_asks_for_nothing_is_run_too(connect):
    def flow() -> Flow[int]:
        return 7
        yield  # type: ignore[unreachable]  # makes it a flow

    assert connect(NOWHERE).run(flow()) == 7


def test_without_another_sleep_the_real_one_is_used(connect):
    def flow() -> Flow[str]:
        yield Sleep(0.001)
        return "awake"

    client = SyncClient(settings_for(NOWHERE))

    async def asynchronously() -> str:
        async with AsyncClient(settings_for(NOWHERE, verify=False)) as client:
            return await client.run(flow())

    assert client.run(flow()) == asyncio.run(asynchronously()) == "awake"
    client.close()


def test_a_transport_error_is_thrown_into_the_flow_which_may_go_on(connect, serve, slept):
    server = serve(reset, answer(body=b"after all"))

    def flow() -> Flow[bytes]:
        try:
            yield Send(signed(server.origin))
        except TransportError:
            yield Sleep(0.5)
        response = yield Send(signed(server.origin))
        body: bytes = response.body
        return body

    assert connect(server.origin).run(flow()) == b"after all"
    assert slept == [0.5]


def test_an_error_that_the_flow_does_not_handle_is_raised(connect, serve):
    server = serve(reset)

    with pytest.raises(TransportError):
        connect(server.origin).run(sending(signed(server.origin)))


@pytest.mark.parametrize("error", [ValueError("the flow's own"), SettingsError("fc", ["wrong"]), KeyboardInterrupt()])
def test_an_error_of_the_flow_is_raised_as_it_is(connect, error):
    def flow() -> Flow[None]:
        yield Sleep(1)
        raise error

    with pytest.raises(type(error)) as caught:
        connect(NOWHERE).run(flow())

    assert caught.value is error


class Watched:
    """A flow that tells how it ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def flow(self, *steps: Any) -> Flow[None]:
        try:
            yield from steps
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise
        self.ends.append("returned")


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), OSError("not the network's")])
def test_a_flow_is_closed_when_obeying_it_fails_in_a_way_it_cannot_know(kind, error, authority):
    def sleep(seconds: float) -> None:
        raise error

    watched = Watched()
    flow = watched.flow(Sleep(1), Sleep(2))
    client = kind(settings_for(NOWHERE, verify=str(authority.ca)), sleep)

    with pytest.raises(type(error)) as caught:
        client.run(flow)

    assert caught.value is error
    assert watched.ends == ["GeneratorExit"]
    client.close()


def test_a_cancelled_run_closes_its_flow_and_its_connection_and_leaves_the_others_alone(serve, authority):
    server = serve(silence, answer(body=b"other"))
    settings = settings_for(server.origin, verify=str(authority.ca))
    watched = Watched()

    async def scenario() -> bytes:
        async with AsyncClient(settings) as client, AsyncClient(settings) as other:
            hanging = asyncio.ensure_future(client.run(watched.flow(Send(signed(server.origin)))))
            await asyncio.to_thread(server.wait_for, lambda: len(server.requests) == 1)
            hanging.cancel()
            with suppress(asyncio.CancelledError):
                await hanging
            assert hanging.cancelled()
            assert watched.ends == ["GeneratorExit"]
            return (await other.run(sending(signed(server.origin)))).body

    assert asyncio.run(scenario()) == b"other"
    assert server.accepted == 2


# --- credentials ------------------------------------------------------------------------------------------------------


class Rotating:
    """A provider whose snapshots have to be fetched, one after the other."""

    def __init__(self, *snapshots: Credentials | Exception) -> None:
        self._snapshots = list(snapshots)
        self._current: Credentials | None = None
        self.fetched_on: list[int] = []
        self.rejected: list[Credentials | None] = []

    def cached(self, rejected: Credentials | None) -> Credentials | None:
        return None if self._current is rejected else self._current

    def get(self, rejected: Credentials | None) -> Credentials:
        if current := self.cached(rejected):
            return current
        self.fetched_on.append(threading.get_ident())
        self.rejected.append(rejected)
        snapshot = self._snapshots.pop(0)
        if isinstance(snapshot, Exception):
            raise snapshot
        self._current = snapshot
        return snapshot


OLD = Credentials("old-id", "old-secret", "old-token", expires_at=1.0)
NEW = Credentials("new-id", "new-secret", "new-token", expires_at=2.0)


@pytest.fixture
def announced() -> list[Credentials]:
    return []


@pytest.fixture
def announce(kind: type, announced: list[Credentials]) -> Callable[[Credentials], Any]:
    async def later(credentials: Credentials) -> None:
        announced.append(credentials)

    return announced.append if kind is Blocking else later


def test_refused_credentials_are_replaced_and_each_snapshot_is_announced_once_before_its_use(
    connect, serve, announce, announced
):
    provider = Rotating(OLD, NEW)
    server = serve(answer(403, b'{"Code": "InvalidSecurityToken.Expired"}'), then=answer(body=b'{"tasks": []}'))
    client = connect(server.origin, {"credentials": provider, "announce": announce})

    for _ in range(3):
        client.run(call(ListInvocations(function_ref("resize")), client.context))

    assert provider.rejected == [None, OLD]
    assert announced == [OLD, NEW]
    tokens = [received.headers["x-acs-security-token"] for received in server.requests]
    assert tokens == ["old-token", "new-token", "new-token", "new-token"]


def test_credentials_that_are_not_at_hand_are_fetched_beside_the_loop(kind, connect):
    provider = Rotating(OLD)
    client = connect(NOWHERE, {"credentials": provider})

    def flow() -> Flow[Credentials]:
        yield GetCredentials()
        credentials: Credentials = yield GetCredentials()
        return credentials

    assert client.run(flow()) is OLD
    here = [thread == threading.get_ident() for thread in provider.fetched_on]
    assert here == [kind is Blocking]


def test_an_error_on_the_way_to_credentials_is_thrown_into_the_flow(connect):
    provider = Rotating(TransportError("STS does not answer"), NEW)

    def flow() -> Flow[Credentials]:
        with pytest.raises(TransportError, match="STS"):
            yield GetCredentials()
        credentials: Credentials = yield GetCredentials()
        return credentials

    assert connect(NOWHERE, {"credentials": provider}).run(flow()) is NEW


@pytest.mark.parametrize("token", [None, "token"])
def test_the_keys_of_the_connection_are_one_snapshot_that_never_changes(token):
    auth = Auth("sts" if token else "access_key", "id", "secret", token)
    provider = provider_for(Settings("fc", auth))

    first = provider.get(None)

    assert first == Credentials("id", "secret", token)
    assert provider.cached(None) is provider.get(first) is provider.cached(first) is first


# --- with a Function Compute ------------------------------------------------------------------------------------------


@pytest.fixture
def emulator():
    with FunctionComputeEmulator() as running:
        running.add_invocations([{"function": "resize", "id_template": "job-{index:03}", "count": 25}])
        yield running


def settings_of(emulator: FunctionComputeEmulator) -> Settings:
    fields = {name: emulator.connection[name] for name in ("host", "login", "password", "extra")}
    return replace(Settings.from_connection("fc", **fields), verify=False)


def test_a_listing_is_read_page_by_page_as_it_is_asked_for(emulator):
    operation = ListInvocations(function_ref("resize"), page_size=10)
    client = SyncClient(settings_of(emulator))

    pages = client.pages(Listing(operation, client.context))
    assert len(emulator.requests) == 0
    first = next(pages)
    assert len(emulator.requests) == 1
    rest = list(pages)
    client.close()

    assert [len(page) for page in [first, *rest]] == [10, 10, 5]
    assert len({item.invocation_id for page in [first, *rest] for item in page}) == 25
    assert len(emulator.requests) == 3


def test_a_listing_is_read_page_by_page_on_a_loop_too(emulator):
    operation = ListInvocations(function_ref("resize"), page_size=10)

    async def ids() -> list[str]:
        async with AsyncClient(settings_of(emulator)) as client:
            pages = client.pages(Listing(operation, client.context))
            items = await anext(pages)
            assert len(emulator.requests) == 1
            async for page in pages:
                items += page
            return [item.invocation_id for item in items]

    assert len(set(asyncio.run(ids()))) == 25
    assert len(emulator.requests) == 3


def test_keys_that_the_server_refuses_are_an_error_of_the_servers(kind, emulator, slept):
    wrong = replace(settings_of(emulator), auth=Auth("access_key", "somebody", "else"))
    client = kind(wrong, slept.append)

    with pytest.raises(AccessDeniedError):
        client.run(call(ListInvocations(function_ref("resize")), client.context))

    client.close()
    assert slept == []
