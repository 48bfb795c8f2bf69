"""Hooks: read an Airflow connection and talk to Function Compute, blocking or on an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from contextvars import copy_context
from functools import cached_property
from itertools import chain, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import msgspec
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_fc import connection_form
from airflow_provider_fc._compat import (
    ASKS_ON_THE_LOOP,
    amask_secret,
    ask_airflow,
    ask_supervisor,
    mask_secret,
    silence_scheme_warning,
)
from airflow_provider_fc.core import connection_test, connection_text, defaults
from airflow_provider_fc.core.errors import (
    ConnectionNotFoundError,
    FunctionComputeError,
    ParameterError,
    SettingsError,
)
from airflow_provider_fc.core.flow import Context, call
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.invoking import submit
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE
from airflow_provider_fc.core.listing import Listing, count
from airflow_provider_fc.core.operations import GetInvocation, Invoke, ListInvocations, StopInvocation
from airflow_provider_fc.core.parameters import is_absent, text, whole_number
from airflow_provider_fc.core.policies import PRODUCTION, Policies
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.core.stopping import by_stop_result, concurrency, stop, stop_operations, stop_unfinished

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_fc.clients.aio import AsyncClient
    from airflow_provider_fc.clients.sync import SyncClient

log = logging.getLogger(__name__)

CONN_TYPES = ("alibaba_fc", "alibaba_cloud")
silence_scheme_warning(CONN_TYPES)


def settings_from(conn: Connection, region_id: str | None = None) -> Settings:
    """Read a connection's fields; makes no call of any kind.

    :raises SettingsError: names every mistake.
    """
    conn_id = str(conn.conn_id)
    if conn.conn_type not in CONN_TYPES:
        raise SettingsError(conn_id, [_wrong_type(conn.conn_type)])
    return Settings.from_connection(
        conn_id,
        conn_type=conn.conn_type,
        host=conn.host,
        port=conn.port,
        login=conn.login,
        password=conn.password,
        extra=_extra(conn_id, conn.extra),
        schema=conn.schema,
        region_id=region_id,
    )


def _wrong_type(conn_type: str | None) -> str:
    if conn_type in connection_text.AIRFLOWS_FIELDS:
        return (
            f"its type is {conn_type!r}, the name of a field: a shell has taken the quotes off its JSON; put the whole "
            "value into single quotes"
        )
    if conn_type:
        return f"its type is {conn_type!r}; use {' or '.join(CONN_TYPES)}"
    # A URI's scheme cannot hold a _ (RFC 3986, 3.1): urlsplit finds none in alibaba_fc://, so Airflow gives no type.
    written = " or ".join(f"{name.replace('_', '-')}://" for name in CONN_TYPES)
    return (
        f"it has no type; in a URI write {written} (with a - instead of the _), in JSON conn_type {CONN_TYPES[0]}, and "
        "in a shell put the whole value into single quotes"
    )


def _extra(conn_id: str, text: str | None) -> dict[str, Any]:
    # Not extra_dejson: in a trigger it would call the supervisor synchronously, on the event loop.
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except msgspec.DecodeError as error:
        raise SettingsError(conn_id, [f"extra {connection_text.not_an_object(error)}"]) from None


def _no_such_connection(conn_id: str) -> ConnectionNotFoundError:
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    problem = (
        f"names no connection; add it with `airflow connections add {conn_id} --conn-json "
        f"'{connection_text.CONNECTION}'`, or set the variable {variable} to that JSON"
    )
    if value := os.environ.get(variable):  # Airflow does not say why it cannot be read, and found nothing elsewhere
        wrong = connection_text.problem_of(value)
        problem = f"names {variable}, which is set but cannot be read as a connection: {wrong}"
    return ConnectionNotFoundError(conn_id, [f"fc_conn_id {problem}"])


def _mask(credentials: Credentials) -> None:
    # Airflow masks the password by itself, but neither the key's id nor what is fetched from STS.
    for secret in credentials.parts:
        mask_secret(secret)


async def _amask(credentials: Credentials) -> None:
    for secret in credentials.parts:
        await amask_secret(secret)


class _ConnectionHook(BaseHook):
    """What Airflow wants to know of a hook, and the two parameters both hooks share.

    :param fc_conn_id: connection of type ``alibaba_fc`` (or ``alibaba_cloud``).
    :param region_id: overrides the connection's region.
    """

    conn_name_attr = "fc_conn_id"
    default_conn_name = defaults.CONN_ID
    conn_type = "alibaba_fc"
    hook_name = "Alibaba Cloud Function Compute"

    policies: ClassVar[Policies] = PRODUCTION
    """Those of all that Airflow makes. Nothing can hand them to it, so a test replaces them here and nowhere else."""

    def __init__(self, fc_conn_id: str = default_conn_name, region_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id

    def _conn_id(self) -> str:
        if is_absent(self.fc_conn_id):
            raise ParameterError("fc_conn_id", "is missing; give the id of an alibaba_fc connection")
        return text("fc_conn_id", self.fc_conn_id)


class FunctionComputeHook(_ConnectionHook):
    """Blocking access to Function Compute for one connection. Not to be shared between threads.

    All methods raise :class:`ParameterError` for a value that cannot be used, :class:`SettingsError` for an unusable
    connection, :class:`ApiError` (with HTTP status, code, message and request id) for an error of the server's, and
    :class:`TransportError` when no complete answer came within ``max_attempts``.

    :param fc_conn_id: connection of type ``alibaba_fc`` (or ``alibaba_cloud``).
    :param region_id: overrides the connection's region.
    """

    # Airflow 2 looks for these two on this very class, not on its bases.
    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Make the form fields for Airflow 2; Airflow 3 reads them from the provider's metadata."""
        return connection_form.connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        return connection_form.ui_field_behaviour()

    @cached_property
    def settings(self) -> Settings:
        """The connection, read once."""
        conn_id = self._conn_id()
        try:
            conn = ask_supervisor(self.get_connection, conn_id)
        except AirflowNotFoundException:
            raise _no_such_connection(conn_id) from None
        return settings_from(conn, self.region_id)

    @cached_property
    def client(self) -> SyncClient:
        return self._new_client()

    def _new_client(self) -> SyncClient:
        # It brings requests, 0.2 s, which whoever only reads the connection does not need.
        from airflow_provider_fc.clients.sync import SyncClient

        return SyncClient(self.settings, announce=_mask, policies=self.policies)

    def get_conn(self) -> SyncClient:
        return self.client

    def close(self) -> None:
        """Close the connections to the server; the hook can be used again afterwards."""
        if "client" in self.__dict__:
            self.__dict__.pop("client").close()

    def __enter__(self) -> FunctionComputeHook:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def list_invocations(
        self,
        function_name: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
        invocation_id_prefix: str | None = None,
        statuses: str | Sequence[str] | None = None,
        started_after: Any = None,
        started_before: Any = None,
        order: str | None = None,
        include_payload: bool = False,
        page_size: int = MAX_PAGE_SIZE,
        limit: int | None = None,
    ) -> Iterator[Invocation]:
        """List invocations lazily, in constant memory, each id once among any thousand neighbours.

        :param function_name: the function; ``service$function`` for one that came from FC 2.0.
        :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
        :param qualifier: version or alias.
        :param invocation_id_prefix: ids must start with it.
        :param statuses: one status or several, as a list or as text with commas between them; all by default.
        :param started_after: aware datetime, ISO 8601 text with a zone, or epoch ms; inclusive. The server may leave
            out what has not started.
        :param started_before: likewise.
        :param order: ``asc`` or ``desc`` by start time; the server's own order by default.
        :param include_payload: ask for the payloads that the invocations were started with.
        :param page_size: invocations per request, 1 to 100.
        :param limit: stop after so many.
        """
        listing, most = _listing(
            self.client.context,
            function_name,
            service_name,
            qualifier,
            limit,
            invocation_id_prefix=invocation_id_prefix,
            statuses=statuses,
            started_after=started_after,
            started_before=started_before,
            order=order,
            include_payload=include_payload,
            page_size=page_size,
        )
        return islice(chain.from_iterable(self.client.pages(listing)), most)

    def count_invocations(
        self,
        function_name: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
        invocation_id_prefix: str | None = None,
        statuses: str | Sequence[str] | None = None,
        started_after: Any = None,
        started_before: Any = None,
    ) -> dict[str, Any]:
        """Count invocations by status, with one request for each hundred and in constant memory.

        A listing is no snapshot: what changes while it is read may count as it was or as it is.

        :param function_name: the function; ``service$function`` for one that came from FC 2.0.
        :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
        :param qualifier: version or alias.
        :param invocation_id_prefix: ids must start with it.
        :param statuses: one status or several, as a list or as text with commas between them; all by default.
        :param started_after: aware datetime, ISO 8601 text with a zone, or epoch ms; inclusive. The server may leave
            out what has not started.
        :param started_before: likewise.
        :returns: ``{"total", "by_status"}``
        """
        listing, _ = _listing(
            self.client.context,
            function_name,
            service_name,
            qualifier,
            None,
            invocation_id_prefix=invocation_id_prefix,
            statuses=statuses,
            started_after=started_after,
            started_before=started_before,
        )
        return self.client.run(count(listing))

    def get_invocation(
        self,
        function_name: str,
        invocation_id: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
    ) -> Invocation:
        """Get one invocation.

        :param function_name: the function; ``service$function`` for one that came from FC 2.0.
        :param invocation_id: its id.
        :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
        :param qualifier: version or alias.
        :raises NotFoundError: it does not exist, is not visible yet, or its record is older than 7 days.
        """
        function = self.settings.function(function_name, service_name, qualifier)
        return self.client.run(call(GetInvocation.from_parameters(function, invocation_id), self.client.context))

    def stop_invocation(
        self,
        function_name: str,
        invocation_id: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
    ) -> None:
        """Ask for one invocation to be stopped; it is ``Stopping`` until it has.

        :param function_name: the function; ``service$function`` for one that came from FC 2.0.
        :param invocation_id: its id.
        :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
        :param qualifier: version or alias.
        :raises AlreadyCompletedError: it had ended before.
        :raises NotFoundError: see :meth:`get_invocation`.
        """
        function = self.settings.function(function_name, service_name, qualifier)
        self.client.run(stop_unfinished(StopInvocation.from_parameters(function, invocation_id), self.client.context))

    def stop_invocations(
        self,
        function_name: str,
        invocation_ids: Sequence[str],
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
        max_concurrency: int = defaults.MAX_CONCURRENCY,
    ) -> dict[str, list[str]]:
        """Stop many, a few at the same time; what has ended meanwhile or is unknown is no error.

        :param function_name: the function; ``service$function`` for one that came from FC 2.0.
        :param invocation_ids: ids, or the dicts that our operators return; any number.
        :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
        :param qualifier: version or alias.
        :param max_concurrency: requests under way at the same time.
        :returns: ``{"stopped", "already_finished", "not_found"}``, each a list of ids.
        :raises FunctionComputeError: the first refusal, when all the others have been tried; the log says what became
            of them.
        """
        function = self.settings.function(function_name, service_name, qualifier)
        operations = stop_operations(function, invocation_ids)
        threads = min(concurrency(max_concurrency), len(operations))
        if threads < 2:
            return by_stop_result(operations, [_attempt_to_stop(self.client, operation) for operation in operations])
        return by_stop_result(operations, self._stop_on_threads(operations, threads))

    def _stop_on_threads(self, operations: Sequence[StopInvocation], threads: int) -> list[str | FunctionComputeError]:
        """Stop with as many clients as threads; each is used by one thread at a time."""
        clients: SimpleQueue[SyncClient] = SimpleQueue()

        def attempt(operation: StopInvocation) -> str | FunctionComputeError:
            client = clients.get()
            try:
                return _attempt_to_stop(client, operation)
            finally:
                clients.put(client)

        with ExitStack() as stack:
            for _ in range(threads):
                clients.put(stack.enter_context(closing(self._new_client())))
            pool = stack.enter_context(ThreadPoolExecutor(threads, "fc-stop"))
            # A kill of the task must not wait for those not yet begun.
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            # In the caller's context, by which Airflow knows to whose log a line belongs.
            futures = [pool.submit(copy_context().run, attempt, operation) for operation in operations]
            return [future.result() for future in futures]

    def invoke(
        self,
        function_name: str,
        payload: Any = None,
        *,
        invocation_id: str | None = None,
        delay: int | None = None,
        service_name: str | None = None,
        qualifier: str | None = None,
    ) -> str:
        """Start one invocation asynchronously and return its id.

        It is always submitted with an id, one made up here if none is given, so a repeated request can never run the
        function twice.

        :param function_name: the function; ``service$function`` for one that came from FC 2.0.
        :param payload: bytes, text (UTF-8) or anything JSON can hold; 128 KB at most.
        :param invocation_id: letters, digits, ``_`` and ``-``; ``: + . / @ ~`` and space become ``_``.
        :param delay: seconds that FC holds it back, 0 to 3600.
        :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
        :param qualifier: version or alias.
        :raises AlreadyExistsError: the id has been used before.
        """
        function = self.settings.function(function_name, service_name, qualifier)
        operation = Invoke.from_parameters(function, payload, invocation_id=invocation_id, delay=delay)
        return self.client.run(submit(operation, self.client.context)).invocation_id

    def test_connection(self) -> tuple[bool, str]:
        """Make one signed read and say what is wrong: key, endpoint, permission or reachability."""
        try:
            return self.client.run(connection_test.check(self.client.context))
        except FunctionComputeError as error:  # the connection is no Function Compute connection
            return False, str(error)
        finally:
            self.close()


