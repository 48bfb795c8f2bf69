"""The emulator over a real socket."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from emulator.wire import send

from airflow_provider_fc.emulator.app import FunctionComputeApp
from airflow_provider_fc.emulator.control import ControlPaths
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.emulator.state import FunctionComputeState

LIST = "/2023-03-30/functions/resize/async-tasks"
IPV6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")


@pytest.fixture
def emulator():
    with FunctionComputeEmulator() as running:
        yield running


@pytest.fixture
def remote(client, clock, emulator):
    """The signing client, over the wire."""
    clock.seconds = time.time()
    return replace(client, origin=emulator.endpoint, send=send)


@pytest.fixture
def control(remote):
    def run(method: str, name: str, body: object = None):
        """Bytes are sent as they are."""
        request = remote.request(method, f"/_emulator/{name}", {})
        text = body if isinstance(body, bytes) else msgspec.json.encode(body)
        response = send(replace(request, body=b"" if body is None else text))
        return response.status, msgspec.json.decode(response.body) if response.body else None

    return run


def test_a_signed_listing_works_over_the_wire(emulator, remote):
    emulator.add_invocations([{"function": "resize", "id_template": "job-{index}", "count": 5}])

    assert len(remote.list_all(LIST, limit=2, prefix="job-")) == 5


def test_the_signature_is_checked_against_what_was_on_the_wire(remote):
    query = {"prefix": "a b*~/+é%"}

    assert remote("GET", LIST, **query).status == 200


def test_a_plus_on_the_wire_is_a_space_as_the_official_sdks_send_it(remote):
    request = remote.signed(remote.request("GET", LIST, {"prefix": "a b+c"}))

    assert send(request, f"{LIST}?prefix=a+b%2Bc").status == 200


def test_an_encoded_path_is_decoded_once(emulator, remote):
    request = remote.signed(remote.request("GET", LIST.replace("resize", "a%2Fb"), {}))

    assert send(request).status == 200
    assert emulator.requests[0].parameters["function"] == "a%2Fb"


@pytest.mark.parametrize("origin", ["http://fcv3.cn-hangzhou.aliyuncs.com", "HTTP://elsewhere:80"])
def test_a_request_that_names_the_whole_address_is_answered_as_behind_a_proxy(emulator, remote, origin):
    request = remote.signed(remote.request("GET", LIST, {"prefix": "http://a/b"}))

    assert send(request, f"{origin}{LIST}?prefix=http%3A%2F%2Fa%2Fb").status == 200
    assert emulator.requests[0].parameters["prefix"] == "http://a/b"


def test_many_clients_at_once_are_served(emulator, remote):
    emulator.add_invocations([{"function": "resize", "id_template": "job-{index}", "count": 50}])
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(remote("GET", LIST).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 8


def test_python_can_do_what_the_control_paths_can(emulator, remote):
    emulator.add_invocations([{"function": "resize", "id": "job"}])
    remote("GET", LIST)
    assert [one.operation for one in emulator.requests] == ["List"]
    assert emulator.executions == []

    emulator.clear_requests()
    assert emulator.requests == []

    assert emulator.set_switches(list_lag=5).list_lag == 5
    emulator.reset_switches()
    assert emulator.state.switches.list_lag == 0


def test_a_url_with_a_signature_in_it_is_not_recorded_with_it(emulator, remote):
    remote("GET", LIST, **{"x-fc-signature": "canary", "X-Acs-Security-Token": "canary", "limit": 5})

    assert emulator.requests[0].parameters == {"function": "resize", "limit": "5"}


def test_a_header_that_is_no_utf8_is_refused_like_any_other_wrong_one(remote):
    request = remote.signed(remote.request("GET", LIST, {}))
    answer = send(replace(request, headers={**request.headers, "authorization": "FC \xff:\xff"}))

    assert (answer.status, b"InvalidAccessKeyID" in answer.body) == (403, True)


def test_every_request_can_be_observed(client, clock):
    seen = []
    client.send = FunctionComputeApp(FunctionComputeState(clock=clock), on_request=seen.append).handle

    client("GET", LIST)

    assert [(one.operation, one.status) for one in seen] == [("List", 200)]


def test_a_taken_port_is_an_error_at_once(emulator):
    port = urlsplit(emulator.endpoint).port

    with pytest.raises(OSError, match="in use"):
        FunctionComputeEmulator(port=port)


def test_closing_leaves_no_thread_and_no_socket():
    before = set(threading.enumerate()), sockets()
    emulator = FunctionComputeEmulator()
    port = urlsplit(emulator.endpoint).port
    with socket.create_connection(("127.0.0.1", port)):
        emulator.close()
        emulator.close()

    assert (set(threading.enumerate()), sockets()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def sockets() -> list[str]:
    """The sockets this process has open."""
    names = (os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return sorted(name for name in names if "socket:" in name)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        pytest.param("::1", "http://[::1]:", marks=IPV6),
        pytest.param("::", "http://[::1]:", marks=IPV6),
    ],
)
def test_its_endpoint_can_be_reached_wherever_it_listens(client, clock, host, url):
    clock.seconds = time.time()
    with FunctionComputeEmulator(host=host) as emulator:
        assert emulator.endpoint.startswith(url)
        assert replace(client, origin=emulator.endpoint, send=send)("GET", LIST).status == 200


def test_the_connection_is_what_airflow_needs_to_reach_it():
    with FunctionComputeEmulator(region="cn-shanghai", account_id="42", security_token="token") as emulator:
        assert emulator.connection == {
            "conn_type": "alibaba_fc",
            "login": "emulator-key-id",
            "password": "emulator-key-secret",
            "host": emulator.endpoint,
            "extra": {"region_id": "cn-shanghai", "account_id": "42", "security_token": "token"},
        }


def test_invocations_are_added_over_http(control, remote):
    added = control("POST", "invocations", {"invocations": [{"function": "resize", "id": "job"}]})

    assert added == (200, {"ids": ["job"]})
    assert remote("GET", LIST).ids == ["job"]


def test_switches_are_set_read_and_reset_over_http(control):
    status, switched = control("POST", "switches", {"list_lag": 5, "reject_status": ["Dequeued"]})

    assert (status, switched["list_lag"], switched["offset_tokens"]) == (200, 5.0, False)
    assert control("GET", "switches") == (200, switched)
    assert control("DELETE", "switches") == (204, None)
    assert control("GET", "switches")[1]["list_lag"] == 0


def test_requests_are_recorded_in_order_and_forgotten_on_demand(control, remote):
    remote("GET", LIST, limit=5)
    remote("GET", f"{LIST}/none")
    remote("PUT", "/nowhere")

    (first, second, third) = control("GET", "requests")[1]["requests"]
    assert first == {
        "operation": "List",
        "generation": "2023-03-30",
        "parameters": {"function": "resize", "limit": "5"},
        "status": 200,
        "code": "",
        "request_id": first["request_id"],
        "at": first["at"],
        "faults": [],
    }
    assert (second["operation"], second["parameters"]["id"], second["code"]) == ("Get", "none", "AsyncTaskNotFound")
    assert (third["operation"], third["parameters"]) == ("", {"method": "PUT", "path": "/nowhere"})
    assert control("DELETE", "requests") == (204, None)
    assert control("GET", "requests") == (200, {"requests": []})


def test_there_are_no_executions_without_callables(control):
    assert control("GET", "executions") == (200, {"executions": []})


@pytest.mark.parametrize(
    ("method", "name", "body", "status", "message"),
    [
        ("POST", "invocations", {"invocation": []}, 400, "did you mean `invocations`"),
        ("POST", "invocations", {"invocations": [{"function": "f", "id": 7}]}, 400, "$.invocations[0].id"),
        ("POST", "invocations", None, 400, "truncated"),
        ("POST", "switches", {"list_lagg": 5}, 400, "did you mean `list_lag`"),
        ("POST", "switches", ["list_lag"], 400, "object"),
        ("POST", "switches", {"self": 1}, 400, "unknown field `self`"),
        ("POST", "switches", b'{"\xff": 1}', 400, "can't decode byte 0xff"),
        ("POST", "switches", b'["list_lag", "\xff"]', 400, "can't decode byte 0xff"),
        ("POST", "switches", b"[" * 100_000, 400, "recursion"),
        ("POST", "switches", b'{"list_lag": 1e400}', 400, "out of range"),
        ("DELETE", "faults", {"faults": ["blip"]}, 400, "DELETE /_emulator/faults concerns everything"),
        ("DELETE", "switches", ["list_lag"], 400, "takes no body"),
        ("GET", "requests", {"operation": "List"}, 400, "takes no body"),
        ("PUT", "switches", None, 404, "POST /_emulator/switches"),
        ("GET", "nothing", None, 404, "GET /_emulator/requests"),
    ],
)
def test_a_wrong_control_request_says_what_is_wrong(control, method, name, body, status, message):
    answered, error = control(method, name, body)

    assert answered == status
    assert message in error["error"]


@pytest.mark.parametrize("origin", ["https://example.com", "http://127.0.0.1:9000", "null"])
def test_a_web_page_controls_nothing(emulator, remote, origin):
    request = remote.request("POST", "/_emulator/switches", {}, {"origin": origin, "content-type": "text/plain"})
    refused = send(replace(request, body=b'{"list_lag": 5}'))

    assert (refused.status, b"Origin header" in refused.body) == (403, True)
    assert emulator.state.switches.list_lag == 0


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.1", 200), ("127.0.0.9", 200), ("::1", 200), ("192.0.2.7", 403), (None, 403)]
)
def test_control_paths_answer_this_machine_only(app, client, address, status):
    request = client.request("GET", "/_emulator/requests", {})

    assert ControlPaths(app).handle(request, address).status == status
