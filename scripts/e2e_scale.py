"""``make e2e-scale``: many deferred sensors on the one triggerer of ``airflow standalone``.

Each waits for a batch whose last invocation is missing until all of them wait. Each must end in the one right way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from batches import COMPLETE, DAG_ID, Plan
from deployment_checks import DAGS, Progress, check_sensors, check_triggerers, deferred, ended, states
from deployment_report import Report, run
from local_airflow import ENOUGH_CPU, REPOSITORY, Airflow, Emulator, Program, free_port
from triggerer_loops import Collections, CpuWaits

COMPONENTS = 4
TASKS_AT_ONCE = 6
"""They leave the database to the API server, so SQLite's one writer at a time is no limit."""
EACH = 3
"""Invocations of a batch."""


class Standalone(Airflow):
    """``airflow standalone``: it starts the other programs itself."""

    programs: ClassVar[Mapping[str, Sequence[str]]] = {"standalone": ("standalone",)}

    def start(self, name: str) -> Program:
        program = super().start(name)
        program.enough_cpu = COMPONENTS * ENOUGH_CPU
        return program

    def _is_healthy(self, name: str) -> bool:
        return all(map(super()._is_healthy, ("api-server", "scheduler", "dag-processor", "triggerer")))


def _triggers(airflow: Airflow) -> int:
    """How many triggers the triggerer holds."""
    [(count,)] = airflow.rows("select count(*) from trigger where triggerer_id is not null")
    return int(count)


def check(report: Report, plan: Plan) -> None:
    say = report.clock.say
    report.facts["sizes"] = {"sensors": plan.batches, "invocations": plan.invocations}
    settings = {
        "AIRFLOW__CORE__PARALLELISM": str(TASKS_AT_ONCE),
        **{f"AIRFLOW__LOGGING__{name}_LOG_SERVER_PORT": str(free_port()) for name in ("WORKER", "TRIGGER")},
    }
    with tempfile.TemporaryDirectory(prefix="e2e-scale-") as folder, ExitStack() as stack:
        home, template = Path(folder) / "airflow", REPOSITORY / ".demo"
        emulator = stack.enter_context(Emulator(DAGS / "functions" / "work.py", report.logs, cwd=Path(folder)))
        airflow = stack.enter_context(
            Standalone(home, template, DAGS, emulator.connection, say=say, settings=settings, logs=report.logs)
        )
        waits = stack.enter_context(CpuWaits(airflow.running))
        collections = Collections(airflow.home)
        progress = Progress(airflow, say)
        airflow.start_all()
        airflow.unpause(DAG_ID)
        emulator.add_invocations(plan.scripted(plan.early))
        started = airflow.trigger(DAG_ID, {"sensors": plan.sensors()})
        progress.until(lambda: _triggers(airflow) == plan.batches, f"{plan.batches} sensors that wait in the triggerer")
        waiting = len(deferred(airflow, started))
        report.facts["waiting"] = {"deferred": waiting, "second": round(report.clock.seconds(), 1)}
        report.check(f"{waiting} of {plan.batches} sensors wait in the triggerer", waiting == plan.batches)
        say("now the last invocation of each batch appears")
        emulator.add_invocations(plan.scripted(plan.late))
        progress.until(lambda: ended(airflow, started), "the end of the run")
        report.facts["states"] = states(airflow)
        check_sensors(report, airflow, started, plan)
        check_triggerers(report, airflow.logs_of("standalone"), waits, collections)
        say("stopping what was started")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=300)
    sensors = parser.parse_args().sensors
    return run(
        "scale",
        lambda report: check(report, Plan(EACH * sensors, sensors, COMPLETE)),
        ["apache-airflow", "airflow-provider-fc"],
    )


if __name__ == "__main__":
    sys.exit(main())
