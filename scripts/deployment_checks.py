"""What every check of a deployment does: follow a fan-out, and find out whether each sensor has ended right.

Whether a triggerer stood still meanwhile, its own log tells.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from batches import DAG_ID, Plan, judge
from deployment_report import Report
from local_airflow import REPOSITORY, Airflow, Run, Say, tail
from triggerer_loops import Collections, CpuWaits, warnings

DAGS = REPOSITORY / "tests" / "e2e" / "deployment_dags"

SHOWN = 3
SIGN_OF_LIFE = 15.0


class Progress:
    """Waits as long as anything changes, and tells now and then how far it is."""

    def __init__(self, airflow: Airflow, say: Say) -> None:
        self._airflow = airflow
        self._say = say
        self._said = 0.0

    def until(self, condition: Callable[[], object], problem: str) -> None:
        """
        :param problem: what has not come about.
        :raises Failure: nothing changes any more, or a program has ended.
        """

        def asked() -> object:
            if time.monotonic() > self._said + SIGN_OF_LIFE:
                self._said = time.monotonic()
                self._say("; ".join(f"{task}: {_counts(found)}" for task, found in states(self._airflow).items()))
            return condition()

        self._airflow.wait_until(asked, problem)


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(found.items()))


def deferred(airflow: Airflow, run: Run) -> set[int]:
    """Which of the mapped sensors are deferred."""
    query = "select map_index from task_instance where run_id = ? and task_id = 'wait' and state = 'deferred'"
    return {index for (index,) in airflow.rows(query, run.run_id)}


def ended(airflow: Airflow, run: Run) -> bool:
    [(state,)] = airflow.rows("select state from dag_run where run_id = ?", run.run_id)
    return state in ("success", "failed")


def states(airflow: Airflow, run: Run | None = None) -> dict[str, Counter[str]]:
    """How many instances of each task are in which state."""
    which = f"and run_id = '{run.run_id}'" if run else ""
    found: dict[str, Counter[str]] = {}
    for task, state, count in airflow.rows(
        f"select task_id, state, count(*) from task_instance where dag_id = '{DAG_ID}' {which} group by 1, 2"
    ):
        found.setdefault(task, Counter())[state or "none"] = count
    return found


def check_sensors(report: Report, airflow: Airflow, run: Run, plan: Plan) -> None:
    """Check that each sensor has ended in the one right way."""
    kinds, wrong = judge(airflow, run, plan)
    report.facts["sensors"] = kinds
    report.facts["wrong"] = wrong
    report.check(f"each of {plan.batches} sensors has ended in the one right way", not wrong)
    for batch, problem in list(wrong.items())[:SHOWN]:
        print(f"sensor {batch}: {problem}", *map(tail, airflow.task_logs(run, "wait", batch)), sep="\n")


def check_triggerers(report: Report, logs: list[Path], waits: CpuWaits, collections: Collections) -> None:
    """Check that no triggerer has told of a loop that stood still for a trigger's sake."""
    found = warnings(logs, waits, collections)
    unexplained = [warning for warning in found if not warning.explained]
    others = len(found) - len(unexplained)
    report.facts["blocked"] = {
        "warnings": len(found),
        "for want of a CPU, or while garbage was collected": others,
        "explained": [asdict(warning) for warning in found if warning.explained][:20],
        "others": [asdict(warning) for warning in unexplained[:20]],
    }
    report.check(
        f"no trigger has blocked a triggerer ({len(found)} warnings, {others} for want of a CPU or while garbage "
        "was collected)",
        not unexplained,
    )
