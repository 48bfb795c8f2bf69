"""Notes in every process of a triggerer how long Python's garbage collector has held it up.

``triggerer_loops.py`` copies it into an Airflow's configuration as ``airflow_local_settings.py``, which Airflow imports
when it starts. A process that is forked later goes on noting.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

NOTES = Path(__file__).with_name("collections.txt")
SHORTEST = 0.01
"""Seconds; what takes less explains nothing, and there is much of it."""
_began = 0.0


def note(phase: str, info: dict[str, int]) -> None:
    """Write down the process, when a collection ended, the seconds of CPU it took, and its generation."""
    global _began
    if phase == "start":
        _began = time.thread_time()  # not the time of day: waiting for a CPU is counted elsewhere
    elif (seconds := time.thread_time() - _began) >= SHORTEST:
        with NOTES.open("a") as notes:
            notes.write(f"{os.getpid()} {time.time():.3f} {seconds:.3f} {info['generation']}\n")


if "triggerer" in sys.argv:
    gc.callbacks.append(note)
