"""How a task waits for a batch: on its worker, or deferred to a trigger whose event it reads afterwards."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_fc import events
from airflow_provider_fc._compat import before_execution_timeout
from airflow_provider_fc.core.errors import AccessDeniedError, TriggerError, from_fields
from airflow_provider_fc.execution.common import ConnectedTask, hook_of

if TYPE_CHECKING:
    from airflow_provider_fc.core.batch import Outcome
    from airflow_provider_fc.core.wait import Wait
    from airflow_provider_fc.triggers import FunctionComputeInvocationsTrigger

log = logging.getLogger(__name__)

_BACKSTOP_SECONDS = 90
"""So much later than the trigger's own deadline does Airflow give it up."""

_FIRST_PAUSE = 2.0


def deferred_seconds(timeout: float, execution_timeout: timedelta | None) -> float:
    """How long a deferred wait may last: ``timeout``, or ``execution_timeout`` if that is shorter."""
    if execution_timeout is None:
        return timeout
    return min(timeout, before_execution_timeout(execution_timeout.total_seconds()))


def deferral(
    task: ConnectedTask, trigger: type[FunctionComputeInvocationsTrigger], wait: Wait, **more: Any
) -> TaskDeferred:
    """What to raise in order to hand a wait over to a trigger.

    :param more: further arguments of that trigger.
    """
    batch, schedule = wait.watch.batch, wait.schedule
    left = max((schedule.deadline - datetime.now(UTC)).total_seconds(), 0.0)
    return TaskDeferred(
        trigger=trigger(
            fc_conn_id=task.fc_conn_id,
            region_id=task.region_id,
            function_name=batch.function.function_name,
            service_name=batch.function.service_name,
            qualifier=batch.function.qualifier,
            batch=batch.to_parameters(),
            poll_interval=schedule.poll_interval,
            deadline=schedule.deadline.timestamp(),
            began_at=wait.watch.began_at.timestamp(),
            exponential_backoff=schedule.exponential_backoff,
            max_wait=schedule.max_wait,
            silent_fail=schedule.silent_fail,
            **more,
        ),
        method_name="execute_complete",
        timeout=timedelta(seconds=left + _BACKSTOP_SECONDS),
    )


def read_event(payload: object) -> events.Event:
    """What a trigger has sent.

    :raises TriggerError: it cannot be understood.
    :raises FunctionComputeError: the error that it tells of.
    """
    try:
        event = events.parse(payload)
    except events.MalformedEvent as error:
        raise TriggerError(str(error)) from error
    if event.error is not None:
        raise from_fields(event.error)
    return event


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
        log.info("The keys of connection %r were refused; looking for new ones", task.fc_conn_id)
