"""Fetches the error texts of failures that are known by id only."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.errors import FunctionComputeError, NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.operations import GetInvocation
from airflow_provider_fc.core.outcome import Failure, Summary

log = logging.getLogger(__name__)


LOG_TAILS = 3
"""Of so many failures the end of the log is quoted."""


def explain(
    batch: Batch, summary: Summary, context: Context, *, log_tail_lines: int = 0, at_most: int | None = None
) -> Flow[Summary]:
    """Fill in as many error texts of the listed failures as can be had, with one Get each.

    :param log_tail_lines: so many last lines of the function's log with each of the first failures.
    :param at_most: fill in those of so many only.
    """
    failed = list(summary.failed)
    for index, failure in enumerate(failed[:at_most]):
        try:
            found = yield from call(GetInvocation(batch.function, failure.invocation_id), context)
        except FunctionComputeError as error:
            log.warning("No error text for %s: %s", failure.invocation_id, error)
            if not (error.transient or isinstance(error, NotFoundError)):
                break  # the others would be refused as well
        else:
            failed[index] = Failure.of(found, log_tail_lines if index < LOG_TAILS else 0)
    return replace(summary, failed=tuple(failed))
