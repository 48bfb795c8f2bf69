"""The public home of what hooks return and of the words for it: invocations, their fields, statuses and ids."""

from __future__ import annotations

from airflow_provider_fc.core.invocations import (
    FIELDS,
    LIVE_STATUSES,
    SUCCESS_STATUSES,
    TERMINAL_STATUSES,
    Event,
    Invocation,
    legal_invocation_id,
)

__all__ = [
    "FIELDS",
    "LIVE_STATUSES",
    "SUCCESS_STATUSES",
    "TERMINAL_STATUSES",
    "Event",
    "Invocation",
    "legal_invocation_id",
]
