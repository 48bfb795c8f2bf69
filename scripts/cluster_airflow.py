"""Airflow as companies run it: PostgreSQL, Redis, CeleryExecutor, two workers, two triggerers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from celery import Celery
from cluster_services import PostgreSQL, Redis
from local_airflow import NO_LOG_SERVER, PROGRAMS, Airflow, Program, Say

WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
CONCURRENCY = 2
"""Tasks at once on each worker: one would leave a core idle while it waits for the API server."""


def settings(postgres: PostgreSQL, redis: Redis) -> dict[str, str]:
    """What makes a cluster of it. The times are shorter than Airflow's own, which wait for minutes for the dead."""
    return {
        "C_FORCE_ROOT": "1",  # Celery refuses root otherwise
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "24",  # the queue is never empty while the scheduler thinks, and never long
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{postgres.address}",
        "AIRFLOW__CELERY__BROKER_URL": redis.address,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{postgres.address}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(CONCURRENCY),
        # What a dead worker had taken from the queue is sent again, and what it was executing is given up.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "120",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "120",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    }


class Cluster(Airflow):
    """One Airflow of many programs."""

    programs: ClassVar[Mapping[str, Sequence[str]]] = {
        "api-server": PROGRAMS["api-server"],
        "dag-processor": PROGRAMS["dag-processor"],
        "scheduler": PROGRAMS["scheduler"],
        **dict.fromkeys(TRIGGERERS, PROGRAMS["triggerer"]),
        **{name: ("celery", "worker", "--celery-hostname", name, NO_LOG_SERVER) for name in WORKERS},
    }

    def __init__(
        self, home: Path, logs: Path, dags: Path, connection: str, postgres: PostgreSQL, redis: Redis, *, say: Say
    ) -> None:
        self._postgres = postgres
        self._celery = Celery(broker=redis.address)
        self._triggerers: dict[str, int] = {}
        self._database: Any = None
        super().__init__(home, home, dags, connection, say=say, settings=settings(postgres, redis), logs=logs)

    def _make_database(self, migrated: Path) -> None:
        self._say("creating Airflow's tables")
        self._migrate()

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        if self._database is None:
            self._database = self._stack.enter_context(closing(self._postgres.connect()))
            self._database.autocommit = True
        with self._database.cursor() as cursor:
            cursor.execute(query.replace("?", "%s"), parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def start(self, name: str) -> Program:
        """Start a program; of a triggerer, find out under which number Airflow knows it."""
        before = self._triggerer_jobs()
        program = super().start(name)
        if name in TRIGGERERS:
            for _ in program.ready_steps():
                program.check()
                if new := self._triggerer_jobs() - before:
                    [self._triggerers[name]] = new
                    break
        return program

    def _triggerer_jobs(self) -> set[int]:
        return {number for (number,) in self.rows("select id from job where job_type = 'TriggererJob'")}

    def _is_healthy(self, name: str) -> bool:
        if name in WORKERS:
            return name in self.executing()
        return name in TRIGGERERS or super()._is_healthy(name)  # of triggerers start() has made sure

    def executing(self) -> dict[str, int]:
        """Ask each worker how many tasks it executes; one that does not answer is left out."""
        answers = self._celery.control.inspect(timeout=5).active() or {}
        return {name.partition("@")[2]: len(tasks) for name, tasks in answers.items()}

    def triggers(self) -> dict[str, int]:
        """How many triggers each triggerer holds."""
        found = dict(self.rows("select triggerer_id, count(*) from trigger group by 1"))
        return {name: found.get(number, 0) for name, number in self._triggerers.items()}
