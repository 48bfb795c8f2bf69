"""An invocation as servers really send it: every form that is known, and what to do with any other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from core.test_invocations import EVERYTHING, ISO, MS, local_zone
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core import decoding
from airflow_provider_fc.core.api import APIS
from airflow_provider_fc.core.decoding import read_invocation, read_page
from airflow_provider_fc.core.errors import MalformedBodyError
from airflow_provider_fc.core.invocations import FIRST_MS, LAST_MS, Event, Invocation, iso8601

__all__ = ["local_zone"]

OLD, MIDDLE, NEW = APIS.values()
ID_KEYS = {"2016-08-15": "invocationId", "2021-04-06": "invocationId", "2023-03-30": "taskId"}


@pytest.fixture(autouse=True)
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What has been warned of: once a process, so that each test begins as a new one."""
    decoding._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, decoding.__name__):
        yield caplog
    decoding._warn_once.cache_clear()


def read(**fields: Any) -> Invocation:
    """An invocation in FC 2.0's spelling, or FC 3.0's where one of its keys is given."""
    api = NEW if fields.keys() & {"taskId", "functionArn", "taskErrorMessage", "taskPayload"} else OLD
    item = {ID_KEYS[api.version]: "job-1", "status": "Running", **fields}
    return read_invocation(api, msgspec.json.encode(item))


FC_2 = {
    "functionName": "resize",
    "serviceName": "media",
    "qualifier": "prod",
    "invocationId": "job-1",
    "requestId": "request-1",
    "status": "Failed",
    "startedTime": MS,
    "endTime": MS + 750,
    "destinationStatus": "Succeeded",
    "invocationErrorMessage": "boom",
    "invocationPayload": "in",
    "alreadyRetriedTimes": 2,
    "instanceId": "c-1",
    "durationMs": 700,
    "returnPayload": "out",
    "events": [{"eventId": 1, "status": "Failed", "timestamp": MS, "eventDetail": '{"Error": "boom"}'}],
}
FC_3 = {
    "functionArn": "acs:fc:cn-hangzhou:123456789:functions/resize",
    "taskId": "job-1",
    "taskErrorMessage": "boom",
    "taskPayload": "in",
    **{
        key: value
        for key, value in FC_2.items()
        if key not in ("functionName", "serviceName", "invocationId", "invocationErrorMessage", "invocationPayload")
    },
}


def test_every_field_of_fc_2_is_read() -> None:
    for api in (OLD, MIDDLE):
        assert read_invocation(api, msgspec.json.encode(FC_2)) == EVERYTHING


def test_every_field_of_fc_3_is_read() -> None:
    expected = msgspec.structs.replace(EVERYTHING, service_name=None)

    assert read_invocation(NEW, msgspec.json.encode(FC_3)) == expected


def test_an_id_and_a_status_are_enough() -> None:
    item = read()

    assert (item.invocation_id, item.status) == ("job-1", "Running")
    assert all(getattr(item, name) is None for name in Invocation.__struct_fields__[2:])


@pytest.mark.parametrize("name", [key for key in {**FC_2, **FC_3} if key not in ("invocationId", "taskId", "status")])
def test_null_is_as_good_as_absent(name: str) -> None:
    assert read(**{name: None}) == read()
    assert read(**{name: None, "durationMs": "x"}) == read(), "in an unusual answer"


@pytest.mark.parametrize(
    "name",
    [
        "functionName",
        "serviceName",
        "qualifier",
        "requestId",
        "destinationStatus",
        "invocationErrorMessage",
        "taskErrorMessage",
        "instanceId",
        "functionArn",
    ],
)
def test_an_empty_text_is_as_good_as_absent(name: str) -> None:
    assert read(**{name: ""}) == read()
    assert read(**{name: "", "durationMs": "x"}) == read(), "in an unusual answer"


def test_unknown_fields_are_ignored() -> None:
    assert read(logTail="x", nested={"a": [1]}, invocationid="other") == read()


@pytest.mark.parametrize(
    ("wire", "milliseconds"),
    [
        (MS, MS),
        (str(MS), MS),
        (float(MS), MS),
        (f"{MS}.0", MS),
        (f"{MS}.9", MS),
        (ISO, MS),
        ("2023-11-15T06:13:20.250+08:00", MS),
        ("2023-11-14T22:13:20Z", MS - 250),
        ("2023-11-14 22:13:20", MS - 250),
        ("20231114T221320Z", MS - 250),
        ("2023-11-14T22:13:20.250123456Z", MS),
        ("2023-11-14", 1_699_920_000_000),
        (FIRST_MS, FIRST_MS),
        (LAST_MS, LAST_MS),
        (0, None),
        (0.0, None),
        ("0", None),
        ("", None),
        (None, None),
        (-1, None),
        (-62_135_596_800_000, None),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
    ],
)
@pytest.mark.parametrize(("name", "attribute"), [("startedTime", "started_time"), ("endTime", "end_time")])
def test_a_time_is_read_in_every_form(name: str, attribute: str, wire: Any, milliseconds: int | None) -> None:
    """0, and the zero time of the language the server is written in, mean "not yet"."""
    assert getattr(read(**{name: wire}), attribute) == milliseconds


