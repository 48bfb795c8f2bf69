"""What counts as written in the DAG file, and what has still to come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.literals import check_literals, is_literal

LITERALS = [None, "a", b"a", 1, 1.5, True, date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), timedelta(1)]
COMES_LATER = ["{{ ds }}", "{% if a %}", "{# a #}", object()]


@pytest.mark.parametrize("value", [*LITERALS, LITERALS, tuple(LITERALS), {"a": LITERALS}, [[]], {}])
def test_a_value_is_what_it_says(value: object) -> None:
    assert is_literal(value)


@pytest.mark.parametrize("value", COMES_LATER)
def test_a_template_or_a_result_is_not_known_yet_however_deep_it_stands(value: object) -> None:
    assert not any(map(is_literal, [value, [1, value], (value,), {"a": value}, {"a": [{"b": value}]}]))


def test_a_mistake_is_named() -> None:
    with pytest.raises(ParameterError, match=r"^limit: .*-1"):
        check_literals({"limit": -1})


def test_two_ways_to_say_which_invocations_are_one_too_many() -> None:
    with pytest.raises(ParameterError, match="is given beside invocation_ids; give one of the two"):
        check_literals({"invocation_id_prefix": "{{ a }}", "invocation_ids": ["job-1"]})


@pytest.mark.parametrize("value", COMES_LATER)
def test_what_is_not_known_yet_is_not_judged(value: object) -> None:
    check_literals({"limit": value, "statuses": [value]})
