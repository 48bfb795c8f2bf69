"""``make benchmark``: what waiting costs, from one verdict to a triggerer with thousands of deferred sensors.

One row alone: ``python benchmarks/scale.py sensors-1000``. All runs go to ``.benchmarks/scale.json``, from which
``make benchmark-pictures`` draws.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from emulator import Row as Figure
from listing import MEGABYTE, certificates, server
from side_by_side import HEADING, ROUNDS, Row, compare, contender, entry, save

HERE = Path(__file__).parent
VERDICT_SIZE = 100_000
POLL_INTERVAL = 10
HOUR = 3600
SIZES = (10, 100, 1_000, 10_000)


def does(program: str, *arguments: object) -> list[str]:
    return [sys.executable, str(HERE / program), *map(str, arguments)]


# A verdict beside the listings it rests on


def measure_verdict(listings: int, rounds: int) -> dict[str, Any]:
    with server("--pages", str(VERDICT_SIZE // 100)) as port:
        origin = f"http://127.0.0.1:{port}"
        row = Row(
            f"verdict over {VERDICT_SIZE:,} from {listings} listing{'s' * (listings > 1)} / {listings} x listing them",
            does("waits.py", "verdict", origin, VERDICT_SIZE, 0 if listings == 1 else 0.001),
            does("waits.py", "list_on_loop", origin, VERDICT_SIZE, listings),
            1.3,
        )
        result = compare(row, rounds)
        with contender(does("waits.py", "verdict_memory", origin, VERDICT_SIZE)) as run:
            memory = run()["growth"]
    print(HEADING)
    print(result.line())
    print(
        f"  its memory at most: {memory / MEGABYTE:.1f} MB, {memory / VERDICT_SIZE:.0f} bytes an invocation", flush=True
    )
    table = [result.entry(), entry("  its memory at most", memory / MEGABYTE, "MB")]
    return {**result.to_dict(), "memory": memory, "table": table}


# The requests of a whole wait


def measure_requests(size: int, polls: int) -> dict[str, Any]:
    from waits import whole_wait

    found = whole_wait(size, polls, POLL_INTERVAL)
    ours, naive = sum(found["requests"].values()), found["naive"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found["requests"].items()))
    print(f"requests of a wait for {size:,}, {found['polls']} polls: {ours} ({kinds}), listing all each time {naive:,}")
    figure = Figure("  share of listing everything at each poll", "%", [100 * ours / naive], 2)
    print(figure.line(), flush=True)
    figure_of_all = {**figure.entry(), "what": f"requests of a wait for {size:,}, share of listing all at each poll"}
    return {**found, "share": ours / naive, "table": [figure_of_all]}


def requests_of_an_hour() -> dict[str, Any]:
    """Count the requests of an hour of waiting, a poll a minute, for batches of several sizes; for the picture."""
    from waits import whole_wait

    found = [whole_wait(size, HOUR // 60, 60) for size in SIZES]
    print("requests of an hour with a poll a minute, and of listing everything instead:")
    for one in found:
        print(f"  {one['size']:>8,} invocations {sum(one['requests'].values()):>8,} {one['naive']:>8,}", flush=True)
    return {"hours": found, "table": []}


# Deferred sensors on one triggerer


def measure_sensors(kind: str, count: int, batch_size: int, polls: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        ca, certificate = certificates(Path(folder))
        with server("--certificate", str(certificate)) as port:
            command = does(
                "triggerer.py", f"https://127.0.0.1:{port}", ca, kind, count, batch_size, POLL_INTERVAL, polls
            )
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"triggers"')))
    what = f"{count:,} {'sensors' if kind == 'sensor' else 'triggers that only sleep'}"
    what += ", a page each" * (batch_size == 100)
    targets = kind == "sensor"
    figures = [
        Figure(f"{what}: lag of the loop, p99", "ms", [1000 * found["steady_late_p99"]], 50 if targets else None),
        Figure("  of it this process's own doing", "ms", [1000 * found["steady_own_p99"]]),
        Figure("  while all of them start: p99", "ms", [1000 * found["start_late_p99"]]),
        Figure("  share of a core", "%", [100 * found["cpu_share"]], 25 if targets else None),
        Figure("  connections", "", [found["connections"]], 32 if targets else None),
        Figure("  memory a trigger", "KB", [found["bytes_a_trigger"] / 1000], 40 if targets else None),
    ]
    for figure in figures:
        print(figure.line(), flush=True)
    return {**found, "kind": kind, "batch_size": batch_size, "table": [figure.entry() for figure in figures]}


def rows(rounds: int) -> dict[str, Callable[[], dict[str, Any]]]:
    return {
        "verdict": partial(measure_verdict, 1, rounds),
        "verdict-confirmed": partial(measure_verdict, 2, rounds),
        "requests": partial(measure_requests, 10_000, 100),
        "hours": requests_of_an_hour,
        "sleeping-1000": partial(measure_sensors, "idle", 1_000, 0, 1),
        "sensors-100": partial(measure_sensors, "sensor", 100, 10_000, 1),
        "sensors-1000": partial(measure_sensors, "sensor", 1_000, 10_000, 2),
        "sensors-1000-of-a-page": partial(measure_sensors, "sensor", 1_000, 100, 1),
        "sensors-5000": partial(measure_sensors, "sensor", 5_000, 10_000, 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", nargs="*", help="these rows alone; all by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, default=HERE.parent / ".benchmarks" / "scale.json")
    options = parser.parse_args(arguments)
    table = rows(options.rounds)
    if unknown := [name for name in options.row if name not in table]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(table)}")
    results = {name: table[name]() for name in options.row or table}
    entries = [line for result in results.values() for line in result.pop("table")]
    save(options.json, table=entries, **results)
    return 0 if all(line["met"] for line in entries) else 1


if __name__ == "__main__":
    sys.exit(main())
