"""Executes the list operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.bounded import Bounds, Rows, collect
from airflow_provider_fc.core.operations import FILTERS
from airflow_provider_fc.execution.common import hook_of, if_not_expected, push_link
from airflow_provider_fc.execution.given import settle

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.hooks import FunctionComputeHook
    from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator


def execute(task: FunctionComputeListInvocationsOperator, context: Context) -> list[dict[str, Any]]:
    """List, push the summary, and return the rows."""
    with hook_of(task) as hook:
        push_link(task, hook, context)
        settle(task)
        result = _collect(task, hook)
        more = "; there are more" if result.truncated else ""
        if not result.rows:
            more = if_not_expected(task, hook, task.invocation_id_prefix)
    queued = {"Enqueued", "Dequeued"}.intersection(parameters.statuses("statuses", task.statuses))
    if queued and (task.started_after, task.started_before) != (None, None):
        task.log.warning("started_after and started_before may leave out what is %s", " or ".join(sorted(queued)))
    task.log.info("%d invocations were listed%s", len(result.rows), more)
    context["ti"].xcom_push(key="summary", value=result.summary())
    return result.rows


def _collect(task: FunctionComputeListInvocationsOperator, hook: FunctionComputeHook) -> Rows:
    fields = parameters.fields("fields", task.fields)
    bounds = Bounds.from_parameters(task.limit, task.max_items, task.max_bytes, task.on_overflow)
    items = hook.list_invocations(
        task.function_name,
        service_name=task.service_name,
        qualifier=task.qualifier,
        include_payload="payload" in fields,
        limit=bounds.most_needed,
        **{name: getattr(task, name) for name in FILTERS if name in task.parameters},
    )
    return collect(items, fields, bounds)
