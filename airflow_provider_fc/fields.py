"""The fields of an invocation that our operators return by default; apart, so that DAG files load nothing more."""

from __future__ import annotations

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
