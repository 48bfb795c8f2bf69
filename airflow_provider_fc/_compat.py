"""The few things that differ between Airflow 2.11 and 3.x and that common-compat's ``sdk`` does not offer."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import uuid4

from airflow.providers.common.compat.sdk import BaseSensorOperator

try:
    from airflow.sdk import log as masking
except ImportError:  # Airflow 2.11
    from airflow.utils.log import secrets_masker as masking  # type: ignore[no-redef,attr-defined]

    AIRFLOW_2 = True
else:
    AIRFLOW_2 = False
ASKS_ON_THE_LOOP = hasattr(masking, "amask_secret")  # Airflow 3.3.2 and later can, without blocking it
SHORTEST_RESCHEDULE = 0.0 if AIRFLOW_2 else 10.0
"""Seconds. Airflow 3 itself may fail a rescheduled task that comes back sooner."""

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

log = logging.getLogger(__name__)
T = TypeVar("T")
_asking: set[asyncio.Future[Any]] = set()
_one_thread_asks = threading.RLock()  # reentrant: a kill interrupts the main thread, and asks from there


def first_reschedule_date(sensor: BaseSensorOperator, context: Context) -> datetime | None:
    """Tell when the first try since the last clear of a rescheduled sensor began; ``None`` in that try itself."""
    ti = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        return ti.get_first_reschedule_date(context)
    from airflow.sensors.base import _orig_start_date  # only Airflow 2.11 has it

    date = _orig_start_date(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=ti.map_index,
        try_number=(ti.max_tries or 0) - (sensor.retries or 0) + 1,
    )
    return cast("datetime | None", date)


def poll_until_done(sensor: BaseSensorOperator, context: Context) -> Any:
    """Run Airflow's own loop of polls.

    Airflow 2 takes an ``execute`` that a subclass calls for a task inside of a task: it warns of each, or refuses it
    (``allow_nested_operators=False``), so there it is called without that check, ``ExecutorSafeguard``.
    """
    execute: Any = BaseSensorOperator.execute
    return (execute.__wrapped__ if AIRFLOW_2 else execute)(sensor, context)


def before_execution_timeout(seconds: float) -> float:
    """Tell how long a deferred wait may last under ``execution_timeout``.

    Airflow 2 ends the deferral itself at that moment, and then the task before any code of ours: the last poll, its
    event and the resumed task have to fit in before. Airflow 3 does not count deferred time.
    """
    return seconds - min(60.0, seconds / 2) if AIRFLOW_2 else seconds


def recall(context: Context, key: str) -> str | None:
    """Read what :func:`note` has kept for this task, in whatever process. Airflow before 3.3 keeps nothing."""
    store = context.get("task_state_store")
    try:
        value = None if store is None else store.get(key)
    except Exception as error:  # noqa: BLE001 - Airflow's API server, in any of its ways: these are hints
        log.info("Task state cannot be read: %s", type(error).__name__)
        return None
    return value if isinstance(value, str) else None


def note(context: Context, key: str, value: str) -> None:
    """Keep a hint for the next process that executes this task."""
    store = context.get("task_state_store")
    try:
        if store is not None:
            store.set(key, value)
    except Exception as error:  # noqa: BLE001 - the same
        log.info("Task state cannot be kept: %s", type(error).__name__)


def count_instances(context: Context, task_id: str) -> int:
    """Count the instances of a mapped task in this run; one that has been skipped before it was expanded is none."""
    ti: Any = context["ti"]
    if AIRFLOW_2:
        run: Any = context["dag_run"]
        found = [each for each in run.get_task_instances() if each.task_id == task_id]
        states = {each.map_index: each.state for each in found}
        alone = states.pop(-1, None)
    else:
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id]).get(ti.run_id, {})
        alone = states.pop(task_id, None)
    return len(states) or int(alone != "skipped")


_test_runs: dict[tuple[object, ...], str] = {}


def run_of(ti: Any, *, first_try: bool) -> str:
    """Name a task's run so that no other one has this name.

    Airflow 2 gives a test run (``airflow dags test``, ``airflow tasks test``, ``dag.test()``) the id of an earlier one
    of the same date and stores nothing that tells them apart. It carries out all tries in one process, and without the
    job that any other execution has.
    """
    run_id: str = ti.run_id
    if not AIRFLOW_2 or getattr(ti, "job_id", "") is not None:
        return run_id
    key = (ti.dag_id, run_id, ti.task_id, ti.map_index)
    if first_try or key not in _test_runs:
        _test_runs[key] = uuid4().hex
    return f"{run_id} {_test_runs[key]}"


def push_link(ti: Any, key: str, url: str) -> None:
    """Push the address of a button.

    Airflow 3 shows the text that stands in its database (``XComOperatorLink``), which is a path into the storage when
    a custom XCom backend has stored the address elsewhere. So it goes past the backend, as Airflow's own push does.
    """
    backend, base = _xcom_classes()
    if backend is base:
        ti.xcom_push(key=key, value=url)
    else:
        base.set(key, url, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


def read_link(ti_key: Any, key: str) -> str:
    """Read what :func:`push_link` has pushed; an empty text if it has not."""
    _, base = _xcom_classes()
    if not AIRFLOW_2:
        return base.get_value(ti_key=ti_key, key=key) or ""
    where = {"run_id": ti_key.run_id, "dag_ids": ti_key.dag_id, "task_ids": ti_key.task_id}
    found = base.get_many(**where, key=key, map_indexes=ti_key.map_index, limit=1).with_entities(base.value).first()
    return base.deserialize_value(found) if found else ""


def _xcom_classes() -> tuple[Any, Any]:
    """Give the class that tasks push with, and the one without any custom backend."""
    # They load the database of Airflow 2 and the task runner of Airflow 3: a task has them, a DAG file need not.
    if AIRFLOW_2:
        from airflow.models.xcom import BaseXCom, XCom
    else:
        from airflow.sdk.bases.xcom import BaseXCom
        from airflow.sdk.execution_time.xcom import XCom
    return XCom, BaseXCom


def silence_scheme_warning(conn_types: Collection[str]) -> None:
    """Keep Airflow 2 and 3.0 from warning of ``_`` in our types at every read (``Connection.get_uri``, for a cache)."""

    def wanted(record: logging.LogRecord) -> bool:
        ours = isinstance(record.args, tuple) and len(record.args) == 1 and record.args[0] in conn_types
        return not (ours and record.msg.startswith("Connection schemes"))

    logging.getLogger("airflow.models.connection.Connection").addFilter(wanted)


def ask_supervisor(function: Callable[..., T], *arguments: Any) -> T:
    """Call what asks Airflow's supervisor, while no other thread of this task does.

    In Airflow 3.0 and 3.1 threads that ask at the same time get each other's answers, or wait for ever: the lock in
    ``airflow.sdk.execution_time.comms.CommsDecoder.send`` came with 3.2.
    """
    with _one_thread_asks:
        return function(*arguments)


def mask_secret(secret: str) -> None:
    """Keep a secret out of this task's logs."""
    ask_supervisor(masking.mask_secret, secret)


