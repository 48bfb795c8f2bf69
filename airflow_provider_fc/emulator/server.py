"""Serves the emulator over HTTP from a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET, FunctionComputeApp
from airflow_provider_fc.emulator.control import PREFIX, ControlPaths
from airflow_provider_fc.emulator.delivery import AT_ONCE, Delivery
from airflow_provider_fc.emulator.faults import FaultRule
from airflow_provider_fc.emulator.functions import Functions, read_functions
from airflow_provider_fc.emulator.injector import FaultReport
from airflow_provider_fc.emulator.invocations import TERMINAL
from airflow_provider_fc.emulator.jobs import Execution
from airflow_provider_fc.emulator.journal import SqliteJournal
from airflow_provider_fc.emulator.records import RequestRecord
from airflow_provider_fc.emulator.schema import Scenario, ScriptedInvocation, Switches, read_scenario
from airflow_provider_fc.emulator.state import FunctionComputeState
from airflow_provider_fc.emulator.wire import read_request
from airflow_provider_fc.emulator.workers import WorkerPool

# Far above the service's own limits, which the app checks.
_BODY_LIMIT = 64 * 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # to linger for 0 s
_CLIENT_GONE = 499  # nobody will see it


class FunctionComputeEmulator:
    """A Function Compute on this machine; it listens from its creation until ``close()`` or the end of its ``with``.

    :param host: where to listen.
    :param port: 0 takes a free one; a taken one is an ``OSError`` at once.
    :param functions: a file whose public ``def f(event, context)`` become functions; ``FILE.py:handler=name`` for some
        of them; a list of these; or a mapping of names to ``FILE.py:handler``, to callables (top-level ones of an
        importable module) and to lives, as in a scenario.
    :param scenario: a scenario file, or what would be in one.
    :param state_file: keeps invocations over restarts. One that holds some already wins over a scenario's invocations.
    :param access_key_id: with ``access_key_secret`` the only valid key pair.
    :param access_key_secret: likewise.
    :param security_token: the token every request has to carry.
    :param region: shown in ARNs, in ``context`` and in the connection.
    :param account_id: likewise.
    :param retries: further attempts of a callable after a failed one, ``retry_delay`` seconds later.
    :param retry_delay: seconds before each of them.
    :param load_first: import every callable at once, in a process of its own; one that cannot be is a ``ValueError``.
        Otherwise each invocation of it fails.
    :param workers: how many callables run at the same time, each in a process of its own.
    :param strict_functions: whether a function nobody registered or scripted is 404; by default if any is registered,
        or the state file holds invocations that were executed.
    :param clock: epoch seconds, for signatures as well as for lives.
    :param on_request: told of every request that was answered.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        functions: str | Path | Iterable[str | Path] | Functions | None = None,
        scenario: str | Path | Mapping[str, Any] | Scenario | None = None,
        state_file: str | Path | None = None,
        access_key_id: str = ACCESS_KEY_ID,
        access_key_secret: str = ACCESS_KEY_SECRET,
        security_token: str | None = None,
        region: str = "cn-hangzhou",
        account_id: str = "123456789",
        retries: int = 0,
        retry_delay: float = 0.5,
        workers: int = 4,
        load_first: bool = False,
        strict_functions: bool | None = None,
        clock: Callable[[], float] = time.time,
        on_request: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        for name, value, lowest in (("workers", workers, 1), ("retries", retries, 0), ("retry_delay", retry_delay, 0)):
            if value < lowest:
                raise ValueError(f"{name} must be {lowest} or more, not {value}")
        targets, lives = read_functions(functions)
        script = read_scenario(scenario)
        for name in script.functions.keys() & (targets.keys() | lives.keys()):
            raise ValueError(f"function {name!r} is in `functions` and in the scenario; leave one of them out")
        with ExitStack() as opened:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = opened.enter_context(socket.create_server((host, port), family=family))
            journal = None if state_file is None else opened.enter_context(closing(SqliteJournal(state_file)))
            self.state = FunctionComputeState(
                clock=clock,
                functions=targets,
                scripted_functions={**script.functions, **lives},
                retries=retries,
                retry_delay=retry_delay,
                strict_functions=strict_functions,
                journal=journal,
            )
            self.state.switches = script.switches
            if self.state.restored:
                self.state.catalogue.learn(script.invocations)
            else:
                self.state.add(script.invocations)
            self.app = FunctionComputeApp(
                self.state,
                access_key_id=access_key_id,
                access_key_secret=access_key_secret,
                security_token=security_token,
                region=region,
                account_id=account_id,
                on_request=on_request,
            )
            self.app.add_faults(script.faults)
            self.endpoint = _origin(*listener.getsockname()[:2])
            self._extra = {"region_id": region, "account_id": account_id}
            if targets:
                pool = WorkerPool(
                    self.state,
                    targets,
                    workers=workers,
                    region=region,
                    account_id=account_id,
                    credentials=lambda: self.app.credentials,
                    load_first=load_first,
                )
                opened.enter_context(closing(pool))
            opened.enter_context(closing(_Listener(self.app, listener)))
            self._opened = opened.pop_all()

    @property
    def connection(self) -> dict[str, Any]:
        """The fields of an Airflow connection to this emulator."""
        credentials = self.app.credentials
        token = {"security_token": credentials.security_token} if credentials.security_token else {}
        return {
            "conn_type": "alibaba_fc",
            "login": credentials.access_key_id,
            "password": credentials.access_key_secret,
            "host": self.endpoint,
            "extra": {**self._extra, **token},
        }

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request so far, in order."""
        return list(self.app.requests)

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self.app.requests.clear()

    @property
    def executions(self) -> list[Execution]:
        """Every execution of a callable so far, in the order they began."""
        return list(self.state.jobs.executions)

    def add_invocations(self, invocations: Iterable[ScriptedInvocation | Mapping[str, Any]]) -> list[str]:
        """Create scripted invocations and return their ids."""
        return self.state.add(invocations)

    def set_switches(self, /, **switches: Any) -> Switches:
        """Change the named switches and keep the others."""
        return self.state.set_switches(**switches)

    def reset_switches(self) -> None:
        """Set all switches to their defaults."""
        self.state.reset_switches()

    @property
    def faults(self) -> list[FaultReport]:
        """The fault rules in force, with how often each has acted."""
        return self.app.faults

    def add_faults(self, faults: Iterable[FaultRule | Mapping[str, Any]]) -> None:
        """Let things go wrong from now on."""
        self.app.add_faults(faults)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self.app.clear_faults()

    def wait_until_finished(self, function: str, *ids: str, service: str = "", timeout: float = 30) -> None:
        """Wait for invocations that workers execute; this does not count as showing them.

        :raises TimeoutError: some are unfinished after ``timeout`` seconds.
        """

        def statuses() -> dict[str, str | None]:
            return {id: self.state.status(function, id, service=service) for id in ids}

        if not self.state.wait_for(lambda: TERMINAL.issuperset(statuses().values()), timeout):
            raise TimeoutError(f"unfinished after {timeout} s: {statuses()}")

    def close(self) -> None:
        """Stop listening, end the workers and leave nothing behind; calling it again does nothing."""
        self._opened.close()

    def __enter__(self) -> FunctionComputeEmulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _origin(address: str, port: int) -> str:
    """Say where clients of this machine reach what listens at an address."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


