"""How a task waits for a batch: on its worker, or deferred to a trigger whose event it reads afterwards."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_fc._compat import before_execution_timeout
from airflow_provider_fc.core.errors import AccessDeniedError, TriggerError
from airflow_provider_fc.core.outcome import Outcome
from airflow_provider_fc.execution.common import ConnectedTask, hook_of

if TYPE_CHECKING:
    from airflow_provider_fc.core.wait import Wait
    from airflow_provider_fc.triggers import FunctionComputeInvocationsTrigger

log = logging.getLogger(__name__)

_BACKSTOP_SECONDS = 90
"""So much later than the trigger's own deadline does Airflow give it up."""

_FIRST_PAUSE = 2.0


def deferred_seconds(timeout: float, execution_timeout: timedelta | None) -> float:
    """Tell how long a deferred wait may last: ``timeout``, or ``execution_timeout`` if that is shorter."""
    if execution_timeout is None:
        return timeout
    return min(timeout, before_execution_timeout(execution_timeout.total_seconds()))


def deferral(
    task: ConnectedTask, trigger: type[FunctionComputeInvocationsTrigger], wait: Wait, **more: Any
) -> TaskDeferred:
    """Make what to raise in order to hand a wait over to a trigger.

    :param more: further arguments of that trigger.
    """
    left = max((wait.schedule.deadline - datetime.now(UTC)).total_seconds(), 0.0)
    given_up = datetime.now(UTC) + timedelta(seconds=left + _BACKSTOP_SECONDS)
    log.info(
        "The wait goes on in Airflow's triggerer, which must be running and must see connection %r too; if it never "
        "answers, Airflow gives the task up at %s",
        task.fc_conn_id,
        given_up.isoformat(timespec="seconds"),
    )
    return TaskDeferred(
        trigger=trigger(
            fc_conn_id=task.fc_conn_id,
            region_id=task.region_id,
            batch=wait.watch.batch.to_json(),
            schedule=wait.schedule.to_json(),
            began_at=wait.watch.began_at.timestamp(),
            **more,
        ),
        method_name="execute_complete",
        timeout=timedelta(seconds=left + _BACKSTOP_SECONDS),
    )


def outcome_of(event: object) -> Outcome:
    """Read how the trigger's wait has ended.

    :raises TriggerError: it cannot be understood.
    :raises FunctionComputeError: the error that it tells of.
    """
    outcome = Outcome.from_json(event)
    if outcome.error is not None:
        raise outcome.error
    return outcome


def no_event(what: str, next_step: str, error: Exception, reason: object, timeout: type[Exception]) -> Exception:
    """Tell in one error why the trigger has sent nothing, and what to do about it.

    :param reason: Airflow's own word for it.
    :param timeout: the error where Airflow has given the trigger up.
    """
    if reason == "Trigger timeout":
        return timeout(
            f"The trigger did not answer in time: {what}. See that Airflow's triggerer runs (airflow jobs check "
            f"--job-type TriggererJob) and is not overloaded{next_step}"
        )
    return TriggerError(
        f"The trigger failed ({error}): {what}. See in the triggerer's log why, and that the triggerer has the same "
        f"version of this package as the workers{next_step}"
    )


def wait_here(task: ConnectedTask, wait: Wait) -> Outcome:
    """Wait on this worker, with the connection's new keys when it gets new ones meanwhile.

    :raises FunctionComputeError: a permanent error.
    """
    pause = min(wait.schedule.poll_interval, _FIRST_PAUSE)
    refused = None
    while True:
        with hook_of(task) as hook:
            if refused is not None and hook.settings.auth == refused[0]:
                raise refused[1]
            try:
                return hook.client.run(wait.run(hook.client.context, first_pause=pause))
            except AccessDeniedError as error:
                refused = hook.settings.auth, error
        log.info("The keys of connection %r were refused; the connection is read again", task.fc_conn_id)
