"""Scripted invocations: how they go on, come late, vanish; and the switches that bend what is shown."""

from __future__ import annotations

import pytest

from airflow_provider_fc.emulator.schema import SchemaError, ScriptedInvocation

LIST = "/2023-03-30/functions/resize/async-tasks"
GET = f"{LIST}/job"


def status(client) -> str:
    return client("GET", GET).body["status"]


def test_a_life_by_responses_takes_a_step_after_each_one_that_showed_it(client, state):
    state.add([{"function": "resize", "id": "job", "statuses": ["Enqueued", "Running", "Succeeded"]}])

    assert [status(client) for _ in range(4)] == ["Enqueued", "Running", "Succeeded", "Succeeded"]


def test_a_list_lets_only_what_its_page_shows_take_a_step(client, state):
    state.add([{"function": "resize", "id": "a", "statuses": ["Running", "Succeeded"]}])
    state.add([{"function": "resize", "id": "b", "statuses": ["Enqueued", "Succeeded"]}])

    assert client("GET", LIST, status="Running").ids == ["a"]
    assert client("GET", LIST).statuses == {"a": "Succeeded", "b": "Enqueued"}


def test_reading_all_pages_shows_each_invocation_once(client, state):
    state.add([{"function": "resize", "id_template": "job-{index}", "count": 5, "statuses": ["Enqueued", "Running"]}])

    assert sorted(client.list_all(LIST, limit=2, sortOrderByTime="asc")) == [f"job-{n}" for n in range(5)]


def test_a_life_by_time_follows_the_clock(client, state, clock):
    state.add([{"function": "resize", "id": "job", "timeline": [[0, "Enqueued"], [5, "Running"], [7.5, "Succeeded"]]}])
    seen = []
    for _ in range(4):
        seen.append(status(client))
        clock.seconds += 2.5

    assert seen == ["Enqueued", "Enqueued", "Running", "Succeeded"]


def test_a_life_by_time_is_the_same_in_a_list(client, state, clock):
    state.add([{"function": "resize", "id": "job", "timeline": [[0, "Enqueued"], [5, "Running"]]}])

    assert client("GET", LIST).statuses == {"job": "Enqueued"}
    clock.seconds += 5
    assert client("GET", LIST).statuses == {"job": "Running"}


def test_without_a_script_an_invocation_is_queued_runs_and_succeeds(client, state):
    state.add([{"function": "resize", "id": "job"}])

    assert [status(client) for _ in range(3)] == ["Enqueued", "Running", "Succeeded"]


def test_any_status_word_is_allowed(client, state):
    state.add([{"function": "resize", "id": "job", "statuses": ["Hibernating"]}])

    item = client("GET", GET).body

    assert (item["status"], item["endTime"]) == ("Hibernating", 0)


@pytest.mark.parametrize("final", ["Expired", "Invalid", "Stopped"])
def test_what_ended_without_running_has_an_end_but_no_start(client, state, final):
    state.add([{"function": "resize", "id": "job", "timeline": [[0, "Enqueued"], [0, final]]}])

    item = client("GET", GET).body

    assert (item["startedTime"], item["endTime"] > 0) == (0, True)


def test_an_invocation_can_appear_late(client, state, clock):
    state.add([{"function": "resize", "id": "job", "appears_after": 5}])

    assert (client("GET", LIST).ids, client("GET", GET).status) == ([], 404)
    clock.seconds += 5
    assert (client("GET", LIST).ids, client("GET", GET).status) == (["job"], 200)


def test_an_invocation_can_disappear(client, state, clock):
    state.add([{"function": "resize", "id": "job", "disappears_after": 5}])

    assert (client("GET", LIST).ids, client("GET", GET).status) == (["job"], 200)
    clock.seconds += 5
    assert (client("GET", LIST).ids, client("GET", GET).status) == ([], 404)


