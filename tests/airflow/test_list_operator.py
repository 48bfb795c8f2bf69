"""The list operator: what it pushes, within which bounds."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pendulum
import pytest
from running import TaskInstance

from airflow_provider_fc.core import defaults
from airflow_provider_fc.core.errors import ParameterError, ResultTooLargeError
from airflow_provider_fc.core.invocations import FIELDS
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator

START = 1_795_000_000_000


@pytest.fixture
def emulator(connection: Callable[..., str]) -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def pushed(**parameters: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows and the ``summary`` XCom, as they come out of JSON."""
    ti = TaskInstance()
    operator = FunctionComputeListInvocationsOperator(task_id="list", **{"function_name": "resize", **parameters})
    rows = operator.execute({"ti": ti})
    return json.loads(json.dumps(rows)), ti.xcoms["summary"]


def ids(**parameters: Any) -> list[str]:
    return [row["invocation_id"] for row in pushed(**parameters)[0]]


def add(emulator: FunctionComputeEmulator, **statuses: str) -> None:
    """One invocation for each ``id=status``, each started a second after the one before."""
    emulator.add_invocations(
        [
            {
                "function": "resize",
                "id": key,
                "statuses": [status],
                "started_time": START + 1000 * index,
                "end_time": START + 1000 * index + 250,
                "error_message": "ValueError: no image",
                "payload": "canary-payload",
            }
            for index, (key, status) in enumerate(statuses.items())
        ]
    )


def test_a_row_has_the_default_fields(emulator: FunctionComputeEmulator) -> None:
    add(emulator, a="Failed")

    [row], summary = pushed()

    assert tuple(row) == defaults.FIELDS
    assert row["request_id"]
    assert {key: row[key] for key in row if key != "request_id"} == {
        "invocation_id": "a",
        "status": "Failed",
        "function_name": "resize",
        "started_at": "2026-11-18T11:06:40.000Z",
        "ended_at": "2026-11-18T11:06:40.250Z",
        "duration_ms": 250,
        "error_message": "ValueError: no image",
        "already_retried_times": 0,
    }
    assert summary == {"count": 1, "truncated": False, "by_status": {"Failed": 1}}


def test_all_fields_are_json_native(emulator: FunctionComputeEmulator) -> None:
    add(emulator, a="Failed", b="Running", c="Succeeded")

    rows, _ = pushed(fields=FIELDS)

    assert [tuple(row) for row in rows] == [FIELDS] * 3


def test_payloads_come_only_when_they_are_named(emulator: FunctionComputeEmulator) -> None:
    add(emulator, a="Failed")

    assert "canary-payload" not in json.dumps(pushed())
    assert pushed(fields=["payload"])[0] == [{"payload": "canary-payload"}]


FILTERS = {
    "prefix": ({"invocation_id_prefix": "job-"}, ["job-1", "job-2"]),
    "one status": ({"statuses": "Failed"}, ["bad"]),
    "terminal statuses": ({"statuses": ["Failed", "Succeeded"]}, ["job-1", "bad", "job-2"]),
    "with a live status": ({"statuses": ["Running", "Failed"]}, ["bad", "live"]),
    "statuses as text": ({"statuses": "Failed, Running"}, ["bad", "live"]),
    "from, in ms": ({"started_after": START + 2000}, ["job-2", "live"]),
    "from, ms as text": ({"started_after": str(START + 2000)}, ["job-2", "live"]),
    "from, ISO": ({"started_after": "2026-11-18T19:06:42+08:00"}, ["job-2", "live"]),
    "from, datetime": ({"started_after": datetime(2026, 11, 18, 11, 6, 42, tzinfo=UTC)}, ["job-2", "live"]),
    "to, pendulum": ({"started_before": pendulum.datetime(2026, 11, 18, 11, 6, 41)}, ["job-1", "bad"]),
    "window": ({"started_after": START + 1000, "started_before": START + 2000}, ["bad", "job-2"]),
    "absent": (
        {"started_after": None, "statuses": None, "limit": None, "order": "asc"},
        ["job-1", "bad", "job-2", "live"],
    ),
    "limit": ({"limit": "2"}, ["job-1", "bad"]),
}


@pytest.mark.parametrize(("parameters", "expected"), FILTERS.values(), ids=FILTERS)
def test_filters(emulator: FunctionComputeEmulator, parameters: dict[str, Any], expected: list[str]) -> None:
    add(emulator, **{"job-1": "Succeeded", "bad": "Failed", "job-2": "Succeeded", "live": "Running"})

    assert ids(**{"order": "asc", **parameters}) == expected


@pytest.mark.parametrize(
    ("parameters", "warns"),
    [
        ({"statuses": "Enqueued,Running", "started_after": START}, True),
        ({"statuses": ["Dequeued"], "started_before": START}, True),
        ({"statuses": "Enqueued", "started_after": 0}, True),
        ({"statuses": "Enqueued"}, False),
        ({"statuses": "Running", "started_after": START}, False),
        ({"started_after": START}, False),
    ],
)
def test_who_asks_for_what_has_not_started_is_warned_of_a_window_of_start_times(
    emulator: FunctionComputeEmulator,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    parameters: dict[str, Any],
    warns: bool,
) -> None:
    pushed(**parameters)

    told = "started_after and started_before may leave out what is " in capfd.readouterr().out + caplog.text
    assert told == warns


