"""The checks of a deployment notice what they are there to notice; `make e2e-cluster` and `make e2e-scale` use them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from batches import KINDS, Plan
from local_airflow import Failure
from triggerer_loops import CpuWaits, warnings

NOW = 1_795_797_525.873751
LINE = (
    "{prefix}2026-11-27T16:38:45.873751Z [info     ] Triggerer's async thread was blocked for {late:.2f} seconds, "
    "exceeding the configured warning threshold of 0.20 seconds. This is likely caused by a badly-written trigger."
)


def waits(*counts: tuple[float, float]) -> CpuWaits:
    """One process, counted at moments before NOW: seconds before, and how long it had waited for a CPU."""
    found = CpuWaits(list)
    found.counts[1] = [(NOW - before, waited) for before, waited in counts]
    return found


@pytest.mark.parametrize("prefix", ["", "triggerer  | "])
@pytest.mark.parametrize(
    ("late", "counted", "explained"),
    [
        pytest.param(0.5, [(2, 1.0), (1, 1.0), (0, 1.0), (-1, 1.0)], False, id="it waited for nothing"),
        pytest.param(0.5, [(2, 1.0), (1, 1.0), (0, 1.4), (-1, 1.4)], True, id="it waited for a CPU"),
        pytest.param(0.5, [(2, 1.0), (1, 1.0), (0, 1.2), (-1, 1.2)], False, id="it waited too little"),
        pytest.param(0.5, [(9, 0.0), (8, 5.0), (1, 5.0), (0, 5.0), (-1, 5.0)], False, id="it had waited before"),
        pytest.param(0.5, [], False, id="nothing is known"),
    ],
)
def test_a_late_loop_is_explained_by_waiting_for_a_cpu_and_by_nothing_else(
    tmp_path: Path, prefix: str, late: float, counted: list[tuple[float, float]], explained: bool
) -> None:
    log = tmp_path / "triggerer.log"
    log.write_text(f"something else\n{LINE.format(prefix=prefix, late=late)}\n")

    [found] = warnings([log], waits(*counted))

    assert found.late == late
    assert found.explained is explained


def test_a_warning_in_other_words_is_never_explained(tmp_path: Path) -> None:
    log = tmp_path / "triggerer.log"
    log.write_text("the async thread was blocked for a while\n")

    [found] = warnings([log], waits((2, 0.0), (-1, 100.0)))

    assert not found.explained


@pytest.mark.parametrize(("invocations", "batches"), [(500, 200), (30, 7), (14, 7), (900, 300)])
def test_every_invocation_is_in_one_batch_and_the_last_of_each_is_late(invocations: int, batches: int) -> None:
    plan = Plan(invocations, batches)
    expected = [sensor["expected_count"] for sensor in plan.sensors()]

    assert [*plan.early, *plan.late] == list(range(invocations))
    assert {number % batches for number in plan.late} == set(range(batches))
    assert sum(expected) - sum(plan.kind(batch).missing for batch in range(batches)) == invocations
    assert sum(map(plan.fails, range(invocations))) == sum(plan.kind(batch).fails for batch in range(batches))


def test_there_are_sensors_that_end_in_each_state() -> None:
    assert {kind.state for kind in KINDS} == {"success", "failed", "skipped"}
    assert Plan(2 * len(KINDS), len(KINDS)).complete


@pytest.mark.parametrize(("invocations", "batches"), [(5, 3), (0, 0), (10, 0)])
def test_too_few_invocations_for_the_sensors_are_refused(invocations: int, batches: int) -> None:
    with pytest.raises(Failure, match="need"):
        Plan(invocations, batches)
