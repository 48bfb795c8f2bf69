"""What Function Compute allows and for how long it keeps things: each limit once, with its source.

What this package chooses for itself (pauses, sizes of messages, defaults) stands with the code that chooses. The
emulator has its own copy of what it enforces, so that a wrong figure here is noticed.
"""

from __future__ import annotations

from datetime import timedelta

RECORD_RETENTION = timedelta(days=7)
"""How long an invocation can be read, found in a listing and stopped (page "Asynchronous tasks")."""

RECORDS_ARE_KEPT = f"Function Compute keeps them for {RECORD_RETENTION.days} days"
"""The same for messages; what "them" means are records."""

MAX_INVOCATION_ID_LENGTH = 128
"""Characters (page "InvokeFunction", headers ``x-fc-stateful-async-invocation-id`` and ``x-fc-async-task-id``)."""

MAX_SERVICE_NAME_LENGTH = 128
"""Characters (page "CreateService")."""

MAX_FUNCTION_NAME_LENGTH = 64
"""Characters (page "CreateFunction"); in FC 3.0 a ``service$`` may stand before it."""

MAX_QUALIFIER_LENGTH = 128
"""Characters of an alias (page "CreateAlias"); versions are short numbers."""

MAX_PAGE_SIZE = 100
"""Items of one page of a listing. The pages disagree on the default, 50 or 20, so a size is always sent."""

PAYLOAD_LIMIT = 128 * 1024
"""Bytes of an asynchronous payload where Alibaba Cloud has not raised it (page "Invocation: HTTP body")."""

RAISED_PAYLOAD_LIMIT = 256 * 1024
"""What it can be raised to, by a ticket (the same page); no account takes more."""

PAYLOAD_LIMITS = f"{PAYLOAD_LIMIT // 1024} KB, or {RAISED_PAYLOAD_LIMIT // 1024} KB on request"
"""Both for messages."""

MAX_DELAY_SECONDS = 3600
"""How long an invocation can be held back (page "Deferred invocation")."""

MAX_CLOCK_SKEW = timedelta(minutes=15)
"""How far the time of a signature may be from the server's clock (pages "Signature authentication", "V3 signature")."""

MIN_SESSION_SECONDS = 900
"""The shortest life of a role's temporary credentials (page "AssumeRole" of STS)."""
