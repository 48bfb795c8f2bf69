"""The two hooks: the same methods, blocking and on a loop, over every way to write a connection."""

from __future__ import annotations

import asyncio
import inspect
import json
import shlex
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from airflow.providers.common.compat.sdk import BaseHook, Connection
from running import Reads

from airflow_provider_fc import hooks
from airflow_provider_fc.clients import aio
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    AlreadyCompletedError,
    AlreadyExistsError,
    NotFoundError,
    ParameterError,
    SettingsError,
)
from airflow_provider_fc.core.operations import FILTERS
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.hooks import FunctionComputeAsyncHook, FunctionComputeHook


@pytest.fixture
def emulator(connection: Callable[..., str]) -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


class Blocking:
    """Calls the blocking hook."""

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with FunctionComputeHook(**kwargs.pop("hook", {})) as hook:
            result = getattr(hook, method)(*args, **kwargs)
            return list(result) if method == "list_invocations" else result


class OnLoop:
    """Calls the asynchronous hook."""

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return asyncio.run(self._call(method, *args, **kwargs))

    @staticmethod
    async def _call(method: str, *args: Any, **kwargs: Any) -> Any:
        async with FunctionComputeAsyncHook(**kwargs.pop("hook", {})) as hook:
            result = getattr(hook, method)(*args, **kwargs)
            return [item async for item in result] if method == "list_invocations" else await result


class BlockingInALoop(Blocking):
    """Calls the blocking hook where a loop is running, as ``@task async def`` does."""

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            return super(BlockingInALoop, self).__call__(method, *args, **kwargs)

        return asyncio.run(run())


class NotEntered:
    """Calls the asynchronous hook without ``async with``."""

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            result = getattr(FunctionComputeAsyncHook(**kwargs.pop("hook", {})), method)(*args, **kwargs)
            return [item async for item in result] if method == "list_invocations" else await result

        return asyncio.run(run())


@pytest.fixture(params=[Blocking, BlockingInALoop, OnLoop, NotEntered])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param()


GENERATIONS = {"FC 3.0": {}, "FC 2.0": {"service_name": "media", "qualifier": "prod"}}


def script(generation: str, **fields: Any) -> dict[str, Any]:
    service = {"service": "media", "qualifier": "prod"} if generation == "FC 2.0" else {}
    return {"function": "resize", **service, **fields}


@pytest.mark.parametrize("how_many", [0, 1, 100, 101])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_everything_is_listed_in_order(
    emulator: FunctionComputeEmulator, call: Callable[..., Any], generation: str, how_many: int
) -> None:
    if how_many:
        emulator.add_invocations([script(generation, id_template="job-{index:05}", count=how_many)])

    found = call("list_invocations", "resize", order="asc", **GENERATIONS[generation])

    assert [item.invocation_id for item in found] == [f"job-{index:05}" for index in range(how_many)]


def test_ten_thousand_and_one_are_listed_in_order(emulator: FunctionComputeEmulator, call: Callable[..., Any]) -> None:
    emulator.add_invocations([script("FC 3.0", id_template="job-{index:05}", count=10_001)])

    found = call("list_invocations", "resize", order="asc")

    assert [item.invocation_id for item in found] == [f"job-{index:05}" for index in range(10_001)]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_one_is_got_with_all_its_fields(
    emulator: FunctionComputeEmulator, call: Callable[..., Any], generation: str
) -> None:
    emulator.add_invocations([script(generation, id="job-1", statuses=["Failed"], error_message="ValueError: no")])

    found = call("get_invocation", "resize", "job-1", **GENERATIONS[generation])

    assert (found.invocation_id, found.status, found.function_name) == ("job-1", "Failed", "resize")
    assert found.error_message == "ValueError: no"
    assert found.service_name == ("media" if generation == "FC 2.0" else None)


def test_a_function_that_came_from_fc_2_is_addressed_by_both_its_names(
    emulator: FunctionComputeEmulator, call: Callable[..., Any]
) -> None:
    moved = "media$thumbnail"

    first = call("invoke", moved, b"{}", invocation_id="job-1")
    emulator.add_invocations([{"function": moved, "id": "job-2", "statuses": ["Running"]}])
    call("stop_invocation", moved, "job-2")

    assert first == "job-1"
    assert call("get_invocation", moved, "job-1").function_name == moved
    assert {item.function_name for item in call("list_invocations", moved)} == {moved}
    assert len(call("list_invocations", moved)) == 2
    assert call("list_invocations", "thumbnail") == []


