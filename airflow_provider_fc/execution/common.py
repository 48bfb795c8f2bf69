"""What the execution of every operator and sensor begins with: its hook and its function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow_provider_fc.core.calls import function_of
from airflow_provider_fc.hooks import FunctionComputeHook

if TYPE_CHECKING:
    from airflow_provider_fc.core.api import FunctionRef


class ConnectedTask(Protocol):
    """A task with a connection."""

    fc_conn_id: str
    region_id: str | None


class FunctionTask(ConnectedTask, Protocol):
    """A task with a connection and a function."""

    function_name: str
    service_name: str | None
    qualifier: str | None


def hook_of(task: ConnectedTask) -> FunctionComputeHook:
    return FunctionComputeHook(task.fc_conn_id, task.region_id)


def function_of_task(task: FunctionTask, hook: FunctionComputeHook) -> FunctionRef:
    """Check the function's names as templates have rendered them.

    :raises ParameterError: a name that FC cannot have.
    """
    return function_of(hook.settings, task.function_name, task.service_name, task.qualifier)
