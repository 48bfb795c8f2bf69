"""Faults of connections over a real socket: seen by a raw client, and by the package's own clients."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec
import pytest
from emulator.wire import send

from airflow_provider_fc.clients.aio import AsyncClient
from airflow_provider_fc.clients.sync import SyncClient
from airflow_provider_fc.core.errors import FunctionComputeError, PagingError, TransportError, UnavailableError
from airflow_provider_fc.core.invoking import submit
from airflow_provider_fc.core.listing import Listing
from airflow_provider_fc.core.operations import Invoke, ListInvocations
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

LIST = "/2023-03-30/functions/resize/async-tasks"
INVOKE = "/2023-03-30/functions/resize/invocations"
JOBS = [{"function": "resize", "id_template": "job-{index}", "count": 5}]


@pytest.fixture
def emulator():
    with FunctionComputeEmulator(scenario={"invocations": JOBS}) as running:
        yield running


@pytest.fixture
def remote(client, clock, emulator):
    """The signing client, over the wire."""
    clock.seconds = time.time()
    return replace(client, origin=emulator.endpoint, send=send)


@pytest.fixture
def control(remote):
    def run(method: str, body: object = None):
        sent = b"" if body is None else msgspec.json.encode(body)
        request = replace(remote.request(method, "/_emulator/faults", {}), body=sent)
        response = send(request)
        return response.status, msgspec.json.decode(response.body) if response.body else None

    return run


class TestRaw:
    def test_a_reset_comes_before_anything_else_and_nothing_is_carried_out(self, emulator, remote):
        emulator.add_faults([{"action": "reset", "operation": "Invoke"}])

        with pytest.raises(ConnectionResetError):
            remote("POST", INVOKE, headers={"x-fc-invocation-type": "Async", "x-fc-async-task-id": "mine"})

        assert "mine" not in remote("GET", LIST).ids

    def test_a_lost_answer_is_one_to_a_request_that_was_carried_out(self, emulator, remote):
        emulator.add_faults([{"action": "lose_answer", "operation": "Invoke"}])

        with pytest.raises(ConnectionResetError):
            remote("POST", INVOKE, headers={"x-fc-invocation-type": "Async", "x-fc-async-task-id": "mine"})

        assert "mine" in remote("GET", LIST).ids

    def test_a_reset_in_the_body_comes_after_a_part_of_it(self, emulator, remote):
        emulator.add_faults([{"action": "reset_in_body", "bytes": 7}])
        connection, response = self.exchange(remote, "GET", LIST)

        assert response.status == 200
        assert response.read(7) == b'{"tasks'
        with pytest.raises(ConnectionResetError):
            response.read(1)
        connection.close()

    @pytest.mark.parametrize(("keys", "share"), [({}, 0.5), ({"bytes": 0}, 0), ({"bytes": 10**9}, 1)])
    def test_a_truncated_body_is_shorter_than_promised(self, emulator, remote, keys, share):
        emulator.add_faults([{"action": "truncated_body", **keys}])
        connection, response = self.exchange(remote, "GET", LIST)

        promised = int(response.headers["content-length"])
        with pytest.raises(http.client.IncompleteRead) as cut:
            response.read()
        connection.close()

        assert len(cut.value.partial) == min(int(promised * share), promised - 1)

    def test_an_answer_without_a_body_promises_one_to_be_truncated(self, emulator, remote):
        emulator.add_faults([{"action": "truncated_body", "operation": "Invoke"}])

        with pytest.raises(http.client.IncompleteRead):
            remote("POST", INVOKE, headers={"x-fc-invocation-type": "Async"})

    def test_a_connection_is_closed_though_nothing_announced_it(self, emulator, remote):
        emulator.add_faults([{"action": "close"}])
        connection, response = self.exchange(remote, "GET", LIST)

        assert len(msgspec.json.decode(response.read())["tasks"]) == 5
        assert "connection" not in response.headers
        assert connection.sock.recv(1) == b""
        connection.close()

    @pytest.mark.parametrize("keys", [{"seconds": 0.1}, {"seconds_per_byte": 0.002, "operation": "Get"}])
    def test_a_body_drips(self, emulator, remote, keys):
        emulator.add_faults([{"action": "drip", **keys}])
        begin = time.monotonic()

        assert remote("GET", f"{LIST}/none").status == 404
        assert time.monotonic() - begin >= 0.1

    def test_a_body_may_drip_as_fast_as_it_can(self, emulator, remote):
        emulator.add_faults([{"action": "drip", "seconds_per_byte": 1e-320}])

        assert len(remote("GET", LIST).ids) == 5

    def test_a_delayed_answer_is_whole(self, emulator, remote):
        emulator.add_faults([{"action": "delay", "seconds": 0.1}])
        begin = time.monotonic()

        assert len(remote("GET", LIST).ids) == 5
        assert time.monotonic() - begin >= 0.1

    def test_an_answer_can_be_late_and_wrong(self, emulator, remote):
        emulator.add_faults([{"action": "delay", "seconds": 0.05}, {"action": "status", "status": 504}])

        assert remote("GET", LIST).code == "GatewayTimeout"
        assert emulator.requests[0].faults == ("status", "delay")

    @staticmethod
    def exchange(remote, method, path):
        """One exchange on a connection that the test looks at afterwards."""
        request = remote.signed(remote.request(method, path, {}))
        connection = http.client.HTTPConnection(urlsplit(request.origin).netloc, timeout=60)
        connection.request(method, request.target, headers=dict(request.headers))
        return connection, connection.getresponse()


class TestMeanwhile:
    @pytest.fixture
    def arrived(self):
        return threading.Event()

    @pytest.fixture
    def emulator(self, arrived):
        """Answers a Get in an hour, and drips a Stop's refusal for as long."""
        faults = [
            {"action": "delay", "seconds": 3600, "operation": "Get"},
            {"action": "drip", "seconds": 3600, "operation": "Stop"},
        ]
        with FunctionComputeEmulator(
            scenario={"invocations": JOBS, "faults": faults},
            on_request=lambda record: record.faults and arrived.set(),
        ) as running:
            yield running

    @pytest.mark.parametrize(("method", "path"), [("GET", f"{LIST}/job-1"), ("PUT", f"{LIST}/none/stop")])
    def test_a_slow_exchange_holds_up_neither_others_nor_the_end(self, emulator, remote, arrived, method, path):
        slow = threading.Thread(target=remote, args=[method, path])
        slow.start()
        assert arrived.wait(60)
        begin = time.monotonic()

        assert len(remote("GET", LIST).ids) == 5
        emulator.close()
        slow.join()

        assert time.monotonic() - begin < 60  # the exchange itself takes an hour

    def test_a_client_that_does_not_wait_harms_nobody(self, emulator, remote, arrived, caplog):
        connection = http.client.HTTPConnection(urlsplit(emulator.endpoint).netloc)
        request = remote.signed(remote.request("GET", f"{LIST}/job-1", {}))
        connection.request("GET", request.target, headers=dict(request.headers))
        assert arrived.wait(60)
        connection.close()

        assert remote("GET", LIST).status == 200
        emulator.close()
        assert caplog.records == []


