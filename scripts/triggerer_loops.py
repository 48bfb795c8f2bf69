"""Whether a trigger has blocked a triggerer's loop, told apart from what no trigger can help.

Airflow warns when its loop comes back late. On a machine that is busy with more than it has cores for, a process that
wants to go on waits for a CPU, and comes back late whatever its triggers do. Linux counts that time for each process.
And now and then Python's garbage collector looks through all that Airflow has in memory, which takes 0.15 seconds and
more in a triggerer without a single trigger; it tells how long that took.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import note_collections
import psutil
from local_airflow import Program

EVERY = 0.1
FIND_EVERY = 2.0
SLACK = 0.2
"""Seconds around a warning that belong to it: it is written a little later, and we count ten times a second."""
# airflow/jobs/triggerer_job_runner.py, block_watchdog; its level is info.
WARNING = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT[\d:.]+)(?P<zone>Z|[+-]\d\d:?\d\d)"
    r".*async thread was blocked for (?P<late>[\d.]+) seconds.*threshold of (?P<threshold>[\d.]+) seconds"
)
BLOCKED = "async thread was blocked for"


@dataclass(frozen=True)
class Late:
    """A loop came back late.

    :param waited: seconds that the process's threads meanwhile waited for a CPU.
    :param collecting: seconds of CPU that Python's garbage collector took of it meanwhile.
    """

    at: str
    late: float
    waited: float
    collecting: float
    threshold: float

    @property
    def explained(self) -> bool:
        """Whether it would have been in time, had the CPU been free and nothing been collected."""
        return self.late - self.waited - self.collecting <= self.threshold


class CpuWaits:
    """Counts how long the triggerers' processes have waited for a CPU, from a thread of its own.

    :param programs: asks which programs there are now.
    """

    def __init__(self, programs: Callable[[], Collection[Program]]) -> None:
        self._programs = programs
        self.counts: dict[int, list[tuple[float, float]]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count, name="cpu-waits", daemon=True)

    def _count(self) -> None:
        found: list[int] = []
        until = 0.0
        while not self._stop.wait(EVERY):
            if time.monotonic() > until:
                found, until = self._find(), time.monotonic() + FIND_EVERY
            for pid in found:
                if waited := _waited(pid):  # otherwise it has ended
                    self.counts[pid].append((time.time(), waited))

    def _find(self) -> list[int]:
        """The processes of triggerers, the ones that run triggers among them."""
        found = []
        for program in self._programs():
            for process in program.processes():
                with suppress(psutil.NoSuchProcess):
                    if "triggerer" in process.cmdline():
                        found.append(process.pid)
        return found

    def during(self, begin: float, end: float) -> float:
        """The longest time that one of them has waited for a CPU between two moments."""
        return max((_growth(counts, begin, end) for counts in self.counts.values()), default=0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()


def _waited(pid: int) -> float:
    """Seconds that the threads of a process have waited for a CPU so far, taken together.

    All threads: while the one that holds Python's lock waits for a CPU, the loop waits for the lock.
    """
    waited = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # it has ended
            waited += int(thread.read_text().split()[1])
    return waited / 1e9


def _growth(counts: list[tuple[float, float]], begin: float, end: float) -> float:
    if not counts:
        return 0.0
    first = max(bisect_right(counts, (begin, 0.0)) - 1, 0)
    last = min(bisect_left(counts, (end, 0.0)), len(counts) - 1)
    return counts[last][1] - counts[first][1]


class Collections:
    """What the triggerers of an Airflow note of Python's garbage collector.

    :param home: of an Airflow that has not been started yet.
    """

    def __init__(self, home: Path) -> None:
        configuration = home / "config"  # where Airflow imports this name from
        configuration.mkdir(exist_ok=True)
        shutil.copy(note_collections.__file__, configuration / "airflow_local_settings.py")
        self._notes = configuration / note_collections.NOTES.name

    def during(self, begin: float, end: float) -> float:
        """The most CPU that the collector has taken of one process between two moments."""
        taken: dict[str, float] = defaultdict(float)
        for line in self._notes.read_text().splitlines() if self._notes.exists() else ():
            pid, at, seconds, _ = line.split()
            if begin <= float(at) <= end:
                taken[pid] += float(seconds)
        return max(taken.values(), default=0.0)


def warnings(logs: Collection[Path], waits: CpuWaits, collections: Collections) -> list[Late]:
    """All warnings of a blocked loop, with what explains them."""
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if BLOCKED in line]
    return [_warning(line, waits, collections) for line in lines]


def _warning(line: str, waits: CpuWaits, collections: Collections) -> Late:
    found = WARNING.search(line)
    if not found:  # unknown, so nothing explains it
        return Late(line[:200], float("inf"), 0.0, 0.0, 0.0)
    late, end = float(found["late"]), datetime.fromisoformat(found["at"] + found["zone"]).timestamp()
    begin, end = end - late - SLACK, end + SLACK
    waited, collecting = round(waits.during(begin, end), 2), round(collections.during(begin, end), 2)
    return Late(found["at"], late, waited, collecting, float(found["threshold"]))