def test_one_that_does_not_exist_is_not_found(emulator: FunctionComputeEmulator, call: Callable[..., Any]) -> None:
    with pytest.raises(NotFoundError, match=r"HTTP 404 AsyncTaskNotFound.*\[request id "):
        call("get_invocation", "resize", "job-1")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_live_one_is_stopped(emulator: FunctionComputeEmulator, call: Callable[..., Any], generation: str) -> None:
    emulator.add_invocations([script(generation, id="job-1", statuses=["Running"])])

    call("stop_invocation", "resize", "job-1", **GENERATIONS[generation])

    service = "media" if generation == "FC 2.0" else ""
    assert emulator.state.status("resize", "job-1", service=service) in ("Stopping", "Stopped")


def test_many_are_stopped_and_each_has_its_result(emulator: FunctionComputeEmulator, call: Callable[..., Any]) -> None:
    emulator.add_invocations(
        [
            script("FC 3.0", id_template="job-{index}", count=30, statuses=["Running"]),
            script("FC 3.0", id="done", statuses=["Failed"]),
        ]
    )

    results = call("stop_invocations", "resize", [*(f"job-{index}" for index in range(30)), {"invocation_id": "done"}])

    assert len(results["stopped"]) == 30
    assert results["already_finished"] == ["done"]
    assert call("stop_invocations", "resize", []) == {"stopped": [], "already_finished": [], "not_found": []}


def test_one_id_given_as_text_is_one_id(emulator: FunctionComputeEmulator, call: Callable[..., Any]) -> None:
    emulator.add_invocations([script("FC 3.0", id=key, statuses=["Running"]) for key in ("j", "o", "job")])

    assert call("stop_invocations", "resize", "job")["stopped"] == ["job"]
    assert {emulator.state.status("resize", key) for key in "jo"} == {"Running"}


