"""What the test invokes."""

from __future__ import annotations

import time
from typing import Any


def work(event: bytes, context: Any) -> None:
    time.sleep(3600)
