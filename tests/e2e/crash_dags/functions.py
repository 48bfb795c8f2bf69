"""What the tests invoke."""

from __future__ import annotations

from typing import Any


def note(event: bytes, context: Any) -> str:
    return f"{event.decode()} was here"
