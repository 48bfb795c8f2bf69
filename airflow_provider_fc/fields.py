"""What declarations need to know of parameters and results; apart, so that DAG files load nothing more."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import XComArg

DEFAULT_FIELDS = (
    "invocation_id",
    "status",
    "function_name",
    "request_id",
    "started_at",
    "ended_at",
    "duration_ms",
    "error_message",
    "already_retried_times",
)


def holds_xcom(value: Any) -> bool:
    """Tell whether a parameter is, or lists, what tasks upstream give."""
    return isinstance(value, XComArg) or (
        isinstance(value, (list, tuple)) and any(isinstance(each, XComArg) for each in value)
    )