@pytest.mark.parametrize("wire", [1_700_000_000, "1700000000", 1_700_000_000.0, "1700000000.0"], ids=repr)
@pytest.mark.parametrize("name", ["startedTime", "endTime"])
def test_a_time_in_seconds_is_read_as_such_and_warned_of_once(
    name: str, wire: Any, warned: pytest.LogCaptureFixture
) -> None:
    attribute = {"startedTime": "started_time", "endTime": "end_time"}[name]

    for _ in range(2):
        assert getattr(read(**{name: wire}), attribute) == 1_700_000_000_000
        assert read(events=[{"timestamp": wire}]).events == (Event(timestamp=1_700_000_000_000),)
    assert warned.messages == ["Function Compute sends times in seconds; they are read as such"]


@pytest.mark.parametrize("seconds", [1, 10**11 - 1])
def test_all_below_ten_to_the_eleventh_is_in_seconds(seconds: int) -> None:
    item = read(startedTime=seconds)

    assert item.started_time == seconds * 1000


@pytest.mark.parametrize(
    "wire",
    [
        "soon",
        "now and then",
        "now",
        "12:30",
        "0:",
        "2023-13-45",
        "P1D",
        "2023-11-14T22:13:20Z/P1D",
        "1e400",
        "nan",
        "--5",
        "x" * 5000,
        10**15,
        10**30,
        "253402300800000",
        True,
        [],
        {"at": 5},
    ],
    ids=lambda wire: str(wire)[:20],
)
@pytest.mark.parametrize("name", ["startedTime", "endTime"])
def test_what_is_not_a_time_is_none_and_warned_of_once(name: str, wire: Any, warned: pytest.LogCaptureFixture) -> None:
    """It decides nothing, and the rest of the page is sound."""
    assert read(**{name: wire}) == read(**{name: wire}) == read()

    attribute = {"startedTime": "started_time", "endTime": "end_time"}[name]
    assert warned.messages == [f"An invocation's {attribute} cannot be read and is left out"]


@given(
    st.text(max_size=30)
    | st.text("0123456789-:.TZW+/P ", max_size=30)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
def test_whatever_stands_for_a_time_it_is_one_that_can_be_shown_or_none(wire: Any) -> None:
    item = read(startedTime=wire, endTime=wire)

    assert (item.started_time is None) == (item.to_dict()["started_at"] is None)
    assert item.started_time is None or item.started_time > 0


@pytest.mark.parametrize(
    ("wire", "number"), [(3, 3), ("3", 3), (3.0, 3), ("3.0", 3), (0, 0), ("0", 0), ("", None), (None, None)]
)
@pytest.mark.parametrize(
    ("name", "attribute"), [("alreadyRetriedTimes", "already_retried_times"), ("durationMs", "duration_ms")]
)
def test_a_number_is_read_in_every_form(name: str, attribute: str, wire: Any, number: int | None) -> None:
    assert getattr(read(**{name: wire}), attribute) == number


@pytest.mark.parametrize("wire", ["three", "1e400", "1.2.3", True, [], {}], ids=repr)
def test_what_is_not_a_number_is_none_and_warned_of_once(wire: Any, warned: pytest.LogCaptureFixture) -> None:
    assert read(alreadyRetriedTimes=wire) == read(alreadyRetriedTimes=wire) == read()
    assert warned.messages == ["An invocation's already_retried_times cannot be read and is left out"]


@pytest.mark.parametrize("events", [5, "x", {}, [None], ["Running"], [[]]], ids=repr)
def test_what_is_no_list_of_events_is_none(events: Any, warned: pytest.LogCaptureFixture) -> None:
    assert read(events=events).events is None
    assert warned.messages == ["An invocation's events cannot be read and is left out"]


def test_an_event_with_a_field_that_cannot_be_read_keeps_the_others(warned: pytest.LogCaptureFixture) -> None:
    found = read(events=[{"eventId": "two", "timestamp": "soon", "status": "Running"}, {"eventId": 3}]).events

    assert found == (Event(status="Running"), Event(event_id=3))
    assert len(warned.messages) == 2


@pytest.mark.parametrize("name", ["qualifier", "requestId", "instanceId", "destinationStatus"])
def test_a_number_in_the_place_of_a_name_is_read_as_its_text(name: str) -> None:
    attributes = {"requestId": "request_id", "instanceId": "instance_id", "destinationStatus": "destination_status"}

    assert getattr(read(**{name: 3}), attributes.get(name, name)) == "3"


@pytest.mark.parametrize("odd", [{"startedTime": "soon"}, {"durationMs": "700"}, {"events": [{"timestamp": 0}]}])
def test_one_unusual_invocation_changes_no_other_on_its_page(odd: dict[str, Any]) -> None:
    usual = {**FC_3, "taskId": "job-2"}
    page = {"tasks": [{**FC_3, **odd}, usual], "nextToken": "A"}

    items, token = read_page(NEW, msgspec.json.encode(page))

    assert [item.invocation_id for item in items] == ["job-1", "job-2"]
    assert items[1] == read_invocation(NEW, msgspec.json.encode(usual))
    assert token == "A"


@given(st.integers(FIRST_MS, LAST_MS))
def test_no_millisecond_is_lost_between_text_and_number(milliseconds: int) -> None:
    assert read(startedTime=iso8601(milliseconds)).started_time == milliseconds


def test_the_machine_s_zone_changes_no_time_without_one(local_zone: str) -> None:
    # The night in which New York's clocks go back, and one of its summer nights.
    for wire, milliseconds in [
        ("2026-11-01T05:30:00Z", 1_793_511_000_000),
        ("2026-11-01T06:30:00", 1_793_514_600_000),
        ("2026-07-04 12:00:00", 1_783_166_400_000),
    ]:
        assert read(startedTime=wire).started_time == milliseconds, local_zone


@pytest.mark.parametrize("spelling", ["InvocationPayload", "invocationPayload", "taskPayload"])
@pytest.mark.parametrize("payload", ["hello", "", '{"a": 1}'])
def test_the_payload_is_read_under_every_spelling(spelling: str, payload: str) -> None:
    assert read(**{spelling: payload}).payload == payload


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("acs:fc:cn-hangzhou:123456789:functions/resize", "resize"),
        ("acs:fc:cn-hangzhou:123456789:functions/resize/LATEST", "resize"),
        ("acs:fc:cn-hangzhou:123456789:services/media/functions/resize", "resize"),
        ("acs:fc:cn-hangzhou:123456789:functions/media$thumbnail", "media$thumbnail"),
        ("acs:fc:cn-hangzhou:123456789:functions/media%24thumbnail", "media$thumbnail"),
        ("acs:fc:cn-hangzhou:123456789:functions/media$thumbnail/prod", "media$thumbnail"),
        ("acs:fc:cn-hangzhou:123456789:functions/media$functions/prod", "media$functions"),
        ("acs:fc:cn-hangzhou:123456789:functions/functions", "functions"),
        ("acs:fc:cn-hangzhou:123456789:functions/", None),
        ("resize", "resize"),
    ],
)
def test_the_function_s_name_is_taken_out_of_its_arn(arn: str, name: str | None) -> None:
    assert read(functionArn=arn).function_name == name


