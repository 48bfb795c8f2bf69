"""Stops invocations and says what became of each."""

from __future__ import annotations

from airflow_provider_fc.core.errors import AlreadyCompletedError, ApiError, NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.operations import GetInvocation, StopInvocation

STOPPED = "stopped"
ALREADY_FINISHED = "already_finished"
NOT_FOUND = "not_found"
FATES = (STOPPED, ALREADY_FINISHED, NOT_FOUND)


def stop(operation: StopInvocation, context: Context) -> Flow[str]:
    """Stop one; that it has ended meanwhile, or is unknown, is an answer and no error.

    Function Compute answers 412 for a finished one, and in an SDK's live test 400 InvalidArgument: then the record
    itself decides.

    :returns: one of :data:`FATES`.
    """
    try:
        yield from call(operation, context)
    except AlreadyCompletedError:
        return ALREADY_FINISHED
    except NotFoundError as error:
        if not error.is_invocation:
            raise
        return NOT_FOUND
    except ApiError as error:
        if error.status != 400:
            raise
        found = yield from call(GetInvocation(operation.function, operation.invocation_id), context)
        if not found.is_terminal:
            raise
        return ALREADY_FINISHED
    return STOPPED