async def ask_airflow(function: Callable[..., T], *arguments: Any) -> T:
    """Call what asks Airflow's supervisor, from an event loop that shares the connection to it.

    In Airflow 3.0 and 3.1 each answer must be read, right after its question, on the triggerer's loop; else the
    triggerer ends with "Response read out of order" (apache/airflow#64620). asgiref's thread sees to that, one of
    ``asyncio.to_thread`` does not; and the question is brought to its end when whoever asked is cancelled.
    """
    from asgiref.sync import sync_to_async  # only triggers need it

    asking = asyncio.ensure_future(sync_to_async(function)(*arguments))
    _asking.add(asking)  # the loop itself keeps no task alive
    asking.add_done_callback(_asking.discard)
    return await asyncio.shield(asking)


async def amask_secret(secret: str) -> None:
    """Keep a secret out of this trigger's logs."""
    if ASKS_ON_THE_LOOP:
        await masking.amask_secret(secret)
    else:
        await ask_airflow(mask_secret, secret)


def in_its_dag(task: BaseOperator) -> Any:
    """Give what the DAG has of this task: of one that is mapped, what all its instances are made of."""
    dag = task.get_dag()
    return dag.task_dict.get(task.task_id) if dag else None


def mapped_arguments(task: BaseOperator) -> frozenset[str]:
    """Name the arguments that a mapped task has got from ``expand()`` or ``expand_kwargs()``.

    ``__init_kwargs`` is Airflow's own record of what a task was made with (2.3 to 3.3 at least); of a mapped task it
    holds the arguments of all its instances, too, which its DAG knows.
    """
    for_all = getattr(in_its_dag(task), "partial_kwargs", None)
    if for_all is None:
        return frozenset()
    made_with: dict[str, object] = getattr(task, "_BaseOperator__init_kwargs", {})
    return frozenset(made_with) - {name for name, value in for_all.items() if value is None}
