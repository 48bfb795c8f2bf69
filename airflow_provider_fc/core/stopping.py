"""Stops invocations and says what became of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.errors import (
    AlreadyCompletedError,
    ApiError,
    FunctionComputeError,
    NotFoundError,
    ParameterError,
)
from airflow_provider_fc.core.flow import Context, Flow, Sleep, call
from airflow_provider_fc.core.operations import GetInvocation, StopInvocation

log = logging.getLogger(__name__)

STOPPED = "stopped"
ALREADY_FINISHED = "already_finished"
NOT_FOUND = "not_found"
STOP_RESULTS = (STOPPED, ALREADY_FINISHED, NOT_FOUND)

# What a refusal that may mean "it has ended" comes with: fc-java-sdk's live test expects 400 InvalidArgument for that,
# and 412 is also the status of CAExited and others (page "Error codes" of FC 3.0).
_AMBIGUOUS = (400, 412)


def stop_operations(function: FunctionRef, invocation_ids: object) -> list[StopInvocation]:
    """Make one for each id: any number of them, none among them.

    :raises ParameterError: an id cannot be one, or there is not even a list.
    """
    if invocation_ids is None:
        raise ParameterError("invocation_ids", "is None; give a list of ids, an empty one if nothing is to be stopped")
    ids = parameters.invocation_ids(
        "invocation_ids", invocation_ids, at_most=None, may_be_empty=True, of=function.function_name, instead=""
    )  # hooks have no on_missing
    return [StopInvocation(function, invocation_id) for invocation_id in ids]


def concurrency(value: object) -> int:
    """Check how many requests may be under way at the same time."""
    number = parameters.whole_number("max_concurrency", value, at_least=1, at_most=parameters.MOST_AT_THE_SAME_TIME)
    if number is None:
        raise ParameterError("max_concurrency", "is missing; give a whole number above 0")
    return number


def stop(operation: StopInvocation, context: Context) -> Flow[str]:
    """Stop one; that it has ended meanwhile, or is unknown, is an answer and no error.

    :returns: one of :data:`STOP_RESULTS`.
    """
    try:
        yield from stop_unfinished(operation, context)
    except AlreadyCompletedError:
        return ALREADY_FINISHED
    except NotFoundError as error:
        if not error.is_invocation:
            raise
        return NOT_FOUND
    return STOPPED


def stop_submitted(operation: StopInvocation, context: Context) -> Flow[str]:
    """Stop one that has just been submitted: that it is unknown may mean that it cannot be seen yet.

    :returns: one of :data:`STOP_RESULTS`.
    """
    policy = context.policies.records
    give_up = context.now() + timedelta(seconds=policy.lag)
    result = yield from stop(operation, context)
    while result == NOT_FOUND and context.now() < give_up:
        yield Sleep(policy.pause)
        result = yield from stop(operation, context)
    return result


def wait_for_records(context: Context) -> Flow[None]:
    """Let so much time pass that what was submitted before can be seen."""
    yield Sleep(context.policies.records.lag)


def stop_unfinished(operation: StopInvocation, context: Context) -> Flow[None]:
    """Stop one that has not ended. Where the answer leaves open whether it has, its record decides.

    :raises AlreadyCompletedError: it had ended before.
    :raises NotFoundError: it, or its function, is unknown.
    """
    try:
        yield from call(operation, context)
        return
    except ApiError as error:
        if not _leaves_open(error):
            raise
        refusal = error
    found = yield from call(GetInvocation(operation.function, operation.invocation_id), context)
    if not found.is_terminal:
        raise refusal
    raise AlreadyCompletedError(
        refusal.operation, refusal.status, refusal.code, f"it is {found.status}; {refusal.message}", refusal.request_id
    )


def _leaves_open(error: ApiError) -> bool:
    """Tell whether a refusal may mean that the invocation has ended: nothing else is said to be wrong."""
    says_nothing = type(error) is ApiError or (isinstance(error, NotFoundError) and error.missing is None)
    return says_nothing and error.status in _AMBIGUOUS


def by_stop_result(
    operations: Sequence[StopInvocation], results: Sequence[str | FunctionComputeError]
) -> dict[str, list[str]]:
    """Sort the ids by what became of each.

    :raises FunctionComputeError: the first error; the log says what became of the others.
    """
    ids: dict[str, list[str]] = {result: [] for result in STOP_RESULTS}
    errors = []
    for operation, result in zip(operations, results, strict=True):
        if isinstance(result, FunctionComputeError):
            errors.append(result)
        else:
            ids[result].append(operation.invocation_id)
    if errors:
        log.warning("%d could not be stopped; of the others: %s", len(errors), ids)
        raise errors[0]
    return ids
