"""What holds where the author says nothing: each default that more than one place needs, once.

It imports nothing, because operators and sensors take from here with every DAG file. A default that only one signature
has stands in that signature.
"""

from __future__ import annotations

CONN_ID = "fc_default"
"""The connection."""

SETTLE_SECONDS = 15
"""How long a finished listing must stay the same to be believed: listings lag behind by seconds."""

MAX_ITEMS = 1000
"""How many invocations one XCom takes."""

MAX_BYTES = 1_000_000
"""How much JSON one XCom takes."""

MAX_CONCURRENCY = 10
"""How many invocations are stopped at the same time."""

FIELDS = (
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
"""What a row of an XCom has."""
