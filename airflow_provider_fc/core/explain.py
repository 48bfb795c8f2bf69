"""Fetches the error texts of failures that are known by id only."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow_provider_fc.core.batch import Batch, Failure, Summary, failed_count, failure_text
from airflow_provider_fc.core.errors import FunctionComputeError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.operations import GetInvocation

log = logging.getLogger(__name__)


def explain(batch: Batch, summary: Summary, context: Context) -> Flow[str]:
    """The text of a failed batch's error, with as many error texts as can be had."""
    failed = []
    for failure in summary.failed:
        failed.append((yield from _with_text(failure, batch, context)))
    return failure_text(batch, replace(summary, failed=tuple(failed)), failed_count(batch, summary))


def _with_text(failure: Failure, batch: Batch, context: Context) -> Flow[Failure]:
    try:
        return Failure.of((yield from call(GetInvocation(batch.function, failure.invocation_id), context)))
    except FunctionComputeError as error:
        log.warning("No error text for %s: %s", failure.invocation_id, error)
        return failure
