"""``make e2e-cluster``: the fan-out on a cluster, some of whose programs are killed.

Mapped tasks start invocations, deferred sensors wait for them. Half-way a worker and a triggerer are killed and started
again; when every sensor waits, Function Compute is away for half a minute, while the last invocations are submitted.
Each invocation must be executed once, and each sensor must end in the one right way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batches import DAG_ID, Plan
from cluster_airflow import TRIGGERERS, WORKERS, Cluster
from cluster_services import PostgreSQL, Redis, postgres_binaries
from deployment_checks import DAGS, Progress, check_sensors, check_triggerers, deferred, ended, states
from deployment_report import Report, run
from local_airflow import Emulator, Run
from triggerer_loops import Collections, CpuWaits

PACKAGES = ("apache-airflow", "apache-airflow-providers-celery", "airflow-provider-fc", "celery", "redis")
OUTAGE = 30.0
"""Seconds that Function Compute is away."""


class Fanout:
    """One fan-out on a cluster, step by step.

    :param folder: for what is gone after the run.
    """

    def __init__(self, report: Report, plan: Plan, folder: Path, stack: ExitStack) -> None:
        self.report = report
        self.plan = plan
        self.folder = folder
        self.say = report.clock.say
        self._stack = stack
        self._notes = folder / "executed"
        self._executions: list[dict[str, Any]] = []
        self.postgres = stack.enter_context(PostgreSQL(self._subfolder("postgresql"), report.logs))
        self.redis = stack.enter_context(Redis(self._subfolder("redis"), report.logs))
        self.emulator = self._start_emulator(0)
        self.cluster = stack.enter_context(
            Cluster(
                folder / "airflow", report.logs, DAGS, self.emulator.connection, self.postgres, self.redis, say=self.say
            )
        )
        self._waits = stack.enter_context(CpuWaits(self.cluster.running))
        self._collections = Collections(self.cluster.home)
        self._progress = Progress(self.cluster, self.say)

    def _subfolder(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def _start_emulator(self, port: int) -> Emulator:
        life = self.report.logs / ("emulator-again" if port else "emulator")
        life.mkdir()
        functions, state = DAGS / "functions" / "work.py", self.folder / "invocations.db"
        return self._stack.enter_context(Emulator(functions, life, cwd=self.folder, port=port, state=state))

    def carry_out(self) -> None:
        self.cluster.start_all()
        self.cluster.unpause(DAG_ID)
        early = self._submit(self.plan.early, self.plan.sensors())
        self._kill_half_way(early)
        self._wait_for_the_last(early)
        late = self._outage()
        self._progress.until(lambda: ended(self.cluster, early) and ended(self.cluster, late), "the end of both runs")
        self._executions += self.emulator.executions()
        self._conclude(early, late)

    def _submit(self, numbers: range, sensors: list[dict[str, Any]]) -> Run:
        invocations = self.plan.mapped(numbers, self._notes)
        self.say(f"{len(invocations)} tasks submit an invocation each, {len(sensors)} sensors wait")
        return self.cluster.trigger(DAG_ID, {"invocations": invocations, "sensors": sensors})

    def _kill_half_way(self, run: Run) -> None:
        half = len(self.plan.early) // 2
        self._progress.until(lambda: states(self.cluster, run).get("invoke", Counter())["success"] >= half, "half-way")
        waiting = len(deferred(self.cluster, run))
        killed = [
            self._kill(self.cluster.executing, WORKERS, "tasks"),
            self._kill(self.cluster.triggers, TRIGGERERS, "triggers"),
        ]
        self.report.facts["killed"] = [{**entry, "deferred sensors": waiting} for entry in killed]
        names = [entry["program"] for entry in killed]
        for name in names:
            self.cluster.start(name)
        self.report.check(f"{' and '.join(names)} were killed at work, {waiting} sensors deferred", waiting > 0)

    def _kill(self, held: Callable[[], dict[str, int]], names: tuple[str, ...], what: str) -> dict[str, Any]:
        """Kill the busiest of some programs, once it has something to lose."""
        holding: dict[str, int] = {}

        def at_work() -> bool:
            holding.update(dict.fromkeys(names, 0) | held())
            return any(holding.values())

        self._progress.until(at_work, f"a program that holds {what}")
        name = max(names, key=holding.__getitem__)
        pids = self.cluster.kill(name)
        self.say(f"killed {name}, which had {holding[name]} {what}: processes {pids}")
        when = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "second": round(self.report.clock.seconds(), 1)}
        return {"program": name, "signal": "SIGKILL", "pids": pids, "held": f"{holding[name]} {what}", **when}

    def _wait_for_the_last(self, run: Run) -> None:
        """Wait until all early invocations have been executed, and the sensors do nothing but wait."""
        self._progress.until(
            lambda: states(self.cluster, run).get("wait_for_all") == {"success": 1}, "the end of what is early"
        )
        waiting: set[int] = set()
        busy = self._busy()

        def only_waiting() -> bool:
            nonlocal waiting, busy
            waiting, busy = deferred(self.cluster, run), self._busy()
            return waiting.issuperset(self.plan.complete) and busy == (0, 0)

        # What is seen in that moment is what counts: the next sensor may be resumed a moment later.
        self._progress.until(only_waiting, "sensors that only wait")
        occupied, executing = busy
        self.report.facts["waiting"] = {"deferred": len(waiting), "occupied_slots": occupied, "celery_tasks": executing}
        self.report.check(
            f"{len(waiting)} sensors wait deferred; pool slots {occupied}, tasks on workers {executing}",
            len(waiting) >= len(self.plan.complete) > 0 and busy == (0, 0),
        )

    def _busy(self) -> tuple[int, int]:
        """The slots that Airflow counts as occupied, and the tasks that the workers execute."""
        return self.cluster.get("/pools/default_pool")["occupied_slots"], sum(self.cluster.executing().values())

    def _outage(self) -> Run:
        """Take Function Compute away for a while, in which the last invocations are submitted."""
        self._executions += self.emulator.executions()
        began = time.monotonic()
        self.emulator.stop()
        self.say(f"Function Compute is away for {OUTAGE:g} s")
        late = self._submit(self.plan.late, [])
        time.sleep(max(0.0, began + OUTAGE - time.monotonic()))
        tried = states(self.cluster, late).get("invoke", Counter())
        self.emulator = self._start_emulator(self.emulator.port)
        away = round(time.monotonic() - began, 1)
        self.say(f"Function Compute is back after {away} s")
        self.report.facts["outage"] = {"seconds": away, "port": self.emulator.port, "invoke tasks": tried}
        self.report.check(f"Function Compute was away for {away} s, while {tried.total()} tasks submit", away >= OUTAGE)
        return late

    def _conclude(self, early: Run, late: Run) -> None:
        report, wanted = self.report, self.plan.invocations
        found = states(self.cluster)
        executed = Counter(execution["invocation_id"] for execution in self._executions)
        noted = Counter(map(int, self._notes.read_text(encoding="utf-8").split()))
        report.facts["states"] = {"first run": states(self.cluster, early), "second run": states(self.cluster, late)}
        report.facts["counts"] = {
            "executions": executed.total(),
            "executed ids": len(executed),
            "tries of invoke": self._tries("invoke"),
            "tries of wait": self._tries("wait"),
        }
        report.check(
            f"the emulator has executed {executed.total()} of {wanted}, {len(executed)} ids",
            executed.total() == len(executed) == wanted,
        )
        report.check("the function has noted each number once", noted == Counter(range(wanted)))
        report.check(f"all {wanted} tasks that invoke are green", found["invoke"] == {"success": wanted})
        report.check("both sensors with the ids of all invocations are green", found["wait_for_all"] == {"success": 2})
        check_sensors(report, self.cluster, early, self.plan)
        logs = [log for name in TRIGGERERS for log in self.cluster.logs_of(name)]
        check_triggerers(report, logs, self._waits, self._collections)

    def _tries(self, task: str) -> dict[str, int]:
        """How many mapped instances of a task have needed how many tries."""
        query = (
            "select try_number, count(*) from task_instance where task_id = ? and map_index >= 0 group by 1 order by 1"
        )
        return {str(tries): count for tries, count in self.cluster.rows(query, task)}


def check(report: Report, plan: Plan) -> None:
    report.facts["sizes"] = {"invocations": plan.invocations, "sensors": plan.batches}
    report.facts["versions"]["PostgreSQL"] = postgres_binaries().parent.name
    with tempfile.TemporaryDirectory(prefix="e2e-cluster-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)  # the user postgres must be able to reach his own
        Fanout(report, plan, Path(folder), stack).carry_out()
        report.clock.say("stopping what was started")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invocations", type=int, default=500)
    parser.add_argument("--sensors", type=int, default=200)
    options = parser.parse_args()
    return run("cluster", lambda report: check(report, Plan(options.invocations, options.sensors)), PACKAGES)


if __name__ == "__main__":
    sys.exit(main())