def test_what_is_submitted_later_can_be_seen_from_then_on(client, state, clock):
    state.add([{"function": "resize", "id_template": "job-{index}", "count": 3, "submitted_seconds_apart": 10}])
    seen = []
    for _ in range(3):
        seen.append(len(client("GET", LIST).ids))
        clock.seconds += 10

    assert seen == [1, 2, 3]


def test_list_lag_shows_in_a_list_what_was_and_in_a_get_what_is(client, state, clock):
    state.set_switches(list_lag=5)
    state.add([{"function": "resize", "id": "job", "timeline": [[0, "Running"], [2, "Succeeded"]]}])
    seen = []
    for _ in range(3):
        seen.append((client("GET", LIST).statuses.get("job"), status(client)))
        clock.seconds += 4

    assert seen == [(None, "Running"), (None, "Succeeded"), ("Succeeded", "Succeeded")]


def test_list_lag_can_be_set_after_the_fact(client, state, clock):
    state.add([{"function": "resize", "id": "job", "timeline": [[0, "Running"], [10, "Succeeded"]]}])
    clock.seconds += 11
    before = client("GET", LIST).statuses

    state.set_switches(list_lag=5)

    assert (before, client("GET", LIST).statuses) == ({"job": "Succeeded"}, {"job": "Running"})


RETRIED = [[0, "Running"], [10, "Retrying"], [20, "Running"], [30, "Succeeded"]]


@pytest.mark.parametrize(("switch", "started"), [(False, 0), (True, 20_000)])
def test_a_retry_may_replace_the_start_time(client, state, clock, switch, started):
    state.set_switches(reset_start_on_retry=switch)
    begin = clock.ms
    state.add([{"function": "resize", "id": "job", "timeline": RETRIED}])
    clock.seconds += 25

    assert client("GET", GET).body["startedTime"] - begin == started


def test_a_replaced_start_time_moves_the_invocation_in_the_listing(client, state, clock):
    state.set_switches(reset_start_on_retry=True)
    state.add([{"function": "resize", "id": "first", "timeline": RETRIED}])
    state.add([{"function": "resize", "id": "second", "timeline": [[5, "Running"]]}])
    clock.seconds += 5
    before = client("GET", LIST, sortOrderByTime="asc").ids
    clock.seconds += 20

    assert (before, client("GET", LIST, sortOrderByTime="asc").ids) == (["first", "second"], ["second", "first"])


def test_a_service_may_ignore_the_status_filter(client, state):
    state.set_switches(ignore_status_filter=True)
    state.add([{"function": "resize", "id": "job", "statuses": ["Running"]}])

    assert client("GET", LIST, status="Failed").ids == ["job"]


def test_a_service_may_refuse_some_statuses_as_filters(client, state):
    state.set_switches(reject_status=["Dequeued"])

    assert client("GET", LIST, status="Dequeued").code == "InvalidArgument"
    assert client("GET", LIST, status="Running").status == 200


@pytest.mark.parametrize(("switches", "ids"), [({}, ["b", "a"]), ({"default_order": "asc"}, ["a", "b"])])
def test_the_order_of_a_list_that_names_none(client, state, switches, ids):
    state.set_switches(**switches)
    state.add([{"function": "resize", "id": "a", "submitted_seconds_ago": 9}, {"function": "resize", "id": "b"}])

    assert client("GET", LIST).ids == ids