def test_the_order_can_be_reversed(emulator: FunctionComputeEmulator) -> None:
    add(emulator, a="Failed", b="Succeeded", c="Failed")

    assert ids(order="desc") == ["c", "b", "a"]
    assert ids(order="desc", statuses=["Failed", "Succeeded"]) == ["c", "b", "a"]


def test_a_service_means_fc_2_with_the_qualifier_in_the_path(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations(
        [
            {"function": "resize", "service": "media", "qualifier": qualifier, "id": f"job-{qualifier}"}
            for qualifier in ("prod", "test")
        ]
    )

    assert ids(service_name="media", qualifier="prod") == ["job-prod"]


def many(emulator: FunctionComputeEmulator, count: int) -> None:
    emulator.add_invocations(
        [{"function": "resize", "id_template": "job-{index:05}", "count": count, "statuses": ["Succeeded"]}]
    )


def test_a_thousand_rows_are_not_too_many(emulator: FunctionComputeEmulator) -> None:
    many(emulator, 1000)

    rows, summary = pushed()

    assert summary == {"count": 1000, "truncated": False, "by_status": {"Succeeded": 1000}}
    assert len({row["invocation_id"] for row in rows}) == 1000


def test_a_thousand_and_one_rows_fail_and_name_both_limits(emulator: FunctionComputeEmulator) -> None:
    many(emulator, 1001)

    with pytest.raises(ResultTooLargeError, match=r"max_items=1000.*\[core\] max_map_length"):
        pushed()


def test_an_overflow_can_be_cut_off(emulator: FunctionComputeEmulator) -> None:
    many(emulator, 250)

    rows, summary = pushed(max_items=120, on_overflow="truncate")

    assert len(rows) == 120
    assert summary["truncated"] is True


@pytest.mark.parametrize(("limit", "truncated"), [(249, True), (250, False), (251, False)])
def test_a_limit_stops_without_complaint(emulator: FunctionComputeEmulator, limit: int, truncated: bool) -> None:
    many(emulator, 250)

    rows, summary = pushed(limit=limit)

    assert len(rows) == min(limit, 250)
    assert summary["truncated"] is truncated


def test_too_many_bytes_fail_and_name_the_limit(emulator: FunctionComputeEmulator) -> None:
    many(emulator, 100)

    with pytest.raises(ResultTooLargeError, match="max_bytes=5000"):
        pushed(max_bytes=5000)


def test_the_rows_never_have_more_bytes_than_allowed(emulator: FunctionComputeEmulator) -> None:
    many(emulator, 100)

    rows, summary = pushed(max_bytes=5000, on_overflow="truncate")

    assert 4500 < len(json.dumps(rows, separators=(",", ":")).encode()) <= 5000
    assert summary["truncated"] is True


def test_only_as_much_is_read_as_is_needed(emulator: FunctionComputeEmulator) -> None:
    many(emulator, 5000)

    pushed(limit=10)

    assert [record.parameters["limit"] for record in emulator.requests] == ["11"]


BAD_INPUT = {
    "statuses": ({"statuses": ["Failed", "failed"]}, "statuses: 'failed' is not one of "),
    "prefix": ({"invocation_id_prefix": ""}, "invocation_id_prefix: '' would match every"),
    "naive": ({"started_after": datetime(2026, 11, 18)}, "started_after: .* has no time zone"),  # noqa: DTZ001
    "seconds": ({"started_before": 1_795_000_000}, "started_before: 1795000000 looks like seconds"),
    "order": ({"order": "up"}, "order: 'up' is unknown; use one of asc, desc"),
    "fields": ({"fields": ["id"]}, "fields: 'id' is not one of invocation_id"),
    "no fields": ({"fields": []}, "fields: is empty"),
    "limit": ({"limit": "ten"}, "limit: 'ten' is not a whole number"),
    "max_items": ({"max_items": 0}, "max_items: 0 is out of range; give 1 or more"),
    "on_overflow": ({"on_overflow": "cut"}, "on_overflow: 'cut' is unknown; use one of fail, truncate"),
    "function": ({"function_name": "None"}, "function_name: is missing"),
    "service": ({"service_name": "a/b"}, "service_name: 'a/b' is not a legal name"),
    "qualifier": ({"qualifier": "a/b"}, "qualifier: 'a/b' is neither a version"),
}


@pytest.mark.parametrize(("parameters", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_named_with_its_fix(
    emulator: FunctionComputeEmulator, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        pushed(**parameters)
    assert not emulator.requests


def test_every_parameter_of_our_own_is_a_template_field() -> None:
    parameters = inspect.signature(FunctionComputeListInvocationsOperator.__init__).parameters

    assert set(FunctionComputeListInvocationsOperator.template_fields) == set(parameters) - {"self", "kwargs"}
