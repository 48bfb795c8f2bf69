"""An invocation as we show it, and what its status means."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.invocations import (
    FIELDS,
    LIVE_STATUSES,
    STATUSES,
    SUCCESS_STATUSES,
    TERMINAL_STATUSES,
    Event,
    Invocation,
    is_terminal,
    iso8601,
    legal_invocation_id,
)

MS = 1_700_000_000_250
ISO = "2023-11-14T22:13:20.250Z"
BARE = Invocation("job-1", "Running")
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
    assert Invocation("job-1", status).is_terminal is terminal
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
    assert set(FIELDS) == {*Invocation.__struct_fields__, "started_at", "ended_at", "is_terminal", "log_tail"}


LOG_TAILS = {
    "of the last event that has one": (['{"logTail": "first"}', '{"Error": "e", "logTail": "last"}', None], "last"),
    "none": (['{"Error": "boom"}', "", None], None),
    "no events": ([], None),
    "no JSON": (["logTail: x"], None),
    "no object": (['["logTail"]'], None),
    "no text": (['{"logTail": 5}'], None),
    "null": (['{"logTail": null}'], None),
}


@pytest.mark.parametrize(("details", "tail"), LOG_TAILS.values(), ids=LOG_TAILS)
def test_the_end_of_the_log_is_read_from_the_events(details: list[str | None], tail: str | None) -> None:
    events = tuple(Event(event_detail=detail) for detail in details)

    item = Invocation(invocation_id="job-1", status="Failed", events=events)

    assert item.log_tail == tail
    assert item.to_dict(["log_tail"]) == {"log_tail": tail}


@given(st.text())
def test_no_detail_of_an_event_breaks_the_reading_of_its_log(detail: str) -> None:
    item = Invocation(invocation_id="job-1", status="Failed", events=(Event(event_detail=detail + "logTail"),))

    assert item.log_tail is None or isinstance(item.log_tail, str)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("item", [EVERYTHING, BARE], ids=["full", "bare"])
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
    assert BARE.started_at is None
    assert BARE.ended_at is None


@given(st.integers(1, 253_402_300_799_999))
def test_no_millisecond_is_lost_between_number_and_text(milliseconds: int) -> None:
    text = iso8601(milliseconds)

    assert text is not None
    assert round(datetime.fromisoformat(text).timestamp() * 1000) == milliseconds


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
    for milliseconds, expected in [
        (1_793_511_000_000, "2026-11-01T05:30:00.000Z"),
        (1_783_166_400_000, "2026-07-04T12:00:00.000Z"),
    ]:
        item = Invocation("job-1", "Running", started_time=milliseconds)
        assert item.to_dict(["started_at"]) == {"started_at": expected}, local_zone


def test_an_invocation_shows_neither_payloads_nor_error_texts() -> None:
    assert repr(EVERYTHING) == "Invocation(invocation_id='job-1', status='Failed')"
    assert str(EVERYTHING) == repr(EVERYTHING)


def test_an_invocation_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        EVERYTHING.status = "Succeeded"  # type: ignore[misc]


# Ids


LEGAL = st.text("abcXYZ019_-", max_size=130)


AIRFLOW_S = ":+./@~ "
LEGAL_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
IDS_OF_AIRFLOW = st.text(LEGAL_CHARACTERS + AIRFLOW_S)


@given(IDS_OF_AIRFLOW)
def test_a_legal_id_has_as_many_characters_as_the_text_it_was_made_from(text: str) -> None:
    assert len(legal_invocation_id(text)) == len(text)


@given(IDS_OF_AIRFLOW, IDS_OF_AIRFLOW)
def test_a_prefix_stays_a_prefix(prefix: str, rest: str) -> None:
    assert legal_invocation_id(prefix + rest).startswith(legal_invocation_id(prefix))


@given(LEGAL)
def test_legal_text_stays_as_it_is(text: str) -> None:
    assert legal_invocation_id(text) == text


@given(IDS_OF_AIRFLOW)
def test_only_fc_s_own_characters_are_left(text: str) -> None:
    made = legal_invocation_id(text)

    assert set(made) <= set(LEGAL_CHARACTERS)
    assert legal_invocation_id(made) == made


@given(IDS_OF_AIRFLOW, IDS_OF_AIRFLOW)
def test_texts_that_differ_in_letters_or_digits_never_become_the_same_id(one: str, other: str) -> None:
    def meaning(text: str) -> list[str]:
        return [character for character in text if character.isalnum()]

    if meaning(one) != meaning(other):
        assert legal_invocation_id(one) != legal_invocation_id(other)


@given(st.text(), st.characters(exclude_characters=LEGAL_CHARACTERS + AIRFLOW_S), st.text())
def test_any_other_character_is_refused_wherever_it_stands(before: str, strange: str, after: str) -> None:
    with pytest.raises(ParameterError, match="which no invocation id can"):
        legal_invocation_id(before + strange + after)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("manual__2026-11-22T08:30:00.250+00:00", "manual__2026-11-22T08_30_00_250_00_00"),
        ("task.group/a~b c@d", "task_group_a_b_c_d"),
        ("", ""),
        ("1-starts-with-a-digit", "1-starts-with-a-digit"),
        ("x" * 500, "x" * 500),
    ],
)
def test_what_airflow_renders_becomes_legal(text: str, made: str) -> None:
    assert legal_invocation_id(text) == made


@pytest.mark.parametrize(
    "text", ["华东-", "华北-", "é", "a\n", "a\tb", "a$b", "a%b", "a*", "'a'", "a,b", "a\u00a0b", "٣", "ａ"]
)
def test_a_character_whose_meaning_would_be_lost_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ParameterError, match="which no invocation id can; use letters") as caught:
        legal_invocation_id(text, name="invocation_id_prefix")
    assert caught.value.name == "invocation_id_prefix"


@pytest.mark.parametrize("value", [None, 5, b"job", ["job"]])
def test_what_is_not_text_has_no_legal_form(value: Any) -> None:
    with pytest.raises(ParameterError, match="is not text"):
        legal_invocation_id(value)