def test_a_refused_stop_is_an_error_and_the_log_has_the_fate_of_the_others(
    emulator: FunctionComputeEmulator, call: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    emulator.add_invocations([script("FC 3.0", id=key, statuses=["Running"]) for key in ("job-1", "job-2")])
    emulator.add_faults([{"action": "status", "status": 403, "operation": "Stop", "id": "job-1"}])

    with pytest.raises(AccessDeniedError):
        call("stop_invocations", "resize", ["job-1", "job-2"])
    assert "1 could not be stopped; of the others: {'stopped': ['job-2']" in caplog.text


def test_invocations_are_counted_by_status_with_a_request_for_each_hundred(
    emulator: FunctionComputeEmulator, call: Callable[..., Any]
) -> None:
    for status, how_many in {"Succeeded": 180, "Running": 20, "Failed": 3}.items():
        template = {"id_template": f"job-{status}-{{index:03}}", "count": how_many, "statuses": [status]}
        emulator.add_invocations([script("FC 3.0", **template)])
    emulator.add_invocations([script("FC 3.0", id="other", statuses=["Running"])])

    assert call("count_invocations", "resize", invocation_id_prefix="job-") == {
        "total": 203,
        "by_status": {"Failed": 3, "Running": 20, "Succeeded": 180},
    }
    assert len(emulator.requests) == 3
    assert call("count_invocations", "resize", statuses="Running") == {"total": 21, "by_status": {"Running": 21}}
    assert call("count_invocations", "resize", invocation_id_prefix="nobody-") == {"total": 0, "by_status": {}}


def test_a_finished_one_cannot_be_stopped(emulator: FunctionComputeEmulator, call: Callable[..., Any]) -> None:
    emulator.add_invocations([script("FC 3.0", id="job-1", statuses=["Succeeded"])])

    with pytest.raises(AlreadyCompletedError, match="HTTP 412"):
        call("stop_invocation", "resize", "job-1")


def test_invoking_twice_with_one_id_is_refused(emulator: FunctionComputeEmulator, call: Callable[..., Any]) -> None:
    emulator.add_invocations([script("FC 3.0", id="job-1")])

    with pytest.raises(AlreadyExistsError, match="HTTP 409"):
        call("invoke", "resize", b"", invocation_id="job-1")


def test_an_id_that_fc_would_refuse_is_explained(emulator: FunctionComputeEmulator, call: Callable[..., Any]) -> None:
    with pytest.raises(ParameterError, match="invocation_id: '1-job' must begin with a letter or _"):
        call("invoke", "resize", invocation_id="1-job")
    assert not emulator.requests


def test_the_region_can_be_overridden(connection: Callable[..., str]) -> None:
    connection(login="id", password="secret", extra={"region_id": "cn-hangzhou", "account_id": "42"})

    assert FunctionComputeHook(region_id="cn-beijing").settings.region_id == "cn-beijing"


def test_both_hooks_have_the_same_methods_with_the_same_parameters() -> None:
    for name in METHODS:
        blocking = inspect.signature(getattr(FunctionComputeHook, name)).parameters
        on_loop = inspect.signature(getattr(FunctionComputeAsyncHook, name)).parameters
        assert list(blocking.values()) == list(on_loop.values())


def test_creating_a_hook_reads_nothing() -> None:
    assert FunctionComputeHook("nowhere").fc_conn_id == "nowhere"
    assert FunctionComputeAsyncHook("nowhere").fc_conn_id == "nowhere"


def test_the_settings_of_an_asynchronous_hook_that_has_read_nothing_are_explained() -> None:
    with pytest.raises(RuntimeError, match="use `async with FunctionComputeAsyncHook"):
        FunctionComputeAsyncHook().settings  # noqa: B018


METHODS = {
    "list_invocations": ("resize",),
    "count_invocations": ("resize",),
    "get_invocation": ("resize", "job-1"),
    "stop_invocation": ("resize", "job-1"),
    "stop_invocations": ("resize", ["job-1", "job-2", "job-3"]),
    "invoke": ("resize", {"size": 1}),
    "test_connection": (),
}


def test_each_method_of_a_hook_is_tried_out_here() -> None:
    own = {name for name in vars(FunctionComputeAsyncHook) if not name.startswith("_")}

    assert own - {"settings", "read_at", "client"} == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_works_wherever_it_is_called(
    emulator: FunctionComputeEmulator, call: Callable[..., Any], method: str
) -> None:
    emulator.add_invocations([script("FC 3.0", id_template="job-{index}", count=5, statuses=["Running"])])

    result = call(method, *METHODS[method])

    expected = {"stop_invocation": None, "test_connection": (True, result[1]) if method == "test_connection" else ()}
    if method in expected:
        assert result == expected[method]
    else:
        assert result
    assert emulator.requests


def test_the_filters_are_the_parameters_of_list_invocations() -> None:
    parameters = inspect.signature(FunctionComputeHook.list_invocations).parameters

    assert list(parameters)[1:] == ["function_name", "service_name", "qualifier", *FILTERS, "limit"]


def test_an_asynchronous_hook_reads_its_connection_once_and_leaves_no_connection_open(
    emulator: FunctionComputeEmulator, reads: Reads
) -> None:
    async def run() -> int:
        hook = FunctionComputeAsyncHook()
        await hook.invoke("resize")
        await hook.invoke("resize")
        return len(aio._pools[asyncio.get_running_loop()])

    assert asyncio.run(run()) == 0
    assert reads.ids == ["fc_default"]


def test_a_blocking_hook_stops_some_at_the_same_time_and_keeps_to_the_most(
    emulator: FunctionComputeEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_invocations([script("FC 3.0", id_template="job-{index}", count=12, statuses=["Running"])])
    emulator.add_faults([{"action": "delay", "operation": "Stop", "seconds": 0.1}])
    stop, under_way, at_most = hooks._attempt_to_stop, [], []
    four = threading.Barrier(4, timeout=60)  # breaks when fewer are under way at the same time

    def observed(client: Any, operation: Any) -> Any:
        under_way.append(operation)
        at_most.append(len(under_way))
        four.wait()
        stopped = stop(client, operation)
        under_way.remove(operation)
        return stopped

    monkeypatch.setattr(hooks, "_attempt_to_stop", observed)

    with FunctionComputeHook() as hook:
        found = hook.stop_invocations("resize", [f"job-{index}" for index in range(12)], max_concurrency=4)

    assert found["stopped"] == [f"job-{index}" for index in range(12)]
    assert max(at_most) == 4


@pytest.mark.usefixtures("metadata_db")  # Airflow 2.11 looks there too
def test_an_unknown_connection_is_explained(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]) -> None:
    with pytest.raises(
        SettingsError, match=r"(?s)'nowhere'.*airflow connections add nowhere.*AIRFLOW_CONN_NOWHERE"
    ) as e:
        call("get_invocation", "resize", "job-1", hook={"fc_conn_id": "nowhere"})

    command = shlex.split(str(e.value).split("`")[1])
    assert command[:5] == ["airflow", "connections", "add", "nowhere", "--conn-json"]
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", command[5])
    assert BaseHook.get_connection("nowhere").extra_dejson == {"region_id": "cn-hangzhou"}


UNREADABLE = {
    "broken JSON": '{"conn_type": "alibaba_fc", "password": "canary"',
    "unknown key": '{"conn_type": "alibaba_fc", "user": "canary"}',
    "login not quoted": '{"conn_type": "alibaba_fc", "login": 5, "password": "canary"}',
    "port": "alibaba-fc://id:canary@host:port/",
}


@pytest.mark.usefixtures("metadata_db")  # Airflow 2.11 looks there too
@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_a_variable_that_cannot_be_read_as_a_connection_is_told_from_a_missing_one(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any], value: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", value)

    with pytest.raises(
        SettingsError, match="AIRFLOW_CONN_FC_DEFAULT, which is set but cannot be read as a connection"
    ) as caught:
        call("get_invocation", "resize", "job-1")
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_read_that_failed_is_not_remembered(emulator: FunctionComputeEmulator, reads: Reads) -> None:
    reads.errors = iter([ConnectionError("api server restarts")])

    async def twice() -> Any:
        with pytest.raises(ConnectionError, match="api server restarts"):
            await FunctionComputeAsyncHook(reread=True).__aenter__()
        async with FunctionComputeAsyncHook(reread=True) as hook:
            return hook.settings.auth.access_key_id

    assert asyncio.run(twice()) == emulator.connection["login"]


def test_who_asks_while_a_connection_is_being_read_again_gets_a_read_that_begins_later(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], reads: Reads, hasten: Callable[..., None]
) -> None:
    hasten(connections={"reread": 0.05})
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        has_read.set()
        await go_on.wait()

    async def reread() -> str | None:
        async with FunctionComputeAsyncHook(reread=True) as hook:
            return hook.settings.auth.access_key_id

    async def main() -> list[str | None]:
        reads.then = asyncio.get_running_loop(), pause
        first = asyncio.ensure_future(reread())
        await has_read.wait()
        connection(**{**emulator.connection, "login": "new-key-id"})
        second = asyncio.ensure_future(reread())
        await asyncio.sleep(0)
        go_on.set()
        return [await first, await second]

    assert asyncio.run(main()) == [emulator.connection["login"], "new-key-id"]


