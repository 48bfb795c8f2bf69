"""Serves the emulator over HTTP from a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET, FunctionComputeApp, RequestRecord
from airflow_provider_fc.emulator.control import PREFIX, ControlPaths
from airflow_provider_fc.emulator.functions import Functions, read_functions
from airflow_provider_fc.emulator.invocations import TERMINAL
from airflow_provider_fc.emulator.jobs import Execution
from airflow_provider_fc.emulator.journal import SqliteJournal
from airflow_provider_fc.emulator.schema import Scenario, ScriptedInvocation, Switches, read_scenario
from airflow_provider_fc.emulator.state import FunctionComputeState
from airflow_provider_fc.emulator.workers import WorkerPool

# Far above the service's own limits, which the app checks.
_BODY_LIMIT = 64 * 1024 * 1024


class FunctionComputeEmulator:
    """A Function Compute on this machine; it listens from its creation until ``close()`` or the end of its ``with``.

    :param port: 0 takes a free one; a taken one is an ``OSError`` at once.
    :param functions: a file whose public ``def f(event, context)`` become functions, or a mapping of names to callables
        (top-level ones of an importable module) and to lives, as in a scenario.
    :param scenario: a scenario file, or what would be in one.
    :param state_file: keeps invocations over restarts. One that holds some already wins over a scenario's invocations.
    :param access_key_id: with ``access_key_secret`` the only valid key pair.
    :param security_token: the token every request has to carry.
    :param retries: further attempts of a callable after a failed one, ``retry_delay`` seconds later.
    :param workers: how many callables run at the same time, each in a process of its own.
    :param strict_functions: whether a function nobody registered is 404; by default if any was registered.
    :param clock: epoch seconds, for signatures as well as for lives.
    :param on_request: told of every request that was answered.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        functions: str | Path | Functions | None = None,
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
        strict_functions: bool | None = None,
        clock: Callable[[], float] = time.time,
        on_request: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        targets, lives = read_functions(functions)
        script = read_scenario(scenario)
        with ExitStack() as opened:
            listener = opened.enter_context(socket.create_server((host, port)))
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
            if not self.state.restored:
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
            self.endpoint = "http://{}:{}".format(*listener.getsockname()[:2])
            self._extra = {"region_id": region, "account_id": account_id}
            if targets:
                pool = WorkerPool(self.state, targets, workers=workers, region=region, account_id=account_id)
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
        return list(self.state.executions)

    def add_invocations(self, invocations: Iterable[ScriptedInvocation | Mapping[str, Any]]) -> list[str]:
        """Create scripted invocations and return their ids."""
        return self.state.add(invocations)

    def set_switches(self, **switches: Any) -> Switches:
        """Change the named switches and keep the others."""
        return self.state.set_switches(**switches)

    def reset_switches(self) -> None:
        """Set all switches to their defaults."""
        self.state.reset_switches()

    def wait_until_finished(self, function: str, *ids: str, service: str = "", timeout: float = 30) -> None:
        """Wait for invocations that workers execute; this is no look at them.

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
        if self._thread.is_alive():
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
        """The one place every exchange passes: a fault would act before or after ``_respond``."""
        request = _request(received, await received.read())
        response = self._respond(request, received.remote)
        return web.Response(status=response.status, headers=response.headers, body=response.body)

    def _respond(self, request: HttpRequest, client: str | None) -> HttpResponse:
        if request.path.startswith(PREFIX):
            return self._control.handle(request, client)
        return self._app.handle(request)


def _request(received: web.Request, body: bytes) -> HttpRequest:
    """The request as it stands on the wire: aiohttp's own URL normalises what was signed."""
    path, _, query = received.raw_path.partition("?")
    return HttpRequest(
        method=received.method,
        origin=f"http://{received.headers.get('host', '')}",
        path=unquote(path, errors="replace"),
        # Like every server's, this reads "+" as a space; the official SDKs send it so and sign %20.
        query=dict(parse_qsl(query, keep_blank_values=True, errors="replace")),
        headers={name.lower(): _clean(value) for name, value in received.headers.items()},
        body=body,
    )


def _clean(header: str) -> str:
    """A header as text that can be hashed: aiohttp keeps undecodable bytes as lone surrogates."""
    return header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
