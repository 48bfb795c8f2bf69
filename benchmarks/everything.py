"""``make benchmark``: all parts one after the other, then one table of all rows and of the time each part took.

Each part prints as it goes and writes its runs to ``.benchmarks/``; the table goes to ``.benchmarks/table.json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from side_by_side import ROUNDS

HERE = Path(__file__).parent
FOLDER = HERE.parent / ".benchmarks"
PARTS = ("listing", "scale", "emulator")


def measure(part: str, rounds: int) -> tuple[float, list[dict[str, Any]]]:
    """Run one part; the seconds it took, and its lines."""
    report = FOLDER / f"{part}.json"
    report.unlink(missing_ok=True)  # that of an earlier run must not pass for this one's
    began = time.monotonic()
    # Which rows have missed their targets is in the report; without one the part itself has failed.
    command = [sys.executable, str(HERE / f"{part}.py"), "--json", str(report), "--rounds", str(rounds)]
    code = subprocess.run(command, check=False).returncode
    seconds = time.monotonic() - began
    if not report.exists():
        raise SystemExit(f"{part}.py has ended with {code} before it had measured all of its rows")
    return seconds, json.loads(report.read_text())["table"]


def shown(line: dict[str, Any]) -> str:
    target = "" if line["target"] is None else f"{line['target']:10,g}  {'yes' if line['met'] else 'NO'}"
    return f"{line['what']:70}{line['value']:12,.3f} {line['unit']:12}{target}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each row (default: %(default)s)")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    parts = {part: measure(part, options.rounds) for part in PARTS}
    lines = [line for _, table in parts.values() for line in table]
    took = {part: round(seconds) for part, (seconds, _) in parts.items()}
    print(f"\n{'all rows':70}{'':12} {'':12}{'target':>10}  met")
    print(*map(shown, lines), sep="\n")
    print(
        "seconds:", ", ".join(f"{part} {seconds}" for part, seconds in took.items()), f"- {sum(took.values())} in all"
    )
    (FOLDER / "table.json").write_text(json.dumps({"seconds": took, "rows": lines}, indent=1) + "\n")
    missed = sum(not line["met"] for line in lines)
    print(f"{missed} rows miss their targets" if missed else "all targets are met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