def test_a_connection_of_another_type_is_refused(connection: Callable[..., str]) -> None:
    connection(conn_type="http", login="id", password="secret")

    with pytest.raises(SettingsError, match="its type is 'http'; use alibaba_fc or alibaba_cloud"):
        _ = FunctionComputeHook().settings


@pytest.mark.parametrize("left", ["extra:{region_id:cn-hangzhou}", "login:emulator-key-id", "conn_type:alibaba_fc"])
def test_what_a_shell_leaves_of_the_json_of_a_connection_is_told_to_be_quoted(
    monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", left)

    with pytest.raises(SettingsError, match=r"its type is|it has no type") as caught:
        _ = FunctionComputeHook().settings
    assert str(caught.value).endswith("put the whole value into single quotes")


# Every way to write a connection gives the same settings

EXTRA = {"region_id": "cn-hangzhou", "account_id": "42", "internal": True, "read_timeout": 7.5, "verify": "/ca.pem"}


def written(form: str) -> str:
    if form == "JSON":
        return json.dumps({"conn_type": "alibaba_fc", "login": "id", "password": "s/e+c=", "extra": EXTRA})
    if form == "JSON with text, as forms give it":
        text = {key: str(value).lower() if value is True else str(value) for key, value in EXTRA.items()}
        return json.dumps({"conn_type": "alibaba_fc", "login": "id", "password": "s/e+c=", "extra": json.dumps(text)})
    if form == "URI":
        query = {key: "true" if value is True else value for key, value in EXTRA.items()}
        return f"alibaba-fc://id:{quote('s/e+c=', safe='')}@/?{urlencode(query)}"
    if form == "URI of Airflow itself":
        return Connection(
            conn_id="fc_default", conn_type="alibaba_fc", login="id", password="s/e+c=", extra=json.dumps(EXTRA)
        ).get_uri()
    keys = {"auth_type": "AK", "access_key_id": "id", "access_key_secret": "s/e+c="}
    return json.dumps({"conn_type": "alibaba_cloud", "extra": {**EXTRA, **keys}})


@pytest.mark.parametrize(
    "form", ["JSON", "JSON with text, as forms give it", "URI", "URI of Airflow itself", "alibaba_cloud"]
)
def test_a_connection_gives_the_same_settings_however_it_is_written(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", written("JSON"))
    expected = FunctionComputeHook().settings
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", written(form))

    assert FunctionComputeHook().settings == expected
    assert expected.read_timeout == 7.5
    assert expected.auth.access_key_secret == "s/e+c="


@pytest.mark.parametrize("scheme", ["alibaba_fc", "alibaba_cloud"])
def test_a_uri_with_an_underscore_in_its_scheme_is_told_how_to_be_written(
    scheme: str, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", f"{scheme}://id:secret@/?region_id=cn-hangzhou")

    with pytest.raises(SettingsError, match=r"it has no type; in a URI write alibaba-fc:// or alibaba-cloud://"):
        call("list_invocations", "resize")


@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}", "127.0.0.1:{port}", "http://127.0.0.1:{port}/"])
def test_a_host_is_an_endpoint_with_or_without_scheme(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], call: Callable[..., Any], host: str
) -> None:
    port = emulator.endpoint.rpartition(":")[2]
    connection(**{**emulator.connection, "host": host.format(port=port)})

    assert call("list_invocations", "resize") == []


@pytest.mark.parametrize(
    "written_as",
    [
        "alibaba-fc://id:secret@[::1]:9000/",
        '{"conn_type": "alibaba_fc", "login": "id", "password": "secret", "host": "::1", "port": 9000}',
        '{"conn_type": "alibaba_fc", "login": "id", "password": "secret", "host": "http://[::1]:9000"}',
    ],
    ids=["URI", "host and port", "host"],
)
def test_an_ipv6_address_is_an_endpoint_although_airflow_strips_its_brackets(
    written_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", written_as)

    assert FunctionComputeHook().settings.endpoint == "http://[::1]:9000"


def test_an_extra_that_nobody_reads_is_refused_when_the_connection_is_used(connection: Callable[..., str]) -> None:
    connection(login="id", password="secret", extra={"region_id": "cn-hangzhou", "endpoint": "127.0.0.1"})

    with pytest.raises(SettingsError, match=r"extra\.endpoint is unknown; did you mean host \(Endpoint\)\?"):
        FunctionComputeHook().settings  # noqa: B018 - reading it is what is tested


def test_host_and_port_fields_are_an_endpoint(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], call: Callable[..., Any]
) -> None:
    port = int(emulator.endpoint.rpartition(":")[2])
    connection(**{**emulator.connection, "host": "127.0.0.1", "port": port})

    assert call("list_invocations", "resize") == []


# The connection test


def test_a_good_connection_passes_with_one_signed_read(
    emulator: FunctionComputeEmulator, call: Callable[..., Any]
) -> None:
    passed, message = call("test_connection")

    assert passed, message
    assert emulator.endpoint in message
    assert [record.operation for record in emulator.requests] == ["List"]


WRONG = {
    "key id": ({"login": "nobody"}, "Wrong key: the AccessKey ID"),
    "key id of a letter": ({"login": "a", "password": "b"}, "Wrong key: the AccessKey ID"),
    "secret": ({"password": "nothing"}, "Wrong key: the AccessKey secret"),
    "unreachable": ({"host": "http://127.0.0.1:1"}, "Unreachable: no answer from http://127.0.0.1:1"),
}


@pytest.mark.parametrize(("fields", "message"), WRONG.values(), ids=WRONG)
def test_a_bad_connection_is_told_apart(
    emulator: FunctionComputeEmulator,
    connection: Callable[..., str],
    call: Callable[..., Any],
    fields: dict[str, str],
    message: str,
) -> None:
    connection(**{**emulator.connection, **fields, "extra": {**emulator.connection["extra"], "max_attempts": 1}})

    passed, text = call("test_connection")

    assert not passed
    assert text.startswith(message)
    assert emulator.connection["password"] not in text


ANSWERS = {
    "permission": ({"action": "status", "status": 403, "code": "AccessDenied"}, "Missing permission: "),
    "another server": ({"action": "html", "status": 403}, "Wrong endpoint: "),
    "clock": (
        {
            "action": "status",
            "status": 403,
            "code": "AccessDenied",
            "headers": {"Date": "Sun, 22 Nov 2020 08:00:00 GMT"},
        },
        "Wrong clock: ",
    ),
    "busy": ({"action": "status", "status": 503}, "Try again: "),
}


@pytest.mark.parametrize(("fault", "message"), ANSWERS.values(), ids=ANSWERS)
def test_what_the_server_answers_is_told_apart(
    emulator: FunctionComputeEmulator,
    connection: Callable[..., str],
    call: Callable[..., Any],
    fault: dict[str, Any],
    message: str,
) -> None:
    connection(**{**emulator.connection, "extra": {**emulator.connection["extra"], "max_attempts": 1}})
    emulator.add_faults([fault])

    passed, text = call("test_connection")

    assert not passed
    assert text.startswith(message)


def test_both_hooks_say_what_a_connection_of_fc_2_is_missing(
    connection: Callable[..., str], call: Callable[..., Any]
) -> None:
    connection(login="id", password="secret", extra={"region_id": "cn-hangzhou", "api_version": "2016-08-15"})

    passed, text = call("test_connection")

    assert not passed
    assert "extra.account_id is missing" in text


def test_an_incomplete_connection_is_told_without_a_request(connection: Callable[..., str]) -> None:
    connection(login="id")

    passed, text = FunctionComputeHook().test_connection()

    assert not passed
    assert "password (AccessKey secret) is missing" in text
    assert "region_id is missing" in text


UNRENDERED = {
    "list_invocations": [
        "function_name",
        "service_name",
        "qualifier",
        "invocation_id_prefix",
        "statuses",
        "started_after",
        "started_before",
        "order",
        "include_payload",
        "page_size",
        "limit",
    ],
    "get_invocation": ["function_name", "invocation_id", "service_name", "qualifier"],
    "stop_invocation": ["function_name", "invocation_id", "service_name", "qualifier"],
    "stop_invocations": ["function_name", "invocation_ids", "service_name", "qualifier", "max_concurrency"],
    "invoke": ["function_name", "invocation_id", "delay", "service_name", "qualifier"],
}
VALUES = {"invocation_id": "job-1", "invocation_ids": ["job-1"]}


@pytest.mark.parametrize(("method", "name"), [(method, name) for method, names in UNRENDERED.items() for name in names])
@pytest.mark.parametrize("value", ["{{ params.x }}", "{% if x %}y{% endif %}", "None", ""])
def test_what_no_template_has_rendered_well_is_refused_before_anything_is_asked(
    emulator: FunctionComputeEmulator, method: str, name: str, value: str
) -> None:
    given = {**{key: VALUES[key] for key in VALUES if key in UNRENDERED[method]}, name: value}
    with pytest.raises(ParameterError) as caught:
        list(getattr(FunctionComputeHook(), method)(given.pop("function_name", "resize"), **given) or ())
    assert caught.value.name == name
    assert not emulator.requests


@pytest.mark.parametrize(
    "fields", [{"fc_conn_id": "{{ x }}"}, {"region_id": "{{ x }}"}, {"region_id": "None"}], ids=str
)
def test_a_hook_refuses_a_connection_or_region_that_nothing_has_rendered(
    emulator: FunctionComputeEmulator, fields: dict[str, str]
) -> None:
    with pytest.raises((ParameterError, SettingsError), match=next(iter(fields))):
        list(FunctionComputeHook(**fields).list_invocations("resize"))
    assert not emulator.requests


def test_a_path_in_a_connection_s_uri_is_an_error_and_not_passed_over(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", "alibaba-fc://id:secret@127.0.0.1:9000/http")

    with pytest.raises(SettingsError, match="schema 'http' is not read; write a scheme into host"):
        call("get_invocation", "resize", "job-1")
