"""What a wait remembers of the readings of its batch."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_fc.core.batch_listing import MAX_REMEMBERED, Memory
from airflow_provider_fc.core.invocations import Invocation


def live(*numbers: int, status: str = "Running") -> list[Invocation]:
    return [Invocation(f"job-{number}", status) for number in numbers]


def test_a_memory_has_a_limit_and_forgets_what_it_learned_first() -> None:
    memory = Memory()

    memory.learn(live(*range(MAX_REMEMBERED + 3)))

    assert len(memory.pick_known({f"job-{number}" for number in range(MAX_REMEMBERED + 3)})) == MAX_REMEMBERED
    assert not memory.knows("job-2")
    assert memory.knows("job-3")


def test_an_unknown_status_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    memory = Memory()

    for _ in range(2):
        assert memory.learn(live(1, 2, status="Frozen")) == live(1, 2, status="Frozen")

    assert [record.getMessage() for record in caplog.records] == [
        "'Frozen' is a status this version does not know; it counts as unfinished (invocation job-1)"
    ]
