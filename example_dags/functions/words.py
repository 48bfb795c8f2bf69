"""The function that the example DAGs invoke. It is no DAG: ``.airflowignore`` keeps this folder out of DAG parsing.

Run it locally with ``python -m airflow_provider_fc.emulator --functions example_dags/functions/words.py``; the same
signature, ``handler(event, context)``, is what Function Compute's Python runtimes call.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


def word_count(event: bytes, context: Any) -> dict[str, Any]:
    """Count the words of one file.

    The event is JSON: ``path``, ``max_bytes`` (a larger file is refused) and ``seconds`` (how long to work on it).
    """
    request = json.loads(event)
    path, max_bytes = request["path"], request.get("max_bytes")
    data = Path(path).read_bytes()
    if max_bytes is not None and len(data) > max_bytes:
        raise ValueError(f"{path} has {len(data)} bytes, more than the {max_bytes} allowed")
    time.sleep(request.get("seconds", 0))
    return {"path": path, "words": len(data.decode().split())}
