"""Which requests a fault hits, how often, and what is said about rules that make no sense."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import msgspec
import pytest

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator.app import FunctionComputeApp
from airflow_provider_fc.emulator.faults import RULES, Arrival
from airflow_provider_fc.emulator.injector import FaultInjector
from airflow_provider_fc.emulator.schema import NewFaults, SchemaError, read, read_scenario

LIST = "/2023-03-30/functions/resize/async-tasks"
OLD = "/2016-08-15/services/media.prod/functions/resize/stateful-async-invocations"
SLIP = {"action": "status", "status": 503}
EXAMPLES = {
    "status": {"status": 503},
    "rate_limit": {"qps": 1},
    "appears_late": {"seconds": 1},
    "wrong_clock": {"seconds": 1},
    "delay": {"seconds": 1},
    "drip": {"seconds": 1},
}


@pytest.fixture
def hits(app, client):
    """Which of some requests a rule hits."""

    def run(rule, requests):
        app.add_faults([rule])
        return [client(*request[:2], **(request[2] if len(request) > 2 else {})).status == 503 for request in requests]

    return run


REQUESTS = {
    "list": ("GET", LIST),
    "list running": ("GET", LIST, {"status": "Running"}),
    "list of old generation": ("GET", OLD),
    "get": ("GET", f"{LIST}/job-1"),
    "stop": ("PUT", f"{LIST}/job-2/stop"),
    "invoke": ("POST", "/2023-03-30/functions/resize/invocations", {"headers": {"x-fc-async-task-id": "job-3"}}),
    "other function": ("GET", LIST.replace("resize", "report")),
    "nonsense": ("GET", "/nowhere"),
}
LISTS = {"list", "list running", "list of old generation", "other function"}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, set(REQUESTS)),
        ({"operation": "List"}, LISTS),
        ({"operation": "Get"}, {"get"}),
        ({"operation": "Stop"}, {"stop"}),
        ({"operation": "Invoke"}, {"invoke"}),
        ({"function": "resize"}, set(REQUESTS) - {"other function", "nonsense"}),
        ({"function": "report"}, {"other function"}),
        ({"function": "res*"}, set()),
        ({"id": "job-1"}, {"get"}),
        ({"id": "job-?"}, {"get", "stop", "invoke"}),
        ({"id": "*"}, {"get", "stop", "invoke"}),
        ({"id": "JOB-1"}, set()),
        ({"id": "job-3", "operation": "Invoke"}, {"invoke"}),
        ({"id": "job-3", "operation": "Get"}, set()),
        ({"status_filter": "Running"}, {"list running"}),
        ({"status_filter": ""}, LISTS - {"list running"}),
        ({"status_filter": "Running", "function": "report"}, set()),
    ],
)
def test_a_rule_meets_the_requests_that_fit_all_its_keys(hits, keys, expected):
    hit = hits({**SLIP, **keys}, REQUESTS.values())

    assert {name for name, one in zip(REQUESTS, hit, strict=True) if one} == expected


@pytest.mark.parametrize(
    ("keys", "ordinals"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"first": 3}, [3, 4, 5, 6]),
        ({"last": 2}, [1, 2]),
        ({"first": 2, "last": 4}, [2, 3, 4]),
        ({"first": 3, "last": 3}, [3]),
        ({"times": 2}, [1, 2]),
        ({"first": 3, "times": 2}, [3, 4]),
        ({"first": 2, "last": 5, "times": 1}, [2]),
        ({"probability": 0}, []),
    ],
)
def test_a_rule_acts_on_the_matching_requests_it_is_told_to(hits, keys, ordinals):
    requests = [*[("GET", f"{LIST}/job")] * 2, *[("GET", LIST)] * 6]  # those of another operation do not count

    hit = hits({**SLIP, "operation": "List", **keys}, requests)

    assert [ordinal for ordinal, one in enumerate(hit, start=-1) if one] == ordinals


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [
        ({"after": 10}, [10, 15, 20, 25]),
        ({"until": 10}, [0, 5]),
        ({"after": 10, "until": 20}, [10, 15]),
    ],
)
def test_a_rule_acts_in_its_time(app, client, clock, keys, seconds):
    app.add_faults([{**SLIP, **keys}])
    hit = []
    for age in range(0, 30, 5):
        hit += [age] * (client("GET", LIST).status == 503)
        clock.seconds += 5

    assert hit == seconds


def test_ordinals_count_requests_that_other_faults_have_hit(app, client):
    app.add_faults([{**SLIP, "last": 2}, {"action": "status", "status": 500, "first": 2, "last": 3}])

    assert [client("GET", LIST).status for _ in range(4)] == [503, 503, 500, 200]


class TestChance:
    @pytest.fixture
    def drawn(self, client):
        """What chance does to 200 requests of an emulator of its own."""

        def run(*rules):
            app = FunctionComputeApp()
            app.add_faults([{**SLIP, **rule} for rule in rules])
            request = client.request("GET", LIST, {})
            return [app.handle(request) and app.requests[-1].faults for _ in range(200)]

        return run

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_a_seed_gives_the_same_faults_every_time(self, drawn, seed):
        rule = {"probability": 0.3, "seed": seed}

        assert drawn(rule) == drawn(rule)
        assert 30 <= sum(map(bool, drawn(rule))) <= 90

    def test_another_seed_gives_others(self, drawn):
        assert drawn({"probability": 0.3, "seed": 1}) != drawn({"probability": 0.3, "seed": 2})

    def test_rules_of_one_seed_do_not_act_in_step(self, drawn):
        one = {"probability": 0.3}

        names = set(drawn({**one, "name": "a"}, {**one, "name": "b"}))

        assert names == {(), ("a",), ("b",)}

    def test_clearing_begins_anew(self, app, client):
        def statuses():
            app.add_faults([{**SLIP, "probability": 0.5}])
            return [client("GET", LIST).status for _ in range(20)]

        first = statuses()
        app.clear_faults()

        assert statuses() == first


class TestReports:
    def test_faults_are_reported_with_how_often_they_acted(self, app, client):
        app.add_faults([{**SLIP, "name": "blip", "times": 1}, {"action": "short_page"}])
        for _ in range(3):
            client("GET", LIST)
        client("GET", f"{LIST}/job")

        assert [(one.name, one.matched, one.fired) for one in app.faults] == [("blip", 4, 1), ("short_page", 3, 2)]
        assert app.faults[0].rule == RULES["status"](**{"status": 503, "name": "blip", "times": 1})

    def test_a_record_names_the_faults_that_hit_the_request(self, app, client):
        app.add_faults([{"action": "wrong_clock", "seconds": 5, "name": "slow clock"}, {**SLIP, "first": 2}])
        client("GET", LIST)
        client("GET", LIST)

        assert [one.faults for one in app.requests] == [("slow clock",), ("slow clock", "status")]

    def test_clearing_ends_every_fault(self, app, client):
        app.add_faults([SLIP])
        app.clear_faults()

        assert (client("GET", LIST).status, app.faults) == (200, [])

    def test_rules_can_be_given_as_values(self, app, client):
        app.add_faults([RULES["status"](**{"status": 418})])

        assert client("GET", LIST).status == 418

    @pytest.mark.parametrize("action", RULES)
    def test_a_rule_reads_and_writes_as_json(self, app, action):
        rule = {"action": action, "name": "x", **EXAMPLES.get(action, {})}
        app.add_faults([rule])

        written = msgspec.json.decode(msgspec.json.encode(app.faults))[0]["rule"]

        assert written == rule


def test_a_rule_for_one_request_hits_one_of_two_that_come_together():
    (rule,) = read({"faults": [{"action": "delay", "seconds": 1, "times": 1}]}, NewFaults).faults
    injector = FaultInjector()
    injector.add([rule], now=0)
    both = [injector.meet(Arrival(operation="List", now=1, server_time=1)) for _ in range(2)]

    assert [one.deliver(HttpResponse(200)).delay for one in both] == [1, 0]
    assert [one.fired for one in both] == [("delay",), ()]


class TestMistakes:
    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"action": "dely", "seconds": 1}, "'dely' - at `$.faults[0].action`; did you mean `delay`?"),
            ({"action": "qqq"}, "known actions: appears_late, close, delay"),
            ({"status": 503}, "missing required field `action`"),
            (5, "Expected `object`, got `int`"),
            ({"action": "delay", "second": 1}, "`second` - at `$.faults[0]`; did you mean `seconds`?"),
            ({"action": "delay", "status": 503}, "known keys: after, first, function, id"),
            ({"action": "status"}, "missing required field `status`"),
            ({"action": "status", "status": "503"}, "Expected `int`, got `str` - at `$.faults[0].status`"),
            ({"action": "status", "status": 200}, ">= 300 - at `$.faults[0].status`"),
            ({**SLIP, "operation": "Lst"}, "did you mean `List`?"),
            ({**SLIP, "first": 0}, ">= 1 - at `$.faults[0].first`"),
            ({**SLIP, "first": 3, "last": 2}, "`last` (2) must not be below `first` (3)"),
            ({**SLIP, "times": 0}, "$.faults[0].times"),
            ({**SLIP, "probability": 1.5}, "$.faults[0].probability"),
            ({**SLIP, "after": 5, "until": 5}, "`until` (5) must be above `after` (5)"),
            ({**SLIP, "operation": "List", "id": "job"}, "leave out `id`"),
            ({**SLIP, "operation": "Get", "status_filter": "Running"}, "leave out `status_filter`"),
            ({**SLIP, "retry_after_as_date": True}, "a number of seconds in `retry_after`"),
            ({**SLIP, "retry_after": "x", "retry_after_as_date": True}, "a number of seconds in `retry_after`"),
            ({"action": "empty_page", "operation": "Get"}, "`empty_page` happens to List only"),
            ({"action": "empty_page", "id": "job"}, "leave out `id`"),
            ({"action": "expired_page_token", "operation": "Stop"}, "happens to List only"),
            ({"action": "unknown_status", "operation": "Invoke"}, "happens to Get, List only"),
            ({"action": "drip"}, "exactly one of `seconds`"),
            ({"action": "drip", "seconds": 1, "seconds_per_byte": 1}, "exactly one of `seconds`"),
            ({"action": "rate_limit", "qps": 0}, ">= 1e-09 - at `$.faults[0].qps`"),
            ({"action": "rate_limit", "qps": 1e-320}, ">= 1e-09"),
            ({"action": "rate_limit", "qps": 1, "burst": 10**400}, "<= 1000000000 - at `$.faults[0].burst`"),
            ({"action": "wrong_clock", "seconds": 1e12}, "<= 1000000000.0 - at `$.faults[0].seconds`"),
            ({"action": "wrong_clock", "seconds": -1e12}, ">= -1000000000.0"),
            ({"action": "delay", "seconds": 1e12}, "<= 1000000000.0"),
            ({**SLIP, "retry_after": 1e12, "retry_after_as_date": True}, "$.faults[0].retry_after"),
            ({**SLIP, "retry_after": "1\n"}, "$.faults[0].retry_after"),
            ({**SLIP, "headers": {"x\n": "y"}}, "at `key` in `$.faults[0].headers`"),
            ({**SLIP, "headers": {"x y": "z"}}, "at `key` in `$.faults[0].headers`"),
            ({**SLIP, "headers": {"x": "y\r\nz: 1"}}, "$.faults[0].headers[...]"),
        ],
    )
    def test_a_wrong_rule_is_an_error_that_names_the_key(self, app, rule, message):
        with pytest.raises(SchemaError, match=re.escape(message)):
            app.add_faults([rule])

    def test_one_rule_alone_is_told_to_be_put_into_a_list(self, app):
        with pytest.raises(SchemaError, match="faults: give a list of them, not one alone"):
            app.add_faults(SLIP)

    def test_one_wrong_rule_keeps_the_others_out(self, app):
        with pytest.raises(SchemaError, match=re.escape("$.faults[1]")):
            app.add_faults([SLIP, {"action": "status"}])

        assert app.faults == []

    def test_a_scenario_file_with_a_wrong_rule_says_so(self, tmp_path):
        file = tmp_path / "scenario.json"
        file.write_text(json.dumps({"faults": [SLIP, {"action": "status", "statu": 503}]}))

        with pytest.raises(SchemaError, match=re.escape("`$.faults[1]`; did you mean `status`?")):
            read_scenario(file)


class TestDocumentation:
    TEXT = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()

    @pytest.mark.parametrize("action", RULES)
    def test_every_action_is_documented_with_its_keys(self, action):
        row = next(line for line in self.TEXT.splitlines() if line.startswith(f"| `{action}`"))
        shared = set(RULES["reset"].__struct_fields__)

        assert [key for key in RULES[action].__struct_fields__ if key not in shared and f"`{key}" not in row] == []

    def test_every_key_of_all_rules_is_documented(self):
        section = self.TEXT.partition("## Let things go wrong")[2]

        assert [key for key in RULES["reset"].__struct_fields__ if f"`{key}`" not in section] == []


def test_any_two_faults_can_come_together(state, client):
    """Whatever is combined, an answer or a reset connection comes out."""
    state.add([{"function": "resize", "id_template": "job-{index}", "count": 3}])
    rules = [{"action": action, **EXAMPLES.get(action, {})} for action in RULES]
    for pair in product(rules, repeat=2):
        app = FunctionComputeApp(state)
        app.add_faults(pair)
        for path in (LIST, f"{LIST}/job-1"):
            try:
                response = app.handle(client.signed(client.request("GET", path, {})))
            except ConnectionResetError:
                assert set(app.requests[-1].faults) & {"reset", "lose_answer", "reset_in_body", "truncated_body"}
            else:
                assert 200 <= response.status < 600
