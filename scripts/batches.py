"""What a deployment is checked with: batches of invocations, a sensor for each, and the one outcome that is right.

An invocation belongs to the batch of its number modulo the number of batches. The last one of each batch is submitted
late: until then its sensor waits.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_airflow import Airflow, Failure, Run

DAG_ID = "e2e_deployment"
FUNCTION = "work"
OF_SENSORS = "run_id = ? and task_id = 'wait'"
RESULT = "key = 'return_value'"


@dataclass(frozen=True)
class Kind:
    """A kind of batch, and how its sensor must end.

    :param error: the exception that it has logged, and no other.
    :param fails: its first invocation fails.
    :param missing: the sensor waits, up to a deadline, for so many more than there ever will be.
    :param arguments: of the sensor, beside its prefix and count.
    """

    name: str
    state: str
    error: str = ""
    fails: bool = False
    missing: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        return f"{self.state} {self.error}".strip()


FAILED = "InvocationsFailedError"
TIMEOUT = "AirflowSensorTimeout"
KINDS = (
    Kind("all succeed", "success"),
    Kind("one fails, one may", "success", fails=True, arguments={"max_failed": 1}),
    Kind("one fails, any number may", "success", fails=True, arguments={"max_failed": "unlimited"}),
    Kind("one fails, none may", "failed", FAILED, fails=True),
    Kind("one fails, none may, soft_fail", "failed", FAILED, fails=True, arguments={"soft_fail": True}),
    Kind("one never comes", "failed", TIMEOUT, missing=1),
    Kind("one never comes, soft_fail", "skipped", missing=1, arguments={"soft_fail": True}),
)
COMPLETE = tuple(kind for kind in KINDS if not kind.missing)
"""Those whose sensors wait for the last invocation, and not for a deadline."""


@dataclass(frozen=True)
class Plan:
    """So many invocations in so many batches.

    :raises Failure: there are too few invocations for that many batches.
    """

    invocations: int
    batches: int
    kinds: tuple[Kind, ...] = KINDS

    def __post_init__(self) -> None:
        if not 1 <= self.batches <= self.invocations // 2:
            raise Failure(f"{self.batches} sensors need {2 * self.batches} invocations or more, not {self.invocations}")

    def kind(self, batch: int) -> Kind:
        return self.kinds[batch % len(self.kinds)]

    def prefix(self, batch: int) -> str:
        return f"batch-{batch:04}-"

    def size(self, batch: int) -> int:
        return len(range(batch, self.invocations, self.batches))

    def fails(self, number: int) -> bool:
        return number < self.batches and self.kind(number).fails

    @property
    def early(self) -> range:
        """The numbers of the invocations that are submitted while the sensors begin to wait."""
        return range(self.invocations - self.batches)

    @property
    def late(self) -> range:
        """Those without which no batch is complete."""
        return range(self.invocations - self.batches, self.invocations)

    @property
    def deadline(self) -> int:
        """Seconds that a sensor waits for what never comes: longer than it takes until every sensor waits."""
        return 180 + self.batches * 3 // 2

    @property
    def complete(self) -> set[int]:
        """The batches of which nothing is missing at last."""
        return {batch for batch in range(self.batches) if not self.kind(batch).missing}

    def sensors(self) -> list[dict[str, Any]]:
        """The arguments of the mapped sensors."""
        return [
            {
                "invocation_id_prefix": self.prefix(batch),
                "expected_count": self.size(batch) + self.kind(batch).missing,
                **({"timeout": self.deadline} if self.kind(batch).missing else {}),
                **self.kind(batch).arguments,
            }
            for batch in range(self.batches)
        ]

    def mapped(self, numbers: range, notes: Path) -> list[dict[str, Any]]:
        """The arguments of mapped tasks that invoke."""
        return [
            {
                "invocation_id_prefix": self.prefix(number % self.batches),
                "payload": {"number": number, "fails": self.fails(number), "notes": str(notes)},
            }
            for number in numbers
        ]

    def scripted(self, numbers: range) -> list[dict[str, Any]]:
        """Invocations that nobody executes and that have ended already, as the emulator takes them."""
        return [
            {
                "function": FUNCTION,
                "id": f"{self.prefix(number % self.batches)}{number}",
                "statuses": ["Failed" if self.fails(number) else "Succeeded"],
            }
            for number in numbers
        ]

    def by_status(self, batch: int) -> dict[str, int]:
        failed = int(self.kind(batch).fails)
        return {"Failed": failed, "Succeeded": self.size(batch) - failed} if failed else {"Succeeded": self.size(batch)}


def judge(airflow: Airflow, run: Run, plan: Plan) -> tuple[dict[str, Counter[str]], dict[int, str]]:
    """Compare how each sensor has ended with the one way that is right.

    :return: of each kind how many have ended in which way; and what is wrong with which sensor.
    """
    ends = dict(airflow.rows(f"select map_index, state from task_instance where {OF_SENSORS}", run.run_id))
    results = dict(airflow.rows(f"select map_index, value from xcom where {OF_SENSORS} and {RESULT}", run.run_id))
    kinds: dict[str, Counter[str]] = {}
    wrong = {}
    for batch in range(plan.batches):
        kind = plan.kind(batch)
        ended = outcome(airflow, run, batch, str(ends.get(batch)))
        kinds.setdefault(kind.name, Counter())[ended] += 1
        if ended != kind.outcome:
            wrong[batch] = f"{kind.name}: {ended} instead of {kind.outcome}"
        elif ended == "success" and (found := decoded(results[batch])["by_status"]) != plan.by_status(batch):
            wrong[batch] = f"{kind.name}: {found} instead of {plan.by_status(batch)}"
    return kinds, wrong


def outcome(airflow: Airflow, run: Run, batch: int, state: str) -> str:
    """A sensor's state, and why it has failed."""
    if state != "failed":
        return state
    logged = "".join(log.read_text(errors="replace") for log in airflow.task_logs(run, "wait", batch))
    return " ".join([state, *(error for error in (FAILED, TIMEOUT) if error in logged)])


def decoded(value: Any) -> Any:
    """An XCom's value: text in sqlite, JSON in PostgreSQL."""
    return json.loads(value) if isinstance(value, str) else value