def _listing(
    context: Context, function_name: object, service_name: object, qualifier: object, limit: object, **filters: object
) -> tuple[Listing, int | None]:
    """Make what both hooks list, and say how many of it they show."""
    most = whole_number("limit", limit, at_least=0, at_most=sys.maxsize)
    function = context.settings.function(function_name, service_name, qualifier)
    return Listing(ListInvocations.from_parameters(function, limit=most, **filters), context), most


def _attempt_to_stop(client: SyncClient, operation: StopInvocation) -> str | FunctionComputeError:
    # One that fails does not keep the others from being stopped.
    try:
        return client.run(stop(operation, client.context))
    except FunctionComputeError as error:
        return error


async def _read_connection(conn_id: str) -> Connection:
    try:
        if ASKS_ON_THE_LOOP:
            return await BaseHook.aget_connection(conn_id)
        return await ask_airflow(BaseHook.get_connection, conn_id)
    except AirflowNotFoundException:
        raise _no_such_connection(conn_id) from None


class _Rereads:
    """Connections read again on one loop, in case they have changed: one read a minute serves all who wait for it."""

    def __init__(self) -> None:
        self._next: dict[str, asyncio.Task[Connection]] = {}
        self._due: dict[str, float] = {}

    async def read(self, conn_id: str, pause: float) -> Connection:
        """Wait for the next read of a connection.

        :param pause: seconds between this one and the next.
        """
        if conn_id not in self._next:
            self._next[conn_id] = asyncio.ensure_future(self._read_when_due(conn_id, pause))
        return await asyncio.shield(self._next[conn_id])

    async def _read_when_due(self, conn_id: str, pause: float) -> Connection:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._due.get(conn_id, 0.0) - clock())
        del self._next[conn_id]  # before it begins: whoever asks later may know of a change that it does not see
        self._due[conn_id] = clock() + pause
        try:
            return await _read_connection(conn_id)
        except BaseException:
            self._due.pop(conn_id, None)
            raise


