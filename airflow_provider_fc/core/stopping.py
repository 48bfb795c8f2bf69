"""Stops invocations and says what became of each."""

from __future__ import annotations

from airflow_provider_fc.core.errors import AlreadyCompletedError, ApiError, NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.operations import GetInvocation, StopInvocation

STOPPED = "stopped"
ALREADY_FINISHED = "already_finished"
NOT_FOUND = "not_found"
STOP_RESULTS = (STOPPED, ALREADY_FINISHED, NOT_FOUND)

# What a refusal that may mean "it has ended" comes with: fc-java-sdk's live test expects 400 InvalidArgument for that,
# and 412 is also the status of CAExited and others (page "Error codes" of FC 3.0).
_AMBIGUOUS = (400, 412)


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
