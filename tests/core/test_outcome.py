"""How a wait ended, on its way from a trigger to the worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core import outcome
from airflow_provider_fc.core.errors import AccessDeniedError, TransportError, TriggerError
from airflow_provider_fc.core.outcome import Failure, Kind, Outcome, Summary

ENDINGS = [kind for kind in Kind if kind not in (Kind.WAITING, Kind.ERROR)]

text = st.text(max_size=400)
failures = st.builds(Failure, text, text, st.none(), st.none() | text)
summaries = st.builds(
    Summary,
    st.dictionaries(text, st.integers(1, 10**6), max_size=12),
    st.lists(failures, max_size=20).map(tuple),
    st.none() | st.integers(0, 2**53),
    st.none() | st.integers(0, 2**53),
)


def sent(ending: Outcome) -> Any:
    """What arrives of it."""
    return json.loads(json.dumps(ending.to_json()))


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_ending_arrives_as_it_was_sent(kind: Kind) -> None:
    summary = Summary({"Failed": 1}, (Failure("job-1", "Failed", None, "r-1"),), 1, 2)
    ending = Outcome(kind, str(summary), summary, invocation_id="job-1")

    assert Outcome.from_json(sent(ending)) == ending


def test_an_error_arrives_with_its_type_and_attributes() -> None:
    error = AccessDeniedError("ListAsyncTasks", 403, "AccessDenied", "no", "r-1")

    arrived = Outcome.from_json(sent(Outcome.of_error(error)))

    assert arrived.kind is Kind.ERROR
    assert (type(arrived.error), str(arrived.error)) == (AccessDeniedError, str(error))


def test_error_texts_of_failures_stay_behind() -> None:
    summary = Summary({"Failed": 1}, (Failure("job-1", "Failed", "canary-text", "r-1"),))

    assert "canary-text" not in json.dumps(Outcome(Kind.FAILED, "job-1: canary-text", summary).to_json())


@given(st.sampled_from(ENDINGS), st.text(max_size=5000), summaries)
def test_an_ending_has_at_most_four_kibibytes_and_keeps_its_counts(kind: Kind, reason: str, summary: Summary) -> None:
    ending = Outcome(kind, reason, summary)

    assert len(json.dumps(ending.to_json()).encode()) <= outcome.MAX_BYTES
    arrived = Outcome.from_json(sent(ending))
    assert arrived.kind is kind
    assert arrived.summary is not None
    assert arrived.summary.total == summary.total


@given(st.text(max_size=5000))
def test_an_error_of_any_length_has_at_most_four_kibibytes(words: str) -> None:
    ending = Outcome.of_error(TransportError(words))

    assert len(json.dumps(ending.to_json()).encode()) <= outcome.MAX_BYTES


@pytest.mark.parametrize("words", [{"x" * 5000: 2, "Running": 1}, {f"Word{index}": 1 for index in range(1000)}])
def test_words_that_nobody_knows_are_counted_together_where_they_need_too_much_room(words: dict[str, int]) -> None:
    wire = Outcome(Kind.TIMEOUT, "time is up", Summary(words)).to_json()

    assert len(json.dumps(wire).encode()) <= outcome.MAX_BYTES
    assert sum(wire["summary"]["by_status"].values()) == sum(words.values())


def test_failures_that_need_too_much_room_are_left_out_from_the_end() -> None:
    failed = tuple(Failure(f"job-{number:03}-" + "ü" * 100, "Failed", None, "r-1") for number in range(20))
    summary = Summary({"Failed": 20}, failed)

    wire = Outcome(Kind.FAILED, str(summary), summary).to_json()

    assert len(json.dumps(wire).encode()) <= outcome.MAX_BYTES
    kept = [failure.invocation_id for failure in Outcome.from_json(wire).summary.failed]  # type: ignore[union-attr]
    assert 0 < len(kept) < 20
    assert kept == [failure.invocation_id for failure in failed[: len(kept)]]


def test_a_text_that_needs_too_much_room_loses_its_end() -> None:
    words = "ü" * 5000

    arrived = Outcome.from_json(sent(Outcome.of_error(TransportError(words))))

    assert "ü" in str(arrived.error)
    assert len(json.dumps(Outcome.of_error(TransportError(words)).to_json()).encode()) <= outcome.MAX_BYTES


COUNTS = {"by_status": {"Succeeded": 1}, "failed": []}


@pytest.mark.parametrize(
    "wire",
    [
        None,
        "success",
        [],
        {},
        {"status": "success"},
        {"kind": "sucess", "summary": COUNTS},
        {"kind": "success"},
        {"kind": "failed"},
        {"kind": "success", "summary": None},
        {"kind": "success", "summary": {"by_status": {"Succeeded": "1"}}},
        {"kind": "success", "summary": {"by_status": {"Succeeded": True}}},
        {"kind": "success", "summary": {"by_status": ["Succeeded"]}},
        {"kind": "success", "summary": COUNTS, "error": {"class": "TransportError", "text": "x"}},
        {"kind": "waiting", "summary": COUNTS},
        {"kind": "error"},
    ],
)
def test_what_nobody_here_has_sent_is_an_error(wire: object) -> None:
    with pytest.raises(TriggerError, match="the trigger sent"):
        Outcome.from_json(wire)