class TestControl:
    def test_faults_are_added_read_and_ended_over_http(self, emulator, remote, control):
        rule = {"action": "status", "status": 503, "times": 1}

        assert control("POST", {"faults": [rule]}) == (
            200,
            {"faults": [{"name": "status", "rule": rule, "matched": 0, "fired": 0}]},
        )
        assert [remote("GET", LIST).status for _ in range(2)] == [503, 200]
        (fault,) = control("GET")[1]["faults"]
        assert (fault["matched"], fault["fired"]) == (2, 1)
        assert control("DELETE") == (204, None)
        assert control("GET") == (200, {"faults": []})
        assert emulator.faults == []

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"fault": []}, "`fault`"),
            ({"faults": [{"action": "delay", "secs": 1}]}, "did you mean `seconds`"),
            ([], "Expected `object`"),
        ],
    )
    def test_a_wrong_request_says_what_is_wrong(self, control, body, message):
        status, error = control("POST", body)

        assert status == 400
        assert message in error["error"]

    def test_no_fault_gets_in_the_way_of_control(self, emulator, control):
        emulator.add_faults([{"action": "reset"}, {"action": "delay", "seconds": 3600}])

        assert control("DELETE")[0] == 204

    def test_python_can_do_the_same(self, emulator, remote):
        emulator.add_faults([{"action": "html"}])
        assert emulator.faults[0].name == "html"

        emulator.clear_faults()
        assert remote("GET", LIST).status == 200

    def test_a_record_tells_over_http_too_what_hit_a_request(self, emulator, remote):
        emulator.add_faults([{"action": "status", "status": 503, "name": "blip"}])
        remote("GET", LIST)

        records = msgspec.json.decode(send(remote.request("GET", "/_emulator/requests", {})).body)["requests"]

        assert records[0]["faults"] == ["blip"]


