"""What a check of a deployment has found: printed as it goes, and written as JSON however it ends."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local_airflow import INTERRUPTED, REPOSITORY, Clock, Failure, stop_on_signals

FOLDER = REPOSITORY / "build" / "e2e"


@dataclass
class Report:
    """The facts, and the checks, none of which may fail.

    :param logs: of all programs and tasks; they stay.
    """

    name: str
    clock: Clock = field(default_factory=Clock)
    facts: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    error: str = "it has not come to its end"

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.json"

    @property
    def logs(self) -> Path:
        return FOLDER / self.name

    @property
    def passed(self) -> bool:
        return not self.error and bool(self.checks) and all(self.checks.values())

    def check(self, text: str, holds: bool) -> None:
        self.checks[text] = holds
        self.clock.say(f"{'ok    ' if holds else 'FAILED'}  {text}")

    def write(self) -> None:
        about = {"passed": self.passed, "seconds": round(self.clock.seconds(), 1), "error": self.error}
        machine = {
            "cpus": os.cpu_count(),
            "load": os.getloadavg(),  # others' work: what the seconds depend on
            "cpu_seconds": round(sum(os.times()[:4]), 1),  # ours, as far as it has ended
            "python": platform.python_version(),
        }
        content = {**about, "checks": self.checks, **self.facts, "machine": machine}
        self.path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def run(name: str, check: Callable[[Report], None], packages: Collection[str]) -> int:
    """Carry out a check of that name, and write its report; the exit code tells whether it has passed.

    :param packages: whose versions the report tells.
    """
    report = Report(name)
    shutil.rmtree(report.logs, ignore_errors=True)
    report.logs.mkdir(parents=True)
    report.path.unlink(missing_ok=True)
    report.facts["versions"] = {package: version(package) for package in packages}
    stop_on_signals(report.clock.say)
    try:
        check(report)
        report.error = ""
    except KeyboardInterrupt:
        return INTERRUPTED
    except Failure as failure:
        report.error = str(failure)
    finally:
        report.write()
        where = report.path.relative_to(REPOSITORY)
        report.clock.say(
            f"{'PASSED' if report.passed else 'FAILED'}: {report.error or where}; logs are in {where.with_suffix('')}/"
        )
    return 0 if report.passed else 1