class _Listener:
    """Answers what arrives at a socket, in a thread with an event loop of its own."""

    def __init__(self, app: FunctionComputeApp, listener: socket.socket) -> None:
        self._app = app
        self._control = ControlPaths(app)
        self._socket = listener
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fc-emulator", daemon=True)
        self._thread.start()
        self._listening.wait()

    def close(self) -> None:
        if self._thread.is_alive():  # pragma: no branch - not if it could not serve
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            self._listening.set()  # also when the above failed: the constructor must not wait for ever

    async def _serve(self) -> None:
        application = web.Application(client_max_size=_BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        self._listening.set()
        await self._stopped.wait()
        # A connection accepted while its server is being closed would leak (asyncio in Python 3.11): accept no more,
        # and let those just accepted become known to the runner before it closes everything.
        self._loop.remove_reader(self._socket)
        for _ in range(3):
            await asyncio.sleep(0)
        await runner.cleanup()

    async def _answer(self, received: web.Request) -> web.StreamResponse:
        """Answer a request; every exchange passes here."""
        request = read_request(received.method, received.raw_path, received.headers, await received.read())
        response, delivery = self._respond(request, received.remote)
        if delivery == AT_ONCE:
            return web.Response(status=response.status, headers=response.headers, body=response.body)
        with suppress(ConnectionError):  # the client may not have waited
            return await self._deliver(received, response, delivery)
        return web.Response(status=_CLIENT_GONE)

    def _respond(self, request: HttpRequest, client: str | None) -> tuple[HttpResponse, Delivery]:
        if request.path.startswith(PREFIX):
            return self._control.handle(request, client), AT_ONCE
        return self._app.exchange(request)

    async def _deliver(self, received: web.Request, response: HttpResponse, delivery: Delivery) -> web.StreamResponse:
        await self._pause(delivery.delay)
        answer = web.StreamResponse(status=response.status or _CLIENT_GONE, headers=response.headers)
        if delivery.answered:
            # A body that is cut has to promise more than is sent, even if there is none.
            answer.content_length = len(response.body) or int(not delivery.arrives)
            await answer.prepare(received)
            for seconds, piece in delivery.pieces(response.body):
                await self._pause(seconds)
                await answer.write(piece)
        if delivery.end != "keep" and (transport := received.transport) is not None:
            if delivery.end == "reset":
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.close()
        return answer

    async def _pause(self, seconds: float) -> None:
        """Let so much time pass for one exchange and no other; the emulator's end ends it."""
        if seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)