class TestOurClients:
    """What the faults look like from the package's own side."""

    @pytest.fixture(params=["blocking", "non-blocking"])
    def run(self, request, emulator):
        """Run a flow, sleeping never, in either client."""

        def drive(make, **settings):
            auth = Auth("access_key", ACCESS_KEY_ID, ACCESS_KEY_SECRET)
            wanted = {"read_timeout": 5.0, **settings}
            ours = Settings(f"fc_{request.node.name}", auth, endpoint=emulator.endpoint, **wanted)
            return (self.blocking if request.param == "blocking" else self.non_blocking)(ours, make)

        return drive

    @staticmethod
    def blocking(settings, make):
        client = SyncClient(settings, sleep=lambda seconds: None)
        try:
            return client.run(make(client.context))
        finally:
            client.close()

    @staticmethod
    def non_blocking(settings, make):
        async def talk():
            async with AsyncClient(settings, sleep=lambda seconds: asyncio.sleep(0)) as client:
                return await client.run(make(client.context))

        return asyncio.run(talk())

    @staticmethod
    def list_all(context):
        """The ids of a whole listing, two a page."""
        listing = Listing(ListInvocations(context.settings.function("resize"), page_size=2, order="asc"), context)
        ids = []
        while not listing.done:
            ids += [item.invocation_id for item in (yield from listing.next_items())]
        return ids

    BLIPS = (
        {"action": "status", "status": 503},
        {"action": "status", "status": 429, "retry_after": 1},
        {"action": "status", "status": 400, "code": "Throttling.User"},
        {"action": "html"},
        {"action": "reset"},
        {"action": "lose_answer"},
        {"action": "reset_in_body"},
        {"action": "truncated_body"},
        {"action": "truncated_json"},
        {"action": "close"},
        {"action": "delay", "seconds": 3600},
        {"action": "drip", "seconds": 3600},
    )
    SLOW = ("delay", "drip")

    @pytest.mark.parametrize("rule", BLIPS, ids=lambda rule: f"{rule['action']}-{rule.get('status', '')}")
    def test_a_blip_in_the_middle_of_a_listing_costs_one_repetition(self, emulator, run, rule):
        emulator.add_faults([{**rule, "first": 2, "last": 2}])
        settings = {"connect_timeout": 2, "read_timeout": 0.5} if rule["action"] in self.SLOW else {}

        ids = run(self.list_all, **settings)

        assert ids == [f"job-{index}" for index in range(5)]
        assert [one.fired for one in emulator.faults] == [1]
        assert len(emulator.requests) == 3 + (rule["action"] != "close")

    HARD = (
        ({"action": "status", "status": 503}, UnavailableError),
        ({"action": "reset"}, TransportError),
        ({"action": "truncated_body"}, TransportError),
        ({"action": "truncated_json"}, FunctionComputeError),
        ({"action": "html"}, UnavailableError),
        ({"action": "repeated_token", "cycle": 1}, PagingError),
        ({"action": "repeated_token", "cycle": 3}, PagingError),
        ({"action": "expired_page_token"}, PagingError),
    )

    @pytest.mark.parametrize(("rule", "error"), HARD, ids=str)
    def test_a_fault_that_stays_is_an_error_of_ours(self, emulator, run, rule, error):
        emulator.add_faults([rule])

        with pytest.raises(error):
            run(self.list_all, max_attempts=2)

    @pytest.mark.parametrize("rule", [{"action": "empty_page", "first": 2, "last": 3}, {"action": "short_page"}])
    def test_odd_pages_lose_nothing(self, emulator, run, rule):
        emulator.add_faults([rule])

        assert run(self.list_all) == [f"job-{index}" for index in range(5)]

    @pytest.mark.parametrize("action", ["lose_answer", "truncated_body", "reset"])
    def test_a_submission_whose_answer_is_lost_happens_once(self, emulator, run, action):
        emulator.add_faults([{"action": action, "operation": "Invoke", "times": 1}])

        accepted = run(
            lambda context: submit(
                Invoke.from_parameters(context.settings.function("resize"), "x", invocation_id="mine"), context
            )
        )

        assert accepted.invocation_id == "mine"
        assert [one.operation for one in emulator.requests].count("Invoke") == 2
        assert run(self.list_all).count("mine") == 1