@pytest.mark.parametrize(
    ("times", "duration"),
    [
        ({"startedTime": MS, "endTime": MS + 750}, 750),
        ({"startedTime": MS, "endTime": MS + 750, "durationMs": 700}, 700),
        ({"startedTime": MS, "endTime": 0}, None),
        ({"endTime": MS}, None),
        ({"startedTime": MS, "endTime": MS - 750}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_duration_is_the_server_s_or_what_lies_between_the_times(times: dict[str, int], duration: int) -> None:
    assert read(**times).duration_ms == duration


@pytest.mark.parametrize("item", [{}, {"status": "Running"}, {"invocationId": "a"}, {"taskId": "a", "status": "x"}])
def test_an_item_without_id_or_status_is_malformed(item: dict[str, str]) -> None:
    with pytest.raises(MalformedBodyError, match="no id or no status"):
        read_invocation(OLD, msgspec.json.encode(item))


@pytest.mark.parametrize(("events", "expected"), [(None, None), ([], ()), ([{}], (Event(),))])
def test_events_may_be_missing_or_empty(events: Any, expected: Any) -> None:
    assert read(events=events).events == expected


@pytest.mark.parametrize(
    "name", ["invocationPayload", "taskPayload", "InvocationPayload", "returnPayload", "taskErrorMessage"]
)
@pytest.mark.parametrize(
    ("sent", "text"), [({"a": [1]}, '{"a":[1]}'), ([], "[]"), (42, "42"), (False, "false")], ids=str
)
def test_json_that_should_be_text_is_read_as_its_text(name: str, sent: Any, text: str) -> None:
    item = read(**{name: sent})

    assert text in (item.payload, item.return_payload, item.error_message)
    assert read(events=[{"eventDetail": sent}]).events == (Event(event_detail=text),)


def test_an_unknown_status_is_kept_as_it_is() -> None:
    assert read(status="Paused").status == "Paused"


@pytest.mark.parametrize("api", APIS.values(), ids=str)
@pytest.mark.parametrize("empty", [{}, {"nextToken": ""}, {"nextToken": None}], ids=str)
def test_a_page_with_its_token_under_another_spelling_is_not_the_last(api: Any, empty: dict[str, Any]) -> None:
    items = [{ID_KEYS[api.version]: "job-1", "status": "Succeeded"}]

    for listed in (items, [], None):
        _, token = read_page(api, msgspec.json.encode({api.envelope: listed, **empty, "NextToken": "A"}))
        assert token == "A"
    _, token = read_page(api, msgspec.json.encode({api.envelope: items, "NextToken": None}))
    assert token is None
    with pytest.raises(MalformedBodyError, match="its page token is no text"):
        read_page(api, msgspec.json.encode({api.envelope: items, "NextToken": 7}))
