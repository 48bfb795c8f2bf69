"""A long wait under faults of all kinds ends as it should, whatever the chance."""

from __future__ import annotations

from typing import Any

import pytest
from harness import World

from airflow_provider_fc.core.outcome import Kind, Outcome

POLLS = 1000
POLL_INTERVAL = 60
SHARE = 0.1

# Everything that can go wrong with an answer and be right the next time.
FAULTS: list[dict[str, Any]] = [
    {"action": "status", "status": 500, "code": "InternalServerError"},
    {"action": "status", "status": 503, "code": "ServiceUnavailable", "retry_after": 3},
    {"action": "status", "status": 429, "code": "ResourceExhausted", "retry_after": 2, "retry_after_as_date": True},
    {"action": "status", "status": 400, "code": "Throttling.User", "x_acs_retry_after": 1500},
    {"action": "html"},
    {"action": "reset"},
    {"action": "reset_in_body"},
    {"action": "truncated_body"},
    {"action": "lose_answer"},
    {"action": "truncated_json"},
    {"action": "empty_page"},
    {"action": "short_page", "items": 7},
    {"action": "repeated_token"},
    {"action": "repeated_token", "cycle": 3},
    {"action": "expired_page_token"},
    {"action": "null_list"},
    {"action": "unknown_status"},
]


MODES = ["one process", "a process for each poll"]


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_polls_with_ten_per_cent_faults_end_right(seed: int, mode: str) -> None:
    world = World()
    end = 1.3 * POLLS * POLL_INTERVAL  # faults and throttling make some polls fewer
    world.add_many(240, "Succeeded")
    for index in range(10):
        last = "Failed" if index < 3 else "Succeeded"
        begins = index * end / 20
        world.add(f"job-x{index}", timeline=[[0, "Enqueued"], [begins, "Running"], [end - 100 * index, last]])
    world.app.add_faults(
        [{**fault, "probability": SHARE / len(FAULTS), "seed": 1000 * seed + n} for n, fault in enumerate(FAULTS)]
    )
    right = seed % 2 == 0
    parameters = {"expected_count": 250, "max_failed": 3 if right else 2}

    if mode == "one process":
        wait = world.wait(timeout=3 * end, poll_interval=POLL_INTERVAL, **parameters)
        outcome = world.run(wait.run(world.context))
    else:
        outcome = rescheduled(world, 3 * end, parameters)

    fired = {report.name for report in world.app.faults if report.fired}
    # Once a live invocation is known, one process asks for nothing but that one: what breaks listings cannot hit it.
    assert len(fired) >= (8 if mode == "one process" else 12)
    assert len(world.slept) >= POLLS
    assert outcome.kind is (Kind.SUCCESS if right else Kind.FAILED)
    assert outcome.summary is not None
    assert outcome.summary.by_status == {"Failed": 3, "Succeeded": 247}


def rescheduled(world: World, timeout: float, parameters: dict[str, Any]) -> Outcome:
    """Poll from a new process each time, as a rescheduled sensor does."""
    while True:
        wait = world.wait(timeout=timeout, **parameters)
        if world.slept:
            wait.go_on_for_one_poll()
        outcome: Outcome | None = world.run(wait.poke(world.context))
        if outcome is not None and outcome.decided:
            return outcome
        world.slept.append(POLL_INTERVAL)
        world.clock.sleep(POLL_INTERVAL)
