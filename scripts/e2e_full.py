"""``make e2e-full``: run every part of the end-to-end tests, and check that each has left a report that it passed.

Usage: e2e_full.py FOLDER PART...: for each part calls ``make e2e-PART``, which has to write FOLDER/PART.json with at
least ``{"passed": true, "seconds": 12.3}``. A part that fails does not keep the others from running.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verdict:
    """
    :param problem: why the part has not passed; empty if it has.
    """

    part: str
    seconds: float | None
    problem: str


def main(folder: Path, parts: Sequence[str]) -> int:
    for part in parts:  # all of them first: no report of an earlier run is ever read
        report_of(folder, part).unlink(missing_ok=True)
    verdicts = [verdict(folder, part, run(part)) for part in parts]
    print(table(verdicts), flush=True)
    return int(not verdicts or any(each.problem for each in verdicts))


def run(part: str) -> int:
    print(f"\n=== make e2e-{part}", flush=True)
    return subprocess.run(["make", "--no-print-directory", f"e2e-{part}"]).returncode


def report_of(folder: Path, part: str) -> Path:
    return folder / f"{part}.json"


def verdict(folder: Path, part: str, code: int) -> Verdict:
    """Judge a part by its report and by the exit code of make: both must say that it has passed."""
    try:
        report = json.loads(report_of(folder, part).read_text(encoding="utf-8"))
        passed, seconds = report["passed"], float(report["seconds"])
    except FileNotFoundError:
        return Verdict(part, None, f"no report (make has ended with {code})")
    except (ValueError, TypeError, KeyError) as error:
        return Verdict(part, None, f"the report cannot be read: {error!r}")
    if passed is not True:
        return Verdict(part, seconds, "the report says that it has not passed")
    return Verdict(part, seconds, f"make has ended with {code}" if code else "")


def table(verdicts: Sequence[Verdict]) -> str:
    """Show one line a part."""
    lines = [f"{'part':10} {'seconds':>8}  verdict"]
    for each in verdicts:
        seconds = "" if each.seconds is None else f"{each.seconds:.0f}"
        lines.append(f"{each.part:10} {seconds:>8}  {each.problem or 'passed'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
