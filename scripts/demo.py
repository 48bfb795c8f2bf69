"""``make demo``: an example DAG in a real Airflow, against a local Function Compute, without a cloud account.

It counts the words of every Markdown and Python file of this repository, one asynchronous invocation a file. The files
must not be larger than the second largest of them, so exactly one invocation fails. The exit code is 0 only if Airflow
has submitted, awaited and listed exactly what ``git ls-files`` and the emulator say there is.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local_airflow import (
    INTERRUPTED,
    REPOSITORY,
    Airflow,
    Change,
    Clock,
    Emulator,
    Failure,
    Run,
    stop_on_signals,
    tail,
)

FOLDER = REPOSITORY / ".demo"
DAGS = REPOSITORY / "example_dags"
DAG_ID = "fc_wait_for_prefix"
WORKERS = 4
LEAST_WORK = 12.0
"""Seconds that the workers are kept busy, so that the sensor really waits. On a machine where Airflow takes longer than
this to start, it is longer: the sensor too is later there."""
USUALLY = 40
"""Seconds that all of it takes on two quiet cores."""
COLUMNS = ("invocation_id", "status", "duration_ms", "error_message")


@dataclass(frozen=True)
class Input:
    """The files whose words are counted, and the one that is too large."""

    paths: list[str]
    max_bytes: int
    error: str

    @classmethod
    def of_this_repository(cls, folder: Path) -> Input:
        """Copy the files to a folder, so that an edit during the demo changes nothing."""
        paths = tracked_files()
        shutil.rmtree(folder, ignore_errors=True)
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / path, folder / path)
        sizes = sorted(((folder / path).stat().st_size, path) for path in paths)
        limit, (largest, culprit) = sizes[-2][0], sizes[-1]
        if limit == largest:
            raise Failure(f"the two largest files are equally large ({culprit}), so none can be too large")
        return cls(paths, limit, f"ValueError: {culprit} has {largest} bytes, more than the {limit} allowed")

    def seconds_each(self, seconds_of_work: float) -> float:
        """So long must each invocation take for all of them to keep the workers busy for so long."""
        return round(seconds_of_work * WORKERS / len(self.paths), 3)


def tracked_files() -> list[str]:
    command = ["git", "ls-files", "-z", "--", "*.md", "*.py"]
    try:
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        raise Failure(f"`git ls-files` must work here, it finds the files: {reason}") from error
    found = [path for path in listed.stdout.split("\0") if path and (REPOSITORY / path).is_file()]
    if len(found) < WORKERS:
        raise Failure(f"git knows only {len(found)} Markdown and Python files here")
    return found


def main() -> int:
    clock = Clock()
    stop_on_signals(clock.say)
    try:
        with exclusively(clock) as lock:
            passed = run(clock, lock.fileno())
        clock.say("everything is stopped; its logs are in .demo/")
    except KeyboardInterrupt:
        clock.say("everything is stopped")
        return INTERRUPTED
    except Failure as error:
        clock.say(f"FAILED: {error}")
        return 1
    return 0 if passed else 1


@contextmanager
def exclusively(clock: Clock) -> Iterator[IO[str]]:
    """Hold the lock of ``.demo/``. The programs we start hold it too, so it is free only when the last has ended."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        if not _locked(lock):
            clock.say("an earlier demo is still running or being stopped; waiting for its end")
            give_up = time.monotonic() + 120
            while not _locked(lock):
                if time.monotonic() > give_up:
                    raise Failure(f"another demo holds {FOLDER / 'lock'}")
                time.sleep(0.5)
        yield lock


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run(clock: Clock, lock: int) -> bool:
    """Everything from the first process to the verdict."""
    files = FOLDER / "files"
    given = Input.of_this_repository(files)
    clock.say(f"{len(given.paths)} files to read; on a quiet machine all of it takes about {USUALLY} s")
    with Emulator(DAGS / "functions" / "words.py", FOLDER, cwd=files, workers=WORKERS, keep=[lock]) as emulator:
        clock.say(f"local Function Compute at {emulator.endpoint}")
        with Airflow(FOLDER / "airflow", FOLDER, DAGS, emulator.connection, say=clock.say, keep=[lock]) as airflow:
            clock.say(f"Airflow starts at http://127.0.0.1:{airflow.port} (no password)")
            began = time.monotonic()
            airflow.start_all()
            airflow.unpause(DAG_ID)
            seconds = given.seconds_each(max(LEAST_WORK, time.monotonic() - began))
            conf = {"paths": given.paths, "max_bytes": given.max_bytes, "seconds": seconds}
            started = airflow.trigger(DAG_ID, conf)
            clock.say(f"run {started.run_id} of {DAG_ID}: {seconds} s of work for each file")
            changes = followed(clock, airflow, started)
            if changes[-1].now == "success":
                passed = judge(airflow, started, changes, given, emulator)
            else:
                passed = False
                explain(airflow, started, changes)
            clock.say("stopping what was started")
    return passed


def followed(clock: Clock, airflow: Airflow, started: Run) -> list[Change]:
    changes = []
    for change in airflow.follow(started):
        clock.say(f"{change.task or 'the run':12} {change.before} -> {change.now}")
        changes.append(change)
    return changes


def explain(airflow: Airflow, started: Run, changes: list[Change]) -> None:
    """Show the logs of what went wrong."""
    print("\nFAILED: the run did not succeed")
    tasks = {change.task for change in changes if change.now in ("failed", "up_for_retry")}
    logs = [log for task in sorted(tasks) for log in airflow.task_logs(started, task)]
    for log in logs or airflow.program_logs():
        print(tail(log))


def judge(airflow: Airflow, started: Run, changes: list[Change], given: Input, emulator: Emulator) -> bool:
    """Compare what the run has pushed with what others know; print the verdict, then the rows."""
    succeeded, failed = airflow.xcom(started, "succeeded"), airflow.xcom(started, "failed")
    summary = airflow.xcom(started, "wait")
    submitted = airflow.xcom(started, "submit")
    executed = len(emulator.executions())
    files = len(given.paths)  # counted before anything was submitted
    texts = [row["error_message"] or "" for row in failed]
    checks = {
        f"submitted {submitted} = {files} files that git lists = {executed} executed by the emulator": (
            submitted == files == executed
        ),
        f"the sensor has seen all of them: {summary['total']}": summary["total"] == files,
        f"the operator has pushed all of them: {len(succeeded)} + {len(failed)}": len(succeeded) + len(failed) == files,
        f"exactly one has failed: {len(failed)}": len(failed) == 1 and summary["by_status"].get("Failed") == 1,
        f"its row tells why: {'; '.join(texts)}": texts == [given.error],
        "the sensor has waited deferred, on no worker": ("wait", "deferred")
        in [(each.task, each.now) for each in changes],
    }
    passed = all(checks.values())
    print(f"\n{'PASSED' if passed else 'FAILED'}: Airflow has submitted, awaited and listed what there was")
    for text, holds in checks.items():
        print(f"  {'ok    ' if holds else 'FAILED'}  {text}")
    print("\nThe sensor's summary:")
    for name, value in summary.items():
        print(f"  {name}: {value}")
    print_table([*failed, *succeeded])
    print(flush=True)
    return passed


def print_table(rows: list[dict[str, Any]]) -> None:
    cells = [COLUMNS, *([str(row[name] if row[name] is not None else "-") for name in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print()
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
