"""Fetches the error texts of failures that are known by id only."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow_provider_fc.core.batch import Batch, Failure, Summary, failed_count, failure_text
from airflow_provider_fc.core.errors import FunctionComputeError, NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.operations import GetInvocation

log = logging.getLogger(__name__)


def explain(batch: Batch, summary: Summary, context: Context) -> Flow[str]:
    """The text of a failed batch's error, with as many error texts as can be had."""
    failed = list(summary.failed)
    for index, failure in enumerate(failed):
        try:
            found = yield from call(GetInvocation(batch.function, failure.invocation_id), context)
        except FunctionComputeError as error:
            log.warning("No error text for %s: %s", failure.invocation_id, error)
            if not (error.transient or isinstance(error, NotFoundError)):
                break  # the others would be refused as well
        else:
            failed[index] = Failure.of(found)
    return failure_text(batch, replace(summary, failed=tuple(failed)), failed_count(batch, summary))
