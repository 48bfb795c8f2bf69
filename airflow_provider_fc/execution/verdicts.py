"""Ends a task for good where a retry could only come to the same verdict.

Airflow retries no ``AirflowFailException``. But when a sensor with ``soft_fail`` polls or resumes, Airflow makes a skip
of each exception of its own, and a failed batch must never look like one. So our errors become one of those only when
they have passed all that, at the very end, on their way out of the task. For whoever catches them they stay ours.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    FunctionComputeError,
    InvocationsFailedError,
    InvocationsLostError,
    ParameterError,
)
from airflow_provider_fc.core.parameters import boolean

VERDICTS = (InvocationsFailedError, InvocationsLostError, ParameterError, AccessDeniedError)
"""What a retry cannot change."""

ENDS_THE_SAME = "No retry follows, because it would end the same"
NO_RETRY = f"{ENDS_THE_SAME} (set retry_verdicts to have one)"
"""Not for a parameter, which nothing but the DAG file can mend."""
AFTERWARDS = "; mend the cause, then clear the task"
"""Not where invocations are to be repeated: how depends on what has started them, and the error says so."""

_SAYS_HOW_TO_REPEAT = (InvocationsFailedError, InvocationsLostError)


def end_retries(error: BaseException, retry_verdicts: object) -> None:
    """Keep Airflow from retrying a verdict, and say so in its text; leave any other error alone."""
    if isinstance(error, VERDICTS) and not isinstance(error, AirflowFailException) and not _wanted(retry_verdicts):
        text = str(error)
        no_retry = ENDS_THE_SAME if isinstance(error, ParameterError) else NO_RETRY
        what = no_retry if isinstance(error, _SAYS_HOW_TO_REPEAT) else f"{no_retry}{AFTERWARDS}"
        # The last line of a log is what is read first: of an error of one line it is the one that says what is wrong.
        error.args = (f"{text}\n{what}" if "\n" in text else f"{text}. {what}",)
        error.__class__ = _not_retried(cast("Any", type(error)))


def _wanted(retry_verdicts: object) -> bool:
    try:
        return boolean("retry_verdicts", retry_verdicts)
    except ParameterError:
        return False  # that is the verdict then


@cache
def _not_retried(kind: type[FunctionComputeError]) -> Any:
    """Make the class that is both: ours to whoever catches it, and one that Airflow does not retry."""
    members = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": _as_ours}
    return type(kind.__name__, (kind, AirflowFailException), members)


def _as_ours(error: FunctionComputeError) -> tuple[Any, ...]:
    """Pickle it as ours: the other class is of this process alone."""
    rebuild, (kind, *args), attributes = FunctionComputeError.__reduce__(error)
    return rebuild, (kind.__bases__[0], *args), attributes
