"""What the execution of every operator and sensor begins with: its hook and its function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_fc import _compat
from airflow_provider_fc.core.batch import names_to_check
from airflow_provider_fc.core.console import console_url
from airflow_provider_fc.core.errors import FunctionComputeError
from airflow_provider_fc.hooks import FunctionComputeHook
from airflow_provider_fc.links import XCOM_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

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
    console_url: str | None


def hook_of(task: ConnectedTask) -> FunctionComputeHook:
    return FunctionComputeHook(task.fc_conn_id, task.region_id)


def function_of_task(task: FunctionTask, hook: FunctionComputeHook) -> FunctionRef:
    """Check the function's names as templates have rendered them.

    :raises ParameterError: a name that FC cannot have.
    """
    return hook.settings.function(task.function_name, task.service_name, task.qualifier)


def push_link(task: FunctionTask, hook: FunctionComputeHook, context: Context) -> None:
    """Push the address of the function's page before anything else is done: a task that fails has the button too."""
    try:
        url = console_url(hook.settings, function_of_task(task, hook))
    except FunctionComputeError:
        url = ""  # whatever is wrong with the connection or a name is raised where it is needed
    task.console_url = url
    ti: Any = context.get("ti")
    if url and ti is not None:
        _compat.push_link(ti, XCOM_KEY, url)


_NARROWED_BY = ("statuses", "started_after", "started_before")


def if_not_expected(task: FunctionTask, hook: FunctionComputeHook, prefix: object) -> str:
    """Say what to check where nothing was found: a wrong name finds nothing instead of failing."""
    given = {"invocation_id_prefix": prefix, **{name: getattr(task, name, None) for name in _NARROWED_BY}}
    which = "".join(f"{name} {value!r}, " for name, value in given.items() if value)
    names = names_to_check(function_of_task(task, hook), hook.settings.endpoint)
    return f"; if there should be some, check {which}{names}"


def what_next(url: str, repetition: str, *, otherwise: str = "") -> str:
    """Say what to do about invocations that have failed.

    :param url: of the function in the console, where it certainly is there.
    :param repetition: how they are repeated.
    :param otherwise: how else to look at them.
    """
    where = f"in the console ({url})" if url else "in the emulator's output, if this runs on it"
    return f"What to do next: look {where}{otherwise}; mend the cause; {repetition}"
