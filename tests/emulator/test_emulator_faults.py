"""What faults of the service make a client see; in process, with a clock that tests move."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
import pytest

from airflow_provider_fc.core.signing import Credentials

FC_2016 = "/2016-08-15/services/media/functions/resize/stateful-async-invocations"
FC_2021 = "/2021-04-06/services/media/functions/resize/stateful-async-invocations"
FC_2023 = "/2023-03-30/functions/resize/async-tasks"
GENERATIONS = pytest.mark.parametrize("path", [FC_2016, FC_2021, FC_2023])
LIST = FC_2023
INVOKE = "/2023-03-30/functions/resize/invocations"


@pytest.fixture
def jobs(state):
    """Five invocations of the function, in each generation."""
    script = {"function": "resize", "id_template": "job-{index}", "count": 5, "statuses": ["Running"]}
    state.add([script, {**script, "service": "media"}])


@pytest.fixture
def invoke(client):
    def run(**headers):
        sent = {"x-fc-invocation-type": "Async", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return client("POST", INVOKE, headers=sent)

    return run


class TestRefusing:
    @GENERATIONS
    def test_an_error_has_the_body_of_its_generation(self, app, client, path):
        app.add_faults([{"action": "status", "status": 503, "code": "ServerBusy", "message": "too busy"}])

        answer = client("GET", path)

        spelled = ("Code", "Message") if path == FC_2023 else ("ErrorCode", "ErrorMessage")
        assert answer.status == 503
        assert [answer.body[key] for key in spelled] == ["ServerBusy", "too busy"]
        assert answer.headers["x-fc-request-id"] == app.requests[0].request_id

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (400, "InvalidArgument"),
            (403, "AccessDenied"),
            (404, "NotFound"),
            (429, "ResourceExhausted"),
            (500, "InternalServerError"),
            (502, "BadGateway"),
            (503, "ServiceUnavailable"),
            (504, "GatewayTimeout"),
            (599, "InternalServerError"),
        ],
    )
    def test_an_error_without_a_code_has_one_that_goes_with_its_status(self, app, client, status, code):
        app.add_faults([{"action": "status", "status": status}])

        assert client("GET", LIST).code == code

    @pytest.mark.parametrize(
        ("path", "code"), [(FC_2021, "StatefulAsyncInvocationNotFound"), (LIST, "AsyncTaskNotFound")]
    )
    def test_a_neutral_code_is_spelled_as_the_generation_spells_it(self, app, client, path, code):
        app.add_faults([{"action": "status", "status": 404, "code": "InvocationNotFound"}])

        assert client("GET", f"{path}/job-1").code == code

    @pytest.mark.parametrize(
        ("keys", "headers"),
        [
            ({"retry_after": 3}, {"retry-after": "3"}),
            ({"retry_after": 0}, {"retry-after": "0"}),
            ({"retry_after": 2.5}, {"retry-after": "2.5"}),
            ({"retry_after": "soon"}, {"retry-after": "soon"}),
            ({"x_acs_retry_after": 1500}, {"x-acs-retry-after": "1500"}),
            ({"headers": {"Location": "http://elsewhere.test/"}}, {"location": "http://elsewhere.test/"}),
        ],
    )
    def test_an_error_carries_the_headers_it_is_told_to(self, app, client, keys, headers):
        app.add_faults([{"action": "status", "status": 429, **keys}])

        assert headers.items() <= client("GET", LIST).headers.items()

    def test_retry_after_as_a_date_is_by_the_clock_of_the_server(self, app, client):
        app.add_faults(
            [
                {"action": "wrong_clock", "seconds": 300},
                {"action": "status", "status": 503, "retry_after": 20, "retry_after_as_date": True},
            ]
        )

        headers = client("GET", LIST).headers

        date, retry = (parsedate_to_datetime(headers[name]) for name in ("date", "retry-after"))
        assert (retry - date).total_seconds() == 20

    def test_a_refused_request_is_not_carried_out(self, app, invoke, client):
        app.add_faults([{"action": "status", "status": 500, "operation": "Invoke"}])

        assert invoke(x_fc_async_task_id="job-1").status == 500
        assert client("GET", LIST).ids == []

    def test_a_path_the_api_does_not_have_is_hit_too(self, app, client):
        app.add_faults([{"action": "status", "status": 503}])

        assert client("GET", "/nowhere").status == 503

    @pytest.mark.parametrize("status", [502, 200])
    def test_a_proxy_answers_with_a_page_that_knows_nothing_of_the_service(self, app, client, status):
        app.add_faults([{"action": "html", "status": status}])

        answer = client.send(client.signed(client.request("GET", LIST, {})))

        assert (answer.status, answer.headers["content-type"]) == (status, "text/html")
        assert answer.body.startswith(b"<html>")
        assert "x-fc-request-id" not in answer.headers

    def test_of_several_that_refuse_the_first_one_left_acts(self, app, client):
        app.add_faults(
            [
                {"action": "status", "status": 503, "times": 1},
                {"action": "status", "status": 429, "times": 1},
            ]
        )

        assert [client("GET", LIST).status for _ in range(3)] == [503, 429, 200]

    def test_a_page_or_a_reset_that_was_not_reached_does_nothing(self, app, client):
        app.add_faults([{"action": "status", "status": 503}, {"action": "html"}, {"action": "reset"}])

        assert client("GET", LIST).code == "ServiceUnavailable"
        assert [one.fired for one in app.faults] == [1, 0, 0]

    def test_a_rate_limit_lets_a_burst_pass_and_then_so_many_a_second(self, app, client, clock):
        app.add_faults([{"action": "rate_limit", "qps": 2, "burst": 3}])

        def answers(count):
            return [client("GET", LIST).status for _ in range(count)]

        assert answers(4) == [200, 200, 200, 429]
        clock.seconds += 0.5
        assert answers(2) == [200, 429]
        clock.seconds += 60
        assert answers(4) == [200, 200, 200, 429]

    @pytest.mark.parametrize(("qps", "seconds"), [(20, "1"), (0.1, "10")])
    def test_a_rate_limit_says_when_to_come_again(self, app, client, qps, seconds):
        app.add_faults([{"action": "rate_limit", "qps": qps, "burst": 1}])

        client("GET", LIST)
        refused = client("GET", LIST)

        assert (refused.status, refused.code) == (429, "ResourceExhausted")
        assert refused.headers["retry-after"] == seconds

    def test_who_comes_when_told_to_passes_the_rate_limit(self, app, client, clock):
        app.add_faults([{"action": "rate_limit", "qps": 0.3, "burst": 1}])
        client("GET", LIST)

        clock.seconds += int(client("GET", LIST).headers["retry-after"])

        assert client("GET", LIST).status == 200

    @pytest.mark.parametrize("signature", ["FC", "ACS3"])
    def test_an_expired_token_is_refused_and_a_new_one_is_not(self, app, client, signature):
        app.add_faults([{"action": "expired_security_token", "security_token": "old"}])

        def answer(token):
            client.credentials = replace(client.credentials, security_token=token)
            response = client.send(client.signed(client.request("GET", LIST, {}), signature))
            return response.status, msgspec.json.decode(response.body).get("Code")

        assert answer("old") == (403, "InvalidSecurityToken.Expired")
        assert answer("new") == (200, None)
        assert answer(None) == (200, None)

    def test_any_token_can_have_expired(self, app, client):
        app.add_faults([{"action": "expired_security_token"}])
        assert client("GET", LIST).status == 200

        client.credentials = Credentials(client.credentials.access_key_id, client.credentials.access_key_secret, "any")
        assert client("GET", LIST).status == 403


class TestPages:
    @GENERATIONS
    def test_an_empty_page_leads_to_what_should_have_been_there(self, app, client, jobs, path):
        app.add_faults([{"action": "empty_page", "first": 2, "last": 3}])

        pages = client.pages(path, limit=2, sortOrderByTime="asc")

        assert pages == [["job-0", "job-1"], [], [], ["job-2", "job-3"], ["job-4"]]

    def test_an_empty_first_page_leads_to_the_beginning(self, app, client, jobs):
        app.add_faults([{"action": "empty_page", "times": 1}])

        assert client.pages(LIST, sortOrderByTime="asc") == [[], ["job-0", "job-1", "job-2", "job-3", "job-4"]]

    def test_empty_pages_never_repeat_a_token(self, app, client, jobs):
        app.add_faults([{"action": "empty_page"}])
        tokens = [""]
        for _ in range(50):
            tokens.append(client("GET", LIST, nextToken=tokens[-1]).body["nextToken"])

        assert len(set(tokens)) == 51

    def test_empty_pages_work_with_tokens_that_are_positions(self, app, client, jobs, state):
        state.set_switches(offset_tokens=True)
        app.add_faults([{"action": "empty_page", "first": 2, "last": 2}])

        assert [len(page) for page in client.pages(LIST, limit=2)] == [2, 0, 2, 1]

    @GENERATIONS
    def test_short_pages_miss_nothing(self, app, client, jobs, path):
        app.add_faults([{"action": "short_page", "items": 2}])

        assert [len(page) for page in client.pages(path, limit=100)] == [2, 2, 1]

    @GENERATIONS
    @pytest.mark.parametrize("cycle", [1, 2, 3])
    def test_tokens_come_back_after_a_cycle(self, app, client, jobs, path, cycle):
        app.add_faults([{"action": "repeated_token", "cycle": cycle}])
        tokens = [""]
        for _ in range(2 * cycle):
            tokens.append(client("GET", path, nextToken=tokens[-1]).body["nextToken"])

        assert len(set(tokens[1:])) == cycle
        assert tokens[1 : cycle + 1] == tokens[cycle + 1 :]

    def test_a_page_whose_token_repeats_shows_its_items(self, app, client, jobs):
        app.add_faults([{"action": "repeated_token"}])

        first = client("GET", LIST, limit=2)

        assert len(first.ids) == 2
        assert client("GET", LIST, limit=2, nextToken=first.body["nextToken"]).ids == first.ids

    @pytest.mark.parametrize(("path", "key"), [(FC_2016, "invocations"), (FC_2021, "invocations"), (LIST, "tasks")])
    def test_a_null_list_hides_everything(self, app, client, jobs, path, key):
        app.add_faults([{"action": "null_list"}])

        body = client("GET", path, limit=2).body

        assert body[key] is None
        assert not body.get("nextToken")

    def test_what_a_fault_hides_has_not_been_shown(self, app, client, state):
        state.add([{"function": "resize", "id": "job"}])
        app.add_faults([{"action": "null_list", "times": 1}, {"action": "empty_page", "times": 1}])
        client("GET", LIST)
        client("GET", LIST)

        assert client("GET", LIST).statuses == {"job": "Enqueued"}

    def test_a_token_expires_only_for_who_goes_on(self, app, client, jobs):
        app.add_faults([{"action": "expired_page_token"}])
        token = client("GET", LIST, limit=2).body["nextToken"]

        refused = client("GET", LIST, limit=2, nextToken=token)

        assert (refused.status, refused.code) == (400, "InvalidArgument")
        assert client("GET", LIST).status == 200

    def test_faults_of_pages_act_together(self, app, client, jobs):
        app.add_faults([{"action": "short_page", "items": 2}, {"action": "repeated_token"}])

        assert [len(client("GET", LIST).ids), app.requests[0].faults] == [2, ("short_page", "repeated_token")]

    def test_a_page_fault_leaves_the_other_operations_alone(self, app, client, jobs):
        app.add_faults([{"action": "null_list"}, {"action": "empty_page"}])

        assert client("GET", f"{LIST}/job-1").body["taskId"] == "job-1"
        assert [one.matched for one in app.faults] == [0, 0]


class TestInvocations:
    @GENERATIONS
    def test_a_status_nobody_knows_is_shown_for_the_invocations_chosen(self, app, client, jobs, path):
        app.add_faults([{"action": "unknown_status", "status": "Migrating", "id": "job-[13]"}])

        assert client("GET", path).statuses == {
            "job-0": "Running",
            "job-1": "Migrating",
            "job-2": "Running",
            "job-3": "Migrating",
            "job-4": "Running",
        }
        assert client("GET", f"{path}/job-1").body["status"] == "Migrating"
        assert client("GET", f"{path}/job-2").body["status"] == "Running"

    def test_what_is_in_an_unknown_status_is_in_no_other(self, app, client, jobs):
        app.add_faults([{"action": "unknown_status", "id": "job-1"}])

        assert "job-1" not in client.list_all(LIST, status="Running", limit=1)

    def test_a_fault_that_changes_nothing_in_an_answer_has_not_fired(self, app, client, jobs):
        app.add_faults([{"action": "unknown_status", "id": "job-1", "times": 1}])

        client("GET", LIST, status="Succeeded")
        client("GET", LIST, prefix="job-2")
        assert (app.faults[0].fired, app.requests[-1].faults) == (0, ())

        assert client("GET", LIST).statuses["job-1"] == "Migrating"
        assert client("GET", LIST).statuses["job-1"] == "Running"
        assert app.faults[0].fired == 1

    def test_one_answer_with_many_changed_invocations_is_one_time(self, app, client, jobs):
        app.add_faults([{"action": "unknown_status", "times": 1}])

        assert set(client("GET", LIST).statuses.values()) == {"Migrating"}
        assert app.faults[0].fired == 1

    @GENERATIONS
    def test_an_invocation_appears_late(self, app, client, jobs, clock, path):
        app.add_faults([{"action": "appears_late", "seconds": 5, "id": "job-1"}])

        assert "job-1" not in client.list_all(path, limit=2)
        assert client("GET", f"{path}/job-1").status == 404
        assert client("PUT", f"{path}/job-1/stop" if path == FC_2023 else f"{path}/job-1").status == 404

        clock.seconds += 5
        assert "job-1" in client.list_all(path, limit=2)
        assert client("GET", f"{path}/job-1").status == 200

    def test_an_invocation_can_be_late_in_the_listing_only(self, app, client, invoke, clock):
        app.add_faults([{"action": "appears_late", "seconds": 5, "operation": "List"}])

        invoke(x_fc_async_task_id="job-1")

        assert client("GET", LIST).ids == []
        assert client("GET", f"{LIST}/job-1").status == 200

    def test_what_is_late_is_not_advanced_by_responses(self, app, client, state, clock):
        state.add([{"function": "resize", "id": "job"}])
        app.add_faults([{"action": "appears_late", "seconds": 5}])
        for _ in range(3):
            client("GET", LIST)
            client("GET", f"{LIST}/job")
        clock.seconds += 5

        assert client("GET", LIST).statuses == {"job": "Enqueued"}

    def test_an_invocation_disappears(self, app, client, jobs, clock):
        app.add_faults([{"action": "disappears", "seconds": 60, "id": "job-1"}])
        assert "job-1" in client("GET", LIST).ids

        clock.seconds += 60

        assert sorted(client.list_all(LIST, limit=1)) == ["job-0", "job-2", "job-3", "job-4"]
        assert client("GET", f"{LIST}/job-1").status == 404

    def test_an_invocation_that_disappeared_can_come_back(self, app, client, jobs):
        app.add_faults([{"action": "disappears", "id": "job-*", "first": 2, "last": 2}])

        assert [len(client("GET", LIST).ids) for _ in range(3)] == [5, 0, 5]

    def test_what_has_disappeared_stays_so_whatever_its_status_would_be(self, app, client, jobs):
        app.add_faults([{"action": "unknown_status"}, {"action": "disappears"}])

        assert client("GET", f"{LIST}/job-1").status == 404
        assert [one.fired for one in app.faults] == [1, 1]


class TestServer:
    def test_a_wrong_clock_shows_in_the_date(self, app, client, clock):
        app.add_faults([{"action": "wrong_clock", "seconds": -600}])

        date = parsedate_to_datetime(client("GET", LIST).headers["date"])

        assert (datetime.fromtimestamp(clock.seconds, UTC) - date).total_seconds() == 600

    @pytest.mark.parametrize(("path", "code"), [(FC_2016, "AccessDenied"), (FC_2023, "InvalidTimeStamp.Expired")])
    @pytest.mark.parametrize("seconds", [3600, -3600])
    def test_a_very_wrong_clock_refuses_right_signatures(self, app, client, path, code, seconds):
        app.add_faults([{"action": "wrong_clock", "seconds": seconds, "times": 1}])

        assert client("GET", path).code == code
        assert client("GET", path).status == 200

    def test_json_can_end_in_the_middle_of_a_complete_answer(self, app, client, jobs):
        whole = client.send(client.signed(client.request("GET", LIST, {}))).body
        app.add_faults([{"action": "truncated_json", "last": 1}, {"action": "truncated_json", "bytes": 10, "first": 2}])

        half, ten = (client.send(client.signed(client.request("GET", LIST, {}))).body for _ in range(2))

        assert half == whole[: len(whole) // 2]
        assert ten == whole[:10]

    def test_an_answer_without_a_body_cannot_be_truncated(self, app, client, invoke):
        app.add_faults([{"action": "truncated_json"}, {"action": "drip", "seconds": 1}])

        assert invoke(x_fc_async_task_id="job-1").status == 202
        assert [one.fired for one in app.faults] == [0, 0]


class TestConnectionsInProcess:
    @pytest.mark.parametrize(
        ("action", "carried_out"),
        [("reset", False), ("lose_answer", True), ("reset_in_body", True), ("truncated_body", True)],
    )
    def test_a_broken_connection_is_an_error(self, app, client, invoke, action, carried_out):
        app.add_faults([{"action": action, "operation": "Invoke"}])

        with pytest.raises(ConnectionResetError, match="injected"):
            invoke(x_fc_async_task_id="job-1")

        assert client("GET", LIST).ids == ["job-1"] * carried_out
        assert app.requests[0].status == (202 if carried_out else 0)
        assert app.requests[0].faults == (action,)

    def test_what_only_takes_time_takes_none(self, app, client):
        app.add_faults([{"action": "delay", "seconds": 1e6}, {"action": "drip", "seconds": 1e6}, {"action": "close"}])

        assert client("GET", LIST).status == 200
        assert app.requests[0].faults == ("delay", "drip", "close")

    def test_of_several_that_end_the_connection_the_first_one_left_acts(self, app, client, jobs):
        app.add_faults([{"action": "lose_answer", "times": 1}, {"action": "truncated_body", "times": 1}])
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                client("GET", LIST)

        assert [one.faults for one in app.requests] == [("lose_answer",), ("truncated_body",)]

    @pytest.mark.parametrize("others", ["lose_answer", "truncated_body", "truncated_json", "html"])
    def test_what_was_reset_before_it_was_read_meets_nothing_else(self, app, client, others):
        app.add_faults([{"action": "reset", "times": 1}, {"action": others}])
        app.add_faults([{"action": "lose_answer"}])
        with pytest.raises(ConnectionResetError):
            client("GET", LIST)

        assert [one.fired for one in app.faults] == [1, 0, 0]

    def test_an_answer_that_never_has_a_body_cannot_be_cut(self, app, client, jobs):
        app.add_faults([{"action": "truncated_body"}, {"action": "reset_in_body"}])

        assert client("PUT", f"{LIST}/job-1/stop").status == 204
        assert [one.fired for one in app.faults] == [0, 0]
