"""Reading the record of an invocation that is known to exist."""

from __future__ import annotations

import pytest
from harness import FUNCTION, World

from airflow_provider_fc.core.calls import function_of, get_operation
from airflow_provider_fc.core.errors import ApiError, NotFoundError
from airflow_provider_fc.core.flow import Flow
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.submission import look_up


def look(world: World, *, seconds: float) -> Flow[Invocation]:
    return look_up(get_operation(function_of(world.settings, FUNCTION), "job-1"), world.context, seconds=seconds)


def test_a_record_that_is_not_visible_yet_is_waited_for() -> None:
    world = World()
    world.add("job-1", appears_after=5)

    assert world.run(look(world, seconds=8)).invocation_id == "job-1"
    assert sum(world.slept) == 6


def test_a_server_out_of_order_is_waited_for() -> None:
    world = World()
    world.add("job-1")
    world.app.add_faults([{"action": "status", "status": 503, "times": 3}])

    assert world.run(look(world, seconds=60)).invocation_id == "job-1"


def test_a_record_that_does_not_appear_is_an_error_when_the_time_is_over() -> None:
    world = World()
    world.add("job-2")

    with pytest.raises(NotFoundError):
        world.run(look(world, seconds=8))
    assert sum(world.slept) == 8


def test_a_refusal_is_an_error_at_once() -> None:
    world = World()
    world.add("job-1")
    world.app.add_faults([{"action": "status", "status": 403}])

    with pytest.raises(ApiError):
        world.run(look(world, seconds=8))
    assert world.slept == []