def test_switches_are_changed_one_by_one_and_reset_together(state):
    state.set_switches(offset_tokens=True)
    state.set_switches(list_lag=3)
    assert (state.switches.offset_tokens, state.switches.list_lag) == (True, 3)

    state.reset_switches()
    assert (state.switches.offset_tokens, state.switches.list_lag) == (False, 0)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ({"id": "a"}, "required field `function`"),
        ({"function": "", "id": "a"}, "`function` must not be empty"),
        ({"function": "f"}, "exactly one of `id` and `id_template`"),
        ({"function": "f", "id": "a", "id_template": "b"}, "exactly one of `id` and `id_template`"),
        ({"function": "f", "id": "a", "count": 2}, "`count` above 1 needs an `id_template`"),
        ({"function": "f", "id_template": "a", "count": 2}, "`count` above 1 needs an `id_template`"),
        ({"function": "f", "id_template": "{foo}-{index}"}, "braces hold an index, as {index} or {index:05}"),
        ({"function": "f", "id_template": "{index:zz}"}, "braces hold an index"),
        ({"function": "f", "id_template": "{index:.0}", "count": 2}, "braces hold an index"),
        ({"function": "f", "id_template": "{index:999999}"}, "braces hold an index"),
        ({"function": "f", "id_template": "{index"}, "braces hold an index"),
        ({"function": "f", "id_template": "{index}", "count": 10**9}, "<= 1000000"),
        ({"function": "f", "id": "a", "submitted_seconds_ago": 1e308}, r"<= 1000000000.0 - at `\$\[0\]\.submitted"),
        ({"function": "f", "id": "a", "submitted_seconds_ago": -1e308}, ">= -1000000000.0"),
        ({"function": "f", "id": "a", "submitted_seconds_apart": 1e308}, "<= 1000000000.0"),
        ({"function": "f", "id": "a", "appears_after": 1e308}, "<= 1000000000.0"),
        ({"function": "f", "id": "a", "disappears_after": 1e308}, "<= 1000000000.0"),
        ({"function": "f", "id": "a", "disappears_after": 0}, "must be above `appears_after`"),
        ({"function": "f", "id": "a", "appears_after": 5, "disappears_after": 5}, "must be above `appears_after`"),
        ({"function": "f", "id": "a", "timeline": [[1e308, "Running"]]}, "<= 1000000000.0"),
        ({"function": "f", "id": "a", "count": 0}, r"`int` >= 1 - at `\$\[0\]\.count`"),
        ({"function": "f", "id": "a", "statusses": []}, "did you mean `statuses`?"),
        ({"function": "f", "id": "a", "color": "red"}, "known keys: .*timeline"),
        ({"function": "f", "id": "a", "statuses": []}, "at least one status"),
        ({"function": "f", "id": "a", "statuses": ["Running"], "timeline": [[0, "Running"]]}, "not both"),
        ({"function": "f", "id": "a", "timeline": [[5, "Running"], [1, "Failed"]]}, "must not decrease"),
        ({"function": "f", "id": "a", "timeline": [[-1, "Running"]]}, ">= 0.0"),
        ({"function": "f", "id": "a", "payload": 7}, r"Expected `str`, got `int` - at `\$\[0\]\.payload`"),
    ],
)
def test_a_wrong_script_is_an_error_that_names_the_key_and_the_fix(state, script, message):
    with pytest.raises(SchemaError, match=message):
        state.add([script])


@pytest.mark.parametrize("alone", [{"function": "f", "id": "a"}, ScriptedInvocation(function="f", id="a"), "a"])
def test_one_script_alone_is_told_to_be_put_into_a_list(state, alone):
    with pytest.raises(SchemaError, match=r"invocations: give a list of them, not one alone: put it into \[...\]"):
        state.add(alone)


@pytest.mark.parametrize("switches", [{"list_lagg": 1}, {"list_lag": -1}, {"list_lag": 1e308}, {"default_order": "up"}])
def test_a_wrong_switch_is_an_error_and_changes_nothing(state, switches):
    with pytest.raises(SchemaError, match=r"list_lag|default_order"):
        state.set_switches(offset_tokens=True, **switches)

    assert not state.switches.offset_tokens


def test_an_id_that_is_taken_adds_nothing(client, state):
    state.add([{"function": "resize", "id": "job"}])

    with pytest.raises(SchemaError, match="an invocation 'job' of function 'resize' exists"):
        state.add([{"function": "resize", "id": "new"}, {"function": "resize", "id": "job"}])
    assert client("GET", LIST).ids == ["job"]


def test_a_script_can_be_given_as_a_typed_value(client, state):
    assert state.add([ScriptedInvocation(function="resize", id="job", statuses=["Running"])]) == ["job"]
