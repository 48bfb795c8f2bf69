"""What single versions of Airflow lack: the only reasons for which a test is left out on one of them.

docs/versions.md shows this table, ``tests/versions.py`` leaves tests out by it, and ``make e2e-matrix`` compares what
was left out with it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

BEFORE_3_0 = ("2.11",)
BEFORE_3_3 = ("2.11", "3.0", "3.1", "3.2")
SINCE_3_0 = ("3.0", "3.1", "3.2", "3.3")


@dataclass(frozen=True)
class Difference:
    """
    :param not_on: the minor versions that lack the feature.
    :param why: the reason that pytest shows.
    :param skips: how many skips pytest reports on each of them, by folder; a module that is left out is one. Nothing
        where a test runs and expects something else.
    """

    not_on: tuple[str, ...]
    why: str
    skips: dict[str, int]

    def reason(self) -> str:
        return f"not on Airflow {', '.join(self.not_on)}: {self.why}"

    def row(self) -> str:
        """Give its row in docs/versions.md."""
        skips = ", ".join(f"{count} in `{folder}`" for folder, count in self.skips.items())
        return f"| {self.why} | {', '.join(self.not_on)} | {skips or 'none; what they expect differs'} |"


DIFFERENCES = {
    "supervisor": Difference(
        BEFORE_3_0, "triggers and tasks read the database, no supervisor answers them", {"tests/airflow": 1}
    ),
    "asset watchers": Difference(BEFORE_3_0, "assets have no watchers", {"tests/airflow": 1, "tests/e2e": 1}),
    "asset state store": Difference(BEFORE_3_3[1:], "assets have no state store", {"tests/airflow": 1}),
    "task state store": Difference(BEFORE_3_3, "tasks have no state store", {}),
    "rescheduled sensors in dag.test()": Difference(
        ("3.0",), "Airflow's own base of sensors fails in `dag.test()` after the first reschedule", {"tests/airflow": 1}
    ),
    "shared streams": Difference(BEFORE_3_3[1:], "event triggers do not share a stream", {"tests/airflow": 3}),
    "form of Airflow 2": Difference(SINCE_3_0, "the web interface has no forms of wtforms", {"tests/airflow": 2}),
    "connection form": Difference(
        ("3.0",), "no provider's fields are shown without flask_appbuilder", {"tests/airflow": 2}
    ),
    "kill of deferred tasks": Difference(
        BEFORE_3_3, "a deferred task is not told that a user has killed it", {"tests/e2e": 1}
    ),
    "REST API 2": Difference(BEFORE_3_0, "these tests act over the REST API of Airflow 3", {"tests/e2e": 2}),
}


def minor(version: str) -> str:
    """``2.11`` of ``2.11.2``."""
    return ".".join(version.split(".")[:2])


def skip_reason(feature: str, version: str) -> str:
    """Say why a test that needs the feature is left out on this version; an empty text if it is not."""
    difference = DIFFERENCES[feature]
    return difference.reason() if minor(version) in difference.not_on else ""


def expected_skips(folder: str, version: str) -> Counter[str]:
    """Count the skips, by reason, that the whole of a folder has on this version."""
    reasons = {skip_reason(feature, version): each for feature, each in DIFFERENCES.items()}
    return Counter({reason: each.skips[folder] for reason, each in reasons.items() if reason and folder in each.skips})
