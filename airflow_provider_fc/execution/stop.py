"""Executes the stop operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.errors import InvocationsLostError, ParameterError, WaitTimeoutError
from airflow_provider_fc.core.outcome import Kind
from airflow_provider_fc.core.stopping import wait_for_records
from airflow_provider_fc.core.wait import Schedule, Wait
from airflow_provider_fc.core.watch import watch
from airflow_provider_fc.execution.common import function_of_task, hook_of, if_not_expected, push_link
from airflow_provider_fc.execution.given import settle
from airflow_provider_fc.execution.waiting import wait_here

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.hooks import FunctionComputeHook
    from airflow_provider_fc.operators import FunctionComputeStopInvocationsOperator

_SHORTEST_PREFIX = 3
"""Letters and digits."""

_NAMED = 5
"""Ids that a line of the log names at most."""


def execute(task: FunctionComputeStopInvocationsOperator, context: Context) -> dict[str, list[str]]:
    """Stop what was asked for, and wait for its end where that is wanted."""
    with hook_of(task) as hook:
        push_link(task, hook, context)
        settle(task)
        # Checked before anything is stopped.
        poll_interval = parameters.interval("poll_interval", task.poll_interval, hook.policies.polling.shortest)
        timeout = parameters.seconds("timeout", task.timeout)
        ids = _ids(task, hook)
        if not ids and task.invocation_id_prefix:
            task.log.info("No unfinished invocations%s", if_not_expected(task, hook, task.invocation_id_prefix))
        results = _stop(task, hook, ids)
        if unseen := results["not_found"]:
            task.log.info(
                "%d are not known (yet), trying them again in %g s: records appear some time after a submission",
                len(unseen),
                hook.policies.records.lag,
            )
            hook.client.run(wait_for_records(hook.client.context))
            again = _stop(task, hook, unseen)
            results = {**{name: ids + again[name] for name, ids in results.items()}, "not_found": again["not_found"]}
        counts = ", ".join(f"{len(ids)} {result}" for result, ids in results.items())
        asked = sum(map(len, results.values()))
        noun = "invocation" if asked == 1 else "invocations"
        counts += _named(results["not_found"])
        task.log.info("Function Compute was asked to stop %d %s: %s", asked, noun, counts)
        if task.wait_for_completion:
            _wait(task, hook, results["stopped"], poll_interval, timeout)
    return results


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f" ({', '.join(ids[:_NAMED])}{more})" if ids else ""


def _stop(
    task: FunctionComputeStopInvocationsOperator, hook: FunctionComputeHook, ids: Sequence[str]
) -> dict[str, list[str]]:
    return hook.stop_invocations(
        task.function_name,
        ids,
        service_name=task.service_name,
        qualifier=task.qualifier,
        max_concurrency=task.max_concurrency,
    )


def _ids(task: FunctionComputeStopInvocationsOperator, hook: FunctionComputeHook) -> Sequence[str]:
    known = parameters.known_ids("invocation_ids", task.invocation_ids, on_missing=task.on_missing)
    function = function_of_task(task, hook)
    ids = parameters.invocation_ids("invocation_ids", known, may_be_empty=True, of=function.function_name)
    prefix = parameters.id_prefix("invocation_id_prefix", task.invocation_id_prefix)
    if (task.invocation_ids is None) == (prefix is None):
        raise ParameterError(
            "invocation_ids",
            "must be given, or else invocation_id_prefix, and not both, so that no more is stopped than meant; give "
            "one of them",
        )
    if prefix is None:
        return ids
    # What became _ says nothing of what is meant.
    meant = sum(map(str.isalnum, task.invocation_id_prefix or ""))
    if meant < _SHORTEST_PREFIX and not task.allow_short_prefix:
        raise ParameterError(
            "invocation_id_prefix",
            f"{task.invocation_id_prefix!r} has fewer than {_SHORTEST_PREFIX} letters and digits and may "
            "match what is not meant; set allow_short_prefix=True if it is",
        )
    # Not by status: a word that this version does not know is live as well.
    found = hook.list_invocations(
        task.function_name,
        service_name=task.service_name,
        qualifier=task.qualifier,
        invocation_id_prefix=prefix,
    )
    return [item.invocation_id for item in found if not item.is_terminal]


def _wait(
    task: FunctionComputeStopInvocationsOperator,
    hook: FunctionComputeHook,
    ids: Sequence[str],
    poll_interval: float,
    timeout: float,
) -> None:
    function = function_of_task(task, hook)
    now = datetime.now(UTC)
    schedule = Schedule(poll_interval, now + timedelta(seconds=timeout))
    for first in range(0, len(ids), parameters.MAX_IDS):
        batch = Batch.from_parameters(function, invocation_ids=ids[first : first + parameters.MAX_IDS], max_failed=None)
        outcome = wait_here(task, Wait(watch(batch, now), schedule, hook.client.context))
        if outcome.kind is Kind.TIMEOUT:
            raise WaitTimeoutError(
                f"Not all have ended within {timeout:g} s: {outcome.reason}; they were asked to stop: raise timeout, "
                "then clear this task"
            )
        if outcome.kind is not Kind.SUCCESS:
            raise InvocationsLostError(
                f"{outcome.reason}\nWhat to do next: clear this task, which then counts it as not found"
            )
