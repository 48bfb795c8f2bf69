"""Measures two programs against each other: own processes, taking turns, medians of paired ratios.

A contender is a command that says ``ready`` and then, for every line it reads, does its work once and answers with
JSON: ``{"cpu": seconds}`` and whatever else it knows. A *fresh* one is started anew for every round.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROUNDS = 7
_PACKAGES = (
    "airflow-provider-fc",
    "apache-airflow",
    "aiohttp",
    "requests",
    "urllib3",
    "msgspec",
    "alibabacloud_fc20230330",
)

# What a machine may have set and an installation has not: authorities of its own, and no compiled modules, cost both
# sides time that is neither's.
_NOT_PASSED_ON = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE")

Measure = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One line of the table: ours may cost at most ``target`` times what the peer costs."""

    what: str
    ours: Sequence[str]
    peer: Sequence[str]
    target: float
    fresh: bool = False


@dataclass
class Result:
    row: Row
    ours: list[dict[str, Any]] = field(default_factory=list)
    peer: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [mine["cpu"] / theirs["cpu"] for mine, theirs in zip(self.ours, self.peer, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        return self.ratio <= self.row.target

    def line(self) -> str:
        mine, theirs = (statistics.median(run["cpu"] for run in runs) for runs in (self.ours, self.peer))
        spread = f"{min(self.ratios):.3f} to {max(self.ratios):.3f}"
        return (
            f"{self.row.what:52} {mine * 1000:9.1f} {theirs * 1000:9.1f} {self.ratio:7.3f} {spread:>16} "
            f"{self.row.target:7.2f}  {'yes' if self.met else 'NO'}"
        )

    def entry(self) -> dict[str, Any]:
        """Give its line in the table of all rows."""
        return entry(self.row.what, self.ratio, "times", self.row.target)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self.row),
            "ratio": self.ratio,
            "met": self.met,
            "ours_runs": self.ours,
            "peer_runs": self.peer,
        }


def entry(what: str, value: float, unit: str, target: float | None = None, *, at_least: bool = False) -> dict[str, Any]:
    """Give a line of the table of all rows, which ``everything.py`` prints."""
    met = target is None or (value >= target if at_least else value <= target)
    return {"what": what, "value": value, "unit": unit, "target": target, "met": met}


HEADING = f"{'CPU, milliseconds a round':52} {'ours':>9} {'peer':>9} {'ratio':>7} {'rounds':>16} {'target':>7}  met"


@contextmanager
def contender(command: Sequence[str]) -> Iterator[Measure]:
    """Start a contender; every call is one round."""
    clean = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    with subprocess.Popen(command, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def told() -> str:
            line = stdout.readline()
            if not line:
                raise SystemExit(f"{' '.join(command)} ended with {process.wait()}")
            return line

        def measure() -> dict[str, Any]:
            stdin.write("\n")
            stdin.flush()
            answer: dict[str, Any] = json.loads(told())
            return answer

        while told() != "ready\n":  # whatever libraries say before
            pass
        yield measure
        stdin.close()


def _anew(command: Sequence[str]) -> Measure:
    def measure() -> dict[str, Any]:
        with contender(command) as once:
            return once()

    return measure


def compare(row: Row, rounds: int = ROUNDS) -> Result:
    """Let both take turns; which one begins changes from round to round."""
    result = Result(row)
    with ExitStack() as stack:
        ours, peer = (
            _anew(command) if row.fresh else stack.enter_context(contender(command)) for command in (row.ours, row.peer)
        )
        if row.fresh:  # modules are compiled once
            ours()
            peer()
        pair = [(result.ours, ours), (result.peer, peer)]
        for number in range(rounds):
            for runs, measure in pair if number % 2 else pair[::-1]:
                runs.append(measure())
    return result


def save(path: Path, **content: Any) -> None:
    """Write all runs beside what they ran on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version,
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in _PACKAGES},
    }
    path.write_text(json.dumps({**about, **content}, indent=1) + "\n")
    print(f"all runs: {path}")
