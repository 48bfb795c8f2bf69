"""An invocation as servers really send it, as we show it, and what its status means."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.errors import MalformedBodyError, ParameterError
from airflow_provider_fc.core.invocations import (
    FIELDS,
    LIVE_STATUSES,
    STATUSES,
    SUCCESS_STATUSES,
    TERMINAL_STATUSES,
    Event,
    Invocation,
    WireInvocation,
    is_terminal,
    iso8601,
    legal_invocation_id,
)

MS = 1_700_000_000_250
ISO = "2023-11-14T22:13:20.250Z"


def read(**fields: Any) -> Invocation:
    body = msgspec.json.encode({"invocationId": "job-1", "status": "Running", **fields})
    return msgspec.json.decode(body, type=WireInvocation).to_invocation()


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
EVERYTHING = Invocation(
    invocation_id="job-1",
    status="Failed",
    function_name="resize",
    service_name="media",
    qualifier="prod",
    request_id="request-1",
    started_time=MS,
    end_time=MS + 750,
    duration_ms=700,
    destination_status="Succeeded",
    error_message="boom",
    already_retried_times=2,
    instance_id="c-1",
    payload="in",
    return_payload="out",
    events=(Event(event_id=1, status="Failed", timestamp=MS, event_detail='{"Error": "boom"}'),),
)


# Reading


def test_every_field_of_fc_2_is_read() -> None:
    assert msgspec.convert(FC_2, WireInvocation).to_invocation() == EVERYTHING


def test_every_field_of_fc_3_is_read() -> None:
    expected = msgspec.structs.replace(EVERYTHING, service_name=None)

    assert msgspec.convert(FC_3, WireInvocation).to_invocation() == expected


def test_an_id_and_a_status_are_enough() -> None:
    item = read()

    assert (item.invocation_id, item.status) == ("job-1", "Running")
    assert all(getattr(item, name) is None for name in Invocation.__struct_fields__[2:])


@pytest.mark.parametrize("name", [key for key in {**FC_2, **FC_3} if key not in ("invocationId", "taskId", "status")])
def test_null_is_as_good_as_absent(name: str) -> None:
    assert read(**{name: None}) == read()


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
        (1, 1),
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
    ],
    ids=lambda wire: str(wire)[:20],
)
@pytest.mark.parametrize("name", ["startedTime", "endTime"])
def test_what_is_not_a_time_is_named_and_cut_short(name: str, wire: Any) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        read(**{name: wire})

    assert len(str(caught.value)) < 120


@given(
    st.text(max_size=30)
    | st.text("0123456789-:.TZW+/P ", max_size=30)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
def test_whatever_stands_for_a_time_it_is_one_that_can_be_shown_or_refused(wire: Any) -> None:
    try:
        item = read(startedTime=wire, endTime=wire)
    except MalformedBodyError:
        return
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


@pytest.mark.parametrize("wire", ["three", "1e400", "1.2.3"])
def test_what_is_not_a_number_is_named(wire: str) -> None:
    with pytest.raises(MalformedBodyError, match="a number was expected, not"):
        read(alreadyRetriedTimes=wire)


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
        ({"startedTime": 1000, "endTime": 1750}, 750),
        ({"startedTime": 1000, "endTime": 1750, "durationMs": 700}, 700),
        ({"startedTime": 1000, "endTime": 0}, None),
        ({"endTime": 1750}, None),
        ({"startedTime": 1750, "endTime": 1000}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_duration_is_the_server_s_or_what_lies_between_the_times(times: dict[str, int], duration: int) -> None:
    assert read(**times).duration_ms == duration


@pytest.mark.parametrize("item", [{}, {"status": "Running"}, {"invocationId": "a"}, {"taskId": "", "status": "x"}])
def test_an_item_without_id_or_status_is_malformed(item: dict[str, str]) -> None:
    with pytest.raises(MalformedBodyError, match="no id or no status"):
        msgspec.convert(item, WireInvocation).to_invocation()


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


# What a status means


@pytest.mark.parametrize(
    ("status", "terminal", "success"),
    [
        ("Enqueued", False, False),
        ("Dequeued", False, False),
        ("Running", False, False),
        ("Retrying", False, False),
        ("Stopping", False, False),
        ("Succeeded", True, True),
        ("Failed", True, False),
        ("Stopped", True, False),
        ("Expired", True, False),
        ("Invalid", True, False),
    ],
)
def test_each_documented_status_has_one_meaning(status: str, terminal: bool, success: bool) -> None:
    assert is_terminal(status) is terminal
    assert read(status=status).is_terminal is terminal
    assert (status in SUCCESS_STATUSES) is success


@pytest.mark.parametrize("word", ["Paused", "succeeded", "SUCCEEDED", "Succeeded ", "Success", ""])
def test_a_word_that_is_not_documented_is_never_final(word: str) -> None:
    assert not is_terminal(word)


def test_the_statuses_are_live_or_terminal() -> None:
    assert sorted(LIVE_STATUSES + TERMINAL_STATUSES) == sorted(STATUSES)
    assert not set(LIVE_STATUSES) & set(TERMINAL_STATUSES)


# Showing


def test_a_dump_holds_every_field_in_json_s_own_types() -> None:
    dumped = EVERYTHING.to_dict()

    assert json.loads(json.dumps(dumped)) == dumped
    assert tuple(dumped) == FIELDS
    assert set(FIELDS) == {*Invocation.__struct_fields__, "started_at", "ended_at", "is_terminal"}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("item", [EVERYTHING, read()], ids=["full", "bare"])
def test_each_field_can_be_dumped_by_itself(item: Invocation, name: str) -> None:
    dumped = item.to_dict([name])

    assert list(dumped) == [name]
    assert json.loads(json.dumps(dumped)) == dumped
    assert type(dumped[name]) in (str, int, bool, list, type(None))


def test_the_dump_of_a_full_invocation_is_what_it_says() -> None:
    dumped = EVERYTHING.to_dict()

    assert (dumped["started_time"], dumped["started_at"]) == (MS, ISO)
    assert (dumped["end_time"], dumped["ended_at"]) == (MS + 750, "2023-11-14T22:13:21.000Z")
    assert dumped["is_terminal"] is True
    assert dumped["events"] == [
        {"event_id": 1, "status": "Failed", "timestamp": MS, "event_detail": '{"Error": "boom"}'}
    ]


def test_fields_come_in_the_order_asked_for() -> None:
    assert list(EVERYTHING.to_dict(("status", "invocation_id"))) == ["status", "invocation_id"]


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(KeyError):
        EVERYTHING.to_dict(["nonsense"])


def test_moments_are_aware_and_utc() -> None:
    assert EVERYTHING.started_at == datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)
    assert isinstance(EVERYTHING.started_at, pendulum.DateTime)
    assert EVERYTHING.started_at.timezone_name == "UTC"
    assert EVERYTHING.ended_at is not None
    assert read().started_at is None
    assert read().ended_at is None


@given(st.integers(1, 253_402_300_799_999))
def test_no_millisecond_is_lost_between_number_and_text(milliseconds: int) -> None:
    text = iso8601(milliseconds)

    assert text is not None
    assert read(startedTime=text).started_time == milliseconds


def test_no_time_is_no_text() -> None:
    assert iso8601(None) is None


@pytest.fixture(params=["Asia/Shanghai", "America/New_York", "UTC"])
def local_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_the_machine_s_zone_changes_no_dump(local_zone: str) -> None:
    # The night in which New York's clocks go back, and one of its summer nights.
    for wire, expected in [
        ("2026-11-01T05:30:00Z", "2026-11-01T05:30:00.000Z"),
        ("2026-11-01T06:30:00", "2026-11-01T06:30:00.000Z"),
        ("2026-07-04 12:00:00", "2026-07-04T12:00:00.000Z"),
        (1_793_511_000_000, "2026-11-01T05:30:00.000Z"),
    ]:
        assert read(startedTime=wire).to_dict(["started_at"]) == {"started_at": expected}, local_zone


def test_an_invocation_shows_neither_payloads_nor_error_texts() -> None:
    assert repr(EVERYTHING) == "Invocation(invocation_id='job-1', status='Failed')"
    assert str(EVERYTHING) == repr(EVERYTHING)


def test_an_invocation_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        EVERYTHING.status = "Succeeded"  # type: ignore[misc]


# Ids


LEGAL = st.text("abcXYZ019_-", max_size=130)


@given(st.text())
def test_a_legal_id_has_as_many_characters_as_the_text_it_was_made_from(text: str) -> None:
    assert len(legal_invocation_id(text)) == len(text)


@given(st.text(), st.text())
def test_a_prefix_stays_a_prefix(prefix: str, rest: str) -> None:
    assert legal_invocation_id(prefix + rest).startswith(legal_invocation_id(prefix))


@given(LEGAL)
def test_legal_text_stays_as_it_is(text: str) -> None:
    assert legal_invocation_id(text) == text


@given(st.text())
def test_only_fc_s_own_characters_are_left(text: str) -> None:
    made = legal_invocation_id(text)

    assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    assert legal_invocation_id(made) == made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("manual__2026-11-22T08:30:00.250+00:00", "manual__2026-11-22T08_30_00_250_00_00"),
        ("task.group/é 雪\n", "task_group_____"),
        ("", ""),
        ("1-starts-with-a-digit", "1-starts-with-a-digit"),
        ("x" * 500, "x" * 500),
    ],
)
def test_what_airflow_renders_becomes_legal(text: str, made: str) -> None:
    assert legal_invocation_id(text) == made


@pytest.mark.parametrize("value", [None, 5, b"job", ["job"]])
def test_what_is_not_text_has_no_legal_form(value: Any) -> None:
    with pytest.raises(ParameterError, match="is not text"):
        legal_invocation_id(value)