_rereads: WeakKeyDictionary[asyncio.AbstractEventLoop, _Rereads] = WeakKeyDictionary()


def _rereads_of_this_loop() -> _Rereads:
    return _rereads.setdefault(asyncio.get_running_loop(), _Rereads())


class FunctionComputeAsyncHook(_ConnectionHook):
    """The same on an event loop, for triggers; nothing in it blocks the loop.

    Use it as ``async with`` for more than a call or two: then it keeps its connections to the server, in a pool shared
    by all hooks with equal settings on the same loop. Otherwise each call opens some and closes them again.

    :param fc_conn_id: connection of type ``alibaba_fc`` (or ``alibaba_cloud``).
    :param region_id: overrides the connection's region.
    :param reread: the connection is read to see whether it has changed. One read a minute serves all such hooks on it,
        so this one may have to wait for the next.
    """

    def __init__(
        self,
        fc_conn_id: str = _ConnectionHook.default_conn_name,
        region_id: str | None = None,
        *,
        reread: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(fc_conn_id, region_id, **kwargs)
        self.reread = reread

    @cached_property
    def settings(self) -> Settings:
        """The connection, read once: when the hook is entered, or with its first call."""
        raise RuntimeError("the connection has not been read; use `async with FunctionComputeAsyncHook(...) as hook`")

    client: AsyncClient
    """There is one while the hook is entered."""

    async def __aenter__(self) -> FunctionComputeAsyncHook:
        self.client = await self._new_client(await self._read()).__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        client: AsyncClient = self.__dict__.pop("client")
        await client.__aexit__(*exc_info)

    async def _read(self) -> Settings:
        conn_id = self._conn_id()
        if self.reread:
            conn = await _rereads_of_this_loop().read(conn_id, self.policies.connections.reread)
        else:
            conn = await _read_connection(conn_id)
        self.settings = settings_from(conn, self.region_id)
        return self.settings

    def _new_client(self, settings: Settings) -> AsyncClient:
        # It brings aiohttp, which the blocking hook does not need.
        from airflow_provider_fc.clients.aio import AsyncClient

        return AsyncClient(settings, announce=_amask, policies=self.policies)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncClient]:
        """Lend the client of ``async with``, or one for this call alone."""
        if "client" in self.__dict__:
            yield self.client
            return
        async with self._new_client(self.__dict__.get("settings") or await self._read()) as client:
            yield client

    async def list_invocations(
        self,
        function_name: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
        invocation_id_prefix: str | None = None,
        statuses: str | Sequence[str] | None = None,
        started_after: Any = None,
        started_before: Any = None,
        order: str | None = None,
        include_payload: bool = False,
        page_size: int = MAX_PAGE_SIZE,
        limit: int | None = None,
    ) -> AsyncIterator[Invocation]:
        """See :meth:`FunctionComputeHook.list_invocations`."""
        async with self._connected() as client:
            listing, most = _listing(
                client.context,
                function_name,
                service_name,
                qualifier,
                limit,
                invocation_id_prefix=invocation_id_prefix,
                statuses=statuses,
                started_after=started_after,
                started_before=started_before,
                order=order,
                include_payload=include_payload,
                page_size=page_size,
            )
            if most == 0:
                return
            shown = 0
            async for items in client.pages(listing):
                for item in items:
                    yield item
                    shown += 1
                    if shown == most:
                        return

    async def count_invocations(
        self,
        function_name: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
        invocation_id_prefix: str | None = None,
        statuses: str | Sequence[str] | None = None,
        started_after: Any = None,
        started_before: Any = None,
    ) -> dict[str, Any]:
        """See :meth:`FunctionComputeHook.count_invocations`."""
        async with self._connected() as client:
            listing, _ = _listing(
                client.context,
                function_name,
                service_name,
                qualifier,
                None,
                invocation_id_prefix=invocation_id_prefix,
                statuses=statuses,
                started_after=started_after,
                started_before=started_before,
            )
            return await client.run(count(listing))

    async def get_invocation(
        self,
        function_name: str,
        invocation_id: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
    ) -> Invocation:
        """See :meth:`FunctionComputeHook.get_invocation`."""
        async with self._connected() as client:
            function = client.context.settings.function(function_name, service_name, qualifier)
            return await client.run(call(GetInvocation.from_parameters(function, invocation_id), client.context))

    async def stop_invocation(
        self,
        function_name: str,
        invocation_id: str,
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
    ) -> None:
        """See :meth:`FunctionComputeHook.stop_invocation`."""
        async with self._connected() as client:
            function = client.context.settings.function(function_name, service_name, qualifier)
            await client.run(stop_unfinished(StopInvocation.from_parameters(function, invocation_id), client.context))

    async def stop_invocations(
        self,
        function_name: str,
        invocation_ids: Sequence[str],
        *,
        service_name: str | None = None,
        qualifier: str | None = None,
        max_concurrency: int = defaults.MAX_CONCURRENCY,
    ) -> dict[str, list[str]]:
        """See :meth:`FunctionComputeHook.stop_invocations`."""
        async with self._connected() as client:
            function = client.context.settings.function(function_name, service_name, qualifier)
            operations = stop_operations(function, invocation_ids)
            busy = asyncio.Semaphore(concurrency(max_concurrency))

            async def attempt(operation: StopInvocation) -> str | FunctionComputeError:
                async with busy:
                    try:
                        return await client.run(stop(operation, client.context))
                    except FunctionComputeError as error:
                        return error

            return by_stop_result(operations, await asyncio.gather(*map(attempt, operations)))

    async def invoke(
        self,
        function_name: str,
        payload: Any = None,
        *,
        invocation_id: str | None = None,
        delay: int | None = None,
        service_name: str | None = None,
        qualifier: str | None = None,
    ) -> str:
        """See :meth:`FunctionComputeHook.invoke`."""
        async with self._connected() as client:
            function = client.context.settings.function(function_name, service_name, qualifier)
            operation = Invoke.from_parameters(function, payload, invocation_id=invocation_id, delay=delay)
            return (await client.run(submit(operation, client.context))).invocation_id

    async def test_connection(self) -> tuple[bool, str]:
        """See :meth:`FunctionComputeHook.test_connection`."""
        try:
            async with self._connected() as client:
                return await client.run(connection_test.check(client.context))
        except FunctionComputeError as error:  # the connection is no Function Compute connection
            return False, str(error)
